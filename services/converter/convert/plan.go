package convert

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/cespare/xxhash/v2"
	"golang.org/x/text/unicode/norm"

	"github.com/trainyard/trainyard/services/converter/archive"
	"github.com/trainyard/trainyard/services/converter/dataset"
	"github.com/trainyard/trainyard/services/converter/reject"
	"github.com/trainyard/trainyard/services/converter/source"
)

// Sizes that shape a plan. They are part of Version.
const (
	maxChunk = 1 << 20  // a chunk's bytes in the source; one record may be more
	minChunk = 64 << 10 // below a gigabyte, chunks shrink to this so that there are still many to shuffle
	chunks   = 1024     // as many chunks are wanted at least
	window   = 64 << 20 // bytes that are shuffled as one; a task holds two windows in memory
	maxGap   = 64 << 10 // bytes between two records of a chunk that are read to no purpose
	rowCost  = 24       // bytes of memory that a row takes in a window besides its data

	// maxTaskShards bounds a task, in shards of the target size.
	maxTaskShards = 16
)

// Plan is a conversion, decided. It is small: the records are in the plan file, one section a window.
type Plan struct {
	Version   string        `json:"version"`
	Key       string        `json:"key"` // of source, options and version; equal keys mean equal output
	Options   Options       `json:"options"`
	Source    SourceInfo    `json:"source"`
	Format    FormatChoice  `json:"format"`
	Index     dataset.Index `json:"index"`
	Records   int64         `json:"records"`
	DataBytes int64         `json:"data_bytes"` // of the records, unpacked
	Window    int64         `json:"window"`     // bytes of the source that are shuffled as one
	Tasks     []PlannedTask `json:"tasks"`
	Found     Tally         `json:"found"`
	UsedFiles int64         `json:"used_files"` // files that are no record themselves: of rows, of annotations
	LeftOut   reject.List   `json:"left_out"`   // by the plan; tasks leave out more
	Unpacked  int64         `json:"unpacked"`   // bytes of the unpacked stream, if the source had to be unpacked
	Spill     spillPlan     `json:"spill"`
	// HashShift is how many times the sample of hashes that finds duplicates was halved, so that it stays small.
	HashShift uint8    `json:"hash_shift"`
	Warnings  []string `json:"warnings,omitempty"`

	file source.Source // the plan file
	path string
}

// Tally counts what an upload consists of.
type Tally struct {
	Files       int64 `json:"files"`
	Rows        int64 `json:"rows"`
	Annotations int64 `json:"annotations"`
}

// FormatChoice says which format was taken and why.
type FormatChoice struct {
	Name   string   `json:"name"`
	Reason string   `json:"reason"`
	Others []string `json:"others,omitempty"` // that fit as well, each with what was found of it
}

// SourceInfo describes the source.
type SourceInfo struct {
	Bytes     int64        `json:"bytes"`
	ETag      string       `json:"etag,omitempty"`
	Container archive.Kind `json:"container"`
}

// PlannedTask is a part of the conversion that is done as one.
type PlannedTask struct {
	Records int64           `json:"records"`
	Bytes   int64           `json:"bytes"` // to be read from the source
	Shards  []PlannedShard  `json:"shards"`
	Windows []PlannedWindow `json:"windows"`
}

// PlannedWindow is a run of chunks that is read and shuffled as one. Its records are a section of the plan file.
type PlannedWindow struct {
	Records  int64  `json:"records"`
	Offset   int64  `json:"offset"` // of the section in the plan file
	Length   int64  `json:"length"`
	Checksum uint32 `json:"checksum"` // masked CRC-32C of the section
}

// PlannedShard is a shard before it is written. A shard belongs to exactly one task.
type PlannedShard struct {
	Name  string        `json:"name"`
	Split dataset.Split `json:"split"`
	Bytes int64         `json:"bytes"` // about
}

// candidates is how many files and rows were meant to be examples.
func (p *Plan) candidates() int64 { return p.Records + p.LeftOut.Bad() }

// Path is where MakePlan left the plan file, or "" if the plan was opened by OpenPlan.
func (p *Plan) Path() string { return p.path }

// Close closes the plan file, which stays on disk.
func (p *Plan) Close() error {
	if c, ok := p.file.(*source.File); ok {
		return c.Close()
	}
	return nil
}

// planned is a record, or a block of rows, while the plan is made. There may be millions; what few formats need is in extra.
type planned struct {
	entry int32 // index into the listing: of the first file, or of the one that the block is of
	parts int16 // files; 0: a block
	split int8  // index into dataset.Splits, or -1 while it is undecided; of a block the rows' splits are in extra
	label int32
	extra int32  // index into planner.extras, or -1
	hash  uint64 // of the key; of a block, of the file's key
}

