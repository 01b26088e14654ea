package spec

import (
	"fmt"
	"math"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"
)

// minVolumeGB leaves room for image, model and output beside the downloaded shards.
const minVolumeGB = 30

func (job *Job) resourceConfig(p *program, channels []channel) (*types.ResourceConfig, error) {
	r := job.Resources
	if err := CheckInstanceType(r.InstanceType); err != nil {
		return nil, fail("resources.instance_type", "The %s.", err)
	}
	switch {
	case r.InstanceCount < 1:
		return nil, fail("resources.instance_count", "A job needs an instance, and instance_count is %d: set it to 1 or more.", r.InstanceCount)
	case r.InstanceCount > 1 && !p.distributed:
		return nil, fail("resources.instance_count", "The program of %s trains on one instance, and instance_count is %d, which would bill for machines that only repeat the same: set it to 1.", p.name, r.InstanceCount)
	case r.KeepAliveSeconds < 0 || r.KeepAliveSeconds > maxKeepAliveSeconds:
		return nil, fail("resources.keep_alive_seconds", "keep_alive_seconds is %d; SageMaker takes up to %d, which is 6 hours.", r.KeepAliveSeconds, maxKeepAliveSeconds)
	case r.KeepAliveSeconds > 0 && r.Spot:
		return nil, fail("resources.keep_alive_seconds", "A spot instance can't be kept in a warm pool: leave out keep_alive_seconds or spot.")
	case r.MaxRetries < 0 || r.MaxRetries > maxRetries:
		return nil, fail("resources.max_retries", "max_retries is %d; SageMaker takes up to %d.", r.MaxRetries, maxRetries)
	}
	if r.OutputKMSKey != "" {
		if err := job.checkKey("resources.output_kms_key", r.OutputKMSKey); err != nil {
			return nil, err
		}
	}
	if r.Sharded && r.InstanceCount > 1 {
		if err := job.checkShards(); err != nil {
			return nil, err
		}
		share(channels)
	}
	volume, err := job.volumeSizeGB(channels)
	if err != nil {
		return nil, err
	}
	config := &types.ResourceConfig{
		InstanceType:   types.TrainingInstanceType(r.InstanceType),
		InstanceCount:  aws.Int32(r.InstanceCount),
		VolumeSizeInGB: aws.Int32(volume),
	}
	if r.VolumeKMSKey != "" {
		if _, local := LocalStorageGB(r.InstanceType); local {
			return nil, fail("resources.volume_kms_key", "%s keeps data on its own NVMe disks, which its hardware encrypts, and takes no key for them: leave out volume_kms_key.", r.InstanceType)
		}
		if err := job.checkKey("resources.volume_kms_key", r.VolumeKMSKey); err != nil {
			return nil, err
		}
		config.VolumeKmsKeyId = aws.String(r.VolumeKMSKey)
	}
	if r.KeepAliveSeconds > 0 {
		config.KeepAlivePeriodInSeconds = aws.Int32(r.KeepAliveSeconds)
	}
	return config, nil
}

// checkShards sees that each instance gets a shard: one without would fail, and the job with it.
func (job *Job) checkShards() error {
	for i, d := range append([]Dataset{job.Dataset}, job.Additional...) {
		name := "The dataset version"
		if i > 0 {
			name = fmt.Sprintf("The additional version %d", i)
		}
		if d.TrainShards > 0 && d.TrainShards < job.Resources.InstanceCount {
			return fail("resources.distribution", "%s has fewer train shards (%d) than the job has instances (%d), which get one each at least: choose FULL_COPY, or %d instances at most.",
				name, d.TrainShards, job.Resources.InstanceCount, d.TrainShards)
		}
	}
	return nil
}

// volumeSizeGB is the disk that the channels in File mode need, with room to spare, or the user's own if they fit.
func (job *Job) volumeSizeGB(channels []channel) (int32, error) {
	r := job.Resources
	var bytes int64
	for _, c := range channels {
		if c.mode == File {
			bytes += c.bytes
		}
	}
	needed := math.Ceil(float64(bytes) / 1e9)
	// Shared out, nobody can say beforehand how much of it an instance gets.
	fits := func(size int32) bool { return needed <= float64(size) || r.Sharded && r.InstanceCount > 1 }
	const mend = "read large channels by FAST_FILE in input_modes"
	if local, ok := LocalStorageGB(r.InstanceType); ok {
		if r.VolumeSizeGB != 0 {
			return 0, fail("resources.volume_size_gb", "%s keeps data on its own NVMe disks, whose size is fixed: leave out volume_size_gb, or choose another instance type.", r.InstanceType)
		}
		if local > 0 && !fits(local) {
			return 0, fail("resources.instance_type", "%s has disks of %d GB, and the channels in File mode are %.0f GB: choose a larger one, or %s.", r.InstanceType, local, needed, mend)
		}
		// No disk is made by it, but SageMaker's own SDK sends a size for these types, too.
		return minVolumeGB, nil
	}
	switch {
	case r.VolumeSizeGB < 0 || r.VolumeSizeGB > MaxVolumeGB:
		return 0, fail("resources.volume_size_gb", "volume_size_gb is %d; it must be 1 to %d, or left out for what the data needs.", r.VolumeSizeGB, MaxVolumeGB)
	case r.VolumeSizeGB > 0 && !fits(r.VolumeSizeGB):
		return 0, fail("resources.volume_size_gb", "volume_size_gb is %d, and the channels in File mode are %.0f GB: set it to %.0f or more, leave it out, or %s.", r.VolumeSizeGB, needed, needed+minVolumeGB, mend)
	case r.VolumeSizeGB > 0:
		return r.VolumeSizeGB, nil
	case !fits(MaxVolumeGB):
		return 0, fail("input_modes", "The channels in File mode are %.0f GB, and the largest disk is %d: %s.", needed, MaxVolumeGB, mend)
	}
	return int32(min(needed+minVolumeGB, MaxVolumeGB)), nil
}

func (job *Job) stoppingCondition() (*types.StoppingCondition, error) {
	r := job.Resources
	if r.MaxRuntimeSeconds < 1 || r.MaxRuntimeSeconds > MaxRuntimeSeconds {
		return nil, fail("resources.max_runtime_seconds", "max_runtime_seconds is %d; SageMaker takes 1 to %d, which is 28 days.", r.MaxRuntimeSeconds, MaxRuntimeSeconds)
	}
	condition := &types.StoppingCondition{MaxRuntimeInSeconds: aws.Int32(r.MaxRuntimeSeconds)}
	wait := r.MaxWaitSeconds
	switch {
	case !r.Spot && wait != 0:
		return nil, fail("resources.max_wait_seconds", "max_wait_seconds is for spot instances, and the job has none: leave it out, or set spot.")
	case !r.Spot:
		return condition, nil
	case job.CheckpointURI == "":
		return nil, fail("resources.spot", "A spot instance may be taken away, and the job has no folder for checkpoints to go on from: leave out spot.")
	case wait == 0:
		wait = min(2*r.MaxRuntimeSeconds, MaxRuntimeSeconds)
	case wait > MaxRuntimeSeconds:
		return nil, fail("resources.max_wait_seconds", "max_wait_seconds is %d; SageMaker takes up to %d, which is 28 days.", wait, MaxRuntimeSeconds)
	case wait < r.MaxRuntimeSeconds:
		return nil, fail("resources.max_wait_seconds", "max_wait_seconds is %d, less than max_runtime_seconds, which it includes: set it to %d or more.", wait, r.MaxRuntimeSeconds)
	}
	condition.MaxWaitTimeInSeconds = aws.Int32(wait)
	return condition, nil
}
