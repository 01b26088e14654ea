//go:build amd64 || arm64

package source

import (
	"cmp"
	"context"
	"errors"
	"io"
	"os"
	"runtime/debug"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// mapping is a file in memory.
type mapping struct {
	once sync.Once
	data []byte
	err  error
}

// View implements Viewer. The whole file is mapped once, which takes addresses but no memory.
func (f *File) View(off, n int64) ([]byte, error) {
	if off < 0 || n < 0 || off > f.size-n {
		return nil, io.ErrUnexpectedEOF
	}
	f.mapping.once.Do(func() {
		if f.size > 0 {
			f.mapping.data, f.mapping.err = unix.Mmap(int(f.f.Fd()), 0, int(f.size), unix.PROT_READ, unix.MAP_SHARED)
		}
	})
	if f.mapping.err != nil {
		return nil, f.mapping.err
	}
	view := f.mapping.data[off : off+n : off+n]
	// It is advice: one fault for each few pages costs more, and an error of reading shows when the page is looked at.
	f.Prefetch(off, n)
	_ = unix.Madvise(f.pages(view, 0), unix.MADV_POPULATE_READ)
	return view, nil
}

// Forget implements Viewer.
func (f *File) Forget(view []byte) error {
	_ = unix.Madvise(f.pages(view, around), unix.MADV_DONTNEED) // as above
	// What lies between the end of a file and the end of its last page reads as zeros.
	st, err := f.f.Stat()
	if err == nil && st.Size() != f.size {
		err = ErrChanged
	}
	return err
}

// around is how many bytes the kernel maps at a fault, by default: neighbours of the page that are in memory.
const around = 64 << 10

// pages returns the pages of a view, and of so many bytes before and behind it.
func (f *File) pages(view []byte, more int) []byte {
	if len(view) == 0 {
		return nil
	}
	start := f.offset(uintptr(unsafe.Pointer(unsafe.SliceData(view)))) //nolint:gosec // to compare with where the mapping begins
	end := min(start+len(view)+more, len(f.mapping.data))
	return f.mapping.data[max(0, start-more)&^(os.Getpagesize()-1) : end]
}

// offset says where in the file an address of its mapping is; anywhere else it is out of range.
func (f *File) offset(at uintptr) int {
	return int(at - uintptr(unsafe.Pointer(unsafe.SliceData(f.mapping.data)))) //nolint:gosec // as above
}

// Guard implements Viewer.
func (f *File) Guard(look func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		p := recover()
		if p == nil {
			return
		}
		fault, ok := p.(interface{ Addr() uintptr })
		if !ok {
			panic(p)
		}
		at := f.offset(fault.Addr())
		if at < 0 || at >= len(f.mapping.data) {
			panic(p)
		}
		// Reading the same place says what it was.
		if err = f.ReadAt(context.Background(), make([]byte, 1), int64(at)); errors.Is(err, io.ErrUnexpectedEOF) {
			err = nil
		}
		err = cmp.Or(err, ErrChanged)
	}()
	return look()
}

func (f *File) unmap() error {
	if f.mapping.data == nil {
		return nil
	}
	return unix.Munmap(f.mapping.data)
}
