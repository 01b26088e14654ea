package basedataset

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/trainyard/trainyard/services/training/recipe"
)

// Objects is what is used of S3.
type Objects interface {
	GetObject(context.Context, *s3.GetObjectInput, ...func(*s3.Options)) (*s3.GetObjectOutput, error)
}

// Feature is a feature of examples.
type Feature struct {
	// Class is its class in TensorFlow Datasets without the module, such as Image.
	Class string `json:"class"`
	// Shape are an image's height, width and channels, -1 where they vary; empty when nobody said.
	Shape []int `json:"shape,omitempty"`
}

// Features are the features of a dataset's examples by name; empty when they aren't known.
type Features map[string]Feature

const (
	// featuresFile lies beside the shards, as TensorFlow Datasets writes it.
	featuresFile = "features.json"
	maxFeatures  = 64 << 20 // bytes of it
)

// ErrNoFeatures says that no features.json lies beside the shards.
var ErrNoFeatures = errors.New("there is no features.json beside the shards")

// UnavailableError tells that S3 didn't answer.
type UnavailableError struct{ Cause error }

func (e *UnavailableError) Error() string { return e.Cause.Error() }

func (e *UnavailableError) Unwrap() error { return e.Cause }

// ReadFeatures reads the features of a converted dataset at `s3://bucket/prefix/`. It fails with ErrNoFeatures or an UnavailableError.
func ReadFeatures(ctx context.Context, client Objects, uri string) (Features, error) {
	bucket, prefix, ok := strings.Cut(strings.TrimPrefix(uri, "s3://"), "/")
	if !ok {
		return nil, fmt.Errorf("URI %q is not of the form s3://bucket/prefix/", uri)
	}
	object, err := client.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String(bucket), Key: aws.String(prefix + featuresFile)})
	if missing := (*s3types.NoSuchKey)(nil); errors.As(err, &missing) {
		return nil, ErrNoFeatures
	}
	if err != nil {
		return nil, &UnavailableError{Cause: fmt.Errorf("get %s%s: %w", uri, featuresFile, err)}
	}
	defer func() { _ = object.Body.Close() }()
	var described struct {
		FeaturesDict struct {
			Features map[string]struct {
				Class string `json:"pythonClassName"`
				Image struct {
					Shape struct {
						Dimensions []string `json:"dimensions"`
					} `json:"shape"`
				} `json:"image"`
			} `json:"features"`
		} `json:"featuresDict"`
	}
	if err := json.NewDecoder(io.LimitReader(object.Body, maxFeatures)).Decode(&described); err != nil {
		return nil, &UnavailableError{Cause: fmt.Errorf("read %s%s: %w", uri, featuresFile, err)}
	}
	features := make(Features, len(described.FeaturesDict.Features))
	for name, f := range described.FeaturesDict.Features {
		feature := Feature{Class: f.Class[strings.LastIndexByte(f.Class, '.')+1:]}
		for _, d := range f.Image.Shape.Dimensions {
			n, err := strconv.Atoi(d)
			if err != nil {
				n = -1
			}
			feature.Shape = append(feature.Shape, n)
		}
		features[name] = feature
	}
	return features, nil
}

// Classes are the features' classes by name, as the API shows them.
func (f Features) Classes() map[string]string {
	classes := make(map[string]string, len(f))
	for name, feature := range f {
		classes[name] = feature.Class
	}
	return classes
}

// String lists the features for people.
func (f Features) String() string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(f)) {
		all = append(all, fmt.Sprintf("%s (%s)", name, f[name].Class))
	}
	return listed(all)
}

// Choose gives the name of the feature that a recipe reads for an input: the usual one, or the only one of its class. Where there are
// several or none, name is empty and fit lists those of the class.
func (f Features) Choose(input recipe.Input) (name string, fit []string) {
	for _, name := range slices.Sorted(maps.Keys(f)) {
		if f[name].Class == input.Class {
			fit = append(fit, name)
		}
	}
	switch {
	case slices.Contains(fit, input.Default):
		return input.Default, fit
	case len(fit) == 1:
		return fit[0], fit
	}
	return "", fit
}

func listed(names []string) string {
	if len(names) > 5 {
		return strings.Join(names[:5], ", ") + ", …"
	}
	return strings.Join(names, ", ")
}
