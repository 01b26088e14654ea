package table

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"

	"github.com/trainyard/trainyard/services/converter/dataset"
	"github.com/trainyard/trainyard/services/converter/reject"
)

// maxWorkers is how many goroutines infer types at most. Each holds categories of its own.
const maxWorkers = 4

// jobsAhead is how many blocks a worker has before it. With fewer, reader and workers wait for each other, and each wait costs as much as half a block.
const jobsAhead = 8

// Indexer finds the blocks of a table's files and infers the types of its columns from all of their rows, in parallel. The
// result is the same however many goroutines take part.
type Indexer struct {
	schema  Schema // what is known of it beforehand
	split   Splitter
	found   dataset.Listener
	chosen  bool
	wanted  string // label column of JSON
	workers []observer
	element int64              // of an array, from 1: the next
	told    int                // rows left out by line
	labels  map[int32]struct{} // nil: there are none, or too many
	common  [256]uint32        // some that are among them, each where its lowest bits say, and two
	bytes   int64
	rows    int64
}

// NewCSV makes an Indexer for CSV of the columns. label is the index of the column with the label, or -1; chosen says that the user named it.
func NewCSV(comma byte, names []string, label int, chosen bool, found dataset.Listener) *Indexer {
	x := newIndexer(CSV(comma), label >= 0, chosen, found)
	x.schema.Comma = string(comma)
	for range numWorkers() {
		x.workers = append(x.workers, newCSVObserver(comma, names, label))
	}
	return x
}

// NewJSON makes an Indexer for JSON lines, or for arrays of objects. label is the path of the label, "" if there is none.
func NewJSON(array bool, label string, chosen bool, found dataset.Listener) *Indexer {
	split := Lines
	if array {
		split = Array
	}
	x := newIndexer(split, label != "", chosen, found)
	x.schema.Array, x.wanted = array, label
	for range numWorkers() {
		x.workers = append(x.workers, newJSONObserver(label))
	}
	return x
}

func numWorkers() int { return min(runtime.GOMAXPROCS(0), maxWorkers) }

func newIndexer(split Splitter, labelled, chosen bool, found dataset.Listener) *Indexer {
	x := &Indexer{split: split, found: found, chosen: chosen}
	if labelled {
		x.labels = make(map[int32]struct{})
	}
	return x
}

// File is a file of the table and where its rows begin.
type File struct {
	Index  int // in dataset.Files
	Size   int64
	Offset int64 // of the first row
	Line   int64 // of the first row, from 1
	Key    string
	Split  dataset.Split
}

// job is a block on its way through a worker.
type job struct {
	before []*RowError // too long, before the block
	block  Block
	buf    []byte
	marked *marked // of CSV
	labels []int32
	bad    []badRow
	err    error
	done   chan struct{}
}

// badRow is a row of a block that is left out.
type badRow struct {
	start, next int // in the block's data
	row         int // how many rows are before it in the block
	err         *RowError
}

// Add finds the blocks of a file.
func (x *Indexer) Add(ctx context.Context, f File, data io.ReaderAt) error {
	rows, told := x.rows, x.told
	x.element = 1
	jobs := make(chan *job, jobsAhead*len(x.workers))
	var workers sync.WaitGroup
	for _, o := range x.workers {
		workers.Go(func() {
			for j := range jobs {
				x.observe(o, j)
				j.done <- struct{}{}
			}
		})
	}
	defer workers.Wait()
	defer close(jobs)

	var before []*RowError
	r := io.NewSectionReader(data, f.Offset, f.Size-f.Offset)
	blocks := NewBlocks(r, x.split, f.Offset, f.Line, func(e *RowError) { before = append(before, e) })
	var pending, free []*job
	for range jobsAhead * len(x.workers) {
		j := &job{done: make(chan struct{}, 1)}
		if x.schema.Comma != "" {
			j.marked = &marked{comma: x.schema.Comma[0]}
		}
		free = append(free, j)
	}
	finish := func() error {
		j := pending[0]
		pending = pending[1:]
		<-j.done
		free = append(free, j)
		if j.err != nil {
			return j.err
		}
		x.emit(f, j)
		return nil
	}
	var failed error
	for failed == nil {
		if failed = ctx.Err(); failed != nil {
			break
		}
		if len(free) == 0 {
			if failed = finish(); failed != nil {
				break
			}
		}
		j := free[len(free)-1]
		blocks.marked = j.marked
		block, err := blocks.Next(j.buf)
		j.before, before = before, nil
		if err != nil {
			failed = err
			before = j.before
			break
		}
		free = free[:len(free)-1]
		j.block, j.buf = block, block.Data
		pending = append(pending, j)
		jobs <- j
	}
	for len(pending) > 0 {
		if err := finish(); err != nil && errors.Is(failed, io.EOF) {
			failed = err
		}
	}
	x.leave(f, before)
	if !errors.Is(failed, io.EOF) {
		return failed
	}
	switch {
	case x.rows > rows: // blocks tell of the file
	case x.told > told:
		x.found.Use(f.Index)
	default:
		x.found.LeaveOut(f.Index, reject.EmptyFile, "the file has no rows")
	}
	return nil
}

