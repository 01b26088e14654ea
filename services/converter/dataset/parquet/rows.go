package parquet

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/trainyard/trainyard/services/converter/dataset"
	"github.com/trainyard/trainyard/services/converter/reject"
)

// A row in the neutral form is a status, then each column's value in the order of the columns' keys.
//
//	statusRow     the columns follow
//	statusLarge   the row is left out; its size follows as a uvarint
//
// A column that lies in no list is a byte, 1 or 0 for missing, and the value if it is there. One in lists is a uvarint of how many
// entries it has, for each the repetition level, for each the depth, and the values of all entries that have one. Depth d says that
// there is an element in the first d lists; one more, that it has a value.
//
// A number is a varint (kindInt, kindBool) or a little-endian float32 (kindFloat), anything else a uvarint of its length and its bytes.
const (
	statusRow   = 0
	statusLarge = 1
)

// A file may become minOut bytes, or maxExpansion times its size if that is more. Runs and dictionaries shrink what repeats, so that
// real files become up to some hundred times larger; a hostile one could a billion times.
const (
	minOut       = 64 << 20
	maxExpansion = 200
)

// rowReader puts rows together.
type rowReader struct {
	file    *file
	columns []*chunkReader
	row     []byte
	out     int64 // bytes of all rows so far
	most    int64 // that there may be
	levels  []byte
	values  []byte
	large   int // bytes of the row at hand if they are more than the limit
}

func (f *file) rows(columns []planned) *rowReader {
	r := &rowReader{file: f, most: max(minOut, maxExpansion*f.size)}
	held, unpack := &budget{}, &unpacker{}
	buffer := min(max(readBuffers/len(f.leaves), readBuffer), 256<<10)
	for i := range columns {
		r.columns = append(r.columns, &chunkReader{
			column: &columns[i], file: f, budget: held, unpack: unpack, in: bufio.NewReaderSize(nil, buffer),
		})
	}
	return r
}

// Transcode implements dataset.Transcoder.
func (Reader) Transcode(ctx context.Context, in dataset.File, data io.ReaderAt, row func([]byte) error) (err error) {
	f, err := open(in.Path, data, in.Size)
	if err != nil {
		return err
	}
	columns, err := f.plan()
	if err != nil {
		return err
	}
	return f.rows(columns).ahead(ctx, row)
}

// all calls row with all rows. An error of row comes back as it is.
func (r *rowReader) all(ctx context.Context, row func([]byte) error) error {
	for g := range r.file.footer.RowGroups {
		group := &r.file.footer.RowGroups[g]
		for _, c := range r.columns {
			c.reset(&group.Columns[c.column.node.leaf].MetaData)
		}
		for i := range group.NumRows {
			if err := r.next(ctx); err != nil {
				return r.explain(err, g, i)
			}
			if r.out += int64(len(r.row)); r.out > r.most {
				return tooLarge(r.file.path, "its rows have more than %d bytes once they are unpacked, %d times its size", r.most, r.most/r.file.size)
			}
			if err := row(r.row); err != nil {
				return err
			}
		}
		for _, c := range r.columns {
			if err := c.end(ctx); err != nil {
				return r.explain(err, g, group.NumRows)
			}
		}
	}
	return nil
}

// columnError says in which column something went wrong.
type columnError struct {
	column *planned
	err    error
}

func (e *columnError) Error() string { return e.column.node.name() + ": " + e.err.Error() }
func (e *columnError) Unwrap() error { return e.err }

// explain turns what is wrong with a page into a rejection that says where.
func (r *rowReader) explain(err error, group int, row int64) error {
	where := fmt.Sprintf("row group %d, about row %d", group, row)
	var c *columnError
	if errors.As(err, &c) {
		where = fmt.Sprintf("column %q, %s", c.column.node.name(), where)
	}
	var damaged damageError
	var codec unsupportedCodec
	switch {
	case errors.As(err, &damaged):
		return corrupt(r.file.path, "%s: %s", where, damaged)
	case errors.As(err, &codec):
		return unsupported(r.file.path, "%s", codec)
	case errors.Is(err, errTooMuchHeld):
		return tooLarge(r.file.path, "the pages that make up a row, one of each column, have more than %d bytes (%s). Write it with smaller pages, for example by pyarrow.parquet.write_table(…, data_page_size=64 << 10)", maxHeld, where)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return corrupt(r.file.path, "%s: it has less values than its row group has rows", where)
	}
	return err
}

