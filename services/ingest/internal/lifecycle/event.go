package lifecycle

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/trainyard/trainyard/services/ingest/internal/upload"
)

// Queue is what is used of SQS; *sqs.Client is one.
type Queue interface {
	SendMessage(context.Context, *sqs.SendMessageInput, ...func(*sqs.Options)) (*sqs.SendMessageOutput, error)
}

// The event is what S3 itself sends, "Event message structure" in the Amazon S3 user guide, so that the converter has one path.
type (
	s3Event struct {
		Records []s3Record `json:"Records"`
	}
	s3Record struct {
		EventVersion string   `json:"eventVersion"`
		EventSource  string   `json:"eventSource"`
		AWSRegion    string   `json:"awsRegion"`
		EventTime    string   `json:"eventTime"`
		EventName    string   `json:"eventName"`
		S3           s3Entity `json:"s3"`
	}
	s3Entity struct {
		SchemaVersion   string   `json:"s3SchemaVersion"`
		ConfigurationID string   `json:"configurationId"`
		Bucket          s3Bucket `json:"bucket"`
		Object          s3Object `json:"object"`
	}
	s3Bucket struct {
		Name string `json:"name"`
		ARN  string `json:"arn"`
	}
	s3Object struct {
		Key       string `json:"key"`
		Size      int64  `json:"size"`
		ETag      string `json:"eTag"`
		VersionID string `json:"versionId,omitempty"`
		Sequencer string `json:"sequencer"`
	}
)

// sendEvent puts an event of the object into the uploads queue. Its sequencer grows with time like S3's, so that it is no duplicate of the lost one.
func (l *Lifecycle) sendEvent(ctx context.Context, key string, object upload.Object) error {
	partition := "aws"
	if strings.HasPrefix(l.cfg.Region, "cn-") {
		partition = "aws-cn"
	}
	now := time.Now().UTC()
	body, err := json.Marshal(s3Event{Records: []s3Record{{
		EventVersion: "2.1",
		EventSource:  "aws:s3",
		AWSRegion:    l.cfg.Region,
		EventTime:    now.Format("2006-01-02T15:04:05.000Z"),
		EventName:    "ObjectCreated:CompleteMultipartUpload",
		S3: s3Entity{
			SchemaVersion:   "1.0",
			ConfigurationID: "trainyard-reconciler",
			Bucket:          s3Bucket{Name: l.bucket.Name, ARN: "arn:" + partition + ":s3:::" + l.bucket.Name},
			Object: s3Object{
				Key:       strings.ReplaceAll(url.QueryEscape(key), "%2F", "/"),
				Size:      object.Size,
				ETag:      object.ETag,
				VersionID: object.Version,
				Sequencer: fmt.Sprintf("%018X", now.UnixNano()),
			},
		},
	}}})
	if err != nil {
		return err
	}
	_, err = l.queue.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: &l.cfg.UploadsQueue, MessageBody: aws.String(string(body))})
	return err
}
