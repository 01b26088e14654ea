package sound

import (
	"encoding/binary"
	"math/bits"
)

// subframe decodes one channel of a frame (9.2) into dst.
func (d *flacDecoder) subframe(dst []int64, depth int) *Problem {
	r := &d.bits
	header := r.read(8)
	if header&0x80 != 0 {
		return errFrame
	}
	wasted := 0
	if header&1 != 0 {
		if wasted = r.unary() + 1; wasted >= depth {
			return r.problem()
		}
		depth -= wasted
	}
	var p *Problem
	switch kind := int(header >> 1); {
	case kind == 0: // constant
		s := r.signed(depth)
		for i := range dst {
			dst[i] = s
		}
	case kind == 1: // verbatim
		for i := range dst {
			dst[i] = r.signed(depth)
		}
	case kind >= 8 && kind <= 12:
		p = d.fixed(dst, kind-8, depth)
	case kind >= 32:
		p = d.linear(dst, kind-31, depth)
	default:
		return errFrame
	}
	switch {
	case p != nil:
		return p
	case r.over:
		return errFrameEnd
	}
	if wasted > 0 {
		for i := range dst {
			dst[i] <<= wasted
		}
	}
	return nil
}

// fixed decodes a subframe with a fixed predictor (9.2.5).
func (d *flacDecoder) fixed(dst []int64, order, depth int) *Problem {
	if order > len(dst) {
		return errFrame
	}
	for i := range order {
		dst[i] = d.bits.signed(depth)
	}
	if p := d.residual(dst, order); p != nil {
		return p
	}
	switch order {
	case 1:
		for i := 1; i < len(dst); i++ {
			dst[i] += dst[i-1]
		}
	case 2:
		for i := 2; i < len(dst); i++ {
			dst[i] += 2*dst[i-1] - dst[i-2]
		}
	case 3:
		for i := 3; i < len(dst); i++ {
			dst[i] += 3*dst[i-1] - 3*dst[i-2] + dst[i-3]
		}
	case 4:
		for i := 4; i < len(dst); i++ {
			dst[i] += 4*dst[i-1] - 6*dst[i-2] + 4*dst[i-3] - dst[i-4]
		}
	}
	return nil
}

// linear decodes a subframe with a linear predictor (9.2.6).
func (d *flacDecoder) linear(dst []int64, order, depth int) *Problem {
	if order > len(dst) {
		return errFrame
	}
	r := &d.bits
	for i := range order {
		dst[i] = r.signed(depth)
	}
	precision := int(r.read(4)) + 1
	shift := r.signed(5)
	if precision == 16 || shift < 0 {
		return r.problem()
	}
	var room [32]int64
	coefficients := room[:order] // in the order of the samples, the last one's last
	for i := range coefficients {
		coefficients[order-1-i] = r.signed(precision)
	}
	if p := d.residual(dst, order); p != nil {
		return p
	}
	for i := order; i < len(dst); i++ {
		past := dst[i-order : i]
		var sum int64
		for j, c := range coefficients {
			sum += c * past[j]
		}
		dst[i] += sum >> shift
	}
	return nil
}

// residual decodes the residual (9.2.7) to dst[order:].
func (d *flacDecoder) residual(dst []int64, order int) *Problem {
	r := &d.bits
	paramBits, escape := 4, 15
	switch r.read(2) {
	case 0:
	case 1:
		paramBits, escape = 5, 31
	default:
		return r.problem()
	}
	partitions := 1 << r.read(4)
	size := len(dst) / partitions
	if size*partitions != len(dst) || size < order {
		return r.problem()
	}
	for start, end := order, size; start < len(dst); start, end = end, end+size {
		part := dst[start:end]
		param := int(r.read(paramBits))
		if param == escape {
			width := int(r.read(5))
			for i := range part {
				part[i] = r.signed(width)
			}
		} else {
			r.rice(part, param)
		}
		if r.over {
			return errFrameEnd
		}
	}
	return nil
}

