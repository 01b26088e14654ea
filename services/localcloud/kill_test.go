package localcloud

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/trainyard/trainyard/services/internal/awscfg"
)

// childData is the environment variable that turns this test binary into a localcloud.
const childData = "LOCALCLOUD_TEST_DATA"

// child is a localcloud in a process of its own.
type child struct {
	process *exec.Cmd
	killed  sync.Once
	s3      *awss3.Client
	sqs     *awssqs.Client
}

func startChild(t *testing.T, dir string) *child {
	t.Helper()
	c := &child{process: exec.Command(must[string](t)(os.Executable()))} //nolint:gosec // This very binary.
	c.process.Env = append(os.Environ(), childData+"="+dir)
	c.process.Stderr = os.Stderr
	stdout := must[io.ReadCloser](t)(c.process.StdoutPipe())
	if err := c.process.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.kill)
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatalf("localcloud did not get ready: %v", err)
	}
	var endpoint, data string
	if n, err := fmt.Sscanf(line, "localcloud ready: aws=%s data=%s", &endpoint, &data); n != 2 {
		t.Fatalf("ready line %q: %v", line, err)
	}
	cfg := must[aws.Config](t)(awscfg.Load(t.Context(), awscfg.Config{
		Region: "us-east-1", Endpoint: endpoint, AccessKey: DefaultAccessKey, SecretKey: DefaultSecretKey,
	}))
	cfg.RetryMaxAttempts = 1 // What failed is not to be tried again behind our back.
	c.s3, c.sqs = awscfg.S3(cfg), awssqs.NewFromConfig(cfg)
	return c
}

func (c *child) kill() {
	c.killed.Do(func() {
		_ = c.process.Process.Kill() // SIGKILL; an error means that it is gone already.
		_ = c.process.Wait()
	})
}

// deletion is how far a message's deletion has got. Asked for and not answered,
// it may or may not have happened.
type deletion int

const (
	kept deletion = iota
	asked
	deleted
)

// acknowledged is the journal, outside of the localcloud, of what it said yes to.
type acknowledged struct {
	mu       sync.Mutex
	messages map[string]deletion          // by body
	objects  map[string][sha256.Size]byte // key → digest
	uploads  map[string]*upload           // begun and never completed, by id
}

type upload struct {
	key   string
	parts []s3types.CompletedPart
}

// partBody is the content of a part, the same each time it is asked for.
func partBody(number int) []byte {
	b := make([]byte, 5<<20)
	source := rand.NewChaCha8([32]byte{byte(number)})
	_, _ = source.Read(b) // It never fails.
	return b
}

func (a *acknowledged) note(f func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	f()
}

