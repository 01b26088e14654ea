// Package catalog keeps datasets and versions: their rows, the state machine of a version, and the events of every change.
//
// A change reads the row, lets a method of Version decide, and writes it by compare-and-set on the row's revision together with its
// events, in one transaction. A change that lost the race is decided anew on what is there now.
package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	ingestv1 "github.com/trainyard/trainyard/gen/trainyard/ingest/v1"
	"github.com/trainyard/trainyard/services/ingest/internal/upload"
	"github.com/trainyard/trainyard/services/internal/outbox"
	"github.com/trainyard/trainyard/services/internal/store"
	"github.com/uptrace/bun"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Catalog is the database.
type Catalog struct {
	db   *store.DB
	wake func()
}

// New makes a catalog. wake is called after each commit that wrote an event.
func New(db *store.DB, wake func()) *Catalog { return &Catalog{db: db, wake: wake} }

// Dataset is a row of datasets.
type Dataset struct {
	bun.BaseModel `bun:"table:datasets"`

	Project       string `bun:"project,pk"`
	ID            string `bun:"id,pk"`
	DisplayName   string `bun:"display_name"`
	Description   string `bun:"description"`
	LatestVersion int32  `bun:"latest_version"`
	CreateTime    int64  `bun:"create_time"`
}

// DatasetName is a dataset's resource name.
func DatasetName(id string) string { return "datasets/" + id }

// Proto is the dataset as the API shows it.
func (d *Dataset) Proto() *ingestv1.Dataset {
	return &ingestv1.Dataset{
		Name: DatasetName(d.ID), DisplayName: d.DisplayName, Description: d.Description, LatestVersion: d.LatestVersion,
		CreateTime: timestamppb.New(store.Time(d.CreateTime)),
	}
}

// CreateDataset makes a dataset. ExistsError when the project has one of that id.
func (c *Catalog) CreateDataset(ctx context.Context, d *Dataset) error {
	err := c.db.InTx(ctx, func(ctx context.Context, tx bun.Tx) error {
		var err error
		if d.CreateTime, err = c.db.Now(ctx, tx); err != nil {
			return err
		}
		if _, err := tx.NewInsert().Model(d).Exec(ctx); err != nil {
			return err
		}
		return outbox.Write(ctx, tx, d.Project, DatasetName(d.ID), "dataset.created", d.Proto())
	})
	if store.IsDuplicate(err) {
		return &ExistsError{DatasetName(d.ID)}
	}
	if err == nil {
		c.wake()
	}
	return err
}

// Dataset gives one dataset, or NotFoundError.
func (c *Catalog) Dataset(ctx context.Context, project, id string) (*Dataset, error) {
	d := &Dataset{Project: project, ID: id}
	err := c.db.NewSelect().Model(d).WherePK().Scan(ctx)
	return d, missing(err, DatasetName(id))
}

// DatasetCursor is where a page of datasets ended.
type DatasetCursor struct {
	CreateTime int64
	ID         string
}

// Datasets gives up to limit of the project's datasets, newest first, after the cursor; nil begins.
func (c *Catalog) Datasets(ctx context.Context, project string, after *DatasetCursor, limit int64) ([]*Dataset, error) {
	var page []*Dataset
	query := c.db.NewSelect().Model(&page).Where("project = ?", project).OrderExpr("create_time DESC, id DESC").Limit(limit)
	if after != nil {
		query.Where("(create_time, id) < (?, ?)", after.CreateTime, after.ID)
	}
	err := query.Scan(ctx)
	return page, err
}

// Quotas are a project's limits.
type Quotas struct {
	Bytes, Versions, Concurrent int64
}

