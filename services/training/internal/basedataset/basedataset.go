// Package basedataset reads the operator's list of base datasets: large datasets on S3, EFS or FSx for Lustre that jobs
// train on together with the user's data.
//
// The list is a JSON or YAML file. It is read strictly: an unknown key, a path that breaks the file system's rule or a
// region that isn't the jobs' fails at the start, not in a job that is being billed.
package basedataset

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/trainyard/trainyard/services/training/spec"
)

// Storage is where a base dataset's bytes lie.
type Storage string

// The kinds of storage, as the file names them.
const (
	S3     Storage = "s3"
	EFS    Storage = "efs"
	Lustre Storage = "fsx-lustre"
)

// BaseDataset is one entry of the list.
type BaseDataset struct {
	// ID is 1 to 63 of a-z0-9-, begins with a letter and doesn't end in `-`. It is the name of the job's channel, too.
	ID          string  `yaml:"id"`
	DisplayName string  `yaml:"display_name"`
	Description string  `yaml:"description"`
	Storage     Storage `yaml:"storage"`
	// URI is `s3://bucket/prefix/`, with storage s3.
	URI string `yaml:"uri"`
	// FileSystemID is `fs-…`, with storage efs or fsx-lustre.
	FileSystemID string `yaml:"file_system_id"`
	// Path is the dataset's directory, counted from the file system's root, such as `/datasets/digits`.
	Path string `yaml:"path"`
	// MountName is a Lustre file system's, as `aws fsx describe-file-systems` shows it.
	MountName string `yaml:"mount_name"`
	// Region is where the storage is; empty means where the jobs are. SageMaker wants both to be the same.
	Region string `yaml:"region"`
	// Labels are the names of the classes, joined to the user's by name. The training program reads those that lie beside
	// the shards; these tell before the job whether any class is shared.
	Labels       []string `yaml:"labels"`
	ExampleCount int32    `yaml:"example_count"`

	source spec.Source
}

// Source is where a job's channel reads it.
func (b *BaseDataset) Source() spec.Source { return b.source }

// List is the operator's base datasets in their order.
type List []*BaseDataset

// Find gives the base dataset of an id, or nil.
func (l List) Find(id string) *BaseDataset {
	for _, b := range l {
		if b.ID == id {
			return b
		}
	}
	return nil
}

// NeedsVPC tells whether any of them lies on a file system, which a job reaches only from within a VPC.
func (l List) NeedsVPC() bool {
	for _, b := range l {
		if b.Storage != S3 {
			return true
		}
	}
	return false
}

// Load reads the list of a file; no path means no base datasets. region is where jobs run, if it is known.
func Load(path, region string) (List, error) {
	if path == "" {
		return nil, nil
	}
	data, err := os.ReadFile(path) //nolint:gosec // The operator names the file.
	if err != nil {
		return nil, fmt.Errorf("base datasets: %w", err)
	}
	list, err := Parse(data, region)
	if err != nil {
		return nil, fmt.Errorf("base datasets of %s: %w", path, err)
	}
	return list, nil
}

// Parse reads a list from JSON or YAML.
func Parse(data []byte, region string) (List, error) {
	var list List
	decoder := yaml.NewDecoder(bytes.NewReader(data)) // JSON is YAML as well.
	decoder.KnownFields(true)
	if err := decoder.Decode(&list); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if err := decoder.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, errors.New("it must hold one document, a list")
	}
	seen := map[string]bool{}
	for i, b := range list {
		if b == nil {
			return nil, fmt.Errorf("entry %d is empty", i+1)
		}
		if err := b.check(region); err != nil {
			return nil, fmt.Errorf("entry %d (%s): %w", i+1, b.ID, err)
		}
		if seen[b.ID] {
			return nil, fmt.Errorf("entry %d: the id %s is given twice; ids must differ", i+1, b.ID)
		}
		seen[b.ID] = true
	}
	return list, nil
}

var idPattern = regexp.MustCompile(`^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$`)

func (b *BaseDataset) check(region string) error {
	if !idPattern.MatchString(b.ID) {
		return fmt.Errorf("id %q must be 1 to 63 of a-z0-9-, begin with a letter and not end in -", b.ID)
	}
	if spec.IsReservedChannel(b.ID) {
		return fmt.Errorf("id %q is the name of a channel that every job may have; choose another", b.ID)
	}
	if b.Region != "" && region != "" && b.Region != region {
		return fmt.Errorf("its storage is in %s but jobs run in %s, and SageMaker needs both to be the same", b.Region, region)
	}
	if b.ExampleCount < 0 {
		return fmt.Errorf("example_count %d must not be negative", b.ExampleCount)
	}
	if err := b.checkLabels(); err != nil {
		return err
	}
	if b.DisplayName == "" {
		b.DisplayName = b.ID
	}
	return b.resolve()
}

func (b *BaseDataset) checkLabels() error {
	seen := map[string]bool{}
	for _, label := range b.Labels {
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

// resolve makes the source, refusing fields of other kinds of storage: they show that something else was meant.
func (b *BaseDataset) resolve() (err error) {
	switch b.Storage {
	case S3:
		if b.FileSystemID != "" || b.Path != "" || b.MountName != "" {
			return errors.New("file_system_id, path and mount_name belong to file systems; storage s3 has a uri only")
		}
		b.source, err = spec.S3Prefix(b.URI)
	case EFS:
		if b.URI != "" || b.MountName != "" {
			return errors.New("uri belongs to storage s3 and mount_name to fsx-lustre; storage efs has file_system_id and path")
		}
		b.source, err = spec.EFSDirectory(b.FileSystemID, b.Path)
	case Lustre:
		if b.URI != "" {
			return errors.New("uri belongs to storage s3; storage fsx-lustre has file_system_id, mount_name and path")
		}
		b.source, err = spec.LustreDirectory(b.FileSystemID, b.MountName, b.Path)
	default:
		return fmt.Errorf("storage %q must be one of s3, efs, fsx-lustre", b.Storage)
	}
	return err
}
