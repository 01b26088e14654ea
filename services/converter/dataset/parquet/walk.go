package parquet

import (
	"encoding/binary"
	"math"
)

// walker reads a row in the neutral form, column by column. It doesn't trust the row.
type walker struct {
	layout layout
	words  [][]word // by column, of those that are coded
	row    []byte
	rest   []byte // of row, behind what was read of the values of no fixed length

	missing bool // the value, or one of those in the lists
	value   []byte
	int     int64
	float   float32

	// Of a column in lists:
	rep, depth []byte
	ints       []int64
	floats     []float32
	values     [][]byte
	absent     []int64   // 1 for each element that is missing
	lengths    [][]int64 // of the lists within the outermost, level by level
	shapes     []int
}

// start begins a row; it returns false if the row is left out.
func (w *walker) start(row []byte) bool {
	if len(row) < w.layout.head || row[0] != statusRow {
		return false
	}
	w.row, w.rest = row, row[w.layout.head:]
	return true
}

// absentAt tells whether the row has no value in a column in no list.
func (w *walker) absentAt(column int) bool { return w.row[1+column>>3]>>(column&7)&1 != 0 }

// word is what the code of a column stands for, nil if it has none.
func (w *walker) word(column int) *word {
	words := w.words[column]
	if words == nil {
		return nil
	}
	code := int(binary.LittleEndian.Uint16(w.row[w.layout.at[column]:]))
	if code == 0 || code >= len(words) {
		return nil
	}
	return &words[code]
}

// next reads a column, of which i is the number. Those of no fixed length must be read in their order. It returns false if the row isn't what Transcode makes.
func (w *walker) next(c *column, i int) bool {
	if c.Lists > 0 {
		return w.list(c)
	}
	w.missing = w.absentAt(i)
	switch at := w.row[w.layout.at[i]:]; w.layout.form[i] {
	case formByte:
		w.int = int64(at[0])
	case formInt32:
		w.int = int64(int32(binary.LittleEndian.Uint32(at))) //nolint:gosec // two's complement
	case formUint32:
		w.int = int64(binary.LittleEndian.Uint32(at))
	case formInt64:
		w.int = int64(binary.LittleEndian.Uint64(at)) //nolint:gosec // two's complement
	case formFloat:
		w.float = math.Float32frombits(binary.LittleEndian.Uint32(at))
	case formCode:
		code := int(binary.LittleEndian.Uint16(at))
		if code >= len(w.words[i]) {
			return false
		}
		if w.value = w.words[i][code].text; code == 0 && !w.missing {
			return w.bytes()
		}
	default:
		if w.value = nil; !w.missing {
			return w.bytes()
		}
	}
	return true
}

// bytes reads the next text or bytes.
func (w *walker) bytes() bool {
	size, n := uint64(0), 1
	if len(w.rest) > 0 && w.rest[0] < 1<<7 {
		size = uint64(w.rest[0])
	} else {
		size, n = binary.Uvarint(w.rest)
	}
	if n <= 0 || size > uint64(len(w.rest)-n) {
		return false
	}
	end := n + int(size) //nolint:gosec // within the row
	w.value, w.rest = w.rest[n:end:end], w.rest[end:]
	return true
}

// scalar reads a value in lists.
func (w *walker) scalar(k kind) bool {
	switch k {
	case kindInt, kindBool:
		v, n := binary.Varint(w.rest)
		if n <= 0 {
			return false
		}
		w.int, w.rest = v, w.rest[n:]
	case kindFloat:
		if len(w.rest) < 4 {
			return false
		}
		w.float, w.rest = math.Float32frombits(binary.LittleEndian.Uint32(w.rest)), w.rest[4:]
	default:
		return w.bytes()
	}
	return true
}

// list reads a column in lists. An element that is missing is 0, NaN or empty among the values.
func (w *walker) list(c *column) bool {
	count, n := binary.Uvarint(w.rest)
	if n <= 0 || count == 0 || count > uint64(len(w.rest)-n)/2 {
		return false
	}
	entries := int(count) //nolint:gosec // within the row
	w.rest = w.rest[n:]
	w.rep, w.depth, w.rest = w.rest[:entries], w.rest[entries:2*entries], w.rest[2*entries:]
	lists := c.Lists
	w.missing = false
	w.ints, w.floats, w.values, w.absent = w.ints[:0], w.floats[:0], w.values[:0], w.absent[:0]
	for len(w.lengths) < lists-1 {
		w.lengths = append(w.lengths, nil)
	}
	for i := range w.lengths {
		w.lengths[i] = w.lengths[i][:0]
	}
	for i := range entries {
		rep, depth := int(w.rep[i]), int(w.depth[i])
		if rep > lists || depth > lists+1 || (rep == 0) != (i == 0) || depth < rep {
			return false
		}
		// The entry begins an element in the list that it repeats and in all within that, as far as there are any.
		for level := max(rep, 1); level <= min(depth, lists); level++ {
			if level > 1 {
				of := w.lengths[level-2]
				if len(of) == 0 {
					return false
				}
				of[len(of)-1]++
			}
			if level < lists {
				w.lengths[level-1] = append(w.lengths[level-1], 0)
			}
		}
		if depth < lists {
			continue
		}
		absent := depth == lists
		w.value, w.int, w.float = nil, 0, float32(math.NaN())
		if !absent && !w.scalar(c.Kind) {
			return false
		}
		switch c.Kind {
		case kindInt, kindBool:
			w.ints = append(w.ints, w.int)
		case kindFloat:
			w.floats = append(w.floats, w.float)
		default:
			w.values = append(w.values, w.value)
		}
		if absent {
			w.missing = true
			w.absent = append(w.absent, 1)
		} else {
			w.absent = append(w.absent, 0)
		}
	}
	return true
}

// shape tells how long the lists of the column at hand are, outermost first, if those of each level have the same length.
func (w *walker) shape(lists int) ([]int, bool) {
	w.shapes = w.shapes[:0]
	elements := len(w.absent) // of all lists of a level
	for level := lists - 2; level >= 0; level-- {
		of := w.lengths[level]
		if len(of) == 0 {
			return nil, false
		}
		for _, n := range of {
			if n != of[0] {
				return nil, false
			}
		}
		w.shapes = append(w.shapes, int(of[0]))
		elements = len(of)
	}
	w.shapes = append(w.shapes, elements)
	for i, j := 0, len(w.shapes)-1; i < j; i, j = i+1, j-1 {
		w.shapes[i], w.shapes[j] = w.shapes[j], w.shapes[i]
	}
	for _, n := range w.shapes {
		if n == 0 {
			return nil, false
		}
	}
	return w.shapes, true
}
