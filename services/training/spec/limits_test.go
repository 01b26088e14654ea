package spec_test

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/trainyard/trainyard/services/training/recipe"
	"github.com/trainyard/trainyard/services/training/spec"
)

func TestLimitsNameTheirField(t *testing.T) {
	s3 := source(t)(spec.S3Prefix("s3://elsewhere/base/"))
	efs := source(t)(spec.EFSDirectory("fs-00000001", "/digits"))
	long := func(n int) string { return strings.Repeat("x", n) }
	many := func(n int) map[string]string {
		m := map[string]string{}
		for i := range n {
			m[fmt.Sprint("key", i)] = "value"
		}
		return m
	}
	own := func(change func(*spec.Custom)) func(*spec.Job) {
		return func(j *spec.Job) {
			j.Custom = ownImage()
			j.Recipe, j.Parameters = nil, nil
			change(j.Custom)
		}
	}
	spot := func(change func(*spec.Job)) func(*spec.Job) {
		return func(j *spec.Job) {
			j.Resources.Spot, j.CheckpointURI = true, "s3://bucket/checkpoints/p/x/"
			change(j)
		}
	}
	const key = "arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
	tests := map[string]struct {
		change func(*spec.Job)
		field  string
		says   string
	}{
		"neither recipe nor image": {func(j *spec.Job) { j.Recipe = nil }, "recipe", "custom_image"},
		"both":                     {func(j *spec.Job) { j.Custom = ownImage() }, "custom_image", "not both"},

		"channels": {func(j *spec.Job) {
			for i := range 19 {
				j.Bases = append(j.Bases, spec.Base{ID: fmt.Sprint("base-", i), Source: s3})
			}
		}, "base_datasets", "Leave out 1"},
		"channel twice":         {func(j *spec.Job) { j.Bases = []spec.Base{{ID: "b", Source: s3}, {ID: "b", Source: efs}} }, "base_datasets[1]", "twice"},
		"channel of a dataset":  {func(j *spec.Job) { j.Bases = []spec.Base{{ID: "train", Source: s3}} }, "base_datasets[0]", "every job"},
		"channel of a version":  {func(j *spec.Job) { j.Bases = []spec.Base{{ID: "version-2", Source: s3}} }, "base_datasets[0]", "every job"},
		"channel name":          {func(j *spec.Job) { j.Bases = []spec.Base{{ID: "a b", Source: s3}} }, "base_datasets[0]", "1 to 64"},
		"base without location": {func(j *spec.Job) { j.Bases = []spec.Base{{ID: "b"}} }, "base_datasets[0]", "no location"},
		"dataset uri":           {func(j *spec.Job) { j.Dataset.URI = "http://bucket/" }, "dataset_version", "s3://"},
		"dataset uri too long":  {func(j *spec.Job) { j.Dataset.URI = "s3://bucket/" + long(1024) + "/" }, "dataset_version", "1024"},
		"additional uri":        {func(j *spec.Job) { j.Additional = []spec.Dataset{{URI: "bucket/"}} }, "additional_dataset_versions[0]", "s3://"},
		"additional labels": {func(j *spec.Job) {
			j.Additional = []spec.Dataset{{URI: "s3://bucket/v/"}, {URI: "s3://bucket/w/", Labels: []string{long(2500)}}}
		}, "additional_dataset_versions[1]", "2500"},

		"mode of no channel":     {func(j *spec.Job) { j.InputModes = map[string]spec.Mode{"trian": spec.File} }, "input_modes.trian", "train, validation"},
		"mode that isn't one":    {func(j *spec.Job) { j.InputModes = map[string]spec.Mode{"train": "Fifo"} }, "input_modes.train", "FILE, FAST_FILE"},
		"mode the recipe hasn't": {func(j *spec.Job) { j.InputModes = map[string]spec.Mode{"train": spec.Pipe} }, "input_modes.train", "recipes/image-classification reads FILE, FAST_FILE"},
		"mode of a file system": {func(j *spec.Job) {
			j.Bases = []spec.Base{{ID: "b", Source: efs}}
			j.InputModes = map[string]spec.Mode{"b": spec.File}
		}, "input_modes.b", "mounted"},
		"more than a disk":       {func(j *spec.Job) { j.Dataset.DownloadBytes = 17e12 }, "input_modes", "FAST_FILE"},
		"more than its own disk": {func(j *spec.Job) { j.Dataset.DownloadBytes, j.Resources.InstanceType = 300e9, "ml.g5.xlarge" }, "resources.instance_type", "250 GB"},
		"more than the disk":     {func(j *spec.Job) { j.Dataset.DownloadBytes, j.Resources.VolumeSizeGB = 50e9, 40 }, "resources.volume_size_gb", "80 or more"},
		"volume too large":       {func(j *spec.Job) { j.Resources.VolumeSizeGB = 16385 }, "resources.volume_size_gb", "16384"},
		"volume negative":        {func(j *spec.Job) { j.Resources.VolumeSizeGB = -1 }, "resources.volume_size_gb", "1 to"},
		"volume of NVMe":         {func(j *spec.Job) { j.Resources.VolumeSizeGB, j.Resources.InstanceType = 50, "ml.g4dn.xlarge" }, "resources.volume_size_gb", "NVMe"},
		"volume key of NVMe":     {func(j *spec.Job) { j.Resources.VolumeKMSKey, j.Resources.InstanceType = key, "ml.p4d.24xlarge" }, "resources.volume_kms_key", "NVMe"},
		"volume key":             {func(j *spec.Job) { j.Resources.VolumeKMSKey = "a key" }, "resources.volume_kms_key", "alias/NAME"},
		"volume key elsewhere":   {func(j *spec.Job) { j.Resources.VolumeKMSKey = strings.Replace(key, "us-east-1", "eu-west-1", 1) }, "resources.volume_kms_key", "us-east-1"},
		"output key of China":    {func(j *spec.Job) { j.Resources.OutputKMSKey = strings.Replace(key, "arn:aws:", "arn:aws-cn:", 1) }, "resources.output_kms_key", "aws-cn"},
		"output key of no KMS":   {func(j *spec.Job) { j.Resources.OutputKMSKey = "arn:aws:s3:::bucket" }, "resources.output_kms_key", "ARN of a key"},
		"output key too long":    {func(j *spec.Job) { j.Resources.OutputKMSKey = long(2049) }, "resources.output_kms_key", "2048"},
		"instance type":          {func(j *spec.Job) { j.Resources.InstanceType = "ml.m5.huge" }, "resources.instance_type", "ml.m5.large"},
		"instance type of EC2":   {func(j *spec.Job) { j.Resources.InstanceType = "m5.xlarge" }, "resources.instance_type", "ml.m5.xlarge"},
		"no instances":           {func(j *spec.Job) { j.Resources.InstanceCount = 0 }, "resources.instance_count", "1 or more"},
		"several for one":        {func(j *spec.Job) { j.Resources.InstanceCount = 2 }, "resources.instance_count", "set it to 1"},
		"fewer shards": {func(j *spec.Job) {
			ownJob(j)
			j.Resources.InstanceCount, j.Resources.Sharded, j.Dataset.TrainShards = 3, true, 2
		}, "resources.distribution", "2 instances at most"},
		"fewer additional shards": {func(j *spec.Job) {
			ownJob(j)
			j.Resources.InstanceCount, j.Resources.Sharded = 3, true
			j.Additional = []spec.Dataset{{URI: "s3://bucket/v/", TrainShards: 1}}
		}, "resources.distribution", "additional version 1"},

		"no runtime":                {func(j *spec.Job) { j.Resources.MaxRuntimeSeconds = 0 }, "resources.max_runtime_seconds", "28 days"},
		"long runtime":              {func(j *spec.Job) { j.Resources.MaxRuntimeSeconds = spec.MaxRuntimeSeconds + 1 }, "resources.max_runtime_seconds", "28 days"},
		"wait without spot":         {func(j *spec.Job) { j.Resources.MaxWaitSeconds = 7200 }, "resources.max_wait_seconds", "spot"},
		"wait shorter than runtime": {spot(func(j *spec.Job) { j.Resources.MaxWaitSeconds = 3599 }), "resources.max_wait_seconds", "3600 or more"},
		"long wait":                 {spot(func(j *spec.Job) { j.Resources.MaxWaitSeconds = spec.MaxRuntimeSeconds + 1 }), "resources.max_wait_seconds", "28 days"},
		"spot without checkpoints":  {func(j *spec.Job) { j.Resources.Spot = true }, "resources.spot", "checkpoints"},
		"spot and warm pool":        {spot(func(j *spec.Job) { j.Resources.KeepAliveSeconds = 60 }), "resources.keep_alive_seconds", "spot"},
		"long warm pool":            {func(j *spec.Job) { j.Resources.KeepAliveSeconds = 21601 }, "resources.keep_alive_seconds", "6 hours"},
		"negative warm pool":        {func(j *spec.Job) { j.Resources.KeepAliveSeconds = -1 }, "resources.keep_alive_seconds", "21600"},
		"many retries":              {func(j *spec.Job) { j.Resources.MaxRetries = 31 }, "resources.max_retries", "30"},

		"many tags":        {func(j *spec.Job) { j.Tags = many(48) }, "tags", "Leave out 1"},
		"tag of AWS":       {func(j *spec.Job) { j.Tags = map[string]string{"AWS:x": ""} }, "tags.AWS:x", "aws:"},
		"tag of the suite": {func(j *spec.Job) { j.Tags = map[string]string{"trainyard:job": "other"} }, "tags.trainyard:job", "trainyard:"},
		"tag key":          {func(j *spec.Job) { j.Tags = map[string]string{"a*b": ""} }, "tags.a*b", "1 to 128"},
		"tag without key":  {func(j *spec.Job) { j.Tags = map[string]string{"": "v"} }, "tags.", "1 to 128"},
		"long tag key":     {func(j *spec.Job) { j.Tags = map[string]string{long(129): ""} }, "tags." + long(79) + "…", "128"},
		"tag value":        {func(j *spec.Job) { j.Tags = map[string]string{"a": "b;c"} }, "tags.a", "256"},
		"long tag value":   {func(j *spec.Job) { j.Tags = map[string]string{"a": long(257)} }, "tags.a", "256"},

		"no image":             {own(func(c *spec.Custom) { c.Image = "" }), "custom_image.image", "1 to 255"},
		"long image":           {own(func(c *spec.Custom) { c.Image = long(256) }), "custom_image.image", "1 to 255"},
		"image of no name":     {own(func(c *spec.Custom) { c.Image = "my image" }), "custom_image.image", "REPOSITORY"},
		"image from anywhere":  {own(func(c *spec.Custom) { c.Image = "docker.io/library/python:3" }), "custom_image.image", "123456789012.dkr.ecr.us-east-1.amazonaws.com/, 763104351884.dkr.ecr.us-east-1.amazonaws.com/"},
		"image of China":       {own(func(c *spec.Custom) { c.Image = "123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn/own:1" }), "custom_image.image", "us-east-1"},
		"many arguments":       {own(func(c *spec.Custom) { c.Arguments = make([]string, 101) }), "custom_image.arguments", "Leave out 1"},
		"long argument":        {own(func(c *spec.Custom) { c.Arguments = []string{"a", long(257)} }), "custom_image.arguments[1]", "256"},
		"argument of lines":    {own(func(c *spec.Custom) { c.Arguments = []string{"a\nb"} }), "custom_image.arguments[0]", "several lines"},
		"many entry points":    {own(func(c *spec.Custom) { c.Entrypoint = make([]string, 101) }), "custom_image.entrypoint", "Leave out 1"},
		"long entry point":     {own(func(c *spec.Custom) { c.Entrypoint = []string{long(257)} }), "custom_image.entrypoint[0]", "256"},
		"many variables":       {own(func(c *spec.Custom) { c.Environment = many(101) }), "custom_image.environment", "Leave out 1"},
		"variable's name":      {own(func(c *spec.Custom) { c.Environment = map[string]string{"1A": ""} }), "custom_image.environment.1A", "begin with a digit"},
		"variable's length":    {own(func(c *spec.Custom) { c.Environment = map[string]string{"FOO": long(513)} }), "custom_image.environment.FOO", "512"},
		"many hyperparameters": {own(func(c *spec.Custom) { c.Hyperparameters = many(101) }), "custom_image.hyperparameters", "Leave out 1"},
		"no name":              {own(func(c *spec.Custom) { c.Hyperparameters = map[string]string{"": "v"} }), "custom_image.hyperparameters.", "1 to 256"},
		"long name":            {own(func(c *spec.Custom) { c.Hyperparameters = map[string]string{long(257): "v"} }), "custom_image.hyperparameters." + long(79) + "…", "1 to 256"},
		"long value":           {own(func(c *spec.Custom) { c.Hyperparameters = map[string]string{"a": long(2501)} }), "custom_image.hyperparameters.a", "2500"},
		"value of lines":       {own(func(c *spec.Custom) { c.Hyperparameters = map[string]string{"a": "b\nc"} }), "custom_image.hyperparameters.a", "several lines"},
		"many metrics":         {own(func(c *spec.Custom) { c.Metrics = make([]recipe.Metric, 41) }), "custom_image.metric_definitions", "Leave out 1"},
		"metric without name":  {own(func(c *spec.Custom) { c.Metrics = []recipe.Metric{{Regex: "(a)"}} }), "custom_image.metric_definitions[0].name", "255"},
		"long metric":          {own(func(c *spec.Custom) { c.Metrics = []recipe.Metric{{Name: long(256), Regex: "(a)"}} }), "custom_image.metric_definitions[0].name", "255"},
		"metric twice": {own(func(c *spec.Custom) {
			c.Metrics = []recipe.Metric{{Name: "a", Regex: "(a)"}, {Name: "a", Regex: "(b)"}}
		}), "custom_image.metric_definitions[1].name", "twice"},
		"long expression":    {own(func(c *spec.Custom) { c.Metrics = []recipe.Metric{{Name: "a", Regex: "(" + long(500) + ")"}} }), "custom_image.metric_definitions[0].regex", "500"},
		"bad expression":     {own(func(c *spec.Custom) { c.Metrics = []recipe.Metric{{Name: "a", Regex: "(a"}} }), "custom_image.metric_definitions[0].regex", "missing closing )"},
		"expression of none": {own(func(c *spec.Custom) { c.Metrics = []recipe.Metric{{Name: "a", Regex: "loss=.*"}} }), "custom_image.metric_definitions[0].regex", "no group"},

		"file system without VPC": {func(j *spec.Job) {
			j.Bases = []spec.Base{{ID: "b", Source: efs}}
			j.Subnets, j.SecurityGroups = nil, nil
		}, "base_datasets[0]", "--subnets"},
		"in no VPC": {func(j *spec.Job) { j.Resources.InVPC = true; j.Subnets, j.SecurityGroups = nil, nil }, "resources.in_vpc", "--subnets"},

		// These are the operator's.
		"many subnets":       {func(j *spec.Job) { j.Resources.InVPC, j.Subnets = true, make([]string, 17) }, "", "16 subnets"},
		"many groups":        {func(j *spec.Job) { j.Resources.InVPC, j.SecurityGroups = true, make([]string, 6) }, "", "5 security groups"},
		"long recipe image":  {func(j *spec.Job) { j.Image = long(256) }, "", "1 to 255"},
		"recipe image there": {func(j *spec.Job) { j.Image = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/t" }, "", "push it"},
		"role":               {func(j *spec.Job) { j.RoleARN = "training" }, "", "ARN of a role"},
		"role of China":      {func(j *spec.Job) { j.RoleARN = "arn:aws-cn:iam::123456789012:role/t" }, "", "aws-cn"},
		"region":             {func(j *spec.Job) { j.Region = "moon-north-1" }, "", "moon-north-1"},
		"bucket":             {func(j *spec.Job) { j.Bucket = "" }, "", "bucket"},
		"checkpoints":        {func(j *spec.Job) { j.CheckpointURI = "/tmp" }, "", "s3://"},
		"id":                 {func(j *spec.Job) { j.ID = long(60) }, "", "63"},
		"project":            {func(j *spec.Job) { j.Project = "a*b" }, "", "tag"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			job := example()
			test.change(&job)
			_, _, err := spec.Build(job)
			var limit *spec.Error
			if !errors.As(err, &limit) || limit.Field != test.field || !strings.Contains(err.Error(), test.says) {
				t.Fatalf("got %q (%+v); want an Error of the field %q that says %q", err, limit, test.field, test.says)
			}
			if len(err.Error()) > 700 || !strings.HasSuffix(err.Error(), ".") {
				t.Errorf("%q is no sentence for people", err)
			}
		})
	}
}

// What lies on a limit is taken.
func TestLimitsAreInclusive(t *testing.T) {
	job := example()
	ownJob(&job)
	text := func(n int) string { return strings.Repeat("é", n) }
	job.Custom.Hyperparameters = map[string]string{text(256): text(2500)}
	job.Custom.Environment = map[string]string{strings.Repeat("A", 512): text(512)}
	job.Custom.Arguments = []string{text(256), ""}
	job.Custom.Metrics = []recipe.Metric{{Name: text(255), Regex: "(" + text(498) + ")"}}
	job.Tags = map[string]string{text(128): text(256)}
	for i := range 46 {
		job.Tags[fmt.Sprint("t", i)] = ""
	}
	job.Resources.MaxRuntimeSeconds, job.Resources.MaxRetries, job.Resources.KeepAliveSeconds = spec.MaxRuntimeSeconds, 30, 21600
	job.Resources.VolumeSizeGB = spec.MaxVolumeGB
	input := build(t, job)
	if len(input.Tags) != 50 || *input.RetryStrategy.MaximumRetryAttempts != 30 || *input.ResourceConfig.KeepAlivePeriodInSeconds != 21600 {
		t.Errorf("got %d tags, %v, %v", len(input.Tags), input.RetryStrategy, input.ResourceConfig)
	}
	warnings := spec.Warnings(input)
	if len(warnings) != 2 || !strings.Contains(warnings[0], "2500 characters") || !strings.Contains(warnings[1], "21600 seconds") {
		t.Errorf("got warnings %q", warnings)
	}
	if warnings := spec.Warnings(build(t, example())); len(warnings) != 0 {
		t.Errorf("got warnings %q of a plain job", warnings)
	}
}

func TestSpotWaitsTwiceTheRuntime(t *testing.T) {
	for runtime, want := range map[int32]int32{3600: 7200, spec.MaxRuntimeSeconds - 1: spec.MaxRuntimeSeconds} {
		job := example()
		job.Resources.Spot, job.Resources.MaxRuntimeSeconds, job.CheckpointURI = true, runtime, "s3://bucket/checkpoints/p/x/"
		if got := *build(t, job).StoppingCondition.MaxWaitTimeInSeconds; got != want {
			t.Errorf("waits %d seconds for %d, want %d", got, runtime, want)
		}
	}
}

// A pipe of a whole folder is said to hold more than shards.
func TestPipesOfFoldersAreWarnedOf(t *testing.T) {
	job := example()
	ownJob(&job)
	job.Bases = []spec.Base{{ID: "b", Source: source(t)(spec.S3Prefix("s3://elsewhere/base/"))}}
	job.InputModes = map[string]spec.Mode{"b": spec.Pipe, "train": spec.Pipe}
	if warnings := spec.Warnings(build(t, job)); len(warnings) != 1 || !strings.Contains(warnings[0], "channel b ") {
		t.Errorf("got %q", warnings)
	}
}

func TestDiskHoldsWhatFileModeCopies(t *testing.T) {
	s3 := source(t)(spec.S3Prefix("s3://elsewhere/base/"))
	for name, test := range map[string]struct {
		modes map[string]spec.Mode
		kind  string
		want  int32
	}{
		"files":      {nil, "ml.m5.xlarge", 100 + 30},
		"fast train": {map[string]spec.Mode{"train": spec.FastFile}, "ml.m5.xlarge", 20 + 30},
		"fast":       {map[string]spec.Mode{"train": spec.FastFile, "validation": spec.FastFile}, "ml.m5.xlarge", 30},
		"base, too":  {map[string]spec.Mode{"b": spec.File}, "ml.m5.xlarge", 600 + 30},
		"NVMe":       {nil, "ml.g5.xlarge", 30},
	} {
		job := example()
		job.Dataset.DownloadBytes, job.Dataset.ValidationBytes = 100e9, 20e9
		job.Bases = []spec.Base{{ID: "b", Source: s3, DownloadBytes: 500e9}}
		job.InputModes, job.Resources.InstanceType = test.modes, test.kind
		if got := *build(t, job).ResourceConfig.VolumeSizeInGB; got != test.want {
			t.Errorf("%s: %d GB, want %d", name, got, test.want)
		}
	}
}

func TestCheckImage(t *testing.T) {
	const digest = "@sha256:0000000000000000000000000000000000000000000000000000000000000000"
	own := spec.DefaultRegistries("123456789012", "us-east-1")
	china := spec.DefaultRegistries("123456789012", "cn-north-1")
	for _, test := range []struct {
		image, region string
		allowed       spec.Registries
		ok            bool
	}{
		{"123456789012.dkr.ecr.us-east-1.amazonaws.com/own:1", "us-east-1", own, true},
		{"123456789012.dkr.ecr.us-east-1.amazonaws.com/team/own" + digest, "us-east-1", own, true},
		{"763104351884.dkr.ecr.us-east-1.amazonaws.com/tensorflow-training:2.18-cpu", "us-east-1", own, true},
		{"210987654321.dkr.ecr.us-east-1.amazonaws.com/own:1", "us-east-1", own, false},
		{"123456789012.dkr.ecr.us-east-1.amazonaws.com.example.com/own:1", "us-east-1", own, false},
		{"123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn/own:1", "cn-north-1", china, true},
		{"727897471807.dkr.ecr.cn-north-1.amazonaws.com.cn/tensorflow-training:2", "cn-north-1", china, true},
		{"763104351884.dkr.ecr.us-east-1.amazonaws.com/tensorflow-training:2", "cn-north-1", china, false},
		{"123456789012.dkr.ecr.us-east-1.amazonaws.com/own:1", "us-west-2", own, false}, // Allowed, but not there.
		{"registry.example/team/own:1", "us-east-1", spec.Registries{"registry.example/team"}, true},
		{"registry.example/team:1", "us-east-1", spec.Registries{"registry.example/team"}, true},
		{"registry.example/teams/own:1", "us-east-1", spec.Registries{"registry.example/team"}, false},
		{"own:1", "us-east-1", spec.Registries{""}, false},
		{"own:1", "us-east-1", nil, false},
	} {
		err := spec.CheckImage(test.image, test.region, test.allowed)
		var refused *spec.Error
		if test.ok != (err == nil) || err != nil && (!errors.As(err, &refused) || refused.Field != "custom_image.image") {
			t.Errorf("%s in %s: got %v", test.image, test.region, err)
		}
	}
}

func TestInstanceTypesWithDisks(t *testing.T) {
	for name, want := range map[string]int32{"ml.g5.xlarge": 250, "ml.p4d.24xlarge": 8000, "ml.r5d.large": 75, "ml.trn1.2xlarge": 474} {
		if gb, ok := spec.LocalStorageGB(name); !ok || gb != want {
			t.Errorf("%s: %d GB, %v", name, gb, ok)
		}
		if err := spec.CheckInstanceType(name); err != nil {
			t.Error(err)
		}
	}
	for _, name := range []string{"ml.m5.xlarge", "ml.p3.2xlarge", "ml.c5n.xlarge", "ml.r5.large"} {
		if _, ok := spec.LocalStorageGB(name); ok {
			t.Errorf("%s has disks of its own", name)
		}
	}
}

// Build doesn't write into what it is given: a sweep builds many jobs of one.
func TestBuildLeavesItsJobAlone(t *testing.T) {
	job := example()
	ownJob(&job)
	job.Resources.InstanceCount, job.Resources.Sharded = 2, true
	job.Custom.Hyperparameters = map[string]string{"a": "1"}
	job.Bases = []spec.Base{{ID: "b", Source: source(t)(spec.S3Prefix("s3://elsewhere/base/"))}}
	before := maps.Clone(job.Custom.Hyperparameters)
	first := build(t, job)
	first.HyperParameters["b"] = "2"
	if !maps.Equal(job.Custom.Hyperparameters, before) {
		t.Errorf("got %v", job.Custom.Hyperparameters)
	}
	if again := build(t, job); len(again.HyperParameters) != 1 {
		t.Errorf("got %v", again.HyperParameters)
	}
}

func ownImage() *spec.Custom {
	return &spec.Custom{Image: "123456789012.dkr.ecr.us-east-1.amazonaws.com/own:1"}
}

func ownJob(job *spec.Job) {
	job.Recipe, job.Parameters, job.Custom = nil, nil, ownImage()
}
