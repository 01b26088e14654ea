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
	Words   []string `json:"words,omitempty"`   // of a column that is coded, by code, from 1 on
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
	absent  []byte // a bit for each column in no list: whether a row had no value in it
	rows    int64
	bytes   int64
	budget  int // bytes left for the values of all columns that may be categories
	more    int // bytes left for words that are of no categories
}

// seen is what was seen of a column so far.
type seen struct {
	values   int64 // that are not missing, in no list
	missing  bool
	ragged   bool
	lengths  []int // of its lists, outermost first, while all are the same
	words          // distinct values of a text
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
	o := &observer{columns: columns, seen: make([]seen, len(columns)), budget: categoryBytes, more: wordBytes}
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
	for i := range o.seen {
		o.seen[i].overflow = o.seen[i].most == 0
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
	return transcode(ctx, in, data, o.columns, o.words(), o, rows)
}

// words are what is learned of the columns of texts that may be categories, or are coded.
func (o *observer) words() []*words {
	all := make([]*words, len(o.columns))
	for i := range all {
		if c := &o.columns[i]; c.Coded || c.Kind == kindText && o.seen[i].most > 0 {
			all[i] = &o.seen[i].words
		}
	}
	return all
}

// begin notes the next n rows of a batch, which are being put together and would have so many bytes if no text was coded. It returns where their labels belong: numbers that stand for them, -1 where there is
// none. The columns follow, in order, each once.
func (o *observer) begin(b *batch, n, bytes int) []int32 {
	if o == nil {
		return nil
	}
	o.rows += int64(n)
	o.bytes += int64(bytes)
	from := len(b.Labels)
	for range n {
		b.Labels = append(b.Labels, -1)
	}
	return b.Labels[from:]
}

// labelsOf are the labels if the column is the one of them, or nil.
func (o *observer) labelsOf(column int, labels []int32) []int32 {
	if o == nil || column != o.label {
		return nil
	}
	return labels
}

// count notes values of a text column.
func (o *observer) count(column, n int) {
	if o != nil {
		o.seen[column].values += int64(n)
	}
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
	if labels = o.labelsOf(column, labels); labels == nil {
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

// values learns from the next n values of a column of bytes in no list.
func (o *observer) values(column int, from *chunkReader, n int) {
	if o == nil {
		return
	}
	c, s := &o.columns[column], &o.seen[column]
	if c.Kind != kindMedia && c.Kind != kindAudio && c.Kind != kindPath {
		return
	}
	data := from.from()
	for _, at := range from.spans[:n] {
		if at.start > at.end {
			continue
		}
		s.values++
		if c.Kind != kindPath {
			s.sniff(c.Kind, data[at.start:at.end])
		}
	}
}

// missing tells whether any row lacked a value in a column.
func (o *observer) missing(column int) bool {
	return o.seen[column].missing || o.absent[column>>3]>>(column&7)&1 != 0
}

// learn numbers a text that wasn't seen before, or returns -1 if it is of no interest.
func (o *observer) learn(column int, text string) int32 {
	c, s := &o.columns[column], &o.seen[column]
	size := len(text) + valueOverhead
	if !s.overflow {
		if err := checkLabel(text); err != nil {
			s.drop(c, err.Error())
		} else if o.budget -= size; len(s.texts.Words()) == s.most || o.budget < 0 {
			s.drop(c, "")
		}
	}
	if s.overflow && !s.frozen {
		o.more -= size
		s.frozen = len(s.texts.Words()) >= maxWords || o.more < 0
	}
	if s.frozen {
		return -1
	}
	return s.add(text)
}

// number returns the number of a number that was seen before, or a new one, or -1 if it is of no interest.
func (o *observer) number(c *column, s *seen) int32 {
	if s.overflow {
		return -1
	}
	v := o.walk.int
	if c.Kind == kindFloat {
		v = int64(o.walk.float)
		if float32(v) != o.walk.float {
			s.drop(c, fmt.Sprintf("it holds %v, which is no whole number", o.walk.float))
			return -1
		}
	}
	if n, ok := s.numbers[v]; ok {
		return n
	}
	if len(s.numbers) == s.most {
		s.drop(c, "")
		return -1
	}
	if s.numbers == nil {
		s.numbers = make(map[int64]int32)
	}
	s.numbers[v] = int32(len(s.numbers)) //nolint:gosec // at most MaxClasses
	return s.numbers[v]
}

// drop notes that the column is no category, and why it can't be the label. What has codes keeps them.
func (s *seen) drop(c *column, wrong string) {
	s.numbers, s.overflow, s.wrong = nil, true, wrong
	if !c.Coded {
		s.words = words{frozen: true}
	}
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
		if c.Coded {
			f.Words = s.coded
		}
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
		case !s.overflow && len(s.texts.Words()) > 0 && s.values >= 2*int64(len(s.texts.Words())): // as in CSV
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
