package sqs

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// maxVisibility is the longest a message can stay invisible after one receive,
// whatever extensions are asked for.
const maxVisibility = 12 * time.Hour

type receiptInput struct {
	ID                string `json:"Id"` // in a batch
	ReceiptHandle     string
	VisibilityTimeout *int
}

type deleteInput struct {
	QueueUrl string //nolint:revive // The protocol's spelling.
	receiptInput
}

type receiptBatchInput struct {
	QueueUrl string //nolint:revive // The protocol's spelling.
	Entries  []receiptInput
}

// remove deletes by the newest receipt handle only. An older one is accepted
// and does nothing, nor does a second delete: so AWS, and so a message whose
// visibility ran out isn't taken from its next receiver.
func remove(ctx context.Context, tx *sql.Tx, q *queue, in receiptInput) error {
	handle, err := parseReceiptHandle(in.ReceiptHandle, q)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `DELETE FROM messages WHERE id = ? AND queue_id = ? AND receipt = ?`,
		handle.id, q.id, handle.receipt)
	if err != nil {
		return fmt.Errorf("delete message: %w", err)
	}
	return nil
}

func changeVisibility(ctx context.Context, tx *sql.Tx, q *queue, in receiptInput) error {
	if in.VisibilityTimeout == nil {
		return errMissing("VisibilityTimeout")
	}
	timeout := time.Duration(*in.VisibilityTimeout) * time.Second
	if timeout < 0 || timeout > maxVisibility {
		return errParameterReason(*in.VisibilityTimeout, "VisibilityTimeout", "Must be between 0 and 43200, if provided.")
	}
	handle, err := parseReceiptHandle(in.ReceiptHandle, q)
	if err != nil {
		return err
	}
	var receipt string
	var visible, received int64
	err = tx.QueryRowContext(ctx, `SELECT receipt, visible_us, received_us FROM messages WHERE id = ? AND queue_id = ?`,
		handle.id, q.id).Scan(&receipt, &visible, &received)
	if errors.Is(err, sql.ErrNoRows) || err == nil && receipt != handle.receipt {
		return errParameterReason(in.ReceiptHandle, "ReceiptHandle",
			"Message does not exist or is not available for visibility timeout change.")
	}
	if err != nil {
		return fmt.Errorf("find message: %w", err)
	}
	now := time.Now()
	if visible <= micros(now) {
		return errNotInFlight()
	}
	if now.Add(timeout).Sub(time.UnixMicro(received)) > maxVisibility {
		return errParameterReason(*in.VisibilityTimeout, "VisibilityTimeout",
			"Total VisibilityTimeout for the message is beyond the limit [43200 seconds].")
	}
	_, err = tx.ExecContext(ctx, `UPDATE messages SET visible_us = ? WHERE id = ?`, micros(now.Add(timeout)), handle.id)
	if err != nil {
		return fmt.Errorf("change visibility: %w", err)
	}
	return nil
}

func (s *Service) deleteMessage(ctx context.Context, _ call, in deleteInput) (struct{}, error) {
	return struct{}{}, s.onQueue(ctx, in.QueueUrl, func(tx *sql.Tx, q *queue) error {
		return remove(ctx, tx, q, in.receiptInput)
	})
}

func (s *Service) changeMessageVisibility(ctx context.Context, _ call, in deleteInput) (struct{}, error) {
	return struct{}{}, s.onQueue(ctx, in.QueueUrl, func(tx *sql.Tx, q *queue) error {
		return changeVisibility(ctx, tx, q, in.receiptInput)
	})
}

func (s *Service) deleteMessageBatch(ctx context.Context, _ call, in receiptBatchInput) (batchOutput[batchEntry], error) {
	return s.receiptBatch(ctx, in, remove)
}

func (s *Service) changeMessageVisibilityBatch(ctx context.Context, _ call, in receiptBatchInput) (batchOutput[batchEntry], error) {
	return s.receiptBatch(ctx, in, changeVisibility)
}

func (s *Service) receiptBatch(ctx context.Context, in receiptBatchInput, each func(context.Context, *sql.Tx, *queue, receiptInput) error) (batchOutput[batchEntry], error) {
	var out batchOutput[batchEntry]
	err := s.onQueue(ctx, in.QueueUrl, func(tx *sql.Tx, q *queue) error {
		if err := checkBatch(in.Entries, func(e receiptInput) string { return e.ID }); err != nil {
			return err
		}
		for _, entry := range in.Entries {
			if err := out.add(entry.ID, batchEntry{ID: entry.ID}, each(ctx, tx, q, entry)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return batchOutput[batchEntry]{}, err
	}
	return out, nil
}

// onQueue runs f on the queue in one transaction and then lets its receivers
// look again, as a message may have become visible.
func (s *Service) onQueue(ctx context.Context, queueURL string, f func(tx *sql.Tx, q *queue) error) error {
	var id int64
	err := s.transaction(ctx, func(tx *sql.Tx) error {
		q, err := s.queueOf(ctx, tx, queueURL)
		if err != nil {
			return err
		}
		id = q.id
		return f(tx, q)
	})
	if err == nil {
		s.wake(id)
	}
	return err
}
