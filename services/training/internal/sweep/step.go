package sweep

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	errorsv1 "github.com/trainyard/trainyard/gen/trainyard/errors/v1"
	"github.com/trainyard/trainyard/services/internal/apierror"
	"github.com/trainyard/trainyard/services/internal/store"
	"github.com/trainyard/trainyard/services/training/internal/job"
)

const (
	// maxTroubles is how often in a row starting a trial may fail for a reason that nobody can name, before the sweep ends: with
	// the backoff about five minutes.
	maxTroubles = 10
	// createTimeout bounds the making of a job, with the checks before it.
	createTimeout = 2 * time.Minute
)

// step does the next thing that a claimed sweep needs, and says how long it may rest after that. It starts one trial at most,
// so that a user's stop is seen before the next.
func (r *Runner) step(ctx context.Context, s *Sweep) (time.Duration, error) {
	jobs, err := r.deps.Sweeps.Jobs(ctx, s.ID)
	if err != nil {
		return 0, err
	}
	before := *s
	t := s.take(jobs)
	switch {
	case s.State == Stopping && len(t.open) > 0:
		if err := r.stop(ctx, t.open); err != nil {
			return 0, err
		}
		return r.cfg.PollEvery, r.save(ctx, &before, s)
	case s.State == Stopping:
		return 0, r.end(ctx, s, stoppedAs(s))
	case t.failed > s.MaxFailedTrials:
		return 0, r.giveUp(ctx, s, tooManyFailed(s, t))
	case t.next <= s.TrialCount && int64(len(t.open)) < s.ParallelTrials:
		return r.start(ctx, &before, s, t)
	case len(t.open) > 0:
		s.Failure = nil
		return r.cfg.PollEvery, r.save(ctx, &before, s)
	case t.well > 0:
		s.Failure = nil
		return 0, r.end(ctx, s, Succeeded)
	}
	s.Failure = noneWell(s, t)
	return 0, r.end(ctx, s, Failed)
}

// start starts the next trial. What keeps it from that is shown as the sweep's failure: while it may pass by, the sweep waits.
func (r *Runner) start(ctx context.Context, before, s *Sweep, t tally) (time.Duration, error) {
	template, err := s.template()
	if err != nil {
		return 0, err
	}
	number := t.next
	asked, err := trialJob(template, s.Trials[number-1])
	if err != nil {
		return 0, err
	}
	requestID := fmt.Sprintf("sweep-%s-%d", s.ID, number)
	bounded, cancel := context.WithTimeout(ctx, createTimeout)
	defer cancel()
	j, err := r.deps.Creator.CreateTrial(bounded, s.Project, s.ID, int(number), asked, requestID)
	if err != nil && errors.Is(bounded.Err(), context.DeadlineExceeded) {
		err = apierror.New(codes.DeadlineExceeded, errorsv1.ErrorReason_DEPENDENCY_UNAVAILABLE,
			fmt.Sprintf("The checks before trial %d took longer than %v; it is tried again.", number, createTimeout))
	}
	if err == nil && (j.Sweep != s.ID || j.Trial != number) {
		// Going on would ask for it for ever.
		return 0, r.giveUp(ctx, s, &job.Failure{
			Reason: errorsv1.ErrorReason_RESOURCE_EXISTS,
			Message: fmt.Sprintf("%s was made with request_id %s, which trial %d of this sweep needs: make the sweep again, and leave request_ids of this form to sweeps.",
				job.Name(j.ID), requestID, number),
			Metadata: map[string]string{"resource": job.Name(j.ID), "trial": fmt.Sprint(number)},
		})
	}
	if err != nil {
		return r.notStarted(ctx, before, s, number, err)
	}
	r.deps.JobsChanged()
	s.Failure = nil
	s.StartedTrialCount++
	return 0, r.save(ctx, before, s)
}

