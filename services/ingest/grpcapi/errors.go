package grpcapi

import (
	"errors"
	"fmt"
	"strconv"

	errorsv1 "github.com/trainyard/trainyard/gen/trainyard/errors/v1"
	"github.com/trainyard/trainyard/services/ingest/internal/catalog"
	"github.com/trainyard/trainyard/services/ingest/internal/lifecycle"
	"github.com/trainyard/trainyard/services/ingest/internal/upload"
	"github.com/trainyard/trainyard/services/internal/apierror"
	"go.uber.org/zap"
	"google.golang.org/grpc/codes"
)

// errorTable turns the domain's errors into statuses.
type errorTable struct{ log *zap.Logger }

// status gives the status of a domain error. What it has no row for goes on as it is: boot logs it and answers a fixed text.
func (t errorTable) status(err error) error {
	var (
		notFound    *catalog.NotFoundError
		exists      *catalog.ExistsError
		reused      *catalog.RequestReusedError
		state       *catalog.StateError
		fence       *catalog.FenceError
		lease       *catalog.LeaseError
		source      *catalog.SourceError
		quota       *catalog.QuotaError
		incomplete  *upload.IncompleteError
		partNumber  *lifecycle.PartNumberError
		unavailable *upload.UnavailableError
	)
	switch {
	case errors.As(err, &notFound):
		return apierror.NotFound(notFound.Name)
	case errors.As(err, &exists):
		return apierror.New(codes.AlreadyExists, errorsv1.ErrorReason_RESOURCE_EXISTS,
			exists.Name+" exists already; use it, or choose another id.", "resource", exists.Name)
	case errors.As(err, &reused):
		return apierror.Invalid("request_id",
			"request_id was used before for another file or other options; give each new request a UUID of its own.")
	case errors.As(err, &state):
		return apierror.New(codes.FailedPrecondition, errorsv1.ErrorReason_WRONG_STATE,
			fmt.Sprintf("%s is %s and this call needs it to be %s. States only move forward; to try again, begin a new version.", state.Name, state.State, state.Want),
			"resource", state.Name, "state", string(state.State))
	case errors.As(err, &fence):
		return apierror.New(codes.FailedPrecondition, errorsv1.ErrorReason_FENCE_STALE,
			fmt.Sprintf("%s was taken over by another worker (fence %d, yours is %d); stop working on it.", fence.Name, fence.Fence, fence.Given),
			"resource", fence.Name, "fence", strconv.FormatInt(fence.Fence, 10))
	case errors.As(err, &lease):
		return apierror.New(codes.Aborted, errorsv1.ErrorReason_LEASE_HELD,
			fmt.Sprintf("%s is being converted by another worker; claim it again when that one's lease has run out.", lease.Name),
			"resource", lease.Name, "worker", lease.Worker, "until", lease.Until.Format("2006-01-02T15:04:05.000Z07:00"))
	case errors.As(err, &source):
		return apierror.New(codes.FailedPrecondition, errorsv1.ErrorReason_SOURCE_MISMATCH,
			fmt.Sprintf("The object in S3 is not the one that %s describes: %s.", source.Name, source.What), "resource", source.Name)
	case errors.As(err, &quota):
		return apierror.New(codes.ResourceExhausted, errorsv1.ErrorReason_QUOTA_EXCEEDED, quotaMessage(quota),
			"quota", quota.Quota, "limit", strconv.FormatInt(quota.Limit, 10), "used", strconv.FormatInt(quota.Used, 10))
	case errors.As(err, &incomplete):
		return apierror.New(codes.FailedPrecondition, errorsv1.ErrorReason_UPLOAD_INCOMPLETE, incompleteMessage(incomplete),
			"missing_parts", upload.Ranges(incomplete.Missing), "wrong_size_parts", upload.Ranges(incomplete.Wrong))
	case errors.As(err, &partNumber):
		field := fmt.Sprintf("parts[%d].part_number", partNumber.Index)
		return apierror.Invalid(field, fmt.Sprintf("%s: this upload has parts 1 to %d, not %d.", field, partNumber.Count, partNumber.Number))
	case errors.As(err, &unavailable):
		t.log.Warn("s3 does not answer", zap.Error(err))
		return apierror.New(codes.Unavailable, errorsv1.ErrorReason_DEPENDENCY_UNAVAILABLE,
			"The object store does not answer now; nothing is lost, try again in a moment.")
	}
	return err
}

func quotaMessage(q *catalog.QuotaError) string {
	const operator = "ask the operator for more"
	switch q.Quota {
	case "bytes":
		return fmt.Sprintf("The project may keep %d bytes of uploads, has %d, and this file has %d; abort unfinished uploads or %s.", q.Limit, q.Used, q.Asked, operator)
	case "versions":
		return fmt.Sprintf("The project may keep %d versions and has %d; abort unfinished uploads or %s.", q.Limit, q.Used, operator)
	default:
		return fmt.Sprintf("The project may have %d unfinished uploads at once and has %d; complete or abort one, or %s.", q.Limit, q.Used, operator)
	}
}

func incompleteMessage(e *upload.IncompleteError) string {
	message := "The upload is incomplete."
	if len(e.Missing) > 0 {
		message += " Missing parts: " + upload.Ranges(e.Missing) + "."
	}
	if len(e.Wrong) > 0 {
		message += " Parts of the wrong size: " + upload.Ranges(e.Wrong) + "."
	}
	return message + " Sign and put these parts, then complete again."
}
