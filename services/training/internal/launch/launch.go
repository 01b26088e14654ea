// Package launch turns a request into a stored job: it checks everything that can be known before, pins the dataset version,
// fills defaults in and writes down the very request that SageMaker will get.
package launch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.einride.tech/aip/resourcename"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	ingestv1 "github.com/trainyard/trainyard/gen/trainyard/ingest/v1"
	"github.com/trainyard/trainyard/services/internal/auth"
	"github.com/trainyard/trainyard/services/training/internal/basedataset"
	"github.com/trainyard/trainyard/services/training/internal/job"
	"github.com/trainyard/trainyard/services/training/recipe"
	"github.com/trainyard/trainyard/services/training/spec"
)

// Ingest is what is used of the ingest service.
type Ingest interface {
	GetVersion(context.Context, *ingestv1.GetVersionRequest, ...grpc.CallOption) (*ingestv1.GetVersionResponse, error)
}

// Config is what every job has in common.
type Config struct {
	Image             string
	RoleARN           string
	Bucket            string
	Subnets           []string
	SecurityGroups    []string
	InstanceType      string // For jobs that name none; empty means the recipe's.
	MaxRuntimeSeconds int32  // For jobs that name none.
}

// Launcher makes jobs.
type Launcher struct {
	Config       Config
	Jobs         *job.Store
	Ingest       Ingest
	S3           S3
	Recipes      recipe.Catalogue
	BaseDatasets basedataset.List
}

// Request is a job to make; zero values mean defaults. Names are resource names.
type Request struct {
	RequestID      string
	Recipe         string
	DatasetVersion string
	BaseDatasets   []string
	Parameters     recipe.Values
	Resources      job.Resources
}

// FieldError tells that a field of the request can't be.
type FieldError struct {
	Field   string
	Message string
}

func (e *FieldError) Error() string { return e.Message }

// NotReadyError tells that a dataset version can't be trained on in the state it is in.
type NotReadyError struct {
	Name  string
	State string
}

func (e *NotReadyError) Error() string {
	switch e.State {
	case ingestv1.Version_FAILED.String(), ingestv1.Version_EXPIRED.String(), ingestv1.Version_ABORTED.String():
		return fmt.Sprintf("%s is %s and will not become READY: upload the data again as a new version.", e.Name, e.State)
	}
	return fmt.Sprintf("%s is %s, and only a READY version can be trained on: wait until its conversion has ended.", e.Name, e.State)
}

// UnavailableError tells that the ingest service or S3 didn't answer.
type UnavailableError struct{ Cause error }

func (e *UnavailableError) Error() string { return e.Cause.Error() }

func (e *UnavailableError) Unwrap() error { return e.Cause }

var requestID = regexp.MustCompile(`^[ -~]{0,64}$`)

// Create makes a job, QUEUED. A request id that a job of the project was made with gives that job. It fails with a
// FieldError, NotReadyError, UnavailableError, spec.Error or job.NotFoundError, or with one of package recipe's.
func (l *Launcher) Create(ctx context.Context, project string, request Request) (*job.Job, error) {
	if !requestID.MatchString(request.RequestID) {
		return nil, &FieldError{Field: "request_id", Message: "request_id must be up to 64 printable ASCII characters, such as a UUID."}
	}
	if request.RequestID != "" {
		if earlier, err := l.Jobs.ByRequest(ctx, project, request.RequestID); err != nil || earlier != nil {
			return earlier, err
		}
	}
	chosen, err := l.recipe(request.Recipe)
	if err != nil {
		return nil, err
	}
	parameters, err := chosen.Resolve(request.Parameters)
	if err != nil {
		return nil, err
	}
	resources, err := l.resources(chosen, request.Resources)
	if err != nil {
		return nil, err
	}
	bases, err := l.baseDatasets(request.BaseDatasets)
	if err != nil {
		return nil, err
	}
	version, err := l.version(ctx, project, request.DatasetVersion)
	if err != nil {
		return nil, err
	}
	if err := readable(version, chosen); err != nil {
		return nil, err
	}
	labels := make([]string, len(version.GetClasses()))
	for i, class := range version.GetClasses() {
		labels[i] = class.GetName()
	}
	if err := checkShared(bases, labels); err != nil {
		return nil, err
	}

	inputs, err := l.inputs(ctx, version, chosen)
	if err != nil {
		return nil, err
	}

	id := job.NewID(time.Now())
	described := spec.Job{
		ID: id, Project: project, Recipe: chosen, Parameters: parameters,
		Dataset: spec.Dataset{
			URI: version.GetUri(), TFDSName: version.GetTfdsName(), Labels: labels, Inputs: inputs, DownloadBytes: downloadBytes(version),
		},
		Resources: spec.Resources(resources),
		Image:     l.Config.Image, RoleARN: l.Config.RoleARN, Bucket: l.Config.Bucket,
		Subnets: l.Config.Subnets, SecurityGroups: l.Config.SecurityGroups,
	}
	baseIDs := make([]string, len(bases))
	for i, b := range bases {
		baseIDs[i] = b.ID
		described.Bases = append(described.Bases, spec.Base{ID: b.ID, Source: b.Source()})
	}
	input, hash, err := spec.Build(described)
	if err != nil {
		return nil, err
	}
	encoded, err := json.Marshal(input)
	if err != nil {
		return nil, err
	}
	resources.VolumeSizeGB = *input.ResourceConfig.VolumeSizeInGB
	return l.Jobs.Insert(ctx, &job.Job{
		ID: id, Project: project, RequestID: request.RequestID,
		Recipe: chosen.ID, DatasetVersion: version.GetName(), ManifestSHA256: version.GetManifestSha256(), BaseDatasets: baseIDs,
		Parameters: parameters, Labels: labels, Resources: resources, Image: l.Config.Image,
		Spec: encoded, SpecHash: hash, SageMakerName: *input.TrainingJobName,
		Transitions: []job.Transition{}, Metrics: map[string]float64{},
	})
}

