package sagemaker_test

import (
	"crypto/rand"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"

	"github.com/trainyard/trainyard/services/localcloud/sagemaker"
)

func spotRequest(name string, environment map[string]string) *sdk.CreateTrainingJobInput {
	in := request(name)
	in.EnableManagedSpotTraining = aws.Bool(true)
	in.StoppingCondition.MaxWaitTimeInSeconds = aws.Int32(900)
	in.CheckpointConfig = &types.CheckpointConfig{S3Uri: aws.String("s3://trainyard/spot-checkpoints/" + name + "/" + rand.Text())}
	in.Environment = environment
	return in
}

// countsUp goes one step further with each attempt and saves when it is told to stop, as it is before an interruption.
const countsUp = `
	trap 'echo $((n+1)) > checkpoints/n; exit 0' TERM
	n=$(cat checkpoints/n 2>/dev/null || echo 0)
	echo "step $n, model: $(ls model)"
	echo "$n" > model/n
	if [ "$n" = "$LAST" ]; then sleep 2; exit 0; fi
	while :; do sleep 0.01; done`

func TestSpotInterruptions(t *testing.T) {
	t.Parallel()
	c := start(t, sagemaker.Config{SpotDiscount: 0.6}, countsUp)
	c.create(spotRequest("spot", map[string]string{
		"LAST": "2", "LOCALCLOUD_INTERRUPT_AFTER": "1500ms", "LOCALCLOUD_INTERRUPT_TIMES": "2", "LOCALCLOUD_INTERRUPT_WAIT": "1500ms",
	}))
	d := c.awaitEnd("spot")
	same(t, "failure", aws.ToString(d.FailureReason), "")
	attempt := []string{"Starting", "Downloading", "Training", "Interrupted"}
	same(t, "phases", phases(t, d), slices.Concat(attempt, attempt, []string{"Starting", "Downloading", "Training", "Uploading", "Completed"}))
	same(t, "log", c.logWith("spot", "step "), []string{"step 0, model: ", "step 1, model: ", "step 2, model: "})
	same(t, "model", c.untar("models/spot/output/model.tar.gz"), map[string]string{"n": "2\n"})
	same(t, "spot", aws.ToBool(d.EnableManagedSpotTraining), true)
	// 5 s of training in 8 s, and four tenths of the price: the wait is neither trained nor billed.
	training, billable, whole := aws.ToInt32(d.TrainingTimeInSeconds), aws.ToInt32(d.BillableTimeInSeconds), d.TrainingEndTime.Sub(*d.TrainingStartTime)
	if training < 5 || float64(training) > whole.Seconds()-2 || billable < 1 || float64(billable) > 0.4*float64(training)+1 {
		t.Errorf("training %d s, billable %d s of %v", training, billable, whole)
	}
}

func TestWithoutCheckpointConfigAnInterruptedJobStartsAnew(t *testing.T) {
	t.Parallel()
	c := start(t, sagemaker.Config{}, countsUp)
	in := spotRequest("anew", map[string]string{"LAST": "0", "LOCALCLOUD_INTERRUPT_AFTER": "1s", "LOCALCLOUD_INTERRUPT_WAIT": "0s"})
	in.CheckpointConfig = nil
	c.create(in)
	same(t, "status", c.awaitEnd("anew").TrainingJobStatus, types.TrainingJobStatusCompleted)
	same(t, "log", c.logWith("anew", "step "), []string{"step 0, model: ", "step 0, model: "})
}

func TestMaxWait(t *testing.T) {
	t.Parallel()
	const script = `trap 'echo saved > model/m; exit 0' TERM; echo ready; while :; do sleep 0.01; done`
	c := start(t, sagemaker.Config{MaxConcurrentJobs: 1}, script)
	blocker := request("wait-blocker")
	c.create(blocker)
	c.awaitLog("wait-blocker", "ready")
	short := func(name string, environment map[string]string) {
		in := spotRequest(name, environment)
		in.StoppingCondition.MaxRuntimeInSeconds, in.StoppingCondition.MaxWaitTimeInSeconds = aws.Int32(2), aws.Int32(2)
		c.create(in)
	}
	ends := func(name string, want ...string) {
		d := c.awaitEnd(name)
		same(t, "status", d.TrainingJobStatus, types.TrainingJobStatusStopped)
		same(t, "secondary", d.SecondaryStatus, types.SecondaryStatusMaxWaitTimeExceeded)
		same(t, "phases", phases(t, d), want)
		if took := d.TrainingEndTime.Sub(*d.CreationTime); took < 2*time.Second || took > 10*time.Second {
			t.Errorf("%s ended after %v", name, took)
		}
	}
	short("wait-in-queue", nil)
	ends("wait-in-queue", "Starting", "Pending", "MaxWaitTimeExceeded")

	c = start(t, sagemaker.Config{}, script)
	short("wait-for-capacity", map[string]string{"LOCALCLOUD_INTERRUPT_AFTER": "10ms", "LOCALCLOUD_INTERRUPT_WAIT": "1h"})
	ends("wait-for-capacity", "Starting", "Downloading", "Training", "Interrupted", "MaxWaitTimeExceeded")
	// MaxWait counts from the job's creation, MaxRuntime from its first download: here the wait is over first.
	short("wait-while-training", nil)
	ends("wait-while-training", "Starting", "Downloading", "Training", "Stopping", "Uploading", "MaxWaitTimeExceeded")
	same(t, "model", c.untar("models/wait-while-training/output/model.tar.gz")["m"], "saved\n")
}

