package gateway

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"github.com/grpc-ecosystem/grpc-gateway/v2/utilities"
	"github.com/tmaxmax/go-sse"
	errorsv1 "github.com/trainyard/trainyard/gen/trainyard/errors/v1"
	notificationv1 "github.com/trainyard/trainyard/gen/trainyard/notification/v1"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const (
	// reconnectAfter is how long browsers wait before they reconnect.
	reconnectAfter = time.Second
	// firstReply is how long notification may take to answer.
	firstReply = 15 * time.Second
	// resumeFor is how long a stream outlives notification: browsers give up for ever on a stream that is refused with a 503.
	resumeFor = 30 * time.Second
)

// eventStreams serves `/v1/events:watch`: NotificationService.WatchEvents as server-sent events, where `id` is the cursor. It is
// mounted by hand, for grpc-gateway wraps the items of a stream and sends no headers before the first.
type eventStreams struct {
	unit     *Unit
	rest     *runtime.ServeMux // For the headers that go upstream.
	client   notificationv1.NotificationServiceClient
	places   chan struct{} // Holds a token for each open stream.
	closing  context.Context
	closeAll context.CancelFunc
}

func newEventStreams(u *Unit, rest *runtime.ServeMux, notification grpc.ClientConnInterface) *eventStreams {
	closing, closeAll := context.WithCancel(context.Background())
	return &eventStreams{
		unit: u, rest: rest, client: notificationv1.NewNotificationServiceClient(notification),
		places: make(chan struct{}, u.cfg.MaxWatchers), closing: closing, closeAll: closeAll,
	}
}

// close ends all streams and waits for none; clients resume elsewhere.
func (e *eventStreams) close() { e.closeAll() }

func (e *eventStreams) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	u := e.unit
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		u.writeError(w, r, status.Error(codes.InvalidArgument, err.Error()))
		return
	}
	req := &notificationv1.WatchEventsRequest{}
	if err := (strictParser{}).Parse(req, query, utilities.NewDoubleArray(nil)); err != nil {
		u.writeError(w, r, err)
		return
	}
	if last := r.Header.Get("Last-Event-ID"); last != "" {
		req.Cursor = last // A browser that reconnects uses the address it began with.
	}
	select {
	case e.places <- struct{}{}:
		defer func() { <-e.places }()
	default:
		u.refuse(w, http.StatusServiceUnavailable, codes.Unavailable, errorsv1.ErrorReason_DEPENDENCY_UNAVAILABLE,
			"This gateway has as many event streams open as it may; try again in a moment.")
		return
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(e.closing, cancel)()
	ctx, err = runtime.AnnotateContext(ctx, e.rest, r, notificationv1.NotificationService_WatchEvents_FullMethodName)
	if err != nil {
		u.writeError(w, r, err)
		return
	}
	upstream, reply, err := e.watch(ctx, req)
	if err != nil {
		u.writeError(w, r, err)
		return
	}
	client, err := newEventWriter(w, r, u.cfg.WriteTimeout)
	if err != nil {
		u.log.Debug("event stream ended before it began", zap.Error(err))
		return
	}
	for {
		if err := client.send(reply); err != nil {
			u.log.Debug("a watcher went away or read too slowly", zap.Error(err))
			return
		}
		req.Cursor = reply.GetCursor()
		if reply, err = upstream.Recv(); err == nil {
			continue
		}
		if status.Code(err) == codes.Unavailable && ctx.Err() == nil {
			upstream, reply, err = e.resume(ctx, req)
		}
		if err != nil {
			if ctx.Err() == nil {
				u.log.Info("event stream ends", zap.Error(err))
			}
			return
		}
	}
}

type upstream = grpc.ServerStreamingClient[notificationv1.WatchEventsResponse]

// watch opens a stream and reads its first reply, which is how notification says that it has accepted.
func (e *eventStreams) watch(ctx context.Context, req *notificationv1.WatchEventsRequest) (upstream, *notificationv1.WatchEventsResponse, error) {
	ctx, giveUp := context.WithCancelCause(ctx)
	late := time.AfterFunc(firstReply, func() { giveUp(context.DeadlineExceeded) })
	defer late.Stop()
	stream, err := e.client.WatchEvents(ctx, req)
	var reply *notificationv1.WatchEventsResponse
	if err == nil {
		reply, err = stream.Recv()
	}
	if err != nil {
		giveUp(nil)
		if context.Cause(ctx) == context.DeadlineExceeded { //nolint:errorlint // Set right above, unwrapped.
			err = status.Error(codes.Unavailable, "notification gave no first reply")
		}
		return nil, nil, err
	}
	return stream, reply, nil //nolint:govet // The stream's context ends with its parent, the request's.
}

// resume opens the stream anew where it broke off.
func (e *eventStreams) resume(ctx context.Context, req *notificationv1.WatchEventsRequest) (upstream, *notificationv1.WatchEventsResponse, error) {
	type opened struct {
		stream upstream
		reply  *notificationv1.WatchEventsResponse
	}
	o, err := backoff.Retry(ctx, func() (opened, error) {
		stream, reply, err := e.watch(ctx, req)
		if err != nil && status.Code(err) != codes.Unavailable {
			err = backoff.Permanent(err)
		}
		return opened{stream, reply}, err
	}, backoff.WithMaxElapsedTime(resumeFor))
	return o.stream, o.reply, err
}

// eventWriter writes to one client.
type eventWriter struct {
	session *sse.Session
	control *http.ResponseController
	timeout time.Duration
}

// newEventWriter sends the headers.
func newEventWriter(w http.ResponseWriter, r *http.Request, timeout time.Duration) (*eventWriter, error) {
	session, err := sse.Upgrade(w, r)
	if err != nil {
		return nil, err
	}
	e := &eventWriter{session: session, control: http.NewResponseController(w), timeout: timeout}
	// The server's own timeouts are for requests that end.
	if err := e.control.SetReadDeadline(time.Time{}); err != nil {
		return nil, err
	}
	w.Header().Set("X-Accel-Buffering", "no") // nginx would hold events back.
	return e, e.write(&sse.Message{Retry: reconnectAfter})
}

func (e *eventWriter) send(reply *notificationv1.WatchEventsResponse) error {
	message := &sse.Message{}
	var err error
	if message.ID, err = sse.NewID(reply.GetCursor()); err != nil {
		return err
	}
	if reply.GetEvent() == nil {
		message.Type = sse.Type("heartbeat")
		message.AppendData("{}")
		return e.write(message)
	}
	if message.Type, err = sse.NewType(reply.GetEvent().GetType()); err != nil {
		return err
	}
	data, err := resourceJSON.Marshal(reply.GetEvent())
	if err != nil {
		return fmt.Errorf("event %s: %w", reply.GetEvent().GetId(), err)
	}
	message.AppendData(string(data))
	return e.write(message)
}

func (e *eventWriter) write(message *sse.Message) error {
	if err := e.control.SetWriteDeadline(time.Now().Add(e.timeout)); err != nil {
		return err
	}
	if err := e.session.Send(message); err != nil {
		return err
	}
	return e.session.Flush()
}
