package parquet

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/bits"
	"sync/atomic"

	parquetgo "github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/encoding/rle"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"

	"github.com/trainyard/trainyard/services/converter/reject"
)

// Limits of a page. A row is put together from one page of each column, so the pages of all columns are in memory at a time.
const (
	maxPageBytes  = 128 << 20 // uncompressed; pyarrow makes pages of 1 MiB, but looks at their size only after each 1024 rows
	maxPageValues = 1 << 24
	maxHeld       = 192 << 20 // bytes of the decoded pages and dictionaries of all columns
	maxAhead      = 16 << 20  // bytes of pages that are decoded before they are needed, and of those that were
	readBuffers   = 16 << 20  // bytes that all columns read ahead together
	readBuffer    = 4 << 10   // bytes that each reads ahead at least

	maxPageHeader  = 64 << 10 // bytes, without statistics
	keepStatistics = 64       // bytes of a text in the header of a page; they aren't used
)

// pageHeader is what is needed of format.PageHeader. Statistics are skipped.
type pageHeader struct {
	Type         format.PageType               `thrift:"1,required"`
	Uncompressed int32                         `thrift:"2,required"`
	Compressed   int32                         `thrift:"3,required"`
	CRC          thrift.Null[int32]            `thrift:"4,optional"`
	V1           thrift.Null[dataPageHeader]   `thrift:"5,optional"`
	Dictionary   thrift.Null[dictionaryHeader] `thrift:"7,optional"`
	V2           thrift.Null[dataPageHeaderV2] `thrift:"8,optional"`
}

type dataPageHeader struct {
	Values   int32           `thrift:"1,required"`
	Encoding format.Encoding `thrift:"2,required"`
	DefLevel format.Encoding `thrift:"3,required"`
	RepLevel format.Encoding `thrift:"4,required"`
}

type dictionaryHeader struct {
	Values   int32           `thrift:"1,required"`
	Encoding format.Encoding `thrift:"2,required"`
}

type dataPageHeaderV2 struct {
	Values     int32             `thrift:"1,required"`
	Nulls      int32             `thrift:"2,required"`
	Encoding   format.Encoding   `thrift:"4,required"`
	DefBytes   int32             `thrift:"5,required"`
	RepBytes   int32             `thrift:"6,required"`
	Compressed thrift.Null[bool] `thrift:"7,optional"`
}

// damage says what is wrong with a page. The caller adds where.
func damage(format string, args ...any) error { return damageError(fmt.Sprintf(format, args...)) }

type damageError string

func (e damageError) Error() string { return string(e) }

var errTooMuchHeld = errors.New("too much held")

// errLater says that a page is not decoded ahead.
var errLater = errors.New("later")

// budget is the memory that the columns of a file share.
type budget struct {
	held  atomic.Int64 // by pages and what they are decoded to
	ahead atomic.Int64 // by those of them that aren't read from yet; they come on top of maxHeld
}

// decoded is a page with what it was decoded to.
type decoded struct {
	data []byte // unpacked; vector's values are parts of it
	held int64  // of the budget

	n, i, v  int    // levels, the next of them, the next value
	rep, def []byte // nil if all are 0, or the highest
	values   vector
	indices  []int32 // into the dictionary, of a page that has them
	indexed  bool
}

// chunkReader reads the values of one column, row group by row group and page by page. There are two pages: the one that is read
// from, and the one that is decoded meanwhile; see decoder.
type chunkReader struct {
	*decoded
	column *planned
	file   *file
	budget *budget
	codec  format.CompressionCodec
	unpack *unpacker

	section io.SectionReader
	in      *bufio.Reader
	header  *pageHeader // of the next page, if it was read already

	dictionary vector
	dictPage   []byte
	dictHeld   int64 // of the budget

	fixed   bool     // the column's values have a fixed length in rows
	numbers []uint64 // then the dictionary's, as they lie in rows
	spans   []span   // otherwise, of values that will be put into rows
	known   []int32  // the words' numbers of the dictionary's values
	codes   []uint16 // of the same as spans

	// Of the decoder:
	spare   *decoded
	asked   bool       // the next page is being decoded, or is
	ready   chan error // what came of it
	demands bool       // nothing can be done until it is decoded
}

