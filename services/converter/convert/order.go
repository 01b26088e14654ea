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

// rowHash is the same for a row: of its file's key, hashed, and its number.
func rowHash(seed, key uint64, row int64) uint64 {
	r := random(seed ^ key + uint64(row)*0x9e3779b97f4a7c15) //nolint:gosec // any bits will do
	return r.next()
}

// dealChunks deals n chunks to tasks and, within each task, to windows, which are shuffled as one. It
// returns the order in which each task reads its chunks.
//
// Of each group of consecutive chunks, as many as there are windows, every window gets one, and of each block of
// a group, as many as there are tasks, every task gets one. So every window and every task samples the whole source evenly: in
// an archive sorted by class they hold the classes in their true proportions as nearly as whole chunks allow. Chance
// alone would not do: a chunk holds many records of one class, and few chunks of a class fall to a task.
func dealChunks(n, tasks, windowsPerTask int, seed uint64) [][]int {
	const dealing = 1
	r := newRandom(seed, dealing)
	hands := make([][][]int, tasks)  // chunks by task and window
	windowOf := make([][]int, tasks) // by task and block of the group at hand
	taskTurn := make([]int, tasks)   // of the block at hand
	for t := range hands {
		hands[t] = make([][]int, windowsPerTask)
		windowOf[t] = make([]int, windowsPerTask)
		for w := range windowOf[t] {
			windowOf[t][w] = w
		}
		taskTurn[t] = t
	}
	for i := range n {
		if i%(tasks*windowsPerTask) == 0 {
			for t := range windowOf {
				shuffle(&r, windowOf[t])
			}
		}
		if i%tasks == 0 {
			shuffle(&r, taskTurn)
		}
		t := taskTurn[i%tasks]
		w := windowOf[t][i/tasks%windowsPerTask]
		hands[t][w] = append(hands[t][w], i)
	}
	order := make([][]int, tasks)
	for t := range hands {
		for _, hand := range hands[t] {
			shuffle(&r, hand)
			order[t] = append(order[t], hand...)
		}
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
		// An item belongs to the run in which it begins.
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
