package convert_test

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/png"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/trainyard/trainyard/services/converter/convert"
	"github.com/trainyard/trainyard/services/converter/reject"
	"github.com/trainyard/trainyard/services/converter/source"
	"github.com/trainyard/trainyard/services/converter/tfrecord"
)

// member is a file of a test archive.
type member struct {
	path string
	data []byte
}

// pictures makes a class-sorted list of PNGs, each different.
func pictures(tb testing.TB, prefix string, classes, perClass int) []member {
	tb.Helper()
	var all []member
	for c := range classes {
		for i := range perClass {
			all = append(all, member{fmt.Sprintf("%sclass%02d/%04d.png", prefix, c, i), picture(tb, c*perClass+i)})
		}
	}
	return all
}

// picture is a PNG that no other number gives.
func picture(tb testing.TB, n int) []byte {
	tb.Helper()
	img := image.NewGray(image.Rect(0, 0, 8, 8))
	for i := range img.Pix {
		img.Pix[i] = byte(n >> (i % 24))
	}
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

func zipOf(tb testing.TB, method uint16, files []member) []byte {
	tb.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, f := range files {
		e, err := w.CreateHeader(&zip.FileHeader{Name: f.path, Method: method})
		if err != nil {
			tb.Fatal(err)
		}
		if _, err := e.Write(f.data); err != nil {
			tb.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

func tarOf(tb testing.TB, files []member) []byte {
	tb.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, f := range files {
		if err := w.WriteHeader(&tar.Header{Name: f.path, Mode: 0o644, Size: int64(len(f.data)), Typeflag: tar.TypeReg}); err != nil {
			tb.Fatal(err)
		}
		if _, err := w.Write(f.data); err != nil {
			tb.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

func gzipOf(tb testing.TB, data []byte) []byte {
	tb.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(data); err != nil {
		tb.Fatal(err)
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

func localOf(tb testing.TB, data []byte, opts convert.Options) (*convert.Output, string, error) {
	tb.Helper()
	dir := tb.TempDir()
	src := filepath.Join(dir, "source")
	if err := os.WriteFile(src, data, 0o600); err != nil {
		tb.Fatal(err)
	}
	out := filepath.Join(dir, "out")
	o, err := convert.Local(context.Background(), src, out, opts, nil)
	return o, out, err
}

// example is a record as read back.
type example struct {
	split, filename string
	image           []byte
	label           int64
}

// readBack reads all shards in the manifest's order and checks them against it.
func readBack(tb testing.TB, dir string, m convert.Manifest) []example {
	tb.Helper()
	var all []example
	for _, s := range m.Shards {
		file, err := os.ReadFile(filepath.Join(dir, s.Name))
		if err != nil {
			tb.Fatal(err)
		}
		if sum := sha256.Sum256(file); hex.EncodeToString(sum[:]) != s.SHA256 || int64(len(file)) != s.Bytes {
			tb.Errorf("%s doesn't fit the manifest", s.Name)
		}
		var n, bytesOfData int64
		r := tfrecord.NewReader(bytes.NewReader(file), 0)
		for {
			data, err := r.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				tb.Fatal(err)
			}
			f, err := tfrecord.ParseExample(data)
			if err != nil {
				tb.Fatal(err)
			}
			all = append(all, example{string(s.Split), string(f["filename"].Bytes[0]), bytes.Clone(f["image"].Bytes[0]), f["label"].Int64s[0]})
			n++
			bytesOfData += int64(len(data))
		}
		if n != s.Examples || bytesOfData != s.DataBytes {
			tb.Errorf("%s holds %d examples of %d bytes, the manifest says %d of %d", s.Name, n, bytesOfData, s.Examples, s.DataBytes)
		}
	}
	return all
}

func TestEveryRecordArrivesOnceAndUnchanged(t *testing.T) {
	files := pictures(t, "wrap/", 5, 40)
	containers := map[string][]byte{
		"stored zip": zipOf(t, zip.Store, files), "deflated zip": zipOf(t, zip.Deflate, files),
		"tar": tarOf(t, files), "tar.gz": gzipOf(t, tarOf(t, files)),
	}
	splits := map[string]string{} // the split of a file doesn't depend on the container
	for name, data := range containers {
		t.Run(name, func(t *testing.T) {
			out, dir, err := localOf(t, data, convert.DefaultOptions("digits"))
			if err != nil {
				t.Fatal(err)
			}
			want := map[string][]byte{}
			for _, f := range files {
				want[f.path] = f.data
			}
			for _, e := range readBack(t, dir, out.Manifest) {
				if !bytes.Equal(want[e.filename], e.image) || out.Manifest.Classes[e.label].Name != strings.Split(e.filename, "/")[1] {
					t.Errorf("%s differs", e.filename)
				}
				delete(want, e.filename)
				if s, ok := splits[e.filename]; ok && s != e.split {
					t.Errorf("%s is in %s and in %s", e.filename, s, e.split)
				}
				splits[e.filename] = e.split
			}
			if len(want) != 0 {
				t.Errorf("%d files are missing", len(want))
			}
			left, err := filepath.Glob(filepath.Join(dir, ".*"))
			if err != nil || len(left) != 0 {
				t.Errorf("left behind: %v %v", left, err)
			}
		})
	}
}

func TestMetadataAgrees(t *testing.T) {
	out, dir, err := localOf(t, zipOf(t, zip.Deflate, pictures(t, "", 4, 50)), convert.DefaultOptions("digits"))
	if err != nil {
		t.Fatal(err)
	}
	var m convert.Manifest
	raw, err := os.ReadFile(filepath.Join(dir, convert.ManifestName))
	if err != nil || json.Unmarshal(raw, &m) != nil {
		t.Fatal(err)
	}
	if m.Examples != 200 || len(m.Classes) != 4 || m.Classes[2].Examples != 50 || m.Source.Container != "zip" || m.Version != "1.0.0" {
		t.Errorf("manifest %+v", m)
	}
	var inSplits, inShards int64
	for _, s := range m.Splits {
		var byClass int64
		for _, n := range s.Classes {
			byClass += n
		}
		if byClass != s.Examples || s.Examples == 0 {
			t.Errorf("split %+v", s)
		}
		inSplits += s.Examples
	}
	for _, s := range m.Shards {
		inShards += s.Examples
	}
	if inSplits != 200 || inShards != 200 {
		t.Errorf("%d examples in splits, %d in shards", inSplits, inShards)
	}
	for _, f := range m.Files {
		got, err := os.ReadFile(filepath.Join(dir, f.Name))
		if sum := sha256.Sum256(got); err != nil || hex.EncodeToString(sum[:]) != f.SHA256 || int64(len(got)) != f.Bytes {
			t.Errorf("%s doesn't fit the manifest", f.Name)
		}
	}
	if w := m.Statistics.Numbers["width"]; w.Min != 8 || w.Max != 8 || w.Mean != 8 || m.Statistics.Counts["encoding"]["png"] != 200 {
		t.Errorf("statistics %+v", m.Statistics)
	}
	if len(out.Files) != 5 {
		t.Errorf("files %v", slices.Sorted(maps.Keys(out.Files)))
	}
}

// TestBadFiles is the case, and more of the kind: a small archive converts in spite of a few bad files.
func TestBadFiles(t *testing.T) {
	files := pictures(t, "", 2, 10)
	files[3].data = files[3].data[:len(files[3].data)/2]
	files = append(files,
		member{"class00/notes.txt", []byte("text")},
		member{"class00/.DS_Store", []byte("x")},
		member{"__MACOSX/class00/._0001.png", []byte("x")},
		member{"../evil.png", files[0].data},
		member{"class01/0000.PNG", files[0].data},
	)
	out, dir, err := localOf(t, zipOf(t, zip.Deflate, files), convert.DefaultOptions("digits"))
	if err != nil {
		t.Fatal(err)
	}
	var report convert.Report
	raw, err := os.ReadFile(filepath.Join(dir, convert.ReportName))
	if err != nil || json.Unmarshal(raw, &report) != nil {
		t.Fatal(err)
	}
	got := map[string]reject.Reason{}
	for _, f := range report.Files {
		got[f.Path] = f.Reason
		if f.Message == "" {
			t.Errorf("%s: no message", f.Path)
		}
	}
	want := map[string]reject.Reason{
		"class00/0003.png": reject.TruncatedImage, "class00/notes.txt": reject.NotData, "class00/.DS_Store": reject.SystemFile,
		"__MACOSX/class00/._0001.png": reject.SystemFile, "../evil.png": reject.BadPath, "class01/0000.PNG": reject.DuplicatePath,
	}
	if !maps.Equal(got, want) {
		t.Errorf("left out %v, want %v", got, want)
	}
	if report.Examples != 19 || report.LeftOut != (convert.Tally{Files: 6}) || report.Bad != 3 || report.Kept != (convert.Tally{Files: 19}) || report.Found != (convert.Tally{Files: 25}) || len(readBack(t, dir, out.Manifest)) != 19 {
		t.Errorf("report %+v", report)
	}
}

func TestConversionsThatFail(t *testing.T) {
	spoil := func(files []member, n int) []member {
		for i := range n {
			files[i*len(files)/n].data = files[i].data[:20]
		}
		return files
	}
	with := func(change func(*convert.Options)) convert.Options {
		o := convert.DefaultOptions("digits")
		change(&o)
		return o
	}
	usual := convert.DefaultOptions("digits")
	none := with(func(o *convert.Options) { o.MaxBadFraction = 0 })
	tests := []struct {
		name   string
		data   []byte
		opts   convert.Options
		reason reject.Reason // "" if it converts
		says   string
	}{
		{"no dataset", []byte("hello"), usual, reject.UnknownFormat, "class"},
		{"no images", zipOf(t, zip.Store, []member{{"a/b.txt", []byte("x")}}), usual, reject.UnknownFormat, "a/b.txt"},
		{"nested archive", zipOf(t, zip.Store, []member{{"42.zip", []byte("PK")}}), usual, reject.UnknownFormat, "unpack them"},
		{"a page that is called a zip", []byte("<!doctype html>"), with(func(o *convert.Options) { o.FileName = "photos.zip" }), reject.UnknownFormat, "no such container"},
		{"an Office document", zipOf(t, zip.Store, append(pictures(t, "word/", 2, 5), member{"[Content_Types].xml", nil})), usual, reject.UnsupportedContainer, "CSV"},
		{"another format than it is", zipOf(t, zip.Store, pictures(t, "", 2, 5)), with(func(o *convert.Options) { o.Format = "coco" }), reject.NoAnnotation, "Without a format being chosen, the upload is read as image-folder"},
		{"a column of what has none", zipOf(t, zip.Store, pictures(t, "", 2, 5)), with(func(o *convert.Options) { o.LabelColumn = "kind" }), reject.InvalidOptions, "names of the folders"},
		{"one class", zipOf(t, zip.Store, pictures(t, "", 1, 5)), usual, reject.TooFewClasses, "class00"},
		{"one class left", zipOf(t, zip.Store, append(pictures(t, "", 1, 5), member{"other/1.png", []byte("\x89PNG")})), usual, reject.TooFewClasses, "other/1.png"},
		{"nothing left", zipOf(t, zip.Store, spoil(pictures(t, "", 2, 3), 6)), usual, reject.TooManyBadFiles, "of 6"},
		{"most are bad", zipOf(t, zip.Store, spoil(pictures(t, "", 2, 5), 6)), usual, reject.TooManyBadFiles, "TRUNCATED_IMAGE"},
		{"ten of 200 are bad", zipOf(t, zip.Store, spoil(pictures(t, "", 4, 50), 10)), usual, "", ""},
		{"eleven of 200 are bad", zipOf(t, zip.Store, spoil(pictures(t, "", 4, 50), 11)), usual, reject.TooManyBadFiles, "max_bad_fraction"},
		{"one is bad, none allowed", zipOf(t, zip.Store, spoil(pictures(t, "", 4, 50), 1)), none, reject.TooManyBadFiles, "1 of 200"},
		{"all that aren't images, none allowed", zipOf(t, zip.Store, append(pictures(t, "", 2, 5), member{"README", nil})), none, "", ""},
		{"unknown format", nil, with(func(o *convert.Options) { o.Format = "nope" }), reject.InvalidOptions, "image-folder"},
		{"splits that don't add up", nil, with(func(o *convert.Options) { o.Splits.Test = 0.5 }), reject.InvalidOptions, "add up"},
		{"bad dataset name", nil, with(func(o *convert.Options) { o.Dataset = "a-b" }), reject.InvalidOptions, "underscores"},
		{"tiny shards", nil, with(func(o *convert.Options) { o.ShardBytes = 1 }), reject.InvalidOptions, "shard"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, dir, err := localOf(t, tt.data, tt.opts)
			if tt.reason == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			var r *reject.Error
			if !errors.As(err, &r) || r.Reason != tt.reason || !strings.Contains(r.Message, tt.says) {
				t.Errorf("got %v, want %s that says %q", err, tt.reason, tt.says)
			}
			if _, err := os.Stat(filepath.Join(dir, convert.ManifestName)); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("a failed conversion left a manifest: %v", err)
			}
		})
	}
}

func TestSplits(t *testing.T) {
	named := func(dirs ...string) []member {
		var all []member
		for _, d := range dirs {
			all = append(all, pictures(t, d+"/", 2, 30)...)
		}
		return all
	}
	only := func(train, validation, test float64) convert.Options {
		o := convert.DefaultOptions("digits")
		o.Splits = convert.Fractions{Train: train, Validation: validation, Test: test}
		return o
	}
	usual := convert.DefaultOptions("digits")
	tests := []struct {
		name  string
		files []member
		opts  convert.Options
		check func(n map[string]int64) bool
	}{
		{"drawn", pictures(t, "", 2, 500), usual, func(n map[string]int64) bool {
			return n["train"] > 760 && n["train"] < 840 && n["validation"] > 70 && n["test"] > 70
		}},
		{"train alone", pictures(t, "", 2, 30), only(1, 0, 0), func(n map[string]int64) bool { return n["train"] == 60 }},
		{"no test", pictures(t, "", 2, 30), only(0.5, 0.5, 0), func(n map[string]int64) bool { return n["train"] > 10 && n["train"]+n["validation"] == 60 }},
		{"three records, three splits", pictures(t, "", 3, 1), usual, func(n map[string]int64) bool { return n["train"] == 1 && n["validation"] == 1 && n["test"] == 1 }},
		{"two records", pictures(t, "", 2, 1), usual, func(n map[string]int64) bool { return n["train"]+n["validation"]+n["test"] == 2 }},
		{"a small share of few", pictures(t, "", 2, 5), only(0.998, 0.001, 0.001), func(n map[string]int64) bool { return n["train"] == 8 && n["validation"] == 1 && n["test"] == 1 }},
		{"folders", named("x/train", "x/val", "x/test"), usual, func(n map[string]int64) bool { return n["train"] == 60 && n["validation"] == 60 && n["test"] == 60 }},
		{"folders without validation", named("train", "test"), usual, func(n map[string]int64) bool {
			return n["test"] == 60 && n["validation"] > 0 && n["train"]+n["validation"] == 60
		}},
		{"folders without test", named("train", "valid"), usual, func(n map[string]int64) bool { return n["train"] == 60 && n["validation"] == 60 }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			out, _, err := localOf(t, zipOf(t, zip.Store, tt.files), tt.opts)
			if err != nil {
				t.Fatal(err)
			}
			n := map[string]int64{}
			for _, s := range out.Manifest.Splits {
				n[string(s.Name)] = s.Examples
			}
			if !tt.check(n) {
				t.Errorf("splits %v", n)
			}
		})
	}
}

func TestDuplicatesAreCounted(t *testing.T) {
	o := convert.DefaultOptions("digits")
	files := pictures(t, "train/", 2, 10)
	files = append(files, pictures(t, "val/", 2, 10)[:5]...)                           // 5 across splits
	files = append(files, member{"val/class01/again.png", files[0].data})              // one of them twice
	files = append(files, member{"train/class01/again.png", files[len(files)/2].data}) // one within train
	out, _, err := localOf(t, zipOf(t, zip.Store, files), o)
	if err != nil {
		t.Fatal(err)
	}
	if d := out.Manifest.Duplicates; d.Examples != 7 || d.AcrossSplits != 5 || len(out.Report.Warnings) != 1 {
		t.Errorf("%+v, warnings %q", d, out.Report.Warnings)
	}
}

// TestOverHTTP runs a conversion as the service does: ranges of the object over HTTP, the plan stored and opened again, a sink of its own.
func TestOverHTTP(t *testing.T) {
	files := pictures(t, "", 5, 100)
	for name, data := range map[string][]byte{"zip": zipOf(t, zip.Deflate, files), "tar.gz": gzipOf(t, tarOf(t, files))} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("ETag", `"e"`)
				http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
			}))
			defer server.Close()
			src := source.NewHTTP(server.Client(), func(context.Context) (string, error) { return server.URL, nil }, int64(len(data)), `"e"`)
			opts := convert.DefaultOptions("digits")
			opts.SourceETag = `"e"`
			planned, err := convert.MakePlan(t.Context(), src, opts, t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			defer planned.Close()
			stored, err := source.OpenFile(planned.Path())
			if err != nil {
				t.Fatal(err)
			}
			defer stored.Close()
			plan, err := convert.OpenPlan(t.Context(), stored)
			if err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			var last convert.Progress
			// Another machine: its scratch folder is empty.
			result, err := convert.RunTask(t.Context(), convert.Task{
				Plan: plan, Source: src, Scratch: t.TempDir(), Sink: convert.DirSink{Dir: dir}, Progress: func(p convert.Progress) { last = p },
			})
			if err != nil {
				t.Fatal(err)
			}
			if last.Examples != 500 || last.Bytes != plan.Tasks[0].Bytes {
				t.Errorf("progress ended with %+v of %d bytes", last, plan.Tasks[0].Bytes)
			}
			var again convert.TaskResult // as it comes back from where the service stores it
			raw, err := json.Marshal(result)
			if err != nil || json.Unmarshal(raw, &again) != nil {
				t.Fatal(err)
			}
			out, err := convert.Merge(plan, []*convert.TaskResult{&again})
			if err != nil {
				t.Fatal(err)
			}
			if n := len(readBack(t, dir, out.Manifest)); n != 500 {
				t.Errorf("%d records", n)
			}
		})
	}
}

