package eventlog_test

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	notificationv1 "github.com/trainyard/trainyard/gen/trainyard/notification/v1"
	"github.com/trainyard/trainyard/services/internal/store"
	"github.com/trainyard/trainyard/services/internal/testkit"
	"github.com/trainyard/trainyard/services/notification/eventlog"
	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// TestLog is the conformance suite: it says what the log promises on either database.
func TestLog(t *testing.T) {
	testkit.EachDatabase(t, func(t *testing.T, dsn string) {
		db, err := store.Open(t.Context(), dsn, "notification", migrations())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = db.Close() })
		for name, test := range map[string]func(t *testing.T, db *store.DB, log *eventlog.Log){
			"keeps what it was given, in order":             testKeeps,
			"leaves out what it has":                        testDuplicates,
			"has no gap and no double under concurrency":    testConcurrency,
			"keeps projects apart":                          testProjects,
			"gives a resource and what is below it":         testFilter,
			"ends a page early when it grows large":         testLargePages,
			"refuses positions it never gave":               testBeyondEnd,
			"prunes the oldest and says so to who lags":     testPrune,
			"prunes a prefix only, whatever the clock did":  testPruneClock,
			"numbers on after everything was pruned":        testPruneAll,
			"appends all of a call's events or none":        testAtomic,
			"gives the ends of the logs that have an event": testHeads,
		} {
			t.Run(name, func(t *testing.T) { test(t, db, eventlog.New(db)) })
		}
	})
}

func migrations() fs.FS { return os.DirFS("../migrations") }

func event(id, resource string) *notificationv1.Event {
	payload, err := structpb.NewStruct(map[string]any{"name": resource, "state": "READY", "n": 1.5, "<&>": "\u2028 é"})
	if err != nil {
		panic(err)
	}
	return &notificationv1.Event{
		Id: id, Resource: resource, Type: "version.state", Payload: payload,
		Time: timestamppb.New(time.Date(2026, 1, 2, 3, 4, 5, 678000, time.UTC)),
	}
}

func entries(project string, events ...*notificationv1.Event) []*notificationv1.ProjectEvent {
	result := make([]*notificationv1.ProjectEvent, len(events))
	for i, e := range events {
		result[i] = &notificationv1.ProjectEvent{Project: project, Event: e}
	}
	return result
}

func numbered(project string, n int) []*notificationv1.ProjectEvent {
	result := make([]*notificationv1.ProjectEvent, n)
	for i := range result {
		result[i] = &notificationv1.ProjectEvent{Project: project, Event: event(fmt.Sprint("e", i), "datasets/d")}
	}
	return result
}

func appendAll(t *testing.T, log *eventlog.Log, entries []*notificationv1.ProjectEvent) {
	t.Helper()
	if _, _, err := log.Append(t.Context(), entries); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, log *eventlog.Log, project string, after int64, limit int, resource string) eventlog.Page {
	t.Helper()
	page, err := log.Read(t.Context(), project, after, limit, resource)
	if err != nil {
		t.Fatal(err)
	}
	return page
}

func ids(page eventlog.Page) []string {
	var result []string
	for _, e := range page.Events {
		result = append(result, e.GetId())
	}
	return result
}

func testKeeps(t *testing.T, _ *store.DB, log *eventlog.Log) {
	project := t.Name()
	bare := &notificationv1.Event{Id: "bare", Resource: "models/m", Type: "model.created", Time: timestamppb.New(time.UnixMicro(1))}
	given := []*notificationv1.Event{event("b", "datasets/d"), bare, event("a", "datasets/d")}
	grown, added, err := log.Append(t.Context(), entries(project, given...))
	if err != nil || !slices.Equal(grown, []string{project}) || added != 3 {
		t.Fatalf("got %v, %d, %v", grown, added, err)
	}
	page := read(t, log, project, eventlog.Beginning, 10, "")
	if page.Next != 3 || page.Last != 3 {
		t.Fatalf("got next %d, last %d", page.Next, page.Last)
	}
	for i, want := range given {
		want.Sequence = int64(i + 1)
		if !proto.Equal(page.Events[i], want) {
			t.Errorf("got %v, want %v", page.Events[i], want)
		}
	}
	if page := read(t, log, project, 1, 1, ""); !slices.Equal(ids(page), []string{"bare"}) || page.Next != 2 || page.Last != 3 {
		t.Fatalf("second page: %v, next %d, last %d", ids(page), page.Next, page.Last)
	}
	if page := read(t, log, project, 3, 10, ""); len(page.Events) != 0 || page.Next != 3 {
		t.Fatalf("at the end: %v, next %d", ids(page), page.Next)
	}
}

