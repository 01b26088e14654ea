package tracker_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/trainyard/trainyard/services/converter/internal/tracker"
	"github.com/trainyard/trainyard/services/internal/testkit"
	"golang.org/x/sync/errgroup"
)

func TestTracker(t *testing.T) {
	testkit.EachDatabase(t, func(t *testing.T, dsn string) {
		ctx := t.Context()
		track := open(t, dsn)
		begin := func(fence int64, plan string) []int {
			t.Helper()
			todo, err := track.Begin(ctx, conversion(fence, plan), sizes)
			if err != nil {
				t.Fatal(err)
			}
			return todo
		}
		done := func(plan string, task int, examples int64) {
			t.Helper()
			if err := track.Update(ctx, plan, tracker.Task{Project: "p", Name: "datasets/d/versions/1", Task: task, Done: true, Examples: examples, Read: 100}); err != nil {
				t.Fatal(err)
			}
		}

		if todo := begin(1, "plan-a"); !slices.Equal(todo, []int{0, 1, 2}) {
			t.Fatalf("to do at first: %v", todo)
		}
		done("plan-a", 1, 10)
		done("plan-b", 2, 99) // By a worker of another plan.
		done("plan-a", 1, 99) // A task done again counts once.
		if p, err := track.Progress(ctx, "p", "datasets/d/versions/1"); err != nil || p.Tasks != 3 || p.Done != 1 || p.Examples != 10 || p.ReadBytes != 200 || p.TotalReadBytes != 600 {
			t.Fatalf("progress %+v, %v", p, err)
		}
		if todo := begin(2, "plan-a"); !slices.Equal(todo, []int{0, 2}) {
			t.Errorf("the same plan under a new fence: to do %v, want what isn't done", todo)
		}
		if _, err := track.Begin(ctx, conversion(1, "plan-a"), sizes); !errors.Is(err, tracker.ErrTaken) {
			t.Errorf("a stale fence begins: %v", err)
		}
		if c, err := track.Get(ctx, "p", "datasets/d/versions/1"); err != nil || c.Fence != 2 {
			t.Errorf("the fence went back: %+v, %v", c, err)
		}
		if todo := begin(3, "plan-b"); !slices.Equal(todo, []int{0, 1, 2}) {
			t.Errorf("another plan: to do %v, want all", todo)
		}

		// Only the newest claim ends a conversion.
		for _, fence := range []int64{2, 3} {
			list, err := track.List(ctx)
			if err != nil || len(list) != 1 {
				t.Fatalf("before the end by fence %d: %v, %v", fence, list, err)
			}
			if err := track.End(ctx, conversion(fence, "")); err != nil {
				t.Fatal(err)
			}
		}
		if list, err := track.List(ctx); err != nil || len(list) != 0 {
			t.Errorf("after the end: %v, %v", list, err)
		}
		if p, err := track.Progress(ctx, "p", "datasets/d/versions/1"); err != nil || p.Tasks != 0 {
			t.Errorf("tasks after the end: %+v, %v", p, err)
		}
	})
}

// A conversion is kept from when all its messages are on the queue for as long as they are.
func TestKept(t *testing.T) {
	testkit.EachDatabase(t, func(t *testing.T, dsn string) {
		ctx := t.Context()
		track := open(t, dsn)
		kept := func(when string, want bool) {
			t.Helper()
			list, err := track.List(ctx)
			if err != nil || len(list) != 1 {
				t.Fatal(list, err)
			}
			if got, err := track.Kept(ctx, list[0]); err != nil || got != want {
				t.Errorf("%s: kept %v, %v; want %v", when, got, err, want)
			}
		}
		step := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		first, second := conversion(1, "plan"), conversion(2, "plan")
		_, err := track.Begin(ctx, first, sizes)
		step(err)
		kept("begun", false)
		step(track.SetSent(ctx, first, true))
		kept("sent", true)
		step(track.SetLastTry(ctx, first, 1, true))
		kept("a message was given out for the last time", false)
		step(track.SetLastTry(ctx, first, 1, false))
		kept("it was settled", true)
		step(track.SetLastTry(ctx, first, 1, true))
		_, err = track.Begin(ctx, second, sizes)
		step(err)
		step(track.SetSent(ctx, first, true))
		kept("begun anew, with the old claim still sending", false)
		step(track.SetSent(ctx, second, true))
		kept("sent anew", true)
	})
}

// Of claims that begin at once the newest stays, in whatever order they come.
func TestBeginAtOnce(t *testing.T) {
	testkit.EachDatabase(t, func(t *testing.T, dsn string) {
		track := open(t, dsn)
		var group errgroup.Group
		for fence := range int64(8) {
			group.Go(func() error {
				_, err := track.Begin(t.Context(), conversion(fence, fmt.Sprint("plan-", fence)), sizes)
				if errors.Is(err, tracker.ErrTaken) && fence < 7 {
					return nil
				}
				return err
			})
		}
		if err := group.Wait(); err != nil {
			t.Fatal(err)
		}
		if c, err := track.Get(t.Context(), "p", "datasets/d/versions/1"); err != nil || c.Fence != 7 || c.PlanKey != "plan-7" {
			t.Errorf("left: %+v, %v", c, err)
		}
	})
}

var sizes = []int64{100, 200, 300}

func conversion(fence int64, plan string) tracker.Conversion {
	return tracker.Conversion{Project: "p", Name: "datasets/d/versions/1", Fence: fence, PlanKey: plan, Records: 30}
}

func open(t *testing.T, dsn string) *tracker.Tracker {
	t.Helper()
	track, err := tracker.Open(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = track.Close() })
	return track
}
