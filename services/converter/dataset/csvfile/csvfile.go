// Package csvfile reads tables as CSV or TSV: rows of fields between commas, semicolons, tabs or bars (RFC 4180, see package table for what is taken
// beyond it). Each row becomes an example with a feature for each column, whose type is told from all of the rows.
package csvfile

import (
	"context"
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
		Name:  "csv",
		Title: "CSV and TSV",
		Description: "Tables in UTF-8 with a header. The types of the columns are told from their values; the label is the column of that name, or one named label, class, target, category, species or y. " +
			"Several files with the same header are one dataset; train.csv, validation.csv and test.csv are its splits.",
		Extensions: extensions,
		Example:    "flowers\n├── train.csv\n└── test.csv\n",
	}
}

var extensions = []string{".csv", ".tsv", ".tab", ".psv"}

// looseExtensions are those of files that are tables if they look like one.
var looseExtensions = []string{".data", ".txt"}

func has(name string, extensions []string) bool {
	return slices.Contains(extensions, strings.ToLower(path.Ext(name)))
}

// tables are the files that are read: those with an extension of tables. If there are none, files
// of text that have the same number of fields, at least two, in nearly all of their first rows.
func tables(ctx context.Context, files dataset.Files) ([]int, error) {
	var found, loose []int
	for i := range files.Len() {
		switch name := files.At(i).Path; {
		case has(name, extensions):
			found = append(found, i)
		case has(name, looseExtensions):
			loose = append(loose, i)
		}
	}
	const tries = 16
	if len(found) > 0 || len(loose) > tries {
		return found, nil
	}
	for _, i := range loose {
		head, err := dataset.ReadHead(ctx, files, i, table.HeadBytes)
		if err != nil {
			return nil, err
		}
		whole := int64(len(head)) == files.At(i).Size
		start, err := table.CheckHead(files.At(i).Path, head, whole)
		if err != nil {
			continue
		}
		if _, fields, share := table.Sniff(head[start:], whole); fields > 1 && share > 0.9 {
			found = append(found, i)
		}
	}
	return found, nil
}

// Detect implements dataset.Reader.
func (Reader) Detect(ctx context.Context, files dataset.Files) (dataset.Match, error) {
	found, err := tables(ctx, files)
	if err != nil {
		return dataset.Match{}, err
	}
	m := dataset.Match{Why: "tables such as train.csv or data.tsv"}
	if len(found) > 0 {
		m.Share = float64(len(found)) / float64(files.Len())
	}
	return m, nil
}

// head is what the beginning of a file says.
type head struct {
	path      string
	comma     byte
	names     []string
	hasHeader bool
	offset    int64 // of the first row below the header
	line      int64
}

// readHead tells the delimiter and the columns of a file. A file without rows gives no names.
func readHead(ctx context.Context, files dataset.Files, i int) (head, error) {
	f := files.At(i)
	// A header may be as long as a row.
	text, err := dataset.ReadHead(ctx, files, i, table.MaxRowBytes+table.HeadBytes)
	if err != nil {
		return head{}, err
	}
	whole := int64(len(text)) == f.Size
	start, err := table.CheckHead(f.Path, text, whole)
	if err != nil {
		return head{}, err
	}
	h := head{path: f.Path, offset: int64(start), line: 1}
	text = text[start:]
	sample := text[:min(len(text), table.HeadBytes)]
	h.comma, _, _ = table.Sniff(sample, whole && len(sample) == len(text))
	rows := table.SampleRows(text, table.CSV(h.comma), whole, 200)
	if len(rows) == 0 {
		if len(strings.TrimSpace(string(text[:min(len(text), 1024)]))) > 0 {
			return head{}, reject.New(reject.MalformedTable, "%s: line 1 doesn't end within %d bytes, the limit for a row, or has a quote that is never closed. The file must be a table with one row a line.", f.Path, table.MaxRowBytes)
		}
		return h, nil
	}
	cells, refused := table.NewFields(h.comma).Cut(rows[0])
	if refused != nil {
		return head{}, reject.New(refused.Reason, "%s: the first row can't be read: %s.", f.Path, refused.Message)
	}
	if h.hasHeader = table.HasHeader(rows, h.comma); h.hasHeader {
		h.names = table.Header(cells)
		h.line, h.offset = headerEnd(text, h)
		return h, nil
	}
	for c := range cells {
		h.names = append(h.names, table.ColumnName(c))
	}
	return h, nil
}

// headerEnd returns the line and the offset behind the header, which is the first row.
func headerEnd(text []byte, h head) (line, offset int64) {
	split := table.CSV(h.comma)
	for at := 0; ; {
		s := split(text[at:], true)
		at += s.Next
		if s.End > s.Start {
			return int64(strings.Count(string(text[:at]), "\n")) + 1, h.offset + int64(at)
		}
	}
}

// Index implements dataset.Reader.
func (Reader) Index(ctx context.Context, files dataset.Files, opts dataset.Options, found dataset.Listener) (dataset.Index, error) {
	if err := ctx.Err(); err != nil {
		return dataset.Index{}, err
	}
	list, err := tables(ctx, files)
	if err != nil {
		return dataset.Index{}, err
	}
	heads := make([]head, len(list))
	first := -1
	for n, i := range list {
		if heads[n], err = readHead(ctx, files, i); err != nil {
			return dataset.Index{}, err
		}
		switch {
		case heads[n].names == nil:
		case first < 0:
			first = n
		default:
			if err := sameColumns(heads[first], heads[n]); err != nil {
				return dataset.Index{}, err
			}
		}
	}
	if first < 0 {
		return dataset.Index{}, reject.New(reject.NoExamples, "No table has any rows. A table is a file such as train.csv, with a header and one row a line.")
	}
	h := heads[first]
	label, err := table.LabelColumn(h.names, opts.LabelColumn)
	if err != nil {
		return dataset.Index{}, err
	}
	x := table.NewCSV(h.comma, h.names, label, opts.LabelColumn != "", found)
	parts := table.Parts(files, list)
	for n, i := range list {
		if heads[n].names == nil {
			found.LeaveOut(i, reject.EmptyFile, "the file has no rows")
			continue
		}
		data, err := files.Open(ctx, i)
		if err != nil {
			return dataset.Index{}, err
		}
		part := parts[n]
		part.Offset, part.Line = heads[n].offset, heads[n].line
		if err := x.Add(ctx, part, data); err != nil {
			return dataset.Index{}, err
		}
	}
	return x.Finish()
}

// sameColumns checks that two files are parts of one table.
func sameColumns(a, b head) error {
	switch {
	case a.comma != b.comma:
		return reject.New(reject.DifferentColumns, "%s has %q between its fields, %s has %q. Files of one dataset must have the same.", a.path, a.comma, b.path, b.comma)
	case a.hasHeader != b.hasHeader:
		with, without := a, b
		if b.hasHeader {
			with, without = b, a
		}
		return reject.New(reject.DifferentColumns, "%s begins with the names of its columns, %s doesn't seem to. Give both the same header.", with.path, without.path)
	case len(a.names) != len(b.names):
		return reject.New(reject.DifferentColumns, "%s has %d columns, %s has %d. Files of one dataset must have the same header; upload others as datasets of their own.", a.path, len(a.names), b.path, len(b.names))
	}
	for i := range a.names {
		if a.names[i] != b.names[i] {
			return reject.New(reject.DifferentColumns, "Column %d is %q in %s, but %q in %s. Files of one dataset must have the same header; upload others as datasets of their own.",
				i+1, a.names[i], a.path, b.names[i], b.path)
		}
	}
	return nil
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
