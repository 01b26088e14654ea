package job

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/uptrace/bun"

	"github.com/trainyard/trainyard/services/internal/outbox"
	"github.com/trainyard/trainyard/services/internal/store"
	"github.com/trainyard/trainyard/services/training/internal/quota"
	"github.com/trainyard/trainyard/services/training/recipe"
)

// The types of the events that are written here.
const (
	EventState    = "trainingJob.state"
	EventProgress = "trainingJob.progress"
	EventModel    = "model.created"
)

var (
	// ErrConflict says that the job was changed by somebody else meanwhile: look again.
	ErrConflict = errors.New("the job was changed meanwhile")
	// ErrLeased says that another worker looks after the job, or that it has ended.
	ErrLeased = errors.New("another worker has the job")
)

// NotFoundError tells that a project has no such resource.
type NotFoundError struct{ Name string }

func (e *NotFoundError) Error() string { return "there is no " + e.Name }

// Store keeps jobs, their metric points and their models. Every change of what users see is written together with its event.
type Store struct {
	// Quotas are what projects may use: Insert refuses jobs that exceed them. Set it before the store is used.
	Quotas quota.Config

	db *store.DB
	// committed is called when an event was written.
	committed func()
}

// NewStore makes a store; committed is called after each transaction that wrote an event.
func NewStore(db *store.DB, committed func()) *Store {
	return &Store{db: db, committed: committed}
}

// Insert stores a new job, QUEUED. If its request was made before it gives the job of that time instead. It fails with a quota.ExceededError or a
// quota.PriceUnknownError if the project may not have it, and with a CheckpointsInUseError; of calls at the same time no two pass where there is room
// for one.
func (s *Store) Insert(ctx context.Context, j *Job) (*Job, error) {
	now := time.Now()
	j.State, j.Fence, j.CreateTime, j.UpdateTime, j.Hints = Queued, 1, store.Micros(now), store.Micros(now), 1
	j.fill()
	err := s.db.InTx(ctx, func(ctx context.Context, tx bun.Tx) error {
		if err := s.checkQuota(ctx, tx, j, now); err != nil {
			return err
		}
		if _, err := tx.NewInsert().Model(j).Exec(ctx); err != nil {
			return err
		}
		return writeEvent(ctx, tx, j, EventState)
	})
	var exceeded *quota.ExceededError
	if j.RequestID != "" && (store.IsDuplicate(err) || errors.As(err, &exceeded)) {
		// The job that is in the way may be this request's own, of a call at the same time.
		earlier, findErr := s.ByRequest(ctx, j.Project, j.RequestID)
		if findErr != nil || earlier != nil {
			return earlier, findErr
		}
	}
	if store.IsDuplicate(err) {
		if inUse := s.CheckpointsFree(ctx, j.CheckpointURI); inUse != nil {
			return nil, inUse
		}
	}
	if err != nil {
		return nil, fmt.Errorf("store a job: %w", err)
	}
	s.committed()
	return j, nil
}

// fill puts empty lists and maps where there are none: their columns take no NULL.
func (j *Job) fill() {
	j.BaseDatasets = list(j.BaseDatasets)
	j.Labels = list(j.Labels)
	j.AdditionalVersions = list(j.AdditionalVersions)
	j.ResolvedBases = list(j.ResolvedBases)
	j.Notes = list(j.Notes)
	j.OverrideChecks = list(j.OverrideChecks)
	j.Preflight = list(j.Preflight)
	j.Transitions = list(j.Transitions)
	j.InputModes = dict(j.InputModes)
	j.Tags = dict(j.Tags)
	j.Metrics = dict(j.Metrics)
	if j.Parameters == nil {
		j.Parameters = recipe.Values{}
	}
}

func list[T any](l []T) []T {
	if l == nil {
		return []T{}
	}
	return l
}

func dict[V any](m map[string]V) map[string]V {
	if m == nil {
		return map[string]V{}
	}
	return m
}

// ByRequest gives the job that a request made, or nil.
func (s *Store) ByRequest(ctx context.Context, project, requestID string) (*Job, error) {
	j := new(Job)
	err := s.db.NewSelect().Model(j).Where("project = ? AND request_id = ?", project, requestID).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("find a job by its request: %w", err)
	}
	return j, nil
}

