package parquet

import "math"

// A row in the neutral form is a status, then
//
//	statusRow     a bit for each column, 1 if it has no value; the values of fixed length, and codes; the others
//	statusLarge   the row is left out; its size follows as a uvarint
//
// with the columns in the order of their keys. A number or bool that lies in no list has a fixed length, so that it lies at the same place in
// all rows: an int64 or int32, a float32, a byte; little-endian, 0 if it is missing. A text or bytes in no list are, unless they are
// missing, a uvarint of their length and they themselves; in a column that is coded, a uint16 of fixed place and, only if that is 0, the same. A column in lists is a uvarint of how many entries it has, for each the repetition
// level, for each the depth, and the values of all entries that have one. Depth d says that there is an element in the first d lists; one more,
// that it has a value. There a number is a varint (kindInt, kindBool) or a float32 (kindFloat).
const (
	statusRow   = 0
	statusLarge = 1
)

// layout says where in a row the values of fixed length are.
type layout struct {
	at    []int  // by column; what has no fixed length lies behind head
	form  []form // by column
	head  int    // bytes of the status, the bits and the values of fixed length
	codes int    // of these, those of codes
}

// form is how a value lies in a row.
type form uint8

const (
	formLong form = iota // of no fixed length
	formByte
	formInt32
	formUint32
	formFloat
	formInt64
	formCode // as well, unless there is a code for the value
)

// width is the length of a value, 0 if it isn't fixed.
func (f form) width() int { return [...]int{0, 1, 4, 4, 4, 8, codeBytes}[f] }

// layoutOf is the layout of rows with n columns.
func layoutOf(n int, column func(i int) *column) layout {
	l := layout{at: make([]int, n), form: make([]form, n), head: 1 + (n+7)/8}
	for i := range n {
		l.at[i], l.form[i] = l.head, column(i).form()
		l.head += l.form[i].width()
		if l.form[i] == formCode {
			l.codes += codeBytes
		}
	}
	return l
}

func (c *column) form() form {
	switch {
	case c.Lists > 0:
	case c.Coded:
		return formCode
	case c.Kind == kindBool:
		return formByte
	case c.Kind == kindFloat:
		return formFloat
	case c.Kind == kindInt && c.Type == "uint32":
		return formUint32
	case c.Kind == kindInt && c.short():
		return formInt32
	case c.Kind == kindInt:
		return formInt64
	}
	return formLong
}

// short tells whether the column's integers are physical INT32, which is why they fit in four bytes.
func (c *column) short() bool {
	switch c.Type {
	case "int8", "int16", "int32", "uint8", "uint16":
		return true
	}
	return false
}

// bits is a number as it lies in a row.
func (c *converter) bits(v []byte) uint64 {
	switch c.to {
	case kindInt:
		return uint64(c.int(v, c.mul, c.div)) //nolint:gosec // two's complement
	case kindFloat:
		return uint64(math.Float32bits(float32(c.float(v, c.scale))))
	}
	return uint64(v[0]) // a bool
}
