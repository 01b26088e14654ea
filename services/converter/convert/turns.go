package convert

import (
	"context"
	"slices"
	"sync"
)

// turn is what a batch holds for one shard.
type turn struct {
	batch *batch
	shard int
}

// turns shares the batches of a task out to its workers. Whichever worker is free takes a turn, so that none is idle while another
// has much to do; but the turns of a shard follow each other in the order of the batches, so that its bytes don't depend on who takes them.
type turns struct {
	mu      sync.Mutex
	changed *sync.Cond
	batches []*batch // that aren't through, the oldest first
	busy    []bool   // by shard: somebody has its turn
	closed  bool     // no more batches will come
}

func newTurns(ctx context.Context, shards int) *turns {
	t := &turns{busy: make([]bool, shards)}
	t.changed = sync.NewCond(&t.mu)
	context.AfterFunc(ctx, func() {
		t.mu.Lock() // Whoever has just seen the context alive is to wait before it is woken.
		defer t.mu.Unlock()
		t.changed.Broadcast()
	})
	return t
}

// add offers the turns of a batch and tells whether it has any.
func (t *turns) add(b *batch) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	b.turns = b.turns[:0]
	for shard, records := range b.records {
		if len(records) > 0 {
			b.turns = append(b.turns, shard)
		}
	}
	b.open = len(b.turns)
	if b.open == 0 {
		return false
	}
	t.batches = append(t.batches, b)
	t.changed.Broadcast()
	return true
}

// close says that add won't be called again.
func (t *turns) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	t.changed.Broadcast()
}

// take takes a turn, and waits for one if it should. Without one it returns false: there will be none, there is none now, or the context has ended.
func (t *turns) take(ctx context.Context, wait bool) (turn, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for ctx.Err() == nil {
		left := false
		for _, b := range t.batches {
			for i, shard := range b.turns {
				if !t.busy[shard] {
					t.busy[shard] = true
					b.turns = slices.Delete(b.turns, i, i+1)
					return turn{b, shard}, true
				}
				left = true
			}
		}
		if !wait || t.closed && !left {
			break
		}
		t.changed.Wait()
	}
	return turn{}, false
}

// done gives a turn back and tells whether its batch is through.
func (t *turns) done(of turn) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.busy[of.shard] = false
	t.changed.Broadcast()
	of.batch.open--
	if of.batch.open > 0 {
		return false
	}
	t.batches = slices.DeleteFunc(t.batches, func(b *batch) bool { return b == of.batch })
	return true
}
