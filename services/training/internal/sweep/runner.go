package sweep

import (
	"context"
	"errors"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/trainyard/trainyard/services/training/internal/job"
	"github.com/trainyard/trainyard/services/training/internal/lease"
)

// atOnce is how many sweeps a replica looks at at the same time. A look takes as long as the checks before one job.
const atOnce = 4

// Config is the runner's pace.
type Config struct {
	// PollEvery is the time between two looks at a sweep whose trials run, for their seconds and money. The end of a trial is
	// seen within a second, or at once by Wake.
	PollEvery time.Duration
	// WaitFor is how long a sweep rests whose next trial can't be started now, unless one of its trials ends.
	WaitFor time.Duration
}

// Deps are what the runner uses.
type Deps struct {
	Sweeps  *Store
	Jobs    *job.Store
	Creator Creator
	// Status turns the Creator's errors into the API's: their codes tell which pass by, their texts are shown.
	Status func(error) error
	// JobsChanged is called when there is something to do for the runner of jobs.
	JobsChanged func()
	Log         *zap.Logger
}

// Runner runs sweeps while Run does. A look at a sweep is made under a lease, so that of several replicas one does it, and
// each step can be done again after a crash at any place.
type Runner struct {
	cfg  Config
	deps Deps
	log  *zap.Logger
	wake chan struct{}
}

// NewRunner makes a runner; zeros in cfg mean 5 and 15 seconds.
func NewRunner(cfg Config, deps Deps) *Runner {
	if cfg.PollEvery == 0 {
		cfg.PollEvery = 5 * time.Second
	}
	if cfg.WaitFor == 0 {
		cfg.WaitFor = 15 * time.Second
	}
	return &Runner{cfg: cfg, deps: deps, log: deps.Log, wake: make(chan struct{}, 1)}
}

// Wake says that a sweep may be due: it was made or stopped, or a job has ended. It never blocks.
func (r *Runner) Wake() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Run works until ctx ends; looks that are under way are given up and made again later.
func (r *Runner) Run(ctx context.Context) error {
	places := make(chan struct{}, atOnce)
	var looks sync.WaitGroup
	defer looks.Wait()
	tick := min(time.Second, r.cfg.PollEvery)
	for ctx.Err() == nil {
		if err := r.stopStrays(ctx); err != nil && ctx.Err() == nil {
			r.log.Warn("cannot look for jobs of ended sweeps", zap.Error(err))
		}
		ids, err := r.deps.Sweeps.Due(ctx, atOnce)
		if err != nil && ctx.Err() == nil {
			r.log.Warn("cannot look for due sweeps", zap.Error(err))
		}
		for _, id := range ids {
			select {
			case <-ctx.Done():
				return nil
			case places <- struct{}{}:
			}
			looks.Go(func() {
				defer func() { <-places }()
				if err := r.look(ctx, id); err != nil && ctx.Err() == nil {
					r.log.Warn("sweep", zap.String("sweep", id), zap.Error(err))
				}
			})
		}
		if len(ids) == atOnce {
			continue // There may be more; the places bound the pace.
		}
		select {
		case <-ctx.Done():
		case <-r.wake:
		case <-time.After(tick):
		}
	}
	return nil
}

// look takes one look at a sweep.
func (r *Runner) look(ctx context.Context, id string) error {
	s, err := r.deps.Sweeps.Claim(ctx, id)
	if errors.Is(err, ErrLeased) {
		return nil
	}
	if err != nil {
		return err
	}
	var next time.Duration
	err = lease.Hold(ctx, LeaseTime, ErrLeased, func(ctx context.Context) error { return r.deps.Sweeps.Renew(ctx, s.ID, s.Lease) },
		func(ctx context.Context) (err error) { next, err = r.step(ctx, s); return err })
	troubles := int64(0)
	if err != nil {
		next = 0
		if errors.Is(err, ErrConflict) {
			err = nil // A user was quicker; look again.
		} else if ctx.Err() == nil {
			troubles = s.Troubles + 1
			next = lease.Backoff(troubles)
		}
	}
	// The lease is given back at the end of the service, too, so that another replica need not wait for it to run out.
	release, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	err = errors.Join(err, r.deps.Sweeps.Release(release, s, next, troubles))
	if next == 0 {
		r.Wake()
	}
	return err
}

// stopStrays stops jobs that outlived their sweep.
func (r *Runner) stopStrays(ctx context.Context) error {
	strays, err := r.deps.Sweeps.Strays(ctx)
	if err != nil {
		return err
	}
	return r.stop(ctx, strays)
}

// stop has jobs stopped. Those that are being stopped stay as they are.
func (r *Runner) stop(ctx context.Context, jobs []*job.Job) error {
	for _, j := range jobs {
		if _, err := r.deps.Jobs.RequestStop(ctx, j.Project, j.ID); err != nil {
			return err
		}
	}
	if len(jobs) > 0 {
		r.deps.JobsChanged()
	}
	return nil
}
