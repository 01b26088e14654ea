package converter

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	errorsv1 "github.com/trainyard/trainyard/gen/trainyard/errors/v1"
	ingestv1 "github.com/trainyard/trainyard/gen/trainyard/ingest/v1"
	"github.com/trainyard/trainyard/services/converter/convert"
	"github.com/trainyard/trainyard/services/converter/dataset"
	"github.com/trainyard/trainyard/services/converter/internal/tracker"
	"github.com/trainyard/trainyard/services/converter/worker"
	"github.com/trainyard/trainyard/services/internal/apierror"
	"github.com/trainyard/trainyard/services/internal/queue"
	"go.uber.org/zap"
)

// uploadsPrefix is where uploads lie; the queue's filter lets nothing else through.
const uploadsPrefix = "uploads/"

// s3Event is what S3 sends: only the names are used, and only as a hint.
type s3Event struct {
	Records []struct {
		EventName string `json:"eventName"`
		S3        struct {
			Bucket struct {
				Name string `json:"name"`
			} `json:"bucket"`
			Object struct {
				Key string `json:"key"`
			} `json:"object"`
		} `json:"s3"`
	} `json:"Records"`
}

// handleUpload takes the versions that an S3 event tells of. Whatever fits no version is dropped: a message is a hint that
// anybody may have sent.
func (u *unit) handleUpload(ctx context.Context, m queue.Message) error {
	var event s3Event
	if err := json.Unmarshal([]byte(m.Body), &event); err != nil {
		u.log.Warn("a message that is no S3 event was dropped", zap.Error(err))
		return nil
	}
	for _, record := range event.Records { // s3:TestEvent has none.
		key, err := url.QueryUnescape(record.S3.Object.Key)
		if err != nil || record.S3.Bucket.Name != u.cfg.Bucket ||
			!strings.HasPrefix(key, uploadsPrefix) || !strings.HasPrefix(strings.TrimPrefix(record.EventName, "s3:"), "ObjectCreated:") {
			u.log.Warn("an event that is not of an upload was dropped", zap.String("bucket", record.S3.Bucket.Name), zap.String("event", record.EventName))
			continue
		}
		if err := u.take(ctx, key, m.Receives); err != nil {
			return err
		}
	}
	return nil
}

// take claims the version of an uploaded object and plans it.
func (u *unit) take(ctx context.Context, key string, receives int) error {
	head, err := u.deps.S3.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &u.cfg.Bucket, Key: &key})
	if isMissing(err) || hasStatus(err, http.StatusBadRequest) { // 400: no object can have such a key.
		u.log.Warn("an event of an object that isn't there was dropped", zap.String("key", key))
		return nil
	}
	if err != nil {
		return err
	}
	worker, _ := os.Hostname()
	claim, err := u.versions.ClaimConversion(ctx, &ingestv1.ClaimConversionRequest{
		Bucket: u.cfg.Bucket, Key: key, Etag: *head.ETag, SizeBytes: *head.ContentLength, Worker: worker,
	})
	switch {
	case err == nil:
	case apierror.Is(err, errorsv1.ErrorReason_LEASE_HELD):
		if receives > 1 {
			// Most likely our own lease, from the try before.
			return &queue.RetryAfter{After: 4 * u.cfg.LeaseEvery, Err: err}
		}
		// Most likely a duplicate. Should the other worker die, ingest sends the event again.
		return nil
	case apierror.Is(err, errorsv1.ErrorReason_RESOURCE_NOT_FOUND), apierror.Is(err, errorsv1.ErrorReason_WRONG_STATE),
		apierror.Is(err, errorsv1.ErrorReason_SOURCE_MISMATCH):
		u.log.Info("an event that fits no waiting version was dropped", zap.String("key", key), zap.Error(err))
		return nil
	default:
		return err
	}
	c := tracker.Conversion{
		Project: claim.GetProject(), Name: claim.GetVersion().GetName(), Fence: claim.GetFence(), OutputPrefix: claim.GetOutputPrefix(),
		SourceKey: key, SourceSize: *head.ContentLength, SourceETag: *head.ETag,
	}
	if err := u.plan(ctx, c, claim.GetVersion()); err != nil {
		return u.settle(ctx, c, err, receives)
	}
	return nil
}

