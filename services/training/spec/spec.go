// Package spec builds SageMaker's CreateTrainingJob request of a job. It is pure: the same job always gives the same request,
// whose hash goes along as a tag, so that a job found under our name can be told to be ours.
package spec

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"

	"github.com/trainyard/trainyard/services/training/recipe"
)

// The tags of every job.
const (
	TagProject = "trainyard:project"
	TagJob     = "trainyard:job"
	TagHash    = "trainyard:spec-hash"
)

// JobNamePrefix begins the SageMaker name of every job; IAM policies name it.
const JobNamePrefix = "trainyard-"

// The channels that a job has beside those of its base datasets.
const (
	TrainChannel      = "train"
	ValidationChannel = "validation"
	// labelsChannel holds the label names where they are too long for a hyperparameter.
	labelsChannel = "labels"
)

// Limits of CreateTrainingJob, from the API's model (AWS.md).
const (
	maxChannels            = 20
	maxHyperparameters     = 100
	maxHyperparameterValue = 2500
	maxImage               = 255
	maxSubnets             = 16
	maxSecurityGroups      = 5
	// MaxRuntimeSeconds is 28 days.
	MaxRuntimeSeconds = 28 * 24 * 3600
	// MaxVolumeGB is the largest disk.
	MaxVolumeGB = 16384
)

// minVolumeGB leaves room for image, model and output beside the downloaded shards.
const minVolumeGB = 30

// Error tells that a job can't be described within SageMaker's limits.
type Error struct {
	// Field is the field of TrainingJob that breaks the limit; empty when the operator's configuration does.
	Field   string
	Message string
}

func (e *Error) Error() string { return e.Message }

// Mode is how the bytes of a channel reach the training program.
type Mode = recipe.InputMode

// The modes of a channel; the zero value leaves the choice to Build: File for dataset versions, FastFile for base datasets on S3.
const (
	File     = recipe.File
	FastFile = recipe.FastFile
	Pipe     = recipe.Pipe
)

// Job is all that a request is built from.
type Job struct {
	ID      string
	Project string
	// Recipe is nil with Custom.
	Recipe     *recipe.Recipe
	Parameters recipe.Values
	// Custom is a training program of the user's own; nil with Recipe.
	Custom *Custom

	// Dataset is the version that gives the classes and what is validated on.
	Dataset Dataset
	// Additional are versions whose train splits are trained on as well, each a channel: version-2, version-3 and so on.
	Additional []Dataset
	// Bases are the base datasets, each a channel of its id.
	Bases []Base
	// InputModes are the modes of channels by their names. Channels on file systems have none.
	InputModes map[string]Mode

	Resources Resources
	// Tags are the user's, beside those that every job has.
	Tags map[string]string
	// CheckpointURI is the folder of the checkpoints, `s3://bucket/checkpoints/{project}/{job}/`; empty means that none are kept. A job that goes
	// on from another's checkpoints has the other's.
	CheckpointURI string

	// Image is the training image, with a recipe; Custom has its own.
	Image   string
	RoleARN string
	// Bucket is where the model goes.
	Bucket         string
	Region         string
	Subnets        []string
	SecurityGroups []string
}

// Custom is a training program of the user's own.
type Custom struct {
	Image           string
	Entrypoint      []string
	Arguments       []string
	Environment     map[string]string
	Hyperparameters map[string]string
	Metrics         []recipe.Metric
}

// Dataset is a READY version as the channels need it.
type Dataset struct {
	// URI is `s3://bucket/prefix/`.
	URI string
	// TFDSName begins the names of the shards, `{TFDSName}-{split}.tfrecord-…`.
	TFDSName string
	// Labels are the classes in the order of their numbers.
	Labels []string
	// Inputs are the features that the recipe reads, by hyperparameter. Only the main version's are looked at.
	Inputs map[string]string
	// DownloadBytes is the size of the splits that the job reads, which File mode copies to its disk.
	DownloadBytes int64
}

// Base is a base dataset as a channel of its own.
type Base struct {
	ID     string
	Source Source
	// ManifestSHA256 is the digest that the base dataset's manifest.json must have, in hex; empty where it has none.
	ManifestSHA256 string
	// DownloadBytes is its size, which File mode copies to the job's disk; 0 when nobody said.
	DownloadBytes int64
}

