package notification_test

import (
	"database/sql"
	"testing"
	"time"

	"github.com/trainyard/trainyard/services/internal/testkit"
	"github.com/trainyard/trainyard/services/notification"
)

// TestReplicasWakeEachOther has two replicas on one database, whose polls are too rare to help.
func TestReplicasWakeEachOther(t *testing.T) {
	dsn := testkit.Postgres(t)
	cfg := notification.Config{Store: dsn, PollInterval: time.Hour}
	one, two := start(t, cfg), start(t, cfg)
	atOne := one.watch(t.Context(), one.user("a"), "latest", "")
	atTwo := two.watch(t.Context(), two.user("a"), "latest", "")
	for i := range 20 {
		publisher := one
		if i%2 == 1 {
			publisher = two
		}
		publisher.publish("a", events(i, i+1)...)
		within(t, 5*time.Second, "an event's way", func() {
			atOne.expect(t, int64(i), 1)
			atTwo.expect(t, int64(i), 1)
		})
	}
}

// TestListeningAgain cuts the connection that listens; what was appended meanwhile must arrive without a poll.
func TestListeningAgain(t *testing.T) {
	dsn := testkit.Postgres(t)
	cfg := notification.Config{Store: dsn, PollInterval: time.Hour}
	one, two := start(t, cfg), start(t, cfg)
	w := two.watch(t.Context(), two.user("a"), "latest", "")
	admin, err := sql.Open("pgx", dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close()
	cut := func() (n int) {
		err := admin.QueryRowContext(t.Context(), `SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE query LIKE 'LISTEN %' AND pid <> pg_backend_pid()`).Scan(&n)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	testkit.Eventually(t, 10*time.Second, "both listen and are cut off", func() bool { return cut() == 2 })
	one.publish("a", events(0, 5)...)
	within(t, 10*time.Second, "the events' way", func() { w.expect(t, 0, 5) })
}

// TestPollFindsWhatNobodySaid appends behind the service's back.
func TestPollFindsWhatNobodySaid(t *testing.T) {
	dsn := testkit.SQLite(t)
	one := start(t, notification.Config{Store: dsn})
	two := start(t, notification.Config{Store: dsn, PollInterval: 50 * time.Millisecond}) // SQLite has no NOTIFY.
	w := two.watch(t.Context(), two.user("a"), "latest", "")
	one.publish("a", events(0, 5)...)
	within(t, 5*time.Second, "the events' way", func() { w.expect(t, 0, 5) })
}
