// Package job holds training jobs and models: what they are, how they are shown, and how they are stored.
package job

import (
	"crypto/rand"
	"encoding/json"
	"time"

	"github.com/uptrace/bun"

	errorsv1 "github.com/trainyard/trainyard/gen/trainyard/errors/v1"
	"github.com/trainyard/trainyard/services/training/recipe"
)

// State is where a job stands; the names are those of TrainingJob.State.
type State string

// The states of a job.
const (
	Queued    State = "QUEUED"
	Running   State = "RUNNING"
	Stopping  State = "STOPPING"
	Succeeded State = "SUCCEEDED"
	Failed    State = "FAILED"
	Stopped   State = "STOPPED"
)

// Ended tells whether nothing can happen to the job any more.
func (s State) Ended() bool { return s == Succeeded || s == Failed || s == Stopped }

// open are the states that something can still happen in.
var open = []State{Queued, Running, Stopping}

// Job is a training job as it is stored. Times are microseconds since the Unix epoch, 0 meaning not yet.
type Job struct {
	bun.BaseModel `bun:"table:training_jobs,alias:job"`

	ID             string        `bun:"id,pk"`
	Project        string        `bun:"project"`
	RequestID      string        `bun:"request_id,nullzero"`
	State          State         `bun:"state"`
	Fence          int64         `bun:"fence"`
	Recipe         string        `bun:"recipe"`          // Id.
	DatasetVersion string        `bun:"dataset_version"` // Resource name.
	ManifestSHA256 string        `bun:"manifest_sha256"`
	BaseDatasets   []string      `bun:"base_datasets"` // Ids.
	Parameters     recipe.Values `bun:"parameters"`
	Labels         []string      `bun:"labels"`
	Resources      Resources     `bun:"resources"`
	Image          string        `bun:"image"`
	// Spec is the whole CreateTrainingJob request, so that a restart sends the very same one.
	Spec     json.RawMessage `bun:"spec"`
	SpecHash string          `bun:"spec_hash"`

	SageMakerName string `bun:"sagemaker_name"`
	// SageMakerARN is set once SageMaker has the job.
	SageMakerARN string `bun:"sagemaker_arn"`
	// Attempts counts the calls of CreateTrainingJob that were begun. While it is 0 SageMaker can't have the job.
	Attempts        int64        `bun:"attempts"`
	SecondaryStatus string       `bun:"secondary_status"`
	Transitions     []Transition `bun:"transitions"`
	BillableSeconds *int64       `bun:"billable_seconds"`
	StartTime       int64        `bun:"start_time"`
	EndTime         int64        `bun:"end_time"`

	Metrics    map[string]float64 `bun:"metrics"`
	PointCount int64              `bun:"point_count"`
	Epoch      float64            `bun:"epoch"`
	LogCursor  string             `bun:"log_cursor"`

	Failure    *Failure `bun:"failure,nullzero"`
	HasModel   bool     `bun:"has_model"`
	CreateTime int64    `bun:"create_time"`
	UpdateTime int64    `bun:"update_time"`

	NextAt     int64  `bun:"next_at"`
	DescribeAt int64  `bun:"describe_at"`
	Hints      int64  `bun:"hints"`
	HintsSeen  int64  `bun:"hints_seen"`
	Lease      string `bun:"lease"`
	LeaseUntil int64  `bun:"lease_until"`
	Troubles   int64  `bun:"troubles"`
}

// Resources is the machine a job runs on.
type Resources struct {
	InstanceType      string `json:"instance_type"`
	InstanceCount     int32  `json:"instance_count"`
	VolumeSizeGB      int32  `json:"volume_size_gb"`
	MaxRuntimeSeconds int32  `json:"max_runtime_seconds"`
}

// Failure is why a job FAILED.
type Failure struct {
	Reason   errorsv1.ErrorReason `json:"reason"`
	Message  string               `json:"message"`
	Metadata map[string]string    `json:"metadata,omitempty"`
}

// Point is a metric's value at a moment.
type Point struct {
	bun.BaseModel `bun:"table:metric_points"`

	JobID  string  `bun:"job_id,pk"`
	Number int64   `bun:"number,pk"`
	Name   string  `bun:"name"`
	Value  float64 `bun:"value"`
	Epoch  float64 `bun:"epoch"`
	Time   int64   `bun:"time"`
}

// Model is a trained model. It bears its job's id; its lineage is the job's.
type Model struct {
	bun.BaseModel `bun:"table:models,alias:model"`

	ID          string             `bun:"id,pk"`
	Project     string             `bun:"project"`
	ArtifactURI string             `bun:"artifact_uri"`
	SizeBytes   int64              `bun:"size_bytes"`
	SHA256      string             `bun:"sha256"`
	Metrics     map[string]float64 `bun:"metrics"`
	Evaluation  string             `bun:"evaluation"`
	Labels      []string           `bun:"labels"`
	CreateTime  int64              `bun:"create_time"`

	Job *Job `bun:"rel:belongs-to,join:id=id"`
}

// NewID makes a job's id: 16 letters and digits, the first 9 of them the time in milliseconds, so that ids sort by it. It
// fits into SageMaker's job names with our prefix.
func NewID(now time.Time) string {
	const alphabet = "0123456789abcdefghjkmnpqrstvwxyz" // Crockford's base 32: nothing that looks like something else.
	var id [16]byte
	millis := now.UnixMilli()
	for i := 8; i >= 0; i-- {
		id[i] = alphabet[millis&31]
		millis >>= 5
	}
	_, _ = rand.Read(id[9:]) // Never fails.
	for i := 9; i < len(id); i++ {
		id[i] = alphabet[id[i]&31]
	}
	return string(id[:])
}
