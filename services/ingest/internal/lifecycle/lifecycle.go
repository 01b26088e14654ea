// Package lifecycle leads a version from its first byte to its end: the use cases behind the API and the reconciler that
// finishes what a crash or a lost event left half done.
package lifecycle

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
)

// Queue is what is used of SQS; *sqs.Client is one.
type Queue interface {
	SendMessage(context.Context, *sqs.SendMessageInput, ...func(*sqs.Options)) (*sqs.SendMessageOutput, error)
}

// Lifecycle is the use cases.
type Lifecycle struct{}
