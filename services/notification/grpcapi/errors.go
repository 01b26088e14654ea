package grpcapi

import (
	"errors"
	"strconv"

	errorsv1 "github.com/trainyard/trainyard/gen/trainyard/errors/v1"
	"github.com/trainyard/trainyard/services/internal/apierror"
	"github.com/trainyard/trainyard/services/notification/eventlog"
	"github.com/trainyard/trainyard/services/notification/hub"
	"google.golang.org/grpc/codes"
)

// errBadCursor says that a cursor is none of ours.
var errBadCursor = errors.New("cursor is not one that this service gave")

// toStatus is where errors become statuses. What it doesn't know, boot logs and answers with a fixed text.
func toStatus(err error) error {
	var pruned *eventlog.PrunedError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errBadCursor):
		return apierror.New(codes.InvalidArgument, errorsv1.ErrorReason_PAGE_TOKEN_INVALID,
			"cursor is not one that this service gave; begin again without it, or with `latest`.", "field", "cursor")
	case errors.Is(err, eventlog.ErrBeyondEnd):
		return apierror.New(codes.InvalidArgument, errorsv1.ErrorReason_PAGE_TOKEN_INVALID,
			"cursor lies beyond the end of this project's log, so it is from another log; begin again without it, or with `latest`.", "field", "cursor")
	case errors.As(err, &pruned):
		return apierror.New(codes.OutOfRange, errorsv1.ErrorReason_PAGE_TOKEN_INVALID,
			"The events after this cursor are no longer kept, so some would be missed: fetch the resources again and go on from oldest_cursor, or from `latest`.",
			"field", "cursor", "oldest_cursor", formatCursor(pruned.Oldest))
	case errors.Is(err, hub.ErrTooManyWatchers):
		return apierror.New(codes.ResourceExhausted, errorsv1.ErrorReason_QUOTA_EXCEEDED,
			"This project has as many event watchers open as it may; close some, or watch all resources by one.")
	case errors.Is(err, hub.ErrClosed):
		return apierror.New(codes.Unavailable, errorsv1.ErrorReason_DEPENDENCY_UNAVAILABLE,
			"The notification service is restarting; watch again with the last cursor.")
	default:
		return err
	}
}

func tooSlow(cursor int64) error {
	return apierror.New(codes.ResourceExhausted, errorsv1.ErrorReason_WATCHER_TOO_SLOW,
		"The watcher read too slowly and was cut off, nothing is lost: watch again with the last cursor.", "cursor", formatCursor(cursor))
}

// A cursor is the sequence of the last event before it, in decimal.
func formatCursor(position int64) string {
	return strconv.FormatInt(max(position, 0), 10)
}

func parseCursor(cursor string) (int64, error) {
	if cursor == "" {
		return eventlog.Beginning, nil
	}
	position, err := strconv.ParseInt(cursor, 10, 64)
	if err != nil || position < 0 || strconv.FormatInt(position, 10) != cursor {
		return 0, errBadCursor
	}
	return position, nil
}
