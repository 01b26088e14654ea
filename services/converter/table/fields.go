package table

import (
	"bytes"
	"math/bits"

	"github.com/trainyard/trainyard/services/converter/reject"
)

// Fields cuts rows of CSV into fields. The zero value is not ready; make one with NewFields. It is for one goroutine.
type Fields struct {
	marked
	fields  [][]byte
	unquote []byte
}

// NewFields returns Fields for rows whose fields stand between commas.
func NewFields(comma byte) *Fields { return &Fields{marked: marked{comma: comma}} }

// Cut returns the fields of a row, which a CSV Splitter found, without their quotes. They stay until the next call. A field without quotes is part of row.
func (f *Fields) Cut(row []byte) ([][]byte, *RowError) {
	f.load(row)
	return f.cut(0, len(row))
}

// cut cuts the row that lies from start to end in the data that were loaded.
func (f *Fields) cut(start, end int) ([][]byte, *RowError) {
	fields, row, w := f.fields[:0], f.data[:end], start/markedBytes
	f.unquote = f.unquote[:0]
	ahead := f.marks[w].comma >> (start % markedBytes) << (start % markedBytes) // commas of the block w from start on
	for first := start; ; {
		at := end // of the comma behind the field
		if start < end && row[start] == '"' {
			var doubled bool
			if at, doubled = f.closingQuote(start, end); at > end {
				return nil, rowError(reject.MalformedRow, "field %d has an opening quote that is never closed; close it, or put the field in quotes and double the quotes within", len(fields)+1)
			}
			if at < end && row[at] != f.comma {
				return nil, rowError(reject.MalformedRow, "field %d has text behind its closing quote; double the quotes within a quoted field", len(fields)+1)
			}
			field := row[start+1 : at-1 : at-1]
			if doubled {
				field = f.undouble(field, end-first)
			}
			fields = append(fields, field)
			w = at / markedBytes
			ahead = f.marks[w].comma >> (at % markedBytes) & ^uint64(1) << (at % markedBytes)
		} else {
			for ; ahead == 0 && (w+1)*markedBytes < end; ahead = f.marks[w].comma {
				w++
			}
			if ahead != 0 {
				at = min(end, w*markedBytes+bits.TrailingZeros64(ahead))
				ahead &= ahead - 1
			}
			fields = append(fields, row[start:at:at])
		}
		if at == end {
			break
		}
		if len(fields) >= MaxColumns {
			return nil, rowError(reject.TooManyColumns, "the row has more than %d fields, the limit", MaxColumns)
		}
		start = at + 1
	}
	if f.fields = fields; len(fields) > MaxColumns {
		return nil, rowError(reject.TooManyColumns, "the row has more than %d fields, the limit", MaxColumns)
	}
	return fields, nil
}

// usual tells whether the data that were loaded are a row of as many fields as there are columns, none of them with quotes in quotes, and leaves in ends where
// each of them ends. What else is a row it leaves to cutRow.
func (f *Fields) usual(columns int) bool {
	if len(f.data) == 0 || f.separate(0) < len(f.data) || len(f.ends) != columns {
		return false
	}
	var odd uint64
	for i := range f.marks {
		odd |= f.marks[i].odd
	}
	quotes, start := 0, 0
	for _, end := range f.ends {
		quotes += 2 * f.quoteAt(start)
		start = int(end) + 1
	}
	return quotes == f.quotes && (odd == 0 || CheckText(f.data) == nil)
}

// quoteAt is 1 if a field that begins at start is in quotes, otherwise 0.
func (m *marked) quoteAt(start int) (n int) {
	if m.data[min(start, len(m.data)-1)] == '"' { // behind the end there is an empty field, and before it a comma
		n = 1
	}
	return n
}

// undouble returns the content of a quoted field with each quote once. row is how long the row is.
func (f *Fields) undouble(content []byte, row int) []byte {
	if cap(f.unquote) < row {
		f.unquote = make([]byte, 0, 2*row)
	}
	start := len(f.unquote) // there is room for all of the row, so that earlier fields stay where they are
	for {
		q := bytes.IndexByte(content, '"')
		if q < 0 {
			f.unquote = append(f.unquote, content...)
			return f.unquote[start:len(f.unquote):len(f.unquote)]
		}
		f.unquote = append(f.unquote, content[:q+1]...)
		content = content[q+2:]
	}
}
