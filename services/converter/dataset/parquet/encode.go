package parquet

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/trainyard/trainyard/services/converter/dataset"
	"github.com/trainyard/trainyard/services/converter/picture"
	"github.com/trainyard/trainyard/services/converter/reject"
	"github.com/trainyard/trainyard/services/converter/sound"
	"github.com/trainyard/trainyard/services/converter/table"
	"github.com/trainyard/trainyard/services/converter/tfrecord"
)

// NewEncoder implements dataset.Reader.
func (Reader) NewEncoder(opts dataset.Options, index dataset.Index) (dataset.Encoder, error) {
	s, err := parseSchema(index)
	if err != nil {
		return nil, err
	}
	e := &encoder{full: opts.Validation == dataset.Full}
	for i := range s.Columns {
		c := &s.Columns[i]
		f := field{observed: c, key: c.Key, isLabel: i == s.Label}
		names := c.Classes
		if f.isLabel {
			names = index.Classes
		}
		switch {
		case c.Names != nil:
			f.classes = c.Names
		case names != nil && c.Kind == kindText:
			f.classes, f.texts = names, &table.Vocabulary{}
			for _, name := range names {
				f.texts.Add(name)
			}
		case names != nil:
			f.classes, f.numbers = names, make(map[int64]int64, len(names))
			for n, name := range names {
				v, err := strconv.ParseInt(name, 10, 64)
				if err != nil { // a bool
					v = int64(n)
					if len(names) == 2 {
						v = map[string]int64{"false": 0, "true": 1}[name]
					}
				}
				f.numbers[v] = int64(n)
			}
		}
		if f.Lists > 1 && c.Shape == nil {
			f.key += "/ragged_flat_values"
			for l := range f.Lists - 1 {
				f.lengths = append(f.lengths, fmt.Sprintf("%s/ragged_row_lengths_%d", c.Key, l))
			}
		}
		if c.Missing != "" && f.Lists > 1 {
			f.missing = c.Missing + "/ragged_flat_values"
			for l := range f.Lists - 1 {
				f.missingLengths = append(f.missingLengths, fmt.Sprintf("%s/ragged_row_lengths_%d", c.Missing, l))
			}
		} else {
			f.missing = c.Missing
		}
		switch c.Kind {
		case kindImage:
			f.extra = c.Key + orientationSuffix
			e.images = picture.NewLoader(opts)
		case kindAudio:
			if f.extra = c.Key + rateSuffix; f.Sound.Channels == 0 {
				f.key, f.shape = c.Key+"/value", c.Key+"/shape"
			}
		}
		f.way, f.unsigned = f.wayOf(), c.Type == "uint64"
		e.fields = append(e.fields, f)
	}
	e.walk.layout = layoutOf(len(e.fields), func(i int) *column { return &e.fields[i].column })
	for i := range e.fields {
		e.walk.words = append(e.walk.words, e.fields[i].decode())
	}
	e.lay()
	return e, nil
}

// word is what a code stands for.
type word struct {
	text  []byte
	size  int   // bytes that it would take in a row
	class int64 // of a class, -1 if it isn't among them
}

// decode finds what the codes of a column stand for. The code 0 is none.
func (f *field) decode() []word {
	if !f.Coded {
		return nil
	}
	all := make([]word, 1, 1+len(f.Words))
	for _, text := range f.Words {
		w := word{text: []byte(text), size: uvarintSize(uint32(len(text))) + len(text), class: -1} //nolint:gosec // bounded by wordBytes
		if f.texts != nil {
			w.class = int64(f.texts.Find(w.text))
		}
		all = append(all, w)
	}
	return all
}

// lay makes the template of the examples and tells the fields where their features are in it.
func (e *encoder) lay() {
	var features []tfrecord.Feature
	for i := range e.fields {
		features = append(features, e.fields[i].features()...)
	}
	e.template = tfrecord.NewTemplate(features)
	if e.partsOf(); e.parts != nil {
		return
	}
	at := func(keys []string) (all []*tfrecord.Feature) {
		for _, k := range keys {
			all = append(all, e.template.Feature(k))
		}
		return all
	}
	for i := range e.fields {
		f := &e.fields[i]
		if f.Kind != kindNothing {
			f.value = e.template.Feature(f.key)
		}
		if f.missing != "" {
			f.absentAt = e.template.Feature(f.missing)
		}
		if f.extra != "" {
			f.extraAt = e.template.Feature(f.extra)
		}
		if f.shape != "" {
			f.shapeAt = e.template.Feature(f.shape)
		}
		f.lengthsAt, f.missingLengthsAt = at(f.lengths), at(f.missingLengths)
	}
}

