package archive

import (
	"bufio"
	"context"
	"errors"
	"hash"
	"hash/crc32"
	"io"

	"github.com/trainyard/trainyard/services/converter/inflate"
	"github.com/trainyard/trainyard/services/converter/reject"
	"github.com/trainyard/trainyard/services/converter/source"
)

// OpenEntry reads an entry's data from beginning to end, with memory that doesn't grow with its size. Data that don't fit the directory's
// size or checksum give a *reject.File instead of io.EOF.
func OpenEntry(ctx context.Context, src source.Source, e *Entry) (io.ReadCloser, error) {
	start, err := DataOffset(ctx, src, e)
	if err != nil {
		return nil, err
	}
	raw := source.NewReader(ctx, src, start, start+e.Packed)
	s := &entryStream{raw: raw, data: raw, entry: e, left: e.Size}
	if e.Method == ZipDeflated {
		s.inflate = &inflate.Reader{}
		s.inflate.Reset(bufio.NewReaderSize(raw, 1<<18))
		s.data = s.inflate
	}
	if e.Method != Raw {
		s.sum = crc32.NewIEEE()
	}
	return s, nil
}

// DataOffset is where an entry's data begin in the source.
func DataOffset(ctx context.Context, src source.Source, e *Entry) (int64, error) {
	if e.Method == Raw {
		return e.Offset, nil
	}
	const names = 1 << 16
	head := make([]byte, min(e.Extent, localHeaderBytes+2*names))
	if len(head) > 4<<10 {
		head = head[:4<<10]
	}
	if err := src.ReadAt(ctx, head, e.Offset); err != nil {
		return 0, err
	}
	if len(head) >= localHeaderBytes {
		if need := localHeaderBytes + int64(le.Uint16(head[26:])) + int64(le.Uint16(head[28:])); need > int64(len(head)) && need <= e.Extent {
			head = make([]byte, need)
			if err := src.ReadAt(ctx, head, e.Offset); err != nil {
				return 0, err
			}
		}
	}
	start, err := localStart(e, head)
	if err != nil {
		return 0, err
	}
	if e.Extent-start < e.Packed {
		return 0, errBeyond(e)
	}
	return e.Offset + start, nil
}

// entryStream checks what it reads.
type entryStream struct {
	raw     *source.Reader
	inflate *inflate.Reader
	data    io.Reader
	entry   *Entry
	sum     hash.Hash32
	left    int64
	done    error
}

// Read implements io.Reader.
func (s *entryStream) Read(p []byte) (int, error) {
	if s.done != nil || len(p) == 0 {
		return 0, s.done
	}
	if s.left == 0 {
		s.done = s.end()
		return 0, s.done
	}
	n, err := s.data.Read(p[:min(int64(len(p)), s.left)])
	s.left -= int64(n)
	if s.sum != nil {
		s.sum.Write(p[:n])
	}
	if err != nil && s.left > 0 {
		if ended(err) || errors.Is(err, inflate.ErrCorrupt) {
			err = reject.NewFile(s.entry.Path, reject.CorruptEntry, "the entry's compressed data are damaged or shorter than the directory says")
		}
		s.done = err
		return n, err
	}
	return n, nil
}

func (s *entryStream) end() error {
	if s.inflate != nil {
		var more [1]byte
		n, err := s.inflate.Read(more[:])
		switch {
		case n == 0 && errors.Is(err, io.EOF):
		case n == 0 && err != nil && !ended(err) && !errors.Is(err, inflate.ErrCorrupt):
			return err
		default:
			return reject.NewFile(s.entry.Path, reject.CorruptEntry, "the entry's compressed data are damaged or longer than the directory says")
		}
	}
	if s.sum != nil && s.sum.Sum32() != s.entry.CRC32 {
		return reject.NewFile(s.entry.Path, reject.CorruptEntry, "the entry's checksum doesn't match its data")
	}
	return io.EOF
}

// Close implements io.Closer.
func (s *entryStream) Close() error { return s.raw.Close() }

// Unpacked is the most that an upload of so many bytes may unpack to, in bytes.
func (l Limits) Unpacked(packed int64) int64 { return l.maxUnpacked(packed) }
