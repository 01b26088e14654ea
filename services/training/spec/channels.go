package spec

import (
	"cmp"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"

	"github.com/trainyard/trainyard/services/training/recipe"
)

// The channels that a job has beside those of its base datasets.
const (
	TrainChannel      = "train"
	ValidationChannel = "validation"
	// labelsChannel holds the label names where they are too long for a hyperparameter.
	labelsChannel = "labels"
	// versionChannel begins the channels of additional versions: version-2, version-3 and so on.
	versionChannel = "version-"
)

// The hyperparameters that go with channels.
const (
	labelsHyperparameter    = "labels"
	manifestsHyperparameter = "manifests"
	seedHyperparameter      = "seed"
)

var (
	channelName    = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)
	versionPattern = regexp.MustCompile(`^` + versionChannel + `[0-9]+$`)
)

// IsReservedChannel tells whether a base dataset may not have this id.
func IsReservedChannel(name string) bool {
	return versionPattern.MatchString(name) ||
		slices.Contains([]string{TrainChannel, ValidationChannel, labelsChannel, "test", "model", "checkpoints"}, name)
}

// VersionChannel is the channel of the i-th additional version, from 0.
func VersionChannel(i int) string { return versionChannel + strconv.Itoa(i+2) }

// channel is one to be made.
type channel struct {
	name   string
	source Source
	mode   Mode
	// field is that of TrainingJob which the channel comes from.
	field string
	// trained tells that its files are train shards of a version, which instances may share out.
	trained bool
	// bytes are what File mode copies; 0 when nobody said.
	bytes int64
	seed  *int64 // Of the shuffling of a pipe.
}

// channels makes the channels, and adds the hyperparameters that tell the program of them.
func (job *Job) channels(p *program) ([]channel, error) {
	var channels []channel
	fromVersion := func(d *Dataset, field, name, object string, bytes int64) error {
		source, err := S3Prefix(d.URI + object)
		if err != nil {
			return fail(field, "The dataset version can't be a channel: %s.", err)
		}
		channels = append(channels, channel{name: name, source: source, field: field, bytes: bytes, trained: name != ValidationChannel && name != labelsChannel})
		return nil
	}
	// Channels of a version are prefixes of keys, so that the other splits are not read.
	const mainField = "dataset_version"
	if err := fromVersion(&job.Dataset, mainField, TrainChannel, job.Dataset.shards(TrainChannel), job.Dataset.DownloadBytes-job.Dataset.ValidationBytes); err != nil {
		return nil, err
	}
	if err := fromVersion(&job.Dataset, mainField, ValidationChannel, job.Dataset.shards(ValidationChannel), job.Dataset.ValidationBytes); err != nil {
		return nil, err
	}
	labels, err := json.Marshal(job.Dataset.Labels)
	if err != nil {
		return nil, err
	}
	labelFeature := job.Dataset.Inputs[recipe.LabelFeature]
	switch {
	case !p.custom && len(labels) <= maxHyperparameterValue:
		p.hyperparameters[labelsHyperparameter] = string(labels)
	case !p.custom || labelFeature != "":
		// An own program gets no hyperparameters that it doesn't know of.
		if err := fromVersion(&job.Dataset, mainField, labelsChannel, cmp.Or(labelFeature, "label")+".labels.txt", 0); err != nil {
			return nil, err
		}
	}
	for i := range job.Additional {
		d, name, field := &job.Additional[i], VersionChannel(i), fmt.Sprintf("additional_dataset_versions[%d]", i)
		if err := fromVersion(d, field, name, d.shards(TrainChannel), d.DownloadBytes); err != nil {
			return nil, err
		}
		if p.custom {
			continue
		}
		labels, err := json.Marshal(d.Labels)
		if err != nil {
			return nil, err
		}
		if n := len(labels); n > maxHyperparameterValue {
			return nil, fail(field, "The names of the version's %d classes take %d characters, of which SageMaker takes %d beside the main version's: make it the dataset_version, or publish it as a base dataset.", len(d.Labels), n, maxHyperparameterValue)
		}
		p.hyperparameters[labelsHyperparameter+"_"+name] = string(labels)
	}
	bases, err := job.baseChannels(p)
	if err != nil {
		return nil, err
	}
	channels = append(channels, bases...)
	if n := len(channels); n > maxChannels {
		return nil, fail("base_datasets", "The job would have %d channels; SageMaker takes %d. Leave out %d base datasets or additional versions.", n, maxChannels, n-maxChannels)
	}
	return channels, job.setModes(p, channels)
}

