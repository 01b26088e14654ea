package main

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kong"
	trainingv1 "github.com/trainyard/trainyard/gen/trainyard/training/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
)

// defaultRecipe is trained when neither a recipe nor an image nor a job to resume is named.
const defaultRecipe = "image-classification"

// jobFlags describe a training job to the commands that make, check or reckon one.
type jobFlags struct {
	Dataset string            `help:"Dataset id (its newest READY version) or ID/versions/N. Needed unless --resume-from is given." group:"Data:"`
	Also    []string          `help:"More data: a dataset id or ID/versions/N whose train split is trained on as well; may be repeated." group:"Data:"`
	Base    []string          `help:"Base dataset to train on as well, see 'trainyard list baseDatasets'; may be repeated." group:"Data:"`
	Mode    []string          `help:"How data is read: file, fastfile or pipe, for all of the user's data or as CHANNEL=MODE; may be repeated. By default by size and epochs." placeholder:"[CHANNEL=]MODE" group:"Data:"`
	Recipe  string            `help:"The recipe, see 'trainyard list recipes'; ${defaultRecipe} unless --image or --resume-from is given." xor:"program" group:"Program:"`
	Param   map[string]string `help:"Parameter NAME=VALUE of the recipe; may be repeated." mapsep:"none" group:"Program:"`

	Image          string            `help:"A training image of your own, instead of a recipe." xor:"program" group:"Program:"`
	Entrypoint     []string          `help:"With --image: instead of its entry point; once a word." sep:"none" group:"Program:"`
	Argument       []string          `help:"With --image: an argument of its program; may be repeated." sep:"none" group:"Program:"`
	Env            map[string]string `help:"With --image: environment variable NAME=VALUE; may be repeated." mapsep:"none" group:"Program:"`
	Hyperparameter map[string]string `help:"With --image: NAME=VALUE in hyperparameters.json; may be repeated." mapsep:"none" group:"Program:"`
	Metric         map[string]string `help:"With --image: a metric's NAME=REGEX for log lines, whose group 1 is the value; may be repeated." mapsep:"none" group:"Program:"`

	InstanceType   string  `help:"SageMaker instance type; by default the recipe's." group:"Machine:"`
	Instances      int32   `help:"How many instances." group:"Machine:"`
	Sharded        bool    `help:"Give each of several instances its part of the shards instead of a full copy." group:"Machine:"`
	VolumeSize     int32   `help:"Disk in GB; by default as large as the data needs." name:"volume-size" group:"Machine:"`
	MaxRuntime     seconds `help:"Stop the job after this time of training, such as 3600 or 90m." aliases:"max-runtime-seconds" group:"Machine:"`
	Spot           bool    `help:"Use spot instances: cheaper, and after an interruption the job goes on from its last checkpoint." group:"Machine:"`
	MaxWait        seconds `help:"With --spot: wait and train no longer than this in all." group:"Machine:"`
	KeepAlive      seconds `help:"Keep the machine this long for the next job of the same kind (a warm pool, billed)." group:"Machine:"`
	Retries        int32   `help:"Begin again this many times after an internal error of SageMaker's." group:"Machine:"`
	Isolate        bool    `help:"No network for the training program." group:"Machine:"`
	VPC            bool    `help:"Run within the installation's VPC even if no data needs it." name:"vpc" group:"Machine:"`
	EncryptTraffic bool    `help:"Encrypt the traffic between several instances." group:"Machine:"`

	Tag           map[string]string `help:"Tag NAME=VALUE of the SageMaker job, for the bill; may be repeated." mapsep:"none" group:"Job:"`
	ResumeFrom    string            `help:"Go on from this ended job's checkpoints; what isn't given is as it was there." placeholder:"JOB" group:"Job:"`
	OverrideCheck []string          `help:"Make the job although this preflight check fails; may be repeated. It is recorded on the job." placeholder:"NAME" group:"Job:"`
}

// check tells what can't be before anything is asked of the server; what depends on recipes and data is the server's to say.
func (f *jobFlags) check(line *kong.Context) error {
	if err := nothingGiven(line); err != nil {
		return err
	}
	if f.Dataset == "" && f.ResumeFrom == "" {
		return errors.New("missing flags: --dataset=STRING")
	}
	if f.Image == "" && (len(f.Entrypoint)+len(f.Argument)+len(f.Env)+len(f.Hyperparameter)+len(f.Metric) > 0) {
		return errors.New("--entrypoint, --argument, --env, --hyperparameter and --metric belong to an image of one's own: name it with --image; a recipe takes --param")
	}
	if f.Image != "" && len(f.Param) > 0 {
		return errors.New("--param belongs to a recipe: give an image its values with --hyperparameter")
	}
	_, err := f.inputModes()
	return err
}

// nothingGiven refuses a flag that is there with an empty value or 0, as --image "$IMAGE" is in a script that has no IMAGE. The API takes it as left
// out, and a job that nobody meant would be paid for.
func nothingGiven(line *kong.Context) error {
	given := map[*kong.Flag]int{}
	for _, p := range line.Path {
		if p.Flag == nil || p.Flag.IsBool() || p.Flag.Name == "seed" { // Chance may begin at 0.
			continue
		}
		value := p.Flag.Target
		nothing := value.IsZero()
		if value.Kind() == reflect.Slice {
			given[p.Flag]++
			nothing = value.Len() < given[p.Flag] // One that is empty leaves nothing in the list.
			for i := range value.Len() {
				nothing = nothing || value.Index(i).IsZero() && p.Flag.Name != "argument" // A program's argument may be empty.
			}
		}
		if nothing {
			return fmt.Errorf("--%s is empty or 0, which would count as left out: give it a value, or leave it out", p.Flag.Name)
		}
	}
	return nil
}

