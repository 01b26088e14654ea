package picture

import (
	"math/rand/v2"
	"testing"
)

// TestSkipEntropy compares with looking at one byte after the other, with markers anywhere among stuffed zeros and restart markers.
func TestSkipEntropy(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	data := make([]byte, 700)
	for range 20_000 {
		data := data[:r.IntN(len(data)+1)]
		for i := range data {
			data[i] = byte(r.Uint32())
			if i > 0 && data[i-1] == 0xff && r.IntN(40) > 0 {
				data[i] = [...]byte{0, 0, 0xd0, 0xd7}[r.IntN(4)]
			} else if r.IntN(20) == 0 {
				data[i] = 0xff
			}
		}
		pos := r.IntN(len(data) + 3)
		want := len(data)
		for i := pos; i+1 < len(data); i++ {
			if next := data[i+1]; data[i] == 0xff && next != 0 && (next < 0xd0 || next > 0xd7) {
				want = i
				break
			}
			if data[i] == 0xff {
				i++
			}
		}
		if got := skipEntropy(data, pos); got != want {
			t.Fatalf("the scan of %x from %d ends at %d, want %d", data, pos, got, want)
		}
	}
}