// CreateVersion makes the next version of v's dataset, UPLOADING, without an upload yet. It gives v its number, key and times. When the
// request id was used before, it gives that version instead (RequestReusedError when it asked for something else).
func (c *Catalog) CreateVersion(ctx context.Context, v *Version, quotas Quotas, quiet, ttl time.Duration) (*Version, error) {
	out := v
	err := c.db.InTx(ctx, func(ctx context.Context, tx bun.Tx) error {
		// The upsert locks the project's row, so that two requests can't both take the last of a quota, and a repeated
		// request waits for the first.
		if _, err := tx.ExecContext(ctx, "INSERT INTO projects (id) VALUES (?) ON CONFLICT (id) DO UPDATE SET id = excluded.id", v.Project); err != nil {
			return err
		}
		if v.RequestID != "" {
			earlier := &Version{}
			err := tx.NewSelect().Model(earlier).
				Where("project = ? AND dataset = ? AND request_id = ?", v.Project, v.Dataset, v.RequestID).Scan(ctx)
			if err == nil {
				if earlier.FileName != v.FileName || earlier.SizeBytes != v.SizeBytes || !proto.Equal(earlier.Options.V, v.Options.V) {
					return &RequestReusedError{v.RequestID}
				}
				out = earlier
				return nil
			}
			if !errors.Is(err, sql.ErrNoRows) {
				return err
			}
		}
		if err := quotas.check(ctx, tx, v); err != nil {
			return err
		}
		now, err := c.db.Now(ctx, tx)
		if err != nil {
			return err
		}
		err = tx.NewUpdate().Model((*Dataset)(nil)).Set("latest_version = latest_version + 1").
			Where("project = ? AND id = ?", v.Project, v.Dataset).Returning("latest_version").Scan(ctx, &v.Number)
		if err != nil {
			return missing(err, DatasetName(v.Dataset))
		}
		v.ObjectKey = fmt.Sprintf("uploads/%s/%s/%d/source%s", v.Project, v.Dataset, v.Number, upload.Ending(v.FileName))
		v.Revision, v.CreateTime, v.ExpireTime = 1, now, now+ttl.Microseconds()
		v.enter(Uploading, now, now+quiet.Microseconds())
		if _, err := tx.NewInsert().Model(v).Exec(ctx); err != nil {
			return err
		}
		return writeEvents(ctx, tx, v)
	})
	if err != nil {
		return nil, err
	}
	c.wake()
	return out, nil
}

func (q Quotas) check(ctx context.Context, tx bun.Tx, v *Version) error {
	var used struct{ Versions, Bytes, Concurrent int64 }
	err := tx.NewSelect().Model((*Version)(nil)).
		ColumnExpr("count(*) AS versions").
		ColumnExpr("CAST(coalesce(sum(size_bytes), 0) AS BIGINT) AS bytes").
		ColumnExpr("count(CASE WHEN state = ? THEN 1 END) AS concurrent", Uploading).
		// An upload that was aborted or has expired keeps no bytes.
		Where("project = ? AND state IN (?)", v.Project, bun.List([]State{Uploading, Uploaded, Converting, Ready, Failed})).
		Scan(ctx, &used)
	switch {
	case err != nil:
		return err
	case used.Versions+1 > q.Versions:
		return &QuotaError{Quota: "versions", Limit: q.Versions, Used: used.Versions, Asked: 1}
	case used.Bytes+v.SizeBytes > q.Bytes:
		return &QuotaError{Quota: "bytes", Limit: q.Bytes, Used: used.Bytes, Asked: v.SizeBytes}
	case used.Concurrent+1 > q.Concurrent:
		return &QuotaError{Quota: "concurrent_uploads", Limit: q.Concurrent, Used: used.Concurrent, Asked: 1}
	}
	return nil
}

// Version gives one version, or NotFoundError.
func (c *Catalog) Version(ctx context.Context, id ID) (*Version, error) {
	return c.version(ctx, c.db, id)
}

func (c *Catalog) version(ctx context.Context, db bun.IDB, id ID) (*Version, error) {
	v := &Version{Project: id.Project, Dataset: id.Dataset, Number: id.Number}
	err := db.NewSelect().Model(v).WherePK().Scan(ctx)
	return v, missing(err, id.Name())
}

