package sha256x2

import (
	"crypto/sha256"
	"math/rand/v2"
	"testing"
)

// TestWriteBoth writes pieces of any length to two hashes at once and compares with crypto/sha256.
func TestWriteBoth(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	data := make([]byte, 1<<16)
	for i := range data {
		data[i] = byte(r.Uint32())
	}
	piece := func() []byte {
		length := r.IntN(300)
		if r.IntN(4) == 0 {
			length = r.IntN(20_000)
		}
		start := r.IntN(len(data) - length)
		return data[start : start+length]
	}
	for range 300 {
		a, b := New(), New()
		var wantA, wantB []byte
		for range 1 + r.IntN(8) {
			p, q := piece(), piece()
			wantA, wantB = append(wantA, p...), append(wantB, q...)
			WriteBoth(a, p, b, q)
			if r.IntN(3) == 0 {
				p := piece()
				wantA = append(wantA, p...)
				a.Write(p)
			}
		}
		if sum := sha256.Sum256(wantA); string(a.Sum(nil)) != string(sum[:]) {
			t.Fatalf("the first of two hashes, of %d and %d bytes, is %x, want %x", len(wantA), len(wantB), a.Sum(nil), sum)
		}
		if sum := sha256.Sum256(wantB); string(b.Sum(nil)) != string(sum[:]) {
			t.Fatalf("the second of two hashes, of %d and %d bytes, is %x, want %x", len(wantA), len(wantB), b.Sum(nil), sum)
		}
	}
}

func TestReset(t *testing.T) {
	a, b, data := New(), New(), make([]byte, 1000)
	WriteBoth(a, data[:1], b, data[:65])
	a.Reset()
	b.Reset()
	WriteBoth(a, data, b, data)
	want := sha256.Sum256(data)
	if string(a.Sum(nil)) != string(want[:]) || string(b.Sum(nil)) != string(want[:]) {
		t.Errorf("after a reset the hashes are %x and %x, want %x", a.Sum(nil), b.Sum(nil), want)
	}
}

func BenchmarkSHA256(b *testing.B) {
	p, q := make([]byte, 256<<10), make([]byte, 256<<10)
	b.Run("one_after_the_other", func(b *testing.B) {
		x, y := sha256.New(), sha256.New()
		b.SetBytes(int64(len(p) + len(q)))
		for b.Loop() {
			x.Write(p)
			y.Write(q)
		}
	})
	b.Run("both_at_once", func(b *testing.B) {
		x, y := New(), New()
		b.SetBytes(int64(len(p) + len(q)))
		for b.Loop() {
			WriteBoth(x, p, y, q)
		}
	})
}
