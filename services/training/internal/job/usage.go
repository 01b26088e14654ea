package job

import (
	"context"
	"fmt"
	"time"

	"github.com/uptrace/bun"

	"github.com/trainyard/trainyard/services/internal/store"
	"github.com/trainyard/trainyard/services/training/internal/quota"
)

// Usage is what a project has used of its quotas this month; money in one currency only.
func (s *Store) Usage(ctx context.Context, project, currency string) (quota.Usage, error) {
	return usage(ctx, s.db, project, currency, time.Now())
}

// usage sums what the ended jobs of the month used, what the open ones have used until now, and what the estimates expect of those beyond that.
func usage(ctx context.Context, db bun.IDB, project, currency string, now time.Time) (quota.Usage, error) {
	begin, _ := quota.Month(now)
	month := store.Micros(begin)
	var u quota.Usage
	var ended struct {
		Seconds int64
		Cost    float64
	}
	err := db.NewSelect().Model((*Job)(nil)).
		ColumnExpr("CAST(coalesce(sum(instance_seconds), 0) AS BIGINT) AS seconds").
		ColumnExpr("CAST(coalesce(sum(CASE WHEN currency = ? THEN cost ELSE 0 END), 0) AS DOUBLE PRECISION) AS cost", currency).
		Where("project = ? AND create_time >= ? AND state NOT IN (?) AND warm_pool_status NOT IN (?)", project, month, bun.List(open), bun.List(warmPoolOpen)).
		Scan(ctx, &ended)
	if err != nil {
		return u, fmt.Errorf("sum a project's month: %w", err)
	}
	u.InstanceHours, u.Cost = float64(ended.Seconds)/3600, ended.Cost
	var going []*Job
	err = db.NewSelect().Model(&going).ExcludeColumn(bulky...).
		Where("project = ? AND (state IN (?) OR create_time >= ? AND warm_pool_status IN (?))", project, bun.List(open), month, bun.List(warmPoolOpen)).
		Scan(ctx)
	if err != nil {
		return u, fmt.Errorf("read a project's open jobs: %w", err)
	}
	for _, j := range going {
		if !j.State.Ended() {
			u.ConcurrentJobs++
		}
		if j.CreateTime < month {
			continue // What it uses counts in the month it was made in.
		}
		j.account(now)
		hours, expected := float64(j.InstanceSeconds)/3600, Expected(j.Estimate)
		u.InstanceHours += hours
		if !j.State.Ended() {
			u.ReservedHours += max(expected.InstanceHours-hours, 0)
		}
		if j.Currency != currency {
			continue
		}
		u.Cost += j.Cost
		if !j.State.Ended() {
			u.ReservedCost += max(expected.Cost-j.Cost, 0)
		}
	}
	return u, nil
}

// Expected is what an estimate expects a job to use; nothing of no estimate.
func Expected(e *Estimate) quota.Usage {
	if e == nil {
		return quota.Usage{}
	}
	return quota.Usage{InstanceHours: e.BilledSeconds / 3600, Cost: e.ComputeCost}
}

// checkQuota refuses a job that would exceed its project's quotas. It must be called within the transaction that inserts the job, which it makes the
// only one of the project's.
func (s *Store) checkQuota(ctx context.Context, tx bun.Tx, j *Job, now time.Time) error {
	limits := s.Quotas.Of(j.Project)
	if limits.None() {
		return nil
	}
	if limits.MaxCost > 0 && j.HourlyPrice == 0 {
		return &quota.PriceUnknownError{Project: j.Project, Region: j.Region, InstanceType: j.Resources.InstanceType}
	}
	if s.db.IsPostgres() { // SQLite has one writer at a time anyway.
		if _, err := tx.NewRaw("SELECT pg_advisory_xact_lock(hashtext('training quota'), hashtext(?))", j.Project).Exec(ctx); err != nil {
			return fmt.Errorf("lock a project's quota: %w", err)
		}
	}
	used, err := usage(ctx, tx, j.Project, j.Currency, now)
	if err != nil {
		return err
	}
	return limits.Check(j.Project, used, Expected(j.Estimate), j.Currency, now)
}