// work runs the writers until the localcloud dies under them.
func work(until context.Context, c *child, a *acknowledged, round int) {
	queue := aws.String("http://localcloud/" + AccountID + "/" + TasksQueue)
	bucket := aws.String(Bucket)
	writers := []func(n int) error{
		func(n int) error { // sends
			body := fmt.Sprintf("message %d-%d", round, n)
			_, err := c.sqs.SendMessage(until, &awssqs.SendMessageInput{QueueUrl: queue, MessageBody: &body})
			if err == nil {
				a.note(func() { a.messages[body] = max(a.messages[body], kept) })
			}
			return err
		},
		func(int) error { // receives and deletes
			out, err := c.sqs.ReceiveMessage(until, &awssqs.ReceiveMessageInput{QueueUrl: queue, VisibilityTimeout: 1})
			if err != nil || len(out.Messages) == 0 {
				return err
			}
			body := *out.Messages[0].Body
			a.note(func() { a.messages[body] = max(a.messages[body], asked) })
			_, err = c.sqs.DeleteMessage(until, &awssqs.DeleteMessageInput{QueueUrl: queue, ReceiptHandle: out.Messages[0].ReceiptHandle})
			if err == nil {
				a.note(func() { a.messages[body] = deleted })
			}
			return err
		},
		func(n int) error { // puts
			key, body := fmt.Sprintf("uploads/put %d-%d", round, n), randomBytes(64<<10)
			_, err := c.s3.PutObject(until, &awss3.PutObjectInput{Bucket: bucket, Key: &key, Body: bytes.NewReader(body)})
			if err == nil {
				a.note(func() { a.objects[key] = sha256.Sum256(body) })
			}
			return err
		},
		func(n int) error { // multipart uploads
			key := fmt.Sprintf("uploads/multipart %d-%d", round, n)
			created, err := c.s3.CreateMultipartUpload(until, &awss3.CreateMultipartUploadInput{Bucket: bucket, Key: &key, ChecksumAlgorithm: s3types.ChecksumAlgorithmCrc32})
			if err != nil {
				return err
			}
			var whole []byte
			var parts []s3types.CompletedPart
			for number, size := range []int{5 << 20, 1 << 10} {
				body := randomBytes(size)
				part, err := c.s3.UploadPart(until, &awss3.UploadPartInput{
					Bucket: bucket, Key: &key, UploadId: created.UploadId, PartNumber: aws.Int32(int32(number + 1)), Body: bytes.NewReader(body), //nolint:gosec // Two parts.
				})
				if err != nil {
					return err
				}
				whole = append(whole, body...)
				parts = append(parts, s3types.CompletedPart{PartNumber: aws.Int32(int32(number + 1)), ETag: part.ETag, ChecksumCRC32: part.ChecksumCRC32}) //nolint:gosec // Two parts.
			}
			_, err = c.s3.CompleteMultipartUpload(until, &awss3.CompleteMultipartUploadInput{
				Bucket: bucket, Key: &key, UploadId: created.UploadId, MultipartUpload: &s3types.CompletedMultipartUpload{Parts: parts},
			})
			if err == nil {
				a.note(func() { a.objects[key] = sha256.Sum256(whole) })
			}
			return err
		},
	}
	// One upload a round that the kill leaves unfinished.
	var unfinished *string
	writers = append(writers, func(n int) error {
		key := fmt.Sprintf("uploads/unfinished %d", round)
		if n == 0 {
			created, err := c.s3.CreateMultipartUpload(until, &awss3.CreateMultipartUploadInput{Bucket: bucket, Key: &key, ChecksumAlgorithm: s3types.ChecksumAlgorithmCrc32})
			if err != nil {
				return err
			}
			unfinished = created.UploadId
			a.note(func() { a.uploads[*unfinished] = &upload{key: key} })
			return nil
		}
		part, err := c.s3.UploadPart(until, &awss3.UploadPartInput{
			Bucket: bucket, Key: &key, UploadId: unfinished, PartNumber: aws.Int32(int32(n)), Body: bytes.NewReader(partBody(n)), //nolint:gosec // Few parts.
		})
		if err == nil {
			a.note(func() {
				u := a.uploads[*unfinished]
				u.parts = append(u.parts, s3types.CompletedPart{PartNumber: aws.Int32(int32(n)), ETag: part.ETag, ChecksumCRC32: part.ChecksumCRC32}) //nolint:gosec // Few parts.
			})
		}
		return err
	})
	var running sync.WaitGroup
	begun := make(chan struct{}, 2*len(writers))
	for _, write := range writers {
		running.Go(func() {
			for n := 0; until.Err() == nil; n++ {
				err := write(n)
				if n == 1 || err != nil {
					begun <- struct{}{}
				}
				if err != nil {
					return
				}
			}
		})
	}
	// The kill comes at a random moment once each of them has got something done.
	for range writers {
		select {
		case <-begun:
		case <-until.Done():
		}
	}
	time.AfterFunc(rand.N(500*time.Millisecond), c.kill)
	running.Wait()
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	source := rand.NewChaCha8([32]byte{byte(rand.IntN(256)), byte(rand.IntN(256))})
	_, _ = source.Read(b) // It never fails.
	return b
}

