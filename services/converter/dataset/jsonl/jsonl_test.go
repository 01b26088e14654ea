package jsonl

import (
	"errors"
	"strings"
	"testing"

	"github.com/trainyard/trainyard/services/converter/dataset"
	"github.com/trainyard/trainyard/services/converter/dataset/datasettest"
	"github.com/trainyard/trainyard/services/converter/reject"
	"github.com/trainyard/trainyard/services/converter/table/tabletest"
)

func file(path, data string) datasettest.File {
	return datasettest.File{Path: path, Data: []byte(data)}
}

func TestReader(t *testing.T) {
	datasettest.Run(t, Reader{}, []datasettest.Case{
		{
			Name: "lines", Files: []datasettest.File{file("a.jsonl", `{"text":"x","label":"b","meta":{"n":1}}`+"\n"+`{"label":"a","text":null,"v":[1,2]}`+"\n")},
			Classes: []string{"a", "b"}, Labels: map[string]int{"a.jsonl#1": -1, "a.jsonl#2": -1}, Used: []string{"a.jsonl"},
		},
		{
			Name:    "an array, on one line and on several",
			Files:   []datasettest.File{file("train.json", ` [{"x":1,"y":0},{"x":2,"y":1}, {"x":3,"y":1}]`), file("test.json", "[\n  {\n \"x\": 1, \"y\": 1\n },\n 7,\n {\"x\": 2, \"y\": 0}\n]\n")},
			Classes: []string{"0", "1"},
			Labels:  map[string]int{"train.json#1": -1, "train.json#2": -1, "train.json#3": -1, "test.json#1": -1, "test.json#3": -1},
			Splits: map[string]dataset.Split{
				"train.json#1": dataset.Train, "train.json#2": dataset.Train, "train.json#3": dataset.Train, "test.json#1": dataset.Test, "test.json#3": dataset.Test,
			},
			LeftOut: map[string]reject.Reason{"test.json#2": reject.MalformedRow}, Used: []string{"train.json", "test.json"},
		},
		{
			Name: "an array that is cut", Files: []datasettest.File{file("a.json", "[{\"a\":1},\n{\"a\":2},\n")},
			Labels: map[string]int{"a.json#1": -1, "a.json#2": -1}, LeftOut: map[string]reject.Reason{"a.json#3": reject.MalformedRow}, Used: []string{"a.json"},
		},
		{
			Name: "rows left out with their lines",
			Files: []datasettest.File{file("a.ndjson", `{"a":1}`+"\n"+`{"a":1`+"\n"+`[1]`+"\n"+`{"a":1,"a":2}`+"\n"+`{"a":"`+"\xff"+`"}`+"\n"+strings.Repeat(`{"a":`, 20)+"\n"+
				`{"b":{"c":1},"b.c":2}`+"\n"+`{"b":{"c":1}}`+"\n")},
			Labels: map[string]int{"a.ndjson#1": -1, "a.ndjson#8": -1},
			LeftOut: map[string]reject.Reason{
				"a.ndjson#2": reject.MalformedRow, "a.ndjson#3": reject.MalformedRow, "a.ndjson#4": reject.MalformedRow, "a.ndjson#5": reject.InvalidText, "a.ndjson#6": reject.TooDeep, "a.ndjson#7": reject.MalformedRow,
			},
			Used: []string{"a.ndjson"},
		},
		{
			Name: "a label within, and one missing", Files: []datasettest.File{file("a.json", `{"m":{"kind":"x"}}`+"\n"+`{"m":{"kind":"y"}}`+"\n"+`{"m":{}}`+"\n")},
			Options: dataset.Options{LabelColumn: "m.kind"}, Classes: []string{"x", "y"},
			Labels: map[string]int{"a.json#1": -1, "a.json#2": -1}, LeftOut: map[string]reject.Reason{"a.json#3": reject.MissingLabel}, Used: []string{"a.json"},
		},
	})
}

func TestValues(t *testing.T) {
	examples, stats := tabletest.Examples(t, Reader{}, dataset.Options{}, file("a.jsonl",
		`{"fixed":[1,2],"varies":[1.5],"ragged":[[1],[2,3]],"words":["a","b"],"n":1,"big":9223372036854775808,"mixed":1,"when":"2024-01-02","ok":true}
{"fixed":[3,4],"varies":[],"ragged":[],"words":[],"n":null,"big":1,"mixed":"x","when":"2024-01-03","ok":false}
{"fixed":[5,6],"varies":[1,2,3],"ragged":[[4,5],[6]],"big":2,"mixed":[1, 2],"when":""}
`))
	for _, c := range []struct {
		row  int
		key  string
		want string
	}{
		{0, "fixed", "[] [] [1 2]"},
		{2, "fixed", "[] [] [5 6]"},
		{1, "varies", "[] [] []"},
		{2, "varies", "[] [1 2 3] []"},
		{0, "ragged/ragged_flat_values", "[] [] [1 2 3]"},
		{0, "ragged/ragged_row_lengths_0", "[] [] [1 2]"},
		{1, "ragged/ragged_row_lengths_0", "[] [] []"},
		{0, "words", "[a b] [] []"},
		{2, "words", "[] [] []"},
		{0, "n", "[] [] [1]"},
		{0, "n_missing", "[] [] [0]"},
		{1, "n", "[] [] [0]"},
		{2, "n_missing", "[] [] [1]"},
		{0, "big", "[] [9.223372e+18] []"},
		{0, "mixed", "[1] [] []"},
		{2, "mixed", "[[1, 2]] [] []"},
		{0, "when", "[2024-01-02] [] []"},
		{2, "when", "[] [] []"},
		{0, "ok", "[] [] [1]"},
		{2, "ok_missing", "[] [] [1]"},
	} {
		if got := tabletest.Text(examples[c.row][c.key]); got != c.want {
			t.Errorf("row %d: %s is %s, want %s", c.row, c.key, got, c.want)
		}
	}
	if *stats.Counts["missing"]["n"] != 2 || *stats.Counts["rounded"]["big"] != 1 {
		t.Errorf("counts %v", stats.Counts)
	}
}

