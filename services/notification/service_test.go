package notification_test

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	errorsv1 "github.com/trainyard/trainyard/gen/trainyard/errors/v1"
	notificationv1 "github.com/trainyard/trainyard/gen/trainyard/notification/v1"
	"github.com/trainyard/trainyard/services/internal/apierror"
	"github.com/trainyard/trainyard/services/internal/testkit"
	"github.com/trainyard/trainyard/services/notification"
	"golang.org/x/sync/errgroup"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"pgregory.net/rapid"
)

func TestOnlyServicesPublish(t *testing.T) {
	s := start(t, notification.Config{Store: testkit.SQLite(t)})
	_, err := s.user("a").PublishEvents(t.Context(), publishRequest("a", event("e", "r")))
	if status.Code(err) != codes.PermissionDenied {
		t.Errorf("a user publishes: %v", err)
	}
	for name, req := range map[string]*notificationv1.PublishEventsRequest{
		"no project": publishRequest("", event("e", "r")),
		"no id":      publishRequest("a", event("", "r")),
		"no event":   {Events: []*notificationv1.ProjectEvent{{Project: "a"}}},
		"nothing":    {},
		"long name":  publishRequest(strings.Repeat("a", 1001), event("e", "r")),
	} {
		if _, err := s.service.PublishEvents(t.Context(), req); status.Code(err) != codes.InvalidArgument {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestListEvents(t *testing.T) {
	testkit.EachDatabase(t, func(t *testing.T, dsn string) {
		s := start(t, notification.Config{Store: dsn})
		s.publish("a", events(0, 150)...)
		s.publish("b", event("theirs", "datasets/d"))
		user := s.user("a")
		list := func(req *notificationv1.ListEventsRequest) *notificationv1.ListEventsResponse {
			t.Helper()
			res, err := user.ListEvents(t.Context(), req)
			if err != nil {
				t.Fatal(err)
			}
			return res
		}
		first := list(&notificationv1.ListEventsRequest{})
		if len(first.GetEvents()) != 100 || first.GetNextCursor() != "100" {
			t.Errorf("first page: %d events, next %q", len(first.GetEvents()), first.GetNextCursor())
		}
		if rest := list(&notificationv1.ListEventsRequest{Cursor: "100", PageSize: 5000}); len(rest.GetEvents()) != 50 || rest.GetNextCursor() != "150" {
			t.Errorf("the rest: %d events, next %q", len(rest.GetEvents()), rest.GetNextCursor())
		}
		if end := list(&notificationv1.ListEventsRequest{Cursor: "150"}); len(end.GetEvents()) != 0 || end.GetNextCursor() != "150" {
			t.Errorf("the end: %d events, next %q", len(end.GetEvents()), end.GetNextCursor())
		}
		for _, cursor := range []string{"151", "-1", "+1", "01", "x", "latest", "99999999999999999999"} {
			_, err := user.ListEvents(t.Context(), &notificationv1.ListEventsRequest{Cursor: cursor})
			if status.Code(err) != codes.InvalidArgument || !apierror.Is(err, errorsv1.ErrorReason_PAGE_TOKEN_INVALID) {
				t.Errorf("cursor %q: %v", cursor, err)
			}
		}
		if _, err := s.service.ListEvents(t.Context(), &notificationv1.ListEventsRequest{}); status.Code(err) != codes.Unauthenticated {
			t.Errorf("a service that acts for no project: %v", err)
		}
	})
}

func TestWatchReplaysThenFollows(t *testing.T) {
	testkit.EachDatabase(t, func(t *testing.T, dsn string) {
		s := start(t, notification.Config{Store: dsn, PollInterval: time.Hour}) // Wake-ups must do.
		user := s.user("a")
		s.publish("a", events(0, 700)...) // More than memory and a page hold.
		s.publish("b", events(0, 3)...)

		fromStart := s.watch(t.Context(), user, "", "")
		fromMiddle := s.watch(t.Context(), user, "333", "")
		fromNow := s.watch(t.Context(), user, "latest", "")
		if fromStart.cursor != "0" || fromMiddle.cursor != "333" || fromNow.cursor != "700" {
			t.Errorf("first cursors: %q, %q, %q", fromStart.cursor, fromMiddle.cursor, fromNow.cursor)
		}
		fromStart.expect(t, 0, 700)
		fromMiddle.expect(t, 333, 367)
		for i := range 20 {
			s.publish("a", events(700+i, 701+i)...)
			within(t, 5*time.Second, "an event's way", func() {
				for _, w := range []*watcher{fromStart, fromMiddle, fromNow} {
					w.expect(t, int64(700+i), 1)
				}
			})
		}
		if _, err := openWatch(t.Context(), user, "721", ""); !apierror.Is(err, errorsv1.ErrorReason_PAGE_TOKEN_INVALID) {
			t.Errorf("a cursor beyond the end: %v", err)
		}
	})
}

func TestWatchOfOneResource(t *testing.T) {
	s := start(t, notification.Config{Store: testkit.SQLite(t), Heartbeat: 50 * time.Millisecond})
	user := s.user("a")
	s.publish("a", event("1", "datasets/d"), event("2", "datasets/d2"), event("3", "datasets/d/versions/1"))
	w := s.watch(t.Context(), user, "", "datasets/d")
	s.publish("a", event("4", "datasets/x"), event("5", "datasets/d/versions/2"), event("6", "models/m"))
	for _, want := range []string{"1", "3", "5"} {
		if e, err := w.next(); err != nil || e.GetId() != want {
			t.Fatalf("got %v, %v; want event %s", e, err, want)
		}
	}
	// The heartbeats' cursor passes over what is not of the resource.
	testkit.Eventually(t, 5*time.Second, "a heartbeat with cursor 6", func() bool {
		reply, err := w.recv()
		if err != nil || reply.GetEvent() != nil {
			t.Fatalf("got %v, %v", reply, err)
		}
		return reply.GetCursor() == "6"
	})
}

func TestHeartbeatsFlowWhenNothingElseDoes(t *testing.T) {
	s := start(t, notification.Config{Store: testkit.SQLite(t), Heartbeat: 30 * time.Millisecond})
	w := s.watch(t.Context(), s.user("nobody-published"), "latest", "")
	for range 3 {
		reply, err := w.recv()
		if err != nil || reply.GetEvent() != nil || reply.GetCursor() != "0" {
			t.Fatalf("got %v, %v", reply, err)
		}
	}
}

func TestPrunedCursorIsToldWhereToGoOn(t *testing.T) {
	dsn := testkit.SQLite(t)
	s := start(t, notification.Config{Store: dsn})
	s.publish("a", events(0, 10)...)
	s.Stop()
	db, err := sql.Open("sqlite", strings.TrimPrefix(dsn, "sqlite:"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(t.Context(), "UPDATE events SET append_time = append_time - 7200000000 WHERE sequence <= 4"); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	s.Restart(newUnit(t, notification.Config{Store: dsn, Retention: time.Hour})) // Prunes when it starts.

	user := s.user("a")
	testkit.Eventually(t, 10*time.Second, "events are pruned", func() bool {
		w := s.watch(t.Context(), user, "", "")
		return w.cursor == "4"
	})
	_, err = openWatch(t.Context(), user, "3", "")
	info, _ := status.Convert(err).Details()[0].(*errdetails.ErrorInfo)
	if status.Code(err) != codes.OutOfRange || info.GetMetadata()["oldest_cursor"] != "4" {
		t.Errorf("got %v, details %v", err, info)
	}
	s.watch(t.Context(), user, "4", "").expect(t, 4, 6)
}

func TestTooManyWatchers(t *testing.T) {
	s := start(t, notification.Config{Store: testkit.SQLite(t), MaxWatchers: 2})
	user := s.user("a")
	ctx, leave := context.WithCancel(t.Context())
	s.watch(ctx, user, "", "")
	s.watch(t.Context(), user, "", "")
	if _, err := openWatch(t.Context(), user, "", ""); !apierror.Is(err, errorsv1.ErrorReason_QUOTA_EXCEEDED) {
		t.Errorf("the third: %v", err)
	}
	s.watch(t.Context(), s.user("b"), "", "") // Another project isn't concerned.
	leave()
	testkit.Eventually(t, 5*time.Second, "a place is free again", func() bool {
		_, err := openWatch(t.Context(), user, "", "")
		return err == nil
	})
}

// TestSlowWatcherIsCutOffAndResumes has a watcher read nothing while more comes than buffers between it and us hold.
func TestSlowWatcherIsCutOffAndResumes(t *testing.T) {
	s := start(t, notification.Config{Store: testkit.SQLite(t), SendTimeout: 200 * time.Millisecond})
	user := s.user("a")
	slow := s.watch(t.Context(), user, "latest", "")
	quick := s.watch(t.Context(), user, "latest", "")
	const n = 400
	for i := 0; i < n; i += 20 {
		batch := events(i, i+20)
		for _, e := range batch {
			e.Payload = bigPayload()
		}
		s.publish("a", batch...)
		quick.expect(t, int64(i), 20) // It is not held up.
	}

	testkit.Eventually(t, 10*time.Second, "the slow watcher is cut off", func() bool { return s.metric("watchers_cut_off_total") == 1 })

	var got int64
	var err error
	for err == nil { // What was under way arrives.
		var e *notificationv1.Event
		if e, err = slow.next(); err == nil {
			if got++; e.GetSequence() != got {
				t.Fatalf("got sequence %d, want %d", e.GetSequence(), got)
			}
		}
	}
	if status.Code(err) != codes.ResourceExhausted || !apierror.Is(err, errorsv1.ErrorReason_WATCHER_TOO_SLOW) {
		t.Fatalf("cut off by %v", err)
	}
	if got >= n {
		t.Fatalf("all %d events were buffered", got)
	}
	s.watch(t.Context(), user, slow.cursor, "").expect(t, got, n-int(got))
}

func TestShutdownWithOpenStreams(t *testing.T) {
	testkit.EachDatabase(t, func(t *testing.T, dsn string) {
		s := start(t, notification.Config{Store: dsn})
		user := s.user("a")
		var watchers []*watcher
		for range 50 {
			watchers = append(watchers, s.watch(t.Context(), user, "latest", ""))
		}
		within(t, time.Second, "the shutdown", s.Stop) // The server's own limit is 2 s.
		for _, w := range watchers {
			if err := w.end(); status.Code(err) != codes.Unavailable || !apierror.Is(err, errorsv1.ErrorReason_DEPENDENCY_UNAVAILABLE) {
				t.Fatalf("a stream ended with %v", err)
			}
		}
	})
}

// TestPublishersAndRestarts has 50 publishers, each event coming from two of them, publish while the service restarts. Watchers
// resume and must see exactly the log.
func TestPublishersAndRestarts(t *testing.T) {
	testkit.EachDatabase(t, func(t *testing.T, dsn string) {
		s := start(t, notification.Config{Store: dsn})
		const publishers, each = 50, 10
		user := s.user("a")
		group, ctx := errgroup.WithContext(t.Context())
		for p := range publishers {
			group.Go(func() error {
				for i := range each {
					mine, neighbours := p*each+i, (p+1)%publishers*each+i
					req := publishRequest("a", append(events(mine, mine+1), events(neighbours, neighbours+1)...)...)
					for {
						_, err := s.service.PublishEvents(ctx, req)
						if err == nil {
							break
						}
						if ctx.Err() != nil {
							return err
						}
						time.Sleep(20 * time.Millisecond) // The outbox's retry.
					}
				}
				return nil
			})
		}
		for range 5 {
			group.Go(func() error { return follow(ctx, user, publishers*each) })
		}
		for range 3 {
			before := len(s.list("a"))
			testkit.Eventually(t, 30*time.Second, "some events more", func() bool { return len(s.list("a")) >= min(before+50, publishers*each) })
			s.Stop()
			s.Restart(newUnit(t, notification.Config{Store: dsn}))
		}
		if err := group.Wait(); err != nil {
			t.Fatal(err)
		}
		expectNumbered(t, s.list("a"), publishers*each)
	})
}

// follow watches from the beginning, resuming whenever the stream breaks, and fails unless it sees 1 to n in order.
func follow(ctx context.Context, user notificationv1.NotificationServiceClient, n int64) error {
	cursor, seen := "", int64(0)
	for ctx.Err() == nil {
		w, err := openWatch(ctx, user, cursor, "")
		if err != nil {
			time.Sleep(20 * time.Millisecond)
			continue
		}
		for {
			e, err := w.next()
			cursor = w.cursor
			if err != nil {
				break
			}
			if seen++; e.GetSequence() != seen {
				return fmt.Errorf("saw sequence %d after %d", e.GetSequence(), seen-1)
			}
			if seen == n {
				return nil
			}
		}
	}
	return ctx.Err()
}

// TestWatchersSeeExactlyTheLog is a property: whatever is published in whatever batches, repeated or not, a watcher of any resource from any
// cursor sees exactly what the log holds there, and so does one that resumes midway.
func TestWatchersSeeExactlyTheLog(t *testing.T) {
	resources := []string{"datasets/a", "datasets/a/versions/1", "datasets/b", "models/m"}
	testkit.EachDatabase(t, func(t *testing.T, dsn string) {
		s := start(t, notification.Config{Store: dsn})
		run := 0
		rapid.Check(t, func(rt *rapid.T) {
			run++
			project := fmt.Sprint("p", run)
			user := s.user(project)
			var model []*notificationv1.Event
			publish := func(label string) {
				size := rapid.IntRange(1, 30).Draw(rt, label)
				var batch []*notificationv1.Event
				for range size {
					if len(model) > 0 && rapid.IntRange(0, 3).Draw(rt, "again") == 0 {
						batch = append(batch, rapid.SampledFrom(model).Draw(rt, "which"))
						continue
					}
					e := event(fmt.Sprint(len(model)), rapid.SampledFrom(resources).Draw(rt, "resource"))
					model, batch = append(model, e), append(batch, e)
				}
				s.publish(project, batch...)
			}
			publish("before")
			cursor := rapid.IntRange(0, len(model)).Draw(rt, "cursor")
			resource := rapid.SampledFrom([]string{"", "datasets/a", "datasets/b", "nothing"}).Draw(rt, "watched")
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			w := s.watch(ctx, user, fmt.Sprint(cursor), resource)
			publish("while")
			publish("and more")
			var want []string
			for _, e := range model[cursor:] {
				if resource == "" || e.GetResource() == resource || strings.HasPrefix(e.GetResource(), resource+"/") {
					want = append(want, e.GetId())
				}
			}
			resumeAt := rapid.IntRange(0, len(want)).Draw(rt, "resume at")
			var got []string
			for i := range want {
				if i == resumeAt {
					w = s.watch(ctx, user, w.cursor, resource)
				}
				e, err := w.next()
				if err != nil {
					rt.Fatal(err)
				}
				got = append(got, e.GetId())
			}
			if !slices.Equal(got, want) {
				rt.Fatalf("got %v, want %v", got, want)
			}
		})
	})
}
