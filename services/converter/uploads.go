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
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	errorsv1 "github.com/trainyard/trainyard/gen/trainyard/errors/v1"
	ingestv1 "github.com/trainyard/trainyard/gen/trainyard/ingest/v1"
	"github.com/trainyard/trainyard/services/converter/convert"
	"github.com/trainyard/trainyard/services/converter/dataset"
	"github.com/trainyard/trainyard/services/converter/internal/tracker"
	"github.com/trainyard/trainyard/services/converter/scratch"
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
	// A claim counts as an attempt: a full disk must not use them up.
	if err := scratch.Check(u.cfg.Scratch, 0); err != nil {
		return &queue.RetryAfter{After: 30 * time.Second, Err: err}
	}
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
		Bucket: u.cfg.Bucket, Key: key, Etag: aws.ToString(head.ETag), SizeBytes: aws.ToInt64(head.ContentLength), Worker: worker,
	})
	switch {
	case err == nil:
	case apierror.Is(err, errorsv1.ErrorReason_LEASE_HELD):
		if receives > 1 {
			// Most likely our own lease, from the try before.
			return &queue.RetryAfter{After: u.leaseOut(), Err: err}
		}
		// Most likely a duplicate. Should the other worker die, ingest sends the event again.
		return nil
	case apierror.Is(err, errorsv1.ErrorReason_WRONG_STATE) && receives > 1 && apierror.Fact(err, "state") == ingestv1.Version_FAILED.String():
		return &queue.RetryAfter{Err: err} // It failed with this message at work, see settle: on to the dead letters.
	case apierror.Is(err, errorsv1.ErrorReason_RESOURCE_NOT_FOUND), apierror.Is(err, errorsv1.ErrorReason_WRONG_STATE),
		apierror.Is(err, errorsv1.ErrorReason_SOURCE_MISMATCH):
		u.log.Info("an event that fits no waiting version was dropped", zap.String("key", key), zap.Error(err))
		return nil
	default:
		return err
	}
	c := tracker.Conversion{
		Project: claim.GetProject(), Name: claim.GetVersion().GetName(), Fence: claim.GetFence(), OutputPrefix: claim.GetOutputPrefix(),
		SourceKey: key, SourceSize: aws.ToInt64(head.ContentLength), SourceETag: aws.ToString(head.ETag),
	}
	finished, err := u.plan(ctx, c, claim.GetVersion())
	if err != nil {
		// Each try has a claim of its own, whichever message brought it.
		err = u.settle(ctx, c, err, int(c.Fence))
		var retry *queue.RetryAfter
		if err != nil && !errors.As(err, &retry) {
			err = &queue.RetryAfter{After: u.leaseOut(), Err: err}
		}
		return err
	}
	if finished {
		u.over(ctx, c, ingestv1.Version_READY, true)
	}
	return nil
}

