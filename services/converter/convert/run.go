package convert

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/zeebo/xxh3"
	"golang.org/x/sync/errgroup"

	"github.com/trainyard/trainyard/services/converter/archive"
	"github.com/trainyard/trainyard/services/converter/dataset"
	"github.com/trainyard/trainyard/services/converter/reject"
	"github.com/trainyard/trainyard/services/converter/scratch"
	"github.com/trainyard/trainyard/services/converter/source"
	"github.com/trainyard/trainyard/services/converter/tfrecord"
)

// Task is one task of a plan, to be run.
type Task struct {
	Plan     *Plan
	Index    int
	Source   source.Source // the upload, as it was planned
	Scratch  string        // a folder for the shards until they are handed over; see MakePlan for compressed sources
	Sink     Sink
	Progress func(Progress) // called a few times a second, never at once by two; may be nil
	Workers  int            // goroutines that encode; 0: one a processor. The output doesn't depend on it
}

// Shard is a finished shard.
type Shard struct {
	Name      string        `json:"name"`
	Split     dataset.Split `json:"split"`
	Examples  int64         `json:"examples"`
	Bytes     int64         `json:"bytes"`      // of the file
	DataBytes int64         `json:"data_bytes"` // of the records without TFRecord's framing, as TFDS counts
	SHA256    string        `json:"sha256"`     // of the file, hexadecimal
	// Index tells where the records of each class lie; see package shardindex. A shard without labels has none, nor has a compressed one.
	Index MetadataFile `json:"index,omitzero"`
}

// Sink takes finished shards and their indexes.
type Sink interface {
	// Put stores the file at path under file.Name, which may lie in a folder, and returns when it is durable. Putting a file
	// again replaces it with the same bytes. The file at path is removed afterwards unless Put has moved it.
	// Several files may be put at once.
	Put(ctx context.Context, file MetadataFile, path string) error
}

// Progress is how far a task has come.
type Progress struct {
	Examples int64 `json:"examples"`
	LeftOut  int64 `json:"left_out"`
	Bytes    int64 `json:"bytes"` // of PlannedTask.Bytes
}

// TaskResult is what a task has made.
type TaskResult struct {
	Key     string        `json:"key"` // of the plan
	Task    int           `json:"task"`
	Shards  []ShardResult `json:"shards"` // in the plan's order
	LeftOut reject.List   `json:"left_out"`
}

// ShardResult is a shard with what was seen of its records.
type ShardResult struct {
	Shard
	Stats dataset.Stats `json:"stats"`
	// Hashes are 8 bytes for each record whose hash is in the plan's sample, in order: the XXH3 of its source data,
	// little-endian. They are how duplicates are found.
	Hashes []byte `json:"hashes"`
	// Files, Rows and Annotations are how many of the upload's are in the shard.
	Files       int64 `json:"files"`
	Rows        int64 `json:"rows"`
	Annotations int64 `json:"annotations"`
}

const (
	readsInFlight = 8         // chunks fetched at once
	putsInFlight  = 8         // shards handed over at once: as many as a task of a gigabyte has
	flushBytes    = 128 << 10 // of a worker's buffer: small enough to be hashed and written while it is in the cache
	keepBytes     = 2 << 20   // a worker's buffer that a large record has made larger than this is given back
	hashBytes     = 8         // of a hash in ShardResult.Hashes
	progressEvery = 250 * time.Millisecond
)

// RunTask does one task. What it returns and what it puts depend on the plan and the source alone.
func RunTask(ctx context.Context, t Task) (*TaskResult, error) {
	if t.Index < 0 || t.Index >= len(t.Plan.Tasks) {
		return nil, fmt.Errorf("the plan has %d tasks; there is no task %d", len(t.Plan.Tasks), t.Index)
	}
	if t.Source.Size() != t.Plan.Source.Bytes {
		return nil, source.ErrChanged
	}
	if t.Plan.Source.Container.Compressed() {
		f, err := archive.Unpack(ctx, t.Source, unpackedName(t.Scratch, t.Plan.Key), t.Plan.Options.Limits)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		if f.Size() != t.Plan.Unpacked {
			return nil, source.ErrChanged
		}
		t.Source = f
	}
	r := &runner{Task: t, planned: &t.Plan.Tasks[t.Index]}
	var need int64
	for _, s := range r.planned.Shards {
		need += s.Bytes
	}
	if err := scratch.Check(t.Scratch, need); err != nil {
		return nil, err
	}
	if len(t.Plan.Spill.Steps) > 0 {
		f, err := openSpill(ctx, t.Plan, t.Source, t.Scratch)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		r.spill = f
	}
	defer r.discard()
	return r.run(ctx)
}

