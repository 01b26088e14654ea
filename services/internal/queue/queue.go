// Package queue consumes an SQS queue: long poll, a bounded number of messages at work, a heartbeat that keeps each of them
// invisible, and work that stops when the heartbeat fails, because then somebody else has the message.
//
// A message is deleted after its handler has committed, never before; at shutdown unfinished messages go back at once.
//
// IAM: sqs:ReceiveMessage, sqs:DeleteMessage, sqs:ChangeMessageVisibility.
package queue

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"strconv"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/cenkalti/backoff/v5"
	"go.uber.org/zap"
)

const (
	longPollSeconds = 20
	// receiveLimit bounds a receive whose connection was cut.
	receiveLimit = (longPollSeconds + 10) * time.Second
	longestPause = time.Minute
)

// Client is what the consumer needs of SQS.
type Client interface {
	ReceiveMessage(context.Context, *sqs.ReceiveMessageInput, ...func(*sqs.Options)) (*sqs.ReceiveMessageOutput, error)
	DeleteMessage(context.Context, *sqs.DeleteMessageInput, ...func(*sqs.Options)) (*sqs.DeleteMessageOutput, error)
	ChangeMessageVisibility(context.Context, *sqs.ChangeMessageVisibilityInput, ...func(*sqs.Options)) (*sqs.ChangeMessageVisibilityOutput, error)
}

// Message is a received message.
type Message struct {
	Body string
	// Receives counts how often it was received, this time included.
	Receives int
}

// RetryAfter is a handler's error that says when to give the message again. Without it, that is after 3 seconds, three times
// as long with each receive up to a minute: five receives outlast a dependency that is away for a minute.
type RetryAfter struct {
	After time.Duration
	Err   error
}

func (e *RetryAfter) Error() string { return e.Err.Error() }
func (e *RetryAfter) Unwrap() error { return e.Err }

// Consumer consumes one queue.
type Consumer struct {
	Client Client
	URL    string
	// Visibility is how long a message stays hidden without a heartbeat: the time after which a killed worker's message is given again.
	// Whole seconds, at least 3.
	Visibility time.Duration
	// Concurrency is how many messages are at work at once.
	Concurrency int
	// Handle does the work. nil deletes the message. Its context ends when the message is lost to somebody else or at shutdown.
	Handle func(ctx context.Context, m Message) error
	Log    *zap.Logger
}

// Run consumes until the context ends, and waits for the handlers then.
func (c *Consumer) Run(ctx context.Context) error {
	slots := make(chan struct{}, c.Concurrency)
	var handlers sync.WaitGroup
	defer handlers.Wait()
	retry := backoff.NewExponentialBackOff()
	retry.MaxInterval = 10 * time.Second
	for ctx.Err() == nil {
		select {
		case slots <- struct{}{}: // At least one place is free before anything is received.
		case <-ctx.Done():
			return nil
		}
		<-slots
		free := min(c.Concurrency-len(slots), 10)
		received, err := c.receive(ctx, free)
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			wait := retry.NextBackOff()
			c.Log.Warn("receiving failed", zap.Error(err), zap.Duration("next_try", wait))
			select {
			case <-time.After(wait):
			case <-ctx.Done():
			}
			continue
		}
		retry.Reset()
		for _, m := range received.Messages {
			slots <- struct{}{}
			handlers.Go(func() {
				defer func() { <-slots }()
				c.handle(ctx, m)
			})
		}
	}
	return nil
}

func (c *Consumer) receive(ctx context.Context, free int) (*sqs.ReceiveMessageOutput, error) {
	ctx, cancel := context.WithTimeout(ctx, receiveLimit)
	defer cancel()
	return c.Client.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
		QueueUrl:                    &c.URL,
		MaxNumberOfMessages:         int32(free), //nolint:gosec // At most 10.
		WaitTimeSeconds:             longPollSeconds,
		VisibilityTimeout:           int32(c.Visibility.Seconds()),
		MessageSystemAttributeNames: []types.MessageSystemAttributeName{types.MessageSystemAttributeNameApproximateReceiveCount},
	})
}

