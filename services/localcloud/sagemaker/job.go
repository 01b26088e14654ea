package sagemaker

import (
	"encoding/json"
	"fmt"
	"math"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"
)

// job is everything known of a training job, stored as one JSON document.
type job struct {
	Name string
	ARN  string
	// Request holds the members of CreateTrainingJob as they were given, without Tags. Describe gives them back.
	Request       map[string]json.RawMessage
	Tags          []tag
	Status        types.TrainingJobStatus
	Secondary     types.SecondaryStatus
	Transitions   []transition
	FailureReason string
	Artifacts     string // s3:// URI, once uploaded
	Metrics       []metric
	Created       time.Time
	Modified      time.Time
	Started       *time.Time // the first Downloading
	Ended         *time.Time
	// StopCause is set when the program is told to stop, so that a restart knows how the job was to end.
	StopCause outcomeKind `json:",omitempty"`
	// Outcome is set when the program has ended. What is left then is the upload.
	Outcome *outcome `json:",omitempty"`
}

type tag struct {
	Key   string
	Value string
}

type transition struct {
	Status  types.SecondaryStatus
	Start   time.Time
	End     *time.Time
	Message string
}

type metric struct {
	Name  string
	Value float64
	Time  time.Time
}

type outcomeKind string

const (
	completed          outcomeKind = "Completed"
	failed             outcomeKind = "Failed"
	stopped            outcomeKind = "Stopped"
	maxRuntimeExceeded outcomeKind = "MaxRuntimeExceeded"
)

type outcome struct {
	Kind   outcomeKind
	Reason string `json:",omitempty"` // of a failure
	// Ran says that the program was started, so that there may be something to upload.
	Ran bool
}

// The messages are SageMaker's own, as its SDK prints them.
var statusMessages = map[types.SecondaryStatus]string{
	types.SecondaryStatusStarting:           "Starting the training job",
	types.SecondaryStatusPending:            "Waiting for a free instance",
	types.SecondaryStatusDownloading:        "Downloading input data",
	types.SecondaryStatusTraining:           "Training image download completed. Training in progress.",
	types.SecondaryStatusRestarting:         "Restarting the training job",
	types.SecondaryStatusStopping:           "Stopping the training job",
	types.SecondaryStatusUploading:          "Uploading generated training model",
	types.SecondaryStatusCompleted:          "Training job completed",
	types.SecondaryStatusFailed:             "Training job failed",
	types.SecondaryStatusStopped:            "Training job stopped",
	types.SecondaryStatusMaxRuntimeExceeded: "Training job runtime exceeded MaxRuntimeInSeconds provided",
}

// move ends the current phase at the given time and begins the next.
func (j *job) move(to types.SecondaryStatus, at time.Time) {
	if n := len(j.Transitions); n > 0 && j.Transitions[n-1].End == nil {
		j.Transitions[n-1].End = &at
	}
	j.Transitions = append(j.Transitions, transition{Status: to, Start: at, Message: statusMessages[to]})
	j.Secondary = to
}

// finish gives the job its last status.
func (j *job) finish(o outcome, at time.Time) {
	j.FailureReason = truncate(o.Reason, 1024)
	switch o.Kind {
	case completed:
		j.Status = types.TrainingJobStatusCompleted
		j.move(types.SecondaryStatusCompleted, at)
	case failed:
		j.Status = types.TrainingJobStatusFailed
		j.move(types.SecondaryStatusFailed, at)
	case stopped:
		j.Status = types.TrainingJobStatusStopped
		j.move(types.SecondaryStatusStopped, at)
	case maxRuntimeExceeded:
		j.Status = types.TrainingJobStatusStopped
		j.move(types.SecondaryStatusMaxRuntimeExceeded, at)
	}
	j.Transitions[len(j.Transitions)-1].End = &at
	j.Ended = &at
	j.Outcome = &o
}