// LeaveOut tells of a row behind those of the file that was added last.
func (x *Indexer) LeaveOut(f File, reason reject.Reason, message string) {
	x.leave(f, []*RowError{{Line: f.Line, Reason: reason, Message: message}})
}

// leave tells of rows that are left out. Rows are numbered by their lines, elements of an array by their order.
func (x *Indexer) leave(f File, rows []*RowError) {
	for _, e := range rows {
		if x.schema.Array {
			e.Line = x.element
			x.element++
		}
		x.told++
		x.found.LeaveOutRow(f.Index, e.Line, e.Reason, e.Message)
	}
}

// observe lets a worker see the rows of a block.
func (x *Indexer) observe(o observer, j *job) {
	j.bad, j.labels = nil, make([]int32, 0, len(j.block.Rows))
	o.rowsOf(j.block, func(row Bounds, label int32, err *RowError) {
		if err != nil && len(j.bad) < reject.MaxListed {
			start := int(row.Start)
			j.bad = append(j.bad, badRow{start, start + x.split(j.block.Data[start:], true).Next, len(j.labels), err})
		}
		j.labels = append(j.labels, label)
	})
	j.err = o.failed()
}

// emit tells of a block. It is cut at rows that are left out, so that each is told with its line. Beyond as many
// as a report lists they stay in their block, where the Encoder finds them again, and only their number is told.
func (x *Indexer) emit(f File, j *job) {
	x.leave(f, j.before)
	start, row, line := 0, 0, j.block.Line
	lines := func(from, to int) { line += int64(bytes.Count(j.block.Data[from:to], []byte{'\n'})) }
	for _, bad := range j.bad {
		if x.told >= reject.MaxListed {
			break
		}
		x.part(f, j, start, bad.start, row, bad.row, line)
		lines(start, bad.start)
		bad.err.Line = line
		x.leave(f, []*RowError{bad.err})
		lines(bad.start, bad.next)
		start, row = bad.next, bad.row+1
	}
	x.part(f, j, start, len(j.block.Data), row, len(j.labels), line)
}

// part tells of a part of a block, from a place and row to others.
func (x *Indexer) part(f File, j *job, start, end, row, lastRow int, line int64) {
	if row == lastRow {
		return
	}
	x.bytes += int64(end - start)
	x.rows += int64(lastRow - row)
	if x.schema.Array {
		line = x.element
		x.element += int64(lastRow - row)
	}
	b := dataset.Block{
		File: f.Index, Offset: j.block.Offset + int64(start), Size: int64(end - start), Rows: lastRow - row, FirstRow: line, Key: f.Key, Split: f.Split,
	}
	if x.labels != nil {
		b.Labels = j.labels[row:lastRow:lastRow]
		for _, l := range b.Labels {
			if at, known := &x.common[uint8(l)], uint32(l)+2; *at != known { //nolint:gosec // any bits will do
				x.labels[l], *at = struct{}{}, known
			}
		}
		if len(x.labels) > MaxClasses {
			x.labels = nil // no classes, so nothing to stratify by
		}
	}
	x.found.Block(b)
}

// Finish returns the index once all files are added.
func (x *Indexer) Finish() (dataset.Index, error) {
	all := x.workers[0]
	for _, o := range x.workers[1:] {
		all.merge(o)
	}
	if err := all.failed(); err != nil {
		return dataset.Index{}, err
	}
	names, columns, rows, label := all.columns()
	if rows > 0 && len(names) == 0 {
		return dataset.Index{}, reject.New(reject.NoExamples, "None of the %d rows has a value, so there is nothing to make examples of.", rows)
	}
	if x.chosen && label < 0 {
		return dataset.Index{}, reject.New(reject.UnknownColumn, "There is no column %q for the label, or no row has a value in it. The columns are: %s.", x.wanted, quoteNames(all.allNames()))
	}
	s, classes, err := makeSchema(names, columns, rows, label, x.chosen)
	if err != nil {
		return dataset.Index{}, err
	}
	s.Comma, s.Array = x.schema.Comma, x.schema.Array
	schema, err := json.Marshal(s)
	if err != nil {
		return dataset.Index{}, fmt.Errorf("table: schema: %w", err)
	}
	size := x.bytes / max(1, x.rows)
	for _, f := range s.Fields {
		const frames = 12 // bytes around a key and a value
		size += int64(len(f.Name) + len(f.Missing) + frames)
	}
	return dataset.Index{Classes: classes, Schema: schema, RowBytes: size}, nil
}

// rows returns what dataset.RowReader.Rows does.
func (s *Schema) rows() func(data []byte, row func(start, end int)) {
	switch {
	case s.Comma != "":
		m, split := &marked{comma: s.Comma[0]}, CSV(s.Comma[0])
		return func(data []byte, row func(start, end int)) {
			m.load(data)
			for at := 0; at < len(data); {
				span := m.row(at, split)
				if span.End > span.Start {
					row(span.Start, span.End)
				}
				at = span.Next
			}
		}
	case s.Array:
		return rowsOf(Array)
	}
	return rowsOf(Lines)
}

func rowsOf(split Splitter) func(data []byte, row func(start, end int)) {
	return func(data []byte, row func(start, end int)) {
		for at := 0; at < len(data); {
			span := split(data[at:], true)
			if span.End > span.Start {
				row(at+span.Start, at+span.End)
			}
			at += span.Next
		}
	}
}
