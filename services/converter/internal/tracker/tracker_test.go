package tracker_test

import (
	"slices"
	"testing"

	"github.com/trainyard/trainyard/services/converter/internal/tracker"
	"github.com/trainyard/trainyard/services/internal/testkit"
)

func TestTracker(t *testing.T) {
	testkit.EachDatabase(t, func(t *testing.T, dsn string) {
		ctx := t.Context()
		track, err := tracker.Open(ctx, dsn)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = track.Close() })
		begin := func(fence int64, plan string) []int {
			t.Helper()
			todo, err := track.Begin(ctx, tracker.Conversion{Project: "p", Name: "datasets/d/versions/1", Fence: fence, PlanKey: plan, Records: 30}, []int64{100, 200, 300})
			if err != nil {
				t.Fatal(err)
			}
			return todo
		}
		done := func(task int, examples int64) {
			t.Helper()
			if err := track.Update(ctx, tracker.Task{Project: "p", Name: "datasets/d/versions/1", Task: task, Done: true, Examples: examples, Read: 100}); err != nil {
				t.Fatal(err)
			}
		}

		if todo := begin(1, "plan-a"); !slices.Equal(todo, []int{0, 1, 2}) {
			t.Fatalf("to do at first: %v", todo)
		}
		done(1, 10)
		done(1, 99) // A task done again counts once.
		if p, err := track.Progress(ctx, "p", "datasets/d/versions/1"); err != nil || p.Tasks != 3 || p.Done != 1 || p.Examples != 10 || p.TotalReadBytes != 600 {
			t.Fatalf("progress %+v, %v", p, err)
		}
		if todo := begin(2, "plan-a"); !slices.Equal(todo, []int{0, 2}) {
			t.Errorf("the same plan under a new fence: to do %v, want what isn't done", todo)
		}
		if todo := begin(1, "plan-a"); len(todo) != 0 {
			t.Errorf("a stale fence has %v to do", todo)
		}
		if c, err := track.Get(ctx, "p", "datasets/d/versions/1"); err != nil || c.Fence != 2 {
			t.Errorf("the fence went back: %+v, %v", c, err)
		}
		if todo := begin(3, "plan-b"); !slices.Equal(todo, []int{0, 1, 2}) {
			t.Errorf("another plan: to do %v, want all", todo)
		}

		// Until its tasks are sent nobody keeps its lease: it has to be claimed anew.
		if running, err := track.Running(ctx); err != nil || len(running) != 0 {
			t.Errorf("before its tasks are sent: %v, %v", running, err)
		}
		if err := track.Sent(ctx, tracker.Conversion{Project: "p", Name: "datasets/d/versions/1", Fence: 3}); err != nil {
			t.Fatal(err)
		}

		// Only the newest claim ends a conversion.
		for _, fence := range []int64{2, 3} {
			running, err := track.Running(ctx)
			if err != nil || len(running) != 1 {
				t.Fatalf("before the end by fence %d: %v, %v", fence, running, err)
			}
			if err := track.End(ctx, tracker.Conversion{Project: "p", Name: "datasets/d/versions/1", Fence: fence}); err != nil {
				t.Fatal(err)
			}
		}
		if running, err := track.Running(ctx); err != nil || len(running) != 0 {
			t.Errorf("after the end: %v, %v", running, err)
		}
	})
}
