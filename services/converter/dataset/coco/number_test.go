package coco

import (
	"encoding/json"
	"strconv"
	"testing"
)

var numberSeeds = []string{
	"", "0", "-0", "1", "-1.5", "199.84", "00", "01", "-", "-.5", ".5", "5.", "1.2.3", "1e3", "1E-3", "+1", " 1", "1_0", "0x1p4", "NaN", "-Infinity",
	"123456789012345", "1234567890123456", "12345678.9012345", "123456789.0123456", "0.000000000000001", "0.1", "0.3", "9007199254740993",
	"[]", "[[]]", "[1,2]", "[1,-2.5,[3]]", "[1,]", "[,1]", "[1 2]", "[1", "1]", "[1],[2]", "[1]2", "[[1,2],[3]]", "[-]", "[01]", "[1.]", `["a"]`, "[null]", "{}",
}

// The short ways give what the long ones give.
func FuzzNumbers(f *testing.F) {
	for _, s := range numberSeeds {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if got, ok := decimal(b); ok {
			want, err := strconv.ParseFloat(string(b), 64)
			if err != nil || got != want {
				t.Errorf("%q is read as %v; it is %v, %v", b, got, want, err)
			}
		}
		if isNumbers(b) && !json.Valid(b) {
			t.Errorf("%q is no JSON", b)
		}
	})
}
