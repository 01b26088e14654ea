package parquet

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"testing"

	parquetgo "github.com/parquet-go/parquet-go"

	"github.com/trainyard/trainyard/services/converter/dataset"
)

const benchRows = 200_000

// tableFile is a table as pandas would write it: numbers, some missing, and a label.
func tableFile(b *testing.B) []byte {
	b.Helper()
	type row struct {
		A     int64   `parquet:"a,optional"`
		B     float64 `parquet:"b,optional"`
		C     float32 `parquet:"c,optional"`
		D     int64   `parquet:"d,optional"`
		E     *int32  `parquet:"e,optional"`
		Label string  `parquet:"label,optional,dict"`
	}
	r := rand.New(rand.NewPCG(1, 2))
	rows := make([]row, benchRows)
	for i := range rows {
		rows[i] = row{A: r.Int64N(1000), B: r.NormFloat64(), C: r.Float32(), D: r.Int64N(1 << 40), Label: []string{"bird", "cat", "dog"}[r.IntN(3)]}
		if i%7 != 3 {
			e := int32(i)
			rows[i].E = &e
		}
	}
	var out bytes.Buffer
	w := parquetgo.NewGenericWriter[row](&out, parquetgo.Compression(&parquetgo.Zstd))
	if _, err := w.Write(rows); err != nil {
		b.Fatal(err)
	}
	if err := w.Close(); err != nil {
		b.Fatal(err)
	}
	return out.Bytes()
}

// BenchmarkParse is the time of parsing only, with the library's own reader of rows, in the batches it reads fastest.
func BenchmarkParse(b *testing.B) {
	data := tableFile(b)
	rows := make([]parquetgo.Row, 1024)
	for b.Loop() {
		f, err := parquetgo.OpenFile(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			b.Fatal(err)
		}
		n := 0
		for _, g := range f.RowGroups() {
			r := g.Rows()
			for {
				m, err := r.ReadRows(rows)
				n += m
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil {
					b.Fatal(err)
				}
			}
			if err := r.Close(); err != nil {
				b.Fatal(err)
			}
		}
		if n != benchRows {
			b.Fatal(n, "rows")
		}
	}
	perSecond(b)
}

func perSecond(b *testing.B) {
	b.ReportMetric(float64(benchRows)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}

func BenchmarkTranscode(b *testing.B) {
	data := tableFile(b)
	for b.Loop() {
		n := 0
		err := transcode(b.Context(), dataset.File{Path: "x", Size: int64(len(data))}, bytes.NewReader(data), nil, nil, nil, func(rows dataset.Rows) error {
			n += len(rows.Ends)
			return nil
		})
		if err != nil || n != benchRows {
			b.Fatal(err, n, "rows")
		}
	}
	perSecond(b)
}

type rowBody struct {
	dataset.Body
	row []byte
}

func (r *rowBody) Bytes() ([]byte, error) { return r.row, nil }

// neutral are the rows of a file, and what was seen of them.
func neutral(b *testing.B, data []byte) (all [][]byte, o *observer) {
	b.Helper()
	f, err := open("x", bytes.NewReader(data), int64(len(data)))
	if err != nil {
		b.Fatal(err)
	}
	planned, err := f.plan()
	if err != nil {
		b.Fatal(err)
	}
	var columns []column
	for _, p := range planned {
		columns = append(columns, p.column)
	}
	if o, err = newObserver(columns, dataset.Options{}); err != nil {
		b.Fatal(err)
	}
	err = o.transcode(b.Context(), dataset.File{Path: "x", Size: int64(len(data))}, bytes.NewReader(data), func(rows dataset.Rows) error {
		all = append(all, cloned(rows)...)
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	return all, o
}

// cloned are the rows, each in memory of its own.
func cloned(rows dataset.Rows) (all [][]byte) {
	start := 0
	for _, end := range rows.Ends {
		all = append(all, slices.Clone(rows.Data[start:end]))
		start = end
	}
	return all
}

func BenchmarkEncode(b *testing.B) {
	rows, o := neutral(b, tableFile(b))
	index, err := o.index()
	if err != nil {
		b.Fatal(err)
	}
	e, err := Reader{}.NewEncoder(dataset.Options{}, index)
	if err != nil {
		b.Fatal(err)
	}
	var stats dataset.Stats
	var body rowBody
	buf := make([]byte, 0, 1<<12)
	for b.Loop() {
		for _, body.row = range rows {
			if _, err := e.Encode(buf, dataset.Item{Path: "x"}, &body, &stats); err != nil {
				b.Fatal(err)
			}
		}
	}
	perSecond(b)
}