// notStarted decides what an error of the Creator's means for the sweep.
func (r *Runner) notStarted(ctx context.Context, before, s *Sweep, number int64, cause error) (time.Duration, error) {
	if ctx.Err() != nil {
		return 0, cause // The service ends, or the lease was lost.
	}
	told := status.Convert(r.deps.Status(cause))
	f := &job.Failure{Reason: apierror.Reason(told.Err()), Message: told.Message(), Metadata: map[string]string{"trial": fmt.Sprint(number)}}
	maps.Copy(f.Metadata, apierror.Facts(told.Err()))
	switch told.Code() {
	case codes.Unavailable, codes.ResourceExhausted, codes.DeadlineExceeded, codes.Aborted, codes.Canceled:
		s.Failure = f
		return r.cfg.WaitFor, r.save(ctx, before, s)
	case codes.InvalidArgument, codes.FailedPrecondition, codes.NotFound, codes.AlreadyExists, codes.OutOfRange, codes.PermissionDenied:
		return 0, r.giveUp(ctx, s, f)
	}
	// What it was is in the log only.
	f.Reason = errorsv1.ErrorReason_INTERNAL_ERROR
	f.Message = fmt.Sprintf("Trial %d could not be started for an internal error; it is tried again.", number)
	if s.Troubles+1 >= maxTroubles {
		f.Message = fmt.Sprintf("Trial %d could not be started for an internal error, %d times in a row: ask the operator to look into the log, then make the sweep again.",
			number, maxTroubles)
		return 0, r.giveUp(ctx, s, f)
	}
	s.Failure = f
	if err := r.save(ctx, before, s); err != nil {
		return 0, err
	}
	return 0, fmt.Errorf("start trial %d: %w", number, cause)
}

// save writes what a look has found, if it is anything new, with an event if there is more than seconds and money to tell.
func (r *Runner) save(ctx context.Context, before, s *Sweep) error {
	switch {
	case s.StartedTrialCount != before.StartedTrialCount || s.EndedTrialCount != before.EndedTrialCount || s.BestJob != before.BestJob ||
		s.BestValue != before.BestValue || !reflect.DeepEqual(s.Failure, before.Failure):
		return r.deps.Sweeps.Save(ctx, s, EventProgress)
	case s.BilledSeconds != before.BilledSeconds || s.Cost != before.Cost || s.Currency != before.Currency:
		return r.deps.Sweeps.Save(ctx, s, "")
	}
	return nil
}

// giveUp starts no more trials and has those that run stopped; the sweep ends as FAILED then.
func (r *Runner) giveUp(ctx context.Context, s *Sweep, f *job.Failure) error {
	s.State, s.Failure = Stopping, f
	return r.deps.Sweeps.Save(ctx, s, EventState)
}

func (r *Runner) end(ctx context.Context, s *Sweep, as State) error {
	s.State, s.EndTime = as, store.Micros(time.Now())
	return r.deps.Sweeps.Save(ctx, s, EventState)
}

// stoppedAs is how a sweep ends that was being stopped: by its user, or by a failure.
func stoppedAs(s *Sweep) State {
	if s.Failure != nil {
		return Failed
	}
	return Stopped
}

func tooManyFailed(s *Sweep, t tally) *job.Failure {
	return trialsFailed(t, fmt.Sprintf("%d of %d trials failed, and the sweep allows %d.", t.failed, s.TrialCount, s.MaxFailedTrials))
}

func noneWell(s *Sweep, t tally) *job.Failure {
	if t.lastFailed == nil {
		return &job.Failure{
			Reason:  errorsv1.ErrorReason_WRONG_STATE,
			Message: fmt.Sprintf("None of the %d trials ended well: all were stopped. Make the sweep again and let a trial end.", s.TrialCount),
		}
	}
	return trialsFailed(t, fmt.Sprintf("None of the %d trials ended well; %d failed.", s.TrialCount, t.failed))
}

// trialsFailed tells of failed trials by one of them, which is likely to be like the others.
func trialsFailed(t tally, message string) *job.Failure {
	f := &job.Failure{
		Reason:   errorsv1.ErrorReason_TRAINER_FAILED,
		Metadata: map[string]string{"training_job": job.Name(t.lastFailed.ID), "failed_trials": fmt.Sprint(t.failed)},
	}
	why := ""
	if of := t.lastFailed.Failure; of != nil {
		f.Reason, why = of.Reason, of.Message
	}
	f.Message = fmt.Sprintf("%s Trial %d said: %s Mend that, then make the sweep again.", message, t.lastFailed.Trial, why)
	return f
}
