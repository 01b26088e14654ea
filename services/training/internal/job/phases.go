package job

import (
	"slices"
	"time"
)

// Transition is one visit to a secondary status; an End of 0 means that it goes on. Times are microseconds.
type Transition struct {
	Status string `json:"status"`
	Start  int64  `json:"start"`
	End    int64  `json:"end,omitempty"`
}

// Phase is the time spent in a secondary status over all its visits: they repeat on spot instances and on retries.
type Phase struct {
	Name       string
	Seconds    float64
	Start, End int64 // End is 0 while it goes on.
}

// ends are secondary statuses that say how a job ended; no time is spent in them.
var ends = []string{"Completed", "Failed", "Stopped", "MaxRuntimeExceeded", "MaxWaitTimeExceeded"}

// Phases sums the transitions by status, in the order of their first visits. A visit that has no end ends when the job did,
// or now. Unknown statuses are phases like others.
func (j *Job) Phases(now time.Time) []Phase {
	var phases []Phase
	for _, t := range j.Transitions {
		if slices.Contains(ends, t.Status) {
			continue
		}
		i := slices.IndexFunc(phases, func(p Phase) bool { return p.Name == t.Status })
		if i < 0 {
			i = len(phases)
			phases = append(phases, Phase{Name: t.Status, Start: t.Start})
		}
		end := t.End
		if end == 0 {
			end = j.EndTime
		}
		phases[i].End = end
		if end == 0 {
			end = now.UnixMicro()
		}
		phases[i].Seconds += float64(max(end-t.Start, 0)) / 1e6
	}
	return phases
}

// BilledSeconds is what is billed: SageMaker's billable seconds, or else the time since training started, times instances.
// Downloading is inside it.
func (j *Job) BilledSeconds(now time.Time) int64 {
	instances := max(int64(j.Resources.InstanceCount), 1)
	if j.BillableSeconds != nil {
		return *j.BillableSeconds * instances
	}
	if j.StartTime == 0 {
		return 0
	}
	end := j.EndTime
	if end == 0 {
		end = now.UnixMicro()
	}
	return max(end-j.StartTime, 0) / 1e6 * instances
}
