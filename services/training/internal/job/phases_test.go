package job

import (
	"reflect"
	"slices"
	"testing"
	"time"
)

const second = int64(1e6)

func TestPhasesAreSumsOverTransitions(t *testing.T) {
	now := time.UnixMicro(100 * second)
	tests := map[string]struct {
		job  Job
		want []Phase
	}{
		"none": {Job{}, nil},
		"one that goes on": {
			Job{Transitions: []Transition{{"Starting", 10 * second, 12 * second}, {"Training", 12 * second, 0}}},
			[]Phase{{"Starting", 2, 10 * second, 12 * second}, {"Training", 88, 12 * second, 0}},
		},
		"restarted": {
			Job{EndTime: 40 * second, Transitions: []Transition{
				{"Starting", 10 * second, 11 * second},
				{"Training", 11 * second, 20 * second},
				{"Interrupted", 20 * second, 21 * second},
				{"Starting", 21 * second, 25 * second},
				{"Training", 25 * second, 39 * second},
				{"Uploading", 39 * second, 40 * second},
				{"Completed", 40 * second, 40 * second},
			}},
			[]Phase{
				{"Starting", 5, 10 * second, 25 * second},
				{"Training", 23, 11 * second, 39 * second},
				{"Interrupted", 1, 20 * second, 21 * second},
				{"Uploading", 1, 39 * second, 40 * second},
			},
		},
		"open but ended, and unknown": {
			Job{EndTime: 15 * second, Transitions: []Transition{{"Pondering", 10 * second, 0}}},
			[]Phase{{"Pondering", 5, 10 * second, 15 * second}},
		},
		"clock behind": {
			Job{Transitions: []Transition{{"Starting", 200 * second, 0}}},
			[]Phase{{"Starting", 0, 200 * second, 0}},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got := test.job.Phases(now); !reflect.DeepEqual(got, test.want) {
				t.Fatalf("\n got %v\nwant %v", got, test.want)
			}
		})
	}
}

func TestBilledSeconds(t *testing.T) {
	now := time.UnixMicro(100 * second)
	billable := int64(31)
	for name, test := range map[string]struct {
		job  Job
		want int64
	}{
		"SageMaker's word": {Job{BillableSeconds: &billable, StartTime: 10 * second, EndTime: 60 * second}, 31},
		"times instances":  {Job{BillableSeconds: &billable, EndTime: 60 * second, Resources: Resources{InstanceCount: 2}}, 62},
		"start to end":     {Job{StartTime: 10 * second, EndTime: 60 * second}, 50},
		"start to now":     {Job{StartTime: 10 * second}, 90},
		"never started":    {Job{EndTime: 60 * second}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			if got := test.job.Ledger(now).BilledSeconds; got != test.want {
				t.Fatalf("got %d, want %d", got, test.want)
			}
		})
	}
}

func TestIDsSortByTime(t *testing.T) {
	var ids []string
	for i := range 1000 {
		ids = append(ids, NewID(time.UnixMilli(1_732_000_000_000+int64(i)*37)))
	}
	if !slices.IsSorted(ids) {
		t.Fatal("ids don't sort by their time")
	}
	if len(ids[0]) != 16 {
		t.Fatalf("got %q", ids[0])
	}
	if one, other := NewID(time.UnixMilli(1)), NewID(time.UnixMilli(1)); one == other {
		t.Fatal("two jobs of one millisecond have the same id")
	}
}
