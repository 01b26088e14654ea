package table

import (
	"slices"
	"strings"

	"github.com/cespare/xxhash/v2"

	"github.com/trainyard/trainyard/services/converter/reject"
)

// observer sees all rows of a part of a table. It is for one goroutine.
type observer interface {
	// row notes a row and returns the hash of its label, or why the row is left out, in which case nothing is noted.
	row(data []byte) (label int32, err *RowError)
	// rowsOf does the same with all rows of a block, and tells each how it went.
	rowsOf(block Block, each func(row Bounds, label int32, err *RowError))
	// failed says why no dataset can be made of what was seen, or nil.
	failed() error
	// merge adds what another observer of the same table saw.
	merge(other observer)
	// allNames are the names that were seen, for messages.
	allNames() []string
	// columns are what was seen, once all is merged.
	columns() (names []string, columns []Column, rows int64, label int)
}

// labelHash numbers labels alike on every machine, for Block.Labels.
func labelHash(v []byte) int32 {
	return int32(xxhash.Sum64(v) & 0x7fff_ffff) //nolint:gosec // 31 bits
}

const noLabel = -1

// csvObserver sees rows of CSV.
type csvObserver struct {
	names  []string
	label  int
	fields *Fields
	cols   []Column
	limits []setLimit
	rows   int64
	batch  []usualRow // that aren't noted yet
}

func newCSVObserver(comma byte, names []string, label int) *csvObserver {
	o := &csvObserver{names: names, label: label, fields: NewFields(comma), cols: make([]Column, len(names))}
	for i := range names {
		o.limits = append(o.limits, limitFor(len(names), i == label))
	}
	return o
}

func (o *csvObserver) row(data []byte) (int32, *RowError) {
	o.fields.load(data)
	return o.loaded(0, len(data))
}

// batchRows is how many rows are noted column by column: as many as stay in the processor's nearest cache with their fields.
const batchRows = 64

// usualRow is a row whose fields are among the ends of a block.
type usualRow struct{ start, end int32 } // of the row in the data, and of its first field in ends

func (o *csvObserver) rowsOf(block Block, each func(row Bounds, label int32, err *RowError)) {
	f := o.fields
	if f.use(block.marked); block.marked == nil {
		f.load(block.Data)
	}
	odd := f.isOdd(0, len(block.Data))
	until, at := 0, 0 // how far separate came, and the next of what it found
	for _, row := range block.Rows {
		start, end := int(row.Start), int(row.End)
		if start >= until {
			o.note()
			until, at = f.separate(start), 0
		}
		for at < len(f.ends) && int(f.ends[at]) < start { // of a row that wasn't usual, and blank lines
			at++
		}
		last := at + len(o.cols) - 1
		if last < len(f.ends) && int(f.ends[last]) == end+1 && f.data[end] == '\r' {
			f.ends[last]--
		}
		if last >= len(f.ends) || int(f.ends[last]) != end || odd && f.isOdd(start, end) && CheckText(block.Data[start:end]) != nil {
			label, err := o.loaded(start, end)
			each(row, label, err)
			if end >= until {
				until = end
			}
			continue
		}
		label := int32(noLabel)
		if o.label >= 0 {
			v := TrimSpace(o.usualField(usualRow{row.Start, int32(at)}, o.label)) //nolint:gosec // less than twice MaxRowBytes
			if IsMissing(v) {
				at += len(o.cols)
				each(row, noLabel, missingLabel(o.names[o.label]))
				continue
			}
			label = labelHash(v)
		}
		o.batch = append(o.batch, usualRow{row.Start, int32(at)}) //nolint:gosec // as above
		at += len(o.cols)
		if len(o.batch) == batchRows {
			o.note()
		}
		each(row, label, nil)
	}
	o.note()
}

// usualField returns a field of a usual row.
func (o *csvObserver) usualField(row usualRow, i int) []byte {
	start, end := int(row.start), int(o.fields.ends[int(row.end)+i])
	if i > 0 {
		start = int(o.fields.ends[int(row.end)+i-1]) + 1
	}
	field := o.fields.data[start:end]
	if len(field) > 0 && field[0] == '"' {
		return o.unquoted(start, end)
	}
	return field
}

