package dataset

import (
	"math"
	"slices"
)

// Stats are what was seen of the records of one split. They add up: the statistics of a dataset are
// the sum of those of its shards, whatever the number of workers.
type Stats struct {
	Examples int64                        `json:"examples"`
	Bytes    int64                        `json:"bytes"`             // of the records' source data
	Classes  LabelCounts                  `json:"classes,omitempty"` // examples by label
	Objects  LabelCounts                  `json:"objects,omitempty"` // annotated objects by label, where examples hold several
	Numbers  map[string]*Number           `json:"numbers,omitempty"` // such as width
	Counts   map[string]map[string]*int64 `json:"counts,omitempty"`  // such as encoding: png
	Remarks  map[string]*Remarked         `json:"remarks,omitempty"` // what the user should know of single files, by a text that fits before a colon

	labels  []int32  // see TakeLabels
	classes []*int64 // of Classes, by label, of which there may be one with each row; nil where it isn't known yet
}

// LabelCounts count by label.
type LabelCounts map[int]*int64

// Of is how many the label has.
func (c LabelCounts) Of(label int) int64 {
	if n := c[label]; n != nil {
		return *n
	}
	return 0
}

// counter is where a label is counted.
func (c *LabelCounts) counter(label int) *int64 {
	if *c == nil {
		*c = make(LabelCounts)
	}
	n := (*c)[label]
	if n == nil {
		n = new(int64)
		(*c)[label] = n
	}
	return n
}

// TakeLabels returns the labels of the example and of its objects that were noted since the last call, until the next
// note. They tell under which classes the example is found.
func (s *Stats) TakeLabels() []int32 {
	labels := s.labels
	s.labels = s.labels[:0]
	return labels
}

// Number sums up one numeric property. Sum is exact while the values are whole and the sum is below 2^53.
type Number struct {
	Count   int64   `json:"count"`
	Min     float64 `json:"min"`
	Max     float64 `json:"max"`
	Sum     float64 `json:"sum"`
	Broken  bool    `json:"broken,omitempty"` // whether any value isn't whole
	First   int32   `json:"first"`            // bucket of the first count
	Buckets []int64 `json:"buckets"`          // how many values are in each bucket from First on; see bucket
}

// Values are counted in buckets, 32 of equal width between one power of two and the next, so that quantiles are right to 1.6 % and the
// sketches of two parts add up, in any order, to the sketch of the whole (as in Masson, Rim, Lee: DDSketch, 2019). A bucket is the
// upper bits of the value's binary form. Bucket 0 holds what is nearer to zero than 2^-40; magnitudes beyond 2^64 share the
// last one; negative values have the negated bucket of their magnitude.
const (
	mantissaBits = 5
	leastValue   = 0x1p-40
	mostValue    = 0x1p64
)

const leastBits = (1023 - 40) << mantissaBits // the upper bits of leastValue

func bucket(v float64) int32 {
	m := math.Abs(v)
	if m < leastValue {
		return 0
	}
	if m > mostValue {
		m = mostValue
	}
	b := int32(int64(math.Float64bits(m)>>(52-mantissaBits)) - leastBits + 1) //nolint:gosec // at most 105 octaves
	sign := int32(int64(math.Float64bits(v)) >> 63)                           //nolint:gosec // -1 of negative ones, which are often a matter of chance: nothing to guess here
	return (b ^ sign) - sign
}

// bucketValue is the middle of a bucket.
func bucketValue(b int32) float64 {
	switch {
	case b == 0:
		return 0
	case b < 0:
		return -bucketValue(-b)
	}
	return (bucketEdge(b) + bucketEdge(b+1)) / 2
}

// bucketEdge is the least value of a bucket of positive ones.
func bucketEdge(b int32) float64 {
	return math.Float64frombits(uint64(int64(b)+leastBits-1) << (52 - mantissaBits)) //nolint:gosec // positive
}

