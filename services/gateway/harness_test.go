package gateway_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	ingestv1 "github.com/trainyard/trainyard/gen/trainyard/ingest/v1"
	notificationv1 "github.com/trainyard/trainyard/gen/trainyard/notification/v1"
	"github.com/trainyard/trainyard/services/gateway"
	"github.com/trainyard/trainyard/services/internal/apierror"
	"github.com/trainyard/trainyard/services/internal/auth"
	"github.com/trainyard/trainyard/services/internal/boot"
	"github.com/trainyard/trainyard/services/internal/testkit"
	"github.com/trainyard/trainyard/services/notification"
	"go.uber.org/goleak"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// upstream is a server with the real notification service, and an ingest that tells what reached it.
type upstream struct {
	*testkit.Server
	t      *testing.T
	store  string
	ingest *recorder
	conn   *grpc.ClientConn
}

func startUpstream(t *testing.T) *upstream {
	t.Helper()
	u := &upstream{Server: testkit.NewServer(t), t: t, store: testkit.SQLite(t), ingest: &recorder{}}
	u.Start(u.notification(), u.ingest)
	conn, err := boot.DialPlain(u.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	u.conn = conn
	return u
}

func (u *upstream) notification() boot.Unit {
	u.t.Helper()
	unit, err := notification.New(u.t.Context(), notification.Config{Store: u.store, Heartbeat: 100 * time.Millisecond}, notification.Deps{})
	if err != nil {
		u.t.Fatal(err)
	}
	return unit
}

func (u *upstream) publish(project string, events ...*notificationv1.Event) {
	u.t.Helper()
	req := &notificationv1.PublishEventsRequest{}
	for _, e := range events {
		req.Events = append(req.Events, &notificationv1.ProjectEvent{Project: project, Event: e})
	}
	client := notificationv1.NewNotificationServiceClient(u.Service)
	if _, err := client.PublishEvents(u.t.Context(), req, grpc.WaitForReady(true)); err != nil {
		u.t.Fatal(err)
	}
}

// recorder is an ingest that keeps the metadata of the last call.
type recorder struct {
	ingestv1.UnimplementedIngestServiceServer

	mu   sync.Mutex
	seen metadata.MD
}

func (r *recorder) Name() string { return "recorder" }
func (r *recorder) Register(server grpc.ServiceRegistrar) {
	ingestv1.RegisterIngestServiceServer(server, r)
}
func (r *recorder) Run(ctx context.Context) error { <-ctx.Done(); return nil }
func (r *recorder) Close() error                  { return nil }

func (r *recorder) record(ctx context.Context) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen, _ = metadata.FromIncomingContext(ctx)
}

// last gives the keys of the last call's metadata that say more than how it was carried.
func (r *recorder) last() metadata.MD {
	r.mu.Lock()
	defer r.mu.Unlock()
	md := r.seen.Copy()
	for _, key := range []string{":authority", "content-type", "user-agent", "x-forwarded-for", "x-forwarded-host", "grpc-accept-encoding"} {
		delete(md, key)
	}
	return md
}

func (r *recorder) CreateDataset(ctx context.Context, req *ingestv1.CreateDatasetRequest) (*ingestv1.CreateDatasetResponse, error) {
	r.record(ctx)
	req.GetDataset().Name = "datasets/" + req.GetDatasetId()
	return &ingestv1.CreateDatasetResponse{Dataset: req.GetDataset()}, nil
}

func (r *recorder) ListDatasets(ctx context.Context, _ *ingestv1.ListDatasetsRequest) (*ingestv1.ListDatasetsResponse, error) {
	r.record(ctx)
	if _, err := auth.Project(ctx); err != nil {
		return nil, err
	}
	return &ingestv1.ListDatasetsResponse{}, nil
}

func (r *recorder) GetDataset(_ context.Context, req *ingestv1.GetDatasetRequest) (*ingestv1.GetDatasetResponse, error) {
	return nil, apierror.NotFound(req.GetName())
}

// server is a running gateway.
type server struct {
	t    *testing.T
	unit *gateway.Unit
	url  string
	http *http.Client
	stop func()
}

func startGateway(t *testing.T, cfg gateway.Config, conn grpc.ClientConnInterface) *server {
	t.Helper()
	if cfg.HTTP == "" {
		cfg.HTTP = "127.0.0.1:0"
	}
	unit, err := gateway.New(t.Context(), cfg, gateway.Deps{
		Ingest: conn, Converter: conn, Training: conn, Notification: conn, Log: zaptest.NewLogger(t, zaptest.Level(zapcore.ErrorLevel)),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- unit.Run(ctx) }()
	transport := &http.Transport{}
	s := &server{t: t, unit: unit, url: "http://" + unit.Addr(), http: &http.Client{Transport: transport}}
	s.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("gateway: %v", err)
		}
		if err := unit.Close(); err != nil {
			t.Errorf("gateway: %v", err)
		}
	})
	t.Cleanup(func() {
		s.stop()
		transport.CloseIdleConnections()
	})
	return s
}

// reply is an answer that was read to its end.
type reply struct {
	*http.Response
	body string
}

// do sends a request; headers are name, value, name, value, …, where Host sets the request's host.
func (s *server) do(method, path, body string, headers ...string) *reply {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), method, s.url+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	for pair := range slices.Chunk(headers, 2) {
		if pair[0] == "Host" {
			req.Host = pair[1]
			continue
		}
		req.Header.Add(pair[0], pair[1])
	}
	res, err := s.http.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return &reply{Response: res, body: string(data)}
}

// expectError fails unless the answer is a google.rpc.Status in JSON with the reason.
func (r *reply) expectError(t *testing.T, httpStatus int, reason string) {
	t.Helper()
	var st struct {
		Code    int
		Message string
		Details []struct {
			Type   string `json:"@type"`
			Reason string
			Domain string
		}
	}
	if err := json.Unmarshal([]byte(r.body), &st); err != nil {
		t.Fatalf("status %d, body %q: %v", r.StatusCode, r.body, err)
	}
	if r.StatusCode != httpStatus || st.Code == 0 || st.Message == "" || len(st.Details) == 0 || st.Details[0].Reason != reason ||
		st.Details[0].Type != "type.googleapis.com/google.rpc.ErrorInfo" || st.Details[0].Domain != "trainyard.dev" || r.Header.Get("Content-Type") != "application/json" {
		t.Errorf("got %d %s, want %d with %s", r.StatusCode, r.body, httpStatus, reason)
	}
}

func bearer(token string) []string { return []string{"Authorization", "Bearer " + token} }
