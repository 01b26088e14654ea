package dataset

// Columns note values of the columns of a table in the statistics of a split, as Stats.Observe and Stats.Count do, but
// remember where those of each column are instead of looking names up with each row.
type Columns struct {
	stats    *Stats
	examples int64 // of stats when they were last used
	numbers  []*Number
	counts   [][]*int64
}

// Use makes s the statistics that the values of a row are noted in. It is called once for each row that s counts.
func (c *Columns) Use(s *Stats) {
	if c.stats != s || c.examples >= s.Examples { // another split's, or begun anew
		c.stats = s
		clear(c.numbers)
		for i := range c.counts {
			clear(c.counts[i])
		}
	}
	c.examples = s.Examples
}

// Observe notes a number of the column with the given index and name. What isn't finite is not noted.
func (c *Columns) Observe(column int, name string, v float64) {
	if column >= len(c.numbers) {
		c.numbers = reach(c.numbers, column)
	}
	n := c.numbers[column]
	if n == nil {
		n = c.stats.Number(name)
		c.numbers[column] = n
	}
	n.Observe(v)
}

// Count notes a value of the property with the given name. Column and number are the same whenever name and value are, and no others'.
func (c *Columns) Count(column, number int, name, value string) {
	if column >= len(c.counts) || number >= len(c.counts[column]) {
		c.counts = reach(c.counts, column)
		c.counts[column] = reach(c.counts[column], number)
	}
	n := c.counts[column][number]
	if n == nil {
		n = c.stats.counter(name, value)
		c.counts[column][number] = n
	}
	*n++
}

// reach makes s long enough to have an element i.
func reach[T any](s []T, i int) []T {
	if i < len(s) {
		return s
	}
	return append(s, make([]T, i+1-len(s))...)
}
