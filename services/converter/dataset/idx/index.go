package idx

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/cespare/xxhash/v2"

	"github.com/trainyard/trainyard/services/converter/dataset"
	"github.com/trainyard/trainyard/services/converter/reject"
)

const (
	maxClasses  = 100_000
	maxLabelRow = dataset.BlockBytes // bytes of the label of a row: it travels with the row's block
)

// found is an IDX file.
type found struct {
	header
	file   int
	bytes  io.ReaderAt
	key    string // the path below the folder of all
	labels *found // of a file of rows, if it has any
}

// indexer is one run of Index.
type indexer struct {
	files    dataset.Files
	listener dataset.Listener
	schema   schema
	classes  []string
	index    map[int64]int // of classes, by the number that stands in the files
}

// Index implements dataset.Reader.
func (Reader) Index(ctx context.Context, files dataset.Files, _ dataset.Options, listener dataset.Listener) (dataset.Index, error) {
	x := &indexer{files: files, listener: listener}
	rows, labels, err := x.find(ctx)
	if err != nil {
		return dataset.Index{}, err
	}
	if rows, err = x.dropCopies(rows); err != nil {
		return dataset.Index{}, err
	}
	rows = x.pair(rows, labels)
	if rows = x.oneLayout(rows); len(rows) == 0 {
		return dataset.Index{}, reject.New(reject.NoExamples,
			"No IDX file can become examples. Expected: %s", Reader{}.Format().Description)
	}
	if x.schema.Labels == classes {
		if err := x.findClasses(ctx, rows); err != nil {
			return dataset.Index{}, err
		}
	}
	names := make([]string, len(rows))
	for i, f := range rows {
		names[i] = strings.ReplaceAll(f.key, "t10k", "test") // as MNIST calls it
	}
	splits := dataset.SplitsIn(names)
	for i, f := range rows {
		if err := x.blocks(ctx, f, splits[i]); err != nil {
			return dataset.Index{}, err
		}
	}
	js, err := json.Marshal(x.schema)
	if err != nil {
		return dataset.Index{}, err
	}
	size := x.schema.Rows.rowBytes()
	if h, w, c, ok := x.schema.Rows.image(); ok {
		size = pngSize(h, w, c)
	}
	return dataset.Index{Classes: x.classes, Schema: js, RowBytes: int64(size) + 60}, nil
}

