package parquet

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math"

	"github.com/trainyard/trainyard/services/converter/dataset"
)

// Rows are put together column by column, a batch at a time, so that what a column is has to be asked once a batch and not once a value.
const (
	batchBytes = dataset.BlockBytes // that are handed over at once, about
	batchRows  = 1024               // that are put together at once
	batchCells = 1 << 18            // rows × columns, so that what is noted of them stays small
)

// batch is a run of rows.
type batch struct {
	dataset.Rows
	size int // bytes that they would have if no text was coded
}

func (b *batch) reset() {
	if cap(b.Data) > max(4*batchBytes, 4*len(b.Data)) { // of a row that was long, unless the last one was as well
		b.Data = nil
	}
	b.Data, b.Ends, b.Labels, b.size = b.Data[:0], b.Ends[:0], b.Labels[:0], 0
}

// span is where a value begins and ends.
type span struct{ start, end uint32 }

// fill puts the next rows into b, or returns io.EOF. An error comes behind the rows before it.
func (r *rowReader) fill(ctx context.Context, b *batch) error {
	b.reset()
	for b.size < batchBytes && r.failed == nil {
		r.failed = r.more(ctx, b)
	}
	if len(b.Ends) > 0 {
		return nil
	}
	return r.failed
}

// more appends rows to b, all of one row group.
func (r *rowReader) more(ctx context.Context, b *batch) error {
	for r.left == 0 {
		if r.group >= 0 {
			for _, c := range r.columns {
				if err := c.end(ctx, r.decoder); err != nil {
					return r.explain(err)
				}
			}
		}
		if r.group++; r.group == len(r.file.footer.RowGroups) {
			return io.EOF
		}
		group := &r.file.footer.RowGroups[r.group]
		for _, c := range r.columns {
			c.reset(&group.Columns[c.column.node.leaf].MetaData)
			r.decoder.ask(c)
		}
		r.left, r.row = group.NumRows, 0
		r.lists.reset()
	}
	n, err := r.gather(ctx, batchBytes-b.size)
	if err != nil {
		return r.explain(err)
	}
	if n, err = r.assemble(b, n); err != nil {
		return err
	}
	r.left -= int64(n)
	r.row += int64(n)
	return nil
}

// gather finds the values of the next rows and returns how many rows all columns have at hand, and not many more than there is room for.
func (r *rowReader) gather(ctx context.Context, room int) (int, error) {
	n := int(min(r.left, batchRows, max(1, int64(batchCells/len(r.columns))), 1+int64(room/r.usual)))
	for _, c := range r.columns {
		if c.column.Lists > 0 {
			continue
		}
		if c.i == c.n {
			if err := c.load(ctx, r.decoder); err != nil {
				return 0, err
			}
		}
		n = min(n, c.n-c.i)
	}
	if r.lists.columns == 0 {
		return n, nil
	}
	return r.listed(ctx, n)
}

// lists are the values of columns in lists, put together row by row and not yet in a row. What is left from one batch comes first in the next.
type lists struct {
	columns int // how many there are
	data    []byte
	spans   []span // in data: of the first row's columns, then of the second's
	rows    int    // that there are
	used    int    // of these
	long    int    // bytes of the last row if they are more than a row may have, and not in data
}

// reset forgets all rows.
func (l *lists) reset() {
	if cap(l.data) > max(2*batchBytes, 4*len(l.data)) {
		l.data = nil
	}
	l.data, l.spans, l.rows, l.used, l.long = l.data[:0], l.spans[:0], 0, 0, 0
}

// at is where the values of the row's j-th column are.
func (l *lists) at(row, j int) span { return l.spans[(l.used+row)*l.columns+j] }

// listed puts together the lists of n rows, or of fewer if they are long.
func (r *rowReader) listed(ctx context.Context, n int) (int, error) {
	l := &r.lists
	if l.used == l.rows {
		l.reset()
	}
	for l.rows-l.used < n && len(l.data) < batchBytes && l.long == 0 {
		start := len(l.data)
		for _, c := range r.columns {
			if c.column.Lists == 0 {
				continue
			}
			from := len(l.data)
			if err := r.list(ctx, c); err != nil {
				return 0, &columnError{c.column, err}
			}
			if len(l.data)-start > dataset.MaxRowBytes {
				l.long += len(l.data) - start
				l.data = l.data[:start]
				from = start
			}
			l.spans = append(l.spans, span{uint32(from), uint32(len(l.data))}) //nolint:gosec // at most batchBytes and a row
		}
		if l.long > 0 {
			l.long += len(l.data) - start
			l.data = l.data[:start]
		}
		l.rows++
	}
	return min(n, l.rows-l.used), nil
}

