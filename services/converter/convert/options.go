package convert

import (
	"regexp"

	"github.com/trainyard/trainyard/services/converter/archive"
	"github.com/trainyard/trainyard/services/converter/dataset"
	"github.com/trainyard/trainyard/services/converter/dataset/all"
	"github.com/trainyard/trainyard/services/converter/reject"
)

// Version is the converter's. It is part of what determines the output: raise it with every change
// that alters a byte of any shard, so that a task planned by one version is never finished by another.
const Version = "4"

// Fractions are the shares of the splits. They add up to 1.
type Fractions struct {
	Train      float64 `json:"train"`
	Validation float64 `json:"validation"`
	Test       float64 `json:"test"`
}

// Options are the choices of one conversion. Start from DefaultOptions.
type Options struct {
	Dataset        string                 `json:"dataset"`               // TFDS name: lower-case letters, digits, underscores; first a letter
	DatasetVersion int                    `json:"dataset_version"`       // N gives the TFDS version N.0.0
	SourceETag     string                 `json:"source_etag,omitempty"` // identifies the source's bytes; may be empty if the scratch folder serves this source alone
	Format         string                 `json:"format,omitempty"`      // name of a format, or "" to find it by looking
	Seed           uint64                 `json:"seed,string"`           // of splits and order
	Splits         Fractions              `json:"splits"`
	SplitsChosen   bool                   `json:"splits_chosen,omitempty"` // by the user, who is told where they can't be had
	Validation     dataset.ValidationMode `json:"validation"`
	ShardBytes     int64                  `json:"shard_bytes"`      // target size of a shard; at least MinShardBytes
	MaxBadFraction float64                `json:"max_bad_fraction"` // 0..1; see the package comment

	Limits archive.Limits `json:"limits"` // of the upload

	FileName    string      `json:"file_name,omitempty"`    // of the upload; names a bare file
	LabelColumn string      `json:"label_column,omitempty"` // of formats with columns; "" to find it by its name
	Stratify    bool        `json:"stratify,omitempty"`     // give each split the same shares of the classes, where labels are known
	Compression Compression `json:"compression,omitempty"`  // of the shards
	Package     bool        `json:"package,omitempty"`      // make one tar of it all besides; see TarName
}

// Compression is how shards are compressed.
type Compression string

// The compressions. Images, sound and the like don't shrink; tables and text do. TensorFlow reads GZIP shards with
// tf.data.TFRecordDataset(…, compression_type="GZIP"); TFDS reads only uncompressed ones.
const (
	NoCompression Compression = ""
	GZIP          Compression = "GZIP"
)

// forFormats are the options that formats see.
func (o Options) forFormats() dataset.Options {
	return dataset.Options{Validation: o.Validation, LabelColumn: o.LabelColumn}
}

// Limits of the options.
const (
	DefaultShardBytes = 128 << 20
	MinShardBytes     = 1 << 20
	MaxShardBytes     = 4 << 30
	maxColumnName     = 256
)

// DefaultOptions are the options of a dataset with the given TFDS name when the user chooses nothing.
func DefaultOptions(name string) Options {
	return Options{
		Dataset:        name,
		DatasetVersion: 1,
		Splits:         Fractions{Train: 0.8, Validation: 0.1, Test: 0.1},
		Validation:     dataset.Structure,
		ShardBytes:     DefaultShardBytes,
		MaxBadFraction: 0.01,
		Limits:         archive.DefaultLimits,
	}
}

var validName = regexp.MustCompile(`^[a-z][a-z0-9_]{0,99}$`)

// Validate returns a *reject.Error with reason INVALID_OPTIONS that names the option and its range.
func (o Options) Validate() error {
	invalid := func(format string, args ...any) error { return reject.New(reject.InvalidOptions, format, args...) }
	sum := o.Splits.Train + o.Splits.Validation + o.Splits.Test
	switch {
	case !validName.MatchString(o.Dataset):
		return invalid("The dataset name %q must be lower-case letters, digits and underscores, first a letter, at most 100.", o.Dataset)
	case o.DatasetVersion < 1:
		return invalid("The dataset version is %d; versions count from 1.", o.DatasetVersion)
	case !(o.Splits.Train > 0 && o.Splits.Validation >= 0 && o.Splits.Test >= 0):
		return invalid("The splits are %v; train must be above 0, validation and test may be 0.", o.Splits)
	case !(sum > 1-1e-6 && sum < 1+1e-6):
		return invalid("The splits add up to %v; they must add up to 1.", sum)
	case o.Validation != dataset.Structure && o.Validation != dataset.Full:
		return invalid("The validation is %q; it can be %s or %s.", o.Validation, dataset.Structure, dataset.Full)
	case o.ShardBytes < MinShardBytes || o.ShardBytes > MaxShardBytes:
		return invalid("The shard size is %d bytes; it can be %d to %d.", o.ShardBytes, MinShardBytes, int64(MaxShardBytes))
	case !(o.MaxBadFraction >= 0 && o.MaxBadFraction <= 1):
		return invalid("The fraction of bad files is %v; it can be 0 to 1.", o.MaxBadFraction)
	case o.Compression != NoCompression && o.Compression != GZIP:
		return invalid("The compression is %q; it can be %s or nothing.", o.Compression, GZIP)
	case o.Limits.MaxEntries < 1 || o.Limits.MaxRecordBytes < 1 || o.Limits.MaxUnpacked < 1:
		return invalid("The limits %+v must all be above 0.", o.Limits)
	case len(o.LabelColumn) > maxColumnName:
		return invalid("The label column's name has %d bytes; the limit is %d.", len(o.LabelColumn), maxColumnName)
	}
	if o.Format != "" {
		if _, err := readerNamed(o.Format); err != nil {
			return err
		}
	}
	return nil
}

func readerNamed(name string) (dataset.Reader, error) {
	names := ""
	for _, r := range all.Readers() {
		if r.Format().Name == name {
			return r, nil
		}
		names += " " + r.Format().Name
	}
	return nil, reject.New(reject.InvalidOptions, "There is no format %q. The formats are:%s.", name, names)
}

// BadFloor is how many bad files are tolerated whatever fraction they are, unless MaxBadFraction is 0.
const BadFloor = 10

// tooManyBad applies MaxBadFraction as the package comment says.
func (o Options) tooManyBad(bad, candidates int64) bool {
	switch {
	case bad*2 > candidates && o.MaxBadFraction < 0.5:
		return true
	case o.MaxBadFraction == 0:
		return bad > 0
	}
	return bad > BadFloor && float64(bad) > o.MaxBadFraction*float64(candidates)
}

func (o Options) tooManyAnnotations(left reject.List, found int64) error {
	e := reject.New(reject.TooManyBadFiles,
		"%d of %d annotations can't be used, more than the %g %% that max_bad_fraction allows: %s. Mend or remove them, or raise max_bad_fraction.",
		left.Annotations.Bad(), found, 100*o.MaxBadFraction, left.Examples(3))
	e.Files = left
	return e
}

// tooManyBadError says "at least", because a conversion ends as soon as there are too many.
func (o Options) tooManyBadError(left reject.List, candidates int64) error {
	e := reject.New(reject.TooManyBadFiles,
		"At least %d of %d files or rows can't be used, more than the %g %% that max_bad_fraction allows: %s. Mend or remove them, or raise max_bad_fraction.",
		left.Bad(), candidates, 100*o.MaxBadFraction, left.Examples(3))
	e.Files = left
	return e
}
