package job

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/uptrace/bun"
)

// OpenByCheckpoints gives the id of a project's job that has not ended and keeps its checkpoints there, or "".
func (s *Store) OpenByCheckpoints(ctx context.Context, project, uri string) (string, error) {
	var id string
	err := s.db.NewSelect().Model((*Job)(nil)).Column("id").
		Where("project = ? AND checkpoint_uri = ? AND state IN (?)", project, uri, bun.List(open)).Limit(1).Scan(ctx, &id)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return "", fmt.Errorf("find who uses checkpoints: %w", err)
	}
	return id, nil
}
