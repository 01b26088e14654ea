package launch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	ingestv1 "github.com/trainyard/trainyard/gen/trainyard/ingest/v1"
	"github.com/trainyard/trainyard/services/training/internal/basedataset"
	"github.com/trainyard/trainyard/services/training/recipe"
)

// S3 is what is used of S3.
type S3 interface {
	GetObject(context.Context, *s3.GetObjectInput, ...func(*s3.Options)) (*s3.GetObjectOutput, error)
}

// inputs chooses what a recipe reads of a version's examples: the feature's name for each of its inputs that hasn't the usual one.
func (l *Launcher) inputs(ctx context.Context, v *ingestv1.Version, chosen *recipe.Recipe, field string) (map[string]string, error) {
	features, err := l.features(ctx, v, field)
	if err != nil {
		return nil, err
	}
	names := make(map[string]string, len(chosen.Inputs))
	column := v.GetConversion().GetLabelColumn()
	for _, input := range chosen.Inputs {
		name, fit := features.Choose(input)
		if input.Parameter == recipe.LabelFeature && slices.Contains(fit, column) {
			name = column
		}
		switch {
		case name == input.Default:
			// The training program reads it unless it is told otherwise.
		case name != "":
			names[input.Parameter] = name
		case len(fit) > 1:
			return nil, &FieldError{Field: field, Message: fmt.Sprintf(
				"%s has several features that may be the %s: %s. Upload the data again with the one to train on named %q%s.",
				v.GetName(), input.Default, strings.Join(fit, ", "), input.Default, orChosen(input))}
		default:
			return nil, &FieldError{Field: field, Message: fmt.Sprintf(
				"The examples of %s hold no %s of the kind %s, which recipes/%s needs; their features are %s. Choose another dataset.",
				v.GetName(), input.Default, input.Class, chosen.ID, features)}
		}
	}
	return names, nil
}

// labelFeature finds the feature of the class for a program of the user's own, which gets the names of the classes as a channel. It gives nothing where
// a version has no classes, or several that may be meant.
func (l *Launcher) labelFeature(ctx context.Context, v *ingestv1.Version, field string) (map[string]string, error) {
	if len(v.GetClasses()) == 0 {
		return nil, nil
	}
	features, err := l.features(ctx, v, field)
	if err != nil {
		return nil, err
	}
	name, fit := features.Choose(recipe.Input{Class: "ClassLabel", Default: "label"})
	if column := v.GetConversion().GetLabelColumn(); slices.Contains(fit, column) {
		name = column
	}
	if name == "" {
		return nil, nil
	}
	return map[string]string{recipe.LabelFeature: name}, nil
}

// orChosen says how else an input is told among several features.
func orChosen(input recipe.Input) string {
	if input.Parameter == recipe.LabelFeature {
		return ", or choose it as the label column"
	}
	return ""
}

// features reads what a version's examples hold.
func (l *Launcher) features(ctx context.Context, v *ingestv1.Version, field string) (basedataset.Features, error) {
	features, err := basedataset.ReadFeatures(ctx, l.S3, v.GetUri())
	if errors.Is(err, basedataset.ErrNoFeatures) {
		return nil, &FieldError{Field: field, Message: fmt.Sprintf(
			"%s has no features.json beside its shards, so its examples can't be read: upload the data again.", v.GetName())}
	}
	if err != nil {
		return nil, &UnavailableError{Cause: err}
	}
	return features, nil
}
