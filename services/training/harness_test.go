package training_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/structpb"

	ingestv1 "github.com/trainyard/trainyard/gen/trainyard/ingest/v1"
	notificationv1 "github.com/trainyard/trainyard/gen/trainyard/notification/v1"
	trainingv1 "github.com/trainyard/trainyard/gen/trainyard/training/v1"
	"github.com/trainyard/trainyard/services/internal/apierror"
	"github.com/trainyard/trainyard/services/internal/auth"
	"github.com/trainyard/trainyard/services/internal/awscfg"
	"github.com/trainyard/trainyard/services/internal/boot"
	"github.com/trainyard/trainyard/services/internal/testkit"
	"github.com/trainyard/trainyard/services/localcloud"
	"github.com/trainyard/trainyard/services/localcloud/fault"
	localsagemaker "github.com/trainyard/trainyard/services/localcloud/sagemaker"
	"github.com/trainyard/trainyard/services/training"
	"github.com/trainyard/trainyard/services/training/preflight"
)

// SageMaker, CloudWatch Logs, S3 and SQS are localcloud's, one for all tests, for a process can hold no second.
var (
	cloud aws.Config
	made  localcloud.Resources
	// faults is what SageMaker and Logs fail with; a test that plans some clears them.
	faults = new(fault.Injector)
)

const (
	image    = "123456789012.dkr.ecr.us-east-1.amazonaws.com/trainer:1"
	instance = "ml.m5.xlarge"
	// patience is how long a test waits for a job; a job takes a second or two.
	patience = 60 * time.Second
)

// What the training program does, by the parameter seed.
const (
	trainsWell = iota + 1
	failsWithReason
	waitsForStop
	leavesNoModel
	failsSilently
)

// program is a training program as small as the contract lets it be.
const program = `#!/bin/sh
base=$SAGEMAKER_BASE_DIR
seed=$(sed 's/.*"seed": *"\([0-9]*\)".*/\1/' "$base/input/config/hyperparameters.json" | tr -d '\n')
save() {
	printf '0\n1\n' > "$base/model/labels.txt"
	printf '{"accuracy":0.9,"confusion_matrix":[[5,0],[1,4]]}' > "$base/model/evaluation.json"
	printf 'model' > "$base/model/model.tflite"
}
echo "starting"
case $seed in
1)
	test -s "$base/input/data/train/digits-train.tfrecord-00000-of-00001" || exit 9
	test -s "$base/input/data/validation/digits-validation.tfrecord-00000-of-00001" || exit 9
	echo "[metric] epoch=1 step=1 train:loss=0.75 train:accuracy=0.5 progress:epoch=0.5"
	echo "[metric] epoch=1 step=2 train:loss=0.25 train:accuracy=0.75 progress:epoch=1"
	echo "[metric] epoch=1 step=2 validation:loss=0.125 validation:accuracy=0.875 progress:epoch=1"
	cat "$base/input/data/base/labels.txt" 2>/dev/null
	save;;
2)
	echo "the loss became nan" > "$base/output/failure"
	exit 1;;
3)
	trap 'echo "saving"; save; exit 0' TERM
	echo "[metric] epoch=1 step=1 train:loss=0.5 progress:epoch=0.1"
	while :; do sleep 0.05; done;;
4) ;;
*) exit 3;;
esac
echo "done"
`

func TestMain(m *testing.M) { os.Exit(runWithCloud(m)) }

