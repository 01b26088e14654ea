package table

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/trainyard/trainyard/services/converter/dataset"
	"github.com/trainyard/trainyard/services/converter/reject"
)

// Kind is the type of a column.
type Kind string

// The kinds, in the order in which they are tried. Values of a column that fit no narrower kind are text as they are written.
const (
	KindBool     Kind = "bool"     // true, false, yes, no in any case; JSON's true and false: a bool
	KindInt      Kind = "int"      // decimal integers that fit int64, without leading zeros: an int64
	KindFloat    Kind = "float"    // numbers, with integers beyond int64 among them: a float32
	KindCategory Kind = "category" // at most MaxCategories distinct texts, twice each on average: a ClassLabel, sorted by bytes
	KindText     Kind = "text"     // anything else
	KindInts     Kind = "ints"     // of JSON: arrays of integers: a tensor, or sequences of sequences if they differ in more than the first dimension
	KindFloats   Kind = "floats"   // of JSON: arrays of numbers
	KindTexts    Kind = "texts"    // of JSON: arrays of strings: a sequence of texts
)

// Field is a column as its feature.
type Field struct {
	Source  string   `json:"source"` // the column's name, or the path in JSON
	Name    string   `json:"name"`   // the feature's
	Kind    Kind     `json:"kind"`
	Missing string   `json:"missing,omitempty"` // the name of the feature that tells whether the value is missing
	Classes []string `json:"classes,omitempty"` // of a category; those of the label are Index.Classes
	Values  Kind     `json:"values,omitempty"`  // of a label: what its classes are written as, KindInt, KindBool or KindText
	Shape   []int    `json:"shape,omitempty"`   // of arrays; -1: it differs
}

// Schema says how rows become examples.
type Schema struct {
	Comma  string  `json:"comma,omitempty"` // of CSV
	Array  bool    `json:"array,omitempty"` // of JSON: the files are arrays
	Fields []Field `json:"fields"`
	Label  int     `json:"label"` // index of the column with the label, -1 if there is none
}

// maxNameBytes is how long a feature's name may be.
const maxNameBytes = 128

// labelNames are the columns that are taken for the label unless the user names one.
var labelNames = []string{"label", "class", "target", "category", "species", "y"}

// LabelColumn returns the column with the label, or -1: the one the user named, or the first of label, class, target, category,
// species and y that there is, in any case. A named column that there isn't gives a *reject.Error.
func LabelColumn(names []string, wanted string) (int, error) {
	if wanted != "" {
		if i := slices.Index(names, wanted); i >= 0 {
			return i, nil
		}
		if i := slices.IndexFunc(names, func(n string) bool { return strings.EqualFold(n, wanted) }); i >= 0 {
			return i, nil
		}
		return -1, reject.New(reject.UnknownColumn, "There is no column %q for the label. The columns are: %s.", wanted, quoteNames(names))
	}
	for _, label := range labelNames {
		if i := slices.IndexFunc(names, func(n string) bool { return strings.EqualFold(n, label) }); i >= 0 {
			return i, nil
		}
	}
	return -1, nil
}

// quoteNames lists the first names for a message.
func quoteNames(names []string) string {
	const most = 50
	var b strings.Builder
	for i, n := range names {
		if i == most {
			fmt.Fprintf(&b, " and %d more", len(names)-most)
			break
		}
		if i > 0 {
			b.WriteString(", ")
		}
		if len(n) > maxNameBytes {
			n = strings.ToValidUTF8(n[:maxNameBytes], "") + "…"
		}
		b.WriteString(strconv.Quote(n))
	}
	return b.String()
}

