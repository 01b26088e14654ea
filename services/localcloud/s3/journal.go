package s3

import (
	"context"
	_ "embed"
	"fmt"

	"github.com/trainyard/trainyard/services/localcloud/sqlite"
)

//go:embed schema.sql
var schema string

// journal remembers the writes whose events are under way. It is written
// without fsync, as the objects themselves are: it has to outlive the process,
// not the machine. Once an event is in its queue it is as durable as the queue.
type journal struct{ db *sqlite.DB }

type intent struct {
	id          int64
	bucket, key string
	eventName   string
}

// sequencer orders the events of one key: a larger one happened later. It
// never repeats or goes back, whatever the clock does.
func (i intent) sequencer() string { return fmt.Sprintf("%018X", i.id) }

func openJournal(ctx context.Context, path string) (*journal, error) {
	db, err := sqlite.Open(ctx, path, schema, sqlite.Normal)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	return &journal{db: db}, nil
}

func (j *journal) Close() error { return j.db.Close() }

// begin notes a write before it is made.
func (j *journal) begin(ctx context.Context, bucket, key, eventName string) (intent, error) {
	result, err := j.db.ExecContext(ctx, `INSERT INTO intents (bucket, key, event_name) VALUES (?, ?, ?)`, bucket, key, eventName)
	if err != nil {
		return intent{}, fmt.Errorf("note event: %w", err)
	}
	id, err := result.LastInsertId()
	if err != nil {
		return intent{}, fmt.Errorf("note event: %w", err)
	}
	return intent{id: id, bucket: bucket, key: key, eventName: eventName}, nil
}

// end forgets a write that failed or whose event is delivered.
func (j *journal) end(ctx context.Context, i intent) error {
	if _, err := j.db.ExecContext(ctx, `DELETE FROM intents WHERE id = ?`, i.id); err != nil {
		return fmt.Errorf("forget event: %w", err)
	}
	return nil
}

// open gives the writes that were neither finished nor given up, in order.
func (j *journal) open(ctx context.Context) ([]intent, error) {
	rows, err := j.db.QueryContext(ctx, `SELECT id, bucket, key, event_name FROM intents ORDER BY id`)
	if err != nil {
		return nil, fmt.Errorf("read event journal: %w", err)
	}
	defer rows.Close()
	var found []intent
	for rows.Next() {
		var i intent
		if err := rows.Scan(&i.id, &i.bucket, &i.key, &i.eventName); err != nil {
			return nil, fmt.Errorf("read event journal: %w", err)
		}
		found = append(found, i)
	}
	return found, rows.Err()
}

func (j *journal) configurations(ctx context.Context) (map[string]string, error) {
	rows, err := j.db.QueryContext(ctx, `SELECT bucket, configuration FROM notifications`)
	if err != nil {
		return nil, fmt.Errorf("read notifications: %w", err)
	}
	defer rows.Close()
	found := make(map[string]string)
	for rows.Next() {
		var bucket, configuration string
		if err := rows.Scan(&bucket, &configuration); err != nil {
			return nil, fmt.Errorf("read notifications: %w", err)
		}
		found[bucket] = configuration
	}
	return found, rows.Err()
}

// configure stores a bucket's notification configuration, or removes it if "".
func (j *journal) configure(ctx context.Context, bucket, configuration string) error {
	var err error
	if configuration == "" {
		_, err = j.db.ExecContext(ctx, `DELETE FROM notifications WHERE bucket = ?`, bucket)
	} else {
		_, err = j.db.ExecContext(ctx, `INSERT INTO notifications (bucket, configuration) VALUES (?, ?)
			ON CONFLICT (bucket) DO UPDATE SET configuration = excluded.configuration`, bucket, configuration)
	}
	if err != nil {
		return fmt.Errorf("store notifications of %s: %w", bucket, err)
	}
	return nil
}
