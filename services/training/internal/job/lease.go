package job

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
)

// LeaseTime is how long a job stays a worker's without a renewal, and so how long it rests after its worker was killed.
const LeaseTime = 15 * time.Second

// Due gives the ids of jobs that have to be looked at and that no worker has, the longest waiting first: jobs that have not ended, and then those whose
// machines are kept for others.
func (s *Store) Due(ctx context.Context, limit int64) ([]string, error) {
	now, err := s.db.Now(ctx, s.db)
	if err != nil {
		return nil, err
	}
	var ids []string
	err = s.db.NewSelect().Model((*Job)(nil)).Column("id").
		Where("state IN (?) AND lease_until <= ? AND (next_at <= ? OR hints <> hints_seen)", bun.List(open), now, now).
		OrderExpr("next_at").Limit(limit).Scan(ctx, &ids)
	if err == nil && int64(len(ids)) < limit {
		// Apart from the others, so that each search has its index.
		var warm []string
		err = s.db.NewSelect().Model((*Job)(nil)).Column("id").
			Where("warm_pool_status IN (?) AND state NOT IN (?) AND lease_until <= ? AND next_at <= ?", bun.List(warmPoolOpen), bun.List(open), now, now).
			OrderExpr("next_at").Limit(limit-int64(len(ids))).Scan(ctx, &warm)
		ids = append(ids, warm...)
	}
	if err != nil {
		return nil, fmt.Errorf("look for due jobs: %w", err)
	}
	return ids, nil
}

// Claim takes a job for this worker and gives it as it is now, or ErrLeased. The lease must be renewed or released.
func (s *Store) Claim(ctx context.Context, id string) (*Job, error) {
	now, err := s.db.Now(ctx, s.db)
	if err != nil {
		return nil, err
	}
	lease := uuid.NewString()
	result, err := s.db.NewUpdate().Model((*Job)(nil)).
		Set("lease = ?, lease_until = ?", lease, now+LeaseTime.Microseconds()).
		Where("id = ? AND lease_until <= ? AND (state IN (?) OR warm_pool_status IN (?))", id, now, bun.List(open), bun.List(warmPoolOpen)).Exec(ctx)
	if err != nil {
		return nil, fmt.Errorf("claim job %s: %w", id, err)
	}
	if n, err := result.RowsAffected(); err != nil || n == 0 {
		return nil, ErrLeased
	}
	j := new(Job)
	if err := s.db.NewSelect().Model(j).Where("id = ?", id).Scan(ctx); err != nil {
		return nil, fmt.Errorf("claim job %s: %w", id, err)
	}
	if j.Lease != lease {
		return nil, ErrLeased
	}
	return j, nil
}

// Renew keeps a claimed job for another LeaseTime. ErrLeased says that it is somebody else's by now.
func (s *Store) Renew(ctx context.Context, j *Job) error {
	now, err := s.db.Now(ctx, s.db)
	if err != nil {
		return err
	}
	result, err := s.db.NewUpdate().Model((*Job)(nil)).Set("lease_until = ?", now+LeaseTime.Microseconds()).
		Where("id = ? AND lease = ?", j.ID, j.Lease).Exec(ctx)
	if err != nil {
		return fmt.Errorf("renew the lease of job %s: %w", j.ID, err)
	}
	if n, err := result.RowsAffected(); err != nil || n == 0 {
		return ErrLeased
	}
	return nil
}

// Next is when a job is to be looked at again, and when SageMaker is to be asked about it again, counted from now.
type Next struct {
	Look     time.Duration
	Describe time.Duration
	// KeepDescribe leaves the time to ask SageMaker as it was.
	KeepDescribe bool
}

// Release gives a claimed job back. Hints that came since the claim make it due at once.
func (s *Store) Release(ctx context.Context, j *Job, next Next, troubles int64) error {
	now, err := s.db.Now(ctx, s.db)
	if err != nil {
		return err
	}
	q := s.db.NewUpdate().Model((*Job)(nil)).
		Set("lease_until = 0, hints_seen = ?, next_at = ?, troubles = ?", j.Hints, now+next.Look.Microseconds(), troubles).
		Where("id = ? AND lease = ?", j.ID, j.Lease)
	if !next.KeepDescribe {
		q = q.Set("describe_at = ?", now+next.Describe.Microseconds())
	}
	if _, err := q.Exec(ctx); err != nil {
		return fmt.Errorf("release job %s: %w", j.ID, err)
	}
	return nil
}

// DescribeDue tells whether SageMaker has to be asked about a claimed job.
func (s *Store) DescribeDue(ctx context.Context, j *Job) (bool, error) {
	now, err := s.db.Now(ctx, s.db)
	return j.DescribeAt <= now || j.Hints != j.HintsSeen, err
}
