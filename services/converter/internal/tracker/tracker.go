// Package tracker remembers which tasks of which conversion are done. It is the converter's own table; the version itself, its
// state and its fence belong to ingest.
package tracker

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"io/fs"
	"time"

	"github.com/trainyard/trainyard/services/internal/store"
	"github.com/uptrace/bun"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Conversion is one claimed version with its plan.
type Conversion struct {
	bun.BaseModel `bun:"table:conversions"`

	Project      string `bun:"project,pk"`
	Name         string `bun:"name,pk"` // datasets/{d}/versions/{n}
	Fence        int64  `bun:"fence"`
	PlanKey      string `bun:"plan_key"`
	PlanSize     int64  `bun:"plan_size"`
	SourceKey    string `bun:"source_key"`
	SourceSize   int64  `bun:"source_size"`
	SourceETag   string `bun:"source_etag"`
	OutputPrefix string `bun:"output_prefix"`
	Records      int64  `bun:"records"`
	LeftOut      int64  `bun:"left_out"` // By the plan.
	Sent         bool   `bun:"sent"`     // All its tasks are on the queue.
	Touched      int64  `bun:"touched"`  // When it last got further, in microseconds.
	Over         bool   `bun:"over"`
}

// Task is one task of a conversion and how far it is.
type Task struct {
	bun.BaseModel `bun:"table:tasks"`

	Project  string `bun:"project,pk"`
	Name     string `bun:"name,pk"`
	Task     int    `bun:"task,pk"`
	Bytes    int64  `bun:"bytes"`
	Done     bool   `bun:"done"`
	Examples int64  `bun:"examples"`
	LeftOut  int64  `bun:"left_out"`
	Read     int64  `bun:"read"`
}

// Progress sums up a conversion's tasks.
type Progress struct {
	Tasks, Done               int64
	Examples, LeftOut         int64
	ReadBytes, TotalReadBytes int64
}

// Tracker is the table.
type Tracker struct{ db *store.DB }

// Open opens the converter's database.
func Open(ctx context.Context, dsn string) (*Tracker, error) {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, err
	}
	db, err := store.Open(ctx, dsn, "converter", files)
	return &Tracker{db: db}, err
}

// Close closes the database.
func (t *Tracker) Close() error { return t.db.Close() }

// Begin notes a planned conversion and gives the tasks that are still to be done. When the same plan was begun before, by a claim that
// was lost, what is done stays done: the shards are the same to the byte.
func (t *Tracker) Begin(ctx context.Context, c Conversion, taskBytes []int64) (todo []int, err error) {
	err = t.db.InTx(ctx, func(ctx context.Context, tx bun.Tx) error {
		todo = todo[:0]
		c.Sent = false
		if c.Touched, err = t.db.Now(ctx, tx); err != nil {
			return err
		}
		var before Conversion
		err := tx.NewSelect().Model(&before).Where("project = ? AND name = ?", c.Project, c.Name).Scan(ctx)
		switch {
		case errors.Is(err, sql.ErrNoRows):
		case err != nil:
			return err
		case before.Fence > c.Fence:
			return nil // Somebody claimed it after us: nothing is ours to do.
		case before.PlanKey != c.PlanKey:
			if _, err := tx.NewDelete().Model((*Task)(nil)).Where("project = ? AND name = ?", c.Project, c.Name).Exec(ctx); err != nil {
				return err
			}
		}
		_, err = tx.NewInsert().Model(&c).On("CONFLICT (project, name) DO UPDATE").
			Set("fence = EXCLUDED.fence, plan_key = EXCLUDED.plan_key, plan_size = EXCLUDED.plan_size, source_key = EXCLUDED.source_key").
			Set("source_size = EXCLUDED.source_size, source_etag = EXCLUDED.source_etag, output_prefix = EXCLUDED.output_prefix").
			Set("records = EXCLUDED.records, left_out = EXCLUDED.left_out, over = EXCLUDED.over").
			Set("sent = EXCLUDED.sent, touched = EXCLUDED.touched").Exec(ctx)
		if err != nil {
			return err
		}
		tasks := make([]Task, len(taskBytes))
		for i, n := range taskBytes {
			tasks[i] = Task{Project: c.Project, Name: c.Name, Task: i, Bytes: n}
		}
		if _, err := tx.NewInsert().Model(&tasks).On("CONFLICT (project, name, task) DO NOTHING").Exec(ctx); err != nil {
			return err
		}
		return tx.NewSelect().Model((*Task)(nil)).Column("task").
			Where("project = ? AND name = ? AND NOT done", c.Project, c.Name).OrderExpr("task").Scan(ctx, &todo)
	})
	return todo, err
}

