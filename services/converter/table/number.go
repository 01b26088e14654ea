package table

import (
	"encoding/binary"
	"math"
	"math/bits"
	"strconv"
	"unsafe"
)

// maxNumberBytes is how long a number may be. What is longer is text.
const maxNumberBytes = 64

// number is what a cell's bytes are as a number.
type number uint8

const (
	notNumber   number = iota
	integer            // fits int64
	hugeInteger        // written as an integer, but beyond int64
	decimal            // with a point, an exponent, or inf
)

// parseNumber reads a decimal number: digits with an optional sign, point and exponent, or inf and infinity in any case. Leading zeros
// (007, 00.5) make it an identifier, which is no number. JSON's numbers are among these.
func parseNumber(b []byte) (number, int64, float64) {
	if len(b) == 0 || len(b) > maxNumberBytes {
		return notNumber, 0, 0
	}
	i, negative := signed(b)
	if s, ok := readShort(b[i:]); ok {
		return s.value(negative)
	}
	start := i
	var m uint64
	for i < len(b) && isDigit(b[i]) {
		m = m*10 + uint64(b[i]-'0') // wraps beyond 19 digits, and is then not used
		i++
	}
	whole := i - start
	if whole > 1 && b[start] == '0' {
		return notNumber, 0, 0
	}
	if i == len(b) && whole > 0 {
		return parsedInteger(b, m, whole, negative)
	}
	if whole == 0 && i < len(b) && b[i] != '.' {
		return parsedInfinity(b[i:], negative)
	}
	digits, exponent := whole, 0
	if i < len(b) && b[i] == '.' {
		i++
		point := i
		for i < len(b) && isDigit(b[i]) {
			m = m*10 + uint64(b[i]-'0')
			i++
		}
		exponent = point - i
		digits += i - point
	}
	if digits == 0 {
		return notNumber, 0, 0
	}
	if i < len(b) && (b[i] == 'e' || b[i] == 'E') {
		e, n := parseExponent(b[i+1:])
		if n == 0 {
			return notNumber, 0, 0
		}
		exponent += e
		i += 1 + n
	}
	if i < len(b) {
		return notNumber, 0, 0
	}
	// Both are exact as float64, so that the one operation rounds correctly (Clinger, 1990).
	if digits <= 15 && -22 <= exponent && exponent <= 22 {
		f := float64(m)
		if exponent < 0 {
			f /= powersOf10[-exponent]
		} else {
			f *= powersOf10[exponent]
		}
		if negative {
			f = -f
		}
		return decimal, 0, f
	}
	return decimal, 0, parseFloat(b)
}

// shortNumber is up to eight digits that may have a point among them.
type shortNumber struct {
	digits    uint64 // as text, the last one highest, with zeros in front
	decimals  int
	isDecimal bool
}

// signed returns how long the sign is that b begins with, and whether it is a minus. Whether there is one is often a matter of chance, so that the
// processor should have nothing to guess.
func signed(b []byte) (n int, negative bool) {
	if c := b[0] - '+'; c&^2 == 0 { // that of a minus is 2
		n = 1
	}
	return n, b[0] == '-'
}

// readShort tells whether b is a shortNumber, with a few operations on all of its bytes at once. What else is a number it leaves to parseNumber.
func readShort(b []byte) (s shortNumber, ok bool) {
	const ones, zeros, upper, carry = 0x0101010101010101, 0x3030303030303030, 0xf0f0f0f0f0f0f0f0, 0x0606060606060606
	n := len(b)
	if n > 8 || n == 0 {
		return s, false
	}
	w := word(b)
	whole := n
	if x := w ^ '.'*ones; (x-ones)&^x&(ones<<7) != 0 {
		whole = bits.TrailingZeros64((x-ones)&^x&(ones<<7)) / 8
		before := uint64(1)<<(8*whole) - 1
		w = w&before | w>>8&^before
		n--
		s.decimals, s.isDecimal = n-whole, true
	}
	s.digits = w<<(64-8*n) | zeros>>(8*n)
	return s, n > 0 && (whole <= 1 || b[0] != '0') && s.digits&upper == zeros && (s.digits+carry)&upper == zeros
}

// word reads up to eight bytes, at least one, as the lowest bytes of a word. Where as many lie behind b in its memory it reads eight and has no need to look how many there are.
func word(b []byte) uint64 {
	n := len(b)
	switch {
	case cap(b) >= 8:
		return binary.LittleEndian.Uint64(b[:8]) & (^uint64(0) >> (64 - 8*n))
	case n >= 4:
		return uint64(binary.LittleEndian.Uint32(b)) | uint64(binary.LittleEndian.Uint32(b[n-4:]))<<(8*(n-4))
	}
	return uint64(b[0]) | uint64(b[n/2])<<(n/2*8) | uint64(b[n-1])<<(8*(n-1))
}

