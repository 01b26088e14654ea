// Package datasettest is the conformance suite of dataset formats: what package dataset promises,
// checked for any Reader on examples that the format's own test supplies.
package datasettest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"regexp"
	"slices"
	"testing"

	"github.com/trainyard/trainyard/services/converter/dataset"
	"github.com/trainyard/trainyard/services/converter/reject"
	"github.com/trainyard/trainyard/services/converter/tfrecord"
)

// Case is an upload and what must become of it.
type Case struct {
	Name    string
	Files   []File
	Classes []string
	Labels  map[string]int           // of the files that become examples, by path
	Splits  map[string]dataset.Split // of the records whose split the upload says; may be nil
	LeftOut map[string]reject.Reason // of all other files, whether Index or Encode leaves them out
}

// File is one file of an upload.
type File struct {
	Path string
	Data []byte
}

// Run checks a Reader.
func Run(t *testing.T, r dataset.Reader, cases []Case) {
	t.Run("format is described", func(t *testing.T) {
		f := r.Format()
		if !regexp.MustCompile(`^[a-z0-9-]+$`).MatchString(f.Name) || f.Title == "" || f.Description == "" || len(f.Extensions) == 0 {
			t.Errorf("incomplete: %+v", f)
		}
	})
	t.Run("no files", func(t *testing.T) {
		if m := r.Detect(files{}); m.Share != 0 || m.Why == "" {
			t.Errorf("Detect = %+v, want no share and what was looked for", m)
		}
		found := &collector{}
		_, err := r.Index(context.Background(), files{}, found)
		var rejected *reject.Error
		if !errors.As(err, &rejected) && len(found.records) != 0 {
			t.Errorf("Index = %v with %d records", err, len(found.records))
		}
	})
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			for _, mode := range []dataset.ValidationMode{dataset.Structure, dataset.Full} {
				t.Run(string(mode), func(t *testing.T) { check(t, r, c, dataset.Options{Validation: mode}) })
			}
			t.Run("index", func(t *testing.T) { checkIndex(t, r, c) })
			t.Run("damaged data", func(t *testing.T) { checkDamage(t, r, c) })
		})
	}
}

// files implements dataset.Files.
type files []File

func (f files) Len() int { return len(f) }

func (f files) At(i int) dataset.File {
	return dataset.File{Path: f[i].Path, Size: int64(len(f[i].Data))}
}

// collector implements dataset.Listener.
type collector struct {
	records []dataset.Record
	leftOut map[int]reject.Reason
}

func (c *collector) Record(r dataset.Record) { c.records = append(c.records, r) }

func (c *collector) LeaveOut(file int, reason reject.Reason, _ string) {
	if c.leftOut == nil {
		c.leftOut = make(map[int]reject.Reason)
	}
	c.leftOut[file] = reason
}

// body implements dataset.Body.
type body struct {
	t    *testing.T
	data []byte
	err  error
}

func (b *body) Size() int { return len(b.data) }

func (b *body) Fill(p []byte) error {
	if len(p) != len(b.data) {
		b.t.Errorf("Fill got %d bytes of room for %d", len(p), len(b.data))
	}
	copy(p, b.data)
	return b.err
}

func index(t *testing.T, r dataset.Reader, fs files) (dataset.Index, *collector) {
	t.Helper()
	if m := r.Detect(fs); m.Share <= 0 || m.Share > 1 {
		t.Fatalf("Detect = %+v", m)
	}
	found := &collector{}
	idx, err := r.Index(context.Background(), fs, found)
	if err != nil {
		t.Fatalf("Index: %v", err)
	}
	return idx, found
}

// check encodes every record and compares the outcome with the case.
func check(t *testing.T, r dataset.Reader, c Case, opts dataset.Options) {
	idx, found := index(t, r, c.Files)
	if !slices.Equal(idx.Classes, c.Classes) {
		t.Errorf("classes %q, want %q", idx.Classes, c.Classes)
	}
	labels, left := map[string]int{}, map[string]reject.Reason{}
	for i, reason := range found.leftOut {
		left[c.Files[i].Path] = reason
	}
	var stats dataset.Stats
	encoder := r.NewEncoder(opts)
	var keys []string
	for _, rec := range found.records {
		f := c.Files[rec.File]
		data, rejected := encode(t, encoder, f, rec.Label, &stats)
		if rejected != nil {
			left[f.Path] = rejected.Reason
			continue
		}
		labels[f.Path] = rec.Label
		if again, _ := encode(t, r.NewEncoder(opts), f, rec.Label, &dataset.Stats{}); !bytes.Equal(again, data) {
			t.Errorf("%s: encoded twice, it differs", f.Path)
		}
		example, err := tfrecord.ParseExample(data)
		if err != nil {
			t.Fatalf("%s: %v", f.Path, err)
		}
		keys = slices.Sorted(maps.Keys(example))
	}
	if !maps.Equal(labels, c.Labels) {
		t.Errorf("examples %v, want %v", labels, c.Labels)
	}
	if !maps.Equal(left, c.LeftOut) {
		t.Errorf("left out %v, want %v", left, c.LeftOut)
	}
	if stats.Examples != int64(len(c.Labels)) {
		t.Errorf("statistics count %d examples of %d", stats.Examples, len(c.Labels))
	}
	var declared []string
	for _, f := range r.Features(idx.Classes, &stats) {
		declared = append(declared, f.Name)
	}
	slices.Sort(declared)
	if !slices.Equal(declared, keys) {
		t.Errorf("Features declares %q, the examples have %q", declared, keys)
	}
}

