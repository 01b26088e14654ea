package sweep

import (
	"github.com/trainyard/trainyard/services/training/internal/job"
)

// tally is what a sweep's jobs have come to.
type tally struct {
	open []*job.Job
	// failed and well count the jobs that ended so; those that were stopped are neither.
	failed, well int64
	// lastFailed is the failed job of the highest number.
	lastFailed *job.Job
	// next is the number of the first trial without a job, from 1; one more than there are when all have one.
	next int64
}

// take sums the jobs of a sweep's trials up in it, given by their numbers. Its answer tells what only decisions need.
func (s *Sweep) take(jobs []*job.Job) tally {
	t := tally{next: 1}
	s.StartedTrialCount, s.EndedTrialCount, s.BestJob, s.BestValue = 0, 0, "", 0
	s.BilledSeconds, s.Cost = 0, 0
	for _, j := range jobs {
		if j.Trial == t.next {
			t.next++
		}
		s.StartedTrialCount++
		s.BilledSeconds += j.InstanceSeconds
		s.Cost += j.Cost
		if j.Currency != "" {
			s.Currency = j.Currency
		}
		if !j.State.Ended() {
			t.open = append(t.open, j)
			continue
		}
		s.EndedTrialCount++
		switch j.State {
		case job.Failed:
			t.failed++
			t.lastFailed = j
		case job.Succeeded:
			t.well++
		}
		s.consider(j)
	}
	return t
}

// consider makes a job that ended the best if it is. A stopped one counts if it left a model; of equals the first stays.
func (s *Sweep) consider(j *job.Job) {
	value, ok := j.Metrics[s.ObjectiveMetric]
	if !ok || !finite(value) || j.State == job.Failed || j.State == job.Stopped && !j.HasModel {
		return
	}
	if s.BestJob == "" || s.Goal == Minimize && value < s.BestValue || s.Goal != Minimize && value > s.BestValue {
		s.BestJob, s.BestValue = j.ID, value
	}
}
