package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/alecthomas/kong"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/trainyard/trainyard/services/converter"
	"github.com/trainyard/trainyard/services/gateway"
	"github.com/trainyard/trainyard/services/ingest"
	"github.com/trainyard/trainyard/services/internal/auth"
	"github.com/trainyard/trainyard/services/internal/awscfg"
	"github.com/trainyard/trainyard/services/internal/boot"
	"github.com/trainyard/trainyard/services/localcloud"
	localsagemaker "github.com/trainyard/trainyard/services/localcloud/sagemaker"
	"github.com/trainyard/trainyard/services/notification"
	"github.com/trainyard/trainyard/services/training"
	trainingpreflight "github.com/trainyard/trainyard/services/training/preflight"
	"go.uber.org/zap"
	"google.golang.org/grpc"
)

const (
	localProject = "local"
	trainerImage = "trainyard-trainer"
	// localFileSystem is an EFS file system that every local suite has, in DIR/efs.
	localFileSystem = "fs-00000001"
)

type upCommand struct {
	LogLevel     string            `help:"debug, info, warn or error." enum:"debug,info,warn,error" default:"warn"`
	LogFormat    string            `help:"json or text." enum:"json,text" default:"text"`
	Data         string            `help:"Folder for everything the suite keeps; made if it isn't there." type:"path" default:"${data}"`
	HTTP         string            `name:"http" help:"Address of the page and the REST API." default:"127.0.0.1:8080"`
	GRPC         string            `name:"grpc" help:"Address of the gRPC API." default:"127.0.0.1:9090"`
	AWS          string            `name:"aws" help:"Address of the local S3, SQS and SageMaker." default:"127.0.0.1:4566"`
	Admin        string            `help:"Address for /metrics, /healthz and /readyz; empty means none."`
	Store        string            `help:"PostgreSQL address for all services; by default each has a SQLite file in the data folder."`
	BaseDatasets string            `help:"List of base datasets (JSON or YAML); by default base-datasets.yaml in the data folder, where there is one." type:"path"`
	FileSystem   map[string]string `help:"More file systems for training: fs-ID=EFS:FOLDER or fs-ID=FSxLustre:FOLDER. fs-00000001 is EFS in the data folder's efs." mapsep:"none"`
	Image        map[string]string `help:"More images that jobs may bring, each with the command that is run as it: NAME=COMMAND." mapsep:"none"`
	Prices       string            `help:"YAML file of prices and throughputs; by default prices.yaml in the data folder, which is made." type:"path"`
	Quotas       string            `help:"YAML file of the projects' quotas." type:"path"`
	Capabilities string            `help:"YAML file that says what works in which region." type:"path"`
	Trainer      string            `help:"Command that is run as the training image; by default the repository's trainer in its .venv."`
	JSON         bool              `help:"Say the addresses as a JSON object." env:"-"`
	Config       kong.ConfigFlag   `help:"JSON file whose keys are these flags' names."`
}

// Help is shown by `trainyard up --help`.
func (c *upCommand) Help() string {
	return `Everything is kept in the data folder and is there again after a restart. The page signs you in by itself; the
commands of the same user find the suite and its token by themselves. Others use TRAINYARD_URL and TRAINYARD_TOKEN,
the token being in the data folder's file 'token'.`
}

// Run runs the suite until Ctrl-C.
func (c *upCommand) Run(ctx context.Context) error {
	begin := time.Now()
	log, err := boot.NewLogger(boot.LogConfig{LogLevel: c.LogLevel, LogFormat: c.LogFormat})
	if err != nil {
		return err
	}
	flush, err := boot.Tracing(ctx)
	if err != nil {
		return err
	}
	defer flush()
	before, _ := readLocal() // An error means that there was none.
	err = c.run(ctx, log, func(e endpoints) {
		if err := writeLocal(local{URL: e.HTTP, Token: e.Token, Data: c.Data, PID: os.Getpid()}); err != nil {
			log.Warn("the command line won't find this suite by itself", zap.Error(err))
		}
		seconds := time.Since(begin).Seconds()
		if c.JSON {
			newOutput(true).line(map[string]any{"http": e.HTTP, "grpc": e.GRPC, "aws": e.AWS, "data": c.Data, "seconds": seconds})
			return
		}
		fmt.Printf("trainyard ready: http=%s grpc=%s aws=%s data=%s in %.1fs\n", e.HTTP, e.GRPC, e.AWS, c.Data, seconds)
	})
	return errors.Join(err, forgetLocal(before))
}

