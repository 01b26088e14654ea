package runner

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"
	"go.uber.org/zap"

	errorsv1 "github.com/trainyard/trainyard/gen/trainyard/errors/v1"
	"github.com/trainyard/trainyard/services/internal/store"
	"github.com/trainyard/trainyard/services/training/internal/artifact"
	"github.com/trainyard/trainyard/services/training/internal/basedataset"
	"github.com/trainyard/trainyard/services/training/internal/failure"
	"github.com/trainyard/trainyard/services/training/internal/job"
)

const (
	// artifactTries is how often a model is asked for before its job fails: about six hours, by the backoff.
	artifactTries = 360
	// idleTimeout ends a download of which nothing arrives any more.
	idleTimeout = time.Minute
)

// errNoArtifact says that a job left no model.
var errNoArtifact = errors.New("the job left no model")

// failureOf explains SageMaker's reason. SageMaker says of both kinds of file systems the same; the job knows which it has.
func failureOf(j *job.Job, reason string) *job.Failure {
	f := failure.Of(reason)
	on := func(storage basedataset.Storage) bool {
		return slices.ContainsFunc(j.ResolvedBases, func(b job.ResolvedBase) bool { return b.Storage == string(storage) })
	}
	if f.Metadata[failure.MetaCheck] == "efs-security" && on(basedataset.Lustre) && !on(basedataset.EFS) {
		f.Metadata[failure.MetaCheck] = "lustre-security"
	}
	return f
}

// finish gives a job that SageMaker has ended its last state, and registers its model.
func (r *Runner) finish(ctx context.Context, j *job.Job, d *sagemaker.DescribeTrainingJobOutput) error {
	if d.TrainingJobStatus == types.TrainingJobStatusFailed {
		return r.failWith(ctx, j, failureOf(j, aws.ToString(d.FailureReason)))
	}
	completed := d.TrainingJobStatus == types.TrainingJobStatusCompleted
	model, err := r.model(ctx, j, d.ModelArtifacts)
	switch {
	case err == nil:
	case ctx.Err() != nil:
		return err
	case errors.Is(err, errNoArtifact):
		if completed {
			return r.fail(ctx, j, errorsv1.ErrorReason_TRAINER_FAILED,
				"The training program ended well but left no model in /opt/ml/model. Its log tells what it did.")
		}
	case errors.Is(err, artifact.ErrCorrupt):
		if completed {
			return r.fail(ctx, j, errorsv1.ErrorReason_TRAINING_SERVICE_FAILED, fmt.Sprintf("The model can't be read: %v. Start the training again.", err))
		}
		r.log.Warn("the model of a stopped job can't be read", zap.String("job", j.ID), zap.Error(err))
	case j.Troubles < artifactTries:
		return err
	default:
		r.log.Error("giving up on a model that S3 doesn't give", zap.String("job", j.ID), zap.Error(err))
		return r.fail(ctx, j, errorsv1.ErrorReason_TRAINING_SERVICE_FAILED,
			"The model was trained but S3 doesn't give it: the operator finds the cause in the log.")
	}
	if d.SecondaryStatus == types.SecondaryStatusMaxWaitTimeExceeded && model == nil {
		return r.failWith(ctx, j, failure.Of(string(d.SecondaryStatus)))
	}
	j.State = job.Stopped
	if completed {
		j.State = job.Succeeded
		keepWarmPool(j, d)
	}
	noteLimit(j, d.SecondaryStatus)
	j.HasModel = model != nil
	return r.deps.Jobs.Save(ctx, j, job.Change{Event: job.EventState, Model: model})
}

// noteLimit tells of a job that its user did not stop why it is STOPPED.
func noteLimit(j *job.Job, status types.SecondaryStatus) {
	var limit string
	switch status {
	case types.SecondaryStatusMaxRuntimeExceeded:
		limit = fmt.Sprintf("max_runtime_seconds (%d): training takes longer. Raise it, train fewer epochs, or use a faster instance type", j.Resources.MaxRuntimeSeconds)
	case types.SecondaryStatusMaxWaitTimeExceeded:
		limit = fmt.Sprintf("max_wait_seconds (%d), which training and waiting for spot instances took together. Raise it, or do without spot", j.Resources.MaxWaitSeconds)
	default:
		return
	}
	if j.CheckpointURI != "" {
		limit += ", and go on from its checkpoints with resume_from"
	}
	setNote(j, limitNote, limitNote+limit+".")
}

const limitNote = "SageMaker stopped the job at the limit "

// model reads a job's artifact, or fails with errNoArtifact, artifact.ErrCorrupt or S3's error.
func (r *Runner) model(ctx context.Context, j *job.Job, artifacts *types.ModelArtifacts) (*job.Model, error) {
	if artifacts == nil || aws.ToString(artifacts.S3ModelArtifacts) == "" {
		return nil, errNoArtifact
	}
	uri := *artifacts.S3ModelArtifacts
	bucket, key, ok := strings.Cut(strings.TrimPrefix(uri, "s3://"), "/")
	if !ok {
		return nil, fmt.Errorf("artifact URI %q is not of the form s3://bucket/key", uri)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	idle := time.AfterFunc(idleTimeout, func() { cancel(errors.New("nothing arrived for a minute")) })
	defer idle.Stop()
	object, err := r.deps.S3.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String(bucket), Key: aws.String(key)})
	var missing *s3types.NoSuchKey
	if errors.As(err, &missing) {
		return nil, errNoArtifact
	}
	if err != nil {
		return nil, fmt.Errorf("get the model: %w", err)
	}
	defer func() { _ = object.Body.Close() }()
	read, err := artifact.Read(&watched{Reader: object.Body, idle: idle})
	if err != nil {
		return nil, err
	}
	if want := object.ContentLength; want != nil && *want != read.SizeBytes {
		return nil, fmt.Errorf("get the model: %d of %d bytes arrived", read.SizeBytes, *want)
	}
	if read.Files == 0 {
		return nil, errNoArtifact
	}
	labels := read.Labels
	if labels == nil {
		labels = j.Labels
	}
	return &job.Model{
		ID: j.ID, Project: j.Project, ArtifactURI: uri, SizeBytes: read.SizeBytes, SHA256: read.SHA256,
		Metrics: j.Metrics, Evaluation: read.Evaluation, Labels: labels, CreateTime: store.Micros(time.Now()), Job: j,
	}, nil
}

// watched puts the idle timer off with every read.
type watched struct {
	io.Reader
	idle *time.Timer
}

func (w *watched) Read(p []byte) (int, error) {
	n, err := w.Reader.Read(p)
	w.idle.Reset(idleTimeout)
	return n, err
}
