package sagemaker_test

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"

	"github.com/trainyard/trainyard/services/localcloud/sagemaker"
)

func TestWarmPool(t *testing.T) {
	t.Parallel()
	c := start(t, sagemaker.Config{MaxConcurrentJobs: 1}, `echo ready; while [ -n "$WAIT" ]; do sleep 0.01; done`)
	warm := func(name string, keep int32, environment map[string]string) *sdk.CreateTrainingJobInput {
		in := request(name)
		in.ResourceConfig.KeepAlivePeriodInSeconds = aws.Int32(keep)
		in.Environment = environment
		return in
	}
	wait := map[string]string{"WAIT": "1"}
	c.create(warm("warm-1", 600, nil))
	d := c.awaitEnd("warm-1")
	same(t, "after its end", d.WarmPoolStatus.Status, types.WarmPoolResourceStatusAvailable)

	blocker := request("warm-blocker")
	blocker.Environment = wait
	c.create(blocker)
	c.awaitLog("warm-blocker", "ready")
	same(t, "a job that keeps nothing", c.describe("warm-blocker").WarmPoolStatus, (*types.WarmPoolStatus)(nil))
	// Every place is taken. One that needs other instances waits, one that fits doesn't.
	other := warm("warm-other", 600, nil)
	other.ResourceConfig.VolumeSizeInGB = aws.Int32(11)
	c.create(other)
	c.await("warm-other", "Pending", func(d *sdk.DescribeTrainingJobOutput) bool { return d.SecondaryStatus == types.SecondaryStatusPending })
	c.create(warm("warm-2", 1, nil))
	same(t, "phases", phases(t, c.awaitEnd("warm-2")), []string{"Starting", "Downloading", "Training", "Uploading", "Completed"})
	d = c.describe("warm-1")
	same(t, "taken", d.WarmPoolStatus.Status, types.WarmPoolResourceStatusReused)
	same(t, "by", aws.ToString(d.WarmPoolStatus.ReusedByJob), "warm-2")
	if s := aws.ToInt32(d.WarmPoolStatus.ResourceRetainedBillableTimeInSeconds); s < 1 || s > 20 {
		t.Errorf("retained for %d s", s)
	}
	d = c.await("warm-2", "Terminated", func(d *sdk.DescribeTrainingJobOutput) bool {
		return d.WarmPoolStatus.Status == types.WarmPoolResourceStatusTerminated
	})
	same(t, "retained", aws.ToInt32(d.WarmPoolStatus.ResourceRetainedBillableTimeInSeconds), int32(1))
	// Its pool is gone, and the first one's was taken.
	c.create(warm("warm-3", 600, wait))
	c.await("warm-3", "Pending", func(d *sdk.DescribeTrainingJobOutput) bool { return d.SecondaryStatus == types.SecondaryStatusPending })
	for _, name := range []string{"warm-blocker", "warm-3"} {
		if name == "warm-3" {
			c.awaitLog(name, "ready")
			same(t, "while it trains", c.describe(name).WarmPoolStatus.Status, types.WarmPoolResourceStatusInuse)
		}
		_, err := c.sm.StopTrainingJob(t.Context(), &sdk.StopTrainingJobInput{TrainingJobName: &name})
		must(t, err)
	}
	same(t, "stopped", c.awaitEnd("warm-3").WarmPoolStatus.Status, types.WarmPoolResourceStatusAvailable)
}
