package parquet

import (
	"encoding/json"
	"fmt"
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
	watched []int  // the columns of which more is to be seen than what is missing, and those that lie before these in a row
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
	for i := range columns {
		if o.walk.layout.form[i] == formLong || i == o.label {
			o.watched = append(o.watched, i)
		}
	}
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

// observe learns from a row and returns a number that stands for its label.
func (o *observer) observe(row []byte) int32 {
	label := int32(-1)
	if !o.walk.start(row) {
		return label
	}
	o.rows++
	o.bytes += int64(len(row))
	for i := range o.absent {
		o.absent[i] |= row[1+i]
	}
	for _, i := range o.watched {
		c, s := &o.columns[i], &o.seen[i]
		if !o.walk.next(c, i) {
			return -1 // can't be: these are our own rows
		}
		if lists := c.Lists; lists > 0 {
			s.missing = s.missing || o.walk.missing
			s.measure(&o.walk, lists)
			continue
		}
		if o.walk.missing {
			continue
		}
		s.values++
		switch {
		case i == o.label && c.Names != nil:
			label = int32(o.walk.int) //nolint:gosec // only for stratified splits; what isn't among the names is left out later
		case s.most > 0:
			n := o.number(c, s)
			if i == o.label {
				label = n
			}
		case c.Kind == kindMedia, c.Kind == kindAudio:
			s.sniff(c.Kind, o.walk.value)
		}
	}
	return label
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