type extra struct {
	meta        span // in the planner's notes
	annotations int32

	// Of a block:
	at       span // in its file's data
	rows     int32
	firstRow int64
	labels   span                       // 4 bytes a row, in the notes; only for stratified splits
	splits   []byte                     // 2 bits a row
	perSplit [len(dataset.Splits)]int32 // rows
}

type span struct {
	off int64
	len int64
}

// chunk is a contiguous run of the source, or of the spill.
type chunk struct {
	first, end int // range of planned records
	off, size  int64
	meta       int64 // bytes that formats noted of its records
	spilled    bool
}

// planner makes a plan.
type planner struct {
	ctx     context.Context //nolint:containedctx // Listener's methods have none, and the planner lives as long as one call
	opts    Options
	src     source.Source
	listing *archive.Listing
	bare    bool // the source is a file and no container
	scratch string
	reader  dataset.Reader
	index   dataset.Index
	left    reject.List
	found   Tally
	used    int64
	records []planned
	extras  []extra
	chunks  []chunk
	err     error // the first failure within a Listener's method that has no error to give

	rowsWith int64 // how many rows of tables belong to a record that is a file

	filed  []int32 // the listing's entries that the format sees
	fates  []fate  // of each of these
	splits [len(dataset.Splits)]bool
	notes  notes
	files  openFiles
	spill  spiller
}

// MakePlan decides the conversion of src and leaves the plan file in the folder scratchDir. A compressed source is
// unpacked there too, and is found there again by tasks that get the same folder. The caller closes the plan.
func MakePlan(ctx context.Context, src source.Source, opts Options, scratchDir string) (*Plan, error) {
	return makePlan(ctx, src, opts, scratchDir, sizing{chunk: maxChunk, window: window})
}

// sizing lets tests plan small sources as if they were large.
type sizing struct{ chunk, window int64 }

func makePlan(ctx context.Context, src source.Source, opts Options, scratchDir string, sz sizing) (_ *Plan, err error) {
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	plan := &Plan{Version: Version, Options: opts, Source: SourceInfo{Bytes: src.Size(), ETag: opts.SourceETag}}
	plan.Key = planKey(plan)
	kind, err := archive.Detect(ctx, src)
	if err != nil {
		return nil, err
	}
	plan.Source.Container = kind
	if kind.Compressed() {
		f, err := archive.Unpack(ctx, src, unpackedName(scratchDir, plan.Key), opts.Limits)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		src, kind, plan.Unpacked = f, kind.Unpacked(), f.Size()
	}
	p := &planner{ctx: ctx, opts: opts, src: src, scratch: scratchDir}
	p.spill = spiller{name: spillName(scratchDir, plan.Key), limit: opts.Limits.Unpacked(src.Size())}
	defer func() { err = errors.Join(err, p.close()) }()
	if p.bare = kind == archive.Bare; p.bare {
		p.listing = archive.ListBare(src, opts.FileName)
	} else if p.listing, err = archive.List(ctx, src, kind, opts.Limits); err != nil {
		return nil, err
	}
	if err := p.indexRecords(plan); err != nil {
		return nil, err
	}
	if plan.Warnings, err = p.assignSplits(); err != nil {
		return nil, err
	}
	p.makeChunks(sz.chunk)
	if plan.Spill, err = p.spill.commit(); err != nil {
		return nil, err
	}
	plan.HashShift = hashShift(plan.Records)
	if err := p.write(plan, filepath.Join(scratchDir, "plan-"+plan.Key), sz); err != nil {
		return nil, err
	}
	return plan, nil
}

