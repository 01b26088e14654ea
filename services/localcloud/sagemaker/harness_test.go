package sagemaker_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http/httptest"
	"os"
	"os/signal"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	cwl "github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	sdk "github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/smithy-go"
	"go.uber.org/zap"

	"github.com/trainyard/trainyard/services/internal/awscfg"
	"github.com/trainyard/trainyard/services/localcloud"
	"github.com/trainyard/trainyard/services/localcloud/logs"
	"github.com/trainyard/trainyard/services/localcloud/sagemaker"
)

const (
	bucket   = "trainyard"
	role     = "arn:aws:iam::000000000000:role/training"
	patience = 30 * time.Second
)

// child makes a re-executed test binary a localcloud of its own: see TestKillNine.
const child = "LOCALCLOUD_TEST_CHILD"

// cloud gives all tests S3 and SQS: one in a process, since versitygw can be no more.
var cloud aws.Config

func TestMain(m *testing.M) {
	if spec := os.Getenv(child); spec != "" {
		runChild(spec)
		return
	}
	os.Exit(withCloud(m.Run))
}

func withCloud(run func() int) (code int) {
	dir, err := os.MkdirTemp("", "localcloud")
	fatal(err)
	defer func() { fatal(os.RemoveAll(dir)) }()
	ctx, cancel := context.WithCancel(context.Background())
	unit, err := localcloud.New(ctx, localcloud.Config{DataDir: dir, Addr: "127.0.0.1:0"}, localcloud.Deps{})
	fatal(err)
	ended := make(chan error, 1)
	go func() { ended <- unit.Run(ctx) }()
	cloud, err = unit.AWS(ctx)
	fatal(err)
	_, err = awscfg.S3(cloud).CreateBucket(ctx, &s3.CreateBucketInput{Bucket: aws.String(bucket)})
	fatal(err)
	defer func() {
		cancel()
		fatal(errors.Join(<-ended, unit.Close()))
	}()
	return run()
}

// runChild serves a whole localcloud until it is told to stop, or killed.
func runChild(spec string) {
	var cfg localcloud.Config
	fatal(json.Unmarshal([]byte(spec), &cfg))
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt)
	defer cancel()
	unit, err := localcloud.New(ctx, cfg, localcloud.Deps{})
	fatal(err)
	fatal(errors.Join(unit.Run(ctx), unit.Close()))
}

func fatal(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// clients are what a test talks to.
type clients struct {
	t    *testing.T
	sm   *sdk.Client
	logs *cwl.Client
	s3   *s3.Client
	sqs  *sqs.Client
}

func newClients(t *testing.T, cfg aws.Config) *clients {
	return &clients{t, sdk.NewFromConfig(cfg), cwl.NewFromConfig(cfg), awscfg.S3(cfg), sqs.NewFromConfig(cfg)}
}

// sender sends events through SQS's own API.
type sender struct{ *sqs.Client }

func (s sender) Send(ctx context.Context, queue, body string) error {
	_, err := s.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: &queue, MessageBody: &body})
	return err
}

// instance is a service that runs.
type instance struct {
	*clients
	stop func()
}

// sh is a program that runs a shell script.
func sh(script string) sagemaker.Program {
	return sagemaker.Program{Argv: []string{"sh", "-ec", script}}
}