// assemble appends rows to b of which all columns have n at hand, and returns how many it took.
func (r *rowReader) assemble(b *batch, n int) (int, error) {
	r.sizes = sized(r.sizes, n)
	for i := range r.sizes {
		r.sizes[i] = r.layout.head - r.layout.codes
	}
	for _, c := range r.columns {
		if !c.fixed && c.column.Lists == 0 {
			c.measure(r.sizes)
		}
	}
	if r.lists.columns > 0 {
		r.lists.measure(r.sizes)
	}
	full := 0 // bytes
	for i, size := range r.sizes {
		if most := size + r.layout.codes; most > dataset.MaxRowBytes {
			if i == 0 {
				return 1, r.leaveOut(b, most)
			}
			n = i
			break
		}
		if full += size; b.size+full >= batchBytes {
			n = i + 1
			break
		}
	}
	b.size += full
	labels := r.observer.begin(b, n, full)
	for i := range r.columns {
		r.code(i, r.sizes[:n], r.observer.labelsOf(i, labels))
	}
	r.starts, r.at = sized(r.starts, n), sized(r.at, n)
	end := len(b.Data)
	for i, size := range r.sizes[:n] {
		r.starts[i], r.at[i] = end, end+r.layout.head
		end += size + r.layout.codes
		b.Ends = append(b.Ends, end)
	}
	if cap(b.Data) < end {
		b.Data = append(make([]byte, 0, max(2*batchBytes, end+end/8)), b.Data...) // with room for what the engine writes behind them
	}
	b.Data = b.Data[:end]
	for _, start := range r.starts {
		clear(b.Data[start : start+1+(len(r.columns)+7)/8])
	}
	list := 0
	for i, c := range r.columns {
		switch {
		case c.fixed:
			r.numbers(b.Data, i)
			r.observer.numbers(i, b.Data, r.starts, labels)
		case c.column.Lists > 0:
			for row := range n {
				s := r.lists.at(row, list)
				value := r.lists.data[s.start:s.end]
				r.at[row] += copy(b.Data[r.at[row]:], value)
				r.observer.list(i, value)
			}
			list++
		case c.column.Coded:
			r.coded(b.Data, i)
		default:
			r.observer.values(i, c, n)
			r.bytes(b.Data, i)
		}
	}
	r.observer.absences(b.Data, r.starts)
	r.usual = full / n
	r.lists.used += n
	return n, r.count(int64(full - n*(r.layout.head-r.layout.codes) + n*len(r.columns)))
}

// measure adds what the lists take to the rows' sizes.
func (l *lists) measure(sizes []int) {
	for row := range sizes {
		for j := range l.columns {
			s := l.at(row, j)
			sizes[row] += int(s.end - s.start)
		}
	}
	if l.used+len(sizes) == l.rows {
		sizes[len(sizes)-1] += l.long
	}
}

// leaveOut puts a row into b that says that it is too long.
func (r *rowReader) leaveOut(b *batch, size int) error {
	begin := len(b.Data)
	b.Data = binary.AppendUvarint(append(b.Data, statusLarge), uint64(size)) //nolint:gosec // never negative
	b.Ends = append(b.Ends, len(b.Data))
	b.size += len(b.Data) - begin
	r.observer.leaveOut(b)
	for _, c := range r.columns {
		if c.column.Lists > 0 {
			continue
		}
		if c.present(c.i) {
			c.v++
		}
		c.i++
	}
	r.lists.used++
	return r.count(int64(len(b.Data) - begin))
}

// count bounds the bytes of all rows. A number that is missing counts as one byte, for a table may be large and nearly empty.
func (r *rowReader) count(bytes int64) error {
	if r.out += bytes; r.out > r.most {
		return tooLarge(r.file.path, "its rows have more than %d bytes once they are unpacked, %d times its size", r.most, r.most/r.file.size)
	}
	return nil
}

