package inflate

import "encoding/binary"

// reason is why decode returns.
type reason uint8

const (
	full reason = iota
	starved
	damaged
	blockEnd
)

var le = binary.LittleEndian

// decode inflates codes to out from n on.
func (r *Reader) decode(out []byte, n int) (int, reason) {
	for {
		if r.length > 0 {
			if n = r.copyMatch(out, n); r.length > 0 {
				return n, full
			}
		}
		var fast bool
		if n, fast = r.decodeFast(out, n); fast {
			continue
		}
		// Near the end of the input or of out: symbol by symbol.
		r.fill()
		bits, have := r.bits, r.n
		entry := r.lit[bits&litMask]
		if entry&(special|subtable) == special|subtable {
			bits >>= litBits
			entry = r.lit[uint64(entry>>16)+bits&(1<<(entry>>8&15)-1)]
			if have < litBits {
				return n, starved
			}
			have -= litBits
		}
		used := uint(entry & 0xff)
		if entry&special != 0 && entry&endBlock == 0 {
			return n, r.unless(maxBits, damaged)
		}
		if used > have {
			return n, starved
		}
		if entry&special != 0 {
			r.bits, r.n = bits>>used, have-used
			return n, blockEnd
		}
		if entry&literal != 0 {
			if n == len(out) {
				return n, full
			}
			out[n] = byte(entry >> 16)
			n++
			r.bits, r.n = bits>>used, have-used
			continue
		}
		length := int(entry>>16) + int(bits&(1<<used-1)>>(entry>>8&15)) //nolint:gosec // small
		bits, have = bits>>used, have-used
		entry = r.dst[bits&distMask]
		if entry&(special|subtable) == special|subtable {
			bits >>= distBits
			entry = r.dst[uint64(entry>>16)+bits&(1<<(entry>>8&15)-1)]
			if have < distBits {
				return n, starved
			}
			have -= distBits
		}
		if entry&special != 0 {
			return n, r.unless(48, damaged)
		}
		if used = uint(entry & 0xff); used > have {
			return n, starved
		}
		dist := int(entry>>16) + int(bits&(1<<used-1)>>(entry>>8&15)) //nolint:gosec // small
		if dist > n+len(r.past) {
			return n, damaged
		}
		r.bits, r.n = bits>>used, have-used
		r.length, r.dist = length, dist
	}
}

// unless is why, unless there are so few bits that what is missing may tell otherwise.
func (r *Reader) unless(bits uint, why reason) reason {
	if r.n < bits {
		return starved
	}
	return why
}

// copyMatch copies as much of a match as out takes.
func (r *Reader) copyMatch(out []byte, n int) int {
	if n < r.dist { // it begins in what was read before
		start := len(r.past) - (r.dist - n)
		c := copy(out[n:], r.past[start:min(len(r.past), start+r.length)])
		n, r.length = n+c, r.length-c
	}
	for r.length > 0 && n < len(out) { // each round may copy what the one before has written
		c := copy(out[n:], out[n-r.dist:min(n, n-r.dist+r.length)])
		n, r.length = n+c, r.length-c
	}
	return n
}

// slackIn and slackOut are what a round of decodeFast reads and writes at most.
const (
	slackIn  = 24
	slackOut = 4 + 258 + 8
)

// decodeFast inflates while both the input and out last for another round without looking. It tells whether r.length is set, to be copied.
// It stops in front of what is rare: the end of the block, damaged codes.
func (r *Reader) decodeFast(out []byte, n int) (int, bool) {
	in, bits, have := r.in[r.at:], r.bits, uint32(r.n) //nolint:gosec // 63 at most
	lastOut := len(out) - slackOut
	if len(in) < slackIn || n > lastOut {
		return n, false
	}
	far := false
	// The bits above 'have' may be set already to what will be read there again. Of 'have' only the lowest 8 bits count.
	bits |= le.Uint64(in) << (have & 63)
	in = in[7-have>>3&7:]
	have |= 56
	// The entry of what comes next is looked up before the bit buffer is filled, which isn't waited for in this way.
	entry := r.lit[bits&litMask]
	for len(in) >= slackIn && n <= lastOut {
		bits |= le.Uint64(in) << (have & 63)
		in = in[7-have>>3&7:]
		have |= 56
		if int32(entry) < 0 { // four literals leave 12 bits or more
			bits >>= entry & 63
			have -= entry
			out[n] = byte(entry >> 16)
			n++
			entry = r.lit[bits&litMask]
			if int32(entry) < 0 {
				bits >>= entry & 63
				have -= entry
				out[n] = byte(entry >> 16)
				n++
				entry = r.lit[bits&litMask]
				if int32(entry) < 0 {
					bits >>= entry & 63
					have -= entry
					out[n] = byte(entry >> 16)
					n++
					entry = r.lit[bits&litMask]
					if int32(entry) < 0 {
						bits >>= entry & 63
						have -= entry
						out[n] = byte(entry >> 16)
						n++
						entry = r.lit[bits&litMask]
						continue
					}
				}
			}
			bits |= le.Uint64(in) << (have & 63)
			in = in[7-have>>3&7:]
			have |= 56
		}
		// to be undone, if this is something rare
		beforeBits, beforeHave := bits, have
		if entry&special != 0 {
			if entry&subtable == 0 {
				break
			}
			bits >>= litBits
			have -= litBits
			entry = r.lit[uint64(entry>>16)+bits&(1<<(entry>>8&15)-1)]
			if int32(entry) < 0 {
				bits >>= entry & 63
				have -= entry
				out[n] = byte(entry >> 16)
				n++
				entry = r.lit[bits&litMask] // 15 bits were taken at most
				continue
			}
			if entry&special != 0 {
				bits, have = beforeBits, beforeHave
				break
			}
		}
		length := int(entry>>16) + int(bits&(1<<(entry&63)-1)>>(entry>>8&15))
		bits >>= entry & 63
		have -= entry
		entry = r.dst[bits&distMask]
		if entry&special != 0 {
			if entry&subtable != 0 {
				bits >>= distBits
				have -= distBits
				entry = r.dst[uint64(entry>>16)+bits&(1<<(entry>>8&15)-1)]
			}
			if entry&special != 0 {
				bits, have = beforeBits, beforeHave
				break
			}
		}
		dist := int(entry>>16) + int(bits&(1<<(entry&63)-1)>>(entry>>8&15))
		bits >>= entry & 63
		have -= entry
		if dist > n {
			if dist > n+len(r.past) {
				bits, have = beforeBits, beforeHave
				break
			}
			r.length, r.dist, far = length, dist, true
			break
		}
		bits |= le.Uint64(in) << (have & 63)
		in = in[7-have>>3&7:]
		have |= 56
		entry = r.lit[bits&litMask]
		from, end := n-dist, n+length
		if dist >= 8 {
			for n < end {
				le.PutUint64(out[n:], le.Uint64(out[from:]))
				n, from = n+8, from+8
			}
		} else {
			for n < end { // each round may copy what the one before has written
				n += copy(out[n:end], out[from:n])
			}
		}
		n = end
	}
	// Bytes that are in the bit buffer only in part are read again.
	have &= 63
	r.bits, r.n, r.at = bits&(1<<have-1), uint(have), len(r.in)-len(in)
	return n, far
}
