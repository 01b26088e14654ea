package sqs

import (
	"cmp"
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap"
)

type receiveInput struct {
	QueueUrl                    string //nolint:revive // The protocol's spelling.
	AttributeNames              []string
	MessageSystemAttributeNames []string
	MessageAttributeNames       []string
	MaxNumberOfMessages         *int
	VisibilityTimeout           *int
	WaitTimeSeconds             *int
}

type receivedMessage struct {
	MessageID              string `json:"MessageId"`
	ReceiptHandle          string
	MD5OfBody              string
	Body                   string
	Attributes             map[string]string         `json:",omitempty"`
	MD5OfMessageAttributes string                    `json:",omitempty"`
	MessageAttributes      map[string]attributeValue `json:",omitempty"`
}

type receiveOutput struct {
	Messages []receivedMessage `json:",omitempty"`
}

var systemAttributes = []string{
	"All", "AWSTraceHeader", "ApproximateFirstReceiveTimestamp", "ApproximateReceiveCount", "DeadLetterQueueSourceArn",
	"MessageDeduplicationId", "MessageGroupId", "SenderId", "SentTimestamp", "SequenceNumber",
}

func (in receiveInput) check() error {
	limits := []struct {
		name     string
		value    *int
		min, max int
	}{
		{"MaxNumberOfMessages", in.MaxNumberOfMessages, 1, 10},
		{"WaitTimeSeconds", in.WaitTimeSeconds, 0, 20},
		{"VisibilityTimeout", in.VisibilityTimeout, 0, 43200},
	}
	for _, l := range limits {
		if l.value != nil && (*l.value < l.min || *l.value > l.max) {
			return errParameterReason(*l.value, l.name, fmt.Sprintf("Must be between %d and %d, if provided.", l.min, l.max))
		}
	}
	for _, name := range slices.Concat(in.AttributeNames, in.MessageSystemAttributeNames) {
		if !slices.Contains(systemAttributes, name) {
			return errAttributeName(name)
		}
	}
	return nil
}

func (s *Service) receiveMessage(ctx context.Context, _ call, in receiveInput) (receiveOutput, error) {
	if err := in.check(); err != nil {
		return receiveOutput{}, err
	}
	var deadline time.Time
	for {
		q, woken, err := s.watchQueue(ctx, in.QueueUrl)
		if err != nil {
			return receiveOutput{}, err
		}
		if deadline.IsZero() {
			wait := q.seconds("ReceiveMessageWaitTimeSeconds")
			if in.WaitTimeSeconds != nil {
				wait = time.Duration(*in.WaitTimeSeconds) * time.Second
			}
			deadline = time.Now().Add(wait)
		}
		messages, next, err := s.take(ctx, q, in)
		if err != nil {
			return receiveOutput{}, err
		}
		now := time.Now()
		if len(messages) > 0 || !now.Before(deadline) {
			return receiveOutput{Messages: messages}, nil
		}
		// Sleep until the next message becomes visible by time, or one arrives.
		until := deadline
		if !next.IsZero() && next.Before(until) {
			until = next
		}
		timer := time.NewTimer(until.Sub(now))
		select {
		case <-woken:
		case <-timer.C:
		case <-ctx.Done():
			// The receiver went away, or the service is ending and it may ask again.
			timer.Stop()
			return receiveOutput{}, nil
		}
		timer.Stop()
	}
}

// watchQueue finds the queue and takes its wakeup, in this order of locking:
// whatever arrives after it is announced on the channel.
func (s *Service) watchQueue(ctx context.Context, queueURL string) (*queue, <-chan struct{}, error) {
	var q *queue
	var woken <-chan struct{}
	err := s.transaction(ctx, func(tx *sql.Tx) error {
		var err error
		if q, err = s.queueOf(ctx, tx, queueURL); err != nil {
			return err
		}
		woken = s.wakeup(q.id)
		return nil
	})
	return q, woken, err
}

type row struct {
	id               int64
	message          receivedMessage
	attributes       string
	trace, group     string
	sent, firstTaken int64
	count            int
	source           string
}

