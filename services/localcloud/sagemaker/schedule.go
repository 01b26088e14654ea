package sagemaker

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"
)

// Why a program is told to stop, as the cause of its context's end. The end of the service itself is neither.
var (
	errStopRequested      = errors.New("stop requested")
	errMaxRuntimeExceeded = errors.New("MaxRuntimeInSeconds exceeded")
	errMaxWaitExceeded    = errors.New("MaxWaitTimeInSeconds exceeded")
	errInterrupted        = errors.New("spot instance interrupted")
)

// heartbeat is how often a job in progress is marked alive; after a crash its phase is taken to have ended at the last one.
const heartbeat = 2 * time.Second

// run is a job that is being worked on.
type run struct {
	cancel context.CancelCauseFunc
}

// Run works on jobs until ctx ends. First it takes up those that an earlier process left: their programs, should any still
// live, are killed. When ctx ends, programs are told to stop, killed after CloseGrace, and their jobs stay in progress for
// the next Run.
func (s *Service) Run(ctx context.Context) error {
	if err := s.recover(ctx); err != nil {
		return fmt.Errorf("take up training jobs: %w", err)
	}
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.relayEvents(gctx) })
	g.Go(func() error { return s.schedule(gctx) })
	if err := g.Wait(); err != nil && ctx.Err() == nil {
		return err
	}
	return nil
}

// recover brings every job that an earlier process left into a state from which schedule can go on.
func (s *Service) recover(ctx context.Context) error {
	names, err := s.store.active(ctx)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := killStrays(s.jobDir(name)); err != nil {
			return err
		}
		alive, err := s.store.lastAlive(ctx, name)
		if err != nil {
			return err
		}
		if _, err := s.store.update(ctx, name, func(j *job) error {
			ended := alive
			if start := j.Transitions[len(j.Transitions)-1].Start; ended.Before(start) {
				ended = start
			}
			switch {
			case j.Outcome != nil: // Only the upload is left, and it can be done again.
			case j.Status == types.TrainingJobStatusStopping:
				// The program was to stop and is gone now.
				j.Outcome = &outcome{Kind: j.StopCause, Ran: true}
				j.move(types.SecondaryStatusUploading, ended)
			case j.Secondary == types.SecondaryStatusDownloading || j.Secondary == types.SecondaryStatusTraining:
				j.move(types.SecondaryStatusRestarting, ended)
			}
			return nil
		}); err != nil {
			return err
		}
		s.log.Info("taking up a training job", zap.String("job", name))
	}
	return s.sweep(names)
}

