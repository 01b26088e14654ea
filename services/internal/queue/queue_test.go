package queue_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/trainyard/trainyard/services/internal/queue"
	"github.com/trainyard/trainyard/services/internal/testkit"
	"go.uber.org/zap"
)

// bench is a real queue of localcloud.
type bench struct {
	t      *testing.T
	client *sqs.Client
	url    string
}

func newBench(t *testing.T) *bench {
	cloud := testkit.NewCloud(t, nil)
	return &bench{t: t, client: sqs.NewFromConfig(cloud.AWS), url: cloud.TasksQueueURL}
}

func (b *bench) send(body string) {
	b.t.Helper()
	if _, err := b.client.SendMessage(b.t.Context(), &sqs.SendMessageInput{QueueUrl: &b.url, MessageBody: &body}); err != nil {
		b.t.Fatal(err)
	}
}

// counts tells how many messages can be received and how many are at work.
func (b *bench) counts() (visible, hidden string) {
	b.t.Helper()
	a, err := b.client.GetQueueAttributes(context.Background(), &sqs.GetQueueAttributesInput{
		QueueUrl: &b.url, AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameAll},
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return a.Attributes["ApproximateNumberOfMessages"], a.Attributes["ApproximateNumberOfMessagesNotVisible"]
}

func (b *bench) empty() bool {
	visible, hidden := b.counts()
	return visible == "0" && hidden == "0"
}

// run consumes until stop is called or the test ends; stop waits for the consumer.
func (b *bench) run(concurrency int, handle func(context.Context, queue.Message) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	consumer := &queue.Consumer{Client: b.client, URL: b.url, Visibility: 3 * time.Second, Concurrency: concurrency, Handle: handle, Log: zap.NewNop()}
	go func() {
		defer close(done)
		if err := consumer.Run(ctx); err != nil {
			b.t.Error(err)
		}
	}()
	stop = func() { cancel(); <-done }
	b.t.Cleanup(stop)
	return stop
}

func TestEachMessageIsHandledOnceAndDeleted(t *testing.T) {
	b := newBench(t)
	for range 25 {
		b.send("x")
	}
	var handled, atWork, most atomic.Int64
	b.run(3, func(context.Context, queue.Message) error {
		if n := atWork.Add(1); n > most.Load() {
			most.Store(n)
		}
		handled.Add(1)
		atWork.Add(-1)
		return nil
	})
	testkit.Eventually(t, 20*time.Second, "the queue is empty", b.empty)
	if handled.Load() != 25 || most.Load() > 3 {
		t.Errorf("%d handled, up to %d at once; want 25, at most 3", handled.Load(), most.Load())
	}
}

// Work that takes longer than the visibility stays with its worker.
func TestHeartbeatKeepsAMessage(t *testing.T) {
	b := newBench(t)
	b.send("long")
	var starts atomic.Int64
	b.run(2, func(ctx context.Context, _ queue.Message) error {
		starts.Add(1)
		select {
		case <-time.After(7 * time.Second): // More than twice the visibility.
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	testkit.Eventually(t, 20*time.Second, "the queue is empty", b.empty)
	if starts.Load() != 1 {
		t.Errorf("the message was given %d times, want once", starts.Load())
	}
}

// A worker whose message is taken away stops, because somebody else has it.
func TestLostMessageStopsTheWork(t *testing.T) {
	b := newBench(t)
	b.send("lost")
	stopped := make(chan error, 1)
	b.run(1, func(ctx context.Context, _ queue.Message) error {
		// Purging takes the message away as another worker's delete would.
		if _, err := b.client.PurgeQueue(ctx, &sqs.PurgeQueueInput{QueueUrl: &b.url}); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			stopped <- nil
		case <-time.After(15 * time.Second):
			stopped <- errors.New("the work went on without its message")
		}
		return ctx.Err()
	})
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

func TestFailedWorkComesAgain(t *testing.T) {
	b := newBench(t)
	b.send("flaky")
	receives := make(chan int, 5)
	b.run(1, func(_ context.Context, m queue.Message) error {
		receives <- m.Receives
		if m.Receives < 3 {
			return &queue.RetryAfter{Err: errors.New("not yet")}
		}
		return nil
	})
	testkit.Eventually(t, 20*time.Second, "the queue is empty", b.empty)
	for want := 1; want <= 3; want++ {
		if got := <-receives; got != want {
			t.Errorf("receive %d told as %d", want, got)
		}
	}
}

// At shutdown work stops and its message is there for others at once, not after the visibility.
func TestShutdownGivesWorkBack(t *testing.T) {
	b := newBench(t)
	b.send("unfinished")
	working := make(chan struct{})
	stop := b.run(1, func(ctx context.Context, _ queue.Message) error {
		close(working)
		<-ctx.Done()
		return ctx.Err()
	})
	<-working
	stop()
	if visible, hidden := b.counts(); visible != "1" || hidden != "0" {
		t.Errorf("after the shutdown %s messages can be received and %s are hidden; want 1 and 0", visible, hidden)
	}
}