// However often the process is killed amid its work: what was acknowledged is
// there, what was deleted stays away, and every object that exists had its event.
func TestKill(t *testing.T) {
	dir := t.TempDir()
	a := &acknowledged{messages: map[string]deletion{}, objects: map[string][sha256.Size]byte{}, uploads: map[string]*upload{}}
	for round := range 4 {
		c := startChild(t, dir)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		work(ctx, c, a, round)
		cancel()
		c.kill()
	}
	puts, multiparts, parts := 0, 0, 0
	for key := range a.objects {
		if strings.HasPrefix(key, "uploads/multipart") {
			multiparts++
		} else {
			puts++
		}
	}
	for _, u := range a.uploads {
		parts += len(u.parts)
	}
	t.Logf("acknowledged: %d messages, %d puts, %d multipart uploads, %d parts of %d unfinished ones",
		len(a.messages), puts, multiparts, parts, len(a.uploads))
	if len(a.messages) == 0 || puts == 0 || multiparts == 0 || parts == 0 {
		t.Fatal("not every kind of work was done before the kills")
	}

	c := startChild(t, dir)
	ctx := t.Context()
	tasks := receiveAll(t, c.sqs, TasksQueue)
	for body, state := range a.messages {
		if state == kept && !tasks[body] {
			t.Errorf("%s was sent and is lost", body)
		}
		if state == deleted && tasks[body] {
			t.Errorf("%s was deleted and came back", body)
		}
	}
	for key, digest := range a.objects {
		out := must[*awss3.GetObjectOutput](t)(c.s3.GetObject(ctx, &awss3.GetObjectInput{Bucket: aws.String(Bucket), Key: &key}))
		body := must[[]byte](t)(io.ReadAll(out.Body))
		out.Body.Close()
		if sha256.Sum256(body) != digest {
			t.Errorf("%s came back with other bytes", key)
		}
	}

	for id, u := range a.uploads {
		resume(t, c, id, u)
	}

	events := make(map[string]bool)
	for body := range receiveAll(t, c.sqs, UploadsQueue) {
		key := eventOf(t, body)
		events[must[string](t)(url.QueryUnescape(key))] = true
	}
	pages := awss3.NewListObjectsV2Paginator(c.s3, &awss3.ListObjectsV2Input{Bucket: aws.String(Bucket), Prefix: aws.String("uploads/")})
	found := 0
	for pages.HasMorePages() {
		page := must[*awss3.ListObjectsV2Output](t)(pages.NextPage(ctx))
		for _, object := range page.Contents {
			found++
			if !events[*object.Key] {
				t.Errorf("%s had no event", *object.Key)
			}
		}
	}
	if found < len(a.objects) {
		t.Errorf("%d objects listed, %d acknowledged", found, len(a.objects))
	}
}

// resume completes an upload that a kill interrupted with the parts that were
// acknowledged before it.
func resume(t *testing.T, c *child, id string, u *upload) {
	t.Helper()
	bucket := aws.String(Bucket)
	listed := must[*awss3.ListPartsOutput](t)(c.s3.ListParts(t.Context(), &awss3.ListPartsInput{Bucket: bucket, Key: &u.key, UploadId: &id}))
	if len(listed.Parts) < len(u.parts) {
		t.Errorf("%s: %d parts listed, %d acknowledged", u.key, len(listed.Parts), len(u.parts))
	}
	if len(u.parts) == 0 {
		return
	}
	must[*awss3.CompleteMultipartUploadOutput](t)(c.s3.CompleteMultipartUpload(t.Context(), &awss3.CompleteMultipartUploadInput{
		Bucket: bucket, Key: &u.key, UploadId: &id, MultipartUpload: &s3types.CompletedMultipartUpload{Parts: u.parts},
	}))
	out := must[*awss3.GetObjectOutput](t)(c.s3.GetObject(t.Context(), &awss3.GetObjectInput{Bucket: bucket, Key: &u.key}))
	defer out.Body.Close()
	got, want := sha256.New(), sha256.New()
	must[int64](t)(io.Copy(got, out.Body))
	for n := range u.parts {
		want.Write(partBody(n + 1))
	}
	if !bytes.Equal(got.Sum(nil), want.Sum(nil)) {
		t.Errorf("%s is not its parts", u.key)
	}
}

// receiveAll takes all messages of a queue, waiting for those that are still in
// flight, and gives their bodies.
func receiveAll(t *testing.T, c *awssqs.Client, name string) map[string]bool {
	t.Helper()
	queue := aws.String("http://localcloud/" + AccountID + "/" + name)
	found := make(map[string]bool)
	for {
		out := must[*awssqs.ReceiveMessageOutput](t)(c.ReceiveMessage(t.Context(), &awssqs.ReceiveMessageInput{
			QueueUrl: queue, MaxNumberOfMessages: 10, WaitTimeSeconds: 1, VisibilityTimeout: 600,
		}))
		if len(out.Messages) == 0 {
			return found
		}
		for _, m := range out.Messages {
			found[strings.Clone(*m.Body)] = true
		}
	}
}
