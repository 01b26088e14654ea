package convert

import (
	"context"
	"slices"
	"sync"
	"testing"
)

// TestTurnsKeepTheOrderOfWindows has several workers take the turns of many windows, two of which are out at a time.
func TestTurnsKeepTheOrderOfWindows(t *testing.T) {
	const shards, windows = 5, 200
	turns := newTurns(t.Context(), shards)
	free := make(chan *windowBuffer, 2)
	free <- &windowBuffer{}
	free <- &windowBuffer{}
	var seen [shards][]int // what each shard was given; its turns are one after the other, so nothing guards it
	var workers sync.WaitGroup
	for range 3 {
		workers.Go(func() {
			for {
				turn, ok := turns.take(t.Context(), true)
				if !ok {
					return
				}
				seen[turn.shard] = append(seen[turn.shard], int(turn.window.gaps))
				if turns.done(turn) {
					free <- turn.window
				}
			}
		})
	}
	var want [shards][]int
	for w := range windows {
		b := <-free
		b.gaps = int64(w) // stands for what the window holds
		b.records = make([][]int32, shards)
		for s := range shards {
			if (w+s)%3 > 0 { // not every window has something for every shard
				b.records[s] = []int32{0}
				want[s] = append(want[s], w)
			}
		}
		if !turns.add(b) {
			t.Fatal("the window has no turns")
		}
	}
	turns.close()
	workers.Wait()
	for s := range shards {
		if !slices.Equal(seen[s], want[s]) {
			t.Errorf("shard %d got the windows %v, want %v", s, seen[s], want[s])
		}
	}
}

// TestTurnsEndWithTheContext has workers wait for turns that never come.
func TestTurnsEndWithTheContext(t *testing.T) {
	for range 200 {
		ctx, cancel := context.WithCancel(t.Context())
		turns := newTurns(ctx, 1)
		var workers sync.WaitGroup
		for range 2 {
			workers.Go(func() {
				if _, ok := turns.take(ctx, true); ok {
					t.Error("there was a turn")
				}
			})
		}
		cancel()
		workers.Wait()
	}
}
