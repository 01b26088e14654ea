package table

import (
	"bytes"
	"errors"
	"io"
	"slices"

	"github.com/trainyard/trainyard/services/converter/dataset"
	"github.com/trainyard/trainyard/services/converter/reject"
)

// MaxUnclosed is how many quotes may be left open in a file. Each costs a second look at up to MaxRowBytes.
const MaxUnclosed = 32

// Blocks cuts a stream into runs of whole rows.
type Blocks struct {
	r        io.Reader
	split    Splitter
	marked   *marked // of CSV; nil: rows are found by split alone
	leave    func(*RowError)
	tail     []byte // read, but not given out
	offset   int64  // of the tail in the file
	line     int64  // that the tail begins on
	rows     int    // of the block before
	eof      bool
	unclosed int
}

// Block is a run of whole rows.
type Block struct {
	Data   []byte
	Offset int64    // in the file
	Line   int64    // that it begins on, from 1
	Rows   []Bounds // without blank lines and line ends
	marked *marked  // the data and what follows it; nil: unknown
}

// Bounds are where a row lies in a block's data.
type Bounds struct{ Start, End int32 }

// NewBlocks reads rows from r, which is at the given offset and line of a file. leave is told of rows that are too long,
// which are in no block.
func NewBlocks(r io.Reader, split Splitter, offset, line int64, leave func(*RowError)) *Blocks {
	return &Blocks{r: r, split: split, leave: leave, offset: offset, line: line}
}

// Next returns the next block, of about dataset.BlockBytes, in the memory of buf if it is large enough. It returns io.EOF behind
// the last, a *reject.Error for a file that is no table, or the error of the stream.
func (b *Blocks) Next(buf []byte) (Block, error) {
	data := append(buf[:0], b.tail...)
	b.tail = b.tail[:0]
	want := dataset.BlockBytes
	if len(data) >= want {
		want = 2 * len(data)
	}
	for {
		var err error
		if data, err = b.fill(data, min(want, MaxRowBytes+2)); err != nil {
			return Block{}, err
		}
		if len(data) == 0 {
			return Block{}, io.EOF
		}
		block := Block{Offset: b.offset, Line: b.line, Rows: make([]Bounds, 0, b.rows+b.rows/8)}
		end, err := b.cut(data, &block)
		if err != nil {
			return Block{}, err
		}
		if end > 0 {
			block.Data = data[:end]
			b.keep(block.Data, data[end:])
			if b.rows = len(block.Rows); b.rows > 0 {
				block.marked = b.marked
				return block, nil
			}
			data = append(data[:0], b.tail...) // blank lines alone
			b.tail = b.tail[:0]
			continue
		}
		if len(data) > MaxRowBytes {
			if data, err = b.skip(data); err != nil {
				return Block{}, err
			}
		}
		want = 2 * max(want, len(data))
	}
}

// fill reads until data has n bytes or the stream ends.
func (b *Blocks) fill(data []byte, n int) ([]byte, error) {
	if b.eof || len(data) >= n {
		return data, nil
	}
	have := len(data)
	data = slices.Grow(data, n-have)
	m, err := io.ReadFull(b.r, data[have:n])
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		b.eof, err = true, nil
	}
	return data[:have+m], err
}

// keep moves on behind the block and keeps what follows it.
func (b *Blocks) keep(block, rest []byte) {
	b.offset += int64(len(block))
	b.line += int64(bytes.Count(block, []byte{'\n'}))
	b.tail = append(b.tail[:0], rest...)
}

// cut finds the whole rows that data begins with and returns where they end.
func (b *Blocks) cut(data []byte, block *Block) (end int, err error) {
	if b.marked != nil {
		b.marked.load(data)
	}
	for end < len(data) {
		if data[end] == '\n' { // blank for every Splitter, and worth a short cut where there are millions
			end++
			continue
		}
		s := b.row(data, end)
		if s.Next == 0 && end == 0 && !b.eof && len(data) > MaxRowBytes && bytes.IndexByte(data, '\n') >= 0 {
			// Too long for a row, because something isn't closed or because it is.
			if s = b.split(data, true); !s.Unclosed {
				break
			}
		}
		if s.Next == 0 {
			break
		}
		if s.Unclosed {
			if b.unclosed++; b.unclosed > MaxUnclosed {
				line := b.line + int64(bytes.Count(data[:end], []byte{'\n'}))
				return 0, reject.New(reject.MalformedTable, "More than %d quotes or brackets are opened and not closed within %d bytes, the last on line %d. Close them, or double each quote within a quoted field.",
					MaxUnclosed, MaxRowBytes, line)
			}
		}
		if s.End > s.Start {
			block.Rows = append(block.Rows, Bounds{int32(end + s.Start), int32(end + s.End)}) //nolint:gosec // less than twice MaxRowBytes
		}
		end += s.Next
	}
	return end, nil
}

// row finds the row that begins at i, from there.
func (b *Blocks) row(data []byte, i int) Span {
	if b.marked != nil {
		if s, ok := b.marked.usualRow(i); ok {
			return Span{End: s.End - i, Next: s.Next - i}
		}
	}
	return b.split(data[i:], b.eof)
}

// skip drops a row that is too long, up to the end of its line.
func (b *Blocks) skip(data []byte) ([]byte, error) {
	e := rowError(reject.TooLarge, "the row has more than %d bytes, the limit for one; is a line end or a closing quote missing? What follows on its line is left out with it", MaxRowBytes)
	e.Line = b.line
	b.leave(e)
	for {
		if n := bytes.IndexByte(data, '\n'); n >= 0 {
			b.offset += int64(n) + 1
			b.line++
			return append(data[:0], data[n+1:]...), nil
		}
		b.offset += int64(len(data))
		if b.eof {
			return data[:0], nil
		}
		var err error
		if data, err = b.fill(data[:0], dataset.BlockBytes); err != nil {
			return nil, err
		}
	}
}

// Row is one row of a stream.
type Row struct {
	Data []byte // without its line end, until the next row is read
	Line int64  // that it begins on, from 1
}

// Scanner reads the rows of a stream one after another.
type Scanner struct {
	blocks *Blocks
	split  Splitter
	block  Block
	left   []*RowError
	err    error
	buf    []byte
}

// NewScanner reads the rows of r, which is at its beginning or behind its byte order mark.
func NewScanner(r io.Reader, split Splitter) *Scanner {
	s := &Scanner{split: split}
	s.blocks = NewBlocks(r, split, 0, 1, func(e *RowError) { s.left = append(s.left, e) })
	return s
}

// Next returns the next row. A *RowError is a row that is left out, after which reading goes on; io.EOF comes
// behind the last row, and any other error ends it as well.
func (s *Scanner) Next() (Row, error) {
	for {
		if len(s.left) > 0 {
			e := s.left[0]
			s.left = s.left[1:]
			return Row{Line: e.Line}, e
		}
		for len(s.block.Data) > 0 {
			span := s.split(s.block.Data, true)
			row := Row{Data: s.block.Data[span.Start:span.End], Line: s.block.Line}
			row.Line += int64(bytes.Count(s.block.Data[:span.Start], []byte{'\n'}))
			s.block.Line += int64(bytes.Count(s.block.Data[:span.Next], []byte{'\n'}))
			s.block.Data = s.block.Data[span.Next:]
			if len(row.Data) > 0 {
				return row, nil
			}
		}
		if s.err != nil {
			return Row{}, s.err
		}
		if s.block, s.err = s.blocks.Next(s.buf); s.err == nil {
			s.buf = s.block.Data
		}
	}
}