// unquoted returns the content of the quoted field from start to end, until the next call.
func (o *csvObserver) unquoted(start, end int) []byte {
	f := o.fields
	if f.quoteFrom(start+1) == end-1 {
		return f.data[start+1 : end-1]
	}
	f.unquote = f.unquote[:0]
	return f.undouble(f.data[start+1:end-1], end-start)
}

// note notes the rows of the batch, column by column: what is asked of a value is then mostly the same as of the one before.
func (o *csvObserver) note() {
	o.rows += int64(len(o.batch))
	for i := range o.cols {
		c := &o.cols[i]
		for _, row := range o.batch {
			v := o.usualField(row, i)
			switch {
			case !c.values.overflow:
			case c.seen&seenText != 0:
				if len(v) > longestMissing && v[0] > ' ' {
					c.Values++
					continue
				}
			default:
				switch kindOfNumber(v) {
				case integer:
					c.seen |= seenInt
					c.Values++
					continue
				case hugeInteger, decimal:
					c.seen |= seenFloat
					c.Values++
					continue
				}
			}
			c.cell(v, o.limits[i])
		}
	}
	o.batch = o.batch[:0]
}

// loaded notes the row from start to end of the data that were loaded.
func (o *csvObserver) loaded(start, end int) (int32, *RowError) {
	fields, err := o.fields.cutRow(start, end, len(o.cols))
	if err != nil {
		return noLabel, err
	}
	label := int32(noLabel)
	if o.label >= 0 {
		v := TrimSpace(fields[o.label])
		if IsMissing(v) {
			return noLabel, missingLabel(o.names[o.label])
		}
		label = labelHash(v)
	}
	o.rows++
	for i := range o.cols {
		o.cols[i].cell(fields[i], o.limits[i])
	}
	return label, nil
}

// cutRow cuts the row from start to end of the data that were loaded, and checks that it is text and has as many fields as there are columns.
func (f *Fields) cutRow(start, end, columns int) ([][]byte, *RowError) {
	if f.isOdd(start, end) {
		if err := CheckText(f.data[start:end]); err != nil {
			return nil, err
		}
	}
	fields, err := f.cut(start, end)
	if err != nil {
		return nil, err
	}
	if len(fields) != columns {
		return nil, rowError(reject.MalformedRow, "the row has %d fields, the table %d columns; put fields that hold the delimiter in quotes", len(fields), columns)
	}
	return fields, nil
}

func missingLabel(column string) *RowError {
	return rowError(reject.MissingLabel, "the row has no value in the column %q, which is the label; fill it in, or name another column as the label", column)
}

func (o *csvObserver) failed() error { return nil }

func (o *csvObserver) merge(other observer) {
	p := other.(*csvObserver) //nolint:errcheck,forcetypeassert // of the same table
	o.rows += p.rows
	for i := range o.cols {
		o.cols[i].merge(&p.cols[i], o.limits[i])
	}
}

func (o *csvObserver) allNames() []string { return o.names }

func (o *csvObserver) columns() ([]string, []Column, int64, int) {
	return o.names, o.cols, o.rows, o.label
}

// observed is what is noted of a value of JSON once all of its row is known to be well.
type observed struct {
	column  int
	kind    ValueKind
	rank    int
	integer int64
	text    []byte
	shape   [maxRank]int
}

// jsonObserver sees rows of JSON.
type jsonObserver struct {
	label  string // its path, "" if there is none
	flat   Flattener
	names  []string
	byName map[string]int
	cols   []Column
	last   []int64 // the row in which each column was last seen
	seen   []observed
	number int64 // of the row, whether it is well or not
	rows   int64
	err    error
	visit  func([]byte, *Value) *RowError
}

func newJSONObserver(label string) *jsonObserver {
	o := &jsonObserver{label: label, byName: make(map[string]int)}
	o.visit = o.value
	return o
}

// isLabel tells whether it is the label's name. JSON allows empty names.
func (o *jsonObserver) isLabel(name string) bool { return name == o.label && name != "" }