// sweep removes the folders of jobs that have ended, should a crash have kept us from it.
func (s *Service) sweep(active []string) error {
	dirs, err := os.ReadDir(filepath.Join(s.cfg.Dir, "jobs"))
	if err != nil {
		return err
	}
	for _, d := range dirs {
		if !slices.Contains(active, d.Name()) {
			if err := os.RemoveAll(s.jobDir(d.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// schedule starts jobs, the oldest first, as places get free.
func (s *Service) schedule(ctx context.Context) error {
	var jobs sync.WaitGroup
	defer jobs.Wait()
	for {
		overdue, err := s.startJobs(ctx, &jobs)
		if err != nil {
			return err
		}
		var alarm <-chan time.Time
		if !overdue.IsZero() {
			alarm = time.After(time.Until(overdue))
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.wake:
		case <-alarm:
		}
	}
}

// startJobs starts what can start, and says when the first job that is left waiting will have waited too long.
func (s *Service) startJobs(ctx context.Context, jobs *sync.WaitGroup) (overdue time.Time, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	names, err := s.store.active(ctx)
	if err != nil {
		return overdue, err
	}
	for _, name := range names {
		if s.running[name] != nil {
			continue
		}
		j, err := s.store.get(ctx, name)
		if err != nil {
			return overdue, err
		}
		start, err := s.hasPlace(ctx, j)
		if err != nil {
			return overdue, err
		}
		if !start {
			if at, ok := j.waitsUntil(); ok && (overdue.IsZero() || at.Before(overdue)) {
				overdue = at
			}
			if j.Secondary == types.SecondaryStatusStarting {
				if _, err := s.change(ctx, name, func(j *job) { j.move(types.SecondaryStatusPending, time.Now()) }); err != nil {
					return overdue, err
				}
			}
			continue
		}
		runCtx, cancel := context.WithCancelCause(ctx)
		s.running[name] = &run{cancel: cancel}
		if j.Status == types.TrainingJobStatusStopping && j.Outcome == nil {
			cancel(errStopRequested)
		}
		jobs.Go(func() {
			defer cancel(nil)
			if err := s.work(ctx, runCtx, name); err != nil && ctx.Err() == nil {
				s.log.Error("training job", zap.String("job", name), zap.Error(err))
			}
			s.mu.Lock()
			delete(s.running, name)
			s.mu.Unlock()
			signal(s.wake)
		})
	}
	return overdue, nil
}

// hasPlace tells whether a job can be worked on now. One that only has to end takes no place, and one that fits a warm pool
// takes the pool's.
func (s *Service) hasPlace(ctx context.Context, j *job) (bool, error) {
	if at, ok := j.waitsUntil(); j.Outcome != nil && !j.Outcome.Ran || ok && time.Now().After(at) {
		return true, nil
	}
	warm, err := s.claimWarmPool(ctx, j)
	return warm || len(s.running) < s.cfg.MaxConcurrentJobs, err
}

// work brings a job to its end. ctx ends with the service, runCtx also when the job is to stop. If the service ends first
// the job stays as it is.
func (s *Service) work(ctx, runCtx context.Context, name string) error {
	j, err := s.store.get(ctx, name)
	if err != nil {
		return err
	}
	in, err := decodeRequest(j.Request)
	if err != nil {
		return err
	}
	if at, ok := j.waitsUntil(); ok {
		var cancel context.CancelFunc
		runCtx, cancel = context.WithDeadlineCause(runCtx, at, errMaxWaitExceeded)
		defer cancel()
	}
	stopBeat := s.beat(name)
	defer stopBeat()
	for j.Outcome == nil {
		result, err := s.train(ctx, runCtx, j, in)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			s.log.Error("training job failed inside localcloud", zap.String("job", name), zap.Error(err))
			result = internalError(result.Ran)
		}
		if j, err = s.settle(ctx, runCtx, name, in, result); err != nil || ctx.Err() != nil {
			return err
		}
	}
	result, artifacts := *j.Outcome, ""
	if result.Ran {
		artifacts, err = s.uploadOutputs(ctx, in, result.Kind)
		switch {
		case ctx.Err() != nil:
			return nil
		case isAPIError(err):
			result = outcome{Kind: failed, Reason: fmt.Sprintf("ClientError: Artifact upload failed:%v", err), Ran: true}
		case err != nil:
			s.log.Error("upload of a training job's outputs", zap.String("job", name), zap.Error(err))
			result = internalError(true)
		}
	}
	if _, err := s.change(ctx, name, func(j *job) {
		if result.Kind != failed {
			j.Artifacts = artifacts
			j.keepWarm(in, time.Now())
		}
		j.finish(result, time.Now())
	}); err != nil {
		return err
	}
	return os.RemoveAll(s.jobDir(name))
}

// settle decides what comes after an attempt: the end of the job, which is then its Outcome, or another attempt, on a new
// machine: after an interruption, and after an internal error if the job's RetryStrategy says so.
func (s *Service) settle(ctx, runCtx context.Context, name string, in *sdk.CreateTrainingJobInput, result outcome) (*job, error) {
	interruptedNow := false
	j, err := s.change(ctx, name, func(j *job) {
		stopping := j.Status == types.TrainingJobStatusStopping
		switch {
		case result.Kind == interrupted && !stopping:
			interruptedNow = true
			j.Interruptions++
			j.move(types.SecondaryStatusInterrupted, time.Now())
			return
		case result == internalError(result.Ran) && !stopping && in.RetryStrategy != nil && j.Retries < int(*in.RetryStrategy.MaximumRetryAttempts):
			j.Retries++
			j.move(types.SecondaryStatusRestarting, time.Now())
			return
		case stopping && (result.Kind == completed || result.Kind == interrupted):
			result.Kind = j.StopCause // It was told to stop, and ended well.
		}
		j.Outcome = &result
		if result.Ran {
			j.move(types.SecondaryStatusUploading, time.Now())
		}
	})
	if err != nil || j.Outcome != nil {
		return j, err
	}
	if err := os.RemoveAll(s.jobDir(name)); err != nil || !interruptedNow {
		return j, err
	}
	faults, err := s.faultsOf(in)
	if err != nil {
		return j, err
	}
	select {
	case <-runCtx.Done():
	case <-time.After(faults.interruptWait):
	}
	return s.change(ctx, name, func(j *job) {
		if runCtx.Err() == nil && j.Status == types.TrainingJobStatusInProgress {
			j.move(types.SecondaryStatusStarting, time.Now())
		}
	})
}

// change updates a job and has the event of it sent.
func (s *Service) change(ctx context.Context, name string, f func(*job)) (*job, error) {
	j, err := s.store.update(context.WithoutCancel(ctx), name, func(j *job) error {
		f(j)
		return nil
	})
	signal(s.events)
	return j, err
}

func internalError(ran bool) outcome {
	return outcome{Kind: failed, Reason: "InternalServerError: We encountered an internal error. Please try again.", Ran: ran}
}

// beat marks a job alive now, regularly, and once more when it is stopped.
func (s *Service) beat(name string) (stop func()) {
	mark := func() {
		if err := s.store.markAlive(context.Background(), name, time.Now()); err != nil {
			s.log.Warn("mark a training job alive", zap.String("job", name), zap.Error(err))
		}
	}
	mark()
	done, gone := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(gone)
		tick := time.NewTicker(heartbeat)
		defer tick.Stop()
		for {
			select {
			case <-done:
				mark()
				return
			case <-tick.C:
				mark()
			}
		}
	}()
	return func() {
		close(done)
		<-gone
	}
}
