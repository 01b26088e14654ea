package jsonl

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/trainyard/trainyard/services/converter/dataset"
	"github.com/trainyard/trainyard/services/converter/dataset/datasettest"
	"github.com/trainyard/trainyard/services/converter/table/tabletest"
)

func benchRows(rows int) datasettest.File {
	var b strings.Builder
	for i := range rows {
		fmt.Fprintf(&b, `{"id":%d,"score":%.6f,"color":%q,"text":"some words of a row that is \"typical\" and long %d","tags":["a","b"],"vec":[0.1,0.25,%d.5,4],"meta":{"ok":true,"n":%d},"label":%q}`+"\n",
			i, float64(i)/7, []string{"red", "green"}[i%2], i, i%100, i, "abc"[i%3:i%3+1])
	}
	return file("bench.jsonl", b.String())
}

// The measure of the others: decoding alone with encoding/json.
func BenchmarkEncodingJSON(b *testing.B) {
	data := benchRows(20_000).Data
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		for line := range bytes.Lines(data) {
			var row map[string]any
			if err := json.Unmarshal(line, &row); err != nil {
				b.Fatal(err)
			}
		}
	}
}

func BenchmarkIndex(b *testing.B) {
	f := benchRows(20_000)
	b.SetBytes(int64(len(f.Data)))
	for b.Loop() {
		if _, _, err := tabletest.Index(b, Reader{}, dataset.Options{}, f); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEncode(b *testing.B) {
	f := benchRows(20_000)
	idx, found, err := tabletest.Index(b, Reader{}, dataset.Options{}, f)
	if err != nil {
		b.Fatal(err)
	}
	e, err := Reader{}.NewEncoder(dataset.Options{}, idx)
	if err != nil {
		b.Fatal(err)
	}
	rows, body := Reader{}.Rows(idx), &tabletest.Body{}
	var buf []byte
	var stats dataset.Stats
	b.SetBytes(int64(len(f.Data)))
	for b.Loop() {
		for _, block := range found.Blocks {
			data := f.Data[block.Offset : block.Offset+block.Size]
			rows(data, func(start, end int) {
				body.Row = data[start:end]
				if buf, err = e.Encode(buf[:0], dataset.Item{Label: -1}, body, &stats); err != nil {
					b.Fatal(err)
				}
			})
		}
	}
}