// features are the field's features, without their values.
func (f *field) features() (all []tfrecord.Feature) {
	number := f.classes != nil || f.Kind == kindInt || f.Kind == kindBool
	switch {
	case f.Kind == kindNothing:
	case f.Lists > 0 && (f.Kind == kindInt || f.Kind == kindBool):
		all = append(all, tfrecord.Int64s(f.key, nil))
	case f.Lists > 0 && f.Kind != kindFloat:
		all = append(all, tfrecord.Texts(f.key, nil))
	case f.Lists == 0 && number:
		all = append(all, tfrecord.Int64(f.key, 0))
	case f.Kind == kindFloat:
		all = append(all, tfrecord.Floats(f.key, nil))
	default:
		all = append(all, tfrecord.Bytes(f.key, nil))
	}
	if f.extra != "" {
		all = append(all, tfrecord.Int64(f.extra, 0))
	}
	if f.shape != "" {
		all = append(all, tfrecord.Int64s(f.shape, nil))
	}
	switch {
	case f.missing == "":
	case f.Lists > 0:
		all = append(all, tfrecord.Int64s(f.missing, nil))
	default:
		all = append(all, tfrecord.Int64(f.missing, 0))
	}
	for _, key := range slices.Concat(f.lengths, f.missingLengths) {
		all = append(all, tfrecord.Int64s(key, nil))
	}
	return all
}

// Features that go with an image and a sound.
const (
	orientationSuffix = "_orientation" // EXIF's, 1 to 8
	rateSuffix        = "_sample_rate" // Hz
)

// way is how a column is encoded.
type way uint8

const (
	asList way = iota
	asClass
	asInt
	asFloat
	asText
	asBytes
	asPath
	asImage
	asAudio
	asNothing
)

func (f *field) wayOf() way {
	switch {
	case f.Lists > 0:
		return asList
	case f.isLabel, f.classes != nil:
		return asClass
	}
	switch f.Kind {
	case kindInt, kindBool:
		return asInt
	case kindFloat:
		return asFloat
	case kindText:
		return asText
	case kindImage:
		return asImage
	case kindAudio:
		return asAudio
	case kindNothing:
		return asNothing
	case kindPath:
		return asPath
	}
	return asBytes
}

// field is a column in the encoder, and what the row at hand has in it.
type field struct {
	*observed
	key     string
	lengths []string // keys of the row lengths
	missing string
	extra   string
	shape   string // of sounds whose channels differ
	isLabel bool

	missingLengths []string
	classes        []string
	texts          *table.Vocabulary
	numbers        map[int64]int64
	way            way
	unsigned       bool // 64 bits

	absent bool
	bytes  []byte
	class  int64
	number float64
	image  picture.Loaded

	// The features with these keys:
	value, absentAt, extraAt, shapeAt *tfrecord.Feature
	lengthsAt, missingLengthsAt       []*tfrecord.Feature
}

// encoder implements dataset.Encoder. It keeps what it needs from row to row, so that it doesn't allocate once it is warm.
type encoder struct {
	full     bool
	fields   []field
	walk     walker
	template *tfrecord.Template
	parts    []part          // of the template; nil: some are lists, images or sounds, which are set and not put
	looked   []int           // the columns that the parts are made of and that lie at no fixed place, or are looked up
	columns  dataset.Columns // in the statistics
	floats   []float32
	ints     []int64
	texts    [][]byte
	images   *picture.Loader
	sounds   sound.Decoder
	media    []byte // images and sounds that were converted
}

