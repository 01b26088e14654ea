package convert_test

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"image"
	"image/jpeg"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/trainyard/trainyard/services/converter/convert"
	"github.com/trainyard/trainyard/services/converter/tfrecord"
)

// BenchmarkStoredZipAgainstCopy converts a stored zip of JPEGs and copies the same bytes, in pairs,
// and ends with the median ratios. Run it once:
//
//	TMPDIR=/dev/shm go test ./converter/convert -run '^$' -bench StoredZipAgainstCopy -benchtime 1x
func BenchmarkStoredZipAgainstCopy(b *testing.B) {
	const pairs = 7
	dir := b.TempDir()
	src := filepath.Join(dir, "source.zip")
	want := writeBenchZip(b, src, 6000)
	verifyConversion(b, src, filepath.Join(dir, "verify"), want)
	want = nil

	var wall, cpu []float64
	for b.Loop() {
		for i := range pairs {
			copyWall, copyCPU := measure(b, func() { copyFile(b, src, filepath.Join(dir, "copy.zip")) })
			out := filepath.Join(dir, fmt.Sprint("out", i))
			convWall, convCPU := measure(b, func() { convertLocal(b, src, out) })
			if err := os.RemoveAll(out); err != nil {
				b.Fatal(err)
			}
			fmt.Printf("  pair %d: copy %v wall %v cpu, convert %v wall %v cpu\n", i, copyWall, copyCPU, convWall, convCPU)
			wall = append(wall, convWall.Seconds()/copyWall.Seconds())
			cpu = append(cpu, convCPU.Seconds()/copyCPU.Seconds())
		}
	}
	hashWall, hashCPU := measure(b, func() { hashFile(b, src) })
	fmt.Printf("  SHA-256 of the source alone, as the manifest needs it of the shards: %v wall %v cpu\n", hashWall, hashCPU)
	printRatio("stored_zip_vs_copy_wall", wall, 1.2)
	printRatio("stored_zip_vs_copy_cpu", cpu, 2)
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

// writeBenchZip writes n JPEGs of 23 to 123 KB in 100 classes, stored, and returns the CRC-32 of each by path.
func writeBenchZip(b *testing.B, name string, n int) map[string]uint32 {
	f, err := os.Create(name)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	z := zip.NewWriter(f)
	jpegs := benchJPEGs(b)
	sums := make(map[string]uint32, n)
	for i := range n {
		data := distinct(jpegs[i%len(jpegs)], i)
		path := fmt.Sprintf("photos/class%03d/%06d.jpg", i*100/n, i)
		w, err := z.CreateHeader(&zip.FileHeader{Name: path, Method: zip.Store})
		if err != nil {
			b.Fatal(err)
		}
		if _, err := w.Write(data); err != nil {
			b.Fatal(err)
		}
		sums[path] = crc32.ChecksumIEEE(data)
	}
	if err := z.Close(); err != nil {
		b.Fatal(err)
	}
	return sums
}

// benchJPEGs encodes a few noisy pictures of various sizes; noise makes the entropy-coded data as dense as a photo's.
func benchJPEGs(tb testing.TB) [][]byte {
	r := rand.New(rand.NewPCG(1, 2))
	var all [][]byte
	for i := range 24 {
		side := 150 + 9*i
		img := image.NewYCbCr(image.Rect(0, 0, side, side), image.YCbCrSubsampleRatio420)
		for _, plane := range [][]byte{img.Y, img.Cb, img.Cr} {
			for p := range plane {
				plane[p] = byte(r.Uint32())
			}
		}
		var buf bytes.Buffer
		if err := jpeg.Encode(&buf, img, &jpeg.Options{Quality: 85}); err != nil {
			tb.Fatal(err)
		}
		all = append(all, buf.Bytes())
	}
	return all
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
