package queue_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/trainyard/trainyard/services/internal/queue"
	"go.uber.org/zap"
)

// faulty is a queue of one message over a connection with faults, for what a real queue can't be made to do in a test's time.
type faulty struct {
	receiving func(ctx context.Context, n int) error // The nth receive, from 1; nil gives the message, once.
	changing  func(ctx context.Context) error

	mu       sync.Mutex
	receives int
	given    bool
	deleted  bool
	hidden   []int32
}

func (f *faulty) ReceiveMessage(ctx context.Context, _ *sqs.ReceiveMessageInput, _ ...func(*sqs.Options)) (*sqs.ReceiveMessageOutput, error) {
	f.mu.Lock()
	f.receives++
	n, given := f.receives, f.given
	f.mu.Unlock()
	if f.receiving != nil {
		if err := f.receiving(ctx, n); err != nil {
			return nil, err
		}
	}
	if given {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	f.mu.Lock()
	f.given = true
	f.mu.Unlock()
	return &sqs.ReceiveMessageOutput{Messages: []types.Message{{
		Body: aws.String("x"), ReceiptHandle: aws.String("r"), Attributes: map[string]string{"ApproximateReceiveCount": "1"},
	}}}, nil
}

func (f *faulty) DeleteMessage(context.Context, *sqs.DeleteMessageInput, ...func(*sqs.Options)) (*sqs.DeleteMessageOutput, error) {
	f.deleted = true
	return nil, nil
}

func (f *faulty) ChangeMessageVisibility(ctx context.Context, in *sqs.ChangeMessageVisibilityInput, _ ...func(*sqs.Options)) (*sqs.ChangeMessageVisibilityOutput, error) {
	if f.changing != nil {
		if err := f.changing(ctx); err != nil {
			return nil, err
		}
	}
	f.hidden = append(f.hidden, in.VisibilityTimeout)
	return nil, nil
}

// consume runs a consumer of the queue for a while of a synctest bubble's time.
func consume(client queue.Client, while time.Duration, handle func(context.Context, queue.Message) error) {
	ctx, cancel := context.WithTimeout(context.Background(), while)
	defer cancel()
	consumer := &queue.Consumer{Client: client, URL: "q", Visibility: 30 * time.Second, Concurrency: 1, Handle: handle, Log: zap.NewNop()}
	_ = consumer.Run(ctx)
}

// When the heartbeat gets no answer the work stops before the message is given to somebody else.
func TestWorkStopsWhenTheConnectionIsCut(t *testing.T) {
	for name, changing := range map[string]func(context.Context) error{
		"hangs": func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
		"fails": func(context.Context) error { return errors.New("no route to host") },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begin := time.Now()
				var took time.Duration
				f := &faulty{changing: changing}
				consume(f, time.Hour, func(ctx context.Context, _ queue.Message) error {
					<-ctx.Done()
					took = time.Since(begin)
					return ctx.Err()
				})
				if took < 20*time.Second || took > 30*time.Second || f.deleted {
					t.Errorf("the work went on for %v without a heartbeat; the message is hidden for 30 s", took)
				}
			})
		})
	}
}

// A heartbeat that fails now and then is no reason to stop.
func TestWorkOutlivesAFailedHeartbeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		f := &faulty{changing: func(context.Context) error {
			if n++; n%2 != 0 {
				return errors.New("no route to host")
			}
			return nil
		}}
		consume(f, time.Hour, func(ctx context.Context, _ queue.Message) error {
			select {
			case <-ctx.Done():
			case <-time.After(10 * time.Minute):
			}
			return ctx.Err()
		})
		if !f.deleted {
			t.Error("the work was stopped")
		}
	})
}

func TestReceivingGoesOnAfterErrorsAndCuts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &faulty{receiving: func(ctx context.Context, n int) error {
			switch {
			case n == 1:
				<-ctx.Done() // Cut: no answer ever.
				return ctx.Err()
			case n < 8:
				return errors.New("connection refused")
			}
			return nil
		}}
		consume(f, 3*time.Minute, func(context.Context, queue.Message) error { return nil })
		if !f.deleted {
			t.Errorf("no message after %d receives", f.receives)
		}
	})
}

// A handler that panics fails its message, not the process.
func TestPanicFailsTheMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &faulty{}
		consume(f, time.Minute, func(context.Context, queue.Message) error { panic("oh") })
		if f.deleted || len(f.hidden) != 1 || f.hidden[0] != 3 {
			t.Errorf("deleted %v, hidden for %v", f.deleted, f.hidden)
		}
	})
}

// Five tries outlast a dependency that is away for a minute.
func TestPausesGrow(t *testing.T) {
	var waited time.Duration
	var pauses []string
	for receives := 1; receives <= 4; receives++ {
		waited += queue.Pause(receives)
		pauses = append(pauses, queue.Pause(receives).String())
	}
	if waited < time.Minute || queue.Pause(1000) != time.Minute {
		t.Errorf("pauses %s", strings.Join(pauses, ", "))
	}
}
