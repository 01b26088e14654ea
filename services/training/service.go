// Package training is the service that trains models: it turns a recipe, a pinned dataset version, base datasets and
// parameters into a SageMaker training job, follows it to its end, and keeps its metrics and its model.
//
// What it promises: one request starts one job at SageMaker, whatever crashes in between; a job's state only moves forward;
// each change is written together with its event. Any number of replicas may run on one database.
//
// IAM actions it needs (resources in brackets; the partition is the region's):
//   - sagemaker:CreateTrainingJob, DescribeTrainingJob, StopTrainingJob, AddTags, ListTags [training-job/trainyard-*]
//   - iam:PassRole [the execution role], with the condition iam:PassedToService sagemaker.amazonaws.com
//   - logs:DescribeLogStreams, logs:GetLogEvents [log group /aws/sagemaker/TrainingJobs]
//   - s3:GetObject [models/* of the bucket], and s3:ListBucket with the prefix models/: without it S3 answers 403 where a
//     job left no model, which can't be told from a missing permission
//   - s3:GetObject [datasets/*/features.json of the bucket; manifest.json of base datasets on S3]
//   - what preflight reads, listed in preflight/README.md; what is missing makes its checks skipped and no more
//   - sqs:ReceiveMessage, sqs:DeleteMessage [the events queue], if there is one
package training

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	ingestv1 "github.com/trainyard/trainyard/gen/trainyard/ingest/v1"
	notificationv1 "github.com/trainyard/trainyard/gen/trainyard/notification/v1"
	trainingv1 "github.com/trainyard/trainyard/gen/trainyard/training/v1"
	"github.com/trainyard/trainyard/services/internal/boot"
	"github.com/trainyard/trainyard/services/internal/outbox"
	"github.com/trainyard/trainyard/services/internal/queue"
	"github.com/trainyard/trainyard/services/internal/store"
	"github.com/trainyard/trainyard/services/training/grpcapi"
	"github.com/trainyard/trainyard/services/training/internal/basedataset"
	"github.com/trainyard/trainyard/services/training/internal/job"
	"github.com/trainyard/trainyard/services/training/internal/joblog"
	"github.com/trainyard/trainyard/services/training/internal/launch"
	"github.com/trainyard/trainyard/services/training/internal/quota"
	"github.com/trainyard/trainyard/services/training/internal/runner"
	"github.com/trainyard/trainyard/services/training/internal/sweep"
	"github.com/trainyard/trainyard/services/training/migrations"
	"github.com/trainyard/trainyard/services/training/preflight"
	"github.com/trainyard/trainyard/services/training/price"
	"github.com/trainyard/trainyard/services/training/recipe"
	"github.com/trainyard/trainyard/services/training/region"
	"github.com/trainyard/trainyard/services/training/spec"
)

// Config is the service's configuration.
type Config struct {
	Store            string        `help:"Database: sqlite:PATH or postgres://…." default:"sqlite:training.db"`
	Bucket           string        `help:"Bucket of the converted datasets and of the models." required:""`
	RoleARN          string        `name:"role-arn" help:"Execution role of the jobs." required:""`
	Image            string        `help:"Training image: its URI in ECR." required:""`
	AllowedImages    []string      `help:"Beginnings of the images that users may bring, such as 123456789012.dkr.ecr.us-east-1.amazonaws.com/; by default the training image's registry and AWS's Deep Learning Containers."`
	EventsQueue      string        `help:"URL of the SQS queue that EventBridge sends SageMaker's training job state changes to; empty means polling only."`
	PollEvery        time.Duration `help:"Time between two looks at a job's status without an event; 0 means 30s." default:"30s"`
	LogEvery         time.Duration `help:"Time between two looks at a running job's log; 0 means 10s." default:"10s"`
	BaseDatasets     string        `help:"JSON or YAML file that lists the base datasets." type:"path"`
	PublishRoots     []string      `help:"Directories of file systems that projects may publish base datasets to, such as fs-0123456789abcdef0:/bases, or fs-0123456789abcdef0:MOUNTNAME:/bases of FSx for Lustre."`
	Subnets          []string      `help:"Subnets of jobs that run in the VPC."`
	SecurityGroups   []string      `help:"Security groups of jobs that run in the VPC."`
	InstanceType     string        `help:"Instance type of jobs that name none; empty means the recipe's."`
	MaxRuntime       time.Duration `help:"Longest run of jobs that name none; 0 means 24h." default:"24h"`
	VolumeKMSKey     string        `name:"volume-kms-key" help:"Key of KMS for the disks of jobs that name none."`
	OutputKMSKey     string        `name:"output-kms-key" help:"Key of KMS for the models of jobs that name none."`
	Capabilities     string        `help:"YAML file that says what works in which region, over what is built in." type:"path"`
	Prices           string        `help:"YAML file of prices and throughputs, over what is built in." type:"path"`
	Quotas           string        `help:"YAML file of the projects' quotas: concurrent jobs, instance hours and money a month." type:"path"`
	UploadsQueueARN  string        `name:"uploads-queue-arn" help:"ARN of the queue that gets the uploads' S3 events, for preflight."`
	Rates            runner.Rates  `embed:"" prefix:"rate-"`
	PreflightTimeout time.Duration `help:"How long preflight may take before a job; 0 means 20s." default:"20s"`
}

