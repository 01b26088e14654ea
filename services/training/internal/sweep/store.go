package sweep

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/uptrace/bun"

	"github.com/trainyard/trainyard/services/internal/outbox"
	"github.com/trainyard/trainyard/services/internal/store"
	"github.com/trainyard/trainyard/services/training/internal/job"
)

// The types of the events that are written here.
const (
	EventState    = "sweep.state"
	EventProgress = "sweep.progress"
)

var (
	// ErrConflict says that the sweep was changed by somebody else meanwhile: look again.
	ErrConflict = errors.New("the sweep was changed meanwhile")
	// ErrLeased says that another worker looks after the sweep, or that it has ended.
	ErrLeased = errors.New("another worker has the sweep")
)

// Store keeps sweeps in the database that has the jobs. Every change of what users see is written together with its event.
type Store struct {
	db *store.DB
	// committed is called when an event was written.
	committed func()
}

// NewStore makes a store; committed is called after each transaction that wrote an event.
func NewStore(db *store.DB, committed func()) *Store {
	return &Store{db: db, committed: committed}
}

// Insert stores a new sweep, RUNNING. If its request was made before it gives the sweep of that time instead.
func (st *Store) Insert(ctx context.Context, s *Sweep) (*Sweep, error) {
	now := store.Micros(time.Now())
	s.State, s.Fence, s.CreateTime, s.UpdateTime = Running, 1, now, now
	err := st.db.InTx(ctx, func(ctx context.Context, tx bun.Tx) error {
		if _, err := tx.NewInsert().Model(s).Exec(ctx); err != nil {
			return err
		}
		return writeEvent(ctx, tx, s, EventState)
	})
	if store.IsDuplicate(err) && s.RequestID != "" {
		earlier, findErr := st.ByRequest(ctx, s.Project, s.RequestID)
		if findErr != nil || earlier != nil {
			return earlier, findErr
		}
	}
	if err != nil {
		return nil, fmt.Errorf("store a sweep: %w", err)
	}
	st.committed()
	return s, nil
}

// ByRequest gives the sweep that a request made, or nil.
func (st *Store) ByRequest(ctx context.Context, project, requestID string) (*Sweep, error) {
	s := new(Sweep)
	err := st.db.NewSelect().Model(s).Where("project = ? AND request_id = ?", project, requestID).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("find a sweep by its request: %w", err)
	}
	return s, nil
}

// Get gives a project's sweep, or a job.NotFoundError.
func (st *Store) Get(ctx context.Context, project, id string) (*Sweep, error) {
	s := new(Sweep)
	err := st.db.NewSelect().Model(s).Where("id = ? AND project = ?", id, project).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, &job.NotFoundError{Name: job.SweepName(id)}
	}
	if err != nil {
		return nil, fmt.Errorf("read sweep %s: %w", id, err)
	}
	return s, nil
}

// List gives a project's sweeps without their trials, newest first: at most limit of those older than the sweep before (""
// means from the newest).
func (st *Store) List(ctx context.Context, project, before string, limit int64) ([]*Sweep, error) {
	var sweeps []*Sweep
	q := st.db.NewSelect().Model(&sweeps).ExcludeColumn("trials").Where("project = ?", project).OrderExpr("id DESC").Limit(limit)
	if before != "" {
		q = q.Where("id < ?", before)
	}
	if err := q.Scan(ctx); err != nil {
		return nil, fmt.Errorf("list sweeps: %w", err)
	}
	return sweeps, nil
}

// Jobs gives the jobs of a sweep's trials, by their numbers. They hold what a sweep has to know of them and no more: a
// thousand whole ones would be much to read at each look.
func (st *Store) Jobs(ctx context.Context, id string) ([]*job.Job, error) {
	var jobs []*job.Job
	err := st.db.NewSelect().Model(&jobs).
		Column("id", "project", "state", "sweep", "trial", "metrics", "instance_seconds", "cost", "currency", "failure", "has_model").
		Where("sweep = ?", id).Where("sweep <> ''"). // The index holds no others.
		OrderExpr("trial").Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the jobs of sweep %s: %w", id, err)
	}
	return jobs, nil
}

// RequestStop makes a sweep STOPPING. One that is ending or has ended stays as it is.
func (st *Store) RequestStop(ctx context.Context, project, id string) (*Sweep, error) {
	for {
		s, err := st.Get(ctx, project, id)
		if err != nil || s.State != Running {
			return s, err
		}
		s.State, s.Failure = Stopping, nil // What it waited for doesn't matter any more.
		if err = st.Save(ctx, s, EventState); !errors.Is(err, ErrConflict) {
			return s, err
		}
	}
}

// Save writes what users see of a sweep, if nobody changed it since it was read, else it fails with ErrConflict; and an event
// of the type unless that is empty.
func (st *Store) Save(ctx context.Context, s *Sweep, event string) error {
	seen := s.Fence
	s.Fence++
	s.UpdateTime = store.Micros(time.Now())
	s.NextAt = 0 // Who changed it wants it looked at; the looker itself says when in Release.
	err := st.db.InTx(ctx, func(ctx context.Context, tx bun.Tx) error {
		result, err := tx.NewUpdate().Model(s).
			Column("state", "fence", "started_trial_count", "ended_trial_count", "best_job", "best_value", "billed_seconds", "cost",
				"currency", "failure", "update_time", "end_time", "next_at").
			Where("id = ? AND fence = ?", s.ID, seen).Exec(ctx)
		if err != nil {
			return err
		}
		if n, err := result.RowsAffected(); err != nil || n == 0 {
			return errors.Join(err, ErrConflict)
		}
		if event == "" {
			return nil
		}
		return writeEvent(ctx, tx, s, event)
	})
	if errors.Is(err, ErrConflict) {
		return ErrConflict
	}
	if err != nil {
		return fmt.Errorf("save sweep %s: %w", s.ID, err)
	}
	if event != "" {
		st.committed()
	}
	return nil
}

func writeEvent(ctx context.Context, tx bun.IDB, s *Sweep, eventType string) error {
	payload, err := s.Proto()
	if err != nil {
		return err
	}
	return outbox.Write(ctx, tx, s.Project, job.SweepName(s.ID), eventType, payload)
}