func (r *chunkReader) reset(c *columnBytes) {
	r.section = *io.NewSectionReader(r.file.data, c.start(), c.Size)
	r.in.Reset(&r.section)
	r.codec, r.header = c.Codec, nil
	r.n, r.i, r.v = 0, 0, 0
	r.dictionary.count = -1
	r.known = r.known[:0]
}

// next decodes the next page that has values into p, or returns io.EOF; or errLater if it would take too much memory and isn't p to be read from at once.
func (r *chunkReader) next(ctx context.Context, p *decoded) error {
	p.n, p.i, p.v = 0, 0, 0
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		if r.header == nil {
			h, err := r.readHeader()
			if err != nil {
				return err
			}
			r.header = h
		}
		h, err := r.header, error(nil)
		if p != r.decoded && !r.budget.allows(r.need(h.Uncompressed, max(h.V1.V.Values, h.V2.V.Values, h.Dictionary.V.Values))-p.held) {
			return errLater
		}
		r.header = nil
		switch {
		case h.Type == format.DictionaryPage && h.Dictionary.Valid:
			err = r.readDictionary(h)
		case h.Type == format.DataPage && h.V1.Valid:
			err = r.readV1(h, p)
		case h.Type == format.DataPageV2 && h.V2.Valid:
			err = r.readV2(h, p)
		case h.Type == format.IndexPage:
			_, err = r.in.Discard(int(h.Compressed))
		default:
			err = damage("it has a page of a type that doesn't exist")
		}
		if err != nil {
			return err
		}
		if p.i < p.n {
			return nil
		}
	}
}

func (r *chunkReader) readHeader() (*pageHeader, error) {
	if _, err := r.in.Peek(1); err != nil {
		return nil, err // io.EOF behind the last page
	}
	b, err := readThrift(r.unpack.header[:0], r.in, r.section.Size()-r.position(), keepStatistics, maxPageHeader)
	r.unpack.header = b
	if errors.As(err, new(thriftError)) {
		return nil, damage("the header of a page isn't what the format says: %v", err)
	}
	if err != nil {
		return nil, err
	}
	var h pageHeader
	if err := decodeThrift(b, &h); err != nil {
		return nil, damage("the header of a page isn't what the format says: %v", err)
	}
	if h.Compressed < 0 || h.Uncompressed < 0 || h.V1.V.Values < 0 || h.V2.V.Values < 0 || h.Dictionary.V.Values < 0 ||
		h.V2.V.Nulls < 0 || h.V2.V.Nulls > h.V2.V.Values || h.V2.V.DefBytes < 0 || h.V2.V.RepBytes < 0 {
		return nil, damage("the header of a page has a negative size")
	}
	left := r.section.Size() - r.position()
	if int64(h.Compressed) > left {
		return nil, damage("a page claims %d bytes and its column has %d left", h.Compressed, left)
	}
	if h.Uncompressed > maxPageBytes || h.Compressed > maxPageBytes {
		return nil, reject.New(reject.TooLarge, "%q: column %q has a page of %d bytes; the limit is %d. Write it with smaller pages, for example by pyarrow.parquet.write_table(…, data_page_size=1 << 20, write_batch_size=16).",
			r.file.path, r.column.node.name(), max(h.Uncompressed, h.Compressed), maxPageBytes)
	}
	if n := max(h.V1.V.Values, h.V2.V.Values, h.Dictionary.V.Values); n > maxPageValues {
		return nil, reject.New(reject.TooLarge, "%q: column %q has a page of %d values; the limit is %d. Write it with smaller pages.", r.file.path, r.column.node.name(), n, maxPageValues)
	}
	return &h, nil
}

// position is where in the chunk the reader is.
func (r *chunkReader) position() int64 {
	at, _ := r.section.Seek(0, io.SeekCurrent) // can't fail
	return at - int64(r.in.Buffered())
}

// readPage reads a page's bytes as they lie in the file and checks them against the checksum, if there is one.
// They stay until any column's next page is read.
func (r *chunkReader) readPage(h *pageHeader) ([]byte, error) {
	r.unpack.packed = sized(r.unpack.packed, int(h.Compressed))
	packed := r.unpack.packed
	if _, err := io.ReadFull(r.in, packed); err != nil {
		return nil, err
	}
	if h.CRC.Valid && crc32.ChecksumIEEE(packed) != uint32(h.CRC.V) { //nolint:gosec // the bits
		return nil, damage("a page doesn't match its checksum")
	}
	return packed, nil
}

