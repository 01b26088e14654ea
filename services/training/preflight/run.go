package preflight

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"strings"
	"time"
)

// statusOrder is how results are listed: what keeps the job from running comes first.
var statusOrder = []Status{Fail, Warn, Skipped, Pass}

// Run runs the checks side by side and gives a result for each, failures first, then warnings, skipped and passed ones, each by name. It returns
// by the deadline: a check that hasn't ended by then is skipped, and its late result is dropped.
func Run(ctx context.Context, clients *Clients, subject *Subject, checks []Check, deadline time.Duration) []Result {
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	began := time.Now()
	type ended struct {
		index  int
		result Result
	}
	done := make(chan ended, len(checks)) // Room for all, so that a late check can end.
	for i, c := range checks {
		go func() { done <- ended{i, runOne(ctx, clients, subject, c, deadline)} }()
	}
	results := make([]Result, len(checks))
	left := len(checks)
	take := func(e ended) { results[e.index], left = e.result, left-1 }
	for left > 0 && ctx.Err() == nil {
		select {
		case e := <-done:
			take(e)
		case <-ctx.Done():
		}
	}
	for drained := false; left > 0 && !drained; {
		select {
		case e := <-done:
			take(e)
		default:
			drained = true
		}
	}
	for i, c := range checks {
		if results[i].Check == "" {
			results[i] = Result{Check: c.Name, Title: c.Title, Status: Skipped, Seen: unanswered(ctx, deadline), Took: time.Since(began)}
		}
	}
	slices.SortStableFunc(results, func(a, b Result) int {
		return cmp.Or(
			cmp.Compare(slices.Index(statusOrder, a.Status), slices.Index(statusOrder, b.Status)),
			cmp.Compare(a.Check, b.Check),
		)
	})
	return results
}

// runOne runs one check and turns an error or a panic into a result.
func runOne(ctx context.Context, clients *Clients, subject *Subject, c Check, deadline time.Duration) (r Result) {
	began := time.Now()
	defer func() {
		if p := recover(); p != nil {
			slog.ErrorContext(ctx, "preflight: a check panicked", "check", c.Name, "panic", p, "stack", string(debug.Stack()))
			r = Result{Status: Skipped, Seen: "the check itself broke, which is a fault of this program and says nothing about the job"}
		}
		r.Check, r.Title, r.Took = c.Name, c.Title, time.Since(began)
	}()
	r, err := c.Run(ctx, clients, subject)
	if err == nil {
		return r
	}
	why := skip(err, subject.Region)
	if ctx.Err() != nil {
		why = Result{Seen: unanswered(ctx, deadline)}
	}
	if r.Seen != "" {
		why.Seen += "; seen until then: " + r.Seen
	}
	if r.Status == Fail {
		r.Seen = why.Seen
		return r
	}
	why.Status, why.Prevents = Skipped, r.Prevents
	return why
}

func unanswered(ctx context.Context, deadline time.Duration) string {
	if context.Cause(ctx) == context.DeadlineExceeded {
		return fmt.Sprintf("did not answer within %v", deadline)
	}
	return "was cancelled before it ended"
}

// UnknownCheckError tells that an override names no check.
type UnknownCheckError struct {
	Name  string
	Names []string // Of the checks that there are.
}

func (e *UnknownCheckError) Error() string {
	return fmt.Sprintf("there is no check %q to override; the checks are %s", e.Name, strings.Join(e.Names, ", "))
}

// Blocking marks the failures that are overridden by name, and gives those that aren't: while there are any, the job must not be made. An override
// that names none of the results' checks is an *UnknownCheckError.
func Blocking(results []Result, overrides []string) (failed []Result, err error) {
	for _, name := range overrides {
		if !slices.ContainsFunc(results, func(r Result) bool { return r.Check == name }) {
			return nil, &UnknownCheckError{Name: name, Names: names(results, func(r Result) string { return r.Check })}
		}
	}
	for i := range results {
		r := &results[i]
		r.Overridden = r.Status == Fail && slices.Contains(overrides, r.Check)
		if r.Status == Fail && !r.Overridden {
			failed = append(failed, *r)
		}
	}
	return failed, nil
}

// Names lists the names of all checks, in order.
func Names() []string { return names(All(), func(c Check) string { return c.Name }) }

func names[T any](all []T, name func(T) string) []string {
	list := make([]string, len(all))
	for i, one := range all {
		list[i] = name(one)
	}
	slices.Sort(list)
	return list
}
