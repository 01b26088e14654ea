package localcloud

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/trainyard/trainyard/services/internal/awscfg"
)

// What the suite uses of AWS.
const (
	Bucket = "trainyard"
	// UploadsQueue gets the S3 event of each upload.
	UploadsQueue           = "trainyard-uploads"
	UploadsDeadLetterQueue = "trainyard-uploads-dlq"
	// TasksQueue gets the converter's tasks.
	TasksQueue           = "trainyard-tasks"
	TasksDeadLetterQueue = "trainyard-tasks-dlq"
	// TrainingEventsQueue gets SageMaker's state changes in EventBridge's envelope.
	TrainingEventsQueue = "trainyard-training-events"
)

const (
	// uploadsPrefix is all that wakes the converter: what it writes itself lies elsewhere.
	uploadsPrefix = "uploads/"
	// maxReceives is how often a message is given out before it is a dead letter.
	maxReceives = 5
	// deadLetterRetention is SQS's longest retention, in seconds: 14 days.
	deadLetterRetention = "1209600"
	// visibility is the queues' own timeout, in seconds; consumers say theirs with each receive.
	visibility = "60"
	corsMaxAge = 3600
)

// Resources are the addresses of what Provision made.
type Resources struct {
	Bucket                                                 string
	UploadsQueueURL, TasksQueueURL, TrainingEventsQueueURL string
	UploadsDeadLetterQueueURL, TasksDeadLetterQueueURL     string
}

// Provision makes what the suite needs, through the AWS APIs alone: the bucket
// with its CORS rule for the pages at allowedOrigins, the queues with their
// dead-letter queues, and the notification of uploads. It can be run again and
// changes nothing that is as it should be.
func Provision(ctx context.Context, cfg aws.Config, allowedOrigins []string) (Resources, error) {
	p := provisioner{s3: awscfg.S3(cfg), sqs: awssqs.NewFromConfig(cfg), region: cfg.Region}
	out := Resources{Bucket: Bucket}
	if err := p.bucket(ctx); err != nil {
		return Resources{}, err
	}
	if err := p.cors(ctx, allowedOrigins); err != nil {
		return Resources{}, err
	}
	uploads := map[string]string{
		"VisibilityTimeout": visibility,
		"RedrivePolicy":     p.redrive(UploadsDeadLetterQueue),
		"Policy":            p.queuePolicy(UploadsQueue, "s3.amazonaws.com", bucketARN(cfg.Region, Bucket)),
	}
	// Dead-letter queues come before the queues that name them.
	for _, q := range []struct {
		name       string
		url        *string
		attributes map[string]string
	}{
		{UploadsDeadLetterQueue, &out.UploadsDeadLetterQueueURL, map[string]string{"MessageRetentionPeriod": deadLetterRetention}},
		{TasksDeadLetterQueue, &out.TasksDeadLetterQueueURL, map[string]string{"MessageRetentionPeriod": deadLetterRetention}},
		{UploadsQueue, &out.UploadsQueueURL, uploads},
		{TasksQueue, &out.TasksQueueURL, map[string]string{"VisibilityTimeout": visibility, "RedrivePolicy": p.redrive(TasksDeadLetterQueue)}},
		{TrainingEventsQueue, &out.TrainingEventsQueueURL, map[string]string{"VisibilityTimeout": visibility}},
	} {
		url, err := p.queue(ctx, q.name, q.attributes)
		if err != nil {
			return Resources{}, err
		}
		*q.url = url
	}
	return out, p.notification(ctx)
}

type provisioner struct {
	s3     *awss3.Client
	sqs    *awssqs.Client
	region string
}

func (p provisioner) bucket(ctx context.Context) error {
	_, err := p.s3.CreateBucket(ctx, &awss3.CreateBucketInput{Bucket: aws.String(Bucket)})
	var ours *s3types.BucketAlreadyOwnedByYou
	if err != nil && !errors.As(err, &ours) {
		return fmt.Errorf("make bucket %s: %w", Bucket, err)
	}
	return nil
}

