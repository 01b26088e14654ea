package coco

import (
	"bufio"
	"cmp"
	"container/heap"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/trainyard/trainyard/services/converter/scratch"
)

// spoolBuffer is how much a spool holds in memory before it writes a sorted run to scratch disk.
const spoolBuffer = 24 << 20

// key is a picture of a file of annotations.
type key struct {
	source int
	image  int64
}

func (k key) compare(o key) int {
	return cmp.Or(cmp.Compare(k.source, o.source), cmp.Compare(k.image, o.image))
}

// spool puts annotations in order of their pictures, and those of a picture in the order they came in. It is an external merge sort: its memory doesn't grow with their number, but
// for a buffer for each run of spoolBuffer bytes.
type spool struct {
	dir  string
	buf  []byte
	refs []ref

	file *os.File // has no name, so that it goes with the process
	size int64
	runs []int64 // where each begins
}

type ref struct {
	key      key
	off, len int32 // in buf
}

func (s *spool) add(k key, payload []byte) error {
	if len(s.buf)+len(payload)+32*len(s.refs) > spoolBuffer && len(s.refs) > 0 {
		if err := s.flush(); err != nil {
			return err
		}
	}
	s.refs = append(s.refs, ref{k, int32(len(s.buf)), int32(len(payload))}) //nolint:gosec // bounded by spoolBuffer and maxElement
	s.buf = append(s.buf, payload...)
	return nil
}

// flush writes what is in memory as a run.
func (s *spool) flush() error {
	if s.file == nil {
		f, err := os.CreateTemp(s.dir, "annotations-")
		if err != nil {
			return scratch.Wrap(err)
		}
		s.file = f
		if err := os.Remove(f.Name()); err != nil {
			return err
		}
	}
	dir := s.dir
	if dir == "" {
		dir = os.TempDir()
	}
	if err := scratch.Check(dir, 2*spoolBuffer); err != nil {
		return err
	}
	s.sort()
	w := bufio.NewWriterSize(s.file, 1<<18)
	s.runs = append(s.runs, s.size)
	var head []byte
	for _, r := range s.refs {
		head = binary.AppendUvarint(head[:0], uint64(r.key.source)) //nolint:gosec // not negative
		head = binary.AppendVarint(head, r.key.image)
		head = binary.AppendUvarint(head, uint64(r.len)) //nolint:gosec // not negative
		s.size += int64(len(head)) + int64(r.len)
		if _, err := w.Write(head); err != nil {
			return scratch.Wrap(err)
		}
		if _, err := w.Write(s.buf[r.off : r.off+r.len]); err != nil {
			return scratch.Wrap(err)
		}
	}
	s.buf, s.refs = s.buf[:0], s.refs[:0]
	return scratch.Wrap(w.Flush())
}

func (s *spool) sort() {
	slices.SortFunc(s.refs, func(a, b ref) int {
		if a.key != b.key {
			return a.key.compare(b.key)
		}
		return cmp.Compare(a.off, b.off) // Of equal keys the one that came first.
	})
}

// each calls yield with everything that was added, in order. The payload is valid until yield returns.
func (s *spool) each(yield func(k key, payload []byte) error) error {
	if len(s.runs) == 0 { // nothing left memory
		s.sort()
		for _, r := range s.refs {
			if err := yield(r.key, s.buf[r.off:r.off+r.len]); err != nil {
				return err
			}
		}
		return nil
	}
	if len(s.refs) > 0 {
		if err := s.flush(); err != nil {
			return err
		}
	}
	s.buf, s.refs = nil, nil
	var runs runHeap
	for i, off := range s.runs {
		end := s.size
		if i+1 < len(s.runs) {
			end = s.runs[i+1]
		}
		r := &runReader{number: i, r: bufio.NewReaderSize(io.NewSectionReader(s.file, off, end-off), 32<<10)}
		if err := r.next(); err != nil {
			return err
		}
		runs = append(runs, r)
	}
	heap.Init(&runs)
	var payload []byte
	for len(runs) > 0 {
		r := runs[0]
		payload = slices.Grow(payload[:0], r.size)[:r.size]
		if _, err := io.ReadFull(r.r, payload); err != nil {
			return err
		}
		if err := yield(r.key, payload); err != nil {
			return err
		}
		switch err := r.next(); {
		case errors.Is(err, io.EOF):
			heap.Pop(&runs)
		case err != nil:
			return err
		default:
			heap.Fix(&runs, 0)
		}
	}
	return nil
}

func (s *spool) close() error {
	if s.file == nil {
		return nil
	}
	return s.file.Close()
}

// runReader reads a run; key and size are of the payload that is next.
type runReader struct {
	number int
	r      *bufio.Reader
	key    key
	size   int
}

// next reads the head of the next payload. io.EOF says that there is none.
func (r *runReader) next() error {
	source, err := binary.ReadUvarint(r.r)
	if err != nil {
		return err
	}
	image, err := binary.ReadVarint(r.r)
	if err != nil {
		return fmt.Errorf("the spool of annotations: %v", err) //nolint:errorlint // an io.EOF here isn't the run's end
	}
	size, err := binary.ReadUvarint(r.r)
	if err != nil {
		return fmt.Errorf("the spool of annotations: %v", err) //nolint:errorlint // as above
	}
	r.key, r.size = key{int(source), image}, int(size) //nolint:gosec // as flush wrote them
	return nil
}

// runHeap has the run with the least key first; of equal keys, that which was written first.
type runHeap []*runReader

func (h runHeap) Len() int { return len(h) }
func (h runHeap) Less(i, j int) bool {
	return cmp.Or(h[i].key.compare(h[j].key), cmp.Compare(h[i].number, h[j].number)) < 0
}
func (h runHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *runHeap) Push(x any)   { *h = append(*h, x.(*runReader)) }

// Pop implements heap.Interface.
func (h *runHeap) Pop() any {
	old := *h
	last := old[len(old)-1]
	*h = old[:len(old)-1]
	return last
}