// Resources is the machine of a job. Its fields are those of the ledger's, so that one converts to the other.
type Resources struct {
	InstanceType      string
	InstanceCount     int32
	VolumeSizeGB      int32 // 0 means as much as the data needs.
	MaxRuntimeSeconds int32
	Spot              bool
	MaxWaitSeconds    int32 // With Spot; 0 means twice MaxRuntimeSeconds, up to 28 days.
	KeepAliveSeconds  int32
	MaxRetries        int32
	NetworkIsolation  bool
	InVPC             bool
	EncryptTraffic    bool
	VolumeKMSKey      string
	OutputKMSKey      string
	Sharded           bool // Each instance gets its part of the train shards instead of all.
}

// JobName is SageMaker's name of a job.
func JobName(id string) string { return JobNamePrefix + id }

// IsReservedChannel tells whether a base dataset may not have this id.
func IsReservedChannel(name string) bool {
	return slices.Contains([]string{TrainChannel, ValidationChannel, labelsChannel, "test", "model", "checkpoints"}, name)
}

// Build makes the request and gives its hash, which is in the tag TagHash. It fails with an Error.
func Build(job Job) (*sagemaker.CreateTrainingJobInput, string, error) {
	hyperparameters := job.Recipe.Hyperparameters(job.Parameters)
	maps.Copy(hyperparameters, job.Dataset.Inputs)
	channels, inVPC, err := job.channels(hyperparameters)
	if err != nil {
		return nil, "", err
	}
	if len(hyperparameters) > maxHyperparameters {
		return nil, "", &Error{Field: "parameters", Message: fmt.Sprintf("The job has %d hyperparameters; SageMaker takes %d.", len(hyperparameters), maxHyperparameters)}
	}
	if n := len(job.Image); n == 0 || n > maxImage {
		return nil, "", &Error{Message: fmt.Sprintf("The training image's name has %d characters; SageMaker takes 1 to %d.", n, maxImage)}
	}
	input := &sagemaker.CreateTrainingJobInput{
		TrainingJobName: aws.String(JobName(job.ID)),
		RoleArn:         aws.String(job.RoleARN),
		AlgorithmSpecification: &types.AlgorithmSpecification{
			TrainingImage:     aws.String(job.Image),
			TrainingInputMode: types.TrainingInputModeFile,
			MetricDefinitions: metricDefinitions(job.Recipe),
		},
		HyperParameters: hyperparameters,
		InputDataConfig: channels,
		OutputDataConfig: &types.OutputDataConfig{
			S3OutputPath: aws.String(fmt.Sprintf("s3://%s/models/%s/%s", job.Bucket, job.Project, job.ID)),
		},
		ResourceConfig: &types.ResourceConfig{
			InstanceType:   types.TrainingInstanceType(job.Resources.InstanceType),
			InstanceCount:  aws.Int32(job.Resources.InstanceCount),
			VolumeSizeInGB: aws.Int32(job.volumeSizeGB()),
		},
		StoppingCondition: &types.StoppingCondition{MaxRuntimeInSeconds: aws.Int32(job.Resources.MaxRuntimeSeconds)},
		// The profiler would start processing jobs of its own, billed apart.
		ProfilerConfig: &types.ProfilerConfig{DisableProfiler: aws.Bool(true)},
		Tags: []types.Tag{
			{Key: aws.String(TagProject), Value: aws.String(job.Project)},
			{Key: aws.String(TagJob), Value: aws.String(job.ID)},
		},
	}
	if inVPC {
		if err := CheckVPC(job.Subnets, job.SecurityGroups); err != nil {
			return nil, "", &Error{Message: "A base dataset lies on a file system: " + err.Error() + "."}
		}
		input.VpcConfig = &types.VpcConfig{Subnets: job.Subnets, SecurityGroupIds: job.SecurityGroups}
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

// channels makes the channels, and puts the label names where they fit: a hyperparameter or a channel.
func (job *Job) channels(hyperparameters map[string]string) (channels []types.Channel, inVPC bool, err error) {
	add := func(name string, source Source, mode types.TrainingInputMode) {
		channels = append(channels, types.Channel{ChannelName: aws.String(name), DataSource: &source.data, InputMode: mode})
		inVPC = inVPC || source.inVPC
	}
	fromDataset := func(channel, object string) error {
		source, err := S3Prefix(job.Dataset.URI + object)
		if err != nil {
			return &Error{Field: "dataset_version", Message: "The dataset version can't be a channel: " + err.Error() + "."}
		}
		add(channel, source, types.TrainingInputModeFile)
		return nil
	}
	for _, split := range []string{TrainChannel, ValidationChannel} {
		// A prefix of keys, so that the other splits are not downloaded.
		if err := fromDataset(split, job.Dataset.TFDSName+"-"+split+".tfrecord"); err != nil {
			return nil, false, err
		}
	}
	labels, err := json.Marshal(job.Dataset.Labels)
	if err != nil {
		return nil, false, err
	}
	if len(labels) <= maxHyperparameterValue {
		hyperparameters["labels"] = string(labels)
	} else if err := fromDataset(labelsChannel, cmp.Or(hyperparameters[recipe.LabelFeature], "label")+".labels.txt"); err != nil {
		return nil, false, err
	}
	for _, base := range job.Bases {
		mode := types.TrainingInputMode("")
		if base.Source.data.S3DataSource != nil {
			// A base dataset is large: it is read as it is needed rather than copied first, on the bill.
			mode = types.TrainingInputModeFastfile
		}
		add(base.ID, base.Source, mode)
	}
	if len(channels) > maxChannels {
		return nil, false, &Error{Field: "base_datasets", Message: fmt.Sprintf(
			"The job would have %d channels; SageMaker takes %d. Leave out %d base datasets.", len(channels), maxChannels, len(channels)-maxChannels)}
	}
	return channels, inVPC, nil
}

func (job *Job) volumeSizeGB() int32 {
	if job.Resources.VolumeSizeGB > 0 {
		return job.Resources.VolumeSizeGB
	}
	needed := math.Ceil(float64(job.Dataset.DownloadBytes)/1e9) + minVolumeGB
	return int32(min(needed, MaxVolumeGB))
}

func metricDefinitions(r *recipe.Recipe) []types.MetricDefinition {
	definitions := make([]types.MetricDefinition, len(r.Metrics))
	for i, m := range r.Metrics {
		definitions[i] = types.MetricDefinition{Name: aws.String(m.Name), Regex: aws.String(m.Regex)}
	}
	return definitions
}

var (
	subnetID        = regexp.MustCompile(`^subnet-[0-9a-f]{8,17}$`)
	securityGroupID = regexp.MustCompile(`^sg-[0-9a-f]{8,17}$`)
)

// CheckVPC tells whether jobs can be put into these subnets and security groups.
func CheckVPC(subnets, securityGroups []string) error {
	if n := len(subnets); n < 1 || n > maxSubnets {
		return fmt.Errorf("a job in a VPC needs 1 to %d subnets and has %d; set --subnets", maxSubnets, n)
	}
	if n := len(securityGroups); n < 1 || n > maxSecurityGroups {
		return fmt.Errorf("a job in a VPC needs 1 to %d security groups and has %d; set --security-groups", maxSecurityGroups, n)
	}
	for _, id := range subnets {
		if !subnetID.MatchString(id) {
			return fmt.Errorf("subnet %q must look like subnet-0123456789abcdef0", id)
		}
	}
	for _, id := range securityGroups {
		if !securityGroupID.MatchString(id) {
			return fmt.Errorf("security group %q must look like sg-0123456789abcdef0", id)
		}
	}
	return nil
}

var instanceType = regexp.MustCompile(`^ml\.[a-z0-9-]+\.[a-z0-9-]+$`)

// CheckInstanceType tells whether a text can be a SageMaker instance type. Whether there is one is SageMaker's to say.
func CheckInstanceType(name string) error {
	if !instanceType.MatchString(name) {
		return fmt.Errorf("instance type %q must be one of SageMaker's, such as ml.m5.xlarge", name)
	}
	return nil
}
