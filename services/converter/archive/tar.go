package archive

import (
	"archive/tar"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"strconv"
	"strings"

	"github.com/trainyard/trainyard/services/converter/reject"
	"github.com/trainyard/trainyard/services/converter/source"
)

const tarBlock = 512

// isTarHeader tells whether a block is a tar header by its checksum, which holds for every dialect.
func isTarHeader(b []byte) bool {
	const sumStart, sumEnd = 148, 156
	if len(b) < tarBlock {
		return false
	}
	stated, err := strconv.ParseInt(strings.Trim(string(b[sumStart:sumEnd]), " \x00"), 8, 32)
	if err != nil {
		return false
	}
	var sum int64
	for i, c := range b[:tarBlock] {
		if i >= sumStart && i < sumEnd {
			c = ' '
		}
		sum += int64(c)
	}
	return sum == stated
}

// nearBuffer is how much of a near source is read at a header: a little more than PAX headers need.
const nearBuffer = 16 << 10

// tarFiles collects a tar's files in a few bytes each, because how many there are is known only in the end.
type tarFiles struct {
	paths  *pathArena
	packed []byte // of each file three uvarints: bytes from the end of the one before, size, length of the path
	n      int
	end    int64
}

func (f *tarFiles) add(path string, offset, size int64) error {
	path, err := f.paths.add([]byte(path))
	if err != nil {
		return err
	}
	f.packed = binary.AppendUvarint(f.packed, uint64(offset-f.end)) //nolint:gosec // the reader only moves forward
	f.packed = binary.AppendUvarint(f.packed, uint64(size))         //nolint:gosec // archive/tar refuses negative sizes
	f.packed = binary.AppendUvarint(f.packed, uint64(len(path)))
	f.n, f.end = f.n+1, offset+size
	return nil
}

func (f *tarFiles) entries() []Entry {
	f.paths.seal()
	var offset int64
	next := func() int64 {
		v, n := binary.Uvarint(f.packed)
		f.packed = f.packed[n:]
		return int64(v) //nolint:gosec // written by add
	}
	entries := make([]Entry, f.n)
	blocks, block := f.paths.full, ""
	for i := range entries {
		offset += next()
		size, length := next(), next()
		if block == "" {
			block, blocks = blocks[0], blocks[1:]
		}
		entries[i] = Entry{Path: block[:length], Offset: offset, Extent: size, Packed: size, Size: size, Method: Raw}
		block = block[length:]
		offset += size
	}
	return entries
}

func (l *Listing) listTar(ctx context.Context, src source.Source, limits Limits) error {
	files := tarFiles{paths: newPathArena(limits)}
	if err := l.walkTar(ctx, src, limits, &files); err != nil {
		return err
	}
	l.Entries = files.entries()
	return nil
}

// walkTar walks the headers. archive/tar knows the dialects (ustar, PAX, GNU) and seeks over the
// data; it reads whole blocks and no further, so that after Next the reader stands at the entry's first byte.
func (l *Listing) walkTar(ctx context.Context, src source.Source, limits Limits, files *tarFiles) error {
	var r watched
	if _, near := src.(source.Prefetcher); near {
		r.ReadSeeker = newRangeReader(ctx, src, 0, src.Size(), nearBuffer)
	} else {
		ahead := source.NewReader(ctx, src, 0, src.Size())
		defer ahead.Close()
		r.ReadSeeker = ahead
	}
	t := tar.NewReader(&r)
	for n := 0; ; n++ {
		h, err := t.Next()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil && r.failed() != nil:
			return r.failed()
		case err != nil:
			return corrupt(err, "The tar is damaged or cut short after %d entries.", n)
		case n >= limits.MaxEntries:
			return tooManyEntries(int64(n+1), limits)
		case h.Typeflag == tar.TypeDir, h.Typeflag == tar.TypeXGlobalHeader:
			continue
		}
		path := strings.TrimPrefix(h.Name, "./") // as `tar -C dir .` writes them
		if why := CheckPath(path); why != "" {
			l.Refused.Add(reject.NewFile(path, reject.BadPath, "%s", why))
			continue
		}
		if h.Typeflag == tar.TypeGNUSparse || isPAXSparse(h) {
			l.Refused.Add(reject.NewFile(path, reject.SparseFile, "the file is stored with holes; make the tar without --sparse"))
			continue
		}
		if h.Typeflag != tar.TypeReg {
			l.Refused.Add(reject.NewFile(path, reject.NotARegularFile, "the entry is a link or a device; put the file itself into the archive (`tar -h`)"))
			continue
		}
		offset, err := r.Seek(0, io.SeekCurrent)
		if err != nil {
			return err
		}
		if h.Size > src.Size()-offset {
			return corrupt(nil, "The tar's entry %q reaches beyond the end of the file.", path)
		}
		if err := files.add(path, offset, h.Size); err != nil {
			return err
		}
	}
}

func isPAXSparse(h *tar.Header) bool {
	for key := range h.PAXRecords {
		if strings.HasPrefix(key, "GNU.sparse.") {
			return true
		}
	}
	return false
}