// Get gives a project's job, or a NotFoundError.
func (s *Store) Get(ctx context.Context, project, id string) (*Job, error) {
	j := new(Job)
	err := s.db.NewSelect().Model(j).Where("id = ? AND project = ?", id, project).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, &NotFoundError{Name: Name(id)}
	}
	if err != nil {
		return nil, fmt.Errorf("read job %s: %w", id, err)
	}
	return j, nil
}

// List gives a project's jobs without their requests and what preflight found, newest first: at most limit of those older than the job before ("" means from the newest), and only the trials of
// a sweep, if its id is given.
func (s *Store) List(ctx context.Context, project, sweep, before string, limit int64) ([]*Job, error) {
	var jobs []*Job
	q := s.db.NewSelect().Model(&jobs).ExcludeColumn("spec", "preflight").Where("project = ?", project).OrderExpr("id DESC").Limit(limit)
	if sweep != "" {
		q = q.Where("sweep = ?", sweep)
	}
	if before != "" {
		q = q.Where("id < ?", before)
	}
	if err := q.Scan(ctx); err != nil {
		return nil, fmt.Errorf("list jobs: %w", err)
	}
	return jobs, nil
}

// Trials gives a sweep's jobs in the order of their trials: at most limit of those after the given trial (0 means from the first).
func (s *Store) Trials(ctx context.Context, project, sweep string, after, limit int64) ([]*Job, error) {
	var jobs []*Job
	err := s.db.NewSelect().Model(&jobs).Where("project = ? AND sweep = ? AND sweep <> '' AND trial > ?", project, sweep, after).
		OrderExpr("trial").Limit(limit).Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("list a sweep's jobs: %w", err)
	}
	return jobs, nil
}

// bulky are the largest columns of a job, which who reckons with many jobs leaves unread.
var bulky = []string{"spec", "preflight", "notes"}

// Past gives a project's newest jobs of a program that SUCCEEDED, newest first: what estimates learn from. The program is a recipe, by its id, or
// with none an image of the user's own.
func (s *Store) Past(ctx context.Context, project, recipeID, image string, limit int64) ([]*Job, error) {
	var jobs []*Job
	query := s.db.NewSelect().Model(&jobs).ExcludeColumn(bulky...).
		Where("project = ? AND recipe = ? AND state = ?", project, recipeID, Succeeded)
	if recipeID == "" {
		query = query.Where("image = ?", image)
	}
	err := query.OrderExpr("id DESC").Limit(limit).Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("list past jobs: %w", err)
	}
	return jobs, nil
}

// RequestStop makes a job STOPPING, or STOPPED at once if SageMaker was never asked to start it. A job that is ending or
// has ended stays as it is.
func (s *Store) RequestStop(ctx context.Context, project, id string) (*Job, error) {
	for {
		j, err := s.Get(ctx, project, id)
		if err != nil || j.State.Ended() || j.State == Stopping {
			return j, err
		}
		j.State = Stopping
		if j.Attempts == 0 {
			j.State = Stopped
			j.EndTime = store.Micros(time.Now())
		}
		err = s.Save(ctx, j, Change{Event: EventState, Hint: true})
		if !errors.Is(err, ErrConflict) {
			return j, err
		}
	}
}

// Hint notes that something may have happened to the job of a SageMaker name, so that a worker asks soon. If there is no such
// job, or it has ended, that is nothing.
func (s *Store) Hint(ctx context.Context, sageMakerName string) error {
	_, err := s.db.NewUpdate().Model((*Job)(nil)).Set("hints = hints + 1").
		Where("sagemaker_name = ? AND state IN (?)", sageMakerName, bun.List(open)).Exec(ctx)
	if err != nil {
		return fmt.Errorf("note a hint: %w", err)
	}
	return nil
}

// Change is what is written together with a job.
type Change struct {
	// Event is the type of the job's event; empty writes none.
	Event  string
	Points []*Point
	Model  *Model
	// Hint has a worker look at the job soon.
	Hint bool
}

