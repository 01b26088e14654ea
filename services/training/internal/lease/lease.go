// Package lease is what workers do that hold a lease of the database: they keep it while they work, and rest longer the more often they failed.
package lease

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"
)

// maxBackoff is the longest rest.
const maxBackoff = time.Minute

// Hold does work and renews its lease, which lasts for the given time, meanwhile. The work's context ends when renew fails with lost, or has failed for
// two thirds of the time: then another worker may have the lease soon. Hold returns what work does.
func Hold(ctx context.Context, lasts time.Duration, lost error, renew, work func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	renewing := make(chan struct{})
	go func() {
		defer close(renewing)
		keep(ctx, cancel, lasts, lost, renew)
	}()
	defer func() { cancel(nil); <-renewing }()
	return work(ctx)
}

func keep(ctx context.Context, cancel context.CancelCauseFunc, lasts time.Duration, lost error, renew func(context.Context) error) {
	tick := time.NewTicker(lasts / 3)
	defer tick.Stop()
	for renewed := time.Now(); ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		err := renew(ctx)
		switch {
		case err == nil:
			renewed = time.Now()
		case errors.Is(err, lost) || time.Since(renewed) > lasts*2/3:
			cancel(lost)
			return
		}
	}
}

// Backoff is about 1, 2, 4, … seconds and a minute at the most, with jitter so that those that failed together don't come back together. troubles counts
// the failures in a row, from 1.
func Backoff(troubles int64) time.Duration {
	longest := min(time.Second<<min(troubles-1, 10), maxBackoff)
	return longest/2 + rand.N(longest/2+1) //nolint:gosec // Jitter needs no secrecy.
}
