package sweep_test

import (
	"errors"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/structpb"

	errorsv1 "github.com/trainyard/trainyard/gen/trainyard/errors/v1"
	trainingv1 "github.com/trainyard/trainyard/gen/trainyard/training/v1"
	"github.com/trainyard/trainyard/services/internal/testkit"
	"github.com/trainyard/trainyard/services/training/internal/job"
	"github.com/trainyard/trainyard/services/training/internal/sweep"
)

func TestStore(t *testing.T) {
	testkit.EachDatabase(t, func(t *testing.T, dsn string) {
		w := newWorld(t, dsn)
		for name, test := range map[string]func(*testing.T, *world){
			"a sweep is given back as it was stored":       sweepIsKept,
			"of two changes of one sweep one is refused":   secondChangeIsRefused,
			"a worker doesn't undo a user's stop":          stopWins,
			"a sweep is one worker's at a time":            leaseIsExclusive,
			"a lease that ran out is lost":                 leaseRunsOut,
			"a stop during a look makes the sweep due":     stopIsNotLost,
			"the end of a trial makes the sweep due":       endedTrialIsSeen,
			"a sweep in trouble rests, whatever has ended": troubleRests,
			"a request that is made twice makes one sweep": requestIsUnique,
			"lists go by project, newest first":            listPages,
		} {
			t.Run(name, func(t *testing.T) {
				test(t, w.forTest(t))
			})
		}
	})
}

func sweepIsKept(t *testing.T, w *world) {
	made := w.make(request(0, func(s *trainingv1.Sweep) {
		s.Parameters["epochs"] = &trainingv1.SweepRange{Minimum: 1, Maximum: 100, Logarithmic: true}
		s.Parameters["channels"] = &trainingv1.SweepRange{Values: []*structpb.Value{structpb.NewStringValue("rgb"), structpb.NewStringValue("grey")}}
		s.Strategy, s.MaxTrials, s.Seed = trainingv1.Sweep_RANDOM, 5, -3
		s.TrainingJob.Parameters = map[string]*structpb.Value{"augment": structpb.NewBoolValue(false)}
		s.TrainingJob.State, s.TrainingJob.Name = trainingv1.TrainingJob_FAILED, "trainingJobs/x" // Not for users to set.
	}))
	made.BestJob, made.BestValue, made.BilledSeconds, made.Cost, made.Currency = "j", 0.5, 7, 1.25, "CNY"
	made.Failure = &job.Failure{Reason: errorsv1.ErrorReason_QUOTA_EXCEEDED, Message: "☃ ? %s", Metadata: map[string]string{"trial": "1"}}
	if err := w.store.Save(t.Context(), made, sweep.EventProgress); err != nil {
		t.Fatal(err)
	}
	kept := w.get(made)
	if kept.NextAt = made.NextAt; !reflect.DeepEqual(kept, made) {
		t.Errorf("\n got %+v\nwant %+v", kept, made)
	}
	shown, err := kept.WithTrials(nil)
	if err != nil {
		t.Fatal(err)
	}
	template := shown.GetTrainingJob()
	if template.GetDatasetVersion() != "datasets/digits/versions/7" || template.GetName() != "" || template.GetState() != 0 ||
		template.GetParameters()["augment"].GetBoolValue() || len(shown.GetTrials()) != 5 || shown.GetTrials()[4].GetParameters()["epochs"].GetNumberValue() < 1 ||
		shown.GetSeed() != -3 || shown.GetObjectiveMetric() != "validation:accuracy" || shown.GetGoal() != trainingv1.Sweep_MAXIMIZE {
		t.Errorf("shown as %v", shown)
	}
}