func (l *Launcher) recipe(name string) (*recipe.Recipe, error) {
	var id string
	if err := resourcename.Sscan(name, "recipes/{recipe}", &id); err == nil {
		if chosen := l.Recipes.Find(id); chosen != nil {
			return chosen, nil
		}
	}
	return nil, &FieldError{Field: "training_job.recipe", Message: fmt.Sprintf(
		"There is no recipe %q: use one of recipes/%s.", shorten(name), strings.Join(l.Recipes.IDs(), ", recipes/"))}
}

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
	}
	return r, nil
}

// InstanceType is the machine of a recipe's jobs that name none.
func (l *Launcher) InstanceType(r *recipe.Recipe) string {
	if l.Config.InstanceType != "" {
		return l.Config.InstanceType
	}
	return r.DefaultInstanceType
}

func (l *Launcher) baseDatasets(names []string) (basedataset.List, error) {
	var bases basedataset.List
	for i, name := range names {
		var id string
		var base *basedataset.BaseDataset
		if err := resourcename.Sscan(name, "baseDatasets/{base}", &id); err == nil {
			base = l.BaseDatasets.Find(id)
		}
		if base == nil {
			known := "the operator has set up none"
			if len(l.BaseDatasets) > 0 {
				ids := make([]string, len(l.BaseDatasets))
				for i, b := range l.BaseDatasets {
					ids[i] = job.BaseDatasetName(b.ID)
				}
				known = "use one of " + strings.Join(ids, ", ")
			}
			return nil, &FieldError{
				Field:   fmt.Sprintf("training_job.base_datasets[%d]", i),
				Message: fmt.Sprintf("There is no base dataset %q: %s.", shorten(name), known),
			}
		}
		bases = append(bases, base)
	}
	return bases, nil
}

// checkShared refuses base datasets of which no class is the user's: they would be downloaded and not used.
func checkShared(bases basedataset.List, labels []string) error {
	for i, b := range bases {
		shared := len(b.Labels) == 0 || slices.ContainsFunc(b.Labels, func(label string) bool { return slices.Contains(labels, label) })
		if !shared {
			return &FieldError{Field: fmt.Sprintf("training_job.base_datasets[%d]", i), Message: fmt.Sprintf(
				"%s shares no class with the dataset: its classes are %s, the dataset's are %s. Rename the class folders to match, or leave it out.",
				job.BaseDatasetName(b.ID), listed(b.Labels), listed(labels))}
		}
	}
	return nil
}

func listed(names []string) string {
	if len(names) > 5 {
		return strings.Join(names[:5], ", ") + ", …"
	}
	return strings.Join(names, ", ")
}

