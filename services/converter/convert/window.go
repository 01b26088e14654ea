package convert

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/trainyard/trainyard/services/converter/dataset"
	"github.com/trainyard/trainyard/services/converter/source"
)

// windowBuffer holds the source bytes of a window and says which shard takes which record.
type windowBuffer struct {
	data    []byte // nothing, if the source is near
	chunks  []taskChunk
	refs    []recordRef // all records, shuffled
	records [][]int32   // by shard, in the order of writing: indexes into refs
	gaps    int64       // bytes that belong to no record, such as headers in a tar
	turns   []int       // shards whose turn nobody has taken yet; see turns, which guards it and open
	open    int         // turns that aren't done
}

// recordRef is a record, or a row of a block.
type recordRef struct {
	chunk, record int32
	row           int32  // within the block
	start, end    uint32 // of the row, within the chunk's data
}

// readWindows reads one window after the other into free buffers and offers each to the workers. The
// two buffers are the task's byte budget: reading is ahead by one window and no more.
func (r *runner) readWindows(ctx context.Context, free chan *windowBuffer, out *turns) error {
	const shuffling = 2
	bySplit := r.shardsBySplit()
	rows := r.rowCutter()
	dealt := make([]int, len(dataset.Splits))
	for i := range r.planned.Windows {
		var b *windowBuffer
		select {
		case b = <-free:
		case <-ctx.Done():
			return ctx.Err()
		}
		var err error
		if b.chunks, err = r.Plan.readWindow(ctx, &r.planned.Windows[i]); err != nil {
			return err
		}
		rng := newRandom(r.Plan.Options.Seed, shuffling^uint64(b.chunks[0].off)<<8) //nolint:gosec // offsets aren't negative
		if err := b.read(ctx, r); err != nil {
			return err
		}
		if err := b.cut(rows); err != nil {
			return err
		}
		b.deal(&rng, bySplit, dealt, len(r.shards))
		if !out.add(b) {
			r.bytes.Add(b.gaps)
			free <- b
		}
	}
	return nil
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

// cut lists the window's records and rows in the order of the source.
func (b *windowBuffer) cut(rows func([]byte, func(start, end int))) error {
	count := 0
	for ci := range b.chunks {
		for ri := range b.chunks[ci].records {
			count += max(1, int(b.chunks[ci].records[ri].rows))
		}
	}
	b.refs, b.gaps = slices.Grow(b.refs[:0], count), 0
	for ci := range b.chunks {
		c := &b.chunks[ci]
		b.gaps += c.size
		for ri := range c.records {
			rec := &c.records[ri]
			ref := recordRef{chunk: int32(ci), record: int32(ri)} //nolint:gosec // bounded by a window
			if rec.rows == 0 {
				b.gaps -= rec.extent()
				b.refs = append(b.refs, ref)
				continue
			}
			if rows == nil || rec.entry.Offset+rec.entry.Size > int64(len(c.data)) {
				return errPlanFile
			}
			first := len(b.refs)
			rows(c.data[rec.entry.Offset:rec.entry.Offset+rec.entry.Size], func(start, end int) {
				ref.start, ref.end = uint32(rec.entry.Offset)+uint32(start), uint32(rec.entry.Offset)+uint32(end) //nolint:gosec // bounded by a window
				b.gaps -= int64(end - start)
				b.refs = append(b.refs, ref)
				ref.row++
			})
			if len(b.refs)-first != int(rec.rows) {
				return fmt.Errorf("%w: %q has %d rows where %d were planned", source.ErrChanged, rec.entry.Path, len(b.refs)-first, rec.rows)
			}
		}
	}
	return nil
}

// extent is how many bytes from its first part's beginning on a record takes.
func (r *taskRecord) extent() int64 {
	last := &r.entry
	if n := len(r.more); n > 0 {
		last = &r.more[n-1]
	}
	return last.Offset + last.Extent - r.entry.Offset
}

// deal shuffles the window's records and deals them in turn to the shards of their splits; dealt
// counts through all windows, so that shards come out equally long.
func (b *windowBuffer) deal(rng *random, bySplit [][]int, dealt []int, shards int) {
	shuffle(rng, b.refs)
	b.records = slices.Grow(b.records[:0], shards)[:shards]
	for i := range b.records {
		b.records[i] = b.records[i][:0]
	}
	for i, ref := range b.refs {
		rec := &b.chunks[ref.chunk].records[ref.record]
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

// touch brings rows into the cache. Rows that follow each other lie anywhere in the window, so each would be waited for in its turn;
// here, where nothing depends on what is read, the processor waits for several at a time. The sum keeps the compiler from leaving it out.
func (b *windowBuffer) touch(records []int32) (sum int) {
	const line, most = 64, 1 << 10
	for _, i := range records {
		ref := &b.refs[i]
		if ref.start == ref.end { // no row
			continue
		}
		row := b.chunks[ref.chunk].data[ref.start:ref.end]
		row = row[:min(len(row), most)]
		for at := 0; at < len(row); at += line {
			sum += int(row[at])
		}
		sum += int(row[len(row)-1])
	}
	return sum
}

// read fetches the window's chunks, several at once. Chunks that are neighbours in the source are fetched as one.
// Of a source that is near, the chunks are only announced, unless the records are so short that reading each by itself costs more than the copy.
func (b *windowBuffer) read(ctx context.Context, r *runner) error {
	const maxRead, longRecord = 8 << 20, 16 << 10
	order := make([]int, len(b.chunks))
	var size int64
	count, rows := 0, false
	for i := range order {
		order[i] = i
		size += b.chunks[i].size
		count += len(b.chunks[i].records)
		rows = rows || b.chunks[i].records[0].rows > 0
	}
	if near, ok := r.Source.(source.Prefetcher); ok && !rows && size >= longRecord*int64(count) {
		for i := range b.chunks {
			near.Prefetch(b.chunks[i].off, b.chunks[i].size)
		}
		return nil
	}
	slices.SortFunc(order, func(x, y int) int { return cmp.Compare(b.chunks[x].off, b.chunks[y].off) })
	if int64(cap(b.data)) < size {
		b.data = nil // let the old one go before there is a new one
		b.data = make([]byte, size)
	}
	b.data = b.data[:size]
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(readsInFlight)
	rest := b.data
	for i := 0; i < len(order); {
		off, n := b.chunks[order[i]].off, int64(0)
		from, spilled := r.Source, b.chunks[order[i]].spilled
		if spilled {
			from = r.spill
		}
		for ; i < len(order); i++ {
			c := &b.chunks[order[i]]
			if n > 0 && (c.off != off+n || n+c.size > maxRead || c.spilled != spilled) {
				break
			}
			c.data = rest[n : n+c.size]
			n += c.size
		}
		part := rest[:n]
		rest = rest[n:]
		group.Go(func() error { return from.ReadAt(ctx, part, off) })
	}
	return group.Wait()
}