// shards begins the names of a split's files.
func (d *Dataset) shards(split string) string { return d.TFDSName + "-" + split + ".tfrecord" }

func (job *Job) baseChannels(p *program) ([]channel, error) {
	var channels []channel
	manifests := map[string]string{}
	seen := map[string]bool{}
	for i, base := range job.Bases {
		field := fmt.Sprintf("base_datasets[%d]", i)
		switch {
		case !channelName.MatchString(base.ID):
			return nil, fail(field, "The base dataset's id %q can't name a channel: it must be 1 to 64 letters, digits and ._-.", shorten(base.ID))
		case IsReservedChannel(base.ID):
			return nil, fail(field, "The base dataset's id %s is the name of a channel that every job may have: register it under another.", base.ID)
		case seen[base.ID]:
			return nil, fail(field, "The base dataset %s is given twice, and two channels can't have one name: leave one out.", base.ID)
		case base.Source.data.S3DataSource == nil && base.Source.data.FileSystemDataSource == nil:
			return nil, fail(field, "The base dataset %s has no location where the job runs: leave it out, or have its operator add one.", base.ID)
		}
		seen[base.ID] = true
		channels = append(channels, channel{name: base.ID, source: base.Source, field: field, bytes: base.DownloadBytes})
		if base.ManifestSHA256 != "" {
			manifests[base.ID] = base.ManifestSHA256
		}
	}
	if len(manifests) > 0 && !p.custom {
		encoded, err := json.Marshal(manifests)
		if err != nil {
			return nil, err
		}
		p.hyperparameters[manifestsHyperparameter] = string(encoded)
	}
	return channels, nil
}

// setModes chooses how each channel is read.
func (job *Job) setModes(p *program, channels []channel) error {
	names := make([]string, len(channels))
	seed, seedErr := strconv.ParseInt(p.hyperparameters[seedHyperparameter], 10, 64)
	for i := range channels {
		c := &channels[i]
		names[i] = c.name
		given := job.InputModes[c.name]
		field := "input_modes." + c.name
		isBase := strings.HasPrefix(c.field, "base_datasets")
		switch {
		case c.source.inVPC && given != "":
			return fail(field, "The channel %s lies on a file system, which is mounted and has no input mode: leave it out.", c.name)
		case c.source.inVPC:
		case given != "" && !p.reads(given):
			return fail(field, "The channel %s can't be read by %s, for %s reads %s: choose one of these.", c.name, apiName(given), p.name, apiNames(p.modes))
		case given != "":
			c.mode = given
		case isBase && p.reads(FastFile):
			// A base dataset is large: it is read as it is needed rather than copied first, on the bill.
			c.mode = FastFile
		default:
			c.mode = File
		}
		if c.mode == Pipe && seedErr == nil && (c.trained || isBase) {
			c.seed = &seed
		}
	}
	for _, name := range sortedKeys(job.InputModes) {
		// The labels are a channel or not by their length, which users needn't know.
		if name != labelsChannel && !slices.Contains(names, name) {
			return fail("input_modes."+shorten(name), "The job has no channel %s; its channels are %s. Leave it out.", shorten(name), strings.Join(names, ", "))
		}
	}
	return nil
}

// apiName is a mode's name in the API.
func apiName(mode Mode) string {
	switch mode {
	case File:
		return "FILE"
	case FastFile:
		return "FAST_FILE"
	case Pipe:
		return "PIPE"
	}
	return shorten(string(mode))
}

func apiNames(modes []Mode) string {
	names := make([]string, len(modes))
	for i, mode := range modes {
		names[i] = apiName(mode)
	}
	return strings.Join(names, ", ")
}

// share splits the train shards of versions among instances. Validation and labels are always full, and so are base datasets, whose
// folder has more than shards.
func share(channels []channel) {
	for i := range channels {
		if c := &channels[i]; c.trained {
			shared := *c.source.data.S3DataSource
			shared.S3DataDistributionType = types.S3DataDistributionShardedByS3Key
			c.source.data.S3DataSource = &shared
		}
	}
}

func asInput(channels []channel) []types.Channel {
	list := make([]types.Channel, len(channels))
	for i, c := range channels {
		source := c.source.data
		list[i] = types.Channel{ChannelName: aws.String(c.name), DataSource: &source, InputMode: types.TrainingInputMode(c.mode)}
		if c.seed != nil {
			list[i].ShuffleConfig = &types.ShuffleConfig{Seed: c.seed}
		}
	}
	return list
}
