package grpcapi

import (
	errorsv1 "github.com/trainyard/trainyard/gen/trainyard/errors/v1"
	"github.com/trainyard/trainyard/services/internal/apierror"
	"google.golang.org/grpc/codes"
)

// toStatus turns domain errors into the API's. What it doesn't know passes: errors of ingest are statuses already, and
// the server's interceptor answers for the rest.
func toStatus(err error) error {
	if e, ok := asNotReady(err); ok {
		return apierror.New(codes.FailedPrecondition, errorsv1.ErrorReason_WRONG_STATE, e.Error(), "state", e.state.String())
	}
	return err
}