// present tells whether the i-th entry of the page has a value. The column lies in no list.
func (r *chunkReader) present(i int) bool {
	return r.column.node.maxDef == 0 || r.def[i] == r.column.node.maxDef
}

// measure finds the next values, one a row, and adds what they take to the rows' sizes.
func (r *chunkReader) measure(sizes []int) {
	n := len(sizes)
	r.spans = sized(r.spans, n)
	switch whole := r.whole(n); {
	case whole && r.indexed && r.dictionary.width < 0:
		offsets, prefix := r.dictionary.offsets, r.dictionary.prefix
		for i, index := range r.indices[r.v : r.v+n] {
			r.spans[i] = span{offsets[index] + prefix, offsets[index+1]}
		}
	case whole && !r.indexed && r.values.width < 0:
		start := r.values.offsets[r.v]
		for i, end := range r.values.offsets[r.v+1 : r.v+1+n] {
			r.spans[i] = span{start + r.values.prefix, end}
			start = end
		}
	default:
		r.someSpans()
		for i, s := range r.spans {
			if s.start <= s.end {
				sizes[i] += r.taken(s)
			}
		}
		return
	}
	for i, s := range r.spans {
		size := s.end - s.start
		sizes[i] += uvarintSize(size) + int(size)
	}
}

// someSpans finds the next values, of which some may be missing.
func (r *chunkReader) someSpans() {
	v := r.v
	for i := range r.spans {
		switch {
		case !r.present(r.i + i):
			r.spans[i] = span{math.MaxUint32, 0}
			continue
		case r.indexed:
			r.spans[i] = r.dictionary.span(int(r.indices[v]))
		default:
			r.spans[i] = r.values.span(v)
		}
		v++
	}
}

// taken is how many bytes of a row a text or bytes take.
func (r *chunkReader) taken(s span) int {
	size := s.end - s.start
	if r.column.convert.uuid {
		size = uuidLength
	}
	return uvarintSize(size) + int(size)
}

func uvarintSize(n uint32) int {
	switch {
	case n < 1<<7:
		return 1
	case n < 1<<14:
		return 2
	case n < 1<<21:
		return 3
	case n < 1<<28:
		return 4
	}
	return 5
}

// bytes writes a column of texts or bytes in no list.
func (r *rowReader) bytes(data []byte, column int) {
	c := r.columns[column]
	from := c.from()
	for i, s := range c.spans[:len(r.at)] {
		if s.start > s.end {
			r.missing(data, i, column)
			continue
		}
		c.v++
		r.at[i] = c.put(data, r.at[i], from[s.start:s.end])
	}
	c.i += len(r.at)
}

// from is what the spans are in.
func (r *chunkReader) from() []byte {
	if r.indexed {
		return r.dictionary.data
	}
	return r.values.data
}

// put writes a text or bytes and returns where it ends.
func (r *chunkReader) put(data []byte, at int, value []byte) int {
	switch {
	case r.column.convert.uuid:
		data[at] = uuidLength
		appendUUID(data[:at+1], value)
		return at + 1 + uuidLength
	case len(value) < 1<<7:
		data[at] = byte(len(value))
		at++
	default:
		at += binary.PutUvarint(data[at:], uint64(len(value)))
	}
	return at + copy(data[at:], value)
}

// missing notes that a row has no value in a column.
func (r *rowReader) missing(data []byte, row, column int) {
	data[r.starts[row]+1+column>>3] |= 1 << (column & 7)
}

// whole tells whether each of the next n entries of the page has a value. The column lies in no list.
func (r *chunkReader) whole(n int) bool {
	highest := r.column.node.maxDef
	return highest == 0 || bytes.Count(r.def[r.i:r.i+n], []byte{highest}) == n
}

