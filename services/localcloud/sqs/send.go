package sqs

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
)

type outgoing struct {
	ID                      string `json:"Id"` // in a batch
	MessageBody             string
	DelaySeconds            *int
	MessageAttributes       map[string]attributeValue
	MessageSystemAttributes map[string]attributeValue
	MessageDeduplicationID  string `json:"MessageDeduplicationId"`
	MessageGroupID          string `json:"MessageGroupId"`
}

// size counts as SQS does: the body and each attribute's name, type and value.
func (m outgoing) size() int {
	size := len(m.MessageBody)
	for name, value := range m.MessageAttributes {
		size += len(name) + len(value.DataType) + len(value.bytes())
	}
	return size
}

var (
	attributeName = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,256}$`)
	attributeType = regexp.MustCompile(`^(String|Number|Binary)(\..+)?$`)
	groupID       = regexp.MustCompile(`^[\x21-\x7e]{1,128}$`)
)

const maxMessageAttributes = 10

func (m outgoing) check(q *queue) error {
	if m.MessageBody == "" {
		return errMissing("MessageBody")
	}
	if limit := q.number("MaximumMessageSize"); m.size() > limit {
		return errParameter("One or more parameters are invalid. Reason: Message must be shorter than %d bytes.", limit)
	}
	if !validContents(m.MessageBody) {
		return modelError("InvalidMessageContents", "InvalidMessageContents",
			"The message contains characters outside the allowed set: #x9, #xA, #xD, #x20 to #xD7FF, #xE000 to #xFFFD, #x10000 to #x10FFFF.")
	}
	if m.DelaySeconds != nil && (*m.DelaySeconds < 0 || *m.DelaySeconds > 900) {
		return errParameterReason(*m.DelaySeconds, "DelaySeconds", "DelaySeconds must be >= 0 and <= 900.")
	}
	if m.MessageDeduplicationID != "" {
		return errParameterReason(m.MessageDeduplicationID, "MessageDeduplicationId",
			"The request include parameter that is not valid for this queue type.")
	}
	if m.MessageGroupID != "" && !groupID.MatchString(m.MessageGroupID) {
		return errParameterReason(m.MessageGroupID, "MessageGroupId",
			"MessageGroupId can only include alphanumeric and punctuation characters. 1 to 128 in length.")
	}
	if len(m.MessageAttributes) > maxMessageAttributes {
		return errParameter("Number of message attributes [%d] exceeds the allowed maximum [%d].",
			len(m.MessageAttributes), maxMessageAttributes)
	}
	for name, value := range m.MessageAttributes {
		if err := checkAttribute(name, value); err != nil {
			return err
		}
	}
	for name, value := range m.MessageSystemAttributes {
		if name != "AWSTraceHeader" || value.DataType != "String" || value.StringValue == nil {
			return errParameter("Message system attribute name '%s' is invalid; only AWSTraceHeader of type String is known.", name)
		}
	}
	return nil
}

func checkAttribute(name string, value attributeValue) error {
	lower := strings.ToLower(name)
	if !attributeName.MatchString(name) || strings.HasPrefix(lower, "aws.") || strings.HasPrefix(lower, "amazon.") ||
		strings.HasPrefix(name, ".") || strings.HasSuffix(name, ".") || strings.Contains(name, "..") {
		return errParameter("Message attribute name '%s' is invalid.", name)
	}
	if !attributeType.MatchString(value.DataType) {
		return errParameter("The type of message (user) attribute '%s' is invalid. "+
			"You must use only the following supported type prefixes: Binary, Number, String.", name)
	}
	if len(value.bytes()) == 0 {
		return errParameter("Message (user) attribute '%s' must contain a non-empty value of type '%s'.", name, value.DataType)
	}
	return nil
}

func validContents(body string) bool {
	if !utf8.ValidString(body) {
		return false
	}
	for _, r := range body {
		if r < 0x20 && r != '\t' && r != '\n' && r != '\r' || r == 0xFFFE || r == 0xFFFF {
			return false
		}
	}
	return true
}

type sentMessage struct {
	ID                           string `json:"Id,omitempty"` // in a batch
	MessageID                    string `json:"MessageId"`
	MD5OfMessageBody             string
	MD5OfMessageAttributes       string `json:",omitempty"`
	MD5OfMessageSystemAttributes string `json:",omitempty"`
}

// insert stores a checked message.
func insert(ctx context.Context, tx *sql.Tx, q *queue, m outgoing) (sentMessage, error) {
	delay := q.seconds("DelaySeconds")
	if m.DelaySeconds != nil {
		delay = time.Duration(*m.DelaySeconds) * time.Second
	}
	attributes := ""
	if len(m.MessageAttributes) > 0 {
		b, err := json.Marshal(m.MessageAttributes)
		if err != nil {
			return sentMessage{}, fmt.Errorf("encode message attributes: %w", err)
		}
		attributes = string(b)
	}
	trace := ""
	if value, ok := m.MessageSystemAttributes["AWSTraceHeader"]; ok {
		trace = *value.StringValue
	}
	id := uuid.NewString()
	now := time.Now()
	_, err := tx.ExecContext(ctx, `INSERT INTO messages
		(queue_id, message_id, body, attributes, trace_header, group_id, sent_us, visible_us)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
		q.id, id, m.MessageBody, attributes, trace, m.MessageGroupID, micros(now), micros(now.Add(delay)))
	if err != nil {
		return sentMessage{}, fmt.Errorf("store message: %w", err)
	}
	return sentMessage{
		ID:                           m.ID,
		MessageID:                    id,
		MD5OfMessageBody:             bodyMD5(m.MessageBody),
		MD5OfMessageAttributes:       attributesMD5(m.MessageAttributes),
		MD5OfMessageSystemAttributes: attributesMD5(m.MessageSystemAttributes),
	}, nil
}

