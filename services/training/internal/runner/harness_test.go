package runner_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"go.uber.org/zap"

	"github.com/trainyard/trainyard/services/internal/awscfg"
	"github.com/trainyard/trainyard/services/internal/store"
	"github.com/trainyard/trainyard/services/internal/testkit"
	"github.com/trainyard/trainyard/services/localcloud"
	"github.com/trainyard/trainyard/services/localcloud/fault"
	localsagemaker "github.com/trainyard/trainyard/services/localcloud/sagemaker"
	"github.com/trainyard/trainyard/services/training/internal/job"
	"github.com/trainyard/trainyard/services/training/internal/runner"
	"github.com/trainyard/trainyard/services/training/migrations"
	"github.com/trainyard/trainyard/services/training/recipe"
	"github.com/trainyard/trainyard/services/training/spec"
)

// SageMaker and CloudWatch Logs are localcloud's, one for all tests, for a process can hold no second.
var (
	cloud  aws.Config
	made   localcloud.Resources
	faults = new(fault.Injector)
)

const (
	image    = "trainer:1"
	patience = time.Minute
)

// program trains as long as TRAINS says, and saves a model.
const program = `#!/bin/sh
trap 'echo saving; echo model > "$SAGEMAKER_BASE_DIR/model/model"; exit 0' TERM
echo "epoch=2 step=7 loss=0.5"
for i in $(seq 1 ${TRAINS:-1}); do sleep 0.1; done
echo model > "$SAGEMAKER_BASE_DIR/model/model"
`

func TestMain(m *testing.M) { os.Exit(withCloud(m)) }

func withCloud(m *testing.M) int {
	dir, err := os.MkdirTemp("", "runner-test-")
	if err != nil {
		panic(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	path := filepath.Join(dir, "program.sh")
	if err := os.WriteFile(path, []byte(program), 0o600); err != nil {
		panic(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	unit, err := localcloud.New(ctx, localcloud.Config{
		DataDir: filepath.Join(dir, "cloud"), Addr: "127.0.0.1:0", Faults: faults,
		SageMaker: localsagemaker.Config{Images: map[string]localsagemaker.Program{image: {Argv: []string{"/bin/sh", path}}}, MaxConcurrentJobs: 8},
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
	code := m.Run()
	cancel()
	if err := errors.Join(<-done, unit.Close()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// world is a runner at work on a database of its own.
type world struct {
	t    *testing.T
	jobs *job.Store
}

// start runs a runner until the test ends. It polls, for all tests share the queue of events.
func start(t *testing.T, cfg runner.Config) *world {
	t.Helper()
	faults.Clear()
	t.Cleanup(faults.Clear)
	db, err := store.Open(t.Context(), testkit.SQLite(t), "training", migrations.FS)
	if err != nil {
		t.Fatal(err)
	}
	if cfg.PollEvery == 0 {
		cfg.PollEvery = 100 * time.Millisecond
	}
	cfg.LogEvery = 100 * time.Millisecond
	w := &world{t: t, jobs: job.NewStore(db, func() {})}
	r, err := runner.New(cfg, runner.Deps{
		Jobs: w.jobs, SageMaker: sagemaker.NewFromConfig(cloud), Logs: cloudwatchlogs.NewFromConfig(cloud), S3: awscfg.S3(cloud),
		SQS: sqs.NewFromConfig(cloud), Recipes: recipe.All(), Log: zap.NewNop(),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := errors.Join(<-done, db.Close()); err != nil {
			t.Error(err)
		}
	})
	return w
}

// insert stores a job whose program trains for tenths of a second.
func (w *world) insert(tenths int, change func(*job.Job, *sagemaker.CreateTrainingJobInput)) string {
	w.t.Helper()
	id := job.NewID(time.Now())
	const hash = "0123456789abcdef"
	j := &job.Job{
		ID: id, Project: "p", SageMakerName: spec.JobName(id), SpecHash: hash, HourlyPrice: 3.6, Currency: "USD",
		Resources: job.Resources{InstanceType: "ml.m5.xlarge", InstanceCount: 1, MaxRuntimeSeconds: 60},
		CustomImage: &job.CustomImage{
			Image: image, MetricDefinitions: []job.MetricDefinition{{Name: "loss", Regex: `loss=([0-9.]+)`}},
		},
	}
	input := &sagemaker.CreateTrainingJobInput{
		TrainingJobName:        aws.String(j.SageMakerName),
		RoleArn:                aws.String("arn:aws:iam::000000000000:role/training"),
		AlgorithmSpecification: &types.AlgorithmSpecification{TrainingImage: aws.String(image), TrainingInputMode: types.TrainingInputModeFile},
		Environment:            map[string]string{"TRAINS": fmt.Sprint(tenths)},
		OutputDataConfig:       &types.OutputDataConfig{S3OutputPath: aws.String("s3://" + made.Bucket + "/models/p/" + id)},
		ResourceConfig:         &types.ResourceConfig{InstanceType: "ml.m5.xlarge", InstanceCount: aws.Int32(1), VolumeSizeInGB: aws.Int32(30)},
		StoppingCondition:      &types.StoppingCondition{MaxRuntimeInSeconds: aws.Int32(60)},
		Tags:                   []types.Tag{{Key: aws.String(spec.TagHash), Value: aws.String(hash)}},
	}
	if change != nil {
		change(j, input)
	}
	var err error
	if j.Spec, err = json.Marshal(input); err != nil {
		w.t.Fatal(err)
	}
	if _, err := w.jobs.Insert(w.t.Context(), j); err != nil {
		w.t.Fatal(err)
	}
	return id
}

func (w *world) get(id string) *job.Job {
	w.t.Helper()
	j, err := w.jobs.Get(w.t.Context(), "p", id)
	if err != nil {
		w.t.Fatal(err)
	}
	return j
}

// wait waits for a state and gives the job.
func (w *world) wait(id string, want job.State) *job.Job {
	w.t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		j := w.get(id)
		switch {
		case j.State == want:
			return j
		case j.State.Ended() || time.Now().After(deadline):
			w.t.Fatalf("the job is %s (%s, notes %q), want %s; failure: %+v", j.State, j.SecondaryStatus, j.Notes, want, j.Failure)
		}
	}
}

// atSageMaker counts the jobs that SageMaker has under a job's name.
func (w *world) atSageMaker(id string) int {
	w.t.Helper()
	output, err := sagemaker.NewFromConfig(cloud).ListTrainingJobs(w.t.Context(), &sagemaker.ListTrainingJobsInput{NameContains: aws.String(id)})
	if err != nil {
		w.t.Fatal(err)
	}
	return len(output.TrainingJobSummaries)
}