// take receives what is visible now. Without any it says when the next message
// will be, by the clock; that is zero where none is waiting.
func (s *Service) take(ctx context.Context, q *queue, in receiveInput) (messages []receivedMessage, next time.Time, err error) {
	limit := 1
	if in.MaxNumberOfMessages != nil {
		limit = *in.MaxNumberOfMessages
	}
	visibility := q.seconds("VisibilityTimeout")
	if in.VisibilityTimeout != nil {
		visibility = time.Duration(*in.VisibilityTimeout) * time.Second
	}
	var deadLetter *int64
	err = s.transaction(ctx, func(tx *sql.Tx) error {
		now := time.Now()
		if _, err := tx.ExecContext(ctx, `DELETE FROM messages WHERE queue_id = ? AND sent_us <= ?`,
			q.id, micros(now.Add(-q.seconds("MessageRetentionPeriod")))); err != nil {
			return fmt.Errorf("expire messages: %w", err)
		}
		if deadLetter, err = s.deadLetter(ctx, tx, q, now); err != nil {
			return err
		}
		rows, err := visibleRows(ctx, tx, q, now, limit)
		if err != nil {
			return err
		}
		for _, r := range rows {
			receipt := rand.Text()
			first := cmp.Or(r.firstTaken, micros(now))
			_, err := tx.ExecContext(ctx, `UPDATE messages SET visible_us = ?, received_us = ?, first_received_us = ?,
				receive_count = receive_count + 1, receipt = ? WHERE id = ?`,
				micros(now.Add(visibility)), micros(now), first, receipt, r.id)
			if err != nil {
				return fmt.Errorf("receive message: %w", err)
			}
			r.count++
			r.firstTaken = first
			r.message.ReceiptHandle = receiptHandle{queueID: q.id, id: r.id, receipt: receipt}.String()
			if err := r.describe(in, s.cfg.AccountID); err != nil {
				return err
			}
			messages = append(messages, r.message)
		}
		if len(messages) > 0 {
			return nil
		}
		var soonest sql.NullInt64
		if err := tx.QueryRowContext(ctx, `SELECT MIN(visible_us) FROM messages WHERE queue_id = ?`, q.id).Scan(&soonest); err != nil {
			return fmt.Errorf("next message: %w", err)
		}
		if soonest.Valid {
			// One microsecond later, so that a timer cut to whole microseconds is never early.
			next = time.UnixMicro(soonest.Int64 + 1)
		}
		return nil
	})
	if err != nil {
		return nil, time.Time{}, err
	}
	if deadLetter != nil {
		s.wake(*deadLetter)
	}
	return messages, next, nil
}

// deadLetter moves the visible messages that were received too often to the
// queue of the redrive policy, whose id it gives if any moved. As on AWS they
// keep their id, their receive count and the time they were sent.
func (s *Service) deadLetter(ctx context.Context, tx *sql.Tx, q *queue, now time.Time) (*int64, error) {
	policy := s.redrive(q)
	if policy == nil {
		return nil, nil //nolint:nilnil // No policy, nothing moved.
	}
	result, err := tx.ExecContext(ctx, `UPDATE messages
		SET queue_id = (SELECT id FROM queues WHERE name = ?), source_arn = ?, received_us = 0, receipt = ''
		WHERE queue_id = ? AND visible_us <= ? AND receive_count >= ?
		AND EXISTS (SELECT 1 FROM queues WHERE name = ?)`,
		policy.target, s.arn(q.name), q.id, micros(now), policy.maxReceives, policy.target)
	if err != nil {
		return nil, fmt.Errorf("dead-letter messages: %w", err)
	}
	moved, err := result.RowsAffected()
	if err != nil || moved == 0 {
		return nil, err
	}
	s.cfg.Logger.Warn("messages dead-lettered", zap.String("queue", q.name), zap.String("to", policy.target),
		zap.Int64("messages", moved))
	target, err := findQueue(ctx, tx, policy.target)
	if err != nil {
		return nil, err
	}
	return &target.id, nil
}

