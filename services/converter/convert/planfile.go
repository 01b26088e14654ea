package convert

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"

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
//	uvarint offset, size, number of records; then for each record
//	uvarint length of its path, the path, offset within the chunk, extent, packed size, size, CRC-32, method, label+1, split
const (
	planMagic   = "tyPlan\x00\x01"
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
	done    bool
}

func newPlanWriter(name string) (*planWriter, error) {
	f, err := os.Create(name + ".tmp") //nolint:gosec // a path in our own scratch folder
	if err != nil {
		return nil, scratch.Wrap(err)
	}
	return &planWriter{file: f, w: bufio.NewWriterSize(f, 1<<18), name: name}, nil
}

func (w *planWriter) chunk(off, size int64, records int) {
	w.section = appendUvarints(w.section, off, size, int64(records))
}

func (w *planWriter) record(chunkOff int64, e *archive.Entry, r planned) {
	w.section = binary.AppendUvarint(w.section, uint64(len(e.Path)))
	w.section = append(w.section, e.Path...)
	w.section = appendUvarints(w.section, e.Offset-chunkOff, e.Extent, e.Packed, e.Size, int64(e.CRC32), int64(e.Method), int64(r.label)+1, int64(r.split))
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

// taskRecord is a record as a worker sees it.
type taskRecord struct {
	entry archive.Entry // Offset is relative to the chunk
	label int32
	split int8
}

// taskChunk is a chunk as a worker sees it.
type taskChunk struct {
	off, size int64
	records   []taskRecord
	data      []byte // within the window's buffer, while that is held
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
	r := sectionReader{b: section, text: string(section)}
	all := make([]taskRecord, 0, w.Records)
	var chunks []taskChunk
	for len(r.b) > 0 && !r.bad {
		c := taskChunk{off: r.uvarint(), size: r.uvarint()}
		n := r.uvarint()
		if n > int64(cap(all)-len(all)) {
			return nil, errPlanFile
		}
		first := len(all)
		for range n {
			rec := taskRecord{entry: archive.Entry{
				Path: r.string(), Offset: r.uvarint(), Extent: r.uvarint(), Packed: r.uvarint(), Size: r.uvarint(),
				CRC32:  uint32(r.uvarint()),         //nolint:gosec // written from a uint32
				Method: archive.Method(r.uvarint()), //nolint:gosec // written from a Method
			}, label: int32(r.uvarint() - 1), split: int8(r.uvarint())} //nolint:gosec // written from these types
			all = append(all, rec)
		}
		c.records = all[first:len(all):len(all)]
		chunks = append(chunks, c)
	}
	if r.bad || int64(len(all)) != w.Records {
		return nil, errPlanFile
	}
	return chunks, nil
}

// sectionReader decodes a section. Paths are cut from one string instead of allocated one by one.
type sectionReader struct {
	b    []byte
	text string
	bad  bool
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

func (r *sectionReader) string() string {
	n := r.uvarint()
	if n > int64(len(r.b)) {
		r.bad, r.b = true, nil
		return ""
	}
	start := len(r.text) - len(r.b)
	r.b = r.b[n:]
	return r.text[start : start+int(n)]
}
