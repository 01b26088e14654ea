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
	"github.com/trainyard/trainyard/services/training/internal/failure"
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
	var output *sagemaker.CreateTrainingJobOutput
	err := r.paces.create.call(ctx, func(ctx context.Context) (err error) {
		output, err = r.deps.SageMaker.CreateTrainingJob(ctx, input)
		return err
	})
	var taken *types.ResourceInUse
	switch {
	case err == nil:
		return r.started(ctx, j, aws.ToString(output.TrainingJobArn))
	case errors.As(err, &taken):
		return r.adopt(ctx, j)
	case refused(err):
		return job.Next{}, r.refuse(ctx, j, err)
	case j.Attempts >= r.cfg.StartTries && ctx.Err() == nil:
		return job.Next{}, r.giveUp(ctx, j, err)
	}
	return job.Next{}, &callError{"create", err}
}

// refuse ends a job that SageMaker refused. An earlier call may have had its answer lost, also one of the SDK's own retries: then the job is there, and may
// be what fills the account's limit.
func (r *Runner) refuse(ctx context.Context, j *job.Job, refusal error) error {
	if j.Attempts > 1 || apiCode(refusal) == "ResourceLimitExceeded" {
		switch has, err := r.find(ctx, j); {
		case err != nil && j.Attempts < r.cfg.StartTries:
			return err
		case err != nil:
			return r.giveUp(ctx, j, refusal)
		case has != "":
			_, err := r.started(ctx, j, has)
			return err
		}
	}
	var api smithy.APIError
	errors.As(refusal, &api) // It is one, or it were no refusal.
	return r.failWith(ctx, j, failure.OfRefusal(api.ErrorCode(), api.ErrorMessage()))
}

// giveUp ends a job that SageMaker could not be brought to start in StartTries calls, once it says that it doesn't have it. If it doesn't even say that,
// it is asked as often again, and then the job ends with that being said.
func (r *Runner) giveUp(ctx context.Context, j *job.Job, cause error) error {
	said := fmt.Sprintf("SageMaker was asked %d times to start the job since %s, and %s", j.Attempts, store.Time(j.CreateTime).Format(time.RFC3339), troubleText(cause))
	has, err := r.find(ctx, j)
	switch {
	case err == nil && has != "":
		_, err := r.started(ctx, j, has)
		return err
	case err == nil:
		said += " Nothing was started and nothing is billed. Start the training again later."
	case j.Attempts < 2*r.cfg.StartTries:
		return err
	default:
		said += fmt.Sprintf(" It doesn't tell either whether it has the job: look in SageMaker for %s, which may be running and on the bill, before you start the training again.",
			j.SageMakerName)
	}
	r.log.Error("giving up to start a training job", zap.String("job", j.ID), zap.Error(cause))
	return r.fail(ctx, j, errorsv1.ErrorReason_TRAINING_SERVICE_FAILED, said)
}

// find asks whether SageMaker has a job of this very request, and gives its ARN, or "".
func (r *Runner) find(ctx context.Context, j *job.Job) (arn string, err error) {
	described, err := r.describe(ctx, j)
	if isMissing(err) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	arn = aws.ToString(described.TrainingJobArn)
	ours, err := r.isOurs(ctx, j, arn)
	if err != nil || !ours {
		return "", err
	}
	return arn, nil
}

// adopt takes a job that is there under our name if it was made of the same request.
func (r *Runner) adopt(ctx context.Context, j *job.Job) (job.Next, error) {
	arn, err := r.find(ctx, j)
	if err != nil {
		return job.Next{}, err
	}
	if arn == "" {
		return job.Next{}, r.fail(ctx, j, errorsv1.ErrorReason_TRAINING_SERVICE_FAILED, fmt.Sprintf(
			"SageMaker has another job named %s, which was not started by this request. Start the training again to get another name.", j.SageMakerName))
	}
	r.log.Info("adopting a training job that was started before", zap.String("job", j.ID))
	return r.started(ctx, j, arn)
}

// isOurs compares the hash of the request that a job at SageMaker was made of.
func (r *Runner) isOurs(ctx context.Context, j *job.Job, arn string) (bool, error) {
	input := &sagemaker.ListTagsInput{ResourceArn: aws.String(arn)}
	for {
		var output *sagemaker.ListTagsOutput
		err := r.paces.listTags.call(ctx, func(ctx context.Context) (err error) {
			output, err = r.deps.SageMaker.ListTags(ctx, input)
			return err
		})
		if err != nil {
			return false, &callError{"read tags", err}
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
	setNote(j, troubleNote, "")
	if j.State == job.Queued {
		j.State = job.Running
	}
	err := r.deps.Jobs.Save(ctx, j, job.Change{Event: job.EventState})
	return job.Next{}, err
}

// stopUnconfirmed ends a job that was to be stopped while a call of CreateTrainingJob was under way: if SageMaker doesn't
// have it, it never will, for only the holder of the lease calls.
func (r *Runner) stopUnconfirmed(ctx context.Context, j *job.Job) (job.Next, error) {
	arn, err := r.find(ctx, j)
	if err != nil {
		return job.Next{}, err
	}
	if arn != "" {
		return r.started(ctx, j, arn)
	}
	setNote(j, troubleNote, "")
	j.State, j.EndTime = job.Stopped, store.Micros(time.Now())
	return job.Next{}, r.deps.Jobs.Save(ctx, j, job.Change{Event: job.EventState})
}

// fail ends a job badly.
func (r *Runner) fail(ctx context.Context, j *job.Job, reason errorsv1.ErrorReason, message string) error {
	return r.failWith(ctx, j, &job.Failure{Reason: reason, Message: message})
}

func (r *Runner) failWith(ctx context.Context, j *job.Job, why *job.Failure) error {
	j.State, j.Failure = job.Failed, why
	setNote(j, troubleNote, "")
	if j.EndTime == 0 {
		j.EndTime = store.Micros(time.Now())
	}
	return r.deps.Jobs.Save(ctx, j, job.Change{Event: job.EventState})
}

func (r *Runner) describe(ctx context.Context, j *job.Job) (*sagemaker.DescribeTrainingJobOutput, error) {
	var output *sagemaker.DescribeTrainingJobOutput
	err := r.paces.describe.call(ctx, func(ctx context.Context) (err error) {
		output, err = r.deps.SageMaker.DescribeTrainingJob(ctx, &sagemaker.DescribeTrainingJobInput{TrainingJobName: aws.String(j.SageMakerName)})
		return err
	})
	if err != nil {
		return nil, &callError{"describe", err}
	}
	return output, nil
}

// callError is SageMaker's answer, or that there was none, to a call.
type callError struct {
	call  string
	cause error
}

func (e *callError) Error() string { return e.call + " at SageMaker: " + e.cause.Error() }

func (e *callError) Unwrap() error { return e.cause }

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