// makeSchema decides on the type of each column of a table with the given number of rows. It returns the label's classes, nil if there are none.
func makeSchema(names []string, columns []Column, rows int64, label int, chosen bool) (*Schema, []string, error) {
	s := &Schema{Label: label}
	var classes []string
	taken := make(map[string]bool)
	for _, n := range names {
		s.Fields = append(s.Fields, Field{Source: n, Name: uniqueName(featureName(n, len(s.Fields)), taken)})
	}
	for i := range s.Fields {
		f, c := &s.Fields[i], &columns[i]
		f.Kind = c.kind()
		if i == label {
			if classes, f.Values = c.classes(chosen); classes != nil {
				f.Kind = KindCategory
				continue
			}
			f.Values = ""
			if chosen && f.Kind == KindText && c.values.overflow {
				return nil, nil, reject.New(reject.TooManyClasses, "The column %q has more than %d distinct labels, or some that are longer than %d bytes or of several lines. Name another column as the label.",
					names[i], MaxClasses, MaxValueBytes)
			}
			if f.Kind == KindCategory {
				f.Kind = KindText
			}
		}
		switch f.Kind {
		case KindCategory:
			f.Classes = c.distinct()
		case KindInts, KindFloats:
			f.Shape = c.dims.shape()
		}
		if c.Values < rows && f.Kind != KindText && f.Kind != KindTexts && f.Kind != KindCategory {
			f.Missing = uniqueName(f.Name+"_missing", taken)
		}
	}
	return s, classes, nil
}

// featureName makes a name that TFDS takes and that can be a file's: without slashes and control characters, at most
// maxNameBytes long. A column without a name is column_N, counted from 1.
func featureName(name string, column int) string {
	name = strings.Map(func(r rune) rune {
		if r == '/' || r == '\\' || r < ' ' || r == 0x7f {
			return '_'
		}
		return r
	}, strings.TrimSpace(name))
	if len(name) > maxNameBytes {
		name = strings.ToValidUTF8(name[:maxNameBytes], "")
	}
	if strings.HasPrefix(name, ".") {
		name = "_" + name[1:]
	}
	if name == "" {
		return ColumnName(column)
	}
	return name
}

// ColumnName is the name of a column that has none: column_1 for the first.
func ColumnName(i int) string { return "column_" + strconv.Itoa(i+1) }

// uniqueName adds _2, _3 … to a name that is taken, and takes it.
func uniqueName(name string, taken map[string]bool) string {
	unique := name
	for n := 2; taken[unique]; n++ {
		unique = name + "_" + strconv.Itoa(n)
	}
	taken[unique] = true
	return unique
}

// features are the features of examples with the schema, for dataset.Reader.
func (s *Schema) features(classes []string) []dataset.Feature {
	var all []dataset.Feature
	for i, f := range s.Fields {
		switch f.Kind {
		case KindBool:
			all = append(all, dataset.TensorFeature(f.Name, "bool"))
		case KindInt:
			all = append(all, dataset.TensorFeature(f.Name, "int64"))
		case KindFloat:
			all = append(all, dataset.TensorFeature(f.Name, "float32"))
		case KindCategory:
			if i == s.Label {
				f.Classes = classes
			}
			all = append(all, dataset.ClassLabelFeature(f.Name, f.Classes))
		case KindInts:
			all = append(all, f.arrayFeature("int64"))
		case KindFloats:
			all = append(all, f.arrayFeature("float32"))
		case KindTexts:
			all = append(all, dataset.SequenceFeature(f.Name, dataset.TextFeature("")))
		default:
			all = append(all, dataset.TextFeature(f.Name))
		}
		if f.Missing != "" {
			all = append(all, dataset.TensorFeature(f.Missing, "int64"))
		}
	}
	return all
}

func (f *Field) ragged() bool { return len(f.Shape) == 2 && f.Shape[1] < 0 }

func (f *Field) arrayFeature(dtype string) dataset.Feature {
	if f.ragged() {
		return dataset.SequenceFeature(f.Name, dataset.SequenceFeature("", dataset.TensorFeature("", dtype)))
	}
	return dataset.TensorFeature(f.Name, dtype, f.Shape...)
}
