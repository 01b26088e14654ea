package gateway_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/tmaxmax/go-sse"
	notificationv1 "github.com/trainyard/trainyard/gen/trainyard/notification/v1"
	"github.com/trainyard/trainyard/services/gateway"
	"github.com/trainyard/trainyard/services/internal/testkit"
	"google.golang.org/protobuf/types/known/structpb"
)

func numbered(from, to int) []*notificationv1.Event {
	var events []*notificationv1.Event
	for i := from; i < to; i++ {
		events = append(events, &notificationv1.Event{Id: fmt.Sprint("e", i), Resource: "datasets/d", Type: "version.progress"})
	}
	return events
}

// stream is an open event stream, as a browser has it.
type stream struct {
	header http.Header
	next   func() (sse.Event, error, bool)
	close  func()
	lastID string
}

func (s *server) open(path string, headers ...string) (*stream, error) {
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute) // A stream that brings nothing fails.
	s.t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+path, nil)
	if err != nil {
		return nil, err
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := s.http.Do(req)
	if err != nil {
		return nil, err
	}
	if res.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(res.Body)
		_ = res.Body.Close()
		return nil, fmt.Errorf("%d %s", res.StatusCode, body)
	}
	next, stop := iter.Pull2(sse.Read(res.Body, &sse.ReadConfig{MaxEventSize: 8 << 20}))
	return &stream{header: res.Header, next: next, close: func() { stop(); _ = res.Body.Close() }}, nil
}

func (s *server) mustOpen(path string, headers ...string) *stream {
	s.t.Helper()
	st, err := s.open(path, headers...)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(st.close)
	return st
}

// event gives the next event, past heartbeats.
func (st *stream) event() (sse.Event, error) {
	for {
		e, err, ok := st.next()
		if !ok {
			err = io.EOF
		}
		if err != nil {
			return sse.Event{}, err
		}
		st.lastID = e.LastEventID
		if e.Type != "heartbeat" {
			return e, nil
		}
	}
}

func (st *stream) expect(t *testing.T, from, to int) {
	t.Helper()
	for i := from; i <= to; i++ {
		e, err := st.event()
		if err != nil {
			t.Fatalf("instead of event %d: %v", i, err)
		}
		if e.LastEventID != fmt.Sprint(i) || !strings.Contains(e.Data, fmt.Sprintf(`"e%d"`, i-1)) {
			t.Fatalf("got id %s, %s; want event %d", e.LastEventID, e.Data, i)
		}
	}
}

func TestEventStream(t *testing.T) {
	up := startUpstream(t)
	s := startGateway(t, gateway.Config{}, up.conn)
	user := bearer(up.Token("a"))
	up.publish("a", numbered(0, 10)...)
	up.publish("b", numbered(0, 3)...)

	st := s.mustOpen("/v1/events:watch?cursor=7", user...)
	if st.header.Get("Content-Type") != "text/event-stream" || st.header.Get("Cache-Control") != "no-store" {
		t.Errorf("headers %v", st.header)
	}
	first, err, _ := st.next()
	if err != nil || first.Type != "heartbeat" || first.LastEventID != "7" || first.Data != "{}" {
		t.Errorf("begins with %v, %v", first, err)
	}
	st.expect(t, 8, 10)
	payload, err := structpb.NewStruct(map[string]any{"text": "line\nbreak <img onerror=x>"})
	if err != nil {
		t.Fatal(err)
	}
	up.publish("a", &notificationv1.Event{Id: "e10", Resource: "models/m", Type: "model.created", Payload: payload})
	e, err := st.event()
	if err != nil {
		t.Fatal(err)
	}
	var data map[string]any
	if err := json.Unmarshal([]byte(e.Data), &data); err != nil || strings.Contains(e.Data, "\n") {
		t.Fatalf("data %q: %v", e.Data, err)
	}
	if e.Type != "model.created" || e.LastEventID != "11" || data["sequence"] != "11" || data["resource"] != "models/m" ||
		data["payload"].(map[string]any)["text"] != "line\nbreak <img onerror=x>" {
		t.Errorf("got %v", e)
	}
	if heartbeat, err, _ := st.next(); err != nil || heartbeat.Type != "heartbeat" || heartbeat.LastEventID != "11" {
		t.Errorf("got %v, %v", heartbeat, err)
	}

	// A browser that reconnects says where it was in a header, and its address stays.
	s.mustOpen("/v1/events:watch?cursor=latest", append([]string{"Last-Event-ID", "2"}, user...)...).expect(t, 3, 10)
	if e, err := s.mustOpen("/v1/events:watch?resource=models/m", user...).event(); err != nil || e.LastEventID != "11" {
		t.Errorf("of one resource: %v, %v", e, err)
	}
	// The page has a cookie and no header.
	token := strings.TrimPrefix(user[1], "Bearer ")
	s.mustOpen("/v1/events:watch", "Cookie", "trainyard_session="+token, "Sec-Fetch-Site", "same-origin").expect(t, 1, 10)
}

