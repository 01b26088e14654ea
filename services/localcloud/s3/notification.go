package s3

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/google/uuid"
	"github.com/versity/versitygw/s3api/utils"

	"github.com/trainyard/trainyard/services/localcloud/sqs"
)

// configuration is S3's NotificationConfiguration. Only queues are offered;
// the other destinations are read so that they can be refused.
type configuration struct {
	XMLName         xml.Name             `xml:"http://s3.amazonaws.com/doc/2006-03-01/ NotificationConfiguration"`
	Queues          []queueConfiguration `xml:"QueueConfiguration"`
	Topics          []struct{}           `xml:"TopicConfiguration"`
	CloudFunctions  []struct{}           `xml:"CloudFunctionConfiguration"`
	LambdaFunctions []struct{}           `xml:"LambdaFunctionConfiguration"`
	EventBridge     *struct{}            `xml:"EventBridgeConfiguration"`
}

type queueConfiguration struct {
	ID     string   `xml:"Id"`
	Queue  string   `xml:"Queue"`
	Events []string `xml:"Event"`
	Filter *filter  `xml:"Filter,omitempty"`
}

type filter struct {
	Rules []filterRule `xml:"S3Key>FilterRule"`
}

type filterRule struct {
	Name  string `xml:"Name"`
	Value string `xml:"Value"`
}

func (q queueConfiguration) rule(name string) string {
	if q.Filter != nil {
		for _, r := range q.Filter.Rules {
			if strings.EqualFold(r.Name, name) {
				return r.Value
			}
		}
	}
	return ""
}

func (q queueConfiguration) wants(key, eventName string) bool {
	return strings.HasPrefix(key, q.rule("prefix")) && strings.HasSuffix(key, q.rule("suffix")) &&
		slices.ContainsFunc(q.Events, func(pattern string) bool { return coversEvent(pattern, "s3:"+eventName) })
}

// offeredEvents are the event types that this store emits.
var offeredEvents = []string{
	"s3:ObjectCreated:*", "s3:ObjectCreated:Put", "s3:ObjectCreated:Post", "s3:ObjectCreated:Copy",
	"s3:ObjectCreated:CompleteMultipartUpload",
}

func coversEvent(pattern, event string) bool {
	prefix, wildcard := strings.CutSuffix(pattern, "*")
	return pattern == event || wildcard && strings.HasPrefix(event, prefix)
}

// overlaps follows S3's rule: two queues may not be told of the same event for
// the same key.
func (q queueConfiguration) overlaps(other queueConfiguration) bool {
	for _, a := range q.Events {
		for _, b := range other.Events {
			if !coversEvent(a, b) && !coversEvent(b, a) {
				continue
			}
			ap, bp, as, bs := q.rule("prefix"), other.rule("prefix"), q.rule("suffix"), other.rule("suffix")
			if (strings.HasPrefix(ap, bp) || strings.HasPrefix(bp, ap)) && (strings.HasSuffix(as, bs) || strings.HasSuffix(bs, as)) {
				return true
			}
		}
	}
	return false
}

// check refuses what S3 refuses, in its words, and what is not offered here.
func (c *configuration) check() error {
	if len(c.Topics)+len(c.CloudFunctions)+len(c.LambdaFunctions) > 0 || c.EventBridge != nil {
		return apiError(http.StatusNotImplemented, "NotImplemented",
			"localcloud notifies SQS queues only: use QueueConfigurations.")
	}
	for i := range c.Queues {
		q := &c.Queues[i]
		if q.ID == "" {
			q.ID = uuid.NewString()
		}
		if len(q.Events) == 0 {
			return apiError(http.StatusBadRequest, "MalformedXML",
				"The XML you provided was not well-formed or did not validate against our published schema")
		}
		for _, event := range q.Events {
			if !slices.Contains(offeredEvents, event) {
				return apiError(http.StatusBadRequest, "InvalidArgument",
					fmt.Sprintf("The event %s is not supported for notifications; localcloud emits %s.", event, strings.Join(offeredEvents, ", ")))
			}
		}
		if err := q.checkFilter(); err != nil {
			return err
		}
		if strings.HasSuffix(q.Queue, ".fifo") {
			return apiError(http.StatusBadRequest, "InvalidArgument", "FIFO SQS queues are not supported.")
		}
		for _, other := range c.Queues[:i] {
			if other.ID == q.ID {
				return apiError(http.StatusBadRequest, "InvalidArgument", "Same ID used for multiple configurations. IDs must be unique")
			}
			if q.overlaps(other) {
				return apiError(http.StatusBadRequest, "InvalidArgument", "Configuration is ambiguously defined. "+
					"Cannot have overlapping suffixes in two rules if the prefixes are overlapping for the same event type.")
			}
		}
	}
	return nil
}

func (q queueConfiguration) checkFilter() error {
	if q.Filter == nil {
		return nil
	}
	seen := make(map[string]bool)
	for _, rule := range q.Filter.Rules {
		name := strings.ToLower(rule.Name)
		if name != "prefix" && name != "suffix" {
			return apiError(http.StatusBadRequest, "InvalidArgument", "filter rule name must be either prefix or suffix")
		}
		if seen[name] {
			return apiError(http.StatusBadRequest, "InvalidArgument", "Cannot specify more than one "+name+" rule in a filter.")
		}
		seen[name] = true
		if len(rule.Value) > 1024 {
			return apiError(http.StatusBadRequest, "InvalidArgument", "Size of filter rule value cannot exceed 1024 bytes in UTF-8 representation")
		}
	}
	return nil
}

