package catalog

import (
	"errors"
	"testing"
	"time"

	errorsv1 "github.com/trainyard/trainyard/gen/trainyard/errors/v1"
	ingestv1 "github.com/trainyard/trainyard/gen/trainyard/ingest/v1"
	"github.com/trainyard/trainyard/services/ingest/internal/upload"
	"pgregory.net/rapid"
)

var all = []State{Uploading, Uploaded, Converting, Ready, Failed, Expired, Aborted}

const (
	now   = int64(1_000_000)
	fence = int64(3)
)

// in gives a version in a state, quiet for long and with no lease running.
func in(state State) *Version {
	return &Version{Project: "p", Dataset: "d", Number: 1, State: state, SizeBytes: 10, ETag: "e", Fence: fence, ExpireTime: now, LeaseUntil: now}
}

func TestStateMachine(t *testing.T) {
	whole := upload.Object{Size: 10, ETag: "e"}
	for name, test := range map[string]struct {
		do      func(*Version) error
		to      map[State]State // Where it leads from these states.
		stays   []State         // Where it is good and changes nothing.
		refused []State         // Where it is an error.
	}{
		"complete": {
			do:      func(v *Version) error { return v.Complete(now, time.Second, whole) },
			to:      map[State]State{Uploading: Uploaded},
			stays:   []State{Uploaded, Converting, Ready, Failed},
			refused: []State{Expired, Aborted},
		},
		"abort": {
			do:      func(v *Version) error { return v.Abort(now) },
			to:      map[State]State{Uploading: Aborted},
			stays:   []State{Aborted},
			refused: []State{Uploaded, Converting, Ready, Failed, Expired},
		},
		"expire": {
			do:    func(v *Version) error { return v.Expire(now) },
			to:    map[State]State{Uploading: Expired},
			stays: []State{Uploaded, Converting, Ready, Failed, Expired, Aborted},
		},
		"claim": {
			do:      func(v *Version) error { return v.Claim(now, time.Second, "w", `"e"`, 10) },
			to:      map[State]State{Uploaded: Converting, Converting: Converting},
			refused: []State{Uploading, Ready, Failed, Expired, Aborted},
		},
		"report": {
			do: func(v *Version) error {
				return v.Report(now, time.Second, fence, &ingestv1.ConversionProgress{})
			},
			to:      map[State]State{Converting: Converting},
			refused: []State{Uploading, Uploaded, Ready, Failed, Expired, Aborted},
		},
		"finish": {
			do:      func(v *Version) error { return v.Finish(now, fence, &ingestv1.ConversionResult{}) },
			to:      map[State]State{Converting: Ready},
			stays:   []State{Ready},
			refused: []State{Uploading, Uploaded, Failed, Expired, Aborted},
		},
		"fail": {
			do:      func(v *Version) error { return v.Fail(now, fence, &errorsv1.Failure{}, 0, "") },
			to:      map[State]State{Converting: Failed},
			stays:   []State{Failed},
			refused: []State{Uploading, Uploaded, Ready, Expired, Aborted},
		},
		"stale report": {
			do: func(v *Version) error {
				return v.Report(now, time.Second, fence-1, &ingestv1.ConversionProgress{})
			},
			refused: all,
		},
		"stale finish": {
			do:      func(v *Version) error { return v.Finish(now, fence-1, &ingestv1.ConversionResult{}) },
			refused: all,
		},
		"stale fail": {
			do:      func(v *Version) error { return v.Fail(now, fence-1, &errorsv1.Failure{}, 0, "") },
			refused: all,
		},
		"give up": {
			do:    func(v *Version) error { return v.GiveUp(now) },
			to:    map[State]State{Converting: Failed},
			stays: []State{Uploading, Uploaded, Ready, Failed, Expired, Aborted},
		},
		"spoil": {
			do:    func(v *Version) error { return v.Spoil(now, "it is gone") },
			to:    map[State]State{Uploading: Failed, Uploaded: Failed, Converting: Failed},
			stays: []State{Ready, Failed, Expired, Aborted},
		},
		"touch": {
			do:      func(v *Version) error { return v.Touch(now, time.Second, time.Hour) },
			to:      map[State]State{Uploading: Uploading},
			refused: []State{Uploaded, Converting, Ready, Failed, Expired, Aborted},
		},
	} {
		t.Run(name, func(t *testing.T) {
			if len(test.to)+len(test.stays)+len(test.refused) != len(all) {
				t.Fatal("the table leaves a state out")
			}
			check := func(from, to State, changed, good bool) {
				v := in(from)
				if err := test.do(v); (err == nil) != good {
					t.Errorf("from %s: %v", from, err)
				}
				if v.State != to || v.changed != changed {
					t.Errorf("from %s: to %s (changed: %v), want %s (changed: %v)", from, v.State, v.changed, to, changed)
				}
				if from != to && (len(v.events) != 1 || v.events[0].payload.GetState().String() != string(to)) {
					t.Errorf("from %s: events %v", from, v.events)
				}
			}
			for from, to := range test.to {
				check(from, to, true, true)
			}
			for _, from := range test.stays {
				check(from, from, false, true)
			}
			for _, from := range test.refused {
				check(from, from, false, false)
			}
		})
	}
}

