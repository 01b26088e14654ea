package sqs

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxMessageBytes is SQS's limit for a message and for a whole batch: 1 MiB,
// counting body and message attributes.
const maxMessageBytes = 1 << 20

// The numeric queue attributes a caller may set, with AWS's ranges and defaults.
var numericAttributes = map[string]struct{ min, max, initial int }{
	"DelaySeconds":                  {0, 900, 0},
	"MaximumMessageSize":            {1024, maxMessageBytes, maxMessageBytes},
	"MessageRetentionPeriod":        {60, 1209600, 345600},
	"ReceiveMessageWaitTimeSeconds": {0, 20, 0},
	"VisibilityTimeout":             {0, 43200, 30},
}

// The attributes only the service sets.
var readOnlyAttributes = []string{
	"ApproximateNumberOfMessages", "ApproximateNumberOfMessagesDelayed",
	"ApproximateNumberOfMessagesNotVisible", "CreatedTimestamp", "LastModifiedTimestamp", "QueueArn",
}

// queue is a row of the table queues.
type queue struct {
	id         int64
	name       string
	attributes map[string]string // as set; the defaults are not in it
	tags       map[string]string
	created    time.Time
	modified   time.Time
	purged     time.Time
}

// number gives a numeric attribute, set or default.
func (q *queue) number(name string) int {
	if value, ok := q.attributes[name]; ok {
		n, _ := strconv.Atoi(value) // Checked when it was set.
		return n
	}
	return numericAttributes[name].initial
}

func (q *queue) seconds(name string) time.Duration {
	return time.Duration(q.number(name)) * time.Second
}

// get gives any attribute a caller can set; it is "" where there is none.
func (q *queue) get(name string) string {
	if value, ok := q.attributes[name]; ok {
		return value
	}
	if limits, ok := numericAttributes[name]; ok {
		return strconv.Itoa(limits.initial)
	}
	if name == "SqsManagedSseEnabled" {
		return "true"
	}
	return ""
}

func (s *Service) arn(name string) string {
	return fmt.Sprintf("arn:%s:sqs:%s:%s:%s", partition(s.cfg.Region), s.cfg.Region, s.cfg.AccountID, name)
}

// nameOfARN gives the name of a queue of this account and region.
func (s *Service) nameOfARN(arn string) (string, bool) {
	name, ok := strings.CutPrefix(arn, s.arn(""))
	return name, ok && name != ""
}

func partition(region string) string {
	if strings.HasPrefix(region, "cn-") {
		return "aws-cn"
	}
	return "aws"
}

type redrivePolicy struct {
	target      string // queue name
	maxReceives int
}

// redrive gives the queue's dead-letter policy, or nil.
func (s *Service) redrive(q *queue) *redrivePolicy {
	text, ok := q.attributes["RedrivePolicy"]
	if !ok {
		return nil
	}
	policy, err := s.parseRedrivePolicy(text)
	if err != nil {
		return nil // Checked when it was set.
	}
	return policy
}

func (s *Service) parseRedrivePolicy(text string) (*redrivePolicy, error) {
	refuse := func(reason string) error { return errParameterReason(text, "RedrivePolicy", reason) }
	var policy struct {
		Target string          `json:"deadLetterTargetArn"`
		Max    json.RawMessage `json:"maxReceiveCount"` // a number, or a number in a string
	}
	if err := json.Unmarshal([]byte(text), &policy); err != nil {
		return nil, refuse("Redrive policy is not a valid JSON map.")
	}
	if policy.Target == "" {
		return nil, refuse("Redrive policy does not contain mandatory attribute: deadLetterTargetArn.")
	}
	if policy.Max == nil {
		return nil, refuse("Redrive policy does not contain mandatory attribute: maxReceiveCount.")
	}
	maxReceives, err := strconv.Atoi(strings.Trim(string(policy.Max), `"`))
	if err != nil || maxReceives < 1 || maxReceives > 1000 {
		return nil, refuse("Invalid value for maxReceiveCount: " + string(policy.Max) + ", valid values are from 1 to 1000 both inclusive.")
	}
	name, ok := s.nameOfARN(policy.Target)
	if !ok {
		return nil, refuse("Dead-letter target owner and region must be the queue's own.")
	}
	return &redrivePolicy{target: name, maxReceives: maxReceives}, nil
}

