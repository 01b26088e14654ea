package localcloud

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	awssagemaker "github.com/aws/aws-sdk-go-v2/service/sagemaker"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"
	"go.uber.org/zap"

	"github.com/trainyard/trainyard/services/internal/awscfg"
)

// TestMain lets this binary be the localcloud of the tests that kill it.
func TestMain(m *testing.M) {
	if dir := os.Getenv(childData); dir != "" {
		command := Command{Data: dir, AWS: "127.0.0.1:0", Region: "us-east-1", AccessKey: DefaultAccessKey, SecretKey: DefaultSecretKey, Provision: true}
		if err := command.Run(context.Background(), os.Stdout, zap.NewNop()); err != nil {
			panic(err)
		}
		return
	}
	os.Exit(m.Run())
}

// start runs a localcloud for one test; there can be one at a time in a process.
func start(t *testing.T, cfg Config) (*Unit, aws.Config) {
	t.Helper()
	home := must[string](t)(os.Getwd())
	if cfg.DataDir == "" {
		cfg.DataDir = t.TempDir()
	}
	cfg.Addr = "127.0.0.1:0"
	unit := must[*Unit](t)(New(t.Context(), cfg, Deps{}))
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- unit.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		begun := time.Now()
		if err := errors.Join(<-ended, unit.Close(), os.Chdir(home)); err != nil {
			t.Error(err)
		}
		if took := time.Since(begun); took > 5*time.Second {
			t.Errorf("ending took %v", took)
		}
	})
	<-unit.Ready()
	return unit, must[aws.Config](t)(unit.AWS(t.Context()))
}

