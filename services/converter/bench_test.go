package converter_test

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"image"
	"image/png"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	ingestv1 "github.com/trainyard/trainyard/gen/trainyard/ingest/v1"
	"github.com/trainyard/trainyard/services/converter"
	"github.com/trainyard/trainyard/services/converter/convert"
	"github.com/trainyard/trainyard/services/converter/source"
	"github.com/trainyard/trainyard/services/internal/awscfg"
	"github.com/trainyard/trainyard/services/internal/testkit"
)

// benchArchive is a stored zip of PNG images, whose structure is as cheap to check as that of JPEGs, of about the given size.
func benchArchive(b *testing.B, size int) []byte {
	r := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // Only sizes.
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	for i := 0; out.Len() < size; i++ {
		w, err := z.CreateHeader(&zip.FileHeader{Name: fmt.Sprintf("photos/class%02d/%06d.png", i%100, i), Method: zip.Store})
		if err != nil {
			b.Fatal(err)
		}
		if _, err := w.Write(noisePNG(90+int(r.Uint32()%110), uint64(i))); err != nil { //nolint:gosec // Not negative.
			b.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		b.Fatal(err)
	}
	return out.Bytes()
}

// BenchmarkS3 converts a gigabyte by ranges from localcloud, in pairs with one plain download of the object, to a file and to nowhere, and then brings it in
// through S3 and SQS, in pairs with the bare conversion. It verifies first that the shards are those of a conversion from disk. BENCH_MB makes the source
// smaller. Run it once:
//
//	TMPDIR=/dev/shm go test ./converter -run '^$' -bench '^BenchmarkS3$' -benchtime 1x
func BenchmarkS3(b *testing.B) {
	const pairs = 5
	s := newSuite(b, testkit.SQLite(b), func(c *converter.Config) { c.Visibility, c.LeaseEvery = time.Minute, 2*time.Second })
	size := 1_000_000_000 // one part: less than a GiB
	if mb, err := strconv.Atoi(os.Getenv("BENCH_MB")); err == nil {
		size = mb * 1_000_000
	}
	data := benchArchive(b, size)
	dir := b.TempDir()
	path := filepath.Join(dir, "source.zip")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		b.Fatal(err)
	}
	key := "bench/source.zip"
	put, err := s.deps.S3.PutObject(b.Context(), &s3.PutObjectInput{Bucket: &s.cfg.Bucket, Key: &key, Body: bytes.NewReader(data)})
	if err != nil {
		b.Fatal(err)
	}
	sign := func(ctx context.Context) (string, error) {
		signed, err := s.deps.Presigner.PresignGetObject(ctx, &s3.GetObjectInput{Bucket: &s.cfg.Bucket, Key: &key})
		if err != nil {
			return "", err
		}
		return signed.URL, nil
	}
	src := source.NewHTTP(nil, sign, int64(len(data)), *put.ETag)
	out := filepath.Join(dir, "out")
	if got, want := byRanges(b, src, filepath.Join(dir, "ranges")), bare(b, path, out); !slices.Equal(got, want) {
		b.Fatalf("shards by ranges %v, from disk %v", got, want)
	}
	check(b, os.RemoveAll(filepath.Join(dir, "ranges")))
	for b.Loop() {
		for _, workers := range []int{1, 2} {
			var toFile, toNowhere []float64
			before := runtime.GOMAXPROCS(workers)
			for i := range pairs {
				saved := clock(func() { downloadTo(b, filepath.Join(dir, "download"), sign, len(data)) })
				check(b, os.Remove(filepath.Join(dir, "download")))
				read := clock(func() { downloadTo(b, os.DevNull, sign, len(data)) })
				conversion := clock(func() { byRanges(b, src, filepath.Join(dir, "ranges")) })
				fmt.Printf("  by ranges, %d workers, pair %d: download to a file %v, to nowhere %v, convert %v\n", workers, i, saved, read, conversion)
				check(b, os.RemoveAll(filepath.Join(dir, "ranges")))
				toFile, toNowhere = append(toFile, conversion.Seconds()/saved.Seconds()), append(toNowhere, conversion.Seconds()/read.Seconds())
			}
			runtime.GOMAXPROCS(before)
			printMedian(fmt.Sprintf("ranges_vs_download_to_file_wall_%d_workers", workers), toFile, 2)
			printMedian(fmt.Sprintf("ranges_vs_download_to_nowhere_wall_%d_workers", workers), toNowhere, 2)
		}
		var ratios []float64
		for i := range 3 {
			conversion := clock(func() { bare(b, path, out) })
			version := s.upload("source.zip", data, nil)
			ready := clock(func() {
				if v := s.wait(version); v.GetState() != ingestv1.Version_READY {
					b.Fatalf("%v", v)
				}
			})
			fmt.Printf("  end to end, run %d: bare conversion %v, from the last byte to READY %v\n", i, conversion, ready)
			ratios = append(ratios, max(0, ready.Seconds()-1)/conversion.Seconds())
			s.empty(b, "uploads/", "datasets/") // A gigabyte after the other in memory makes the machine look for some, which no run is to pay for.
		}
		printMedian("ready_less_1s_vs_bare_conversion", ratios, 1.5)
	}
}

