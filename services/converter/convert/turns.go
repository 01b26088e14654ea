package convert

import (
	"context"
	"slices"
	"sync"
)

// turn is what a window holds for one shard.
type turn struct {
	window *windowBuffer
	shard  int
}

// turns shares the windows of a task out to its workers. Whichever worker is free takes a turn, so that none is idle while another
// has much to do; but the turns of a shard follow each other in the order of the windows, so that its bytes don't depend on who takes them.
type turns struct {
	mu      sync.Mutex
	changed *sync.Cond
	windows []*windowBuffer // that aren't through, the oldest first
	busy    []bool          // by shard: somebody has its turn
	closed  bool            // no more windows will come
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

// add offers the turns of a window and tells whether it has any.
func (t *turns) add(b *windowBuffer) bool {
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
	t.windows = append(t.windows, b)
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
		for _, b := range t.windows {
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

// done gives a turn back and tells whether its window is through.
func (t *turns) done(of turn) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.busy[of.shard] = false
	t.changed.Broadcast()
	of.window.open--
	if of.window.open > 0 {
		return false
	}
	t.windows = slices.DeleteFunc(t.windows, func(b *windowBuffer) bool { return b == of.window })
	return true
}