// indexRecords finds the format and the records.
func (p *planner) indexRecords(plan *Plan) (err error) {
	p.left = p.listing.Refused
	p.found.Files = int64(len(p.listing.Entries)) + p.left.Counts.Total()
	p.refuseTwins()
	p.setAsideSystemFiles()
	p.fates = make([]fate, len(p.filed))
	if err := p.refuseDocuments(); err != nil {
		return err
	}
	if plan.Format, err = p.findFormat(); err != nil {
		return err
	}
	if f := p.reader.Format(); f.Labels != "" && p.opts.LabelColumn != "" {
		return reject.New(reject.InvalidOptions, "The label column %q was chosen, but the upload is read as %s, and its labels are %s. Leave the label column out, or choose another format.",
			p.opts.LabelColumn, f.Name, f.Labels)
	}
	opts := p.opts.forFormats()
	opts.Scratch, opts.TooManyBad = p.scratch, p.opts.tooManyBad
	p.rowsWith = rowsWith(p.reader)
	p.index, err = p.reader.Index(p.ctx, p, opts, p)
	var file *reject.File
	if errors.As(err, &file) { // of a file without which there is no dataset
		err = &reject.Error{Reason: file.Reason, Message: fmt.Sprintf("The file %q can't be read: %s.", file.Path, file.Message)}
	}
	if err = cmp.Or(p.err, err); err != nil {
		return p.explain(err)
	}
	if p.index.Schema == nil {
		p.index.Schema = json.RawMessage("null")
	}
	p.leaveOutTheRest()
	plan.Index, plan.Found, plan.UsedFiles = p.index, p.found, p.used
	for i := range p.records {
		plan.Records += p.rowsOf(i)
	}
	slices.SortFunc(p.records, func(a, b planned) int {
		if c := cmp.Compare(a.entry, b.entry); c != 0 || a.extra < 0 || b.extra < 0 {
			return c
		}
		return cmp.Compare(p.extras[a.extra].at.off, p.extras[b.extra].at.off)
	})
	plan.LeftOut = p.left
	if p.opts.tooManyBad(plan.LeftOut.Bad(), plan.candidates()) {
		return p.opts.tooManyBadError(plan.LeftOut, plan.candidates())
	}
	if bad := p.left.Annotations.Bad(); p.opts.tooManyBad(bad, p.found.Annotations) {
		return p.opts.tooManyAnnotations(p.left, p.found.Annotations)
	}
	if plan.Records == 0 {
		e := reject.New(reject.NoExamples, "The upload holds nothing that can become an example. Expected: %s", p.reader.Format().Description)
		if p.left.Bad() > 0 {
			e.Message += " Left out: " + p.left.Examples(3) + "."
		}
		e.Files = p.left
		return e
	}
	return nil
}

func (p *planner) close() error {
	return errors.Join(p.notes.close(), p.files.close(), p.spill.discard())
}

// rowsOf is how many examples a planned record is.
func (p *planner) rowsOf(i int) int64 {
	if r := &p.records[i]; r.parts == 0 {
		return int64(p.extras[r.extra].rows)
	}
	return 1
}

// planKey identifies the output. JSON of a struct has one form, so that equal inputs give equal keys.
func planKey(p *Plan) string {
	b, err := json.Marshal(struct {
		Version string
		Options Options
		Bytes   int64
	}{p.Version, p.Options, p.Source.Bytes})
	if err != nil {
		panic(err) // strings and numbers, the latter finite by Validate
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:16])
}

func unpackedName(scratchDir, key string) string { return filepath.Join(scratchDir, key+".tar") }

// refuseTwins leaves out every file whose path equals an earlier one's but for case or Unicode form.
// File systems differ in whether such two are one file, and a zip may even hold one name twice: taking both would count an example
// twice or hide one, depending on who looks.
func (p *planner) refuseTwins() {
	entries := p.listing.Entries
	type hashed struct {
		hash  uint64
		entry int32
	}
	hashes := make([]hashed, len(entries))
	for i := range entries {
		hashes[i] = hashed{xxhash.Sum64String(fold(entries[i].Path)), int32(i)} //nolint:gosec // below MaxEntries
	}
	folded := func(h hashed) string { return fold(entries[h.entry].Path) }
	slices.SortFunc(hashes, func(a, b hashed) int {
		if a.hash != b.hash {
			return cmp.Compare(a.hash, b.hash)
		}
		return cmp.Or(strings.Compare(folded(a), folded(b)), cmp.Compare(a.entry, b.entry))
	})
	drop := make(map[int32]bool)
	for i, first := 1, 0; i < len(hashes); i++ {
		if hashes[i].hash != hashes[first].hash || folded(hashes[i]) != folded(hashes[first]) {
			first = i
			continue
		}
		twin := hashes[i].entry
		p.left.Add(reject.NewFile(entries[twin].Path, reject.DuplicatePath,
			"the path is the same as %q, or differs only in case or in how an accent is written", entries[hashes[first].entry].Path))
		drop[twin] = true
	}
	if len(drop) == 0 {
		return
	}
	kept := entries[:0]
	for i := range entries {
		if !drop[int32(i)] { //nolint:gosec // below MaxEntries
			kept = append(kept, entries[i])
		}
	}
	p.listing.Entries = kept
}

func fold(path string) string { return strings.ToLower(norm.NFC.String(path)) }

// setAsideSystemFiles hides litter from the formats.
func (p *planner) setAsideSystemFiles() {
	p.filed = make([]int32, 0, len(p.listing.Entries))
	for i := range p.listing.Entries {
		path := p.listing.Entries[i].Path
		if dataset.IsSystemFile(path) {
			p.left.Add(reject.NewFile(path, reject.SystemFile, "a hidden file or one that an operating system leaves behind"))
			continue
		}
		p.filed = append(p.filed, int32(i)) //nolint:gosec // below MaxEntries
	}
}