func testDuplicates(t *testing.T, _ *store.DB, log *eventlog.Log) {
	project := t.Name()
	appendAll(t, log, entries(project, event("a", "r"), event("b", "r"), event("a", "r")))
	grown, added, err := log.Append(t.Context(), entries(project, event("b", "r"), event("a", "r")))
	if err != nil || len(grown) != 0 || added != 0 {
		t.Fatalf("published again: grown %v, added %d, %v", grown, added, err)
	}
	appendAll(t, log, entries(project, event("b", "r"), event("c", "r")))
	if got := ids(read(t, log, project, 0, 10, "")); !slices.Equal(got, []string{"a", "b", "c"}) {
		t.Fatalf("got %v", got)
	}
}

func testConcurrency(t *testing.T, _ *store.DB, log *eventlog.Log) {
	const publishers, events = 50, 400
	projects := []string{t.Name() + "/1", t.Name() + "/2"}
	group, ctx := errgroup.WithContext(t.Context())
	for p := range publishers {
		// Each publishes a third of all events, so that most come from many at once, in batches over both projects.
		group.Go(func() error {
			random := rand.New(rand.NewPCG(uint64(p), 7))
			for from := 0; from < events; from += 50 {
				var batch []*notificationv1.ProjectEvent
				for i := from; i < from+50; i++ {
					if i%publishers == p || random.IntN(3) == 0 {
						batch = append(batch, &notificationv1.ProjectEvent{Project: projects[i%2], Event: event(fmt.Sprint("e", i), "r")})
					}
				}
				random.Shuffle(len(batch), func(i, j int) { batch[i], batch[j] = batch[j], batch[i] })
				if len(batch) == 0 {
					continue
				}
				if _, _, err := log.Append(ctx, batch); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	for _, project := range projects {
		page := read(t, log, project, 0, 1000, "")
		seen := map[string]bool{}
		for i, e := range page.Events {
			if e.GetSequence() != int64(i+1) {
				t.Fatalf("%s: sequence %d at place %d", project, e.GetSequence(), i+1)
			}
			seen[e.GetId()] = true
		}
		if len(page.Events) != events/2 || len(seen) != events/2 {
			t.Fatalf("%s: %d events, %d different, want %d", project, len(page.Events), len(seen), events/2)
		}
	}
}

func testProjects(t *testing.T, _ *store.DB, log *eventlog.Log) {
	mine, theirs := t.Name()+"/mine", t.Name()+"/theirs"
	appendAll(t, log, append(entries(mine, event("same", "r")), entries(theirs, event("same", "r"), event("other", "r"))...))
	if got := ids(read(t, log, mine, 0, 10, "")); !slices.Equal(got, []string{"same"}) {
		t.Errorf("got %v", got)
	}
	if page := read(t, log, t.Name()+"/nobody's", eventlog.Beginning, 10, ""); len(page.Events) != 0 || page.Next != 0 || page.Last != 0 {
		t.Errorf("an empty log gives %v", page)
	}
}

func testFilter(t *testing.T, _ *store.DB, log *eventlog.Log) {
	project := t.Name()
	for i, resource := range []string{"datasets/d", "datasets/d/versions/1", "datasets/d2", "datasets/d/versions/10", "datasets", "datasets/dé/x"} {
		appendAll(t, log, entries(project, event(fmt.Sprint(i), resource)))
	}
	for resource, want := range map[string][]string{
		"datasets/d":            {"0", "1", "3"},
		"datasets/d/versions/1": {"1"},
		"datasets/dé":           {"5"},
		"datasets":              {"0", "1", "2", "3", "4", "5"},
		"data":                  nil,
		"datasets/%":            nil,
	} {
		page := read(t, log, project, 0, 10, resource)
		if !slices.Equal(ids(page), want) || page.Next != 6 {
			t.Errorf("%s: got %v, next %d; want %v", resource, ids(page), page.Next, want)
		}
	}
	if page := read(t, log, project, 0, 2, "datasets/d"); !slices.Equal(ids(page), []string{"0", "1"}) || page.Next != 2 {
		t.Errorf("a full page: got %v, next %d", ids(page), page.Next)
	}
}

func testLargePages(t *testing.T, _ *store.DB, log *eventlog.Log) {
	project := t.Name()
	big, err := structpb.NewStruct(map[string]any{"text": strings.Repeat("x", 1<<20)})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 8 {
		e := event(fmt.Sprint(i), "r")
		e.Payload = big
		appendAll(t, log, entries(project, e))
	}
	var got []string
	for after := int64(0); after < 8; {
		page := read(t, log, project, after, 1000, "")
		if size := proto.Size(&notificationv1.ListEventsResponse{Events: page.Events}); size > 8<<20 || len(page.Events) == 0 {
			t.Fatalf("a page of %d events has %d bytes", len(page.Events), size)
		}
		got = append(got, ids(page)...)
		after = page.Next
	}
	if !slices.Equal(got, []string{"0", "1", "2", "3", "4", "5", "6", "7"}) {
		t.Errorf("got %v", got)
	}
}

func testBeyondEnd(t *testing.T, _ *store.DB, log *eventlog.Log) {
	project := t.Name()
	for _, last := range []int64{0, 1} {
		if _, err := log.Read(t.Context(), project, last+1, 10, ""); !errors.Is(err, eventlog.ErrBeyondEnd) {
			t.Errorf("with %d events: got %v", last, err)
		}
		appendAll(t, log, entries(project, event("a", "r")))
	}
}

// age makes events look as if they had been appended an hour ago.
func age(t *testing.T, db *store.DB, project string, from, to int64) {
	t.Helper()
	_, err := db.NewRaw("UPDATE events SET append_time = append_time - 3600000000 WHERE project = ? AND sequence BETWEEN ? AND ?", project, from, to).Exec(t.Context())
	if err != nil {
		t.Fatal(err)
	}
}

func prune(t *testing.T, log *eventlog.Log) int64 {
	t.Helper()
	n, err := log.Prune(t.Context(), 30*time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func testPrune(t *testing.T, db *store.DB, log *eventlog.Log) {
	project := t.Name()
	appendAll(t, log, numbered(project, 10))
	age(t, db, project, 1, 4)
	if n := prune(t, log); n != 4 {
		t.Fatalf("%d events pruned, want 4", n)
	}
	var pruned *eventlog.PrunedError
	if _, err := log.Read(t.Context(), project, 3, 10, ""); !errors.As(err, &pruned) || pruned.Oldest != 4 {
		t.Errorf("from a position that is gone: %v", err)
	}
	for _, after := range []int64{4, eventlog.Beginning} {
		if page := read(t, log, project, after, 10, ""); len(page.Events) != 6 || page.Events[0].GetSequence() != 5 {
			t.Errorf("from %d: %v", after, ids(page))
		}
	}
	if n := prune(t, log); n != 0 {
		t.Errorf("%d events pruned again", n)
	}
}

func testPruneClock(t *testing.T, db *store.DB, log *eventlog.Log) {
	project := t.Name()
	appendAll(t, log, numbered(project, 10))
	age(t, db, project, 1, 2)
	age(t, db, project, 5, 8)
	if n := prune(t, log); n != 2 {
		t.Fatalf("%d events pruned, want 2", n)
	}
	if page := read(t, log, project, 2, 10, ""); len(page.Events) != 8 {
		t.Errorf("got %v", ids(page))
	}
}

func testPruneAll(t *testing.T, db *store.DB, log *eventlog.Log) {
	project := t.Name()
	for range 3 { // More than one batch of deletions.
		appendAll(t, log, numbered(project, 4))
		batch := make([]*notificationv1.ProjectEvent, 1500)
		for i := range batch {
			batch[i] = &notificationv1.ProjectEvent{Project: project, Event: event(fmt.Sprint(t.Name(), time.Now().UnixNano(), i), "r")}
		}
		appendAll(t, log, batch)
	}
	last := read(t, log, project, 0, 1, "").Last
	age(t, db, project, 1, last)
	if n := prune(t, log); n != last {
		t.Fatalf("%d events pruned, want %d", n, last)
	}
	if page := read(t, log, project, eventlog.Beginning, 10, ""); len(page.Events) != 0 || page.Next != last {
		t.Errorf("got %v, next %d, want next %d", ids(page), page.Next, last)
	}
	appendAll(t, log, entries(project, event("after", "r")))
	if page := read(t, log, project, last, 10, ""); len(page.Events) != 1 || page.Events[0].GetSequence() != last+1 {
		t.Errorf("got %v", page.Events)
	}
}

func testAtomic(t *testing.T, db *store.DB, log *eventlog.Log) {
	project := t.Name()
	appendAll(t, log, entries(project, event("a", "r")))
	// A row in the way makes the second insert fail, after the first project's events were written.
	if _, err := db.NewRaw("INSERT INTO events (project, sequence, id, resource, type, time, append_time) VALUES (?, 2, 'x', 'r', 't', 0, 0)", project+"z").Exec(t.Context()); err != nil {
		t.Fatal(err)
	}
	batch := append(entries(project, event("b", "r")), entries(project+"z", event("c", "r"), event("d", "r"))...)
	if _, _, err := log.Append(t.Context(), batch); err == nil {
		t.Fatal("the append succeeded")
	}
	if page := read(t, log, project, 0, 10, ""); page.Last != 1 {
		t.Fatalf("half of it was appended: %v", ids(page))
	}
}

func testHeads(t *testing.T, _ *store.DB, log *eventlog.Log) {
	appendAll(t, log, entries(t.Name(), event("a", "r"), event("b", "r")))
	heads, err := log.Heads(t.Context(), []string{t.Name(), "nobody's"})
	if err != nil || len(heads) != 1 || heads[t.Name()] != 2 {
		t.Fatalf("got %v, %v", heads, err)
	}
}