type sendInput struct {
	QueueUrl string //nolint:revive // The protocol's spelling.
	outgoing
}

func (s *Service) sendMessage(ctx context.Context, _ call, in sendInput) (sentMessage, error) {
	var sent sentMessage
	var id int64
	err := s.transaction(ctx, func(tx *sql.Tx) error {
		q, err := s.queueOf(ctx, tx, in.QueueUrl)
		if err != nil {
			return err
		}
		id = q.id
		if err := in.check(q); err != nil {
			return err
		}
		in.ID = ""
		sent, err = insert(ctx, tx, q, in.outgoing)
		return err
	})
	if err != nil {
		return sentMessage{}, err
	}
	s.wake(id)
	return sent, nil
}

type sendBatchInput struct {
	QueueUrl string //nolint:revive // The protocol's spelling.
	Entries  []outgoing
}

func (s *Service) sendMessageBatch(ctx context.Context, _ call, in sendBatchInput) (batchOutput[sentMessage], error) {
	var out batchOutput[sentMessage]
	var id int64
	err := s.transaction(ctx, func(tx *sql.Tx) error {
		q, err := s.queueOf(ctx, tx, in.QueueUrl)
		if err != nil {
			return err
		}
		id = q.id
		if err := checkBatch(in.Entries, func(m outgoing) string { return m.ID }); err != nil {
			return err
		}
		total := 0
		for _, m := range in.Entries {
			total += m.size()
		}
		if total > maxMessageBytes {
			return modelError("BatchRequestTooLong", "AWS.SimpleQueueService.BatchRequestTooLong",
				"Batch requests cannot be longer than %d bytes. You have sent %d bytes.", maxMessageBytes, total)
		}
		for _, m := range in.Entries {
			sent, err := sentMessage{}, m.check(q)
			if err == nil {
				sent, err = insert(ctx, tx, q, m)
			}
			if err := out.add(m.ID, sent, err); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return batchOutput[sentMessage]{}, err
	}
	s.wake(id)
	return out, nil
}

// ErrNoQueue is returned by Send for a queue that is not there.
var ErrNoQueue = errors.New("no such queue")

// Send puts a message into the queue of that ARN, as AWS services do for
// their events. It is durable once it returns nil.
func (s *Service) Send(ctx context.Context, queueARN, body string) error {
	name, ok := s.nameOfARN(queueARN)
	if !ok {
		return fmt.Errorf("deliver to %s: %w", queueARN, ErrNoQueue)
	}
	var id int64
	err := s.transaction(ctx, func(tx *sql.Tx) error {
		q, err := findQueue(ctx, tx, name)
		if errors.Is(err, sql.ErrNoRows) {
			return ErrNoQueue
		}
		if err != nil {
			return err
		}
		id = q.id
		_, err = insert(ctx, tx, q, outgoing{MessageBody: body})
		return err
	})
	if err != nil {
		return fmt.Errorf("deliver to %s: %w", queueARN, err)
	}
	s.wake(id)
	return nil
}

// Policy gives the access policy of the queue of that ARN, "" where none is
// set; ErrNoQueue where there is no such queue.
func (s *Service) Policy(ctx context.Context, queueARN string) (string, error) {
	name, ok := s.nameOfARN(queueARN)
	if !ok {
		return "", fmt.Errorf("policy of %s: %w", queueARN, ErrNoQueue)
	}
	var policy string
	err := s.transaction(ctx, func(tx *sql.Tx) error {
		q, err := findQueue(ctx, tx, name)
		if errors.Is(err, sql.ErrNoRows) {
			return ErrNoQueue
		}
		if err != nil {
			return err
		}
		policy = q.get("Policy")
		return nil
	})
	if err != nil {
		return "", fmt.Errorf("policy of %s: %w", queueARN, err)
	}
	return policy, nil
}
