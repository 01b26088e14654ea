package sagemaker

import (
	"encoding/json"
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
	// Interruptions, Retries and Faulted count attempts: that spot instances were taken from, that came after an internal
	// error, and that were made to have one.
	Interruptions, Retries, Faulted int `json:",omitempty"`
	// SpotDiscount is the share of the price that spot instances save; 0 for a job on others.
	SpotDiscount float64 `json:",omitempty"`
	// MaxWait is how long the job may take from its creation on, waits included; 0 is for ever.
	MaxWait time.Duration `json:",omitempty"`
	// Pool is what became of the job's instances after its end, if it kept them.
	Pool *warmPool `json:",omitempty"`
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
	maxWaitExceeded    outcomeKind = "MaxWaitTimeExceeded"
	// interrupted is the end of an attempt only; another follows.
	interrupted outcomeKind = "Interrupted"
)

type outcome struct {
	Kind   outcomeKind
	Reason string `json:",omitempty"` // of a failure
	// Ran says that the program was started, so that there may be something to upload.
	Ran bool
}

// The messages are SageMaker's own, as its SDK prints them.
var statusMessages = map[types.SecondaryStatus]string{
	types.SecondaryStatusStarting:            "Starting the training job",
	types.SecondaryStatusInterrupted:         "Training job interrupted: its spot instances were reclaimed",
	types.SecondaryStatusMaxWaitTimeExceeded: "Training job wait time exceeded MaxWaitTimeInSeconds provided",
	types.SecondaryStatusPending:             "Waiting for a free instance",
	types.SecondaryStatusDownloading:         "Downloading input data",
	types.SecondaryStatusTraining:            "Training image download completed. Training in progress.",
	types.SecondaryStatusRestarting:          "Restarting the training job",
	types.SecondaryStatusStopping:            "Stopping the training job",
	types.SecondaryStatusUploading:           "Uploading generated training model",
	types.SecondaryStatusCompleted:           "Training job completed",
	types.SecondaryStatusFailed:              "Training job failed",
	types.SecondaryStatusStopped:             "Training job stopped",
	types.SecondaryStatusMaxRuntimeExceeded:  "Training job runtime exceeded MaxRuntimeInSeconds provided",
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
	case maxWaitExceeded:
		j.Status = types.TrainingJobStatusStopped
		j.move(types.SecondaryStatusMaxWaitTimeExceeded, at)
	case interrupted: // It is never the last.
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

// training is how long instances worked for the job: from the first downloaded byte to the last uploaded one, without the
// waits before and between.
func (j *job) training(now time.Time) time.Duration {
	return j.spent(now, types.SecondaryStatusDownloading, types.SecondaryStatusTraining, types.SecondaryStatusStopping, types.SecondaryStatusUploading)
}

// billable is what of it is billed, of one instance: less on spot. AWS bills at least one second.
func (j *job) billable(now time.Time) int64 {
	return max(1, ceilSeconds(time.Duration(float64(j.training(now))*(1-j.SpotDiscount))))
}

// waitsUntil is when the job is ended if it hasn't by itself.
func (j *job) waitsUntil() (at time.Time, ok bool) { return j.Created.Add(j.MaxWait), j.MaxWait > 0 }

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

// truncate cuts s to at most n characters.
func truncate(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n])
	}
	return s
}
