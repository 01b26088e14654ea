package convert

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"unsafe"

	"github.com/trainyard/trainyard/services/converter/archive"
	"github.com/trainyard/trainyard/services/converter/scratch"
	"github.com/trainyard/trainyard/services/converter/source"
	"github.com/trainyard/trainyard/services/converter/tfrecord"
)

// A plan file is
//
//	the sections of the windows, one after the other
//	the Plan as JSON
//	uint64 length of the JSON, little-endian; 8 bytes planMagic
//
// A section is a sequence of chunks, a chunk
//
//	uvarint offset, size, 1 if it lies in the spill, number of records; then for each record
//	uvarint number of parts; for each part, or the one file of a block (0 parts), an entry:
//	  its path, uvarint offset within the chunk, extent, packed size, size, CRC-32, method
//	of files: uvarint label+1, split, annotations
//	of a block: uvarint rows, number of the first row; the rows' splits, 2 bits each
//	the record's meta
//
// where a path and other bytes have their length before them as a uvarint.
const (
	planMagic   = "tyPlan\x00\x02"
	planTrailer = 8 + len(planMagic)
	maxHeader   = 256 << 20
)

// planWriter writes a plan file.
type planWriter struct {
	file    *os.File
	w       *bufio.Writer
	name    string
	offset  int64
	section []byte // of the window at hand
	scrap   []byte
	done    bool
}

func newPlanWriter(name string) (*planWriter, error) {
	f, err := os.Create(name + ".tmp") //nolint:gosec // a path in our own scratch folder
	if err != nil {
		return nil, scratch.Wrap(err)
	}
	return &planWriter{file: f, w: bufio.NewWriterSize(f, 1<<18), name: name}, nil
}

func (w *planWriter) chunk(c chunk) {
	spilled := int64(0)
	if c.spilled {
		spilled = 1
	}
	w.section = appendUvarints(w.section, c.off, c.size, spilled, int64(c.end-c.first))
}

func (w *planWriter) entry(chunkOff int64, e *archive.Entry) {
	w.bytes([]byte(e.Path))
	w.section = appendUvarints(w.section, e.Offset-chunkOff, e.Extent, e.Packed, e.Size, int64(e.CRC32), int64(e.Method))
}

func (w *planWriter) bytes(b []byte) {
	w.section = binary.AppendUvarint(w.section, uint64(len(b)))
	w.section = append(w.section, b...)
}

// writeRecord adds a record, or a block of rows, to the section at hand.
func (p *planner) writeRecord(w *planWriter, c chunk, record int) (err error) {
	r := &p.records[record]
	w.section = appendUvarints(w.section, int64(r.parts))
	x := &extra{}
	if r.extra >= 0 {
		x = &p.extras[r.extra]
	}
	if r.parts > 0 {
		for e := range p.partsOf(r) {
			w.entry(c.off, e)
		}
		w.section = appendUvarints(w.section, int64(r.label)+1, int64(r.split), int64(x.annotations))
	} else {
		off, size, _ := p.extentOf(record)
		e := archive.Entry{Path: p.entryOf(record).Path, Offset: off, Extent: size, Packed: size, Size: size, Method: archive.Raw}
		w.entry(c.off, &e)
		w.section = appendUvarints(w.section, int64(x.rows), x.firstRow)
		w.bytes(x.splits)
	}
	if w.scrap, err = p.notes.read(w.scrap, x.meta); err != nil {
		return err
	}
	w.bytes(w.scrap)
	return nil
}

// endSection writes the section. A failure to write shows at commit.
func (w *planWriter) endSection(records int64) PlannedWindow {
	p := PlannedWindow{Records: records, Offset: w.offset, Length: int64(len(w.section)), Checksum: tfrecord.MaskedCRC(w.section)}
	w.w.Write(w.section) //nolint:errcheck,gosec // bufio keeps the error for Flush
	w.offset += p.Length
	w.section = w.section[:0]
	return p
}

func (w *planWriter) commit(p *Plan) error {
	header, err := json.Marshal(p)
	if err != nil {
		return err
	}
	trailer := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	for _, b := range [][]byte{header, trailer, []byte(planMagic)} {
		w.w.Write(b) //nolint:errcheck,gosec // as above
	}
	if err := errors.Join(w.w.Flush(), w.file.Close()); err != nil {
		return scratch.Wrap(err)
	}
	if err := os.Rename(w.file.Name(), w.name); err != nil {
		return err
	}
	w.done = true
	f, err := source.OpenFile(w.name)
	if err != nil {
		return err
	}
	p.file, p.path = f, w.name
	return nil
}

// abort removes the file unless it was committed.
func (w *planWriter) abort() error {
	if w.done {
		return nil
	}
	return errors.Join(w.file.Close(), os.Remove(w.file.Name()))
}

func appendUvarints(b []byte, values ...int64) []byte {
	for _, v := range values {
		b = binary.AppendUvarint(b, uint64(v)) //nolint:gosec // none is negative
	}
	return b
}