// hold notes how much memory a page takes with what it is decoded to.
func (r *chunkReader) hold(p *decoded, bytes int64) error {
	if p != r.decoded {
		r.budget.ahead.Add(bytes - p.held)
	}
	r.budget.held.Add(bytes - p.held)
	p.held = bytes
	return r.budget.check()
}

// allows tells whether a page that takes so many more bytes may be decoded ahead. Where memory is scarce none is, so that whether there is
// enough doesn't depend on how far ahead the decoder happens to be.
func (b *budget) allows(bytes int64) bool {
	return b.ahead.Load()+bytes <= maxAhead && b.held.Load() <= maxHeld/2
}

func (b *budget) check() error {
	if b.held.Load()-b.ahead.Load() > maxHeld {
		return errTooMuchHeld
	}
	return nil
}

// need bounds what a page will take: its bytes, its levels, and offsets or indices of its values.
func (r *chunkReader) need(pageBytes, values int32) int64 {
	bytes := int64(pageBytes) + int64(values)*4
	if r.column.node.maxDef > 0 {
		bytes += int64(values)
	}
	if r.column.node.maxRep > 0 {
		bytes += int64(values)
	}
	return bytes
}

// holdDictionary notes how much memory the dictionary takes.
func (r *chunkReader) holdDictionary(bytes int64) error {
	r.budget.held.Add(bytes - r.dictHeld)
	r.dictHeld = bytes
	return r.budget.check()
}

func (r *chunkReader) readDictionary(h *pageHeader) error {
	if r.dictionary.count >= 0 {
		return damage("it has two dictionaries")
	}
	if err := r.holdDictionary(r.need(h.Uncompressed, h.Dictionary.V.Values)); err != nil {
		return err
	}
	packed, err := r.readPage(h)
	if err != nil {
		return err
	}
	if r.dictPage, err = r.unpack.unpack(r.codec, r.dictPage, packed, int(h.Uncompressed)); err != nil {
		return err
	}
	//lint:ignore SA1019 Old writers use it.
	if e := h.Dictionary.V.Encoding; e != format.Plain && e != format.PlainDictionary {
		return damage("its dictionary has the encoding %v", e)
	}
	if err := r.dictionary.plain(r.column.convert.width, r.dictPage, int(h.Dictionary.V.Values)); err != nil {
		return err
	}
	if !r.fixed {
		return r.holdDictionary(r.dictionary.bytes())
	}
	if err := r.holdDictionary(8 * int64(h.Dictionary.V.Values)); err != nil {
		return err
	}
	r.numbers = sized(r.numbers, r.dictionary.count)
	for i := range r.numbers {
		r.numbers[i] = r.column.convert.bits(r.dictionary.at(i))
	}
	return nil
}

func (r *chunkReader) readV1(h *pageHeader, p *decoded) error {
	values := int(h.V1.V.Values)
	if err := r.hold(p, r.need(h.Uncompressed, h.V1.V.Values)); err != nil {
		return err
	}
	packed, err := r.readPage(h)
	if err != nil {
		return err
	}
	if p.data, err = r.unpack.unpack(r.codec, p.data, packed, int(h.Uncompressed)); err != nil {
		return err
	}
	data := p.data
	if r.column.node.maxRep > 0 {
		if p.rep, data, err = levelsV1(p.rep, data, values, r.column.node.maxRep, h.V1.V.RepLevel); err != nil {
			return err
		}
	}
	if r.column.node.maxDef > 0 {
		if p.def, data, err = levelsV1(p.def, data, values, r.column.node.maxDef, h.V1.V.DefLevel); err != nil {
			return err
		}
	}
	return r.decode(p, data, values, h.V1.V.Encoding)
}

func (r *chunkReader) readV2(h *pageHeader, p *decoded) error {
	v2 := &h.V2.V
	values, levels := int(v2.Values), int64(v2.DefBytes)+int64(v2.RepBytes)
	if levels > int64(h.Compressed) || levels > int64(h.Uncompressed) {
		return damage("a page has less bytes than its levels")
	}
	if err := r.hold(p, r.need(h.Uncompressed, v2.Values)); err != nil {
		return err
	}
	packed, err := r.readPage(h)
	if err != nil {
		return err
	}
	rep, def, packed := packed[:v2.RepBytes], packed[v2.RepBytes:levels], packed[levels:]
	if r.column.node.maxRep > 0 {
		if p.rep, err = levels8(p.rep, rep, values, r.column.node.maxRep); err != nil {
			return err
		}
	}
	if r.column.node.maxDef > 0 {
		if p.def, err = levels8(p.def, def, values, r.column.node.maxDef); err != nil {
			return err
		}
	}
	codec := r.codec
	if v2.Compressed.Valid && !v2.Compressed.V {
		codec = format.Uncompressed
	}
	if p.data, err = r.unpack.unpack(codec, p.data, packed, int(int64(h.Uncompressed)-levels)); err != nil {
		return err
	}
	return r.decode(p, p.data, values, v2.Encoding)
}

