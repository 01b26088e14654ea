package parquet

import (
	"bytes"
	"errors"
	"fmt"
	"hash/maphash"
	"math/rand/v2"
	"strings"
	"testing"

	parquetgo "github.com/parquet-go/parquet-go"

	"github.com/trainyard/trainyard/services/converter/dataset"
	"github.com/trainyard/trainyard/services/converter/reject"
)

// summary tells of a file's rows how many there are, what they are, and why they end.
func summary(t *testing.T, data []byte, seed maphash.Seed, each func(*rowReader, func(dataset.Rows) error) error) string {
	t.Helper()
	f, err := open("x", bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return err.Error()
	}
	columns, err := f.plan()
	if err != nil {
		return err.Error()
	}
	var sum maphash.Hash
	sum.SetSeed(seed)
	n := 0
	err = each(f.rows(columns), func(rows dataset.Rows) error {
		n += len(rows.Ends)
		fmt.Fprintf(&sum, "%d:", rows.Ends)
		sum.Write(rows.Data) //nolint:errcheck // never fails
		return nil
	})
	if err != nil && !errors.As(err, new(*reject.Error)) {
		t.Fatal(err)
	}
	return fmt.Sprintf("%d rows, %x, %v", n, sum.Sum64(), err)
}

func TestPagesDecodedAheadGiveTheSameRows(t *testing.T) {
	type row struct {
		ID    int64    `parquet:"id"`
		Score *float64 `parquet:"score,optional"`
		Class string   `parquet:"class,dict"`
		Code  int32    `parquet:"code,dict"`
		Text  string   `parquet:"text"`
		Parts []string `parquet:"parts,list"`
	}
	write := func(rows, text int, options ...parquetgo.WriterOption) []byte {
		r := rand.New(rand.NewPCG(3, 4))
		all := make([]row, rows)
		for i := range all {
			all[i] = row{ID: int64(i), Class: fmt.Sprint("class ", i%7), Code: int32(i % 90), Text: strings.Repeat("é", r.IntN(text))}
			if i%3 > 0 {
				v := r.NormFloat64()
				all[i].Score = &v
			}
			for range r.IntN(5) {
				all[i].Parts = append(all[i].Parts, strings.Repeat("p", r.IntN(40)))
			}
		}
		var b bytes.Buffer
		w := parquetgo.NewGenericWriter[row](&b, options...)
		if _, err := w.Write(all); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	files := append(seeds(t),
		write(20_000, 60, parquetgo.PageBufferSize(4<<10), parquetgo.MaxRowsPerRowGroup(7_000)),
		write(3_000, 60, parquetgo.PageBufferSize(512), parquetgo.MaxRowsPerRowGroup(1_000)),
		write(40, 2<<20, parquetgo.PageBufferSize(64<<20)), // a page that is too large to be decoded ahead
	)
	r := rand.New(rand.NewPCG(1, 2))
	seed := maphash.MakeSeed()
	for i, data := range files {
		for round := range 30 {
			if round > 0 {
				data = bytes.Clone(data)
				data[r.IntN(len(data))] = byte(r.IntN(256))
			}
			want := summary(t, data, seed, func(r *rowReader, rows func(dataset.Rows) error) error { return r.all(t.Context(), rows) })
			got := summary(t, data, seed, func(r *rowReader, rows func(dataset.Rows) error) error { return r.ahead(t.Context(), rows) })
			if got != want {
				t.Fatalf("file %d, round %d: got %s, want %s", i, round, got, want)
			}
			if len(data) > 8<<20 && round == 3 {
				break
			}
		}
	}
}
