package lease_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/trainyard/trainyard/services/training/internal/lease"
)

var (
	errLost = errors.New("somebody else has it")
	errAway = errors.New("the database is away")
)

func TestHold(t *testing.T) {
	const lasts = 15 * time.Second
	for name, test := range map[string]struct {
		answers []error // Of the renewals, the last one for ever.
		works   time.Duration
		ends    time.Duration
		lost    bool
	}{
		"work that is done before a renewal": {[]error{errLost}, time.Second, time.Second, false},
		"a lease that is renewed":            {[]error{nil}, time.Hour, time.Hour, false},
		"a lease that is somebody else's":    {[]error{nil, errLost}, time.Hour, 10 * time.Second, true},
		"a database that comes back in time": {[]error{errAway, nil}, time.Hour, time.Hour, false},
		"a database that doesn't come back":  {[]error{nil, errAway}, time.Hour, 20 * time.Second, true},
		"a database that was never there":    {[]error{errAway}, time.Hour, 15 * time.Second, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began, asked := time.Now(), 0
				renew := func(context.Context) error {
					asked++
					return test.answers[min(asked, len(test.answers))-1]
				}
				err := lease.Hold(t.Context(), lasts, errLost, renew, func(ctx context.Context) error {
					select {
					case <-ctx.Done():
						return context.Cause(ctx)
					case <-time.After(test.works):
						return nil
					}
				})
				if errors.Is(err, errLost) != test.lost || err != nil && !test.lost || time.Since(began) != test.ends {
					t.Errorf("after %v: %v; want the lease lost: %v, after %v", time.Since(began), err, test.lost, test.ends)
				}
			})
		})
	}
}

func TestBackoff(t *testing.T) {
	for troubles, longest := range map[int64]time.Duration{1: time.Second, 2: 2 * time.Second, 6: 32 * time.Second, 7: time.Minute, 1000: time.Minute} {
		if got := lease.Backoff(troubles); got < longest/2 || got > longest {
			t.Errorf("after %d troubles it rests %v, want %v to %v", troubles, got, longest/2, longest)
		}
	}
}
