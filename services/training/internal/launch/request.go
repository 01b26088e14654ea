package launch

import (
	"fmt"
	"strings"

	"go.einride.tech/aip/resourcename"

	trainingv1 "github.com/trainyard/trainyard/gen/trainyard/training/v1"
	"github.com/trainyard/trainyard/services/training/internal/job"
	"github.com/trainyard/trainyard/services/training/recipe"
	"github.com/trainyard/trainyard/services/training/spec"
)

// Request is a job to make; zero values mean defaults. Names are resource names.
type Request struct {
	RequestID      string
	Recipe         string
	Custom         *job.CustomImage
	DatasetVersion string
	Additional     []string
	BaseDatasets   []string
	Parameters     recipe.Values
	Resources      job.Resources
	InputModes     map[string]spec.Mode
	Tags           map[string]string
	ResumeFrom     string
	OverrideChecks []string
	// Sweep and Trial are set for the jobs of a sweep.
	Sweep string
	Trial int64
}

var modes = map[trainingv1.InputMode]spec.Mode{
	trainingv1.InputMode_FILE: spec.File, trainingv1.InputMode_FAST_FILE: spec.FastFile, trainingv1.InputMode_PIPE: spec.Pipe,
}

// FromProto reads a job as the API gets it. What the API gives out only is not looked at.
func FromProto(asked *trainingv1.TrainingJob) Request {
	r := Request{
		Recipe:         asked.GetRecipe(),
		DatasetVersion: asked.GetDatasetVersion(),
		Additional:     asked.GetAdditionalDatasetVersions(),
		BaseDatasets:   asked.GetBaseDatasets(),
		Parameters:     make(recipe.Values, len(asked.GetParameters())),
		InputModes:     make(map[string]spec.Mode, len(asked.GetInputModes())),
		Tags:           asked.GetTags(),
		ResumeFrom:     asked.GetResumeFrom(),
		OverrideChecks: asked.GetOverrideChecks(),
	}
	for name, value := range asked.GetParameters() {
		r.Parameters[name] = value.AsInterface()
	}
	for channel, mode := range asked.GetInputModes() {
		r.InputModes[channel] = modes[mode]
	}
	if given := asked.GetResources(); given != nil {
		r.Resources = job.Resources{
			InstanceType: given.GetInstanceType(), InstanceCount: given.GetInstanceCount(), VolumeSizeGB: given.GetVolumeSizeGb(),
			MaxRuntimeSeconds: given.GetMaxRuntimeSeconds(), Spot: given.GetSpot(), MaxWaitSeconds: given.GetMaxWaitSeconds(),
			KeepAliveSeconds: given.GetKeepAliveSeconds(), MaxRetries: given.GetMaxRetries(), NetworkIsolation: given.GetNetworkIsolation(),
			InVPC: given.GetInVpc(), EncryptTraffic: given.GetEncryptTraffic(), VolumeKMSKey: given.GetVolumeKmsKey(),
			OutputKMSKey: given.GetOutputKmsKey(), Sharded: given.GetDistribution() == trainingv1.Resources_SHARDED,
		}
	}
	if given := asked.GetCustomImage(); given != nil {
		r.Custom = &job.CustomImage{
			Image: given.GetImage(), Entrypoint: given.GetEntrypoint(), Arguments: given.GetArguments(),
			Environment: given.GetEnvironment(), Hyperparameters: given.GetHyperparameters(),
		}
		for _, m := range given.GetMetricDefinitions() {
			r.Custom.MetricDefinitions = append(r.Custom.MetricDefinitions, job.MetricDefinition{Name: m.GetName(), Regex: m.GetRegex()})
		}
	}
	return r
}

// program finds what the request trains with: a recipe, or else an image of the user's own.
func (l *Launcher) program(request *Request) (*recipe.Recipe, error) {
	switch {
	case request.Recipe != "" && request.Custom != nil:
		return nil, &FieldError{Field: "training_job.custom_image", Message: "A job has a recipe or an image of its own, not both: leave out one of recipe and custom_image."}
	case request.Custom != nil && hasControl(request.Custom.Image):
		return nil, &FieldError{Field: "training_job.custom_image.image", Message: fmt.Sprintf("%q can't be an image: it has control characters.", shorten(request.Custom.Image))}
	case request.Custom != nil:
		if len(request.Parameters) > 0 {
			return nil, &FieldError{
				Field:   "training_job.parameters",
				Message: "parameters belong to recipes: an image of one's own gets what stands in custom_image.hyperparameters.",
			}
		}
		return nil, nil
	}
	var id string
	if err := resourcename.Sscan(request.Recipe, "recipes/{recipe}", &id); err == nil {
		if chosen := l.Recipes.Find(id); chosen != nil {
			return chosen, nil
		}
	}
	known := "recipes/" + strings.Join(l.Recipes.IDs(), ", recipes/")
	if request.Recipe == "" {
		return nil, &FieldError{Field: "training_job.recipe", Message: "The job needs a recipe or an image of its own: set recipe to one of " + known + ", or custom_image."}
	}
	return nil, &FieldError{Field: "training_job.recipe", Message: fmt.Sprintf("There is no recipe %q: use one of %s.", shorten(request.Recipe), known)}
}
