// Package dataset says what a dataset format is. A format is one package with one type that
// implements Reader, one test that passes it to the conformance suite (package datasettest), and one line in package all.
//
// A Reader works in two steps, which may run on different machines. Index looks at the list of
// files, once, and says which of them are records and what is known of each before it is read. An Encoder then
// turns one record after another into a tf.train.Example. Everything between the two (chunks,
// order, splits, shards, checksums, limits, the report) is the engine's and the same for all formats.
//
// All that a Reader sees comes from strangers. It must not panic, and its memory and time must be
// bounded by the sizes it is given, whatever the bytes are.
package dataset

import (
	"context"
	"path"
	"strings"

	"github.com/trainyard/trainyard/services/converter/reject"
)

// Format describes a format to users.
type Format struct {
	Name        string // stable identifier, as in --format
	Title       string
	Description string // what the archive must look like, in a sentence or two
	Extensions  []string
}

// File is one regular file of the upload. Its path uses slashes, is relative and has been checked.
type File struct {
	Path string
	Size int64
}

// Files is the ordered list of the upload's files; litter of operating systems is not in it.
type Files interface {
	Len() int
	At(i int) File
}

// Split is the name of a part of the dataset.
type Split string

// The splits. NoSplit leaves the choice to the engine, which draws by hash.
const (
	NoSplit    Split = ""
	Train      Split = "train"
	Validation Split = "validation"
	Test       Split = "test"
)

// Splits are all splits in their order in every listing.
var Splits = [...]Split{Train, Validation, Test}

// Record is one example-to-be.
type Record struct {
	File  int    // index into Files
	Key   string // identifies the record within the dataset, however the upload was wrapped
	Label int    // index into Index.Classes, or -1
	Split Split  // where the upload itself says so
}

// Index is what is known of a dataset before any record is read.
type Index struct {
	Classes []string // sorted; a label is an index into it
}

// Listener receives what Index finds. Records come in any order, each file at most once.
type Listener interface {
	Record(Record)
	// LeaveOut notes that a file is no record, and why.
	LeaveOut(file int, reason reject.Reason, message string)
}

// ValidationMode is how closely records are checked.
type ValidationMode string

// Structure walks a file's structure from beginning to end without decoding it, which finds truncation and
// damage at memory speed. Full decodes as well.
const (
	Structure ValidationMode = "STRUCTURE"
	Full      ValidationMode = "FULL"
)

// Options are the choices that concern formats.
type Options struct {
	Validation ValidationMode
}

// Match says how well a format fits an upload.
type Match struct {
	Share float64 // of the files that this format would read, 0..1; 0: it doesn't fit
	Why   string  // what was looked for and found, for the error message when no format fits
}

// Reader reads one dataset format.
type Reader interface {
	Format() Format
	// Detect tells from the list of files how well the format fits.
	Detect(files Files) Match
	// Index finds the records. A *reject.Error says why the upload can't be a dataset of this format.
	Index(ctx context.Context, files Files, found Listener) (Index, error)
	// NewEncoder makes an Encoder. The engine makes one for each of its workers.
	NewEncoder(opts Options) Encoder
	// Features describes the records' features, which all have been seen in the statistics.
	Features(classes []string, stats *Stats) []Feature
}

// Encoder turns records into examples. It is used by one goroutine at a time.
type Encoder interface {
	// Encode appends the record's tf.train.Example to dst. It returns a *reject.File to leave the record out, in which case
	// what it appended is dropped; the same error with the record's bytes must come each time.
	// It notes in stats what it has seen of a record only when it succeeds.
	Encode(dst []byte, record Item, body Body, stats *Stats) ([]byte, error)
}

// Item is what an Encoder is told of a record.
type Item struct {
	Path  string // in the archive
	Label int
}

// Body is a record's data.
type Body interface {
	// Size is the exact length.
	Size() int
	// Fill writes the data to p, which has Size bytes, and checks them against the archive's
	// checksum. Its errors are to be returned as they are.
	Fill(p []byte) error
}

// IsSystemFile tells whether a file is litter that an operating system or a tool left in the
// archive: anything hidden, macOS's resource forks, thumbnails of Windows.
func IsSystemFile(name string) bool {
	for part := range strings.SplitSeq(name, "/") {
		if strings.HasPrefix(part, ".") || part == "__MACOSX" || part == "@eaDir" {
			return true
		}
	}
	switch strings.ToLower(path.Base(name)) {
	case "thumbs.db", "desktop.ini", "ehthumbs.db":
		return true
	}
	return false
}