// work calls Handle. A panic is an error of this message alone: it becomes a dead letter in the end, and the others go on.
func (c *Consumer) work(ctx context.Context, m Message) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			c.Log.Error("a message's work panicked", zap.Any("cause", cause), zap.ByteString("stack", debug.Stack()))
			err = fmt.Errorf("panic: %v", cause)
		}
	}()
	return c.Handle(ctx, m)
}

// pause is how long a message stays hidden after a try that failed.
func pause(receives int) time.Duration {
	after := 3 * time.Second
	for range receives - 1 {
		if after *= 3; after >= longestPause {
			return longestPause
		}
	}
	return after
}

func (c *Consumer) handle(ctx context.Context, m types.Message) {
	work, stop := context.WithCancel(ctx)
	defer stop()
	var beat sync.WaitGroup
	beat.Go(func() { c.heartbeat(work, stop, m.ReceiptHandle) })
	receives, _ := strconv.Atoi(m.Attributes[string(types.MessageSystemAttributeNameApproximateReceiveCount)])
	err := c.work(work, Message{Body: aws.ToString(m.Body), Receives: receives})
	lost := work.Err() != nil && ctx.Err() == nil
	stop()
	beat.Wait()
	// What is settled now must be settled at shutdown too.
	settle, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
	defer cancel()
	switch {
	case err == nil:
		if _, err := c.Client.DeleteMessage(settle, &sqs.DeleteMessageInput{QueueUrl: &c.URL, ReceiptHandle: m.ReceiptHandle}); err != nil {
			c.Log.Warn("deleting a message failed; it will be given again", zap.Error(err))
		}
	case lost:
		c.Log.Warn("a message was lost to another worker while at work", zap.Error(err))
	case ctx.Err() != nil:
		c.setVisibility(settle, m.ReceiptHandle, 0)
	default:
		after := pause(receives)
		var retryAfter *RetryAfter
		if errors.As(err, &retryAfter) {
			after = retryAfter.After
		}
		c.Log.Warn("a message's work failed; it will be given again", zap.Error(err), zap.Int("receives", receives), zap.Duration("after", after))
		c.setVisibility(settle, m.ReceiptHandle, after)
	}
}

// heartbeat keeps the message hidden. When that can't be done until the visibility ends, the message is somebody else's: the work must stop.
func (c *Consumer) heartbeat(ctx context.Context, stop context.CancelFunc, receipt *string) {
	ticker := time.NewTicker(c.Visibility / 3)
	defer ticker.Stop()
	visible := time.Now().Add(c.Visibility)
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		asked := time.Now()
		err := c.extend(ctx, receipt)
		var gone *types.ReceiptHandleIsInvalid
		var notInFlight *types.MessageNotInflight
		switch {
		case err == nil:
			visible = asked.Add(c.Visibility)
		case errors.As(err, &gone), errors.As(err, &notInFlight), time.Until(visible) < c.Visibility/3: // No time for another try.
			stop()
			return
		}
	}
}

// extend is bounded, so that a connection that was cut leaves time for another try.
func (c *Consumer) extend(ctx context.Context, receipt *string) error {
	ctx, cancel := context.WithTimeout(ctx, c.Visibility/4)
	defer cancel()
	_, err := c.Client.ChangeMessageVisibility(ctx, &sqs.ChangeMessageVisibilityInput{
		QueueUrl: &c.URL, ReceiptHandle: receipt, VisibilityTimeout: int32(c.Visibility.Seconds()),
	})
	return err
}

func (c *Consumer) setVisibility(ctx context.Context, receipt *string, after time.Duration) {
	_, err := c.Client.ChangeMessageVisibility(ctx, &sqs.ChangeMessageVisibilityInput{
		QueueUrl: &c.URL, ReceiptHandle: receipt, VisibilityTimeout: int32(after.Seconds()),
	})
	if err != nil {
		c.Log.Debug("a message could not be given back; it comes again by itself", zap.Error(err))
	}
}
