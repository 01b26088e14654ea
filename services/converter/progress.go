package converter

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	errorsv1 "github.com/trainyard/trainyard/gen/trainyard/errors/v1"
	ingestv1 "github.com/trainyard/trainyard/gen/trainyard/ingest/v1"
	"github.com/trainyard/trainyard/services/converter/convert"
	"github.com/trainyard/trainyard/services/converter/internal/tracker"
	"github.com/trainyard/trainyard/services/converter/reject"
	"github.com/trainyard/trainyard/services/converter/scratch"
	"github.com/trainyard/trainyard/services/converter/source"
	"github.com/trainyard/trainyard/services/converter/worker"
	"github.com/trainyard/trainyard/services/internal/apierror"
	"github.com/trainyard/trainyard/services/internal/auth"
	"github.com/trainyard/trainyard/services/internal/queue"
	"go.uber.org/zap"
)

// errStale says that somebody else has taken the version over: the work at hand is nobody's any more.
var errStale = errors.New("the version was taken over by another worker")

// failure is an end of a conversion that the user is told of.
type failure struct {
	reason  errorsv1.ErrorReason
	message string
	refused *reject.Error // What is to blame, where it is what the upload holds; may be nil.
}

func (f *failure) Error() string { return f.message }

// causeOf prefers the reason of a cancellation over what the cancelled work said.
func causeOf(ctx context.Context, err error) error {
	if err != nil && errors.Is(context.Cause(ctx), errStale) {
		return errStale
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
func (u *unit) settle(ctx context.Context, c tracker.Conversion, err error, tries int) error {
	var refused *reject.Error
	var crash *worker.CrashError
	var told *failure
	switch {
	case errors.Is(err, errStale):
		return u.dropped(ctx, c)
	case ctx.Err() != nil:
		return err // Shutdown, or the message is somebody else's: it comes again.
	case errors.As(err, &refused):
		return u.fail(ctx, c, &failure{reasonOf(refused.Reason), refused.Message, refused})
	case errors.As(err, &told):
		return u.fail(ctx, c, told)
	case errors.Is(err, source.ErrChanged):
		return u.fail(ctx, c, &failure{reason: errorsv1.ErrorReason_SOURCE_MISMATCH, message: "The uploaded object was replaced or deleted while it was converted. Upload it again as a new version."})
	case errors.Is(err, scratch.ErrFull):
		return &queue.RetryAfter{After: 30 * time.Second, Err: err}
	case errors.As(err, &crash) && tries >= u.cfg.MaxAttempts:
		u.log.Error("a worker process crashed too often", zap.String("version", c.Name), zap.Error(crash))
		failed := u.fail(ctx, c, &failure{
			reason:  errorsv1.ErrorReason_CONVERTER_CRASHED,
			message: "The converter's worker process ended without a result again and again, most likely because of a file in the archive. The operator finds the cause in the log and the message in the dead-letter queue.",
		})
		return errors.Join(failed, &queue.RetryAfter{Err: err}) // The message goes on to the dead letters.
	}
	return err
}

// fail ends a conversion badly. Before it does, it puts the list of what was left out, if there is any, where ListRejections reads it.
func (u *unit) fail(ctx context.Context, c tracker.Conversion, f *failure) error {
	request := &ingestv1.FailConversionRequest{
		Project: c.Project, Name: c.Name, Fence: c.Fence, Failure: &errorsv1.Failure{Reason: f.reason, Message: strings.ToValidUTF8(f.message, "\uFFFD")},
	}
	if f.refused != nil && len(f.refused.Files.Files) > 0 {
		o := u.objects(c.SourceKey, c.OutputPrefix)
		if err := o.put(ctx, convert.ReportName, convert.FailureReport(f.refused)); err != nil {
			return fmt.Errorf("put what was left out: %w", err)
		}
		request.RejectedCount, request.Uri = count(f.refused.Files.Total()), o.uri()
	}
	_, err := u.versions.FailConversion(ctx, request)
	if err := staleOr(err); errors.Is(err, errStale) {
		return u.dropped(ctx, c)
	} else if err != nil {
		return err
	}
	u.log.Info("failed", zap.String("version", c.Name), zap.String("reason", f.reason.String()), zap.String("message", f.message))
	u.over(ctx, c, ingestv1.Version_FAILED, request.GetUri() != "")
	return nil
}

// reasonOf turns the engine's reasons into the API's, which are coarser.
func reasonOf(r reject.Reason) errorsv1.ErrorReason {
	switch r {
	case reject.NotAnArchive, reject.UnsupportedContainer:
		return errorsv1.ErrorReason_NOT_AN_ARCHIVE
	case reject.EmptyArchive, reject.NoExamples:
		return errorsv1.ErrorReason_ARCHIVE_EMPTY
	case reject.CorruptArchive, reject.CorruptEntry:
		return errorsv1.ErrorReason_ARCHIVE_CORRUPT
	case reject.EncryptedArchive, reject.OverlappingEntries:
		return errorsv1.ErrorReason_ARCHIVE_UNSAFE
	case reject.ArchiveTooLarge, reject.TooManyEntries, reject.TooManyClasses, reject.TooLarge:
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

// dropped ends work that is nobody's any more. When the version has ended meanwhile, what this work has put since is removed too.
func (u *unit) dropped(ctx context.Context, c tracker.Conversion) error {
	u.log.Info("work of a version that was taken over was dropped", zap.String("version", c.Name))
	u.collect(ctx, c)
	return nil
}

// collect clears away after a conversion whose version has ended. It reports whether it has.
func (u *unit) collect(ctx context.Context, c tracker.Conversion) bool {
	call, cancel := context.WithTimeout(auth.ForProject(ctx, c.Project), callLimit)
	defer cancel()
	got, err := u.states.GetVersion(call, &ingestv1.GetVersionRequest{Name: c.Name})
	if err != nil {
		u.log.Warn("a version's state could not be asked", zap.String("version", c.Name), zap.Error(err))
		return false
	}
	state := got.GetVersion().GetState()
	if state != ingestv1.Version_READY && state != ingestv1.Version_FAILED {
		return false
	}
	u.over(ctx, c, state, got.GetVersion().GetUri() != "")
	return true
}

// over clears away after a conversion: of a READY one what only the work needed, of a FAILED one everything but the report, if it has one.
// Its errors are only logged: the version's state is final, and keep tries again as long as the tracker knows the conversion.
func (u *unit) over(ctx context.Context, c tracker.Conversion, state ingestv1.Version_State, report bool) {
	o := u.objects(c.SourceKey, c.OutputPrefix)
	prefix, stays := o.workPrefix(), ""
	if state == ingestv1.Version_FAILED {
		prefix = o.output
		if report {
			stays = o.fileKey(convert.ReportName)
		}
	}
	err := o.remove(ctx, prefix, stays)
	if err == nil {
		err = u.tracker.End(ctx, c)
	}
	if err != nil {
		u.log.Warn("clearing away after a conversion failed", zap.String("version", c.Name), zap.Error(err))
	}
}

const (
	// progressEvery is the least time between two progress events of one conversion, leases aside.
	progressEvery = 400 * time.Millisecond
	// callLimit bounds a call whose connection was cut.
	callLimit = 5 * time.Second
	// maxPaces is how many keys a pace remembers.
	maxPaces = 1000
)

// pace keeps things from being done too often.
type pace struct {
	mu   sync.Mutex
	last map[string]time.Time
}

// due tells whether it is time again for the key.
func (p *pace) due(key string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if time.Since(p.last[key]) < progressEvery {
		return false
	}
	if p.last == nil {
		p.last = map[string]time.Time{}
	}
	if len(p.last) >= maxPaces {
		clear(p.last) // One thing too many is done too often once.
	}
	p.last[key] = time.Now()
	return true
}

// report tells ingest how far a conversion is, which also keeps the lease. errStale says that the version was taken over.
func (u *unit) report(ctx context.Context, c tracker.Conversion) (tracker.Progress, error) {
	p, err := u.tracker.Progress(ctx, c.Project, c.Name)
	if err != nil {
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
	call, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	_, err := u.versions.ReportProgress(call, &ingestv1.ReportProgressRequest{Project: c.Project, Name: c.Name, Fence: c.Fence, Progress: p})
	if err = staleOr(err); err == nil || errors.Is(err, errStale) {
		return err
	}
	if ctx.Err() == nil {
		u.log.Warn("progress could not be told", zap.String("version", c.Name), zap.Error(err))
	}
	return nil
}

// holdLease renews the lease of a conversion that is at work here until it is released. A stale fence ends the work's context.
func (u *unit) holdLease(ctx context.Context, c tracker.Conversion, renew func(context.Context) error) (work context.Context, release func()) {
	work, cancel := context.WithCancelCause(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		ticker := time.NewTicker(u.cfg.LeaseEvery)
		defer ticker.Stop()
		for {
			if err := renew(work); errors.Is(err, errStale) {
				cancel(err)
			}
			select {
			case <-ticker.C:
			case <-work.Done():
				return
			}
		}
	}()
	return work, func() {
		cancel(nil)
		<-ended
	}
}

// keep renews the leases of conversions whose tasks wait for a free worker, and clears away after those that ended without this
// process's doing.
func (u *unit) keep(ctx context.Context) error {
	ticker := time.NewTicker(u.cfg.LeaseEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		if err := u.keepOnce(ctx); err != nil && ctx.Err() == nil {
			u.log.Warn("leases could not be renewed", zap.Error(err))
		}
	}
}

func (u *unit) keepOnce(ctx context.Context) error {
	list, err := u.tracker.List(ctx)
	if err != nil {
		return err
	}
	if err := u.folders.clear(list); err != nil {
		u.log.Warn("scratch folders could not be removed", zap.Error(err))
	}
	for _, c := range list {
		kept, err := u.tracker.Kept(ctx, c)
		if err != nil {
			return err
		}
		if kept {
			if _, err := u.report(ctx, c); !errors.Is(err, errStale) {
				continue
			}
		}
		if !u.collect(ctx, c) && kept {
			// Claimed anew: who has the claim keeps the lease, and has begun or will.
			err = u.tracker.SetSent(ctx, c, false)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
