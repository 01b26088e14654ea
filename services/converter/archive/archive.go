// Package archive lists and unpacks the containers in which datasets are uploaded: zip (with zip64), tar, a tar
// compressed by gzip, zstd or bzip2, and a bare file, which may be compressed likewise.
//
// The list is made without unpacking anything: a zip's from its central directory, a tar's by one
// pass over its headers. It says where each file's bytes lie, so that any part of the archive can
// then be read by offset, in any order, on any machine. A compressed stream has no offsets; it is
// unpacked once to scratch disk (see Unpack).
//
// Archives come from strangers. Whatever the directory claims is checked before it is believed, and
// memory is bounded by Limits, never by a number in the file. Containers are opened one level deep.
package archive

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/trainyard/trainyard/services/converter/reject"
	"github.com/trainyard/trainyard/services/converter/source"
)

// Kind is a container format.
type Kind string

// The containers that are read.
const (
	Zip      Kind = "zip"
	Tar      Kind = "tar"
	TarGzip  Kind = "tar.gz"
	TarZstd  Kind = "tar.zst"
	TarBzip2 Kind = "tar.bz2"
	Bare     Kind = "file" // no container: the file itself is the data
	Gzip     Kind = "gz"   // one compressed file, as are the two below
	Zstd     Kind = "zst"
	Bzip2    Kind = "bz2"
)

// Unpacked is what Unpack makes of a compressed kind: Tar or Bare. Other kinds stay as they are.
func (k Kind) Unpacked() Kind {
	switch k {
	case TarGzip, TarZstd, TarBzip2:
		return Tar
	case Gzip, Zstd, Bzip2:
		return Bare
	}
	return k
}

// Compressed tells whether a container is a compressed stream, which has to be unpacked before it can be listed.
func (k Kind) Compressed() bool { return k.Unpacked() != k }

// Limits bound what an archive may ask for.
type Limits struct {
	MaxEntries     int   // directory entries, folders included; one costs 56 bytes of memory and its path
	MaxRecordBytes int64 // size of one file that becomes an example; see CheckRecord
	MaxUnpacked    int64 // bytes of all files together, unpacked
}

// DefaultLimits are the limits of a conversion.
var DefaultLimits = Limits{MaxEntries: 2_000_000, MaxRecordBytes: 64 << 20, MaxUnpacked: 16 << 40}

// maxUnpacked is the most that so many bytes of an archive may unpack to: a hundredfold, which
// pictures, sound and tables hardly reach and bombs must exceed, with an allowance for small archives. The
// allowance is also what a bomb costs: the slowest of the decoders takes about a second for it.
func (l Limits) maxUnpacked(packed int64) int64 {
	const ratio, allowance = 100, 256 << 20
	if packed > (l.MaxUnpacked-allowance)/ratio {
		return l.MaxUnpacked
	}
	return min(l.MaxUnpacked, ratio*packed+allowance)
}

// maxPaths is how many bytes all paths of a listing may have together. Single ones may be longer than the mean.
func (l Limits) maxPaths() int64 {
	const mean = 40
	return int64(l.MaxEntries)*mean + pathBlock
}

// CheckRecord returns why a file of so many bytes can't become one example, or nil. A file of rows or of
// annotations isn't one example and may be larger, so that List doesn't ask.
func (l Limits) CheckRecord(path string, size int64) *reject.File {
	if size <= l.MaxRecordBytes {
		return nil
	}
	return reject.NewFile(path, reject.TooLarge, "the file has %d bytes; the limit for one example is %d", size, l.MaxRecordBytes)
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
	Path   string // in UTF-8; passed CheckPath. Paths share their memory: clone one to keep it longer than the Listing
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

// List reads the directory of a zip or a tar. Of a compressed container, Unpack the file and list what it is then.
// A bare file has no directory, and its name isn't in it: see ListBare.
func List(ctx context.Context, src source.Source, kind Kind, limits Limits) (*Listing, error) {
	l := &Listing{Kind: kind}
	var err error
	switch kind {
	case Zip:
		err = l.listZip(ctx, src, limits)
	case Tar:
		err = l.listTar(ctx, src, limits)
	case Bare:
		return ListBare(src, ""), nil
	default:
		err = fmt.Errorf("a container of kind %q has no directory to list", kind)
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
	return l, nil
}

// ListBare lists a bare file: one entry under the name that the file was uploaded by. What can't stand in a path is
// replaced, and the ending that tells the compression goes, because the source is what was unpacked.
func ListBare(src source.Source, name string) *Listing {
	size := src.Size()
	return &Listing{Kind: Bare, Entries: []Entry{{Path: barePath(name), Extent: size, Packed: size, Size: size, Method: Raw}}}
}

const expected = "Upload a .zip, a .tar (plain, .tar.gz, .tar.zst or .tar.bz2) or a single file of data such as .csv, .jsonl, .parquet or .tfrecord (plain, .gz, .zst or .bz2)."

// corrupt is the error for an archive that can't be read to its end.
func corrupt(cause error, format string, args ...any) error {
	e := reject.New(reject.CorruptArchive, format, args...)
	e.Message += " The archive may have been cut short on its way: test it (`unzip -t`, `tar -tf`) and upload it again."
	e.Err = cause
	return e
}

// ended tells whether an error means that the source is shorter than the archive says.
func ended(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) }
