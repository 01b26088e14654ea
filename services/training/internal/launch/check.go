package launch

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/trainyard/trainyard/services/training/internal/job"
	"github.com/trainyard/trainyard/services/training/preflight"
	"github.com/trainyard/trainyard/services/training/spec"
)

// PreflightError tells that a job would fail.
type PreflightError struct {
	Failed []job.CheckResult // Those that keep the job from being made.
}

func (e *PreflightError) Error() string {
	names := make([]string, len(e.Failed))
	for i, r := range e.Failed {
		names[i] = fmt.Sprintf("%s (%s)", r.Check, r.Seen)
	}
	return fmt.Sprintf("The job would fail and was not made; nothing is billed. Failed: %s. Mend it as the checks say, or override a check by its name in override_checks.",
		strings.Join(names, "; "))
}

// Checked is a plan with what preflight found of it, which its job has.
type Checked struct {
	*Plan
	// Failed are those that keep the job from being made.
	Failed []job.CheckResult
}

// Preflight looks for what would go wrong with a job in a region; empty means the installation's. It fails as Create does where the job can't even
// be described.
func (l *Launcher) Preflight(ctx context.Context, project string, request Request, region string) (*Checked, error) {
	region, err := l.region(region, "region")
	if err != nil {
		return nil, err
	}
	p, err := l.plan(ctx, project, request, region)
	if limit := (*spec.Error)(nil); errors.As(err, &limit) && limit.Field == "" && region != l.Config.Region {
		return nil, &spec.Error{Message: fmt.Sprintf("%s `trainyard doctor --compare %s %s` lists all that is to be changed.", limit.Message, l.Config.Region, region)}
	}
	if err != nil {
		return nil, err
	}
	return l.check(ctx, p)
}

// check runs the checks on a plan.
func (l *Launcher) check(ctx context.Context, p *Plan) (*Checked, error) {
	clients, err := l.Clients(ctx, p.Job.Region)
	if err != nil {
		return nil, err
	}
	results := preflight.Run(ctx, clients, &preflight.Subject{
		Region: p.Job.Region, Capabilities: l.Capabilities, Request: p.Input,
		UploadsBucket: l.Config.Bucket, UploadsPrefix: uploadsPrefix, UploadsQueueARN: l.Config.UploadsQueueARN,
	}, preflight.All(), l.Config.PreflightTimeout)
	failed, err := preflight.Blocking(results, p.Job.OverrideChecks)
	if err != nil {
		return nil, &FieldError{Field: "training_job.override_checks", Message: err.Error() + "."}
	}
	p.Job.Preflight = stored(results)
	return &Checked{Plan: p, Failed: stored(failed)}, nil
}

// stored are results as a job keeps them.
func stored(results []preflight.Result) []job.CheckResult {
	kept := make([]job.CheckResult, len(results))
	for i, r := range results {
		kept[i] = job.CheckResult{
			Check: r.Check, Title: r.Title, Status: string(r.Status), Seen: r.Seen, Prevents: r.Prevents, Mend: r.Mend, Snippet: r.Snippet,
			Overridden: r.Overridden, Seconds: r.Took.Seconds(),
		}
	}
	return kept
}

// uploadsPrefix is where uploads lie in the bucket; the S3 event notification of the suite has it as its filter.
const uploadsPrefix = "uploads/"
