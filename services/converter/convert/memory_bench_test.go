package convert

import (
	"archive/tar"
	"archive/zip"
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"

	"github.com/trainyard/trainyard/services/converter/source"
)

// BenchmarkMemory converts 20 GB (or BENCH_GB) of images as a zip and as a tar.gz, by ranges over HTTP and with the
// memory limit of a worker process, each in a process of its own, and prints the largest resident set of each. Shards are
// checked and thrown away, so that 45 GB of disk are enough. Run it once:
//
//	TMPDIR=/a/large/disk go test ./converter/convert -run '^$' -bench '^BenchmarkMemory$' -benchtime 1x -timeout 60m
func BenchmarkMemory(b *testing.B) {
	gigabytes, err := strconv.Atoi(os.Getenv("BENCH_GB"))
	if err != nil {
		gigabytes = 20
	}
	dir := b.TempDir()
	for b.Loop() {
		for _, c := range []struct {
			name  string
			write func(io.Writer, int) error
		}{{"zip", imagesAsZip}, {"tar_gz", imagesAsTarGzip}} {
			const imageBytes = 64 << 10
			n := gigabytes << 30 / imageBytes
			path := filepath.Join(dir, "source")
			f, err := os.Create(path)
			if err != nil {
				b.Fatal(err)
			}
			w := bufio.NewWriterSize(f, 1<<20)
			if err := errors.Join(c.write(w, n), w.Flush(), f.Close()); err != nil {
				b.Fatal(err)
			}
			store := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, path) }))
			self, err := os.Executable()
			if err != nil {
				b.Fatal(err)
			}
			said, err := exec.CommandContext(b.Context(), self, "convert-by-ranges", store.URL, dir).CombinedOutput() //nolint:gosec // This binary.
			store.Close()
			if err != nil {
				b.Fatalf("%v: %s", err, said)
			}
			var examples, peak int
			if _, err := fmt.Sscanf(string(said), "examples %d peak %d", &examples, &peak); err != nil || examples != n {
				b.Fatalf("%d examples of %d: %s", examples, n, said)
			}
			verdict := "ok"
			if peak > 256 {
				verdict = "short"
			}
			fmt.Printf("bench: peak_rss_%s_%d_gb mib=%d goal<=256 %s\n", c.name, gigabytes, peak, verdict)
		}
	}
}

func imagesAsZip(w io.Writer, n int) error {
	z := zip.NewWriter(w)
	for i := range n {
		e, err := z.CreateHeader(&zip.FileHeader{Name: fmt.Sprintf("photos/c%03d/%07d.png", i*100/n, i), Method: zip.Store})
		if err != nil {
			return err
		}
		if _, err := e.Write(paddedPNG(i, 64<<10)); err != nil {
			return err
		}
	}
	return z.Close()
}

func imagesAsTarGzip(w io.Writer, n int) error {
	z, err := gzip.NewWriterLevel(w, gzip.NoCompression) // What is measured is memory; a tar of photos doesn't get smaller either.
	if err != nil {
		return err
	}
	t := tar.NewWriter(z)
	for i := range n {
		if err := t.WriteHeader(&tar.Header{Name: fmt.Sprintf("photos/c%03d/%07d.png", i*100/n, i), Size: 64 << 10, Mode: 0o644}); err != nil {
			return err
		}
		if _, err := t.Write(paddedPNG(i, 64<<10)); err != nil {
			return err
		}
	}
	return errors.Join(t.Close(), z.Close())
}

// dropSink throws shards away.
type dropSink struct{}

func (dropSink) Put(_ context.Context, _ MetadataFile, path string) error { return os.Remove(path) }

// convertByRanges converts what a URL serves and says how much memory that took.
func convertByRanges(url, dir string) error {
	debug.SetMemoryLimit(200 << 20)
	ctx := context.Background()
	res, err := http.Head(url) //nolint:noctx,gosec // Loopback.
	if err != nil {
		return err
	}
	_ = res.Body.Close()
	scratchDir, err := os.MkdirTemp(dir, "scratch-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(scratchDir)
	src := source.NewHTTP(nil, func(context.Context) (string, error) { return url, nil }, res.ContentLength, "")
	plan, err := MakePlan(ctx, src, DefaultOptions("large"), scratchDir)
	if err != nil {
		return err
	}
	defer plan.Close()
	results := make([]*TaskResult, len(plan.Tasks))
	for i := range results {
		if results[i], err = RunTask(ctx, Task{Plan: plan, Index: i, Source: src, Scratch: scratchDir, Sink: dropSink{}}); err != nil {
			return err
		}
	}
	out, err := Merge(plan, results)
	if err != nil {
		return err
	}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return err
	}
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	var kib int
	if _, err := fmt.Sscan(rest, &kib); err != nil {
		return err
	}
	fmt.Printf("examples %d peak %d\n", out.Manifest.Examples, kib>>10)
	return nil
}
