package parquet

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/trainyard/trainyard/services/converter/dataset"
	"github.com/trainyard/trainyard/services/converter/picture"
	"github.com/trainyard/trainyard/services/converter/reject"
	"github.com/trainyard/trainyard/services/converter/sound"
	"github.com/trainyard/trainyard/services/converter/table"
)

// schema is Index.Schema.
type schema struct {
	Columns []observed `json:"columns"`
	Label   int        `json:"label"` // index into Columns, or -1
}

// observed is a column with what all rows told of it.
type observed struct {
	column
	Missing string   `json:"missing,omitempty"` // the feature that tells whether a number is missing
	Shape   []int    `json:"shape,omitempty"`   // of numbers in lists that all have the same lengths
	Classes []string `json:"classes,omitempty"` // of a text with few values
	Sound   *sounds  `json:"sound,omitempty"`
}

// sounds is what the sounds of a column have in common.
type sounds struct {
	Samples  sound.Type `json:"samples"`  // the narrowest type that holds those of all
	Rate     int        `json:"rate"`     // Hz; 0: it differs
	Channels int        `json:"channels"` // 0: their number differs
}

// observer learns from the rows what can't be told from the schema.
type observer struct {
	columns []column
	seen    []seen
	label   int
	chosen  bool // the label was chosen by the user or by Hugging Face's metadata
	walk    walker
	uuid    []byte
	absent  []byte // a bit for each column in no list: whether a row had no value in it
	rows    int64
	bytes   int64
	budget  int // bytes left for the values of all columns that may be categories
}

// seen is what was seen of a column so far.
type seen struct {
	values   int64 // that are not missing, in no list
	missing  bool
	ragged   bool
	lengths  []int            // of its lists, outermost first, while all are the same
	texts    table.Vocabulary // distinct values
	numbers  map[int64]int32
	most     int    // distinct values that are of interest
	overflow bool   // there are more, or one that can be no name
	wrong    string // a value that can't be a label
	media    kind
	sound    *sounds
	samples  sound.Precision
}

// categoryBytes is for the values of all columns that may be categories; each costs its length and overhead.
const (
	categoryBytes = 16 << 20
	valueOverhead = 64
)

func newObserver(columns []column, opts dataset.Options) (*observer, error) {
	o := &observer{columns: columns, seen: make([]seen, len(columns)), budget: categoryBytes}
	o.walk.layout = layoutOf(len(columns), func(i int) *column { return &columns[i] })
	var err error
	if o.label, err = findLabel(columns, opts.LabelColumn); err != nil {
		return nil, err
	}
	for i := range columns {
		if columns[i].Kind == kindText && columns[i].Lists == 0 && !columns[i].Plain {
			o.seen[i].most = table.MaxCategories
		}
	}
	if o.label >= 0 {
		c, s := &columns[o.label], &o.seen[o.label]
		o.chosen = opts.LabelColumn != "" || c.Names != nil
		s.most = table.MaxClasses
		if !o.chosen && c.Kind == kindInt {
			s.most = table.MaxIntClass // a column with more is a quantity
		}
	}
	o.absent = make([]byte, (len(columns)+7)/8)
	return o, nil
}

// findLabel returns the column with the label, or -1: the one that the user named; a ClassLabel of Hugging Face, of several the
// one that is called like a label; a column that is called so and has the type of one.
func findLabel(columns []column, wanted string) (int, error) {
	names := make([]string, len(columns))
	find := func(is func(c *column) bool) (int, error) {
		for i := range columns {
			if names[i] = columns[i].Key; !is(&columns[i]) {
				names[i] = ""
			}
		}
		return table.LabelColumn(names, wanted)
	}
	if wanted != "" {
		i, err := find(func(*column) bool { return true })
		if err != nil {
			return -1, err
		}
		if c := &columns[i]; !canLabel(c) && (c.Kind != kindFloat || c.Lists > 0) {
			return -1, reject.New(reject.InvalidOptions, "The column %q can't be the label: it is %s, and a label is text, a whole number or bool.", c.Key, c.describe())
		}
		return i, nil
	}
	classLabel := func(c *column) bool { return c.Names != nil && c.Lists == 0 }
	if i, err := find(classLabel); i >= 0 || err != nil {
		return i, err
	}
	if i := slices.IndexFunc(columns, func(c column) bool { return classLabel(&c) }); i >= 0 {
		return i, nil
	}
	return find(canLabel)
}