// plan has a child plan the conversion and puts its tasks on the queue. Planned again, it gives the same plan.
func (u *unit) plan(ctx context.Context, c tracker.Conversion, version *ingestv1.Version) error {
	options, err := conversionOptions(c, version)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stop := u.holdLease(ctx, cancel, c)
	defer stop()
	dir, err := u.scratchDir(c)
	if err != nil {
		return err
	}
	planned, err := u.parent(u.objects(c.SourceKey, c.OutputPrefix)).Plan(ctx, options, worker.Source{Size: c.SourceSize, ETag: c.SourceETag}, dir)
	if err != nil {
		return causeOf(ctx, err)
	}
	if planned.Records > math.MaxInt32 {
		return &failure{errorsv1.ErrorReason_LIMIT_EXCEEDED, fmt.Sprintf("The archive holds %d examples; a version takes at most %d. Split it into several datasets.", planned.Records, math.MaxInt32)}
	}
	c.PlanKey, c.PlanSize, c.Records, c.LeftOut = planned.Key, planned.Size, planned.Records, planned.LeftOut
	todo, err := u.tracker.Begin(ctx, c, planned.TaskSize)
	if err != nil {
		return err
	}
	u.log.Info("planned", zap.String("version", c.Name), zap.String("format", planned.Format), zap.Int64("records", planned.Records), zap.Int("tasks", len(planned.TaskSize)))
	if len(todo) == 0 { // All done by an earlier claim that was lost before its end.
		return u.finish(ctx, c)
	}
	if err := u.sendTasks(ctx, c, todo); err != nil {
		return err
	}
	return u.tracker.Sent(ctx, c)
}

// holdLease reports `planning` until stopped. A stale fence cancels the work.
func (u *unit) holdLease(ctx context.Context, cancel context.CancelCauseFunc, c tracker.Conversion) (stop func()) {
	done := make(chan struct{})
	go func() {
		ticker := time.NewTicker(u.cfg.LeaseEvery)
		defer ticker.Stop()
		for {
			err := u.sendProgress(ctx, c, &ingestv1.ConversionProgress{Phase: "planning", TotalBytes: c.SourceSize})
			if errors.Is(err, errStale) {
				cancel(err)
				return
			}
			select {
			case <-ticker.C:
			case <-done:
				return
			case <-ctx.Done():
				return
			}
		}
	}()
	return func() { close(done) }
}

type taskMessage struct {
	Project string `json:"project"`
	Name    string `json:"name"`
	Fence   int64  `json:"fence"`
	Task    int    `json:"task"`
}

func (u *unit) sendTasks(ctx context.Context, c tracker.Conversion, todo []int) error {
	for len(todo) > 0 {
		batch := todo[:min(10, len(todo))]
		todo = todo[len(batch):]
		entries := make([]types.SendMessageBatchRequestEntry, len(batch))
		for i, task := range batch {
			body, err := json.Marshal(taskMessage{Project: c.Project, Name: c.Name, Fence: c.Fence, Task: task})
			if err != nil {
				return err
			}
			id, text := strconv.Itoa(i), string(body)
			entries[i] = types.SendMessageBatchRequestEntry{Id: &id, MessageBody: &text}
		}
		sent, err := u.deps.SQS.SendMessageBatch(ctx, &sqs.SendMessageBatchInput{QueueUrl: &u.cfg.TasksQueue, Entries: entries})
		if err != nil {
			return err
		}
		if len(sent.Failed) > 0 {
			return fmt.Errorf("%d tasks could not be queued: %s", len(sent.Failed), *sent.Failed[0].Code)
		}
	}
	return nil
}

func (u *unit) scratchDir(c tracker.Conversion) (string, error) {
	dir := filepath.Join(u.cfg.Scratch, c.Project, filepath.FromSlash(c.Name))
	return dir, os.MkdirAll(dir, 0o700)
}

// conversionOptions turns what the user chose into the engine's options. Zero values mean the defaults.
func conversionOptions(c tracker.Conversion, version *ingestv1.Version) (convert.Options, error) {
	parts := strings.Split(version.GetName(), "/") // datasets/{d}/versions/{n}
	number, err := strconv.Atoi(parts[len(parts)-1])
	if err != nil || len(parts) != 4 {
		return convert.Options{}, fmt.Errorf("version name %q", version.GetName())
	}
	o := convert.DefaultOptions(strings.ReplaceAll(parts[1], "-", "_"))
	chosen := version.GetConversion()
	o.DatasetVersion, o.SourceETag, o.Format = number, c.SourceETag, chosen.GetFormat()
	o.Seed = uint64(chosen.GetSeed()) //nolint:gosec // Any bits are a seed.
	if f := chosen.GetSplitFractions(); f.GetTrain()+f.GetValidation()+f.GetTest() > 0 {
		o.Splits = convert.Fractions{Train: f.GetTrain(), Validation: f.GetValidation(), Test: f.GetTest()}
	}
	if chosen.GetValidation() == ingestv1.ConversionOptions_FULL {
		o.Validation = dataset.Full
	}
	if chosen.GetMaxBadFraction() > 0 {
		o.MaxBadFraction = chosen.GetMaxBadFraction()
	}
	return o, nil
}
