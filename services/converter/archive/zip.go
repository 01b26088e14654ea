package archive

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"io"
	"slices"
	"strings"

	"github.com/trainyard/trainyard/services/converter/reject"
	"github.com/trainyard/trainyard/services/converter/source"
)

// Sizes and marks of APPNOTE.TXT, PKWARE's specification of zip.
const (
	localHeaderBytes     = 30
	centralHeaderBytes   = 46
	endBytes             = 22
	end64Bytes           = 56
	locatorBytes         = 20
	maxCommentBytes      = 65535
	maxExtraBytes        = 65535
	maxDescriptorBytes   = 24
	localMagic           = "PK\x03\x04"
	centralMagic         = "PK\x01\x02"
	endMagic             = "PK\x05\x06"
	end64Magic           = "PK\x06\x06"
	locatorMagic         = "PK\x06\x07"
	zip64ExtraID         = 1
	flagEncrypted        = 1 << 0
	flagStrongEncryption = 1 << 6
	flagMaskedHeaders    = 1 << 13
)

var le = binary.LittleEndian

// directory says where a zip's central directory lies.
type directory struct {
	start, size int64
	base        int64 // bytes in front of the zip proper, to be added to every offset in it
	count       int64
	exact       bool // count isn't cut to 16 bits
}

// findDirectory reads the end of a zip.
func findDirectory(ctx context.Context, src source.Source) (directory, error) {
	tail := make([]byte, min(src.Size(), endBytes+maxCommentBytes+locatorBytes))
	tailStart := src.Size() - int64(len(tail))
	if err := src.ReadAt(ctx, tail, tailStart); err != nil {
		return directory{}, err
	}
	at := len(tail) - endBytes
	for ; at >= 0; at-- {
		if string(tail[at:at+4]) == endMagic && at+endBytes+int(le.Uint16(tail[at+20:])) <= len(tail) {
			break
		}
	}
	if at < 0 {
		return directory{}, corrupt(nil, "The zip has no directory at its end.")
	}
	end := tail[at:]
	if le.Uint16(end[4:]) != 0 && le.Uint16(end[4:]) != 0xffff {
		return directory{}, corrupt(nil, "The file is one part of a zip of several parts; join them first (`zip -s 0`).")
	}
	d := directory{count: int64(le.Uint16(end[10:])), size: int64(le.Uint32(end[12:])), start: int64(le.Uint32(end[16:]))}
	dirEnd := tailStart + int64(at)
	if at >= locatorBytes && string(tail[at-locatorBytes:at-locatorBytes+4]) == locatorMagic {
		stated := int64(le.Uint64(tail[at-locatorBytes+8:])) //nolint:gosec // checked by the read below
		record, recordStart, err := readEnd64(ctx, src, stated, dirEnd-locatorBytes-end64Bytes)
		if err != nil {
			return directory{}, err
		}
		dirEnd = recordStart
		d = directory{exact: true}
		for i, field := range []*int64{&d.count, &d.size, &d.start} {
			v := le.Uint64(record[32+8*i:])
			if v > 1<<62 {
				return directory{}, corrupt(nil, "The zip's directory claims an impossible size.")
			}
			*field = int64(v)
		}
	}
	// The directory ends where the end record begins; what that leaves in front is not part of the zip.
	d.base = dirEnd - d.size - d.start
	if d.size > dirEnd || d.base < 0 {
		return directory{}, corrupt(nil, "The zip's directory reaches beyond the file.")
	}
	d.start += d.base
	return d, nil
}

// readEnd64 reads the zip64 end record where the locator says, or where it must be if something was put in front of the zip.
func readEnd64(ctx context.Context, src source.Source, places ...int64) ([]byte, int64, error) {
	record := make([]byte, end64Bytes)
	for _, at := range places {
		if at < 0 || at > src.Size()-end64Bytes {
			continue
		}
		if err := src.ReadAt(ctx, record, at); err != nil {
			return nil, 0, err
		}
		if string(record[:4]) == end64Magic {
			return record, at, nil
		}
	}
	return nil, 0, corrupt(nil, "The zip's 64-bit directory record is missing.")
}

