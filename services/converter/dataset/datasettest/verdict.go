package datasettest

import (
	"syscall"
	"testing"
	"time"
)

// verdictTime is how long the verdict on a hostile upload may take.
const verdictTime = 5 * time.Second

// ProcessorTime is what this process has used of its processors. On a busy machine a test's time on the clock says more of others than of it.
func ProcessorTime(t testing.TB) time.Duration {
	t.Helper()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		t.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// InTime fails the test when a verdict took too long. The race detector makes everything some ten times slower, so that nothing can be said under it.
func InTime(t testing.TB, took time.Duration) {
	t.Helper()
	if took > verdictTime && !RaceDetector {
		t.Errorf("the verdict took %v; it must come within %v", took, verdictTime)
	}
}
