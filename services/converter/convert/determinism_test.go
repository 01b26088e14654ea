package convert

import (
	"archive/tar"
	"archive/zip"
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/parquet-go/parquet-go"

	"github.com/trainyard/trainyard/services/converter/source"
)

// The test binary is also the process that does tasks; see TestSameBytesFromAnyProcesses.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "do-tasks" {
		if err := doTasks(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if len(os.Args) > 1 && os.Args[1] == "convert-by-ranges" { // See BenchmarkMemory.
		if err := convertByRanges(os.Args[2], os.Args[3]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// doTasks does every n-th task of a plan, from the first given one on, and writes the results. It has a scratch folder of its own, as on another machine,
// and says on standard output when it is in the middle of a task.
func doTasks(args []string) error {
	planPath, srcPath, out := args[0], args[1], args[2]
	first, _ := strconv.Atoi(args[3])
	step, _ := strconv.Atoi(args[4])
	wait := len(args) > 5
	file, err := source.OpenFile(planPath)
	if err != nil {
		return err
	}
	plan, err := OpenPlan(context.Background(), file)
	if err != nil {
		return err
	}
	src, err := source.OpenFile(srcPath)
	if err != nil {
		return err
	}
	scratchDir, err := os.MkdirTemp(out, "scratch-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(scratchDir)
	for i := first; i < len(plan.Tasks); i += step {
		r, err := RunTask(context.Background(), Task{Plan: plan, Index: i, Source: src, Scratch: scratchDir, Sink: tellingSink{DirSink{out}, wait}})
		if err != nil {
			return err
		}
		b, err := json.Marshal(r)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(out, fmt.Sprintf("result-%d.json", i)), b, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// tellingSink says that a shard is made, before it is handed over, and may wait to be killed then.
type tellingSink struct {
	DirSink
	wait bool
}

func (s tellingSink) Put(ctx context.Context, file MetadataFile, path string) error {
	fmt.Println("made", file.Name)
	if s.wait {
		select {}
	}
	return s.DirSink.Put(ctx, file, path)
}

// uploads are one of each kind: records of files in place and in a stream, rows in place and packed, columns.
func uploads(t *testing.T) map[string][]byte {
	t.Helper()
	images, err := io.ReadAll(io.NewSectionReader(onDisk(t, sortedArchive(t, 20, 700, 1000)), 0, 1<<40))
	if err != nil {
		t.Fatal(err)
	}
	var tarball bytes.Buffer
	z := gzip.NewWriter(&tarball)
	w := tar.NewWriter(z)
	for i := range 14_000 {
		data := paddedPNG(i, 1000)
		if err := w.WriteHeader(&tar.Header{Name: fmt.Sprintf("c%02d/%05d.png", i/700, i), Size: int64(len(data)), Mode: 0o644}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(data); err != nil {
			t.Fatal(err)
		}
	}
	type row struct {
		ID    int64   `parquet:"id"`
		Label string  `parquet:"label"`
		Value float64 `parquet:"value"`
		Text  string  `parquet:"text"`
	}
	var table strings.Builder
	table.WriteString("id,label,value,text\n")
	rows := make([]row, 100_000)
	for i := range rows {
		rows[i] = row{int64(i), []string{"a", "b", "c"}[i*3/len(rows)], float64(i) / 7, fmt.Sprintf("row %d of many, with some text", i)}
		fmt.Fprintf(&table, "%d,%s,%g,\"%s\"\n", rows[i].ID, rows[i].Label, rows[i].Value, rows[i].Text)
	}
	var columns bytes.Buffer
	if err := errors.Join(w.Close(), z.Close(), parquet.Write(&columns, rows)); err != nil {
		t.Fatal(err)
	}
	packed := func(name string, data []byte) []byte {
		var b bytes.Buffer
		z := zip.NewWriter(&b)
		e, err := z.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := e.Write(data); err != nil {
			t.Fatal(err)
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	return map[string][]byte{
		"images in a zip": images, "images in a tar.gz": tarball.Bytes(), "csv": []byte(table.String()),
		"csv in a deflated zip": packed("t/train.csv", []byte(table.String())), "parquet": columns.Bytes(),
		"parquet in a deflated zip": packed("t/data.parquet", columns.Bytes()),
	}
}

func onDisk(t *testing.T, f *source.File) io.ReaderAt { return readerAt(t.Context(), f) }

// Whatever the number of workers and of processes, and after a kill in the middle, the shards are the same to the byte: their
// SHA-256 are those of the manifest, which are compared whole.
func TestSameBytesFromAnyProcesses(t *testing.T) {
	for name, data := range uploads(t) {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "source")
			if err := os.WriteFile(path, data, 0o600); err != nil {
				t.Fatal(err)
			}
			src, err := source.OpenFile(path)
			if err != nil {
				t.Fatal(err)
			}
			defer src.Close()
			opts := largeOptions()
			opts.FileName, opts.Splits = "data.csv", Fractions{Train: 0.5, Validation: 0.25, Test: 0.25}
			plan, want, _ := run(t, src, opts, large, 1)
			if len(plan.Tasks) < 2 {
				t.Fatalf("%d tasks; the test wants several", len(plan.Tasks))
			}
			for _, workers := range []int{2, 8} {
				_, got, _ := run(t, src, opts, large, workers)
				same(t, fmt.Sprint(workers, " workers"), got, want)
			}
			for _, processes := range []int{1, 3} {
				same(t, fmt.Sprint(processes, " processes"), inProcesses(t, src, path, opts, processes), want)
			}
		})
	}
}

func same(t *testing.T, how string, got, want *Output) {
	t.Helper()
	for name := range want.Files {
		if !bytes.Equal(got.Files[name], want.Files[name]) {
			t.Errorf("%s: %s differs", how, name)
		}
	}
}

// inProcesses does the tasks in processes, of which the first is killed in the middle and begun anew.
func inProcesses(t *testing.T, src source.Source, path string, opts Options, processes int) *Output {
	t.Helper()
	out := t.TempDir()
	plan, err := makePlan(t.Context(), src, opts, out, large)
	if err != nil {
		t.Fatal(err)
	}
	defer plan.Close()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	command := func(first int, more ...string) *exec.Cmd {
		args := append([]string{"do-tasks", plan.Path(), path, out, strconv.Itoa(first), strconv.Itoa(processes)}, more...)
		return exec.CommandContext(t.Context(), self, args...) //nolint:gosec // This binary.
	}
	killed := command(0, "wait")
	said, err := killed.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := killed.Start(); err != nil {
		t.Fatal(err)
	}
	if !bufio.NewScanner(said).Scan() {
		t.Error("the process ended before it was killed")
	}
	if err := killed.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := killed.Wait(); err == nil {
		t.Error("the process was not killed in the middle of its work")
	}
	var group sync.WaitGroup
	for first := range processes {
		group.Go(func() {
			if said, err := command(first).CombinedOutput(); err != nil {
				t.Errorf("%v: %s", err, said)
			}
		})
	}
	group.Wait()
	results := make([]*TaskResult, len(plan.Tasks))
	for i := range results {
		b, err := os.ReadFile(filepath.Join(out, fmt.Sprintf("result-%d.json", i)))
		if err == nil {
			err = json.Unmarshal(b, &results[i])
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	merged, err := Merge(plan, results)
	if err != nil {
		t.Fatal(err)
	}
	return merged
}
