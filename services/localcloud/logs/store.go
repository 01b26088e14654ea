package logs

import (
	"context"
	"database/sql"
	"errors"
	"math"
	"strings"
	"time"

	"github.com/trainyard/trainyard/services/localcloud/awsjson"
	"github.com/trainyard/trainyard/services/localcloud/sqlite"
)

// Event is one line of a log.
type Event struct {
	// Timestamp and Ingestion are milliseconds since the Unix epoch. Ingestion is set by the store.
	Timestamp int64
	Ingestion int64
	Message   string
}

// position is an event's place: by time, then by arrival, which seq counts over all streams. Tokens carry it.
type position struct{ timestamp, seq int64 }

var (
	head = position{-1, -1}
	tail = position{math.MaxInt64 - 1, math.MaxInt64 - 1}
)

type storedEvent struct {
	Event
	position
	stream   string
	streamID int64
}

const schema = `
CREATE TABLE IF NOT EXISTS log_groups (
	name    TEXT PRIMARY KEY,
	created INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS log_streams (
	id          INTEGER PRIMARY KEY AUTOINCREMENT,
	group_name  TEXT NOT NULL,
	name        TEXT NOT NULL,
	created     INTEGER NOT NULL,
	first_event INTEGER,
	last_event  INTEGER,
	last_ingest INTEGER,
	bytes       INTEGER NOT NULL DEFAULT 0,
	UNIQUE (group_name, name)
);
CREATE TABLE IF NOT EXISTS log_counter (
	id       INTEGER PRIMARY KEY CHECK (id = 1),
	next_seq INTEGER NOT NULL
);
INSERT INTO log_counter (id, next_seq) VALUES (1, 0) ON CONFLICT DO NOTHING;
CREATE TABLE IF NOT EXISTS log_events (
	stream_id INTEGER NOT NULL,
	timestamp INTEGER NOT NULL,
	seq       INTEGER NOT NULL,
	ingestion INTEGER NOT NULL,
	message   TEXT NOT NULL,
	PRIMARY KEY (stream_id, timestamp, seq)
) WITHOUT ROWID;`

type store struct {
	db *sqlite.DB
}

func openStore(ctx context.Context, path string) (*store, error) {
	db, err := sqlite.Open(ctx, path, schema, sqlite.Normal)
	if err != nil {
		return nil, err
	}
	return &store{db: db}, nil
}

func (s *store) inTx(ctx context.Context, f func(tx *sql.Tx) error) error {
	return s.db.InTx(ctx, f)
}

func nowMillis() int64 { return time.Now().UnixMilli() }

func errNoGroup() error {
	return awsjson.Errorf("ResourceNotFoundException", "The specified log group does not exist.")
}

func errNoStream() error {
	return awsjson.Errorf("ResourceNotFoundException", "The specified log stream does not exist.")
}

func (s *store) createGroup(ctx context.Context, name string) error {
	return s.inTx(ctx, func(tx *sql.Tx) error {
		return insertNew(ctx, tx, "The specified log group already exists",
			`INSERT INTO log_groups (name, created) VALUES (?, ?) ON CONFLICT DO NOTHING`, name, nowMillis())
	})
}

func (s *store) createStream(ctx context.Context, group, stream string) error {
	return s.inTx(ctx, func(tx *sql.Tx) error {
		if err := groupExists(ctx, tx, group); err != nil {
			return err
		}
		return insertNew(ctx, tx, "The specified log stream already exists",
			`INSERT INTO log_streams (group_name, name, created) VALUES (?, ?, ?) ON CONFLICT DO NOTHING`, group, stream, nowMillis())
	})
}

func insertNew(ctx context.Context, tx *sql.Tx, exists, query string, args ...any) error {
	res, err := tx.ExecContext(ctx, query, args...)
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || n == 1 {
		return err
	}
	return awsjson.Errorf("ResourceAlreadyExistsException", "%s", exists)
}

// querier is what *sql.DB and *sql.Tx share here.
type querier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

func groupExists(ctx context.Context, q querier, group string) error {
	var one int
	err := q.QueryRowContext(ctx, `SELECT 1 FROM log_groups WHERE name = ?`, group).Scan(&one)
	if errors.Is(err, sql.ErrNoRows) {
		return errNoGroup()
	}
	return err
}

func streamID(ctx context.Context, q querier, group, stream string) (int64, error) {
	var id int64
	err := q.QueryRowContext(ctx, `SELECT id FROM log_streams WHERE group_name = ? AND name = ?`, group, stream).Scan(&id)
	if errors.Is(err, sql.ErrNoRows) {
		if err := groupExists(ctx, q, group); err != nil {
			return 0, err
		}
		return 0, errNoStream()
	}
	return id, err
}

