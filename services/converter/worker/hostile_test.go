package worker_test

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"image"
	"image/png"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/trainyard/trainyard/services/converter/convert"
	"github.com/trainyard/trainyard/services/converter/dataset/datasettest"
	"github.com/trainyard/trainyard/services/converter/reject"
	"github.com/trainyard/trainyard/services/converter/worker"
)

// item is a file of an upload.
type item struct {
	path string
	data []byte
}

func zipOf(t *testing.T, items ...item) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, i := range items {
		e, err := w.Create(i.path)
		if err == nil {
			_, err = e.Write(i.data)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func tarOf(t *testing.T, entries ...tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range entries {
		h.Mode = 0o644
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.CopyN(w, bytes.NewReader(onePNG(1)), h.Size); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func gzipOf(t *testing.T, data io.Reader) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := io.Copy(z, data); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func onePNG(n int) []byte {
	img := image.NewGray(image.Rect(0, 0, 8, 8))
	img.Pix[n%64] = byte(n + 1)
	img.Pix[(n/64)%64] ^= byte(n>>6 + 7)
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// sound are the good pictures beside a bad one.
func sound(n int) []item {
	var all []item
	for i := range n {
		all = append(all, item{fmt.Sprintf("%s/%03d.png", []string{"cat", "dog"}[i%2], i), onePNG(i)})
	}
	return all
}

// claimingPNG is a PNG of 68 bytes or so that claims 30,000 by 30,000 pixels.
func claimingPNG() []byte {
	out := []byte("\x89PNG\r\n\x1a\n")
	chunk := func(kind string, body []byte) {
		out = binary.BigEndian.AppendUint32(out, uint32(len(body))) //nolint:gosec // Short.
		at := len(out)
		out = append(append(out, kind...), body...)
		out = binary.BigEndian.AppendUint32(out, crc32.ChecksumIEEE(out[at:]))
	}
	chunk("IHDR", []byte{0, 0, 0x75, 0x30, 0, 0, 0x75, 0x30, 8, 6, 0, 0, 0})
	chunk("IDAT", []byte{0x78, 0x9c, 3, 0, 0, 0, 0, 1})
	chunk("IEND", nil)
	return out
}

// overlapping is a zip whose entries all quote the same data.
func overlapping(t *testing.T) []byte {
	t.Helper()
	b := zipOf(t, sound(40)...)
	// Every central header is pointed at the first local one.
	for at := 0; ; at += 4 {
		i := bytes.Index(b[at:], []byte("PK\x01\x02"))
		if i < 0 {
			return b
		}
		at += i
		binary.LittleEndian.PutUint32(b[at+42:], 0)
	}
}

func wav(frames, claimed uint32) []byte {
	b := []byte("RIFF\xff\xff\xff\x7fWAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00")
	b = binary.LittleEndian.AppendUint32(b, 8000)
	b = binary.LittleEndian.AppendUint32(b, 16000)
	b = append(b, 2, 0, 16, 0)
	b = binary.LittleEndian.AppendUint32(append(b, "data"...), claimed)
	return append(b, make([]byte, 2*frames)...)
}

// TestHostileUploads is the table of hostile uploads, each as the converter meets it: in a worker process that reads by ranges and signs nothing else.
// Each has its verdict in time, and the parent's memory hardly grows, whatever became of the child.
func TestHostileUploads(t *testing.T) {
	if datasettest.RaceDetector {
		t.Skip("time and memory are measured, and the race detector takes many times of both; scripts/test.sh runs this without it")
	}
	const growth = 64 << 20
	with := func(items ...item) []byte { return zipOf(t, append(sound(100), items...)...) }
	zeros := func(n int64) io.Reader { return io.LimitReader(zeroReader{}, n) }
	zstdBomb := func() []byte {
		var b bytes.Buffer
		z, err := zstd.NewWriter(&b)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(z, zeros(2<<30)); err != nil {
			t.Fatal(err)
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	manyEntries := func() []byte {
		var b bytes.Buffer
		w := zip.NewWriter(&b)
		for i := range 300_000 {
			if _, err := w.CreateHeader(&zip.FileHeader{Name: fmt.Sprintf("c%d/%06d.png", i%2, i)}); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	xml := func(body string) []item {
		return append([]item{{"JPEGImages/a.png", onePNG(1)}, {"JPEGImages/b.png", onePNG(2)}, {"Annotations/a.xml", []byte(body)}},
			item{"Annotations/b.xml", []byte(`<annotation><filename>b.png</filename><size><width>8</width><height>8</height><depth>1</depth></size><object><name>cat</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>4</xmax><ymax>4</ymax></bndbox></object></annotation>`)})
	}
	yolo := func(yaml string) []item {
		return []item{{"data.yaml", []byte(yaml)}, {"images/a.png", onePNG(1)}, {"labels/a.txt", []byte("0 0.5 0.5 0.2 0.2\n")}}
	}
	for _, a := range []struct {
		name string
		file string // its name, as it was uploaded
		data []byte
		want reject.Reason // of the upload; "" if it becomes READY
		left reject.Reason // of what was left out
	}{
		{"a zip in the zip (42.zip)", "x.zip", with(item{"cat/inner.zip", zipOf(t, sound(2)...)}), "", reject.NestedArchive},
		{"a zip in gzip", "x.zip.gz", gzipOf(t, bytes.NewReader(with())), reject.UnsupportedContainer, ""},
		{"overlapping zip entries", "x.zip", overlapping(t), reject.OverlappingEntries, ""},
		{"gzip 1000:1", "x.csv.gz", gzipOf(t, zeros(1<<30)), reject.ArchiveTooLarge, ""},
		{"zstd 32,000:1", "x.zst", zstdBomb(), reject.ArchiveTooLarge, ""},
		{"../, absolute and backslash paths", "x.zip", with(item{"../../etc/evil.png", onePNG(7)}, item{"/abs.png", onePNG(8)}, item{`cat\evil.png`, onePNG(9)}), "", reject.BadPath},
		{"a path with NUL", "x.zip", with(item{"cat/a\x00.png", onePNG(7)}), "", reject.BadPath},
		{"a name of 2,000 bytes", "x.zip", with(item{"cat/" + strings.Repeat("n", 2000) + ".png", onePNG(7)}), "", reject.BadPath},
		{"40 folders deep", "x.zip", with(item{strings.Repeat("d/", 40) + "a.png", onePNG(7)}), "", reject.BadPath},
		{"symlink, hardlink and device", "x.tar", tarOf(t,
			tar.Header{Name: "cat/1.png", Size: 60, Typeflag: tar.TypeReg}, tar.Header{Name: "dog/1.png", Size: 60, Typeflag: tar.TypeReg},
			tar.Header{Name: "cat/l.png", Linkname: "/etc/passwd", Typeflag: tar.TypeSymlink}, tar.Header{Name: "cat/h.png", Linkname: "cat/1.png", Typeflag: tar.TypeLink},
			tar.Header{Name: "dog/d.png", Typeflag: tar.TypeChar}), reject.TooManyBadFiles, reject.NotARegularFile},
		{"twins in case and in NFC/NFD", "x.zip", with(item{"cat/000.PNG", onePNG(7)}, item{"cat/e\u0301.png", onePNG(8)}, item{"cat/\u00e9.png", onePNG(9)}), "", reject.DuplicatePath},
		{"300,000 empty entries", "x.zip", manyEntries(), reject.TooManyBadFiles, reject.EmptyFile},
		{"68 bytes of PNG for 30,000 squared pixels", "x.zip", with(item{"cat/bomb.png", claimingPNG()}), "", reject.TooManyPixels},
		{"a truncated image", "x.zip", with(item{"cat/cut.png", onePNG(3)[:40]}), "", reject.TruncatedImage},
		{"truncated and lying sound", "x.zip", zipOf(t, item{"a/1.wav", wav(100, 200)}, item{"a/2.wav", wav(100, 1<<31)}, item{"b/1.wav", wav(100, 200)}, item{"b/2.wav", wav(100, 200)[:20]}), "", reject.TruncatedAudio},
		{"16 MB of commas", "x.csv", []byte("a,b\n1,2\n" + strings.Repeat(",", 16<<20) + "\n3,4\n"), "", reject.TooLarge},
		{"a field of 200 MB", "x.csv", []byte("a,b\n1,2\n" + strings.Repeat("x", 200<<20) + ",2\n3,4\n"), "", reject.TooLarge},
		{"NUL in a table", "x.csv", []byte("a,b\n1,x\n2,y\x00z\n3,w\n"), reject.UnsupportedEncoding, ""},
		{"UTF-16 in a table", "x.csv", append([]byte("\xff\xfe"), []byte("a\x00,\x00b\x00\n\x001\x00,\x002\x00\n\x00")...), reject.UnsupportedEncoding, ""},
		{"Latin-1 in a table", "x.csv", []byte("a,b\n1,caf\xe9\n2,tea\n3,milk\n"), "", reject.InvalidText},
		{"PAR1PAR1", "x.parquet", []byte("PAR1PAR1"), reject.CorruptParquet, ""},
		{"a Parquet footer of 4 GB", "x.parquet", []byte("PAR1" + strings.Repeat("x", 1000) + "\xff\xff\xff\xffPAR1"), reject.CorruptParquet, ""},
		{"JSON a million deep", "x.jsonl", []byte("{\"a\":1}\n{\"a\":" + strings.Repeat("[", 1_000_000) + "\n{\"a\":2}\n"), "", reject.TooDeep},
		{"a JSON row of a million tokens", "x.jsonl", []byte("{\"a\":1}\n{\"a\":[" + strings.Repeat("1,", 1_000_000) + "1]}\n{\"a\":2}\n"), "", reject.TooLarge},
		{"XML entities (VOC)", "x.zip", zipOf(t, xml(`<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]><annotation><filename>a.png</filename><object><name>&b;</name></object></annotation>`)...), reject.TooManyBadFiles, ""},
		{"XML a million deep (VOC)", "x.zip", zipOf(t, xml("<annotation>"+strings.Repeat("<a>", 300_000))...), reject.TooManyBadFiles, ""},
		{"YAML aliases (YOLO)", "x.zip", zipOf(t, yolo("a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b]\nnames: [*c,*c,*c,*c]\n")...), reject.MalformedFile, ""},
	} {
		t.Run(a.name, func(t *testing.T) {
			before := residentBytes(t)
			start := time.Now()
			verdict, left := convertAll(t, a.file, a.data)
			took, grew := time.Since(start), residentBytes(t)-before
			t.Logf("%-45s %-28s left out: %v, %.2f s, parent %+d MiB", a.name, verdict, left, took.Seconds(), grew>>20)
			if a.want != "" && verdict != string(a.want) {
				t.Errorf("verdict %s, want %s", verdict, a.want)
			}
			if verdict == "READY" && len(left) == 0 && a.left != "" || a.left != "" && verdict == "READY" && left[a.left] == 0 {
				t.Errorf("left out %v, want %s", left, a.left)
			}
			datasettest.InTime(t, took)
			if grew > growth {
				t.Errorf("the parent grew by %d MiB", grew>>20)
			}
		})
	}
}

// convertAll plans and does all tasks in worker processes, and gives the verdict: READY, or the reason of refusal.
func convertAll(t *testing.T, name string, data []byte) (verdict string, left reject.Counts) {
	t.Helper()
	store := newStore(t, data)
	p := worker.Parent{Limits: worker.DefaultLimits, Sign: store.sign, Deadline: time.Minute}
	opts := convert.DefaultOptions("hostile")
	opts.FileName, opts.MaxBadFraction = name, 0.1
	src := worker.Source{Size: int64(len(data)), ETag: `"e"`}
	dir := t.TempDir()
	planned, err := p.Plan(t.Context(), opts, src, dir)
	if err != nil {
		return verdictOf(t, err), nil
	}
	left = reject.Counts{}
	for i := range planned.TaskSize {
		result, err := p.Task(t.Context(), i, planned.Size, src, dir)
		if err != nil {
			return verdictOf(t, err), nil
		}
		for _, counts := range []reject.Counts{result.LeftOut.Counts, result.LeftOut.Rows, result.LeftOut.Annotations} {
			for r, n := range counts {
				left[r] += n
			}
		}
	}
	plan, err := convert.OpenPlan(t.Context(), store.plan(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, counts := range []reject.Counts{plan.LeftOut.Counts, plan.LeftOut.Rows, plan.LeftOut.Annotations} {
		for r, n := range counts {
			left[r] += n
		}
	}
	return "READY", left
}

func verdictOf(t *testing.T, err error) string {
	t.Helper()
	var refused *reject.Error
	if errors.As(err, &refused) {
		return string(refused.Reason)
	}
	t.Errorf("no verdict: %v", err)
	return "CRASH"
}

type zeroReader struct{}

func (zeroReader) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// objectStore serves the upload and keeps what workers put.
type objectStore struct {
	url string

	mu  sync.Mutex
	put map[string][]byte
}

func newStore(t *testing.T, data []byte) *objectStore {
	t.Helper()
	s := &objectStore{put: map[string][]byte{}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut {
			body, err := io.ReadAll(r.Body)
			s.mu.Lock()
			defer s.mu.Unlock()
			if s.put[r.URL.Path] = body; err != nil {
				w.WriteHeader(http.StatusBadRequest)
			}
			return
		}
		content := data
		if r.URL.Path != "/source" {
			s.mu.Lock()
			content = s.put[r.URL.Path]
			s.mu.Unlock()
		}
		w.Header().Set("ETag", `"e"`)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
	}))
	t.Cleanup(server.Close)
	s.url = server.URL
	return s
}

func (s *objectStore) sign(_ context.Context, r worker.SignRequest) (worker.Signed, error) {
	return worker.Signed{URL: s.url + "/" + string(r.Object) + r.Name}, nil
}

func (s *objectStore) plan(t *testing.T) planSource {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	return planSource(s.put["/plan"])
}

type planSource []byte

func (p planSource) Size() int64 { return int64(len(p)) }

func (p planSource) ReadAt(_ context.Context, b []byte, off int64) error {
	_, err := bytes.NewReader(p).ReadAt(b, off)
	return err
}

// residentBytes is the parent's resident set.
func residentBytes(t *testing.T) int64 {
	t.Helper()
	status, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Skip("no /proc here")
	}
	var size, resident int64
	if _, err := fmt.Sscan(string(status), &size, &resident); err != nil {
		t.Fatal(err)
	}
	return resident * int64(os.Getpagesize())
}
