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
	"github.com/trainyard/trainyard/services/converter/dataset/all"
	"github.com/trainyard/trainyard/services/converter/reject"
	"github.com/trainyard/trainyard/services/converter/source"
	"github.com/trainyard/trainyard/services/converter/tfrecord"
)

// Sizes that shape a plan. They are part of Version.
const (
	maxChunk = 1 << 20  // a chunk's bytes in the source; one record may be more
	minChunk = 64 << 10 // below a gigabyte, chunks shrink to this so that there are still many to shuffle
	chunks   = 1024     // as many chunks are wanted at least
	window   = 64 << 20 // bytes that are shuffled as one; a task holds two windows in memory
	maxGap   = 64 << 10 // bytes between two records of a chunk that are read to no purpose

	// maxTaskShards bounds a task, in shards of the target size.
	maxTaskShards = 16
)

// Plan is a conversion, decided. It is small: the records are in the plan file, one section a window.
type Plan struct {
	Version   string        `json:"version"`
	Key       string        `json:"key"` // of source, options and version; equal keys mean equal output
	Options   Options       `json:"options"`
	Source    SourceInfo    `json:"source"`
	Format    string        `json:"format"`
	Classes   []string      `json:"classes"`
	Records   int64         `json:"records"`
	DataBytes int64         `json:"data_bytes"` // of the records, unpacked
	Window    int64         `json:"window"`     // bytes of the source that are shuffled as one
	Tasks     []PlannedTask `json:"tasks"`
	LeftOut   reject.List   `json:"left_out"` // by the plan; tasks leave out more
	Unpacked  int64         `json:"unpacked"` // bytes of the unpacked tar, if the source had to be unpacked

	file source.Source // the plan file
	path string
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

// candidates is how many files were meant to be examples.
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

// planned is a record while the plan is made.
type planned struct {
	entry int32 // index into the listing
	label int32
	split int8 // index into dataset.Splits
	hash  uint64
}

// chunk is a contiguous run of the source.
type chunk struct {
	first, end int // range of planned records
	off, size  int64
}

// planner makes a plan.
type planner struct {
	opts    Options
	listing *archive.Listing
	reader  dataset.Reader
	left    reject.List
	records []planned
	chunks  []chunk

	filed  []int32 // the listing's entries that the format sees
	splits [len(dataset.Splits)]bool
}

// MakePlan decides the conversion of src and leaves the plan file in the folder scratchDir. A compressed source is
// unpacked there too, and is found there again by tasks that get the same folder. The caller closes the plan.
func MakePlan(ctx context.Context, src source.Source, opts Options, scratchDir string) (*Plan, error) {
	return makePlan(ctx, src, opts, scratchDir, archive.DefaultLimits, sizing{chunk: maxChunk, window: window})
}

// sizing lets tests plan small sources as if they were large.
type sizing struct{ chunk, window int64 }

func makePlan(ctx context.Context, src source.Source, opts Options, scratchDir string, limits archive.Limits, sz sizing) (*Plan, error) {
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
	if kind == archive.TarGzip {
		f, err := archive.Unpack(ctx, src, unpackedName(scratchDir, plan.Key), limits)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		src, kind, plan.Unpacked = f, archive.Tar, f.Size()
	}
	p := &planner{opts: opts}
	if p.listing, err = archive.List(ctx, src, kind, limits); err != nil {
		return nil, err
	}
	p.left = p.listing.Refused
	p.refuseTwins()
	p.setAsideSystemFiles()
	if err := p.findFormat(); err != nil {
		return nil, err
	}
	plan.Format = p.reader.Format().Name
	p.records = make([]planned, 0, p.Len())
	index, err := p.reader.Index(ctx, p, p)
	if err != nil {
		return nil, err
	}
	plan.Classes = index.Classes
	slices.SortFunc(p.records, func(a, b planned) int { return cmp.Compare(a.entry, b.entry) })
	plan.LeftOut, plan.Records = p.left, int64(len(p.records))
	if opts.tooManyBad(plan.LeftOut.Bad(), plan.candidates()) {
		return nil, opts.tooManyBadError(plan.LeftOut, plan.candidates())
	}
	if len(p.records) == 0 {
		return nil, reject.New(reject.NoExamples, "The archive holds no file that can become an example. Expected: %s", p.reader.Format().Description)
	}
	p.assignSplits()
	p.makeChunks(sz.chunk)
	if err := p.write(plan, filepath.Join(scratchDir, "plan-"+plan.Key), sz); err != nil {
		return nil, err
	}
	return plan, nil
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

// Len implements dataset.Files.
func (p *planner) Len() int { return len(p.filed) }

// At implements dataset.Files.
func (p *planner) At(i int) dataset.File {
	e := &p.listing.Entries[p.filed[i]]
	return dataset.File{Path: e.Path, Size: e.Size}
}

// LeaveOut implements dataset.Listener.
func (p *planner) LeaveOut(file int, reason reject.Reason, message string) {
	p.left.Add(reject.NewFile(p.At(file).Path, reason, "%s", message))
}

// Record implements dataset.Listener.
func (p *planner) Record(r dataset.Record) {
	split := slices.Index(dataset.Splits[:], r.Split)
	if split >= 0 {
		p.splits[split] = true
	}
	p.records = append(p.records, planned{
		entry: p.filed[r.File],
		label: int32(r.Label), //nolint:gosec // an index of classes, which are fewer than files
		split: int8(split),    //nolint:gosec // -1 to 2
		hash:  hashKey(p.opts.Seed, r.Key),
	})
}

// findFormat takes the format that was asked for, or the one that reads the largest share of the files.
func (p *planner) findFormat() error {
	if p.opts.Format != "" {
		var err error
		p.reader, err = readerNamed(p.opts.Format)
		return err
	}
	var best float64
	var looked []string
	for _, r := range all.Readers() {
		m := r.Detect(p)
		if m.Share > best {
			p.reader, best = r, m.Share
		}
		looked = append(looked, m.Why)
	}
	if p.reader != nil {
		return nil
	}
	found := "no usable file"
	if p.Len() > 0 {
		found = fmt.Sprintf("%d files such as %q", p.Len(), p.At(0).Path)
	} else if p.left.Bad() > 0 {
		found = p.left.Examples(3)
	}
	e := reject.New(reject.UnknownFormat, "The archive holds no dataset that is known. Looked for: %s. Found: %s.", strings.Join(looked, "; "), found)
	e.Files = p.left
	return e
}

// makeChunks groups consecutive records into chunks.
func (p *planner) makeChunks(maxBytes int64) {
	var total int64
	for i := range p.records {
		total += p.entryOf(i).Extent
	}
	limit := min(maxBytes, max(total/chunks, minChunk))
	for i := range p.records {
		e := p.entryOf(i)
		if n := len(p.chunks); n > 0 {
			c := &p.chunks[n-1]
			if e.Offset-(c.off+c.size) <= maxGap && e.Offset+e.Extent-c.off <= limit {
				c.end, c.size = i+1, e.Offset+e.Extent-c.off
				continue
			}
		}
		p.chunks = append(p.chunks, chunk{first: i, end: i + 1, off: e.Offset, size: e.Extent})
	}
}

func (p *planner) entryOf(record int) *archive.Entry {
	return &p.listing.Entries[p.records[record].entry]
}

// recordBytes is about how many bytes a record takes in a shard.
func (p *planner) recordBytes(record int) int64 {
	const fields = 80 // keys, label, tags and lengths
	e := p.entryOf(record)
	return e.Size + int64(len(e.Path)) + fields + tfrecord.Overhead
}

// taskCount says how many tasks there are: as many as leave the smallest split about one shard of the target size in each.
func (p *planner) taskCount(bySplit [len(dataset.Splits)]int64, windows int, sz sizing) int {
	var total, smallest int64
	for _, b := range bySplit {
		total += b
		if b > 0 && (smallest == 0 || b < smallest) {
			smallest = b
		}
	}
	target := p.opts.ShardBytes
	size := int64(float64(target) * (float64(total) / float64(smallest)))
	size = max(min(size, maxTaskShards*target), target, sz.window)
	return int(max(1, min((total+size/2)/size, int64(windows))))
}

// write decides the tasks and their shards and writes the plan file.
func (p *planner) write(plan *Plan, name string, sz sizing) (err error) {
	var bySplit [len(dataset.Splits)]int64
	for i := range p.records {
		bySplit[p.records[i].split] += p.recordBytes(i)
		plan.DataBytes += p.entryOf(i).Size
	}
	var sourceBytes int64
	for _, c := range p.chunks {
		sourceBytes += c.size
	}
	windows := int(max(1, (sourceBytes+sz.window-1)/sz.window))
	tasks := p.taskCount(bySplit, windows, sz)

	w, err := newPlanWriter(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.abort()) }()
	for _, order := range dealChunks(len(p.chunks), tasks, (windows+tasks-1)/tasks, p.opts.Seed) {
		if len(order) > 0 {
			plan.Tasks = append(plan.Tasks, p.writeTask(w, order, sz.window))
		}
	}
	plan.nameShards()
	return w.commit(plan)
}

// writeTask writes the sections of a task's windows and gives it its shards.
func (p *planner) writeTask(w *planWriter, order []int, window int64) PlannedTask {
	var task PlannedTask
	for _, i := range order {
		task.Bytes += p.chunks[i].size
	}
	var bySplit [len(dataset.Splits)]int64
	windows := int(max(1, (task.Bytes+window-1)/window))
	start := 0
	for _, end := range cut(windows, len(order), func(i int) int64 { return p.chunks[order[i]].size }) {
		if start == end {
			continue
		}
		var records int64
		for _, i := range order[start:end] {
			c := p.chunks[i]
			w.chunk(c.off, c.size, c.end-c.first)
			for r := c.first; r < c.end; r++ {
				bySplit[p.records[r].split] += p.recordBytes(r)
				w.record(c.off, p.entryOf(r), p.records[r])
			}
			records += int64(c.end - c.first)
		}
		task.Records += records
		task.Windows = append(task.Windows, w.endSection(records))
		start = end
	}
	for s, bytes := range bySplit {
		if bytes == 0 {
			continue
		}
		n := max(1, (bytes+p.opts.ShardBytes/2)/p.opts.ShardBytes)
		for range n {
			task.Shards = append(task.Shards, PlannedShard{Split: dataset.Splits[s], Bytes: bytes / n})
		}
	}
	return task
}

// nameShards numbers the shards of each split through all tasks.
func (p *Plan) nameShards() {
	total := make(map[dataset.Split]int)
	for _, t := range p.Tasks {
		for _, s := range t.Shards {
			total[s.Split]++
		}
	}
	next := make(map[dataset.Split]int)
	for _, t := range p.Tasks {
		for i := range t.Shards {
			s := &t.Shards[i]
			s.Name = fmt.Sprintf("%s-%s.tfrecord-%05d-of-%05d", p.Options.Dataset, s.Split, next[s.Split], total[s.Split])
			next[s.Split]++
		}
	}
}
