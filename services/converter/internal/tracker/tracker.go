// Package tracker remembers which tasks of which conversion are done. It is the converter's own table; the version itself, its
// state and its fence belong to ingest.
package tracker

import (
	"context"
	"embed"
	"errors"
	"io/fs"

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
	Sent         bool   `bun:"sent"`     // All tasks are on the queue.
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
	LastTry  bool   `bun:"last_try"` // Its message was given out for the last time and isn't settled.
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

// ErrTaken says that a newer claim has begun the conversion.
var ErrTaken = errors.New("a newer claim has begun the conversion")

// Begin notes a planned conversion and gives the tasks that are still to be done. When the same plan was begun before, by a claim that
// was lost, what is done stays done: the shards are the same to the byte. ErrTaken when a newer claim was here first.
func (t *Tracker) Begin(ctx context.Context, c Conversion, taskBytes []int64) (todo []int, err error) {
	c.Sent = false
	err = t.db.InTx(ctx, func(ctx context.Context, tx bun.Tx) error {
		todo = todo[:0]
		// Two claims at once take turns by the row, which therefore must exist: a read before it is locked would tell of the past.
		if _, err := tx.NewInsert().Model(&Conversion{Project: c.Project, Name: c.Name}).On("CONFLICT (project, name) DO NOTHING").Exec(ctx); err != nil {
			return err
		}
		mine, err := tx.NewUpdate().Model(&c).Column("fence").WherePK().Where("fence <= ?", c.Fence).Exec(ctx)
		if err != nil {
			return err
		}
		if n, err := mine.RowsAffected(); err != nil {
			return err
		} else if n == 0 {
			return ErrTaken
		}
		var planBefore string
		if err := tx.NewSelect().Model(&c).Column("plan_key").WherePK().Scan(ctx, &planBefore); err != nil {
			return err
		}
		if planBefore != c.PlanKey {
			if _, err := tx.NewDelete().Model((*Task)(nil)).Where("project = ? AND name = ?", c.Project, c.Name).Exec(ctx); err != nil {
				return err
			}
		}
		if _, err := tx.NewUpdate().Model(&c).WherePK().Exec(ctx); err != nil {
			return err
		}
		tasks := make([]Task, len(taskBytes))
		for i, n := range taskBytes {
			tasks[i] = Task{Project: c.Project, Name: c.Name, Task: i, Bytes: n}
		}
		if _, err := tx.NewInsert().Model(&tasks).On("CONFLICT (project, name, task) DO UPDATE").Set("last_try = EXCLUDED.last_try").Exec(ctx); err != nil {
			return err
		}
		return tx.NewSelect().Model((*Task)(nil)).Column("task").
			Where("project = ? AND name = ? AND NOT done", c.Project, c.Name).OrderExpr("task").Scan(ctx, &todo)
	})
	return todo, err
}

// SetSent notes whether a claim's tasks are all on the queue.
func (t *Tracker) SetSent(ctx context.Context, c Conversion, sent bool) error {
	c.Sent = sent
	_, err := t.db.NewUpdate().Model(&c).Column("sent").WherePK().Where("fence = ?", c.Fence).Exec(ctx)
	return err
}

// Get gives a conversion; sql.ErrNoRows (database/sql) when there is none.
func (t *Tracker) Get(ctx context.Context, project, name string) (Conversion, error) {
	var c Conversion
	err := t.db.NewSelect().Model(&c).Where("project = ? AND name = ?", project, name).Scan(ctx)
	return c, err
}

// Update notes how far a task of a plan is. A task that is done stays as it is; so does one of another plan, for
// which a worker of a lost claim may still be at work.
func (t *Tracker) Update(ctx context.Context, planKey string, task Task) error {
	q := t.db.NewUpdate().Model(&task).Column("examples", "left_out", "read", "done")
	if task.Done {
		q = t.db.NewUpdate().Model(&task).Column("examples", "left_out", "done").Set("read = bytes")
	}
	_, err := q.WherePK().Where("NOT done").
		Where("EXISTS (SELECT 1 FROM conversions WHERE project = ? AND name = ? AND plan_key = ?)", task.Project, task.Name, planKey).Exec(ctx)
	return err
}

// SetLastTry notes that a task's message was given out for the last time, or that it was settled well after all.
func (t *Tracker) SetLastTry(ctx context.Context, c Conversion, task int, last bool) error {
	_, err := t.db.NewUpdate().Model(&Task{Project: c.Project, Name: c.Name, Task: task, LastTry: last}).Column("last_try").WherePK().Exec(ctx)
	return err
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

// List gives all conversions that haven't ended.
func (t *Tracker) List(ctx context.Context) ([]Conversion, error) {
	var list []Conversion
	err := t.db.NewSelect().Model(&list).Scan(ctx)
	return list, err
}

// Kept tells whether messages on the queue will bring a conversion to its end. They don't when a crash came before all were sent, or
// when one was given out for the last time and not settled. Such a conversion must be claimed anew, so that its tasks are sent again.
func (t *Tracker) Kept(ctx context.Context, c Conversion) (bool, error) {
	if !c.Sent {
		return false, nil
	}
	lost, err := t.db.NewSelect().Model((*Task)(nil)).Where("project = ? AND name = ? AND last_try", c.Project, c.Name).Exists(ctx)
	return !lost, err
}

// End forgets a conversion, unless a newer claim has begun it again.
func (t *Tracker) End(ctx context.Context, c Conversion) error {
	return t.db.InTx(ctx, func(ctx context.Context, tx bun.Tx) error {
		ended, err := tx.NewDelete().Model(&c).WherePK().Where("fence <= ?", c.Fence).Exec(ctx)
		if err != nil {
			return err
		}
		if n, err := ended.RowsAffected(); err != nil || n == 0 {
			return err
		}
		_, err = tx.NewDelete().Model((*Task)(nil)).Where("project = ? AND name = ?", c.Project, c.Name).Exec(ctx)
		return err
	})
}
