package shardindex

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/trainyard/trainyard/services/converter/source"
)

const (
	tailBytes = 64 << 10 // read first: of most indexes the whole directory
	listBytes = 64 << 10 // read of a list at once
)

// Index is a shard's index, opened.
type Index struct {
	src       source.Source
	lists     int64 // bytes of all lists
	directory []byte
}

// Open reads an index's directory, by one short read if there aren't many labels. It gives an error that wraps ErrCorrupt for
// what is no index.
func Open(ctx context.Context, src source.Source) (*Index, error) {
	size := src.Size()
	if size < int64(footerBytes) {
		return nil, fmt.Errorf("%w: it has %d bytes", ErrCorrupt, size)
	}
	tail := make([]byte, min(size, tailBytes))
	if err := src.ReadAt(ctx, tail, size-int64(len(tail))); err != nil {
		return nil, err
	}
	tail, footer := tail[:len(tail)-footerBytes], tail[len(tail)-footerBytes:]
	if string(footer[12:]) != magic {
		return nil, fmt.Errorf("%w: it doesn't end as an index does", ErrCorrupt)
	}
	n := binary.LittleEndian.Uint64(footer)
	if n > min(uint64(size)-uint64(footerBytes), maxDirectory) { //nolint:gosec // not below the footer
		return nil, fmt.Errorf("%w: its directory is said to have %d bytes", ErrCorrupt, n)
	}
	lists := size - int64(footerBytes) - int64(n) //nolint:gosec // bounded above
	directory := tail
	if n <= uint64(len(tail)) {
		directory = tail[uint64(len(tail))-n:]
	} else {
		directory = make([]byte, n)
		if err := src.ReadAt(ctx, directory, lists); err != nil {
			return nil, err
		}
	}
	if crc32.Checksum(directory, castagnoli) != binary.LittleEndian.Uint32(footer[8:]) {
		return nil, fmt.Errorf("%w: its directory's checksum doesn't match", ErrCorrupt)
	}
	return &Index{src: src, lists: lists, directory: directory}, nil
}

// find gives a label's list: where it begins, how long it is and how many records it names.
func (x *Index) find(label int) (start, size, count int64, err error) {
	last, at := int64(-1), int64(0)
	for rest := x.directory; len(rest) > 0; {
		var v [3]uint64
		if rest, err = uvarints(rest, v[:]); err != nil {
			return 0, 0, 0, err
		}
		if v[0] == 0 || v[0] > MaxLabel+1 || v[2] > uint64(x.lists-at) { //nolint:gosec // not negative
			return 0, 0, 0, fmt.Errorf("%w: its directory contradicts itself", ErrCorrupt)
		}
		last += int64(v[0]) //nolint:gosec // bounded above
		if last >= int64(label) {
			if last > int64(label) {
				break
			}
			return at, int64(v[2]), int64(v[1]), nil //nolint:gosec // bounded; a count that is none shows nothing
		}
		at += int64(v[2]) //nolint:gosec // bounded above
	}
	return 0, 0, 0, nil
}

// Cursor is how far a label's list was read. The zero value is its beginning.
type Cursor struct {
	At     int64 // bytes of the list
	Index  int64 // after the last record that was read
	Offset int64 // likewise
}

// Read gives the places of up to n records with the label from the cursor on, and the cursor after them; fewer at the end of the list
// alone. The cursor may be a stranger's: what it gives is some posting or an error.
func (x *Index) Read(ctx context.Context, label int, from Cursor, n int) (found []Posting, next Cursor, err error) {
	start, size, _, err := x.find(label)
	if err != nil {
		return nil, from, err
	}
	if from.At < 0 || from.At > size || from.Index < 0 || from.Offset < 0 {
		return nil, from, fmt.Errorf("%w: a cursor of another list", ErrCorrupt)
	}
	next = from
	for len(found) < n && next.At < size {
		part := make([]byte, min(size-next.At, listBytes, int64(n-len(found))*maxPosting))
		if err := x.src.ReadAt(ctx, part, start+next.At); err != nil {
			return nil, from, err
		}
		whole := next.At+int64(len(part)) == size
		for len(found) < n && (len(part) >= maxPosting || whole && len(part) > 0) {
			var v [3]uint64
			rest, err := uvarints(part, v[:])
			if err != nil {
				return nil, from, err
			}
			p := Posting{Index: next.Index + int64(v[0]), Offset: next.Offset + int64(v[1]), Length: int64(v[2])} //nolint:gosec // checked below
			if p.Index < next.Index || p.Offset < next.Offset || p.Length < 0 || p.end() <= p.Offset {
				return nil, from, fmt.Errorf("%w: a list contradicts itself", ErrCorrupt)
			}
			found = append(found, p)
			next = Cursor{At: next.At + int64(len(part)-len(rest)), Index: p.Index + 1, Offset: p.end()}
			part = rest
		}
	}
	return found, next, nil
}

// uvarints decodes numbers from the beginning of b and gives the rest.
func uvarints(b []byte, into []uint64) ([]byte, error) {
	for i := range into {
		v, n := binary.Uvarint(b)
		if n <= 0 {
			return nil, fmt.Errorf("%w: a number is cut short or too long", ErrCorrupt)
		}
		into[i], b = v, b[n:]
	}
	return b, nil
}
