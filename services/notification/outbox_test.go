package notification_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/uuid"
	notificationv1 "github.com/trainyard/trainyard/gen/trainyard/notification/v1"
	"github.com/trainyard/trainyard/services/internal/outbox"
	"github.com/trainyard/trainyard/services/internal/store"
	"github.com/trainyard/trainyard/services/internal/testkit"
	"github.com/trainyard/trainyard/services/notification"
	"github.com/uptrace/bun"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest"
	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/types/known/structpb"
)

// outboxMigration is the table as the package's comment has it.
const outboxMigration = `-- +goose Up
CREATE TABLE outbox (
    id       TEXT PRIMARY KEY,
    project  TEXT NOT NULL,
    resource TEXT NOT NULL,
    type     TEXT NOT NULL,
    time     BIGINT NOT NULL,
    payload  TEXT NOT NULL
);
`

// writer is a service that has an outbox.
type writer struct {
	t     *testing.T
	db    *store.DB
	relay *outbox.Relay
}

func newWriter(t *testing.T, dsn string, s *suite) *writer {
	t.Helper()
	db, err := store.Open(t.Context(), dsn, "writer", fstest.MapFS{"00001_init.sql": {Data: []byte(outboxMigration)}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return &writer{t: t, db: db, relay: outbox.NewRelay(db, s.service, zaptest.NewLogger(t, zaptest.Level(zapcore.ErrorLevel)))}
}

// run relays until the test's end.
func (w *writer) run() {
	ctx, cancel := context.WithCancel(w.t.Context())
	var group errgroup.Group
	group.Go(func() error { return w.relay.Run(ctx) })
	w.t.Cleanup(func() {
		cancel()
		if err := group.Wait(); err != nil {
			w.t.Error(err)
		}
	})
}

func (w *writer) write(project, resource string, state string) error {
	payload, err := structpb.NewStruct(map[string]any{"name": resource, "state": state})
	if err != nil {
		return err
	}
	err = w.db.InTx(w.t.Context(), func(ctx context.Context, tx bun.Tx) error {
		return outbox.Write(ctx, tx, project, resource, "version.state", payload)
	})
	w.relay.Wake()
	return err
}

func (w *writer) waiting() int64 {
	w.t.Helper()
	n, err := w.db.NewSelect().Table("outbox").Count(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	return n
}

func state(e *notificationv1.Event) string {
	return e.GetPayload().GetFields()["state"].GetStringValue()
}

// TestOutboxDrainsAfterAnOutage has events written while notification is down, by more than a batch, with two relays on the outbox.
func TestOutboxDrainsAfterAnOutage(t *testing.T) {
	testkit.EachDatabase(t, func(t *testing.T, dsn string) {
		cfg := notification.Config{Store: testkit.SQLite(t)}
		s := start(t, cfg)
		w := newWriter(t, dsn, s)
		w.run()
		w.run() // As a second replica would.
		const n = 450
		for i := range n {
			if i == 20 {
				testkit.Eventually(t, 10*time.Second, "the first events are logged", func() bool { return len(s.list("a")) > 0 })
				s.Stop()
			}
			if err := w.write("a", "datasets/d/versions/1", fmt.Sprint(i)); err != nil {
				t.Fatal(err)
			}
		}
		if w.waiting() == 0 {
			t.Fatal("nothing waits while notification is down")
		}
		s.Restart(newUnit(t, cfg))
		testkit.Eventually(t, 20*time.Second, "the outbox is empty", func() bool { return w.waiting() == 0 })
		log := s.list("a")
		expectNumbered(t, log, n)
		for i, e := range log {
			if state(e) != fmt.Sprint(i) || e.GetResource() != "datasets/d/versions/1" || e.GetType() != "version.state" || e.GetTime() == nil {
				t.Fatalf("event %d is %v", i, e)
			}
		}
	})
}

func TestOutboxForgetsWhatIsRolledBack(t *testing.T) {
	s := start(t, notification.Config{Store: testkit.SQLite(t)})
	w := newWriter(t, testkit.SQLite(t), s)
	err := w.db.InTx(t.Context(), func(ctx context.Context, tx bun.Tx) error {
		if err := outbox.Write(ctx, tx, "a", "datasets/d", "dataset.created", &structpb.Struct{}); err != nil {
			return err
		}
		return fmt.Errorf("the state could not be changed")
	})
	if err == nil || w.waiting() != 0 {
		t.Fatalf("got %v, %d events wait", err, w.waiting())
	}
}

// TestOutboxOrderWhenClocksDiffer has a replica whose clock is an hour ahead write first.
func TestOutboxOrderWhenClocksDiffer(t *testing.T) {
	testkit.EachDatabase(t, func(t *testing.T, dsn string) {
		s := start(t, notification.Config{Store: testkit.SQLite(t)})
		w := newWriter(t, dsn, s)
		if err := w.write("a", "datasets/d/versions/1", "from the future"); err != nil {
			t.Fatal(err)
		}
		ahead := uuid.Must(uuid.NewV7())
		millis := time.Now().Add(time.Hour).UnixMilli()
		for i := range 6 {
			ahead[5-i] = byte(millis >> (8 * i))
		}
		if _, err := w.db.NewRaw("UPDATE outbox SET id = ?", ahead.String()).Exec(t.Context()); err != nil {
			t.Fatal(err)
		}
		want := []string{"from the future"}
		for i := range 20 {
			want = append(want, fmt.Sprint(i))
			if err := w.write("a", "datasets/d/versions/1", fmt.Sprint(i)); err != nil {
				t.Fatal(err)
			}
		}
		w.run()
		testkit.Eventually(t, 10*time.Second, "the outbox is empty", func() bool { return w.waiting() == 0 })
		var got []string
		for _, e := range s.list("a") {
			got = append(got, state(e))
		}
		if !slices.Equal(got, want) {
			t.Fatalf("got %v", got)
		}
	})
}

// TestOutboxIsNotBlockedByLargePayloads writes more in one batch than a message may hold, and one payload that never fits.
func TestOutboxIsNotBlockedByLargePayloads(t *testing.T) {
	s := start(t, notification.Config{Store: testkit.SQLite(t)})
	w := newWriter(t, testkit.SQLite(t), s)
	sizes := []int{600 << 10}
	for range 30 {
		sizes = append(sizes, 400<<10)
	}
	for i, size := range sizes {
		if err := w.write("a", fmt.Sprint("models/", i), strings.Repeat("x", size)); err != nil {
			t.Fatal(err)
		}
	}
	w.run()
	testkit.Eventually(t, 20*time.Second, "the outbox is empty", func() bool { return w.waiting() == 0 })
	log := s.list("a")
	expectNumbered(t, log, len(sizes))
	if state(log[0]) != "" || len(state(log[1])) != 400<<10 {
		t.Errorf("the large payload has %d bytes, the next %d", len(state(log[0])), len(state(log[1])))
	}
}