func visibleRows(ctx context.Context, tx *sql.Tx, q *queue, now time.Time, limit int) ([]*row, error) {
	rows, err := tx.QueryContext(ctx, `SELECT id, message_id, body, attributes, trace_header, group_id,
		sent_us, first_received_us, receive_count, source_arn
		FROM messages WHERE queue_id = ? AND visible_us <= ? ORDER BY visible_us, id LIMIT ?`,
		q.id, micros(now), limit)
	if err != nil {
		return nil, fmt.Errorf("find messages: %w", err)
	}
	defer rows.Close()
	var found []*row
	for rows.Next() {
		var r row
		if err := rows.Scan(&r.id, &r.message.MessageID, &r.message.Body, &r.attributes, &r.trace, &r.group,
			&r.sent, &r.firstTaken, &r.count, &r.source); err != nil {
			return nil, fmt.Errorf("read message: %w", err)
		}
		found = append(found, &r)
	}
	return found, rows.Err()
}

// describe fills in the digests and those attributes the receiver asked for.
func (r *row) describe(in receiveInput, accountID string) error {
	r.message.MD5OfBody = bodyMD5(r.message.Body)

	all := map[string]string{
		"SenderId":                         accountID,
		"SentTimestamp":                    strconv.FormatInt(r.sent/1000, 10),
		"ApproximateReceiveCount":          strconv.Itoa(r.count),
		"ApproximateFirstReceiveTimestamp": strconv.FormatInt(r.firstTaken/1000, 10),
		"AWSTraceHeader":                   r.trace,
		"DeadLetterQueueSourceArn":         r.source,
		"MessageGroupId":                   r.group,
	}
	wanted := slices.Concat(in.AttributeNames, in.MessageSystemAttributeNames)
	r.message.Attributes = make(map[string]string)
	for name, value := range all {
		if value != "" && (slices.Contains(wanted, name) || slices.Contains(wanted, "All")) {
			r.message.Attributes[name] = value
		}
	}

	if r.attributes == "" || len(in.MessageAttributeNames) == 0 {
		return nil
	}
	var attributes map[string]attributeValue
	if err := json.Unmarshal([]byte(r.attributes), &attributes); err != nil {
		return fmt.Errorf("attributes of message %s: %w", r.message.MessageID, err)
	}
	r.message.MessageAttributes = make(map[string]attributeValue)
	for name, value := range attributes {
		if slices.ContainsFunc(in.MessageAttributeNames, func(pattern string) bool { return matchesAttribute(pattern, name) }) {
			r.message.MessageAttributes[name] = value
		}
	}
	r.message.MD5OfMessageAttributes = attributesMD5(r.message.MessageAttributes)
	return nil
}

// matchesAttribute follows ReceiveMessage's MessageAttributeNames: "All", ".*",
// "prefix.*" or a name.
func matchesAttribute(pattern, name string) bool {
	if pattern == "All" {
		return true
	}
	if prefix, ok := strings.CutSuffix(pattern, ".*"); ok {
		return strings.HasPrefix(name, prefix)
	}
	return pattern == name
}

// receiptHandle names one receive of one message.
type receiptHandle struct {
	queueID, id int64
	receipt     string
}

func (h receiptHandle) String() string {
	return base64.StdEncoding.EncodeToString(fmt.Appendf(nil, "%d/%d/%s", h.queueID, h.id, h.receipt))
}

func parseReceiptHandle(handle string, q *queue) (receiptHandle, error) {
	if handle == "" {
		return receiptHandle{}, errMissing("ReceiptHandle")
	}
	decoded, err := base64.StdEncoding.DecodeString(handle)
	if err != nil {
		return receiptHandle{}, errReceiptHandle(handle)
	}
	parts := strings.Split(string(decoded), "/")
	if len(parts) != 3 || parts[2] == "" {
		return receiptHandle{}, errReceiptHandle(handle)
	}
	queueID, errQueue := strconv.ParseInt(parts[0], 10, 64)
	id, errID := strconv.ParseInt(parts[1], 10, 64)
	if errQueue != nil || errID != nil || queueID != q.id {
		return receiptHandle{}, errReceiptHandle(handle)
	}
	return receiptHandle{queueID: queueID, id: id, receipt: parts[2]}, nil
}