// cors lets the pages send parts to the bucket themselves and read back what proves them.
func (p provisioner) cors(ctx context.Context, origins []string) error {
	if len(origins) == 0 {
		return nil
	}
	_, err := p.s3.PutBucketCors(ctx, &awss3.PutBucketCorsInput{
		Bucket: aws.String(Bucket),
		CORSConfiguration: &s3types.CORSConfiguration{CORSRules: []s3types.CORSRule{{
			AllowedOrigins: origins,
			AllowedMethods: []string{"GET", "HEAD", "PUT"},
			AllowedHeaders: []string{"*"},
			ExposeHeaders:  []string{"ETag", "x-amz-checksum-crc32c"},
			MaxAgeSeconds:  aws.Int32(corsMaxAge),
		}}},
	})
	if err != nil {
		return fmt.Errorf("allow the page to use bucket %s: %w", Bucket, err)
	}
	return nil
}

func (p provisioner) queue(ctx context.Context, name string, attributes map[string]string) (string, error) {
	// First without attributes: with them, a queue that has others is an error.
	created, err := p.sqs.CreateQueue(ctx, &awssqs.CreateQueueInput{QueueName: &name})
	if err != nil {
		return "", fmt.Errorf("make queue %s: %w", name, err)
	}
	_, err = p.sqs.SetQueueAttributes(ctx, &awssqs.SetQueueAttributesInput{QueueUrl: created.QueueUrl, Attributes: attributes})
	if err != nil {
		return "", fmt.Errorf("set up queue %s: %w", name, err)
	}
	return *created.QueueUrl, nil
}

// notification sends the uploads' events to their queue. It is put only where
// it differs, because each put sends a test event.
func (p provisioner) notification(ctx context.Context) error {
	arn := queueARN(p.region, UploadsQueue)
	current, err := p.s3.GetBucketNotificationConfiguration(ctx, &awss3.GetBucketNotificationConfigurationInput{Bucket: aws.String(Bucket)})
	if err != nil {
		return fmt.Errorf("read notifications of bucket %s: %w", Bucket, err)
	}
	if slices.ContainsFunc(current.QueueConfigurations, func(q s3types.QueueConfiguration) bool { return aws.ToString(q.QueueArn) == arn }) {
		return nil
	}
	_, err = p.s3.PutBucketNotificationConfiguration(ctx, &awss3.PutBucketNotificationConfigurationInput{
		Bucket: aws.String(Bucket),
		NotificationConfiguration: &s3types.NotificationConfiguration{QueueConfigurations: append(current.QueueConfigurations, s3types.QueueConfiguration{
			Id: aws.String("trainyard-uploads"), QueueArn: &arn, Events: []s3types.Event{s3types.EventS3ObjectCreated},
			Filter: &s3types.NotificationConfigurationFilter{Key: &s3types.S3KeyFilter{FilterRules: []s3types.FilterRule{
				{Name: s3types.FilterRuleNamePrefix, Value: aws.String(uploadsPrefix)},
			}}},
		})},
	})
	if err != nil {
		return fmt.Errorf("notify queue %s of uploads: %w", UploadsQueue, err)
	}
	return nil
}

func (p provisioner) redrive(deadLetterQueue string) string {
	return `{"deadLetterTargetArn":"` + queueARN(p.region, deadLetterQueue) + `","maxReceiveCount":` + strconv.Itoa(maxReceives) + `}`
}

// queuePolicy lets an AWS service send to the queue on behalf of one source.
func (p provisioner) queuePolicy(name, service, sourceARN string) string {
	policy, _ := json.Marshal(map[string]any{ // Strings always encode.
		"Version": "2012-10-17",
		"Statement": []any{map[string]any{
			"Effect": "Allow", "Principal": map[string]string{"Service": service},
			"Action": "sqs:SendMessage", "Resource": queueARN(p.region, name),
			"Condition": map[string]any{
				"ArnEquals":    map[string]string{"aws:SourceArn": sourceARN},
				"StringEquals": map[string]string{"aws:SourceAccount": AccountID},
			},
		}},
	})
	return string(policy)
}

func partition(region string) string {
	if strings.HasPrefix(region, "cn-") {
		return "aws-cn"
	}
	return "aws"
}

func queueARN(region, name string) string {
	return "arn:" + partition(region) + ":sqs:" + region + ":" + AccountID + ":" + name
}

func bucketARN(region, name string) string {
	return "arn:" + partition(region) + ":s3:::" + name
}
