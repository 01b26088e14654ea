package fault_test

import (
	"errors"
	"testing"

	"github.com/trainyard/trainyard/services/localcloud/awsjson"
	"github.com/trainyard/trainyard/services/localcloud/fault"
)

func code(err error) string {
	var known *awsjson.Error
	if errors.As(err, &known) {
		return known.Code
	}
	return ""
}

func TestFaultsComeInTheirOrderAndEnd(t *testing.T) {
	t.Parallel()
	var i fault.Injector
	i.Fail("A", 2, fault.Throttled())
	i.Fail("A", 1, fault.Denied("x:A"))
	i.Fail("B", fault.Always, fault.Unavailable())
	for n, want := range []string{"ThrottlingException", "ThrottlingException", "AccessDeniedException", "", ""} {
		if got := code(i.Intercept("A")); got != want {
			t.Errorf("call %d of A: %q, want %q", n+1, got, want)
		}
		if got := code(i.Intercept("B")); got != "ServiceUnavailable" {
			t.Errorf("call %d of B: %q", n+1, got)
		}
	}
	i.Clear()
	if err := i.Intercept("B"); err != nil {
		t.Errorf("after Clear: %v", err)
	}
	if a, b := i.Calls("A"), i.Calls("B"); a != 5 || b != 6 {
		t.Errorf("calls %d and %d, want 5 and 6", a, b)
	}
	if err := (*fault.Injector)(nil).Intercept("A"); err != nil {
		t.Errorf("a nil injector fails: %v", err)
	}
}
