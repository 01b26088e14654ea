package preflight

import (
	"context"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/fsx"
	fsxtypes "github.com/aws/aws-sdk-go-v2/service/fsx/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
)

const ambiguous = "Configuration is ambiguously defined. Cannot have overlapping suffixes in two rules if the prefixes are overlapping for the same event type."

// eventConflictCheck looks whether another consumer wants the uploads bucket's events too: S3 tells an event to one alone, and FSx, which imports
// by such events, becomes MISCONFIGURED.
func eventConflictCheck() Check {
	return Check{Name: "s3-event-conflict", Title: "One consumer for each S3 event", Run: runEventConflict}
}

// eventRule is who wants which events of which keys.
type eventRule struct {
	Who            string
	Prefix, Suffix string
	Events         []string // Such as s3:ObjectCreated:*.
}

func (r eventRule) String() string {
	return fmt.Sprintf("%s (prefix %q, suffix %q, %s)", r.Who, r.Prefix, r.Suffix, strings.Join(r.Events, ", "))
}

func runEventConflict(ctx context.Context, c *Clients, s *Subject) (Result, error) {
	if s.UploadsBucket == "" {
		return skipped("no uploads bucket is known")
	}
	client, err := c.s3()
	if err != nil {
		return Result{}, err
	}
	out, err := client.GetBucketNotificationConfiguration(ctx, &s3.GetBucketNotificationConfigurationInput{Bucket: &s.UploadsBucket})
	if err != nil {
		return Result{Prevents: ambiguous}, err
	}
	var f findings
	ours, others := splitRules(out, s)
	switch {
	case len(ours) > 0:
		for _, r := range ours {
			f.ok("bucket %s tells %s", s.UploadsBucket, r)
		}
	case out.EventBridgeConfiguration != nil:
		f.ok("bucket %s tells EventBridge, which any number of consumers can share", s.UploadsBucket)
	default:
		planned := eventRule{Who: "our uploads queue", Prefix: s.UploadsPrefix, Events: []string{"s3:ObjectCreated:*"}}
		f.ok("bucket %s doesn't tell our uploads queue yet; it is to be %s", s.UploadsBucket, planned)
		ours = append(ours, planned)
	}
	conflicts(&f, s, ours, others)

	lustre, err := lustreRules(ctx, c, s.UploadsBucket)
	conflicts(&f, s, ours, lustre)
	if err == nil && f.status == "" {
		f.ok("%d other rules and %d imports by FSx don't overlap", len(others), len(lustre))
	}
	return f.result(ambiguous), err
}

func conflicts(f *findings, s *Subject, ours, others []eventRule) {
	for _, our := range ours {
		for _, other := range others {
			if our.overlaps(other) {
				f.fail(fmt.Sprintf("%s and %s want the same events", our, other),
					"give the two prefixes of which neither begins with the other, or send the bucket's events to EventBridge and from there to the queue, and leave the slot to the other", viaEventBridge(s))
			}
		}
	}
}

// splitRules parts the bucket's notifications into those of our queue and others. An unknown queue is told by the uploads' prefix.
func splitRules(out *s3.GetBucketNotificationConfigurationOutput, s *Subject) (ours, others []eventRule) {
	rule := func(kind string, target, id *string, filter *s3types.NotificationConfigurationFilter, events []s3types.Event) eventRule {
		r := eventRule{Who: fmt.Sprintf("%s %s", kind, aws.ToString(target))}
		if id := aws.ToString(id); id != "" {
			r.Who += " as " + id
		}
		if filter != nil && filter.Key != nil {
			for _, one := range filter.Key.FilterRules {
				if strings.EqualFold(string(one.Name), "prefix") {
					r.Prefix = aws.ToString(one.Value)
				} else {
					r.Suffix = aws.ToString(one.Value)
				}
			}
		}
		for _, e := range events {
			r.Events = append(r.Events, string(e))
		}
		return r
	}
	for _, q := range out.QueueConfigurations {
		r := rule("queue", q.QueueArn, q.Id, q.Filter, q.Events)
		if s.UploadsQueueARN == aws.ToString(q.QueueArn) || s.UploadsQueueARN == "" && len(ours) == 0 && r.Prefix == s.UploadsPrefix {
			ours = append(ours, r)
		} else {
			others = append(others, r)
		}
	}
	for _, t := range out.TopicConfigurations {
		others = append(others, rule("topic", t.TopicArn, t.Id, t.Filter, t.Events))
	}
	for _, l := range out.LambdaFunctionConfigurations {
		others = append(others, rule("function", l.LambdaFunctionArn, l.Id, l.Filter, l.Events))
	}
	return ours, others
}

// overlaps tells whether an event can be meant by both rules, as S3 judges it: by prefix, suffix and event type, each on its own.
func (r eventRule) overlaps(other eventRule) bool {
	if !strings.HasPrefix(r.Prefix, other.Prefix) && !strings.HasPrefix(other.Prefix, r.Prefix) ||
		!strings.HasSuffix(r.Suffix, other.Suffix) && !strings.HasSuffix(other.Suffix, r.Suffix) {
		return false
	}
	for _, a := range r.Events {
		for _, b := range other.Events {
			if a == b || covers(a, b) || covers(b, a) {
				return true
			}
		}
	}
	return false
}

