// Package awsjson serves operations in AWS's JSON RPC protocol, versions 1.0 and 1.1: one POST to `/`, the operation in
// the X-Amz-Target header, input and output as JSON objects, an error as {"__type": code, "message": text}.
//
// Format: https://smithy.io/2.0/aws/protocols/aws-json-1_1-protocol.html
package awsjson

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/google/uuid"
	"go.uber.org/zap"
)

// maxBody bounds a request. The largest legal one is a PutLogEvents batch: 1 MiB of text, up to six times that once its
// control characters are escaped.
const maxBody = 8 << 20

// Error is an answer the caller is meant to see. Code is the shape's name, such as ValidationException.
type Error struct {
	Code    string
	Message string
	// Status is the HTTP status; 0 means 400, which AWS uses for nearly all of them.
	Status int
}

func (e *Error) Error() string { return e.Code + ": " + e.Message }

// Errorf makes an Error with status 400.
func Errorf(code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// Operation answers one request body. A nil result is an empty reply, as for operations without output.
type Operation func(ctx context.Context, body []byte) (any, error)

// Op makes an Operation of a typed function. Unknown members of the input are ignored, as AWS does.
func Op[In any](f func(context.Context, In) (any, error)) Operation {
	return func(ctx context.Context, body []byte) (any, error) {
		var in In
		if err := json.Unmarshal(body, &in); err != nil {
			return nil, Errorf("SerializationException", "%v", err)
		}
		return f(ctx, in)
	}
}

// Handler serves the operations of one service.
type Handler struct {
	// Prefix is the service's part of X-Amz-Target, without the dot: `SageMaker`.
	Prefix     string
	Operations map[string]Operation
	Logger     *zap.Logger
	// Intercept is asked before each operation of the service; its error is answered instead. It may be nil.
	Intercept func(operation string) error
}

// ErrAnswerLost, from Intercept, lets the operation be done and cuts the connection before its answer.
var ErrAnswerLost = errors.New("answer lost")

// ServeHTTP implements http.Handler. Authentication is done before it.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	requestID := uuid.NewString()
	w.Header().Set("X-Amzn-Requestid", requestID)
	name := strings.TrimPrefix(r.Header.Get("X-Amz-Target"), h.Prefix+".")
	op, ok := h.Operations[name]
	if !ok || r.Method != http.MethodPost {
		writeError(w, Errorf("UnknownOperationException", "The operation %q is not one of %s's that localcloud knows.", name, h.Prefix))
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		writeError(w, Errorf("SerializationException", "cannot read the request: %v", err))
		return
	}
	var intercepted error
	if h.Intercept != nil {
		intercepted = h.Intercept(name)
	}
	var result any
	if err = intercepted; err == nil || errors.Is(err, ErrAnswerLost) {
		result, err = op(r.Context(), body)
	}
	if errors.Is(intercepted, ErrAnswerLost) {
		panic(http.ErrAbortHandler) // net/http's way to cut a connection.
	}
	if err != nil {
		var known *Error
		if !errors.As(err, &known) {
			// Whatever is not named is ours to read, not the caller's.
			h.Logger.Error("request failed", zap.String("operation", name), zap.String("request_id", requestID), zap.Error(err))
			known = &Error{Code: "InternalFailure", Message: "We encountered an internal error. Please try again.", Status: http.StatusInternalServerError}
		}
		writeError(w, known)
		return
	}
	if result == nil {
		writeJSON(w, http.StatusOK, nil)
		return
	}
	out, err := json.Marshal(result)
	if err != nil {
		h.Logger.Error("encode reply", zap.String("operation", name), zap.Error(err))
		writeError(w, &Error{Code: "InternalFailure", Message: "We encountered an internal error. Please try again.", Status: http.StatusInternalServerError})
		return
	}
	writeJSON(w, http.StatusOK, out)
}

func writeError(w http.ResponseWriter, e *Error) {
	// The shapes SageMaker models itself (ResourceInUse) spell the member "Message"; all others end in Exception and
	// spell it "message". Typed SDK clients look for exactly that.
	member := "message"
	if strings.HasPrefix(e.Code, "Resource") && !strings.HasSuffix(e.Code, "Exception") {
		member = "Message"
	}
	body, err := json.Marshal(map[string]string{"__type": e.Code, member: e.Message})
	if err != nil {
		http.Error(w, e.Code, http.StatusInternalServerError)
		return
	}
	status := e.Status
	if status == 0 {
		status = http.StatusBadRequest
	}
	w.Header().Set("X-Amzn-Errortype", e.Code)
	writeJSON(w, status, body)
}

func writeJSON(w http.ResponseWriter, status int, body []byte) {
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	w.WriteHeader(status)
	_, _ = w.Write(body) // A client that went away is no fault of ours.
}
