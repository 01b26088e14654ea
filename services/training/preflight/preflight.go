// Package preflight looks for everything that would make a training job fail, before it is made and before it costs. It only
// reads, and is free of charge.
//
// Each check is one file: what it looks at, the error of AWS that it prevents, and the mend. A new one is a file with a function that gives
// a Check, and its line in All.
package preflight

import (
	"context"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sagemaker"

	"github.com/trainyard/trainyard/services/training/region"
)

// Status is how a check ended.
type Status string

// The ends of a check; the names are those of the API.
const (
	Pass    Status = "PASS"
	Warn    Status = "WARN"
	Fail    Status = "FAIL"
	Skipped Status = "SKIPPED"
)

// Result is what a check found.
type Result struct {
	Check  string
	Title  string
	Status Status
	// Seen is what was looked at and found: ids, ports, routes. For a skipped check it says why, such as the IAM action that is missing.
	Seen string
	// Prevents is the error that it prevents, word for word as AWS says it.
	Prevents string
	// Mend says how to mend it, and Snippet holds the lines for Terraform or the AWS command line.
	Mend    string
	Snippet string
	// Overridden tells that the check failed and was overridden by name; Blocking sets it.
	Overridden bool
	Took       time.Duration
}

// Subject is what is looked at: a job that could be sent to SageMaker as it is, and its surroundings.
type Subject struct {
	Region       string
	Capabilities *region.Table
	// Request is the job; its channels, VPC, role, keys, image and resources are what the checks look at.
	Request *sagemaker.CreateTrainingJobInput
	// UploadsBucket, UploadsPrefix and UploadsQueueARN are the installation's S3 event notification, for conflicts with FSx. The queue may be unknown.
	UploadsBucket   string
	UploadsPrefix   string
	UploadsQueueARN string
}

// Check is one thing to look for.
type Check struct {
	// Name is a slug such as s3-route, by which users override it.
	Name  string
	Title string
	// Run gives Status, Seen, Prevents, Mend and Snippet; Check, Title and Took are filled in. An error of AWS goes back as it is: a missing permission
	// and an AWS that doesn't answer make the check skipped, with what was seen until then. A failure that comes with an error stays a failure.
	Run func(ctx context.Context, c *Clients, s *Subject) (Result, error)
}
