package spec_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/sagemaker"

	"github.com/trainyard/trainyard/services/training/recipe"
	"github.com/trainyard/trainyard/services/training/region"
	"github.com/trainyard/trainyard/services/training/spec"
)

var update = flag.Bool("update", false, "write the requests of testdata anew")

// The whole requests as AWS's SDK sends them, in both partitions. After a wanted change: go test ./training/spec -update, and read the diff.
func TestRequests(t *testing.T) {
	for name, job := range goldenJobs(t) {
		t.Run(name, func(t *testing.T) {
			body, host := wire(t, build(t, job), job.Region)
			if want := region.Host("sagemaker", job.Region); host != want {
				t.Errorf("the request goes to %s, want %s", host, want)
			}
			path := filepath.Join("testdata", name+".json")
			if *update {
				if err := os.WriteFile(path, body, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(body, want) {
				t.Errorf("the request is not that of %s:\n%s", path, body)
			}
		})
	}
}

// A job keeps its request as JSON: what is sent after a restart, and what a job found at SageMaker is compared by, is what was built.
func TestStoredRequestsAreWhatWasBuilt(t *testing.T) {
	for name, job := range goldenJobs(t) {
		t.Run(name, func(t *testing.T) {
			built, hash, err := spec.Build(job)
			if err != nil {
				t.Fatal(err)
			}
			stored, err := json.Marshal(built)
			if err != nil {
				t.Fatal(err)
			}
			read := new(sagemaker.CreateTrainingJobInput)
			if err := json.Unmarshal(stored, read); err != nil {
				t.Fatal(err)
			}
			before, _ := wire(t, built, job.Region)
			after, _ := wire(t, read, job.Region)
			if !bytes.Equal(before, after) {
				t.Errorf("built\n%s\nbut read again\n%s", before, after)
			}
			tag := read.Tags[len(read.Tags)-1]
			read.Tags = read.Tags[:len(read.Tags)-1]
			unsigned, err := json.Marshal(read)
			if err != nil {
				t.Fatal(err)
			}
			if sum := sha256.Sum256(unsigned); *tag.Key != spec.TagHash || *tag.Value != hash || hex.EncodeToString(sum[:]) != hash {
				t.Errorf("the hash %s isn't that of the request that is read again", hash)
			}
		})
	}
}

// Nothing of one partition is in a request of the other.
func TestRequestsAreOfTheirPartition(t *testing.T) {
	arn := regexp.MustCompile(`arn:([a-z-]+):[a-z0-9]+:([a-z0-9-]*):`)
	host := regexp.MustCompile(`([a-z0-9-]+)\.amazonaws\.com(\.cn)?`)
	files, err := filepath.Glob(filepath.Join("testdata", "*.json"))
	if err != nil || len(files) < 6 {
		t.Fatalf("%d requests, %v", len(files), err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		where := "us-east-1"
		if strings.HasPrefix(filepath.Base(file), "aws-cn-") {
			where = "cn-north-1"
		}
		arns, hosts := arn.FindAllStringSubmatch(string(text), -1), host.FindAllStringSubmatch(string(text), -1)
		if len(arns) == 0 || len(hosts) == 0 {
			t.Errorf("%s has %d ARNs and %d hosts", file, len(arns), len(hosts))
		}
		for _, match := range arns {
			if match[1] != region.Partition(where) || match[2] != "" && match[2] != where {
				t.Errorf("%s: %s", file, match[0])
			}
		}
		for _, match := range hosts {
			if match[1] != where || "amazonaws.com"+match[2] != region.DNSSuffix(where) {
				t.Errorf("%s: %s", file, match[0])
			}
		}
	}
}

func goldenJobs(t *testing.T) map[string]spec.Job {
	jobs := map[string]spec.Job{}
	for _, where := range []string{"us-east-1", "cn-north-1"} {
		partition := region.Partition(where)
		minimal := example()
		minimal.Region = where
		minimal.RoleARN = "arn:" + partition + ":iam::123456789012:role/training"
		minimal.Image = region.Registry("123456789012", where) + "/trainyard-trainer:1"
		jobs[partition+"-recipe"] = minimal

		based := minimal
		based.Additional = []spec.Dataset{{
			URI: "s3://bucket/datasets/p/letters/3/", TFDSName: "letters", Labels: []string{"a", "b"}, DownloadBytes: 700_000_000,
		}}
		based.Bases = []spec.Base{
			{ID: "on-efs", Source: source(t)(spec.EFSDirectory("fs-0123456789abcdef0", "/base/digits")), ManifestSHA256: strings.Repeat("ab", 32)},
			{ID: "on-s3", Source: source(t)(spec.S3Prefix("s3://base-bucket/digits/")), ManifestSHA256: strings.Repeat("cd", 32)},
		}
		if where == "us-east-1" { // SageMaker doesn't read FSx for Lustre in China.
			based.Bases = append(based.Bases, spec.Base{ID: "on-lustre", Source: source(t)(spec.LustreDirectory("fs-0fedcba9876543210", "abcdefgh", "/base/digits"))})
		}
		based.InputModes = map[string]spec.Mode{"train": spec.FastFile}
		jobs[partition+"-recipe-with-bases"] = based

		everything := based
		everything.Recipe, everything.Parameters, everything.Image = nil, nil, ""
		everything.Dataset.Inputs = map[string]string{recipe.LabelFeature: "kind"}
		everything.Dataset.TrainShards = 16
		everything.Custom = &spec.Custom{
			Image:      region.Registry("123456789012", where) + "/team/own@sha256:" + strings.Repeat("0", 64),
			Entrypoint: []string{"python3", "-m", "own"}, Arguments: []string{"train", "--fast"},
			Environment:     map[string]string{"OWN_MODE": "full", "NCCL_DEBUG": "WARN"},
			Hyperparameters: map[string]string{"depth": "18", "seed": "7"},
			Metrics:         []recipe.Metric{{Name: "validation:accuracy", Regex: `accuracy=([0-9.]+)`}, {Name: "loss", Regex: `loss=([0-9.e-]+)`}},
		}
		everything.InputModes = map[string]spec.Mode{"train": spec.Pipe, "validation": spec.File, "version-2": spec.FastFile, "on-s3": spec.Pipe}
		everything.Resources = spec.Resources{
			InstanceType: "ml.c5.4xlarge", InstanceCount: 4, VolumeSizeGB: 200, MaxRuntimeSeconds: 7200, Spot: true, MaxWaitSeconds: 10800, MaxRetries: 3,
			NetworkIsolation: true, InVPC: true, EncryptTraffic: true, Sharded: true,
			VolumeKMSKey: "arn:" + partition + ":kms:" + where + ":123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab",
			OutputKMSKey: "arn:" + partition + ":kms:" + where + ":123456789012:alias/models",
		}
		everything.Tags = map[string]string{"cost centre": "Entwicklung/7", "team": "vision"}
		everything.CheckpointURI = "s3://bucket/checkpoints/p/" + everything.ID + "/"
		everything.Subnets = []string{"subnet-00000001", "subnet-00000002"}
		jobs[partition+"-own-image"] = everything

		warm := minimal
		warm.Resources = spec.Resources{InstanceType: "ml.g5.xlarge", InstanceCount: 1, MaxRuntimeSeconds: 3600, KeepAliveSeconds: 1800}
		jobs[partition+"-warm-pool"] = warm
	}
	return jobs
}

func TestEveryRequestIsShown(t *testing.T) {
	jobs := goldenJobs(t)
	files, err := filepath.Glob(filepath.Join("testdata", "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if _, ok := jobs[strings.TrimSuffix(filepath.Base(file), ".json")]; !ok {
			t.Errorf("%s is of no test", file)
		}
	}
	if !slices.ContainsFunc(files, func(f string) bool { return strings.Contains(f, "aws-cn-") }) {
		t.Error("no request of China")
	}
}

func source(t *testing.T) func(spec.Source, error) spec.Source {
	return func(s spec.Source, err error) spec.Source {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
}
