// Package lifecycle leads a version from its first byte to its end: the use cases behind the API, and the reconciler that
// finishes what a crash or a lost event left half done.
//
// S3 and the database can't change together, so each use case takes its steps in an order in which a crash between any
// two leaves something that a later call or the reconciler sees and finishes:
//
//   - create: row, then multipart upload, then its id in the row. Without an id the next signing begins one; an upload whose id
//     was never stored is an orphan that the sweep aborts.
//   - complete: S3 first, then the row. An object that is whole counts as completed whoever asks: a repeated call, the
//     converter's claim, or the reconciler.
//   - abort, expire: row first, so that nothing is signed any more, then S3. What stays is an orphan.
package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"time"

	errorsv1 "github.com/trainyard/trainyard/gen/trainyard/errors/v1"
	ingestv1 "github.com/trainyard/trainyard/gen/trainyard/ingest/v1"
	"github.com/trainyard/trainyard/services/ingest/internal/catalog"
	"github.com/trainyard/trainyard/services/ingest/internal/upload"
	"go.uber.org/zap"
	"golang.org/x/sync/singleflight"
)

// Work that outlives its caller still ends when a connection hangs.
const (
	completionLimit = 15 * time.Minute // Longer than S3 takes for 10,000 parts.
	clearingLimit   = 30 * time.Second
)

// Config is how patient and generous ingest is; see ingest.Config.
type Config struct {
	UploadTTL      time.Duration
	ReconcileEvery time.Duration
	ResendAfter    time.Duration
	Lease          time.Duration
	URLLifetime    time.Duration
	MaxAttempts    int32
	PartSize       int64
	Quotas         catalog.Quotas
	// UploadsQueue is the URL of the queue to which a lost event is sent again; empty means never.
	UploadsQueue string
	// Region stands in that event.
	Region string
}

// Lifecycle is the use cases.
type Lifecycle struct {
	cfg     Config
	catalog *catalog.Catalog
	bucket  *upload.Bucket
	queue   Queue
	log     *zap.Logger

	// completing joins calls that complete the same upload: while S3 puts the parts together a second call would find no upload and no object yet.
	completing singleflight.Group
}

// New makes the use cases. queue may be nil when cfg names no queue.
func New(cfg Config, c *catalog.Catalog, bucket *upload.Bucket, queue Queue, log *zap.Logger) *Lifecycle {
	return &Lifecycle{cfg: cfg, catalog: c, bucket: bucket, queue: queue, log: log}
}

// quiet is how long an upload is silent before the reconciler looks at it: whoever is at work on it signs or completes within a round.
func (l *Lifecycle) quiet() time.Duration { return l.cfg.ReconcileEvery }

// Create begins a version: a row and a multipart upload.
func (l *Lifecycle) Create(ctx context.Context, project, dataset, fileName string, size int64, options *ingestv1.ConversionOptions, requestID string) (*catalog.Version, error) {
	plan := upload.NewPlan(size, l.cfg.PartSize)
	v, err := l.catalog.CreateVersion(ctx, &catalog.Version{
		Project: project, Dataset: dataset, RequestID: requestID,
		FileName: fileName, SizeBytes: size, Options: catalog.JSON[*ingestv1.ConversionOptions]{V: options},
		Bucket: l.bucket.Name, PartSize: plan.PartSize, PartCount: plan.Count,
	}, l.cfg.Quotas, l.quiet(), l.cfg.UploadTTL)
	if err != nil || v.State != catalog.Uploading {
		return v, err
	}
	return l.ensureUpload(ctx, v)
}

// ensureUpload begins the multipart upload of a version that has none.
func (l *Lifecycle) ensureUpload(ctx context.Context, v *catalog.Version) (*catalog.Version, error) {
	if _, ok := v.Upload(); ok {
		return v, nil
	}
	begun, err := l.bucket.Begin(ctx, v.ObjectKey)
	if err != nil {
		return nil, err
	}
	changed, err := l.catalog.Change(ctx, v.ID(), func(v *catalog.Version, _ int64) error { return v.SetUpload(begun.ID) })
	if err != nil || changed.UploadID != begun.ID {
		// Somebody else was first, or the version is over.
		l.free(ctx, begun)
	}
	return changed, err
}

// free aborts a multipart upload that no row needs. What fails here is left to the sweep of orphans.
func (l *Lifecycle) free(ctx context.Context, u upload.Upload) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), clearingLimit)
	defer cancel()
	if err := l.bucket.Abort(ctx, u); err != nil && !errors.Is(err, upload.ErrNoUpload) {
		l.log.Warn("multipart upload not aborted, the sweep will try again", zap.String("key", u.Key), zap.Error(err))
	}
}

