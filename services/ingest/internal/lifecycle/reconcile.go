package lifecycle

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/trainyard/trainyard/services/ingest/internal/catalog"
	"github.com/trainyard/trainyard/services/ingest/internal/upload"
	"go.uber.org/zap"
)

const (
	dueAtOnce   = 100
	longestWait = 30 * time.Minute // Between two looks at a version that doesn't change.
	lookLimit   = time.Minute      // For one version, so that a call that hangs keeps no other waiting.
	sweepLimit  = 15 * time.Minute
	uploads     = "uploads/"
)

// Run reconciles until the context ends. Any number of replicas may run.
func (l *Lifecycle) Run(ctx context.Context) error {
	round := time.NewTicker(l.cfg.ReconcileEvery)
	defer round.Stop()
	// Orphans are rare and the list is long, so it is read a few times in an upload's life.
	sweep := time.NewTicker(max(l.cfg.UploadTTL/8, l.cfg.ReconcileEvery))
	defer sweep.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-round.C:
			if err := l.Reconcile(ctx); err != nil && ctx.Err() == nil {
				l.log.Warn("reconciling failed, the next round tries again", zap.Error(err))
			}
		case <-sweep.C:
			if err := l.Sweep(ctx); err != nil && ctx.Err() == nil {
				l.log.Warn("sweep of orphan uploads failed, the next one tries again", zap.Error(err))
			}
		}
	}
}

// Reconcile looks at every version that is due and finishes what it finds.
func (l *Lifecycle) Reconcile(ctx context.Context) error {
	for {
		due, err := l.catalog.Due(ctx, dueAtOnce)
		if err != nil {
			return err
		}
		for _, v := range due {
			if err := l.look(ctx, v); err != nil {
				if ctx.Err() != nil {
					return err
				}
				// One version's trouble must not keep the others waiting; it is due again later.
				l.log.Warn("version not reconciled", zap.String("project", v.Project), zap.String("version", v.Name()), zap.Error(err))
			}
		}
		if len(due) < dueAtOnce {
			return nil
		}
	}
}

// look takes the version for this round, so that other replicas leave it alone, and mends it.
func (l *Lifecycle) look(ctx context.Context, seen *catalog.Version) error {
	ctx, cancel := context.WithTimeout(ctx, lookLimit)
	defer cancel()
	wait := l.cfg.ResendAfter
	if seen.State == catalog.Uploading {
		wait = l.quiet()
	}
	mine := false
	v, err := l.catalog.Change(ctx, seen.ID(), func(v *catalog.Version, now int64) error {
		mine = v.Look(now, seen.Revision, wait, longestWait)
		return nil
	})
	if err != nil || !mine {
		return err
	}
	switch v.State {
	case catalog.Uploading:
		return l.mendUpload(ctx, v)
	case catalog.Uploaded:
		return l.resend(ctx, v)
	case catalog.Converting:
		if v.Attempts < l.cfg.MaxAttempts {
			return l.resend(ctx, v)
		}
		_, err := l.catalog.Change(ctx, v.ID(), func(v *catalog.Version, now int64) error { return v.GiveUp(now) })
		return err
	}
	return nil
}

// mendUpload completes an upload whose object is whole, and ends one that has been quiet for too long.
func (l *Lifecycle) mendUpload(ctx context.Context, v *catalog.Version) error {
	_, err := l.settle(ctx, v)
	var foreign *catalog.SourceError
	if err == nil || (!errors.Is(err, upload.ErrNoObject) && !errors.As(err, &foreign)) {
		return err
	}
	v, err = l.catalog.Change(ctx, v.ID(), func(v *catalog.Version, now int64) error { return v.Expire(now) })
	if err == nil && v.State == catalog.Expired {
		l.clear(ctx, v)
	}
	return err
}

// resend tells the converter again of an object whose event, or whose worker, seems lost. The converter drops what it didn't need.
func (l *Lifecycle) resend(ctx context.Context, v *catalog.Version) error {
	object, err := l.bucket.Head(ctx, v.ObjectKey)
	what := ""
	switch {
	case errors.Is(err, upload.ErrNoObject):
		what = "it is gone"
	case err != nil:
		return err
	case object.Size != v.SizeBytes || object.ETag != v.ETag:
		what = "it has another size or ETag than when it was uploaded"
	}
	if what != "" {
		_, err := l.catalog.Change(ctx, v.ID(), func(v *catalog.Version, now int64) error { return v.Spoil(now, what) })
		return err
	}
	if l.cfg.UploadsQueue == "" {
		return nil
	}
	l.log.Info("event sent again", zap.String("project", v.Project), zap.String("version", v.Name()), zap.String("state", string(v.State)))
	return l.sendEvent(ctx, v.ObjectKey, object)
}

// Sweep aborts multipart uploads that are older than any upload may be quiet and that no row knows.
func (l *Lifecycle) Sweep(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, sweepLimit)
	defer cancel()
	now, err := l.catalog.Now(ctx)
	if err != nil {
		return err
	}
	return l.bucket.Unfinished(ctx, uploads, now.Add(-l.cfg.UploadTTL), func(u upload.Upload) error {
		if !strings.HasPrefix(u.Key, uploads) {
			return nil
		}
		v, err := l.catalog.ByObject(ctx, l.bucket.Name, u.Key)
		var none *catalog.NotFoundError
		if err != nil && !errors.As(err, &none) {
			return err
		}
		if err == nil && v.State == catalog.Uploading && v.UploadID == u.ID {
			return nil
		}
		l.log.Info("orphan upload aborted", zap.String("key", u.Key))
		l.free(ctx, u)
		return ctx.Err()
	})
}
