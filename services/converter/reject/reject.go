// Package reject names every way in which an upload, or one file of it, can be refused.
//
// There are two levels. An *Error ends the conversion: the upload as a whole cannot become a
// dataset. A *File leaves out one file and the conversion goes on; the file appears in report.json.
// Both carry a Reason for programs and a sentence for people that says what was found, what was
// expected and how to mend it. Anything else that goes wrong (a network, a full disk) is an ordinary
// error: it says nothing about the upload and may be tried again.
package reject

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"
)

// Reason is a stable code. Reasons appear in report.json, in a version's error and in ErrorInfo.
type Reason string

// Reasons that end a conversion.
const (
	NotAnArchive         Reason = "NOT_AN_ARCHIVE"
	UnsupportedContainer Reason = "UNSUPPORTED_CONTAINER"
	EmptyArchive         Reason = "EMPTY_ARCHIVE"
	CorruptArchive       Reason = "CORRUPT_ARCHIVE"
	EncryptedArchive     Reason = "ENCRYPTED_ARCHIVE"
	OverlappingEntries   Reason = "OVERLAPPING_ENTRIES"
	ArchiveTooLarge      Reason = "ARCHIVE_TOO_LARGE"
	TooManyEntries       Reason = "TOO_MANY_ENTRIES"
	UnknownFormat        Reason = "UNKNOWN_FORMAT"
	TooFewClasses        Reason = "TOO_FEW_CLASSES"
	DuplicateClasses     Reason = "DUPLICATE_CLASSES"
	InvalidClassName     Reason = "INVALID_CLASS_NAME"
	TooManyClasses       Reason = "TOO_MANY_CLASSES"
	TooManyBadFiles      Reason = "TOO_MANY_BAD_FILES"
	NoExamples           Reason = "NO_EXAMPLES"
	InvalidOptions       Reason = "INVALID_OPTIONS"
	UnsupportedEncoding  Reason = "UNSUPPORTED_ENCODING" // text that isn't UTF-8
	MalformedTable       Reason = "MALFORMED_TABLE"
	DifferentColumns     Reason = "DIFFERENT_COLUMNS" // between files of one dataset
	UnknownColumn        Reason = "UNKNOWN_COLUMN"
	NoImageTable         Reason = "NO_IMAGE_TABLE"
	DuplicateColumns     Reason = "DUPLICATE_COLUMNS"
	CorruptParquet       Reason = "CORRUPT_PARQUET"
	UnsupportedParquet   Reason = "UNSUPPORTED_PARQUET"
)

// Reasons that leave out one file.
const (
	BadPath                Reason = "BAD_PATH"
	DuplicatePath          Reason = "DUPLICATE_PATH"
	NotARegularFile        Reason = "NOT_A_REGULAR_FILE"
	SparseFile             Reason = "SPARSE_FILE"
	NestedArchive          Reason = "NESTED_ARCHIVE"
	UnsupportedCompression Reason = "UNSUPPORTED_COMPRESSION"
	CorruptEntry           Reason = "CORRUPT_ENTRY"
	EmptyFile              Reason = "EMPTY_FILE"
	TooLarge               Reason = "TOO_LARGE"
	NoClassFolder          Reason = "NO_CLASS_FOLDER"
	UnsupportedImage       Reason = "UNSUPPORTED_IMAGE"
	TooManyPixels          Reason = "TOO_MANY_PIXELS"
	TruncatedImage         Reason = "TRUNCATED_IMAGE"
	MalformedImage         Reason = "MALFORMED_IMAGE"
	UnsupportedAudio       Reason = "UNSUPPORTED_AUDIO"
	TruncatedAudio         Reason = "TRUNCATED_AUDIO"
	MalformedAudio         Reason = "MALFORMED_AUDIO"
	TooLong                Reason = "TOO_LONG"
	MalformedRow           Reason = "MALFORMED_ROW"
	InvalidText            Reason = "INVALID_TEXT"
	TooManyColumns         Reason = "TOO_MANY_COLUMNS"
	TooDeep                Reason = "TOO_DEEP"
	MissingLabel           Reason = "MISSING_LABEL"
	DuplicateRow           Reason = "DUPLICATE_ROW"
	MissingValue           Reason = "MISSING_VALUE"

	MalformedFile   Reason = "MALFORMED_FILE"
	DuplicateFile   Reason = "DUPLICATE_FILE"
	MissingPart     Reason = "MISSING_PART"    // of what makes an example: a file of labels, a member of a sample
	DifferentShape  Reason = "DIFFERENT_SHAPE" // from the dataset's other records
	CorruptRecord   Reason = "CORRUPT_RECORD"  // a checksum that doesn't match, or data behind it that can't be read
	LabelOutOfRange Reason = "LABEL_OUT_OF_RANGE"

	NoAnnotation    Reason = "NO_ANNOTATION"    // of a picture in a dataset of pictures with boxes
	MissingImage    Reason = "MISSING_IMAGE"    // that annotations are of
	AmbiguousImage  Reason = "AMBIGUOUS_IMAGE"  // several pictures may be the one meant
	UnknownCategory Reason = "UNKNOWN_CATEGORY" // of an annotation
	InvalidBox      Reason = "INVALID_BOX"      // without an area, or outside of the picture
	SizeMismatch    Reason = "SIZE_MISMATCH"    // between a picture and what its annotations say of it

	OwnerLeftOut Reason = "OWNER_LEFT_OUT" // of annotations and rows: their picture, which counts itself, was left out

	// SystemFile and NotData are left out without being held against the upload; see Counts.
	SystemFile Reason = "SYSTEM_FILE"
	NotData    Reason = "NOT_DATA"
	NotInTable Reason = "NOT_IN_TABLE" // an image of which no table of labels says anything
)

