package training_test

import (
	"slices"
	"testing"
	"time"

	trainingv1 "github.com/trainyard/trainyard/gen/trainyard/training/v1"
	"github.com/trainyard/trainyard/services/internal/testkit"
	"github.com/trainyard/trainyard/services/training"
)

// Events alone bring a job to its end, and so does polling alone: either may fail and nothing is lost but time. PollEvery an hour is no polling within a
// test, and without a queue there are no events.
func TestStatusByEventsAloneAndByPollingAlone(t *testing.T) {
	for name, change := range map[string]func(*training.Config, *training.Deps){
		"events alone": func(cfg *training.Config, _ *training.Deps) { cfg.PollEvery = time.Hour },
		"polling alone": func(cfg *training.Config, deps *training.Deps) {
			cfg.EventsQueue, cfg.PollEvery, deps.SQS = "", 200*time.Millisecond, nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSuite(t, testkit.SQLite(t)).start(change)
			begun := time.Now()
			good, bad, stopped := s.create(request(trainsWell)), s.create(request(failsWithReason)), s.create(request(waitsForStop))
			testkit.Eventually(t, patience, "the job trains", func() bool { return s.get(stopped.GetName()).GetMetrics()["train:loss"] == 0.5 })
			if _, err := s.jobs().StopTrainingJob(t.Context(), &trainingv1.StopTrainingJobRequest{Name: stopped.GetName()}); err != nil {
				t.Fatal(err)
			}
			for job, want := range map[*trainingv1.TrainingJob]trainingv1.TrainingJob_State{
				good: trainingv1.TrainingJob_SUCCEEDED, bad: trainingv1.TrainingJob_FAILED, stopped: trainingv1.TrainingJob_STOPPED,
			} {
				s.wait(job.GetName(), want)
				testkit.Eventually(t, patience, "the last event is published", func() bool {
					return slices.Contains(s.events.states(job.GetName()), want.String())
				})
			}
			if took := time.Since(begun); took > 30*time.Second {
				t.Errorf("it took %v", took)
			}
			if got := s.get(good.GetName()).GetMetrics()["validation:accuracy"]; got != 0.875 {
				t.Errorf("the metrics of the last lines are missing: %v", got)
			}
		})
	}
}
