package launch

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.einride.tech/aip/resourcename"

	"github.com/trainyard/trainyard/services/training/internal/job"
	"github.com/trainyard/trainyard/services/training/recipe"
	"github.com/trainyard/trainyard/services/training/spec"
)

// takeOver finds the job to resume, if there is one, and gives the request what it leaves out.
func (l *Launcher) takeOver(ctx context.Context, project string, request *Request) (*job.Job, error) {
	const field = "training_job.resume_from"
	if request.ResumeFrom == "" {
		return nil, nil
	}
	var id string
	if err := resourcename.Sscan(request.ResumeFrom, "trainingJobs/{job}", &id); err != nil || hasControl(id) {
		return nil, &FieldError{Field: field, Message: fmt.Sprintf("%q must be a job's name, trainingJobs/ID.", shorten(request.ResumeFrom))}
	}
	earlier, err := l.Jobs.Get(ctx, project, id)
	if err != nil {
		return nil, err
	}
	if !earlier.State.Ended() {
		return nil, &NotEndedError{Name: request.ResumeFrom, State: earlier.State}
	}
	if earlier.CheckpointURI == "" || earlier.Attempts == 0 {
		return nil, &FieldError{Field: field, Message: request.ResumeFrom + " kept no checkpoints to go on from: start a new job instead."}
	}
	if err := l.Jobs.CheckpointsFree(ctx, earlier.CheckpointURI); err != nil {
		return nil, err
	}
	if request.Recipe == "" && request.Custom == nil {
		request.Custom = earlier.CustomImage
		if earlier.Recipe != "" {
			request.Recipe = job.RecipeName(earlier.Recipe)
		}
	}
	sameData := request.DatasetVersion == ""
	if sameData {
		request.DatasetVersion = earlier.DatasetVersion
		for _, v := range earlier.AdditionalVersions {
			request.Additional = append(request.Additional, v.Name)
		}
		for _, base := range earlier.BaseDatasets {
			request.BaseDatasets = append(request.BaseDatasets, job.BaseDatasetName(base))
		}
	}
	if request.Resources == (job.Resources{}) {
		request.Resources = earlier.Resources
	}
	parameters := maps.Clone(earlier.Parameters)
	if parameters == nil {
		parameters = recipe.Values{}
	}
	maps.Copy(parameters, request.Parameters)
	if request.Custom == nil {
		request.Parameters = parameters
	}
	if len(request.InputModes) == 0 && (sameData || request.Custom == nil) { // Other data may have other channels.
		request.InputModes = map[string]spec.Mode{}
		for channel, mode := range earlier.InputModes {
			request.InputModes[channel] = spec.Mode(mode)
		}
	}
	return earlier, nil
}

// continues tells whether a job can go on from an earlier one's checkpoints: of other data, classes or parameters they are of no use, which the training
// program would find out on the bill. A program of the user's own knows itself what it can go on from.
func continues(p *Plan, earlier *job.Job) error {
	j := p.Job
	refused := func(field, what, is, was string) error {
		return &FieldError{Field: "training_job." + field, Message: fmt.Sprintf(
			"A job that goes on from %s must have its %s: it is %s and was %s. Leave it out, or start anew without resume_from.", job.Name(earlier.ID), what, is, was)}
	}
	switch {
	case j.Recipe != earlier.Recipe:
		return refused("recipe", "recipe", cmp.Or(j.Recipe, "an image"), cmp.Or(earlier.Recipe, "an image"))
	case p.Recipe == nil:
		return nil
	case j.DatasetVersion != earlier.DatasetVersion || j.ManifestSHA256 != earlier.ManifestSHA256:
		return refused("dataset_version", "dataset version", j.DatasetVersion, earlier.DatasetVersion)
	case !slices.Equal(j.AdditionalVersions, earlier.AdditionalVersions):
		return refused("additional_dataset_versions", "dataset versions", versionNames(j), versionNames(earlier))
	case !slices.Equal(j.BaseDatasets, earlier.BaseDatasets):
		return refused("base_datasets", "base datasets", orNone(j.BaseDatasets), orNone(earlier.BaseDatasets))
	}
	for _, parameter := range p.Recipe.Parameters {
		is := j.Parameters[parameter.Name]
		was, known := earlier.Parameters[parameter.Name]
		if !known { // The recipe has got it since.
			was = parameter.Default
		}
		if !parameter.MayChange && is != was {
			return refused("parameters."+parameter.Name, "parameter "+parameter.Name, fmt.Sprint(is), fmt.Sprint(was))
		}
	}
	return nil
}

func versionNames(j *job.Job) string {
	names := make([]string, len(j.AdditionalVersions))
	for i, v := range j.AdditionalVersions {
		names[i] = v.Name
	}
	return orNone(names)
}

func orNone(names []string) string { return cmp.Or(strings.Join(names, ", "), "none") }

// NotEndedError tells that a job can't be resumed because it goes on.
type NotEndedError struct {
	Name  string
	State job.State
}

func (e *NotEndedError) Error() string {
	return fmt.Sprintf("%s is %s, and only a job that has ended can be resumed: stop it first, or wait.", e.Name, e.State)
}
