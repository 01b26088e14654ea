package spec

import "github.com/trainyard/trainyard/services/training/recipe"

// Mode is how the bytes of a channel reach the training program.
type Mode = recipe.InputMode

// The modes of a channel; the zero value leaves the choice to Build: File for dataset versions, FastFile for base datasets on S3.
const (
	File     = recipe.File
	FastFile = recipe.FastFile
	Pipe     = recipe.Pipe
)

// Job is all that a request is built from.
type Job struct {
	ID      string
	Project string
	// Recipe is nil with Custom.
	Recipe     *recipe.Recipe
	Parameters recipe.Values
	// Custom is a training program of the user's own; nil with Recipe.
	Custom *Custom

	// Dataset is the version that gives the classes and what is validated on.
	Dataset Dataset
	// Additional are versions whose train splits are trained on as well, each a channel: version-2, version-3 and so on.
	Additional []Dataset
	// Bases are the base datasets, each a channel of its id.
	Bases []Base
	// InputModes are the modes of channels by their names. Channels on file systems have none.
	InputModes map[string]Mode

	Resources Resources
	// Tags are the user's, beside those that every job has.
	Tags map[string]string
	// CheckpointURI is the folder of the checkpoints, `s3://bucket/checkpoints/{project}/{job}/`; empty means that none are kept. A job that goes
	// on from another's checkpoints has the other's.
	CheckpointURI string

	// Image is the training image, with a recipe; Custom has its own.
	Image string
	// Registries are where Custom's image may come from; none means DefaultRegistries of the role's account.
	Registries Registries
	RoleARN    string
	// Bucket is where the model goes.
	Bucket string
	// Region is where the job runs: ARNs and registries must be of it. They are not compared where it is empty.
	Region         string
	Subnets        []string
	SecurityGroups []string
}

// Custom is a training program of the user's own.
type Custom struct {
	Image      string
	Entrypoint []string
	Arguments  []string
	// Environment holds the variables that its container has.
	Environment map[string]string
	// Hyperparameters are all that it finds in hyperparameters.json. A whole number under `seed` shuffles the objects of Pipe channels, too.
	Hyperparameters map[string]string
	Metrics         []recipe.Metric
}

// Dataset is a READY version as the channels need it.
type Dataset struct {
	// URI is `s3://bucket/prefix/`.
	URI string
	// TFDSName begins the names of the shards, `{TFDSName}-{split}.tfrecord-…`.
	TFDSName string
	// Labels are the classes in the order of their numbers.
	Labels []string
	// Inputs are the features that the recipe reads, by hyperparameter. Only the main version's are looked at. With Custom, recipe.LabelFeature
	// alone counts: it makes a channel `labels` of the file with the classes.
	Inputs map[string]string
	// DownloadBytes is the size of the splits that the job reads, which File mode copies to its disk.
	DownloadBytes int64
	// ValidationBytes are those of them that are the validation split's.
	ValidationBytes int64
	// TrainShards counts the files of the train split, of which each instance needs one when they are shared out; 0 when nobody said.
	TrainShards int32
}

// Base is a base dataset as a channel of its own.
type Base struct {
	ID     string
	Source Source
	// ManifestSHA256 is the digest that the base dataset's manifest.json must have, in hex; empty where it has none.
	ManifestSHA256 string
	// DownloadBytes is its size, which File mode copies to the job's disk; 0 when nobody said.
	DownloadBytes int64
}

// Resources is the machine of a job. Its fields are those of the ledger's, so that one converts to the other.
type Resources struct {
	InstanceType      string
	InstanceCount     int32
	VolumeSizeGB      int32 // 0 means as much as the data needs.
	MaxRuntimeSeconds int32
	Spot              bool
	MaxWaitSeconds    int32 // With Spot; 0 means twice MaxRuntimeSeconds, up to 28 days.
	KeepAliveSeconds  int32
	MaxRetries        int32
	NetworkIsolation  bool
	InVPC             bool
	EncryptTraffic    bool
	VolumeKMSKey      string
	OutputKMSKey      string
	Sharded           bool // Each instance gets its part of the train shards instead of all.
}