// Encode implements dataset.Encoder.
func (e *encoder) Encode(dst []byte, item dataset.Item, body dataset.Body, stats *dataset.Stats) ([]byte, error) {
	row, err := body.Bytes()
	if err != nil {
		return dst, err
	}
	if !e.walk.start(row) {
		if len(row) > 0 && row[0] == statusLarge {
			size, _ := binary.Uvarint(row[1:])
			return dst, tooLongRow(item.Path, size)
		}
		return dst, malformed(item.Path)
	}
	if e.parts != nil {
		return e.put(dst, row, item.Path, stats)
	}
	e.floats, e.ints, e.texts, e.media = e.floats[:0], e.ints[:0], e.texts[:0], e.media[:0]
	label, size := -1, len(row)-e.walk.layout.codes
	for i := range e.fields {
		f := &e.fields[i]
		if word := e.walk.word(i); word != nil {
			size += word.size
		}
		if !e.walk.next(&f.column, i) {
			return dst, malformed(item.Path)
		}
		if f.way == asList {
			err = e.list(f, item.Path)
		} else {
			err = e.scalar(f, item.Path)
		}
		if err != nil {
			return dst, err
		}
		if f.isLabel {
			label = int(f.class)
		}
	}
	dst = e.template.Append(dst)
	stats.AddExample(size, label)
	e.columns.Use(stats)
	for i := range e.fields {
		e.fields[i].observe(stats, &e.columns, i)
	}
	return dst, nil
}

// Properties of a column that values are counted of; see dataset.Columns.
const (
	statMissing = iota
	statClasses // from here on
)

// malformed can't be of a row of Transcode's.
func malformed(path string) error {
	return reject.NewFile(path, reject.MalformedRow, "the row isn't what was read from the file before; upload it again")
}

func (f *field) observe(stats *dataset.Stats, columns *dataset.Columns, column int) {
	switch {
	case f.way == asList || f.way == asNothing || f.way == asPath:
	case f.absent:
		columns.Count(column, statMissing, table.StatMissing, f.Key)
	case f.way == asInt, f.way == asFloat:
		columns.Observe(column, f.Key, f.number)
	case f.way == asClass && !f.isLabel:
		columns.Count(column, statClasses+int(f.class), f.Key, f.classes[f.class])
	case f.way == asImage:
		f.image.Observe(stats)
	case f.way == asAudio:
		stats.Observe("duration_seconds", f.number)
	}
}

// scalar sets the value of a column in no list.
func (e *encoder) scalar(f *field, path string) error {
	w := &e.walk
	f.absent, f.class, f.number = w.missing, -1, 0
	switch f.way {
	case asClass:
		if err := e.classOf(f, path); err != nil {
			return err
		}
		f.value.SetInt64(f.class)
	case asInt:
		f.number = float64(w.int)
		if f.unsigned {
			f.number = float64(uint64(w.int)) //nolint:gosec // two's complement
		}
		f.value.SetInt64(w.int)
	case asFloat:
		f.number = float64(w.float)
		e.floats = append(e.floats, w.float)
		f.value.SetFloats(e.floats[len(e.floats)-1:])
	case asImage:
		return e.image(f, path)
	case asAudio:
		return e.audio(f, path)
	case asText:
		if !utf8.Valid(w.value) {
			return invalidText(path, f)
		}
		f.value.SetBytes(w.value)
	case asBytes, asPath:
		f.value.SetBytes(w.value)
	case asNothing, asList:
	}
	if f.absentAt != nil {
		missing := int64(0)
		if w.missing {
			missing = 1
		}
		f.absentAt.SetInt64(missing)
	}
	return nil
}

func invalidText(path string, f *field) error {
	return reject.NewFile(path, reject.InvalidText, "the text in column %q is not UTF-8, which the column's type promises; write it as binary, or convert it", f.Key)
}