// bitReader reads bits from the highest to the lowest. Beyond the end it reads zeros and sets over.
type bitReader struct {
	data []byte
	pos  int    // of the first byte that isn't wholly among the n bits
	acc  uint64 // the next n bits, left-justified; further ones, if any, are right
	n    int
	over bool
}

// refill makes n at least 56, or all there is.
func (r *bitReader) refill() {
	if r.pos+8 <= len(r.data) {
		r.acc |= binary.BigEndian.Uint64(r.data[r.pos:]) >> r.n
		whole := (63 - r.n) >> 3
		r.pos += whole
		r.n += 8 * whole
		return
	}
	for r.n <= 56 && r.pos < len(r.data) {
		r.acc |= uint64(r.data[r.pos]) << (56 - r.n)
		r.pos++
		r.n += 8
	}
}

// read reads up to 33 bits.
func (r *bitReader) read(width int) uint64 {
	if r.n < width {
		if r.refill(); r.n < width {
			r.over, r.n, r.acc = true, 0, 0
			return 0
		}
	}
	v := r.acc >> (64 - width)
	r.acc <<= width
	r.n -= width
	return v
}

// signed reads a number in two's complement, of 0 to 33 bits.
func (r *bitReader) signed(width int) int64 {
	if width == 0 {
		return 0
	}
	return int64(r.read(width)<<(64-width)) >> (64 - width) //nolint:gosec // two's complement
}

// unary counts the zeros before the next one.
func (r *bitReader) unary() int {
	zeros := 0
	for {
		if r.n == 0 {
			if r.refill(); r.n == 0 {
				r.over = true
				return 0
			}
		}
		if lead := bits.LeadingZeros64(r.acc); lead < r.n {
			r.acc <<= lead + 1
			r.n -= lead + 1
			return zeros + lead
		}
		zeros += r.n
		r.acc, r.n = 0, 0
	}
}

// rice reads a partition of folded numbers (9.2.7.2). The quotient is no larger than the file has bits, so that nothing overflows.
func (r *bitReader) rice(dst []int64, param int) {
	for i := range dst {
		if r.n < 32 {
			r.refill()
		}
		var v uint64
		if lead := bits.LeadingZeros64(r.acc); lead+1+param <= r.n {
			v = uint64(lead)<<param | r.acc<<(lead+1)>>(64-param)
			r.acc <<= lead + 1 + param
			r.n -= lead + 1 + param
		} else {
			v = uint64(r.unary())<<param | r.read(param) //nolint:gosec // never negative
			if r.over {
				return
			}
		}
		dst[i] = int64(v>>1) ^ -int64(v&1) //nolint:gosec // below 2^61
	}
}

// align goes on to the next whole byte and returns its position.
func (r *bitReader) align() int { return r.pos - r.n/8 }

// problem tells a value that doesn't exist from one that lies beyond the end.
func (r *bitReader) problem() *Problem {
	if r.over {
		return errFrameEnd
	}
	return errFrame
}

// The checksums of 9.1.8 and 9.3.
var (
	crc8Table  = crcTable(0x07, 8)
	crc16Table = crcTable(0x8005, 16)
)

func crcTable(polynomial uint16, width int) (t [256]uint16) {
	top := uint16(1) << (width - 1)
	for i := range t {
		v := uint16(i) << (width - 8) //nolint:gosec // i < 256
		for range 8 {
			carry := v&top != 0
			v <<= 1
			if carry {
				v ^= polynomial
			}
		}
		t[i] = v
	}
	return t
}

func crc8(b []byte) (sum byte) {
	for _, c := range b {
		sum = byte(crc8Table[sum^c]) //nolint:gosec // the table of 8 bits holds carries above, which are cut
	}
	return sum
}

func crc16(b []byte) (sum uint16) {
	for _, c := range b {
		sum = sum<<8 ^ crc16Table[byte(sum>>8)^c]
	}
	return sum
}