func TestWhatTheClockForbids(t *testing.T) {
	v := in(Converting)
	v.LeaseUntil = now + 1
	var held *LeaseError
	if err := v.Claim(now, time.Second, "w", "e", 10); !errors.As(err, &held) {
		t.Errorf("claim under a lease: %v", err)
	}
	if err := errors.Join(v.GiveUp(now), v.Spoil(now, "x")); err != nil || v.State != Converting {
		t.Errorf("taken from a worker that has it: %s, %v", v.State, err)
	}
	v = in(Uploading)
	v.ExpireTime = now + 1
	if err := v.Expire(now); err != nil || v.State != Uploading {
		t.Errorf("expired too early: %s, %v", v.State, err)
	}
}

func TestClaimsWithoutHeadwayAddUp(t *testing.T) {
	v := in(Uploaded)
	claim := func() {
		v.LeaseUntil = 0
		if err := v.Claim(now, time.Second, "w", "e", 10); err != nil {
			t.Fatal(err)
		}
	}
	report := func(done int32) {
		if err := v.Report(now, time.Second, v.Fence, &ingestv1.ConversionProgress{DoneExamples: done}); err != nil {
			t.Fatal(err)
		}
	}
	for i, step := range []struct {
		do   func()
		want int32
	}{
		{claim, 1},
		{func() { report(5) }, 1},
		{claim, 2},
		{func() { report(5) }, 2}, // As far as before is no headway.
		{claim, 3},
		{func() { report(6) }, 1},
	} {
		if step.do(); v.Attempts != step.want {
			t.Errorf("step %d: %d attempts, want %d", i, v.Attempts, step.want)
		}
	}
}

func TestLooksAreSpacedOutAndNeverMissExpiry(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := in(rapid.SampledFrom([]State{Uploading, Uploaded, Converting}).Draw(t, "state"))
		v.Checks = rapid.Int32Range(0, 1000).Draw(t, "checks")
		v.ExpireTime = rapid.Int64Range(0, now*10_000).Draw(t, "expires")
		wait := time.Duration(rapid.Int64Range(1, int64(time.Hour)).Draw(t, "wait"))
		if !v.Look(now, v.Revision, wait, 30*time.Minute) {
			t.Fatal("refused")
		}
		limit := now + (30 * time.Minute).Microseconds()
		if v.NextCheck < now || v.NextCheck > limit {
			t.Fatalf("next look at %d, now is %d", v.NextCheck, now)
		}
		if v.State == Uploading && v.ExpireTime > now && v.NextCheck > v.ExpireTime {
			t.Fatalf("next look at %d, it expires at %d", v.NextCheck, v.ExpireTime)
		}
	})
	if v := in(Uploaded); v.Look(now, v.Revision+1, time.Second, time.Minute) || v.changed {
		t.Error("looked at a version that another has changed")
	}
}
