package launch

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker"

	ingestv1 "github.com/trainyard/trainyard/gen/trainyard/ingest/v1"
	"github.com/trainyard/trainyard/services/training/internal/estimate"
	"github.com/trainyard/trainyard/services/training/internal/job"
	"github.com/trainyard/trainyard/services/training/recipe"
	"github.com/trainyard/trainyard/services/training/spec"
)

// Plan is a job that could be made as it is: everything is checked, pinned and filled in, and nothing is stored.
type Plan struct {
	Job *job.Job
	// Input is what SageMaker would get.
	Input *sagemaker.CreateTrainingJobInput
	// Recipe is nil with an image of the user's own.
	Recipe *recipe.Recipe
	// Versions are the dataset versions, the main one first.
	Versions []*ingestv1.Version
	Bases    []Base

	expected estimate.Input
}

// plan makes the plan of a request for a region, which is the installation's unless somebody wants to know about another. It fails as Create does.
func (l *Launcher) plan(ctx context.Context, project string, request Request, region string) (*Plan, error) {
	earlier, err := l.takeOver(ctx, project, &request)
	if err != nil {
		return nil, err
	}
	p := &Plan{}
	if p.Recipe, err = l.program(&request); err != nil {
		return nil, err
	}
	j := &job.Job{
		ID: job.NewID(time.Now()), Project: project, RequestID: request.RequestID, Region: region,
		CustomImage: request.Custom, Image: l.Config.Image, Tags: request.Tags, OverrideChecks: request.OverrideChecks,
		Sweep: request.Sweep, Trial: request.Trial, Transitions: []job.Transition{}, Metrics: map[string]float64{},
	}
	p.Job = j
	if j.Parameters, err = parameters(p.Recipe, request.Parameters); err != nil {
		return nil, err
	}
	if j.Resources, err = l.resources(p.Recipe, request.Resources); err != nil {
		return nil, err
	}
	described := spec.Job{
		ID: j.ID, Project: project, Recipe: p.Recipe, InputModes: map[string]spec.Mode{},
		Resources: spec.Resources(j.Resources), Tags: j.Tags,
		Image: l.Config.Image, RoleARN: l.Config.RoleARN, Bucket: l.Config.Bucket, Region: region,
		Subnets: l.Config.Subnets, SecurityGroups: l.Config.SecurityGroups, Registries: l.Config.Registries,
	}
	maps.Copy(described.InputModes, request.InputModes)
	if p.Recipe != nil {
		j.Recipe = p.Recipe.ID
	} else {
		described.Custom, j.Image = customSpec(request.Custom), request.Custom.Image
	}
	if err := l.addVersions(ctx, p, &described, request); err != nil {
		return nil, err
	}
	if err := l.addBases(ctx, p, &described, request); err != nil {
		return nil, err
	}
	described.Parameters = j.Parameters
	if err := l.expect(ctx, p, &described); err != nil {
		return nil, err
	}
	j.CheckpointURI = fmt.Sprintf("s3://%s/checkpoints/%s/%s/", l.Config.Bucket, project, j.ID)
	if earlier != nil {
		if err := continues(p, earlier); err != nil {
			return nil, err
		}
		j.ResumeFrom, j.CheckpointURI = earlier.ID, earlier.CheckpointURI
	}
	described.CheckpointURI = j.CheckpointURI
	return p, l.build(p, described)
}

// build has the request made, and takes over what it chose.
func (l *Launcher) build(p *Plan, described spec.Job) error {
	j := p.Job
	input, hash, err := spec.Build(described)
	if err != nil {
		return err
	}
	if j.Spec, err = json.Marshal(input); err != nil {
		return err
	}
	p.Input, j.SpecHash, j.SageMakerName = input, hash, *input.TrainingJobName
	if _, local := spec.LocalStorageGB(j.Resources.InstanceType); !local { // Else there is no disk of that size.
		j.Resources.VolumeSizeGB = *input.ResourceConfig.VolumeSizeInGB
	}
	j.InputModes = map[string]string{}
	for _, channel := range input.InputDataConfig {
		if channel.DataSource.S3DataSource != nil {
			j.InputModes[aws.ToString(channel.ChannelName)] = string(channel.InputMode)
		}
	}
	if condition := input.StoppingCondition; condition.MaxWaitTimeInSeconds != nil {
		j.Resources.MaxWaitSeconds = *condition.MaxWaitTimeInSeconds
	}
	price := l.Prices.Hourly(j.Region, j.Resources.InstanceType)
	j.HourlyPrice, j.Currency = price.Amount, price.Currency
	j.Notes = append(j.Notes, spec.Warnings(input)...)
	return nil
}

func parameters(chosen *recipe.Recipe, given recipe.Values) (recipe.Values, error) {
	if chosen == nil {
		return recipe.Values{}, nil
	}
	return chosen.Resolve(given)
}

func customSpec(given *job.CustomImage) *spec.Custom {
	custom := &spec.Custom{
		Image: given.Image, Entrypoint: given.Entrypoint, Arguments: given.Arguments, Environment: given.Environment, Hyperparameters: given.Hyperparameters,
	}
	for _, m := range given.MetricDefinitions {
		custom.Metrics = append(custom.Metrics, recipe.Metric{Name: m.Name, Regex: m.Regex})
	}
	return custom
}

