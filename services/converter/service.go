// Package converter turns uploaded archives into TFRecord datasets.
//
// It consumes the bucket's events (SQS), has a child process plan each upload, puts the plan's tasks on a second queue, has child
// processes do them, and publishes the dataset by putting its manifest last, with If-None-Match. Any number of replicas share the
// work: what is done twice is the same to the byte, and every state change of a version is fenced by ingest.
//
// IAM: sqs:ReceiveMessage, DeleteMessage, ChangeMessageVisibility on both queues, sqs:SendMessage on the task queue; s3:GetObject on
// `uploads/*`; s3:GetObject, PutObject, DeleteObject on `datasets/*`; s3:ListBucket with the prefixes `uploads/` and `datasets/`: without
// it S3 answers for a missing object with 403 as for a forbidden one.
package converter

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"time"

	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/feature/s3/transfermanager"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	converterv1 "github.com/trainyard/trainyard/gen/trainyard/converter/v1"
	ingestv1 "github.com/trainyard/trainyard/gen/trainyard/ingest/v1"
	"github.com/trainyard/trainyard/services/converter/archive"
	"github.com/trainyard/trainyard/services/converter/convert"
	"github.com/trainyard/trainyard/services/converter/grpcapi"
	"github.com/trainyard/trainyard/services/converter/internal/tracker"
	"github.com/trainyard/trainyard/services/converter/worker"
	"github.com/trainyard/trainyard/services/internal/boot"
	"github.com/trainyard/trainyard/services/internal/queue"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
)

// Config says where the converter finds its work and how much of it is done at once.
type Config struct {
	Store        string        `help:"Database: sqlite:PATH or postgres://USER@HOST/NAME." required:""`
	Bucket       string        `help:"Bucket of uploads and converted datasets." required:""`
	UploadsQueue string        `help:"URL of the queue of the bucket's events." required:""`
	TasksQueue   string        `help:"URL of the queue of tasks." required:""`
	Scratch      string        `help:"Folder for shards on their way to S3. Emptied at start: it must be this process's own." required:"" type:"path"`
	Workers      int           `help:"Tasks at work at once; 0 means one a processor."`
	Visibility   time.Duration `help:"Time after which a killed worker's work is given to another." default:"30s"`
	LeaseEvery   time.Duration `help:"How often the lease of a conversion is renewed; below a third of ingest's lease." default:"8s"`
	Worker       string        `help:"Binary of the worker processes; by default this one." type:"path"`
	ShardBytes   int64         `help:"Size that shards are made for, in bytes." default:"134217728"`
	Limits       Limits        `embed:""`
	MaxAttempts  int           `help:"Tries after which a step whose worker crashes counts as failed. The queues' maxReceiveCount must be at least this." default:"5"`
}

// Limits bound what an upload may ask for, and what the worker processes that parse it may take. Zero values mean the defaults.
type Limits struct {
	MaxEntries       int           `help:"Entries of an archive, at most; 0 means 2,000,000. One takes about 100 bytes of a worker's memory."`
	MaxRecordBytes   int64         `help:"Bytes of a file that becomes one example, at most; 0 means 64 MiB."`
	MaxUnpackedBytes int64         `help:"Bytes of an upload when it is unpacked, at most; 0 means 16 TiB. Whatever it is, 100 times the upload and 256 MiB is the most."`
	WorkerMemory     uint64        `help:"Memory of a worker process in bytes (RLIMIT_DATA); 0 means 1 GiB."`
	WorkerCPU        time.Duration `help:"Processor time of a worker process; 0 means 4h."`
	WorkerFiles      uint64        `help:"Files that a worker process may have open; 0 means 512."`
	WorkerFileBytes  uint64        `help:"Bytes of a file that a worker process may write; 0 means 8 TiB."`
}

// archive are the limits of an upload.
func (l Limits) archive() archive.Limits {
	d := archive.DefaultLimits
	return archive.Limits{
		MaxEntries: cmp.Or(l.MaxEntries, d.MaxEntries), MaxRecordBytes: cmp.Or(l.MaxRecordBytes, d.MaxRecordBytes), MaxUnpacked: cmp.Or(l.MaxUnpackedBytes, d.MaxUnpacked),
	}
}

// worker are the limits of a worker process.
func (l Limits) worker() worker.Limits {
	d := worker.DefaultLimits
	return worker.Limits{
		MemoryBytes: cmp.Or(l.WorkerMemory, d.MemoryBytes), CPUSeconds: cmp.Or(uint64(l.WorkerCPU.Seconds()), d.CPUSeconds),
		OpenFiles: cmp.Or(l.WorkerFiles, d.OpenFiles), FileBytes: cmp.Or(l.WorkerFileBytes, d.FileBytes),
	}
}