// empty removes all objects below prefixes.
func (s *suite) empty(b *testing.B, prefixes ...string) {
	client := awscfg.S3(s.cloud.AWS)
	for _, prefix := range prefixes {
		pages := s3.NewListObjectsV2Paginator(client, &s3.ListObjectsV2Input{Bucket: &s.cloud.Bucket, Prefix: &prefix})
		for pages.HasMorePages() {
			page, err := pages.NextPage(b.Context())
			check(b, err)
			for _, o := range page.Contents {
				_, err := client.DeleteObject(b.Context(), &s3.DeleteObjectInput{Bucket: &s.cloud.Bucket, Key: o.Key})
				check(b, err)
			}
		}
	}
}

func clock(f func()) time.Duration {
	start := time.Now()
	f()
	return time.Since(start)
}

func printMedian(name string, ratios []float64, goal float64) {
	slices.Sort(ratios)
	verdict, median := "ok", ratios[len(ratios)/2]
	if median > goal {
		verdict = "short"
	}
	fmt.Printf("bench: %s ratio=%.2f goal<=%.2f %s\n", name, median, goal, verdict)
}

func downloadTo(b *testing.B, path string, sign source.Sign, size int) {
	url, err := sign(b.Context())
	check(b, err)
	res, err := http.Get(url) //nolint:noctx,gosec // Loopback.
	check(b, err)
	defer res.Body.Close()
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	check(b, err)
	defer f.Close()
	to := io.Writer(struct{ io.Writer }{f})
	if path == os.DevNull {
		to = struct{ io.Writer }{io.Discard}
	}
	if n, err := io.CopyBuffer(to, res.Body, make([]byte, 1<<20)); err != nil || n != int64(size) {
		b.Fatalf("%d bytes, %v", n, err)
	}
}

// byRanges converts into the folder dir and returns the shards' digests.
func byRanges(b *testing.B, src source.Source, dir string) []string {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		b.Fatal(err)
	}
	plan, err := convert.MakePlan(b.Context(), src, convert.DefaultOptions("bench"), dir)
	if err != nil {
		b.Fatal(err)
	}
	defer plan.Close()
	var sums []string
	for i := range plan.Tasks {
		r, err := convert.RunTask(b.Context(), convert.Task{Plan: plan, Index: i, Source: src, Scratch: dir, Sink: convert.DirSink{Dir: dir}})
		if err != nil {
			b.Fatal(err)
		}
		for _, s := range r.Shards {
			sums = append(sums, s.SHA256)
		}
	}
	slices.Sort(sums)
	return sums
}

func bare(b *testing.B, path, out string) []string {
	o, err := convert.Local(b.Context(), path, out, convert.DefaultOptions("bench"), nil)
	if err != nil {
		b.Fatal(err)
	}
	defer os.RemoveAll(out)
	var sums []string
	for _, s := range o.Manifest.Shards {
		sums = append(sums, s.SHA256)
	}
	slices.Sort(sums)
	return sums
}

// noisePNG is a PNG of a square of noise, so that no two are alike and none compresses.
func noisePNG(side int, seed uint64) []byte {
	img := image.NewRGBA(image.Rect(0, 0, side, side))
	r := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // Noise.
	for i := 0; i+8 <= len(img.Pix); i += 8 {
		binary.LittleEndian.PutUint64(img.Pix[i:], r.Uint64()|0xff000000ff000000) // opaque
	}
	var b bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.NoCompression}).Encode(&b, img); err != nil {
		panic(err)
	}
	return b.Bytes()
}
