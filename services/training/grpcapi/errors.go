package grpcapi

import (
	"errors"
	"strconv"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	errorsv1 "github.com/trainyard/trainyard/gen/trainyard/errors/v1"
	trainingv1 "github.com/trainyard/trainyard/gen/trainyard/training/v1"
	"github.com/trainyard/trainyard/services/internal/apierror"
	"github.com/trainyard/trainyard/services/training/internal/job"
	"github.com/trainyard/trainyard/services/training/internal/joblog"
	"github.com/trainyard/trainyard/services/training/internal/launch"
	"github.com/trainyard/trainyard/services/training/internal/quota"
	"github.com/trainyard/trainyard/services/training/internal/sweep"
	"github.com/trainyard/trainyard/services/training/recipe"
	"github.com/trainyard/trainyard/services/training/spec"
)

// toStatus is the one place where this service's errors become the API's. What it can't name goes on as it is and is
// answered with a fixed text.
func toStatus(err error) error {
	var (
		notFound *job.NotFoundError
		unknown  *recipe.UnknownParameterError
		invalid  *recipe.InvalidParameterError
		field    *launch.FieldError
		changed  *launch.ChangedError
		notReady *launch.NotReadyError
		noIngest *launch.UnavailableError
		noLogs   *joblog.UnavailableError
		limit    *spec.Error
		inSweep  *sweep.FieldError
		swept    *sweep.ParameterError
		open     *launch.NotEndedError
		inUse    *job.CheckpointsInUseError
		failed   *launch.PreflightError
		quotas   *quota.ExceededError
		unpriced *quota.PriceUnknownError
	)
	switch {
	case errors.As(err, &notFound):
		return apierror.NotFound(notFound.Name)
	case errors.As(err, &unknown):
		return apierror.New(codes.InvalidArgument, errorsv1.ErrorReason_PARAMETER_UNKNOWN, unknown.Error(),
			"field", "training_job.parameters."+unknown.Name, "parameter", unknown.Name)
	case errors.As(err, &invalid):
		return apierror.New(codes.InvalidArgument, errorsv1.ErrorReason_PARAMETER_INVALID, invalid.Error(),
			"field", "training_job.parameters."+invalid.Name, "parameter", invalid.Name, "value", invalid.Value, "limit", invalid.Limit)
	case errors.As(err, &field):
		return apierror.Invalid(field.Field, field.Message)
	case errors.As(err, &changed):
		return apierror.New(codes.FailedPrecondition, errorsv1.ErrorReason_SOURCE_MISMATCH, changed.Error(), "field", changed.Field)
	case errors.As(err, &notReady):
		return apierror.New(codes.FailedPrecondition, errorsv1.ErrorReason_WRONG_STATE, notReady.Error(),
			"field", notReady.Field, "resource", notReady.Name, "state", notReady.State)
	case errors.As(err, &open):
		return apierror.New(codes.FailedPrecondition, errorsv1.ErrorReason_WRONG_STATE, open.Error(),
			"field", "training_job.resume_from", "resource", open.Name, "state", string(open.State))
	case errors.As(err, &inUse):
		return apierror.New(codes.FailedPrecondition, errorsv1.ErrorReason_WRONG_STATE, inUse.Error(), "field", "training_job.resume_from", "resource", inUse.Name)
	case errors.As(err, &failed):
		return preflightFailed(failed)
	case errors.As(err, &quotas):
		return apierror.New(codes.ResourceExhausted, errorsv1.ErrorReason_QUOTA_EXCEEDED, quotas.Error(),
			"quota", quotas.Quota, "limit", number(quotas.Limit), "used", number(quotas.Used), "left", number(quotas.Left), "asked", number(quotas.Asked))
	case errors.As(err, &unpriced):
		return apierror.New(codes.FailedPrecondition, errorsv1.ErrorReason_QUOTA_EXCEEDED, unpriced.Error(),
			"quota", quota.Cost, "instance_type", unpriced.InstanceType, "region", unpriced.Region)
	case errors.As(err, &noLogs):
		return apierror.New(codes.Unavailable, errorsv1.ErrorReason_DEPENDENCY_UNAVAILABLE, "CloudWatch Logs does not answer now; try again.")
	case errors.As(err, &noIngest):
		return apierror.New(codes.Unavailable, errorsv1.ErrorReason_DEPENDENCY_UNAVAILABLE,
			"The ingest service or S3, which have the datasets, do not answer now; try again.")
	case errors.As(err, &inSweep):
		return apierror.Invalid(inSweep.Field, inSweep.Message)
	case errors.As(err, &swept):
		return apierror.New(codes.InvalidArgument, swept.Reason, swept.Message,
			"field", "sweep.parameters."+swept.Name, "parameter", swept.Name, "limit", swept.Limit)
	case errors.As(err, &limit) && limit.Field != "":
		return apierror.Invalid("training_job."+limit.Field, limit.Message)
	case errors.As(err, &limit): // The operator's configuration can't be what the job asks for, such as a role of another partition.
		return apierror.New(codes.FailedPrecondition, errorsv1.ErrorReason_PREFLIGHT_FAILED, limit.Message)
	}
	return err
}

// preflightFailed tells which checks failed; the details hold what they saw and how to mend it. Those that passed are left out: details travel in
// headers, which must stay small.
func preflightFailed(failed *launch.PreflightError) error {
	names := make([]string, len(failed.Failed))
	for i, r := range failed.Failed {
		names[i] = r.Check
	}
	err := apierror.New(codes.FailedPrecondition, errorsv1.ErrorReason_PREFLIGHT_FAILED, failed.Error(), "checks", strings.Join(names, ","))
	detailed, detailErr := status.Convert(err).WithDetails(&trainingv1.PreflightTrainingJobResponse{Checks: job.ChecksProto(failed.Failed)})
	if detailErr != nil {
		return err
	}
	return detailed.Err()
}

func number(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }
