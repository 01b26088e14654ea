package preflight

import (
	"fmt"
	"slices"
	"strings"
)

// findings gathers what a check sees of several things, such as each bucket of a job, and ends as the worst of it.
type findings struct {
	status          Status
	seen            []string
	mends, snippets []string
}

func (f *findings) ok(format string, args ...any) {
	f.seen = append(f.seen, fmt.Sprintf(format, args...))
}

// warn and fail add what was seen with its mend and the lines that mend it; these may be empty, and one that is already there isn't repeated.
func (f *findings) warn(seen, mend, snippet string) { f.add(Warn, seen, mend, snippet) }
func (f *findings) fail(seen, mend, snippet string) { f.add(Fail, seen, mend, snippet) }

func (f *findings) add(s Status, seen, mend, snippet string) {
	if f.status != Fail {
		f.status = s
	}
	f.seen = append(f.seen, seen)
	f.mends = appendNew(f.mends, mend)
	f.snippets = appendNew(f.snippets, snippet)
}

// result ends the check: passed if nothing was wrong.
func (f *findings) result(prevents string) Result {
	r := Result{
		Status: f.status, Seen: strings.Join(f.seen, "; "), Prevents: prevents,
		Mend: strings.Join(f.mends, "; "), Snippet: strings.Join(f.snippets, "\n"),
	}
	if r.Status == "" {
		r.Status = Pass
	}
	return r
}

// skipped ends a check that doesn't concern this job.
func skipped(format string, args ...any) (Result, error) {
	return Result{Status: Skipped, Seen: fmt.Sprintf(format, args...)}, nil
}

func appendNew(list []string, more ...string) []string {
	for _, s := range more {
		if s != "" && !slices.Contains(list, s) {
			list = append(list, s)
		}
	}
	return list
}
