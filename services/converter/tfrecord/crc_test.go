package tfrecord

import (
	"hash/crc32"
	"math/rand/v2"
	"testing"
)

func TestChecksum(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	data := make([]byte, 3000)
	for i := range data {
		data[i] = byte(r.Uint32())
	}
	for n := range len(data) - 8 {
		part := data[n%8:][:n]
		if got, want := checksum(part), crc32.Checksum(part, castagnoli); got != want {
			t.Fatalf("the CRC-32C of %d bytes is %08x, want %08x", n, got, want)
		}
	}
}

func BenchmarkChecksum(b *testing.B) {
	data := make([]byte, 404)
	b.Run("this", func(b *testing.B) {
		for b.Loop() {
			checksum(data)
		}
	})
	b.Run("crc32", func(b *testing.B) {
		for b.Loop() {
			crc32.Checksum(data, castagnoli)
		}
	})
}
