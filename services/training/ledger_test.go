package training_test

import (
	"math"
	"os"
	"path/filepath"
	"testing"

	trainingv1 "github.com/trainyard/trainyard/gen/trainyard/training/v1"
	"github.com/trainyard/trainyard/services/internal/testkit"
	"github.com/trainyard/trainyard/services/training"
)

// The ledger of real runs: its seconds are those from the first transition to the job's end, attempt by attempt and phase by phase, and its money is
// the billed seconds at the configured price.
func TestLedgerOfRealRuns(t *testing.T) {
	const price = 3.6 // A thousandth a second.
	prices := filepath.Join(t.TempDir(), "prices.yaml")
	if err := os.WriteFile(prices, []byte("regions: {us-east-1: {instances: {ml.m5.xlarge: 3.6}}}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := newSuite(t, testkit.SQLite(t)).start(func(cfg *training.Config, _ *training.Deps) { cfg.Prices = prices })
	good, bad := s.create(request(trainsWell)), s.create(request(failsWithReason))
	long := s.create(request(waitsForStop))
	testkit.Eventually(t, patience, "the job has trained for two seconds", func() bool { return s.get(long.GetName()).GetLedger().GetTrainSeconds() > 2 })
	if open := s.get(long.GetName()).GetLedger(); open.GetBilledBySagemaker() || open.GetBilledSeconds() < 1 || open.GetAttempts()[0].GetEndTime() != nil {
		t.Errorf("ledger of a job that goes on: %v", open)
	}
	if _, err := s.jobs().StopTrainingJob(t.Context(), &trainingv1.StopTrainingJobRequest{Name: long.GetName()}); err != nil {
		t.Fatal(err)
	}
	for job, state := range map[string]trainingv1.TrainingJob_State{
		good.GetName(): trainingv1.TrainingJob_SUCCEEDED, bad.GetName(): trainingv1.TrainingJob_FAILED, long.GetName(): trainingv1.TrainingJob_STOPPED,
	} {
		t.Run(state.String(), func(t *testing.T) {
			j := s.wait(job, state)
			l := j.GetLedger()
			whole := j.GetEndTime().AsTime().Sub(j.GetPhases()[0].GetStartTime().AsTime()).Seconds()
			sums := map[string]float64{
				"total":    l.GetTotalSeconds(),
				"kinds":    l.GetQueueSeconds() + l.GetDownloadSeconds() + l.GetTrainSeconds() + l.GetUploadSeconds() + l.GetOtherSeconds(),
				"attempts": 0, "phases": 0,
			}
			for _, a := range l.GetAttempts() {
				sums["attempts"] += a.GetQueueSeconds() + a.GetDownloadSeconds() + a.GetTrainSeconds() + a.GetUploadSeconds() + a.GetOtherSeconds()
			}
			for _, p := range j.GetPhases() {
				sums["phases"] += p.GetSeconds()
			}
			t.Logf("from the first transition to the end %.3f s; sums %v; billed %d s, cost %g %s", whole, sums, l.GetBilledSeconds(), l.GetCost(), l.GetCurrency())
			for what, sum := range sums {
				if math.Abs(sum-whole) > 0.05 { // A second is promised; SageMaker's times here are exact to a millisecond.
					t.Errorf("%s sum to %v s of %v s", what, sum, whole)
				}
			}
			if l.GetTrainSeconds() <= 0 || len(l.GetAttempts()) != 1 || l.GetAttempts()[0].GetEndTime() == nil {
				t.Errorf("ledger %v", l)
			}
			if l.GetBilledSeconds() < 1 || !l.GetBilledBySagemaker() || l.GetHourlyPrice() != price || l.GetCurrency() != "USD" ||
				math.Abs(l.GetCost()-float64(l.GetBilledSeconds())*price/3600) > 1e-9 {
				t.Errorf("money %v", l)
			}
		})
	}
}
