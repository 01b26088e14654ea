package converter

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"sync"

	errorsv1 "github.com/trainyard/trainyard/gen/trainyard/errors/v1"
	ingestv1 "github.com/trainyard/trainyard/gen/trainyard/ingest/v1"
	"github.com/trainyard/trainyard/services/converter/convert"
	"github.com/trainyard/trainyard/services/converter/internal/tracker"
	"github.com/trainyard/trainyard/services/converter/shardindex"
	"github.com/trainyard/trainyard/services/converter/source"
	"github.com/trainyard/trainyard/services/converter/worker"
	"github.com/trainyard/trainyard/services/internal/queue"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"
)

// handleTask does one task of a conversion, and ends the conversion when it was the last.
func (u *unit) handleTask(ctx context.Context, m queue.Message) error {
	var t taskMessage
	if err := json.Unmarshal([]byte(m.Body), &t); err != nil {
		u.log.Warn("a message that is no task was dropped", zap.Error(err))
		return nil
	}
	c, err := u.tracker.Get(ctx, t.Project, t.Name)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil // The conversion has ended.
	case err != nil:
		return err
	case c.Fence != t.Fence:
		return nil // Of a claim that was lost; the new one has sent its own tasks.
	}
	// After its last try the message is a dead letter, even when this process is killed now. The lease then isn't kept any more, so that
	// ingest sends the upload again and whoever claims it sends what isn't done.
	last := m.Receives >= u.cfg.MaxAttempts
	if last {
		if err := u.tracker.SetLastTry(ctx, c, t.Task, true); err != nil {
			return err
		}
	}
	finished, err := u.do(ctx, c, t.Task)
	switch {
	case err != nil:
		return u.settle(ctx, c, err, m.Receives)
	case finished:
		u.over(ctx, c, ingestv1.Version_READY, true)
	case last:
		return u.tracker.SetLastTry(ctx, c, t.Task, false)
	}
	return nil
}

// do does a task unless it is done, and finishes the conversion when it was the last.
func (u *unit) do(ctx context.Context, c tracker.Conversion, task int) (finished bool, err error) {
	ctx, release := u.holdLease(ctx, c, func(ctx context.Context) error {
		_, err := u.report(ctx, c)
		return err
	})
	defer release()
	done, err := u.tracker.IsDone(ctx, c.Project, c.Name, task)
	if err != nil {
		return false, causeOf(ctx, err)
	}
	if !done {
		if err := u.convert(ctx, c, task); err != nil {
			return false, causeOf(ctx, err)
		}
	}
	p, err := u.report(ctx, c)
	if err != nil {
		return false, causeOf(ctx, err)
	}
	if p.Done < p.Tasks || p.Tasks == 0 {
		return false, nil
	}
	return true, causeOf(ctx, u.finish(ctx, c))
}

func (u *unit) convert(ctx context.Context, c tracker.Conversion, task int) error {
	dir, leave, err := u.folders.of(c)
	if err != nil {
		return err
	}
	defer leave()
	o := u.objects(c.SourceKey, c.OutputPrefix)
	signed := &signedShards{sign: o.sign(worker.TaskStep), byName: map[string]worker.SignRequest{}}
	parent := u.parent(c, signed.note)
	row := tracker.Task{Project: c.Project, Name: c.Name, Task: task}
	var mine pace
	parent.Progress = func(p convert.Progress) {
		if !mine.due("") {
			return
		}
		row.Examples, row.LeftOut, row.Read = p.Examples, p.LeftOut, p.Bytes
		if err := u.tracker.Update(ctx, c.PlanKey, row); err == nil && u.reports.due(c.Project+" "+c.Name) {
			// A stale fence shows at the next renewal too, which stops the work.
			_, _ = u.report(ctx, c)
		}
	}
	result, err := parent.Task(ctx, task, c.PlanSize, worker.Source{Size: c.SourceSize, ETag: c.SourceETag}, dir)
	if err != nil {
		return err
	}
	if err := signed.check(result); err != nil {
		return err
	}
	if err := o.putResult(ctx, result); err != nil {
		return err
	}
	row.Done, row.LeftOut, row.Examples = true, result.LeftOut.Total(), 0
	for _, s := range result.Shards {
		row.Examples += s.Examples
	}
	return u.tracker.Update(ctx, c.PlanKey, row)
}

// signedShards remembers for which bytes a worker had URLs signed: its word alone doesn't make a manifest.
type signedShards struct {
	sign func(context.Context, worker.SignRequest) (worker.Signed, error)

	mu     sync.Mutex
	byName map[string]worker.SignRequest
}

