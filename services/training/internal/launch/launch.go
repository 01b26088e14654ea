// Package launch turns a request into a stored job: it checks everything that can be known before, pins the dataset version,
// fills defaults in and writes down the very request that SageMaker will get.
package launch

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"time"
	"unicode"

	"google.golang.org/grpc"

	ingestv1 "github.com/trainyard/trainyard/gen/trainyard/ingest/v1"
	"github.com/trainyard/trainyard/services/training/internal/basedataset"
	"github.com/trainyard/trainyard/services/training/internal/job"
	"github.com/trainyard/trainyard/services/training/preflight"
	"github.com/trainyard/trainyard/services/training/price"
	"github.com/trainyard/trainyard/services/training/recipe"
	"github.com/trainyard/trainyard/services/training/region"
	"github.com/trainyard/trainyard/services/training/spec"
)

// Ingest is what is used of the ingest service.
type Ingest interface {
	GetVersion(context.Context, *ingestv1.GetVersionRequest, ...grpc.CallOption) (*ingestv1.GetVersionResponse, error)
}

// Config is what every job has in common.
type Config struct {
	Region            string
	Image             string
	RoleARN           string
	Bucket            string
	Registries        spec.Registries // Where users' own images may come from; none means spec.DefaultRegistries.
	Subnets           []string
	SecurityGroups    []string
	InstanceType      string // For jobs that name none; empty means the recipe's.
	MaxRuntimeSeconds int32  // For jobs that name none.
	VolumeKMSKey      string // For jobs that name none, as OutputKMSKey.
	OutputKMSKey      string
	UploadsQueueARN   string // Of the S3 events; empty if it isn't known.
	PreflightTimeout  time.Duration
}

// Launcher makes jobs.
type Launcher struct {
	Config       Config
	Jobs         *job.Store
	Ingest       Ingest
	S3           S3
	Recipes      recipe.Catalogue
	BaseDatasets *basedataset.Catalog
	Capabilities *region.Table
	Prices       *price.Table
	// Clients gives what preflight asks in a region.
	Clients func(ctx context.Context, region string) (*preflight.Clients, error)

	trials checkedTrials
}

// FieldError tells that a field of the request can't be.
type FieldError struct {
	Field   string
	Message string
}

func (e *FieldError) Error() string { return e.Message }

// NotReadyError tells that a dataset version can't be trained on in the state it is in.
type NotReadyError struct {
	Field string // Of the request, that names it.
	Name  string
	State string
}

func (e *NotReadyError) Error() string {
	switch e.State {
	case ingestv1.Version_FAILED.String(), ingestv1.Version_EXPIRED.String(), ingestv1.Version_ABORTED.String():
		return fmt.Sprintf("%s is %s and will not become READY: upload the data again as a new version.", e.Name, e.State)
	}
	return fmt.Sprintf("%s is %s, and only a READY version can be trained on: wait until its conversion has ended.", e.Name, e.State)
}

// UnavailableError tells that the ingest service or S3 didn't answer.
type UnavailableError struct{ Cause error }

func (e *UnavailableError) Error() string { return e.Cause.Error() }

func (e *UnavailableError) Unwrap() error { return e.Cause }

var requestID = regexp.MustCompile(`^[ -~]{0,64}$`)

// Create makes a job, QUEUED, unless preflight finds that it would fail. A request id that a job of the project was made with gives that job. It
// fails with one of this package's errors, or with spec.Error, one of package job's, quota.ExceededError or one of package recipe's.
func (l *Launcher) Create(ctx context.Context, project string, request Request) (*job.Job, error) {
	if !requestID.MatchString(request.RequestID) {
		return nil, &FieldError{Field: "request_id", Message: "request_id must be up to 64 printable ASCII characters, such as a UUID."}
	}
	if request.RequestID != "" {
		if earlier, err := l.Jobs.ByRequest(ctx, project, request.RequestID); err != nil || earlier != nil {
			return earlier, err
		}
	}
	made, err := l.create(ctx, project, request)
	if err != nil && request.RequestID != "" {
		// A call of the same request at the same time may have made the job, and be what is in this one's way.
		if earlier, findErr := l.Jobs.ByRequest(ctx, project, request.RequestID); findErr == nil && earlier != nil {
			return earlier, nil
		}
	}
	return made, err
}

func (l *Launcher) create(ctx context.Context, project string, request Request) (*job.Job, error) {
	p, err := l.plan(ctx, project, request, l.Config.Region)
	if err != nil {
		return nil, err
	}
	if found, ok := l.trials.recall(request.Sweep, time.Now()); ok {
		p.Job.Preflight = found
		return l.Jobs.Insert(ctx, p.Job)
	}
	checked, err := l.check(ctx, p)
	if err != nil {
		return nil, err
	}
	if len(checked.Failed) > 0 {
		return nil, &PreflightError{Failed: checked.Failed}
	}
	l.trials.remember(request.Sweep, p.Job.Preflight, time.Now())
	return l.Jobs.Insert(ctx, p.Job)
}

func listed(names []string) string {
	if len(names) > 5 {
		return strings.Join(names[:5], ", ") + ", …"
	}
	return strings.Join(names, ", ")
}

// region gives the region that a request asks for; empty means the installation's.
func (l *Launcher) region(asked, field string) (string, error) {
	if asked == "" {
		return l.Config.Region, nil
	}
	if err := region.Valid(asked); err != nil {
		return "", &FieldError{Field: field, Message: err.Error()}
	}
	return asked, nil
}

// hasControl tells whether a text has control characters, which no name has and PostgreSQL doesn't take all of.
func hasControl(text string) bool { return strings.ContainsFunc(text, unicode.IsControl) }

// shorten keeps what a user sent from filling an error.
func shorten(text string) string {
	if runes := []rune(text); len(runes) > 80 {
		return string(runes[:79]) + "…"
	}
	return text
}
