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
	comma  byte
	data   []byte
	marks  []marks  // the end of the data is marked as a line's, and there is one without any behind it
	ends   []uint32 // see separate
	quotes int      // that separate found

	quote, line int // the next ones behind where they were last looked for
}

// load notes the marks of data.
func (m *marked) load(data []byte) {
	whole := len(data) / markedBytes
	m.data, m.quote, m.line = data, -1, -1
	m.marks = slices.Grow(m.marks[:0], whole+2)[:whole+2]
	markAll(m.marks[:whole], data, m.comma)
	m.marks[whole], m.marks[whole+1] = marks{}, marks{}
	if rest := len(data) % markedBytes; rest > 0 {
		last := &m.marks[whole]
		if whole > 0 {
			markAll(m.marks[whole:whole+1], data[len(data)-markedBytes:], m.comma)
			last.behind(markedBytes - rest)
		} else {
			var padded [markedBytes]byte
			copy(padded[markedBytes-rest:], data)
			markAll(m.marks[:1], padded[:], m.comma)
			last.behind(markedBytes - rest)
		}
	}
	m.marks[whole].line |= 1 << (len(data) % markedBytes)
}

// behind leaves out the marks of the first n bytes.
func (m *marks) behind(n int) {
	m.comma, m.line, m.quote, m.odd = m.comma>>n, m.line>>n, m.quote>>n, m.odd>>n
}

// separate lists the ends of all fields from the row on that begins at from, in the data's order: the commas and line ends that aren't in quotes. It comes
// as far as it returns: to the end of the data, or to where a quote stands that isn't one of two around a field or of two within these.
func (m *marked) separate(from int) (until int) {
	const atOnce = 8
	first, last := from/markedBytes, len(m.data)/markedBytes
	all := ^uint64(0) << (from % markedBytes) // bytes that are looked at
	may := uint64(1) << (from % markedBytes)  // where a quote may open
	var inside, closed uint64
	ends, count := m.ends[:cap(m.ends)], 0
	m.quotes = 0
	for w := first; w <= last; w++ {
		k := &m.marks[w]
		quotes := k.quote & all
		in := quotes ^ quotes<<1 // from a quote that opens to before the one that closes
		in ^= in << 2
		in ^= in << 4
		in ^= in << 8
		in ^= in << 16
		in ^= in<<32 ^ inside
		end := (k.comma | k.line) & all &^ in
		closing := quotes &^ in
		if quotes&in&^((end|closing)<<1|may)|(closing<<1|closed)&^(end|quotes) != 0 {
			m.ends = ends[:count]
			return w * markedBytes
		}
		inside, may, closed, all = uint64(int64(in)>>63), (end|closing)>>63, closing>>63, ^uint64(0) //nolint:gosec // the sign, everywhere
		m.quotes += bits.OnesCount64(quotes)
		if len(ends)-count < markedBytes+atOnce {
			ends = slices.Grow(ends[:count], 2*count+markedBytes+atOnce)
			ends = ends[:cap(ends)]
		}
		// How many there are is a matter of chance. Several are written in any case, so that the processor has nothing to guess.
		base, at := uint32(w*markedBytes), count //nolint:gosec // less than twice MaxRowBytes
		count += bits.OnesCount64(end)
		for {
			to := (*[atOnce]uint32)(ends[at:])
			to[0], end = base+uint32(bits.TrailingZeros64(end)), end&(end-1)
			to[1], end = base+uint32(bits.TrailingZeros64(end)), end&(end-1)
			to[2], end = base+uint32(bits.TrailingZeros64(end)), end&(end-1)
			to[3], end = base+uint32(bits.TrailingZeros64(end)), end&(end-1)
			to[4], end = base+uint32(bits.TrailingZeros64(end)), end&(end-1)
			to[5], end = base+uint32(bits.TrailingZeros64(end)), end&(end-1)
			to[6], end = base+uint32(bits.TrailingZeros64(end)), end&(end-1)
			to[7], end = base+uint32(bits.TrailingZeros64(end)), end&(end-1)
			if end == 0 {
				break
			}
			at += atOnce
		}
	}
	m.ends = ends[:count]
	return len(m.data)
}

// use takes the marks of another, which are not to be changed meanwhile, if there is one.
func (m *marked) use(other *marked) {
	if other != nil {
		m.data, m.marks, m.quote, m.line = other.data, other.marks, -1, -1
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
