// Package tabletest turns tables in memory into examples, for the tests of formats of rows.
package tabletest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/trainyard/trainyard/services/converter/dataset"
	"github.com/trainyard/trainyard/services/converter/dataset/datasettest"
	"github.com/trainyard/trainyard/services/converter/reject"
	"github.com/trainyard/trainyard/services/converter/tfrecord"
)

// Files implements dataset.Files.
type Files []datasettest.File

// Len implements dataset.Files.
func (f Files) Len() int { return len(f) }

// At implements dataset.Files.
func (f Files) At(i int) dataset.File {
	return dataset.File{Path: f[i].Path, Size: int64(len(f[i].Data))}
}

// Stream implements dataset.Files.
func (f Files) Stream(_ context.Context, i int) (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(f[i].Data)), nil
}

// Open implements dataset.Files.
func (f Files) Open(_ context.Context, i int) (io.ReaderAt, error) {
	return bytes.NewReader(f[i].Data), nil
}

// Found implements dataset.Listener. It keeps the blocks, and of rows left out a line each.
type Found struct {
	dataset.Listener
	Blocks  []dataset.Block
	LeftOut []string
}

// Block implements dataset.Listener.
func (f *Found) Block(b dataset.Block) { f.Blocks = append(f.Blocks, b) }

// Use implements dataset.Listener.
func (f *Found) Use(int) {}

// LeaveOut implements dataset.Listener.
func (f *Found) LeaveOut(file int, reason reject.Reason, message string) {
	f.LeftOut = append(f.LeftOut, fmt.Sprintf("file %d: %s: %s", file, reason, message))
}

// LeaveOutRow implements dataset.Listener.
func (f *Found) LeaveOutRow(_ int, row int64, reason reject.Reason, message string) {
	f.LeftOut = append(f.LeftOut, fmt.Sprintf("%d: %s: %s", row, reason, message))
}

// Index indexes the files.
func Index(t testing.TB, r dataset.Reader, opts dataset.Options, files ...datasettest.File) (dataset.Index, *Found, error) {
	t.Helper()
	found := &Found{}
	idx, err := r.Index(t.Context(), Files(files), opts, found)
	return idx, found, err
}

// Body is a row.
type Body struct {
	dataset.Body
	Row []byte
}

// Bytes implements dataset.Body.
func (b *Body) Bytes() ([]byte, error) { return b.Row, nil }

// Each calls do with each row of the files and the Encoder for it.
func Each(t testing.TB, r dataset.RowReader, opts dataset.Options, do func(dataset.Encoder, dataset.Item, *Body), files ...datasettest.File) dataset.Index {
	t.Helper()
	idx, found, err := Index(t, r, opts, files...)
	if err != nil {
		t.Fatal(err)
	}
	e, err := r.NewEncoder(opts, idx)
	if err != nil {
		t.Fatal(err)
	}
	rows := r.Rows(idx)
	for _, b := range found.Blocks {
		data, n := files[b.File].Data[b.Offset:b.Offset+b.Size], int64(0)
		rows(data, func(start, end int) {
			do(e, dataset.Item{Path: files[b.File].Path, Row: b.FirstRow + n, Label: -1}, &Body{Row: data[start:end]})
			n++
		})
	}
	return idx
}

// Examples returns the examples of the files and their statistics.
func Examples(t testing.TB, r dataset.RowReader, opts dataset.Options, files ...datasettest.File) ([]map[string]tfrecord.Value, *dataset.Stats) {
	t.Helper()
	var examples []map[string]tfrecord.Value
	var stats dataset.Stats
	Each(t, r, opts, func(e dataset.Encoder, item dataset.Item, body *Body) {
		data, err := e.Encode(nil, item, body, &stats)
		if err != nil {
			t.Fatal(err)
		}
		example, err := tfrecord.ParseExample(data)
		if err != nil {
			t.Fatal(err)
		}
		examples = append(examples, example)
	}, files...)
	return examples, &stats
}

// Text describes a value: its texts, floats and integers.
func Text(v tfrecord.Value) string {
	texts := []string{}
	for _, b := range v.Bytes {
		if len(b) > 0 {
			texts = append(texts, string(b))
		}
	}
	return fmt.Sprint(texts, v.Floats, v.Int64s)
}

// Fuzz converts any bytes as a file of the given path: it is refused with a reason, or each row that isn't left out by its line becomes an example.
func Fuzz(t *testing.T, r dataset.RowReader, path string, data []byte) {
	f := datasettest.File{Path: path, Data: data}
	idx, found, err := Index(t, r, dataset.Options{}, f)
	if err != nil {
		if rejected := (*reject.Error)(nil); !errors.As(err, &rejected) {
			t.Fatal(err)
		}
		return
	}
	if len(found.Blocks) == 0 {
		return
	}
	e, err := r.NewEncoder(dataset.Options{}, idx)
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range found.Blocks {
		n, block := 0, data[b.Offset:b.Offset+b.Size]
		r.Rows(idx)(block, func(start, end int) {
			n++
			out, err := e.Encode(nil, dataset.Item{Path: path, Label: -1}, &Body{Row: block[start:end]}, &dataset.Stats{})
			if err != nil {
				t.Fatalf("%q: %v", block[start:end], err)
			}
			if _, err := tfrecord.ParseExample(out); err != nil {
				t.Fatal(err)
			}
		})
		if n != b.Rows {
			t.Fatalf("%d rows, indexed %d", n, b.Rows)
		}
	}
}
