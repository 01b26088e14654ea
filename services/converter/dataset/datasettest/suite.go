// Package datasettest is the conformance suite of dataset formats: what package dataset promises,
// checked for any Reader on examples that the format's own test supplies.
package datasettest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"testing"

	"github.com/trainyard/trainyard/services/converter/dataset"
	"github.com/trainyard/trainyard/services/converter/reject"
	"github.com/trainyard/trainyard/services/converter/tfrecord"
)

// Case is an upload and what must become of it. An example is named by its path, a row by path#number, as an annotation is in LeftOut.
type Case struct {
	Name    string
	Files   []File
	Options dataset.Options // Validation is set by the suite
	Classes []string
	Labels  map[string]int           // of what becomes an example, by name; -1 where it has none or where only the example says
	Splits  map[string]dataset.Split // of those whose split the upload says, by name; may be nil
	LeftOut map[string]reject.Reason // of everything else: files, rows and annotations, whether Index or Encode leaves them out
	Used    []string                 // files that hold rows or say something of others
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
		if !regexp.MustCompile(`^[a-z0-9-]+$`).MatchString(f.Name) || f.Title == "" || f.Description == "" || f.Example == "" || len(f.Extensions) == 0 {
			t.Errorf("incomplete: %+v", f)
		}
	})
	t.Run("no files", func(t *testing.T) {
		if m, err := r.Detect(t.Context(), files{}); err != nil || m.Share != 0 || m.Why == "" {
			t.Errorf("Detect = %+v, %v, want no share and what was looked for", m, err)
		}
		found := &collector{t: t, reader: r}
		_, err := r.Index(t.Context(), files{}, dataset.Options{}, found)
		var rejected *reject.Error
		if !errors.As(err, &rejected) && len(found.examples) != 0 {
			t.Errorf("Index = %v with %d records", err, len(found.examples))
		}
	})
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			for _, mode := range []dataset.ValidationMode{dataset.Structure, dataset.Full} {
				t.Run(string(mode), func(t *testing.T) { check(t, r, c, mode) })
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

// Stream implements dataset.Files.
func (f files) Stream(_ context.Context, i int) (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(f[i].Data)), nil
}

// Open implements dataset.Files.
func (f files) Open(_ context.Context, i int) (io.ReaderAt, error) {
	return bytes.NewReader(f[i].Data), nil
}

// example is a record or a row.
type example struct {
	name  string
	key   string
	split dataset.Split
	item  dataset.Item
	parts []File
}

// collector implements dataset.Listener.
type collector struct {
	t        *testing.T
	reader   dataset.Reader
	files    files
	examples []example
	blocks   []dataset.Block // whose rows can be cut once the Index is there
	fates    map[int]string
	leftOut  map[string]reject.Reason
}

func (c *collector) settle(file int, fate string) {
	if c.fates == nil {
		c.fates = make(map[int]string)
	}
	if before, ok := c.fates[file]; ok && (before != fate || fate == "record") {
		c.t.Errorf("%s: %s, and %s before", c.files[file].Path, fate, before)
	}
	c.fates[file] = fate
}

func (c *collector) Record(r dataset.Record) {
	e := example{name: c.files[r.File].Path, key: r.Key, split: r.Split, item: dataset.Item{Path: c.files[r.File].Path, Label: r.Label, Meta: slices.Clone(r.Meta)}}
	for i := range max(1, r.Parts) {
		c.settle(r.File+i, "record")
		e.parts = append(e.parts, c.files[r.File+i])
	}
	c.examples = append(c.examples, e)
}

func (c *collector) Block(b dataset.Block) {
	c.settle(b.File, "used")
	f := c.files[b.File]
	if b.Rows < 1 || b.Offset < 0 || b.Size < 0 || b.Offset+b.Size > int64(len(f.Data)) || b.Labels != nil && len(b.Labels) != b.Rows {
		c.t.Errorf("%s: the block is impossible: %+v", f.Path, b)
		return
	}
	b.Meta = slices.Clone(b.Meta)
	c.blocks = append(c.blocks, b)
}

