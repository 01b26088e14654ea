package runner

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"
	"go.uber.org/zap"

	errorsv1 "github.com/trainyard/trainyard/gen/trainyard/errors/v1"
	"github.com/trainyard/trainyard/services/internal/store"
	"github.com/trainyard/trainyard/services/training/internal/job"
)

// follow looks at a job that SageMaker has.
func (r *Runner) follow(ctx context.Context, j *job.Job) (job.Next, error) {
	due, err := r.deps.Jobs.DescribeDue(ctx, j)
	if err != nil {
		return job.Next{}, err
	}
	if !due {
		return job.Next{Look: r.cfg.LogEvery, KeepDescribe: true}, r.readLog(ctx, j)
	}
	described, err := r.describe(ctx, j)
	if isMissing(err) {
		return job.Next{}, r.fail(ctx, j, errorsv1.ErrorReason_TRAINING_SERVICE_FAILED,
			"SageMaker no longer has this job: it was deleted there. Start the training again.")
	}
	if err != nil {
		return job.Next{}, err
	}
	seenEnd := j.EndTime != 0
	if err := r.observe(ctx, j, described); err != nil {
		return job.Next{}, err
	}
	if err := r.readLog(ctx, j); err != nil {
		if !hasEnded(described) || j.Troubles < r.cfg.LogTries || ctx.Err() != nil || errors.Is(err, job.ErrConflict) {
			return job.Next{}, err
		}
		r.log.Error("giving up on the end of a log", zap.String("job", j.ID), zap.Error(err))
		setNote(j, logNote, logNote+", so that metrics may be missing: the operator finds the cause in the log of the training service.")
	}
	switch described.TrainingJobStatus {
	case types.TrainingJobStatusCompleted, types.TrainingJobStatusFailed, types.TrainingJobStatusStopped:
		if !seenEnd {
			// The log comes later than the status: its last lines are waited for.
			return job.Next{Look: r.cfg.LogEvery}, nil
		}
		return job.Next{}, r.finish(ctx, j, described)
	case types.TrainingJobStatusInProgress:
		if j.State == job.Stopping {
			return job.Next{Look: r.cfg.LogEvery, Describe: r.cfg.LogEvery}, r.stop(ctx, j)
		}
	}
	return job.Next{Look: r.cfg.LogEvery, Describe: r.cfg.PollEvery}, nil
}

// observe takes over what SageMaker says of a job and writes it down if it is news. The state is not ended here. An answer
// that is older than an earlier one changes nothing back: states only move forward.
func (r *Runner) observe(ctx context.Context, j *job.Job, d *sagemaker.DescribeTrainingJobOutput) error {
	transitions := make([]job.Transition, len(d.SecondaryStatusTransitions))
	for i, t := range d.SecondaryStatusTransitions {
		transitions[i] = job.Transition{Status: string(t.Status), Start: micros(t.StartTime), End: micros(t.EndTime)}
	}
	if len(transitions) < len(j.Transitions) {
		return nil
	}
	event := ""
	if setNote(j, troubleNote, "") {
		event = job.EventProgress
	}
	if string(d.SecondaryStatus) != j.SecondaryStatus || !slices.Equal(transitions, j.Transitions) {
		event = job.EventProgress
	}
	if d.TrainingJobStatus == types.TrainingJobStatusStopping && j.State == job.Running {
		j.State, event = job.Stopping, job.EventState
	}
	j.SecondaryStatus, j.Transitions = string(d.SecondaryStatus), transitions
	j.StartTime = micros(d.TrainingStartTime)
	if hasEnded(d) {
		if j.EndTime == 0 {
			event = job.EventProgress
		}
		// A job that never ran has no end of training.
		if j.EndTime = micros(d.TrainingEndTime); j.EndTime == 0 {
			j.EndTime = store.Micros(aws.ToTime(d.LastModifiedTime))
		}
		if j.EndTime == 0 {
			j.EndTime = store.Micros(time.Now())
		}
	}
	if d.BillableTimeInSeconds != nil {
		j.BillableSeconds = aws.Int64(int64(*d.BillableTimeInSeconds))
	}
	if d.TrainingTimeInSeconds != nil {
		j.TrainingSeconds = aws.Int64(int64(*d.TrainingTimeInSeconds))
	}
	if event == "" {
		return nil
	}
	return r.deps.Jobs.Save(ctx, j, job.Change{Event: event})
}

func hasEnded(d *sagemaker.DescribeTrainingJobOutput) bool {
	switch d.TrainingJobStatus {
	case types.TrainingJobStatusCompleted, types.TrainingJobStatusFailed, types.TrainingJobStatusStopped:
		return true
	}
	return false
}

func micros(t *time.Time) int64 { return store.Micros(aws.ToTime(t)) }

// stop tells SageMaker to stop a job. That it has ended meanwhile is not an error.
func (r *Runner) stop(ctx context.Context, j *job.Job) error {
	err := r.paces.stop.call(ctx, func(ctx context.Context) error {
		_, err := r.deps.SageMaker.StopTrainingJob(ctx, &sagemaker.StopTrainingJobInput{TrainingJobName: aws.String(j.SageMakerName)})
		return err
	})
	if err != nil && apiCode(err) != "ValidationException" {
		return &callError{"stop", err}
	}
	return nil
}
