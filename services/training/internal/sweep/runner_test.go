package sweep_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	errorsv1 "github.com/trainyard/trainyard/gen/trainyard/errors/v1"
	trainingv1 "github.com/trainyard/trainyard/gen/trainyard/training/v1"
	"github.com/trainyard/trainyard/services/internal/apierror"
	"github.com/trainyard/trainyard/services/internal/testkit"
	"github.com/trainyard/trainyard/services/training/internal/job"
	"github.com/trainyard/trainyard/services/training/internal/sweep"
)

const patience = 30 * time.Second

func (w *world) eventually(what string, condition func() bool) {
	w.t.Helper()
	testkit.Eventually(w.t, patience, what, condition)
}

// ended waits for the end of a sweep.
func (w *world) ended(s *sweep.Sweep) *sweep.Sweep {
	w.t.Helper()
	w.eventually("the sweep has ended", func() bool { return w.get(s).State.Ended() })
	return w.get(s)
}

func TestRunner(t *testing.T) {
	testkit.EachDatabase(t, func(t *testing.T, dsn string) {
		w := newWorld(t, dsn)
		for name, test := range map[string]func(*testing.T, *world){
			"the best of its trials is found":               bestIsFound,
			"the best may be the smallest":                  smallestIsBest,
			"a killed runner's sweep is gone on with":       killedRunner,
			"two runners share the work":                    twoRunners,
			"a stopped sweep stops its trials":              stopped,
			"a sweep that is stopped at once costs nothing": stoppedAtOnce,
			"a stop is seen while a trial is being made":    stoppedMeanwhile,
			"too many failures end a sweep":                 tooManyFailures,
			"few failures don't":                            fewFailures,
			"trials that were all stopped are no success":   allStopped,
			"a quota makes it wait":                         waitsForQuota,
			"an error that stays ends it":                   lastingError,
			"an error nobody can name is tried again":       unknownError,
			"somebody else's job is no trial":               foreignJob,
			"a job that outlived its sweep is stopped":      strayIsStopped,
		} {
			t.Run(name, func(t *testing.T) {
				test(t, w.forTest(t))
			})
		}
	})
}

// startedOnce checks that each trial has the one job that its request made, with the parameters planned.
func (w *world) startedOnce(s *sweep.Sweep, trials int) {
	w.t.Helper()
	jobs := w.trials(s.ID)
	if len(jobs) != trials {
		w.t.Errorf("%d jobs; want %d", len(jobs), trials)
	}
	for i, j := range jobs {
		whole, err := w.jobs.Get(w.t.Context(), project, j.ID)
		if err != nil {
			w.t.Fatal(err)
		}
		if j.Trial != int64(i+1) || whole.Parameters["epochs"] != float64(i+1) || whole.RequestID != fmt.Sprintf("sweep-%s-%d", s.ID, i+1) ||
			whole.DatasetVersion != "datasets/digits/versions/7" {
			w.t.Errorf("job %d is trial %d: %+v", i+1, j.Trial, whole)
		}
	}
}

func bestIsFound(t *testing.T, w *world) {
	s := w.makeOf(7, func(s *trainingv1.Sweep) { s.ParallelTrials = 3 })
	var running atomic.Int64
	w.run(w.sageMaker(s, func(j *job.Job) job.State {
		if running.Add(1)%3 != 0 { // Some take longer than others.
			return ""
		}
		return endsWell(0.1, 0.2, 0.9, 0.4, 0.9, 0.3, 0.2)(j)
	}))
	w.run(w.runner().Run)
	end := w.ended(s)
	jobs := w.trials(s.ID)
	if end.State != sweep.Succeeded || end.BestJob != jobs[2].ID || end.BestValue != 0.9 || end.EndedTrialCount != 7 || end.EndTime == 0 || end.Failure != nil {
		t.Errorf("it ended as %+v", end)
	}
	if w.mostOpen != 3 {
		t.Errorf("%d trials ran at a time; want 3", w.mostOpen)
	}
	w.startedOnce(s, 7)
	if len(w.created) != 7 {
		t.Errorf("created %v", w.created)
	}
	shown, err := end.WithTrials(jobs)
	if err != nil {
		t.Fatal(err)
	}
	if end.BilledSeconds != 70 || end.Cost < 0.069 || end.Cost > 0.071 || end.Currency != "USD" || shown.GetBilledSeconds() != 70 {
		t.Errorf("billed %d s, %v %s", end.BilledSeconds, end.Cost, end.Currency)
	}
	if trial := shown.GetTrials()[3]; trial.GetNumber() != 4 || trial.GetTrainingJob() != job.Name(jobs[3].ID) || trial.GetValue() != 0.4 ||
		!trial.GetHasValue() || trial.GetBilledSeconds() != 10 || trial.GetState() != trainingv1.TrainingJob_SUCCEEDED || trial.GetParameters()["epochs"].GetNumberValue() != 4 {
		t.Errorf("trial %v", trial)
	}
	events := w.events(s)
	if events[0] != sweep.EventState || events[len(events)-1] != sweep.EventState || !slices.Contains(events, sweep.EventProgress) {
		t.Errorf("events %v", events)
	}
}

