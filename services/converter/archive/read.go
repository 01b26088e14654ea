package archive

import (
	"context"
	"errors"
	"io"
	"sync/atomic"

	"github.com/trainyard/trainyard/services/converter/source"
)

// rangeReader reads a range of a source through one buffer, fetching nothing ahead. Compared with a
// source.Reader it takes little memory, and of a source that is near it reads little that nobody wants.
type rangeReader struct {
	ctx      context.Context
	src      source.Source
	pos, end int64
	buf      []byte // its length is what it holds
	off      int64  // of buf in the source
}

func newRangeReader(ctx context.Context, src source.Source, off, end, buffer int64) *rangeReader {
	return &rangeReader{ctx: ctx, src: src, pos: off, end: end, buf: make([]byte, 0, min(buffer, end-off))}
}

// Read implements io.Reader.
func (r *rangeReader) Read(p []byte) (int, error) {
	if r.pos >= r.end {
		return 0, io.EOF
	}
	if r.pos < r.off || r.pos >= r.off+int64(len(r.buf)) {
		r.off, r.buf = r.pos, r.buf[:min(int64(cap(r.buf)), r.end-r.pos)]
		if err := r.src.ReadAt(r.ctx, r.buf, r.off); err != nil {
			r.buf = r.buf[:0]
			return 0, err
		}
	}
	n := copy(p, r.buf[r.pos-r.off:])
	r.pos += int64(n)
	return n, nil
}

// Seek implements io.Seeker; positions are offsets in the source.
func (r *rangeReader) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += r.pos
	case io.SeekEnd:
		offset += r.end
	}
	if offset < 0 {
		return 0, errors.New("seek before the beginning of the source")
	}
	r.pos = offset
	return offset, nil
}

// watched counts what is read from a source and remembers whether reading failed: if it didn't, an error of the parser above
// means that the data are damaged. Decoders may read in a goroutine of their own.
type watched struct {
	io.ReadSeeker
	n       atomic.Int64
	failure atomic.Pointer[error]
}

// Read implements io.Reader.
func (w *watched) Read(p []byte) (int, error) {
	n, err := w.ReadSeeker.Read(p)
	w.n.Add(int64(n))
	if err != nil && !errors.Is(err, io.EOF) {
		w.failure.Store(&err)
	}
	return n, err
}

// failed returns why the source couldn't be read, or nil.
func (w *watched) failed() error {
	if err := w.failure.Load(); err != nil {
		return *err
	}
	return nil
}
