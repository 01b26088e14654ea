package convert

import (
	"cmp"
	"context"
	"slices"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/trainyard/trainyard/services/converter/dataset"
	"github.com/trainyard/trainyard/services/converter/source"
)

// windowBuffer holds the source bytes of a window and says which shard takes which record.
type windowBuffer struct {
	data    []byte // nothing, if the source is near
	chunks  []taskChunk
	records [][]recordRef // by shard, in the order of writing
	count   int           // of records
	gaps    int64         // bytes that belong to no record, such as headers in a tar
	users   atomic.Int32  // workers that aren't through with it
}

type recordRef struct{ chunk, record int32 }

// readWindows reads one window after the other into free buffers and passes each to all workers. The
// two buffers are the task's byte budget: reading is ahead by one window and no more.
func (r *runner) readWindows(ctx context.Context, free chan *windowBuffer, out []chan *windowBuffer) error {
	const shuffling = 2
	bySplit := r.shardsBySplit()
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
		b.deal(&rng, bySplit, dealt, len(r.shards))
		if err := b.read(ctx, r); err != nil {
			return err
		}
		b.users.Store(int32(len(out))) //nolint:gosec // few
		for _, c := range out {
			select {
			case c <- b:
			case <-ctx.Done():
				return ctx.Err()
			}
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

// deal shuffles the window's records and deals them in turn to the shards of their splits; dealt
// counts through all windows, so that shards come out equally long.
func (b *windowBuffer) deal(rng *random, bySplit [][]int, dealt []int, shards int) {
	b.count, b.gaps = 0, 0
	for _, c := range b.chunks {
		b.count += len(c.records)
		b.gaps += c.size
		for i := range c.records {
			b.gaps -= c.records[i].entry.Extent
		}
	}
	refs := make([]recordRef, 0, b.count)
	for c := range b.chunks {
		for i := range b.chunks[c].records {
			refs = append(refs, recordRef{int32(c), int32(i)}) //nolint:gosec // bounded by a window
		}
	}
	shuffle(rng, refs)
	b.records = slices.Grow(b.records[:0], shards)[:shards]
	for i := range b.records {
		b.records[i] = b.records[i][:0]
	}
	for _, ref := range refs {
		split := b.chunks[ref.chunk].records[ref.record].split
		s := bySplit[split][dealt[split]%len(bySplit[split])]
		dealt[split]++
		b.records[s] = append(b.records[s], ref)
	}
}

// read fetches the window's chunks, several at once. Chunks that are neighbours in the source are fetched as one.
// Of a source that is near, the chunks are only announced, unless the records are so short that reading each by itself costs more than the copy.
func (b *windowBuffer) read(ctx context.Context, r *runner) error {
	const maxRead, longRecord = 8 << 20, 16 << 10
	order := make([]int, len(b.chunks))
	var size int64
	for i := range order {
		order[i] = i
		size += b.chunks[i].size
	}
	if near, ok := r.Source.(source.Prefetcher); ok && size >= longRecord*int64(b.count) {
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
		for ; i < len(order); i++ {
			c := &b.chunks[order[i]]
			if n > 0 && (c.off != off+n || n+c.size > maxRead) {
				break
			}
			c.data = rest[n : n+c.size]
			n += c.size
		}
		part := rest[:n]
		rest = rest[n:]
		group.Go(func() error { return r.Source.ReadAt(ctx, part, off) })
	}
	return group.Wait()
}
