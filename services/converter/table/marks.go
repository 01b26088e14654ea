package table

import (
	"encoding/binary"
	"math/bits"
	"slices"
)

// marks have a bit for each of 64 bytes, the lowest for the first. Rows and fields are found by them, several times faster than byte by byte.
type marks struct {
	comma, line, quote uint64
	odd                uint64 // bytes beyond ASCII, and NUL
}

const markedBytes = 64

// marked is text of CSV with the marks of its bytes. It is for one goroutine.
type marked struct {
	comma byte
	data  []byte
	marks []marks // and one without any behind them

	quote, line int // the next ones behind where they were last looked for
}

// load notes the marks of data.
func (m *marked) load(data []byte) {
	whole := len(data) / markedBytes
	m.data, m.quote, m.line = data, -1, -1
	m.marks = slices.Grow(m.marks[:0], whole+2)[:whole+2]
	markAll(m.marks[:whole], data, m.comma)
	m.marks[whole], m.marks[whole+1] = marks{}, marks{}
	if rest := data[whole*markedBytes:]; len(rest) > 0 {
		var padded [markedBytes]byte
		copy(padded[:], rest)
		markAll(m.marks[whole:whole+1], padded[:], m.comma)
	}
}

// markAll notes the marks of as many blocks of data as there is room for.
func markAll(to []marks, data []byte, comma byte) {
	if len(to) == 0 {
		return
	}
	if fastMarks {
		markBlocks(&to[0], &data[0], len(to), comma)
		return
	}
	for i := range to {
		to[i] = markBlock(data[i*markedBytes:], comma)
	}
}

// markBlock is markBlocks for one block, on any processor.
func markBlock(data []byte, comma byte) (m marks) {
	const ones, low, high = 0x0101010101010101, 0x7f7f7f7f7f7f7f7f, 0x8080808080808080
	// gather brings the high bits of eight bytes together.
	gather := func(v uint64) uint64 { return v & high >> 7 * 0x0102040810204080 >> 56 }
	// equal has the high bit of each byte that is zero.
	zero := func(v uint64) uint64 { return ^((v&low + low) | v | low) }
	for i := 0; i < markedBytes; i += 8 {
		v := binary.LittleEndian.Uint64(data[i:])
		m.comma |= gather(zero(v^uint64(comma)*ones)) << i
		m.line |= gather(zero(v^'\n'*ones)) << i
		m.quote |= gather(zero(v^'"'*ones)) << i
		m.odd |= gather(zero(v)|v) << i
	}
	return m
}

// quoteFrom returns where the first quote from i on is, or the length of the data.
func (m *marked) quoteFrom(i int) int {
	w := i / markedBytes
	x := m.marks[w].quote >> (i % markedBytes) << (i % markedBytes)
	for x == 0 {
		if w++; w == len(m.marks) {
			return len(m.data)
		}
		x = m.marks[w].quote
	}
	return w*markedBytes + bits.TrailingZeros64(x)
}

// lineFrom is the same for line ends.
func (m *marked) lineFrom(i int) int {
	w := i / markedBytes
	x := m.marks[w].line >> (i % markedBytes) << (i % markedBytes)
	for x == 0 {
		if w++; w == len(m.marks) {
			return len(m.data)
		}
		x = m.marks[w].line
	}
	return w*markedBytes + bits.TrailingZeros64(x)
}

// row finds the row that begins at i, as split does, which is the Splitter of CSV. Rows are asked for in their order.
func (m *marked) row(i int, split Splitter) Span {
	s, ok := m.usualRow(i)
	if !ok {
		s = split(m.data[i:], true)
		s.Start, s.End, s.Next = i+s.Start, i+s.End, i+s.Next
	}
	return s
}

// usualRow finds the row that begins at i, but for what isn't common: a row whose end isn't in the data, and one with text behind a closing quote.
func (m *marked) usualRow(i int) (s Span, ok bool) {
	start := i
rows:
	for {
		if m.line < i {
			m.line = m.lineFrom(i)
		}
		if m.quote < i {
			m.quote = m.quoteFrom(i)
		}
		line, q := m.line, m.quote
		for q < line && q > i && m.data[q-1] != m.comma { // stands within a field
			q = m.quoteFrom(q + 1)
			m.quote = q
		}
		if q >= line {
			if line == len(m.data) {
				break rows
			}
			return m.span(start, line), true
		}
		end, _ := m.closingQuote(q, len(m.data))
		if end >= len(m.data) {
			break rows
		}
		switch c := m.data[end]; {
		case c == m.comma:
			i = end + 1
		case c == '\n':
			return m.span(start, end), true
		case c == '\r' && end+1 < len(m.data) && m.data[end+1] == '\n':
			return m.span(start, end+1), true
		default:
			break rows
		}
	}
	m.quote, m.line = -1, -1 // the row may end before the place that was come to
	return Span{}, false
}

// span is a row whose line end is at n.
func (m *marked) span(start, n int) Span {
	s := lineTo(m.data[start:], n-start)
	return Span{Start: start, End: start + s.End, Next: start + s.Next}
}

// closingQuote returns the place behind the quote that closes the one at q, and whether there are doubled quotes between
// them. If there is none before end, the place is behind end.
func (m *marked) closingQuote(q, end int) (at int, doubled bool) {
	for {
		at = m.quoteFrom(q+1) + 1
		if at >= end || m.data[at] != '"' {
			return at, doubled
		}
		q, doubled = at, true
	}
}

// isOdd tells whether there are bytes beyond ASCII, or NUL, from start to end.
func (m *marked) isOdd(start, end int) bool {
	w, last := start/markedBytes, end/markedBytes
	x := m.marks[w].odd >> (start % markedBytes) << (start % markedBytes)
	for ; w < last; w++ {
		if x != 0 {
			return true
		}
		x = m.marks[w+1].odd
	}
	return x<<(markedBytes-1-end%markedBytes)<<1 != 0
}