// start runs a service over dir. The script is the program of the image "trainer".
func start(t *testing.T, cfg sagemaker.Config, script string, wrap ...func(sagemaker.S3) sagemaker.S3) *instance {
	t.Helper()
	if cfg.Dir == "" {
		cfg.Dir = t.TempDir()
	}
	if cfg.Images == nil {
		cfg.Images = map[string]sagemaker.Program{"trainer": sh(script)}
	}
	ctx, cancel := context.WithCancel(context.Background())
	logStore, err := logs.New(ctx, logs.Config{Dir: filepath.Join(cfg.Dir, "logs")}, logs.Deps{})
	must(t, err)
	c := newClients(t, cloud)
	var objects sagemaker.S3 = c.s3
	for _, w := range wrap {
		objects = w(objects)
	}
	log, err := zap.NewDevelopment(zap.IncreaseLevel(zap.WarnLevel))
	must(t, err)
	service, err := sagemaker.New(ctx, cfg, sagemaker.Deps{S3: objects, Logs: logStore, Events: sender{c.sqs}, Logger: log})
	must(t, err)
	ended := make(chan error, 1)
	go func() { ended <- service.Run(ctx) }()
	api, logAPI := httptest.NewServer(service), httptest.NewServer(logStore)
	c.sm = sdk.NewFromConfig(cloud, func(o *sdk.Options) { o.BaseEndpoint = &api.URL; o.RetryMaxAttempts = 1 })
	c.logs = cwl.NewFromConfig(cloud, func(o *cwl.Options) { o.BaseEndpoint = &logAPI.URL })
	stopped := false
	i := &instance{clients: c}
	i.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		err := <-ended
		api.Close()
		logAPI.Close()
		must(t, errors.Join(err, service.Close(), logStore.Close()))
	}
	t.Cleanup(i.stop)
	return i
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func same(t *testing.T, what string, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s:\ngot  %+v\nwant %+v", what, got, want)
	}
}

// request is a valid job without inputs; prefix keeps tests apart in the bucket.
func request(name string) *sdk.CreateTrainingJobInput {
	return &sdk.CreateTrainingJobInput{
		TrainingJobName:        &name,
		RoleArn:                aws.String(role),
		AlgorithmSpecification: &types.AlgorithmSpecification{TrainingImage: aws.String("trainer"), TrainingInputMode: types.TrainingInputModeFile},
		OutputDataConfig:       &types.OutputDataConfig{S3OutputPath: aws.String("s3://" + bucket + "/models/")},
		ResourceConfig:         &types.ResourceConfig{InstanceType: types.TrainingInstanceTypeMlM5Xlarge, InstanceCount: aws.Int32(1), VolumeSizeInGB: aws.Int32(10)},
		StoppingCondition:      &types.StoppingCondition{MaxRuntimeInSeconds: aws.Int32(600)},
	}
}

func s3Channel(name, uri string) types.Channel {
	return types.Channel{ChannelName: &name, DataSource: &types.DataSource{S3DataSource: &types.S3DataSource{S3DataType: types.S3DataTypeS3Prefix, S3Uri: aws.String(uri)}}}
}

func (c *clients) create(in *sdk.CreateTrainingJobInput) string {
	c.t.Helper()
	out, err := c.sm.CreateTrainingJob(c.t.Context(), in)
	must(c.t, err)
	return *out.TrainingJobArn
}

func (c *clients) describe(name string) *sdk.DescribeTrainingJobOutput {
	c.t.Helper()
	out, err := c.sm.DescribeTrainingJob(c.t.Context(), &sdk.DescribeTrainingJobInput{TrainingJobName: &name})
	must(c.t, err)
	return out
}

// await polls until the job is as wanted.
func (c *clients) await(name, what string, ok func(*sdk.DescribeTrainingJobOutput) bool) *sdk.DescribeTrainingJobOutput {
	c.t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		d := c.describe(name)
		if ok(d) {
			return d
		}
		if time.Now().After(deadline) {
			c.t.Fatalf("job %s is %s/%s (%s), want %s", name, d.TrainingJobStatus, d.SecondaryStatus, aws.ToString(d.FailureReason), what)
		}
	}
}

func (c *clients) awaitEnd(name string) *sdk.DescribeTrainingJobOutput {
	c.t.Helper()
	return c.await(name, "an end", func(d *sdk.DescribeTrainingJobOutput) bool {
		return d.TrainingJobStatus != types.TrainingJobStatusInProgress && d.TrainingJobStatus != types.TrainingJobStatusStopping
	})
}