func TestAnInterruptedJobCanBeStopped(t *testing.T) {
	t.Parallel()
	c := start(t, sagemaker.Config{}, countsUp)
	c.create(spotRequest("stop-interrupted", map[string]string{"LAST": "9", "LOCALCLOUD_INTERRUPT_AFTER": "10ms", "LOCALCLOUD_INTERRUPT_WAIT": "1h"}))
	c.await("stop-interrupted", "Interrupted", func(d *sdk.DescribeTrainingJobOutput) bool {
		return d.SecondaryStatus == types.SecondaryStatusInterrupted
	})
	_, err := c.sm.StopTrainingJob(t.Context(), &sdk.StopTrainingJobInput{TrainingJobName: aws.String("stop-interrupted")})
	must(t, err)
	same(t, "phases", phases(t, c.awaitEnd("stop-interrupted")), []string{"Starting", "Downloading", "Training", "Interrupted", "Stopping", "Stopped"})
}

func TestRetryStrategy(t *testing.T) {
	t.Parallel()
	c := start(t, sagemaker.Config{MaxConcurrentJobs: 3}, `echo trained > model/m`)
	for _, tc := range []struct {
		name     string
		attempts *types.RetryStrategy
		phases   []string
		failed   bool
	}{
		{"enough", &types.RetryStrategy{MaximumRetryAttempts: aws.Int32(2)}, []string{"Starting", "Downloading", "Training", "Restarting", "Downloading", "Training", "Restarting", "Downloading", "Training", "Uploading", "Completed"}, false},
		{"too-few", &types.RetryStrategy{MaximumRetryAttempts: aws.Int32(1)}, []string{"Starting", "Downloading", "Training", "Restarting", "Downloading", "Training", "Uploading", "Failed"}, true},
		{"none", nil, []string{"Starting", "Downloading", "Training", "Uploading", "Failed"}, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			in := request("retry-" + tc.name)
			in.RetryStrategy = tc.attempts
			in.Environment = map[string]string{"LOCALCLOUD_INTERNAL_ERRORS": "2"}
			c.create(in)
			d := c.awaitEnd(*in.TrainingJobName)
			same(t, "phases", phases(t, d), tc.phases)
			same(t, "retries", d.RetryStrategy, tc.attempts)
			want := ""
			if tc.failed {
				want = "InternalServerError: We encountered an internal error. Please try again."
			}
			same(t, "failure", aws.ToString(d.FailureReason), want)
		})
	}
}

func TestJobFaults(t *testing.T) {
	t.Parallel()
	c := start(t, sagemaker.Config{Images: map[string]sagemaker.Program{
		"trainer": sh("true"), "trainer:nowhere": {Argv: []string{"true"}, Env: map[string]string{"LOCALCLOUD_FAIL": "capacity"}},
	}}, "")
	in := request("no-download")
	in.Environment = map[string]string{"LOCALCLOUD_FAIL": "download"}
	c.create(in)
	d := c.awaitEnd("no-download")
	same(t, "reason", aws.ToString(d.FailureReason), "ClientError: Data download failed:Please ensure that the subnet's route table has a route to an S3 VPC endpoint or a NAT device, both the security groups and the subnet's network ACL allow outbound traffic to S3.")
	same(t, "phases", phases(t, d), []string{"Starting", "Downloading", "Failed"})

	in = request("no-capacity")
	in.AlgorithmSpecification.TrainingImage = aws.String("trainer:nowhere")
	c.create(in)
	d = c.awaitEnd("no-capacity")
	same(t, "reason", aws.ToString(d.FailureReason), "CapacityError: Unable to provision requested ML compute capacity. Please retry using a different ML instance type.")
	same(t, "phases", phases(t, d), []string{"Starting", "Failed"})
	same(t, "billed", d.BillableTimeInSeconds, (*int32)(nil))
}
