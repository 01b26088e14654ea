package table

import (
	"bytes"
	"errors"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/trainyard/trainyard/services/converter/dataset"
	"github.com/trainyard/trainyard/services/converter/reject"
	"github.com/trainyard/trainyard/services/converter/tfrecord"
)

// Names of statistics, by column.
const (
	StatMissing  = "missing"  // rows that have no value
	StatInfinite = "infinite" // numbers beyond float32, or inf
	StatRounded  = "rounded"  // integers beyond 2^53 in a column of floats
)

// Encoder implements dataset.Encoder for rows of a Schema. A value that is missing is 0, 0.0, false, an empty text, an empty sequence or zeros in
// a tensor of fixed shape; that it is missing stands in the feature Field.Missing where 0 could be meant. A missing category is -1, which TFDS
// takes for no label.
type Encoder struct {
	schema   *Schema
	fields   []field
	template *tfrecord.Template
	features []tfrecord.Feature // of the template
	parts    []part             // which they are; nil: some are lists, which are set and not put
	columns  dataset.Columns    // in the statistics
	label    int                // of the row
	cut      *Fields
	flat     Flattener
	visit    func([]byte, *Value) *RowError
	byPath   map[string]int
	order    []int // of JSON: the fields of the row before, by the order of its values
	values   int   // of the row so far
	row      int64
	buf      []byte
	floats   []float32 // of all arrays and numbers of the row
	ints     []int64
	texts    [][]byte
	single   []float32
}

// field is a column of the Schema and its value in the row.
type field struct {
	value
	kind, values kindCode // Kind and Values
	isLabel      bool
	row          int64      // in which it was last set, of JSON
	classes      vocabulary // of a category, in the order of Classes

	Field
	key, missingKey, lengthsKey string
	place, missing, lengths     int // in features
	fixed                       int // how many values a tensor of fixed shape has; -1: its shape differs
}

// value is what a field has in the row.
type value struct {
	absent  bool
	numeric bool // number is to be observed
	odd     oddity
	float   float32
	class   int
	integer int64 // of a bool, an int or a category
	number  float64
	text    []byte
}

// part is what a feature of the template is made of.
type part struct {
	field int32
	what  partKind
}

type partKind uint8

const (
	partInt partKind = iota
	partFloat
	partText
	partMissing
)

// kindCode is a Kind to be compared with each row.
type kindCode uint8

const (
	codeNone kindCode = iota
	codeBool
	codeInt
	codeFloat
	codeCategory
	codeText
	codeArray // of any kind
)

func codeOf(k Kind) kindCode {
	switch k {
	case "":
		return codeNone
	case KindBool:
		return codeBool
	case KindInt:
		return codeInt
	case KindFloat:
		return codeFloat
	case KindCategory:
		return codeCategory
	case KindInts, KindFloats, KindTexts:
		return codeArray
	}
	return codeText
}

// oddity is what is told of a number in the statistics.
type oddity uint8

const (
	usual oddity = iota
	infinite
	rounded
)

// NewEncoder makes an Encoder for what an Indexer found.
func NewEncoder(index dataset.Index) (*Encoder, error) {
	s := schemaOf(index)
	if len(s.Fields) == 0 {
		return nil, errors.New("table: the schema has no fields")
	}
	e := &Encoder{schema: s, byPath: make(map[string]int), single: make([]float32, len(s.Fields))}
	var keys []string
	for i, sf := range s.Fields {
		f := field{Field: sf, key: sf.Name, missingKey: sf.Missing, isLabel: i == s.Label, kind: codeOf(sf.Kind), values: codeOf(sf.Values), missing: -1, lengths: -1, fixed: 1}
		if f.isLabel && f.Kind == KindCategory {
			f.Classes = index.Classes
		}
		if f.Kind == KindCategory {
			for _, name := range f.Classes {
				f.classes.add(name)
			}
		}
		if f.ragged() {
			f.key, f.lengthsKey = sf.Name+"/ragged_flat_values", sf.Name+"/ragged_row_lengths_0"
		}
		for _, d := range f.Shape {
			if f.fixed *= d; d < 0 || f.fixed < 0 {
				f.fixed = -1
				break
			}
		}
		e.fields = append(e.fields, f)
		e.byPath[f.Source] = i
		keys = append(keys, f.key)
		for _, k := range []string{f.missingKey, f.lengthsKey} {
			if k != "" {
				keys = append(keys, k)
			}
		}
	}
	slices.Sort(keys)
	place := func(key string) int {
		i, ok := slices.BinarySearch(keys, key)
		if !ok {
			return -1
		}
		return i
	}
	for i := range e.fields {
		f := &e.fields[i]
		f.place = place(f.key)
		if f.missingKey != "" {
			f.missing = place(f.missingKey)
		}
		if f.lengthsKey != "" {
			f.lengths = place(f.lengthsKey)
		}
	}
	e.features = make([]tfrecord.Feature, len(keys))
	e.parts = make([]part, len(keys))
	for i := range e.fields {
		e.blank(i, &e.fields[i])
	}
	for i := range e.fields {
		if k := e.fields[i].Kind; codeOf(k) == codeArray {
			e.parts = nil
		}
	}
	e.template = tfrecord.NewTemplate(e.features)
	if s.Comma != "" {
		e.cut = NewFields(s.Comma[0])
	}
	e.visit = e.value
	return e, nil
}

