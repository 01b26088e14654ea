package convert

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"iter"
	"math"
	"slices"

	"github.com/cespare/xxhash/v2"

	"github.com/trainyard/trainyard/services/converter/archive"
	"github.com/trainyard/trainyard/services/converter/dataset"
	"github.com/trainyard/trainyard/services/converter/reject"
)

// The planner as what a format's Index talks to: it is the dataset.Files that are read and the dataset.Listener that is told.

// fate is what became of a file.
type fate uint8

const (
	unmentioned fate = iota
	recorded         // is a record, or a part of one
	used             // holds rows, or was read for what it says of others
	leftOut
)

// Len implements dataset.Files.
func (p *planner) Len() int { return len(p.filed) }

// At implements dataset.Files.
func (p *planner) At(i int) dataset.File {
	e := &p.listing.Entries[p.filed[i]]
	return dataset.File{Path: e.Path, Size: e.Size}
}

// Stream implements dataset.Files.
func (p *planner) Stream(ctx context.Context, i int) (io.ReadCloser, error) {
	return p.files.stream(ctx, p.src, &p.listing.Entries[p.filed[i]])
}

// Open implements dataset.Files.
func (p *planner) Open(ctx context.Context, i int) (io.ReaderAt, error) {
	entry := p.filed[i]
	return p.files.open(ctx, p.src, &p.spill, entry, &p.listing.Entries[entry])
}

// settle notes a file's fate. It tells whether the file had none before: a format that speaks twice of a file is at fault.
func (p *planner) settle(file int, f fate) bool {
	before := p.fates[file]
	p.fates[file] = f
	if f == used && before == unmentioned {
		p.used++
	}
	if before != unmentioned && (before != f || f == recorded) {
		p.fail(fmt.Errorf("the format %s disposed twice of %q", p.reader.Format().Name, p.At(file).Path))
		return false
	}
	return before == unmentioned
}

func (p *planner) fail(err error) {
	if p.err == nil {
		p.err = err
	}
}

// Record implements dataset.Listener.
func (p *planner) Record(r dataset.Record) {
	parts := max(1, r.Parts)
	if parts > math.MaxInt16 || r.File+parts > p.Len() {
		p.fail(fmt.Errorf("the format %s made a record of %d files from file %d on", p.reader.Format().Name, parts, r.File))
		return
	}
	p.found.Annotations += int64(r.Annotations)
	p.found.Rows += p.rowsWith
	var size int64
	for i := range parts {
		size += p.At(r.File + i).Size
	}
	if refused := p.opts.Limits.CheckRecord(p.At(r.File).Path, size); refused != nil {
		for i := range parts {
			if p.settle(r.File+i, leftOut) {
				refused.Path = p.At(r.File + i).Path
				p.left.Add(refused)
			}
		}
		p.left.AddOwned(reject.Annotation, p.At(r.File).Path, int64(r.Annotations))
		p.left.AddOwned(reject.Row, p.At(r.File).Path, p.rowsWith)
		return
	}
	for i := range parts {
		p.settle(r.File+i, recorded)
	}
	added := planned{
		entry: p.filed[r.File],
		parts: int16(parts),   //nolint:gosec // checked above
		label: int32(r.Label), //nolint:gosec // an index of classes, which are fewer than files
		split: p.givenSplit(r.Split),
		extra: -1,
		hash:  hashKey(p.opts.Seed, r.Key),
	}
	if len(r.Meta) > 0 || r.Annotations > 0 {
		added.extra = p.addExtra(extra{meta: p.note(r.Meta), annotations: int32(r.Annotations)}) //nolint:gosec // bounded by the size of a file of annotations
	}
	p.records = append(p.records, added)
}

// rowsWith is how many rows of tables belong to a record that is a file.
func rowsWith(r dataset.Reader) int64 {
	if r.Format().RowEach {
		return 1
	}
	return 0
}

func (p *planner) givenSplit(s dataset.Split) int8 {
	split := slices.Index(dataset.Splits[:], s)
	if split >= 0 {
		p.splits[split] = true
	}
	return int8(split) //nolint:gosec // -1 to 2
}

func (p *planner) addExtra(x extra) int32 {
	p.extras = append(p.extras, x)
	return int32(len(p.extras) - 1) //nolint:gosec // as many as files and blocks
}

func (p *planner) note(b []byte) span {
	s, err := p.notes.add(p.scratch, b)
	if err != nil {
		p.fail(err)
	}
	return s
}

