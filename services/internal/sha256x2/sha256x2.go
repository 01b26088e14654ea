// Package sha256x2 computes the SHA-256 (FIPS 180-4) of two streams at once. A round of SHA-256 waits for the one before it, so that a
// processor with instructions for it is idle half of the time; a second, independent stream fills the gaps. All else, and everything on other
// processors, is done by crypto/sha256.
package sha256x2

import (
	"crypto/sha256"
	"encoding"
	"encoding/binary"
	"hash"
)

// The state of crypto/sha256 as it marshals it: a mark, 8 words, what is left of a block, and the length in bytes, all
// big-endian. A test watches that it stays so.
const (
	stateMark  = "sha\x03"
	stateBytes = len(stateMark) + sha256.Size + sha256.BlockSize + 8
)

// Hash is a SHA-256 under way.
type Hash struct {
	hash.Hash
	length int64
	state  [stateBytes]byte
}

// New starts a Hash.
func New() *Hash { return &Hash{Hash: sha256.New()} }

// Write implements hash.Hash. It never fails.
func (h *Hash) Write(p []byte) (int, error) {
	h.length += int64(len(p))
	return h.Hash.Write(p)
}

// Reset implements hash.Hash.
func (h *Hash) Reset() {
	h.length = 0
	h.Hash.Reset()
}

// WriteBoth writes p to a and q to b. It gains by what both have in common of their length.
func WriteBoth(a *Hash, p []byte, b *Hash, q []byte) {
	if supported {
		p, q = a.toBlock(p), b.toBlock(q)
		if n := min(len(p), len(q)) / sha256.BlockSize; n > 0 {
			var x, y [8]uint32
			a.load(&x)
			b.load(&y)
			blocks(&x, &y, &p[0], &q[0], n)
			n *= sha256.BlockSize
			a.store(&x, n)
			b.store(&y, n)
			p, q = p[n:], q[n:]
		}
	}
	a.Write(p) //nolint:errcheck // never fails
	b.Write(q) //nolint:errcheck // as above
}

// toBlock writes what is missing of the block that was begun, and returns the rest.
func (h *Hash) toBlock(p []byte) []byte {
	begun := int(h.length % sha256.BlockSize)
	if begun == 0 {
		return p
	}
	n := min(sha256.BlockSize-begun, len(p))
	h.Write(p[:n]) //nolint:errcheck // never fails
	return p[n:]
}

func (h *Hash) load(words *[8]uint32) {
	state, err := h.Hash.(encoding.BinaryAppender).AppendBinary(h.state[:0])
	if err != nil || len(state) != stateBytes {
		panic("sha256x2: crypto/sha256 marshals its state in another way")
	}
	for i := range words {
		words[i] = binary.BigEndian.Uint32(h.state[len(stateMark)+4*i:])
	}
}

func (h *Hash) store(words *[8]uint32, written int) {
	h.length += int64(written)
	for i, w := range words {
		binary.BigEndian.PutUint32(h.state[len(stateMark)+4*i:], w)
	}
	binary.BigEndian.PutUint64(h.state[stateBytes-8:], uint64(h.length)) //nolint:gosec // a length
	if err := h.Hash.(encoding.BinaryUnmarshaler).UnmarshalBinary(h.state[:]); err != nil {
		panic("sha256x2: crypto/sha256 reads its state in another way")
	}
}
