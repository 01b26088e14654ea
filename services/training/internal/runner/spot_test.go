package runner_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"

	errorsv1 "github.com/trainyard/trainyard/gen/trainyard/errors/v1"
	"github.com/trainyard/trainyard/services/internal/testkit"
	"github.com/trainyard/trainyard/services/training/internal/job"
	"github.com/trainyard/trainyard/services/training/internal/runner"
)

// A spot job that is interrupted has an attempt for each machine, costs less than it used, and its seconds sum to its time.
func TestLedgerOfASpotJob(t *testing.T) {
	w := start(t, runner.Config{})
	id := w.insert(30, func(j *job.Job, input *sagemaker.CreateTrainingJobInput) {
		j.Resources.Spot = true
		input.EnableManagedSpotTraining = aws.Bool(true)
		input.StoppingCondition.MaxWaitTimeInSeconds = aws.Int32(120)
		input.CheckpointConfig = &types.CheckpointConfig{S3Uri: aws.String("s3://" + made.Bucket + "/checkpoints/" + *input.TrainingJobName)}
		input.Environment["LOCALCLOUD_INTERRUPT_AFTER"] = "500ms"
		input.Environment["LOCALCLOUD_INTERRUPT_TIMES"] = "2"
		input.Environment["LOCALCLOUD_INTERRUPT_WAIT"] = "300ms"
	})
	j := w.wait(id, job.Succeeded)
	l := j.Ledger(time.Now())
	if len(l.Attempts) != 3 || !l.Attempts[0].Interrupted || !l.Attempts[1].Interrupted || l.Attempts[2].Interrupted {
		t.Errorf("attempts %+v of %+v", l.Attempts, j.Transitions)
	}
	whole := float64(j.EndTime-j.Transitions[0].Start) / 1e6
	if math.Abs(l.Total()-whole) > 1 || l.Train < 3 || l.Queue < 0.6 {
		t.Errorf("%+v of %v s", l.Seconds, whole)
	}
	if !l.BilledBySageMaker || l.SpotSaving <= 0 || l.Cost <= 0 || l.Cost >= l.SpotSaving+l.Cost || j.Cost != l.Cost {
		t.Errorf("money %+v, kept %v", l, j.Cost)
	}
}

// A job whose machines are kept is looked at after its end until they are given back: only then is its bill known.
func TestLedgerOfAWarmPool(t *testing.T) {
	w := start(t, runner.Config{})
	id := w.insert(1, func(j *job.Job, input *sagemaker.CreateTrainingJobInput) {
		j.Resources.KeepAliveSeconds = 2
		input.ResourceConfig.KeepAlivePeriodInSeconds = aws.Int32(2)
	})
	if j := w.wait(id, job.Succeeded); !j.HasWarmPool() {
		t.Errorf("right after its end the warm pool is %q", j.WarmPoolStatus)
	}
	testkit.Eventually(t, patience, "the warm pool is over", func() bool { return w.get(id).WarmPoolStatus == "Terminated" })
	j := w.get(id)
	if l := j.Ledger(time.Now()); j.State != job.Succeeded || l.WarmPoolSeconds < 1 || l.WarmPoolSeconds > 4 || l.WarmPoolCost <= 0 || j.InstanceSeconds != l.BilledSeconds+l.WarmPoolSeconds {
		t.Errorf("ledger %+v", l)
	}
}

// A spot job for which no machine comes in time has failed for want of one: nobody stopped it.
func TestSpotThatNeverComes(t *testing.T) {
	w := start(t, runner.Config{})
	id := w.insert(600, func(j *job.Job, input *sagemaker.CreateTrainingJobInput) {
		j.Resources.Spot, j.Resources.MaxWaitSeconds = true, 3
		input.EnableManagedSpotTraining = aws.Bool(true)
		input.StoppingCondition.MaxRuntimeInSeconds, input.StoppingCondition.MaxWaitTimeInSeconds = aws.Int32(2), aws.Int32(3)
		input.Environment["LOCALCLOUD_INTERRUPT_AFTER"] = "100ms"
		input.Environment["LOCALCLOUD_INTERRUPT_WAIT"] = "1m"
	})
	j := w.wait(id, job.Failed)
	if j.SecondaryStatus != "MaxWaitTimeExceeded" || j.Failure.Reason != errorsv1.ErrorReason_SPOT_UNAVAILABLE || !strings.Contains(j.Failure.Message, "max_wait_seconds") {
		t.Errorf("%s: failure %+v", j.SecondaryStatus, j.Failure)
	}
}