// classOf finds the class of a value: -1 if it is missing, which the label must not be.
func (e *encoder) classOf(f *field, path string) error {
	w := &e.walk
	ok := !w.missing
	switch {
	case !ok:
	case f.texts != nil:
		f.class = int64(f.texts.Find(w.value))
		ok = f.class >= 0
	case f.Names != nil:
		f.class, ok = w.int, w.int >= 0 && w.int < int64(len(f.Names))
	case f.Kind == kindFloat:
		f.class, ok = f.numbers[int64(w.float)]
	default:
		f.class, ok = f.numbers[w.int]
	}
	if ok {
		return nil
	}
	f.class = -1
	switch {
	case f.isLabel && w.missing:
		return reject.NewFile(path, reject.MissingLabel, "the column %q with the label has no value; give the row one, or name another column as the label", f.Key)
	case f.isLabel:
		return reject.NewFile(path, reject.MissingLabel, "the label in column %q is %d, and there are %d classes, counted from 0; give the row one of them", f.Key, w.int, len(f.classes))
	}
	f.absent = true // TFDS takes -1 for no label
	return nil
}

// image sets an image as it is stored.
func (e *encoder) image(f *field, path string) error {
	if err := noMedia(f, &e.walk, path, "image"); err != nil {
		return err
	}
	var err error
	if f.image, err = e.images.Load(path, e.walk.value); err != nil {
		return err
	}
	if f.image.Encoding.Stored() != f.image.Encoding { // the loader's memory, which a second image in the row would take
		from := len(e.media)
		e.media = append(e.media, f.image.Data...)
		f.image.Data = e.media[from:]
	}
	f.value.SetBytes(f.image.Data)
	f.extraAt.SetInt64(int64(f.image.Orientation))
	return nil
}

func noMedia(f *field, w *walker, path, what string) error {
	if !w.missing {
		return nil
	}
	return reject.NewFile(path, reject.MissingValue, "the column %q has no %s in this row, at most the path of one; embed the files, for example with datasets' embed_storage or push_to_hub", f.Key, what)
}

// audio sets a sound's samples, as the format audio-folder does.
func (e *encoder) audio(f *field, path string) error {
	if err := noMedia(f, &e.walk, path, "sound"); err != nil {
		return err
	}
	data, kind := e.walk.value, f.Sound.Samples
	info, size, problem := e.sounds.Measure(data, kind)
	from := len(e.media)
	if problem == nil {
		e.media = append(e.media, make([]byte, size)...)
		problem = e.sounds.Decode(e.media[from:], data, &info, kind, e.full)
	}
	if problem != nil {
		return reject.NewFile(path, problem.Reason, "%s", problem.Message)
	}
	f.number = float64(info.Frames) / float64(info.SampleRate)
	f.extraAt.SetInt64(int64(info.SampleRate))
	f.value.SetBytes(e.media[from:])
	if f.shapeAt != nil {
		from := len(e.ints)
		e.ints = append(e.ints, info.Frames, int64(info.Channels))
		f.shapeAt.SetInt64s(e.ints[from:])
	}
	return nil
}

// list sets the values of a column in lists, how long the inner lists are, and which elements are missing.
func (e *encoder) list(f *field, path string) error {
	w := &e.walk
	f.class = -1
	switch f.Kind {
	case kindInt, kindBool:
		from := len(e.ints)
		for _, v := range w.ints {
			if f.Names != nil && (v < 0 || v >= int64(len(f.Names))) {
				v = -1 // TFDS takes it for no label
			}
			e.ints = append(e.ints, v)
		}
		for i, absent := range w.absent {
			if absent != 0 && f.Names != nil {
				e.ints[from+i] = -1
			}
		}
		f.value.SetInt64s(e.ints[from:])
	case kindFloat:
		from := len(e.floats)
		e.floats = append(e.floats, w.floats...)
		f.value.SetFloats(e.floats[from:])
	default:
		from := len(e.texts)
		for _, v := range w.values {
			if f.Kind == kindText && !utf8.Valid(v) {
				return invalidText(path, f)
			}
			e.texts = append(e.texts, v)
		}
		f.value.SetTexts(e.texts[from:])
	}
	for level, at := range f.lengthsAt {
		e.setInts(at, w.lengths[level])
	}
	if f.absentAt != nil {
		e.setInts(f.absentAt, w.absent)
		for level, at := range f.missingLengthsAt {
			e.setInts(at, w.lengths[level])
		}
	}
	return nil
}

// setInts gives a feature numbers that are the walker's until its next column.
func (e *encoder) setInts(f *tfrecord.Feature, v []int64) {
	from := len(e.ints)
	e.ints = append(e.ints, v...)
	f.SetInt64s(e.ints[from:])
}
