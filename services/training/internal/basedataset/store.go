package basedataset

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/uptrace/bun"

	"github.com/trainyard/trainyard/services/internal/store"
)

// maxPublished is how many base datasets a project may have, so that a list of all stays small.
const maxPublished = 500

// row is a published base dataset as it is stored.
type row struct {
	bun.BaseModel `bun:"table:base_datasets"`

	Project        string   `bun:"project,pk"`
	ID             string   `bun:"id,pk"`
	DisplayName    string   `bun:"display_name"`
	Description    string   `bun:"description"`
	DatasetVersion string   `bun:"dataset_version"`
	ManifestSHA256 string   `bun:"manifest_sha256"`
	Location       Location `bun:"location"`
	Labels         []string `bun:"labels"`
	Features       Features `bun:"features"`
	ExampleCount   int32    `bun:"example_count"`
	SizeBytes      int64    `bun:"size_bytes"`
	FileCount      int32    `bun:"file_count"`
	MixRatio       float64  `bun:"mix_ratio"`
	CreateTime     int64    `bun:"create_time"`
}

func newRow(b *BaseDataset) *row {
	return &row{
		Project: b.Project, ID: b.ID, DisplayName: b.DisplayName, Description: b.Description, DatasetVersion: b.DatasetVersion,
		ManifestSHA256: b.ManifestSHA256, Location: b.Locations[0], Labels: b.Labels, Features: b.Features, ExampleCount: b.ExampleCount,
		SizeBytes: b.SizeBytes, FileCount: b.FileCount, MixRatio: b.MixRatio, CreateTime: store.Micros(b.CreateTime),
	}
}

func (r *row) baseDataset() *BaseDataset {
	return &BaseDataset{
		Project: r.Project, ID: r.ID, DisplayName: r.DisplayName, Description: r.Description, DatasetVersion: r.DatasetVersion,
		ManifestSHA256: r.ManifestSHA256, Locations: []Location{r.Location}, Labels: r.Labels, Features: r.Features, ExampleCount: r.ExampleCount,
		SizeBytes: r.SizeBytes, FileCount: r.FileCount, MixRatio: r.MixRatio, CreateTime: store.Time(r.CreateTime),
	}
}

// published keeps the projects' base datasets.
type published struct{ db *store.DB }

// find gives a project's base dataset, or nil.
func (p published) find(ctx context.Context, project, id string) (*BaseDataset, error) {
	r := new(row)
	err := p.db.NewSelect().Model(r).Where("project = ? AND id = ?", project, id).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read base dataset %s: %w", id, err)
	}
	return r.baseDataset(), nil
}

func (p published) list(ctx context.Context, project string) ([]*BaseDataset, error) {
	var rows []*row
	if err := p.db.NewSelect().Model(&rows).Where("project = ?", project).Scan(ctx); err != nil {
		return nil, fmt.Errorf("list base datasets: %w", err)
	}
	all := make([]*BaseDataset, len(rows))
	for i, r := range rows {
		all[i] = r.baseDataset()
	}
	return all, nil
}

// insert stores a base dataset. taken says that the project has one of its id.
func (p published) insert(ctx context.Context, b *BaseDataset) (taken bool, err error) {
	err = p.db.InTx(ctx, func(ctx context.Context, tx bun.Tx) error {
		n, err := tx.NewSelect().Model((*row)(nil)).Where("project = ?", b.Project).Count(ctx)
		if err != nil {
			return err
		}
		if n >= maxPublished {
			return &LimitError{Limit: maxPublished}
		}
		_, err = tx.NewInsert().Model(newRow(b)).Exec(ctx)
		return err
	})
	switch {
	case store.IsDuplicate(err):
		return true, nil
	case err != nil:
		return false, fmt.Errorf("store base dataset %s: %w", b.ID, err)
	}
	return false, nil
}

// remove tells whether the project had it.
func (p published) remove(ctx context.Context, project, id string) (bool, error) {
	result, err := p.db.NewDelete().Model((*row)(nil)).Where("project = ? AND id = ?", project, id).Exec(ctx)
	if err != nil {
		return false, fmt.Errorf("delete base dataset %s: %w", id, err)
	}
	n, err := result.RowsAffected()
	return n > 0, err
}
