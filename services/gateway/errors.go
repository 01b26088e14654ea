package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	errorsv1 "github.com/trainyard/trainyard/gen/trainyard/errors/v1"
	"github.com/trainyard/trainyard/services/internal/apierror"
	"go.uber.org/zap"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
)

var errorJSON = protojson.MarshalOptions{EmitUnpopulated: true}

// writeError answers with an error from upstream or from the transcoding of a request.
func (u *Unit) writeError(w http.ResponseWriter, r *http.Request, err error) {
	if errors.Is(r.Context().Err(), context.Canceled) {
		return // The client is gone.
	}
	st := u.publicStatus(r, err)
	u.writeStatus(w, runtime.HTTPStatusFromCode(st.Code()), st)
}

// writeStatus answers with google.rpc.Status as JSON.
func (u *Unit) writeStatus(w http.ResponseWriter, httpStatus int, st *status.Status) {
	body, err := errorJSON.Marshal(st.Proto())
	if err != nil { // A detail of a type that isn't linked in.
		u.log.Error("an error can't be written as JSON", zap.Error(err))
		body, _ = errorJSON.Marshal(status.New(st.Code(), st.Message()).Proto())
	}
	w.Header().Set("Content-Type", "application/json")
	if httpStatus == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Bearer realm="trainyard"`)
	}
	if httpStatus == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
	w.WriteHeader(httpStatus)
	_, _ = w.Write(body)
}

// refuse answers with an error of the gateway's own.
func (u *Unit) refuse(w http.ResponseWriter, httpStatus int, code codes.Code, reason errorsv1.ErrorReason, message string, facts ...string) {
	u.writeStatus(w, httpStatus, status.Convert(apierror.New(code, reason, message, facts...)))
}

// publicStatus lets a status pass that one of our services made; others come from the gRPC client, whose texts hold addresses, or
// from transcoding, whose texts are for programmers.
func (u *Unit) publicStatus(r *http.Request, err error) *status.Status {
	st := status.Convert(err)
	if apierror.Reason(err) != errorsv1.ErrorReason_ERROR_REASON_UNSPECIFIED {
		return st
	}
	unavailable := errorsv1.ErrorReason_DEPENDENCY_UNAVAILABLE
	switch st.Code() {
	case codes.InvalidArgument:
		return status.Convert(inputError(r, st.Message()))
	case codes.Unavailable:
		u.log.Warn("a service is not reachable", zap.String("path", r.URL.Path), zap.Error(err))
		return status.Convert(apierror.New(st.Code(), unavailable, "A part of Trainyard is not reachable now; try again in a moment."))
	case codes.DeadlineExceeded:
		return status.Convert(apierror.New(st.Code(), unavailable, "The call took too long; try again."))
	case codes.Canceled: // By a side that is shutting down.
		return status.Convert(apierror.New(codes.Unavailable, unavailable, "A part of Trainyard is restarting; try again in a moment."))
	case codes.Unimplemented:
		return status.Convert(apierror.New(st.Code(), unavailable, "This installation doesn't serve this call; its services may be of an older version than the gateway."))
	default:
		u.log.Error("an error without a reason came from upstream", zap.String("path", r.URL.Path), zap.Error(err))
		return status.Convert(apierror.New(codes.Internal, errorsv1.ErrorReason_INTERNAL_ERROR,
			"Something went wrong inside Trainyard; the operator finds the cause in the log. Trying again is safe."))
	}
}

// inputError is what a decoder told by its text, or says what can be said of a request that no decoder of ours refused.
func inputError(r *http.Request, text string) error {
	var fault fieldError
	if json.Unmarshal([]byte(text), &fault) == nil && fault.Message != "" {
		return &fault
	}
	if _, err := url.ParseQuery(r.URL.RawQuery); err != nil {
		return wrong("query", "%v; write it as name=value&name=value, with %% as %%25, & as %%26 and ; as %%3B", err)
	}
	return apierror.New(codes.InvalidArgument, errorsv1.ErrorReason_FIELD_INVALID, "The request is not valid: "+text+"; /openapi.json describes what is expected.")
}

// routingError answers for paths and methods that no rpc has.
func (u *Unit) routingError(_ context.Context, _ *runtime.ServeMux, _ runtime.Marshaler, w http.ResponseWriter, r *http.Request, httpStatus int) {
	switch httpStatus {
	case http.StatusMethodNotAllowed:
		u.methodNotAllowed(w, r)
	case http.StatusBadRequest:
		u.refuse(w, httpStatus, codes.InvalidArgument, errorsv1.ErrorReason_FIELD_INVALID, "The path is not valid.", "field", "path")
	default:
		u.notFound(w, r)
	}
}

func (u *Unit) notFound(w http.ResponseWriter, r *http.Request) {
	u.refuse(w, http.StatusNotFound, codes.NotFound, errorsv1.ErrorReason_RESOURCE_NOT_FOUND,
		"There is nothing at "+r.URL.Path+"; /openapi.json lists what there is.", "path", r.URL.Path)
}

func (u *Unit) methodNotAllowed(w http.ResponseWriter, r *http.Request) {
	u.refuse(w, http.StatusMethodNotAllowed, codes.Unimplemented, errorsv1.ErrorReason_FIELD_INVALID,
		r.Method+" is not a method of "+r.URL.Path+"; /openapi.json lists what is.", "field", "method")
}

// only lets the given methods through.
func (u *Unit) only(h http.HandlerFunc, methods ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !slices.Contains(methods, r.Method) {
			for _, method := range methods {
				w.Header().Add("Allow", method)
			}
			u.methodNotAllowed(w, r)
			return
		}
		h(w, r)
	}
}
