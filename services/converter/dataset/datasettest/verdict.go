package datasettest

import (
	"testing"
	"time"
)

// verdictTime is how long the verdict on a hostile upload may take.
const verdictTime = 5 * time.Second

// InTime fails the test when a verdict took too long. The race detector makes everything some ten times slower, so that nothing can be said under it.
func InTime(t testing.TB, took time.Duration) {
	t.Helper()
	if took > verdictTime && !RaceDetector {
		t.Errorf("the verdict took %v; it must come within %v", took, verdictTime)
	}
}
