// Package dataset says what a dataset format is. A format is one package with one type that
// implements Reader, one test that passes it to the conformance suite (package datasettest), and one line in package all.
//
// A Reader works in two steps, which may run on different machines. Index looks at the files, once, and says
// which of them are records and what is known of each before it is read. An Encoder then
// turns one record after another into a tf.train.Example. Everything between the two (chunks,
// order, splits, shards, checksums, limits, the report) is the engine's and the same for all formats.
//
// There are three kinds of records, by what their bytes are:
//   - a file, or a few files that lie side by side (Listener.Record): images, sound;
//   - a row of a file that holds many, cut from it where it lies (Listener.Block, RowReader): lines, framed records;
//   - a row of a file in which rows don't lie in one piece (Listener.Transcode, Transcoder): columns.
//
// What Index learns of a record elsewhere, such as the boxes in a file of annotations, travels with the record as its Meta.
//
// All that a Reader sees comes from strangers. It must not panic, and its memory and time must be
// bounded by the sizes it is given, whatever the bytes are.
package dataset

import (
	"context"
	"encoding/json"
	"io"
	"path"
	"strings"

	"github.com/trainyard/trainyard/services/converter/reject"
)

// Format describes a format to users.
type Format struct {
	Name        string // stable identifier, as in --format
	Title       string
	Description string // what the upload must look like, in a sentence or two
	Extensions  []string
	Example     string // a tree of files, one a line, as `tree` would show a small upload
	Labels      string // what the labels are, in words that fit after "its labels are"; "" if a column can be chosen for them
	RowEach     bool   // each record that is a file has a row of a table, which is kept or left out with it
}

// File is one regular file of the upload. Its path uses slashes, is relative and has been checked.
type File struct {
	Path string
	Size int64
}

// Files are the ordered files of the upload; litter of operating systems is not among them. An upload that is
// no archive but a bare file is the only one, under the name that it was uploaded by.
type Files interface {
	Len() int
	At(i int) File
	// Stream reads a file from its beginning to its end. What doesn't fit the archive's checksum
	// gives a *reject.File instead of io.EOF. Readers read small files in order of their index where they can, because that is the order in the upload.
	Stream(ctx context.Context, i int) (io.ReadCloser, error)
	// Open gives random access to a file and checks it against the archive's checksum first. A packed file is unpacked to
	// scratch disk, so it is for files of which blocks are cut or whose format needs it. It stays open until the plan is made.
	Open(ctx context.Context, i int) (io.ReaderAt, error)
}

// ReadHead returns the first n bytes of a file, or all of it if it is shorter.
func ReadHead(ctx context.Context, files Files, i, n int) ([]byte, error) {
	r, err := files.Stream(ctx, i)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	head := make([]byte, min(int64(n), files.At(i).Size))
	if m, err := io.ReadFull(r, head); err != nil {
		return head[:m], err
	}
	return head, nil
}

