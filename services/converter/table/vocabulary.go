package table

import (
	"encoding/binary"
	"hash/maphash"
	"math/bits"
	"math/rand/v2"
)

// vocabulary numbers distinct values from 0 on. Most values of categories are a few bytes long: they are hashed and compared as two words,
// in a third of the time of a Go map. The zero value is empty.
type vocabulary struct {
	words []string
	slots []slot // a power of two, at most half of them taken
}

// slot holds a value of up to 16 bytes as it is, and the hash of a longer one.
type slot struct {
	first, last uint64
	length      int32
	next        int32 // number of the value, and one; 0: none
}

// The hash has secrets, so that no upload can be made of values that collide.
var (
	secrets    = [2]uint64{rand.Uint64() | 1, rand.Uint64() | 1} //nolint:gosec // seeded by the system
	longSecret = maphash.MakeSeed()
)

const maxShort = 16

// shorten reads a value of up to 16 bytes as two words that overlap.
func shorten(v []byte) slot {
	s := slot{length: int32(len(v))} //nolint:gosec // at most a row
	switch n := len(v); {
	case n > maxShort:
		s.first = maphash.Bytes(longSecret, v)
	case n >= 8:
		s.first, s.last = binary.LittleEndian.Uint64(v), binary.LittleEndian.Uint64(v[n-8:])
	case n >= 4:
		s.first, s.last = uint64(binary.LittleEndian.Uint32(v)), uint64(binary.LittleEndian.Uint32(v[n-4:]))
	case n > 0:
		s.first = uint64(v[0]) | uint64(v[n/2])<<8 | uint64(v[n-1])<<16
	}
	return s
}

func (s *slot) hash() uint64 {
	high, low := bits.Mul64(s.first^secrets[0], s.last^uint64(s.length)^secrets[1]) //nolint:gosec // a length
	return high ^ low
}

// find returns a value's number, or -1.
func (v *vocabulary) find(value []byte) int {
	if len(v.words) == 0 {
		return -1
	}
	s := shorten(value)
	mask := uint64(len(v.slots) - 1) //nolint:gosec // a power of two
	for i := s.hash() & mask; ; i = (i + 1) & mask {
		at := &v.slots[i]
		if at.next == 0 {
			return -1
		}
		if at.first == s.first && at.last == s.last && at.length == s.length && (len(value) <= maxShort || v.words[at.next-1] == string(value)) {
			return int(at.next) - 1
		}
	}
}

// add numbers a value that it doesn't have.
func (v *vocabulary) add(value string) {
	v.words = append(v.words, value)
	if 2*len(v.words) <= len(v.slots) {
		v.place(len(v.words) - 1)
		return
	}
	v.slots = make([]slot, max(16, 2*len(v.slots)))
	for i := range v.words {
		v.place(i)
	}
}

func (v *vocabulary) place(number int) {
	s := shorten([]byte(v.words[number]))
	mask := uint64(len(v.slots) - 1) //nolint:gosec // a power of two
	i := s.hash() & mask
	for v.slots[i].next != 0 {
		i = (i + 1) & mask
	}
	s.next = int32(number) + 1 //nolint:gosec // at most MaxClasses
	v.slots[i] = s
}

// Vocabulary numbers the values of a category in any table. The zero value is empty.
type Vocabulary struct{ v vocabulary }

// Find returns a value's number, or -1.
func (v *Vocabulary) Find(value []byte) int { return v.v.find(value) }

// Add numbers a value that it doesn't have and returns the number.
func (v *Vocabulary) Add(value string) int {
	v.v.add(value)
	return len(v.v.words) - 1
}

// Words are the values by number, which the caller doesn't change.
func (v *Vocabulary) Words() []string { return v.v.words }