func smallestIsBest(t *testing.T, w *world) {
	s := w.makeOf(3, func(s *trainingv1.Sweep) { s.ObjectiveMetric = "validation:loss" })
	w.run(w.sageMaker(s, endsWell(0.25, 0.75, 0.75)))
	w.run(w.runner().Run)
	if end := w.ended(s); end.BestValue != 0.25 || end.BestJob != w.trials(s.ID)[1].ID {
		t.Errorf("it ended as %+v", end)
	}
}

// killedRunner kills runners at all of the places that matter: before a job was made, after it was made and before anybody was
// told, and with the lease still held.
func killedRunner(t *testing.T, w *world) {
	s := w.makeOf(6, nil)
	w.run(w.sageMaker(s, endsWell(0.1, 0.2, 0.3, 0.4, 0.5, 0.6)))
	for trial := 1; trial <= 5; trial++ {
		ctx, kill := context.WithCancel(t.Context())
		dies := func(number int) error {
			if number != trial {
				return nil
			}
			kill()
			return errors.New("killed")
		}
		w.mu.Lock()
		if w.refuse, w.spoil = nil, dies; trial%2 == 0 {
			w.refuse, w.spoil = dies, nil
		}
		w.mu.Unlock()
		if err := w.runner().Run(ctx); err != nil {
			t.Fatal(err)
		}
		w.claim(s) // By a worker that dies without giving it back.
		w.expire(s)
	}
	w.mu.Lock()
	w.refuse, w.spoil = nil, nil
	w.mu.Unlock()
	w.run(w.runner().Run)
	if end := w.ended(s); end.State != sweep.Succeeded || end.BestValue != 0.6 || end.Failure != nil {
		t.Errorf("it ended as %+v", end)
	}
	w.startedOnce(s, 6)
	if w.mostOpen > 2 {
		t.Errorf("%d trials ran at a time; want at most 2", w.mostOpen)
	}
}

func twoRunners(t *testing.T, w *world) {
	one, two := w.makeOf(5, nil), w.makeOf(5, nil)
	for _, s := range []*sweep.Sweep{one, two} {
		w.run(w.sageMaker(s, endsWell(0.1, 0.2, 0.3, 0.4, 0.5)))
	}
	w.run(w.runner().Run)
	w.run(w.runner().Run)
	for _, s := range []*sweep.Sweep{one, two} {
		if end := w.ended(s); end.State != sweep.Succeeded {
			t.Errorf("it ended as %+v", end)
		}
		w.startedOnce(s, 5)
	}
	if w.mostOpen > 2 {
		t.Errorf("%d trials of a sweep ran at a time; want at most 2", w.mostOpen)
	}
}

func stopped(t *testing.T, w *world) {
	s := w.makeOf(6, nil)
	w.run(w.sageMaker(s, func(j *job.Job) job.State {
		if j.Trial > 1 {
			return ""
		}
		return endsWell(0.5)(j)
	}))
	w.run(w.runner().Run)
	w.eventually("three trials were started", func() bool { return len(w.trials(s.ID)) == 3 })
	if _, err := w.store.RequestStop(t.Context(), project, s.ID); err != nil {
		t.Fatal(err)
	}
	end := w.ended(s)
	if end.State != sweep.Stopped || end.BestValue != 0.5 || end.EndedTrialCount != 3 || end.Failure != nil {
		t.Errorf("it ended as %+v", end)
	}
	for _, j := range w.trials(s.ID) {
		if !j.State.Ended() {
			t.Errorf("trial %d is %s", j.Trial, j.State)
		}
	}
	w.startedOnce(s, 3)
}