var errPlanFile = errors.New("the plan file is damaged")

// OpenPlan opens a plan file that was stored somewhere. Only its header is read.
func OpenPlan(ctx context.Context, file source.Source) (*Plan, error) {
	trailer := make([]byte, planTrailer)
	at := file.Size() - int64(planTrailer)
	if at < 0 {
		return nil, errPlanFile
	}
	if err := file.ReadAt(ctx, trailer, at); err != nil {
		return nil, err
	}
	length := binary.LittleEndian.Uint64(trailer)
	if string(trailer[8:]) != planMagic || length > uint64(at) || length > maxHeader {
		return nil, errPlanFile
	}
	header := make([]byte, length)
	if err := file.ReadAt(ctx, header, at-int64(length)); err != nil { //nolint:gosec // at most maxHeader
		return nil, err
	}
	p := &Plan{file: file}
	if err := json.Unmarshal(header, p); err != nil {
		return nil, fmt.Errorf("%w: %w", errPlanFile, err)
	}
	if p.Version != Version {
		return nil, fmt.Errorf("the plan was made by converter version %s; this is version %s, so the upload must be planned again", p.Version, Version)
	}
	return p, nil
}

// taskRecord is a record, or a block of rows, as a worker sees it.
type taskRecord struct {
	entry       archive.Entry   // of the first part
	more        []archive.Entry // of the other parts
	meta        []byte
	label       int32
	annotations int32
	split       int8

	// Of a block:
	rows     int32 // 0: no block
	firstRow int64
	splits   []byte

	source source.Source // where the record lies
	data   []byte        // its extent, while it is in memory
}

// taskChunk is a chunk as a worker sees it.
type taskChunk struct {
	off, size int64
	spilled   bool
	records   []taskRecord
}

// readWindow reads a window's section.
func (p *Plan) readWindow(ctx context.Context, w *PlannedWindow) ([]taskChunk, error) {
	section := make([]byte, w.Length)
	if err := p.file.ReadAt(ctx, section, w.Offset); err != nil {
		return nil, fmt.Errorf("read the plan: %w", err)
	}
	if tfrecord.MaskedCRC(section) != w.Checksum {
		return nil, errPlanFile
	}
	r := sectionReader{b: section}
	all := make([]taskRecord, 0, w.Records)
	var chunks []taskChunk
	for len(r.b) > 0 && !r.bad {
		c := taskChunk{off: r.uvarint(), size: r.uvarint(), spilled: r.uvarint() == 1}
		n := r.uvarint()
		if n > int64(cap(all)-len(all)) {
			return nil, errPlanFile
		}
		first := len(all)
		for range n {
			all = append(all, r.record(c.off))
		}
		c.records = all[first:len(all):len(all)]
		chunks = append(chunks, c)
	}
	if r.bad || int64(len(all)) != w.Records {
		return nil, errPlanFile
	}
	return chunks, nil
}

// sectionReader decodes a section.
type sectionReader struct {
	b   []byte
	bad bool
}

func (r *sectionReader) record(chunkOff int64) (rec taskRecord) {
	parts := r.uvarint()
	rec.entry = r.entry(chunkOff)
	for i := int64(1); i < parts && !r.bad; i++ {
		rec.more = append(rec.more, r.entry(chunkOff))
	}
	if parts > 0 {
		rec.label, rec.split, rec.annotations = int32(r.uvarint()-1), int8(r.uvarint()), int32(r.uvarint()) //nolint:gosec // written from these types
	} else {
		rec.rows, rec.firstRow, rec.label = int32(r.uvarint()), r.uvarint(), -1 //nolint:gosec // as above
		rec.splits = r.bytes()
		if len(rec.splits) != (int(rec.rows)+3)/4 {
			r.bad = true
		}
	}
	rec.meta = r.bytes()
	return rec
}

func (r *sectionReader) entry(chunkOff int64) archive.Entry {
	return archive.Entry{
		Path: r.string(), Offset: chunkOff + r.uvarint(), Extent: r.uvarint(), Packed: r.uvarint(), Size: r.uvarint(),
		CRC32:  uint32(r.uvarint()),         //nolint:gosec // written from a uint32
		Method: archive.Method(r.uvarint()), //nolint:gosec // written from a Method
	}
}

func (r *sectionReader) uvarint() int64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 || v > 1<<62 {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[n:]
	return int64(v)
}

// string shares the section's memory, which nobody changes: a window's paths are many and its metas may be large.
func (r *sectionReader) string() string {
	b := r.bytes()
	return unsafe.String(unsafe.SliceData(b), len(b)) //nolint:gosec // see above
}

func (r *sectionReader) bytes() []byte {
	n := r.uvarint()
	if n > int64(len(r.b)) {
		r.bad, r.b = true, nil
		return nil
	}
	b := r.b[:n:n]
	r.b = r.b[n:]
	return b
}
