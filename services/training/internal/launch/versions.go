package launch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.einride.tech/aip/resourcename"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	ingestv1 "github.com/trainyard/trainyard/gen/trainyard/ingest/v1"
	"github.com/trainyard/trainyard/services/internal/auth"
	"github.com/trainyard/trainyard/services/training/internal/job"
	"github.com/trainyard/trainyard/services/training/recipe"
	"github.com/trainyard/trainyard/services/training/spec"
)

// Ready finds the READY version that a name means: a version, or a dataset's newest READY one.
func (l *Launcher) Ready(ctx context.Context, project, name, field string) (*ingestv1.Version, error) {
	ctx = auth.ForProject(ctx, project)
	var dataset, number string
	if resourcename.Sscan(name, "datasets/{dataset}/versions/{version}", &dataset, &number) == nil {
		version, err := l.getVersion(ctx, dataset, number)
		if errors.Is(err, errNoVersion) {
			return nil, &job.NotFoundError{Name: name}
		}
		if err != nil {
			return nil, err
		}
		return ready(version, field)
	}
	if resourcename.Sscan(name, "datasets/{dataset}", &dataset) != nil {
		return nil, &FieldError{Field: field, Message: fmt.Sprintf(
			"The dataset version %q must be datasets/NAME/versions/NUMBER, or datasets/NAME for its newest READY version.", shorten(name))}
	}
	version, err := l.getVersion(ctx, dataset, "latest-ready")
	if errors.Is(err, errNoVersion) {
		// Is there no such dataset, or is none of its versions READY?
		version, err = l.getVersion(ctx, dataset, "latest")
	}
	if errors.Is(err, errNoVersion) {
		return nil, &job.NotFoundError{Name: name}
	}
	if err != nil {
		return nil, err
	}
	return ready(version, field)
}

// errNoVersion says that ingest has no such dataset or version in the project.
var errNoVersion = errors.New("no such version")

func (l *Launcher) getVersion(ctx context.Context, dataset, number string) (*ingestv1.Version, error) {
	response, err := l.Ingest.GetVersion(ctx, &ingestv1.GetVersionRequest{Name: resourcename.Join("datasets/"+dataset, "versions/"+number)})
	switch status.Code(err) {
	case codes.OK:
		return response.GetVersion(), nil
	case codes.NotFound, codes.InvalidArgument: // A name that breaks ingest's rules names nothing.
		return nil, errNoVersion
	case codes.Unavailable, codes.DeadlineExceeded, codes.ResourceExhausted:
		return nil, &UnavailableError{Cause: fmt.Errorf("ingest: %w", err)}
	}
	return nil, fmt.Errorf("ingest: %w", err)
}

// ready tells whether a version's conversion has ended well.
func ready(v *ingestv1.Version, field string) (*ingestv1.Version, error) {
	if v.GetState() != ingestv1.Version_READY {
		return nil, &NotReadyError{Field: field, Name: v.GetName(), State: v.GetState().String()}
	}
	return v, nil
}

// complete tells whether a version has examples in both splits that a job reads.
func complete(v *ingestv1.Version, field string) error {
	for _, split := range []string{spec.TrainChannel, spec.ValidationChannel} {
		i := slices.IndexFunc(v.GetSplits(), func(s *ingestv1.Split) bool { return s.GetName() == split })
		if i < 0 || v.GetSplits()[i].GetExampleCount() == 0 {
			return &FieldError{Field: field, Message: fmt.Sprintf(
				"%s has no examples in its %s split, which a training needs: upload it again with more examples or other split fractions.", v.GetName(), split)}
		}
	}
	return nil
}

// readable tells whether a recipe's trainer reads what a version's examples hold.
func readable(v *ingestv1.Version, chosen *recipe.Recipe, field string) error {
	if n := len(v.GetClasses()); n < 2 {
		return &FieldError{Field: field, Message: fmt.Sprintf(
			"%s has %d classes, and it takes two to tell apart: upload a dataset with more.", v.GetName(), n)}
	}
	if format := v.GetFormat(); format != "" && !slices.Contains(chosen.Formats, format) {
		return &FieldError{Field: field, Message: fmt.Sprintf(
			"%s was read as %s, and recipes/%s trains on examples of an image and its class, as %s have them: choose another dataset, or upload this one in one of these formats.",
			v.GetName(), format, chosen.ID, strings.Join(chosen.Formats, ", "))}
	}
	if v.GetConversion().GetCompression() == ingestv1.ConversionOptions_GZIP {
		return &FieldError{Field: field, Message: fmt.Sprintf(
			"%s has compressed shards, which recipes/%s doesn't read: upload it again without compression.", v.GetName(), chosen.ID)}
	}
	return nil
}