func (c *collector) Transcode(ctx context.Context, file int, key string, split dataset.Split, transcode dataset.Transcode) error {
	c.settle(file, "used")
	f := c.files[file]
	row := int64(0)
	return transcode(ctx, dataset.File{Path: f.Path, Size: int64(len(f.Data))}, bytes.NewReader(f.Data), func(rows dataset.Rows) error {
		if rows.Labels != nil && len(rows.Labels) != len(rows.Ends) {
			c.t.Errorf("%s: %d labels of %d rows", f.Path, len(rows.Labels), len(rows.Ends))
		}
		start := 0
		for _, end := range rows.Ends {
			row++
			c.row(file, key, split, row, int(row-1), nil, slices.Clone(rows.Data[start:end]))
			start = end
		}
		return nil
	})
}

func (c *collector) row(file int, key string, split dataset.Split, row int64, index int, meta, data []byte) {
	name := fmt.Sprintf("%s#%d", c.files[file].Path, row)
	c.examples = append(c.examples, example{
		name: name, key: fmt.Sprintf("%s#%d", key, row), split: split, parts: []File{{Path: c.files[file].Path, Data: data}},
		item: dataset.Item{Path: c.files[file].Path, Row: row, Index: index, Label: -1, Meta: meta},
	})
}

// cut cuts the blocks to rows.
func (c *collector) cut(idx dataset.Index) {
	for _, b := range c.blocks {
		n := 0
		c.reader.(dataset.RowReader).Rows(idx)(c.files[b.File].Data[b.Offset:b.Offset+b.Size], func(start, end int) {
			c.row(b.File, b.Key, b.Split, b.FirstRow+int64(n), n, b.Meta, c.files[b.File].Data[b.Offset:][start:end])
			n++
		})
		if n != b.Rows {
			c.t.Errorf("%s: a block of %d rows was cut to %d", c.files[b.File].Path, b.Rows, n)
		}
	}
}

func (c *collector) Use(file int) { c.settle(file, "used") }

func (c *collector) leave(name string, reason reject.Reason, message string) {
	if c.leftOut == nil {
		c.leftOut = make(map[string]reject.Reason)
	}
	if reason == "" || message == "" {
		c.t.Errorf("%s: left out without a reason or a message", name)
	}
	c.leftOut[name] = reason
}

func (c *collector) LeaveOut(file int, reason reject.Reason, message string) {
	c.settle(file, "left out")
	c.leave(c.files[file].Path, reason, message)
}

func (c *collector) LeaveOutRow(file int, row int64, reason reject.Reason, message string) {
	c.leave(fmt.Sprintf("%s#%d", c.files[file].Path, row), reason, message)
}

func (c *collector) LeaveOutAnnotation(file int, where int64, reason reject.Reason, message string) {
	c.leave(fmt.Sprintf("%s#%d", c.files[file].Path, where), reason, message)
}

// body implements dataset.Body.
type body struct {
	t     *testing.T
	parts []File
	err   error
}

func (b *body) Size() int { return len(b.parts[0].Data) }

func (b *body) Fill(p []byte) error {
	if len(p) != b.Size() {
		b.t.Errorf("Fill got %d bytes of room for %d", len(p), b.Size())
	}
	copy(p, b.parts[0].Data)
	return b.err
}

func (b *body) Bytes() ([]byte, error) { return b.parts[0].Data, b.err }

func (b *body) Parts() int { return len(b.parts) }

func (b *body) Part(i int) (string, []byte, error) { return b.parts[i].Path, b.parts[i].Data, b.err }

func index(t *testing.T, r dataset.Reader, c *Case, fs files) (dataset.Index, *collector) {
	t.Helper()
	if m, err := r.Detect(t.Context(), fs); err != nil || m.Share <= 0 || m.Share > 1 {
		t.Fatalf("Detect = %+v, %v", m, err)
	}
	found := &collector{t: t, reader: r, files: fs}
	idx, err := r.Index(t.Context(), fs, c.Options, found)
	if err != nil {
		t.Fatalf("Index: %v", err)
	}
	if idx.Schema != nil && !json.Valid(idx.Schema) {
		t.Errorf("the schema isn't JSON: %q", idx.Schema)
	}
	found.cut(idx)
	return idx, found
}