func (l *Listing) listZip(ctx context.Context, src source.Source, limits Limits) error {
	d, err := findDirectory(ctx, src)
	if err != nil {
		return err
	}
	if d.count > int64(limits.MaxEntries) || d.size > int64(limits.MaxEntries)*(centralHeaderBytes+maxPathBytes) {
		return tooManyEntries(d.count, limits)
	}
	if d.count > d.size/centralHeaderBytes {
		return corrupt(nil, "The zip claims %d entries in a directory of %d bytes.", d.count, d.size)
	}
	r := source.NewReader(ctx, src, d.start, d.start+d.size)
	defer r.Close()

	// Every entry takes part in the overlap check, so folders and refused entries are kept until then.
	all := make([]Entry, 0, d.count)
	var n int64
	var header [centralHeaderBytes]byte
	var variable []byte
	for remaining := d.size; remaining > 0; n++ {
		if n >= int64(limits.MaxEntries) {
			return tooManyEntries(n+1, limits)
		}
		if _, err := io.ReadFull(r, header[:]); err != nil {
			return zipDirectoryError(err)
		}
		if string(header[:4]) != centralMagic {
			return corrupt(nil, "Entry %d of the zip's directory is malformed.", n+1)
		}
		nameLen, extraLen, commentLen := int(le.Uint16(header[28:])), int(le.Uint16(header[30:])), int(le.Uint16(header[32:]))
		variable = slices.Grow(variable[:0], nameLen+extraLen+commentLen)[:nameLen+extraLen+commentLen]
		if _, err := io.ReadFull(r, variable); err != nil {
			return zipDirectoryError(err)
		}
		remaining -= int64(centralHeaderBytes + len(variable))
		e, err := l.parseCentral(&header, variable[:nameLen], variable[nameLen:nameLen+extraLen], d)
		if err != nil {
			return err
		}
		all = append(all, e)
	}
	if n != d.count && (d.exact || n&0xffff != d.count) {
		return corrupt(nil, "The zip's directory holds %d entries but claims %d.", n, d.count)
	}
	if err := checkOverlap(all, d); err != nil {
		return err
	}
	l.Entries = slices.DeleteFunc(all, func(e Entry) bool { return e.Method == dropped })
	return nil
}

// dropped marks an entry that only takes part in the overlap check.
const dropped Method = 255

// parseCentral reads one entry of the central directory. An entry that can't be used is noted in
// l.Refused and comes back as dropped; an error means that the whole archive is unsound.
func (l *Listing) parseCentral(h *[centralHeaderBytes]byte, name, extra []byte, d directory) (Entry, error) {
	e := Entry{
		Path:   string(name),
		Packed: int64(le.Uint32(h[20:])),
		Size:   int64(le.Uint32(h[24:])),
		Offset: int64(le.Uint32(h[42:])),
		CRC32:  le.Uint32(h[16:]),
	}
	if err := e.applyZip64(extra); err != nil {
		return e, err
	}
	limit := d.start - d.base
	if e.Packed < 0 || e.Size < 0 || e.Offset < 0 || e.Offset > limit || e.Packed > limit-e.Offset {
		return e, corrupt(nil, "The zip's entry %q claims to lie outside the file.", e.Path)
	}
	e.Offset += d.base
	if le.Uint16(h[8:])&(flagEncrypted|flagStrongEncryption|flagMaskedHeaders) != 0 {
		return e, reject.New(reject.EncryptedArchive, "The zip is encrypted (entry %q). Upload it without a password.", e.Path)
	}

	refuse := func(r reject.Reason, format string, args ...any) (Entry, error) {
		l.Refused.Add(reject.NewFile(e.Path, r, format, args...))
		e.Method = dropped
		return e, nil
	}
	if strings.HasSuffix(e.Path, "/") && e.Size == 0 { // a folder, which nothing is made of
		e.Method = dropped
		return e, nil
	}
	if why := CheckPath(e.Path); why != "" {
		return refuse(reject.BadPath, "%s", why)
	}
	if made := h[5]; made == 3 || made == 19 { // Unix, macOS: the upper half of the attributes is st_mode
		const typeMask, regular = 0xf000, 0x8000
		if t := le.Uint16(h[40:]) & typeMask; t != 0 && t != regular {
			return refuse(reject.NotARegularFile, "the entry is a link or a device; put the file itself into the archive")
		}
	}
	switch method := le.Uint16(h[10:]); {
	case method == 0 && e.Packed != e.Size:
		return refuse(reject.CorruptEntry, "the entry is stored, but its two sizes differ (%d and %d)", e.Packed, e.Size)
	case method == 0:
		e.Method = ZipStored
	case method == 8:
		e.Method = ZipDeflated
	default:
		return refuse(reject.UnsupportedCompression, "the entry uses compression method %d; use deflate, or store it (`zip -0`)", method)
	}
	return e, nil
}

