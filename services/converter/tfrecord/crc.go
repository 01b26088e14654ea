package tfrecord

import "hash/crc32"

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// laneWords is how many words of eight bytes a lane of shortCRC has at most.
const laneWords = 64

// factors move a CRC on by a number of words: x^(64·words-33) modulo the polynomial, with the lowest power in the highest bit. Of the
// 33, 32 are for CRC32Q and one for the product of two numbers in this order of bits.
var factors = func() (f [2*laneWords + 1]uint64) {
	const polynomial = 0x82f63b78
	power := uint32(1 << 31) // x^0
	times := func(n int) {
		for range n {
			power = power>>1 ^ power&1*polynomial
		}
	}
	times(64 - 33)
	for words := 1; words < len(f); words++ {
		f[words] = uint64(power)
		times(64)
	}
	return f
}()

// checksum is the CRC-32C of data. Package hash/crc32 takes three lanes at once only from half a kilobyte on, which most rows of
// tables are shorter than.
func checksum(data []byte) uint32 {
	if words := len(data) / 24; fastCRC && len(data) > 0 && words <= laneWords {
		return ^shortCRC(^uint32(0), &data[0], len(data), words, factors[words], factors[2*words])
	}
	return crc32.Checksum(data, castagnoli)
}
