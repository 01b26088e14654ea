package runner

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"

	errorsv1 "github.com/trainyard/trainyard/gen/trainyard/errors/v1"
	"github.com/trainyard/trainyard/services/internal/store"
	"github.com/trainyard/trainyard/services/training/internal/job"
	"github.com/trainyard/trainyard/services/training/internal/joblog"
)

// What is read of a log at most before it is written down.
const (
	linesAtOnce = 5000
	bytesAtOnce = 8 << 20
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
		return job.Next{}, err
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
	if string(d.SecondaryStatus) != j.SecondaryStatus || !slices.Equal(transitions, j.Transitions) {
		event = job.EventProgress
	}
	if d.TrainingJobStatus == types.TrainingJobStatusStopping && j.State == job.Running {
		j.State, event = job.Stopping, job.EventState
	}
	j.SecondaryStatus, j.Transitions = string(d.SecondaryStatus), transitions
	j.StartTime = micros(d.TrainingStartTime)
	switch d.TrainingJobStatus {
	case types.TrainingJobStatusCompleted, types.TrainingJobStatusFailed, types.TrainingJobStatusStopped:
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
	if event == "" {
		return nil
	}
	return r.deps.Jobs.Save(ctx, j, job.Change{Event: event})
}

func micros(t *time.Time) int64 { return store.Micros(aws.ToTime(t)) }

// stop tells SageMaker to stop a job. That it has ended meanwhile is not an error.
func (r *Runner) stop(ctx context.Context, j *job.Job) error {
	ctx, cancel, err := r.call(ctx)
	if err != nil {
		return err
	}
	defer cancel()
	_, err = r.deps.SageMaker.StopTrainingJob(ctx, &sagemaker.StopTrainingJobInput{TrainingJobName: aws.String(j.SageMakerName)})
	if err != nil && apiCode(err) != "ValidationException" {
		return fmt.Errorf("stop at SageMaker: %w", err)
	}
	return nil
}

// readLog reads a job's log from where it was left to its end and writes its metrics down, together with the place.
func (r *Runner) readLog(ctx context.Context, j *job.Job) error {
	reader := r.readers[j.Recipe]
	if reader == nil {
		return nil // The recipe has been taken out of the catalogue.
	}
	for {
		cursor, err := joblog.Decode(j.LogCursor)
		if err != nil {
			return err
		}
		page, err := r.readPage(ctx, j, cursor)
		if err != nil {
			return err
		}
		if page.Next == cursor {
			return nil
		}
		change := job.Change{}
		metrics := maps.Clone(j.Metrics)
		for _, line := range page.Lines {
			points, epoch := reader.Read(line.Message, j.Epoch)
			j.Epoch = epoch
			for _, p := range points {
				j.PointCount++
				metrics[p.Name] = p.Value
				change.Points = append(change.Points, &job.Point{
					JobID: j.ID, Number: j.PointCount, Name: p.Name, Value: p.Value, Epoch: p.Epoch, Time: store.Micros(line.Time),
				})
			}
		}
		if len(change.Points) > 0 {
			change.Event = job.EventProgress
		}
		j.Metrics, j.LogCursor = metrics, page.Next.Encode()
		if err := r.deps.Jobs.Save(ctx, j, change); err != nil || page.AtEnd {
			return err
		}
	}
}

func (r *Runner) readPage(ctx context.Context, j *job.Job, cursor joblog.Cursor) (joblog.Page, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return joblog.Read(ctx, r.deps.Logs, j.SageMakerName, cursor, linesAtOnce, bytesAtOnce)
}
