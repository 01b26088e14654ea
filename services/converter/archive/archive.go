// Package archive lists and unpacks the containers in which datasets are uploaded: zip (with zip64),
// tar, and gzip around a tar.
//
// The list is made without unpacking anything: a zip's from its central directory, a tar's by one
// pass over its headers. It says where each file's bytes lie, so that any part of the archive can
// then be read by offset, in any order, on any machine. A compressed stream has no offsets; it is
// unpacked once to scratch disk (see Unpack).
//
// Archives come from strangers. Whatever the directory claims is checked before it is believed, and
// memory is bounded by Limits, never by a number in the file.
package archive

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/trainyard/trainyard/services/converter/reject"
	"github.com/trainyard/trainyard/services/converter/source"
)

// Kind is a container format.
type Kind string

// The containers that are read.
const (
	Zip     Kind = "zip"
	Tar     Kind = "tar"
	TarGzip Kind = "tar.gz"
)

// Limits bound what an archive may ask for.
type Limits struct {
	MaxEntries     int   // directory entries, folders included; one costs about 120 bytes of memory
	MaxRecordBytes int64 // size of one file that becomes an example
	MaxUnpacked    int64 // bytes of all files together, unpacked
}

// DefaultLimits are the limits of a conversion.
var DefaultLimits = Limits{MaxEntries: 2_000_000, MaxRecordBytes: 64 << 20, MaxUnpacked: 16 << 40}

// maxUnpacked is the most that an archive of the given size may unpack to: a hundredfold, which
// pictures, sound and tables never reach and bombs must exceed, with an allowance for small archives.
func (l Limits) maxUnpacked(size int64) int64 {
	const ratio, allowance = 100, 1 << 30
	if size > (l.MaxUnpacked-allowance)/ratio {
		return l.MaxUnpacked
	}
	return min(l.MaxUnpacked, ratio*size+allowance)
}

// Method says how an entry's bytes are stored.
type Method uint8

// The methods that can be unpacked.
const (
	Raw         Method = iota // bare bytes, as in a tar
	ZipStored                 // bare bytes behind a zip local header
	ZipDeflated               // deflate behind a zip local header
)

// Entry is one regular file of an archive.
type Entry struct {
	Path   string // as stored; passed CheckPath
	Offset int64  // of the entry in the source: of its local header in a zip, of its data in a tar
	Extent int64  // bytes from Offset within which header and data lie; extents never overlap
	Packed int64  // bytes of the data as stored
	Size   int64  // bytes of the data unpacked
	CRC32  uint32 // IEEE, of the unpacked data; zip only
	Method Method
}

// Listing is what List found.
type Listing struct {
	Kind    Kind
	Entries []Entry     // regular files in order of Offset
	Refused reject.List // entries that can't be used, whatever they hold
}

// Detect finds the container by its magic numbers, never by its name. For a container that isn't
// read, or none at all, the error says so.
func Detect(ctx context.Context, src source.Source) (Kind, error) {
	head := make([]byte, min(src.Size(), tarBlock))
	if err := src.ReadAt(ctx, head, 0); err != nil {
		return "", err
	}
	switch {
	case len(head) == 0:
		return "", reject.New(reject.NotAnArchive, "The file is empty. %s", expected)
	case bytes.HasPrefix(head, []byte("PK\x03\x04")), bytes.HasPrefix(head, []byte("PK\x05\x06")):
		return Zip, nil
	case bytes.HasPrefix(head, []byte("\x1f\x8b")):
		return TarGzip, nil
	case isTarHeader(head):
		return Tar, nil
	}
	// Containers of later issues belong above this line; until then they are at least named.
	for magic, name := range map[string]string{
		"\x28\xb5\x2f\xfd": "zstd", "BZh": "bzip2", "\xfd7zXZ\x00": "xz", "7z\xbc\xaf\x27\x1c": "7-Zip", "Rar!\x1a\x07": "RAR", "PK\x07\x08": "multi-part zip",
	} {
		if bytes.HasPrefix(head, []byte(magic)) {
			return "", reject.New(reject.UnsupportedContainer, "The file is a %s archive, which is not read. %s", name, expected)
		}
	}
	// A zip may have anything in front of it (a self-extractor); what makes it one is at its end.
	if _, err := findDirectory(ctx, src); err == nil {
		return Zip, nil
	} else if !isRejection(err) {
		return "", err
	}
	return "", reject.New(reject.NotAnArchive, "The file is not an archive. %s", expected)
}

