package basedataset

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/trainyard/trainyard/services/training/region"
	"github.com/trainyard/trainyard/services/training/spec"
)

// entry is one of the operator's file: its location stands in it, or in a list of several.
type entry struct {
	ID             string            `yaml:"id"`
	DisplayName    string            `yaml:"display_name"`
	Description    string            `yaml:"description"`
	Only           Location          `yaml:",inline"`
	Locations      []Location        `yaml:"locations"`
	Labels         []string          `yaml:"labels"`
	ExampleCount   int32             `yaml:"example_count"`
	SizeBytes      int64             `yaml:"size_bytes"`
	FileCount      int32             `yaml:"file_count"`
	MixRatio       float64           `yaml:"mix_ratio"`
	Features       map[string]string `yaml:"features"`
	ManifestSHA256 string            `yaml:"manifest_sha256"`
}

// Load reads the list of a file; no path means no base datasets. here is the region where jobs run, if it is known.
func Load(path, here string) (List, error) {
	if path == "" {
		return nil, nil
	}
	data, err := os.ReadFile(path) //nolint:gosec // The operator names the file.
	if err != nil {
		return nil, fmt.Errorf("base datasets: %w", err)
	}
	list, err := Parse(data, here)
	if err != nil {
		return nil, fmt.Errorf("base datasets of %s: %w", path, err)
	}
	return list, nil
}

// Parse reads a list from JSON or YAML. Locations that name no region get the given one. One that has none there is kept, for it may be
// another installation's that reads the same file; Resolve refuses it.
func Parse(data []byte, here string) (List, error) {
	var entries []*entry
	decoder := yaml.NewDecoder(bytes.NewReader(data)) // JSON is YAML as well.
	decoder.KnownFields(true)
	if err := decoder.Decode(&entries); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if err := decoder.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, errors.New("it must hold one document, a list")
	}
	list := make(List, 0, len(entries))
	for i, e := range entries {
		if e == nil {
			return nil, fmt.Errorf("entry %d is empty", i+1)
		}
		b, err := e.baseDataset(here)
		if err != nil {
			return nil, fmt.Errorf("entry %d (%s): %w", i+1, e.ID, err)
		}
		if list.Find(b.ID) != nil {
			return nil, fmt.Errorf("entry %d: the id %s is given twice; ids must differ", i+1, b.ID)
		}
		list = append(list, b)
	}
	return list, nil
}

var sha256Hex = regexp.MustCompile(`^[0-9a-f]{64}$`)

func (e *entry) baseDataset(here string) (*BaseDataset, error) {
	b := &BaseDataset{
		ID: e.ID, DisplayName: e.DisplayName, Description: e.Description, Labels: e.Labels,
		ExampleCount: e.ExampleCount, SizeBytes: e.SizeBytes, FileCount: e.FileCount, MixRatio: e.MixRatio, ManifestSHA256: e.ManifestSHA256,
	}
	if b.DisplayName == "" {
		b.DisplayName = b.ID
	}
	if err := checkID(b.ID); err != nil {
		return nil, err
	}
	var err error
	if b.Locations, err = e.locations(here); err != nil {
		return nil, err
	}
	switch {
	case b.ExampleCount < 0 || b.SizeBytes < 0 || b.FileCount < 0:
		return nil, errors.New("example_count, size_bytes and file_count must not be negative")
	case !isShare(b.MixRatio):
		return nil, fmt.Errorf("mix_ratio %v must be from 0 to 1", b.MixRatio)
	case b.ManifestSHA256 != "" && !sha256Hex.MatchString(b.ManifestSHA256):
		return nil, fmt.Errorf("manifest_sha256 %q must be 64 hex digits in lower case, as `sha256sum manifest.json` prints them", b.ManifestSHA256)
	}
	if b.Features, err = namedFeatures(e.Features); err != nil {
		return nil, err
	}
	return b, checkLabels(b.Labels)
}

func (e *entry) locations(here string) ([]Location, error) {
	locations := e.Locations
	switch {
	case len(locations) == 0:
		locations = []Location{e.Only}
	case e.Only != Location{}:
		return nil, errors.New("it has locations and a storage, uri or file system of its own; put that into locations as well")
	}
	locations = slices.Clone(locations)
	for i := range locations {
		if locations[i].Region == "" {
			locations[i].Region = here
		} else if err := region.Valid(locations[i].Region); err != nil {
			return nil, err
		}
		if _, err := locations[i].Source(); err != nil {
			return nil, err
		}
		if e.ManifestSHA256 != "" && locations[i].Storage == S3 && !strings.HasSuffix(locations[i].URI, "/") {
			return nil, fmt.Errorf("uri %q must end in / for manifest.json to be found under it, as manifest_sha256 is given", locations[i].URI)
		}
		if slices.Contains(locations[:i], locations[i]) {
			return nil, fmt.Errorf("location %d is given twice", i+1)
		}
	}
	return locations, nil
}

var (
	idPattern    = regexp.MustCompile(`^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$`)
	featureClass = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9]*$`)
)

func checkID(id string) error {
	if !idPattern.MatchString(id) {
		return fmt.Errorf("id %q must be 1 to 63 of a-z0-9-, begin with a letter and not end in -", id)
	}
	if spec.IsReservedChannel(id) {
		return fmt.Errorf("id %q is the name of a channel that every job may have; choose another", id)
	}
	return nil
}

// isShare is false of NaN, too.
func isShare(ratio float64) bool { return ratio >= 0 && ratio <= 1 }

func checkLabels(labels []string) error {
	seen := make(map[string]bool, len(labels))
	for _, label := range labels {
		if strings.TrimSpace(label) == "" || strings.ContainsAny(label, "\r\n") {
			return fmt.Errorf("label %q must be a name of one line", label)
		}
		if seen[label] {
			return fmt.Errorf("label %q is given twice", label)
		}
		seen[label] = true
	}
	return nil
}

func namedFeatures(classes map[string]string) (Features, error) {
	if len(classes) == 0 {
		return nil, nil
	}
	features := make(Features, len(classes))
	for _, name := range slices.Sorted(maps.Keys(classes)) {
		if name == "" || !featureClass.MatchString(classes[name]) {
			return nil, fmt.Errorf("feature %q: %q must be a class of TensorFlow Datasets' features, such as Image or ClassLabel", name, classes[name])
		}
		features[name] = Feature{Class: classes[name]}
	}
	return features, nil
}