// Encode implements dataset.Encoder.
func (e *Encoder) Encode(dst []byte, item dataset.Item, body dataset.Body, stats *dataset.Stats) ([]byte, error) {
	row, err := body.Bytes()
	if err != nil {
		return dst, err
	}
	if refused := e.take(row); refused != nil {
		return dst, reject.NewFile(item.Path, refused.Reason, "%s", refused.Message)
	}
	dst = e.append(dst)
	stats.AddExample(len(row), e.label)
	e.columns.Use(stats)
	for i := range e.fields {
		e.fields[i].observe(&e.columns, i)
	}
	return dst, nil
}

// take makes the features of a row.
func (e *Encoder) take(row []byte) *RowError {
	e.label = -1
	e.floats, e.ints, e.texts, e.buf = e.floats[:0], e.ints[:0], e.texts[:0], e.buf[:0]
	if e.cut != nil {
		return e.cells(row)
	}
	return e.object(row)
}

// append appends the example of a row that was taken.
func (e *Encoder) append(dst []byte) []byte {
	if e.parts == nil {
		e.setFeatures()
		return e.template.Append(dst)
	}
	t, texts := e.template, 0
	for i := range e.fields {
		texts += len(e.fields[i].text)
	}
	buf, at := t.Begin(dst, texts)
	for i, p := range e.parts {
		f := &e.fields[p.field]
		switch p.what {
		case partInt:
			at = t.PutInt64(buf, at, i, f.integer)
		case partFloat:
			at = t.PutFloat(buf, at, i, f.float)
		case partText:
			at = t.PutBytes(buf, at, i, f.text)
		default:
			at = t.PutInt64(buf, at, i, f.isAbsent())
		}
	}
	return t.End(buf, len(dst), at)
}

// setFeatures gives the template's features the values of a row that was taken. Those of arrays were set with it.
func (e *Encoder) setFeatures() {
	for i := range e.fields {
		f := &e.fields[i]
		switch f.kind {
		case codeBool, codeInt, codeCategory:
			e.features[f.place].SetInt64(f.integer)
		case codeFloat:
			e.single[i] = f.float // which the feature refers to
		case codeText:
			e.features[f.place].SetBytes(f.text)
		}
		if f.missing >= 0 {
			e.features[f.missing].SetInt64(f.isAbsent())
		}
	}
}

func (f *field) isAbsent() int64 {
	if f.absent {
		return 1
	}
	return 0
}

// observe notes the field's value, which is in the given column, in the statistics.
func (f *field) observe(columns *dataset.Columns, column int) {
	const missingCount, infiniteCount, roundedCount, classes = 0, 1, 2, 3
	switch {
	case f.absent:
		columns.Count(column, missingCount, StatMissing, f.Name)
	case f.numeric:
		columns.Observe(column, f.Name, f.number)
	case f.class >= 0 && !f.isLabel:
		columns.Count(column, classes+f.class, f.Name, f.Classes[f.class])
	}
	switch f.odd {
	case usual:
	case infinite:
		columns.Count(column, infiniteCount, StatInfinite, f.Name)
	default:
		columns.Count(column, roundedCount, StatRounded, f.Name)
	}
}

// cells takes the fields of a row of CSV.
func (e *Encoder) cells(row []byte) *RowError {
	e.cut.load(row)
	if e.cut.usual(len(e.fields)) {
		start := 0
		for i := range e.fields {
			end, quote := int(e.cut.ends[i]), e.cut.quoteAt(start)
			if err := e.cell(&e.fields[i], row[start+quote:end-quote]); err != nil {
				return err
			}
			start = end + 1
		}
		return nil
	}
	cells, err := e.cut.cutRow(0, len(row), len(e.fields))
	if err != nil {
		return err
	}
	for i := range e.fields {
		if err := e.cell(&e.fields[i], cells[i]); err != nil {
			return err
		}
	}
	return nil
}

func (f *field) reset() { f.value = value{class: -1} }

