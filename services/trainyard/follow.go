package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/trainyard/trainyard/services/trainyard/client"
)

var (
	// errSilent ends a command with an exit code and no further text: what is wrong has been told.
	errSilent = errors.New("")
	// errInterrupted is Ctrl-C.
	errInterrupted = errors.New("interrupted")
)

// withHint adds how to go on after a command that ended early.
func withHint(ctx context.Context, err error, format string, args ...any) error {
	if ctx.Err() != nil {
		err = errInterrupted
	}
	return fmt.Errorf("%w; %s", err, fmt.Sprintf(format, args...))
}

// follow calls look now, at every event of the resource, and every two seconds in case the event stream is away, until look says that it is
// over.
func follow(ctx context.Context, api *client.Client, resource string, look func(ctx context.Context) (done bool, err error)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	wake := make(chan struct{}, 1)
	go func() {
		// An error here is no loss: the ticker goes on.
		_ = api.Watch(ctx, resource, "latest", func(client.Event) error {
			select {
			case wake <- struct{}{}:
			default:
			}
			return nil
		})
	}()
	ticker := time.NewTicker(2 * time.Second)
	defer ticker.Stop()
	for {
		if done, err := look(ctx); done || err != nil {
			return err
		}
		select {
		case <-wake:
		case <-ticker.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
