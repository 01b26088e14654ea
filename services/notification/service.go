// Package notification is the event log: services publish what happened, users list it and follow it live.
//
// It promises: a project's events have sequences from 1, without a gap and without a double, however often a service publishes
// them; a watcher that resumes with its last cursor misses nothing and sees nothing twice; memory is bounded whatever watchers do.
package notification

import (
	"context"
	"embed"
	"errors"
	"io/fs"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	notificationv1 "github.com/trainyard/trainyard/gen/trainyard/notification/v1"
	"github.com/trainyard/trainyard/services/internal/boot"
	"github.com/trainyard/trainyard/services/internal/store"
	"github.com/trainyard/trainyard/services/notification/eventlog"
	"github.com/trainyard/trainyard/services/notification/grpcapi"
	"github.com/trainyard/trainyard/services/notification/hub"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
)

//go:embed migrations/*.sql
var migrations embed.FS

// pruneEvery is how often retention is applied.
const pruneEvery = time.Hour

// Config says where the log is kept and how watchers are treated. A zero duration or count means its default, but for Retention.
type Config struct {
	Store        string        `help:"Database: sqlite:PATH or postgres://USER@HOST/NAME." required:""`
	Retention    time.Duration `help:"How long events are kept; 0 means for ever." default:"720h"`
	Heartbeat    time.Duration `help:"How long a watcher hears nothing at most." default:"15s"`
	SendTimeout  time.Duration `help:"How long a watcher may take nothing of what waits for it before it is cut off." default:"10s"`
	PollInterval time.Duration `help:"How often the log is looked at when no wake-up came." default:"2s"`
	MaxWatchers  int           `help:"Watchers a project may have open in this replica." default:"500"`
}

// Validate tells what is wrong with the configuration, and fills in what is zero.
func (c *Config) Validate() error {
	if c.Store == "" {
		return errors.New("notification: --store must be given")
	}
	if c.Retention < 0 || c.Heartbeat < 0 || c.SendTimeout < 0 || c.PollInterval < 0 || c.MaxWatchers < 0 {
		return errors.New("notification: durations and counts can't be negative")
	}
	setDefault(&c.Heartbeat, 15*time.Second)
	setDefault(&c.SendTimeout, 10*time.Second)
	setDefault(&c.PollInterval, 2*time.Second)
	setDefault(&c.MaxWatchers, 500)
	return nil
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Deps are what notification works with. Wiring makes them.
type Deps struct {
	Log *zap.Logger
	// Metrics may be nil.
	Metrics prometheus.Registerer
}

type unit struct {
	cfg    Config
	db     *store.DB
	events *eventlog.Log
	hub    *hub.Hub
	server *grpcapi.Server
	log    *zap.Logger
}

// New opens the database, bringing its schema up to date, and makes the unit.
func New(ctx context.Context, cfg Config, deps Deps) (boot.Unit, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if deps.Log == nil {
		deps.Log = zap.NewNop()
	}
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, err
	}
	db, err := store.Open(ctx, cfg.Store, "notification", files)
	if err != nil {
		return nil, err
	}
	u := &unit{cfg: cfg, db: db, events: eventlog.New(db), log: deps.Log}
	u.hub = hub.New(hub.Config{PollInterval: cfg.PollInterval, MaxWatchers: cfg.MaxWatchers}, db, u.events, deps.Log)
	u.server = grpcapi.New(grpcapi.Config{Heartbeat: cfg.Heartbeat, SendTimeout: cfg.SendTimeout, Buffer: 16}, u.events, u.hub, deps.Metrics)
	return u, nil
}

func (u *unit) Name() string { return "notification" }

func (u *unit) Register(r grpc.ServiceRegistrar) {
	notificationv1.RegisterNotificationServiceServer(r, u.server)
}

func (u *unit) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return u.hub.Run(ctx) })
	if u.cfg.Retention > 0 {
		group.Go(func() error { return u.retain(ctx) })
	}
	return group.Wait()
}

func (u *unit) retain(ctx context.Context) error {
	ticker := time.NewTicker(pruneEvery)
	defer ticker.Stop()
	for {
		n, err := u.events.Prune(ctx, u.cfg.Retention)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			u.log.Warn("retention: pruning failed, trying again later", zap.Error(err))
		case n > 0:
			u.log.Info("retention: events pruned", zap.Int64("events", n))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

func (u *unit) Close() error { return u.db.Close() }
