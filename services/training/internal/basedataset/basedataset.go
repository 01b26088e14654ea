// Package basedataset knows the base datasets: large datasets on S3, EFS or FSx for Lustre that jobs train on together with the
// user's data. They are the operator's, from a file that is read strictly, or a project's own, published from a READY version.
//
// What it promises: jobs only ever read them; a project reaches the operator's and its own and no other's, for where a published one
// lies is derived here and never taken from a request; and what can't be joined with the user's data, has changed since it was
// published or can't be read in the jobs' region is refused before the job, not in one that is being billed.
//
// IAM actions it needs: s3:GetObject on manifest.json and features.json of datasets/* and of the operator's S3 prefixes. Without the
// latter the operator's manifests are checked by the training program alone.
package basedataset

import (
	"errors"
	"fmt"
	"time"

	"github.com/trainyard/trainyard/services/training/spec"
)

// Storage is where a base dataset's bytes lie.
type Storage string

// The kinds of storage, as the operator's file names them.
const (
	S3     Storage = "s3"
	EFS    Storage = "efs"
	Lustre Storage = "fsx-lustre"
)

// String is the storage's name for people.
func (s Storage) String() string {
	switch s {
	case S3:
		return "S3"
	case EFS:
		return "EFS"
	case Lustre:
		return "FSx for Lustre"
	}
	return string(s)
}

// BaseDataset is a base dataset of the operator's or of a project. Zero numbers and empty texts mean that nobody said.
type BaseDataset struct {
	// ID is 1 to 63 of a-z0-9-, begins with a letter and doesn't end in `-`. It is the name of the job's channel, too.
	ID          string
	DisplayName string
	Description string
	// Locations are everywhere it lies, in the order in which they are tried.
	Locations []Location
	// Labels are the names of the classes, joined to the user's by name. The training program reads those that lie beside the
	// shards; these tell before the job whether any class is shared.
	Labels       []string
	ExampleCount int32
	SizeBytes    int64
	FileCount    int32
	// MixRatio is the share of each batch that comes from base datasets, from 0 to 1; 0 means the recipe's.
	MixRatio float64
	Features Features
	// ManifestSHA256 is the digest of its manifest.json in hex.
	ManifestSHA256 string

	// Project is whose it is; empty for the operator's, which every project has.
	Project string
	// DatasetVersion is the version that it was published from, and CreateTime when.
	DatasetVersion string
	CreateTime     time.Time
}

// Location is where a base dataset lies. The storage says which fields belong to it.
type Location struct {
	// Region is the storage's; empty means that the jobs' isn't known either.
	Region  string  `yaml:"region" json:"region"`
	Storage Storage `yaml:"storage" json:"storage"`
	// URI is `s3://bucket/prefix/`, with S3.
	URI string `yaml:"uri" json:"uri,omitempty"`
	// FileSystemID is `fs-…`, with EFS or Lustre.
	FileSystemID string `yaml:"file_system_id" json:"file_system_id,omitempty"`
	// Path is the dataset's directory, counted from the file system's root, such as `/datasets/digits`.
	Path string `yaml:"path" json:"path,omitempty"`
	// MountName is a Lustre file system's, as `aws fsx describe-file-systems` shows it.
	MountName string `yaml:"mount_name" json:"mount_name,omitempty"`
}

// Source is where a job's channel reads it. It fails where a field breaks its rule, or belongs to another kind of storage, which shows
// that something else was meant.
func (l Location) Source() (spec.Source, error) {
	switch l.Storage {
	case S3:
		if l.FileSystemID != "" || l.Path != "" || l.MountName != "" {
			return spec.Source{}, errors.New("file_system_id, path and mount_name belong to file systems; storage s3 has a uri only")
		}
		return spec.S3Prefix(l.URI)
	case EFS:
		if l.URI != "" || l.MountName != "" {
			return spec.Source{}, errors.New("uri belongs to storage s3 and mount_name to fsx-lustre; storage efs has file_system_id and path")
		}
		return spec.EFSDirectory(l.FileSystemID, l.Path)
	case Lustre:
		if l.URI != "" {
			return spec.Source{}, errors.New("uri belongs to storage s3; storage fsx-lustre has file_system_id, mount_name and path")
		}
		return spec.LustreDirectory(l.FileSystemID, l.MountName, l.Path)
	}
	return spec.Source{}, fmt.Errorf("storage %q must be one of s3, efs, fsx-lustre", l.Storage)
}

// String is the location for people, such as `EFS fs-01234567`.
func (l Location) String() string {
	if l.Storage == S3 {
		return l.Storage.String() + " " + l.URI
	}
	return l.Storage.String() + " " + l.FileSystemID
}

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

// NeedsVPC tells whether any of them lies on a file system of the region, which a job reaches only from within a VPC.
func (l List) NeedsVPC(region string) bool {
	for _, b := range l {
		for _, location := range b.Locations {
			if location.Region == region && location.Storage != S3 {
				return true
			}
		}
	}
	return false
}