// decode decodes the values of a page whose levels are known.
func (r *chunkReader) decode(p *decoded, data []byte, levels int, enc format.Encoding) error {
	p.n, p.i, p.v = levels, 0, 0
	values := levels
	if max := r.column.node.maxDef; max > 0 {
		values = bytes.Count(p.def, []byte{max})
	}
	width := r.column.convert.width
	//lint:ignore SA1019 Old writers use it.
	p.indexed = enc == format.PlainDictionary || enc == format.RLEDictionary
	switch {
	case values == 0:
		p.indexed = false
		return nil
	case p.indexed:
		return r.decodeIndices(p, data, values)
	case enc == format.Plain:
		return p.values.plain(width, data, values)
	}
	if err := r.hold(p, p.held+int64(values)*8); err != nil {
		return err
	}
	if err := p.values.encoded(r.column, data, values, enc); err != nil {
		return err
	}
	return r.hold(p, p.held+int64(len(p.values.buf)))
}

// decodeIndices decodes indices into the dictionary.
func (r *chunkReader) decodeIndices(p *decoded, data []byte, values int) error {
	if r.dictionary.count < 0 {
		return damage("it has a page that needs a dictionary, and there is none before it")
	}
	if len(data) == 0 {
		return damage("a page is empty")
	}
	if data[0] > 32 {
		return damage("a page has indices of %d bits", data[0])
	}
	end, err := runsEnd(data[1:], uint(data[0]), values)
	if err != nil {
		return err
	}
	// Capacity behind the data lets the library decode without copying them.
	if p.indices, err = parquetgo.RLEDictionary.DecodeInt32(p.indices[:0], data[:1+end:cap(data)]); err != nil {
		return damage("%v", err)
	}
	if len(p.indices) < values {
		return damage("a page has %d values less than it says", values-len(p.indices))
	}
	p.indices = p.indices[:values]
	for _, i := range p.indices {
		if uint(i) >= uint(r.dictionary.count) {
			return damage("a page refers to value %d of a dictionary of %d", i, r.dictionary.count)
		}
	}
	return nil
}

// value is the v-th value of the page.
func (r *chunkReader) value(v int) []byte {
	if r.indexed {
		return r.dictionary.at(int(r.indices[v]))
	}
	return r.values.at(v)
}

// levelsV1 decodes levels in front of which their length stands.
func levelsV1(dst, data []byte, n int, highest byte, enc format.Encoding) (levels, rest []byte, err error) {
	if enc != format.RLE {
		return dst, nil, damage("a page has levels in the encoding %v, which has been deprecated since 2014", enc)
	}
	if len(data) < 4 {
		return dst, nil, damage("a page ends within its levels")
	}
	size := int64(uint32(data[0]) | uint32(data[1])<<8 | uint32(data[2])<<16 | uint32(data[3])<<24)
	if size > int64(len(data)-4) {
		return dst, nil, damage("a page ends within its levels")
	}
	levels, err = levels8(dst, data[4:4+size], n, highest)
	return levels, data[4+size:], err
}

// levels8 decodes n levels of which none is above the highest.
func levels8(dst, data []byte, n int, highest byte) ([]byte, error) {
	width := bits.Len8(highest)
	end, err := runsEnd(data, uint(width), n) //nolint:gosec // at most 8
	if err != nil {
		return dst, err
	}
	enc := rle.Encoding{BitWidth: width}
	dst, err = enc.DecodeLevels(dst[:0], data[:end])
	if err != nil {
		return dst, damage("%v", err)
	}
	if len(dst) < n {
		return dst, damage("a page has %d levels less than values", n-len(dst))
	}
	dst = dst[:n]
	for _, l := range dst {
		if l > highest {
			return dst, damage("a page has the level %d where %d is the highest", l, highest)
		}
	}
	return dst, nil
}