func (j *job) ended() bool {
	return j.Status != types.TrainingJobStatusInProgress && j.Status != types.TrainingJobStatusStopping
}

// spent sums the phases of the given kinds; an open one ends now.
func (j *job) spent(now time.Time, kinds ...types.SecondaryStatus) time.Duration {
	var sum time.Duration
	for _, t := range j.Transitions {
		for _, k := range kinds {
			if t.Status == k {
				end := now
				if t.End != nil {
					end = *t.End
				}
				sum += end.Sub(t.Start)
			}
		}
	}
	return sum
}

// billable is what one instance is billed for: from the first downloaded byte to the last uploaded one, without the waits
// before and between. AWS bills at least one second.
func (j *job) billable(now time.Time) int64 {
	return max(1, ceilSeconds(j.spent(now, types.SecondaryStatusDownloading, types.SecondaryStatusTraining,
		types.SecondaryStatusStopping, types.SecondaryStatusUploading)))
}

func ceilSeconds(d time.Duration) int64 { return int64(math.Ceil(d.Seconds())) }

// decodeRequest reads the members of a CreateTrainingJob request into the SDK's own type.
func decodeRequest(request map[string]json.RawMessage) (*sdk.CreateTrainingJobInput, error) {
	raw, err := json.Marshal(request)
	if err != nil {
		return nil, err
	}
	in := new(sdk.CreateTrainingJobInput)
	return in, json.Unmarshal(raw, in)
}

// describe builds the members that Describe and the events share; stamp writes times the way each wants them.
func (j *job) describe(stamp func(time.Time) any) map[string]any {
	out := map[string]any{
		"EnableNetworkIsolation": false, "EnableInterContainerTrafficEncryption": false, "EnableManagedSpotTraining": false,
	}
	for k, v := range j.Request {
		out[k] = v
	}
	delete(out, "SessionChainingConfig") // Describe has no such member.
	out["TrainingJobName"] = j.Name
	out["TrainingJobArn"] = j.ARN
	out["TrainingJobStatus"] = j.Status
	out["SecondaryStatus"] = j.Secondary
	out["CreationTime"] = stamp(j.Created)
	out["LastModifiedTime"] = stamp(j.Modified)
	out["ModelArtifacts"] = map[string]string{"S3ModelArtifacts": j.Artifacts}
	if j.FailureReason != "" {
		out["FailureReason"] = j.FailureReason
	}
	now := time.Now()
	if j.Ended != nil {
		now = *j.Ended
		out["TrainingEndTime"] = stamp(now)
	}
	if j.Started != nil {
		out["TrainingStartTime"] = stamp(*j.Started)
		out["TrainingTimeInSeconds"] = ceilSeconds(now.Sub(*j.Started))
		out["BillableTimeInSeconds"] = j.billable(now)
	}
	transitions := make([]map[string]any, len(j.Transitions))
	for i, t := range j.Transitions {
		transitions[i] = map[string]any{"Status": t.Status, "StartTime": stamp(t.Start), "StatusMessage": t.Message}
		if t.End != nil {
			transitions[i]["EndTime"] = stamp(*t.End)
		}
	}
	out["SecondaryStatusTransitions"] = transitions
	if len(j.Metrics) > 0 {
		metrics := make([]map[string]any, len(j.Metrics))
		for i, m := range j.Metrics {
			metrics[i] = map[string]any{"MetricName": m.Name, "Value": m.Value, "Timestamp": stamp(m.Time)}
		}
		out["FinalMetricDataList"] = metrics
	}
	return out
}

// epochSeconds is how the AWS JSON protocol writes a time.
func epochSeconds(t time.Time) any {
	return json.Number(fmt.Sprintf("%d.%03d", t.Unix(), t.Nanosecond()/1e6))
}

// epochMillis is how SageMaker's EventBridge events write a time.
func epochMillis(t time.Time) any { return t.UnixMilli() }

// truncate cuts s to at most n characters.
func truncate(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n])
	}
	return s
}