// canLabel tells whether a column has the type of a label.
func canLabel(c *column) bool {
	return c.Lists == 0 && c.About == "" && (c.Kind == kindText || c.Kind == kindInt || c.Kind == kindBool)
}

// transcode is a dataset.Transcode that learns from the rows.
func (o *observer) transcode(ctx context.Context, in dataset.File, data io.ReaderAt, rows func(dataset.Rows) error) error {
	return transcode(ctx, in, data, o, rows)
}

// begin notes the last n rows of a batch, which are being put together. It returns where their labels belong: numbers that stand for them, -1 where there is
// none. The columns follow, in order, each once.
func (o *observer) begin(b *batch, n int) []int32 {
	if o == nil {
		return nil
	}
	o.rows += int64(n)
	from := len(b.Ends) - n
	start := 0
	if from > 0 {
		start = b.Ends[from-1]
	}
	o.bytes += int64(b.Ends[len(b.Ends)-1] - start)
	for range n {
		b.Labels = append(b.Labels, -1)
	}
	return b.Labels[from:]
}

// leaveOut notes that the last row of a batch was too long.
func (o *observer) leaveOut(b *batch) {
	if o != nil {
		b.Labels = append(b.Labels, -1)
	}
}

// absences notes in which columns the rows have no value.
func (o *observer) absences(data []byte, starts []int) {
	if o == nil {
		return
	}
	for _, start := range starts {
		for i, missing := range data[start+1 : start+1+len(o.absent)] {
			o.absent[i] |= missing
		}
	}
}

// numbers learns from a column of values of fixed length, of which only the label's matter.
func (o *observer) numbers(column int, data []byte, starts []int, labels []int32) {
	if o == nil || column != o.label {
		return
	}
	c, s := &o.columns[column], &o.seen[column]
	for i, start := range starts {
		o.walk.row = data[start:]
		o.walk.next(c, column)
		if o.walk.missing {
			continue
		}
		if labels[i] = int32(o.walk.int); c.Names == nil { //nolint:gosec // only for stratified splits; what isn't among the names is left out later
			labels[i] = o.number(c, s)
		}
	}
}

// list learns from a list of a row.
func (o *observer) list(column int, value []byte) {
	if o == nil {
		return
	}
	c, s := &o.columns[column], &o.seen[column]
	if o.walk.rest = value; !o.walk.list(c) {
		return // can't be: these are our own rows
	}
	s.missing = s.missing || o.walk.missing
	s.measure(&o.walk, c.Lists)
}

// maxKnown bounds the dictionaries of which the numbers of values are kept. Larger ones are of no categories.
const maxKnown = 1 << 16

// values learns from the next n values of a column of texts or bytes in no list.
func (o *observer) values(column int, from *chunkReader, n int, labels []int32) {
	if o == nil {
		return
	}
	c, s := &o.columns[column], &o.seen[column]
	category := s.most > 0 && !s.overflow
	if !category && c.Kind != kindMedia && c.Kind != kindAudio && c.Kind != kindPath {
		return
	}
	data, known := from.values.data, []int32(nil)
	if from.indexed {
		data = from.dictionary.data
		known = from.numbered()
	}
	v := from.v
	for i, at := range from.spans[:n] {
		if at.start > at.end {
			continue
		}
		s.values++
		v++
		switch {
		case category && known != nil:
			number := &known[from.indices[v-1]]
			if *number == notNumbered || s.overflow {
				*number = o.text(c, s, from, data[at.start:at.end])
			}
			if column == o.label {
				labels[i] = *number
			}
		case category:
			if number := o.text(c, s, from, data[at.start:at.end]); column == o.label {
				labels[i] = number
			}
		case c.Kind != kindPath:
			s.sniff(c.Kind, data[at.start:at.end])
		}
	}
}

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

