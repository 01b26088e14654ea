package convert_test

import (
	"archive/tar"
	"archive/zip"
	"bufio"
	"bytes"
	stdgzip "compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"image"
	"image/jpeg"
	"io"
	"iter"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"
	"golang.org/x/sync/errgroup"

	"github.com/trainyard/trainyard/services/converter/convert"
	"github.com/trainyard/trainyard/services/converter/tfrecord"
)

// BenchmarkConvert converts a gigabyte of JPEGs in several containers and does, in pairs with it, the least that the
// container asks for: cp of a stored zip, inflating a deflated one, gunzip of a tar.gz. It verifies the outputs first and
// ends with a line a figure: the median of the pairs' ratios, with 1 and with 2 workers. Run it once:
//
//	TMPDIR=/dev/shm go test ./converter/convert -run '^$' -bench '^BenchmarkConvert$' -benchtime 1x
func BenchmarkConvert(b *testing.B) {
	dir := b.TempDir()
	images := newBenchImages(b, 22_000)
	for b.Loop() {
		for _, c := range []struct {
			name, peer string
			write      func(*testing.B, string, benchImages)
			baseline   func(b *testing.B, src string, workers int)
			wall, cpu  float64 // goals; 0: none
			pairs      int
		}{
			{"stored_zip", "copy", writeZip(zip.Store), func(b *testing.B, src string, _ int) { copyFile(b, src, filepath.Join(dir, "copy")) }, 1.2, 2, 7},
			{"deflated_zip", "inflate", writeZip(zip.Deflate), inflateAll, 1.25, 0, 3},
			{"tar_gz", "gunzip", writeTarGzip, func(b *testing.B, src string, _ int) { gunzipAll(b, src) }, 1.3, 0, 3},
		} {
			src := filepath.Join(dir, "source")
			c.write(b, src, images)
			verifyConversion(b, src, filepath.Join(dir, "verify"), images.sums)
			for _, workers := range []int{1, 2} {
				var wall, cpu []float64
				before := runtime.GOMAXPROCS(workers)
				for i := range c.pairs {
					baseWall, baseCPU := measure(b, func() { c.baseline(b, src, workers) })
					out := filepath.Join(dir, "out")
					convWall, convCPU := measure(b, func() { convertLocal(b, src, out) })
					if err := os.RemoveAll(out); err != nil {
						b.Fatal(err)
					}
					fmt.Printf("  %s, %d workers, pair %d: %s %v wall %v cpu, convert %v wall %v cpu\n", c.name, workers, i, c.peer, baseWall, baseCPU, convWall, convCPU)
					wall, cpu = append(wall, convWall.Seconds()/baseWall.Seconds()), append(cpu, convCPU.Seconds()/baseCPU.Seconds())
				}
				runtime.GOMAXPROCS(before)
				printRatio(fmt.Sprintf("%s_vs_%s_wall_%d_workers", c.name, c.peer, workers), wall, c.wall)
				if c.cpu > 0 {
					printRatio(fmt.Sprintf("%s_vs_%s_cpu_%d_workers", c.name, c.peer, workers), cpu, c.cpu)
				}
			}
			if c.peer == "copy" {
				hashWall, hashCPU := measure(b, func() { hashFile(b, src) })
				fmt.Printf("  SHA-256 of the source alone, as the manifest needs it of the shards: %v wall %v cpu\n", hashWall, hashCPU)
			}
		}
	}
	fmt.Printf("  peak memory of this process: %d MiB\n", peakMemory(b)>>20)
}

func printRatio(name string, ratios []float64, goal float64) {
	slices.Sort(ratios)
	median := ratios[len(ratios)/2]
	verdict := "ok"
	if median > goal {
		verdict = "short"
	}
	fmt.Printf("bench: %s ratio=%.2f goal<=%.2f %s\n", name, median, goal, verdict)
}

// measure returns the wall and processor time of f, that of the kernel on its behalf included.
func measure(b *testing.B, f func()) (wall, cpu time.Duration) {
	b.Helper()
	before, start := processorTime(b), time.Now()
	f()
	return time.Since(start), processorTime(b) - before
}

func processorTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// peakMemory is the high-water mark of the resident set, in bytes.
func peakMemory(tb testing.TB) int64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		tb.Skip("no /proc/self/status here")
	}
	_, rest, _ := bytes.Cut(status, []byte("VmHWM:"))
	var kib int64
	if _, err := fmt.Sscan(string(rest), &kib); err != nil {
		tb.Fatal(err)
	}
	return kib << 10
}

// copyFile copies as cp does where the file system can't share blocks: the kernel moves the bytes
// with copy_file_range, which is what io.Copy between two files comes down to.
func copyFile(b *testing.B, from, to string) {
	in, err := os.Open(from)
	if err != nil {
		b.Fatal(err)
	}
	defer in.Close()
	if err := os.RemoveAll(to); err != nil {
		b.Fatal(err)
	}
	out, err := os.Create(to)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := io.Copy(out, in); err != nil {
		b.Fatal(err)
	}
	if err := out.Close(); err != nil {
		b.Fatal(err)
	}
}

func hashFile(b *testing.B, name string) {
	f, err := os.Open(name)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	if _, err := io.CopyBuffer(sha256.New(), struct{ io.Reader }{f}, make([]byte, 256<<10)); err != nil {
		b.Fatal(err)
	}
}

func convertLocal(tb testing.TB, src, out string) *convert.Output {
	tb.Helper()
	o, err := convert.Local(context.Background(), src, out, convert.DefaultOptions("bench"), nil)
	if err != nil {
		tb.Fatal(err)
	}
	return o
}

// benchImages are JPEGs of 23 to 123 KB in 100 classes, one class after the other.
type benchImages struct {
	jpegs [][]byte
	n     int
	sums  map[string]uint32 // CRC-32 by path
}

func newBenchImages(b *testing.B, n int) benchImages {
	images := benchImages{benchJPEGs(b), n, make(map[string]uint32, n)}
	for path, data := range images.all() {
		images.sums[path] = crc32.ChecksumIEEE(data)
	}
	return images
}

func (images benchImages) all() iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		for i := range images.n {
			if !yield(fmt.Sprintf("photos/class%03d/%06d.jpg", i*100/images.n, i), distinct(images.jpegs[i%len(images.jpegs)], i)) {
				return
			}
		}
	}
}

func writeZip(method uint16) func(*testing.B, string, benchImages) {
	return func(b *testing.B, name string, images benchImages) {
		create(b, name, func(f io.Writer) error {
			z := zip.NewWriter(f)
			for path, data := range images.all() {
				w, err := z.CreateHeader(&zip.FileHeader{Name: path, Method: method})
				if err != nil {
					return err
				}
				if _, err := w.Write(data); err != nil {
					return err
				}
			}
			return z.Close()
		})
	}
}

func writeTarGzip(b *testing.B, name string, images benchImages) {
	create(b, name, func(f io.Writer) error {
		z := stdgzip.NewWriter(f) // as gzip itself does; klauspost's stores what hardly shrinks
		t := tar.NewWriter(z)
		for path, data := range images.all() {
			if err := t.WriteHeader(&tar.Header{Name: path, Size: int64(len(data)), Mode: 0o644}); err != nil {
				return err
			}
			if _, err := t.Write(data); err != nil {
				return err
			}
		}
		return errors.Join(t.Close(), z.Close())
	})
}

func create(b *testing.B, name string, write func(io.Writer) error) {
	f, err := os.Create(name)
	if err != nil {
		b.Fatal(err)
	}
	w := bufio.NewWriterSize(f, 1<<20)
	if err := errors.Join(write(w), w.Flush(), f.Close()); err != nil {
		b.Fatal(err)
	}
}