func (o *jsonObserver) row(data []byte) (int32, *RowError) {
	o.number++
	o.seen = o.seen[:0]
	if err := o.flat.Row(data, o.visit); err != nil {
		return noLabel, err
	}
	label := int32(noLabel)
	if o.label != "" {
		for i := range o.seen {
			if s := &o.seen[i]; o.isLabel(o.names[s.column]) && s.kind != Null && len(s.text) > 0 {
				label = labelHash(s.text)
			}
		}
		if label == noLabel {
			return noLabel, missingLabel(o.label)
		}
	}
	o.rows++
	for i := range o.seen {
		s := &o.seen[i]
		o.cols[s.column].value(s, limitFor(len(o.cols), o.isLabel(o.names[s.column])))
	}
	return label, nil
}

func (o *jsonObserver) rowsOf(block Block, each func(row Bounds, label int32, err *RowError)) {
	for _, row := range block.Rows {
		label, err := o.row(block.Data[row.Start:row.End])
		each(row, label, err)
	}
}

// value notes a value until the whole row is known to be well.
func (o *jsonObserver) value(path []byte, v *Value) *RowError {
	i := len(o.seen) // rows mostly have their names in one order
	if i >= len(o.names) || o.names[i] != string(path) {
		var ok bool
		if i, ok = o.byName[string(path)]; !ok {
			if i = o.add(string(path)); i < 0 {
				return tooManyColumns()
			}
		}
	}
	if o.last[i] == o.number {
		return twice(path)
	}
	o.last[i] = o.number
	o.seen = slices.Grow(o.seen, 1)[:len(o.seen)+1]
	s := &o.seen[len(o.seen)-1]
	s.column, s.kind, s.integer, s.text = i, v.Kind, v.Int, v.Text
	s.rank = copy(s.shape[:], v.Shape)
	return nil
}

func twice(path []byte) *RowError {
	return rowError(reject.MalformedRow, "the name %q is there twice; names must be unique, with those of objects within joined by dots", path)
}

func tooManyColumns() *RowError {
	return rowError(reject.TooManyColumns, "there are more than %d names in the rows, the limit; names that differ from row to row, such as ids, should be values instead", MaxColumns)
}

// add adds a column, or returns -1 if there are too many.
func (o *jsonObserver) add(name string) int {
	if len(o.names) == MaxColumns {
		e := tooManyColumns()
		o.err = reject.New(e.Reason, "%s.", strings.ToUpper(e.Message[:1])+e.Message[1:])
		return -1
	}
	o.byName[name] = len(o.names)
	o.names = append(o.names, name)
	o.cols = append(o.cols, Column{})
	o.last = append(o.last, 0)
	return len(o.names) - 1
}

func (o *jsonObserver) failed() error { return o.err }

func (o *jsonObserver) merge(other observer) {
	p := other.(*jsonObserver) //nolint:errcheck,forcetypeassert // of the same table
	o.rows += p.rows
	at := make([]int, len(p.names))
	for i, name := range p.names {
		j, ok := o.byName[name]
		if !ok {
			if j = o.add(name); j < 0 {
				return
			}
		}
		at[i] = j
	}
	for i := range p.names { // with the final number of columns, on which the limits depend
		o.cols[at[i]].merge(&p.cols[i], limitFor(len(o.cols), o.isLabel(p.names[i])))
	}
}

func (o *jsonObserver) allNames() []string { return slices.Sorted(slices.Values(o.names)) }

// columns are sorted by name, because workers find them in any order. Those that never have a value are none.
func (o *jsonObserver) columns() ([]string, []Column, int64, int) {
	names := slices.DeleteFunc(slices.Sorted(slices.Values(o.names)), func(n string) bool { return o.cols[o.byName[n]].Values == 0 })
	cols, label := make([]Column, 0, len(names)), -1
	for i, n := range names {
		c := o.cols[o.byName[n]]
		c.values.check(limitFor(len(o.cols), o.isLabel(n)))
		cols = append(cols, c)
		if o.isLabel(n) {
			label = i
		}
	}
	return names, cols, o.rows, label
}