// runner runs a task: one goroutine reads windows, workers encode them, each into shards of its own.
type runner struct {
	Task
	planned *PlannedTask
	reader  dataset.Reader
	spill   source.Source
	shards  []*shard

	rowsWith int64 // how many rows of tables belong to a record that is a file

	examples, leftOut, bad, bytes atomic.Int64
}

func (r *runner) run(ctx context.Context) (*TaskResult, error) {
	var err error
	if r.reader, err = readerNamed(r.Plan.Format.Name); err != nil {
		return nil, err
	}
	r.rowsWith = rowsWith(r.reader)
	var bytes int64
	for i := range r.planned.Shards {
		bytes += r.planned.Shards[i].Bytes
	}
	for i := range r.planned.Shards {
		planned := &r.planned.Shards[i]
		s, err := newShard(planned, r.Scratch, r.Plan.Options.Compression)
		if err != nil {
			return nil, err
		}
		hashes := float64(r.planned.Records>>r.Plan.HashShift) * float64(planned.Bytes) / float64(max(1, bytes))
		s.hashes = make([]byte, 0, hashBytes*int(1.05*hashes)) // nearly always enough, so that they aren't moved again and again
		r.shards = append(r.shards, s)
	}
	stopProgress := r.reportProgress()
	err = r.encode(ctx)
	stopProgress()
	if err != nil {
		return nil, err
	}
	return r.finish(ctx)
}

// encode reads all windows and encodes their records.
func (r *runner) encode(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	free := make(chan *windowBuffer, 2)
	free <- &windowBuffer{}
	free <- &windowBuffer{}
	turns := newTurns(ctx, len(r.shards))
	workers := r.Workers
	if workers <= 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	for range min(workers, len(r.shards)) {
		group.Go(func() error {
			encoder, err := r.reader.NewEncoder(r.Plan.Options.forFormats(), r.Plan.Index)
			if err != nil {
				return err
			}
			w := &worker{runner: r, encoder: encoder, turns: turns, free: free}
			w.body.unpacker = &w.unpacker
			// Two shards are hashed in half the time, but a worker without a shard does nothing.
			w.lanes = make([]lane, min(2, max(1, len(r.shards)/workers)))
			return w.encode(ctx)
		})
	}
	group.Go(func() error {
		defer turns.close()
		return r.readWindows(ctx, free, turns)
	})
	return r.withFiles(group.Wait())
}

// withFiles adds the files left out so far to a rejection that is about them.
func (r *runner) withFiles(err error) error {
	if err == nil || !errors.Is(err, errTooManyBad) {
		return err
	}
	left := r.Plan.LeftOut.Clone()
	for _, s := range r.shards {
		left.Merge(s.left)
	}
	return r.Plan.Options.tooManyBadError(left, r.Plan.candidates())
}

var errTooManyBad = errors.New("too many bad files")

// worker encodes records into the shards that are its own.
type worker struct {
	*runner
	encoder  dataset.Encoder
	unpacker archive.Unpacker
	turns    *turns
	free     chan *windowBuffer
	lanes    []lane // one or two
	extent   []byte // of the record at hand, if it isn't in the window
	body     body   // of the record at hand

	made, read int64 // examples and bytes that progress doesn't know of yet
	ahead      int   // see windowBuffer.touch
}

// lane is a turn that a worker has taken.
type lane struct {
	turn
	taken   bool
	records []int32 // that are still to be encoded
	buf     []byte  // what is still to be hashed and written
}

// body is the data of the record at hand.
type body struct {
	unpacker *archive.Unpacker
	record   *taskRecord
	extent   []byte // of all parts
	row      []byte // nil: no row
	buf      []byte // for what Bytes unpacks
	seen     uint64 // hash of what was given out
	given    int    // parts that seen is of
}

// Size implements dataset.Body.
func (b *body) Size() int {
	if b.row != nil {
		return len(b.row)
	}
	return int(b.record.entry.Size)
}

// Fill implements dataset.Body.
func (b *body) Fill(p []byte) error {
	if b.row != nil {
		copy(p, b.row)
	} else if err := b.unpacker.Unpack(p, &b.record.entry, b.extent); err != nil {
		return err
	}
	b.note(p)
	return nil
}

// note adds what is given out to the hash by which duplicates are found.
func (b *body) note(p []byte) {
	b.given++
	if b.given == 1 {
		b.seen = xxh3.Hash(p)
		return
	}
	r := random(b.seen ^ xxh3.Hash(p))
	b.seen = r.next()
}

