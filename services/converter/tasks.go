package converter

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	ingestv1 "github.com/trainyard/trainyard/gen/trainyard/ingest/v1"
	"github.com/trainyard/trainyard/services/converter/convert"
	"github.com/trainyard/trainyard/services/converter/internal/tracker"
	"github.com/trainyard/trainyard/services/converter/source"
	"github.com/trainyard/trainyard/services/converter/worker"
	"github.com/trainyard/trainyard/services/internal/queue"
	"go.uber.org/zap"
)

// progressEvery is the least time between two progress events of one conversion.
const progressEvery = 400 * time.Millisecond

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
		return nil
	case err != nil:
		return err
	case c.Fence != t.Fence || c.Over:
		return nil // Of a claim that was lost; the new one has sent its own tasks.
	}
	if err := u.do(ctx, c, t.Task); err != nil {
		return u.settle(ctx, c, err, m.Receives)
	}
	return nil
}

func (u *unit) do(ctx context.Context, c tracker.Conversion, task int) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	done, err := u.tracker.IsDone(ctx, c.Project, c.Name, task)
	if err != nil {
		return err
	}
	if !done {
		if err := u.convert(ctx, cancel, c, task); err != nil {
			return causeOf(ctx, err)
		}
	}
	p, err := u.report(ctx, c, true)
	if err != nil {
		return err
	}
	if p.Done < p.Tasks {
		return nil
	}
	return u.finish(ctx, c)
}

func (u *unit) convert(ctx context.Context, cancel context.CancelCauseFunc, c tracker.Conversion, task int) error {
	dir, err := u.scratchDir(c)
	if err != nil {
		return err
	}
	o := u.objects(c.SourceKey, c.OutputPrefix)
	parent := u.parent(o)
	row := tracker.Task{Project: c.Project, Name: c.Name, Task: task}
	parent.Progress = func(p convert.Progress) {
		if !u.mayReport(c) {
			return
		}
		row.Examples, row.LeftOut, row.Read = p.Examples, p.LeftOut, p.Bytes
		err := u.tracker.Update(ctx, row)
		if err == nil {
			_, err = u.report(ctx, c, false)
		}
		if errors.Is(err, errStale) {
			cancel(err)
		}
	}
	result, err := parent.Task(ctx, task, c.PlanSize, worker.Source{Size: c.SourceSize, ETag: c.SourceETag}, dir)
	if err != nil {
		return err
	}
	if err := o.putResult(ctx, result); err != nil {
		return err
	}
	row.Done, row.LeftOut, row.Examples = true, result.LeftOut.Total(), 0
	for _, s := range result.Shards {
		row.Examples += s.Examples
	}
	return u.tracker.Update(ctx, row)
}

// finish merges the results, publishes the dataset and tells ingest. Safe to repeat.
func (u *unit) finish(ctx context.Context, c tracker.Conversion) error {
	o := u.objects(c.SourceKey, c.OutputPrefix)
	plan, err := convert.OpenPlan(ctx, source.NewHTTP(nil, func(ctx context.Context) (string, error) {
		signed, err := o.sign(ctx, worker.SignRequest{Object: worker.PlanObject})
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
	manifest, err := o.publish(ctx, output.Files[convert.ManifestName])
	if err != nil {
		return err
	}
	result, err := conversionResult(manifest)
	if err != nil {
		return err
	}
	result.Uri = fmt.Sprintf("s3://%s/%s", u.cfg.Bucket, c.OutputPrefix)
	_, err = u.versions.FinishConversion(ctx, &ingestv1.FinishConversionRequest{Project: c.Project, Name: c.Name, Fence: c.Fence, Result: result})
	if err := staleOr(err); err != nil {
		return err
	}
	u.log.Info("converted", zap.String("version", c.Name), zap.Int32("examples", result.GetExampleCount()), zap.Int32("shards", result.GetShardCount()))
	u.over(ctx, c, len(plan.Tasks))
	return nil
}

// over clears away after a conversion. Its failures are only logged: the version's state is already final.
func (u *unit) over(ctx context.Context, c tracker.Conversion, tasks int) {
	u.mu.Lock()
	delete(u.lastReport, c.Project+c.Name)
	u.mu.Unlock()
	err := errors.Join(
		u.tracker.End(ctx, c),
		u.objects(c.SourceKey, c.OutputPrefix).clean(ctx, tasks),
		os.RemoveAll(filepath.Join(u.cfg.Scratch, c.Project, filepath.FromSlash(c.Name))),
	)
	if err != nil {
		u.log.Warn("clearing away after a conversion failed", zap.String("version", c.Name), zap.Error(err))
	}
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
		result.Classes = append(result.Classes, &ingestv1.ClassCount{Name: class.Name, ExampleCount: count(class.Examples)})
	}
	for _, s := range m.Splits {
		result.Splits = append(result.Splits, &ingestv1.Split{
			Name: string(s.Name), ExampleCount: count(s.Examples), ShardCount: count(int64(s.Shards)), SizeBytes: s.Bytes,
		})
	}
	return result, nil
}

// count narrows a count that a plan has checked to fit.
func count(n int64) int32 { return int32(n) } //nolint:gosec // See plan.