// next puts the next row together in r.row.
func (r *rowReader) next(ctx context.Context) (err error) {
	r.row, r.large = append(r.row[:0], statusRow), 0
	for _, c := range r.columns {
		if c.i == c.n {
			if err := c.load(ctx); err != nil {
				return err
			}
		}
		if c.column.node.maxRep == 0 {
			r.flat(c)
		} else if err := r.list(ctx, c); err != nil {
			return &columnError{c.column, err}
		}
		if len(r.row) > dataset.MaxRowBytes {
			r.large += len(r.row)
			r.row = r.row[:1]
		}
	}
	if r.large > 0 {
		r.row = binary.AppendUvarint(append(r.row[:0], statusLarge), uint64(r.large+len(r.row))) //nolint:gosec // never negative
	}
	return nil
}

// load reads the column's next page. The library is called within.
func (r *chunkReader) load(ctx context.Context) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = damage("decoding a page failed (%v)", p)
		}
		if err != nil {
			err = &columnError{r.column, err}
		}
	}()
	return r.next(ctx)
}

// end checks that the column has no more values than its row group has rows.
func (r *chunkReader) end(ctx context.Context) error {
	if r.i == r.n {
		err := r.load(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return &columnError{r.column, damage("it has more values than its row group has rows")}
}

// flat appends the value of a column in no list.
func (r *rowReader) flat(c *chunkReader) {
	if c.column.node.maxDef > 0 && c.def[c.i] != c.column.node.maxDef {
		c.i++
		r.row = append(r.row, 0)
		return
	}
	c.i++
	r.row = c.column.convert.append(append(r.row, 1), c.value(c.v))
	c.v++
}

// list appends the values of a column in lists, which may go on in further pages.
func (r *rowReader) list(ctx context.Context, c *chunkReader) error {
	r.levels, r.values = r.levels[:0], r.values[:0]
	dropped := 0
	if c.rep[c.i] != 0 {
		return damage("a row begins with the repetition level %d", c.rep[c.i])
	}
	for first := true; ; first = false {
		if c.i == c.n {
			err := c.load(ctx)
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
		present := c.def[c.i] == c.column.node.maxDef
		if present {
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
		r.large += dropped
		return nil
	}
	n := len(r.levels) / 2
	r.row = binary.AppendUvarint(r.row, uint64(n)) //nolint:gosec // never negative
	for i := 0; i < len(r.levels); i += 2 {
		r.row = append(r.row, r.levels[i])
	}
	for i := 1; i < len(r.levels); i += 2 {
		r.row = append(r.row, r.levels[i])
	}
	r.row = append(r.row, r.values...)
	return nil
}

// append appends a value in the neutral form.
func (c *converter) append(dst, v []byte) []byte {
	switch c.to {
	case kindInt:
		return binary.AppendVarint(dst, c.int(v, c.mul, c.div))
	case kindBool:
		return append(dst, 2*v[0]) // the varint
	case kindFloat:
		return binary.LittleEndian.AppendUint32(dst, math.Float32bits(float32(c.float(v, c.scale))))
	}
	if c.uuid {
		dst = append(dst, 36)
		return appendUUID(dst, v)
	}
	dst = binary.AppendUvarint(dst, uint64(len(v)))
	return append(dst, v...)
}

// appendUUID appends the 36 characters of RFC 9562.
func appendUUID(dst, v []byte) []byte {
	const digits = "0123456789abcdef"
	for i, b := range v {
		if i == 4 || i == 6 || i == 8 || i == 10 {
			dst = append(dst, '-')
		}
		dst = append(dst, digits[b>>4], digits[b&15])
	}
	return dst
}

// tooLongRow is why a row is left out.
func tooLongRow(path string, size uint64) *reject.File {
	return reject.NewFile(path, reject.TooLarge, "the row has %d bytes; the limit is %d", size, dataset.MaxRowBytes)
}
