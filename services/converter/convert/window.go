package convert

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/trainyard/trainyard/services/converter/dataset"
	"github.com/trainyard/trainyard/services/converter/source"
)

const (
	windowsInMemory = 2       // the task's byte budget: reading is ahead by one window and no more
	batchBytes      = 4 << 20 // of rows
	batchesInMemory = 4       // one is being filled, two are encoded, and one is ready
)

// openWindow is a window whose records are being encoded. What isn't near is in memory.
type openWindow struct {
	chunks  []taskChunk
	data    []byte
	batches atomic.Int32  // that aren't through
	buffers chan<- []byte // takes data back
}

// batch is what is shuffled as one, and says which shard takes which record. It is a window, or a part of a window of rows: so large that
// it has rows from all of the window's chunks, and so small that they stay in the processor's cache while they are encoded, since waiting for
// the memory takes as long as encoding a row.
type batch struct {
	window  *openWindow
	planned []*taskRecord // in an order that doesn't matter
	data    []byte        // of blocks that are near
	refs    []recordRef   // all records, shuffled
	records [][]int32     // by shard, in the order of writing: indexes into refs
	gaps    int64         // bytes that belong to no record, such as headers in a tar
	turns   []int         // shards whose turn nobody has taken yet; see turns, which guards it and open
	open    int           // turns that aren't done
	free    chan<- *batch // takes the batch back
}

// recordRef is a record, or a row of a block.
type recordRef struct {
	planned    int32  // index into batch.planned
	row        int32  // within the block
	start, end uint32 // of the row, within the block's data
}

// release gives the batch back, once it is through, and its window after the last one's.
func (b *batch) release() {
	if b.window.batches.Add(-1) == 0 {
		b.window.buffers <- b.window.data // never blocks, nor does the other
	}
	b.free <- b
}