// applyZip64 takes from the zip64 extra field what didn't fit 32 bits.
func (e *Entry) applyZip64(extra []byte) error {
	wanted := []*int64{&e.Size, &e.Packed, &e.Offset}
	wanted = slices.DeleteFunc(wanted, func(v *int64) bool { return *v != 0xffffffff })
	for len(wanted) > 0 && len(extra) >= 4 {
		id, size := le.Uint16(extra), int(le.Uint16(extra[2:]))
		extra = extra[4:]
		if size > len(extra) {
			break
		}
		if id == zip64ExtraID {
			if size < 8*len(wanted) {
				break
			}
			for i, v := range wanted {
				*v = int64(le.Uint64(extra[8*i:])) //nolint:gosec // a negative value is refused by the caller
			}
			return nil
		}
		extra = extra[size:]
	}
	if len(wanted) > 0 {
		return corrupt(nil, "The zip's entry %q lacks its 64-bit sizes.", e.Path)
	}
	return nil
}

// checkOverlap sorts the entries by offset, refuses those whose bytes are shared (a bomb quotes one
// piece of data many times) and sets each extent to what header and data may take.
func checkOverlap(all []Entry, d directory) error {
	byOffset := func(a, b Entry) int { return cmp.Compare(a.Offset, b.Offset) }
	if !slices.IsSortedFunc(all, byOffset) {
		slices.SortStableFunc(all, byOffset)
	}
	for i := range all {
		e := &all[i]
		next := d.start
		if i+1 < len(all) {
			next = all[i+1].Offset
		}
		if e.Offset+localHeaderBytes+int64(len(e.Path))+e.Packed > next {
			return reject.New(reject.OverlappingEntries,
				"The zip's entry %q overlaps what follows it, as only archives made to do harm do. Make the zip anew from the files.", e.Path)
		}
		e.Extent = min(next-e.Offset, localHeaderBytes+int64(len(e.Path))+maxExtraBytes+e.Packed+maxDescriptorBytes)
	}
	return nil
}

func tooManyEntries(n int64, limits Limits) error {
	return reject.New(reject.TooManyEntries,
		"The archive has %d entries or more; the limit is %d. Split it into several datasets, or pack many small files into fewer.", n, limits.MaxEntries)
}

func zipDirectoryError(err error) error {
	if ended(err) {
		return corrupt(err, "The zip's directory ends in the middle of an entry.")
	}
	return err
}

// localData finds an entry's data within its extent and checks that the local header tells the same
// story as the directory. Readers differ in which of the two they believe; a file on which they disagree is not one file.
func localData(e *Entry, extent []byte) ([]byte, error) {
	if len(extent) < localHeaderBytes || string(extent[:4]) != localMagic {
		return nil, reject.NewFile(e.Path, reject.CorruptEntry, "the zip's directory points to something that is not an entry")
	}
	nameLen, extraLen := int(le.Uint16(extent[26:])), int(le.Uint16(extent[28:]))
	start := localHeaderBytes + nameLen + extraLen
	if int64(len(extent)-start) < e.Packed {
		return nil, reject.NewFile(e.Path, reject.CorruptEntry, "the entry's data reach into the next entry")
	}
	method := le.Uint16(extent[8:])
	same := bytes.Equal(extent[localHeaderBytes:localHeaderBytes+nameLen], []byte(e.Path)) &&
		(e.Method == ZipStored && method == 0 || e.Method == ZipDeflated && method == 8)
	if !same {
		return nil, reject.NewFile(e.Path, reject.CorruptEntry, "the entry's own header names another file or method than the zip's directory does")
	}
	return extent[start : int64(start)+e.Packed], nil
}
