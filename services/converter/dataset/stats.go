package dataset

// Stats are what was seen of the records of one split. They add up: the statistics of a dataset are
// the sum of those of its shards, whatever the number of workers.
type Stats struct {
	Examples int64                       `json:"examples"`
	Bytes    int64                       `json:"bytes"`             // of the records' source data
	Classes  map[int]int64               `json:"classes,omitempty"` // examples by label
	Numbers  map[string]*Number          `json:"numbers,omitempty"` // such as width
	Counts   map[string]map[string]int64 `json:"counts,omitempty"`  // such as encoding: png
}

// Number sums up one numeric property. Sum is exact while the values are whole and the sum is below 2^53.
type Number struct {
	Count int64   `json:"count"`
	Min   float64 `json:"min"`
	Max   float64 `json:"max"`
	Sum   float64 `json:"sum"`
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
	}
}

// Observe notes a value of a numeric property.
func (s *Stats) Observe(name string, v float64) {
	n := s.Numbers[name]
	if n == nil {
		if s.Numbers == nil {
			s.Numbers = make(map[string]*Number)
		}
		n = &Number{Min: v, Max: v}
		s.Numbers[name] = n
	}
	n.Count++
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
	for name, n := range o.Numbers {
		if s.Numbers == nil {
			s.Numbers = make(map[string]*Number)
		}
		if t := s.Numbers[name]; t == nil {
			sum := *n
			s.Numbers[name] = &sum
		} else {
			t.Count, t.Min, t.Max, t.Sum = t.Count+n.Count, min(t.Min, n.Min), max(t.Max, n.Max), t.Sum+n.Sum
		}
	}
	for name, values := range o.Counts {
		for value, n := range values {
			s.count(name, value, n)
		}
	}
}