// Counts tells whether a file left out for this reason counts as bad, that is, towards
// max_bad_fraction. Litter of operating systems and files that never meant to be data (a README, a
// licence) are listed in the report but don't count, nor does what was left out with a file that does.
func (r Reason) Counts() bool {
	return r != SystemFile && r != NotData && r != NotInTable && r != OwnerLeftOut
}

// Error ends a conversion.
type Error struct {
	Reason  Reason
	Message string // what was found, what was expected, how to mend it
	Files   List   // the files to blame, where there are any
	Err     error  // the cause, for the log; never shown to the user
}

// New makes an Error with a formatted message.
func New(r Reason, format string, args ...any) *Error {
	return &Error{Reason: r, Message: fmt.Sprintf(format, args...)}
}

func (e *Error) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("%s: %s: %v", e.Reason, e.Message, e.Err)
	}
	return fmt.Sprintf("%s: %s", e.Reason, e.Message)
}

func (e *Error) Unwrap() error { return e.Err }

// Kind says what was left out.
type Kind string

// The kinds. A file is the default and not written out.
const (
	WholeFile  Kind = ""
	Row        Kind = "row"
	Annotation Kind = "annotation"
)

// File is one file left out, or a row or an annotation of it. As an error it is returned by whatever looked at the file.
type File struct {
	Path    string `json:"path"`
	Kind    Kind   `json:"kind,omitempty"`
	Where   int64  `json:"where,omitempty"` // line, number or id of a row or an annotation
	Reason  Reason `json:"reason"`
	Message string `json:"message"`
}

// NewFile makes a File with a formatted message. The path is made printable, because it may be the
// very thing that is wrong.
func NewFile(path string, r Reason, format string, args ...any) *File {
	return &File{Path: printable(path), Reason: r, Message: fmt.Sprintf(format, args...)}
}

// NewRow makes a File for a row.
func NewRow(path string, row int64, r Reason, format string, args ...any) *File {
	f := NewFile(path, r, format, args...)
	f.Kind, f.Where = Row, row
	return f
}

func (f *File) Error() string {
	if f.Kind != WholeFile {
		return fmt.Sprintf("%s: %s %d: %s: %s", f.Path, f.Kind, f.Where, f.Reason, f.Message)
	}
	return fmt.Sprintf("%s: %s: %s", f.Path, f.Reason, f.Message)
}

// maxPath is how much of a path a report shows; longer ones are refused as BadPath anyway.
const maxPath = 1024

func printable(path string) string {
	path = strings.ToValidUTF8(path, "\uFFFD")
	if len(path) <= maxPath {
		return path
	}
	cut := maxPath
	for !utf8.RuneStart(path[cut]) {
		cut--
	}
	return path[:cut] + "…"
}

// MaxListed is how many files a List names; beyond that it only counts.
const MaxListed = 10_000

// Counts are numbers by reason.
type Counts map[Reason]int64

func (c *Counts) add(r Reason, n int64) {
	if *c == nil {
		*c = make(Counts)
	}
	(*c)[r] += n
}

// Total counts all.
func (c Counts) Total() int64 {
	var n int64
	for _, v := range c {
		n += v
	}
	return n
}

// Bad counts those whose reason Counts.
func (c Counts) Bad() int64 {
	var n int64
	for r, v := range c {
		if r.Counts() {
			n += v
		}
	}
	return n
}

