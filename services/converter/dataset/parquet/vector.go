package parquet

import (
	parquetgo "github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/encoding"
	"github.com/parquet-go/parquet-go/encoding/rle"
	"github.com/parquet-go/parquet-go/format"
)

// vector is decoded values that lie one behind another.
type vector struct {
	count   int
	width   int // bytes of each; 0: one bit; -1: offsets tell
	data    []byte
	offsets []uint32 // where each begins, and the end
	prefix  uint32   // bytes in front of each
	buf     []byte   // that data is in, unless it is in the page

	lengths, suffixes []int32 // of the delta encodings
}

func (v *vector) bytes() int64 { return int64(cap(v.buf)) + 4*int64(cap(v.offsets)) }

// at returns a value; of one bit, a byte that is 0 or 1.
func (v *vector) at(i int) []byte {
	switch {
	case v.width > 0:
		return v.data[i*v.width : (i+1)*v.width]
	case v.width < 0:
		return v.data[v.offsets[i]+v.prefix : v.offsets[i+1]]
	case v.data[i>>3]>>(i&7)&1 != 0:
		return one[:]
	}
	return zero[:]
}

// span is where in data a value is that takes bytes.
func (v *vector) span(i int) span {
	if v.width > 0 {
		return span{uint32(i * v.width), uint32((i + 1) * v.width)} //nolint:gosec // below maxPageBytes
	}
	return span{v.offsets[i] + v.prefix, v.offsets[i+1]}
}

var zero, one = [1]byte{0}, [1]byte{1}

// plain takes values in the PLAIN encoding as they lie.
func (v *vector) plain(width int, data []byte, n int) error {
	v.count, v.width, v.data, v.prefix = n, width, data, 0
	if width >= 0 {
		need := int64(n) * int64(width)
		if width == 0 {
			need = int64(n+7) / 8
		}
		if int64(len(data)) < need {
			return damage("a page has %d bytes and its %d values need %d", len(data), n, need)
		}
		return nil
	}
	v.prefix = 4
	v.offsets = sized(v.offsets, n+1)
	at := 0
	for i := range n {
		if len(data)-at < 4 {
			return damage("a page ends within its values")
		}
		size := int(data[at]) | int(data[at+1])<<8 | int(data[at+2])<<16 | int(data[at+3])<<24
		v.offsets[i] = uint32(at) //nolint:gosec // below maxPageBytes
		if at += 4; size > len(data)-at {
			return damage("a page has a value that is longer than it")
		}
		at += size
	}
	v.offsets[n] = uint32(at) //nolint:gosec // below maxPageBytes
	return nil
}

// encoded decodes any other encoding than PLAIN and dictionaries.
func (v *vector) encoded(c *planned, data []byte, n int, enc format.Encoding) error {
	v.count, v.width, v.prefix = n, c.convert.width, 0
	physical := c.node.physical
	codec := parquetgo.LookupEncoding(enc)
	var err error
	var out encoding.Values
	switch {
	case enc == format.RLE && physical == format.Boolean:
		if len(data) < 4 { // their length
			return damage("a page ends within its values")
		}
		var end int
		if end, err = runsEnd(data[4:], 1, n); err != nil {
			return err
		}
		v.buf, err = (&rle.Encoding{BitWidth: 1}).DecodeLevels(v.buf[:0], data[4:4+end])
		v.width = 1
		out = encoding.BooleanValues(v.buf)
	case enc == format.DeltaBinaryPacked && (physical == format.Int32 || physical == format.Int64):
		if _, err = deltaEnd(data, n); err != nil {
			return err
		}
		if physical == format.Int32 {
			out, err = encoding.DecodeInt32(encoding.Int32ValuesFromBytes(v.buf[:0]), data, codec)
		} else {
			out, err = encoding.DecodeInt64(encoding.Int64ValuesFromBytes(v.buf[:0]), data, codec)
		}
	case enc == format.DeltaLengthByteArray && physical == format.ByteArray:
		return v.deltaLength(data, n)
	case enc == format.DeltaByteArray && (physical == format.ByteArray || physical == format.FixedLenByteArray):
		return v.deltaBytes(data, n)
	case enc == format.ByteStreamSplit && v.width > 0 && physical != format.Int96:
		return v.split(data, n)
	default:
		return damage("it has values in the encoding %v, which %v can't have", enc, physical)
	}
	if err != nil {
		return damage("%v", err)
	}
	v.data, _ = out.Data()
	v.buf = v.data
	if int64(len(v.data)) < int64(n)*int64(v.width) {
		return damage("a page has less values than it says")
	}
	return nil
}

// sized returns a slice of n elements, in the memory of s if it is large enough.
func sized[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n, n+n/8)
	}
	return s[:n]
}
