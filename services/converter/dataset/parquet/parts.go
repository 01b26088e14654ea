package parquet

import (
	"encoding/binary"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/trainyard/trainyard/services/converter/dataset"
	"github.com/trainyard/trainyard/services/converter/table"
)

// part is a feature of the template that is one number or one text.
type part struct {
	what  partKind
	field int
	at    int // of a number, where it lies in the row
}

// partKind is what a part is made of.
type partKind uint8

const (
	partByte partKind = iota
	partInt32
	partUint32
	partInt64
	partFloat
	partClass
	partBytes
	partMissing
)

// partsOf finds out of what the template's features are made, if each is one number or one text.
func (e *encoder) partsOf() {
	var parts []part
	for i := range e.fields {
		f := &e.fields[i]
		p := part{field: i, at: e.walk.layout.at[i]}
		switch form := e.walk.layout.form[i]; {
		case f.way == asList, f.way == asImage, f.way == asAudio:
			return
		case f.way == asClass:
			p.what = partClass
		case form == formLong, form == formCode:
			p.what = partBytes
		default:
			p.what = [...]partKind{formByte: partByte, formInt32: partInt32, formUint32: partUint32, formInt64: partInt64, formFloat: partFloat}[form]
		}
		if p.what == partClass || p.what == partBytes {
			e.looked = append(e.looked, i)
		}
		if f.way != asNothing {
			parts = append(parts, p)
		}
		if f.missing != "" {
			parts = append(parts, part{field: i, what: partMissing})
		}
	}
	keyOf := func(p part) string {
		if f := &e.fields[p.field]; p.what != partMissing {
			return f.key
		}
		return e.fields[p.field].missing
	}
	slices.SortFunc(parts, func(a, b part) int { return strings.Compare(keyOf(a), keyOf(b)) })
	e.parts = parts
}

// put encodes a row whose features are each one number or one text, in less than half the time that it takes to set them.
func (e *encoder) put(dst, row []byte, path string, stats *dataset.Stats) ([]byte, error) {
	label, w := -1, &e.walk
	size := len(row) - w.layout.codes
	for _, i := range e.looked {
		f := &e.fields[i]
		if word := w.word(i); word != nil && (f.way != asClass || word.class >= 0) {
			f.absent, f.bytes, f.class = false, word.text, word.class
			if size += word.size; f.isLabel {
				label = int(f.class)
			}
			continue
		}
		if !w.next(&f.column, i) {
			return dst, malformed(path)
		}
		f.absent, f.bytes = w.missing, w.value
		switch {
		case f.way == asClass:
			if err := e.classOf(f, path); err != nil {
				return dst, err
			}
			if f.isLabel {
				label = int(f.class)
			}
		case f.way == asText && !utf8.Valid(w.value):
			return dst, invalidText(path, f)
		}
	}
	stats.AddExample(size, label)
	e.columns.Use(stats)
	buf, at := e.template.Begin(dst, size)
	for i := range e.parts {
		p := &e.parts[i]
		absent := w.absentAt(p.field)
		var n int64
		switch p.what {
		case partMissing:
			if absent {
				n = 1
			}
			at = e.template.PutInt64(buf, at, i, n)
			continue
		case partClass:
			f := &e.fields[p.field]
			at = e.template.PutInt64(buf, at, i, f.class)
			f.observe(stats, &e.columns, p.field)
			continue
		case partBytes:
			f := &e.fields[p.field]
			at = e.template.PutBytes(buf, at, i, f.bytes)
			if absent {
				f.observe(stats, &e.columns, p.field)
			}
			continue
		case partFloat:
			v := math.Float32frombits(binary.LittleEndian.Uint32(row[p.at:]))
			at = e.template.PutFloat(buf, at, i, v)
			e.observe(p.field, absent, float64(v))
			continue
		case partByte:
			n = int64(row[p.at])
		case partInt32:
			n = int64(int32(binary.LittleEndian.Uint32(row[p.at:]))) //nolint:gosec // two's complement
		case partUint32:
			n = int64(binary.LittleEndian.Uint32(row[p.at:]))
		case partInt64:
			n = int64(binary.LittleEndian.Uint64(row[p.at:])) //nolint:gosec // two's complement
		}
		at = e.template.PutInt64(buf, at, i, n)
		number := float64(n)
		if n < 0 && e.fields[p.field].unsigned {
			number = float64(uint64(n)) //nolint:gosec // two's complement
		}
		e.observe(p.field, absent, number)
	}
	return e.template.End(buf, len(dst), at), nil
}

// observe notes a number in the statistics.
func (e *encoder) observe(column int, absent bool, number float64) {
	key := e.fields[column].Key
	if absent {
		e.columns.Count(column, statMissing, table.StatMissing, key)
		return
	}
	e.columns.Observe(column, key, number)
}
