package parquet

import (
	"bufio"
	"errors"
	"fmt"
	"io"

	"github.com/parquet-go/parquet-go/encoding/thrift"
)

// Limits of a message in Thrift's compact protocol. The library allocates a list before it reads its elements and recurses
// with the nesting, so that a message is walked before it is decoded.
const (
	maxThriftDepth = 32
	// maxThriftItems bounds the elements of all lists of a message. A column chunk has about four of them in the footer, so this is enough
	// for 250,000 chunks, and 128 MB once decoded.
	maxThriftItems = 1 << 20
)

// Types of the compact protocol.
const (
	thriftTrue   = 1
	thriftFalse  = 2
	thriftByte   = 3
	thriftI16    = 4
	thriftI32    = 5
	thriftI64    = 6
	thriftDouble = 7
	thriftBinary = 8
	thriftList   = 9
	thriftSet    = 10
	thriftMap    = 11
	thriftStruct = 12
	thriftUUID   = 13
)

// thriftError is a message that isn't what the protocol says, or is beyond the limits.
type thriftError string

func (e thriftError) Error() string { return string(e) }

const errThriftShort thriftError = "it ends early"

// readThrift reads the struct that begins the next left bytes of in, and appends it to dst. Its lists and its nesting are then known to be within the limits.
// Texts and bytes longer than keep are left out, as if they were empty: the statistics in a page's header may be as long as its values. What remains
// may have most bytes.
func readThrift(dst []byte, in *bufio.Reader, left int64, keep uint64, most int) ([]byte, error) {
	w := thriftWalker{in: in, left: left, keep: keep, most: most, out: dst}
	err := w.fields(0)
	return w.out, err
}

// decodeThrift decodes a message that readThrift has read. Texts in v are parts of b.
func decodeThrift(b []byte, v any) error {
	var protocol thrift.CompactProtocol
	return thrift.NewDecoder(protocol.NewReaderFromBytes(b)).Decode(v)
}

type thriftWalker struct {
	in    *bufio.Reader
	left  int64
	keep  uint64
	most  int
	out   []byte
	items int64
}

// ReadByte implements io.ByteReader.
func (w *thriftWalker) ReadByte() (byte, error) {
	if w.left == 0 {
		return 0, errThriftShort
	}
	b, err := w.in.ReadByte()
	if err != nil {
		return 0, short(err)
	}
	w.left--
	w.out = append(w.out, b)
	return b, w.check()
}

// short is the error of a stream that ends within a message.
func short(err error) error {
	if errors.Is(err, io.EOF) {
		return errThriftShort
	}
	return err
}

func (w *thriftWalker) varint() (uint64, error) {
	var v uint64
	for shift := 0; shift < 64; shift += 7 {
		b, err := w.ReadByte()
		if err != nil {
			return 0, err
		}
		v |= uint64(b&0x7f) << shift
		if b < 0x80 {
			return v, nil
		}
	}
	return 0, thriftError("a number has more than 64 bits")
}

// skip passes n bytes on.
func (w *thriftWalker) skip(n uint64) error {
	if n > uint64(w.left) { //nolint:gosec // never negative
		return errThriftShort
	}
	w.left -= int64(n) //nolint:gosec // at most left
	from := len(w.out)
	w.out = append(w.out, make([]byte, n)...) // at most 16 bytes, or keep
	if err := w.check(); err != nil {
		return err
	}
	_, err := io.ReadFull(w.in, w.out[from:])
	return short(err)
}

func (w *thriftWalker) check() error {
	if len(w.out) > w.most {
		return thriftError(fmt.Sprintf("it has more than %d bytes", w.most))
	}
	return nil
}

// binary passes bytes on, or drops them.
func (w *thriftWalker) binary() error {
	from := len(w.out)
	n, err := w.varint()
	if err != nil {
		return err
	}
	if n <= w.keep {
		return w.skip(n)
	}
	if n > uint64(w.left) { //nolint:gosec // never negative
		return errThriftShort
	}
	w.left -= int64(n) //nolint:gosec // at most left
	w.out = append(w.out[:from], 0)
	for n > 0 {
		m, err := w.in.Discard(int(min(n, 1<<20)))
		if err != nil {
			return short(err)
		}
		n -= uint64(m) //nolint:gosec // never negative
	}
	return nil
}

func (w *thriftWalker) fields(depth int) error {
	for {
		head, err := w.ReadByte()
		if err != nil || head == 0 {
			return err
		}
		if head>>4 == 0 { // the field's number follows
			if _, err := w.varint(); err != nil {
				return err
			}
		}
		if kind := head & 15; kind != thriftTrue && kind != thriftFalse { // a boolean field is all in its type
			if err := w.value(kind, depth+1); err != nil {
				return err
			}
		}
	}
}

func (w *thriftWalker) value(kind byte, depth int) error {
	if depth > maxThriftDepth {
		return thriftError(fmt.Sprintf("it is nested deeper than %d levels", maxThriftDepth))
	}
	switch kind {
	case thriftTrue, thriftFalse, thriftByte:
		return w.skip(1)
	case thriftI16, thriftI32, thriftI64:
		_, err := w.varint()
		return err
	case thriftDouble:
		return w.skip(8)
	case thriftUUID:
		return w.skip(16)
	case thriftBinary:
		return w.binary()
	case thriftList, thriftSet:
		return w.list(depth)
	case thriftMap:
		return w.pairs(depth)
	case thriftStruct:
		return w.fields(depth)
	}
	return thriftError(fmt.Sprintf("there is no type %d", kind))
}

func (w *thriftWalker) list(depth int) error {
	head, err := w.ReadByte()
	if err != nil {
		return err
	}
	n := uint64(head >> 4)
	if n == 15 {
		if n, err = w.varint(); err != nil {
			return err
		}
	}
	if err := w.count(n); err != nil {
		return err
	}
	for range n {
		if err := w.value(head&15, depth+1); err != nil {
			return err
		}
	}
	return nil
}

func (w *thriftWalker) pairs(depth int) error {
	n, err := w.varint()
	if err != nil || n == 0 {
		return err
	}
	kinds, err := w.ReadByte()
	if err != nil {
		return err
	}
	if err := w.count(n); err != nil {
		return err
	}
	for range n {
		if err := w.value(kinds>>4, depth+1); err != nil {
			return err
		}
		if err := w.value(kinds&15, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// count notes the items of a list, each of which takes a byte at least.
func (w *thriftWalker) count(n uint64) error {
	if n > uint64(w.left) { //nolint:gosec // never negative
		return errThriftShort
	}
	if w.items += int64(n); w.items > maxThriftItems { //nolint:gosec // at most left
		return thriftError(fmt.Sprintf("its lists have more than %d items", maxThriftItems))
	}
	return nil
}

// readFull reads exactly len(p) bytes at off.
func readFull(r io.ReaderAt, p []byte, off int64) error {
	n, err := r.ReadAt(p, off)
	if n == len(p) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return err
}