const (
	defaultPollEvery  = 30 * time.Second
	defaultLogEvery   = 10 * time.Second
	defaultMaxRuntime = 24 * time.Hour
	defaultPreflight  = 20 * time.Second
)

// Validate tells what is wrong with the configuration, and fills in what is zero.
func (c *Config) Validate() error {
	setDefault(&c.PollEvery, defaultPollEvery)
	setDefault(&c.LogEvery, defaultLogEvery)
	setDefault(&c.MaxRuntime, defaultMaxRuntime)
	setDefault(&c.PreflightTimeout, defaultPreflight)
	switch {
	case c.Store == "":
		return errors.New("training: no database: set --store to sqlite:PATH or postgres://…")
	case c.Bucket == "" || c.RoleARN == "" || c.Image == "":
		return errors.New("training: --bucket, --role-arn and --image are needed")
	case c.PollEvery < 0 || c.LogEvery < 0 || c.PreflightTimeout < 0:
		return errors.New("training: --poll-every, --log-every and --preflight-timeout must be positive")
	case c.MaxRuntime < time.Second || c.MaxRuntime > spec.MaxRuntimeSeconds*time.Second:
		return fmt.Errorf("training: --max-runtime %v must be from 1s to 28 days (672h)", c.MaxRuntime)
	}
	if c.InstanceType != "" {
		if err := spec.CheckInstanceType(c.InstanceType); err != nil {
			return fmt.Errorf("training: %w", err)
		}
	}
	return nil
}

func setDefault(d *time.Duration, value time.Duration) {
	if *d == 0 {
		*d = value
	}
}

// Deps are what the service uses. SQS may be nil when Config.EventsQueue is empty.
type Deps struct {
	SageMaker    runner.SageMaker
	Logs         joblog.Client
	S3           runner.S3
	Presigner    grpcapi.Presigner
	SQS          queue.Client
	Ingest       grpc.ClientConnInterface // With a service token.
	Notification grpc.ClientConnInterface // With a service token.
	// Region is where the jobs run: the clients' region.
	Region string
	// Preflight gives what preflight asks in a region, which may be another than Region. What an installation can't ask is nil.
	Preflight func(ctx context.Context, region string) (*preflight.Clients, error)
	Log       *zap.Logger
}