func secondChangeIsRefused(t *testing.T, w *world) {
	s := w.make(request(2, nil))
	one, two := w.get(s), w.get(s)
	one.EndedTrialCount, two.State = 1, sweep.Failed
	if err := w.store.Save(t.Context(), one, sweep.EventProgress); err != nil {
		t.Fatal(err)
	}
	if err := w.store.Save(t.Context(), two, sweep.EventState); !errors.Is(err, sweep.ErrConflict) {
		t.Fatalf("got %v; want ErrConflict", err)
	}
	if now := w.get(s); now.State != sweep.Running || now.EndedTrialCount != 1 {
		t.Errorf("the sweep is %+v", now)
	}
	if got := w.events(s); !slices.Equal(got, []string{sweep.EventState, sweep.EventProgress}) {
		t.Errorf("events %v", got)
	}
}

func stopWins(t *testing.T, w *world) {
	s := w.make(request(2, nil))
	worker := w.claim(s)
	for range 2 { // Asking again changes nothing.
		if stopping, err := w.store.RequestStop(t.Context(), project, s.ID); err != nil || stopping.State != sweep.Stopping {
			t.Fatalf("stop: %v, %v", stopping, err)
		}
	}
	worker.State = sweep.Succeeded
	if err := w.store.Save(t.Context(), worker, sweep.EventState); !errors.Is(err, sweep.ErrConflict) {
		t.Fatalf("got %v; want ErrConflict", err)
	}
	var missing *job.NotFoundError
	if _, err := w.store.RequestStop(t.Context(), "q", s.ID); !errors.As(err, &missing) {
		t.Errorf("another project stops it: %v", err)
	}
}

func (w *world) claim(s *sweep.Sweep) *sweep.Sweep {
	w.t.Helper()
	claimed, err := w.store.Claim(w.t.Context(), s.ID)
	if err != nil {
		w.t.Fatal(err)
	}
	return claimed
}

func (w *world) isDue(s *sweep.Sweep) bool {
	w.t.Helper()
	ids, err := w.store.Due(w.t.Context(), 1000)
	if err != nil {
		w.t.Fatal(err)
	}
	return slices.Contains(ids, s.ID)
}

func (w *world) release(s *sweep.Sweep, next time.Duration, troubles int64) {
	w.t.Helper()
	if err := w.store.Release(w.t.Context(), s, next, troubles); err != nil {
		w.t.Fatal(err)
	}
}

func leaseIsExclusive(t *testing.T, w *world) {
	s := w.make(request(1, nil))
	if !w.isDue(s) {
		t.Error("a new sweep is not due")
	}
	results := make(chan error, 8)
	var workers sync.WaitGroup
	for range cap(results) {
		workers.Go(func() {
			_, err := w.store.Claim(t.Context(), s.ID)
			results <- err
		})
	}
	workers.Wait()
	won := 0
	for range cap(results) {
		switch err := <-results; {
		case err == nil:
			won++
		case !errors.Is(err, sweep.ErrLeased):
			t.Error(err)
		}
	}
	if won != 1 || w.isDue(s) {
		t.Errorf("%d workers have the sweep; due: %v", won, w.isDue(s))
	}
}

func leaseRunsOut(t *testing.T, w *world) {
	s := w.make(request(1, nil))
	dead := w.claim(s)
	if err := w.store.Renew(t.Context(), dead.ID, dead.Lease); err != nil {
		t.Fatal(err)
	}
	w.expire(s)
	alive := w.claim(s)
	if err := w.store.Renew(t.Context(), dead.ID, dead.Lease); !errors.Is(err, sweep.ErrLeased) {
		t.Errorf("a lost lease was renewed: %v", err)
	}
	w.release(dead, 0, 0) // What the dead one gives back is not its own any more.
	if err := w.store.Renew(t.Context(), alive.ID, alive.Lease); err != nil {
		t.Errorf("the lease of the living was given back: %v", err)
	}
}