// checkAttributes validates what a caller wants to set on the queue of that
// name and drops from it what only says "none".
func (s *Service) checkAttributes(ctx context.Context, tx *sql.Tx, name string, attributes map[string]string) (map[string]string, error) {
	checked := make(map[string]string, len(attributes))
	for key, value := range attributes {
		if limits, ok := numericAttributes[key]; ok {
			n, err := strconv.Atoi(value)
			if err != nil || n < limits.min || n > limits.max {
				return nil, errAttributeValue(key)
			}
			checked[key] = strconv.Itoa(n)
			continue
		}
		switch key {
		case "Policy", "RedriveAllowPolicy":
			if value != "" && !json.Valid([]byte(value)) {
				return nil, errAttributeValue(key)
			}
		case "RedrivePolicy":
			if value == "" {
				break
			}
			policy, err := s.parseRedrivePolicy(value)
			if err != nil {
				return nil, err
			}
			if err := s.checkDeadLetterTarget(ctx, tx, name, value, policy.target); err != nil {
				return nil, err
			}
		case "SqsManagedSseEnabled":
			if value != "true" && value != "false" {
				return nil, errAttributeValue(key)
			}
		case "FifoQueue", "ContentBasedDeduplication", "DeduplicationScope", "FifoThroughputLimit":
			if value != "false" {
				return nil, errNoFIFO()
			}
			return nil, errAttributeName(key) // AWS knows these names on FIFO queues only.
		case "KmsMasterKeyId", "KmsDataKeyReusePeriodSeconds":
			if value != "" {
				return nil, errUnsupported("localcloud has no KMS: leave %s away; the queue is a local file.", key)
			}
		default:
			return nil, errAttributeName(key)
		}
		checked[key] = value
	}
	return checked, nil
}

func (s *Service) checkDeadLetterTarget(ctx context.Context, tx *sql.Tx, source, text, target string) error {
	refuse := func(reason string) error { return errParameterReason(text, "RedrivePolicy", reason) }
	if target == source {
		return refuse("Dead-letter target must not be the queue itself.")
	}
	dead, err := findQueue(ctx, tx, target)
	if errors.Is(err, sql.ErrNoRows) {
		return refuse("Dead letter target does not exist.")
	}
	if err != nil {
		return err
	}
	var allow struct {
		Permission string   `json:"redrivePermission"`
		Sources    []string `json:"sourceQueueArns"`
	}
	if text := dead.attributes["RedriveAllowPolicy"]; text != "" {
		if err := json.Unmarshal([]byte(text), &allow); err != nil {
			return refuse("The RedriveAllowPolicy of the dead-letter target cannot be read.")
		}
	}
	denied := allow.Permission == "denyAll" ||
		allow.Permission == "byQueue" && !slices.Contains(allow.Sources, s.arn(source))
	if denied {
		return refuse("The RedriveAllowPolicy of the dead-letter target does not allow this source queue.")
	}
	return nil
}

func errNoFIFO() *Error {
	return errUnsupported("localcloud offers standard queues only: S3 events and the suite use no FIFO queue. " +
		"Make the queue without FifoQueue and without .fifo in its name.")
}

// allAttributes are the values GetQueueAttributes gives for "All".
func (s *Service) allAttributes(ctx context.Context, tx *sql.Tx, q *queue) (map[string]string, error) {
	now := time.Now()
	var visible, delayed, inFlight int
	err := tx.QueryRowContext(ctx, `SELECT
		COUNT(*) FILTER (WHERE visible_us <= ?1),
		COUNT(*) FILTER (WHERE visible_us > ?1 AND received_us = 0),
		COUNT(*) FILTER (WHERE visible_us > ?1 AND received_us > 0)
		FROM messages WHERE queue_id = ?2 AND sent_us > ?3`,
		micros(now), q.id, micros(now.Add(-q.seconds("MessageRetentionPeriod")))).Scan(&visible, &delayed, &inFlight)
	if err != nil {
		return nil, fmt.Errorf("count messages: %w", err)
	}
	all := map[string]string{
		"ApproximateNumberOfMessages":           strconv.Itoa(visible),
		"ApproximateNumberOfMessagesDelayed":    strconv.Itoa(delayed),
		"ApproximateNumberOfMessagesNotVisible": strconv.Itoa(inFlight),
		"CreatedTimestamp":                      strconv.FormatInt(q.created.Unix(), 10),
		"LastModifiedTimestamp":                 strconv.FormatInt(q.modified.Unix(), 10),
		"QueueArn":                              s.arn(q.name),
	}
	for _, name := range settableAttributes {
		if value := q.get(name); value != "" {
			all[name] = value
		}
	}
	return all, nil
}

var settableAttributes = []string{
	"DelaySeconds", "MaximumMessageSize", "MessageRetentionPeriod", "Policy",
	"ReceiveMessageWaitTimeSeconds", "RedriveAllowPolicy", "RedrivePolicy", "SqsManagedSseEnabled", "VisibilityTimeout",
}

// The names GetQueueAttributes knows but never answers here.
var absentAttributes = []string{
	"KmsMasterKeyId", "KmsDataKeyReusePeriodSeconds",
	"FifoQueue", "ContentBasedDeduplication", "DeduplicationScope", "FifoThroughputLimit",
}

func knownAttribute(name string) bool {
	return slices.Contains(settableAttributes, name) || slices.Contains(readOnlyAttributes, name) ||
		slices.Contains(absentAttributes, name)
}
