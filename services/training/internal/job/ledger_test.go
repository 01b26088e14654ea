package job

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func of[T any](v T) *T { return &v }

// at makes transitions of statuses and the seconds they begin at; each ends when the next begins, and the last is open unless it tells an end.
func at(steps ...any) []Transition {
	var transitions []Transition
	for i := 0; i < len(steps); i += 2 {
		start := int64(steps[i+1].(int)) * second
		if n := len(transitions); n > 0 {
			transitions[n-1].End = start
		}
		transitions = append(transitions, Transition{Status: steps[i].(string), Start: start})
	}
	return transitions
}

func TestLedger(t *testing.T) {
	now := time.UnixMicro(10_000 * second)
	plain := at("Starting", 0, "Pending", 60, "Downloading", 100, "Training", 160, "Uploading", 400, "Completed", 410)
	interrupted := at(
		"Starting", 0, "Downloading", 100, "Training", 200, "Interrupted", 500,
		"Starting", 800, "Downloading", 900, "Training", 1000, "Interrupted", 1100, "Pending", 1200,
		"Downloading", 1300, "Training", 1400, "Uploading", 1900, "Completed", 2000)
	type attempt struct {
		Seconds     Seconds
		Interrupted bool
	}
	for name, test := range map[string]struct {
		job      Job
		want     Ledger
		attempts []attempt
	}{
		"never at SageMaker": {Job{State: Stopped, EndTime: 50 * second, HourlyPrice: 1, Currency: "USD"}, Ledger{HourlyPrice: 1, Currency: "USD"}, nil},
		"stopped before it started": {
			Job{EndTime: 40 * second, Transitions: at("Starting", 10, "Stopping", 30, "Stopped", 40)},
			Ledger{Seconds: Seconds{Queue: 20, Other: 10}},
			[]attempt{{Seconds{Queue: 20, Other: 10}, false}},
		},
		"SageMaker's own bill": {
			Job{
				Transitions: plain, StartTime: 100 * second, EndTime: 410 * second, BillableSeconds: of(int64(310)), TrainingSeconds: of(int64(310)),
				Resources: Resources{InstanceCount: 2}, HourlyPrice: 3.6, Currency: "USD",
			},
			Ledger{
				Seconds:       Seconds{Queue: 100, Download: 60, Train: 240, Upload: 10},
				BilledSeconds: 620, BilledBySageMaker: true, HourlyPrice: 3.6, Cost: 0.62, Currency: "USD", DownloadShare: 60.0 / 310,
			},
			[]attempt{{Seconds{Queue: 100, Download: 60, Train: 240, Upload: 10}, false}},
		},
		"reckoned where SageMaker tells no bill": {
			Job{Transitions: plain, StartTime: 100 * second, EndTime: 410 * second},
			Ledger{Seconds: Seconds{Queue: 100, Download: 60, Train: 240, Upload: 10}, BilledSeconds: 310, DownloadShare: 60.0 / 310},
			[]attempt{{Seconds{Queue: 100, Download: 60, Train: 240, Upload: 10}, false}},
		},
		"China": {
			Job{Transitions: plain, EndTime: 410 * second, BillableSeconds: of(int64(3600)), HourlyPrice: 2.1, Currency: "CNY"},
			Ledger{
				Seconds:       Seconds{Queue: 100, Download: 60, Train: 240, Upload: 10},
				BilledSeconds: 3600, BilledBySageMaker: true, HourlyPrice: 2.1, Cost: 2.1, Currency: "CNY", DownloadShare: 60.0 / 3600,
			},
			[]attempt{{Seconds{Queue: 100, Download: 60, Train: 240, Upload: 10}, false}},
		},
		"spot, interrupted twice": {
			Job{
				Transitions: interrupted, Resources: Resources{InstanceCount: 1, Spot: true}, TrainingSeconds: of(int64(1400)), BillableSeconds: of(int64(350)),
				StartTime: 100 * second, EndTime: 2000 * second, HourlyPrice: 3.6, Currency: "USD",
			},
			Ledger{
				Seconds:       Seconds{Queue: 700, Download: 300, Train: 900, Upload: 100},
				BilledSeconds: 350, BilledBySageMaker: true, HourlyPrice: 3.6, Cost: 0.35, SpotSaving: 1.05, Currency: "USD", DownloadShare: 300.0 / 1400,
			},
			[]attempt{
				{Seconds{Queue: 100, Download: 100, Train: 300}, true},
				{Seconds{Queue: 400, Download: 100, Train: 100}, true},
				{Seconds{Queue: 200, Download: 100, Train: 500, Upload: 100}, false},
			},
		},
		"waits in between are not reckoned as billed": {
			Job{Transitions: interrupted, StartTime: 100 * second, EndTime: 2000 * second},
			Ledger{Seconds: Seconds{Queue: 700, Download: 300, Train: 900, Upload: 100}, BilledSeconds: 1300, DownloadShare: 300.0 / 1300},
			[]attempt{
				{Seconds{Queue: 100, Download: 100, Train: 300}, true},
				{Seconds{Queue: 400, Download: 100, Train: 100}, true},
				{Seconds{Queue: 200, Download: 100, Train: 500, Upload: 100}, false},
			},
		},
		"begun again after an internal error": {
			Job{Transitions: at("Starting", 0, "Training", 10, "Restarting", 20, "Starting", 25, "Training", 35, "Failed", 50), EndTime: 50 * second},
			Ledger{Seconds: Seconds{Queue: 25, Train: 25}},
			[]attempt{{Seconds{Queue: 10, Train: 10}, true}, {Seconds{Queue: 15, Train: 15}, false}},
		},
		"interrupted before it had a machine": {
			Job{Transitions: at("Starting", 0, "Interrupted", 10, "Starting", 20, "MaxWaitTimeExceeded", 50), EndTime: 50 * second},
			Ledger{Seconds: Seconds{Queue: 50}},
			[]attempt{{Seconds{Queue: 10}, true}, {Seconds{Queue: 40}, false}},
		},
		"goes on": {
			Job{Transitions: at("Starting", 0, "Training", 1000), StartTime: 1000 * second, HourlyPrice: 1, Currency: "USD"},
			Ledger{Seconds: Seconds{Queue: 1000, Train: 9000}, BilledSeconds: 9000, HourlyPrice: 1, Cost: 2.5, Currency: "USD"},
			[]attempt{{Seconds{Queue: 1000, Train: 9000}, false}},
		},
		"goes on, on a spot instance": {
			Job{
				Transitions: at("Starting", 0, "Training", 1000), StartTime: 1000 * second, HourlyPrice: 1, Currency: "USD",
				TrainingSeconds: of(int64(100)), BillableSeconds: of(int64(30)), Resources: Resources{Spot: true},
			},
			Ledger{Seconds: Seconds{Queue: 1000, Train: 9000}, BilledSeconds: 2700, HourlyPrice: 1, Cost: 0.75, SpotSaving: 1.75, Currency: "USD"},
			[]attempt{{Seconds{Queue: 1000, Train: 9000}, false}},
		},
		"statuses that nobody knows": {
			Job{Transitions: at("Pondering", 0, "Starting", 5, "Updating", 10, "Completed", 20), EndTime: 20 * second},
			Ledger{Seconds: Seconds{Queue: 5, Other: 15}},
			[]attempt{{Seconds{Other: 5}, true}, {Seconds{Queue: 5, Other: 10}, false}},
		},
		"a clock that steps back, and a hole": {
			Job{EndTime: 90 * second, Transitions: []Transition{
				{"Starting", 10 * second, 20 * second}, {"Downloading", 5 * second, 30 * second}, {"Training", 40 * second, 90 * second},
			}},
			Ledger{Seconds: Seconds{Download: 30, Train: 50}},
			[]attempt{{Seconds{Download: 30, Train: 50}, false}},
		},
		"a warm pool that is over": {
			Job{
				Transitions: plain, BillableSeconds: of(int64(3600)), WarmPoolSeconds: 1800, WarmPoolStatus: "Terminated", EndTime: 410 * second,
				Resources: Resources{InstanceCount: 2, KeepAliveSeconds: 1800}, HourlyPrice: 1, Currency: "USD",
			},
			Ledger{
				Seconds:       Seconds{Queue: 100, Download: 60, Train: 240, Upload: 10},
				BilledSeconds: 7200, BilledBySageMaker: true, WarmPoolSeconds: 3600, HourlyPrice: 1, Cost: 3, WarmPoolCost: 1, Currency: "USD",
				DownloadShare: 60.0 / 3600,
			},
			[]attempt{{Seconds{Queue: 100, Download: 60, Train: 240, Upload: 10}, false}},
		},
		"a warm pool that is kept now": {
			Job{
				Transitions: plain, BillableSeconds: of(int64(0)), WarmPoolStatus: "Available", EndTime: 9_940 * second,
				Resources: Resources{InstanceCount: 1, KeepAliveSeconds: 1800}, HourlyPrice: 60, Currency: "USD",
			},
			Ledger{
				Seconds:           Seconds{Queue: 100, Download: 60, Train: 240, Upload: 10},
				BilledBySageMaker: true, WarmPoolSeconds: 60, HourlyPrice: 60, Cost: 1, WarmPoolCost: 1, Currency: "USD",
			},
			[]attempt{{Seconds{Queue: 100, Download: 60, Train: 240, Upload: 10}, false}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := test.job.Ledger(now)
			if len(got.Attempts) != len(test.attempts) {
				t.Fatalf("%d attempts, want %d: %+v", len(got.Attempts), len(test.attempts), got.Attempts)
			}
			for i, want := range test.attempts {
				if a := got.Attempts[i]; a.Seconds != want.Seconds || a.Interrupted != want.Interrupted {
					t.Errorf("attempt %d\n got %+v\nwant %+v", i+1, a, want)
				}
			}
			got.Attempts = nil
			got.Cost, got.SpotSaving, got.WarmPoolCost = cents(got.Cost), cents(got.SpotSaving), cents(got.WarmPoolCost)
			if got.Seconds != test.want.Seconds || !equal(got, test.want) {
				t.Errorf("\n got %+v\nwant %+v", got, test.want)
			}
		})
	}
}

