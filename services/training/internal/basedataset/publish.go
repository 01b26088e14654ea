package basedataset

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	ingestv1 "github.com/trainyard/trainyard/gen/trainyard/ingest/v1"
	"github.com/trainyard/trainyard/services/internal/store"
	"github.com/trainyard/trainyard/services/training/internal/job"
	"github.com/trainyard/trainyard/services/training/spec"
)

// Versions finds dataset versions.
type Versions interface {
	// Ready gives the READY version of a project that a name means: `datasets/{d}/versions/{n}`, or `datasets/{d}` for its newest READY one.
	// field is what errors call the name.
	Ready(ctx context.Context, project, name, field string) (*ingestv1.Version, error)
}

// Publication is a base dataset to make of a version.
type Publication struct {
	ID             string
	DatasetVersion string
	DisplayName    string
	Description    string
	MixRatio       float64
	// FileSystem is where the version's files were copied; nil means that jobs read the version's own S3 prefix.
	FileSystem *Location
}

// Publish makes a base dataset of a READY version, for its project alone. Where the project has it already, as it is asked for, that one is
// given. It fails with a FieldError, ExistsError, LimitError or UnavailableError, or with an error of Versions.
func (c *Catalog) Publish(ctx context.Context, project string, p Publication) (*BaseDataset, error) {
	if err := checkID(p.ID); err != nil {
		return nil, &FieldError{Field: "base_dataset_id", Message: "base_dataset_id: " + err.Error() + "."}
	}
	if !isShare(p.MixRatio) {
		return nil, &FieldError{Field: "mix_ratio", Message: fmt.Sprintf("mix_ratio %v must be from 0 to 1.", p.MixRatio)}
	}
	for _, text := range []struct{ field, value string }{{"display_name", p.DisplayName}, {"description", p.Description}} {
		if strings.ContainsRune(text.value, 0) { // PostgreSQL takes none.
			return nil, &FieldError{Field: text.field, Message: text.field + " holds a character of code 0: take it out."}
		}
	}
	version, err := c.Versions.Ready(ctx, project, p.DatasetVersion, "dataset_version")
	if err != nil {
		return nil, err
	}
	if err := publishable(version); err != nil {
		return nil, err
	}
	location, err := c.place(project, version, p.FileSystem)
	if err != nil {
		return nil, err
	}
	b := &BaseDataset{
		Project: project, ID: p.ID, DisplayName: p.DisplayName, Description: p.Description, MixRatio: p.MixRatio,
		Locations: []Location{location}, DatasetVersion: version.GetName(), ManifestSHA256: version.GetManifestSha256(),
		ExampleCount: version.GetExampleCount(), SizeBytes: version.GetConvertedBytes(), FileCount: version.GetShardCount(),
		Labels: make([]string, 0, len(version.GetClasses())), CreateTime: store.Time(store.Micros(time.Now())),
	}
	if b.DisplayName == "" {
		b.DisplayName = b.ID
	}
	if _, _, err := c.Resolve(b); err != nil {
		return nil, &FieldError{Field: "file_system", Message: err.Error()}
	}
	for _, class := range version.GetClasses() {
		b.Labels = append(b.Labels, class.GetName())
	}
	earlier, err := published{c.DB}.find(ctx, project, p.ID)
	switch {
	case err != nil:
		return nil, err
	case earlier != nil:
		return c.same(earlier, b)
	case c.Operator.Find(p.ID) != nil:
		return nil, &ExistsError{Name: job.BaseDatasetName(p.ID), Message: job.BaseDatasetName(p.ID) + " is one of the operator's: choose another id."}
	}
	b.Features, err = ReadFeatures(ctx, c.S3, version.GetUri())
	if errors.Is(err, ErrNoFeatures) {
		return nil, &FieldError{Field: "dataset_version", Message: version.GetName() + " has no features.json beside its shards, so its examples can't be read: upload the data again."}
	}
	if err != nil {
		return nil, err
	}
	taken, err := published{c.DB}.insert(ctx, b)
	if err != nil || !taken {
		return b, err
	}
	// Another call was faster.
	if earlier, err = (published{c.DB}).find(ctx, project, p.ID); err != nil || earlier == nil {
		return nil, errors.Join(err, fmt.Errorf("base dataset %s was published and deleted meanwhile", p.ID))
	}
	return c.same(earlier, b)
}

// place gives where the base dataset is to be read: the version's own S3 prefix, or what is asked for if the project may have it.
func (c *Catalog) place(project string, version *ingestv1.Version, asked *Location) (Location, error) {
	if asked == nil {
		return Location{Region: c.Region, Storage: S3, URI: version.GetUri()}, nil
	}
	location := *asked
	if location.Region == "" {
		location.Region = c.Region
	}
	if location.Region != c.Region {
		return location, &FieldError{Field: "file_system.region", Message: fmt.Sprintf(
			"file_system.region is %s, but jobs run in %s, and SageMaker reads data of its own region only: leave it out, and copy the files to a file system there.",
			shorten(location.Region), c.Region)}
	}
	return location, allow(c.Roots, project, location)
}

// publishable tells whether jobs could read a READY version as a base dataset.
func publishable(v *ingestv1.Version) error {
	if v.GetConversion().GetCompression() == ingestv1.ConversionOptions_GZIP {
		return &FieldError{Field: "dataset_version", Message: v.GetName() + " has compressed shards, which training doesn't read: upload it again without compression."}
	}
	for _, split := range v.GetSplits() {
		if split.GetName() == spec.TrainChannel && split.GetExampleCount() > 0 {
			return nil
		}
	}
	return &FieldError{Field: "dataset_version", Message: v.GetName() + " has no examples in its train split, which is what jobs read of a base dataset: upload it again with other split fractions."}
}

// same gives the earlier one if it is what is asked for.
func (c *Catalog) same(earlier, asked *BaseDataset) (*BaseDataset, error) {
	if earlier.DatasetVersion == asked.DatasetVersion && earlier.ManifestSHA256 == asked.ManifestSHA256 && earlier.Locations[0] == asked.Locations[0] &&
		earlier.DisplayName == asked.DisplayName && earlier.Description == asked.Description && earlier.MixRatio == asked.MixRatio {
		return earlier, nil
	}
	name := job.BaseDatasetName(earlier.ID)
	return nil, &ExistsError{Name: name, Message: fmt.Sprintf(
		"%s exists already, published from %s on %s, and differs from what is asked for: choose another id, or delete it first (`trainyard base delete %s`).",
		name, earlier.DatasetVersion, earlier.Locations[0], earlier.ID)}
}