func newEncoder(t *testing.T, r dataset.Reader, c *Case, mode dataset.ValidationMode, idx dataset.Index) dataset.Encoder {
	t.Helper()
	opts := c.Options
	opts.Validation = mode
	e, err := r.NewEncoder(opts, idx)
	if err != nil {
		t.Fatalf("NewEncoder: %v", err)
	}
	return e
}

// check encodes every record and compares the outcome with the case.
func check(t *testing.T, r dataset.Reader, c Case, mode dataset.ValidationMode) {
	idx, found := index(t, r, &c, c.Files)
	if !slices.Equal(idx.Classes, c.Classes) {
		t.Errorf("classes %q, want %q", idx.Classes, c.Classes)
	}
	labels, left := map[string]int{}, map[string]reject.Reason{}
	maps.Copy(left, found.leftOut)
	for i, f := range c.Files {
		if _, ok := found.fates[i]; !ok {
			left[f.Path] = reject.NotData
		}
	}
	var stats dataset.Stats
	encoder := newEncoder(t, r, &c, mode, idx)
	var keys []string
	for _, e := range found.examples {
		data, rejected := encode(t, encoder, &e, &stats)
		if rejected != nil {
			left[e.name] = rejected.Reason
			continue
		}
		labels[e.name] = e.item.Label
		if again, _ := encode(t, newEncoder(t, r, &c, mode, idx), &e, &dataset.Stats{}); !bytes.Equal(again, data) {
			t.Errorf("%s: encoded twice, it differs", e.name)
		}
		parsed, err := tfrecord.ParseExample(data)
		if err != nil {
			t.Fatalf("%s: %v", e.name, err)
		}
		if keys == nil {
			keys = slices.Sorted(maps.Keys(parsed))
		} else if also := slices.Sorted(maps.Keys(parsed)); !slices.Equal(keys, also) {
			t.Errorf("%s: the example has %q, others have %q", e.name, also, keys)
		}
	}
	if !maps.Equal(labels, c.Labels) {
		t.Errorf("examples %v, want %v", labels, c.Labels)
	}
	if !maps.Equal(left, c.LeftOut) {
		t.Errorf("left out %v, want %v", left, c.LeftOut)
	}
	var used []string
	for i, fate := range found.fates {
		if fate == "used" {
			used = append(used, c.Files[i].Path)
		}
	}
	slices.Sort(used)
	if want := slices.Sorted(slices.Values(c.Used)); !slices.Equal(used, want) {
		t.Errorf("used %q, want %q", used, want)
	}
	if stats.Examples != int64(len(c.Labels)) {
		t.Errorf("statistics count %d examples of %d", stats.Examples, len(c.Labels))
	}
	checkFeatures(t, r.Features(idx, &stats), keys)
}

// checkFeatures checks that every feature is stored in the examples and the other way round. A nested or ragged feature is stored under keys that begin with its name.
func checkFeatures(t *testing.T, features []dataset.Feature, keys []string) {
	t.Helper()
	covered := make(map[string]bool)
	for _, f := range features {
		any := false
		for _, k := range keys {
			if k == f.Name || len(k) > len(f.Name) && k[:len(f.Name)+1] == f.Name+"/" {
				any, covered[k] = true, true
			}
		}
		if !any {
			t.Errorf("Features declares %q, the examples have %q", f.Name, keys)
		}
	}
	for _, k := range keys {
		if !covered[k] {
			t.Errorf("the examples have %q, which Features doesn't declare", k)
		}
	}
}