func stoppedAtOnce(t *testing.T, w *world) {
	s := w.makeOf(2, nil)
	if _, err := w.store.RequestStop(t.Context(), project, s.ID); err != nil {
		t.Fatal(err)
	}
	w.run(w.runner().Run)
	if end := w.ended(s); end.State != sweep.Stopped || len(w.trials(s.ID)) != 0 {
		t.Errorf("it ended as %+v", end)
	}
}

func stoppedMeanwhile(t *testing.T, w *world) {
	s := w.makeOf(3, nil)
	w.spoil = func(int) error {
		_, err := w.store.RequestStop(t.Context(), project, s.ID)
		return err
	}
	w.run(w.sageMaker(s, func(*job.Job) job.State { return "" }))
	w.run(w.runner().Run)
	if end := w.ended(s); end.State != sweep.Stopped || end.StartedTrialCount != 1 {
		t.Errorf("it ended as %+v", end)
	}
	if jobs := w.trials(s.ID); len(jobs) != 1 || jobs[0].State != job.Stopped {
		t.Errorf("jobs %v", jobs)
	}
}

func tooManyFailures(t *testing.T, w *world) {
	s := w.makeOf(9, func(s *trainingv1.Sweep) { s.MaxFailedTrials, s.ParallelTrials = 1, 3 })
	w.run(w.sageMaker(s, func(j *job.Job) job.State {
		if j.Trial == 1 {
			return "" // It would go on for ever.
		}
		return job.Failed
	}))
	w.run(w.runner().Run)
	end := w.ended(s)
	jobs := w.trials(s.ID)
	if end.State != sweep.Failed || end.Failure == nil || !strings.Contains(end.Failure.Message, "trials failed, and the sweep allows 1. Trial ") ||
		!strings.Contains(end.Failure.Message, "became nan") || end.Failure.Metadata["training_job"] == "" {
		t.Errorf("it ended as %+v: %+v", end, end.Failure)
	}
	if jobs[0].State != job.Stopped || len(jobs) > 5 {
		t.Errorf("%d trials were started; the first is %s", len(jobs), jobs[0].State)
	}
	if _, err := w.store.RequestStop(t.Context(), project, s.ID); err != nil || w.get(s).State != sweep.Failed {
		t.Errorf("an ended sweep was stopped: %v", err)
	}
}

func fewFailures(t *testing.T, w *world) {
	s := w.makeOf(3, func(s *trainingv1.Sweep) { s.MaxFailedTrials = 1 })
	w.run(w.sageMaker(s, func(j *job.Job) job.State {
		endsWell(0.9, 0.5, 0.4)(j)
		if j.Trial == 1 {
			return job.Failed // Its accuracy doesn't count.
		}
		return job.Succeeded
	}))
	w.run(w.runner().Run)
	if end := w.ended(s); end.State != sweep.Succeeded || end.BestValue != 0.5 {
		t.Errorf("it ended as %+v", end)
	}
}

func allStopped(t *testing.T, w *world) {
	s := w.makeOf(1, nil)
	w.run(w.sageMaker(s, func(*job.Job) job.State { return job.Stopped }))
	w.run(w.runner().Run)
	if end := w.ended(s); end.State != sweep.Failed || end.Failure == nil || !strings.Contains(end.Failure.Message, "all were stopped") {
		t.Errorf("it ended as %+v", end)
	}
}

func waitsForQuota(t *testing.T, w *world) {
	s := w.makeOf(4, nil)
	var full atomic.Bool
	var refused atomic.Int64
	full.Store(true)
	w.refuse = func(trial int) error {
		if trial > 1 && full.Load() {
			refused.Add(1)
			return apierror.New(codes.ResourceExhausted, errorsv1.ErrorReason_QUOTA_EXCEEDED, "The project has 1 of 1 jobs running.", "left", "0")
		}
		return nil
	}
	w.run(w.sageMaker(s, endsWell(0.1, 0.2, 0.3, 0.4)))
	w.run(w.runner().Run)
	w.eventually("the sweep says that it waits", func() bool { return w.get(s).Failure != nil })
	w.eventually("its first trial has ended", func() bool { return w.get(s).EndedTrialCount == 1 })
	told := len(w.events(s))
	tries := refused.Load()
	w.eventually("it has tried again", func() bool { return refused.Load() > tries+5 })
	if n := len(w.events(s)); n > told+1 { // One that may have been on its way.
		t.Errorf("%d events while it waits, of which nothing is new", n-told)
	}
	waits := w.get(s)
	if waits.State != sweep.Running || waits.Failure == nil || waits.Failure.Reason != errorsv1.ErrorReason_QUOTA_EXCEEDED || waits.Failure.Metadata["left"] != "0" ||
		waits.Failure.Metadata["trial"] != "2" || waits.BestValue != 0.1 {
		t.Errorf("it waits as %+v: %+v", waits, waits.Failure)
	}
	full.Store(false)
	if end := w.ended(s); end.State != sweep.Succeeded || end.Failure != nil {
		t.Errorf("it ended as %+v", end)
	}
	w.startedOnce(s, 4)
}

