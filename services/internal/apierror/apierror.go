// Package apierror makes the errors that cross the API: google.rpc.Status with an ErrorInfo, so that programs branch on
// the reason and people read how to mend it.
package apierror

import (
	"errors"
	"strings"

	errorsv1 "github.com/trainyard/trainyard/gen/trainyard/errors/v1"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// Domain stands in every ErrorInfo.
const Domain = "trainyard.dev"

// New makes a status error. The message says what happened and how to mend it; facts are key, value, key, value, …. An INVALID_ARGUMENT
// that names its field bears a BadRequest as well, for clients that know only Google's details.
func New(code codes.Code, reason errorsv1.ErrorReason, message string, facts ...string) error {
	message = valid(message) // A string of a request may be quoted in it, and protobuf carries only UTF-8.
	metadata := make(map[string]string, len(facts)/2)
	for i := 0; i+1 < len(facts); i += 2 {
		metadata[facts[i]] = valid(facts[i+1])
	}
	details := []protoadapt.MessageV1{&errdetails.ErrorInfo{
		Reason:   reason.String(),
		Domain:   Domain,
		Metadata: metadata,
	}}
	if field := metadata["field"]; field != "" && code == codes.InvalidArgument {
		details = append(details, &errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{
			{Field: field, Description: message, Reason: reason.String()},
		}})
	}
	st, err := status.New(code, message).WithDetails(details...)
	if err != nil {
		return status.Error(code, message)
	}
	return st.Err()
}

func valid(text string) string { return strings.ToValidUTF8(text, "\uFFFD") }

// Invalid makes an INVALID_ARGUMENT error that names the field.
func Invalid(field, message string) error {
	return New(codes.InvalidArgument, errorsv1.ErrorReason_FIELD_INVALID, message, "field", field)
}

// EnumNames lists the values of an enum for a message, without the one that says it is not set.
func EnumNames(enum protoreflect.EnumDescriptor) string {
	var names []string
	for i := range enum.Values().Len() {
		if value := enum.Values().Get(i); value.Number() != 0 || !strings.HasSuffix(string(value.Name()), "_UNSPECIFIED") {
			names = append(names, string(value.Name()))
		}
	}
	return strings.Join(names, ", ")
}

// NotFound makes the NOT_FOUND error of a resource. It says the same whether the resource is another project's or nobody's.
func NotFound(name string) error {
	return New(codes.NotFound, errorsv1.ErrorReason_RESOURCE_NOT_FOUND, "There is no "+name+" in this project.", "resource", name)
}

// PageToken makes the error of a token that is not ours.
func PageToken() error {
	return New(codes.InvalidArgument, errorsv1.ErrorReason_PAGE_TOKEN_INVALID,
		"page_token is not one that this service gave; begin again without it.", "field", "page_token")
}

// Reason gives the reason that an error carries, or ERROR_REASON_UNSPECIFIED.
func Reason(err error) errorsv1.ErrorReason {
	info := errorInfo(err)
	if info == nil {
		return errorsv1.ErrorReason_ERROR_REASON_UNSPECIFIED
	}
	return errorsv1.ErrorReason(errorsv1.ErrorReason_value[info.GetReason()])
}

// Is tells whether an error, from this process or over the wire, carries the reason.
func Is(err error, reason errorsv1.ErrorReason) bool {
	return err != nil && Reason(err) == reason
}

// Fact gives one of the facts that an error carries, or "".
func Fact(err error, key string) string { return errorInfo(err).GetMetadata()[key] }

// Facts gives all facts that an error carries; nil if it carries none.
func Facts(err error) map[string]string { return errorInfo(err).GetMetadata() }

func errorInfo(err error) *errdetails.ErrorInfo {
	var carrier interface{ GRPCStatus() *status.Status }
	if !errors.As(err, &carrier) {
		return nil
	}
	for _, detail := range carrier.GRPCStatus().Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok && info.GetDomain() == Domain {
			return info
		}
	}
	return nil
}