// endpoints are where a running suite is found.
type endpoints struct {
	HTTP, GRPC, AWS string
	Token           string // Of the local user.
}

// run runs localcloud, and on it the five services on one gRPC server, as each would run alone. It calls ready once.
func (c *upCommand) run(ctx context.Context, log *zap.Logger, ready func(endpoints)) error {
	if err := os.MkdirAll(filepath.Join(c.Data, "efs"), 0o700); err != nil {
		return err
	}
	tokens, err := openLocalTokens(c.Data)
	if err != nil {
		return err
	}
	cloud, err := c.localcloud(ctx, log)
	if err != nil {
		return err
	}
	// localcloud ends last, so that services can give their work back to it.
	cloudCtx, stopCloud := context.WithCancel(context.WithoutCancel(ctx))
	ctx, cancel := context.WithCancelCause(ctx)
	cloudEnded := make(chan error, 1)
	go func() {
		err := cloud.Run(cloudCtx)
		cancel(err)
		cloudEnded <- errors.Join(err, cloud.Close())
	}()
	err = c.serve(ctx, cloud, tokens, log, ready)
	stopCloud()
	return errors.Join(err, <-cloudEnded)
}

func (c *upCommand) localcloud(ctx context.Context, log *zap.Logger) (*localcloud.Unit, error) {
	program, err := trainerProgram(c.Trainer)
	switch {
	case err != nil && c.Trainer != "":
		return nil, err
	case err != nil:
		log.Warn("training jobs will fail", zap.Error(err))
	}
	cfg := localcloud.Config{DataDir: filepath.Join(c.Data, "localcloud"), Addr: c.AWS}
	cfg.SageMaker.Images = map[string]localsagemaker.Program{}
	if err == nil {
		cfg.SageMaker.Images[trainerImage] = program
	}
	for name, command := range c.Image {
		argv := strings.Fields(command)
		if len(argv) == 0 {
			return nil, fmt.Errorf("--image %s=: name the command that is run as the image", name)
		}
		cfg.SageMaker.Images[name] = localsagemaker.Program{Argv: argv}
	}
	cfg.SageMaker.FileSystems = map[string]localsagemaker.FileSystem{localFileSystem: {Type: "EFS", Dir: filepath.Join(c.Data, "efs")}}
	for id, value := range c.FileSystem {
		kind, dir, ok := strings.Cut(value, ":")
		if !ok {
			return nil, fmt.Errorf("--file-system %s=%s: write fs-ID=EFS:FOLDER or fs-ID=FSxLustre:FOLDER", id, value)
		}
		cfg.SageMaker.FileSystems[id] = localsagemaker.FileSystem{Type: kind, Dir: dir}
	}
	return localcloud.New(ctx, cfg, localcloud.Deps{Logger: log})
}

// serve runs the services on localcloud.
func (c *upCommand) serve(ctx context.Context, cloud *localcloud.Unit, tokens localTokens, log *zap.Logger, ready func(endpoints)) error {
	process, err := boot.NewProcess(boot.ServerConfig{
		GRPC: c.GRPC, Admin: c.Admin, AuthTokens: tokens.file, Reflection: true, ShutdownTimeout: 2 * time.Second,
	}, log)
	if err != nil {
		return err
	}
	front, err := c.gateway(ctx, cloud, process, tokens, log)
	if err != nil {
		return errors.Join(err, process.Close())
	}
	page := "http://" + front.Addr()
	units, err := c.units(ctx, cloud, process, page, tokens, log)
	units = append(units, front)
	if err != nil {
		for _, u := range units {
			err = errors.Join(err, u.Close())
		}
		return errors.Join(err, process.Close())
	}
	go func() {
		if waitReady(ctx, page) {
			ready(endpoints{HTTP: page, GRPC: process.Addr(), AWS: cloud.Endpoint(), Token: tokens.user})
		}
	}()
	return process.Run(ctx, units...)
}

func (c *upCommand) gateway(ctx context.Context, cloud *localcloud.Unit, process *boot.Process, tokens localTokens, log *zap.Logger) (*gateway.Unit, error) {
	plain, err := boot.DialPlain(process.Addr())
	if err != nil {
		return nil, err
	}
	return gateway.New(ctx, gateway.Config{HTTP: c.HTTP, S3Origins: []string{cloud.Endpoint()}, LocalToken: tokens.user}, gateway.Deps{
		Ingest: plain, Converter: plain, Training: plain, Notification: plain, Log: log.Named("gateway"),
	})
}

