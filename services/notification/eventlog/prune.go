package eventlog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/uptrace/bun"
)

// pruneBatch bounds how long a deletion keeps a project's publishers waiting.
const pruneBatch = 2000

// Prune takes away events that were appended longer ago than age, by the store's clock, and says how many. What is left of each
// log is its newest part, still without a gap. An event that is published again after it was pruned is appended again.
func (l *Log) Prune(ctx context.Context, age time.Duration) (int64, error) {
	now, err := l.db.Now(ctx, l.db)
	if err != nil {
		return 0, err
	}
	var projects []string
	if err := l.db.NewRaw("SELECT project FROM logs WHERE last_sequence > pruned_sequence ORDER BY project").Scan(ctx, &projects); err != nil {
		return 0, fmt.Errorf("prune events: %w", err)
	}
	var total int64
	for _, project := range projects {
		for {
			n, err := l.pruneOnce(ctx, project, now-age.Microseconds())
			if err != nil {
				return total, fmt.Errorf("prune events of %s: %w", project, err)
			}
			total += n
			if n < pruneBatch {
				break
			}
		}
	}
	return total, nil
}

func (l *Log) pruneOnce(ctx context.Context, project string, before int64) (n int64, err error) {
	if !l.db.IsPostgres() {
		l.writer.Lock()
		defer l.writer.Unlock()
	}
	err = l.db.InTx(ctx, func(ctx context.Context, tx bun.Tx) error {
		// Locks the log, as Append does.
		var pruned, last int64
		err := tx.NewRaw("UPDATE logs SET pruned_sequence = pruned_sequence WHERE project = ? RETURNING pruned_sequence, last_sequence", project).
			Scan(ctx, &pruned, &last)
		if err != nil {
			return err
		}
		// Only what lies before the first event that must stay goes: the clock may have been set back meanwhile.
		upTo := last
		var keep int64
		err = tx.NewRaw("SELECT sequence FROM events WHERE project = ? AND append_time >= ? ORDER BY sequence LIMIT 1", project, before).Scan(ctx, &keep)
		switch {
		case err == nil:
			upTo = keep - 1
		case !errors.Is(err, sql.ErrNoRows):
			return err
		}
		upTo = min(upTo, pruned+pruneBatch)
		if n = upTo - pruned; n == 0 {
			return nil
		}
		if _, err := tx.NewRaw("DELETE FROM events WHERE project = ? AND sequence <= ?", project, upTo).Exec(ctx); err != nil {
			return err
		}
		_, err = tx.NewRaw("UPDATE logs SET pruned_sequence = ? WHERE project = ?", upTo, project).Exec(ctx)
		return err
	})
	return n, err
}