// notifications holds each bucket's configuration, in memory for the writes
// and in the journal for the next start.
type notifications struct {
	journal *journal
	mu      sync.RWMutex
	buckets map[string]configuration
}

func loadNotifications(ctx context.Context, j *journal) (*notifications, error) {
	stored, err := j.configurations(ctx)
	if err != nil {
		return nil, err
	}
	n := &notifications{journal: j, buckets: make(map[string]configuration)}
	for bucket, text := range stored {
		var c configuration
		if err := xml.Unmarshal([]byte(text), &c); err != nil {
			return nil, fmt.Errorf("notifications of bucket %s: %w", bucket, err)
		}
		n.buckets[bucket] = c
	}
	return n, nil
}

// match gives the configurations that ask for the event.
func (n *notifications) match(bucket, key, eventName string) []queueConfiguration {
	n.mu.RLock()
	defer n.mu.RUnlock()
	var found []queueConfiguration
	for _, q := range n.buckets[bucket].Queues {
		if q.wants(key, eventName) {
			found = append(found, q)
		}
	}
	return found
}

func (n *notifications) get(bucket string) configuration {
	n.mu.RLock()
	defer n.mu.RUnlock()
	return n.buckets[bucket]
}

func (n *notifications) set(ctx context.Context, bucket string, c configuration) error {
	text := ""
	if len(c.Queues) > 0 {
		b, err := xml.Marshal(c)
		if err != nil {
			return fmt.Errorf("encode notifications of %s: %w", bucket, err)
		}
		text = string(b)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if _, known := n.buckets[bucket]; !known && text == "" {
		return nil
	}
	if err := n.journal.configure(ctx, bucket, text); err != nil {
		return err
	}
	// A new map, so that the old one's key is a copy of ours and not of a request's memory.
	buckets := maps.Clone(n.buckets)
	if text == "" {
		delete(buckets, bucket)
	} else {
		buckets[strings.Clone(bucket)] = c
	}
	n.buckets = buckets
	return nil
}

// maxConfiguration bounds the body of a request: 100 rules of 1 KiB fit with ease.
const maxConfiguration = 1 << 20

// authorize reads the body and checks the signature and that the bucket is there.
func (s *Server) authorize(r *http.Request, bucket string) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxConfiguration+1))
	if err != nil {
		return nil, apiError(http.StatusBadRequest, "IncompleteBody", "The request body could not be read.")
	}
	if len(body) > maxConfiguration {
		return nil, apiError(http.StatusBadRequest, "MaxMessageLengthExceeded", "Your request was too big.")
	}
	if err := s.cfg.Verify(r, "s3", body); err != nil {
		return nil, signatureError(err)
	}
	_, err = s.backend.HeadBucket(r.Context(), &awss3.HeadBucketInput{Bucket: &bucket})
	return body, err
}

func (s *Server) getNotification(w http.ResponseWriter, r *http.Request, bucket string) {
	if _, err := s.authorize(r, bucket); err != nil {
		s.refuse(w, r, err)
		return
	}
	body, err := xml.Marshal(s.notifications.get(bucket))
	if err != nil {
		s.refuse(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "application/xml")
	_, _ = io.WriteString(w, xml.Header+string(body)) // A client that went away is no fault of ours.
}

func (s *Server) putNotification(w http.ResponseWriter, r *http.Request, bucket string) {
	body, err := s.authorize(r, bucket)
	if err != nil {
		s.refuse(w, r, err)
		return
	}
	var c configuration
	if err := xml.Unmarshal(body, &c); err != nil {
		s.refuse(w, r, apiError(http.StatusBadRequest, "MalformedXML",
			"The XML you provided was not well-formed or did not validate against our published schema"))
		return
	}
	if err := c.check(); err != nil {
		s.refuse(w, r, err)
		return
	}
	skip := strings.EqualFold(r.Header.Get("X-Amz-Skip-Destination-Validation"), "true")
	for _, q := range c.Queues {
		err := s.introduce(r.Context(), bucket, q.Queue)
		if errors.Is(err, errDestination) && skip {
			continue
		}
		if err != nil {
			s.refuse(w, r, err)
			return
		}
	}
	if err := s.notifications.set(r.Context(), bucket, c); err != nil {
		s.refuse(w, r, err)
		return
	}
	w.WriteHeader(http.StatusOK)
}

// introduce checks that S3 may send to the queue, and sends it the test event.
func (s *Server) introduce(ctx context.Context, bucket, queueARN string) error {
	policy, err := s.cfg.Queues.Policy(ctx, queueARN)
	if errors.Is(err, sqs.ErrNoQueue) {
		return destinationError(queueARN, "The destination queue does not exist")
	}
	if err != nil {
		return err
	}
	if !allowsS3(policy, queueARN, s.bucketARN(bucket), s.cfg.AccountID) {
		return destinationError(queueARN, "Permissions on the destination queue do not allow S3 to publish notifications from this bucket; "+
			"its Policy must allow sqs:SendMessage to the Service s3.amazonaws.com")
	}
	body, err := testEvent(bucket, utils.NewS3RequestID(), utils.NewS3HostID(), time.Now())
	if err != nil {
		return err
	}
	return s.cfg.Queues.Send(ctx, queueARN, body)
}
