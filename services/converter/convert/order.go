package convert

import (
	"github.com/cespare/xxhash/v2"
)

// random is SplitMix64 (Steele, Lea, Flood 2014). The order of every dataset hangs on it, so that it is
// spelled out here instead of taken from a library that may change.
type random uint64

func (r *random) next() uint64 {
	*r += 0x9e3779b97f4a7c15
	z := uint64(*r)
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// newRandom makes a generator for one purpose of one conversion.
func newRandom(seed, purpose uint64) random {
	r := random(seed)
	r = random(r.next() ^ purpose)
	r.next()
	return r
}

// shuffle is Fisher and Yates's. The modulo's bias is below n/2^64.
func shuffle[T any](r *random, s []T) {
	for i := len(s) - 1; i > 0; i-- {
		j := r.next() % uint64(i+1)
		s[i], s[j] = s[j], s[i]
	}
}

// hashKey is the seeded hash that draws a record's split.
func hashKey(seed uint64, key string) uint64 {
	r := random(seed ^ xxhash.Sum64String(key))
	return r.next()
}

// dealChunks returns the order in which n chunks are read, given that windows of them are shuffled
// as one. Each group of consecutive chunks, as many as there are windows, gives one chunk to each window, so that every window samples the
// whole source evenly; in an archive sorted by class it then holds the classes in their true
// proportions as nearly as whole chunks allow. Chance alone would leave windows, and the shards made of them, with too many of one
// class: chunks hold many records of one class, and few chunks make a window.
func dealChunks(n, windows int, seed uint64) []int {
	const dealing = 1
	r := newRandom(seed, dealing)
	hands := make([][]int, windows)
	turn := make([]int, windows)
	for i := range turn {
		turn[i] = i
	}
	for i := range n {
		if i%windows == 0 {
			shuffle(&r, turn)
		}
		w := turn[i%windows]
		hands[w] = append(hands[w], i)
	}
	order := make([]int, 0, n)
	for _, hand := range hands {
		shuffle(&r, hand)
		order = append(order, hand...)
	}
	return order
}

// cut divides items into n runs of nearly equal size and returns where each run ends.
func cut(n, items int, size func(int) int64) []int {
	var total int64
	for i := range items {
		total += size(i)
	}
	ends := make([]int, 0, n)
	var sum int64
	for i := range items {
		// An item belongs to the run in which it begins. The quotient is exact: 128 bits aren't needed, as n is small.
		for len(ends) < n-1 && float64(sum) >= float64(total)/float64(n)*float64(len(ends)+1) {
			ends = append(ends, i)
		}
		sum += size(i)
	}
	for len(ends) < n {
		ends = append(ends, items)
	}
	return ends
}
