package table

import "math"

// arrayState is what has been seen of an array and those within it.
type arrayState struct {
	leaf    int  // on which level its values are; -1: none yet
	levels  int  // how many there are
	ragged  bool // arrays of the second level differ in length
	mixed   bool // it is neither of numbers nor of strings, or of no regular shape
	numbers bool
	floats  bool
	strings bool
	nulls   bool
	known   [maxRank]bool // whether the shape on this level is known
}

// elements reads an array, whose bracket is next. level counts from 0, depth as for objects.
func (f *Flattener) elements(depth, level int) *RowError {
	if err := f.deeper(depth); err != nil {
		return err
	}
	f.array.levels = max(f.array.levels, level+1)
	f.i++
	f.space()
	n := 0
	if f.peek() == ']' {
		f.i++
		f.length(level, n)
		return nil
	}
	for {
		if err := f.element(depth, level); err != nil {
			return err
		}
		n++
		f.space()
		switch f.peek() {
		case ',':
			f.i++
			f.space()
		case ']':
			f.i++
			f.length(level, n)
			return nil
		default:
			return f.syntax("a comma or a closing bracket is missing")
		}
	}
}

// length notes the length of an array on the level.
func (f *Flattener) length(level, n int) {
	a := &f.array
	if level >= maxRank {
		a.mixed = true
		return
	}
	if level == 1 {
		f.value.Lengths = append(f.value.Lengths, int64(n))
	}
	switch {
	case !a.known[level]:
		a.known[level], f.shape[level] = true, n
	case f.shape[level] != n && level == 1:
		a.ragged = true
	case f.shape[level] != n:
		a.mixed = true
	}
}

func (f *Flattener) element(depth, level int) *RowError {
	a, v := &f.array, &f.value
	switch f.peek() {
	case '{':
		a.mixed = true
		return f.ignored(depth + 1)
	case '[':
		if err := f.token(); err != nil {
			return err
		}
		return f.elements(depth+1, level+1)
	}
	if err := f.scalar(); err != nil {
		return err
	}
	if a.leaf >= 0 && a.leaf != level {
		a.mixed = true
	}
	a.leaf = level
	switch v.Kind {
	case Int:
		a.numbers = true
		v.Ints, v.Floats = append(v.Ints, v.Int), append(v.Floats, v.Float)
	case Float:
		a.numbers, a.floats = true, true
		v.Floats = append(v.Floats, v.Float)
	case Null:
		a.nulls = true
		v.Floats = append(v.Floats, math.NaN())
	case String:
		a.strings = true
		v.Strings = append(v.Strings, v.Text)
	default:
		a.mixed = true
	}
	return nil
}

// ignored reads an object within an array, of which only the source is kept.
func (f *Flattener) ignored(depth int) *RowError {
	visit, path := f.visit, len(f.path)
	array, value, shape := f.array, f.value, f.shape
	f.value = Value{}
	f.visit = func([]byte, *Value) *RowError { return nil }
	err := f.object(depth)
	f.visit, f.path = visit, f.path[:path]
	f.array, f.value, f.shape = array, value, shape
	return err
}

// shaped makes the value of the array that has been read.
func (f *Flattener) shaped() {
	a, v := &f.array, &f.value
	rank := a.levels
	switch {
	case a.mixed, a.strings && (a.numbers || a.nulls), a.leaf >= 0 && a.leaf != rank-1, a.ragged && rank > 2:
		v.Kind = Mixed
	case a.strings && rank == 1:
		v.Kind = Strings
		v.Shape = f.shape[:1]
	case a.strings:
		v.Kind = Mixed
	case a.leaf < 0 && rank <= 2: // [] or [[], []]
		v.Kind = Empty
		v.Shape = f.shape[:rank]
	case a.leaf < 0:
		v.Kind = Mixed
	case !a.numbers: // nothing but null
		v.Kind = Mixed
	default:
		v.Kind = Ints
		if a.floats || a.nulls {
			v.Kind = Floats
		}
		v.Shape = f.shape[:rank]
		if a.ragged {
			v.Shape[1] = -1
		}
	}
}