// awaitLog polls until the job's log holds the text, and returns the log so far.
func (c *clients) awaitLog(name, text string) []string {
	c.t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		lines := c.log(name)
		if slices.ContainsFunc(lines, func(l string) bool { return strings.Contains(l, text) }) {
			return lines
		}
		if time.Now().After(deadline) {
			c.t.Fatalf("the log of %s has no %q:\n%s", name, text, strings.Join(lines, "\n"))
		}
	}
}

func (c *clients) log(name string) []string {
	c.t.Helper()
	out, err := c.logs.FilterLogEvents(c.t.Context(), &cwl.FilterLogEventsInput{
		LogGroupName: aws.String(sagemaker.LogGroup), LogStreamNamePrefix: aws.String(name + "/algo-1-"),
	})
	if api := smithy.APIError(nil); errors.As(err, &api) && api.ErrorCode() == "ResourceNotFoundException" {
		return nil
	}
	must(c.t, err)
	var lines []string
	for _, e := range out.Events {
		lines = append(lines, *e.Message)
	}
	return lines
}

// logWith gives the lines of a job's log that begin with a text.
func (c *clients) logWith(name, prefix string) []string {
	c.t.Helper()
	var list []string
	for _, l := range c.log(name) {
		if strings.HasPrefix(l, prefix) {
			list = append(list, l)
		}
	}
	return list
}

func (c *clients) put(key, body string) {
	c.t.Helper()
	_, err := c.s3.PutObject(c.t.Context(), &s3.PutObjectInput{Bucket: aws.String(bucket), Key: &key, Body: strings.NewReader(body)})
	must(c.t, err)
}

func (c *clients) get(key string) []byte {
	c.t.Helper()
	out, err := c.s3.GetObject(c.t.Context(), &s3.GetObjectInput{Bucket: aws.String(bucket), Key: &key})
	must(c.t, err)
	defer func() { _ = out.Body.Close() }()
	body, err := io.ReadAll(out.Body)
	must(c.t, err)
	return body
}

func (c *clients) keys(prefix string) []string {
	c.t.Helper()
	out, err := c.s3.ListObjectsV2(c.t.Context(), &s3.ListObjectsV2Input{Bucket: aws.String(bucket), Prefix: &prefix})
	must(c.t, err)
	keys := []string{}
	for _, o := range out.Contents {
		keys = append(keys, strings.TrimPrefix(*o.Key, prefix))
	}
	return keys
}

// untar returns the files of an archive in S3.
func (c *clients) untar(key string) map[string]string {
	c.t.Helper()
	zip, err := gzip.NewReader(bytes.NewReader(c.get(key)))
	must(c.t, err)
	files := map[string]string{}
	for archive := tar.NewReader(zip); ; {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		must(c.t, err)
		if h.Typeflag == tar.TypeReg {
			body, err := io.ReadAll(archive)
			must(c.t, err)
			files[h.Name] = string(body)
		}
	}
}

// phases lists the secondary statuses of a job in their order, and checks that they follow each other without a gap.
func phases(t *testing.T, d *sdk.DescribeTrainingJobOutput) []string {
	t.Helper()
	var list []string
	for i, tr := range d.SecondaryStatusTransitions {
		list = append(list, string(tr.Status))
		if i > 0 && !d.SecondaryStatusTransitions[i-1].EndTime.Equal(*tr.StartTime) {
			t.Errorf("%s begins at %v, but %s ended at %v", tr.Status, tr.StartTime, list[i-1], d.SecondaryStatusTransitions[i-1].EndTime)
		}
		if aws.ToString(tr.StatusMessage) == "" {
			t.Errorf("%s has no message", tr.Status)
		}
	}
	return list
}

// alive tells whether a process still runs; a zombie doesn't.
func alive(pid string) bool {
	stat, err := os.ReadFile("/proc/" + pid + "/stat")
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(rest, "Z")
}

func awaitDeath(t *testing.T, pids ...string) {
	t.Helper()
	for deadline := time.Now().Add(patience); slices.ContainsFunc(pids, alive); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("some of the processes %v still run", pids)
		}
	}
}
