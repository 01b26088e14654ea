package source

import (
	"context"
	"errors"
	"io"
)

// Read-ahead of a Reader: up to depth blocks are in flight, so that it never holds more than
// (depth+1)·maxBlock = 32 MiB. Blocks start small and double while reading goes on in sequence: a
// reader that skips from header to header fetches little that it doesn't want, one that reads everything soon uses ranges of 8 MiB.
const (
	minBlock = 256 << 10
	maxBlock = 8 << 20
	depth    = 3
)

// Reader reads a range of a Source in sequence, fetching ahead. It is not safe for concurrent use.
type Reader struct {
	ctx    context.Context
	cancel context.CancelFunc
	src    Source
	end    int64

	pos   int64    // where the next Read begins
	queue []*block // consecutive blocks in flight; the first one holds pos
	next  int64    // where the block after the queue begins
	size  int64    // and how long it will be
	free  [][]byte
}

type block struct {
	off  int64
	data []byte
	done chan struct{}
	err  error
}

// NewReader reads src from off to end. Close it to stop fetching.
func NewReader(ctx context.Context, src Source, off, end int64) *Reader {
	ctx, cancel := context.WithCancel(ctx)
	return &Reader{ctx: ctx, cancel: cancel, src: src, end: min(end, src.Size()), pos: off, next: off, size: minBlock}
}

// Offset is the position in the source at which the next Read begins.
func (r *Reader) Offset() int64 { return r.pos }

// Read implements io.Reader.
func (r *Reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if r.pos >= r.end {
		return 0, io.EOF
	}
	r.fetch()
	head := r.queue[0]
	<-head.done
	if head.err != nil {
		return 0, head.err
	}
	n := copy(p, head.data[r.pos-head.off:])
	r.moveTo(r.pos + int64(n))
	return n, nil
}

// Seek implements io.Seeker; positions are offsets in the source.
func (r *Reader) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += r.pos
	case io.SeekEnd:
		offset += r.end
	}
	if offset < 0 {
		return 0, errors.New("seek before the beginning of the source")
	}
	r.moveTo(offset)
	return offset, nil
}

// Close stops fetching and waits until nothing is in flight.
func (r *Reader) Close() error {
	r.cancel()
	for _, b := range r.queue {
		<-b.done
	}
	r.queue, r.free = nil, nil
	return nil
}

// moveTo sets the position and drops the blocks that lie before it, or all of them if it is elsewhere.
func (r *Reader) moveTo(pos int64) {
	inQueue := len(r.queue) > 0 && pos >= r.queue[0].off && pos <= r.next
	r.pos = pos
	for len(r.queue) > 0 && (!inQueue || pos >= r.queue[0].off+int64(len(r.queue[0].data))) {
		b := r.queue[0]
		<-b.done
		r.queue = r.queue[1:]
		r.free = append(r.free, b.data[:0])
	}
	if !inQueue {
		r.next, r.size = pos, minBlock
	}
}

// fetch starts blocks until depth of them are in flight. After a jump there is just one until it has been used up, as
// the next jump may be near.
func (r *Reader) fetch() {
	want := depth
	if r.size <= 2*minBlock {
		want = 1
	}
	for len(r.queue) < want && r.next < r.end {
		b := &block{off: r.next, data: r.buffer(min(r.size, r.end-r.next)), done: make(chan struct{})}
		r.next += int64(len(b.data))
		r.size = min(2*r.size, maxBlock)
		r.queue = append(r.queue, b)
		go func() {
			defer close(b.done)
			b.err = r.src.ReadAt(r.ctx, b.data, b.off)
		}()
	}
}

func (r *Reader) buffer(n int64) []byte {
	for len(r.free) > 0 {
		last := r.free[len(r.free)-1]
		r.free = r.free[:len(r.free)-1]
		if int64(cap(last)) >= n {
			return last[:n]
		}
	}
	return make([]byte, n)
}
