package s3

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/versity/versitygw/s3api/utils"
	"github.com/versity/versitygw/s3err"
	"go.uber.org/zap"

	"github.com/trainyard/trainyard/services/localcloud/sigv4"
)

// s3Error is what versitygw's errors and ours have in common.
type s3Error interface {
	error
	StatusCode() int
	XMLBody(requestID, hostID string) []byte
}

func apiError(status int, code, message string) s3Error {
	return s3err.APIError{Code: code, Description: message, HTTPStatusCode: status}
}

// errDestination marks the refusal of a queue.
var errDestination = errors.New("destination refused")

type destinationRefusal struct{ s3Error }

func (destinationRefusal) Unwrap() error { return errDestination }

func destinationError(queueARN, reason string) error {
	return destinationRefusal{apiError(http.StatusBadRequest, "InvalidArgument",
		fmt.Sprintf("Unable to validate the following destination configurations: %s: %s.", queueARN, reason))}
}

func signatureError(err error) error {
	switch {
	case errors.Is(err, sigv4.ErrMissing):
		return s3err.GetAPIError(s3err.ErrAccessDenied)
	case errors.Is(err, sigv4.ErrUnknownKey):
		return s3err.GetAPIError(s3err.ErrInvalidAccessKeyID)
	case errors.Is(err, sigv4.ErrSkewed):
		return s3err.GetAPIError(s3err.ErrRequestTimeTooSkewed)
	case errors.Is(err, sigv4.ErrMalformed):
		return apiError(http.StatusBadRequest, "AuthorizationHeaderMalformed", "The authorization header is malformed.")
	default:
		return s3err.GetAPIError(s3err.ErrSignatureDoesNotMatch)
	}
}

func isNotFound(err error) bool {
	var known s3Error
	return errors.As(err, &known) && known.StatusCode() == http.StatusNotFound
}

// refuse answers with the error if it is one of S3's, and with InternalError
// and a line in the log if not.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, err error) {
	var known s3Error
	if !errors.As(err, &known) {
		s.cfg.Logger.Error("s3 request failed", zap.String("method", r.Method), zap.String("path", r.URL.Path), zap.Error(err))
		known = s3err.GetAPIError(s3err.ErrInternalError)
	}
	writeError(w, known)
}

func writeError(w http.ResponseWriter, err s3Error) {
	requestID, hostID := utils.NewS3RequestID(), utils.NewS3HostID()
	w.Header().Set("x-amz-request-id", requestID)
	w.Header().Set("x-amz-id-2", hostID)
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(err.StatusCode())
	_, _ = w.Write(err.XMLBody(requestID, hostID)) // A client that went away is no fault of ours.
}
