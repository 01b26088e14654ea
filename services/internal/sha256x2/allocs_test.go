//go:build !race

package sha256x2

import "testing"

// The race detector allocates on its own.
func TestWriteBothDoesNotAllocate(t *testing.T) {
	a, b, data := New(), New(), make([]byte, 4096)
	if n := testing.AllocsPerRun(100, func() { WriteBoth(a, data, b, data) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
