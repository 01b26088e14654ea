package parquet

import (
	"encoding/binary"

	parquetgo "github.com/parquet-go/parquet-go"
)

// The library decodes what the data say, and a few bytes can say a billion values. The functions here
// look first, and cut or refuse what is more than the page has values.

// runsEnd returns where the runs of the RLE/bit-packing hybrid end that hold n values. They hold at most 512 more, which
// is the padding of the last.
func runsEnd(data []byte, width uint, n int) (int, error) {
	at := 0
	for n > 0 {
		head, size := binary.Uvarint(data[at:])
		if size <= 0 {
			return 0, damage("a page ends within its values")
		}
		at += size
		count := head >> 1
		if count > maxPageValues {
			return 0, damage("a page has a run of %d values", count)
		}
		bytes := uint64(width+7) / 8
		if head&1 != 0 {
			bytes = count * uint64(width)
			count *= 8
		}
		if count > uint64(n)+512 {
			return 0, damage("a page has more values than it says")
		}
		if bytes > uint64(len(data)-at) {
			return 0, damage("a page ends within its values")
		}
		at += int(bytes) //nolint:gosec // within data
		n -= int(count)  //nolint:gosec // at most maxPageValues
	}
	return at, nil
}

// deltaEnd returns where n values in DELTA_BINARY_PACKED end.
func deltaEnd(data []byte, n int) (int, error) {
	at := 0
	number := func() uint64 {
		v, size := binary.Uvarint(data[min(at, len(data)):])
		if size <= 0 {
			at = len(data) + 1
			return 0
		}
		at += size
		return v
	}
	block, minis, total := number(), number(), number()
	number() // the first value
	if at > len(data) || minis == 0 || minis > 512 || block == 0 || block > 1<<16 || block%minis != 0 || block/minis%32 != 0 {
		return 0, damage("a page has differences whose header isn't what the format says")
	}
	if total != uint64(n) { //nolint:gosec // never negative
		return 0, damage("a page has %d values and says %d", total, n)
	}
	perMini := int(block / minis) //nolint:gosec // at most 1<<16
	for left := n - 1; left > 0; {
		number()
		if at > len(data) || len(data)-at < int(minis) { //nolint:gosec // at most 512
			return 0, damage("a page ends within its values")
		}
		widths := data[at : at+int(minis)] //nolint:gosec // as above
		at += len(widths)
		for _, width := range widths {
			if left <= 0 {
				break
			}
			if width > 64 {
				return 0, damage("a page has differences of %d bits", width)
			}
			at += perMini / 8 * int(width)
			left -= perMini
		}
		if at > len(data) {
			return 0, damage("a page ends within its values")
		}
	}
	return at, nil
}

// deltaInt32s decodes n lengths and returns what follows them.
func deltaInt32s(dst []int32, data []byte, n int) (lengths []int32, rest []byte, err error) {
	end, err := deltaEnd(data, n)
	if err != nil {
		return dst, nil, err
	}
	lengths, err = parquetgo.DeltaBinaryPacked.DecodeInt32(dst[:0], data[:end])
	if err != nil {
		return dst, nil, damage("%v", err)
	}
	if len(lengths) != n {
		return dst, nil, damage("a page has less values than it says")
	}
	return lengths, data[end:], nil
}

// deltaLength decodes DELTA_LENGTH_BYTE_ARRAY: all lengths, then all bytes.
func (v *vector) deltaLength(data []byte, n int) error {
	lengths, rest, err := deltaInt32s(v.lengths, data, n)
	v.lengths = lengths
	if err != nil {
		return err
	}
	v.offsets = sized(v.offsets, n+1)
	at := 0
	for i, length := range lengths {
		v.offsets[i] = uint32(at) //nolint:gosec // below maxPageBytes
		if length < 0 || int(length) > len(rest)-at {
			return damage("a page has a value that is longer than it")
		}
		at += int(length)
	}
	v.offsets[n] = uint32(at) //nolint:gosec // below maxPageBytes
	v.data = rest
	return nil
}

// deltaBytes decodes DELTA_BYTE_ARRAY: how much each value has in common with the one before it, then the rest of each.
func (v *vector) deltaBytes(data []byte, n int) error {
	prefixes, rest, err := deltaInt32s(v.lengths, data, n)
	v.lengths = prefixes
	if err != nil {
		return err
	}
	suffixes, rest, err := deltaInt32s(v.suffixes, rest, n)
	v.suffixes = suffixes
	if err != nil {
		return err
	}
	fixed := v.width
	v.width = -1
	v.offsets = sized(v.offsets, n+1)
	v.buf = v.buf[:0]
	last := 0
	for i := range n {
		prefix, suffix := int(prefixes[i]), int(suffixes[i])
		start := len(v.buf)
		v.offsets[i] = uint32(start) //nolint:gosec // at most maxPageBytes
		switch {
		case prefix < 0 || prefix > start-last || suffix < 0 || suffix > len(rest):
			return damage("a page has a value that is longer than it")
		case fixed > 0 && prefix+suffix != fixed:
			return damage("a page has a value of %d bytes where each has %d", prefix+suffix, fixed)
		case prefix+suffix > maxPageBytes-start:
			return damage("a page has more than %d bytes, the limit", maxPageBytes)
		}
		v.buf = append(v.buf, v.buf[last:last+prefix]...)
		v.buf = append(v.buf, rest[:suffix]...)
		rest = rest[suffix:]
		last = start
	}
	v.offsets[n] = uint32(len(v.buf)) //nolint:gosec // at most maxPageBytes
	v.data = v.buf
	return nil
}

// split decodes BYTE_STREAM_SPLIT: the first bytes of all values, then the second ones and so on.
func (v *vector) split(data []byte, n int) error {
	if len(data) != n*v.width {
		return damage("a page has %d bytes and its %d values need %d", len(data), n, n*v.width)
	}
	v.buf = sized(v.buf, len(data))
	for b := range v.width {
		for i, x := range data[b*n : (b+1)*n] {
			v.buf[i*v.width+b] = x
		}
	}
	v.data = v.buf
	return nil
}
