package launch

import (
	"testing"
	"time"

	"github.com/trainyard/trainyard/services/training/internal/job"
)

func TestChecksHoldForTrialsOfOneSweepForAWhile(t *testing.T) {
	var trials checkedTrials
	now := time.Now()
	trials.remember("a", []job.CheckResult{{Check: "s3-route"}}, now)
	trials.remember("", []job.CheckResult{{Check: "image"}}, now)
	for name, test := range map[string]struct {
		sweep string
		after time.Duration
		known bool
	}{
		"the next trial":         {"a", checksHold - 1, true},
		"one that starts later":  {"a", checksHold, false},
		"another sweep's":        {"b", 0, false},
		"a job that is no trial": {"", 0, false},
	} {
		found, known := trials.recall(test.sweep, now.Add(test.after))
		if known != test.known || known && found[0].Check != "s3-route" {
			t.Errorf("%s: %v, %v", name, found, known)
		}
	}
	trials.remember("b", nil, now.Add(checksHold))
	if len(trials.bySweep) != 1 {
		t.Errorf("what doesn't hold any more is kept: %v", trials.bySweep)
	}
}
