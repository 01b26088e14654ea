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

// A file may become minOut bytes, or maxExpansion times its size if that is more. Runs and dictionaries shrink what repeats, so that
// real files become up to some hundred times larger; a hostile one could a billion times.
const (
	minOut       = 64 << 20
	maxExpansion = 200
)

// rowReader puts rows together.
type rowReader struct {
	file     *file
	decoder  *decoder // nil: pages are decoded when they are needed
	columns  []*chunkReader
	observer *observer // nil: nobody learns from the rows
	words    []*words  // by column; nil: of no text, or none that repeats
	layout   layout
	group    int   // the row group at hand, -1 at first
	left     int64 // rows of it that are still to come
	row      int64 // the next of its rows
	usual    int   // bytes of a row, about
	out      int64 // bytes of all rows so far, as count counts them
	most     int64 // that there may be
	failed   error // what comes behind the rows so far

	// Of the batch at hand, by row:
	sizes  []int
	starts []int
	at     []int // where the next value of no fixed length belongs

	lists  lists
	levels []byte // of a list
	values []byte
	uuid   []byte
}

func (f *file) rows(columns []planned) *rowReader {
	r := &rowReader{file: f, words: make([]*words, len(columns)), group: -1, usual: 1, most: max(minOut, maxExpansion*f.size)}
	r.layout = layoutOf(len(columns), func(i int) *column { return &columns[i].column })
	held, unpack := &budget{}, &unpacker{}
	buffer := min(max(readBuffers/len(f.leaves), readBuffer), 256<<10)
	for i := range columns {
		r.columns = append(r.columns, &chunkReader{
			column: &columns[i], file: f, budget: held, unpack: unpack, in: bufio.NewReaderSize(nil, buffer), decoded: &decoded{}, spare: &decoded{}, ready: make(chan error, 1), fixed: r.layout.form[i] != formLong && r.layout.form[i] != formCode,
		})
		if columns[i].Lists > 0 {
			r.lists.columns++
		}
	}
	return r
}

// Transcode implements dataset.Transcoder.
func (Reader) Transcode(ctx context.Context, index dataset.Index, in dataset.File, data io.ReaderAt, rows func(dataset.Rows) error) error {
	s, err := parseSchema(index)
	if err != nil {
		return err
	}
	return transcode(ctx, in, data, s.columns(), s.words(), nil, rows)
}

// transcode reads all rows of a file that has the columns, with codes for the words, and lets o learn from them unless it is nil.
func transcode(ctx context.Context, in dataset.File, data io.ReaderAt, of []column, words []*words, o *observer, rows func(dataset.Rows) error) error {
	f, err := open(in.Path, data, in.Size)
	if err != nil {
		return err
	}
	columns, err := f.plan()
	if err != nil {
		return err
	}
	for i := range min(len(columns), len(of)) {
		columns[i].Coded = of[i].Coded
	}
	r := f.rows(columns)
	if r.observer = o; len(words) == len(columns) {
		r.words = words
	}
	return r.ahead(ctx, rows)
}

// all calls rows with all rows, a batch at a time. An error of rows comes back as it is.
func (r *rowReader) all(ctx context.Context, rows func(dataset.Rows) error) error {
	var b batch
	for {
		err := r.fill(ctx, &b)
		if err == io.EOF { //nolint:errorlint // fill returns it itself
			return nil
		}
		if err != nil {
			return err
		}
		if err := rows(b.Rows); err != nil {
			return err
		}
	}
}

// columnError says in which column something went wrong.
type columnError struct {
	column *planned
	err    error
}

func (e *columnError) Error() string { return e.column.node.name() + ": " + e.err.Error() }
func (e *columnError) Unwrap() error { return e.err }

// explain turns what is wrong with a page into a rejection that says where.
func (r *rowReader) explain(err error) error {
	where := fmt.Sprintf("row group %d, about row %d", r.group, r.row)
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

// end checks that the column has no more values than its row group has rows.
func (r *chunkReader) end(ctx context.Context, d *decoder) error {
	if r.i == r.n {
		err := r.load(ctx, d)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return &columnError{r.column, damage("it has more values than its row group has rows")}
}

// append appends a value of a list in the neutral form.
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
		dst = append(dst, uuidLength)
		return appendUUID(dst, v)
	}
	dst = binary.AppendUvarint(dst, uint64(len(v)))
	return append(dst, v...)
}

const uuidLength = 36

// appendUUID appends the uuidLength characters of RFC 9562.
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
