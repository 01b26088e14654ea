package csvfile

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/trainyard/trainyard/services/converter/dataset"
	"github.com/trainyard/trainyard/services/converter/dataset/datasettest"
	"github.com/trainyard/trainyard/services/converter/table/tabletest"
)

// benchTable is a table of columns of all types, about 110 bytes a row.
func benchTable(rows int) datasettest.File {
	r := rand.New(rand.NewPCG(1, 2))
	var b strings.Builder
	b.WriteString("id,score,weight,count,color,date,quoted,text,ok,label\n")
	for i := range rows {
		fmt.Fprintf(&b, "%d,%.6f,%.3f,%d,%s,2024-0%d-1%d,\"some words, quoted %d\",plain text of a row that is typical,%s,%c\n", i, r.Float64(), 50+10*r.NormFloat64(),
			r.IntN(1000), []string{"red", "green", "blue", "black"}[r.IntN(4)], 1+r.IntN(9), r.IntN(10), i, []string{"yes", "no"}[r.IntN(2)], "abc"[r.IntN(3)])
	}
	return file("bench.csv", b.String())
}

// The measure of the others: parsing alone with encoding/csv.
func BenchmarkEncodingCSV(b *testing.B) {
	data := benchTable(50_000).Data
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		r := csv.NewReader(bytes.NewReader(data))
		r.ReuseRecord = true
		for {
			if _, err := r.Read(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				b.Fatal(err)
			}
		}
	}
}

func BenchmarkIndex(b *testing.B) {
	f := benchTable(50_000)
	b.SetBytes(int64(len(f.Data)))
	for b.Loop() {
		if _, _, err := tabletest.Index(b, Reader{}, dataset.Options{}, f); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEncode(b *testing.B) {
	f := benchTable(50_000)
	idx, found, err := tabletest.Index(b, Reader{}, dataset.Options{}, f)
	if err != nil {
		b.Fatal(err)
	}
	e, err := Reader{}.NewEncoder(dataset.Options{}, idx)
	if err != nil {
		b.Fatal(err)
	}
	rows := Reader{}.Rows(idx)
	var buf []byte
	var stats dataset.Stats
	body := &tabletest.Body{}
	b.SetBytes(int64(len(f.Data)))
	b.ReportAllocs()
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
