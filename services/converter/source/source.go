// Package source reads an uploaded object by offset: over HTTP with ranged GETs, or from a file.
//
// The converter never unpacks or copies an upload as a whole; everything it needs is a byte range
// of a Source. An HTTP source needs no AWS credentials, only a function that yields a presigned URL
// (s3:GetObject of the one object, signed by whoever holds the permission).
package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
)

// Source is an immutable object that is read by offset. Implementations are safe for concurrent use.
type Source interface {
	// Size is the object's length in bytes.
	Size() int64
	// ReadAt fills the whole of p from offset off or fails. A range that reaches past the end
	// gives io.ErrUnexpectedEOF.
	ReadAt(ctx context.Context, p []byte, off int64) error
}

// Prefetcher is a Source that is near: once Prefetch has been told of a range, short reads within it cost
// little more than a copy, so that there is no point in reading the range into a buffer first.
type Prefetcher interface {
	Source
	// Prefetch says that n bytes from off will be read soon. It doesn't wait for them.
	Prefetch(off, n int64)
}

// ErrChanged reports that the object is no longer the one that was pinned: it was replaced or
// deleted. Trying again cannot help.
var ErrChanged = errors.New("the source object was replaced or deleted while it was read")

// File is a Source over a file on disk.
type File struct {
	f    *os.File
	size int64
}

// OpenFile opens the named file. The caller closes it.
func OpenFile(name string) (*File, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	st, err := f.Stat()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if !st.Mode().IsRegular() {
		return nil, errors.Join(fmt.Errorf("%s is not a regular file", name), f.Close())
	}
	return &File{f: f, size: st.Size()}, nil
}

// Size implements Source.
func (f *File) Size() int64 { return f.size }

// ReadAt implements Source.
func (f *File) ReadAt(ctx context.Context, p []byte, off int64) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	n, err := f.f.ReadAt(p, off)
	if n == len(p) {
		return nil
	}
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// Close closes the file.
func (f *File) Close() error { return f.f.Close() }