// job is the job as the API takes it.
func (f *jobFlags) job() *trainingv1.TrainingJob {
	modes, _ := f.inputModes() // Checked before.
	job := &trainingv1.TrainingJob{
		Recipe:         withPrefix("recipes/", f.Recipe),
		DatasetVersion: withPrefix("datasets/", f.Dataset),
		Parameters:     parameters(f.Param),
		InputModes:     modes,
		Tags:           f.Tag,
		ResumeFrom:     withPrefix("trainingJobs/", f.ResumeFrom),
		OverrideChecks: f.OverrideCheck,
		CustomImage:    f.customImage(),
		Resources: &trainingv1.Resources{
			InstanceType: f.InstanceType, InstanceCount: f.Instances, VolumeSizeGb: f.VolumeSize, MaxRuntimeSeconds: int32(f.MaxRuntime),
			Spot: f.Spot, MaxWaitSeconds: int32(f.MaxWait), KeepAliveSeconds: int32(f.KeepAlive), MaxRetries: f.Retries,
			NetworkIsolation: f.Isolate, InVpc: f.VPC, EncryptTraffic: f.EncryptTraffic,
		},
	}
	if f.Recipe == "" && f.Image == "" && f.ResumeFrom == "" {
		job.Recipe = "recipes/" + defaultRecipe
	}
	if f.Sharded {
		job.Resources.Distribution = trainingv1.Resources_SHARDED
	}
	if proto.Equal(job.Resources, &trainingv1.Resources{}) {
		job.Resources = nil // So that a resumed job has its predecessor's.
	}
	for _, base := range f.Base {
		job.BaseDatasets = append(job.BaseDatasets, withPrefix("baseDatasets/", base))
	}
	for _, version := range f.Also {
		job.AdditionalDatasetVersions = append(job.AdditionalDatasetVersions, withPrefix("datasets/", version))
	}
	return job
}

func (f *jobFlags) customImage() *trainingv1.CustomImage {
	if f.Image == "" {
		return nil
	}
	image := &trainingv1.CustomImage{
		Image: f.Image, Entrypoint: f.Entrypoint, Arguments: f.Argument, Environment: f.Env, Hyperparameters: f.Hyperparameter,
	}
	for _, name := range slices.Sorted(maps.Keys(f.Metric)) {
		image.MetricDefinitions = append(image.MetricDefinitions, &trainingv1.MetricDefinition{Name: name, Regex: f.Metric[name]})
	}
	return image
}

// inputModes reads --mode. A mode without a channel is for all channels of the user's data; one with a channel goes before it.
func (f *jobFlags) inputModes() (map[string]trainingv1.InputMode, error) {
	modes := map[string]trainingv1.InputMode{}
	all := trainingv1.InputMode_INPUT_MODE_UNSPECIFIED
	for _, text := range f.Mode {
		channel, word, named := strings.Cut(text, "=")
		if !named {
			channel, word = "", text
		}
		mode, ok := map[string]trainingv1.InputMode{
			"file": trainingv1.InputMode_FILE, "fastfile": trainingv1.InputMode_FAST_FILE, "pipe": trainingv1.InputMode_PIPE,
		}[strings.NewReplacer("-", "", "_", "").Replace(strings.ToLower(word))]
		switch {
		case !ok || named && channel == "":
			return nil, fmt.Errorf("--mode %s: want file, fastfile or pipe, or one of them for a channel, such as train=fastfile", text)
		case !named && all != 0 && all != mode || modes[channel] != 0 && modes[channel] != mode:
			return nil, fmt.Errorf("--mode %s: another mode is given for %s as well", text, cmp.Or(channel, "all channels"))
		case named:
			modes[channel] = mode
		default:
			all = mode
		}
	}
	if all == 0 {
		return modes, nil
	}
	channels := []string{"train", "validation"}
	for i := range f.Also {
		channels = append(channels, fmt.Sprintf("version-%d", i+2))
	}
	for _, channel := range channels {
		if modes[channel] == 0 {
			modes[channel] = all
		}
	}
	return modes, nil
}

// withPrefix makes a resource's name of an id or a name; nothing stays nothing.
func withPrefix(collection, name string) string {
	if name == "" {
		return ""
	}
	return collection + strings.TrimPrefix(name, collection)
}

// parameters reads values as the numbers and booleans they look like; the server checks them against the recipe.
func parameters(given map[string]string) map[string]*structpb.Value {
	values := make(map[string]*structpb.Value, len(given))
	for name, text := range given {
		values[name] = parameter(text)
	}
	return values
}

func parameter(text string) *structpb.Value {
	if number, err := strconv.ParseFloat(text, 64); err == nil && !math.IsNaN(number) && !math.IsInf(number, 0) { // JSON has neither.
		return structpb.NewNumberValue(number)
	}
	if truth, err := strconv.ParseBool(text); err == nil {
		return structpb.NewBoolValue(truth)
	}
	return structpb.NewStringValue(text)
}

// seconds is a flag's time, as a number of seconds or as 90m, 1h30m and the like.
type seconds int32

// UnmarshalText is called by kong.
func (s *seconds) UnmarshalText(text []byte) error {
	value, err := strconv.ParseFloat(string(text), 64)
	if err != nil {
		duration, err := time.ParseDuration(string(text))
		if err != nil {
			return fmt.Errorf("%q is no time: want seconds, or such as 90m or 1h30m", text)
		}
		value = duration.Seconds()
	}
	if value != math.Trunc(value) || value < 0 || value > math.MaxInt32 {
		return fmt.Errorf("%q must be whole seconds, 0 or more", text)
	}
	*s = seconds(value)
	return nil
}