// Observe notes a value. What isn't finite is not noted.
func (n *Number) Observe(v float64) {
	if v-v != 0 { // infinite, or not a number
		return
	}
	if n.Count == 0 {
		n.Min, n.Max = v, v
	}
	n.Count++
	if v < n.Min {
		n.Min = v
	}
	if v > n.Max {
		n.Max = v
	}
	n.Sum += v
	if !n.Broken {
		n.Broken = v != math.Trunc(v)
	}
	n.count(bucket(v), 1)
}

func (n *Number) count(b int32, times int64) {
	i := int(b - n.First)
	if uint(i) >= uint(len(n.Buckets)) { //nolint:gosec // a negative one is out of range too
		n.reach(b)
		i = int(b - n.First)
	}
	n.Buckets[i] += times
}

// reach makes room for a bucket.
func (n *Number) reach(b int32) {
	switch {
	case len(n.Buckets) == 0:
		n.First, n.Buckets = b, make([]int64, 1)
	case b < n.First:
		n.Buckets = append(make([]int64, n.First-b, int(n.First-b)+len(n.Buckets)), n.Buckets...)
		n.First = b
	default:
		n.Buckets = append(n.Buckets, make([]int64, int(b-n.First)+1-len(n.Buckets))...)
	}
}

// Merge adds the values of another number to this one's.
func (n *Number) Merge(o *Number) {
	if o.Count == 0 {
		return
	}
	if n.Count == 0 {
		n.Min, n.Max = o.Min, o.Max
	}
	n.Count, n.Min, n.Max, n.Sum = n.Count+o.Count, min(n.Min, o.Min), max(n.Max, o.Max), n.Sum+o.Sum
	n.Broken = n.Broken || o.Broken
	for i, c := range o.Buckets {
		if c > 0 {
			n.count(o.First+int32(i), c) //nolint:gosec // a few thousand
		}
	}
}

// Quantile returns the value below which a share of q of the values lie, right to 1.6 %.
func (n *Number) Quantile(q float64) float64 {
	rank, seen := int64(q*float64(n.Count-1)), int64(0)
	for i, c := range n.Buckets {
		if seen += c; seen > rank {
			v := bucketValue(n.First + int32(i)) //nolint:gosec // a few thousand
			if !n.Broken {
				v = math.Round(v)
			}
			return min(max(v, n.Min), n.Max)
		}
	}
	return n.Max
}

// Histogram counts the values in bins of equal width from Min to Max, right to the width of a bucket, whose values are taken to lie evenly
// in it. Whole numbers take room as wide as one each and have no more bins than there are of them, so that none stays empty for want of one.
func (n *Number) Histogram(bins int) []int64 {
	span := n.Max - n.Min
	if !n.Broken {
		span++
		bins = int(min(float64(bins), span))
	}
	counts := make([]int64, bins)
	bin := func(v float64) int {
		if span <= 0 {
			return 0
		}
		return min(max(int((v-n.Min)/span*float64(bins)), 0), bins-1)
	}
	for i, c := range n.Buckets {
		if c == 0 {
			continue
		}
		low, high := n.room(n.First + int32(i)) //nolint:gosec // a few thousand
		first, last, before := bin(low), bin(high), int64(0)
		for at := first; at < last; at++ {
			edge := n.Min + span*float64(at+1)/float64(bins)
			below := int64(math.Round(float64(c) * (edge - low) / (high - low)))
			counts[at] += below - before
			before = below
		}
		counts[last] += c - before
	}
	return counts
}

// room is where the values of a bucket lie, between Min and Max.
func (n *Number) room(b int32) (low, high float64) {
	switch {
	case b > 0:
		low, high = bucketEdge(b), bucketEdge(b+1)
	case b < 0:
		low, high = -bucketEdge(1-b), -bucketEdge(-b)
	}
	if n.Broken {
		return min(max(low, n.Min), n.Max), min(max(high, n.Min), n.Max)
	}
	if b < 0 { // Its upper edge is in the bucket, not its lower one.
		low, high = math.Floor(low)+1, math.Floor(high)+1
	} else {
		low, high = math.Ceil(low), max(math.Ceil(high), low+1)
	}
	return max(low, n.Min), min(high, n.Max+1)
}