// An array of empty arrays takes nothing from a column of arrays of numbers: it is one of them. Where it can't be, the text stays whole.
func TestEmptyArraysWithinArrays(t *testing.T) {
	examples, _ := tabletest.Examples(t, Reader{}, dataset.Options{}, file("a.jsonl",
		`{"same":[[1,2]],"ragged":[[1],[2,3]],"flat":[1],"words":["a"],"none":[[]]}
{"same":[[]],"ragged":[[],[]],"flat":[[]],"words":[[]],"none":[]}
{"same":[[3,4],[5,6]],"ragged":[],"flat":[2],"words":["b"],"none":[[],[]]}
`))
	for _, c := range []struct {
		row  int
		key  string
		want string
	}{
		{0, "same/ragged_flat_values", "[] [] [1 2]"},
		{1, "same/ragged_flat_values", "[] [] []"},
		{1, "same/ragged_row_lengths_0", "[] [] [0]"},
		{2, "same/ragged_flat_values", "[] [] [3 4 5 6]"},
		{2, "same/ragged_row_lengths_0", "[] [] [2 2]"},
		{0, "ragged/ragged_row_lengths_0", "[] [] [1 2]"},
		{1, "ragged/ragged_row_lengths_0", "[] [] [0 0]"},
		{2, "ragged/ragged_row_lengths_0", "[] [] []"},
		{0, "flat", "[[1]] [] []"},
		{1, "flat", "[[[]]] [] []"},
		{0, "words", `[["a"]] [] []`},
		{1, "words", "[[[]]] [] []"},
		{2, "none", "[[[],[]]] [] []"},
	} {
		if got := tabletest.Text(examples[c.row][c.key]); got != c.want {
			t.Errorf("row %d: %s is %s, want %s", c.row, c.key, got, c.want)
		}
	}
}

func TestRefused(t *testing.T) {
	many := strings.Builder{}
	for i := range 5000 {
		many.WriteString(`{"k` + strings.Repeat("x", i%7) + string(rune('a'+i%26)) + string(rune('0'+i/26%10)) + string(rune('A'+i/260)) + `":1}` + "\n")
	}
	for name, c := range map[string]struct {
		data, label string
		reason      reject.Reason
		says        string
	}{
		"no such label":  {`{"x":1,"z":2}`, "y", reject.UnknownColumn, `"x", "z"`},
		"too many names": {many.String(), "", reject.TooManyColumns, "4096"},
		"UTF-16":         {"\xfe\xff\x00{", "", reject.UnsupportedEncoding, "iconv"},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := tabletest.Index(t, Reader{}, dataset.Options{LabelColumn: c.label}, file("a.jsonl", c.data))
			var rejected *reject.Error
			if !errors.As(err, &rejected) || rejected.Reason != c.reason || !strings.Contains(rejected.Message, c.says) {
				t.Fatalf("%v, want %s", err, c.reason)
			}
		})
	}
}

func TestEncodeAllocates(t *testing.T) {
	row := `{"text":"some \"words\"","label":"x","score":0.25,"n":3,"tags":["a","b"],"vector":[1,2,3.5]}` + "\n"
	data := file("a.jsonl", strings.Repeat(row, 10))
	buf, stats := make([]byte, 0, 4096), &dataset.Stats{}
	tabletest.Each(t, Reader{}, dataset.Options{}, func(e dataset.Encoder, item dataset.Item, body *tabletest.Body) {
		if n := testing.AllocsPerRun(10, func() {
			if _, err := e.Encode(buf, item, body, stats); err != nil {
				t.Fatal(err)
			}
		}); n > 1 {
			t.Errorf("%v allocations", n)
		}
	}, data)
}

func FuzzReader(f *testing.F) {
	for _, s := range []string{
		`{"a":1}` + "\n" + `{"a":"x","b":[1,2]}` + "\n", `{"y":true}` + "\n" + `{"y":false}`, `{"a":[[1],[2,3]]}` + "\n" + `{"a":[]}`, `{"a":[1,2]}` + "\n" + `{"a":null}`,
		`{"label":1,"a":[[1,2],[3,4]]}` + "\n" + `{"label":2,"a":[[1,2]]}`, `{"a":["x"]}` + "\n" + `{"a":[]}` + "\n[]\n", `{"":1}` + "\n{}\n",
	} {
		f.Add([]byte(s), false)
		f.Add([]byte("["+strings.ReplaceAll(s, "\n", ",")+"]"), true)
	}
	f.Fuzz(func(t *testing.T, data []byte, array bool) {
		path := "a.jsonl"
		if array {
			path = "a.json"
		}
		tabletest.Fuzz(t, Reader{}, path, data)
	})
}
