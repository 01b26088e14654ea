package convert

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/trainyard/trainyard/services/converter/source"
	"github.com/trainyard/trainyard/services/converter/tfrecord"
)

// sortedArchive is a stored zip of PNGs sorted by class; the images are padded to the given size.
func sortedArchive(t *testing.T, classes, perClass, size int) *source.File {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for c := range classes {
		for i := range perClass {
			e, err := w.CreateHeader(&zip.FileHeader{Name: fmt.Sprintf("c%03d/%05d.png", c, i), Method: zip.Store})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := e.Write(paddedPNG(c*perClass+i, size)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return written(t, func(f io.Writer) error { _, err := f.Write(b.Bytes()); return err })
}

// paddedPNG is structurally sound, which is all that conversion asks for.
func paddedPNG(n, size int) []byte {
	out := []byte("\x89PNG\r\n\x1a\n")
	chunk := func(kind string, body []byte) {
		out = binary.BigEndian.AppendUint32(out, uint32(len(body)))
		start := len(out)
		out = append(append(out, kind...), body...)
		out = binary.BigEndian.AppendUint32(out, crc32.ChecksumIEEE(out[start:]))
	}
	chunk("IHDR", []byte{0, 0, 0, 1, 0, 0, 0, 1, 8, 0, 0, 0, 0})
	body := make([]byte, max(8, size-57))
	binary.BigEndian.PutUint64(body, uint64(n))
	chunk("IDAT", body)
	chunk("IEND", nil)
	return out
}

// run plans with the given sizes, runs all tasks and returns the shards' labels in order, by name.
func run(t *testing.T, src source.Source, opts Options, sz sizing, workers int) (*Plan, *Output, map[string][]int) {
	t.Helper()
	dir := t.TempDir()
	plan, err := makePlan(context.Background(), src, opts, dir, sz)
	if err != nil {
		t.Fatal(err)
	}
	defer plan.Close()
	var results []*TaskResult
	for i := len(plan.Tasks) - 1; i >= 0; i-- { // any order will do
		r, err := RunTask(t.Context(), Task{Plan: plan, Index: i, Source: src, Scratch: dir, Sink: DirSink{dir}, Workers: workers})
		if err != nil {
			t.Fatal(err)
		}
		results = append(results, r)
	}
	out, err := Merge(plan, results)
	if err != nil {
		t.Fatal(err)
	}
	labels := map[string][]int{}
	for _, s := range out.Manifest.Shards {
		f, err := os.ReadFile(filepath.Join(dir, s.Name))
		if err != nil {
			t.Fatal(err)
		}
		r := tfrecord.NewReader(bytes.NewReader(f), 0)
		for data, err := r.Next(); err == nil; data, err = r.Next() {
			example, err := tfrecord.ParseExample(data)
			if err != nil {
				t.Fatal(err)
			}
			labels[s.Name] = append(labels[s.Name], int(example["label"].Int64s[0]))
		}
	}
	return plan, out, labels
}

// large is a conversion in small: the proportions of chunks, windows and tasks are those of tens of gigabytes.
var large = sizing{chunk: 16 << 10, window: 1 << 20}

func largeOptions() Options {
	o := DefaultOptions("sorted")
	o.ShardBytes = MinShardBytes
	return o
}

func TestShufflingMixesClasses(t *testing.T) {
	const classes = 100
	for name, src := range map[string]source.Source{
		"a zip": sortedArchive(t, classes, 400, 1000), "a tar.gz": sortedTarGzip(t, classes, 400, 1000), "rows": sortedTable(t, classes, 3000),
	} {
		t.Run(name, func(t *testing.T) {
			opts, sz := largeOptions(), large
			opts.FileName = "rows.csv"
			if name == "rows" { // So few rows are several tasks only of thick splits, and a window of them should hold several batches.
				opts.Splits, sz.window = Fractions{Train: 0.4, Validation: 0.3, Test: 0.3}, 3*batchBytes
			}
			plan, out, labels := run(t, src, opts, sz, 0)
			if len(plan.Tasks) < 2 {
				t.Fatalf("%d tasks; the test wants several", len(plan.Tasks))
			}
			for name, ls := range labels {
				// Any 1,000 consecutive records hold at least 25 classes.
				for start := 0; start+1000 <= len(ls); start += 50 {
					if n := distinctOf(ls[start : start+1000]); n < 25 {
						t.Errorf("%s: records %d to %d hold %d classes", name, start, start+1000, n)
					}
				}
			}
			if name == "rows" {
				return // A block of rows goes to one task, and holds many: chance alone would spread them more evenly.
			}
			// Each shard's shares of the classes differ from the whole's by no more than chance explains: the chi-square of
			// each has 99 degrees of freedom, and the most extreme of a few dozen stays below the quantile of 1 in 100,000.
			for _, s := range out.Manifest.Shards {
				if x := chiSquare(labels[s.Name], classes); x > chiSquareLimit(classes-1, 4.265) {
					t.Errorf("%s: chi-square %.0f of %d records", s.Name, x, s.Examples)
				}
			}
		})
	}
}

// sortedTarGzip is the same as sortedArchive in a tar.gz.
func sortedTarGzip(t *testing.T, classes, perClass, size int) *source.File {
	t.Helper()
	return written(t, func(w io.Writer) error {
		z := gzip.NewWriter(w)
		archive := tar.NewWriter(z)
		for i := range classes * perClass {
			data := paddedPNG(i, size)
			if err := archive.WriteHeader(&tar.Header{Name: fmt.Sprintf("c%03d/%05d.png", i/perClass, i%perClass), Size: int64(len(data)), Mode: 0o644}); err != nil {
				return err
			}
			if _, err := archive.Write(data); err != nil {
				return err
			}
		}
		return errors.Join(archive.Close(), z.Close())
	})
}

// sortedTable is a CSV file sorted by class.
func sortedTable(t *testing.T, classes, perClass int) *source.File {
	t.Helper()
	return written(t, func(w io.Writer) error {
		_, err := fmt.Fprintln(w, "number,text,label")
		for i := range classes * perClass {
			_, err = fmt.Fprintf(w, "%d,some words that are the text of row %d,c%03d\n", i, i, i/perClass)
		}
		return err
	})
}

func written(t *testing.T, write func(io.Writer) error) *source.File {
	t.Helper()
	var b bytes.Buffer
	name := filepath.Join(t.TempDir(), "source")
	if err := errors.Join(write(&b), os.WriteFile(name, b.Bytes(), 0o600)); err != nil {
		t.Fatal(err)
	}
	src, err := source.OpenFile(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { src.Close() })
	return src
}

func distinctOf(ls []int) int {
	seen := map[int]bool{}
	for _, l := range ls {
		seen[l] = true
	}
	return len(seen)
}

// chiSquare is Pearson's, of labels that should be uniform.
func chiSquare(labels []int, classes int) float64 {
	count := make([]int, classes)
	for _, l := range labels {
		count[l]++
	}
	want := float64(len(labels)) / float64(classes)
	var x float64
	for _, n := range count {
		x += (float64(n) - want) * (float64(n) - want) / want
	}
	return x
}

// chiSquareLimit is the quantile that belongs to a normal deviate z (Wilson and Hilferty 1931).
func chiSquareLimit(degrees int, z float64) float64 {
	k := float64(degrees)
	return k * math.Pow(1-2/(9*k)+z*math.Sqrt(2/(9*k)), 3)
}

func TestOutputDependsOnNothingButThePlan(t *testing.T) {
	src := sortedArchive(t, 20, 1000, 1000)
	_, one, _ := run(t, src, largeOptions(), large, 1)
	plan, four, _ := run(t, src, largeOptions(), large, 4)
	if len(plan.Tasks) < 2 || len(one.Files) != len(four.Files) {
		t.Fatalf("%d tasks, %d and %d files", len(plan.Tasks), len(one.Files), len(four.Files))
	}
	for name := range one.Files { // the manifest holds the SHA-256 of every shard
		if !bytes.Equal(one.Files[name], four.Files[name]) {
			t.Errorf("%s depends on the number of workers", name)
		}
	}
	other := largeOptions()
	other.Seed = 1
	_, seeded, _ := run(t, src, other, large, 1)
	if seeded.Manifest.Shards[0].SHA256 == one.Manifest.Shards[0].SHA256 {
		t.Error("the seed makes no difference")
	}
}

// TestOutputIsFrozen fails when a change alters what is written. If the change is meant, raise Version and put in the new sum.
func TestOutputIsFrozen(t *testing.T) {
	plan, out, _ := run(t, sortedArchive(t, 20, 900, 1000), largeOptions(), large, 2)
	sum := sha256.New()
	for _, s := range out.Manifest.Shards {
		fmt.Fprintln(sum, s.Name, s.SHA256)
	}
	const want = "4 in 2 tasks: cd50c9030007ac67"
	if got := fmt.Sprintf("%s in %d tasks: %.8x", Version, len(plan.Tasks), sum.Sum(nil)); got != want {
		t.Errorf("version %s, want %s", got, want)
	}
}

func TestShardsHaveTheTargetSize(t *testing.T) {
	_, out, _ := run(t, sortedArchive(t, 10, 3000, 1000), largeOptions(), large, 0)
	for _, s := range out.Manifest.Shards {
		if s.Bytes < MinShardBytes*7/10 || s.Bytes > MinShardBytes*3/2 {
			t.Errorf("%s has %d bytes, the target is %d", s.Name, s.Bytes, MinShardBytes)
		}
	}
	for i, s := range out.Manifest.Shards[:3] {
		if want := fmt.Sprintf("sorted-train.tfrecord-%05d-of-%05d", i, out.Manifest.Splits[0].Shards); s.Name != want {
			t.Errorf("shard %d is called %s, want %s", i, s.Name, want)
		}
	}
}

func TestPlanIsAPureFunction(t *testing.T) {
	src := sortedArchive(t, 20, 50, 300)
	var plans [][]byte
	for range 2 {
		plan, err := makePlan(t.Context(), src, largeOptions(), t.TempDir(), large)
		if err != nil {
			t.Fatal(err)
		}
		plan.Close()
		b, err := os.ReadFile(plan.Path())
		if err != nil {
			t.Fatal(err)
		}
		plans = append(plans, b)
	}
	if !bytes.Equal(plans[0], plans[1]) {
		t.Error("planned twice, the plans differ")
	}
}

func TestDealChunks(t *testing.T) {
	for _, c := range []struct{ n, tasks, windows int }{{0, 1, 1}, {1, 1, 1}, {100, 1, 7}, {100, 7, 1}, {3, 2, 5}, {4096, 8, 8}} {
		var all []int
		for task, order := range dealChunks(c.n, c.tasks, c.windows, 42) {
			all = append(all, order...)
			// Of every run of as many chunks as there are tasks, each task has one.
			seen := map[int]int{}
			for _, i := range order {
				seen[i/c.tasks]++
			}
			for block, n := range seen {
				if n > 1 {
					t.Errorf("%+v: task %d has %d chunks of block %d", c, task, n, block)
				}
			}
		}
		slices.Sort(all)
		for i, v := range all {
			if i != v {
				t.Fatalf("%+v: not a permutation", c)
			}
		}
		if len(all) != c.n {
			t.Errorf("%+v: %d chunks", c, len(all))
		}
	}
}

func TestCut(t *testing.T) {
	sizes := []int64{5, 5, 5, 100, 5, 5}
	size := func(i int) int64 { return sizes[i] }
	for n := 1; n <= 8; n++ {
		ends := cut(n, len(sizes), size)
		if len(ends) != n || ends[n-1] != len(sizes) || !slices.IsSorted(ends) {
			t.Errorf("%d runs: %v", n, ends)
		}
	}
	even := cut(4, 100, func(int) int64 { return 7 })
	if !slices.Equal(even, []int{25, 50, 75, 100}) {
		t.Errorf("even runs: %v", even)
	}
}

func TestPlanFileRefusesDamage(t *testing.T) {
	plan, err := makePlan(t.Context(), sortedArchive(t, 5, 50, 300), largeOptions(), t.TempDir(), large)
	if err != nil {
		t.Fatal(err)
	}
	plan.Close()
	good, err := os.ReadFile(plan.Path())
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "plan")
	open := func(b []byte) error {
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := source.OpenFile(name)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		p, err := OpenPlan(t.Context(), f)
		if err != nil {
			return err
		}
		for i := range p.Tasks {
			for j := range p.Tasks[i].Windows {
				if _, err := p.readWindow(t.Context(), &p.Tasks[i].Windows[j]); err != nil {
					return err
				}
			}
		}
		return nil
	}
	if err := open(good); err != nil {
		t.Fatal(err)
	}
	flipped := bytes.Clone(good)
	flipped[10] ^= 1
	for what, b := range map[string][]byte{"empty": nil, "cut": good[:len(good)-1], "a bit flipped": flipped, "trailer alone": good[len(good)-16:]} {
		if open(b) == nil {
			t.Errorf("%s: accepted", what)
		}
	}
}
