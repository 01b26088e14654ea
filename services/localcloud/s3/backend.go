package s3

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/versity/versitygw/backend"
	"github.com/versity/versitygw/s3response"
	"go.uber.org/zap"

	"github.com/trainyard/trainyard/services/localcloud/sqs"
)

// eventBackend is the object store with events: every write that a bucket's
// notifications ask for is noted before it is made and told to the queues
// before the caller learns of it.
type eventBackend struct {
	backend.Backend
	server *Server
}

// journalTimeout bounds the work on journal and queues. It does not depend on
// the request's context: that is recycled by fasthttp as soon as the request
// ends, and the event of a finished write is due whether its caller waits or not.
const journalTimeout = 30 * time.Second

func (b *eventBackend) PutObject(ctx context.Context, in s3response.PutObjectInput) (s3response.PutObjectOutput, error) {
	name := "ObjectCreated:Put"
	// A browser's form upload reaches the backend as a put.
	if form, ok := ctx.(interface{ IsPost() bool }); ok && form.IsPost() {
		name = "ObjectCreated:Post"
	}
	defer checkSHA256(&in)()
	return observe(ctx, b, in.Bucket, in.Key, name, func() (s3response.PutObjectOutput, error) {
		return b.Backend.PutObject(ctx, in)
	})
}

// GetObject gives a range of an object as a part of its file, which can be sent without being copied.
func (b *eventBackend) GetObject(ctx context.Context, in *awss3.GetObjectInput) (*awss3.GetObjectOutput, error) {
	asked := aws.ToString(in.Range)
	if asked == "" {
		return b.Backend.GetObject(ctx, in)
	}
	whole := *in
	whole.Range, whole.ChecksumMode = new(string), "" // Checksums are of whole objects.
	out, err := b.Backend.GetObject(ctx, &whole)
	if err != nil {
		return out, err
	}
	file, ok := out.Body.(*os.File)
	if !ok {
		return b.Backend.GetObject(ctx, in) // A folder.
	}
	size := aws.ToInt64(out.ContentLength)
	start, length, valid, err := backend.ParseObjectRange(size, asked)
	if err == nil && valid {
		out.ContentLength = &length
		out.ContentRange = aws.String(fmt.Sprintf("bytes %d-%d/%d", start, start+length-1, size))
		out.Body, err = newFileRange(file, start, length)
	}
	if err != nil {
		_ = file.Close() // It was only read.
		return nil, err
	}
	return out, nil
}

func (b *eventBackend) CopyObject(ctx context.Context, in s3response.CopyObjectInput) (s3response.CopyObjectOutput, error) {
	return observe(ctx, b, in.Bucket, in.Key, "ObjectCreated:Copy", func() (s3response.CopyObjectOutput, error) {
		return b.Backend.CopyObject(ctx, in)
	})
}

func (b *eventBackend) CompleteMultipartUpload(ctx context.Context, in *awss3.CompleteMultipartUploadInput) (s3response.CompleteMultipartUploadResult, string, error) {
	type completed struct {
		result  s3response.CompleteMultipartUploadResult
		version string
	}
	out, err := observe(ctx, b, in.Bucket, in.Key, "ObjectCreated:CompleteMultipartUpload", func() (completed, error) {
		result, version, err := b.Backend.CompleteMultipartUpload(ctx, in)
		return completed{result, version}, err
	})
	return out.result, out.version, err
}

// DeleteBucket takes the bucket's notifications with it.
func (b *eventBackend) DeleteBucket(ctx context.Context, bucket string) error {
	if err := b.Backend.DeleteBucket(ctx, bucket); err != nil {
		return err
	}
	return b.server.notifications.set(ctx, bucket, configuration{})
}

// observe makes a write and emits its event.
func observe[Out any](ctx context.Context, b *eventBackend, bucket, key *string, name string, write func() (Out, error)) (Out, error) {
	s := b.server
	if len(s.notifications.match(aws.ToString(bucket), aws.ToString(key), name)) == 0 {
		return write()
	}
	requestID, _ := ctx.Value("request-id").(string)
	hostID, _ := ctx.Value("host-id").(string)

	own, cancel := context.WithTimeout(context.Background(), journalTimeout)
	noted, err := s.journal.begin(own, strings.Clone(*bucket), strings.Clone(*key), name)
	cancel()
	if err != nil {
		var none Out
		return none, err
	}
	out, err := write()

	own, cancel = context.WithTimeout(context.Background(), journalTimeout)
	defer cancel()
	if err != nil {
		if endErr := s.journal.end(own, noted); endErr != nil {
			s.cfg.Logger.Error("event of a failed write not forgotten", zap.String("key", noted.key), zap.Error(endErr))
		}
		return out, err
	}
	h := happened{intent: noted, at: time.Now(), requestID: strings.Clone(requestID), hostID: strings.Clone(hostID)}
	if err := s.emit(own, h); err != nil {
		s.cfg.Logger.Error("event not delivered, it will be tried again", zap.String("bucket", h.bucket), zap.String("key", h.key), zap.Error(err))
		s.pending.add(h)
	}
	return out, nil
}

// emit tells the queues that ask for it of a write, and then forgets it.
func (s *Server) emit(ctx context.Context, h happened) error {
	matches := s.notifications.match(h.bucket, h.key, h.eventName)
	if len(matches) > 0 {
		head, err := s.backend.HeadObject(ctx, &awss3.HeadObjectInput{Bucket: &h.bucket, Key: &h.key})
		if isNotFound(err) {
			return s.journal.end(ctx, h.intent) // Deleted since, or never written.
		}
		if err != nil {
			return err
		}
		h.size, h.etag = aws.ToInt64(head.ContentLength), aws.ToString(head.ETag)
	}
	for _, queue := range matches {
		body, err := s.eventBody(h, queue.ID)
		if err != nil {
			return err
		}
		err = s.cfg.Queues.Send(ctx, queue.Queue, body)
		if errors.Is(err, sqs.ErrNoQueue) {
			s.cfg.Logger.Warn("event dropped, its queue is gone", zap.String("queue", queue.Queue), zap.String("key", h.key))
			continue
		}
		if err != nil {
			return err
		}
	}
	return s.journal.end(ctx, h.intent)
}

// recover emits the events of writes that a dead process had begun. Whether
// such a write was made can't be told from one that replaced nothing, so an
// object that is there is announced: an event too many is allowed, one too few is not.
func (s *Server) recover(ctx context.Context) error {
	left, err := s.journal.open(ctx)
	if err != nil {
		return err
	}
	for _, i := range left {
		if err := s.emit(ctx, happened{intent: i, at: time.Now()}); err != nil {
			return err
		}
		s.cfg.Logger.Info("event recovered", zap.String("bucket", i.bucket), zap.String("key", i.key))
	}
	return nil
}

// pending holds the events that could not be delivered. The journal has them too.
type pending struct {
	mu     sync.Mutex
	events []happened
}

func (p *pending) add(h ...happened) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.events = append(p.events, h...)
}

func (p *pending) take() []happened {
	p.mu.Lock()
	defer p.mu.Unlock()
	events := p.events
	p.events = nil
	return events
}

const retryInterval = 2 * time.Second

func (s *Server) retryEvents(ctx context.Context) {
	ticker := time.NewTicker(retryInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		for _, h := range s.pending.take() {
			if err := s.emit(ctx, h); err != nil {
				s.pending.add(h)
			}
		}
	}
}
