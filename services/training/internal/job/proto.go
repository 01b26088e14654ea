package job

import (
	"encoding/json"
	"fmt"
	"math"
	"time"

	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	errorsv1 "github.com/trainyard/trainyard/gen/trainyard/errors/v1"
	trainingv1 "github.com/trainyard/trainyard/gen/trainyard/training/v1"
	"github.com/trainyard/trainyard/services/internal/store"
)

// Name is a job's resource name.
func Name(id string) string { return "trainingJobs/" + id }

// ModelName is a model's resource name.
func ModelName(id string) string { return "models/" + id }

// RecipeName is a recipe's resource name.
func RecipeName(id string) string { return "recipes/" + id }

// BaseDatasetName is a base dataset's resource name.
func BaseDatasetName(id string) string { return "baseDatasets/" + id }

// SweepName is a sweep's resource name.
func SweepName(id string) string { return "sweeps/" + id }

// ProtoWithChecks is the job as the API shows it alone, with what preflight found.
func (j *Job) ProtoWithChecks(now time.Time) (*trainingv1.TrainingJob, error) {
	p, err := j.Proto(now)
	if err == nil {
		p.Preflight = ChecksProto(j.Preflight)
	}
	return p, err
}

// Proto is the job as lists and events show it: without what preflight found, which never changes and is most of a job. What goes on is measured up to
// now.
func (j *Job) Proto(now time.Time) (*trainingv1.TrainingJob, error) {
	parameters, err := ParameterValues(j.Parameters)
	if err != nil {
		return nil, fmt.Errorf("job %s: %w", j.ID, err)
	}
	ledger := j.Ledger(now)
	p := &trainingv1.TrainingJob{
		Name:                      Name(j.ID),
		State:                     trainingv1.TrainingJob_State(trainingv1.TrainingJob_State_value[string(j.State)]),
		SecondaryStatus:           j.SecondaryStatus,
		DatasetVersion:            j.DatasetVersion,
		AdditionalDatasetVersions: versionNames(j.AdditionalVersions),
		BaseDatasets:              baseDatasetNames(j.BaseDatasets),
		ResolvedBaseDatasets:      resolvedBases(j.ResolvedBases),
		CustomImage:               j.CustomImage.proto(),
		Image:                     j.Image,
		Parameters:                parameters,
		InputModes:                inputModes(j.InputModes),
		Tags:                      j.Tags,
		Resources:                 j.Resources.proto(),
		Region:                    j.Region,
		OverrideChecks:            j.OverrideChecks,
		Notes:                     j.Notes,
		Failure:                   j.Failure.Proto(),
		Ledger:                    ledger.Proto(),
		Estimate:                  j.estimateProto(),
		BilledSeconds:             int32(min(ledger.BilledSeconds, math.MaxInt32)), //nolint:gosec // It fits now.
		Metrics:                   j.Metrics,
		SagemakerJobName:          j.SageMakerName,
		CreateTime:                Timestamp(j.CreateTime),
		StartTime:                 Timestamp(j.StartTime),
		EndTime:                   Timestamp(j.EndTime),
		UpdateTime:                Timestamp(j.UpdateTime),
	}
	if j.Recipe != "" {
		p.Recipe = RecipeName(j.Recipe)
	}
	if j.ResumeFrom != "" {
		p.ResumeFrom = Name(j.ResumeFrom)
	}
	if j.Sweep != "" {
		p.Sweep = SweepName(j.Sweep)
	}
	for _, phase := range j.Phases(now) {
		p.Phases = append(p.Phases, &trainingv1.Phase{
			Name: phase.Name, Seconds: phase.Seconds, StartTime: Timestamp(phase.Start), EndTime: Timestamp(phase.End),
		})
	}
	if j.HasModel {
		p.Model = ModelName(j.ID)
	}
	return p, nil
}

// Proto is the failure as the API shows it.
func (f *Failure) Proto() *errorsv1.Failure {
	if f == nil {
		return nil
	}
	return &errorsv1.Failure{Reason: f.Reason, Message: f.Message, Metadata: f.Metadata}
}

// Proto is the model as the API shows it. Its Job must be there.
func (m *Model) Proto() (*trainingv1.Model, error) {
	parameters, err := ParameterValues(m.Job.Parameters)
	if err != nil {
		return nil, fmt.Errorf("model %s: %w", m.ID, err)
	}
	p := &trainingv1.Model{
		Name:        ModelName(m.ID),
		TrainingJob: Name(m.ID),
		ArtifactUri: m.ArtifactURI,
		SizeBytes:   m.SizeBytes,
		Sha256:      m.SHA256,
		Metrics:     m.Metrics,
		Labels:      m.Labels,
		Lineage: &trainingv1.Lineage{
			DatasetVersion: m.Job.DatasetVersion,
			ManifestSha256: m.Job.ManifestSHA256,
			BaseDatasets:   baseDatasetNames(m.Job.BaseDatasets),
			Parameters:     parameters,
			Image:          m.Job.Image,
			Region:         m.Job.Region,

			ResolvedBaseDatasets: resolvedBases(m.Job.ResolvedBases),
		},
		CreateTime: Timestamp(m.CreateTime),
	}
	if m.Job.Recipe != "" {
		p.Lineage.Recipe = RecipeName(m.Job.Recipe)
	}
	if m.Job.ResumeFrom != "" {
		p.Lineage.ResumeFrom = Name(m.Job.ResumeFrom)
	}
	for _, v := range m.Job.AdditionalVersions {
		p.Lineage.AdditionalDatasetVersions = append(p.Lineage.AdditionalDatasetVersions, &trainingv1.PinnedVersion{Name: v.Name, ManifestSha256: v.ManifestSHA256})
	}
	if m.Evaluation != "" {
		p.Evaluation = new(structpb.Struct)
		if err := json.Unmarshal([]byte(m.Evaluation), p.Evaluation); err != nil {
			return nil, fmt.Errorf("model %s: evaluation: %w", m.ID, err)
		}
	}
	return p, nil
}

// Proto is the point as the API shows it.
func (p *Point) Proto() *trainingv1.MetricPoint {
	return &trainingv1.MetricPoint{Name: p.Name, Value: p.Value, Epoch: p.Epoch, Step: p.Step, Time: Timestamp(p.Time)}
}

// ParameterValues are parameters as the API shows them.
func ParameterValues(values map[string]any) (map[string]*structpb.Value, error) {
	converted := make(map[string]*structpb.Value, len(values))
	for name, value := range values {
		v, err := structpb.NewValue(value)
		if err != nil {
			return nil, fmt.Errorf("parameter %s: %w", name, err)
		}
		converted[name] = v
	}
	return converted, nil
}

func baseDatasetNames(ids []string) []string {
	names := make([]string, len(ids))
	for i, id := range ids {
		names[i] = BaseDatasetName(id)
	}
	return names
}

// Timestamp is a column's time as the API shows it; 0 is none.
func Timestamp(micros int64) *timestamppb.Timestamp {
	if micros == 0 {
		return nil
	}
	return timestamppb.New(store.Time(micros))
}
