package table

import (
	"bytes"

	"github.com/trainyard/trainyard/services/converter/reject"
)

// Fields cuts rows of CSV into fields. The zero value is not ready; make one with NewFields. It is for one goroutine.
type Fields struct {
	comma   byte
	fields  [][]byte
	unquote []byte
}

// NewFields returns Fields for rows whose fields stand between commas.
func NewFields(comma byte) *Fields { return &Fields{comma: comma} }

// Cut returns the fields of a row, which a CSV Splitter found, without their quotes. They stay until the next call. A field without quotes is part of row.
func (f *Fields) Cut(row []byte) ([][]byte, *RowError) {
	f.fields = f.fields[:0]
	quoted := bytes.IndexByte(row, '"') >= 0
	if quoted && cap(f.unquote) < len(row) {
		f.unquote = make([]byte, 0, 2*len(row))
	}
	f.unquote = f.unquote[:0]
	for {
		if len(f.fields) == MaxColumns {
			return nil, rowError(reject.TooManyColumns, "the row has more than %d fields, the limit", MaxColumns)
		}
		if quoted && len(row) > 0 && row[0] == '"' {
			field, n, err := f.quotedField(row)
			if err != nil {
				return nil, err
			}
			f.fields = append(f.fields, field)
			if n == len(row) {
				return f.fields, nil
			}
			row = row[n+1:]
			continue
		}
		n := bytes.IndexByte(row, f.comma)
		if n < 0 {
			f.fields = append(f.fields, row)
			return f.fields, nil
		}
		f.fields = append(f.fields, row[:n:n])
		row = row[n+1:]
	}
}

// quotedField returns the content of the quoted field that row begins with and how long it is with its quotes.
func (f *Fields) quotedField(row []byte) ([]byte, int, *RowError) {
	end, closed := closingQuote(row, 1)
	if !closed {
		return nil, 0, rowError(reject.MalformedRow, "field %d has an opening quote that is never closed; close it, or put the field in quotes and double the quotes within", len(f.fields)+1)
	}
	if end < len(row) && row[end] != f.comma {
		return nil, 0, rowError(reject.MalformedRow, "field %d has text behind its closing quote; double the quotes within a quoted field", len(f.fields)+1)
	}
	content := row[1 : end-1 : end-1]
	if bytes.IndexByte(content, '"') < 0 {
		return content, end, nil
	}
	start := len(f.unquote) // there is room for all of the row, so that earlier fields stay where they are
	for {
		q := bytes.IndexByte(content, '"')
		if q < 0 {
			f.unquote = append(f.unquote, content...)
			return f.unquote[start:len(f.unquote):len(f.unquote)], end, nil
		}
		f.unquote = append(f.unquote, content[:q+1]...)
		content = content[q+2:]
	}
}
