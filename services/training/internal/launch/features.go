package launch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"

	ingestv1 "github.com/trainyard/trainyard/gen/trainyard/ingest/v1"
	"github.com/trainyard/trainyard/services/training/recipe"
)

// S3 is what is used of S3.
type S3 interface {
	GetObject(context.Context, *s3.GetObjectInput, ...func(*s3.Options)) (*s3.GetObjectOutput, error)
}

const (
	featuresFile = "features.json" // beside the shards, as TensorFlow Datasets writes it
	maxFeatures  = 64 << 20        // bytes of it
)

// inputs chooses what a recipe reads of a version's examples: the feature's name for each of its inputs that hasn't the usual one.
func (l *Launcher) inputs(ctx context.Context, v *ingestv1.Version, chosen *recipe.Recipe) (map[string]string, error) {
	classes, err := l.features(ctx, v)
	if err != nil {
		return nil, err
	}
	names := make(map[string]string, len(chosen.Inputs))
	column := v.GetConversion().GetLabelColumn()
	for _, input := range chosen.Inputs {
		var fit []string
		for _, name := range slices.Sorted(maps.Keys(classes)) {
			if strings.HasSuffix(classes[name], "."+input.Class) {
				fit = append(fit, name)
			}
		}
		switch {
		case input.Parameter == recipe.LabelFeature && slices.Contains(fit, column):
			names[input.Parameter] = column
		case slices.Contains(fit, input.Default):
			// The training program reads it unless it is told otherwise.
		case len(fit) == 1:
			names[input.Parameter] = fit[0]
		case len(fit) > 1:
			return nil, &FieldError{Field: "training_job.dataset_version", Message: fmt.Sprintf(
				"%s has several features that may be the %s: %s. Upload the data again with the one to train on named %q%s.",
				v.GetName(), input.Default, listed(fit), input.Default, orChosen(input))}
		default:
			var have []string
			for _, name := range slices.Sorted(maps.Keys(classes)) {
				have = append(have, fmt.Sprintf("%s (%s)", name, classes[name][strings.LastIndexByte(classes[name], '.')+1:]))
			}
			return nil, &FieldError{Field: "training_job.dataset_version", Message: fmt.Sprintf(
				"The examples of %s hold no %s of the kind %s, which recipes/%s needs; their features are %s. Choose another dataset.",
				v.GetName(), input.Default, input.Class, chosen.ID, listed(have))}
		}
	}
	return names, nil
}

// orChosen says how else an input is told among several features.
func orChosen(input recipe.Input) string {
	if input.Parameter == recipe.LabelFeature {
		return ", or choose it as the label column"
	}
	return ""
}

// features gives the TensorFlow Datasets class of each feature of a version.
func (l *Launcher) features(ctx context.Context, v *ingestv1.Version) (map[string]string, error) {
	bucket, prefix, ok := strings.Cut(strings.TrimPrefix(v.GetUri(), "s3://"), "/")
	if !ok {
		return nil, fmt.Errorf("%s: URI %q is not of the form s3://bucket/prefix/", v.GetName(), v.GetUri())
	}
	object, err := l.S3.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String(bucket), Key: aws.String(prefix + featuresFile)})
	var missing *s3types.NoSuchKey
	switch {
	case errors.As(err, &missing):
		return nil, &FieldError{Field: "training_job.dataset_version", Message: fmt.Sprintf(
			"%s has no %s beside its shards, so its examples can't be read: upload the data again.", v.GetName(), featuresFile)}
	case err != nil:
		return nil, &UnavailableError{Cause: fmt.Errorf("get the features of %s: %w", v.GetName(), err)}
	}
	defer func() { _ = object.Body.Close() }()
	var described struct {
		FeaturesDict struct {
			Features map[string]struct {
				Class string `json:"pythonClassName"`
			} `json:"features"`
		} `json:"featuresDict"`
	}
	if err := json.NewDecoder(io.LimitReader(object.Body, maxFeatures)).Decode(&described); err != nil {
		return nil, &UnavailableError{Cause: fmt.Errorf("read the features of %s: %w", v.GetName(), err)}
	}
	classes := make(map[string]string, len(described.FeaturesDict.Features))
	for name, f := range described.FeaturesDict.Features {
		classes[name] = f.Class
	}
	return classes, nil
}