// AddExample notes an example with the given size of its source data and, unless it is negative, label.
func (s *Stats) AddExample(size int, label int) {
	s.Examples++
	s.Bytes += int64(size)
	if label >= 0 {
		*s.class(label)++
		s.labels = append(s.labels, int32(label)) //nolint:gosec // an index into the classes
	}
}

// class is where the examples of a label are counted.
func (s *Stats) class(label int) *int64 {
	const most = 1 << 12 // so that a shard of few examples has no long list
	if label < len(s.classes) && s.classes[label] != nil {
		return s.classes[label]
	}
	n := s.Classes.counter(label)
	if label < most {
		s.classes = reach(s.classes, label)
		s.classes[label] = n
	}
	return n
}

// AddObject notes an annotated object with the given label.
func (s *Stats) AddObject(label int) {
	*s.Objects.counter(label)++
	s.labels = append(s.labels, int32(label)) //nolint:gosec // as above
}

// Number is a numeric property, to observe values of.
func (s *Stats) Number(name string) *Number {
	n := s.Numbers[name]
	if n == nil {
		if s.Numbers == nil {
			s.Numbers = make(map[string]*Number)
		}
		n = &Number{}
		s.Numbers[name] = n
	}
	return n
}

// Observe notes a value of a numeric property. What isn't finite is not noted.
func (s *Stats) Observe(name string, v float64) { s.Number(name).Observe(v) }

// Count notes a value of a property that has few values.
func (s *Stats) Count(name, value string) { *s.counter(name, value)++ }

// counter is where a value is counted.
func (s *Stats) counter(name, value string) *int64 {
	if s.Counts == nil {
		s.Counts = make(map[string]map[string]*int64)
	}
	if s.Counts[name] == nil {
		s.Counts[name] = make(map[string]*int64)
	}
	n := s.Counts[name][value]
	if n == nil {
		n = new(int64)
		s.Counts[name][value] = n
	}
	return n
}

// Remarked are files that something is to be said of, though they were kept.
type Remarked struct {
	Count int64    `json:"count"`
	Paths []string `json:"paths"` // the first of them, in order of the alphabet
}

const maxRemarked = 5 // paths

// Remark notes that something is to be said of a file.
func (s *Stats) Remark(what, path string) { s.remarked(what).add(1, path) }

func (s *Stats) remarked(what string) *Remarked {
	r := s.Remarks[what]
	if r == nil {
		if s.Remarks == nil {
			s.Remarks = make(map[string]*Remarked)
		}
		r = &Remarked{}
		s.Remarks[what] = r
	}
	return r
}

func (r *Remarked) add(count int64, paths ...string) {
	r.Count += count
	for _, p := range paths {
		i, _ := slices.BinarySearch(r.Paths, p)
		r.Paths = slices.Insert(r.Paths, i, p)
	}
	r.Paths = r.Paths[:min(len(r.Paths), maxRemarked)]
}

// Merge adds the other statistics to these.
func (s *Stats) Merge(o *Stats) {
	s.Examples += o.Examples
	s.Bytes += o.Bytes
	for label, n := range o.Classes {
		*s.Classes.counter(label) += *n
	}
	for label, n := range o.Objects {
		*s.Objects.counter(label) += *n
	}
	for what, r := range o.Remarks {
		s.remarked(what).add(r.Count, r.Paths...)
	}
	for name, n := range o.Numbers {
		s.Number(name).Merge(n)
	}
	for name, values := range o.Counts {
		for value, n := range values {
			*s.counter(name, value) += *n
		}
	}
}
