package parquet

import (
	"encoding/binary"
	"math"
	"unicode/utf8"

	"github.com/trainyard/trainyard/services/converter/table"
)

// Columns whose texts repeat are a good part of a table, and the same few words again and again: in rows stand codes for them. A word has one from
// where it is first seen, in all files; other texts have none for ever. So equal rows have equal bytes, and a task on another machine, which is
// told the words by the schema, makes the same rows.
const (
	maxWords  = 4096    // of a column that is no category
	wordBytes = 1 << 20 // for the words of all such columns, on top of categoryBytes
	maxCode   = math.MaxUint16
	codeBytes = 2
)

// words are values of a text column, numbered as they were seen.
type words struct {
	texts  table.Vocabulary
	codes  []uint16 // by number; 0 if it has none
	coded  []string // by code, from 1 on
	frozen bool     // there will be no others
}

// add numbers a text that it doesn't have.
func (w *words) add(text string) int32 {
	code := 0
	if len(w.coded) < maxCode && utf8.ValidString(text) {
		w.coded = append(w.coded, text)
		code = len(w.coded)
	}
	w.codes = append(w.codes, uint16(code)) //nolint:gosec // at most maxCode
	return int32(w.texts.Add(text))         //nolint:gosec // at most MaxClasses
}

// words are the words of the schema's columns.
func (s *schema) words() []*words {
	all := make([]*words, len(s.Columns))
	for i := range s.Columns {
		if c := &s.Columns[i]; c.Coded {
			all[i] = &words{frozen: true}
			for _, text := range c.Words {
				all[i].add(text)
			}
		}
	}
	return all
}

// columns are the columns, without what the rows told of them.
func (s *schema) columns() []column {
	all := make([]column, len(s.Columns))
	for i := range s.Columns {
		all[i] = s.Columns[i].column
	}
	return all
}

// maxKnown bounds the dictionaries of which the numbers of values are kept. Larger ones are of no categories.
const maxKnown = 1 << 16

const notNumbered = -2

// numbered returns the numbers of the dictionary's values, as far as they are known, or nil if there are too many.
func (r *chunkReader) numbered() []int32 {
	if r.dictionary.count > maxKnown {
		return nil
	}
	for len(r.known) < r.dictionary.count {
		r.known = append(r.known, notNumbered)
	}
	return r.known
}

// code finds the numbers of the next values of a text column, one a row, and the codes if it has them, for which the sizes of the rows become less.
func (r *rowReader) code(column int, sizes []int, labels []int32) {
	c, w := r.columns[column], r.words[column]
	if c.column.Coded {
		c.codes = sized(c.codes, len(sizes))
		clear(c.codes)
	}
	if w == nil || w.frozen && !c.column.Coded {
		return
	}
	data, known := c.from(), []int32(nil)
	if c.indexed {
		known = c.numbered()
	}
	v := c.v
	for i, at := range c.spans[:len(sizes)] {
		if at.start > at.end {
			continue
		}
		var number int32
		if known == nil {
			number = r.number(column, data[at.start:at.end])
		} else if number = known[c.indices[v]]; number == notNumbered {
			number = r.number(column, data[at.start:at.end])
			known[c.indices[v]] = number
		}
		v++
		if number >= 0 && c.column.Coded {
			if c.codes[i] = w.codes[number]; c.codes[i] > 0 {
				sizes[i] -= c.taken(at)
			}
		}
		if labels != nil {
			labels[i] = number
		}
	}
	r.observer.count(column, v-c.v)
}

// number returns the number of a text, or -1.
func (r *rowReader) number(column int, value []byte) int32 {
	w := r.words[column]
	if r.columns[column].column.convert.uuid {
		r.uuid = appendUUID(r.uuid[:0], value)
		value = r.uuid
	}
	if n := w.texts.Find(value); n >= 0 || w.frozen {
		return int32(n) //nolint:gosec // at most MaxClasses
	}
	return r.observer.learn(column, string(value))
}

// coded writes a column of texts that have codes, or stand behind like others.
func (r *rowReader) coded(data []byte, column int) {
	c, at := r.columns[column], r.layout.at[column]
	from := c.from()
	for i, start := range r.starts {
		binary.LittleEndian.PutUint16(data[start+at:], c.codes[i])
		switch s := c.spans[i]; {
		case c.codes[i] > 0:
			c.v++
		case s.start > s.end:
			r.missing(data, i, column)
		default:
			c.v++
			r.at[i] = c.put(data, r.at[i], from[s.start:s.end])
		}
	}
	c.i += len(r.starts)
}
