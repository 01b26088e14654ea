// Package ingest owns datasets, their versions, and the uploads that bring them.
//
// It promises: file bytes never pass through it; a version is one resource from the first byte to the converted dataset, and its
// state only moves forward; every change is written with its event in one transaction; and whatever is lost between
// two steps (a crash, an S3 event, a worker) is found and mended by the reconciler.
//
// IAM: s3:PutObject, GetObject (HEAD), DeleteObject, AbortMultipartUpload and ListMultipartUploadParts on `uploads/*`; s3:ListBucket
// with prefix `uploads/`, for without it S3 answers the HEAD of a missing object with 403; s3:ListBucketMultipartUploads;
// sqs:SendMessage on the uploads queue.
package ingest

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"time"

	notificationv1 "github.com/trainyard/trainyard/gen/trainyard/notification/v1"
	"github.com/trainyard/trainyard/services/ingest/grpcapi"
	"github.com/trainyard/trainyard/services/ingest/internal/catalog"
	"github.com/trainyard/trainyard/services/ingest/internal/lifecycle"
	"github.com/trainyard/trainyard/services/ingest/internal/upload"
	"github.com/trainyard/trainyard/services/internal/boot"
	"github.com/trainyard/trainyard/services/internal/outbox"
	"github.com/trainyard/trainyard/services/internal/store"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Config says where ingest keeps what and how patient and generous it is. A zero duration, size or count means its default.
type Config struct {
	Store           string        `help:"Database: sqlite:PATH or postgres://USER@HOST/NAME." required:""`
	Bucket          string        `help:"Bucket of uploads and converted datasets." required:""`
	UploadsQueue    string        `help:"URL of the queue of the bucket's events, to which a lost event is sent again; empty means never."`
	UploadTTL       time.Duration `help:"How long an unfinished upload may be quiet before it is cleared away." default:"24h"`
	ReconcileEvery  time.Duration `help:"How often lost steps are looked for." default:"15s"`
	ResendAfter     time.Duration `help:"How long an uploaded version waits for the converter before its event counts as lost." default:"2m"`
	LeaseDuration   time.Duration `help:"How long a worker that reports nothing keeps a version." default:"30s"`
	MaxAttempts     int32         `help:"Claims without headway after which a conversion counts as failed." default:"10"`
	PartSize        int64         `help:"Bytes of a part, at least 5 MiB; grows by itself so that 10,000 parts suffice." default:"16777216"`
	URLLifetime     time.Duration `help:"How long a signed part URL works." default:"1h"`
	QuotaBytes      int64         `help:"Bytes of uploads a project may keep." default:"10995116277760"`
	QuotaVersions   int64         `help:"Versions a project may keep." default:"100000"`
	QuotaConcurrent int64         `help:"Unfinished uploads a project may have at once." default:"1000"`
}

// Validate tells what is wrong with the configuration, and fills in what is zero.
func (c *Config) Validate() error {
	if c.Store == "" || c.Bucket == "" {
		return errors.New("ingest: --store and --bucket must be given")
	}
	for _, value := range []int64{
		int64(c.UploadTTL), int64(c.ReconcileEvery), int64(c.ResendAfter), int64(c.LeaseDuration), int64(c.MaxAttempts),
		c.PartSize, int64(c.URLLifetime), c.QuotaBytes, c.QuotaVersions, c.QuotaConcurrent,
	} {
		if value < 0 {
			return errors.New("ingest: durations, sizes and counts can't be negative")
		}
	}
	setDefault(&c.UploadTTL, 24*time.Hour)
	setDefault(&c.ReconcileEvery, 15*time.Second)
	setDefault(&c.ResendAfter, 2*time.Minute)
	setDefault(&c.LeaseDuration, 30*time.Second)
	setDefault(&c.MaxAttempts, 10)
	setDefault(&c.PartSize, 16<<20)
	setDefault(&c.URLLifetime, time.Hour)
	setDefault(&c.QuotaBytes, 10<<40)
	setDefault(&c.QuotaVersions, 100_000)
	setDefault(&c.QuotaConcurrent, 1000)
	if c.PartSize < upload.MinPartSize || c.PartSize > upload.MaxPartSize {
		return fmt.Errorf("ingest: --part-size %d: S3 takes parts of %d to %d bytes", c.PartSize, upload.MinPartSize, upload.MaxPartSize)
	}
	if c.URLLifetime > upload.MaxURLLifetime {
		return fmt.Errorf("ingest: --url-lifetime %v: S3 takes signed URLs of at most %v", c.URLLifetime, upload.MaxURLLifetime)
	}
	return nil
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Deps are what ingest works with. Wiring makes them.
type Deps struct {
	// S3 is where uploads lie; *s3.Client is one.
	S3 upload.Client
	// Presigner signs part URLs; *awscfg.Presigner is one.
	Presigner upload.Presigner
	// SQS sends a lost event again; *sqs.Client is one. Not needed without Config.UploadsQueue.
	SQS lifecycle.Queue
	// Region is the bucket's, for the event that is sent again.
	Region string
	// Notification is a connection to the notification service that bears the service token.
	Notification grpc.ClientConnInterface
	Log          *zap.Logger
}

type unit struct {
	db        *store.DB
	relay     *outbox.Relay
	catalog   *catalog.Catalog
	lifecycle *lifecycle.Lifecycle
	log       *zap.Logger
}

// New opens the database, bringing its schema up to date, and makes the unit.
func New(ctx context.Context, cfg Config, deps Deps) (boot.Unit, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if deps.Log == nil {
		deps.Log = zap.NewNop()
	}
	if cfg.UploadsQueue != "" && deps.SQS == nil {
		return nil, errors.New("ingest: an uploads queue needs an SQS client")
	}
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, err
	}
	db, err := store.Open(ctx, cfg.Store, "ingest", files)
	if err != nil {
		return nil, err
	}
	relay := outbox.NewRelay(db, notificationv1.NewNotificationServiceClient(deps.Notification), deps.Log)
	rows := catalog.New(db, relay.Wake)
	bucket := &upload.Bucket{Name: cfg.Bucket, S3: deps.S3, Presigner: deps.Presigner}
	return &unit{
		db:      db,
		relay:   relay,
		catalog: rows,
		lifecycle: lifecycle.New(lifecycle.Config{
			UploadTTL:      cfg.UploadTTL,
			ReconcileEvery: cfg.ReconcileEvery,
			ResendAfter:    cfg.ResendAfter,
			Lease:          cfg.LeaseDuration,
			URLLifetime:    cfg.URLLifetime,
			MaxAttempts:    cfg.MaxAttempts,
			PartSize:       cfg.PartSize,
			Quotas:         catalog.Quotas{Bytes: cfg.QuotaBytes, Versions: cfg.QuotaVersions, Concurrent: cfg.QuotaConcurrent},
			UploadsQueue:   cfg.UploadsQueue,
			Region:         deps.Region,
		}, rows, bucket, deps.SQS, deps.Log),
		log: deps.Log,
	}, nil
}

func (u *unit) Name() string { return "ingest" }

func (u *unit) Register(r grpc.ServiceRegistrar) { grpcapi.Register(r, u.catalog, u.lifecycle, u.log) }

func (u *unit) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return u.relay.Run(ctx) })
	group.Go(func() error { return u.lifecycle.Run(ctx) })
	return group.Wait()
}

func (u *unit) Close() error { return u.db.Close() }
