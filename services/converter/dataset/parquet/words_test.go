package parquet

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	parquetgo "github.com/parquet-go/parquet-go"

	"github.com/trainyard/trainyard/services/converter/dataset"
	"github.com/trainyard/trainyard/services/converter/tfrecord"
)

// wordRow has columns with codes for all texts, for some, and for none.
type wordRow struct {
	Few   string  `parquet:"few,dict"`
	Maybe *string `parquet:"maybe,dict,optional"`
	Many  string  `parquet:"many,dict"`
	Odd   string  `parquet:"odd,dict"`
	Plain string  `parquet:"plain"`
	Label string  `parquet:"label,dict"`
}

func wordRows(seed uint64) []wordRow {
	r := rand.New(rand.NewPCG(seed, 2))
	all := make([]wordRow, 12_000)
	for i := range all {
		all[i] = wordRow{
			Few: fmt.Sprint("few ", r.IntN(9)), Many: fmt.Sprint("many ", r.IntN(3*maxWords)), Plain: fmt.Sprint("plain ", r.IntN(4)), Label: fmt.Sprint(seed, r.IntN(5)),
			Odd: []string{"", " ", "a\nb", "\xff", "\uFFFD", "<&>\u2028", strings.Repeat("x", 300)}[r.IntN(7)],
		}
		if r.IntN(3) > 0 {
			text := fmt.Sprint("maybe ", r.IntN(2))
			all[i].Maybe = &text
		}
	}
	return append(all, all[:100]...)
}

func TestTextsThatRepeatAreCoded(t *testing.T) {
	var files [][]byte
	var want []wordRow
	for seed := range uint64(2) {
		rows := wordRows(seed)
		var b bytes.Buffer
		w := parquetgo.NewGenericWriter[wordRow](&b, parquetgo.PageBufferSize(4<<10), parquetgo.MaxRowsPerRowGroup(5_000))
		if _, err := w.Write(rows); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		files, want = append(files, b.Bytes()), append(want, rows...)
	}
	var o *observer
	all := func(transcode func(dataset.File, *bytes.Reader, func(dataset.Rows) error) error) (all [][]byte) {
		for i, data := range files {
			in := dataset.File{Path: fmt.Sprint(i), Size: int64(len(data))}
			err := transcode(in, bytes.NewReader(data), func(rows dataset.Rows) error {
				all = append(all, cloned(rows)...)
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		return all
	}
	rows := all(func(in dataset.File, data *bytes.Reader, rows func(dataset.Rows) error) error {
		if o == nil {
			f, err := open(in.Path, data, in.Size)
			if err != nil {
				return err
			}
			planned, err := f.plan()
			if err != nil {
				return err
			}
			var columns []column
			for _, p := range planned {
				columns = append(columns, p.column)
			}
			if o, err = newObserver(columns, dataset.Options{}); err != nil {
				return err
			}
		}
		return o.transcode(t.Context(), in, data, rows)
	})
	index, err := o.index()
	if err != nil {
		t.Fatal(err)
	}
	again := all(func(in dataset.File, data *bytes.Reader, rows func(dataset.Rows) error) error {
		return Reader{}.Transcode(t.Context(), index, in, data, rows)
	})
	if !slices.EqualFunc(rows, again, bytes.Equal) {
		t.Error("a second machine makes other rows")
	}

	s, err := parseSchema(index)
	if err != nil {
		t.Fatal(err)
	}
	for i, coded := range map[string]int{"few": 9, "maybe": 2, "many": maxWords, "odd": 6, "plain": 0, "label": 10} {
		at := slices.IndexFunc(s.Columns, func(c observed) bool { return c.Key == i })
		if got := len(s.Columns[at].Words); got != coded {
			t.Errorf("%s: %d words have codes, want %d", i, got, coded)
		}
	}
	few := s.Columns[slices.IndexFunc(s.Columns, func(c observed) bool { return c.Key == "few" })].Classes

	encoder, err := Reader{}.NewEncoder(dataset.Options{}, index)
	if err != nil {
		t.Fatal(err)
	}
	byRow, long := make(map[string]string), 0
	var stats dataset.Stats
	for i := range want {
		w := &want[i]
		maybe := "-"
		if w.Maybe != nil {
			maybe = *w.Maybe
		}
		text := strings.Join([]string{w.Few, maybe, w.Many, w.Odd, w.Plain, w.Label}, "\x00")
		if before, ok := byRow[text]; ok && before != string(rows[i]) {
			t.Fatalf("row %d equals another and is told in other bytes", i)
		}
		byRow[text] = string(rows[i])
		b, err := encoder.Encode(nil, dataset.Item{Path: "x"}, &rowBody{row: rows[i]}, &stats)
		if w.Odd == "\xff" {
			if err == nil {
				t.Fatalf("row %d: a text that is no UTF-8 is taken", i)
			}
			continue
		}
		if err != nil {
			t.Fatal(i, err)
		}
		e, err := tfrecord.ParseExample(b)
		if err != nil {
			t.Fatal(err)
		}
		got := []string{few[e["few"].Int64s[0]], string(e["many"].Bytes[0]), string(e["odd"].Bytes[0]), index.Classes[e["label"].Int64s[0]]}
		if !slices.Equal(got, []string{w.Few, w.Many, w.Odd, w.Label}) {
			t.Fatalf("row %d: got %q of %q", i, got, text)
		}
		if missing := e["maybe"].Int64s[0] < 0; missing != (w.Maybe == nil) {
			t.Fatalf("row %d: missing %t", i, missing)
		}
		for _, v := range []string{w.Few, w.Many, w.Odd, w.Plain, w.Label} {
			long += uvarintSize(uint32(len(v))) + len(v)
		}
		if long += 2; w.Maybe != nil { // the status and the bits
			long += 1 + len(maybe)
		}
	}
	if stats.Bytes != int64(long) {
		t.Errorf("the statistics count %d bytes, want %d, whatever was coded", stats.Bytes, long)
	}
}
