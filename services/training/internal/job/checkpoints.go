package job

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/uptrace/bun"
)

// CheckpointsInUseError tells that another job, which has not ended, goes on from the same checkpoints.
type CheckpointsInUseError struct {
	Name string // The other job's.
}

func (e *CheckpointsInUseError) Error() string {
	return e.Name + " goes on from these checkpoints already: wait until it has ended, or stop it."
}

// CheckpointsFree fails with a CheckpointsInUseError if a job that has not ended keeps its checkpoints there. Insert looks, too: this tells before
// anything else is done.
func (s *Store) CheckpointsFree(ctx context.Context, uri string) error {
	var id string
	err := s.db.NewSelect().Model((*Job)(nil)).Column("id").
		Where("checkpoint_uri = ? AND checkpoint_uri <> '' AND state IN (?)", uri, bun.List(open)).Limit(1).Scan(ctx, &id)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil
	case err != nil:
		return fmt.Errorf("find who uses checkpoints: %w", err)
	}
	return &CheckpointsInUseError{Name: Name(id)}
}
