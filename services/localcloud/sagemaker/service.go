// Package sagemaker is localcloud's SageMaker: training jobs over AWS's JSON protocol, each run as a local process under
// SageMaker's training container contract. The AWS CLI, boto3 and the SDKs work against it unchanged.
//
// What holds:
//   - A job moves through SageMaker's own statuses, with their transitions and times, and each change is sent as an
//     EventBridge event, at least once and in order.
//   - What was acknowledged survives kill -9. A job in progress starts again from its inputs with its checkpoint folder
//     intact (secondary status Restarting); an interrupted upload is done again. No process of the dead run lives on.
//   - The process sees the inputs, its own folder and the environment the contract names, nothing of ours.
//
// Each instance of a job is a process with a base directory of its own. What they leave in /opt/ml/model is merged; of files
// of one name algo-1's is taken. One that fails ends the others and the job.
//
// Where it differs from AWS, it refuses rather than pretends: no AlgorithmName, no instance groups, no augmented manifests,
// no RecordIO. FastFile channels are downloaded like File ones, file systems are folders linked into the channel, so `ro` is
// not enforced, and a process isn't confined to its folder: run only programs you would run by hand.
package sagemaker

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/trainyard/trainyard/services/localcloud/awsjson"
	"github.com/trainyard/trainyard/services/localcloud/fault"
	"github.com/trainyard/trainyard/services/localcloud/logs"
)

// LogGroup is the log group of every training job; streams are named `<job>/algo-<n>-<epoch seconds>`.
const LogGroup = "/aws/sagemaker/TrainingJobs"

// Program is what a training image stands for on this machine.
type Program struct {
	// Argv is the whole command, as the image's entrypoint with `train` would run.
	Argv []string
	// Env is added to the process's environment; the job's own Environment overrides it.
	Env map[string]string
}

// FileSystem is a folder that stands for an EFS or FSx for Lustre file system.
type FileSystem struct {
	// Type is EFS or FSxLustre.
	Type string
	// Dir is the folder of the file system's root, an absolute path.
	Dir string
	// MountName is Lustre's, the first element of every DirectoryPath; `fsx` if empty.
	MountName string
}

// Config is the service's configuration; only Dir has no usable zero value.
type Config struct {
	// Dir holds the database and one folder for each job in progress. The caller sees to it that one process at a time
	// uses it: a second one would take the first one's programs for orphans and kill them.
	Dir string
	// Region and Account go into ARNs and events; the defaults are us-east-1 and 000000000000.
	Region  string
	Account string
	// Images maps a TrainingImage, or a prefix of it (the longest wins), to a program. A job with any other image fails
	// as if the image couldn't be pulled.
	Images map[string]Program
	// FileSystems maps file system ids (fs-…) to folders.
	FileSystems map[string]FileSystem
	// LustreUnsupported refuses FSx for Lustre with the text of the regions that don't have it for SageMaker.
	LustreUnsupported bool
	// EventQueues are the queues that state change events are sent to, in Deps.Events' terms.
	EventQueues []string
	// MaxConcurrentJobs is how many jobs run at once, others being Pending; 2 if zero.
	MaxConcurrentJobs int
	// MaxInstances is how many instances, which are processes here, one job can have; 4 if zero.
	MaxInstances int
	// SpotDiscount is the share of the price that managed spot training saves, from 0 to below 1; 0.7 if zero.
	SpotDiscount float64
	// StopGrace is the time between SIGTERM and SIGKILL of a job that is stopped or ran too long; 120 s if zero.
	StopGrace time.Duration
	// CloseGrace is the same when the service ends and the job is to be resumed later; 2 s if zero.
	CloseGrace time.Duration
	// CheckpointInterval is the time between two syncs of the checkpoint folder; 5 s if zero.
	CheckpointInterval time.Duration
	// Faults, if set, are what operations fail with. How a job itself can be made to fail is in README.md.
	Faults *fault.Injector `json:"-"`
}

