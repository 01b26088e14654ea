package inflate

import "math/bits"

// How many bits of a code the first look-up takes; longer codes need a second one in a subtable behind. The lengths of the
// tables are the most that zlib's `enough` finds for 288 and for 32 symbols of 15 bits at most.
const (
	litBits  = 11
	distBits = 8
	maxBits  = 15

	litTable  = 2342
	distTable = 402

	litMask  = 1<<litBits - 1
	distMask = 1<<distBits - 1
)

// An entry of a table says what a code means. Its lowest 8 bits are how many bits to go on by, extra bits included, the next
// 4 how many of these are the code itself, and the upper 16 a literal, the least length or distance, or where a subtable starts.
const (
	literal  = 1 << 31
	special  = 1 << 15 // one of the three below
	subtable = 1 << 14
	endBlock = 1 << 13
	invalid  = special
)

// What the symbols mean: entries without the bits of the code.
var (
	litSymbols  [288]uint32
	distSymbols [32]uint32
	codeSymbols [19]uint32
	// The code lengths of a block with fixed codes (RFC 1951, 3.2.6).
	fixedLens [288 + 32]uint8
)

func init() { //nolint:gochecknoinits // tables that take 20 lines to compute and 300 to list
	for i := range 256 {
		litSymbols[i] = literal | uint32(i)<<16
	}
	litSymbols[256] = special | endBlock
	length := uint32(3)
	for i := range 29 {
		extra := uint32(max(0, i/4-1))
		if i == 28 {
			length, extra = 258, 0
		}
		litSymbols[257+i] = length<<16 | extra
		length += 1 << extra
	}
	distance := uint32(1)
	for i := range 30 {
		extra := uint32(max(0, i/2-1))
		distSymbols[i] = distance<<16 | extra
		distance += 1 << extra
	}
	litSymbols[286], litSymbols[287] = invalid, invalid
	distSymbols[30], distSymbols[31] = invalid, invalid
	for i := range codeSymbols {
		codeSymbols[i] = uint32(i) << 16
	}
	for i := range fixedLens {
		switch {
		case i < 144:
			fixedLens[i] = 8
		case i < 256:
			fixedLens[i] = 9
		case i < 280:
			fixedLens[i] = 7
		case i < 288:
			fixedLens[i] = 8
		default:
			fixedLens[i] = 5
		}
	}
}

// build makes the table of a canonical Huffman code (RFC 1951, 3.2.2) from the lengths of the symbols' codes, and tells whether
// these make a code: neither too many nor too few, but for a code of a single symbol, or of none.
// Codes are read from their highest bit on and the stream from its lowest, so that the index is the code backwards.
func build(table []uint32, tableBits int, lens []uint8, symbols []uint32) bool {
	var count [maxBits + 1]int
	for _, n := range lens {
		count[n]++
	}
	longest := maxBits
	for longest > 0 && count[longest] == 0 {
		longest--
	}
	var place [maxBits + 2]int
	space := 0 // of 1<<longest
	for n := 1; n <= longest; n++ {
		place[n+1] = place[n] + count[n]
		space += count[n] << (longest - n)
	}
	if space != 1<<longest {
		if longest > 1 {
			return false
		}
		for i := range table[:1<<tableBits] {
			table[i] = invalid
		}
		if longest == 1 && count[1] == 1 {
			for symbol, n := range lens {
				if n == 1 {
					for i := 0; i < 1<<tableBits; i += 2 {
						table[i] = symbols[symbol] + 0x0101
					}
				}
			}
			return true
		}
		return longest == 0
	}
	var sorted [288]uint16
	for symbol, n := range lens {
		if n > 0 {
			sorted[place[n]] = uint16(symbol) //nolint:gosec // below 288
			place[n]++
		}
	}

	next, code, n := 0, 0, 1
	for ; n <= min(longest, tableBits); n++ { // the table of n bits is twice the one of n-1
		half := 1 << (n - 1)
		if next > 0 {
			copy(table[half:2*half], table[:half])
		}
		for range count[n] {
			table[code] = symbols[sorted[next]] + uint32(n)*0x0101 //nolint:gosec // at most 15
			next++
			code = following(code, n)
		}
	}
	for ; n <= tableBits; n++ {
		half := 1 << (n - 1)
		copy(table[half:2*half], table[:half])
	}
	start, end, prefix, subBits := 0, 1<<tableBits, -1, 0
	for n = tableBits + 1; n <= longest; n++ {
		for left := count[n]; left > 0; left-- {
			if code&(1<<tableBits-1) != prefix {
				prefix = code & (1<<tableBits - 1)
				subBits = n - tableBits
				for used := left; used < 1<<subBits; used = used<<1 + count[tableBits+subBits] {
					subBits++
				}
				start, end = end, end+1<<subBits
				table[prefix] = special | subtable | uint32(start)<<16 | uint32(subBits)<<8 | uint32(tableBits) //nolint:gosec // small
			}
			entry := symbols[sorted[next]] + uint32(n-tableBits)*0x0101 //nolint:gosec // at most 15
			next++
			for i := start + code>>tableBits; i < end; i += 1 << (n - tableBits) {
				table[i] = entry
			}
			code = following(code, n)
		}
	}
	return true
}

// following is the code of n bits after another one, both backwards. After the last one it is of no matter.
func following(code, n int) int {
	zeros := ^code & (1<<n - 1)
	if zeros == 0 {
		return code
	}
	bit := 1 << (bits.Len(uint(zeros)) - 1)
	return code&(bit-1) | bit
}