// numbers writes a column of values of fixed length.
func (r *rowReader) numbers(data []byte, column int) {
	c, at, width := r.columns[column], r.layout.at[column], r.layout.form[column].width()
	convert, n := &c.column.convert, len(r.starts)
	switch whole := c.whole(n); {
	case !whole:
		r.someNumbers(data, column)
		return
	case c.indexed:
		for i, index := range c.indices[c.v : c.v+n] {
			put(data[r.starts[i]+at:], width, c.numbers[index])
		}
	case convert.same && width == 8 && convert.width == 8:
		from := c.values.data[8*c.v:]
		for _, start := range r.starts {
			binary.LittleEndian.PutUint64(data[start+at:], binary.LittleEndian.Uint64(from))
			from = from[8:]
		}
	case convert.same && width == 4 && convert.width == 4:
		from := c.values.data[4*c.v:]
		for _, start := range r.starts {
			binary.LittleEndian.PutUint32(data[start+at:], binary.LittleEndian.Uint32(from))
			from = from[4:]
		}
	case convert.double:
		from := c.values.data[8*c.v:]
		for _, start := range r.starts {
			v := math.Float32bits(float32(math.Float64frombits(binary.LittleEndian.Uint64(from))))
			binary.LittleEndian.PutUint32(data[start+at:], v)
			from = from[8:]
		}
	case c.values.width == 0:
		for i, start := range r.starts {
			v := c.v + i
			data[start+at] = c.values.data[v>>3] >> (v & 7) & 1
		}
	default:
		for i, start := range r.starts {
			put(data[start+at:], width, convert.bits(c.values.at(c.v+i)))
		}
	}
	c.v += n
	c.i += n
}

// someNumbers writes a column of which some have no value.
func (r *rowReader) someNumbers(data []byte, column int) {
	c, at, width := r.columns[column], r.layout.at[column], r.layout.form[column].width()
	for i, start := range r.starts {
		value := uint64(0)
		switch {
		case !c.present(c.i + i):
			r.missing(data, i, column)
		case c.indexed:
			value = c.numbers[c.indices[c.v]]
			c.v++
		default:
			value = c.column.convert.bits(c.values.at(c.v))
			c.v++
		}
		put(data[start+at:], width, value)
	}
	c.i += len(r.starts)
}

// put writes a value of fixed length.
func put(to []byte, width int, value uint64) {
	switch width {
	case 8:
		binary.LittleEndian.PutUint64(to, value)
	case 4:
		binary.LittleEndian.PutUint32(to, uint32(value)) //nolint:gosec // all that it has
	default:
		to[0] = byte(value) //nolint:gosec // 0 or 1
	}
}

// list appends the values of a column in lists, which may go on in further pages. Those that are too long are only counted.
func (r *rowReader) list(ctx context.Context, c *chunkReader) error {
	r.levels, r.values = r.levels[:0], r.values[:0]
	dropped := 0
	if c.i == c.n {
		if err := c.load(ctx, r.decoder); err != nil {
			return err
		}
	}
	if c.rep[c.i] != 0 {
		return damage("a row begins with the repetition level %d", c.rep[c.i])
	}
	for first := true; ; first = false {
		if c.i == c.n {
			err := c.load(ctx, r.decoder)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return err
			}
		}
		if c.rep[c.i] == 0 && !first {
			break
		}
		depth := byte(0)
		for _, d := range c.column.defs {
			if c.def[c.i] >= d {
				depth++
			}
		}
		if c.def[c.i] == c.column.node.maxDef {
			depth++
			r.values = c.column.convert.append(r.values, c.value(c.v))
			c.v++
		}
		r.levels = append(r.levels, c.rep[c.i], depth)
		c.i++
		if len(r.levels)+len(r.values) > dataset.MaxRowBytes { // the row is left out, but has to be read to its end
			dropped += len(r.levels) + len(r.values)
			r.levels, r.values = r.levels[:0], r.values[:0]
		}
	}
	if dropped > 0 {
		r.lists.long += dropped + len(r.levels) + len(r.values)
		return nil
	}
	to := binary.AppendUvarint(r.lists.data, uint64(len(r.levels)/2)) //nolint:gosec // never negative
	for i := 0; i < len(r.levels); i += 2 {
		to = append(to, r.levels[i])
	}
	for i := 1; i < len(r.levels); i += 2 {
		to = append(to, r.levels[i])
	}
	r.lists.data = append(to, r.values...)
	return nil
}
