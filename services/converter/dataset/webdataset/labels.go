package webdataset

import (
	"cmp"
	"context"
	"errors"
	"path"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/trainyard/trainyard/services/converter/dataset"
	"github.com/trainyard/trainyard/services/converter/reject"
)

const (
	maxClasses    = 100_000
	maxLabelBytes = 256
	maxNamesBytes = 8 << 20
)

// labels are the labels of all samples as they stand in the files, and the classes that come of them.
type labels struct {
	values  []string
	numbers map[string]int32 // of values
	classes []string
	order   []int32 // by number of the value: its class, or -1

	names []string // of the classes in a file beside the samples, if there is one
	file  int      // that file, or 0 if path is ""
	path  string
}

// readNames reads the names of the classes, one a line, if a file of them lies beside the samples.
func (l *labels) readNames(ctx context.Context, files dataset.Files, listener dataset.Listener) error {
	for i := range files.Len() {
		switch path.Base(files.At(i).Path) {
		case "classes.txt", "labels.txt", "class_names.txt":
		default:
			continue
		}
		b, err := dataset.ReadFile(ctx, files, i, maxNamesBytes)
		var bad *reject.File
		if errors.As(err, &bad) {
			return reject.New(bad.Reason, "The names of the classes in %q can't be read: %s.", bad.Path, bad.Message)
		}
		if err != nil {
			return err
		}
		names := strings.Split(strings.TrimRight(strings.ReplaceAll(string(b), "\r\n", "\n"), "\n"), "\n")
		if len(names) > maxClasses {
			return reject.New(reject.TooManyClasses, "The file %q names %d classes; the limit is %d.", files.At(i).Path, len(names), maxClasses)
		}
		seen := make(map[string]bool, len(names))
		for n, name := range names {
			if !goodLabel(name) || seen[name] {
				return reject.New(reject.InvalidClassName, "Line %d of %q is no name of a class: it is empty, longer than %d bytes, there twice or has control characters.", n+1, files.At(i).Path, maxLabelBytes)
			}
			seen[name] = true
		}
		l.names, l.file, l.path = names, i, files.At(i).Path
		listener.Use(i)
		return nil
	}
	return nil
}

// isFile tells whether a file is the one with the names.
func (l *labels) isFile(i int) bool { return l.path != "" && l.file == i }

func goodLabel(s string) bool {
	return s != "" && len(s) <= maxLabelBytes && utf8.ValidString(s) && s == strings.TrimSpace(s) && !strings.ContainsFunc(s, unicode.IsControl)
}

// read reads a sample's label and returns its number.
func (l *labels) read(ctx context.Context, files dataset.Files, i int) (int32, error) {
	b, err := dataset.ReadFile(ctx, files, i, 2*maxLabelBytes)
	if err != nil {
		return -1, err
	}
	value := strings.TrimSpace(string(b))
	if !goodLabel(value) {
		return -1, reject.NewFile(files.At(i).Path, reject.MissingLabel, "the file holds no label: a number or a name of 1 to %d bytes in one line", maxLabelBytes)
	}
	n, ok := l.numbers[value]
	if !ok {
		if len(l.values) == maxClasses {
			return -1, reject.New(reject.TooManyClasses, "The samples have more than %d different labels, which is the limit.", maxClasses)
		}
		if l.numbers == nil {
			l.numbers = make(map[string]int32)
		}
		n = int32(len(l.values)) //nolint:gosec // at most maxClasses
		l.numbers[value] = n
		l.values = append(l.values, value)
	}
	return n, nil
}

// settle makes the classes: the names in their file, which labels give by name or by index; else the labels themselves, in
// the order of numbers if all are, else in that of their bytes.
func (l *labels) settle() error {
	if len(l.values) == 0 {
		return nil
	}
	l.order = make([]int32, len(l.values))
	if l.names != nil {
		l.classes = l.names
		index := make(map[string]int32, len(l.names))
		for i, n := range l.names {
			index[n] = int32(i) //nolint:gosec // at most maxClasses
		}
		for i, v := range l.values {
			l.order[i] = -1
			if at, ok := index[v]; ok {
				l.order[i] = at
			} else if n, err := strconv.Atoi(v); err == nil && n >= 0 && n < len(l.names) {
				l.order[i] = int32(n) //nolint:gosec // below maxClasses
			}
		}
		return nil
	}
	numbers := make(map[string]int64, len(l.values)) // all of them, or some if not all labels are numbers
	twins := make(map[int64]string, len(l.values))
	var twin error
	for _, v := range l.values {
		n, err := strconv.ParseInt(v, 10, 64)
		if err != nil {
			continue
		}
		if other, ok := twins[n]; ok {
			twin = reject.New(reject.DuplicateClasses, "The labels %q and %q are one number. Write it in one way.", other, v)
		}
		numbers[v], twins[n] = n, v
	}
	whole := len(numbers) == len(l.values)
	if whole && twin != nil {
		return twin
	}
	l.classes = slices.Clone(l.values)
	slices.SortFunc(l.classes, func(a, b string) int {
		if whole {
			return cmp.Compare(numbers[a], numbers[b])
		}
		return strings.Compare(a, b)
	})
	for i, c := range l.classes {
		l.order[l.numbers[c]] = int32(i) //nolint:gosec // as above
	}
	return nil
}

// class is the class of a label, or -1.
func (l *labels) class(n int32) int { return int(l.order[n]) }
