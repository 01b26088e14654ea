package table

import (
	"errors"
	"math"
	"strconv"
	"testing"
)

// TestShortNumbers compares all numbers of up to five bytes, and some of up to nine, with what strconv reads.
func TestShortNumbers(t *testing.T) {
	const alphabet = "0159.-+ex"
	var check func(b []byte, left int)
	check = func(b []byte, left int) {
		for _, digits := range []string{"", "2346"} {
			compareNumber(t, append(b[:len(b):len(b)], digits...))
		}
		for i := 0; left > 0 && i < len(alphabet); i++ {
			check(append(b[:len(b):len(b)], alphabet[i]), left-1)
		}
	}
	check(nil, 5)
}

func compareNumber(t *testing.T, b []byte) {
	t.Helper()
	unsigned := b
	if len(b) > 0 && (b[0] == '-' || b[0] == '+') {
		unsigned = b[1:]
	}
	want, err := strconv.ParseFloat(string(b), 64)
	zero := len(unsigned) > 1 && unsigned[0] == '0' && isDigit(unsigned[1]) // an identifier
	i, notInt := strconv.ParseInt(string(b), 10, 64)
	switch kind, n, x := parseNumber(b); {
	case err != nil && !errors.Is(err, strconv.ErrRange) || zero:
		if kind != notNumber {
			t.Fatalf("%q is the number %v, want none", b, x)
		}
	case notInt == nil:
		if kind != integer || n != i || math.Float64bits(x) != math.Float64bits(float64(i)) {
			t.Fatalf("%q is %d or %v, want %d", b, n, x, i)
		}
	case kind != decimal || math.Float64bits(x) != math.Float64bits(want):
		t.Fatalf("%q is %v of the kind %d, want %v", b, x, kind, want)
	}
}
