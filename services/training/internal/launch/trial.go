package launch

import (
	"context"
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
