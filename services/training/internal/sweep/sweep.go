// Package sweep finds the best parameters of a training: it plans trials, keeps some of them running as training jobs, and
// tells which came out best.
//
// All trials are planned and checked when the sweep is made, and stored with it, so that none fails for its parameters after
// others cost money. A trial's job knows its sweep and its number; which trials were started is read from the jobs alone, so
// that there is nothing to get out of step after a crash.
package sweep

import (
	"encoding/json"

	"github.com/uptrace/bun"

	"github.com/trainyard/trainyard/services/training/internal/job"
	"github.com/trainyard/trainyard/services/training/recipe"
)

// State is where a sweep stands; the names are those of Sweep.State.
type State string

// The states of a sweep.
const (
	Running State = "RUNNING"
	// Stopping sweeps start no more trials and stop those that run. They end as Failed if they have a failure, else as Stopped.
	Stopping  State = "STOPPING"
	Succeeded State = "SUCCEEDED"
	Failed    State = "FAILED"
	Stopped   State = "STOPPED"
)

// Ended tells whether nothing can happen to the sweep any more.
func (s State) Ended() bool { return s == Succeeded || s == Failed || s == Stopped }

// open are the states that something can still happen in.
var open = []State{Running, Stopping}

// Strategy is how trials are chosen; the names are those of Sweep.Strategy.
type Strategy string

// The strategies.
const (
	Grid   Strategy = "GRID"
	Random Strategy = "RANDOM"
)

// Goal is which value of the objective is best; the names are those of Sweep.Goal.
type Goal string

// The goals.
const (
	Maximize Goal = "MAXIMIZE"
	Minimize Goal = "MINIMIZE"
)

// Range is the values that a parameter takes: a list, or a range of numbers.
type Range struct {
	Values  []any   `json:"values,omitempty"`
	Minimum float64 `json:"minimum,omitempty"`
	Maximum float64 `json:"maximum,omitempty"`
	// Steps is how many values of a range stand on a grid; 0 means 3.
	Steps       int32 `json:"steps,omitempty"`
	Logarithmic bool  `json:"logarithmic,omitempty"`
}

// Sweep is a sweep as it is stored. Times are microseconds since the Unix epoch, 0 meaning not yet.
type Sweep struct {
	bun.BaseModel `bun:"table:sweeps,alias:sweep"`

	ID        string `bun:"id,pk"`
	Project   string `bun:"project"`
	RequestID string `bun:"request_id,nullzero"`
	State     State  `bun:"state"`
	Fence     int64  `bun:"fence"`
	// Template is what trials have in common, a TrainingJob, its dataset versions pinned.
	Template        json.RawMessage  `bun:"template"`
	Parameters      map[string]Range `bun:"parameters"`
	Strategy        Strategy         `bun:"strategy"`
	MaxTrials       int64            `bun:"max_trials"`
	ParallelTrials  int64            `bun:"parallel_trials"`
	ObjectiveMetric string           `bun:"objective_metric"`
	Goal            Goal             `bun:"goal"`
	MaxFailedTrials int64            `bun:"max_failed_trials"`
	Seed            int64            `bun:"seed"`
	// Trials are the parameters that differ, of trial 1 and up. Lists of sweeps leave them out.
	Trials     []recipe.Values `bun:"trials"`
	TrialCount int64           `bun:"trial_count"`

	StartedTrialCount int64        `bun:"started_trial_count"`
	EndedTrialCount   int64        `bun:"ended_trial_count"`
	BestJob           string       `bun:"best_job"` // Id.
	BestValue         float64      `bun:"best_value"`
	BilledSeconds     int64        `bun:"billed_seconds"`
	Cost              float64      `bun:"cost"`
	Currency          string       `bun:"currency"`
	Failure           *job.Failure `bun:"failure,nullzero"`
	CreateTime        int64        `bun:"create_time"`
	UpdateTime        int64        `bun:"update_time"`
	EndTime           int64        `bun:"end_time"`

	NextAt     int64  `bun:"next_at"`
	Lease      string `bun:"lease"`
	LeaseUntil int64  `bun:"lease_until"`
	Troubles   int64  `bun:"troubles"`
}