// plan has a child plan the conversion and puts its tasks on the queue. Planned again, it gives the same plan, and finishes the
// conversion when an earlier claim had done all tasks.
func (u *unit) plan(ctx context.Context, c tracker.Conversion, version *ingestv1.Version) (finished bool, err error) {
	options, err := u.options(c, version)
	if err != nil {
		return false, err
	}
	var read atomic.Int64
	tell := func(ctx context.Context) error {
		return u.sendProgress(ctx, c, &ingestv1.ConversionProgress{Phase: "planning", DoneBytes: read.Load(), TotalBytes: c.SourceSize})
	}
	ctx, release := u.holdLease(ctx, c, tell)
	defer release()
	dir, leave, err := u.folders.of(c)
	if err != nil {
		return false, err
	}
	defer leave()
	o := u.objects(c.SourceKey, c.OutputPrefix)
	parent := u.parent(c, o.sign(worker.PlanStep))
	parent.Progress = func(p convert.Progress) {
		read.Store(min(p.Bytes, c.SourceSize))
		if u.reports.due(c.Project + " " + c.Name) {
			// A stale fence shows at the next renewal too, which stops the work.
			_ = tell(ctx)
		}
	}
	planned, err := parent.Plan(ctx, options, worker.Source{Size: c.SourceSize, ETag: c.SourceETag}, dir)
	if err != nil {
		return false, causeOf(ctx, err)
	}
	if planned.Records > math.MaxInt32 {
		return false, &failure{reason: errorsv1.ErrorReason_LIMIT_EXCEEDED, message: fmt.Sprintf("The archive holds %d examples; a version takes at most %d. Split it into several datasets.", planned.Records, math.MaxInt32)}
	}
	c.PlanKey, c.PlanSize, c.Records, c.LeftOut = planned.Key, planned.Size, planned.Records, planned.LeftOut
	todo, err := u.tracker.Begin(ctx, c, planned.TaskSize)
	if errors.Is(err, tracker.ErrTaken) {
		return false, errStale
	}
	if err != nil {
		return false, causeOf(ctx, err)
	}
	u.log.Info("planned", zap.String("version", c.Name), zap.String("format", planned.Format), zap.Int64("records", planned.Records), zap.Int("tasks", len(planned.TaskSize)))
	if len(todo) == 0 {
		return true, causeOf(ctx, u.finish(ctx, c))
	}
	if err := u.sendTasks(ctx, c, todo); err != nil {
		return false, causeOf(ctx, err)
	}
	return false, causeOf(ctx, u.tracker.SetSent(ctx, c, true))
}

// leaseOut is when a lease that isn't renewed any more has run out.
func (u *unit) leaseOut() time.Duration { return 4 * u.cfg.LeaseEvery }

// parent makes the runner of the child process of a step.
func (u *unit) parent(c tracker.Conversion, sign func(context.Context, worker.SignRequest) (worker.Signed, error)) worker.Parent {
	const slowest = 4 << 20 // Bytes a second: whoever reads the source slower than that hangs.
	return worker.Parent{
		Executable: u.cfg.Worker, Limits: u.cfg.Limits.worker(), Sign: sign,
		Deadline: time.Hour + time.Duration(c.SourceSize/slowest)*time.Second,
	}
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

// options turns what the user chose into the engine's options. What isn't set means the default.
func (u *unit) options(c tracker.Conversion, version *ingestv1.Version) (convert.Options, error) {
	parts := strings.Split(version.GetName(), "/") // datasets/{d}/versions/{n}
	number, err := strconv.Atoi(parts[len(parts)-1])
	if err != nil || len(parts) != 4 {
		return convert.Options{}, fmt.Errorf("version name %q", version.GetName())
	}
	o := convert.DefaultOptions(strings.ReplaceAll(parts[1], "-", "_"))
	chosen := version.GetConversion()
	o.DatasetVersion, o.SourceETag, o.Format, o.ShardBytes = number, c.SourceETag, chosen.GetFormat(), u.cfg.ShardBytes
	o.Seed = uint64(chosen.GetSeed()) //nolint:gosec // Any bits are a seed.
	if f := chosen.GetSplitFractions(); f.GetTrain()+f.GetValidation()+f.GetTest() > 0 {
		o.SplitsChosen, o.Splits = true, convert.Fractions{Train: f.GetTrain(), Validation: f.GetValidation(), Test: f.GetTest()}
	}
	if chosen.GetValidation() == ingestv1.ConversionOptions_FULL {
		o.Validation = dataset.Full
	}
	o.Limits = u.cfg.Limits.archive()
	o.FileName, o.LabelColumn, o.Stratify = version.GetFileName(), chosen.GetLabelColumn(), chosen.GetStratify()
	if chosen.GetCompression() == ingestv1.ConversionOptions_GZIP {
		o.Compression = convert.GZIP
	}
	o.Package = chosen.GetPackage() == ingestv1.ConversionOptions_TAR
	if chosen.MaxBadFraction != nil {
		o.MaxBadFraction = chosen.GetMaxBadFraction()
	}
	return o, nil
}
