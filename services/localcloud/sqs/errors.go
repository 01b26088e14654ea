package sqs

import "fmt"

// Error is an answer of the SQS API that is not a success. Type is the shape
// name of the JSON protocol; Code is the name the older query protocol gave
// the same error, which AWS repeats in the header x-amzn-query-error and which
// boto3 and the AWS CLI show. Both are taken from the SQS service model
// (awsQueryError traits).
type Error struct {
	Type    string
	Code    string
	Message string
	// Status is the HTTP status, 400 when zero.
	Status int
	// Fault says whose error it is in a batch entry and in the header:
	// the sender's, unless true.
	Fault bool
}

func (e *Error) Error() string { return e.Code + ": " + e.Message }

const modelNamespace = "com.amazonaws.sqs#"

func modelError(shape, code, format string, args ...any) *Error {
	return &Error{Type: modelNamespace + shape, Code: code, Message: fmt.Sprintf(format, args...)}
}

func errNoQueue() *Error {
	return modelError("QueueDoesNotExist", "AWS.SimpleQueueService.NonExistentQueue",
		"The specified queue does not exist.")
}

func errQueueExists(attribute string) *Error {
	return modelError("QueueNameExists", "QueueAlreadyExists",
		"A queue already exists with the same name and a different value for attribute %s", attribute)
}

func errReceiptHandle(handle string) *Error {
	return modelError("ReceiptHandleIsInvalid", "ReceiptHandleIsInvalid",
		"The input receipt handle \"%s\" is not a valid receipt handle.", handle)
}

func errNotInFlight() *Error {
	return modelError("MessageNotInflight", "AWS.SimpleQueueService.MessageNotInflight",
		"The message referred to isn't in flight.")
}

func errAttributeName(name string) *Error {
	return modelError("InvalidAttributeName", "InvalidAttributeName", "Unknown Attribute %s.", name)
}

func errAttributeValue(name string) *Error {
	return modelError("InvalidAttributeValue", "InvalidAttributeValue",
		"Invalid value for the parameter %s.", name)
}

func errUnsupported(format string, args ...any) *Error {
	return modelError("UnsupportedOperation", "AWS.SimpleQueueService.UnsupportedOperation", format, args...)
}

// InvalidParameterValue and MissingParameter are errors of all AWS services
// rather than of the SQS model, so their namespace is another.
func errParameter(format string, args ...any) *Error {
	return &Error{
		Type:    "com.amazon.coral.service#InvalidParameterValueException",
		Code:    "InvalidParameterValue",
		Message: fmt.Sprintf(format, args...),
	}
}

func errParameterReason(value any, name, reason string) *Error {
	return errParameter("Value %v for parameter %s is invalid. Reason: %s", value, name, reason)
}

func errMissing(name string) *Error {
	return &Error{
		Type:    "com.amazon.coral.service#MissingRequiredParameterException",
		Code:    "MissingParameter",
		Message: "The request must contain the parameter " + name + ".",
	}
}