// Bytes implements dataset.Body.
func (b *body) Bytes() ([]byte, error) {
	if b.row != nil {
		b.note(b.row)
		return b.row, nil
	}
	_, data, err := b.Part(0)
	return data, err
}

// Parts implements dataset.Body.
func (b *body) Parts() int { return 1 + len(b.record.more) }

// Part implements dataset.Body.
func (b *body) Part(i int) (string, []byte, error) {
	e, extent := &b.record.entry, b.extent
	if i > 0 {
		e = &b.record.more[i-1]
		extent = extent[e.Offset-b.record.entry.Offset:]
	}
	if e.Method == archive.Raw {
		b.note(extent[:e.Size])
		return e.Path, extent[:e.Size], nil
	}
	if int64(cap(b.buf)) < e.Size || cap(b.buf) > keepBytes && e.Size < keepBytes {
		b.buf = make([]byte, max(e.Size, flushBytes))
	}
	b.buf = b.buf[:e.Size]
	err := b.unpacker.Unpack(b.buf, e, extent[:min(int64(len(extent)), e.Extent)])
	b.note(b.buf)
	return e.Path, b.buf, err
}

// encode takes turns until there are none.
func (w *worker) encode(ctx context.Context) error {
	for {
		taken := false
		for i := range w.lanes {
			l := &w.lanes[i]
			if !l.taken {
				if l.turn, l.taken = w.turns.take(ctx, !taken && i == len(w.lanes)-1); !l.taken {
					continue
				}
				l.records = l.window.records[l.shard]
			}
			taken = true
			if err := w.fill(ctx, l); err != nil {
				return err
			}
		}
		if err := ctx.Err(); err != nil || !taken {
			return err
		}
		if err := w.flush(); err != nil {
			return err
		}
	}
}

// fill encodes records until a lane's buffer is full.
func (w *worker) fill(ctx context.Context, l *lane) error {
	b := l.window
	for n := 0; len(l.records) > 0 && len(l.buf) < flushBytes; n++ {
		if n%rowsAhead == 0 {
			w.ahead += b.touch(l.records[:min(rowsAhead, len(l.records))])
		}
		ref := &b.refs[l.records[0]]
		l.records = l.records[1:]
		c := &b.chunks[ref.chunk]
		rec := &c.records[ref.record]
		item := dataset.Item{Path: rec.entry.Path, Label: int(rec.label), Meta: rec.meta}
		w.body.record, w.body.row, w.body.given = rec, nil, 0
		if rec.rows > 0 {
			w.body.row = c.data[ref.start:ref.end:ref.end]
			item.Index, item.Row = int(ref.row), rec.firstRow+int64(ref.row)
		} else {
			var err error
			if w.body.extent, err = w.extentOf(ctx, c, rec); err != nil {
				return err
			}
		}
		if err := w.encodeOne(l, item); err != nil {
			return err
		}
	}
	return nil
}

// encodeOne encodes the record that w.body holds.
func (w *worker) encodeOne(l *lane, item dataset.Item) error {
	s, rec, start := w.shards[l.shard], w.body.record, len(l.buf)
	if rec.rows > 0 {
		w.read += int64(len(w.body.row))
	} else {
		w.read += rec.extent()
	}
	var err error
	l.buf, err = w.encoder.Encode(tfrecord.Begin(l.buf), item, &w.body, &s.stats)
	labels := s.stats.TakeLabels()
	if err != nil {
		var left *reject.File
		if errors.As(err, &left) {
			l.buf = l.buf[:start]
			return w.leaveOut(s, item, rec, left)
		}
		return fmt.Errorf("encode %q: %w", item.Path, err)
	}
	l.buf = tfrecord.End(l.buf, start)
	if w.body.seen>>(64-w.Plan.HashShift) == 0 {
		s.hashes = binary.LittleEndian.AppendUint64(s.hashes, w.body.seen)
	}
	size := int64(len(l.buf)-start) - tfrecord.Overhead
	if s.index != nil {
		if err := s.index.Add(size, labels); err != nil {
			return err
		}
	}
	s.shard.Examples++
	s.shard.DataBytes += size
	if rec.rows == 0 {
		s.files += int64(w.body.Parts())
		s.rows += w.rowsWith
	} else {
		s.rows++
	}
	s.annotations += int64(rec.annotations)
	w.made++
	return nil
}