// PartToSign is a part that a client is about to put.
type PartToSign struct {
	Number int32
	CRC32C string
}

// PartNumberError says that the plan has no such part.
type PartNumberError struct {
	Index         int // Of the part in the request.
	Number, Count int32
}

func (e *PartNumberError) Error() string {
	return fmt.Sprintf("there is no part %d, the upload has parts 1 to %d", e.Number, e.Count)
}

// Sign signs the URLs of parts, in the order asked for, and says until when they work.
func (l *Lifecycle) Sign(ctx context.Context, id catalog.ID, parts []PartToSign) ([]upload.Signed, time.Time, error) {
	v, err := l.catalog.Change(ctx, id, func(v *catalog.Version, now int64) error {
		return v.Touch(now, l.quiet(), l.cfg.UploadTTL)
	})
	if err != nil {
		return nil, time.Time{}, err
	}
	plan := v.Plan()
	for i, part := range parts {
		if part.Number < 1 || part.Number > plan.Count {
			return nil, time.Time{}, &PartNumberError{Index: i, Number: part.Number, Count: plan.Count}
		}
	}
	if v, err = l.ensureUpload(ctx, v); err != nil {
		return nil, time.Time{}, err
	}
	u, _ := v.Upload()
	// S3 measures by the signing time, which the signer takes from this machine's clock.
	expires := time.Now().Add(l.cfg.URLLifetime)
	signed := make([]upload.Signed, len(parts))
	for i, part := range parts {
		if signed[i], err = l.bucket.Sign(ctx, u, part.Number, plan.SizeOf(part.Number), part.CRC32C, l.cfg.URLLifetime); err != nil {
			return nil, time.Time{}, err
		}
	}
	return signed, expires, nil
}

// Parts gives up to limit parts that S3 has, above a number, and whether there are more.
func (l *Lifecycle) Parts(ctx context.Context, id catalog.ID, after, limit int32) ([]upload.Part, bool, error) {
	v, err := l.catalog.Version(ctx, id)
	if err != nil {
		return nil, false, err
	}
	if v.State != catalog.Uploading {
		return nil, false, &catalog.StateError{Name: v.Name(), State: v.State, Want: "UPLOADING"}
	}
	u, ok := v.Upload()
	if !ok {
		return nil, false, nil
	}
	parts, more, err := l.bucket.List(ctx, u, after, limit)
	if !errors.Is(err, upload.ErrNoUpload) {
		return parts, more, err
	}
	if v, err = l.recover(ctx, v, u, err); err == nil {
		err = &catalog.StateError{Name: v.Name(), State: v.State, Want: "UPLOADING"}
	}
	var incomplete *upload.IncompleteError
	if errors.As(err, &incomplete) {
		return nil, false, nil
	}
	return nil, false, err
}

// Complete puts the parts together. Safe to repeat; a version that is further already is given as it is.
func (l *Lifecycle) Complete(ctx context.Context, id catalog.ID) (*catalog.Version, error) {
	// S3 may take minutes for a large object, and goes on when the caller's time is up: so does the completion, and a
	// repeated call joins it.
	result := l.completing.DoChan(id.Project+"/"+id.Name(), func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), completionLimit)
		defer cancel()
		return l.complete(ctx, id)
	})
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case r := <-result:
		v, _ := r.Val.(*catalog.Version)
		return v, r.Err
	}
}

func (l *Lifecycle) complete(ctx context.Context, id catalog.ID) (*catalog.Version, error) {
	v, err := l.catalog.Version(ctx, id)
	if err != nil {
		return nil, err
	}
	if v.State != catalog.Uploading {
		return l.catalog.Change(ctx, id, func(v *catalog.Version, now int64) error { return v.Complete(now, 0, upload.Object{}) })
	}
	u, ok := v.Upload()
	if !ok {
		return nil, &upload.IncompleteError{Missing: v.Plan().All()}
	}
	// A crash after S3's step is then found within a round.
	if _, err := l.catalog.Change(ctx, id, func(v *catalog.Version, now int64) error {
		return v.Touch(now, l.quiet(), l.cfg.UploadTTL)
	}); err != nil {
		return nil, err
	}
	if err := l.bucket.Complete(ctx, u, v.Plan()); err != nil {
		var incomplete *upload.IncompleteError
		if errors.As(err, &incomplete) {
			return nil, err
		}
		return l.recover(ctx, v, u, err)
	}
	return l.settle(ctx, v)
}

