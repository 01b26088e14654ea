package dataset

import (
	"maps"
	"math"
	"slices"
)

// Stats are what was seen of the records of one split. They add up: the statistics of a dataset are
// the sum of those of its shards, whatever the number of workers.
type Stats struct {
	Examples int64                       `json:"examples"`
	Bytes    int64                       `json:"bytes"`             // of the records' source data
	Classes  map[int]int64               `json:"classes,omitempty"` // examples by label
	Objects  map[int]int64               `json:"objects,omitempty"` // annotated objects by label, where examples hold several
	Numbers  map[string]*Number          `json:"numbers,omitempty"` // such as width
	Counts   map[string]map[string]int64 `json:"counts,omitempty"`  // such as encoding: png

	labels []int32 // see TakeLabels
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
	Count   int64           `json:"count"`
	Min     float64         `json:"min"`
	Max     float64         `json:"max"`
	Sum     float64         `json:"sum"`
	Buckets map[int32]int64 `json:"buckets"` // see bucket
}

// Values are counted in buckets that grow by 2 %, so that quantiles are right to 1 % and sketches of two parts add
// up, in any order, to the sketch of the whole (Masson, Rim, Lee: DDSketch, 2019). Bucket 0 holds zero, and what is
// nearer to it than 1e-9; negative values have the negated bucket of their magnitude.
const (
	gamma      = 1.02
	bucketBias = 2000 // above log(1e-9)/log(gamma), so that every magnitude has a bucket above 0
)

var logGamma = math.Log(gamma)

func bucket(v float64) int32 {
	m := math.Abs(v)
	if !(m >= 1e-9) { // zero, tiny or not a number
		return 0
	}
	b := int32(math.Ceil(math.Log(min(m, math.MaxFloat64))/logGamma)) + bucketBias
	if v < 0 {
		return -b
	}
	return b
}

func bucketValue(b int32) float64 {
	switch {
	case b == 0:
		return 0
	case b < 0:
		return -bucketValue(-b)
	}
	return 2 * math.Pow(gamma, float64(b-bucketBias)) / (1 + gamma) // the middle, relative to both ends
}

// Quantile returns the value below which a share of q of the values lie, right to 1 %.
func (n *Number) Quantile(q float64) float64 {
	rank, seen := int64(q*float64(n.Count-1)), int64(0)
	for _, b := range slices.Sorted(maps.Keys(n.Buckets)) {
		if seen += n.Buckets[b]; seen > rank {
			return min(max(bucketValue(b), n.Min), n.Max)
		}
	}
	return n.Max
}

// Histogram counts the values in bins of equal width from Min to Max, right to the width of a bucket.
func (n *Number) Histogram(bins int) []int64 {
	counts := make([]int64, bins)
	width := (n.Max - n.Min) / float64(bins)
	for b, c := range n.Buckets {
		i := 0
		if width > 0 {
			i = int((min(max(bucketValue(b), n.Min), n.Max) - n.Min) / width)
		}
		counts[min(max(i, 0), bins-1)] += c
	}
	return counts
}

// AddExample notes an example with the given size of its source data and, unless it is negative, label.
func (s *Stats) AddExample(size int, label int) {
	s.Examples++
	s.Bytes += int64(size)
	if label >= 0 {
		if s.Classes == nil {
			s.Classes = make(map[int]int64)
		}
		s.Classes[label]++
		s.labels = append(s.labels, int32(label)) //nolint:gosec // an index into the classes
	}
}

// AddObject notes an annotated object with the given label.
func (s *Stats) AddObject(label int) {
	if s.Objects == nil {
		s.Objects = make(map[int]int64)
	}
	s.Objects[label]++
	s.labels = append(s.labels, int32(label)) //nolint:gosec // as above
}

// Observe notes a value of a numeric property. What isn't finite is not noted.
func (s *Stats) Observe(name string, v float64) {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return
	}
	n := s.Numbers[name]
	if n == nil {
		if s.Numbers == nil {
			s.Numbers = make(map[string]*Number)
		}
		n = &Number{Min: v, Max: v, Buckets: make(map[int32]int64)}
		s.Numbers[name] = n
	}
	n.Count++
	n.Buckets[bucket(v)]++
	n.Min, n.Max, n.Sum = min(n.Min, v), max(n.Max, v), n.Sum+v
}

// Count notes a value of a property that has few values.
func (s *Stats) Count(name, value string) { s.count(name, value, 1) }

func (s *Stats) count(name, value string, n int64) {
	if s.Counts == nil {
		s.Counts = make(map[string]map[string]int64)
	}
	if s.Counts[name] == nil {
		s.Counts[name] = make(map[string]int64)
	}
	s.Counts[name][value] += n
}

// Merge adds the other statistics to these.
func (s *Stats) Merge(o *Stats) {
	s.Examples += o.Examples
	s.Bytes += o.Bytes
	for label, n := range o.Classes {
		if s.Classes == nil {
			s.Classes = make(map[int]int64)
		}
		s.Classes[label] += n
	}
	for label, n := range o.Objects {
		if s.Objects == nil {
			s.Objects = make(map[int]int64)
		}
		s.Objects[label] += n
	}
	for name, n := range o.Numbers {
		if s.Numbers == nil {
			s.Numbers = make(map[string]*Number)
		}
		if t := s.Numbers[name]; t == nil {
			sum := *n
			sum.Buckets = maps.Clone(n.Buckets)
			s.Numbers[name] = &sum
		} else {
			t.Count, t.Min, t.Max, t.Sum = t.Count+n.Count, min(t.Min, n.Min), max(t.Max, n.Max), t.Sum+n.Sum
			for b, c := range n.Buckets {
				t.Buckets[b] += c
			}
		}
	}
	for name, values := range o.Counts {
		for value, n := range values {
			s.count(name, value, n)
		}
	}
}
