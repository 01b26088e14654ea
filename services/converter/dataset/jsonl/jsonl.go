// Package jsonl reads rows of JSON: one object a line (JSON Lines, NDJSON), or a file that is one array of objects. Each object becomes an
// example. Objects within it are flattened (a.b.c), arrays of numbers are tensors or ragged sequences, arrays of strings are
// sequences of text, and the type of each is told from all of the rows. See package table.
package jsonl

import (
	"bytes"
	"context"
	"errors"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/trainyard/trainyard/services/converter/dataset"
	"github.com/trainyard/trainyard/services/converter/reject"
	"github.com/trainyard/trainyard/services/converter/table"
)

// Reader implements dataset.RowReader.
type Reader struct{}

// Format implements dataset.Reader.
func (Reader) Format() dataset.Format {
	return dataset.Format{
		Name:  "jsonl",
		Title: "JSON Lines",
		Description: "One JSON object a line, or files that are one array of objects. Objects within are flattened to names such as meta.source. The label is the name given, or one of label, class, target, category, species or y. " +
			"train.jsonl, validation.jsonl and test.jsonl are splits.",
		Extensions: append(slices.Clone(extensions), ".json"),
		Example:    "reviews\n├── train.jsonl\n└── test.jsonl\n",
	}
}

var extensions = []string{".jsonl", ".ndjson", ".jsonlines"}

// rows are the files that are read and whether they are arrays: those with an extension of JSON lines. If there are none,
// files named .json that begin with an array of objects or with an object on each of the first two lines.
func rows(ctx context.Context, files dataset.Files) (found []int, array bool, err error) {
	var plain []int
	for i := range files.Len() {
		switch ext := strings.ToLower(path.Ext(files.At(i).Path)); {
		case slices.Contains(extensions, ext):
			found = append(found, i)
		case ext == ".json":
			plain = append(plain, i)
		}
	}
	const tries = 1000 // more .json files than that are annotations
	if len(found) > 0 || len(plain) > tries {
		return found, false, nil
	}
	var lines, arrays []int
	for _, i := range plain {
		head, err := dataset.ReadHead(ctx, files, i, table.HeadBytes)
		if err != nil {
			return nil, false, err
		}
		head = bytes.TrimPrefix(head, []byte("\xef\xbb\xbf"))
		switch {
		case arrayStart(head) > 0:
			arrays = append(arrays, i)
		case isLines(head, int64(len(head)) >= files.At(i).Size):
			lines = append(lines, i)
		}
	}
	if len(arrays) > len(lines) {
		return arrays, true, nil
	}
	return lines, false, nil
}

const space = " \t\r\n"

// arrayStart returns the place behind the bracket of an array of objects, or 0.
func arrayStart(head []byte) int {
	rest := bytes.TrimLeft(head, space)
	if len(rest) == 0 || rest[0] != '[' {
		return 0
	}
	start := len(head) - len(rest) + 1
	if rest = bytes.TrimLeft(rest[1:], space); len(rest) > 0 && rest[0] == '{' {
		return start
	}
	return 0
}

func isLines(head []byte, whole bool) bool {
	lines := table.SampleRows(head, table.Lines, whole, 2)
	var flat table.Flattener
	for _, l := range lines {
		if flat.Row(l, func([]byte, *table.Value) *table.RowError { return nil }) != nil {
			return false
		}
	}
	return len(lines) == 2
}

// Detect implements dataset.Reader.
func (Reader) Detect(ctx context.Context, files dataset.Files) (dataset.Match, error) {
	found, _, err := rows(ctx, files)
	if err != nil {
		return dataset.Match{}, err
	}
	m := dataset.Match{Why: "rows of JSON such as train.jsonl, one object a line"}
	if len(found) > 0 {
		m.Share = float64(len(found)) / float64(files.Len())
	}
	return m, nil
}

// Index implements dataset.Reader.
func (Reader) Index(ctx context.Context, files dataset.Files, opts dataset.Options, found dataset.Listener) (dataset.Index, error) {
	if err := ctx.Err(); err != nil {
		return dataset.Index{}, err
	}
	list, array, err := rows(ctx, files)
	if err != nil {
		return dataset.Index{}, err
	}
	if len(list) == 0 {
		return dataset.Index{}, reject.New(reject.NoExamples, "There are no rows of JSON. They are files such as train.jsonl with one object a line, such as {\"text\": \"hello\", \"label\": 1}.")
	}
	starts := make([]int64, len(list))
	var names []string
	for n, i := range list {
		head, err := dataset.ReadHead(ctx, files, i, table.HeadBytes)
		if err != nil {
			return dataset.Index{}, err
		}
		whole := int64(len(head)) == files.At(i).Size
		start, err := table.CheckHead(files.At(i).Path, head, whole)
		if err != nil {
			return dataset.Index{}, err
		}
		if array {
			start += arrayStart(head[start:])
		}
		starts[n] = int64(start)
		names = sampleNames(names, head[start:], array, whole)
	}
	label := opts.LabelColumn
	if at, err := table.LabelColumn(names, label); err == nil && at >= 0 { // a column that isn't in the sample may still come
		label = names[at]
	}
	x := table.NewJSON(array, label, opts.LabelColumn != "", found)
	parts := table.Parts(files, list)
	for n, i := range list {
		data, err := files.Open(ctx, i)
		if err != nil {
			return dataset.Index{}, err
		}
		parts[n].Offset = starts[n]
		if err := x.Add(ctx, parts[n], data); err != nil {
			return dataset.Index{}, err
		}
		if array {
			cut, err := isCut(data, parts[n].Size)
			if err != nil {
				return dataset.Index{}, err
			}
			if cut {
				x.LeaveOut(parts[n], reject.MalformedRow, "the array ends without its closing bracket, so the file seems to be cut; what may have followed is missing")
			}
		}
	}
	return x.Finish()
}

// isCut tells whether a file that is an array ends behind an element. One that ends within an element is told of by that.
func isCut(data io.ReaderAt, size int64) (bool, error) {
	end := make([]byte, min(size, 4096))
	if _, err := data.ReadAt(end, size-int64(len(end))); err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	end = bytes.TrimRight(end, space)
	return len(end) > 0 && (end[len(end)-1] == '}' || end[len(end)-1] == ','), nil
}

// sampleNames adds the names in the first rows of a file.
func sampleNames(names []string, text []byte, array, whole bool) []string {
	split := table.Splitter(table.Lines)
	if array {
		split = table.Array
	}
	var flat table.Flattener
	for _, row := range table.SampleRows(text, split, whole, 200) {
		_ = flat.Row(row, func(path []byte, _ *table.Value) *table.RowError { // what is wrong with a row is told by the Indexer
			if len(names) < table.MaxColumns && !slices.Contains(names, string(path)) {
				names = append(names, string(path))
			}
			return nil
		})
	}
	return names
}

// NewEncoder implements dataset.Reader.
func (Reader) NewEncoder(_ dataset.Options, index dataset.Index) (dataset.Encoder, error) {
	return table.NewEncoder(index)
}

// Rows implements dataset.RowReader.
func (Reader) Rows(index dataset.Index) func(data []byte, row func(start, end int)) {
	return table.Rows(index)
}

// Features implements dataset.Reader.
func (Reader) Features(index dataset.Index, _ *dataset.Stats) []dataset.Feature {
	return table.Features(index)
}
