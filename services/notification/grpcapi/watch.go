package grpcapi

import (
	"context"
	"sync/atomic"
	"time"

	notificationv1 "github.com/trainyard/trainyard/gen/trainyard/notification/v1"
	"github.com/trainyard/trainyard/services/internal/auth"
	"github.com/trainyard/trainyard/services/notification/eventlog"
	"google.golang.org/grpc"
)

// WatchEvents replays and follows the caller's log. The first reply is a heartbeat, so that a watcher that asked for `latest` knows
// at once where to resume.
func (s *Server) WatchEvents(req *notificationv1.WatchEventsRequest, stream grpc.ServerStreamingServer[notificationv1.WatchEventsResponse]) error {
	project, err := auth.Project(stream.Context())
	if err != nil {
		return err
	}
	position, end, err := s.start(stream.Context(), project, req.GetCursor())
	if err != nil {
		return toStatus(err)
	}
	watch, err := s.hub.Watch(project, position, end, req.GetResource())
	if err != nil {
		return toStatus(err)
	}
	defer watch.Close()
	s.watchers.Inc()
	defer s.watchers.Dec()

	out := newSender(stream, s.cfg.Buffer, position)
	reply := &notificationv1.WatchEventsResponse{Cursor: formatCursor(position)}
	for {
		if err := s.send(out, reply); err != nil {
			return err
		}
		events, err := watch.Next(stream.Context(), time.Until(out.queued.Add(s.cfg.Heartbeat)))
		if err != nil {
			out.drain(time.Second)
			return toStatus(err)
		}
		for _, event := range events {
			if err := s.send(out, &notificationv1.WatchEventsResponse{Event: event, Cursor: formatCursor(event.GetSequence())}); err != nil {
				return err
			}
		}
		reply = nil
		if time.Since(out.queued) >= s.cfg.Heartbeat {
			reply = &notificationv1.WatchEventsResponse{Cursor: formatCursor(watch.Position())}
		}
	}
}

// start finds where to begin, and where the log ends now; it fails when the log can't be followed from the cursor.
func (s *Server) start(ctx context.Context, project, cursor string) (position, end int64, err error) {
	if cursor == latest {
		heads, err := s.events.Heads(ctx, []string{project})
		return heads[project], heads[project], err
	}
	after, err := parseCursor(cursor)
	if err != nil {
		return 0, 0, err
	}
	page, err := s.events.Read(ctx, project, after, 1, "")
	switch {
	case err != nil:
		return 0, 0, err
	case after != eventlog.Beginning:
		return after, page.Last, nil
	case len(page.Events) > 0:
		return page.Events[0].GetSequence() - 1, page.Last, nil // What is kept may begin later than at 1.
	default:
		return page.Last, page.Last, nil
	}
}

// send queues a reply (nil is none), and cuts the watcher off when it takes nothing for too long.
func (s *Server) send(out *sender, reply *notificationv1.WatchEventsResponse) error {
	if reply == nil {
		return nil
	}
	timer := time.NewTimer(s.cfg.SendTimeout)
	defer timer.Stop()
	select {
	case out.replies <- reply:
		out.queued = time.Now()
		return nil
	case <-out.done:
		return out.err
	case <-timer.C:
		s.cutOff.Inc()
		return tooSlow(out.sent.Load())
	}
}

// sender sends replies from a goroutine of its own, for a Send to a watcher that doesn't read blocks until the rpc ends, and only the
// rpc's handler can end it.
type sender struct {
	replies chan *notificationv1.WatchEventsResponse
	done    chan struct{} // Closed when nothing more is sent.
	err     error         // Why; read it after done.
	sent    atomic.Int64  // The position up to which replies have left.
	queued  time.Time     // When the last reply was queued.
}

func newSender(stream grpc.ServerStreamingServer[notificationv1.WatchEventsResponse], buffer int, position int64) *sender {
	s := &sender{replies: make(chan *notificationv1.WatchEventsResponse, buffer), done: make(chan struct{}), queued: time.Now()}
	s.sent.Store(position)
	go func() {
		defer close(s.done)
		for {
			select {
			case reply, ok := <-s.replies:
				if !ok {
					return
				}
				if s.err = stream.Send(reply); s.err != nil {
					return
				}
				if reply.GetEvent() != nil {
					s.sent.Store(reply.GetEvent().GetSequence())
				}
			case <-stream.Context().Done(): // The rpc has ended.
				s.err = stream.Context().Err()
				return
			}
		}
	}()
	return s
}

// drain gives what is queued some time to leave.
func (s *sender) drain(limit time.Duration) {
	close(s.replies)
	select {
	case <-s.done:
	case <-time.After(limit):
	}
}