// Validate tells what is wrong with the configuration, and fills in what is zero.
func (c *Config) Validate() error {
	if c.Workers == 0 {
		c.Workers = runtime.NumCPU()
	}
	if c.ShardBytes == 0 {
		c.ShardBytes = convert.DefaultShardBytes
	}
	if c.ShardBytes < convert.MinShardBytes || c.ShardBytes > convert.MaxShardBytes {
		return fmt.Errorf("converter: --shard-bytes %d: it can be %d to %d", c.ShardBytes, convert.MinShardBytes, int64(convert.MaxShardBytes))
	}
	if c.Visibility < 3*time.Second {
		return fmt.Errorf("converter: --visibility %v is too short; 3s is the least", c.Visibility)
	}
	if c.MaxAttempts < 1 || c.LeaseEvery <= 0 || c.Workers < 0 {
		return errors.New("converter: --max-attempts and --lease-every must be positive, --workers must not be negative")
	}
	if l := c.Limits; l.MaxEntries < 0 || l.MaxRecordBytes < 0 || l.MaxUnpackedBytes < 0 || l.WorkerCPU < 0 {
		return errors.New("converter: --max-entries, --max-record-bytes, --max-unpacked-bytes and --worker-cpu must not be negative")
	}
	return nil
}

// S3 is what the converter needs of S3; *s3.Client is one.
type S3 interface {
	transfermanager.S3APIClient
	DeleteObject(context.Context, *s3.DeleteObjectInput, ...func(*s3.Options)) (*s3.DeleteObjectOutput, error)
	DeleteObjects(context.Context, *s3.DeleteObjectsInput, ...func(*s3.Options)) (*s3.DeleteObjectsOutput, error)
}

// Presigner signs URLs; *awscfg.Presigner is one.
type Presigner interface {
	PresignGetObject(context.Context, *s3.GetObjectInput, ...func(*s3.PresignOptions)) (*v4.PresignedHTTPRequest, error)
	PresignPutObject(context.Context, *s3.PutObjectInput, ...func(*s3.PresignOptions)) (*v4.PresignedHTTPRequest, error)
}

// SQS is what the converter needs of SQS; *sqs.Client is one.
type SQS interface {
	queue.Client
	SendMessageBatch(context.Context, *sqs.SendMessageBatchInput, ...func(*sqs.Options)) (*sqs.SendMessageBatchOutput, error)
}

// Deps are what the converter works with. Wiring makes them.
type Deps struct {
	S3 S3
	// Presigner signs the URLs of child processes.
	Presigner Presigner
	// DownloadPresigner signs the URLs that users get, under the address they reach S3 by.
	DownloadPresigner Presigner
	SQS               SQS
	// Ingest is a connection to the ingest service that bears the service token.
	Ingest grpc.ClientConnInterface
	Log    *zap.Logger
}

type unit struct {
	cfg      Config
	deps     Deps
	log      *zap.Logger
	tracker  *tracker.Tracker
	versions ingestv1.ConversionServiceClient
	states   ingestv1.IngestServiceClient
	api      *grpcapi.Server
	reports  pace
	folders  folders
	readers  readers
}

// New opens the database, empties the scratch folder and makes the unit.
func New(ctx context.Context, cfg Config, deps Deps) (boot.Unit, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if err := errors.Join(os.RemoveAll(cfg.Scratch), os.MkdirAll(cfg.Scratch, 0o700)); err != nil {
		return nil, fmt.Errorf("converter: scratch folder: %w", err)
	}
	track, err := tracker.Open(ctx, cfg.Store)
	if err != nil {
		return nil, err
	}
	u := &unit{
		cfg: cfg, deps: deps, log: deps.Log, tracker: track, folders: folders{root: cfg.Scratch, users: map[string]int{}},
		versions: ingestv1.NewConversionServiceClient(deps.Ingest), states: ingestv1.NewIngestServiceClient(deps.Ingest),
	}
	u.api = &grpcapi.Server{
		Versions: u.states, S3: deps.S3, Presigner: deps.DownloadPresigner, Bucket: cfg.Bucket, ReadExamples: u.readExamples,
	}
	return u, nil
}

func (u *unit) Name() string { return "converter" }

func (u *unit) Register(r grpc.ServiceRegistrar) {
	converterv1.RegisterConverterServiceServer(r, u.api)
}

func (u *unit) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	uploads := &queue.Consumer{
		Client: u.deps.SQS, URL: u.cfg.UploadsQueue, Visibility: u.cfg.Visibility, Concurrency: u.cfg.Workers,
		Handle: u.handleUpload, Log: u.log.Named("uploads"),
	}
	tasks := &queue.Consumer{
		Client: u.deps.SQS, URL: u.cfg.TasksQueue, Visibility: u.cfg.Visibility, Concurrency: u.cfg.Workers,
		Handle: u.handleTask, Log: u.log.Named("tasks"),
	}
	group.Go(func() error { return uploads.Run(ctx) })
	group.Go(func() error { return tasks.Run(ctx) })
	group.Go(func() error { return u.keep(ctx) })
	return group.Wait()
}

func (u *unit) Close() error { return u.tracker.Close() }