// find reads the headers of all files that may be IDX.
func (x *indexer) find(ctx context.Context) (rows, labels []*found, err error) {
	var all []*found
	var packed string
	var bad *reject.File
	looked := 0
	for i := range x.files.Len() {
		if err := ctx.Err(); err != nil {
			return nil, nil, err
		}
		f := x.files.At(i)
		if isPacked(f.Path) {
			packed = f.Path
			x.listener.LeaveOut(i, reject.NestedArchive, "files that are compressed within the upload are not opened: unpack it with `gunzip FILE` and upload it so")
			continue
		}
		if !mayBe(f.Path) {
			continue
		}
		if looked++; looked > maxFiles {
			x.listener.LeaveOut(i, reject.TooManyEntries, fmt.Sprintf("the upload has more than %d files that may be IDX, which is the limit", maxFiles))
			continue
		}
		head, err := dataset.ReadHead(ctx, x.files, i, maxHeader)
		if errors.As(err, &bad) {
			x.listener.LeaveOut(i, bad.Reason, bad.Message)
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		if !hasMagic(head) {
			continue
		}
		limit := int64(dataset.MaxRowBytes)
		if hasLabels(f.Path) {
			limit = maxLabelRow
		}
		h, problem := parseHeader(head, f.Size, limit)
		if problem != "" {
			x.listener.LeaveOut(i, reject.MalformedFile, problem)
			continue
		}
		data, err := x.files.Open(ctx, i)
		if errors.As(err, &bad) {
			x.listener.LeaveOut(i, bad.Reason, bad.Message)
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		all = append(all, &found{header: h, file: i, bytes: data})
	}
	if len(all) == 0 && packed != "" {
		return nil, nil, reject.New(reject.NestedArchive,
			"The upload holds compressed files such as %q. A container within the upload is not opened, and an IDX file must lie in it as it is. "+
				"Unpack them (`gunzip *.gz`) and upload the files without .gz.", packed)
	}
	paths := make([]string, len(all))
	for i, f := range all {
		paths[i] = x.files.At(f.file).Path
	}
	root := dataset.CommonDir(paths)
	for i, f := range all {
		f.key = paths[i][len(root):]
		if hasLabels(f.key) {
			labels = append(labels, f)
		} else {
			rows = append(rows, f)
		}
	}
	return rows, labels, nil
}

// dropCopies leaves out files of rows that are equal to an earlier one. MNIST is handed on in archives that hold each file under two names.
// Each file is compared with one other at most.
func (x *indexer) dropCopies(rows []*found) ([]*found, error) {
	const head = 64 << 10
	type likeness struct {
		size int64
		hash uint64
	}
	first := make(map[likeness]*found)
	bySize := make(map[int64]int)
	for _, f := range rows {
		bySize[f.size()]++
	}
	kept := make([]*found, 0, len(rows))
	for _, f := range rows {
		if bySize[f.size()] > 1 {
			hash, err := hashOf(f.bytes, min(head, f.size()))
			if err != nil {
				return nil, err
			}
			l := likeness{f.size(), hash}
			if other := first[l]; other == nil {
				first[l] = f
			} else if same, err := equal(f.bytes, other.bytes, f.size()); err != nil {
				return nil, err
			} else if same {
				x.listener.LeaveOut(f.file, reject.DuplicateFile, fmt.Sprintf("the file is a copy of %q, which is kept", other.key))
				continue
			}
		}
		kept = append(kept, f)
	}
	return kept, nil
}

// size is the file's length in bytes.
func (f *found) size() int64 { return f.data + f.rows*int64(f.rowBytes()) }

func hashOf(data io.ReaderAt, size int64) (uint64, error) {
	h := xxhash.New()
	_, err := io.Copy(h, io.NewSectionReader(data, 0, size))
	return h.Sum64(), err
}

// equal tells whether two files of one size hold the same bytes.
func equal(a, b io.ReaderAt, size int64) (bool, error) {
	const step = 1 << 20
	p, q := make([]byte, step), make([]byte, step)
	for at := int64(0); at < size; at += step {
		n := min(step, size-at)
		if err := readAt(a, p[:n], at); err != nil {
			return false, err
		}
		if err := readAt(b, q[:n], at); err != nil {
			return false, err
		}
		if !bytes.Equal(p[:n], q[:n]) {
			return false, nil
		}
	}
	return true, nil
}

// readAt fills p. The end of the file is no error when p is full.
func readAt(r io.ReaderAt, p []byte, at int64) error {
	if n, err := r.ReadAt(p, at); n < len(p) {
		return err
	}
	return nil
}

// pair gives each file of rows its labels and leaves out what has no counterpart, unless there are no labels at all.
func (x *indexer) pair(rows, labels []*found) []*found {
	if len(labels) == 0 {
		return rows
	}
	byPart := make(map[string][]*found)
	for _, f := range labels {
		byPart[part(f.key)] = append(byPart[part(f.key)], f)
	}
	if len(rows) == 1 && len(labels) == 1 { // whatever they are called
		byPart = map[string][]*found{part(rows[0].key): labels}
	}
	used := make(map[*found]bool)
	kept := make([]*found, 0, len(rows))
	for _, f := range rows {
		mates := byPart[part(f.key)]
		i := slices.IndexFunc(mates, func(l *found) bool { return l.rows == f.rows && !used[l] })
		switch {
		case i >= 0:
			f.labels = mates[i]
			used[mates[i]] = true
			kept = append(kept, f)
		case len(mates) > 0:
			x.listener.LeaveOut(f.file, reject.MissingPart, fmt.Sprintf("the file has %d rows, but %q, which belongs to it by its name, has %d labels; make them fit", f.rows, mates[0].key, mates[0].rows))
		default:
			x.listener.LeaveOut(f.file, reject.MissingPart,
				`no file of labels has the same name but for the word "labels", as train-labels-idx1-ubyte has to train-images-idx3-ubyte; rename it, or leave this file out of the upload`)
		}
	}
	for _, l := range labels {
		if !used[l] {
			x.listener.LeaveOut(l.file, reject.MissingPart, "no file of rows has the same name but for the word \"labels\" and as many rows")
		}
	}
	return kept
}

// countable tells whether labels are whole numbers, one a row.
func (f *found) countable() bool {
	return len(f.Dims) == 0 && f.Element != float && f.Element != double
}

// oneLayout keeps the files that have the layout of most rows, and of those the ones with the kind of labels of most.
func (x *indexer) oneLayout(rows []*found) []*found {
	rows = x.majority(rows, func(f *found) string { return f.layout.String() })
	rows = x.majority(rows, func(f *found) string {
		switch {
		case f.labels == nil:
			return "no labels"
		case f.labels.countable():
			return "labels that are whole numbers"
		}
		return "labels that are " + f.labels.layout.String()
	})
	if len(rows) == 0 {
		return nil
	}
	f := rows[0]
	x.schema = schema{Rows: f.layout, Labels: noLabels}
	switch {
	case f.labels == nil:
	case f.labels.countable():
		x.schema.Labels = classes
	default:
		x.schema.Labels, x.schema.Values = tensors, f.labels.layout
	}
	return rows
}

// majority leaves out the files that differ from those with most rows in what kindOf says.
func (x *indexer) majority(rows []*found, kindOf func(*found) string) []*found {
	count := make(map[string]int64)
	best := ""
	for _, f := range rows {
		count[kindOf(f)] += f.rows
	}
	for _, f := range rows { // in order, so that the first of equals wins
		if k := kindOf(f); best == "" || count[k] > count[best] {
			best = k
		}
	}
	kept := make([]*found, 0, len(rows))
	for _, f := range rows {
		k := kindOf(f)
		if k == best {
			kept = append(kept, f)
			continue
		}
		x.listener.LeaveOut(f.file, reject.DifferentShape, fmt.Sprintf("the file has %s and most others have %s; all records of a dataset must be of one kind", k, best))
		if f.labels != nil {
			x.listener.LeaveOut(f.labels.file, reject.DifferentShape, fmt.Sprintf("the rows that it labels in %q are left out", f.key))
		}
	}
	return kept
}

// numbers calls yield with each label of a file, in order.
func (f *found) numbers(ctx context.Context, yield func(int64) error) error {
	size := f.Element.size()
	buf := make([]byte, 256<<10)
	for at, end := f.data, f.size(); at < end; {
		if err := ctx.Err(); err != nil {
			return err
		}
		b := buf[:min(int64(len(buf)), end-at)]
		if err := readAt(f.bytes, b, at); err != nil {
			return err
		}
		at += int64(len(b))
		for ; len(b) >= size; b = b[size:] {
			if err := yield(f.Element.number(b)); err != nil {
				return err
			}
		}
	}
	return nil
}

// number is the whole number at the beginning of b.
func (e element) number(b []byte) int64 {
	switch e {
	case sbyte:
		return int64(int8(b[0])) //nolint:gosec // two's complement
	case short:
		return int64(int16(binary.BigEndian.Uint16(b))) //nolint:gosec // as above
	case integer:
		return int64(int32(binary.BigEndian.Uint32(b))) //nolint:gosec // as above
	default:
		return int64(b[0])
	}
}

// findClasses collects the numbers that are labels.
func (x *indexer) findClasses(ctx context.Context, rows []*found) error {
	x.index = make(map[int64]int)
	last := int64(math.MaxInt64)
	for _, f := range rows {
		err := f.labels.numbers(ctx, func(n int64) error {
			if n == last {
				return nil
			}
			last = n
			x.index[n] = 0
			if len(x.index) > maxClasses {
				return reject.New(reject.TooManyClasses, "The labels in %q are more than %d different numbers, which is the limit for classes. "+
					"Numbers to be predicted as such are kept when they are written as floats.", f.labels.key, maxClasses)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	for i, n := range slices.Sorted(maps.Keys(x.index)) {
		x.index[n] = i
		x.classes = append(x.classes, strconv.FormatInt(n, 10))
	}
	x.schema.Width = labelWidth(len(x.classes))
	return nil
}

// blocks reports the rows of a file.
func (x *indexer) blocks(ctx context.Context, f *found, split dataset.Split) error {
	size := f.rowBytes()
	most := max(1, dataset.BlockBytes/size)
	labelSize := 0
	if f.labels != nil {
		labelSize = f.labels.rowBytes()
		most = max(1, min(most, dataset.BlockBytes/labelSize))
		x.listener.Use(f.labels.file)
	}
	buf := make([]byte, most*labelSize)
	for first := int64(0); first < f.rows; first += int64(most) {
		if err := ctx.Err(); err != nil {
			return err
		}
		n := int(min(int64(most), f.rows-first))
		b := dataset.Block{
			File: f.file, Offset: f.data + first*int64(size), Size: int64(n * size), Rows: n, FirstRow: first + 1, Key: f.key, Split: split,
		}
		if f.labels != nil {
			if err := readAt(f.labels.bytes, buf[:n*labelSize], f.labels.data+first*int64(labelSize)); err != nil {
				return err
			}
			x.label(&b, buf[:n*labelSize], f.labels.Element)
		}
		x.listener.Block(b)
	}
	return nil
}

// label puts the labels of a block's rows into it.
func (x *indexer) label(b *dataset.Block, labels []byte, e element) {
	if x.schema.Labels == tensors {
		b.Meta = bytes.Clone(labels)
		return
	}
	size := e.size()
	b.Labels = make([]int32, 0, b.Rows)
	b.Meta = make([]byte, 0, b.Rows*x.schema.Width)
	for ; len(labels) > 0; labels = labels[size:] {
		label := x.index[e.number(labels)]
		b.Labels = append(b.Labels, int32(label)) //nolint:gosec // at most maxClasses
		b.Meta = appendLabel(b.Meta, label, x.schema.Width)
	}
}
