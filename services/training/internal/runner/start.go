package runner

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"
	"github.com/aws/smithy-go"
	"go.uber.org/zap"

	errorsv1 "github.com/trainyard/trainyard/gen/trainyard/errors/v1"
	"github.com/trainyard/trainyard/services/internal/store"
	"github.com/trainyard/trainyard/services/training/internal/job"
	"github.com/trainyard/trainyard/services/training/spec"
)

// start has SageMaker start a QUEUED job. SageMaker has no client token, but it takes a name once only: a name that is
// taken is either this very job, of a call whose answer never reached us, or a stranger.
func (r *Runner) start(ctx context.Context, j *job.Job) (job.Next, error) {
	input := new(sagemaker.CreateTrainingJobInput)
	if err := json.Unmarshal(j.Spec, input); err != nil {
		return job.Next{}, fmt.Errorf("read the stored request: %w", err)
	}
	// From here on SageMaker may have the job, whatever becomes of us: stopping it has to ask.
	j.Attempts++
	if err := r.deps.Jobs.Save(ctx, j, job.Change{}); err != nil {
		return job.Next{}, err
	}
	callCtx, cancel, err := r.call(ctx)
	if err != nil {
		return job.Next{}, err
	}
	defer cancel()
	output, err := r.deps.SageMaker.CreateTrainingJob(callCtx, input)
	var taken *types.ResourceInUse
	switch {
	case errors.As(err, &taken):
		return r.adopt(ctx, j)
	case refused(err):
		return job.Next{}, r.fail(ctx, j, errorsv1.ErrorReason_TRAINING_SERVICE_FAILED,
			"SageMaker refused the job: "+apiMessage(err)+" Nothing was started and nothing is billed.")
	case err != nil:
		return job.Next{}, fmt.Errorf("create at SageMaker: %w", err)
	}
	return r.started(ctx, j, aws.ToString(output.TrainingJobArn))
}

// adopt takes a job that is there under our name if it was made of the same request.
func (r *Runner) adopt(ctx context.Context, j *job.Job) (job.Next, error) {
	described, err := r.describe(ctx, j)
	if err != nil {
		return job.Next{}, err
	}
	ours, err := r.isOurs(ctx, j, aws.ToString(described.TrainingJobArn))
	if err != nil {
		return job.Next{}, err
	}
	if !ours {
		return job.Next{}, r.fail(ctx, j, errorsv1.ErrorReason_TRAINING_SERVICE_FAILED, fmt.Sprintf(
			"SageMaker has another job named %s, which was not started by this request. Start the training again to get another name.", j.SageMakerName))
	}
	r.log.Info("adopting a training job that was started before", zap.String("job", j.ID))
	return r.started(ctx, j, aws.ToString(described.TrainingJobArn))
}

// isOurs compares the hash of the request that a job at SageMaker was made of.
func (r *Runner) isOurs(ctx context.Context, j *job.Job, arn string) (bool, error) {
	input := &sagemaker.ListTagsInput{ResourceArn: aws.String(arn)}
	for {
		callCtx, cancel, err := r.call(ctx)
		if err != nil {
			return false, err
		}
		output, err := r.deps.SageMaker.ListTags(callCtx, input)
		cancel()
		if err != nil {
			return false, fmt.Errorf("read tags at SageMaker: %w", err)
		}
		for _, tag := range output.Tags {
			if aws.ToString(tag.Key) == spec.TagHash {
				return aws.ToString(tag.Value) == j.SpecHash, nil
			}
		}
		if input.NextToken = output.NextToken; input.NextToken == nil {
			return false, nil
		}
	}
}

// started notes that SageMaker has the job.
func (r *Runner) started(ctx context.Context, j *job.Job, arn string) (job.Next, error) {
	j.SageMakerARN = arn
	if j.State == job.Queued {
		j.State = job.Running
	}
	err := r.deps.Jobs.Save(ctx, j, job.Change{Event: job.EventState})
	return job.Next{}, err
}

// stopUnconfirmed ends a job that was to be stopped while a call of CreateTrainingJob was under way: if SageMaker doesn't
// have it, it never will, for only the holder of the lease calls.
func (r *Runner) stopUnconfirmed(ctx context.Context, j *job.Job) (job.Next, error) {
	described, err := r.describe(ctx, j)
	ours := false
	switch {
	case isMissing(err):
	case err != nil:
		return job.Next{}, err
	default:
		if ours, err = r.isOurs(ctx, j, aws.ToString(described.TrainingJobArn)); err != nil {
			return job.Next{}, err
		}
	}
	if ours {
		return r.started(ctx, j, aws.ToString(described.TrainingJobArn))
	}
	j.State, j.EndTime = job.Stopped, store.Micros(time.Now())
	return job.Next{}, r.deps.Jobs.Save(ctx, j, job.Change{Event: job.EventState})
}

// fail ends a job badly.
func (r *Runner) fail(ctx context.Context, j *job.Job, reason errorsv1.ErrorReason, message string) error {
	j.State = job.Failed
	j.Failure = &job.Failure{Reason: reason, Message: message}
	if j.EndTime == 0 {
		j.EndTime = store.Micros(time.Now())
	}
	return r.deps.Jobs.Save(ctx, j, job.Change{Event: job.EventState})
}

func (r *Runner) describe(ctx context.Context, j *job.Job) (*sagemaker.DescribeTrainingJobOutput, error) {
	ctx, cancel, err := r.call(ctx)
	if err != nil {
		return nil, err
	}
	defer cancel()
	output, err := r.deps.SageMaker.DescribeTrainingJob(ctx, &sagemaker.DescribeTrainingJobInput{TrainingJobName: aws.String(j.SageMakerName)})
	if err != nil {
		return nil, fmt.Errorf("describe at SageMaker: %w", err)
	}
	return output, nil
}

// refused tells whether SageMaker's answer to a request will be the same next time. Everything else is tried again.
func refused(err error) bool {
	switch apiCode(err) {
	case "ValidationException", "ResourceLimitExceeded", "ResourceNotFound", "AccessDeniedException":
		return true
	}
	return false
}

// isMissing tells that SageMaker has no such job, which it says by a ValidationException.
func isMissing(err error) bool {
	return apiCode(err) == "ResourceNotFound" ||
		apiCode(err) == "ValidationException" && strings.Contains(strings.ToLower(err.Error()), "not found")
}

// apiCode is the code of an answer of AWS, or "".
func apiCode(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	return ""
}

// apiMessage is AWS's text as a sentence, with its code.
func apiMessage(err error) string {
	var api smithy.APIError
	if !errors.As(err, &api) {
		return err.Error()
	}
	text := strings.TrimSpace(api.ErrorMessage())
	if !strings.HasSuffix(text, ".") {
		text += "."
	}
	return text + " (" + api.ErrorCode() + ")"
}
