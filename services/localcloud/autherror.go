package localcloud

import (
	"encoding/json"
	"errors"
	"net/http"

	"github.com/trainyard/trainyard/services/localcloud/sigv4"
)

// refuseSignature answers as the JSON services of AWS do. SQS alone adds the
// code of its older query protocol, and answers 403 where the others say 400.
func refuseSignature(w http.ResponseWriter, service string, err error) {
	status := http.StatusBadRequest
	if service == "sqs" {
		status = http.StatusForbidden
	}
	switch {
	case errors.Is(err, sigv4.ErrMissing):
		writeAuthError(w, service, "MissingAuthenticationTokenException", "MissingAuthenticationToken", status,
			"Request is missing Authentication Token")
	case errors.Is(err, sigv4.ErrUnknownKey):
		writeAuthError(w, service, "UnrecognizedClientException", "InvalidClientTokenId", status,
			"The security token included in the request is invalid.")
	case errors.Is(err, sigv4.ErrMalformed):
		writeAuthError(w, service, "IncompleteSignatureException", "IncompleteSignature", status,
			"The Authorization header is not a complete Signature Version 4 for this service and region.")
	case errors.Is(err, sigv4.ErrSkewed):
		writeAuthError(w, service, "InvalidSignatureException", "SignatureDoesNotMatch", status,
			"Signature expired or not yet current: the clocks differ by more than 15 minutes.")
	default:
		writeAuthError(w, service, "InvalidSignatureException", "SignatureDoesNotMatch", status,
			"The request signature we calculated does not match the signature you provided. "+
				"Check your AWS Secret Access Key and signing method. Consult the service documentation for details.")
	}
}

func writeAuthError(w http.ResponseWriter, service, code, queryCode string, status int, message string) {
	version := "1.1"
	if service == "sqs" {
		version = "1.0"
		w.Header().Set("x-amzn-query-error", queryCode+";Sender")
	}
	w.Header().Set("Content-Type", "application/x-amz-json-"+version)
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"__type": "com.amazon.coral.service#" + code, "message": message})
}
