package sweep

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"github.com/trainyard/trainyard/services/training/internal/job"
)

// LeaseTime is how long a sweep stays a worker's without a renewal, and so how long it rests after its worker was killed.
const LeaseTime = job.LeaseTime

// Due gives the ids of sweeps that have to be looked at and that no worker has, the longest waiting first: those whose time has
// come, and those of which a trial has ended since the last look.
func (st *Store) Due(ctx context.Context, limit int64) ([]string, error) {
	now, err := st.db.Now(ctx, st.db)
	if err != nil {
		return nil, err
	}
	ended := st.db.NewSelect().Table("training_jobs").ColumnExpr("count(*)").
		Where("training_jobs.sweep = sweep.id AND training_jobs.sweep <> ''").
		Where("training_jobs.state IN (?)", bun.List([]job.State{job.Succeeded, job.Failed, job.Stopped}))
	var ids []string
	err = st.db.NewSelect().Model((*Sweep)(nil)).Column("id").
		Where("state IN (?) AND lease_until <= ?", bun.List(open), now).
		Where("next_at <= ? OR troubles = 0 AND ended_trial_count <> (?)", now, ended). // Troubles rest for their time.
		OrderExpr("next_at").Limit(limit).Scan(ctx, &ids)
	if err != nil {
		return nil, fmt.Errorf("look for due sweeps: %w", err)
	}
	return ids, nil
}

// Strays gives jobs that are not being stopped though their sweep has ended: of a worker that lost its lease, or died, between
// asking for a trial and seeing that the sweep was stopped.
func (st *Store) Strays(ctx context.Context) ([]*job.Job, error) {
	var jobs []*job.Job
	err := st.db.NewSelect().Model(&jobs).Column("job.id", "job.project").
		Join("JOIN sweeps ON sweeps.id = job.sweep").
		Where("job.state IN (?)", bun.List([]job.State{job.Queued, job.Running, job.Stopping})). // As the index of open jobs has it: else all are read.
		Where("job.state <> ?", job.Stopping).
		Where("sweeps.state NOT IN (?)", bun.List(open)).Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("look for jobs of ended sweeps: %w", err)
	}
	return jobs, nil
}

// Claim takes a sweep for this worker and gives it as it is now, or ErrLeased. The lease must be renewed or released.
func (st *Store) Claim(ctx context.Context, id string) (*Sweep, error) {
	now, err := st.db.Now(ctx, st.db)
	if err != nil {
		return nil, err
	}
	lease := uuid.NewString()
	result, err := st.db.NewUpdate().Model((*Sweep)(nil)).
		Set("lease = ?, lease_until = ?", lease, now+LeaseTime.Microseconds()).
		Where("id = ? AND lease_until <= ? AND state IN (?)", id, now, bun.List(open)).Exec(ctx)
	if err != nil {
		return nil, fmt.Errorf("claim sweep %s: %w", id, err)
	}
	if n, err := result.RowsAffected(); err != nil || n == 0 {
		return nil, ErrLeased
	}
	s := new(Sweep)
	if err := st.db.NewSelect().Model(s).Where("id = ?", id).Scan(ctx); err != nil {
		return nil, fmt.Errorf("claim sweep %s: %w", id, err)
	}
	if s.Lease != lease {
		return nil, ErrLeased
	}
	return s, nil
}

// Renew keeps a claimed sweep for another LeaseTime. ErrLeased says that it is somebody else's by now.
func (st *Store) Renew(ctx context.Context, id, lease string) error {
	now, err := st.db.Now(ctx, st.db)
	if err != nil {
		return err
	}
	result, err := st.db.NewUpdate().Model((*Sweep)(nil)).Set("lease_until = ?", now+LeaseTime.Microseconds()).
		Where("id = ? AND lease = ?", id, lease).Exec(ctx)
	if err != nil {
		return fmt.Errorf("renew the lease of sweep %s: %w", id, err)
	}
	if n, err := result.RowsAffected(); err != nil || n == 0 {
		return ErrLeased
	}
	return nil
}

// Release gives a claimed sweep back, to be looked at again after the time; at once if somebody changed it since.
func (st *Store) Release(ctx context.Context, s *Sweep, next time.Duration, troubles int64) error {
	now, err := st.db.Now(ctx, st.db)
	if err != nil {
		return err
	}
	_, err = st.db.NewUpdate().Model((*Sweep)(nil)).
		Set("lease_until = 0, troubles = ?", troubles).
		Set("next_at = CASE WHEN fence = ? THEN ? ELSE 0 END", s.Fence, now+next.Microseconds()).
		Where("id = ? AND lease = ?", s.ID, s.Lease).Exec(ctx)
	if err != nil {
		return fmt.Errorf("release sweep %s: %w", s.ID, err)
	}
	return nil
}