// ReadFile reads a whole file of at most limit bytes. A larger one gives a *reject.File.
func ReadFile(ctx context.Context, files Files, i int, limit int64) ([]byte, error) {
	f := files.At(i)
	if f.Size > limit {
		return nil, reject.NewFile(f.Path, reject.TooLarge, "the file has %d bytes; the limit for a file of its kind is %d", f.Size, limit)
	}
	r, err := files.Stream(ctx, i)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	b := make([]byte, f.Size)
	if _, err := io.ReadFull(r, b); err != nil {
		return nil, err
	}
	var end [1]byte                                            // reading to the end is what checks the checksum
	if _, err := r.Read(end[:]); err != nil && err != io.EOF { //nolint:errorlint // io.EOF is never wrapped here
		return nil, err
	}
	return b, nil
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

// SplitNamed tells the split from a folder's or file's name, in the spellings that are in use.
func SplitNamed(name string) Split {
	switch strings.ToLower(name) {
	case "train", "training":
		return Train
	case "validation", "valid", "val", "dev":
		return Validation
	case "test", "testing":
		return Test
	}
	return NoSplit
}

// Record is one example-to-be.
type Record struct {
	File        int    // index into Files
	Parts       int    // how many files, from File on in order, belong to it; 0 and 1: the one
	Key         string // identifies the record within the dataset, however the upload was wrapped
	Label       int    // index into Index.Classes, or -1
	Split       Split  // where the upload itself says so
	Meta        []byte // for the Encoder: what was found of the record in other files, in a form of the format's own
	Annotations int    // how many annotations Meta holds, for the report
}

// Block is a run of whole rows of a file that was opened with Files.Open. Blocks of a file come in order and don't overlap.
// A block should be about BlockBytes long; one row may be more.
type Block struct {
	File     int
	Offset   int64 // in the file's data
	Size     int64 // bytes
	Rows     int
	FirstRow int64   // number of the first row, as it is shown to users
	Labels   []int32 // of each row for stratified splits, -1 where there is none; nil if unknown. Any numbering will do.
	Key      string  // identifies the file within the dataset, however the upload was wrapped
	Split    Split   // where the upload itself says so
	Meta     []byte  // for the Encoder: what other files say of the rows, in a form of the format's own
}

// BlockBytes is how long a block should be.
const BlockBytes = 64 << 10

// MaxRowBytes is the longest row that is accepted.
const MaxRowBytes = 16 << 20

// Index is what is known of a dataset before any record is read.
type Index struct {
	Classes []string        // a label is an index into it; nil if records have no label
	Schema  json.RawMessage // for the Encoder, in a form of the format's own; nil or valid JSON
	// RowBytes is about how long the example of a row will be, of formats that have rows.
	RowBytes int64
}

// Listener receives what Index finds. Records come in any order, each file in at most one. A file of which nothing
// is said is left out as no data of this format.
type Listener interface {
	Record(Record)
	Block(Block)
	// Transcode has the engine run transcode over a file and keep its rows. transcode gives the rows that the Reader's Transcode will give, and
	// may learn from them meanwhile. key and split are as in Block.
	Transcode(ctx context.Context, file int, key string, split Split, transcode Transcode) error
	// Use notes that a file was read for what it says of others.
	Use(file int)
	// LeaveOut notes that a file is no record, and why.
	LeaveOut(file int, reason reject.Reason, message string)
	// LeaveOutRow notes the same of a row, by its line or number.
	LeaveOutRow(file int, row int64, reason reject.Reason, message string)
	// LeaveOutAnnotation notes the same of an annotation; where is its line, number or id, 0 if it has none.
	LeaveOutAnnotation(file int, where int64, reason reject.Reason, message string)
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
	Validation  ValidationMode
	LabelColumn string // the column that holds the label, of formats with columns; "" leaves it to the format
	// TooManyBad tells whether so many bad records of all are more than the user tolerates, for Index where damage hides how many are lost; nil tolerates any.
	TooManyBad func(bad, all int64) bool
	Scratch    string // a folder for what Index can't hold in memory, in files that go with the process; "" is the system's
}

// Match says how well a format fits an upload.
type Match struct {
	Share float64 // of the files that this format would read, 0..1; 0: it doesn't fit
	// Certain says that something was found that only this format has, such as a file of annotations: it comes before any that isn't certain.
	Certain bool
	Why     string // what was looked for or found, in words that fit after "because it holds" and "Looked for:"
}

// Reader reads one dataset format.
type Reader interface {
	Format() Format
	// Detect tells from the files how well the format fits. It looks into a few of them at most.
	Detect(ctx context.Context, files Files) (Match, error)
	// Index finds the records. A *reject.Error says why the upload can't be a dataset of this format.
	Index(ctx context.Context, files Files, opts Options, found Listener) (Index, error)
	// NewEncoder makes an Encoder. The engine makes one for each of its workers.
	NewEncoder(opts Options, index Index) (Encoder, error)
	// Features describes the records' features, which all have been seen in the statistics.
	Features(index Index, stats *Stats) []Feature
}

// RowReader is a Reader that reports blocks.
type RowReader interface {
	Reader
	// Rows returns a function that cuts a block's data to the rows that Index counted in it, in order, and
	// calls row with the bounds of each. It is used by one goroutine at a time.
	Rows(index Index) func(data []byte, row func(start, end int))
}

// Transcoder is a Reader of files whose rows don't lie in one piece. The engine keeps its rows on scratch
// disk for the time of the conversion; every machine that takes part makes the same.
type Transcoder interface {
	Reader
	// Transcode gives the rows of a file that Index gave. The same file gives the same rows.
	Transcode(ctx context.Context, index Index, file File, data io.ReaderAt, rows func(Rows) error) error
}

// Transcode calls rows with all rows of a file, in order, about BlockBytes at a time. rows keeps nothing of its argument.
type Transcode func(ctx context.Context, file File, data io.ReaderAt, rows func(Rows) error) error

// Rows are rows that follow each other, in a form of their format's own.
type Rows struct {
	Data   []byte  // one row behind another; rows may write behind it as far as its capacity goes
	Ends   []int   // where each ends
	Labels []int32 // as in Block.Labels
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
	Path  string // in the archive; of the first part
	Row   int64  // the row's number as shown to users; 0 of a record that isn't a row
	Index int    // of the row within its block, from 0
	Label int    // as Index said; -1 of rows
	Meta  []byte // of the record or of its block
}

// Body is a record's data.
type Body interface {
	// Size is the exact length of the first part or of the row.
	Size() int
	// Fill writes the first part or the row to p, which has Size bytes, and checks it against the archive's
	// checksum. Its errors are to be returned as they are.
	Fill(p []byte) error
	// Bytes returns the first part or the row, checked likewise, without a copy where that can be. They stay until the record is encoded and must not be changed.
	Bytes() ([]byte, error)
	// Parts is how many files the record has.
	Parts() int
	// Part returns one of them: its path and its data, checked likewise, until the next call.
	Part(i int) (path string, data []byte, err error)
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