const expected = "Upload a .zip, .tar or .tar.gz that holds one folder of images for each class, for example cats/1.jpg and dogs/1.jpg."

func isRejection(err error) bool {
	var r *reject.Error
	return errors.As(err, &r)
}

// List reads the directory of a zip or a tar. For a TarGzip, Unpack first and list the result as a Tar.
func List(ctx context.Context, src source.Source, kind Kind, limits Limits) (*Listing, error) {
	l := &Listing{Kind: kind}
	var err error
	if kind == Zip {
		err = l.listZip(ctx, src, limits)
	} else {
		err = l.listTar(ctx, src, limits)
	}
	if err != nil {
		return nil, err
	}
	if len(l.Entries) == 0 && l.Refused.Total() == 0 {
		return nil, reject.New(reject.EmptyArchive, "The archive holds no files. %s", expected)
	}
	var unpacked int64
	for i := range l.Entries {
		size := l.Entries[i].Size
		if size > limits.maxUnpacked(src.Size())-unpacked {
			return nil, reject.New(reject.ArchiveTooLarge,
				"The archive of %d bytes claims to unpack to more than %d bytes, as only archives made to do harm do. Upload the files themselves with `trainyard push FOLDER`, or store them without compression (`zip -0`).",
				src.Size(), limits.maxUnpacked(src.Size()))
		}
		unpacked += size
	}
	l.refuse(limits)
	return l, nil
}

// refuse drops the entries that are sound as part of the archive but can't be examples.
func (l *Listing) refuse(limits Limits) {
	l.Entries = slices.DeleteFunc(l.Entries, func(e Entry) bool {
		if e.Size > limits.MaxRecordBytes {
			l.Refused.Add(reject.NewFile(e.Path, reject.TooLarge, "the file has %d bytes; the limit is %d", e.Size, limits.MaxRecordBytes))
			return true
		}
		return false
	})
}

// Limits of a path.
const (
	maxPathBytes = 1024
	maxPathDepth = 32
)

// CheckPath returns why a path can't be accepted, or "". Nothing is repaired: a repaired path could
// collide with another one.
func CheckPath(path string) string {
	switch {
	case path == "":
		return "the path is empty"
	case len(path) > maxPathBytes:
		return "the path is longer than 1024 bytes"
	case !utf8.ValidString(path):
		return "the path is not UTF-8; make the archive with UTF-8 names"
	case strings.ContainsFunc(path, func(r rune) bool { return r < 0x20 || r == 0x7f }):
		return "the path holds a control character"
	case strings.Contains(path, `\`):
		return `the path holds a backslash; paths use "/"`
	case strings.HasPrefix(path, "/"), len(path) > 1 && path[1] == ':':
		return "the path is absolute; make the archive with relative paths"
	}
	depth := 0
	for part := range strings.SplitSeq(path, "/") {
		if part == "." || part == ".." {
			return `the path holds "." or ".." as a part`
		}
		if part == "" {
			return "the path has an empty part"
		}
		depth++
	}
	if depth > maxPathDepth {
		return "the path is more than 32 folders deep"
	}
	return ""
}

// corrupt is the error for an archive that can't be read to its end.
func corrupt(cause error, format string, args ...any) error {
	e := reject.New(reject.CorruptArchive, format, args...)
	e.Message += " The archive may have been cut short on its way: test it (`unzip -t`, `tar -tf`) and upload it again."
	e.Err = cause
	return e
}

// ended tells whether an error means that the source is shorter than the archive says.
func ended(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) }
