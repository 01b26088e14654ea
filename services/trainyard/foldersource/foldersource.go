// Package foldersource shows a folder as a stored (uncompressed) zip that exists nowhere: its bytes are computed by offset from a
// sorted list of files, so that an upload of it needs no temporary file and resumes at any byte.
//
// The layout depends on names and sizes only. CRC-32s are read from the files when a header is first asked for. Format: PKWARE
// APPNOTE 6.3.10, with zip64 where a size, an offset or the count needs it.
package foldersource

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"time"
)

const (
	localHeaderSize   = 30
	centralHeaderSize = 46
	zip64LocalExtra   = 20 // Header and two sizes.
	zip64CentralExtra = 28 // Header, two sizes, the offset.
	endSize           = 22
	zip64EndSize      = 56
	zip64LocatorSize  = 20
	limit32           = 0xFFFFFFFF
	limit16           = 0xFFFF
	utf8Flag          = 1 << 11
	// 1980-01-01, the earliest that zip can say: real times would make equal folders differ.
	dosDate = 1<<5 | 1
)

type file struct {
	path    string
	name    string // With slashes, below the folder.
	size    int64
	modTime time.Time
	offset  int64 // Of its local header.

	crcOnce sync.Once
	crc     uint32
	crcErr  error
}

// Source is the zip.
type Source struct {
	files       []*file
	centralAt   int64
	centralSize int64
	size        int64
}