// settle looks at the object and, when it is whole, pins it in the row. SourceError when it is another's, ErrNoObject when there is none.
func (l *Lifecycle) settle(ctx context.Context, v *catalog.Version) (*catalog.Version, error) {
	object, err := l.bucket.Head(ctx, v.ObjectKey)
	if err != nil {
		return nil, err
	}
	settled, err := l.catalog.Change(ctx, v.ID(), func(v *catalog.Version, now int64) error {
		return v.Complete(now, l.cfg.ResendAfter, object)
	})
	var state *catalog.StateError
	if errors.As(err, &state) {
		// It was aborted or it expired while S3 put it together: nobody will ever want the object.
		if err := l.bucket.Delete(ctx, v.ObjectKey); err != nil {
			l.log.Warn("object of an upload that was given up stays", zap.String("key", v.ObjectKey), zap.Error(err))
		}
	}
	return settled, err
}

// recover finds out what S3's refusal of an upload means: that it was completed before (the version, settled), or that it is gone with
// its parts (IncompleteError, and parts signed next go to a new one). Otherwise it gives the cause.
func (l *Lifecycle) recover(ctx context.Context, v *catalog.Version, u upload.Upload, cause error) (*catalog.Version, error) {
	settled, err := l.settle(ctx, v)
	if err == nil || !errors.Is(cause, upload.ErrNoUpload) {
		if err != nil {
			return nil, cause
		}
		return settled, nil
	}
	var source *catalog.SourceError
	switch {
	case errors.As(err, &source):
		return l.catalog.Change(ctx, v.ID(), func(v *catalog.Version, now int64) error { return v.Spoil(now, source.What) })
	case errors.Is(err, upload.ErrNoObject):
		if _, err := l.catalog.Change(ctx, v.ID(), func(v *catalog.Version, _ int64) error { return v.ForgetUpload(u.ID) }); err != nil {
			return nil, err
		}
		return nil, &upload.IncompleteError{Missing: v.Plan().All()}
	}
	return nil, err
}

// Abort gives an unfinished upload up and frees its parts. Safe to repeat.
func (l *Lifecycle) Abort(ctx context.Context, id catalog.ID) (*catalog.Version, error) {
	v, err := l.catalog.Change(ctx, id, func(v *catalog.Version, now int64) error { return v.Abort(now) })
	if err != nil {
		return nil, err
	}
	l.clear(ctx, v)
	return v, nil
}

// clear frees what S3 keeps of an upload that was given up: its parts, or the object when it was completed and nobody had noted so.
func (l *Lifecycle) clear(ctx context.Context, v *catalog.Version) {
	u, ok := v.Upload()
	if !ok {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), clearingLimit)
	defer cancel()
	err := l.bucket.Abort(ctx, u)
	if errors.Is(err, upload.ErrNoUpload) {
		err = l.bucket.Delete(ctx, u.Key)
	}
	if err != nil {
		l.log.Warn("upload that was given up not cleared away, the sweep aborts its parts", zap.String("key", u.Key), zap.Error(err))
	}
}

// Claim gives the version whose object is at bucket and key to a worker, for the lease.
func (l *Lifecycle) Claim(ctx context.Context, bucket, key, etag string, size int64, worker string) (*catalog.Version, error) {
	v, err := l.catalog.ByObject(ctx, bucket, key)
	if err != nil {
		return nil, err
	}
	if v.State == catalog.Uploading {
		// The event was faster than the completing call, or that call died: the object itself tells.
		if _, err := l.settle(ctx, v); errors.Is(err, upload.ErrNoObject) {
			return nil, &catalog.SourceError{Name: v.Name(), What: "there is no object yet"}
		} else if err != nil {
			return nil, err
		}
	}
	return l.catalog.Change(ctx, v.ID(), func(v *catalog.Version, now int64) error {
		return v.Claim(now, l.cfg.Lease, worker, etag, size)
	})
}

// Report notes a worker's progress and extends its lease.
func (l *Lifecycle) Report(ctx context.Context, id catalog.ID, fence int64, progress *ingestv1.ConversionProgress) error {
	_, err := l.catalog.Change(ctx, id, func(v *catalog.Version, now int64) error {
		return v.Report(now, l.cfg.Lease, fence, progress)
	})
	return err
}

// Finish ends a conversion well.
func (l *Lifecycle) Finish(ctx context.Context, id catalog.ID, fence int64, result *ingestv1.ConversionResult) error {
	_, err := l.catalog.Change(ctx, id, func(v *catalog.Version, now int64) error { return v.Finish(now, fence, result) })
	return err
}

// Fail ends a conversion badly. So much was left out, of which a report lies at the URI, if there is one.
func (l *Lifecycle) Fail(ctx context.Context, id catalog.ID, fence int64, failure *errorsv1.Failure, rejected int32, uri string) error {
	_, err := l.catalog.Change(ctx, id, func(v *catalog.Version, now int64) error { return v.Fail(now, fence, failure, rejected, uri) })
	return err
}
