package job

import (
	"slices"
	"time"
)

// Seconds is where time went. They sum to the time that they are of.
type Seconds struct {
	// Queue is waiting for a machine: Starting and Pending, and on spot instances and retries Interrupted and Restarting.
	Queue float64
	// Download is copying data to the machine. It is billed.
	Download float64
	Train    float64
	Upload   float64
	// Other is in statuses that are none of these, such as Stopping, and those that SageMaker may add.
	Other float64
}

// Total is their sum.
func (s Seconds) Total() float64 { return s.Queue + s.Download + s.Train + s.Upload + s.Other }

// Attempt is one start of a job: spot instances and retries begin anew.
type Attempt struct {
	Seconds

	Start, End int64 // Microseconds; End is 0 while it goes on.
	// Interrupted says that another attempt came after it.
	Interrupted bool
}

// Ledger is where a job's time and money went, by its real transitions. What goes on is reckoned up to a moment.
type Ledger struct {
	Seconds

	Attempts []Attempt
	// BilledSeconds and WarmPoolSeconds are of all instances. On spot instances SageMaker bills fewer seconds than were used.
	BilledSeconds   int64
	WarmPoolSeconds int64
	// BilledBySageMaker tells whether BilledSeconds is SageMaker's own word.
	BilledBySageMaker bool
	// HourlyPrice is of an instance on demand, 0 if it isn't known; then there is no money in the ledger.
	HourlyPrice float64
	// Cost is of all that was billed, WarmPoolCost included.
	Cost, WarmPoolCost float64
	// SpotSaving is what the seconds used would have cost more on demand.
	SpotSaving float64
	Currency   string
	// DownloadShare is the part of the billed time that went into downloading, 0 to 1.
	DownloadShare float64
}

// Statuses of SageMaker by what is done in them.
var (
	waiting  = []string{"Starting", "Pending", "Interrupted", "Restarting"}
	restarts = []string{"Interrupted", "Restarting"}
)

// Ledger reckons the job's ledger. An attempt begins with the wait for its machine: Interrupted and Restarting belong to the attempt that they lead
// to, whether it comes about or not.
func (j *Job) Ledger(now time.Time) Ledger {
	var l Ledger
	worked, begun := false, false // What the present attempt has: a machine, and more than the status that led to it.
	for _, v := range j.visits(now) {
		waits := slices.Contains(waiting, v.status)
		again := slices.Contains(restarts, v.status) && begun
		if len(l.Attempts) == 0 || again || waits && worked {
			if n := len(l.Attempts); n > 0 {
				l.Attempts[n-1].Interrupted = true
			}
			l.Attempts = append(l.Attempts, Attempt{Start: v.start})
			worked, begun = false, false
		}
		worked = worked || !waits
		begun = begun || !slices.Contains(restarts, v.status)
		attempt := &l.Attempts[len(l.Attempts)-1]
		attempt.add(v)
		l.add(v)
		if attempt.End = v.end; v.open {
			attempt.End = 0
		}
	}
	j.bill(&l, now)
	return l
}

func (s *Seconds) add(v visit) {
	switch {
	case slices.Contains(waiting, v.status):
		s.Queue += v.seconds()
	case v.status == "Downloading":
		s.Download += v.seconds()
	case v.status == "Training":
		s.Train += v.seconds()
	case v.status == "Uploading":
		s.Upload += v.seconds()
	default:
		s.Other += v.seconds()
	}
}

// bill reckons seconds and money. SageMaker's billable seconds on spot instances have the discount in them: they cost the price on demand.
func (j *Job) bill(l *Ledger, now time.Time) {
	instances := max(int64(j.Resources.InstanceCount), 1)
	used := j.used(l, now)
	billed := used
	switch ended := j.State.Ended() || j.EndTime != 0; {
	case j.BillableSeconds == nil:
	case ended:
		billed, l.BilledBySageMaker = *j.BillableSeconds, true
		if used = billed; j.TrainingSeconds != nil {
			used = *j.TrainingSeconds
		}
	case j.TrainingSeconds != nil && *j.TrainingSeconds > 0: // It goes on, at the discount so far.
		billed = used * *j.BillableSeconds / *j.TrainingSeconds
	}
	l.BilledSeconds, l.WarmPoolSeconds = billed*instances, j.warmPool(now)*instances
	if used > 0 {
		l.DownloadShare = min(l.Download/float64(used), 1)
	}
	l.HourlyPrice, l.Currency = j.HourlyPrice, j.Currency
	second := j.HourlyPrice / 3600
	l.WarmPoolCost = float64(l.WarmPoolSeconds) * second
	l.Cost = float64(l.BilledSeconds)*second + l.WarmPoolCost
	if j.Resources.Spot {
		l.SpotSaving = float64(max(used-billed, 0)*instances) * second
	}
}

// used is the seconds that one instance was used: from when training first started to its end, or now, without the waits for another machine in between.
func (j *Job) used(l *Ledger, now time.Time) int64 {
	if j.StartTime == 0 {
		return 0
	}
	end := j.EndTime
	if end == 0 {
		end = now.UnixMicro()
	}
	waits := 0.0
	for i := 1; i < len(l.Attempts); i++ {
		waits += l.Attempts[i].Queue
	}
	return max(int64(float64(end-j.StartTime)/1e6-waits), 0)
}

// The warm pool's statuses in which more of it may be billed.
const (
	warmPoolAvailable = "Available"
	warmPoolInUse     = "InUse"
	// WarmPoolUnknown stands until SageMaker tells of a warm pool that was asked for.
	WarmPoolUnknown = "Unknown"
)

var warmPoolOpen = []string{WarmPoolUnknown, warmPoolInUse, warmPoolAvailable}

// HasWarmPool tells whether the job's machines are, or may be, kept for the next one: more may be billed, although the job has ended.
func (j *Job) HasWarmPool() bool { return slices.Contains(warmPoolOpen, j.WarmPoolStatus) }

// warmPool is the seconds of one instance kept after the job: SageMaker's word once it is over, and until then the time since the end.
func (j *Job) warmPool(now time.Time) int64 {
	if j.WarmPoolStatus != warmPoolAvailable || j.EndTime == 0 {
		return j.WarmPoolSeconds
	}
	kept := min(now.UnixMicro()-j.EndTime, int64(j.Resources.KeepAliveSeconds)*1e6) / 1e6
	return max(j.WarmPoolSeconds, kept)
}

// CloseWarmPool ends a warm pool of whose end SageMaker doesn't tell: it lasted no longer than it was to be kept.
func (j *Job) CloseWarmPool(now time.Time) {
	if j.HasWarmPool() {
		j.WarmPoolSeconds, j.WarmPoolStatus = j.warmPool(now), "Terminated"
	}
}

// account writes down what the job has used of its project's quotas.
func (j *Job) account(now time.Time) {
	l := j.Ledger(now)
	j.InstanceSeconds, j.Cost = l.BilledSeconds+l.WarmPoolSeconds, l.Cost
}
