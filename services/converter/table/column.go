package table

import (
	"bytes"
	"math/bits"
	"slices"
	"strconv"
	"strings"
)

// Limits of categories.
const (
	MaxCategories = 1000    // values of a category column
	MaxClasses    = 100_000 // values of the label column
	MaxValueBytes = 256     // of a category's or class's name
	MaxIntClass   = 100     // integers from 0 to below it are classes in a label column
	categoryBytes = 2 << 20 // for the values of all columns together
	classBytes    = 12 << 20
	valueOverhead = 64 // bytes that a value costs beside its text
	freeClasses   = 100
	exactIntegers = 1 << 53 // a float64 tells all integers up to it apart
)

// seen are the kinds of values that a column has.
type seen uint16

const (
	seenInt seen = 1 << iota
	seenFloat
	seenBool
	seenText
	seenInts
	seenFloats
	seenStrings
	seenEmpty
	seenMixed
)

// Column collects what is needed to tell a column's type. Columns of parts of a table add up with Merge, in any order, to that of the whole.
type Column struct {
	Values   int64 // that are not missing
	seen     seen
	min, max int64     // of integers, if there are any; not while values have overflown
	small    [2]uint64 // which integers below MaxIntClass there are
	values   valueSet
	dims     dims
}

// valueSet are distinct values, up to a limit.
type valueSet struct {
	vocabulary
	bytes    int
	overflow bool
}

func (s *valueSet) add(v []byte, limit setLimit) {
	if s.overflow {
		return
	}
	if s.find(v) >= 0 {
		return
	}
	if len(v) > MaxValueBytes || !isName(v) {
		s.drop()
		return
	}
	s.vocabulary.add(string(v))
	s.bytes += len(v) + valueOverhead
	s.check(limit)
}

func (s *valueSet) check(limit setLimit) {
	if len(s.words) > limit.count || s.bytes > limit.bytes {
		s.drop()
	}
}

func (s *valueSet) drop() { *s = valueSet{overflow: true} }

// setLimit is how many values a set may hold. A table of more columns has less for each.
type setLimit struct{ count, bytes int }

func limitFor(columns int, label bool) setLimit {
	if label {
		return setLimit{MaxClasses, classBytes}
	}
	return setLimit{MaxCategories, min(64<<10, categoryBytes/max(1, columns))}
}

// isName tells whether a value can stand in a file of one name a line, which readers trim.
func isName(v []byte) bool {
	for _, c := range v {
		if c < ' ' || c == 0x7f {
			return false
		}
	}
	return len(v) > 0 && len(bytes.TrimSpace(v)) == len(v)
}

// cell notes a cell of CSV.
func (c *Column) cell(cell []byte, limit setLimit) {
	v := TrimSpace(cell)
	if c.isNoted(v) {
		c.Values++
		return
	}
	if IsMissing(v) {
		return
	}
	c.Values++
	if c.values.overflow && c.seen&seenText != 0 {
		return
	}
	if c.values.overflow { // which values there are is of no interest any more, nor are their bounds
		switch kindOfNumber(v) {
		case integer:
			c.seen |= seenInt
			return
		case hugeInteger, decimal:
			c.seen |= seenFloat
			return
		}
	}
	switch kind, i, _ := parseNumber(v); kind {
	case integer:
		c.integer(i, v, limit)
		return
	case hugeInteger, decimal:
		c.seen |= seenFloat
	case notNumber:
		if _, ok := parseBool(v); ok {
			c.seen |= seenBool
		} else {
			c.seen |= seenText
		}
	}
	c.values.add(v, limit)
}

// isNoted tells whether a value is one of those of which all was noted when they were first there.
func (c *Column) isNoted(v []byte) bool {
	switch {
	case c.values.overflow:
		return false
	case len(v) == 1 && isDigit(v[0]):
		return c.small[0]>>(v[0]-'0')&1 != 0
	}
	return c.values.find(v) >= 0
}

func (c *Column) integer(i int64, source []byte, limit setLimit) {
	if c.seen&seenInt == 0 {
		c.seen |= seenInt
		c.min, c.max = i, i
	}
	c.min, c.max = min(c.min, i), max(c.max, i)
	if uint64(i) < MaxIntClass && source[0] != '+' && source[0] != '-' { //nolint:gosec // negative ones are large
		c.small[i/64] |= 1 << (i % 64)
		return
	}
	c.values.add(source, limit)
}

// value notes a value of JSON.
func (c *Column) value(o *observed, limit setLimit) {
	if o.kind == Null || (o.kind == String && len(o.text) == 0) {
		return
	}
	c.Values++
	switch o.kind {
	case Int:
		c.integer(o.integer, o.text, limit)
		return
	case Float:
		c.seen |= seenFloat
	case Bool:
		c.seen |= seenBool
	case String:
		c.seen |= seenText
	case Ints:
		c.seen |= seenInts
		c.dims.add(o.shape[:o.rank])
		return
	case Floats:
		c.seen |= seenFloats
		c.dims.add(o.shape[:o.rank])
		return
	case Strings:
		c.seen |= seenStrings
		return
	case Empty:
		c.seen |= seenEmpty
		if o.rank == 1 {
			c.dims.first(0) // Of any rank.
		} else {
			c.dims.add(o.shape[:o.rank])
		}
		return
	default:
		c.seen |= seenMixed
		return
	}
	c.values.add(o.text, limit)
}