func (c *Config) complete() error {
	if c.Dir == "" {
		return errors.New("sagemaker: Config.Dir is empty: name a folder for the jobs")
	}
	dir, err := filepath.Abs(c.Dir)
	if err != nil {
		return err
	}
	c.Dir = dir
	for id, fs := range c.FileSystems {
		if fs.Type != "EFS" && fs.Type != "FSxLustre" {
			return fmt.Errorf("sagemaker: file system %s has type %q: it must be EFS or FSxLustre", id, fs.Type)
		}
		if !filepath.IsAbs(fs.Dir) {
			return fmt.Errorf("sagemaker: the folder %q of file system %s must be an absolute path", fs.Dir, id)
		}
		if !fileSystemID.MatchString(id) {
			return fmt.Errorf("sagemaker: file system id %q must look like fs-0123456789abcdef0 (fs- and 8 to 17 hex digits)", id)
		}
	}
	for image, p := range c.Images {
		if len(p.Argv) == 0 {
			return fmt.Errorf("sagemaker: image %s has no program: its Argv is empty", image)
		}
	}
	setDefault(&c.Region, "us-east-1")
	setDefault(&c.Account, "000000000000")
	if c.SpotDiscount < 0 || c.SpotDiscount >= 1 {
		return fmt.Errorf("sagemaker: SpotDiscount is %g: it must be from 0 to below 1, such as 0.7", c.SpotDiscount)
	}
	setDefault(&c.MaxConcurrentJobs, 2)
	setDefault(&c.MaxInstances, 4)
	setDefault(&c.SpotDiscount, 0.7)
	setDefault(&c.StopGrace, 120*time.Second)
	setDefault(&c.CloseGrace, 2*time.Second)
	setDefault(&c.CheckpointInterval, 5*time.Second)
	return nil
}

func setDefault[T comparable](p *T, v T) {
	var zero T
	if *p == zero {
		*p = v
	}
}

// LogWriter takes the lines of a job's log. *logs.Service is one.
type LogWriter interface {
	Append(ctx context.Context, group, stream string, events []logs.Event) error
}

// EventSender sends one message to a queue, named as in Config.EventQueues. It returns once the message is durable; a
// message may be sent twice.
type EventSender interface {
	Send(ctx context.Context, queue, body string) error
}

// Deps are what the service uses. Logger may be nil, and Events if there are no EventQueues.
type Deps struct {
	S3     S3
	Logs   LogWriter
	Events EventSender
	Logger *zap.Logger
}

// Service is an http.Handler of the target prefix `SageMaker.`. Jobs run while Run does.
type Service struct {
	*awsjson.Handler
	cfg    Config
	deps   Deps
	log    *zap.Logger
	store  *store
	wake   chan struct{} // a job may be ready to start
	events chan struct{} // an event may be ready to send

	// mu orders starting a job against stopping it: whoever comes second sees what the first did.
	mu      sync.Mutex
	running map[string]*run
}

// New opens the service's folder and database. It starts nothing; Run does. Close it after Run has returned.
func New(ctx context.Context, cfg Config, deps Deps) (*Service, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	if len(cfg.EventQueues) > 0 && deps.Events == nil {
		return nil, errors.New("sagemaker: Config.EventQueues needs Deps.Events")
	}
	if deps.Logger == nil {
		deps.Logger = zap.NewNop()
	}
	if err := os.MkdirAll(filepath.Join(cfg.Dir, "jobs"), 0o750); err != nil {
		return nil, err
	}
	st, err := openStore(ctx, filepath.Join(cfg.Dir, "sagemaker.db"))
	if err != nil {
		return nil, err
	}
	s := &Service{
		cfg: cfg, deps: deps, log: deps.Logger.Named("sagemaker"), store: st,
		wake: make(chan struct{}, 1), events: make(chan struct{}, 1), running: map[string]*run{},
	}
	st.newEvent = s.envelope
	s.Handler = &awsjson.Handler{Prefix: "SageMaker", Logger: s.log, Intercept: cfg.Faults.Intercept, Operations: map[string]awsjson.Operation{
		"CreateTrainingJob":   s.createTrainingJob,
		"DescribeTrainingJob": awsjson.Op(s.describeTrainingJob),
		"StopTrainingJob":     awsjson.Op(s.stopTrainingJob),
		"ListTrainingJobs":    awsjson.Op(s.listTrainingJobs),
		"DeleteTrainingJob":   awsjson.Op(s.deleteTrainingJob),
		"AddTags":             awsjson.Op(s.addTags),
		"ListTags":            awsjson.Op(s.listTags),
	}}
	return s, nil
}

// Close closes the database. Call it when Run has returned.
func (s *Service) Close() error { return s.store.db.Close() }

func (s *Service) jobARN(name string) string {
	partition := "aws"
	if strings.HasPrefix(s.cfg.Region, "cn-") {
		partition = "aws-cn"
	}
	return "arn:" + partition + ":sagemaker:" + s.cfg.Region + ":" + s.cfg.Account + ":training-job/" + name
}

// program finds the program of an image: by its whole name, else by the longest prefix.
func (s *Service) program(image string) (Program, bool) {
	best := ""
	for prefix := range maps.Keys(s.cfg.Images) {
		if strings.HasPrefix(image, prefix) && len(prefix) >= len(best) {
			best = prefix
		}
	}
	p, ok := s.cfg.Images[best]
	return p, ok
}

// signal wakes the reader of c; one pending wake-up is enough.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