func lastingError(t *testing.T, w *world) {
	s := w.makeOf(4, nil)
	w.refuse = func(trial int) error {
		if trial == 2 {
			return apierror.New(codes.FailedPrecondition, errorsv1.ErrorReason_PREFLIGHT_FAILED, "Port 2049 is shut.", "checks", "efs-security")
		}
		return nil
	}
	w.run(w.sageMaker(s, func(*job.Job) job.State { return "" }))
	w.run(w.runner().Run)
	end := w.ended(s)
	if end.State != sweep.Failed || end.Failure == nil || end.Failure.Reason != errorsv1.ErrorReason_PREFLIGHT_FAILED || end.Failure.Metadata["checks"] != "efs-security" {
		t.Errorf("it ended as %+v: %+v", end, end.Failure)
	}
	if jobs := w.trials(s.ID); len(jobs) != 1 || jobs[0].State != job.Stopped {
		t.Errorf("jobs %v", jobs)
	}
}

func unknownError(t *testing.T, w *world) {
	s := w.makeOf(1, nil)
	var calls atomic.Int64
	w.refuse = func(int) error {
		if calls.Add(1) == 1 {
			return status.Error(codes.Unknown, "a secret of the inside")
		}
		return nil
	}
	w.run(w.sageMaker(s, endsWell(0.1)))
	w.run(w.runner().Run)
	w.eventually("the sweep says that it is tried again", func() bool { return w.get(s).Failure != nil || w.get(s).State.Ended() })
	if f := w.get(s).Failure; f != nil && (f.Reason != errorsv1.ErrorReason_INTERNAL_ERROR || strings.Contains(f.Message, "secret")) {
		t.Errorf("it says %+v", f)
	}
	if end := w.ended(s); end.State != sweep.Succeeded || end.Failure != nil {
		t.Errorf("it ended as %+v", end)
	}
	// Now it stays. The sweep has had all but one of its tries.
	s = w.makeOf(1, nil)
	w.refuse = func(int) error { return errors.New("a secret of the inside") }
	if _, err := w.db.NewUpdate().Table("sweeps").Set("troubles = 9").Where("id = ?", s.ID).Exec(t.Context()); err != nil {
		t.Fatal(err)
	}
	if end := w.ended(s); end.State != sweep.Failed || !strings.Contains(end.Failure.Message, "10 times in a row") {
		t.Errorf("it ended as %+v: %+v", end, end.Failure)
	}
}

func foreignJob(t *testing.T, w *world) {
	s := w.makeOf(2, nil)
	if _, err := w.CreateTrial(t.Context(), project, "", 0, &trainingv1.TrainingJob{}, fmt.Sprintf("sweep-%s-1", s.ID)); err != nil {
		t.Fatal(err)
	}
	w.run(w.runner().Run)
	if end := w.ended(s); end.State != sweep.Failed || end.Failure.Reason != errorsv1.ErrorReason_RESOURCE_EXISTS {
		t.Errorf("it ended as %+v", end)
	}
}

func strayIsStopped(t *testing.T, w *world) {
	s := w.makeOf(2, nil)
	if _, err := w.store.RequestStop(t.Context(), project, s.ID); err != nil {
		t.Fatal(err)
	}
	w.run(w.runner().Run)
	w.ended(s)
	// A worker without a lease was slow to make it.
	j, err := w.CreateTrial(t.Context(), project, s.ID, 1, &trainingv1.TrainingJob{}, fmt.Sprintf("sweep-%s-1", s.ID))
	if err != nil {
		t.Fatal(err)
	}
	w.eventually("the job is stopped", func() bool {
		now, err := w.jobs.Get(t.Context(), project, j.ID)
		return err == nil && now.State == job.Stopped
	})
}