// resources fills in what the user left out.
func (l *Launcher) resources(chosen *recipe.Recipe, given job.Resources) (job.Resources, error) {
	r := given
	if r.InstanceType == "" {
		r.InstanceType = l.InstanceType(chosen)
	}
	if err := spec.CheckInstanceType(r.InstanceType); err != nil {
		return r, &FieldError{Field: "training_job.resources.instance_type", Message: "The " + err.Error() + "."}
	}
	if r.InstanceCount == 0 {
		r.InstanceCount = 1
	}
	if r.MaxRuntimeSeconds == 0 {
		r.MaxRuntimeSeconds = l.Config.MaxRuntimeSeconds
		if r.MaxWaitSeconds > 0 { // Who says how long to wait means the whole.
			r.MaxRuntimeSeconds = min(r.MaxRuntimeSeconds, r.MaxWaitSeconds)
		}
	}
	if _, local := spec.LocalStorageGB(r.InstanceType); r.VolumeKMSKey == "" && !local { // Disks of the machine's own take no key.
		r.VolumeKMSKey = l.Config.VolumeKMSKey
	}
	if r.OutputKMSKey == "" {
		r.OutputKMSKey = l.Config.OutputKMSKey
	}
	return r, nil
}

// defaultInstanceType is the machine of an image of the user's own, where neither job nor operator names one.
const defaultInstanceType = "ml.m5.xlarge"

// InstanceType is the machine of jobs that name none; chosen is nil with an image of the user's own.
func (l *Launcher) InstanceType(chosen *recipe.Recipe) string {
	switch {
	case l.Config.InstanceType != "":
		return l.Config.InstanceType
	case chosen != nil:
		return chosen.DefaultInstanceType
	}
	return defaultInstanceType
}

// addVersions finds the dataset versions, pins them and describes them to the builder.
func (l *Launcher) addVersions(ctx context.Context, p *Plan, described *spec.Job, request Request) error {
	for i, name := range append([]string{request.DatasetVersion}, request.Additional...) {
		field := "training_job.dataset_version"
		if i > 0 {
			field = fmt.Sprintf("training_job.additional_dataset_versions[%d]", i-1)
		}
		version, err := l.Ready(ctx, p.Job.Project, name, field)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(p.Versions, func(other *ingestv1.Version) bool { return other.GetName() == version.GetName() }) {
			return &FieldError{Field: field, Message: fmt.Sprintf("%s is given twice: leave it out once.", version.GetName())}
		}
		dataset, err := l.dataset(ctx, p.Recipe, version, field)
		if err != nil {
			return err
		}
		p.Versions = append(p.Versions, version)
		if i == 0 {
			p.Job.DatasetVersion, p.Job.ManifestSHA256, p.Job.Labels = version.GetName(), version.GetManifestSha256(), dataset.Labels
			described.Dataset = dataset
			continue
		}
		if err := joins(p.Recipe, described.Dataset, dataset, version.GetName(), field); err != nil {
			return err
		}
		p.Job.AdditionalVersions = append(p.Job.AdditionalVersions, job.PinnedVersion{Name: version.GetName(), ManifestSHA256: version.GetManifestSha256()})
		dataset.DownloadBytes, dataset.ValidationBytes = splitBytes(version, spec.TrainChannel), 0
		described.Additional = append(described.Additional, dataset)
	}
	return nil
}

// dataset describes a version to the builder, if the program can read it. A program of the user's own reads what it likes.
func (l *Launcher) dataset(ctx context.Context, chosen *recipe.Recipe, version *ingestv1.Version, field string) (spec.Dataset, error) {
	d := spec.Dataset{
		URI: version.GetUri(), TFDSName: version.GetTfdsName(), Labels: make([]string, len(version.GetClasses())),
		DownloadBytes: splitBytes(version, spec.TrainChannel, spec.ValidationChannel), ValidationBytes: splitBytes(version, spec.ValidationChannel),
	}
	for _, split := range version.GetSplits() {
		if split.GetName() == spec.TrainChannel {
			d.TrainShards = split.GetShardCount()
		}
	}
	for i, class := range version.GetClasses() {
		d.Labels[i] = class.GetName()
	}
	if err := complete(version, field); err != nil {
		return d, err
	}
	var err error
	if chosen == nil {
		d.Inputs, err = l.labelFeature(ctx, version, field)
		return d, err
	}
	if err := readable(version, chosen, field); err != nil {
		return d, err
	}
	d.Inputs, err = l.inputs(ctx, version, chosen, field)
	return d, err
}

// joins tells whether another version's examples can be trained on beside the main one's.
func joins(chosen *recipe.Recipe, main, other spec.Dataset, name, field string) error {
	if chosen == nil {
		return nil
	}
	if !slices.ContainsFunc(other.Labels, func(label string) bool { return slices.Contains(main.Labels, label) }) {
		return &FieldError{Field: field, Message: fmt.Sprintf(
			"%s shares no class with the dataset: its classes are %s, the dataset's are %s. Rename the classes to match, or leave it out.",
			name, listed(other.Labels), listed(main.Labels))}
	}
	if !maps.Equal(main.Inputs, other.Inputs) {
		return &FieldError{Field: field, Message: fmt.Sprintf(
			"The features of %s that recipes/%s reads have other names than the dataset's: upload it again with the same names.", name, chosen.ID)}
	}
	return nil
}

// splitBytes sums the sizes of splits.
func splitBytes(v *ingestv1.Version, splits ...string) int64 {
	var sum int64
	for _, s := range v.GetSplits() {
		if slices.Contains(splits, s.GetName()) {
			sum += s.GetSizeBytes()
		}
	}
	return sum
}
