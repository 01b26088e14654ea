// Package hub tells watchers that their project's log has grown. There is one hub a replica.
//
// Watchers of one project share a feed: one goroutine reads new events from the log, once, and keeps the newest few in memory, so that
// a thousand watchers cost one query. A feed is woken directly by what this replica appends, by a coalesced NOTIFY for what
// other replicas append (PostgreSQL), and by a poll should both fail. A watcher that lags further behind than memory
// reaches reads the log itself. Nothing is queued for anyone: a watcher pulls from its own position, so that a slow one costs nothing.
package hub

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	notificationv1 "github.com/trainyard/trainyard/gen/trainyard/notification/v1"
	"github.com/trainyard/trainyard/services/internal/store"
	"github.com/trainyard/trainyard/services/notification/eventlog"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"
)

// replayPage is how many events a lagging watcher reads at once.
const replayPage = 200

var (
	// ErrClosed says that this replica is shutting down.
	ErrClosed = errors.New("the event hub is closed")
	// ErrTooManyWatchers says that the project has as many watchers here as it may.
	ErrTooManyWatchers = errors.New("the project has too many watchers")
)

// Config bounds a hub.
type Config struct {
	// PollInterval is how often logs are looked at that nobody has said anything about.
	PollInterval time.Duration
	// MaxWatchers a project may have in this replica.
	MaxWatchers int
}

// Hub wakes watchers. Run must be called.
type Hub struct {
	cfg    Config
	db     *store.DB
	events *eventlog.Log
	log    *zap.Logger
	ctx    context.Context // Ends with Run.
	end    context.CancelFunc
	outbox chan struct{} // Holds a token when pending is not empty.
	loads  sync.WaitGroup

	mu      sync.Mutex
	feeds   map[string]*feed
	pending map[string]bool // Projects that other replicas haven't been told of.
}

// New makes a hub.
func New(cfg Config, db *store.DB, events *eventlog.Log, log *zap.Logger) *Hub {
	ctx, end := context.WithCancel(context.Background())
	return &Hub{
		cfg: cfg, db: db, events: events, log: log,
		ctx: ctx, end: end, outbox: make(chan struct{}, 1),
		feeds: map[string]*feed{}, pending: map[string]bool{},
	}
}

// Run listens and polls until the context ends; then all watches end with ErrClosed.
func (h *Hub) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return h.poll(ctx) })
	if h.db.IsPostgres() {
		group.Go(func() error { return h.listen(ctx) })
		group.Go(func() error { return h.notify(ctx) })
	}
	err := group.Wait()
	h.mu.Lock()
	h.end()
	h.mu.Unlock()
	h.loads.Wait()
	return err
}

// Appended wakes the watchers of projects whose logs grew, here and in the other replicas. It never blocks.
func (h *Hub) Appended(projects []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, project := range projects {
		if f := h.feeds[project]; f != nil {
			f.wakeUp()
		}
		if h.db.IsPostgres() {
			h.pending[project] = true
			signal(h.outbox)
		}
	}
}

func (h *Hub) poll(ctx context.Context) error {
	ticker := time.NewTicker(h.cfg.PollInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		h.mu.Lock()
		projects := make([]string, 0, len(h.feeds))
		for project := range h.feeds {
			projects = append(projects, project)
		}
		h.mu.Unlock()
		if len(projects) == 0 {
			continue
		}
		heads, err := h.events.Heads(ctx, projects)
		if err != nil {
			if ctx.Err() == nil {
				h.log.Warn("event hub: polling failed, trying again", zap.Error(err))
			}
			continue
		}
		h.mu.Lock()
		for project, head := range heads {
			if f := h.feeds[project]; f != nil && f.position() < head {
				f.wakeUp()
			}
		}
		h.mu.Unlock()
	}
}

// wakeAll is called when any project may have grown unseen.
func (h *Hub) wakeAll() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, f := range h.feeds {
		f.wakeUp()
	}
}

// Watch begins to follow a project's log after a position. Only events of the resource and of those below it are given when
// resource isn't empty. The caller must have found that the log can be read from there, and where its end was then, and must Close the watch.
func (h *Hub) Watch(project string, after, end int64, resource string) (*Watch, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ctx.Err() != nil {
		return nil, ErrClosed
	}
	f := h.feeds[project]
	if f == nil {
		ctx, abandon := context.WithCancel(h.ctx)
		f = newFeed(project, end, abandon)
		h.feeds[project] = f
		h.loads.Go(func() { h.load(ctx, f) })
	}
	if f.watchers == h.cfg.MaxWatchers {
		return nil, ErrTooManyWatchers
	}
	f.watchers++
	return &Watch{hub: h, feed: f, after: after, resource: resource}, nil
}

// load keeps a feed up to date until its last watcher leaves.
func (h *Hub) load(ctx context.Context, f *feed) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-f.wake:
		}
		for more := true; more; {
			page, err := h.events.Read(ctx, f.project, f.position(), feedPage, "")
			var pruned *eventlog.PrunedError
			switch {
			case errors.As(err, &pruned):
				f.skip(pruned.Oldest)
			case err != nil:
				more = false
				if ctx.Err() == nil { // The poll wakes us again.
					h.log.Warn("event hub: reading a log failed, trying again", zap.String("project", f.project), zap.Error(err))
				}
			default:
				f.add(page)
				more = page.Next < page.Last
			}
		}
	}
}

// Watch is one watcher's way through a log. It is not safe for concurrent use.
type Watch struct {
	hub      *Hub
	feed     *feed
	after    int64
	resource string
}

// Position is where the watch stands: everything up to there was given by Next, or isn't of the resource.
func (w *Watch) Position() int64 { return w.after }

// Next gives the next events in order, at least one, or none after waiting for that long. The error is ErrClosed, the
// context's, or one of eventlog.Log.Read's.
func (w *Watch) Next(ctx context.Context, wait time.Duration) ([]*notificationv1.Event, error) {
	timer := time.NewTimer(max(wait, 0))
	defer timer.Stop()
	for {
		if w.hub.ctx.Err() != nil { // Even when there are events: a shutdown doesn't wait for a replay.
			return nil, ErrClosed
		}
		recent, inMemory, changed := w.feed.after(w.after)
		if !inMemory {
			page, err := w.hub.events.Read(ctx, w.feed.project, w.after, replayPage, w.resource)
			if err != nil {
				return nil, err
			}
			w.after = page.Next
			if len(page.Events) > 0 {
				return page.Events, nil
			}
			continue
		}
		if len(recent) > 0 {
			w.after = recent[len(recent)-1].GetSequence()
			if events := w.ofResource(recent); len(events) > 0 {
				return events, nil
			}
			continue
		}
		select {
		case <-changed:
		case <-timer.C:
			return nil, nil
		case <-w.hub.ctx.Done():
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (w *Watch) ofResource(events []*notificationv1.Event) []*notificationv1.Event {
	if w.resource == "" {
		return events
	}
	var matching []*notificationv1.Event
	for _, e := range events {
		if e.GetResource() == w.resource || strings.HasPrefix(e.GetResource(), w.resource+"/") {
			matching = append(matching, e)
		}
	}
	return matching
}

// Close ends the watch.
func (w *Watch) Close() {
	w.hub.mu.Lock()
	defer w.hub.mu.Unlock()
	w.feed.watchers--
	if w.feed.watchers == 0 {
		delete(w.hub.feeds, w.feed.project)
		w.feed.abandon()
	}
}

// signal puts a token into a channel of capacity 1 unless it holds one.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
