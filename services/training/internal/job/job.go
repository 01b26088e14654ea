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
	Region         string        `bun:"region"`
	// CustomImage is set instead of Recipe.
	CustomImage        *CustomImage      `bun:"custom_image,nullzero"`
	AdditionalVersions []PinnedVersion   `bun:"additional_versions"`
	InputModes         map[string]string `bun:"input_modes"` // File, FastFile or Pipe, by channel.
	Tags               map[string]string `bun:"tags"`
	ResolvedBases      []ResolvedBase    `bun:"resolved_bases"` // In the order of BaseDatasets.
	Notes              []string          `bun:"notes"`
	ResumeFrom         string            `bun:"resume_from"` // Id.
	CheckpointURI      string            `bun:"checkpoint_uri"`
	OverrideChecks     []string          `bun:"override_checks"`
	Preflight          []CheckResult     `bun:"preflight"`
	Estimate           *Estimate         `bun:"estimate,nullzero"`
	Sweep              string            `bun:"sweep"` // Id.
	Trial              int64             `bun:"trial"` // From 1.
	// HourlyPrice is an instance's on demand when the job was made, in Currency; 0 if it isn't known.
	HourlyPrice float64 `bun:"hourly_price"`
	Currency    string  `bun:"currency"`
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
	TrainingSeconds *int64       `bun:"training_seconds"`
	WarmPoolSeconds int64        `bun:"warm_pool_seconds"`
	// WarmPoolStatus is SageMaker's, or WarmPoolUnknown; empty if no machine is kept after the job.
	WarmPoolStatus string `bun:"warm_pool_status"`
	// InstanceSeconds and Cost are what the job has used of its project's quotas so far.
	InstanceSeconds int64   `bun:"instance_seconds"`
	Cost            float64 `bun:"cost"`
	StartTime       int64   `bun:"start_time"`
	EndTime         int64   `bun:"end_time"`

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
	Spot              bool   `json:"spot,omitempty"`
	MaxWaitSeconds    int32  `json:"max_wait_seconds,omitempty"`
	KeepAliveSeconds  int32  `json:"keep_alive_seconds,omitempty"`
	MaxRetries        int32  `json:"max_retries,omitempty"`
	NetworkIsolation  bool   `json:"network_isolation,omitempty"`
	InVPC             bool   `json:"in_vpc,omitempty"`
	EncryptTraffic    bool   `json:"encrypt_traffic,omitempty"`
	VolumeKMSKey      string `json:"volume_kms_key,omitempty"`
	OutputKMSKey      string `json:"output_kms_key,omitempty"`
	Sharded           bool   `json:"sharded,omitempty"`
}

// CustomImage is a training program of the user's own.
type CustomImage struct {
	Image             string             `json:"image"`
	Entrypoint        []string           `json:"entrypoint,omitempty"`
	Arguments         []string           `json:"arguments,omitempty"`
	Environment       map[string]string  `json:"environment,omitempty"`
	Hyperparameters   map[string]string  `json:"hyperparameters,omitempty"`
	MetricDefinitions []MetricDefinition `json:"metric_definitions,omitempty"`
}

// MetricDefinition is how a metric is read from log lines.
type MetricDefinition struct {
	Name  string `json:"name"`
	Regex string `json:"regex"`
}

// PinnedVersion is a dataset version with the digest of its manifest.
type PinnedVersion struct {
	Name           string `json:"name"`
	ManifestSHA256 string `json:"manifest_sha256"`
}

// ResolvedBase is where a job reads a base dataset.
type ResolvedBase struct {
	ID             string `json:"id"`
	Region         string `json:"region"`
	Storage        string `json:"storage"` // s3, efs or fsx-lustre.
	URI            string `json:"uri,omitempty"`
	FileSystemID   string `json:"file_system_id,omitempty"`
	Path           string `json:"path,omitempty"`
	MountName      string `json:"mount_name,omitempty"`
	ManifestSHA256 string `json:"manifest_sha256,omitempty"`
}

// CheckResult is what a preflight check found; the names are those of CheckResult in the API.
type CheckResult struct {
	Check      string  `json:"check"`
	Title      string  `json:"title"`
	Status     string  `json:"status"` // PASS, WARN, FAIL or SKIPPED.
	Seen       string  `json:"seen"`
	Prevents   string  `json:"prevents,omitempty"`
	Mend       string  `json:"mend,omitempty"`
	Snippet    string  `json:"snippet,omitempty"`
	Overridden bool    `json:"overridden,omitempty"`
	Seconds    float64 `json:"seconds"`
}

// Estimate is what was expected of a job when it was made. Seconds are of one instance but for BilledSeconds.
type Estimate struct {
	InputMode           string  `json:"input_mode"`             // File, FastFile or Pipe.
	BaseStorage         string  `json:"base_storage,omitempty"` // s3, efs or fsx-lustre.
	QueueSeconds        float64 `json:"queue_seconds"`
	DownloadSeconds     float64 `json:"download_seconds"`
	TrainSeconds        float64 `json:"train_seconds"`
	UploadSeconds       float64 `json:"upload_seconds"`
	BilledSeconds       float64 `json:"billed_seconds"`
	ComputeCost         float64 `json:"compute_cost"`
	StorageCostPerMonth float64 `json:"storage_cost_per_month"`
	TotalCost           float64 `json:"total_cost"`
	Currency            string  `json:"currency"`
	// Examples are trained on over all epochs and instances, DownloadBytes are copied to each instance: with the ledger they tell the next
	// estimate how fast that goes.
	Examples      float64 `json:"examples,omitempty"`
	DownloadBytes int64   `json:"download_bytes,omitempty"`
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
	Step   int64   `bun:"step"` // 0 if the program told none.
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
