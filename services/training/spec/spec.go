// Package spec builds SageMaker's CreateTrainingJob request of a job. It is pure: the same job always gives the same request,
// whose hash goes along as a tag, so that a job found under our name can be told to be ours.
//
// All that the API's model and rules forbid is refused here with an Error that names the field, so that a job which was built is a job
// that SageMaker takes.
package spec

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"
)

// JobNamePrefix begins the SageMaker name of every job; IAM policies name it.
const JobNamePrefix = "trainyard-"

// CheckpointPath is where a training program keeps its checkpoints.
const CheckpointPath = "/opt/ml/checkpoints/"

// JobName is SageMaker's name of a job.
func JobName(id string) string { return JobNamePrefix + id }

// Build makes the request and gives its hash, which is in the tag TagHash. It fails with an Error.
func Build(job Job) (*sagemaker.CreateTrainingJobInput, string, error) {
	if err := job.checkInstallation(); err != nil {
		return nil, "", err
	}
	program, err := job.program()
	if err != nil {
		return nil, "", err
	}
	channels, err := job.channels(program)
	if err != nil {
		return nil, "", err
	}
	if err := program.checkHyperparameters(); err != nil { // The channels added some.
		return nil, "", err
	}
	resources, err := job.resourceConfig(program, channels)
	if err != nil {
		return nil, "", err
	}
	stopping, err := job.stoppingCondition()
	if err != nil {
		return nil, "", err
	}
	tags, err := job.tags()
	if err != nil {
		return nil, "", err
	}
	vpc, err := job.vpcConfig(channels)
	if err != nil {
		return nil, "", err
	}
	output := &types.OutputDataConfig{S3OutputPath: aws.String(fmt.Sprintf("s3://%s/models/%s/%s", job.Bucket, job.Project, job.ID))}
	if job.Resources.OutputKMSKey != "" {
		output.KmsKeyId = aws.String(job.Resources.OutputKMSKey)
	}
	input := &sagemaker.CreateTrainingJobInput{
		TrainingJobName:        aws.String(JobName(job.ID)),
		RoleArn:                aws.String(job.RoleARN),
		AlgorithmSpecification: program.algorithm,
		Environment:            program.environment,
		HyperParameters:        program.hyperparameters,
		InputDataConfig:        asInput(channels),
		OutputDataConfig:       output,
		ResourceConfig:         resources,
		StoppingCondition:      stopping,
		VpcConfig:              vpc,
		// The profiler would start processing jobs of its own, billed apart.
		ProfilerConfig: &types.ProfilerConfig{DisableProfiler: aws.Bool(true)},
		Tags:           tags,
	}
	if job.CheckpointURI != "" {
		input.CheckpointConfig = &types.CheckpointConfig{S3Uri: aws.String(job.CheckpointURI), LocalPath: aws.String(CheckpointPath)}
	}
	if n := job.Resources.MaxRetries; n > 0 {
		input.RetryStrategy = &types.RetryStrategy{MaximumRetryAttempts: aws.Int32(n)}
	}
	// What is off is left out, so that the request says what was asked for.
	if job.Resources.Spot {
		input.EnableManagedSpotTraining = aws.Bool(true)
	}
	if job.Resources.NetworkIsolation {
		input.EnableNetworkIsolation = aws.Bool(true)
	}
	if job.Resources.EncryptTraffic {
		input.EnableInterContainerTrafficEncryption = aws.Bool(true)
	}
	canonical, err := json.Marshal(input) // Maps are written in the order of their keys.
	if err != nil {
		return nil, "", err
	}
	sum := sha256.Sum256(canonical)
	hash := hex.EncodeToString(sum[:])
	input.Tags = append(input.Tags, types.Tag{Key: aws.String(TagHash), Value: aws.String(hash)})
	return input, hash, nil
}

// Warnings tells what in a built request may turn out badly though SageMaker takes it: what an older text of its documentation
// forbids, and pipes of more than shards.
func Warnings(input *sagemaker.CreateTrainingJobInput) []string {
	var warnings []string
	for _, key := range sortedKeys(input.HyperParameters) {
		if n := characters(input.HyperParameters[key]); n > documentedHyperparameterValue {
			warnings = append(warnings, fmt.Sprintf(
				"Hyperparameter %s has %d characters. SageMaker's model takes %d, an older text of its documentation says %d.",
				shorten(key), n, maxHyperparameterValue, documentedHyperparameterValue))
		}
	}
	for _, c := range input.InputDataConfig {
		if s3 := c.DataSource.S3DataSource; c.InputMode == types.TrainingInputModePipe && s3 != nil && strings.HasSuffix(*s3.S3Uri, "/") {
			warnings = append(warnings, fmt.Sprintf(
				"The pipe of channel %s holds every object below %s, one after the other, and not its shards alone: see that the program reads it so, or choose FAST_FILE.",
				*c.ChannelName, *s3.S3Uri))
		}
	}
	if n := aws.ToInt32(input.ResourceConfig.KeepAlivePeriodInSeconds); n > documentedKeepAliveSeconds {
		warnings = append(warnings, fmt.Sprintf(
			"The machine is kept for %d seconds. SageMaker's model takes %d, the text of its documentation says %d.",
			n, maxKeepAliveSeconds, documentedKeepAliveSeconds))
	}
	return warnings
}
