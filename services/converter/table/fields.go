package table

import (
	"bytes"
	"encoding/binary"
	"math/bits"

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
	const ones, low, high = 0x0101010101010101, 0x7f7f7f7f7f7f7f7f, 0x8080808080808080
	commas := uint64(f.comma) * ones
	f.unquote = f.unquote[:0]
	fields, start, i := f.fields[:0], 0, 0 // start of the field, and the place up to which it has been searched
	for {
		if start < len(row) && row[start] == '"' {
			if cap(f.unquote) < len(row) {
				f.unquote = make([]byte, 0, 2*len(row))
			}
			field, n, err := f.quotedField(row[start:], len(fields))
			if err != nil {
				return nil, err
			}
			fields = append(fields, field)
			if start += n; start == len(row) {
				break
			}
			start++
			i = start
		} else if i+8 <= len(row) {
			// Eight bytes at a time, because most fields are short. The mask has the high bit of each byte that is the comma.
			c := binary.LittleEndian.Uint64(row[i:]) ^ commas
			mask := ^((c&low + low) | c | low) & high
			from := i
			i += 8
			for ; mask != 0; mask &= mask - 1 {
				at := from + bits.TrailingZeros64(mask)>>3
				fields = append(fields, row[start:at:at])
				if start = at + 1; start < len(row) && row[start] == '"' {
					break
				}
			}
		} else {
			for i < len(row) && row[i] != f.comma {
				i++
			}
			if i == len(row) {
				fields = append(fields, row[start:])
				break
			}
			fields = append(fields, row[start:i:i])
			i++
			start = i
		}
		if len(fields) >= MaxColumns {
			return nil, rowError(reject.TooManyColumns, "the row has more than %d fields, the limit", MaxColumns)
		}
	}
	if f.fields = fields; len(fields) > MaxColumns {
		return nil, rowError(reject.TooManyColumns, "the row has more than %d fields, the limit", MaxColumns)
	}
	return fields, nil
}

// quotedField returns the content of the quoted field that row begins with and how long it is with its quotes. before is how many fields precede it.
func (f *Fields) quotedField(row []byte, before int) ([]byte, int, *RowError) {
	end, closed := closingQuote(row, 1)
	if !closed {
		return nil, 0, rowError(reject.MalformedRow, "field %d has an opening quote that is never closed; close it, or put the field in quotes and double the quotes within", before+1)
	}
	if end < len(row) && row[end] != f.comma {
		return nil, 0, rowError(reject.MalformedRow, "field %d has text behind its closing quote; double the quotes within a quoted field", before+1)
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