// leaveOut notes that a record was left out: its row, or all its files.
func (w *worker) leaveOut(s *shard, item dataset.Item, rec *taskRecord, left *reject.File) error {
	if rec.rows > 0 {
		left.Kind, left.Where = reject.Row, item.Row
	}
	s.left.Add(left)
	for i := range rec.more {
		other := *left
		other.Path = rec.more[i].Path
		other.Message = fmt.Sprintf("it belongs to %q, which was left out", item.Path)
		s.left.Add(&other)
	}
	s.left.AddOwned(reject.Annotation, item.Path, int64(rec.annotations))
	if rec.rows == 0 {
		s.left.AddOwned(reject.Row, item.Path, w.rowsWith)
	}
	w.leftOut.Add(1)
	if left.Reason.Counts() && w.Plan.Options.tooManyBad(w.Plan.LeftOut.Bad()+w.bad.Add(1), w.Plan.candidates()) {
		return errTooManyBad
	}
	return nil
}

// extentOf returns the bytes of a record's files: a part of the window, or read now if the source is near and the window wasn't.
func (w *worker) extentOf(ctx context.Context, c *taskChunk, rec *taskRecord) ([]byte, error) {
	size := rec.extent()
	if c.data != nil {
		return c.data[rec.entry.Offset : rec.entry.Offset+size], nil
	}
	if int64(cap(w.extent)) < size || cap(w.extent) > keepBytes && size < keepBytes {
		w.extent = make([]byte, max(size, flushBytes))
	}
	w.extent = w.extent[:size]
	return w.extent, w.Source.ReadAt(ctx, w.extent, c.off+rec.entry.Offset)
}

// flush hashes and writes what the lanes hold, and gives back the turns that are done.
func (w *worker) flush() error {
	w.examples.Add(w.made)
	w.bytes.Add(w.read)
	w.made, w.read = 0, 0
	x, y := &w.lanes[0], &w.lanes[len(w.lanes)-1]
	var err error
	switch {
	case x.taken && y.taken && x != y:
		err = writeBoth(w.shards[x.shard], x.buf, w.shards[y.shard], y.buf)
	case x.taken:
		err = w.shards[x.shard].write(x.buf)
	case y.taken:
		err = w.shards[y.shard].write(y.buf)
	}
	if err != nil {
		return err
	}
	for i := range w.lanes {
		l := &w.lanes[i]
		l.buf = l.buf[:0]
		if cap(l.buf) > keepBytes {
			l.buf = nil
		}
		if l.taken && len(l.records) == 0 {
			l.taken = false
			if w.turns.done(l.turn) {
				w.bytes.Add(l.window.gaps)
				w.free <- l.window // never blocks: there are two
			}
		}
	}
	return nil
}

// reportProgress calls Progress now and then until the returned function is called.
func (r *runner) reportProgress() (stop func()) {
	if r.Progress == nil {
		return func() {}
	}
	report := func() {
		r.Progress(Progress{Examples: r.examples.Load(), LeftOut: r.leftOut.Load(), Bytes: r.bytes.Load()})
	}
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(progressEvery)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				report()
			case <-quit:
				report()
				return
			}
		}
	}()
	return func() { close(quit); <-done }
}

// finish hands the shards over.
func (r *runner) finish(ctx context.Context) (*TaskResult, error) {
	result := &TaskResult{Key: r.Plan.Key, Task: r.Index, Shards: make([]ShardResult, len(r.shards))}
	for _, s := range r.shards {
		if err := s.close(); err != nil {
			return nil, err
		}
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(putsInFlight)
	for i, s := range r.shards {
		result.Shards[i] = ShardResult{Shard: s.shard, Stats: s.stats, Hashes: s.hashes, Files: s.files, Rows: s.rows, Annotations: s.annotations}
		result.LeftOut.Merge(s.left)
		group.Go(func() error {
			return r.Sink.Put(ctx, MetadataFile{Name: s.shard.Name, Bytes: s.shard.Bytes, SHA256: s.shard.SHA256}, s.path)
		})
		if s.indexPath != "" {
			group.Go(func() error { return r.Sink.Put(ctx, s.shard.Index, s.indexPath) })
		}
	}
	if err := group.Wait(); err != nil {
		return nil, fmt.Errorf("store the shards: %w", err)
	}
	result.LeftOut.Sort()
	return result, nil
}

// discard removes what is left in the scratch folder.
func (r *runner) discard() {
	for _, s := range r.shards {
		s.file.Close()    //nolint:errcheck,gosec // closed already, or given up
		os.Remove(s.path) //nolint:errcheck,gosec // moved by the sink, mostly
		if s.index != nil {
			s.index.Close()        //nolint:errcheck,gosec // as above
			os.Remove(s.indexPath) //nolint:errcheck,gosec // as above
		}
	}
}