// text returns the number of a text.
func (o *observer) text(c *column, s *seen, from *chunkReader, value []byte) int32 {
	if o.walk.value = value; from.column.convert.uuid {
		o.uuid = appendUUID(o.uuid[:0], value)
		o.walk.value = o.uuid
	}
	return o.number(c, s)
}

// missing tells whether any row lacked a value in a column.
func (o *observer) missing(column int) bool {
	return o.seen[column].missing || o.absent[column>>3]>>(column&7)&1 != 0
}

// number returns the number of a value that was seen before, or a new one, or -1 if it is of no interest.
func (o *observer) number(c *column, s *seen) int32 {
	if s.overflow {
		return -1
	}
	if c.Kind == kindText {
		if n := s.texts.Find(o.walk.value); n >= 0 {
			return int32(n) //nolint:gosec // at most MaxClasses
		}
		name := string(o.walk.value)
		if err := checkLabel(name); err != nil {
			return s.drop(err.Error())
		}
		if o.budget -= len(name) + valueOverhead; len(s.texts.Words()) == s.most || o.budget < 0 {
			return s.drop("")
		}
		return int32(s.texts.Add(name)) //nolint:gosec // as above
	}
	v := o.walk.int
	if c.Kind == kindFloat {
		v = int64(o.walk.float)
		if float32(v) != o.walk.float {
			return s.drop(fmt.Sprintf("it holds %v, which is no whole number", o.walk.float))
		}
	}
	if n, ok := s.numbers[v]; ok {
		return n
	}
	if len(s.numbers) == s.most {
		return s.drop("")
	}
	if s.numbers == nil {
		s.numbers = make(map[int64]int32)
	}
	s.numbers[v] = int32(len(s.numbers)) //nolint:gosec // at most MaxClasses
	return s.numbers[v]
}

func (s *seen) drop(wrong string) int32 {
	s.texts, s.numbers, s.overflow, s.wrong = table.Vocabulary{}, nil, true, wrong
	return -1
}

// measure notes how long the lists of a row are.
func (s *seen) measure(w *walker, lists int) {
	if s.ragged {
		return
	}
	lengths, ok := w.shape(lists)
	switch {
	case !ok || s.lengths != nil && !slices.Equal(s.lengths, lengths):
		s.ragged = true
	case s.lengths == nil:
		s.lengths = slices.Clone(lengths)
	}
}

// sniff tells an image from a sound, and notes of a sound what its feature needs.
func (s *seen) sniff(declared kind, data []byte) {
	if declared == kindMedia && s.media == kindImage {
		return
	}
	info, problem := sound.Inspect(data, int64(len(data)))
	if problem == nil {
		s.media = kindAudio
		if s.sound == nil {
			s.sound = &sounds{Rate: info.SampleRate, Channels: info.Channels}
		}
		if s.sound.Rate != info.SampleRate {
			s.sound.Rate = 0
		}
		if s.sound.Channels != info.Channels {
			s.sound.Channels = 0
		}
		s.samples.Add(&info)
		return
	}
	if _, problem := picture.Inspect(data); problem == nil && s.media == "" {
		s.media = kindImage
	}
}