// Save writes what users see of a job, if nobody changed it since it was read; else it fails with ErrConflict.
func (s *Store) Save(ctx context.Context, j *Job, change Change) error {
	seen := j.Fence
	j.Fence++
	now := time.Now()
	j.UpdateTime = store.Micros(now)
	j.fill()
	j.account(now)
	err := s.db.InTx(ctx, func(ctx context.Context, tx bun.Tx) error {
		q := tx.NewUpdate().Model(j).
			Column("state", "fence", "sagemaker_arn", "attempts", "secondary_status", "transitions", "billable_seconds", "start_time",
				"end_time", "metrics", "point_count", "epoch", "log_cursor", "failure", "has_model", "update_time",
				"training_seconds", "warm_pool_seconds", "warm_pool_status", "instance_seconds", "cost", "notes").
			Where("id = ? AND fence = ?", j.ID, seen)
		result, err := q.Exec(ctx)
		if err != nil {
			return err
		}
		if n, err := result.RowsAffected(); err != nil || n == 0 {
			return errors.Join(err, ErrConflict)
		}
		if change.Hint {
			if _, err := tx.NewUpdate().Model((*Job)(nil)).Set("hints = hints + 1").Where("id = ?", j.ID).Exec(ctx); err != nil {
				return err
			}
		}
		for points := change.Points; len(points) > 0; {
			batch := points[:min(len(points), 500)] // SQLite takes 32,766 values in a statement.
			points = points[len(batch):]
			if _, err := tx.NewInsert().Model(&batch).Exec(ctx); err != nil {
				return err
			}
		}
		if change.Model != nil {
			if err := insertModel(ctx, tx, change.Model); err != nil {
				return err
			}
		}
		if change.Event == "" {
			return nil
		}
		return writeEvent(ctx, tx, j, change.Event)
	})
	if errors.Is(err, ErrConflict) {
		return ErrConflict
	}
	if err != nil {
		return fmt.Errorf("save job %s: %w", j.ID, err)
	}
	if change.Event != "" || change.Model != nil {
		s.committed()
	}
	return nil
}

func writeEvent(ctx context.Context, tx bun.IDB, j *Job, eventType string) error {
	payload, err := j.Proto(time.Now())
	if err != nil {
		return err
	}
	return outbox.Write(ctx, tx, j.Project, Name(j.ID), eventType, payload)
}

func insertModel(ctx context.Context, tx bun.IDB, m *Model) error {
	if _, err := tx.NewInsert().Model(m).Exec(ctx); err != nil {
		return err
	}
	payload, err := m.Proto()
	if err != nil {
		return err
	}
	return outbox.Write(ctx, tx, m.Project, ModelName(m.ID), EventModel, payload)
}

// Points gives a job's metric points in their order: at most limit of those after the given number.
func (s *Store) Points(ctx context.Context, id string, after int64, limit int64) ([]*Point, error) {
	var points []*Point
	err := s.db.NewSelect().Model(&points).Where("job_id = ? AND number > ?", id, after).OrderExpr("number").Limit(limit).Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("list metric points: %w", err)
	}
	return points, nil
}

// GetModel gives a project's model with its job, or a NotFoundError.
func (s *Store) GetModel(ctx context.Context, project, id string) (*Model, error) {
	m := new(Model)
	err := s.db.NewSelect().Model(m).Relation("Job").Where("model.id = ? AND model.project = ?", id, project).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, &NotFoundError{Name: ModelName(id)}
	}
	if err != nil {
		return nil, fmt.Errorf("read model %s: %w", id, err)
	}
	return m, nil
}

// ListModels gives a project's models with their jobs, newest first, as List does.
func (s *Store) ListModels(ctx context.Context, project, before string, limit int64) ([]*Model, error) {
	var found []*Model
	q := s.db.NewSelect().Model(&found).Relation("Job").Where("model.project = ?", project).OrderExpr("model.id DESC").Limit(limit)
	if before != "" {
		q = q.Where("model.id < ?", before)
	}
	if err := q.Scan(ctx); err != nil {
		return nil, fmt.Errorf("list models: %w", err)
	}
	return found, nil
}
