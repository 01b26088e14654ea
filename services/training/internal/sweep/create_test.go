package sweep_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"google.golang.org/protobuf/types/known/structpb"

	trainingv1 "github.com/trainyard/trainyard/gen/trainyard/training/v1"
	"github.com/trainyard/trainyard/services/internal/testkit"
	"github.com/trainyard/trainyard/services/training/internal/job"
	"github.com/trainyard/trainyard/services/training/internal/sweep"
)

func TestSweepsThatCannotBe(t *testing.T) {
	w := newWorld(t, testkit.SQLite(t)).forTest(t)
	for name, test := range map[string]struct {
		change      func(*trainingv1.Sweep)
		field, says string
	}{
		"an unknown recipe": {
			func(s *trainingv1.Sweep) { s.TrainingJob.Recipe = "recipes/x" }, "sweep.training_job.recipe", "use one of recipes/image-classification",
		},
		"no parameter": {func(s *trainingv1.Sweep) { s.Parameters = nil }, "sweep.parameters", "at least one"},
		"a metric that isn't printed": {
			func(s *trainingv1.Sweep) { s.ObjectiveMetric = "beauty" }, "sweep.objective_metric", "validation:accuracy",
		},
		"an image of one's own without metrics": {
			func(s *trainingv1.Sweep) {
				s.TrainingJob.Recipe, s.TrainingJob.CustomImage = "", &trainingv1.CustomImage{Image: "i"}
			},
			"sweep.objective_metric", "metric_definitions",
		},
		"trials that go on from a job": {
			func(s *trainingv1.Sweep) { s.TrainingJob.ResumeFrom = "trainingJobs/x" }, "sweep.training_job.resume_from", "leave resume_from out",
		},
		"a grid larger than asked": {func(s *trainingv1.Sweep) { s.MaxTrials = 2 }, "sweep.max_trials", "3 combinations"},
		"no training job":          {func(s *trainingv1.Sweep) { s.TrainingJob = nil }, "sweep.training_job.recipe", "use one of"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := w.maker.Create(t.Context(), project, "", request(3, test.change))
			var refused *sweep.FieldError
			if !errors.As(err, &refused) || refused.Field != test.field || !strings.Contains(refused.Message, test.says) {
				t.Errorf("got %v; want %s to say %q", err, test.field, test.says)
			}
		})
	}
	if sweeps, err := w.store.List(t.Context(), project, "", 10); err != nil || len(sweeps) != 0 {
		t.Errorf("%d sweeps were made (%v)", len(sweeps), err)
	}
}

// recorder is a Creator that keeps what it was asked for.
type recorder struct {
	*world
	checked *trainingv1.TrainingJob
	trials  []*trainingv1.TrainingJob
}

func (r *recorder) CheckTrial(ctx context.Context, project string, trial *trainingv1.TrainingJob) (*trainingv1.TrainingJob, error) {
	r.checked = trial
	return r.world.CheckTrial(ctx, project, trial)
}

func (r *recorder) CreateTrial(
	ctx context.Context, project, sweepID string, number int, trial *trainingv1.TrainingJob, requestID string,
) (*job.Job, error) {
	r.trials = append(r.trials, trial)
	return r.world.CreateTrial(ctx, project, sweepID, number, trial, requestID)
}

func TestTrialsOfAnImageOfOnesOwn(t *testing.T) {
	w := newWorld(t, testkit.SQLite(t)).forTest(t)
	r := &recorder{world: w}
	w.maker.Creator = r
	s := w.make(request(0, func(s *trainingv1.Sweep) {
		s.TrainingJob.Recipe = ""
		s.TrainingJob.CustomImage = &trainingv1.CustomImage{
			Image: "i", Hyperparameters: map[string]string{"depth": "3"}, MetricDefinitions: []*trainingv1.MetricDefinition{{Name: "error", Regex: "(.*)"}},
		}
		s.Parameters = map[string]*trainingv1.SweepRange{
			"rate": {Values: []*structpb.Value{structpb.NewNumberValue(0.5), structpb.NewStringValue("auto"), structpb.NewBoolValue(true)}},
		}
		s.ObjectiveMetric = "error"
	}))
	if s.Goal != sweep.Minimize || r.checked.GetCustomImage().GetHyperparameters()["rate"] != "0.5" {
		t.Errorf("goal %s; checked %v", s.Goal, r.checked)
	}
	w.run(w.sageMaker(s, func(j *job.Job) job.State {
		j.Metrics = map[string]float64{"error": 1 / float64(j.Trial)}
		return job.Succeeded
	}))
	stop := w.run(w.runnerOf(r).Run)
	if end := w.ended(s); end.State != sweep.Succeeded || end.BestJob != w.trials(s.ID)[2].ID {
		t.Errorf("it ended as %+v", end)
	}
	stop()
	for i, rate := range []string{"0.5", "auto", "true"} {
		values := r.trials[i].GetCustomImage().GetHyperparameters()
		if values["rate"] != rate || values["depth"] != "3" || len(r.trials[i].GetParameters()) != 0 || r.trials[i].GetDatasetVersion() != "datasets/digits/versions/7" {
			t.Errorf("trial %d: %v", i+1, r.trials[i])
		}
	}
}
