package notification_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	notificationv1 "github.com/trainyard/trainyard/gen/trainyard/notification/v1"
	"github.com/trainyard/trainyard/services/internal/auth"
	"github.com/trainyard/trainyard/services/internal/boot"
	"github.com/trainyard/trainyard/services/internal/testkit"
	"github.com/trainyard/trainyard/services/notification"
	"go.uber.org/goleak"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/structpb"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		goleak.IgnoreTopFunction("database/sql.(*DB).connectionOpener")) // Of testkit's own connections.
}

// suite is a notification service and its clients.
type suite struct {
	*testkit.Server
	t       *testing.T
	service notificationv1.NotificationServiceClient
	metrics *prometheus.Registry
}

func newUnit(t *testing.T, cfg notification.Config) boot.Unit {
	t.Helper()
	return newMeasuredUnit(t, cfg, nil)
}

func newMeasuredUnit(t *testing.T, cfg notification.Config, metrics prometheus.Registerer) boot.Unit {
	t.Helper()
	unit, err := notification.New(t.Context(), cfg, notification.Deps{Log: zaptest.NewLogger(t, zaptest.Level(zapcore.ErrorLevel)), Metrics: metrics})
	if err != nil {
		t.Fatal(err)
	}
	return unit
}

func start(t *testing.T, cfg notification.Config) *suite {
	t.Helper()
	s := &suite{Server: testkit.NewServer(t), t: t, metrics: prometheus.NewRegistry()}
	s.service = notificationv1.NewNotificationServiceClient(s.Service)
	s.Start(newMeasuredUnit(t, cfg, s.metrics))
	return s
}

// metric gives the value of one of the service's counters or gauges.
func (s *suite) metric(name string) float64 {
	s.t.Helper()
	families, err := s.metrics.Gather()
	if err != nil {
		s.t.Fatal(err)
	}
	for _, family := range families {
		if m := family.GetMetric()[0]; family.GetName() == "trainyard_notification_"+name {
			return m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	s.t.Fatalf("there is no metric %s", name)
	return 0
}

func (s *suite) user(project string) notificationv1.NotificationServiceClient {
	return notificationv1.NewNotificationServiceClient(s.User(project))
}

func event(id, resource string) *notificationv1.Event {
	return &notificationv1.Event{Id: id, Resource: resource, Type: "version.state"}
}

// events makes events e{from} to e{to-1}.
func events(from, to int) []*notificationv1.Event {
	var result []*notificationv1.Event
	for i := from; i < to; i++ {
		result = append(result, event(fmt.Sprint("e", i), "datasets/d"))
	}
	return result
}

func publishRequest(project string, events ...*notificationv1.Event) *notificationv1.PublishEventsRequest {
	req := &notificationv1.PublishEventsRequest{}
	for _, e := range events {
		req.Events = append(req.Events, &notificationv1.ProjectEvent{Project: project, Event: e})
	}
	return req
}

func (s *suite) publish(project string, events ...*notificationv1.Event) {
	s.t.Helper()
	for batch := range slices.Chunk(events, 500) {
		if _, err := s.service.PublishEvents(s.t.Context(), publishRequest(project, batch...)); err != nil {
			s.t.Fatal(err)
		}
	}
}

// list reads a whole log as a service that acts for the project.
func (s *suite) list(project string) []*notificationv1.Event {
	s.t.Helper()
	ctx := auth.ForProject(s.t.Context(), project)
	var result []*notificationv1.Event
	for cursor := ""; ; {
		res, err := s.service.ListEvents(ctx, &notificationv1.ListEventsRequest{Cursor: cursor, PageSize: 1000}, grpc.WaitForReady(true))
		if err != nil {
			s.t.Fatal(err)
		}
		if len(res.GetEvents()) == 0 {
			return result
		}
		result, cursor = append(result, res.GetEvents()...), res.GetNextCursor()
	}
}

// watch opens a stream and takes its first reply, which must be a heartbeat.
func (s *suite) watch(ctx context.Context, client notificationv1.NotificationServiceClient, cursor, resource string) *watcher {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(ctx, time.Minute) // A watcher that hears nothing fails.
	s.t.Cleanup(cancel)
	w, err := openWatch(ctx, client, cursor, resource)
	if err != nil {
		s.t.Fatal(err)
	}
	return w
}

func openWatch(ctx context.Context, client notificationv1.NotificationServiceClient, cursor, resource string) (*watcher, error) {
	stream, err := client.WatchEvents(ctx, &notificationv1.WatchEventsRequest{Cursor: cursor, Resource: resource})
	if err != nil {
		return nil, err
	}
	first, err := stream.Recv()
	switch {
	case err != nil:
		return nil, err
	case first.GetEvent() != nil || first.GetCursor() == "":
		return nil, fmt.Errorf("the first reply is not a heartbeat with a cursor: %v", first)
	}
	return &watcher{recv: stream.Recv, cursor: first.GetCursor()}, nil
}

type watcher struct {
	recv   func() (*notificationv1.WatchEventsResponse, error)
	cursor string
}

// next gives the next event, past heartbeats.
func (w *watcher) next() (*notificationv1.Event, error) {
	for {
		reply, err := w.recv()
		if err != nil {
			return nil, err
		}
		w.cursor = reply.GetCursor()
		if reply.GetEvent() != nil {
			return reply.GetEvent(), nil
		}
	}
}

// expect takes the next n events and fails unless their sequences go on from after.
func (w *watcher) expect(t *testing.T, after int64, n int) {
	t.Helper()
	for i := range n {
		e, err := w.next()
		if err != nil {
			t.Fatalf("after %d of %d events: %v", i, n, err)
		}
		if e.GetSequence() != after+int64(i)+1 {
			t.Fatalf("got sequence %d, want %d", e.GetSequence(), after+int64(i)+1)
		}
	}
}

// end takes what is left and gives the error that the stream ends with.
func (w *watcher) end() error {
	for {
		if _, err := w.next(); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
	}
}

// expectNumbered fails unless a log is numbered from 1 without a gap and holds each of n events once.
func expectNumbered(t *testing.T, log []*notificationv1.Event, n int) {
	t.Helper()
	seen := map[string]bool{}
	for i, e := range log {
		if e.GetSequence() != int64(i+1) {
			t.Fatalf("sequence %d at place %d", e.GetSequence(), i+1)
		}
		seen[e.GetId()] = true
	}
	if len(log) != n || len(seen) != n {
		t.Fatalf("%d events, %d different, want %d", len(log), len(seen), n)
	}
}

func bigPayload() *structpb.Struct {
	return &structpb.Struct{Fields: map[string]*structpb.Value{"text": structpb.NewStringValue(strings.Repeat("x", 32<<10))}}
}

// within fails the test when fn takes longer.
func within(t *testing.T, limit time.Duration, what string, fn func()) {
	t.Helper()
	begin := time.Now()
	fn()
	if took := time.Since(begin); took > limit {
		t.Errorf("%s took %v, want at most %v", what, took, limit)
	}
}
