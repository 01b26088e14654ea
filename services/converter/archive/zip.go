package archive

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"

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
	flagUTF8             = 1 << 11
	unicodePathExtraID   = 0x7075
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
		if at+endBytes+int(le.Uint16(end[20:])) < len(tail) {
			return directory{}, corrupt(nil, "The zip's end is damaged.")
		}
		return directory{}, reject.New(reject.UnsupportedContainer, "The file is %s, which is not read; %s.", partOfZip.name, partOfZip.mend)
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
	if d.count > 0 {
		var magic [4]byte
		if err := src.ReadAt(ctx, magic[:], d.start); err != nil {
			return directory{}, zipDirectoryError(err)
		}
		if string(magic[:]) != centralMagic {
			return directory{}, corrupt(nil, "What the zip calls its directory is none.")
		}
	}
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
	// An entry has about 36 bytes of extra fields and seldom a comment; one alone may have much more.
	const meanEntry, oneEntry = 256, 256 << 10
	if d.count > int64(limits.MaxEntries) || d.size > int64(limits.MaxEntries)*meanEntry+oneEntry {
		return tooManyEntries(d.count, limits)
	}
	if d.count > d.size/centralHeaderBytes {
		return corrupt(nil, "The zip claims %d entries in a directory of %d bytes.", d.count, d.size)
	}
	n := d.count
	if !d.exact && d.size/centralHeaderBytes > 0xffff { // tools that don't know zip64 cut the count to its lowest 16 bits
		if n, err = eachCentral(ctx, src, d, limits, func(*[centralHeaderBytes]byte, []byte, []byte) error { return nil }); err != nil {
			return err
		}
	}
	// Every entry takes part in the overlap check, so folders and refused entries are kept until then.
	all := make([]Entry, 0, n)
	paths := newPathArena(limits)
	n, err = eachCentral(ctx, src, d, limits, func(h *[centralHeaderBytes]byte, name, extra []byte) error {
		e, err := l.parseCentral(h, name, extra, d, paths)
		all = append(all, e)
		return err
	})
	if err != nil {
		return err
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

// eachCentral reads the central directory, calls entry with each header, name and extra field, and returns how many there are.
func eachCentral(ctx context.Context, src source.Source, d directory, limits Limits, entry func(h *[centralHeaderBytes]byte, name, extra []byte) error) (int64, error) {
	const buffer = 4 << 20 // a hundred thousand entries or so in one request
	r := newRangeReader(ctx, src, d.start, d.start+d.size, buffer)
	var n int64
	var header [centralHeaderBytes]byte
	var variable []byte
	for remaining := d.size; remaining > 0; n++ {
		if n >= int64(limits.MaxEntries) {
			return n, tooManyEntries(n+1, limits)
		}
		if _, err := io.ReadFull(r, header[:]); err != nil {
			return n, zipDirectoryError(err)
		}
		if string(header[:4]) != centralMagic {
			return n, corrupt(nil, "Entry %d of the zip's directory is malformed.", n+1)
		}
		nameLen, extraLen, commentLen := int(le.Uint16(header[28:])), int(le.Uint16(header[30:])), int(le.Uint16(header[32:]))
		variable = slices.Grow(variable[:0], nameLen+extraLen+commentLen)[:nameLen+extraLen+commentLen]
		if _, err := io.ReadFull(r, variable); err != nil {
			return n, zipDirectoryError(err)
		}
		remaining -= int64(centralHeaderBytes + len(variable))
		if err := entry(&header, variable[:nameLen], variable[nameLen:nameLen+extraLen]); err != nil {
			return n, err
		}
	}
	return n, nil
}

// dropped marks an entry that only takes part in the overlap check.
const dropped Method = 255

// parseCentral reads one entry of the central directory. An entry that can't be used is noted in
// l.Refused and comes back as dropped; an error means that the whole archive is unsound.
func (l *Listing) parseCentral(h *[centralHeaderBytes]byte, name, extra []byte, d directory, paths *pathArena) (Entry, error) {
	e := Entry{
		Packed: int64(le.Uint32(h[20:])),
		Size:   int64(le.Uint32(h[24:])),
		Offset: int64(le.Uint32(h[42:])),
		CRC32:  le.Uint32(h[16:]),
	}
	path := entryName(name, extra, le.Uint16(h[8:]))
	if err := e.applyZip64(extra); err != nil {
		return e, corrupt(err, "The zip's entry %q lacks its 64-bit sizes.", path)
	}
	limit := d.start - d.base
	if e.Packed < 0 || e.Size < 0 || e.Offset < 0 || e.Offset > limit || e.Packed > limit-e.Offset {
		return e, corrupt(nil, "The zip's entry %q claims to lie outside the file.", path)
	}
	e.Offset += d.base
	e.Extent = localHeaderBytes + int64(len(name)) + e.Packed // at least; see checkOverlap
	if le.Uint16(h[8:])&(flagEncrypted|flagStrongEncryption|flagMaskedHeaders) != 0 {
		return e, reject.New(reject.EncryptedArchive, "The zip is encrypted (entry %q). Upload it without a password.", path)
	}

	refuse := func(r reject.Reason, format string, args ...any) (Entry, error) {
		l.Refused.Add(reject.NewFile(string(path), r, format, args...))
		e.Method = dropped
		return e, nil
	}
	if len(path) > maxPathBytes {
		return refuse(reject.BadPath, "%s", CheckPath(string(path)))
	}
	var err error
	if e.Path, err = paths.add(path); err != nil {
		return e, err
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

// extraField finds an extra field by its id, or returns nil.
func extraField(extra []byte, id uint16) []byte {
	for len(extra) >= 4 {
		size := int(le.Uint16(extra[2:]))
		if size > len(extra)-4 {
			return nil
		}
		if le.Uint16(extra) == id {
			return extra[4 : 4+size]
		}
		extra = extra[4+size:]
	}
	return nil
}

// entryName returns an entry's name in UTF-8 as far as it can be told. Names are in code page 437 unless flagged
// (APPNOTE.TXT, appendix D), or have a second form in Info-ZIP's Unicode Path field (4.6.9), which counts if it was made
// for this very name. Many tools write UTF-8 without a flag, which other text hardly ever looks like.
func entryName(name, extra []byte, flags uint16) []byte {
	if flags&flagUTF8 != 0 {
		return name
	}
	const version, fixed = 1, 5
	if f := extraField(extra, unicodePathExtraID); len(f) > fixed && f[0] == version && le.Uint32(f[1:]) == crc32.ChecksumIEEE(name) {
		return f[fixed:]
	}
	if utf8.Valid(name) {
		return name
	}
	decoded := make([]byte, 0, 2*len(name))
	for _, c := range name {
		decoded = utf8.AppendRune(decoded, charmap.CodePage437.DecodeByte(c))
	}
	return decoded
}

var errNoZip64 = errors.New("the zip64 extra field is missing or too short")

// applyZip64 takes from the zip64 extra field what didn't fit 32 bits.
func (e *Entry) applyZip64(extra []byte) error {
	var field []byte
	for _, v := range []*int64{&e.Size, &e.Packed, &e.Offset} {
		if *v != 0xffffffff {
			continue
		}
		if field == nil {
			field = extraField(extra, zip64ExtraID)
		}
		if len(field) < 8 {
			return errNoZip64
		}
		*v, field = int64(le.Uint64(field)), field[8:] //nolint:gosec // a negative value is refused by the caller
	}
	return nil
}

// checkOverlap sorts the entries by offset, refuses those whose bytes are shared (a bomb quotes one
// piece of data many times) and turns each extent from what header and data take at least to what they may take.
func checkOverlap(all []Entry, d directory) error {
	byOffset := func(a, b Entry) int { return cmp.Compare(a.Offset, b.Offset) }
	if !slices.IsSortedFunc(all, byOffset) {
		slices.SortFunc(all, byOffset) // two at one place overlap, so that their order doesn't matter
	}
	for i := range all {
		e := &all[i]
		next := d.start
		if i+1 < len(all) {
			next = all[i+1].Offset
		}
		if e.Offset+e.Extent > next {
			return reject.New(reject.OverlappingEntries,
				"The zip's entry %q, at byte %d, overlaps what follows it, as only archives made to do harm do. Make the zip anew from the files.", e.Path, e.Offset)
		}
		e.Extent = min(next-e.Offset, e.Extent+maxExtraBytes+maxDescriptorBytes)
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
	start, err := localStart(e, extent)
	if err != nil {
		return nil, err
	}
	if int64(len(extent))-start < e.Packed {
		return nil, errBeyond(e)
	}
	return extent[start : start+e.Packed], nil
}

func errBeyond(e *Entry) error {
	return reject.NewFile(e.Path, reject.CorruptEntry, "the entry's data reach into the next entry")
}

// localStart checks an entry's local header, with which head begins, and returns the offset of the data behind it.
func localStart(e *Entry, head []byte) (int64, error) {
	if len(head) < localHeaderBytes || string(head[:4]) != localMagic {
		return 0, reject.NewFile(e.Path, reject.CorruptEntry, "the zip's directory points to something that is not an entry")
	}
	nameLen, extraLen := int(le.Uint16(head[26:])), int(le.Uint16(head[28:]))
	start := localHeaderBytes + nameLen + extraLen
	if localHeaderBytes+nameLen > len(head) {
		return 0, errBeyond(e)
	}
	method := le.Uint16(head[8:])
	name, extra := head[localHeaderBytes:localHeaderBytes+nameLen], head[localHeaderBytes+nameLen:min(start, len(head))]
	same := (string(name) == e.Path || string(entryName(name, extra, le.Uint16(head[6:]))) == e.Path) &&
		(e.Method == ZipStored && method == 0 || e.Method == ZipDeflated && method == 8)
	if !same {
		return 0, reject.NewFile(e.Path, reject.CorruptEntry, "the entry's own header names another file or method than the zip's directory does")
	}
	return int64(start), nil
}
