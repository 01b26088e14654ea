package table

import (
	"bytes"
	"fmt"

	"github.com/trainyard/trainyard/services/converter/reject"
)

// Limits of a row.
const (
	MaxRowBytes = 1 << 20
	MaxColumns  = 4096
)

// RowError says why a row is left out.
type RowError struct {
	Line    int64 // on which the row begins, from 1; 0 if the caller knows it better
	Reason  reject.Reason
	Message string
}

func (e *RowError) Error() string {
	return fmt.Sprintf("line %d: %s: %s", e.Line, e.Reason, e.Message)
}

func rowError(reason reject.Reason, format string, args ...any) *RowError {
	return &RowError{Reason: reason, Message: fmt.Sprintf(format, args...)}
}

// Span says where a row lies. A blank line is a row of no length.
type Span struct {
	Start, End int  // the row without its line end
	Next       int  // where what follows begins; 0: the row's end is not in the data
	Unclosed   bool // a quote, brace or bracket isn't closed, so that the row is just its first line
}

// Splitter finds the row at the beginning of data. With whole set, nothing follows data. What it finds depends on nothing
// behind the row's end, so that a run of whole rows is split alone as it is within its file.
type Splitter func(data []byte, whole bool) Span

// Lines splits at line ends, LF or CR LF.
func Lines(data []byte, whole bool) Span {
	n := bytes.IndexByte(data, '\n')
	if n < 0 {
		if !whole {
			return Span{}
		}
		return lineTo(data, len(data))
	}
	return lineTo(data, n)
}

// lineTo is a row that begins the data and whose line end is at n, or that ends with the data.
func lineTo(data []byte, n int) Span {
	s := Span{End: n, Next: min(n+1, len(data))}
	if n > 0 && data[n-1] == '\r' {
		s.End--
	}
	return s
}

// CSV returns the Splitter for rows whose fields stand between commas.
func CSV(comma byte) Splitter {
	return func(data []byte, whole bool) Span {
		n := bytes.IndexByte(data, '\n')
		if n < 0 {
			if !whole {
				return Span{}
			}
			n = len(data)
		}
		if bytes.IndexByte(data[:n], '"') < 0 {
			return lineTo(data, n)
		}
		return quotedRow(data, comma, n, whole)
	}
}

// quotedRow finds the end of a row that has a quote in its first line, which ends at first.
func quotedRow(data []byte, comma byte, first int, whole bool) Span {
	i, line := 0, first // line is where the line that i is in ends
	for {
		if i < len(data) && data[i] == '"' {
			end, closed := closingQuote(data, i+1)
			switch {
			case !whole && (!closed || end == len(data)): // what follows may close it, or double the last quote
				return Span{}
			case !closed:
				s := lineTo(data, first)
				s.Unclosed = true
				return s
			case end == len(data) || data[end] != comma:
				// The row ends here. If there is text behind the quote it ends with the line, and Fields refuses it.
				return toLineEnd(data, end, whole)
			}
			i = end + 1
			continue
		}
		if i > line {
			line = bytes.IndexByte(data[i:], '\n') + i
			if line < i {
				line = len(data)
			}
		}
		// Of unquoted fields, only where a quoted one follows is of interest here.
		q := i
		for {
			n := bytes.IndexByte(data[q:line], '"')
			if n < 0 {
				return toLineEnd(data, i, whole)
			}
			if q += n; data[q-1] == comma {
				break
			}
			q++
		}
		i = q
	}
}

// toLineEnd is the row that begins the data and ends with the line that i is in.
func toLineEnd(data []byte, i int, whole bool) Span {
	n := bytes.IndexByte(data[i:], '\n')
	if n < 0 {
		if !whole {
			return Span{}
		}
		return lineTo(data, len(data))
	}
	return lineTo(data, i+n)
}

// closingQuote returns the place behind the quote that closes the field whose content begins at i.
func closingQuote(data []byte, i int) (end int, closed bool) {
	for {
		q := bytes.IndexByte(data[i:], '"')
		if q < 0 {
			return len(data), false
		}
		i += q + 1
		if i == len(data) || data[i] != '"' {
			return i, true
		}
		i++
	}
}
