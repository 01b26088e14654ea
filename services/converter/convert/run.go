package convert

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/trainyard/trainyard/services/converter/archive"
	"github.com/trainyard/trainyard/services/converter/dataset"
	"github.com/trainyard/trainyard/services/converter/reject"
	"github.com/trainyard/trainyard/services/converter/scratch"
	"github.com/trainyard/trainyard/services/converter/source"
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
	putsInFlight  = 16        // shards handed over at once: as many as a task of two gigabytes has
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

// runner runs a task: one goroutine reads windows, one shuffles their records, workers encode them in turns.
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
	turns := newTurns(ctx, len(r.shards))
	workers := r.Workers
	procs := spare.take()
	defer spare.giveBack()
	if workers <= 0 {
		workers = procs
	}
	for range min(workers, len(r.shards)) {
		group.Go(func() error {
			encoder, err := r.reader.NewEncoder(r.Plan.Options.forFormats(), r.Plan.Index)
			if err != nil {
				return err
			}
			w := &worker{runner: r, encoder: encoder, turns: turns}
			w.body.unpacker = &w.unpacker
			// Two shards are hashed in half the time, but a worker without a shard does nothing.
			w.lanes = make([]lane, min(2, max(1, len(r.shards)/workers)))
			return w.encode(ctx)
		})
	}
	windows := make(chan *openWindow)
	group.Go(func() error { return r.readWindows(ctx, windows) })
	group.Go(func() error { return r.dealWindows(ctx, windows, turns) })
	return r.withFiles(group.Wait())
}

// spare is a place that Go's scheduler has for one goroutine more than there are processors, while tasks run. As long as all places
// are taken, the scheduler wakes every 20 µs to see whether one can be taken from a goroutine in a system call, which each write is.
var spare sparePlace

type sparePlace struct {
	mu    sync.Mutex
	tasks int
	procs int // without it
}

// take makes the place and returns how many there are without it.
func (s *sparePlace) take() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tasks++; s.tasks == 1 {
		s.procs = runtime.GOMAXPROCS(0)
		runtime.GOMAXPROCS(s.procs + 1)
	}
	return s.procs
}

func (s *sparePlace) giveBack() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tasks--; s.tasks == 0 {
		runtime.GOMAXPROCS(s.procs)
	}
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

// finish closes the shards and hands them over. Putting an index in order keeps a processor busy, so the shards are closed side by side, and
// some while others are on their way.
func (r *runner) finish(ctx context.Context) (*TaskResult, error) {
	result := &TaskResult{Key: r.Plan.Key, Task: r.Index, Shards: make([]ShardResult, len(r.shards))}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(putsInFlight)
	for i, s := range r.shards {
		result.LeftOut.Merge(s.left)
		group.Go(func() error {
			if err := s.close(); err != nil {
				return err
			}
			result.Shards[i] = ShardResult{Shard: s.shard, Stats: s.stats, Hashes: s.hashes, Files: s.files, Rows: s.rows, Annotations: s.annotations}
			if s.indexPath != "" {
				if err := r.Sink.Put(ctx, s.shard.Index, s.indexPath); err != nil {
					return err
				}
			}
			return r.Sink.Put(ctx, MetadataFile{Name: s.shard.Name, Bytes: s.shard.Bytes, SHA256: s.shard.SHA256}, s.path)
		})
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
