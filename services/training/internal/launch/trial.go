package launch

import (
	"context"
	"maps"
	"sync"
	"time"

	trainingv1 "github.com/trainyard/trainyard/gen/trainyard/training/v1"
	"github.com/trainyard/trainyard/services/training/internal/job"
)

// CheckTrial tells whether the job of a sweep's trial could be made, and makes nothing. It gives the job with its dataset versions pinned.
func (l *Launcher) CheckTrial(ctx context.Context, project string, trial *trainingv1.TrainingJob) (*trainingv1.TrainingJob, error) {
	checked, err := l.Preflight(ctx, project, FromProto(trial), "")
	if err != nil {
		return nil, err
	}
	if len(checked.Failed) > 0 {
		return nil, &PreflightError{Failed: checked.Failed}
	}
	return checked.Job.Proto(time.Now())
}

// CreateTrial makes the job of a sweep's trial, numbered from 1. The same request id gives the same job.
func (l *Launcher) CreateTrial(ctx context.Context, project, sweepID string, number int, trial *trainingv1.TrainingJob, requestID string) (*job.Job, error) {
	request := FromProto(trial)
	request.RequestID, request.Sweep, request.Trial = requestID, sweepID, int64(number)
	return l.Create(ctx, project, request)
}

// checksHold is how long what preflight found of a trial holds for the next ones of its sweep. They differ in nothing that the checks look at, and
// the reads of a hundred that start together would have AWS throttle all of them, which skips checks.
const checksHold = 30 * time.Second

// checkedTrials remembers what preflight found of the last trial of each sweep that may run. The zero value is ready.
type checkedTrials struct {
	mu      sync.Mutex
	bySweep map[string]checkedTrial
}

type checkedTrial struct {
	found []job.CheckResult
	until time.Time
}

func (c *checkedTrials) recall(sweep string, now time.Time) ([]job.CheckResult, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	trial, ok := c.bySweep[sweep]
	return trial.found, ok && now.Before(trial.until)
}

// remember takes what was found where it kept no trial from being made; a job that is no trial is forgotten.
func (c *checkedTrials) remember(sweep string, found []job.CheckResult, now time.Time) {
	if sweep == "" {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	maps.DeleteFunc(c.bySweep, func(_ string, trial checkedTrial) bool { return !now.Before(trial.until) })
	if c.bySweep == nil {
		c.bySweep = map[string]checkedTrial{}
	}
	c.bySweep[sweep] = checkedTrial{found, now.Add(checksHold)}
}