// inflateAll inflates every entry of a zip to nowhere, with as many goroutines as there are workers.
func inflateAll(b *testing.B, src string, workers int) {
	r, err := zip.OpenReader(src)
	if err != nil {
		b.Fatal(err)
	}
	defer r.Close()
	f, err := os.Open(src)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	var next atomic.Int64
	var group errgroup.Group
	for range workers {
		group.Go(func() error {
			var packed, data []byte
			inflate := flate.NewReader(nil)
			var in bytes.Reader
			for i := next.Add(1) - 1; i < int64(len(r.File)); i = next.Add(1) - 1 {
				e := r.File[i]
				off, err := e.DataOffset()
				if err != nil {
					return err
				}
				packed = slices.Grow(packed[:0], int(e.CompressedSize64))[:e.CompressedSize64]
				data = slices.Grow(data[:0], int(e.UncompressedSize64))[:e.UncompressedSize64]
				if _, err := f.ReadAt(packed, off); err != nil {
					return err
				}
				in.Reset(packed)
				if err := inflate.(flate.Resetter).Reset(&in, nil); err != nil {
					return err
				}
				if _, err := io.ReadFull(inflate, data); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		b.Fatal(err)
	}
}

func gunzipAll(b *testing.B, src string) {
	f, err := os.Open(src)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(bufio.NewReaderSize(f, 1<<18))
	if err != nil {
		b.Fatal(err)
	}
	if _, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, z, make([]byte, 256<<10)); err != nil {
		b.Fatal(err)
	}
}

// benchJPEGs encodes a few pictures of various sizes. Their spectrum falls as a photo's does, so that deflate gains the
// percent or two that it gains on photos: of plain noise it would store the bytes, and inflating them would be a copy.
func benchJPEGs(tb testing.TB) [][]byte {
	r := rand.New(rand.NewPCG(1, 2))
	var all [][]byte
	for i := range 24 {
		side := 250 + 17*i
		img := image.NewYCbCr(image.Rect(0, 0, side, side), image.YCbCrSubsampleRatio420)
		fill := func(plane []byte, side int) {
			values := make([]float64, side*side)
			for step := side; step >= 1; step /= 2 {
				grid := (side+step-1)/step + 2
				noise := make([]float64, grid*grid)
				for g := range noise {
					noise[g] = r.NormFloat64() * 40 * math.Pow(float64(step)/float64(side), 0.35)
				}
				for y := range side {
					for x := range side {
						if v := noise[y/step*grid+x/step]; step > 16 || !calm(x, y, side) {
							values[y*side+x] += v
						}
					}
				}
			}
			for p := range plane {
				plane[p] = byte(min(max(128+values[p], 0), 255))
			}
		}
		fill(img.Y, side)
		fill(img.Cb, (side+1)/2)
		fill(img.Cr, (side+1)/2)
		var buf bytes.Buffer
		if err := jpeg.Encode(&buf, img, &jpeg.Options{Quality: 85}); err != nil {
			tb.Fatal(err)
		}
		all = append(all, buf.Bytes())
	}
	return all
}

// calm is where a picture has little but large shapes, as a photo's sky and walls.
func calm(x, y, side int) bool {
	return math.Sin(9*float64(x)/float64(side))+math.Cos(7*float64(y)/float64(side)) > 0.35
}

// distinct puts a comment with a number behind a JPEG's first marker.
func distinct(data []byte, n int) []byte {
	out := append([]byte(nil), data[:2]...)
	out = append(out, 0xff, 0xfe, 0, 10)
	out = binary.BigEndian.AppendUint64(out, uint64(n))
	return append(out, data[2:]...)
}

// verifyConversion converts once and compares every image with the source.
func verifyConversion(tb testing.TB, src, out string, want map[string]uint32) {
	tb.Helper()
	o := convertLocal(tb, src, out)
	seen := 0
	for _, s := range o.Manifest.Shards {
		f, err := os.Open(filepath.Join(out, s.Name))
		if err != nil {
			tb.Fatal(err)
		}
		r := tfrecord.NewReader(f, 0)
		for {
			data, err := r.Next()
			if err == io.EOF {
				break
			}
			if err != nil {
				tb.Fatal(err)
			}
			example, err := tfrecord.ParseExample(data)
			if err != nil {
				tb.Fatal(err)
			}
			name := string(example["filename"].Bytes[0])
			if sum, ok := want[name]; !ok || sum != crc32.ChecksumIEEE(example["image"].Bytes[0]) {
				tb.Fatalf("%s differs from the source", name)
			}
			seen++
		}
		f.Close()
	}
	if seen != len(want) {
		tb.Fatalf("%d records, want %d", seen, len(want))
	}
	if err := os.RemoveAll(out); err != nil {
		tb.Fatal(err)
	}
}
