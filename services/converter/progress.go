package converter

import (
	"context"
	"errors"
	"strings"
	"time"

	errorsv1 "github.com/trainyard/trainyard/gen/trainyard/errors/v1"
	ingestv1 "github.com/trainyard/trainyard/gen/trainyard/ingest/v1"
	"github.com/trainyard/trainyard/services/converter/internal/tracker"
	"github.com/trainyard/trainyard/services/converter/reject"
	"github.com/trainyard/trainyard/services/converter/scratch"
	"github.com/trainyard/trainyard/services/converter/source"
	"github.com/trainyard/trainyard/services/converter/worker"
	"github.com/trainyard/trainyard/services/internal/apierror"
	"github.com/trainyard/trainyard/services/internal/queue"
	"go.uber.org/zap"
)

// errStale says that somebody else has taken the version over: the work at hand is nobody's any more.
var errStale = errors.New("the version was taken over by another worker")

// failure is an end of a conversion that the user is told of.
type failure struct {
	reason  errorsv1.ErrorReason
	message string
}

func (f *failure) Error() string { return f.message }

// causeOf prefers the reason of a cancellation over what the cancelled work said.
func causeOf(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); errors.Is(cause, errStale) {
		return cause
	}
	return err
}

func staleOr(err error) error {
	if apierror.Is(err, errorsv1.ErrorReason_FENCE_STALE) || apierror.Is(err, errorsv1.ErrorReason_WRONG_STATE) {
		return errStale
	}
	return err
}

// settle decides what an error means for the version: its end, or another try of the message.
func (u *unit) settle(ctx context.Context, c tracker.Conversion, err error, receives int) error {
	var refused *reject.Error
	var crash *worker.CrashError
	var told *failure
	switch {
	case errors.Is(err, errStale):
		u.log.Info("work of a version that was taken over was dropped", zap.String("version", c.Name))
		return nil
	case ctx.Err() != nil:
		return err // Shutdown, or the message is somebody else's: it comes again.
	case errors.As(err, &refused):
		return u.fail(ctx, c, &failure{reasonOf(refused.Reason), refused.Message})
	case errors.As(err, &told):
		return u.fail(ctx, c, told)
	case errors.Is(err, source.ErrChanged):
		return u.fail(ctx, c, &failure{errorsv1.ErrorReason_SOURCE_MISMATCH, "The uploaded object was replaced or deleted while it was converted. Upload it again as a new version."})
	case errors.Is(err, scratch.ErrFull):
		return &queue.RetryAfter{After: 30 * time.Second, Err: err}
	case errors.As(err, &crash) && receives >= u.cfg.MaxAttempts:
		u.log.Error("a worker process crashed too often", zap.String("version", c.Name), zap.Error(crash))
		failed := u.fail(ctx, c, &failure{
			errorsv1.ErrorReason_CONVERTER_CRASHED,
			"The converter's worker process ended without a result again and again, most likely because of a file in the archive. The operator finds the cause in the log and the message in the dead-letter queue.",
		})
		return errors.Join(failed, &queue.RetryAfter{Err: err}) // The message goes on to the dead letters.
	}
	return err
}

func (u *unit) fail(ctx context.Context, c tracker.Conversion, f *failure) error {
	_, err := u.versions.FailConversion(ctx, &ingestv1.FailConversionRequest{
		Project: c.Project, Name: c.Name, Fence: c.Fence, Failure: &errorsv1.Failure{Reason: f.reason, Message: f.message},
	})
	if err := staleOr(err); err != nil && !errors.Is(err, errStale) {
		return err
	}
	u.log.Info("failed", zap.String("version", c.Name), zap.String("reason", f.reason.String()), zap.String("message", f.message))
	p, err := u.tracker.Progress(ctx, c.Project, c.Name)
	if err != nil {
		return err
	}
	u.over(ctx, c, int(p.Tasks))
	return nil
}

// reasonOf turns the engine's reasons into the API's, which are coarser.
func reasonOf(r reject.Reason) errorsv1.ErrorReason {
	switch r {
	case reject.NotAnArchive, reject.UnsupportedContainer:
		return errorsv1.ErrorReason_NOT_AN_ARCHIVE
	case reject.EmptyArchive, reject.NoExamples:
		return errorsv1.ErrorReason_ARCHIVE_EMPTY
	case reject.CorruptArchive:
		return errorsv1.ErrorReason_ARCHIVE_CORRUPT
	case reject.EncryptedArchive, reject.OverlappingEntries:
		return errorsv1.ErrorReason_ARCHIVE_UNSAFE
	case reject.ArchiveTooLarge, reject.TooManyEntries, reject.TooManyClasses:
		return errorsv1.ErrorReason_LIMIT_EXCEEDED
	case reject.TooFewClasses:
		return errorsv1.ErrorReason_TOO_FEW_CLASSES
	case reject.TooManyBadFiles:
		return errorsv1.ErrorReason_TOO_MANY_BAD_FILES
	case reject.InvalidOptions:
		return errorsv1.ErrorReason_FIELD_INVALID
	}
	return errorsv1.ErrorReason_FORMAT_UNKNOWN
}

// mayReport tells whether it is time for another progress event of a conversion.
func (u *unit) mayReport(c tracker.Conversion) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	key := c.Project + c.Name
	if time.Since(u.lastReport[key]) < progressEvery {
		return false
	}
	u.lastReport[key] = time.Now()
	return true
}

// report tells ingest how far a conversion is, which also keeps the lease.
func (u *unit) report(ctx context.Context, c tracker.Conversion, always bool) (tracker.Progress, error) {
	p, err := u.tracker.Progress(ctx, c.Project, c.Name)
	if err != nil || (!always && p.Tasks == 0) {
		return p, err
	}
	phase := "converting"
	if p.Done == p.Tasks {
		phase = "finishing"
	}
	return p, u.sendProgress(ctx, c, &ingestv1.ConversionProgress{
		Phase: phase, DoneExamples: count(p.Examples), TotalExamples: count(c.Records), RejectedCount: count(c.LeftOut + p.LeftOut),
		DoneBytes: p.ReadBytes, TotalBytes: p.TotalReadBytes,
	})
}

// sendProgress gives errStale when the version was taken over. That ingest is away is no reason to stop: the lease may outlast it.
func (u *unit) sendProgress(ctx context.Context, c tracker.Conversion, p *ingestv1.ConversionProgress) error {
	_, err := u.versions.ReportProgress(ctx, &ingestv1.ReportProgressRequest{Project: c.Project, Name: c.Name, Fence: c.Fence, Progress: p})
	if err = staleOr(err); err == nil || errors.Is(err, errStale) {
		return err
	}
	if ctx.Err() == nil {
		u.log.Warn("progress could not be told", zap.String("version", c.Name), zap.Error(err))
	}
	return nil
}

// keepLeases renews the leases of conversions whose tasks wait for a free worker.
func (u *unit) keepLeases(ctx context.Context) error {
	ticker := time.NewTicker(u.cfg.LeaseEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		running, err := u.tracker.Running(ctx)
		if err != nil {
			if ctx.Err() == nil {
				u.log.Warn("leases could not be renewed", zap.Error(err))
			}
			continue
		}
		for _, c := range running {
			if !u.mayReport(c) {
				continue
			}
			if _, err := u.report(ctx, c, true); errors.Is(err, errStale) && strings.HasPrefix(c.Name, "datasets/") {
				u.over(ctx, c, 0)
			}
		}
	}
}
