package table

import (
	"math/rand/v2"
	"strings"
	"testing"
)

// TestVocabulary compares a vocabulary of values of any length, many of which differ in a byte alone, with a map.
func TestVocabulary(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var v vocabulary
	want := make(map[string]int)
	for range 20_000 {
		value := []byte(strings.Repeat("a", r.IntN(40)))
		for range r.IntN(3) {
			if len(value) > 0 {
				value[r.IntN(len(value))] = "\x00bc"[r.IntN(3)]
			}
		}
		number, ok := want[string(value)]
		if !ok {
			number = -1
		}
		if got := v.find(value); got != number {
			t.Fatalf("%q is number %d, want %d", value, got, number)
		}
		if !ok {
			want[string(value)] = len(want)
			v.add(string(value))
		}
	}
}
