package parquet

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/trainyard/trainyard/services/converter/dataset"
	"github.com/trainyard/trainyard/services/converter/reject"
)

// Reader implements dataset.Transcoder.
type Reader struct{}

// Format implements dataset.Reader.
func (Reader) Format() dataset.Format {
	return dataset.Format{
		Name:  "parquet",
		Title: "Parquet",
		Description: "One or more Parquet files with the same columns, also those of Hugging Face datasets with images, sounds and ClassLabels. " +
			"Files or folders named train, validation and test are kept as splits. The label is the column that is chosen, or one named label, class, target, category, species or y.",
		Extensions: []string{".parquet"},
		Example:    "data/\n├── test-00000-of-00001.parquet\n├── train-00000-of-00002.parquet\n└── train-00001-of-00002.parquet\n",
	}
}

func hasEnding(name string) bool {
	switch strings.ToLower(path.Ext(name)) {
	case ".parquet", ".parq", ".pq":
		return true
	}
	return false
}

// maxSniffed is how many files Detect looks into.
const maxSniffed = 8

// Detect implements dataset.Reader. Files that are called like Parquet are looked into first, then others.
func (Reader) Detect(ctx context.Context, files dataset.Files) (dataset.Match, error) {
	m := dataset.Match{Why: "files that begin with " + magic + ", as Parquet does"}
	n, bytes, all, sniffed := 0, int64(0), int64(0), 0
	for _, named := range []bool{true, false} {
		for i := range files.Len() {
			f := files.At(i)
			if hasEnding(f.Path) != named {
				continue
			}
			all += f.Size
			if sniffed < maxSniffed {
				sniffed++
				if ok, err := hasMagic(ctx, files, i); err != nil {
					return m, err
				} else if !ok {
					continue
				}
			} else if !named || n == 0 {
				continue
			}
			n++
			bytes += f.Size
		}
	}
	if n > 0 {
		m.Share = float64(n) / float64(files.Len())
		m.Certain = 2*bytes >= all // not when it is a small file beside many images
	}
	return m, nil
}

func hasMagic(ctx context.Context, files dataset.Files, i int) (bool, error) {
	if files.At(i).Size < int64(len(magic)) {
		return false, nil
	}
	head, err := dataset.ReadHead(ctx, files, i, len(magic))
	var left *reject.File
	if errors.As(err, &left) {
		return false, nil
	}
	return string(head) == magic, err
}

// source is a file of the dataset.
type source struct {
	index int
	key   string
	split dataset.Split
}

// Index implements dataset.Reader.
func (r Reader) Index(ctx context.Context, files dataset.Files, opts dataset.Options, found dataset.Listener) (dataset.Index, error) {
	var sources []source
	for i := range files.Len() {
		if err := ctx.Err(); err != nil {
			return dataset.Index{}, err
		}
		ok, err := hasMagic(ctx, files, i)
		switch {
		case err != nil:
			return dataset.Index{}, err
		case ok:
			sources = append(sources, source{index: i})
		case hasEnding(files.At(i).Path):
			found.LeaveOut(i, reject.CorruptParquet, "the file doesn't begin with "+magic+", so it is no Parquet, whatever its name says")
		default:
			found.LeaveOut(i, reject.NotData, "the file is no Parquet: it doesn't begin with "+magic)
		}
	}
	if len(sources) == 0 {
		return dataset.Index{}, reject.New(reject.NoExamples, "There is no Parquet file in the upload.")
	}
	sources, columns, err := commonColumns(ctx, files, sources, found)
	if err != nil {
		return dataset.Index{}, err
	}
	locate(files, sources)
	o, err := newObserver(columns, opts)
	if err != nil {
		return dataset.Index{}, err
	}
	for _, s := range sources {
		if err := found.Transcode(ctx, s.index, s.key, s.split, o.transcode); err != nil {
			return dataset.Index{}, err
		}
	}
	return o.index()
}

// locate gives the files their keys and splits.
func locate(files dataset.Files, sources []source) {
	paths := make([]string, len(sources))
	for i, s := range sources {
		paths[i] = files.At(s.index).Path
	}
	root := dataset.CommonDir(paths)
	for i := range paths {
		paths[i] = strings.TrimPrefix(paths[i], root)
	}
	for i, split := range dataset.SplitsIn(paths) {
		sources[i].key, sources[i].split = paths[i], split
	}
}

// commonColumns reads all footers and checks that the files have the same columns. Files that are damaged, as those are that were cut off on their
// way, are left out, unless more than half of the data is in them.
func commonColumns(ctx context.Context, files dataset.Files, sources []source, found dataset.Listener) (whole []source, columns []column, err error) {
	var damage error // the first
	var damaged, all int64
	for _, s := range sources {
		if err := ctx.Err(); err != nil {
			return nil, nil, err
		}
		f := files.At(s.index)
		all += f.Size
		planned, err := readColumns(ctx, files, s.index)
		if left := damageIn(err); left != nil {
			found.LeaveOut(s.index, left.Reason, left.Message)
			damaged += f.Size
			damage = cmp.Or(damage, err)
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		whole = append(whole, s)
		if len(whole) == 1 {
			for _, p := range planned {
				columns = append(columns, p.column)
			}
			continue
		}
		if err := sameColumns(columns, planned, files.At(whole[0].index).Path, f.Path); err != nil {
			return nil, nil, err
		}
	}
	switch {
	case 2*damaged > all:
		return nil, nil, damage
	case len(columns) == 0:
		return nil, nil, reject.New(reject.NoExamples, "The Parquet files have no columns that hold values.")
	}
	return whole, columns, nil
}

// readColumns reads a file's footer.
func readColumns(ctx context.Context, files dataset.Files, i int) ([]planned, error) {
	data, err := files.Open(ctx, i)
	if err != nil {
		return nil, err
	}
	f := files.At(i)
	opened, err := open(f.Path, data, f.Size)
	if err != nil {
		return nil, err
	}
	return opened.plan()
}

// damageIn says why a file is left out if the error is about damage: to the file itself, or to its place in the archive.
func damageIn(err error) *reject.File {
	var file *reject.File
	var refused *reject.Error
	switch {
	case errors.As(err, &file):
		return file
	case errors.As(err, &refused) && refused.Reason == reject.CorruptParquet:
		return &reject.File{Reason: refused.Reason, Message: refused.Message}
	}
	return nil
}

// sameColumns compares the columns of two files, which are sorted by key.
func sameColumns(a []column, b []planned, pathA, pathB string) error {
	differ := func(format string, args ...any) error {
		return reject.New(reject.DifferentColumns, "%q and %q have different columns: %s. Give all files the same columns and types, or upload them as datasets of their own.",
			pathA, pathB, fmt.Sprintf(format, args...))
	}
	for i := range max(len(a), len(b)) {
		switch {
		case i == len(b) || i < len(a) && a[i].Key < b[i].Key:
			return differ("%q is in the first alone", a[i].Key)
		case i == len(a) || b[i].Key < a[i].Key:
			return differ("%q is in the second alone", b[i].Key)
		case a[i].Kind != b[i].Kind || a[i].Type != b[i].Type || a[i].About != b[i].About || !slices.Equal(a[i].Segments, b[i].Segments):
			return differ("%q is %s in the first and %s in the second", a[i].Key, a[i].describe(), b[i].describe())
		case !slices.Equal(a[i].Names, b[i].Names):
			return differ("the names of the classes of %q", a[i].Key)
		}
	}
	return nil
}

var _ dataset.Transcoder = Reader{}
