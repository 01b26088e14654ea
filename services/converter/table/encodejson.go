package table

import "slices"

// object takes the values of a row of JSON.
func (e *Encoder) object(row []byte) *RowError {
	e.row++
	e.values = 0
	if err := e.flat.Row(row, e.visit); err != nil {
		return err
	}
	for i := range e.fields {
		f := &e.fields[i]
		if f.row == e.row {
			continue
		}
		if err := e.setMissing(f); err != nil {
			return err
		}
	}
	return nil
}

// value takes a value of JSON.
func (e *Encoder) value(path []byte, v *Value) *RowError {
	i := e.fieldAt(path)
	if i < 0 {
		return nil // a name that never has a value
	}
	f := &e.fields[i]
	if f.row == e.row {
		return twice(path)
	}
	f.row = e.row
	f.reset()
	if v.Kind == Null || (v.Kind == String && len(v.Text) == 0) {
		return e.setMissing(f)
	}
	scalar := v.Kind == Bool || v.Kind == Int || v.Kind == Float || v.Kind == String
	switch f.kind {
	case codeText:
		f.text = v.Text
		return nil
	case codeCategory:
		if !scalar || !e.setClass(f, v.Text) {
			return misfit(f, v.Text)
		}
		return nil
	case codeBool:
		if v.Kind != Bool {
			return misfit(f, v.Text)
		}
		f.setBool(v.Int != 0)
		return nil
	case codeInt, codeFloat:
		if v.Kind != Int && (v.Kind != Float || f.kind == codeInt) {
			return misfit(f, v.Text)
		}
		f.setNumber(v.Int, v.Float, v.Text)
		return nil
	default:
		return e.setArray(f, v)
	}
}

// fieldAt returns the index of the field with the path, or -1. Rows mostly have their names in one order.
func (e *Encoder) fieldAt(path []byte) int {
	n := e.values
	e.values++
	if n < len(e.order) {
		if i := e.order[n]; i >= 0 && e.fields[i].Source == string(path) {
			return i
		}
	}
	i, ok := e.byPath[string(path)]
	if !ok {
		i = -1
	}
	if n == len(e.order) && n < len(e.fields) {
		e.order = append(e.order, i)
	} else if n < len(e.order) {
		e.order[n] = i
	}
	return i
}

// setArray takes an array of JSON.
func (e *Encoder) setArray(f *field, v *Value) *RowError {
	n := len(v.Floats)
	if v.Kind == Strings {
		n = len(v.Strings)
	}
	switch {
	case f.Kind == KindTexts && (v.Kind == Strings || v.Kind == Empty) && len(v.Shape) == 1:
		from := len(e.texts)
		e.texts = append(e.texts, v.Strings...)
		e.features[f.place].SetTexts(e.texts[from:])
		return nil
	case f.Kind == KindTexts, v.Kind != Ints && v.Kind != Floats && v.Kind != Empty, f.Kind == KindInts && v.Kind == Floats,
		f.fixed >= 0 && n != f.fixed, (v.Kind != Empty || len(v.Shape) > 1) && !fits(v.Shape, f.Shape):
		return misfit(f, v.Text)
	}
	if f.Kind == KindInts {
		from := len(e.ints)
		e.ints = append(e.ints, v.Ints...)
		e.features[f.place].SetInt64s(e.ints[from:])
	} else {
		from := len(e.floats)
		for _, x := range v.Floats {
			e.floats = append(e.floats, float32(x))
		}
		e.features[f.place].SetFloats(e.floats[from:])
	}
	if f.lengths >= 0 {
		from := len(e.ints)
		e.ints = append(e.ints, v.Lengths...)
		e.features[f.lengths].SetInt64s(e.ints[from:])
	}
	return nil
}

// fits tells whether an array of one shape can be stored as the other, in which -1 stands for any length.
func fits(shape, as []int) bool {
	return slices.EqualFunc(shape, as, func(n, want int) bool { return n == want || want < 0 })
}