// readWindows reads one window after the other into free buffers.
func (r *runner) readWindows(ctx context.Context, read chan<- *openWindow) error {
	defer close(read)
	buffers := make(chan []byte, windowsInMemory)
	for range windowsInMemory {
		buffers <- nil
	}
	for i := range r.planned.Windows {
		w := &openWindow{buffers: buffers}
		select {
		case w.data = <-buffers:
		case <-ctx.Done():
			return ctx.Err()
		}
		var err error
		if w.chunks, err = r.Plan.readWindow(ctx, &r.planned.Windows[i]); err != nil {
			return err
		}
		if err := w.read(ctx, r); err != nil {
			return err
		}
		select {
		case read <- w:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// dealWindows shuffles the records of windows, batch by batch, and offers them to the workers.
func (r *runner) dealWindows(ctx context.Context, windows <-chan *openWindow, out *turns) error {
	const shuffling = 2
	defer out.close()
	free := make(chan *batch, batchesInMemory)
	for range batchesInMemory {
		free <- &batch{free: free}
	}
	bySplit := r.shardsBySplit()
	rows := r.rowCutter()
	dealt := make([]int, len(dataset.Splits))
	for w := range windows {
		rng := newRandom(r.Plan.Options.Seed, shuffling^uint64(w.chunks[0].off)<<8) //nolint:gosec // offsets aren't negative
		all := w.deal(&rng)
		w.batches.Store(int32(len(all))) //nolint:gosec // bounded by a window
		for _, planned := range all {
			var b *batch
			select {
			case b = <-free:
			case <-ctx.Done():
				return ctx.Err()
			}
			b.window, b.planned = w, planned
			if err := b.read(ctx, r); err != nil {
				return err
			}
			if err := b.cut(rows); err != nil {
				return err
			}
			b.deal(&rng, bySplit, dealt, len(r.shards))
			if !out.add(b) {
				r.bytes.Add(b.gaps)
				b.release()
			}
		}
		for _, c := range w.chunks {
			r.bytes.Add(c.gaps())
		}
	}
	return ctx.Err()
}

// shardsBySplit lists the task's shards of each split.
func (r *runner) shardsBySplit() [][]int {
	by := make([][]int, len(dataset.Splits))
	for i := range r.planned.Shards {
		s := slices.Index(dataset.Splits[:], r.planned.Shards[i].Split)
		by[s] = append(by[s], i)
	}
	return by
}

// rowCutter returns the function that cuts blocks to rows, or nil if the format has none.
func (r *runner) rowCutter() func([]byte, func(start, end int)) {
	switch reader := r.reader.(type) {
	case dataset.Transcoder:
		return transcodedRows
	case dataset.RowReader:
		return reader.Rows(r.Plan.Index)
	}
	return nil
}

// sourceOf is where a chunk lies.
func (r *runner) sourceOf(c *taskChunk) source.Source {
	if c.spilled {
		return r.spill
	}
	return r.Source
}

// gaps are how many of a chunk's bytes belong to no record.
func (c *taskChunk) gaps() int64 {
	gaps := c.size
	for i := range c.records {
		gaps -= c.records[i].extent()
	}
	return gaps
}

// extent is how many bytes from its first part's beginning on a record takes.
func (r *taskRecord) extent() int64 {
	last := &r.entry
	if n := len(r.more); n > 0 {
		last = &r.more[n-1]
	}
	return last.Offset + last.Extent - r.entry.Offset
}

// read fetches the window's chunks, several at once. Chunks that are neighbours in the source are fetched as one.
// Of a source that is near, chunks are only announced, unless the records are so short that reading each by itself costs more than the copy.
func (w *openWindow) read(ctx context.Context, r *runner) error {
	const maxRead, longRecord = 8 << 20, 16 << 10
	var far []*taskChunk
	var size int64
	for i := range w.chunks {
		c := &w.chunks[i]
		for j := range c.records {
			c.records[j].source = r.sourceOf(c)
		}
		if near, ok := r.sourceOf(c).(source.Prefetcher); ok && (c.records[0].rows > 0 || c.size >= longRecord*int64(len(c.records))) {
			near.Prefetch(c.off, c.size)
			continue
		}
		far = append(far, c)
		size += c.size
	}
	slices.SortFunc(far, func(x, y *taskChunk) int { return cmp.Compare(x.off, y.off) })
	if int64(cap(w.data)) < size {
		w.data = nil // let the old one go before there is a new one
		w.data = make([]byte, size)
	}
	w.data = w.data[:size]
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(readsInFlight)
	rest := w.data
	for len(far) > 0 {
		from, off, n := r.sourceOf(far[0]), far[0].off, int64(0)
		for len(far) > 0 {
			c := far[0]
			if n > 0 && (c.off != off+n || n+c.size > maxRead || r.sourceOf(c) != from) {
				break
			}
			if err := c.setData(rest[n : n+c.size]); err != nil {
				return err
			}
			n += c.size
			far = far[1:]
		}
		part := rest[:n]
		rest = rest[n:]
		group.Go(func() error { return from.ReadAt(ctx, part, off) })
	}
	return group.Wait()
}

// setData gives the records their parts of the chunk's data.
func (c *taskChunk) setData(data []byte) error {
	for i := range c.records {
		r := &c.records[i]
		start, size := r.entry.Offset-c.off, r.extent()
		if start < 0 || start+size > int64(len(data)) {
			return errPlanFile
		}
		r.data = data[start : start+size]
	}
	return nil
}

// deal deals the window's records to batches. Each batch gets blocks of every chunk, or of as many as it has blocks.
func (w *openWindow) deal(rng *random) [][]*taskRecord {
	var all []*taskRecord
	var cost int64
	for i := range w.chunks {
		first := len(all)
		for j := range w.chunks[i].records {
			r := &w.chunks[i].records[j]
			all = append(all, r)
			if r.rows > 0 {
				cost += r.entry.Size + rowCost*int64(r.rows)
			}
		}
		if cost > 0 {
			shuffle(rng, all[first:])
		}
	}
	hands := make([][]*taskRecord, 1+cost/batchBytes)
	for i, r := range all {
		hand := &hands[i%len(hands)]
		*hand = append(*hand, r)
	}
	return slices.DeleteFunc(hands, func(hand []*taskRecord) bool { return len(hand) == 0 })
}

// read fetches the blocks that are near.
func (b *batch) read(ctx context.Context, r *runner) error {
	var size int64
	for _, rec := range b.planned {
		if rec.rows > 0 && rec.data == nil {
			size += rec.entry.Size
		}
	}
	if int64(cap(b.data)) < size {
		b.data = make([]byte, size)
	}
	rest := b.data[:size]
	for _, rec := range b.planned {
		if rec.rows == 0 || rec.data != nil {
			continue
		}
		rec.data, rest = rest[:rec.entry.Size:rec.entry.Size], rest[rec.entry.Size:]
		if err := rec.source.ReadAt(ctx, rec.data, rec.entry.Offset); err != nil {
			return err
		}
	}
	return nil
}

// cut lists the batch's records and rows.
func (b *batch) cut(rows func([]byte, func(start, end int))) error {
	count := 0
	for _, rec := range b.planned {
		count += max(1, int(rec.rows))
	}
	b.refs, b.gaps = slices.Grow(b.refs[:0], count), 0
	for i, rec := range b.planned {
		ref := recordRef{planned: int32(i)} //nolint:gosec // bounded by a window
		if rec.rows == 0 {
			b.refs = append(b.refs, ref)
			continue
		}
		if rows == nil {
			return errPlanFile
		}
		first := len(b.refs)
		b.gaps += int64(len(rec.data))
		rows(rec.data, func(start, end int) {
			ref.start, ref.end = uint32(start), uint32(end) //nolint:gosec // bounded by a window
			b.gaps -= int64(end - start)
			b.refs = append(b.refs, ref)
			ref.row++
		})
		if len(b.refs)-first != int(rec.rows) {
			return fmt.Errorf("%w: %q has %d rows where %d were planned", source.ErrChanged, rec.entry.Path, len(b.refs)-first, rec.rows)
		}
	}
	return nil
}

// deal shuffles the batch's records and deals them in turn to the shards of their splits; dealt
// counts through all windows, so that shards come out equally long.
func (b *batch) deal(rng *random, bySplit [][]int, dealt []int, shards int) {
	shuffle(rng, b.refs)
	b.records = slices.Grow(b.records[:0], shards)[:shards]
	for i := range b.records {
		b.records[i] = b.records[i][:0]
	}
	for i, ref := range b.refs {
		rec := b.planned[ref.planned]
		split := rec.split
		if rec.rows > 0 {
			split = rowSplit(rec.splits, int(ref.row))
		}
		s := bySplit[split][dealt[split]%len(bySplit[split])]
		dealt[split]++
		b.records[s] = append(b.records[s], int32(i)) //nolint:gosec // bounded by a window
	}
}

// rowsAhead is how many rows are brought into the cache at once.
const rowsAhead = 32

// touch brings rows into the cache. Rows that follow each other lie anywhere in the batch, so each would be waited for in its turn;
// here, where nothing depends on what is read, the processor waits for several at a time. The sum keeps the compiler from leaving it out.
func (b *batch) touch(records []int32) (sum int) {
	const line, most = 64, 1 << 10
	for _, i := range records {
		ref := &b.refs[i]
		if ref.start == ref.end { // no row
			continue
		}
		row := b.planned[ref.planned].data[ref.start:ref.end]
		row = row[:min(len(row), most)]
		for at := 0; at < len(row); at += line {
			sum += int(row[at])
		}
		sum += int(row[len(row)-1])
	}
	return sum
}