// index ends the observation.
func (o *observer) index() (dataset.Index, error) {
	classes, err := o.classes()
	if err != nil {
		return dataset.Index{}, err
	}
	out := schema{Label: -1}
	taken := make(map[string]bool)
	for i := range o.columns {
		taken[o.columns[i].Key] = true
	}
	for i, c := range o.columns {
		s := &o.seen[i]
		f := observed{column: c}
		if c.Kind == kindMedia {
			if f.Kind = s.media; f.Kind == "" {
				f.Kind = kindBytes // of a kind that isn't known
			}
		}
		number := f.Kind == kindInt || f.Kind == kindFloat || f.Kind == kindBool
		switch {
		case i == o.label && classes != nil:
			out.Label = i
		case f.Kind == kindAudio:
			if f.Sound = s.sound; f.Sound == nil {
				f.Sound = &sounds{} // none can be read
			}
			f.Sound.Samples = s.samples.Type()
		case f.Kind == kindPath && s.values == 0:
			f.Kind = kindNothing
		case len(s.texts.Words()) > 0 && s.values >= 2*int64(len(s.texts.Words())): // as in CSV
			f.Classes = sorted(s.texts.Words())
		case number && o.missing(i) && c.Names == nil:
			f.Missing = c.Key + "_missing"
			for n := 2; taken[f.Missing]; n++ {
				f.Missing = fmt.Sprintf("%s_missing_%d", c.Key, n)
			}
			taken[f.Missing] = true
		case number && c.Names == nil && s.lengths != nil && !s.ragged && len(c.Segments) == 1:
			f.Shape = s.lengths
		}
		out.Columns = append(out.Columns, f)
	}
	raw, err := json.Marshal(out)
	if err != nil {
		return dataset.Index{}, fmt.Errorf("marshal the schema: %w", err)
	}
	return dataset.Index{Classes: classes, Schema: raw, RowBytes: o.bytes / max(o.rows, 1)}, nil
}

// sorted are words in order.
func sorted(words []string) []string { return slices.Sorted(slices.Values(words)) }

// classes are the classes in order, nil if there is no label.
func (o *observer) classes() ([]string, error) {
	if o.label < 0 {
		return nil, nil
	}
	c, s := &o.columns[o.label], &o.seen[o.label]
	var names []string
	switch {
	case c.Names != nil:
		names = c.Names
	case s.overflow:
	case c.Kind == kindText:
		names = sorted(s.texts.Words())
	default:
		names = s.numberNames(c.Kind, o.chosen)
	}
	switch {
	case len(names) >= 2:
		return names, nil
	case !o.chosen:
		return nil, nil // a name that misled
	case s.wrong != "":
		return nil, reject.New(reject.InvalidClassName, "The column %q can't be the label: %s. Choose another column.", c.Key, s.wrong)
	case s.overflow:
		return nil, reject.New(reject.TooManyClasses, "The column %q has more than %d different values, or longer ones than %d MiB together; a label has at most so many. Choose another column.", c.Key, s.most, categoryBytes>>20)
	}
	return nil, reject.New(reject.TooFewClasses, "The column %q has %d different values; a label needs at least two. Choose another column.", c.Key, len(names))
}

// numberNames are the classes of a column of numbers. By its name alone, one of integers is a label if they are two, or small and not negative.
func (s *seen) numberNames(k kind, chosen bool) []string {
	numbers := make([]int64, 0, len(s.numbers))
	for v := range s.numbers {
		numbers = append(numbers, v)
	}
	slices.Sort(numbers)
	if n := len(numbers); k == kindInt && !chosen && n > 2 && (numbers[0] < 0 || numbers[n-1] >= table.MaxIntClass) {
		return nil
	}
	names := make([]string, len(numbers))
	for i, v := range numbers {
		if names[i] = strconv.FormatInt(v, 10); k == kindBool {
			names[i] = strconv.FormatBool(v != 0)
		}
	}
	return names
}

func parseSchema(index dataset.Index) (*schema, error) {
	var s schema
	if err := json.Unmarshal(index.Schema, &s); err != nil {
		return nil, fmt.Errorf("parquet: schema: %w", err)
	}
	return &s, nil
}

// describe is the column's type in words.
func (c *column) describe() string {
	s := string(c.Kind)
	if c.Type != "" {
		s = c.Type
	}
	if c.About != "" {
		s += " (" + c.About + ")"
	}
	return strings.Repeat("list of ", c.Lists) + s
}