// encode encodes one record behind other bytes, which must stay, and checks that statistics change only with success.
func encode(t *testing.T, e dataset.Encoder, f File, label int, stats *dataset.Stats) ([]byte, *reject.File) {
	t.Helper()
	before, err := json.Marshal(stats)
	if err != nil {
		t.Fatal(err)
	}
	prefix := []byte("what was there")
	item := dataset.Item{Path: f.Path, Label: label}
	out, err := e.Encode(slices.Clone(prefix), item, &body{t: t, data: f.Data}, stats)
	after, _ := json.Marshal(stats)
	var rejected *reject.File
	if errors.As(err, &rejected) {
		if !bytes.Equal(before, after) {
			t.Errorf("%s: left out, but the statistics changed", f.Path)
		}
		if rejected.Path != f.Path || rejected.Reason == "" || rejected.Message == "" {
			t.Errorf("%s: incomplete rejection %+v", f.Path, rejected)
		}
		return nil, rejected
	}
	if err != nil {
		t.Fatalf("%s: %v is neither success nor a *reject.File", f.Path, err)
	}
	if !bytes.HasPrefix(out, prefix) {
		t.Fatalf("%s: Encode didn't append", f.Path)
	}
	if bytes.Equal(before, after) {
		t.Errorf("%s: encoded, but not in the statistics", f.Path)
	}
	return out[len(prefix):], nil
}

// checkIndex checks what Index promises: each file once, keys unique and independent of wrapping, labels within the classes.
func checkIndex(t *testing.T, r dataset.Reader, c Case) {
	idx, found := index(t, r, c.Files)
	_, again := index(t, r, c.Files)
	if !slices.Equal(found.records, again.records) {
		t.Error("Index twice gives different records")
	}
	var wrapped files
	for _, f := range c.Files {
		wrapped = append(wrapped, File{Path: "some/where/" + f.Path, Data: f.Data})
	}
	_, inside := index(t, r, wrapped)
	if !slices.Equal(found.records, inside.records) {
		t.Errorf("wrapped in folders, the records differ:\n%v\n%v", found.records, inside.records)
	}
	if !slices.IsSorted(idx.Classes) {
		t.Errorf("classes aren't sorted: %q", idx.Classes)
	}
	seen, keys := map[int]bool{}, map[string]bool{}
	for _, rec := range found.records {
		if _, out := found.leftOut[rec.File]; out || seen[rec.File] || rec.File < 0 || rec.File >= len(c.Files) {
			t.Errorf("file %d is there twice or not at all", rec.File)
		}
		seen[rec.File] = true
		if rec.Key == "" || keys[rec.Key] {
			t.Errorf("key %q is empty or not unique", rec.Key)
		}
		keys[rec.Key] = true
		if rec.Label < -1 || rec.Label >= len(idx.Classes) {
			t.Errorf("label %d of %d classes", rec.Label, len(idx.Classes))
		}
		if want := c.Splits[c.Files[rec.File].Path]; rec.Split != want {
			t.Errorf("%s: split %q, want %q", c.Files[rec.File].Path, rec.Split, want)
		}
	}
	canceled, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := r.Index(canceled, files(c.Files), &collector{}); !errors.Is(err, context.Canceled) {
		t.Errorf("Index of a canceled context: %v", err)
	}
}

// checkDamage feeds an encoder cut and altered data: it may accept or reject them, not fail otherwise.
func checkDamage(t *testing.T, r dataset.Reader, c Case) {
	_, found := index(t, r, c.Files)
	encoder := r.NewEncoder(dataset.Options{Validation: dataset.Full})
	var stats dataset.Stats
	for _, rec := range found.records {
		f := c.Files[rec.File]
		step := max(1, len(f.Data)/100)
		for n := 0; n < len(f.Data); n += step {
			encode(t, encoder, File{Path: f.Path, Data: f.Data[:n]}, rec.Label, &stats)
			flipped := slices.Clone(f.Data)
			flipped[n] ^= 0xff
			encode(t, encoder, File{Path: f.Path, Data: flipped}, rec.Label, &stats)
		}
		broken := errors.New("broken store")
		item := dataset.Item{Path: f.Path, Label: rec.Label}
		if _, err := encoder.Encode(nil, item, &body{t: t, data: f.Data, err: broken}, &stats); !errors.Is(err, broken) {
			t.Errorf("%s: the error of Fill came back as %v", f.Path, err)
		}
	}
}