// encode encodes one record behind other bytes, which must stay, and checks that statistics change only with success.
func encode(t *testing.T, enc dataset.Encoder, e *example, stats *dataset.Stats) ([]byte, *reject.File) {
	t.Helper()
	before, err := json.Marshal(stats)
	if err != nil {
		t.Fatal(err)
	}
	prefix := []byte("what was there")
	out, err := enc.Encode(slices.Clone(prefix), e.item, &body{t: t, parts: e.parts}, stats)
	after, _ := json.Marshal(stats)
	var rejected *reject.File
	if errors.As(err, &rejected) {
		if !bytes.Equal(before, after) {
			t.Errorf("%s: left out, but the statistics changed", e.name)
		}
		if rejected.Path != e.item.Path || rejected.Reason == "" || rejected.Message == "" {
			t.Errorf("%s: incomplete rejection %+v", e.name, rejected)
		}
		return nil, rejected
	}
	if err != nil {
		t.Fatalf("%s: %v is neither success nor a *reject.File", e.name, err)
	}
	if !bytes.HasPrefix(out, prefix) {
		t.Fatalf("%s: Encode didn't append", e.name)
	}
	if bytes.Equal(before, after) {
		t.Errorf("%s: encoded, but not in the statistics", e.name)
	}
	return out[len(prefix):], nil
}

// same tells whether two findings are the same but for the paths.
func same(a, b []example) bool {
	return slices.EqualFunc(a, b, func(x, y example) bool {
		return x.key == y.key && x.split == y.split && x.item.Label == y.item.Label && bytes.Equal(x.item.Meta, y.item.Meta) && len(x.parts) == len(y.parts)
	})
}

// checkIndex checks what Index promises: keys unique and independent of wrapping, labels within the classes.
func checkIndex(t *testing.T, r dataset.Reader, c Case) {
	idx, found := index(t, r, &c, c.Files)
	_, again := index(t, r, &c, c.Files)
	if !same(found.examples, again.examples) {
		t.Error("Index twice gives different records")
	}
	if len(c.Files) > 1 { // a bare file has nothing around it
		var wrapped files
		for _, f := range c.Files {
			wrapped = append(wrapped, File{Path: "some/where/" + f.Path, Data: f.Data})
		}
		if _, inside := index(t, r, &c, wrapped); !same(found.examples, inside.examples) {
			t.Errorf("wrapped in folders, the records differ:\n%v\n%v", found.examples, inside.examples)
		}
	}
	keys := map[string]bool{}
	for _, e := range found.examples {
		if e.key == "" || keys[e.key] {
			t.Errorf("key %q is empty or not unique", e.key)
		}
		keys[e.key] = true
		if e.item.Label < -1 || e.item.Label >= len(idx.Classes) {
			t.Errorf("label %d of %d classes", e.item.Label, len(idx.Classes))
		}
		if want := c.Splits[e.name]; e.split != want {
			t.Errorf("%s: split %q, want %q", e.name, e.split, want)
		}
	}
	canceled, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := r.Index(canceled, files(c.Files), c.Options, &collector{t: t, reader: r, files: c.Files}); !errors.Is(err, context.Canceled) {
		t.Errorf("Index of a canceled context: %v", err)
	}
}

// checkDamage feeds an encoder cut and altered data: it may accept or reject them, not fail otherwise.
func checkDamage(t *testing.T, r dataset.Reader, c Case) {
	idx, found := index(t, r, &c, c.Files)
	encoder := newEncoder(t, r, &c, dataset.Full, idx)
	var stats dataset.Stats
	for _, e := range found.examples {
		whole := e.parts
		for p := range whole {
			data := whole[p].Data
			with := func(data []byte) *example {
				e.parts = slices.Clone(whole)
				e.parts[p].Data = data
				return &e
			}
			step := max(1, len(data)/100)
			for n := 0; n < len(data); n += step {
				encode(t, encoder, with(data[:n]), &stats)
				flipped := slices.Clone(data)
				flipped[n] ^= 0xff
				encode(t, encoder, with(flipped), &stats)
			}
		}
		broken := errors.New("broken store")
		if _, err := encoder.Encode(nil, e.item, &body{t: t, parts: whole, err: broken}, &stats); !errors.Is(err, broken) {
			t.Errorf("%s: the error of the body came back as %v", e.name, err)
		}
	}
}