// expire has a sweep's lease run out.
func (w *world) expire(s *sweep.Sweep) {
	w.t.Helper()
	if _, err := w.db.NewUpdate().Table("sweeps").Set("lease_until = 1").Where("id = ?", s.ID).Exec(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

func stopIsNotLost(t *testing.T, w *world) {
	s := w.make(request(1, nil))
	worker := w.claim(s)
	w.release(worker, time.Hour, 0)
	if w.isDue(s) {
		t.Fatal("a sweep is due before its time")
	}
	w.expire(s)
	worker = w.claim(s)
	if _, err := w.store.RequestStop(t.Context(), project, s.ID); err != nil { // While the worker is at it.
		t.Fatal(err)
	}
	w.release(worker, time.Hour, 0)
	if !w.isDue(s) {
		t.Error("a stop that came during a look is lost")
	}
}

func endedTrialIsSeen(t *testing.T, w *world) {
	s := w.make(request(2, nil))
	j, err := w.CreateTrial(t.Context(), project, s.ID, 1, &trainingv1.TrainingJob{}, "a-trial")
	if err != nil {
		t.Fatal(err)
	}
	w.release(w.claim(s), time.Hour, 0)
	if w.isDue(s) {
		t.Fatal("a sweep is due while its trial runs")
	}
	if _, err := w.jobs.RequestStop(t.Context(), project, j.ID); err != nil {
		t.Fatal(err)
	}
	if !w.isDue(s) {
		t.Error("it is not due")
	}
}

func troubleRests(t *testing.T, w *world) {
	s := w.make(request(1, nil))
	j, err := w.CreateTrial(t.Context(), project, s.ID, 1, &trainingv1.TrainingJob{}, "a-trial-of-trouble")
	if err != nil {
		t.Fatal(err)
	}
	w.release(w.claim(s), time.Hour, 1)
	if _, err := w.jobs.RequestStop(t.Context(), project, j.ID); err != nil {
		t.Fatal(err)
	}
	if w.isDue(s) {
		t.Error("it is due at once, and would be again and again")
	}
	if _, err := w.store.RequestStop(t.Context(), project, s.ID); err != nil {
		t.Fatal(err)
	}
	if !w.isDue(s) {
		t.Error("a stop has to wait for it")
	}
}

func requestIsUnique(t *testing.T, w *world) {
	one, err := w.maker.Create(t.Context(), project, "r", request(1, nil))
	if err != nil {
		t.Fatal(err)
	}
	other := *one
	other.ID = job.NewID(time.Now())
	two, err := w.store.Insert(t.Context(), &other) // As a call at the same time would.
	if err != nil || two.ID != one.ID {
		t.Errorf("sweep %v, %v", two, err)
	}
	three, err := w.maker.Create(t.Context(), project, "r", request(2, nil))
	if err != nil || three.ID != one.ID {
		t.Errorf("sweep %v, %v", three, err)
	}
	elsewhere, err := w.maker.Create(t.Context(), "q", "r", request(2, nil))
	if err != nil || elsewhere.ID == one.ID {
		t.Errorf("two projects have one sweep: %v, %v", elsewhere, err)
	}
	var field *sweep.FieldError
	if _, err := w.maker.Create(t.Context(), project, "a\nb", request(1, nil)); !errors.As(err, &field) || field.Field != "request_id" {
		t.Errorf("got %v", err)
	}
}

func listPages(t *testing.T, w *world) {
	var made []string
	for range 3 {
		s, err := w.maker.Create(t.Context(), "pages", "", request(1, nil))
		if err != nil {
			t.Fatal(err)
		}
		made = append([]string{s.ID}, made...)
		time.Sleep(2 * time.Millisecond) // Ids sort by the millisecond.
	}
	page, err := w.store.List(t.Context(), "pages", "", 2)
	if err != nil || len(page) != 2 || page[0].ID != made[0] || page[1].ID != made[1] || page[0].Trials != nil || page[0].TrialCount != 1 {
		t.Errorf("%v, %v", page, err)
	}
	page, err = w.store.List(t.Context(), "pages", made[1], 2)
	if err != nil || len(page) != 1 || page[0].ID != made[2] {
		t.Errorf("%v, %v", page, err)
	}
}