// units makes the services once localcloud answers. What was made before an error is given back to be closed.
func (c *upCommand) units(ctx context.Context, cloud *localcloud.Unit, process *boot.Process, page string, tokens localTokens, log *zap.Logger) ([]boot.Unit, error) {
	select {
	case <-cloud.Ready():
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	cfg, err := cloud.AWS(ctx)
	if err != nil {
		return nil, err
	}
	made, err := localcloud.Provision(ctx, cfg, []string{page, strings.Replace(page, "127.0.0.1", "localhost", 1)})
	if err != nil {
		return nil, err
	}
	service, err := boot.Dial(process.Addr(), tokens.service)
	if err != nil {
		return nil, err
	}
	var units []boot.Unit
	for _, build := range []func() (boot.Unit, error){
		func() (boot.Unit, error) {
			return notification.New(ctx, notification.Config{Store: c.store("notification")}, notification.Deps{Log: log.Named("notification"), Metrics: process.Metrics()})
		},
		func() (boot.Unit, error) { return c.ingest(ctx, cfg, made, service, log) },
		func() (boot.Unit, error) { return c.converter(ctx, cfg, made, service, log) },
		func() (boot.Unit, error) { return c.training(ctx, cfg, made, service, log) },
	} {
		u, err := build()
		if err != nil {
			return units, err
		}
		units = append(units, u)
	}
	return units, nil
}

func (c *upCommand) store(service string) string {
	if c.Store != "" {
		return c.Store
	}
	return "sqlite:" + filepath.Join(c.Data, service+".db")
}

func (c *upCommand) ingest(ctx context.Context, cfg aws.Config, made localcloud.Resources, service grpc.ClientConnInterface, log *zap.Logger) (boot.Unit, error) {
	return ingest.New(ctx, ingest.Config{
		Store: c.store("ingest"), Bucket: made.Bucket, UploadsQueue: made.UploadsQueueURL,
		ReconcileEvery: 3 * time.Second, ResendAfter: 15 * time.Second, LeaseDuration: 15 * time.Second,
	}, ingest.Deps{
		S3: awscfg.S3(cfg), Presigner: awscfg.NewPresigner(cfg, ""), SQS: sqs.NewFromConfig(cfg), Region: cfg.Region,
		Notification: service, Log: log.Named("ingest"),
	})
}

func (c *upCommand) converter(ctx context.Context, cfg aws.Config, made localcloud.Resources, service grpc.ClientConnInterface, log *zap.Logger) (boot.Unit, error) {
	return converter.New(ctx, converter.Config{
		Store: c.store("converter"), Bucket: made.Bucket, UploadsQueue: made.UploadsQueueURL, TasksQueue: made.TasksQueueURL,
		Scratch: filepath.Join(c.Data, "scratch"), Visibility: 12 * time.Second, LeaseEvery: 4 * time.Second, MaxAttempts: 5,
	}, converter.Deps{
		S3: awscfg.S3(cfg), Presigner: awscfg.NewPresigner(cfg, ""), DownloadPresigner: awscfg.NewPresigner(cfg, ""),
		SQS: sqs.NewFromConfig(cfg), Ingest: service, Log: log.Named("converter"),
	})
}

func (c *upCommand) training(ctx context.Context, cfg aws.Config, made localcloud.Resources, service grpc.ClientConnInterface, log *zap.Logger) (boot.Unit, error) {
	bases := c.BaseDatasets
	if bases == "" {
		if path := filepath.Join(c.Data, "base-datasets.yaml"); exists(path) {
			bases = path
		}
	}
	prices, err := c.prices()
	if err != nil {
		return nil, err
	}
	images := append([]string{trainerImage}, slices.Sorted(maps.Keys(c.Image))...)
	return training.New(ctx, training.Config{
		Store: c.store("training"), Bucket: made.Bucket, Image: trainerImage, EventsQueue: made.TrainingEventsQueueURL, BaseDatasets: bases,
		RoleARN: "arn:aws:iam::" + localcloud.AccountID + ":role/trainyard-training",
		Subnets: []string{"subnet-00000001"}, SecurityGroups: []string{"sg-00000001"},
		PollEvery: 2 * time.Second, LogEvery: time.Second,
		AllowedImages: images, PublishRoots: []string{localFileSystem + ":/"}, Prices: prices, Quotas: c.Quotas, Capabilities: c.Capabilities,
		UploadsQueueARN: "arn:aws:sqs:" + cfg.Region + ":" + localcloud.AccountID + ":" + localcloud.UploadsQueue,
	}, training.Deps{
		SageMaker: sagemaker.NewFromConfig(cfg), Logs: cloudwatchlogs.NewFromConfig(cfg), S3: awscfg.S3(cfg), Presigner: awscfg.NewPresigner(cfg, ""),
		SQS: sqs.NewFromConfig(cfg), Ingest: service, Notification: service, Region: cfg.Region, Log: log.Named("training"),
		Preflight: func(context.Context, string) (*trainingpreflight.Clients, error) {
			return &trainingpreflight.Clients{S3: awscfg.S3(cfg)}, nil
		},
	})
}

// localPrices are what is known of jobs on a laptop, so that the first estimates are not those of AWS.
const localPrices = `# Prices and times of estimates; see the comment of services/training/price. Money is what AWS would ask.
times:
  queue_seconds: 1
  spot_queue_seconds: 1
  file_mb_per_second: 400
  file_seconds_per_object: 0.001
  fast_file_start_seconds: 0.1
  fast_file_mb_per_second: 400
  fast_file_seconds_per_object: 0.001
  pipe_start_seconds: 0.1
  efs_start_seconds: 0.1
  efs_mb_per_second: 400
  fsx_lustre_start_seconds: 0.1
  upload_start_seconds: 0.1
  upload_mb_per_second: 400
`

// prices is the file of prices: the one that was named, or one in the data folder, which is made if it isn't there.
func (c *upCommand) prices() (string, error) {
	if c.Prices != "" {
		return c.Prices, nil
	}
	path := filepath.Join(c.Data, "prices.yaml")
	if exists(path) {
		return path, nil
	}
	return path, os.WriteFile(path, []byte(localPrices), 0o600)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// trainerProgram finds what runs as the training image: the repository's trainer beside this binary, in the environment that
// scripts/install-python.sh makes.
func trainerProgram(command string) (localsagemaker.Program, error) {
	if argv := strings.Fields(command); len(argv) > 0 {
		if _, err := exec.LookPath(argv[0]); err != nil {
			return localsagemaker.Program{}, fmt.Errorf("--trainer: %w", err)
		}
		return localsagemaker.Program{Argv: argv}, nil
	}
	binary, err := os.Executable()
	if err != nil {
		return localsagemaker.Program{}, err
	}
	if binary, err = filepath.EvalSymlinks(binary); err != nil {
		return localsagemaker.Program{}, err
	}
	root := filepath.Dir(filepath.Dir(binary))
	python, source := filepath.Join(root, ".venv", "bin", "python"), filepath.Join(root, "services", "trainer")
	if !exists(python) || !exists(source) {
		return localsagemaker.Program{}, fmt.Errorf("no trainer at %s; run scripts/install-python.sh, or name one with --trainer", source)
	}
	return localsagemaker.Program{
		Argv: []string{python, "-m", "trainyard_trainer", "train"},
		Env:  map[string]string{"PYTHONPATH": source, "PYTHONDONTWRITEBYTECODE": "1"},
	}, nil
}

// localTokens are a local suite's tokens. The user's and the service's stand in files that only their owner reads; the token file has
// their digests.
type localTokens struct {
	file          string
	user, service string
}

func openLocalTokens(data string) (localTokens, error) {
	t := localTokens{file: filepath.Join(data, "tokens.json")}
	var err error
	if t.user, err = localToken(t.file, filepath.Join(data, "token"), "user", localProject, false); err != nil {
		return t, err
	}
	t.service, err = localToken(t.file, filepath.Join(data, "service-token"), "service", "", true)
	return t, err
}

func localToken(file, path, name, project string, service bool) (string, error) {
	data, err := os.ReadFile(path) //nolint:gosec // Our own file.
	if err == nil && exists(file) {
		return strings.TrimSpace(string(data)), nil
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", err
	}
	token, err := auth.AddToken(file, name, project, service)
	if err != nil {
		return "", err
	}
	return token, auth.WriteSecret(path, []byte(token+"\n"))
}

func waitReady(ctx context.Context, page string) bool {
	for ctx.Err() == nil {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, page+"/readyz", nil)
		if err != nil {
			return false
		}
		res, err := http.DefaultClient.Do(req)
		if err == nil {
			_ = res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return true
			}
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
		}
	}
	return false
}