// cell takes a cell of CSV. Whether it is a value that is missing is asked where that may be: no number or class is.
func (e *Encoder) cell(f *field, source []byte) *RowError {
	f.reset()
	v := TrimSpace(source)
	switch f.kind {
	case codeText:
		if !IsMissing(v) {
			f.text = source
			return nil
		}
	case codeBool:
		if b, ok := parseBool(v); ok {
			f.setBool(b)
			return nil
		}
	case codeInt, codeFloat:
		kind, n, x := parseNumber(v)
		if kind == integer || kind != notNumber && f.kind == codeFloat {
			f.setNumber(n, x, v)
			return nil
		}
	default:
		if len(v) > 0 && e.setClass(f, v) {
			return nil
		}
	}
	if !IsMissing(v) {
		return misfit(f, v)
	}
	return e.setMissing(f)
}

// misfit can't be of rows that were indexed, unless the file has changed since.
func misfit(f *field, v []byte) *RowError {
	return rowError(reject.MalformedRow, "the value %q in column %q doesn't fit its type, %s", cutText(v), f.Source, f.Kind)
}

func cutText(v []byte) string {
	const most = 100
	if len(v) > most {
		return strings.ToValidUTF8(string(v[:most]), "") + "…"
	}
	return string(v)
}

// blank makes the field's features, whose values are then set row by row.
func (e *Encoder) blank(i int, f *field) {
	var v tfrecord.Feature
	switch f.Kind {
	case KindBool, KindInt, KindCategory:
		v = tfrecord.Int64(f.key, 0)
	case KindFloat:
		v = tfrecord.Floats(f.key, e.single[i:i+1:i+1])
	case KindInts:
		v = tfrecord.Int64s(f.key, nil)
	case KindFloats:
		v = tfrecord.Floats(f.key, nil)
	case KindTexts:
		v = tfrecord.Texts(f.key, nil)
	default:
		v = tfrecord.Bytes(f.key, nil)
	}
	what := partText
	switch f.kind {
	case codeBool, codeInt, codeCategory:
		what = partInt
	case codeFloat:
		what = partFloat
	}
	e.features[f.place], e.parts[f.place] = v, part{int32(i), what} //nolint:gosec // at most MaxColumns
	if f.missing >= 0 {
		e.features[f.missing], e.parts[f.missing] = tfrecord.Int64(f.missingKey, 0), part{int32(i), partMissing} //nolint:gosec // as above
	}
	if f.lengths >= 0 {
		e.features[f.lengths] = tfrecord.Int64s(f.lengthsKey, nil)
	}
}

func (f *field) setBool(v bool) {
	if v {
		f.integer = 1
	}
	f.number, f.numeric = float64(f.integer), true
}

func (f *field) setNumber(n int64, x float64, source []byte) {
	f.number, f.numeric, f.integer = x, true, n
	if f.kind == codeInt {
		return
	}
	f.float = float32(x)
	switch {
	case math.IsInf(float64(f.float), 0):
		f.odd = infinite
	case math.Abs(x) > exactIntegers && !bytes.ContainsAny(source, ".eE"):
		f.odd = rounded
	}
}

// setClass takes the text of a category or label, and tells whether it is one.
func (e *Encoder) setClass(f *field, v []byte) bool {
	name := v
	switch f.values {
	case codeInt:
		kind, n, _ := parseNumber(v)
		if kind != integer {
			return false
		}
		from := len(e.buf)
		e.buf = strconv.AppendInt(e.buf, n, 10)
		name = e.buf[from:]
	case codeBool:
		b, ok := parseBool(v)
		if !ok {
			return false
		}
		name = []byte(f.Classes[0])
		if b {
			name = []byte(f.Classes[1])
		}
	}
	if f.class = f.classes.find(name); f.class < 0 {
		return false
	}
	if f.isLabel {
		e.label = f.class
	}
	f.integer = int64(f.class)
	return true
}

// setMissing takes a value that is missing.
func (e *Encoder) setMissing(f *field) *RowError {
	if f.isLabel {
		return missingLabel(f.Source)
	}
	f.value = value{absent: true, class: -1}
	switch f.Kind {
	case KindCategory:
		f.integer = -1
	case KindInts:
		from := len(e.ints)
		e.ints = append(e.ints, make([]int64, max(0, f.fixed))...)
		e.features[f.place].SetInt64s(e.ints[from:])
	case KindFloats:
		from := len(e.floats)
		e.floats = append(e.floats, make([]float32, max(0, f.fixed))...)
		e.features[f.place].SetFloats(e.floats[from:])
	case KindTexts:
		e.features[f.place].SetTexts(nil)
	}
	if f.lengths >= 0 {
		e.features[f.lengths].SetInt64s(nil)
	}
	return nil
}
