package runner

import (
	"context"
	"maps"

	"go.uber.org/zap"

	"github.com/trainyard/trainyard/services/internal/store"
	"github.com/trainyard/trainyard/services/training/internal/job"
	"github.com/trainyard/trainyard/services/training/internal/joblog"
	"github.com/trainyard/trainyard/services/training/recipe"
)

const (
	// linesAtOnce and bytesAtOnce are what is read of a log at most before it is written down.
	linesAtOnce = 5000
	bytesAtOnce = 8 << 20
	logNote     = "The end of the log could not be read"
)

// reader gives what reads a job's metrics: its recipe's, or that of its own definitions. It is nil if there is none.
func (r *Runner) reader(j *job.Job) *recipe.Reader {
	if j.CustomImage == nil {
		return r.readers[j.Recipe] // Nil if the recipe has been taken out of the catalogue.
	}
	metrics := make([]recipe.Metric, len(j.CustomImage.MetricDefinitions))
	for i, m := range j.CustomImage.MetricDefinitions {
		metrics[i] = recipe.Metric{Name: m.Name, Regex: m.Regex}
	}
	reader, err := recipe.NewReader(metrics, "")
	if err != nil {
		r.log.Warn("the metrics of a job can't be read", zap.String("job", j.ID), zap.Error(err))
		return nil
	}
	return reader
}

// readLog reads a job's log from where it was left to its end and writes its metrics down, together with the place.
func (r *Runner) readLog(ctx context.Context, j *job.Job) error {
	reader := r.reader(j)
	if reader == nil {
		return nil
	}
	for {
		cursor, err := joblog.Decode(j.LogCursor)
		if err != nil {
			return err
		}
		page, err := r.readPage(ctx, j, cursor)
		if err != nil {
			return err
		}
		if len(page.Lines) == 0 {
			return nil
		}
		change := job.Change{}
		metrics := maps.Clone(j.Metrics)
		for _, line := range page.Lines {
			points, epoch := reader.Read(line.Message, j.Epoch)
			j.Epoch = epoch
			for _, p := range points {
				j.PointCount++
				metrics[p.Name] = p.Value
				change.Points = append(change.Points, &job.Point{
					JobID: j.ID, Number: j.PointCount, Name: p.Name, Value: p.Value, Epoch: p.Epoch, Step: p.Step, Time: store.Micros(line.Time),
				})
			}
		}
		if len(change.Points) > 0 {
			change.Event = job.EventProgress
		}
		j.Metrics, j.LogCursor = metrics, page.Next.Encode()
		if err := r.deps.Jobs.Save(ctx, j, change); err != nil || page.AtEnd {
			return err
		}
	}
}

func (r *Runner) readPage(ctx context.Context, j *job.Job, cursor joblog.Cursor) (joblog.Page, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return joblog.Read(ctx, r.deps.Logs, j.SageMakerName, cursor, linesAtOnce, bytesAtOnce)
}
