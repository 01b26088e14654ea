package catalog

import (
	"fmt"
	"time"
)

// NotFoundError says that the project has no such resource.
type NotFoundError struct{ Name string }

func (e *NotFoundError) Error() string { return "no " + e.Name }

// ExistsError says that the id is taken.
type ExistsError struct{ Name string }

func (e *ExistsError) Error() string { return e.Name + " exists already" }

// RequestReusedError says that a request id came again with another request.
type RequestReusedError struct{ RequestID string }

func (e *RequestReusedError) Error() string {
	return "request id " + e.RequestID + " was used for another request"
}

// StateError says that the version's state does not allow the change.
type StateError struct {
	Name  string
	State State
	Want  string // The states that would allow it, for people.
}

func (e *StateError) Error() string { return fmt.Sprintf("%s is %s, not %s", e.Name, e.State, e.Want) }

// FenceError says that another worker has taken over.
type FenceError struct {
	Name         string
	Fence, Given int64
}

func (e *FenceError) Error() string {
	return fmt.Sprintf("%s: fence %d is stale, it is %d now", e.Name, e.Given, e.Fence)
}

// LeaseError says that another worker has the version.
type LeaseError struct {
	Name   string
	Worker string
	Until  time.Time
}

func (e *LeaseError) Error() string {
	return fmt.Sprintf("%s is held by %s until %s", e.Name, e.Worker, e.Until.Format(time.RFC3339))
}

// SourceError says that the object in S3 is not the one that the version describes.
type SourceError struct {
	Name string
	What string // What differs.
}

func (e *SourceError) Error() string { return e.Name + ": " + e.What }

// QuotaError says which quota of a project a new version would break.
type QuotaError struct {
	Quota              string // `bytes`, `versions` or `concurrent_uploads`.
	Limit, Used, Asked int64
}

func (e *QuotaError) Error() string {
	return fmt.Sprintf("quota of %s: %d used and %d asked for, of %d", e.Quota, e.Used, e.Asked, e.Limit)
}