// Get gives a conversion; sql.ErrNoRows when there is none.
func (t *Tracker) Get(ctx context.Context, project, name string) (Conversion, error) {
	var c Conversion
	err := t.db.NewSelect().Model(&c).Where("project = ? AND name = ?", project, name).Scan(ctx)
	return c, err
}

// Sent notes that a claim's tasks are all on the queue.
func (t *Tracker) Sent(ctx context.Context, c Conversion) error {
	_, err := t.db.NewUpdate().Model((*Conversion)(nil)).Set("sent = ?", true).
		Where("project = ? AND name = ? AND fence = ?", c.Project, c.Name, c.Fence).Exec(ctx)
	return err
}

// Update notes how far a task is.
func (t *Tracker) Update(ctx context.Context, task Task) error {
	now, err := t.db.Now(ctx, t.db)
	if err != nil {
		return err
	}
	return t.db.InTx(ctx, func(ctx context.Context, tx bun.Tx) error {
		if _, err := tx.NewUpdate().Model(&task).Column("examples", "left_out", "read", "done").WherePK().Where("NOT done").Exec(ctx); err != nil {
			return err
		}
		_, err := tx.NewUpdate().Model((*Conversion)(nil)).Set("touched = ?", now).Where("project = ? AND name = ?", task.Project, task.Name).Exec(ctx)
		return err
	})
}

// IsDone tells whether a task is done.
func (t *Tracker) IsDone(ctx context.Context, project, name string, task int) (bool, error) {
	var done bool
	err := t.db.NewSelect().Model((*Task)(nil)).Column("done").Where("project = ? AND name = ? AND task = ?", project, name, task).Scan(ctx, &done)
	return done, err
}

// Progress sums up a conversion's tasks.
func (t *Tracker) Progress(ctx context.Context, project, name string) (Progress, error) {
	var p Progress
	err := t.db.NewSelect().Model((*Task)(nil)).Where("project = ? AND name = ?", project, name).
		ColumnExpr("COUNT(*), COALESCE(SUM(CASE WHEN done THEN 1 ELSE 0 END), 0)").
		ColumnExpr("CAST(COALESCE(SUM(examples), 0) AS BIGINT), CAST(COALESCE(SUM(left_out), 0) AS BIGINT)").
		ColumnExpr("CAST(COALESCE(SUM(read), 0) AS BIGINT), CAST(COALESCE(SUM(bytes), 0) AS BIGINT)").
		Scan(ctx, &p.Tasks, &p.Done, &p.Examples, &p.LeftOut, &p.ReadBytes, &p.TotalReadBytes)
	return p, err
}

// keepFor is how long a conversion that gets no further is believed to have messages on the queue.
const keepFor = 30 * time.Minute

// Running lists the conversions that messages on the queue will bring to their end. Others must be claimed anew, so that their tasks are
// sent again: a crash came before all were sent, or their messages were given out too often and lie with the dead letters.
func (t *Tracker) Running(ctx context.Context) ([]Conversion, error) {
	now, err := t.db.Now(ctx, t.db)
	if err != nil {
		return nil, err
	}
	var list []Conversion
	err = t.db.NewSelect().Model(&list).Where("sent AND NOT over AND touched > ?", now-keepFor.Microseconds()).Scan(ctx)
	return list, err
}

// End notes that a conversion is over and forgets its tasks.
func (t *Tracker) End(ctx context.Context, c Conversion) error {
	return t.db.InTx(ctx, func(ctx context.Context, tx bun.Tx) error {
		if _, err := tx.NewDelete().Model((*Task)(nil)).Where("project = ? AND name = ?", c.Project, c.Name).
			Where("EXISTS (SELECT 1 FROM conversions WHERE project = ? AND name = ? AND fence = ?)", c.Project, c.Name, c.Fence).Exec(ctx); err != nil {
			return err
		}
		_, err := tx.NewUpdate().Model((*Conversion)(nil)).Set("over = ?", true).
			Where("project = ? AND name = ? AND fence = ?", c.Project, c.Name, c.Fence).Exec(ctx)
		return err
	})
}