func (s *store) deleteGroup(ctx context.Context, group string) error {
	return s.inTx(ctx, func(tx *sql.Tx) error {
		if err := groupExists(ctx, tx, group); err != nil {
			return err
		}
		for _, q := range []string{
			`DELETE FROM log_events WHERE stream_id IN (SELECT id FROM log_streams WHERE group_name = ?)`,
			`DELETE FROM log_streams WHERE group_name = ?`,
			`DELETE FROM log_groups WHERE name = ?`,
		} {
			if _, err := tx.ExecContext(ctx, q, group); err != nil {
				return err
			}
		}
		return nil
	})
}

// append adds events in one transaction: either all are there after a crash, or none. With create, a missing group and
// stream are made.
func (s *store) append(ctx context.Context, group, stream string, create bool, events []Event) error {
	now := nowMillis()
	return s.inTx(ctx, func(tx *sql.Tx) error {
		if create {
			if _, err := tx.ExecContext(ctx, `INSERT INTO log_groups (name, created) VALUES (?, ?) ON CONFLICT DO NOTHING`, group, now); err != nil {
				return err
			}
			if _, err := tx.ExecContext(ctx, `INSERT INTO log_streams (group_name, name, created) VALUES (?, ?, ?) ON CONFLICT DO NOTHING`,
				group, stream, now); err != nil {
				return err
			}
		}
		id, err := streamID(ctx, tx, group, stream)
		if err != nil || len(events) == 0 {
			return err
		}
		var seq int64
		if err := tx.QueryRowContext(ctx, `UPDATE log_counter SET next_seq = next_seq + ? RETURNING next_seq - ?`, len(events), len(events)).Scan(&seq); err != nil {
			return err
		}
		insert, err := tx.PrepareContext(ctx, `INSERT INTO log_events (stream_id, timestamp, seq, ingestion, message) VALUES (?, ?, ?, ?, ?)`)
		if err != nil {
			return err
		}
		defer func() { _ = insert.Close() }()
		first, last, bytes := events[0].Timestamp, events[0].Timestamp, 0
		for _, e := range events {
			if _, err := insert.ExecContext(ctx, id, e.Timestamp, seq, now, e.Message); err != nil {
				return err
			}
			seq++
			first, last = min(first, e.Timestamp), max(last, e.Timestamp)
			bytes += len(e.Message) + eventOverhead
		}
		_, err = tx.ExecContext(ctx, `UPDATE log_streams SET last_ingest = ?, bytes = bytes + ?,
			first_event = min(coalesce(first_event, ?), ?), last_event = max(coalesce(last_event, ?), ?) WHERE id = ?`,
			now, bytes, first, first, last, last, id)
		return err
	})
}

// scan walks events of the given streams from a position, exclusively, in time order (backwards if so asked), within
// [start, end]. It stops when yield returns false.
func (s *store) scan(ctx context.Context, streams map[int64]string, from position, backward bool, start, end int64, yield func(storedEvent) bool) error {
	if len(streams) == 0 {
		return nil
	}
	marks := strings.TrimSuffix(strings.Repeat("?,", len(streams)), ",")
	compare, order := ">", "ASC"
	if backward {
		compare, order = "<", "DESC"
	}
	args := make([]any, 0, len(streams)+4)
	for id := range streams {
		args = append(args, id)
	}
	args = append(args, start, end, from.timestamp, from.seq)
	// One stream is read straight off the primary key; several are sorted by SQLite.
	query := `SELECT stream_id, timestamp, seq, ingestion, message FROM log_events WHERE stream_id IN (` + marks + `)
		AND timestamp >= ? AND timestamp <= ? AND (timestamp, seq) ` + compare + ` (?, ?)
		ORDER BY timestamp ` + order + `, seq ` + order
	rows, err := s.db.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var e storedEvent
		if err := rows.Scan(&e.streamID, &e.position.timestamp, &e.seq, &e.Ingestion, &e.Message); err != nil {
			return err
		}
		e.Timestamp, e.stream = e.position.timestamp, streams[e.streamID]
		if !yield(e) {
			return nil
		}
	}
	return rows.Err()
}

// selectStreams finds the streams of a group by name, by prefix, or all of them.
func (s *store) selectStreams(ctx context.Context, group string, names []string, prefix string) (map[int64]string, error) {
	if err := groupExists(ctx, s.db, group); err != nil {
		return nil, err
	}
	found := map[int64]string{}
	for _, name := range names {
		id, err := streamID(ctx, s.db, group, name)
		if err != nil {
			return nil, err
		}
		found[id] = name
	}
	if len(names) > 0 {
		return found, nil
	}
	rows, err := s.db.QueryContext(ctx, `SELECT id, name FROM log_streams WHERE group_name = ? AND substr(name, 1, length(?)) = ?`, group, prefix, prefix)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var id int64
		var name string
		if err := rows.Scan(&id, &name); err != nil {
			return nil, err
		}
		found[id] = name
	}
	return found, rows.Err()
}