func TestEventStreamIsRefusedBeforeItBegins(t *testing.T) {
	up := startUpstream(t)
	s := startGateway(t, gateway.Config{MaxWatchers: 1}, up.conn)
	user := bearer(up.Token("a"))
	s.do("GET", "/v1/events:watch", "").expectError(t, 401, "CREDENTIALS_INVALID")
	s.do("GET", "/v1/events:watch?cursor=99", "", user...).expectError(t, 400, "PAGE_TOKEN_INVALID")
	s.do("GET", "/v1/events:watch?cursor=x", "", user...).expectError(t, 400, "PAGE_TOKEN_INVALID")
	s.do("GET", "/v1/events:watch?since=1", "", user...).expectError(t, 400, "FIELD_INVALID")
	s.mustOpen("/v1/events:watch", user...)
	s.do("GET", "/v1/events:watch", "", user...).expectError(t, 503, "DEPENDENCY_UNAVAILABLE")
}

// TestEventStreamResumes has a client reconnect with Last-Event-ID, as browsers do, while events flow and the gateway restarts.
func TestEventStreamResumes(t *testing.T) {
	up := startUpstream(t)
	s := startGateway(t, gateway.Config{}, up.conn)
	user := bearer(up.Token("a"))
	const n = 200
	published := make(chan struct{})
	go func() {
		defer close(published)
		for i := range n {
			up.publish("a", numbered(i, i+1)...)
		}
	}()
	defer func() { <-published }()

	seen, lastID := 0, ""
	for connections := 0; seen < n; {
		st, err := s.open("/v1/events:watch", append([]string{"Last-Event-ID", lastID}, user...)...)
		if err != nil {
			t.Fatal(err)
		}
		connections++
		for seen < n {
			e, err := st.event()
			if err != nil {
				break
			}
			if seen++; e.LastEventID != fmt.Sprint(seen) {
				t.Fatalf("got event %s after %d", e.LastEventID, seen-1)
			}
			if connections < 4 && seen == connections*20 {
				addr := s.unit.Addr()
				s.stop() // Ends the stream; what was under way is still read.
				s = startGateway(t, gateway.Config{HTTP: addr}, up.conn)
			}
		}
		lastID = st.lastID
		st.close()
	}
}

// TestEventStreamOutlivesNotification restarts notification under an open stream.
func TestEventStreamOutlivesNotification(t *testing.T) {
	up := startUpstream(t)
	s := startGateway(t, gateway.Config{}, up.conn)
	up.publish("a", numbered(0, 5)...)
	st := s.mustOpen("/v1/events:watch", bearer(up.Token("a"))...)
	st.expect(t, 1, 5)
	for i := 5; i < 8; i++ {
		up.Stop()
		up.Restart(up.notification())
		up.publish("a", numbered(i, i+1)...)
		st.expect(t, i+1, i+1)
	}
}

func TestShutdownWithOpenEventStreams(t *testing.T) {
	up := startUpstream(t)
	s := startGateway(t, gateway.Config{}, up.conn)
	user := bearer(up.Token("a"))
	var streams []*stream
	for range 20 {
		st := s.mustOpen("/v1/events:watch", user...)
		if _, err, _ := st.next(); err != nil {
			t.Fatal(err)
		}
		streams = append(streams, st)
	}
	begin := time.Now()
	s.stop()
	if took := time.Since(begin); took > time.Second {
		t.Errorf("the shutdown took %v", took)
	}
	for _, st := range streams {
		if _, err := st.event(); err != io.EOF { //nolint:errorlint // Set by event, unwrapped.
			t.Fatalf("a stream ended with %v", err)
		}
	}
}

// TestStuckWatcherIsCutOff has a client that reads nothing hold the only place, until the gateway takes it away.
func TestStuckWatcherIsCutOff(t *testing.T) {
	up := startUpstream(t)
	s := startGateway(t, gateway.Config{MaxWatchers: 1, WriteTimeout: 200 * time.Millisecond}, up.conn)
	user := bearer(up.Token("a"))
	var dialer net.Dialer
	conn, err := dialer.DialContext(t.Context(), "tcp", s.unit.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, err = fmt.Fprintf(conn, "GET /v1/events:watch?cursor=latest HTTP/1.1\r\nHost: x\r\n%s: %s\r\n\r\n", user[0], user[1])
	if err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, 10*time.Second, "the place is taken", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+"/v1/events:watch", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set(user[0], user[1])
		res, err := s.http.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		return res.StatusCode == http.StatusServiceUnavailable
	})
	payload := &structpb.Struct{Fields: map[string]*structpb.Value{"text": structpb.NewStringValue(strings.Repeat("x", 100<<10))}}
	for i := range 200 {
		e := numbered(i, i+1)[0]
		e.Payload = payload
		up.publish("a", e)
	}
	testkit.Eventually(t, 20*time.Second, "the place is free", func() bool {
		st, err := s.open("/v1/events:watch", user...)
		if err == nil {
			st.close()
		}
		return err == nil
	})
}