// cents keeps money from differing in the last bit of a float.
func cents(amount float64) float64 { return math.Round(amount*1e6) / 1e6 }

func equal(a, b Ledger) bool {
	return a.BilledSeconds == b.BilledSeconds && a.WarmPoolSeconds == b.WarmPoolSeconds && a.BilledBySageMaker == b.BilledBySageMaker &&
		a.HourlyPrice == b.HourlyPrice && a.Cost == b.Cost && a.WarmPoolCost == b.WarmPoolCost && a.SpotSaving == b.SpotSaving &&
		a.Currency == b.Currency && math.Abs(a.DownloadShare-b.DownloadShare) < 1e-9
}

// Whatever SageMaker says, the seconds of the attempts, of the phases and of the ledger are the time from the first transition to the last.
func TestPhasesSumToTheWhole(t *testing.T) {
	statuses := []string{
		"Starting", "Pending", "Downloading", "Training", "Interrupted", "Restarting", "Updating", "Uploading", "Stopping", "Pondering",
		"Stopped", "MaxRuntimeExceeded", "MaxWaitTimeExceeded", "Completed", "Failed",
	}
	rapid.Check(t, func(t *rapid.T) {
		moment := rapid.Int64Range(0, 5_000*second)
		var j Job
		for range rapid.IntRange(0, 12).Draw(t, "transitions") {
			j.Transitions = append(j.Transitions, Transition{
				Status: rapid.SampledFrom(statuses).Draw(t, "status"), Start: moment.Draw(t, "start"), End: moment.Draw(t, "end"),
			})
		}
		j.StartTime, j.EndTime = moment.Draw(t, "began"), moment.Draw(t, "ended")
		j.Resources.InstanceCount = rapid.Int32Range(0, 4).Draw(t, "instances")
		now := time.UnixMicro(moment.Draw(t, "now"))
		l := j.Ledger(now)
		first, last := int64(0), int64(0)
		if visits := j.visits(now); len(visits) > 0 {
			first, last = visits[0].start, visits[len(visits)-1].end
		}
		whole := float64(last-first) / 1e6
		attempts, phases := 0.0, 0.0
		for i, a := range l.Attempts {
			attempts += a.Total()
			if a.Total() < 0 || a.Interrupted != (i < len(l.Attempts)-1) {
				t.Fatalf("attempt %d: %+v", i+1, a)
			}
		}
		for _, p := range j.Phases(now) {
			phases += p.Seconds
		}
		for what, sum := range map[string]float64{"ledger": l.Total(), "attempts": attempts, "phases": phases} {
			if math.Abs(sum-whole) > 1e-6 {
				t.Fatalf("%s sum to %v s of %v s", what, sum, whole)
			}
		}
		if l.BilledSeconds < 0 || l.DownloadShare < 0 || l.DownloadShare > 1 {
			t.Fatalf("ledger %+v", l)
		}
	})
}