func runWithCloud(m *testing.M) (code int) {
	dir, err := os.MkdirTemp("", "training-test-")
	if err != nil {
		panic(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	base := filepath.Join(dir, "efs", "base")
	if err := errors.Join(
		os.MkdirAll(base, 0o700),
		os.WriteFile(filepath.Join(base, "labels.txt"), []byte("0\n1\n"), 0o600),
		os.WriteFile(filepath.Join(dir, "program.sh"), []byte(program), 0o600),
	); err != nil {
		panic(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	unit, err := localcloud.New(ctx, localcloud.Config{
		DataDir: filepath.Join(dir, "cloud"), Addr: "127.0.0.1:0",
		SageMaker: localsagemaker.Config{
			Images:            map[string]localsagemaker.Program{image: {Argv: []string{"/bin/sh", filepath.Join(dir, "program.sh")}}},
			FileSystems:       map[string]localsagemaker.FileSystem{"fs-00000001": {Type: "EFS", Dir: filepath.Join(dir, "efs")}},
			MaxConcurrentJobs: 8,
		},
		Faults: faults,
	}, localcloud.Deps{})
	if err != nil {
		panic(err)
	}
	done := make(chan error, 1)
	go func() { done <- unit.Run(ctx) }()
	<-unit.Ready()
	if cloud, err = unit.AWS(ctx); err != nil {
		panic(err)
	}
	if made, err = localcloud.Provision(ctx, cloud, nil); err != nil {
		panic(err)
	}
	code = m.Run()
	cancel()
	if err := errors.Join(<-done, unit.Close()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// suite is the surroundings of training services: datasets, an event log that only records, and a database.
type suite struct {
	t       *testing.T
	dsn     string
	peers   *testkit.Server
	ingest  *datasets
	events  *events
	bases   string
	project string
}

var projects sync.Map // Every suite has a project of its own, for they share the bucket.

func newSuite(t *testing.T, dsn string) *suite {
	t.Helper()
	s := &suite{t: t, dsn: dsn, peers: testkit.NewServer(t), events: &events{seen: map[string]bool{}}}
	for i := 1; s.project == ""; i++ {
		if name := fmt.Sprint("project-", i); first(projects.LoadOrStore(name, true)) {
			s.project = name
		}
	}
	s.ingest = &datasets{project: s.project, versions: map[string]*ingestv1.Version{}}
	s.peers.Start(s.ingest, s.events)
	s.bases = filepath.Join(t.TempDir(), "bases.yaml")
	if err := os.WriteFile(s.bases, []byte(
		"- {id: base, display_name: Base digits, storage: efs, file_system_id: fs-00000001, path: /base, labels: ['0', '1'], example_count: 20000}\n"+
			"- {id: letters, storage: s3, uri: 's3://elsewhere/letters/', labels: [a, b]}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.addVersion("digits", 1, ingestv1.Version_READY)
	s.putShards("digits", 1)
	return s
}

func first(_ any, loaded bool) bool { return !loaded }

// addVersion gives ingest a version.
func (s *suite) addVersion(dataset string, number int, state ingestv1.Version_State) *ingestv1.Version {
	v := &ingestv1.Version{
		Name: fmt.Sprintf("datasets/%s/versions/%d", dataset, number), State: state,
	}
	if state == ingestv1.Version_READY {
		v.TfdsName, v.Uri = dataset, fmt.Sprintf("s3://%s/datasets/%s/%s/%d/", made.Bucket, s.project, dataset, number)
		v.Classes = []*ingestv1.ClassCount{{Name: "0", ExampleCount: 6}, {Name: "1", ExampleCount: 5}}
		v.Splits = []*ingestv1.Split{
			{Name: "train", ExampleCount: 9, ShardCount: 1, SizeBytes: 900}, {Name: "validation", ExampleCount: 2, ShardCount: 1, SizeBytes: 200},
		}
		v.ManifestSha256 = strings.Repeat("ab", 32)
		s.putFeatures(v, "image", "Image", "label", "ClassLabel")
	}
	s.ingest.put(v)
	return v
}

// putFeatures puts features.json of features that are given by name and class.
func (s *suite) putFeatures(v *ingestv1.Version, namesAndClasses ...string) {
	s.t.Helper()
	features := map[string]any{}
	for i := 0; i < len(namesAndClasses); i += 2 {
		features[namesAndClasses[i]] = map[string]any{"pythonClassName": "tensorflow_datasets.core.features." + namesAndClasses[i+1]}
	}
	body, err := json.Marshal(map[string]any{"featuresDict": map[string]any{"features": features}})
	if err != nil {
		s.t.Fatal(err)
	}
	s.put(v, "features.json", string(body))
}

// put puts a file beside a version's shards.
func (s *suite) put(v *ingestv1.Version, name, text string) {
	s.t.Helper()
	_, key, _ := strings.Cut(strings.TrimPrefix(v.GetUri(), "s3://"), "/")
	if _, err := awscfg.S3(cloud).PutObject(s.t.Context(), &s3.PutObjectInput{
		Bucket: aws.String(made.Bucket), Key: aws.String(key + name), Body: strings.NewReader(text),
	}); err != nil {
		s.t.Fatal(err)
	}
}

func (s *suite) putShards(dataset string, number int) {
	s.t.Helper()
	client := awscfg.S3(cloud)
	for _, split := range []string{"train", "validation", "test"} {
		key := fmt.Sprintf("datasets/%s/%s/%d/%s-%s.tfrecord-00000-of-00001", s.project, dataset, number, dataset, split)
		if _, err := client.PutObject(s.t.Context(), &s3.PutObjectInput{
			Bucket: aws.String(made.Bucket), Key: aws.String(key), Body: bytes.NewReader([]byte("shard of " + split)),
		}); err != nil {
			s.t.Fatal(err)
		}
	}
}

// service is a running training service.
type service struct {
	*suite
	server *testkit.Server
	conn   *grpc.ClientConn
	stop   func()
}

func config(s *suite) training.Config {
	return training.Config{
		Store: s.dsn, Bucket: made.Bucket, RoleARN: "arn:aws:iam::000000000000:role/training", Image: image,
		EventsQueue: made.TrainingEventsQueueURL, PollEvery: time.Hour, LogEvery: 100 * time.Millisecond,
		BaseDatasets: s.bases, Subnets: []string{"subnet-00000001"}, SecurityGroups: []string{"sg-00000001"},
	}
}

func (s *suite) deps() training.Deps {
	return training.Deps{
		SageMaker: sagemaker.NewFromConfig(cloud), Logs: cloudwatchlogs.NewFromConfig(cloud), S3: awscfg.S3(cloud),
		Presigner: awscfg.NewPresigner(cloud, ""), SQS: sqs.NewFromConfig(cloud), Region: cloud.Region,
		Preflight: func(context.Context, string) (*preflight.Clients, error) {
			return &preflight.Clients{S3: awscfg.S3(cloud)}, nil
		},
		Ingest: s.peers.Service, Notification: s.peers.Service, Log: zaptest.NewLogger(s.t, zaptest.Level(zapcore.ErrorLevel)),
	}
}

// start runs a training service until stop is called or the test ends. By default it finds changes by events alone.
func (s *suite) start(change func(*training.Config, *training.Deps)) *service {
	s.t.Helper()
	return s.serve(change, func(u boot.Unit) boot.Unit { return u })
}

// startIdle runs a training service that answers calls and does no work: what one that was killed left.
func (s *suite) startIdle() *service {
	s.t.Helper()
	return s.serve(nil, func(u boot.Unit) boot.Unit { return idle{u} })
}

type idle struct{ boot.Unit }

func (idle) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

func (s *suite) serve(change func(*training.Config, *training.Deps), wrap func(boot.Unit) boot.Unit) *service {
	s.t.Helper()
	cfg, deps := config(s), s.deps()
	if change != nil {
		change(&cfg, &deps)
	}
	unit, err := training.New(s.t.Context(), cfg, deps)
	if err != nil {
		s.t.Fatal(err)
	}
	server := testkit.NewServer(s.t)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- server.Run(ctx, wrap(unit)) }()
	started := &service{suite: s, server: server, conn: server.User(s.project)}
	started.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			s.t.Errorf("training: %v", err)
		}
	})
	s.t.Cleanup(started.stop)
	return started
}

func (s *service) jobs() trainingv1.TrainingServiceClient {
	return trainingv1.NewTrainingServiceClient(s.conn)
}

func (s *service) models() trainingv1.ModelServiceClient {
	return trainingv1.NewModelServiceClient(s.conn)
}

func request(seed float64) *trainingv1.TrainingJob {
	return &trainingv1.TrainingJob{
		Recipe: "recipes/image-classification", DatasetVersion: "datasets/digits/versions/1",
		Parameters: map[string]*structpb.Value{"seed": structpb.NewNumberValue(seed)},
	}
}

func (s *service) create(job *trainingv1.TrainingJob) *trainingv1.TrainingJob {
	s.t.Helper()
	res, err := s.jobs().CreateTrainingJob(s.t.Context(), &trainingv1.CreateTrainingJobRequest{TrainingJob: job})
	if err != nil {
		s.t.Fatal(err)
	}
	return res.GetTrainingJob()
}

func (s *service) get(name string) *trainingv1.TrainingJob {
	s.t.Helper()
	res, err := s.jobs().GetTrainingJob(s.t.Context(), &trainingv1.GetTrainingJobRequest{Name: name})
	if err != nil {
		s.t.Fatal(err)
	}
	return res.GetTrainingJob()
}

// wait waits for a state and gives the job.
func (s *service) wait(name string, want trainingv1.TrainingJob_State) *trainingv1.TrainingJob {
	s.t.Helper()
	var job *trainingv1.TrainingJob
	deadline := time.Now().Add(patience)
	for {
		job = s.get(name)
		switch {
		case job.GetState() == want:
			return job
		case job.GetState() > trainingv1.TrainingJob_STOPPING || time.Now().After(deadline):
			s.t.Fatalf("%s is %s (%s), want %s; failure: %v", name, job.GetState(), job.GetSecondaryStatus(), want, job.GetFailure())
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// datasets plays ingest as far as training asks it.
type datasets struct {
	ingestv1.UnimplementedIngestServiceServer
	project string

	mu       sync.Mutex
	versions map[string]*ingestv1.Version
	fails    error
}

func (d *datasets) put(v *ingestv1.Version) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.versions[v.GetName()] = v
	dataset, _, _ := strings.Cut(v.GetName(), "/versions/")
	d.versions[dataset+"/versions/latest"] = v
	if v.GetState() == ingestv1.Version_READY {
		d.versions[dataset+"/versions/latest-ready"] = v
	}
}

func (d *datasets) fail(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fails = err
}

func (d *datasets) GetVersion(ctx context.Context, req *ingestv1.GetVersionRequest) (*ingestv1.GetVersionResponse, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fails != nil {
		return nil, d.fails
	}
	caller := auth.FromContext(ctx)
	version := d.versions[req.GetName()]
	if version == nil || caller.Project != d.project || !caller.Service {
		return nil, apierror.NotFound(req.GetName())
	}
	return &ingestv1.GetVersionResponse{Version: version}, nil
}

func (d *datasets) Name() string                     { return "ingest" }
func (d *datasets) Register(r grpc.ServiceRegistrar) { ingestv1.RegisterIngestServiceServer(r, d) }
func (d *datasets) Run(ctx context.Context) error    { return idle{}.Run(ctx) }
func (d *datasets) Close() error                     { return nil }

// events plays notification: it keeps what is published, each id once.
type events struct {
	notificationv1.UnimplementedNotificationServiceServer

	mu   sync.Mutex
	seen map[string]bool
	log  []*notificationv1.ProjectEvent
}

func (e *events) PublishEvents(ctx context.Context, req *notificationv1.PublishEventsRequest) (*notificationv1.PublishEventsResponse, error) {
	if !auth.FromContext(ctx).Service {
		return nil, status.Error(codes.PermissionDenied, "not a service")
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, event := range req.GetEvents() {
		if !e.seen[event.GetEvent().GetId()] {
			e.seen[event.GetEvent().GetId()] = true
			e.log = append(e.log, event)
		}
	}
	return &notificationv1.PublishEventsResponse{}, nil
}

// of gives the events of a resource in their order.
func (e *events) of(resource string) []*notificationv1.ProjectEvent {
	e.mu.Lock()
	defer e.mu.Unlock()
	var found []*notificationv1.ProjectEvent
	for _, event := range e.log {
		if event.GetEvent().GetResource() == resource {
			found = append(found, event)
		}
	}
	return found
}

// states gives the states that a job's state events told, in their order.
func (e *events) states(job string) []string {
	var states []string
	for _, event := range e.of(job) {
		if event.GetEvent().GetType() == "trainingJob.state" {
			states = append(states, event.GetEvent().GetPayload().GetFields()["state"].GetStringValue())
		}
	}
	return states
}

func (e *events) Name() string { return "notification" }
func (e *events) Register(r grpc.ServiceRegistrar) {
	notificationv1.RegisterNotificationServiceServer(r, e)
}
func (e *events) Run(ctx context.Context) error { return idle{}.Run(ctx) }
func (e *events) Close() error                  { return nil }