// Open lists a folder. Hidden files (a name that begins with a dot) are left out; links are not followed.
func Open(dir string) (*Source, error) {
	s := &Source{}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if path != dir && strings.HasPrefix(entry.Name(), ".") {
			if entry.IsDir() {
				return filepath.SkipDir
			}
			return nil
		}
		if !entry.Type().IsRegular() {
			return nil
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		name = filepath.ToSlash(name)
		if len(name) > limit16 {
			return fmt.Errorf("%s: the name is longer than a zip can hold (65,535 bytes)", path)
		}
		s.files = append(s.files, &file{path: path, name: name, size: info.Size(), modTime: info.ModTime()})
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(s.files) == 0 {
		return nil, fmt.Errorf("%s holds no files; expected a dataset, such as one folder a class with images in it", dir)
	}
	sort.Slice(s.files, func(i, j int) bool { return s.files[i].name < s.files[j].name })
	at := int64(0)
	for _, f := range s.files {
		f.offset = at
		at += f.localSize() + f.size
	}
	s.centralAt = at
	for _, f := range s.files {
		s.centralSize += f.centralSize()
	}
	s.size = s.centralAt + s.centralSize + endSize
	if s.needs64() {
		s.size += zip64EndSize + zip64LocatorSize
	}
	return s, nil
}

// Size is the zip's length in bytes.
func (s *Source) Size() int64 { return s.size }

// Files is how many files it holds.
func (s *Source) Files() int { return len(s.files) }

// ReadAt gives the zip's bytes. It fails when a file was changed since Open. Safe for concurrent use.
func (s *Source) ReadAt(p []byte, off int64) (int, error) {
	n := 0
	for n < len(p) && off < s.size {
		m, err := s.readSome(p[n:], off)
		if err != nil {
			return n, err
		}
		n += m
		off += int64(m)
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// readSome reads up to the end of the piece that off lies in: a local header, a file, or the directory.
func (s *Source) readSome(p []byte, off int64) (int, error) {
	if off >= s.centralAt {
		return s.readDirectory(p, off-s.centralAt)
	}
	f := s.files[sort.Search(len(s.files), func(i int) bool { return s.files[i].offset > off })-1]
	inside := off - f.offset
	if inside < f.localSize() {
		header, err := f.localHeader()
		if err != nil {
			return 0, err
		}
		return copy(p, header[inside:]), nil
	}
	inside -= f.localSize()
	opened, err := f.open()
	if err != nil {
		return 0, err
	}
	defer opened.Close()
	n, err := opened.ReadAt(p[:min(int64(len(p)), f.size-inside)], inside)
	if err != nil {
		return n, fmt.Errorf("%s: %w", f.path, err)
	}
	return n, nil
}

// The directory is made whole each time; it is asked for once or twice in an upload, by its last parts.
func (s *Source) readDirectory(p []byte, off int64) (int, error) {
	directory := make([]byte, 0, s.size-s.centralAt)
	for _, f := range s.files {
		crc, err := f.checksum()
		if err != nil {
			return 0, err
		}
		directory = f.appendCentral(directory, crc)
	}
	return copy(p, s.appendEnd(directory)[off:]), nil
}

func (f *file) large() bool { return f.size >= limit32 }

func (f *file) localSize() int64 {
	n := int64(localHeaderSize + len(f.name))
	if f.large() {
		n += zip64LocalExtra
	}
	return n
}

func (f *file) centralSize() int64 {
	n := int64(centralHeaderSize + len(f.name))
	if f.large() || f.offset >= limit32 {
		n += zip64CentralExtra
	}
	return n
}

func (f *file) open() (*os.File, error) {
	opened, err := os.Open(f.path)
	if err != nil {
		return nil, err
	}
	info, err := opened.Stat()
	if err != nil || info.Size() != f.size || !info.ModTime().Equal(f.modTime) {
		_ = opened.Close()
		return nil, fmt.Errorf("%s was changed during the upload; run the command again", f.path)
	}
	return opened, nil
}

func (f *file) checksum() (uint32, error) {
	f.crcOnce.Do(func() {
		var opened *os.File
		if opened, f.crcErr = f.open(); f.crcErr != nil {
			return
		}
		defer opened.Close()
		sum := crc32.NewIEEE()
		_, f.crcErr = io.Copy(sum, opened)
		f.crc = sum.Sum32()
	})
	return f.crc, f.crcErr
}

func (f *file) localHeader() ([]byte, error) {
	crc, err := f.checksum()
	if err != nil {
		return nil, err
	}
	b := make([]byte, 0, f.localSize())
	b = binary.LittleEndian.AppendUint32(b, 0x04034b50)
	b = f.appendShared(b, crc, f.large())
	b = binary.LittleEndian.AppendUint16(b, uint16(len(f.name))) //nolint:gosec // Checked in Open.
	if !f.large() {
		b = binary.LittleEndian.AppendUint16(b, 0)
		return append(b, f.name...), nil
	}
	b = binary.LittleEndian.AppendUint16(b, zip64LocalExtra)
	b = append(b, f.name...)
	return f.appendSizes64(b, zip64LocalExtra-4), nil
}

// appendShared writes what both headers have in common: version needed to the uncompressed size.
func (f *file) appendShared(b []byte, crc uint32, large bool) []byte {
	version, size := uint16(20), uint32(f.size) //nolint:gosec // Truncated only when large, and then replaced.
	if large {
		version, size = 45, limit32
	}
	b = binary.LittleEndian.AppendUint16(b, version)
	b = binary.LittleEndian.AppendUint16(b, utf8Flag)
	b = binary.LittleEndian.AppendUint16(b, 0) // Stored.
	b = binary.LittleEndian.AppendUint16(b, 0) // Midnight.
	b = binary.LittleEndian.AppendUint16(b, dosDate)
	b = binary.LittleEndian.AppendUint32(b, crc)
	b = binary.LittleEndian.AppendUint32(b, size)
	return binary.LittleEndian.AppendUint32(b, size)
}

func (f *file) appendSizes64(b []byte, length uint16) []byte {
	b = binary.LittleEndian.AppendUint16(b, 1)
	b = binary.LittleEndian.AppendUint16(b, length)
	b = binary.LittleEndian.AppendUint64(b, uint64(f.size))    //nolint:gosec // Never negative.
	return binary.LittleEndian.AppendUint64(b, uint64(f.size)) //nolint:gosec // Never negative.
}

func (f *file) appendCentral(b []byte, crc uint32) []byte {
	with64 := f.large() || f.offset >= limit32
	b = binary.LittleEndian.AppendUint32(b, 0x02014b50)
	b = binary.LittleEndian.AppendUint16(b, 3<<8|45) // Made on Unix.
	b = f.appendShared(b, crc, with64)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(f.name))) //nolint:gosec // Checked in Open.
	offset := uint32(f.offset)                                   //nolint:gosec // Truncated only with64, and then replaced.
	if with64 {
		b = binary.LittleEndian.AppendUint16(b, zip64CentralExtra)
		offset = limit32
	} else {
		b = binary.LittleEndian.AppendUint16(b, 0)
	}
	b = binary.LittleEndian.AppendUint16(b, 0)            // Comment.
	b = binary.LittleEndian.AppendUint16(b, 0)            // Disk.
	b = binary.LittleEndian.AppendUint16(b, 0)            // Internal attributes.
	b = binary.LittleEndian.AppendUint32(b, 0o100644<<16) // A regular file.
	b = binary.LittleEndian.AppendUint32(b, offset)
	b = append(b, f.name...)
	if with64 {
		b = f.appendSizes64(b, zip64CentralExtra-4)
		b = binary.LittleEndian.AppendUint64(b, uint64(f.offset)) //nolint:gosec // Never negative.
	}
	return b
}

func (s *Source) needs64() bool {
	return len(s.files) >= limit16 || s.centralAt >= limit32 || s.centralSize >= limit32
}

func (s *Source) appendEnd(b []byte) []byte {
	count, size, at := uint64(len(s.files)), uint64(s.centralSize), uint64(s.centralAt) //nolint:gosec // Never negative.
	if s.needs64() {
		b = binary.LittleEndian.AppendUint32(b, 0x06064b50)
		b = binary.LittleEndian.AppendUint64(b, zip64EndSize-12)
		b = binary.LittleEndian.AppendUint16(b, 3<<8|45)
		b = binary.LittleEndian.AppendUint16(b, 45)
		b = binary.LittleEndian.AppendUint32(b, 0)
		b = binary.LittleEndian.AppendUint32(b, 0)
		b = binary.LittleEndian.AppendUint64(b, count)
		b = binary.LittleEndian.AppendUint64(b, count)
		b = binary.LittleEndian.AppendUint64(b, size)
		b = binary.LittleEndian.AppendUint64(b, at)
		b = binary.LittleEndian.AppendUint32(b, 0x07064b50)
		b = binary.LittleEndian.AppendUint32(b, 0)
		b = binary.LittleEndian.AppendUint64(b, at+size)
		b = binary.LittleEndian.AppendUint32(b, 1)
	}
	b = binary.LittleEndian.AppendUint32(b, 0x06054b50)
	b = binary.LittleEndian.AppendUint32(b, 0) // Disks.
	b = binary.LittleEndian.AppendUint16(b, uint16(min(count, limit16)))
	b = binary.LittleEndian.AppendUint16(b, uint16(min(count, limit16)))
	b = binary.LittleEndian.AppendUint32(b, uint32(min(size, limit32)))
	b = binary.LittleEndian.AppendUint32(b, uint32(min(at, limit32)))
	return binary.LittleEndian.AppendUint16(b, 0)
}
