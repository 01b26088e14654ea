// Package runner brings training jobs to their end: it starts them at SageMaker, follows their status, reads their logs for
// metrics and registers their models.
//
// All of it is one loop over the jobs in the database. A job is looked at when its time has come or when a hint says that
// something may have happened: an event of SageMaker's, a request of a user's. A look is made under a lease, so that of
// several replicas one does it, and each step can be done again after a crash at any place.
package runner

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/trainyard/trainyard/services/internal/queue"
	"github.com/trainyard/trainyard/services/training/internal/job"
	"github.com/trainyard/trainyard/services/training/internal/joblog"
	"github.com/trainyard/trainyard/services/training/internal/lease"
	"github.com/trainyard/trainyard/services/training/recipe"
)

const (
	// atOnce is how many jobs a replica looks at at the same time.
	atOnce = 8
	// defaultStartTries is about five hours, by the backoff.
	defaultStartTries = 400
	// defaultLogTries is about ten minutes.
	defaultLogTries = 15
)

// SageMaker is what is used of SageMaker.
type SageMaker interface {
	CreateTrainingJob(context.Context, *sagemaker.CreateTrainingJobInput, ...func(*sagemaker.Options)) (*sagemaker.CreateTrainingJobOutput, error)
	DescribeTrainingJob(context.Context, *sagemaker.DescribeTrainingJobInput, ...func(*sagemaker.Options)) (*sagemaker.DescribeTrainingJobOutput, error)
	StopTrainingJob(context.Context, *sagemaker.StopTrainingJobInput, ...func(*sagemaker.Options)) (*sagemaker.StopTrainingJobOutput, error)
	ListTags(context.Context, *sagemaker.ListTagsInput, ...func(*sagemaker.Options)) (*sagemaker.ListTagsOutput, error)
}

// S3 is what is used of S3.
type S3 interface {
	GetObject(context.Context, *s3.GetObjectInput, ...func(*s3.Options)) (*s3.GetObjectOutput, error)
}

// Config is the runner's configuration.
type Config struct {
	// EventsQueue is the URL of the queue where SageMaker's state changes arrive; empty means that only polling finds them.
	EventsQueue string
	// PollEvery is the time between two looks at a job's status without a hint.
	PollEvery time.Duration
	// LogEvery is the time between two looks at a running job's log. A job that ended is looked at that long after its
	// end, because CloudWatch is late.
	LogEvery time.Duration
	// Rates bound the calls to SageMaker.
	Rates Rates
	// StartTries is how often SageMaker is asked to start a job, while it doesn't answer or throttles, before the job FAILED; 0 means the default,
	// about five hours.
	StartTries int64
	// LogTries is how often the end of a job's log is asked for, while CloudWatch doesn't give it, before the job ends without; 0 means the default,
	// about ten minutes.
	LogTries int64
}

// Deps are what the runner uses. SQS may be nil without an EventsQueue.
type Deps struct {
	Jobs      *job.Store
	SageMaker SageMaker
	Logs      joblog.Client
	S3        S3
	SQS       queue.Client
	Recipes   recipe.Catalogue
	Log       *zap.Logger
}

// Runner runs jobs while Run does.
type Runner struct {
	cfg     Config
	deps    Deps
	log     *zap.Logger
	readers map[string]*recipe.Reader
	paces   paces
	wake    chan struct{}
}

// New makes a runner.
func New(cfg Config, deps Deps) (*Runner, error) {
	r := &Runner{
		cfg: cfg, deps: deps, log: deps.Log, readers: map[string]*recipe.Reader{},
		paces: newPaces(cfg.Rates), wake: make(chan struct{}, 1),
	}
	r.cfg.StartTries, r.cfg.LogTries = cmp.Or(cfg.StartTries, defaultStartTries), cmp.Or(cfg.LogTries, defaultLogTries)
	for _, entry := range deps.Recipes {
		reader, err := entry.Reader()
		if err != nil {
			return nil, err
		}
		r.readers[entry.ID] = reader
	}
	return r, nil
}

// Wake says that a job may be due. It never blocks.
func (r *Runner) Wake() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Run works until ctx ends; looks that are under way are given up and made again later.
func (r *Runner) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { r.dispatch(ctx); return nil })
	if r.cfg.EventsQueue != "" {
		group.Go(func() error { return r.receiveEvents(ctx) })
	}
	return group.Wait()
}

// dispatch looks at due jobs, atOnce at a time.
func (r *Runner) dispatch(ctx context.Context) {
	places := make(chan struct{}, atOnce)
	var looks sync.WaitGroup
	defer looks.Wait()
	tick := min(r.cfg.LogEvery, r.cfg.PollEvery) / 2
	for ctx.Err() == nil {
		ids, err := r.deps.Jobs.Due(ctx, atOnce)
		if err != nil && ctx.Err() == nil {
			r.log.Warn("cannot look for due jobs", zap.Error(err))
		}
		for _, id := range ids {
			select {
			case <-ctx.Done():
				return
			case places <- struct{}{}:
			}
			looks.Go(func() {
				defer func() { <-places }()
				if err := r.look(ctx, id); err != nil && ctx.Err() == nil {
					r.log.Warn("training job", zap.String("job", id), zap.Error(err))
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
}

// look takes one look at a job.
func (r *Runner) look(ctx context.Context, id string) error {
	j, err := r.deps.Jobs.Claim(ctx, id)
	if errors.Is(err, job.ErrLeased) {
		return nil
	}
	if err != nil {
		return err
	}
	var todo job.Next
	err = lease.Hold(ctx, job.LeaseTime, job.ErrLeased, func(ctx context.Context) error { return r.deps.Jobs.Renew(ctx, j) },
		func(ctx context.Context) (err error) { todo, err = r.step(ctx, j); return err })
	troubles := int64(0)
	if err != nil {
		todo = job.Next{}
		if errors.Is(err, job.ErrConflict) {
			err = nil // A user was quicker; look again.
		} else if ctx.Err() == nil {
			troubles = j.Troubles + 1
			todo.Look = lease.Backoff(troubles)
			r.noteTrouble(ctx, j, err)
		}
	}
	// The lease is given back at the end of the service, too, so that another replica need not wait for it to run out.
	releaseCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	err = errors.Join(err, r.deps.Jobs.Release(releaseCtx, j, todo, troubles))
	r.Wake()
	return err
}

// step does what the job's state asks for.
func (r *Runner) step(ctx context.Context, j *job.Job) (job.Next, error) {
	switch {
	case j.State.Ended():
		return r.watchWarmPool(ctx, j)
	case j.State == job.Queued:
		return r.start(ctx, j)
	case j.State == job.Stopping && j.SageMakerARN == "":
		return r.stopUnconfirmed(ctx, j)
	}
	return r.follow(ctx, j)
}