// List is what was left out: all of it counted by reason, the first MaxListed named.
// Its memory is bounded whatever the upload. The zero value is ready to use.
type List struct {
	Files       []File `json:"files,omitempty"` // and rows and annotations
	Owned       []File `json:"owned,omitempty"` // rows and annotations that went with a file: they are listed as far as Files leaves room
	Counts      Counts `json:"counts,omitempty"`
	Rows        Counts `json:"rows,omitempty"`
	Annotations Counts `json:"annotations,omitempty"`
}

func (l *List) counts(k Kind) *Counts {
	switch k {
	case Row:
		return &l.Rows
	case Annotation:
		return &l.Annotations
	case WholeFile:
	}
	return &l.Counts
}

// Add notes one file, row or annotation.
func (l *List) Add(f *File) {
	l.counts(f.Kind).add(f.Reason, 1)
	if len(l.Files) < MaxListed {
		l.Files = append(l.Files, *f)
	}
}

// AddOwned notes the n rows or annotations of a file that was left out.
func (l *List) AddOwned(k Kind, owner string, n int64) {
	if n <= 0 {
		return
	}
	l.counts(k).add(OwnerLeftOut, n)
	for i := int64(1); i <= n && len(l.Owned) < MaxListed; i++ {
		f := NewFile(owner, OwnerLeftOut, "it is of a file that was left out")
		if f.Kind = k; n > 1 || k == Annotation {
			f.Where = i
			f.Message = fmt.Sprintf("number %d of the %d that the file has, which was left out", i, n)
		}
		l.Owned = append(l.Owned, *f)
	}
}

// Merge adds another list to this one.
func (l *List) Merge(other List) {
	for _, k := range []Kind{WholeFile, Row, Annotation} {
		for r, n := range *other.counts(k) {
			l.counts(k).add(r, n)
		}
	}
	l.Files = fill(l.Files, other.Files)
	l.Owned = fill(l.Owned, other.Owned)
}

// fill appends as many as are listed.
func fill(to, from []File) []File { return append(to, from[:min(MaxListed-len(to), len(from))]...) }

// Clone returns a List that shares nothing with this one.
func (l List) Clone() List {
	return List{Files: slices.Clone(l.Files), Owned: slices.Clone(l.Owned), Counts: maps.Clone(l.Counts), Rows: maps.Clone(l.Rows), Annotations: maps.Clone(l.Annotations)}
}

// Total counts what was left out, but for rows and annotations that went with their picture.
func (l *List) Total() int64 {
	return l.Counts.Total() + l.Rows.Total() - l.Rows[OwnerLeftOut] + l.Annotations.Total() - l.Annotations[OwnerLeftOut]
}

// Bad counts the files and rows whose reason Counts.
func (l *List) Bad() int64 { return l.Counts.Bad() + l.Rows.Bad() }

// Sort puts what is named in order of path, place, then reason.
func (l *List) Sort() {
	for _, files := range [][]File{l.Files, l.Owned} {
		slices.SortFunc(files, func(a, b File) int {
			return cmp.Or(strings.Compare(a.Path, b.Path), strings.Compare(string(a.Kind), string(b.Kind)), cmp.Compare(a.Where, b.Where), strings.Compare(string(a.Reason), string(b.Reason)), strings.Compare(a.Message, b.Message))
		})
	}
}

// Named returns what is listed in the end, in order: what was left out by itself, then, as far as there is room, what went with it.
func (l *List) Named() []File {
	all := List{Files: fill(slices.Clone(l.Files), l.Owned)}
	all.Sort()
	return all.Files
}

// Trim drops what is named beyond so many bytes of text.
func (l *List) Trim(bytes int) {
	for _, files := range []*[]File{&l.Files, &l.Owned} {
		for i, f := range *files {
			if bytes -= len(f.Path) + len(f.Message); bytes < 0 {
				*files = (*files)[:i]
				break
			}
		}
	}
}

// Examples describes the list in a few words for an error message: the counts by reason and the first bad files.
func (l *List) Examples(limit int) string {
	var all Counts
	for _, c := range []Counts{l.Counts, l.Rows, l.Annotations} {
		for r, n := range c {
			all.add(r, n)
		}
	}
	var parts []string
	for _, r := range slices.Sorted(maps.Keys(all)) {
		if r.Counts() {
			parts = append(parts, fmt.Sprintf("%d %s", all[r], r))
		}
	}
	var names []string
	for _, f := range l.Files {
		if !f.Reason.Counts() || len(names) == limit {
			continue
		}
		place := fmt.Sprintf("%q", f.Path)
		if f.Kind != WholeFile {
			place += fmt.Sprintf(" %s %d", f.Kind, f.Where)
		}
		names = append(names, fmt.Sprintf("%s (%s)", place, f.Message))
	}
	return strings.Join(parts, ", ") + "; for example " + strings.Join(names, "; ")
}
