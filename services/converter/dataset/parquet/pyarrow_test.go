package parquet_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/trainyard/trainyard/services/converter/dataset"
	"github.com/trainyard/trainyard/services/converter/tfrecord"
)

// TestFilesOfPyarrow reads what testdata/write.py wrote: one table in several compressions, encodings and versions of pages, and
// the examples that it must become.
func TestFilesOfPyarrow(t *testing.T) {
	lines, err := os.ReadFile("testdata/examples.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	var want []map[string][]any
	for s := bufio.NewScanner(bytes.NewReader(lines)); s.Scan(); {
		var row map[string][]any
		d := json.NewDecoder(bytes.NewReader(s.Bytes()))
		d.UseNumber()
		if err := d.Decode(&row); err != nil {
			t.Fatal(err)
		}
		want = append(want, row)
	}
	files, err := filepath.Glob("testdata/*.parquet")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, path := range files {
		t.Run(filepath.Base(path), func(t *testing.T) {
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			_, got := examples(t, data, dataset.Options{})
			if len(got) != len(want) {
				t.Fatalf("%d examples, want %d", len(got), len(want))
			}
			for i := range got {
				if keys := slices.Sorted(maps.Keys(got[i])); !slices.Equal(keys, slices.Sorted(maps.Keys(want[i]))) {
					t.Fatalf("row %d has %q, want %q", i, keys, slices.Sorted(maps.Keys(want[i])))
				}
				for key, values := range want[i] {
					if !equal(t, got[i][key], values) {
						t.Errorf("row %d, %s: %v, want %v", i, key, got[i][key], values)
					}
				}
			}
		})
	}
}

// equal compares a feature with values of JSON, in which bytes are Latin-1 where they aren't UTF-8.
func equal(t *testing.T, got tfrecord.Value, want []any) bool {
	t.Helper()
	if len(got.Bytes)+len(got.Floats)+len(got.Int64s) != len(want) {
		return false
	}
	for i, w := range want {
		switch {
		case got.Bytes != nil:
			if string(got.Bytes[i]) != w {
				return false
			}
		case got.Floats != nil:
			x, err := w.(json.Number).Float64()
			if err != nil {
				t.Fatal(err)
			}
			if got.Floats[i] != float32(x) {
				return false
			}
		default:
			n, err := w.(json.Number).Int64()
			if err != nil {
				t.Fatal(err)
			}
			if got.Int64s[i] != n {
				return false
			}
		}
	}
	return true
}