func TestMergeWantsAllOfThePlansResults(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "source")
	if err := os.WriteFile(name, zipOf(t, zip.Store, pictures(t, "", 2, 20)), 0o600); err != nil {
		t.Fatal(err)
	}
	src, err := source.OpenFile(name)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	plan, err := convert.MakePlan(t.Context(), src, convert.DefaultOptions("digits"), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer plan.Close()
	good, err := convert.RunTask(t.Context(), convert.Task{Plan: plan, Source: src, Scratch: dir, Sink: convert.DirSink{Dir: dir}})
	if err != nil {
		t.Fatal(err)
	}
	altered := func(change func(*convert.TaskResult)) []*convert.TaskResult {
		r := *good
		r.Shards = slices.Clone(good.Shards)
		change(&r)
		return []*convert.TaskResult{&r}
	}
	for name, results := range map[string][]*convert.TaskResult{
		"none":              nil,
		"one twice":         {good, good},
		"another plan":      altered(func(r *convert.TaskResult) { r.Key = "x" }),
		"a shard missing":   altered(func(r *convert.TaskResult) { r.Shards = r.Shards[1:] }),
		"a shard renamed":   altered(func(r *convert.TaskResult) { r.Shards[0].Name = "x" }),
		"hashes cut short":  altered(func(r *convert.TaskResult) { r.Shards[0].Hashes = nil }),
		"a task of the end": altered(func(r *convert.TaskResult) { r.Task = 1 }),
	} {
		if _, err := convert.Merge(plan, results); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := convert.Merge(plan, []*convert.TaskResult{good}); err != nil {
		t.Error(err)
	}
}

func TestFailuresOfTheSurroundingsAreNotRejections(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "source")
	if err := os.WriteFile(name, zipOf(t, zip.Store, pictures(t, "", 2, 20)), 0o600); err != nil {
		t.Fatal(err)
	}
	src, err := source.OpenFile(name)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	plan, err := convert.MakePlan(t.Context(), src, convert.DefaultOptions("digits"), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer plan.Close()
	broken := errors.New("the store is down")
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	tests := []struct {
		name string
		ctx  context.Context
		src  source.Source
		sink convert.Sink
		want error
	}{
		{"source fails", t.Context(), failing{src, broken}, convert.DirSink{Dir: dir}, broken},
		{"source was replaced", t.Context(), failing{src, source.ErrChanged}, convert.DirSink{Dir: dir}, source.ErrChanged},
		{"sink fails", t.Context(), src, brokenSink{broken}, broken},
		{"canceled", canceled, src, convert.DirSink{Dir: dir}, context.Canceled},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			scratchDir := t.TempDir()
			_, err := convert.RunTask(tt.ctx, convert.Task{Plan: plan, Source: tt.src, Scratch: scratchDir, Sink: tt.sink})
			var r *reject.Error
			if !errors.Is(err, tt.want) || errors.As(err, &r) {
				t.Errorf("got %v", err)
			}
			if left, _ := os.ReadDir(scratchDir); len(left) != 0 {
				t.Errorf("left in the scratch folder: %v", left)
			}
		})
	}
}

type failing struct {
	source.Source
	err error
}

func (f failing) ReadAt(context.Context, []byte, int64) error { return f.err }

type brokenSink struct{ err error }

func (s brokenSink) Put(context.Context, convert.MetadataFile, string) error { return s.err }
