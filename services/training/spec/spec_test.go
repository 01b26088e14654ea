package spec_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"

	"github.com/trainyard/trainyard/services/training/recipe"
	"github.com/trainyard/trainyard/services/training/spec"
)

// The rules are those of mistakes that were made: the type of Lustre kept after a move to EFS, a Lustre path on EFS, a Lustre path without or
// with a doubled mount name. The type of a source is its constructor's alone.
func TestFileSystemsKnowTheirPathRules(t *testing.T) {
	const id = "fs-0123456789abcdef0"
	tests := map[string]struct {
		source func() (spec.Source, error)
		kind   types.FileSystemType
		path   string // Empty when it is refused.
		says   string
	}{
		"EFS":                       {func() (spec.Source, error) { return spec.EFSDirectory(id, "/data/digits") }, types.FileSystemTypeEfs, "/data/digits", ""},
		"EFS root":                  {func() (spec.Source, error) { return spec.EFSDirectory(id, "/") }, types.FileSystemTypeEfs, "/", ""},
		"EFS relative":              {func() (spec.Source, error) { return spec.EFSDirectory(id, "data") }, "", "", "from the file system's root"},
		"EFS climbing":              {func() (spec.Source, error) { return spec.EFSDirectory(id, "/data/../etc") }, "", "", "without .."},
		"EFS slash at end":          {func() (spec.Source, error) { return spec.EFSDirectory(id, "/data/") }, "", "", "at its end"},
		"EFS without path":          {func() (spec.Source, error) { return spec.EFSDirectory(id, "") }, "", "", "from the file system's root"},
		"EFS with a Lustre path":    {func() (spec.Source, error) { return spec.EFSDirectory(id, "/fsx/digits") }, "", "", `such as "/digits"`},
		"EFS with a Lustre root":    {func() (spec.Source, error) { return spec.EFSDirectory(id, "/fsx") }, "", "", `such as "/"`},
		"EFS name begins alike":     {func() (spec.Source, error) { return spec.EFSDirectory(id, "/fsx2/digits") }, types.FileSystemTypeEfs, "/fsx2/digits", ""},
		"several lines":             {func() (spec.Source, error) { return spec.EFSDirectory(id, "/a\nb") }, "", "", "one line"},
		"wrong id":                  {func() (spec.Source, error) { return spec.EFSDirectory("efs-1", "/data") }, "", "", "file_system_id"},
		"Lustre":                    {func() (spec.Source, error) { return spec.LustreDirectory(id, "abcdefgh", "/digits") }, types.FileSystemTypeFsxlustre, "/abcdefgh/digits", ""},
		"Lustre root":               {func() (spec.Source, error) { return spec.LustreDirectory(id, "fsx", "/") }, types.FileSystemTypeFsxlustre, "/fsx", ""},
		"Lustre without mount name": {func() (spec.Source, error) { return spec.LustreDirectory(id, "", "/digits") }, "", "", "MountName"},
		"Lustre mount name twice":   {func() (spec.Source, error) { return spec.LustreDirectory(id, "fsx", "/fsx/digits") }, "", "", "added by itself"},
		"Lustre mount name alone":   {func() (spec.Source, error) { return spec.LustreDirectory(id, "fsx", "/fsx") }, "", "", "added by itself"},
		"Lustre name begins alike":  {func() (spec.Source, error) { return spec.LustreDirectory(id, "fsx", "/fsx2") }, types.FileSystemTypeFsxlustre, "/fsx/fsx2", ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			source, err := test.source()
			if test.path == "" {
				if err == nil || !strings.Contains(err.Error(), test.says) {
					t.Fatalf("got %v; want it refused, saying %q", err, test.says)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			job := example()
			job.Bases = []spec.Base{{ID: "base", Source: source}}
			data := build(t, job).InputDataConfig[2].DataSource.FileSystemDataSource
			if data.FileSystemType != test.kind || *data.DirectoryPath != test.path || data.FileSystemAccessMode != types.FileSystemAccessModeRo {
				t.Fatalf("got %s %s %s", data.FileSystemType, *data.DirectoryPath, data.FileSystemAccessMode)
			}
		})
	}
}

func TestBuildDescribesTheWholeJob(t *testing.T) {
	job := example()
	efs, err := spec.EFSDirectory("fs-00000001", "/digits")
	if err != nil {
		t.Fatal(err)
	}
	s3, err := spec.S3Prefix("s3://elsewhere/base/")
	if err != nil {
		t.Fatal(err)
	}
	job.Bases = []spec.Base{{ID: "on-efs", Source: efs}, {ID: "on-s3", Source: s3}}
	input := build(t, job)

	var channels []string
	for _, c := range input.InputDataConfig {
		if d := c.DataSource.S3DataSource; d != nil {
			channels = append(channels, fmt.Sprintf("%s %s %s", *c.ChannelName, c.InputMode, *d.S3Uri))
		} else {
			channels = append(channels, fmt.Sprintf("%s %s", *c.ChannelName, *c.DataSource.FileSystemDataSource.DirectoryPath))
		}
	}
	want := "train File s3://bucket/datasets/p/digits/1/digits-train.tfrecord; " +
		"validation File s3://bucket/datasets/p/digits/1/digits-validation.tfrecord; on-efs /digits; on-s3 FastFile s3://elsewhere/base/"
	if got := strings.Join(channels, "; "); got != want {
		t.Errorf("channels:\n got %s\nwant %s", got, want)
	}
	if input.VpcConfig == nil || input.VpcConfig.Subnets[0] != job.Subnets[0] || input.VpcConfig.SecurityGroupIds[0] != job.SecurityGroups[0] {
		t.Errorf("a job with a file system is not in the VPC: %v", input.VpcConfig)
	}
	if !aws.ToBool(input.ProfilerConfig.DisableProfiler) {
		t.Error("the profiler is on")
	}
	if got := *input.OutputDataConfig.S3OutputPath; got != "s3://bucket/models/p/"+job.ID {
		t.Errorf("output goes to %s", got)
	}
	if input.HyperParameters["labels"] != `["0","1"]` || input.HyperParameters["epochs"] != "5" {
		t.Errorf("hyperparameters: %v", input.HyperParameters)
	}
	tags := map[string]string{}
	for _, tag := range input.Tags {
		tags[*tag.Key] = *tag.Value
	}
	if tags[spec.TagProject] != "p" || tags[spec.TagJob] != job.ID || len(tags[spec.TagHash]) != 64 {
		t.Errorf("tags: %v", tags)
	}
	if got := *input.ResourceConfig.VolumeSizeInGB; got != 33 {
		t.Errorf("a volume of %d GB for 2.5 GB of shards", got)
	}
}

func TestBuildIsDeterministic(t *testing.T) {
	first, firstHash, err := spec.Build(example())
	if err != nil {
		t.Fatal(err)
	}
	second, secondHash, err := spec.Build(example())
	if err != nil {
		t.Fatal(err)
	}
	a, _ := json.Marshal(first)
	b, _ := json.Marshal(second)
	if string(a) != string(b) || firstHash != secondHash {
		t.Fatal("the same job gives two requests")
	}
	changed := example()
	changed.Resources.MaxRuntimeSeconds++
	if _, hash, err := spec.Build(changed); err != nil || hash == firstHash {
		t.Fatalf("another job has the same hash (%v)", err)
	}
}

func TestJobWithoutFileSystemStaysOutOfTheVPC(t *testing.T) {
	if got := build(t, example()).VpcConfig; got != nil {
		t.Fatalf("got %v", got)
	}
}

func TestManyLabelsTravelInAChannel(t *testing.T) {
	job := example()
	for i := range 500 {
		job.Dataset.Labels = append(job.Dataset.Labels, fmt.Sprintf("class-%d", i))
	}
	input := build(t, job)
	if _, ok := input.HyperParameters["labels"]; ok {
		t.Error("a hyperparameter longer than SageMaker takes")
	}
	last := input.InputDataConfig[len(input.InputDataConfig)-1]
	if *last.ChannelName != "labels" || *last.DataSource.S3DataSource.S3Uri != "s3://bucket/datasets/p/digits/1/label.labels.txt" {
		t.Errorf("got channel %s", *last.ChannelName)
	}
}

func TestFeaturesOfOtherNamesAreTold(t *testing.T) {
	job := example()
	job.Dataset.Inputs = map[string]string{recipe.LabelFeature: "kind"}
	for i := range 500 {
		job.Dataset.Labels = append(job.Dataset.Labels, fmt.Sprintf("class-%d", i))
	}
	input := build(t, job)
	last := input.InputDataConfig[len(input.InputDataConfig)-1]
	if input.HyperParameters["label_feature"] != "kind" || *last.DataSource.S3DataSource.S3Uri != "s3://bucket/datasets/p/digits/1/kind.labels.txt" {
		t.Errorf("hyperparameters %v, labels in %s", input.HyperParameters, *last.DataSource.S3DataSource.S3Uri)
	}
}

func example() spec.Job {
	chosen := recipe.All().Find("image-classification")
	parameters, err := chosen.Resolve(nil)
	if err != nil {
		panic(err)
	}
	return spec.Job{
		ID: "0jdf8k2m9abcdefg", Project: "p", Recipe: chosen, Parameters: parameters,
		Dataset: spec.Dataset{
			URI: "s3://bucket/datasets/p/digits/1/", TFDSName: "digits", Labels: []string{"0", "1"}, DownloadBytes: 2_500_000_000,
		},
		Resources: spec.Resources{InstanceType: "ml.m5.xlarge", InstanceCount: 1, MaxRuntimeSeconds: 3600}, Region: "us-east-1",
		Image: "123456789012.dkr.ecr.us-east-1.amazonaws.com/trainer:1", RoleARN: "arn:aws:iam::123456789012:role/training", Bucket: "bucket",
		Subnets: []string{"subnet-00000001"}, SecurityGroups: []string{"sg-00000001"},
	}
}

func build(t *testing.T, job spec.Job) *sagemaker.CreateTrainingJobInput {
	t.Helper()
	input, _, err := spec.Build(job)
	if err != nil {
		t.Fatal(err)
	}
	return input
}