// version finds the READY version that a name means: a version, or a dataset's newest READY one.
func (l *Launcher) version(ctx context.Context, project, name string) (*ingestv1.Version, error) {
	ctx = auth.ForProject(ctx, project)
	var dataset, number string
	if resourcename.Sscan(name, "datasets/{dataset}/versions/{version}", &dataset, &number) == nil {
		version, err := l.getVersion(ctx, dataset, number)
		if errors.Is(err, errNoVersion) {
			return nil, &job.NotFoundError{Name: name}
		}
		if err != nil {
			return nil, err
		}
		return usable(version)
	}
	if resourcename.Sscan(name, "datasets/{dataset}", &dataset) != nil {
		return nil, &FieldError{Field: "training_job.dataset_version", Message: fmt.Sprintf(
			"The dataset version %q must be datasets/NAME/versions/NUMBER, or datasets/NAME for its newest READY version.", shorten(name))}
	}
	version, err := l.getVersion(ctx, dataset, "latest-ready")
	if errors.Is(err, errNoVersion) {
		// Is there no such dataset, or is none of its versions READY?
		version, err = l.getVersion(ctx, dataset, "latest")
	}
	if errors.Is(err, errNoVersion) {
		return nil, &job.NotFoundError{Name: name}
	}
	if err != nil {
		return nil, err
	}
	return usable(version)
}

// errNoVersion says that ingest has no such dataset or version in the project.
var errNoVersion = errors.New("no such version")

func (l *Launcher) getVersion(ctx context.Context, dataset, number string) (*ingestv1.Version, error) {
	response, err := l.Ingest.GetVersion(ctx, &ingestv1.GetVersionRequest{Name: resourcename.Join("datasets/"+dataset, "versions/"+number)})
	switch status.Code(err) {
	case codes.OK:
		return response.GetVersion(), nil
	case codes.NotFound, codes.InvalidArgument: // A name that breaks ingest's rules names nothing.
		return nil, errNoVersion
	case codes.Unavailable, codes.DeadlineExceeded, codes.ResourceExhausted:
		return nil, &UnavailableError{Cause: fmt.Errorf("ingest: %w", err)}
	}
	return nil, fmt.Errorf("ingest: %w", err)
}

// usable tells whether a version can be trained on: READY, with two classes and both splits.
func usable(v *ingestv1.Version) (*ingestv1.Version, error) {
	if v.GetState() != ingestv1.Version_READY {
		return nil, &NotReadyError{Name: v.GetName(), State: v.GetState().String()}
	}
	for _, split := range []string{spec.TrainChannel, spec.ValidationChannel} {
		i := slices.IndexFunc(v.GetSplits(), func(s *ingestv1.Split) bool { return s.GetName() == split })
		if i < 0 || v.GetSplits()[i].GetExampleCount() == 0 {
			return nil, &FieldError{Field: "training_job.dataset_version", Message: fmt.Sprintf(
				"%s has no examples in its %s split, which a training needs: upload it again with more examples or other split fractions.", v.GetName(), split)}
		}
	}
	if n := len(v.GetClasses()); n < 2 {
		return nil, &FieldError{Field: "training_job.dataset_version", Message: fmt.Sprintf(
			"%s has %d classes, and it takes two to tell apart: upload a dataset with more.", v.GetName(), n)}
	}
	return v, nil
}

// readable tells whether a recipe's trainer reads what a version's examples hold.
func readable(v *ingestv1.Version, chosen *recipe.Recipe) error {
	if format := v.GetFormat(); format != "" && !slices.Contains(chosen.Formats, format) {
		return &FieldError{Field: "training_job.dataset_version", Message: fmt.Sprintf(
			"%s was read as %s, and recipes/%s trains on examples of an image and its class, as %s have them: choose another dataset, or upload this one in one of these formats.",
			v.GetName(), format, chosen.ID, strings.Join(chosen.Formats, ", "))}
	}
	if v.GetConversion().GetCompression() == ingestv1.ConversionOptions_GZIP {
		return &FieldError{Field: "training_job.dataset_version", Message: fmt.Sprintf(
			"%s has compressed shards, which recipes/%s doesn't read: upload it again without compression.", v.GetName(), chosen.ID)}
	}
	return nil
}

func downloadBytes(v *ingestv1.Version) int64 {
	var sum int64
	for _, s := range v.GetSplits() {
		if s.GetName() == spec.TrainChannel || s.GetName() == spec.ValidationChannel {
			sum += s.GetSizeBytes()
		}
	}
	return sum
}

// shorten keeps what a user sent from filling an error.
func shorten(text string) string {
	if runes := []rune(text); len(runes) > 80 {
		return string(runes[:79]) + "…"
	}
	return text
}