func must[T any](t testing.TB) func(v T, err error) T {
	t.Helper()
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func TestListensOnLoopbackOnly(t *testing.T) {
	for addr, ok := range map[string]bool{
		"127.0.0.1:0": true, "localhost:0": true, "[::1]:0": true, "127.8.8.8:0": true,
		"0.0.0.0:0": false, ":0": false, "[::]:0": false, "192.0.2.1:0": false, "example.com:80": false, "4566": false,
	} {
		cfg := Config{DataDir: t.TempDir(), Addr: addr}
		if err := cfg.complete(); (err == nil) != ok {
			t.Errorf("address %q: %v", addr, err)
		}
	}
}

func TestOneProcessAFolder(t *testing.T) {
	unit, _ := start(t, Config{})
	_, err := New(t.Context(), Config{DataDir: unit.cfg.DataDir, Addr: "127.0.0.1:0"}, Deps{})
	if err == nil || !strings.Contains(err.Error(), "in use by another localcloud") {
		t.Errorf("second localcloud on the folder: %v", err)
	}
}

func TestKeysAreChecked(t *testing.T) {
	unit, cfg := start(t, Config{})
	for _, test := range []struct {
		name, access, secret         string
		s3, sqs, sagemaker, logsCode string
	}{
		{"unknown key", "other", DefaultSecretKey, "InvalidAccessKeyId", "InvalidClientTokenId", "UnrecognizedClientException", "UnrecognizedClientException"},
		{"wrong secret", DefaultAccessKey, "other", "SignatureDoesNotMatch", "SignatureDoesNotMatch", "InvalidSignatureException", "InvalidSignatureException"},
	} {
		t.Run(test.name, func(t *testing.T) {
			cfg := cfg.Copy()
			cfg.Credentials = credentials.NewStaticCredentialsProvider(test.access, test.secret, "")
			ctx := t.Context()
			_, s3Err := awscfg.S3(cfg).ListBuckets(ctx, nil)
			_, sqsErr := awssqs.NewFromConfig(cfg).ListQueues(ctx, nil)
			_, sagemakerErr := awssagemaker.NewFromConfig(cfg).ListTrainingJobs(ctx, nil)
			_, logsErr := cloudwatchlogs.NewFromConfig(cfg).DescribeLogGroups(ctx, nil)
			for _, got := range []struct {
				service string
				err     error
				want    string
			}{{"s3", s3Err, test.s3}, {"sqs", sqsErr, test.sqs}, {"sagemaker", sagemakerErr, test.sagemaker}, {"logs", logsErr, test.logsCode}} {
				var api smithy.APIError
				if !errors.As(got.err, &api) || api.ErrorCode() != got.want {
					t.Errorf("%s: %v, want %s", got.service, got.err, got.want)
				}
			}
		})
	}
	for _, target := range []string{"AmazonSQS.ListQueues", "SageMaker.ListTrainingJobs", "Logs_20140328.DescribeLogGroups", "DynamoDB_20120810.ListTables"} {
		r := must[*http.Request](t)(http.NewRequestWithContext(t.Context(), http.MethodPost, unit.Endpoint(), strings.NewReader("{}")))
		r.Header.Set("X-Amz-Target", target)
		res := must[*http.Response](t)(http.DefaultClient.Do(r))
		res.Body.Close()
		if res.StatusCode/100 != 4 {
			t.Errorf("%s unsigned: %d", target, res.StatusCode)
		}
	}
}

func TestProvision(t *testing.T) {
	_, cfg := start(t, Config{})
	ctx := t.Context()
	const origin = "http://127.0.0.1:8080"
	made := must[Resources](t)(Provision(ctx, cfg, []string{origin}))
	if again := must[Resources](t)(Provision(ctx, cfg, []string{origin})); again != made {
		t.Errorf("second run gave %+v, first %+v", again, made)
	}
	queues, store := awssqs.NewFromConfig(cfg), awscfg.S3(cfg)

	attributes := must[*awssqs.GetQueueAttributesOutput](t)(queues.GetQueueAttributes(ctx, &awssqs.GetQueueAttributesInput{
		QueueUrl: &made.TasksQueueURL, AttributeNames: []sqstypes.QueueAttributeName{"All"},
	})).Attributes
	if want := `{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:000000000000:trainyard-tasks-dlq","maxReceiveCount":5}`; attributes["RedrivePolicy"] != want {
		t.Errorf("redrive policy %s", attributes["RedrivePolicy"])
	}
	cors := must[*awss3.GetBucketCorsOutput](t)(store.GetBucketCors(ctx, &awss3.GetBucketCorsInput{Bucket: aws.String(Bucket)}))
	if len(cors.CORSRules) != 1 || cors.CORSRules[0].AllowedOrigins[0] != origin {
		t.Errorf("cors %+v", cors.CORSRules)
	}

	// An upload is told of; what the converter writes is not.
	for _, key := range []string{"datasets/p/d/1/x", "uploads/p/d/1/source.zip"} {
		must[*awss3.PutObjectOutput](t)(store.PutObject(ctx, &awss3.PutObjectInput{Bucket: aws.String(Bucket), Key: &key, Body: strings.NewReader("x")}))
	}
	var kinds []string
	for len(kinds) < 2 {
		out := must[*awssqs.ReceiveMessageOutput](t)(queues.ReceiveMessage(ctx, &awssqs.ReceiveMessageInput{QueueUrl: &made.UploadsQueueURL, WaitTimeSeconds: 5, MaxNumberOfMessages: 10}))
		if len(out.Messages) == 0 {
			break
		}
		for _, m := range out.Messages {
			kinds = append(kinds, eventOf(t, *m.Body))
		}
	}
	if len(kinds) != 2 || kinds[0] != "s3:TestEvent" || kinds[1] != "uploads/p/d/1/source.zip" {
		t.Errorf("events %v, want one test event and one upload", kinds)
	}
}

// A write whose process died before its event was sent is told of at the next
// start. The kill test comes upon this by chance, this one makes sure.
func TestLostEventIsRecovered(t *testing.T) {
	dir, key := t.TempDir(), "uploads/p/d/1/source.zip"
	t.Run("the object is stored", func(t *testing.T) {
		_, cfg := start(t, Config{DataDir: dir})
		must[Resources](t)(Provision(t.Context(), cfg, nil))
		must[*awss3.PutObjectOutput](t)(awscfg.S3(cfg).PutObject(t.Context(), &awss3.PutObjectInput{Bucket: aws.String(Bucket), Key: &key, Body: strings.NewReader("x")}))
		if n := len(receiveAll(t, awssqs.NewFromConfig(cfg), UploadsQueue)); n != 2 {
			t.Fatalf("%d messages, want a test event and an upload", n)
		}
	})
	journal := must[*sql.DB](t)(sql.Open("sqlite", filepath.Join(dir, "s3", "events.db")))
	for _, begun := range []string{key, "uploads/never-written"} {
		must[sql.Result](t)(journal.Exec(`INSERT INTO intents (bucket, key, event_name) VALUES (?, ?, 'ObjectCreated:Put')`, Bucket, begun))
	}
	if err := journal.Close(); err != nil {
		t.Fatal(err)
	}
	t.Run("the event arrives", func(t *testing.T) {
		_, cfg := start(t, Config{DataDir: dir})
		events := receiveAll(t, awssqs.NewFromConfig(cfg), UploadsQueue)
		if len(events) != 1 {
			t.Fatalf("events %v, want one", events)
		}
		for body := range events {
			if got := eventOf(t, body); got != key {
				t.Errorf("event of %s, want %s", got, key)
			}
		}
	})
}

// eventOf gives the key an S3 event is about, or the name of a test event.
func eventOf(t *testing.T, body string) string {
	t.Helper()
	var m struct {
		Event   string
		Records []struct {
			S3 struct{ Object struct{ Key string } }
		}
	}
	if err := json.Unmarshal([]byte(body), &m); err != nil {
		t.Fatal(err)
	}
	if m.Event != "" {
		return m.Event
	}
	return m.Records[0].S3.Object.Key
}

// A long poll must not hold the end of the process up, and ends without error.
func TestLongPollEndsAtShutdown(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	home := must[string](t)(os.Getwd())
	unit := must[*Unit](t)(New(t.Context(), Config{DataDir: t.TempDir(), Addr: "127.0.0.1:0"}, Deps{}))
	ended := make(chan error, 1)
	go func() { ended <- unit.Run(ctx) }()
	<-unit.Ready()
	cfg := must[aws.Config](t)(unit.AWS(t.Context()))
	queues := awssqs.NewFromConfig(cfg)
	queue := must[*awssqs.CreateQueueOutput](t)(queues.CreateQueue(t.Context(), &awssqs.CreateQueueInput{QueueName: aws.String("q")}))
	polled := make(chan error, 1)
	go func() {
		_, err := queues.ReceiveMessage(context.Background(), &awssqs.ReceiveMessageInput{QueueUrl: queue.QueueUrl, WaitTimeSeconds: 20})
		polled <- err
	}()
	// Whether the poll has arrived can't be seen from outside; a request made after it makes that likely, and the
	// test holds either way.
	must[*awssqs.ListQueuesOutput](t)(queues.ListQueues(t.Context(), nil))

	begun := time.Now()
	cancel()
	if err := errors.Join(<-ended, unit.Close(), os.Chdir(home)); err != nil {
		t.Error(err)
	}
	if took := time.Since(begun); took > 3*time.Second {
		t.Errorf("ending took %v", took)
	}
	<-polled
}

func TestListBuckets(t *testing.T) {
	_, cfg := start(t, Config{})
	store := awscfg.S3(cfg)
	must[*awss3.CreateBucketOutput](t)(store.CreateBucket(t.Context(), &awss3.CreateBucketInput{Bucket: aws.String("b-1")}))
	out := must[*awss3.ListBucketsOutput](t)(store.ListBuckets(t.Context(), nil))
	if len(out.Buckets) != 1 || *out.Buckets[0].Name != "b-1" {
		t.Errorf("buckets %+v", out.Buckets)
	}
	_, err := store.CreateBucket(t.Context(), &awss3.CreateBucketInput{Bucket: aws.String("b-1")})
	var ours *s3types.BucketAlreadyOwnedByYou
	if !errors.As(err, &ours) {
		t.Errorf("same bucket again: %v", err)
	}
}