// New opens the database and makes the service.
func New(ctx context.Context, cfg Config, deps Deps) (boot.Unit, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	known, err := load(cfg, deps.Region)
	if err != nil {
		return nil, fmt.Errorf("training: %w", err)
	}
	db, err := store.Open(ctx, cfg.Store, "training", migrations.FS)
	if err != nil {
		return nil, fmt.Errorf("training: %w", err)
	}
	u := &unit{db: db, relay: outbox.NewRelay(db, notificationv1.NewNotificationServiceClient(deps.Notification), deps.Log)}
	jobs := job.NewStore(db, u.relay.Wake)
	jobs.Quotas = known.quotas
	recipes := recipe.All()
	u.runner, err = runner.New(
		runner.Config{EventsQueue: cfg.EventsQueue, PollEvery: cfg.PollEvery, LogEvery: cfg.LogEvery, Rates: cfg.Rates},
		runner.Deps{
			Jobs: jobs, SageMaker: deps.SageMaker, Logs: deps.Logs, S3: deps.S3, SQS: deps.SQS, Recipes: recipes, Log: deps.Log,
		})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("training: %w", err), db.Close())
	}
	launcher := &launch.Launcher{
		Config: launch.Config{
			Region: deps.Region, Image: cfg.Image, RoleARN: cfg.RoleARN, Bucket: cfg.Bucket, Registries: cfg.AllowedImages,
			Subnets: cfg.Subnets, SecurityGroups: cfg.SecurityGroups, InstanceType: cfg.InstanceType,
			MaxRuntimeSeconds: int32(cfg.MaxRuntime / time.Second), //nolint:gosec // At most 28 days.
			VolumeKMSKey:      cfg.VolumeKMSKey, OutputKMSKey: cfg.OutputKMSKey,
			UploadsQueueARN: cfg.UploadsQueueARN, PreflightTimeout: cfg.PreflightTimeout,
		},
		Jobs: jobs, Ingest: ingestv1.NewIngestServiceClient(deps.Ingest), S3: deps.S3, Recipes: recipes,
		Capabilities: known.capabilities, Prices: known.prices, Clients: deps.Preflight,
	}
	launcher.BaseDatasets = &basedataset.Catalog{
		Region: deps.Region, Operator: known.bases, Roots: known.roots, Versions: launcher, S3: deps.S3, DB: db,
	}
	sweeps := sweep.NewStore(db, u.relay.Wake)
	u.sweepRunner = sweep.NewRunner(sweep.Config{}, sweep.Deps{
		Sweeps: sweeps, Jobs: jobs, Creator: launcher, Status: grpcapi.Status, JobsChanged: u.runner.Wake, Log: deps.Log,
	})
	u.training = &grpcapi.Training{Launcher: launcher, Jobs: jobs, Logs: deps.Logs, Changed: u.runner.Wake}
	u.catalog = &grpcapi.Catalog{Launcher: launcher}
	u.models = &grpcapi.Models{Jobs: jobs, Presigner: deps.Presigner}
	u.sweeps = &grpcapi.Sweeps{Maker: &sweep.Maker{Store: sweeps, Recipes: recipes, Creator: launcher}, Changed: u.sweepRunner.Wake}
	return u, nil
}

// operators is what the operator's files say.
type operators struct {
	bases        basedataset.List
	roots        []basedataset.Root
	capabilities *region.Table
	prices       *price.Table
	quotas       quota.Config
}

func load(cfg Config, where string) (o operators, err error) {
	if o.bases, err = basedataset.Load(cfg.BaseDatasets, where); err != nil {
		return o, err
	}
	if o.roots, err = basedataset.ParseRoots(cfg.PublishRoots, where); err != nil {
		return o, err
	}
	if o.bases.NeedsVPC(where) || len(o.roots) > 0 {
		if err := spec.CheckVPC(cfg.Subnets, cfg.SecurityGroups); err != nil {
			return o, fmt.Errorf("base datasets lie on file systems: %w", err)
		}
	}
	if o.capabilities, err = region.Load(cfg.Capabilities); err != nil {
		return o, err
	}
	if o.prices, err = price.Load(cfg.Prices); err != nil {
		return o, err
	}
	o.quotas, err = quota.Load(cfg.Quotas)
	return o, err
}

type unit struct {
	db          *store.DB
	relay       *outbox.Relay
	runner      *runner.Runner
	sweepRunner *sweep.Runner
	training    *grpcapi.Training
	catalog     *grpcapi.Catalog
	models      *grpcapi.Models
	sweeps      *grpcapi.Sweeps
}

func (u *unit) Name() string { return "training" }

func (u *unit) Register(r grpc.ServiceRegistrar) {
	trainingv1.RegisterTrainingServiceServer(r, u.training)
	trainingv1.RegisterCatalogServiceServer(r, u.catalog)
	trainingv1.RegisterModelServiceServer(r, u.models)
	trainingv1.RegisterSweepServiceServer(r, u.sweeps)
}

func (u *unit) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return u.relay.Run(ctx) })
	group.Go(func() error { return u.runner.Run(ctx) })
	group.Go(func() error { return u.sweepRunner.Run(ctx) })
	return group.Wait()
}

func (u *unit) Close() error { return u.db.Close() }