// Latest gives the dataset's newest version, or its newest READY one; name is what the caller called it.
func (c *Catalog) Latest(ctx context.Context, project, dataset, name string, ready bool) (*Version, error) {
	v := &Version{}
	query := c.db.NewSelect().Model(v).Where("project = ? AND dataset = ?", project, dataset).OrderExpr("number DESC").Limit(1)
	if ready {
		query.Where("state = ?", Ready)
	}
	return v, missing(query.Scan(ctx), name)
}

// ByObject gives the version that came, or is to come, in an S3 object.
func (c *Catalog) ByObject(ctx context.Context, bucket, key string) (*Version, error) {
	v := &Version{}
	err := c.db.NewSelect().Model(v).Where("bucket = ? AND object_key = ?", bucket, key).Scan(ctx)
	return v, missing(err, "version of s3://"+bucket+"/"+key)
}

// Versions gives up to limit of the dataset's versions, newest first, with a number below before; 0 begins.
func (c *Catalog) Versions(ctx context.Context, project, dataset string, before int32, limit int64) ([]*Version, error) {
	if _, err := c.Dataset(ctx, project, dataset); err != nil {
		return nil, err
	}
	var page []*Version
	query := c.db.NewSelect().Model(&page).Where("project = ? AND dataset = ?", project, dataset).OrderExpr("number DESC").Limit(limit)
	if before > 0 {
		query.Where("number < ?", before)
	}
	err := query.Scan(ctx)
	return page, err
}

// Due gives up to limit versions that the reconciler is to look at now.
func (c *Catalog) Due(ctx context.Context, limit int64) ([]*Version, error) {
	now, err := c.db.Now(ctx, c.db)
	if err != nil {
		return nil, err
	}
	var due []*Version
	err = c.db.NewSelect().Model(&due).Where("next_check <= ?", now).OrderExpr("next_check").Limit(limit).Scan(ctx)
	return due, err
}

// Now is the store's clock.
func (c *Catalog) Now(ctx context.Context) (time.Time, error) {
	now, err := c.db.Now(ctx, c.db)
	return store.Time(now), err
}

// errLost says that the row was changed by another between reading and writing it.
var errLost = errors.New("another change came first")

// Change lets decide change a version and gives what is there afterwards. decide may be called several times; its error ends the change.
func (c *Catalog) Change(ctx context.Context, id ID, decide func(v *Version, now int64) error) (*Version, error) {
	const tries = 50
	for i := range tries {
		v, err := c.tryChange(ctx, id, decide)
		if !errors.Is(err, errLost) {
			return v, err
		}
		// Whoever lost together doesn't try again together.
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(rand.N(time.Duration(min(i+1, 20)) * time.Millisecond)):
		}
	}
	return nil, fmt.Errorf("%s: %w, %d times", id.Name(), errLost, tries)
}

func (c *Catalog) tryChange(ctx context.Context, id ID, decide func(v *Version, now int64) error) (*Version, error) {
	var v *Version
	err := c.db.InTx(ctx, func(ctx context.Context, tx bun.Tx) error {
		var err error
		if v, err = c.version(ctx, tx, id); err != nil {
			return err
		}
		now, err := c.db.Now(ctx, tx)
		if err != nil {
			return err
		}
		read := *v
		if err := decide(v, now); err != nil || !v.changed {
			return err
		}
		v.Revision++
		result, err := tx.NewUpdate().Model(v).WherePK().
			Where("state = ? AND fence = ? AND revision = ?", read.State, read.Fence, read.Revision).Exec(ctx)
		if err != nil {
			return err
		}
		if n, err := result.RowsAffected(); err != nil || n != 1 {
			return errors.Join(errLost, err)
		}
		return writeEvents(ctx, tx, v)
	})
	if err != nil {
		return nil, err
	}
	if len(v.events) > 0 {
		c.wake()
	}
	return v, nil
}

func writeEvents(ctx context.Context, tx bun.Tx, v *Version) error {
	for _, e := range v.events {
		if err := outbox.Write(ctx, tx, v.Project, v.Name(), e.kind, e.payload); err != nil {
			return err
		}
	}
	return nil
}

func missing(err error, name string) error {
	if errors.Is(err, sql.ErrNoRows) {
		return &NotFoundError{name}
	}
	return err
}
