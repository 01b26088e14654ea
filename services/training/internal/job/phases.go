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

// ends are secondary statuses that say how a job ended; no time is spent in the last of them.
var ends = []string{"Completed", "Failed", "Stopped", "MaxRuntimeExceeded", "MaxWaitTimeExceeded"}

// visit is a stay in a secondary status without holes: it lasts until the next one begins.
type visit struct {
	status     string
	start, end int64
	open       bool // It goes on; end is now.
}

func (v visit) seconds() float64 { return float64(v.end-v.start) / 1e6 }

// visits makes the transitions one unbroken time, so that whatever is summed over them sums to the time from the first to the last. A status
// lasts until the next begins, a clock that steps back takes no time, and what has no end ends when the job did, or now. A status that says
// how the job ended bounds the one before and is left out.
func (j *Job) visits(now time.Time) []visit {
	visits := make([]visit, 0, len(j.Transitions))
	from := int64(0)
	for i, t := range j.Transitions {
		from = max(from, t.Start)
		if i > 0 {
			visits[i-1].end = from
		}
		visits = append(visits, visit{status: t.Status, start: from, end: from})
	}
	if len(visits) == 0 {
		return nil
	}
	last := len(visits) - 1
	if slices.Contains(ends, visits[last].status) {
		return visits[:last]
	}
	end := j.Transitions[last].End
	if end == 0 {
		end = j.EndTime
	}
	if end == 0 {
		visits[last].open = true
		end = now.UnixMicro()
	}
	visits[last].end = max(end, visits[last].start)
	return visits
}

// Phases sums the time by status, in the order of their first visits. Unknown statuses are phases like others.
func (j *Job) Phases(now time.Time) []Phase {
	var phases []Phase
	for _, v := range j.visits(now) {
		i := slices.IndexFunc(phases, func(p Phase) bool { return p.Name == v.status })
		if i < 0 {
			i = len(phases)
			phases = append(phases, Phase{Name: v.status, Start: v.start})
		}
		phases[i].Seconds += v.seconds()
		if phases[i].End = v.end; v.open {
			phases[i].End = 0
		}
	}
	return phases
}