// Merge adds what was seen of another part of the column.
func (c *Column) merge(o *Column, limit setLimit) {
	if o.seen&seenInt != 0 {
		if c.seen&seenInt == 0 {
			c.min, c.max = o.min, o.max
		}
		c.min, c.max = min(c.min, o.min), max(c.max, o.max)
	}
	c.Values += o.Values
	c.seen |= o.seen
	c.small[0] |= o.small[0]
	c.small[1] |= o.small[1]
	c.dims.merge(o.dims)
	switch {
	case o.values.overflow:
		c.values.drop()
	case !c.values.overflow:
		for _, v := range o.values.words {
			if c.values.add([]byte(v), limit); c.values.overflow {
				break
			}
		}
		c.values.check(limit)
	}
}

// smalls are the integers below MaxIntClass that the column has.
func (c *Column) smalls() []int64 {
	var all []int64
	for i, word := range c.small {
		for ; word != 0; word &= word - 1 {
			all = append(all, int64(i*64+bits.TrailingZeros64(word)))
		}
	}
	return all
}

// distinct are all values in the order of their bytes.
func (c *Column) distinct() []string {
	all := slices.Clone(c.values.words)
	for _, i := range c.smalls() {
		all = append(all, strconv.FormatInt(i, 10))
	}
	slices.Sort(all)
	return all
}

// kind tells the column's type.
func (c *Column) kind() Kind {
	const arrays = seenInts | seenFloats | seenStrings | seenEmpty | seenMixed
	s := c.seen
	switch {
	case s&arrays != 0:
		return c.arrayKind()
	case s&seenText != 0, s&seenBool != 0 && s != seenBool, s == 0:
		return c.textKind(2)
	case s == seenBool:
		return KindBool
	case s&seenFloat != 0:
		return KindFloat
	}
	return KindInt
}

// textKind is a category if there are few values, each of them perValue times on average.
func (c *Column) textKind(perValue int64) Kind {
	n := int64(len(c.values.words) + bits.OnesCount64(c.small[0]) + bits.OnesCount64(c.small[1]))
	if c.values.overflow || c.Values == 0 || c.Values < perValue*n {
		return KindText
	}
	return KindCategory
}

func (c *Column) arrayKind() Kind {
	switch s := c.seen; {
	case s&^(seenStrings|seenEmpty) == 0 && s&seenStrings != 0 && c.dims.rank == 0: // None of them holds arrays.
		return KindTexts
	case s&^(seenInts|seenFloats|seenEmpty) != 0 || s == seenEmpty || c.dims.irregular():
		return KindText
	case s&seenFloats != 0:
		return KindFloats
	}
	return KindInts
}

// classes tells whether the column holds labels and what they are. chosen says that the user named the column.
func (c *Column) classes(chosen bool) (names []string, as Kind) {
	switch c.kind() {
	case KindInt:
		ints := c.smalls()
		for _, v := range c.values.words {
			i, _ := strconv.ParseInt(v, 10, 64)
			ints = append(ints, i)
		}
		slices.Sort(ints)
		ints = slices.Compact(ints)
		if c.values.overflow || len(ints) < 2 || (len(ints) > 2 && (c.min < 0 || c.max >= MaxIntClass)) {
			return nil, KindInt
		}
		for _, i := range ints {
			names = append(names, strconv.FormatInt(i, 10))
		}
		return names, KindInt
	case KindBool:
		for _, v := range c.values.words {
			if v = strings.ToLower(v); v != "yes" && v != "no" {
				return []string{"false", "true"}, KindBool
			}
		}
		return []string{"no", "yes"}, KindBool
	case KindText, KindCategory:
		if c.seen&^(seenInt|seenFloat|seenBool|seenText) != 0 {
			return nil, KindText
		}
		per := int64(2)
		if chosen || len(c.values.words) <= freeClasses {
			per = 0
		}
		if c.textKind(per) == KindCategory {
			return c.distinct(), KindText
		}
		return nil, KindText
	}
	return nil, c.kind()
}

// dims are the shapes of a column's arrays.
type dims struct {
	rank     int // 0: none seen
	min, max int // of the first dimension; max is one too large, so that 0 means none
	rest     [maxRank]int
	ranks    bool // arrays differ in rank
}

func (d *dims) first(n int) {
	if d.max == 0 {
		d.min, d.max = n, n+1
	}
	d.min, d.max = min(d.min, n), max(d.max, n+1)
}

func (d *dims) add(shape []int) {
	o := dims{rank: len(shape), min: shape[0], max: shape[0] + 1}
	copy(o.rest[:], shape)
	d.merge(o)
}

func (d *dims) merge(o dims) {
	if o.max > 0 {
		d.first(o.min)
		d.first(o.max - 1)
	}
	d.ranks = d.ranks || o.ranks
	switch {
	case o.rank == 0:
	case d.rank == 0:
		d.rank, d.rest = o.rank, o.rest
	case d.rank != o.rank:
		d.ranks = true
	default:
		for i := 1; i < d.rank; i++ {
			if d.rest[i] != o.rest[i] {
				d.rest[i] = -1
			}
		}
	}
}

// irregular tells whether the arrays make no tensor and no ragged sequence.
func (d *dims) irregular() bool {
	return d.ranks || d.rank > 2 && slices.Contains(d.rest[1:d.rank], -1)
}

// shape has -1 for a dimension that differs. If the second does, the arrays are ragged.
func (d *dims) shape() []int {
	shape := slices.Clone(d.rest[:d.rank])
	if shape[0] = d.min; d.min != d.max-1 {
		shape[0] = -1
	}
	return shape
}