// value is the number, as parseNumber gives it.
func (s shortNumber) value(negative bool) (number, int64, float64) {
	// Pairs of digits, then of these, then of these (Lemire: parsing eight digits quickly, 2022).
	w := s.digits
	w = (w & 0x0f0f0f0f0f0f0f0f) * (10<<8 + 1) >> 8
	w = (w & 0x00ff00ff00ff00ff) * (100<<16 + 1) >> 16
	w = (w & 0x0000ffff0000ffff) * (10000<<32 + 1) >> 32
	i := int64(w) //nolint:gosec // eight digits
	var minus uint64
	if negative {
		minus = 1
	}
	if !s.isDecimal {
		i = i ^ -int64(minus) + int64(minus) //nolint:gosec // 0 or 1
		return integer, i, float64(i)
	}
	f := float64(i) / powersOf10[s.decimals]
	return decimal, 0, math.Float64frombits(math.Float64bits(f) ^ minus<<63)
}

// kindOfNumber is the kind that parseNumber gives, without the value.
func kindOfNumber(b []byte) number {
	if len(b) == 0 {
		return notNumber
	}
	sign, _ := signed(b)
	s, ok := readShort(b[sign:])
	switch {
	case !ok:
		kind, _, _ := parseNumber(b)
		return kind
	case s.isDecimal:
		return decimal
	}
	return integer
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func parsedInteger(b []byte, m uint64, digits int, negative bool) (number, int64, float64) {
	if digits > 18 {
		i, err := strconv.ParseInt(unsafe.String(unsafe.SliceData(b), len(b)), 10, 64)
		if err != nil {
			return hugeInteger, 0, parseFloat(b)
		}
		return integer, i, float64(i)
	}
	i := int64(m) //nolint:gosec // 18 digits fit
	if negative {
		i = -i
	}
	return integer, i, float64(i)
}

func parsedInfinity(b []byte, negative bool) (number, int64, float64) {
	if !equalFold(b, "inf") && !equalFold(b, "infinity") {
		return notNumber, 0, 0
	}
	if negative {
		return decimal, 0, math.Inf(-1)
	}
	return decimal, 0, math.Inf(1)
}

// parseExponent reads what follows the e, and returns how long it is.
func parseExponent(b []byte) (e, n int) {
	negative := false
	if len(b) > 0 && (b[0] == '-' || b[0] == '+') {
		negative = b[0] == '-'
		n++
	}
	start := n
	for n < len(b) && isDigit(b[n]) {
		e = min(e*10+int(b[n]-'0'), 100_000)
		n++
	}
	if n == start {
		return 0, 0
	}
	if negative {
		e = -e
	}
	return e, n
}

// parseFloat is for what is known to be a number. Beyond float64 it is infinite.
func parseFloat(b []byte) float64 {
	f, _ := strconv.ParseFloat(unsafe.String(unsafe.SliceData(b), len(b)), 64) // the string is not kept
	return f
}

var powersOf10 = [...]float64{
	1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11,
	1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
}

// equalFold tells whether b is s, which is in lower case, in any case of ASCII.
func equalFold(b []byte, s string) bool {
	if len(b) != len(s) {
		return false
	}
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != s[i] {
			return false
		}
	}
	return true
}

// parseBool reads true, false, yes and no in any case.
func parseBool(b []byte) (v, ok bool) {
	switch len(b) {
	case 2:
		return false, equalFold(b, "no")
	case 3:
		v = equalFold(b, "yes")
		return v, v
	case 4:
		v = equalFold(b, "true")
		return v, v
	case 5:
		return false, equalFold(b, "false")
	}
	return false, false
}

// longestMissing is how long a cell that stands for no value is at most.
const longestMissing = len("-1.#QNAN")

// IsMissing tells whether a cell of CSV, without the spaces around it, stands for no value: it is empty, or what pandas.read_csv takes for
// NaN by default, or the ? of the UCI archive.
func IsMissing(cell []byte) bool {
	if len(cell) == 0 {
		return true
	}
	if len(cell) > longestMissing {
		return false
	}
	switch cell[0] {
	case '?', '#', '-', '1', '<', 'N', 'n':
	default:
		return false
	}
	switch string(cell) {
	case "?", "#N/A", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null":
		return true
	}
	return false
}

// TrimSpace cuts the spaces and tabs around a cell.
func TrimSpace(cell []byte) []byte {
	for len(cell) > 0 && (cell[0] == ' ' || cell[0] == '\t') {
		cell = cell[1:]
	}
	for len(cell) > 0 && (cell[len(cell)-1] == ' ' || cell[len(cell)-1] == '\t') {
		cell = cell[:len(cell)-1]
	}
	return cell
}