// covers tells whether an event type with a * includes another.
func covers(all, one string) bool {
	prefix, ok := strings.CutSuffix(all, "*")
	return ok && strings.HasPrefix(one, prefix)
}

// lustreRules are the events that FSx for Lustre wants of a bucket: by associations, and by the older import path of file systems.
func lustreRules(ctx context.Context, c *Clients, bucket string) ([]eventRule, error) {
	client, err := c.fsx()
	if err != nil {
		return nil, err
	}
	var rules []eventRule
	add := func(who, path string, details *fsxtypes.DataRepositoryFailureDetails, events []string) {
		p, ok := placeOf(who, &path, true)
		if !ok || p.Bucket != bucket || len(events) == 0 {
			return
		}
		if details != nil && aws.ToString(details.Message) != "" {
			who += ": " + aws.ToString(details.Message)
		}
		rules = append(rules, eventRule{Who: who, Prefix: p.Key, Events: events})
	}
	associations := fsx.NewDescribeDataRepositoryAssociationsPaginator(client, &fsx.DescribeDataRepositoryAssociationsInput{})
	for associations.HasMorePages() {
		page, err := associations.NextPage(ctx)
		if err != nil {
			return rules, err
		}
		for _, a := range page.Associations {
			var events []string
			if a.S3 != nil && a.S3.AutoImportPolicy != nil {
				events = s3Events(a.S3.AutoImportPolicy.Events)
			}
			add(fmt.Sprintf("FSx association %s of %s, %s", aws.ToString(a.AssociationId), aws.ToString(a.FileSystemId), a.Lifecycle), aws.ToString(a.DataRepositoryPath), a.FailureDetails, events)
		}
	}
	systems := fsx.NewDescribeFileSystemsPaginator(client, &fsx.DescribeFileSystemsInput{})
	for systems.HasMorePages() {
		page, err := systems.NextPage(ctx)
		if err != nil {
			return rules, err
		}
		for _, fs := range page.FileSystems {
			if fs.LustreConfiguration == nil || fs.LustreConfiguration.DataRepositoryConfiguration == nil {
				continue
			}
			repository := fs.LustreConfiguration.DataRepositoryConfiguration
			var events []fsxtypes.EventType
			switch repository.AutoImportPolicy {
			case fsxtypes.AutoImportPolicyTypeNew, fsxtypes.AutoImportPolicyTypeNewChanged:
				events = []fsxtypes.EventType{fsxtypes.EventTypeNew}
			case fsxtypes.AutoImportPolicyTypeNewChangedDeleted:
				events = []fsxtypes.EventType{fsxtypes.EventTypeNew, fsxtypes.EventTypeDeleted}
			}
			add(fmt.Sprintf("FSx file system %s, %s", aws.ToString(fs.FileSystemId), repository.Lifecycle), aws.ToString(repository.ImportPath), repository.FailureDetails, s3Events(events))
		}
	}
	return rules, nil
}

// s3Events are the S3 events by which FSx learns of its own.
func s3Events(events []fsxtypes.EventType) []string {
	var all []string
	created := false
	for _, e := range events {
		switch {
		case e == fsxtypes.EventTypeDeleted:
			all = append(all, "s3:ObjectRemoved:*")
		case !created:
			created = true
			all = append(all, "s3:ObjectCreated:*")
		}
	}
	return all
}

// viaEventBridge is Terraform that sends the bucket's events to the queue by EventBridge, in S3's own shape, which the converter reads. It leaves
// other notifications of the bucket out, for Terraform manages them as one.
func viaEventBridge(s *Subject) string {
	queue := s.UploadsQueueARN
	if queue == "" {
		queue = "QUEUE_ARN"
	}
	return fmt.Sprintf(`resource "aws_s3_bucket_notification" "uploads" {
  bucket      = %q
  eventbridge = true
  # the other consumer's block stays here
}
resource "aws_cloudwatch_event_rule" "uploads" {
  name          = "uploads"
  event_pattern = jsonencode({
    source        = ["aws.s3"]
    "detail-type" = ["Object Created"]
    detail        = { bucket = { name = [%q] }, object = { key = [{ prefix = %q }] } }
  })
}
resource "aws_cloudwatch_event_target" "uploads" {
  rule = aws_cloudwatch_event_rule.uploads.name
  arn  = %q # its policy must allow events.amazonaws.com sqs:SendMessage
  input_transformer {
    input_paths = {
      region = "$.region", time = "$.time", bucket = "$.detail.bucket.name", key = "$.detail.object.key",
      size = "$.detail.object.size", etag = "$.detail.object.etag", sequencer = "$.detail.object.sequencer"
    }
    input_template = <<-JSON
      {"Records": [{"eventVersion": "2.1", "eventSource": "aws:s3", "awsRegion": <region>, "eventTime": <time>, "eventName": "ObjectCreated:Put",
        "s3": {"s3SchemaVersion": "1.0", "bucket": {"name": <bucket>}, "object": {"key": <key>, "size": <size>, "eTag": <etag>, "sequencer": <sequencer>}}}]}
    JSON
  }
}`, s.UploadsBucket, s.UploadsBucket, s.UploadsPrefix, queue)
}