func (s *signedShards) note(ctx context.Context, r worker.SignRequest) (worker.Signed, error) {
	signed, err := s.sign(ctx, r)
	if err == nil && r.Put {
		s.mu.Lock()
		s.byName[r.Name] = r
		s.mu.Unlock()
	}
	return signed, err
}

func (s *signedShards) check(result *convert.TaskResult) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	put := func(name string, size int64, sum string) bool {
		r := s.byName[name]
		return r.Name == name && r.SHA256 == sum && r.Size == size
	}
	for _, shard := range result.Shards {
		index := shard.Index
		if !put(shard.Name, shard.Bytes, shard.SHA256) || index.Name != "" && (index.Name != shardindex.Name(shard.Name) || !put(index.Name, index.Bytes, index.SHA256)) {
			return &worker.CrashError{State: fmt.Sprintf("it tells of a shard %q that it never put", shard.Name)}
		}
	}
	return nil
}

// maxResult bounds what ingest keeps of a conversion, in bytes: names of classes mostly. It travels in every event of the version.
const maxResult = 1 << 20

// finish merges the results, publishes the dataset and tells ingest. Safe to repeat. What only the work needed is still there.
func (u *unit) finish(ctx context.Context, c tracker.Conversion) error {
	o := u.objects(c.SourceKey, c.OutputPrefix)
	plan, err := convert.OpenPlan(ctx, source.NewHTTP(nil, func(ctx context.Context) (string, error) {
		signed, err := o.signGet(ctx, o.planKey())
		return signed.URL, err
	}, c.PlanSize, ""))
	if err != nil {
		return err
	}
	results := make([]*convert.TaskResult, len(plan.Tasks))
	for i := range results {
		if results[i], err = o.result(ctx, i); err != nil {
			return err
		}
	}
	output, err := convert.Merge(plan, results)
	if err != nil {
		return err
	}
	for name, data := range output.Files {
		if name != convert.ManifestName {
			if err := o.put(ctx, name, data); err != nil {
				return err
			}
		}
	}
	manifest := output.Files[convert.ManifestName]
	result, err := conversionResult(manifest)
	if err != nil {
		return err
	}
	result.Uri = o.uri()
	if size := proto.Size(result); size > maxResult {
		return &failure{reason: errorsv1.ErrorReason_LIMIT_EXCEEDED, message: fmt.Sprintf("The names of the %d classes take %d bytes together; at most %d are kept. Use fewer or shorter class names.", len(result.GetClasses()), size, maxResult)}
	}
	if plan.Options.Package {
		if err := o.pack(ctx, output); err != nil {
			return fmt.Errorf("pack the dataset: %w", err)
		}
	}
	if err := o.publish(ctx, manifest); err != nil {
		return err
	}
	_, err = u.versions.FinishConversion(ctx, &ingestv1.FinishConversionRequest{Project: c.Project, Name: c.Name, Fence: c.Fence, Result: result})
	if err := staleOr(err); err != nil {
		return err
	}
	u.log.Info("converted", zap.String("version", c.Name), zap.Int32("examples", result.GetExampleCount()), zap.Int32("shards", result.GetShardCount()))
	return nil
}

// conversionResult is what ingest keeps of a manifest.
func conversionResult(manifest []byte) (*ingestv1.ConversionResult, error) {
	var m convert.Manifest
	if err := json.Unmarshal(manifest, &m); err != nil {
		return nil, fmt.Errorf("manifest: %w", err)
	}
	sum := sha256.Sum256(manifest)
	result := &ingestv1.ConversionResult{
		ExampleCount: count(m.Examples), ShardCount: count(int64(len(m.Shards))), ConvertedBytes: m.Bytes, RejectedCount: count(m.LeftOut),
		Format: m.Format, TfdsName: m.Dataset, ManifestSha256: hex.EncodeToString(sum[:]),
	}
	for _, class := range m.Classes {
		result.Classes = append(result.Classes, &ingestv1.ClassCount{Name: class.Name, ExampleCount: count(class.Examples), ObjectCount: class.Objects})
	}
	for _, s := range m.Splits {
		result.Splits = append(result.Splits, &ingestv1.Split{
			Name: string(s.Name), ExampleCount: count(s.Examples), ShardCount: count(int64(s.Shards)), SizeBytes: s.Bytes,
		})
	}
	return result, nil
}

// count narrows a count. A plan has checked that true ones fit; a worker may tell others.
func count(n int64) int32 { return int32(min(max(n, 0), math.MaxInt32)) } //nolint:gosec // It fits now.