// Block implements dataset.Listener.
func (p *planner) Block(b dataset.Block) {
	if b.Rows < 1 || b.Size < 0 || b.Offset < 0 || b.Size > math.MaxInt32 || !p.files.isOpen(p.filed[b.File]) {
		p.fail(fmt.Errorf("the format %s made a block of %d rows in %d bytes of %q", p.reader.Format().Name, b.Rows, b.Size, p.At(b.File).Path))
		return
	}
	if p.fates[b.File] != used {
		p.settle(b.File, used)
	}
	p.addBlock(p.filed[b.File], b)
}

func (p *planner) addBlock(entry int32, b dataset.Block) {
	p.found.Rows += int64(b.Rows)
	x := extra{
		at: span{b.Offset, b.Size}, rows: int32(b.Rows), //nolint:gosec // no more than bytes
		firstRow: b.FirstRow, splits: make([]byte, (b.Rows+3)/4),
	}
	if len(b.Meta) > 0 {
		x.meta = p.note(b.Meta)
	}
	if p.opts.Stratify && len(b.Labels) == b.Rows {
		labels := make([]byte, 0, 4*b.Rows)
		for _, l := range b.Labels {
			labels = binary.LittleEndian.AppendUint32(labels, uint32(l)) //nolint:gosec // read back as it was
		}
		x.labels = p.note(labels)
	}
	p.records = append(p.records, planned{entry: entry, split: p.givenSplit(b.Split), label: -1, extra: p.addExtra(x), hash: xxhash.Sum64String(b.Key)})
}

// Transcode implements dataset.Listener.
func (p *planner) Transcode(ctx context.Context, file int, key string, split dataset.Split, transcode dataset.Transcode) error {
	data, err := p.Open(ctx, file)
	if err != nil {
		return err
	}
	p.settle(file, used)
	entry := p.filed[file]
	b := dataset.Block{File: file, Key: key, Split: split, FirstRow: 1}
	return p.spill.transcode(ctx, transcode, p.At(file), p.files.place[entry], data, func(rows dataset.Rows, off, size int64) {
		b.Offset, b.Size, b.Rows, b.Labels = off, size, len(rows.Ends), rows.Labels
		p.addBlock(entry, b)
		p.files.transcoded(entry)
		b.FirstRow += int64(b.Rows)
	})
}

// Use implements dataset.Listener.
func (p *planner) Use(file int) { p.settle(file, used) }

// LeaveOut implements dataset.Listener.
func (p *planner) LeaveOut(file int, reason reject.Reason, message string) {
	if p.settle(file, leftOut) {
		p.left.Add(reject.NewFile(p.At(file).Path, reason, "%s", message))
	}
}

// LeaveOutRow implements dataset.Listener.
func (p *planner) LeaveOutRow(file int, row int64, reason reject.Reason, message string) {
	p.found.Rows++
	p.left.Add(reject.NewRow(p.At(file).Path, row, reason, "%s", message))
}

// LeaveOutAnnotation implements dataset.Listener.
func (p *planner) LeaveOutAnnotation(file int, where int64, reason reject.Reason, message string) {
	p.found.Annotations++
	f := reject.NewFile(p.At(file).Path, reason, "%s", message)
	f.Kind, f.Where = reject.Annotation, where
	p.left.Add(f)
}

// leaveOutTheRest leaves out every file of which the format said nothing.
func (p *planner) leaveOutTheRest() {
	for i, f := range p.fates {
		if f == unmentioned {
			p.left.Add(reject.NewFile(p.At(i).Path, reject.NotData, "the file has no part in a dataset of the format %s", p.reader.Format().Name))
		}
	}
}

// partsOf are the files of a record.
func (p *planner) partsOf(r *planned) iter.Seq[*archive.Entry] {
	return func(yield func(*archive.Entry) bool) {
		if r.parts == 1 { // nearly always
			yield(&p.listing.Entries[r.entry])
			return
		}
		first, _ := slices.BinarySearch(p.filed, r.entry)
		for _, e := range p.filed[first : first+int(r.parts)] {
			if !yield(&p.listing.Entries[e]) {
				return
			}
		}
	}
}

func (p *planner) lastPart(r *planned) int32 {
	if r.parts == 1 {
		return r.entry
	}
	first, _ := slices.BinarySearch(p.filed, r.entry)
	return p.filed[first+int(r.parts)-1]
}
