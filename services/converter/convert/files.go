package convert

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"sync"

	"github.com/trainyard/trainyard/services/converter/archive"
	"github.com/trainyard/trainyard/services/converter/scratch"
	"github.com/trainyard/trainyard/services/converter/source"
)

// openFiles reads files of the upload while it is planned.
type openFiles struct {
	place map[int32]place // of files that were opened, by entry

	near     *source.Reader // reads small files, which often lie side by side, one after the other
	unpacker archive.Unpacker
	extent   []byte
}

// place says where a file's data lie bare.
type place struct {
	off        int64
	spilled    bool // in the spill instead of the source
	transcoded bool // blocks are of rows in the spill, at offsets in all of it
}

const smallFile = 1 << 20

// stream reads an entry. Small ones are read whole, through one reader that fetches ahead.
func (f *openFiles) stream(ctx context.Context, src source.Source, e *archive.Entry) (io.ReadCloser, error) {
	if e.Size > smallFile || e.Extent > 2*smallFile {
		return archive.OpenEntry(ctx, src, e)
	}
	if f.near == nil {
		f.near = source.NewReader(ctx, src, 0, src.Size())
	}
	if _, err := f.near.Seek(e.Offset, io.SeekStart); err != nil {
		return nil, err
	}
	if int64(cap(f.extent)) < e.Extent {
		f.extent = make([]byte, 2*e.Extent)
	}
	f.extent = f.extent[:e.Extent]
	if _, err := io.ReadFull(f.near, f.extent); err != nil {
		return nil, err
	}
	data := make([]byte, e.Size)
	if err := f.unpacker.Unpack(data, e, f.extent); err != nil {
		return nil, err
	}
	return io.NopCloser(bytes.NewReader(data)), nil
}

// open makes a file readable at any offset: where it lies if it isn't packed, or else from the spill.
func (f *openFiles) open(ctx context.Context, src source.Source, s *spiller, entry int32, e *archive.Entry) (io.ReaderAt, error) {
	at, ok := f.place[entry]
	if !ok {
		switch e.Method {
		case archive.Raw:
			at = place{off: e.Offset}
		case archive.ZipStored:
			off, err := verified(ctx, src, e)
			if err != nil {
				return nil, err
			}
			at = place{off: off}
		case archive.ZipDeflated:
			off, err := s.unpack(ctx, src, *e)
			if err != nil {
				return nil, err
			}
			at = place{off: off, spilled: true}
		}
		if f.place == nil {
			f.place = make(map[int32]place)
		}
		f.place[entry] = at
	}
	if at.spilled {
		return io.NewSectionReader(s.file, at.off, e.Size), nil
	}
	return io.NewSectionReader(readerAt(ctx, src), at.off, e.Size), nil
}

// verified checks a stored entry against its checksum and returns where its data begin.
func verified(ctx context.Context, src source.Source, e *archive.Entry) (int64, error) {
	r, err := archive.OpenEntry(ctx, src, e)
	if err != nil {
		return 0, err
	}
	defer r.Close()
	if _, err := io.Copy(io.Discard, r); err != nil {
		return 0, err
	}
	return archive.DataOffset(ctx, src, e)
}

func (f *openFiles) isOpen(entry int32) bool { _, ok := f.place[entry]; return ok }

func (f *openFiles) transcoded(entry int32) {
	at := f.place[entry]
	at.transcoded = true
	f.place[entry] = at
}

// placeOf says what a block's offset is relative to.
func (f *openFiles) placeOf(entry int32) place {
	at := f.place[entry]
	if at.transcoded {
		return place{spilled: true}
	}
	return at
}

func (f *openFiles) close() error {
	if f.near == nil {
		return nil
	}
	return f.near.Close()
}

// readerAt reads a source at any offset. Of one that is far it fetches blocks and keeps the last few, because parsers read in small pieces.
func readerAt(ctx context.Context, src source.Source) io.ReaderAt {
	if near, ok := src.(source.Prefetcher); ok {
		return nearAt{ctx, near}
	}
	return &farAt{ctx: ctx, src: src}
}

type nearAt struct {
	ctx context.Context //nolint:containedctx // io.ReaderAt has none
	src source.Source
}

// ReadAt implements io.ReaderAt.
func (r nearAt) ReadAt(p []byte, off int64) (int, error) {
	n := max(0, min(int64(len(p)), r.src.Size()-off))
	if err := r.src.ReadAt(r.ctx, p[:n], off); err != nil {
		return 0, err
	}
	if n < int64(len(p)) {
		return int(n), io.EOF
	}
	return int(n), nil
}

const (
	farBlock  = 2 << 20
	farBlocks = 8
)

type farAt struct {
	ctx context.Context //nolint:containedctx // as above
	src source.Source

	mu     sync.Mutex
	blocks []farData // the last used one at the end
}

type farData struct {
	off  int64
	data []byte
}

// ReadAt implements io.ReaderAt.
func (r *farAt) ReadAt(p []byte, off int64) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for n < len(p) {
		if off >= r.src.Size() {
			return n, io.EOF
		}
		b, err := r.block(off / farBlock * farBlock)
		if err != nil {
			return n, err
		}
		c := copy(p[n:], b.data[off-b.off:])
		n, off = n+c, off+int64(c)
	}
	return n, nil
}

func (r *farAt) block(off int64) (farData, error) {
	for i, b := range r.blocks {
		if b.off == off {
			r.blocks = append(append(r.blocks[:i], r.blocks[i+1:]...), b)
			return b, nil
		}
	}
	b := farData{off: off}
	if len(r.blocks) == farBlocks {
		b.data = r.blocks[0].data
		r.blocks = append(r.blocks[:0], r.blocks[1:]...)
	}
	size := min(farBlock, r.src.Size()-off)
	if int64(cap(b.data)) < size {
		b.data = make([]byte, farBlock)
	}
	b.data = b.data[:size]
	if err := r.src.ReadAt(r.ctx, b.data, off); err != nil {
		return b, err
	}
	r.blocks = append(r.blocks, b)
	return b, nil
}

// notes keeps what formats say of records on scratch disk until the plan is written: there may be more of it than memory.
type notes struct {
	file *os.File
	buf  []byte // not yet written
	size int64  // with buf
}

const notesBuffer = 1 << 20

func (n *notes) add(dir string, b []byte) (span, error) {
	if n.file == nil {
		f, err := os.CreateTemp(dir, "notes-")
		if err != nil {
			return span{}, scratch.Wrap(err)
		}
		n.file = f
		if err := os.Remove(f.Name()); err != nil { // it goes with the process
			return span{}, err
		}
	}
	s := span{n.size, int64(len(b))}
	n.buf = append(n.buf, b...)
	n.size += s.len
	if len(n.buf) >= notesBuffer {
		return s, n.flush()
	}
	return s, nil
}

func (n *notes) flush() error {
	_, err := n.file.Write(n.buf)
	n.buf = n.buf[:0]
	return scratch.Wrap(err)
}

func (n *notes) read(dst []byte, s span) ([]byte, error) {
	if s.len == 0 {
		return dst[:0], nil
	}
	if len(n.buf) > 0 {
		if err := n.flush(); err != nil {
			return nil, err
		}
	}
	if int64(cap(dst)) < s.len {
		dst = make([]byte, s.len)
	}
	dst = dst[:s.len]
	_, err := n.file.ReadAt(dst, s.off)
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return dst, err
}

func (n *notes) close() error {
	if n.file == nil {
		return nil
	}
	return n.file.Close()
}
