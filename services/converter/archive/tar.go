package archive

import (
	"archive/tar"
	"context"
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

// listTar walks the headers. archive/tar knows the dialects (ustar, PAX, GNU) and seeks over the
// data; it reads whole blocks and no further, so that after Next the reader stands at the entry's first byte.
func (l *Listing) listTar(ctx context.Context, src source.Source, limits Limits) error {
	r := source.NewReader(ctx, src, 0, src.Size())
	defer r.Close()
	t := tar.NewReader(r)
	for n := 0; ; n++ {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if errors.Is(err, tar.ErrHeader) || ended(err) {
			return corrupt(err, "The tar is damaged or cut short after %d entries.", n)
		}
		if err != nil {
			return err
		}
		if n >= limits.MaxEntries {
			return tooManyEntries(int64(n+1), limits)
		}
		if h.Typeflag == tar.TypeDir || h.Typeflag == tar.TypeXGlobalHeader {
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
		offset := r.Offset()
		if h.Size > src.Size()-offset {
			return corrupt(nil, "The tar's entry %q reaches beyond the end of the file.", path)
		}
		l.Entries = append(l.Entries, Entry{Path: path, Offset: offset, Extent: h.Size, Packed: h.Size, Size: h.Size, Method: Raw})
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
