package parquet

import (
	"encoding/binary"
	"math/bits"
)

// names are texts that are numbered as they came. A text is looked for where its ends say, first, which takes a third of the time of a map; the
// map answers when another text lies there, whatever the texts are.
type names struct {
	all     []string
	numbers map[string]int32
	cache   [1 << cacheBits]int32 // number + 1
}

const cacheBits = 10

func newNames(all []string) *names {
	n := &names{numbers: make(map[string]int32, len(all))}
	for _, name := range all {
		n.add(name)
	}
	return n
}

// add adds a name that isn't there and returns its number.
func (n *names) add(name string) int32 {
	number := int32(len(n.all)) //nolint:gosec // at most MaxClasses
	n.all = append(n.all, name)
	n.numbers[name] = number
	return number
}

// find returns the name's number, or -1 if it isn't there.
func (n *names) find(name []byte) int32 {
	cached := &n.cache[ends(name)]
	if i := *cached - 1; i >= 0 && n.all[i] == string(name) {
		return i
	}
	i, ok := n.numbers[string(name)]
	if !ok {
		return -1
	}
	*cached = i + 1
	return i
}

// ends is a hash of a text's length, its first eight bytes and its last ones.
func ends(v []byte) uint64 {
	var first, last uint64
	switch n := len(v); {
	case n >= 8:
		first, last = binary.LittleEndian.Uint64(v), binary.LittleEndian.Uint64(v[n-8:])
	case n >= 4:
		first, last = uint64(binary.LittleEndian.Uint32(v)), uint64(binary.LittleEndian.Uint32(v[n-4:]))
	case n > 0:
		first, last = uint64(v[0]), uint64(v[n/2])<<8|uint64(v[n-1])
	}
	const odd = 0x9e3779b97f4a7c15 // 2^64 / the golden ratio, as in Knuth's multiplicative hashing
	return (first ^ bits.RotateLeft64(last, 29) ^ uint64(len(v))) * odd >> (64 - cacheBits)
}
