package runner

import (
	"context"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker"

	"github.com/trainyard/trainyard/services/internal/store"
	"github.com/trainyard/trainyard/services/training/internal/job"
)

// warmPoolGrace is how long after its time a warm pool is still asked for.
const warmPoolGrace = 15 * time.Minute

// keepWarmPool notes that a job's machines may be kept for the next one, which is billed though the job has ended.
func keepWarmPool(j *job.Job, d *sagemaker.DescribeTrainingJobOutput) {
	if j.Resources.KeepAliveSeconds == 0 {
		return
	}
	j.WarmPoolStatus = job.WarmPoolUnknown
	takeWarmPool(j, d)
}

// takeWarmPool takes over what SageMaker says of a warm pool, if it does.
func takeWarmPool(j *job.Job, d *sagemaker.DescribeTrainingJobOutput) {
	if pool := d.WarmPoolStatus; pool != nil {
		j.WarmPoolStatus = string(pool.Status)
		j.WarmPoolSeconds = max(j.WarmPoolSeconds, int64(aws.ToInt32(pool.ResourceRetainedBillableTimeInSeconds)))
	}
}

// watchWarmPool looks at the warm pool of a job that has ended, until it is over: then the ledger is complete.
func (r *Runner) watchWarmPool(ctx context.Context, j *job.Job) (job.Next, error) {
	status, seconds := j.WarmPoolStatus, j.WarmPoolSeconds
	over := store.Time(j.EndTime).Add(time.Duration(j.Resources.KeepAliveSeconds)*time.Second + warmPoolGrace)
	described, err := r.describe(ctx, j)
	switch {
	case err == nil:
		takeWarmPool(j, described)
	case !isMissing(err) && time.Now().Before(over):
		return job.Next{}, err
	}
	if isMissing(err) || !time.Now().Before(over) {
		j.CloseWarmPool(time.Now())
	}
	if j.WarmPoolStatus != status || j.WarmPoolSeconds != seconds {
		if err := r.deps.Jobs.Save(ctx, j, job.Change{Event: job.EventProgress}); err != nil {
			return job.Next{}, err
		}
	}
	return job.Next{Look: r.cfg.PollEvery, Describe: r.cfg.PollEvery}, nil
}
