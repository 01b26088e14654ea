package convert

import (
	"context"
	"slices"
	"sync"
	"testing"
)

// TestTurnsKeepTheOrderOfBatches has several workers take the turns of many batches, two of which are out at a time.
func TestTurnsKeepTheOrderOfBatches(t *testing.T) {
	const shards, batches = 5, 200
	turns := newTurns(t.Context(), shards)
	free := make(chan *batch, 2)
	free <- &batch{}
	free <- &batch{}
	var seen [shards][]int // what each shard was given; its turns are one after the other, so nothing guards it
	var workers sync.WaitGroup
	for range 3 {
		workers.Go(func() {
			for {
				turn, ok := turns.take(t.Context(), true)
				if !ok {
					return
				}
				seen[turn.shard] = append(seen[turn.shard], int(turn.batch.gaps))
				if turns.done(turn) {
					free <- turn.batch
				}
			}
		})
	}
	var want [shards][]int
	for w := range batches {
		b := <-free
		b.gaps = int64(w) // stands for what the batch holds
		b.records = make([][]int32, shards)
		for s := range shards {
			if (w+s)%3 > 0 { // not every batch has something for every shard
				b.records[s] = []int32{0}
				want[s] = append(want[s], w)
			}
		}
		if !turns.add(b) {
			t.Fatal("the batch has no turns")
		}
	}
	turns.close()
	workers.Wait()
	for s := range shards {
		if !slices.Equal(seen[s], want[s]) {
			t.Errorf("shard %d got the batches %v, want %v", s, seen[s], want[s])
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
