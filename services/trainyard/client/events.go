package client

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/tmaxmax/go-sse"
)

// Event is one event as the stream carries it.
type Event struct {
	Cursor string
	Type   string
	Data   string // The Event as JSON, on one line.
}

// Watch follows events of a resource and those below it (all when empty) from a cursor on, until the context ends or handle returns an
// error. It reconnects by itself and resumes where it was.
func (c *Client) Watch(ctx context.Context, resource, cursor string, handle func(Event) error) error {
	for {
		err := c.watchOnce(ctx, resource, &cursor, handle)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		var stop *stopError
		switch e := err.(type) { //nolint:errorlint // Both are made right below, unwrapped.
		case *stopError:
			stop = e
			return stop.err
		case *Error:
			if e.HTTPStatus >= 400 && e.HTTPStatus < 500 {
				return e
			}
			c.waiting(e)
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

type stopError struct{ err error }

func (e *stopError) Error() string { return e.err.Error() }

func (c *Client) watchOnce(ctx context.Context, resource string, cursor *string, handle func(Event) error) error {
	query := url.Values{}
	if resource != "" {
		query.Set("resource", resource)
	}
	if *cursor != "" {
		query.Set("cursor", *cursor)
	}
	req, err := c.request(ctx, http.MethodGet, "/v1/events:watch?"+query.Encode(), nil)
	if err != nil {
		return err
	}
	res, err := c.send(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		data, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
		if err != nil {
			return fmt.Errorf("events: %w", err)
		}
		return c.readError(res.StatusCode, data)
	}
	for event, err := range sse.Read(res.Body, &sse.ReadConfig{MaxEventSize: 8 << 20}) {
		if err != nil {
			return err
		}
		if event.LastEventID != "" {
			*cursor = event.LastEventID
		}
		if event.Data == "" || event.Type == "heartbeat" {
			continue
		}
		if err := handle(Event{Cursor: event.LastEventID, Type: event.Type, Data: event.Data}); err != nil {
			return &stopError{err}
		}
	}
	return nil
}
