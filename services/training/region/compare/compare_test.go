package compare_test

import (
	"errors"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/sagemaker"

	"github.com/trainyard/trainyard/services/training/internal/basedataset"
	"github.com/trainyard/trainyard/services/training/recipe"
	"github.com/trainyard/trainyard/services/training/region"
	"github.com/trainyard/trainyard/services/training/region/compare"
	"github.com/trainyard/trainyard/services/training/spec"
)

const key = "arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"

// The lesson of the move to China, as a list: Lustre there isn't read, accounts, registries and endpoint names are others.
func TestVirginiaAndBeijing(t *testing.T) {
	list := regions(t, "us-east-1", "cn-north-1", installation(), job(t))
	want := []struct {
		subject, there, change string
		blocking               bool
	}{
		{"partition", "aws-cn", "account of aws-cn", true},
		{"execution role", "arn:aws-cn:iam::ACCOUNT:role/training", "Make the role", true},
		{"training image", "ACCOUNT.dkr.ecr.cn-north-1.amazonaws.com.cn/trainyard-trainer:1", "Push the image", true},
		{"KMS key", "arn:aws-cn:kms:cn-north-1:ACCOUNT:key/1234abcd-12ab-34cd-56ef-1234567890ab", "Make a key", true},
		{"bucket", "a bucket in cn-north-1", "Make a bucket", true},
		{"VPC", "in cn-north-1", "--subnets", true},
		{"base dataset letters", "none: letters lies in us-east-1", "add this location", true},
		{"account of AWS's Deep Learning Containers", "727897471807", "", false},
		{"file system: FSx for Lustre", "FSx for Lustre is currently not supported in the region cn-north-1 for SageMaker", "Copy base datasets", false},
		{"base dataset digits", "EFS fs-0fedcba9876543210: digits is read from EFS", "", false},
		{"quota of ml.m5.xlarge for training", "cn-north-1", "service-quotas", false},
		{"hosts of AWS's APIs", "api.sagemaker.cn-north-1.amazonaws.com.cn", "", false},
		{"host of presigned URLs", "bucket.s3.cn-north-1.amazonaws.com.cn", "", false},
		{"interface VPC endpoint of s3", "cn.com.amazonaws.cn-north-1.s3", "Look the name up", false},
		{"interface VPC endpoint of sagemaker.api", "cn.com.amazonaws.cn-north-1.sagemaker.api", "Look the name up", false},
		{"service principals in policies", "sagemaker.amazonaws.com: the same", "", false},
		{"AWS's API of prices", "none", "file of prices", false},
		{"currency", "CNY", "CNY", false},
		{"console", "console.amazonaws.cn", "", false},
		{"public web address of the installation", "ICP", "ICP", false},
	}
	for _, w := range want {
		d := find(list, w.subject)
		if d == nil {
			t.Errorf("%s is not listed", w.subject)
			continue
		}
		if !strings.Contains(d.There, w.there) || !strings.Contains(d.Change, w.change) || (w.change == "") != (d.Change == "") || d.Blocking != w.blocking || d.Here == "" {
			t.Errorf("got %+v; want %+v", *d, w)
		}
	}
	for _, service := range []string{"logs", "kms", "events"} {
		if find(list, "interface VPC endpoint of "+service) != nil {
			t.Errorf("the endpoint of %s has the same form in both", service)
		}
	}
	free := slices.IndexFunc(list, func(d compare.Difference) bool { return !d.Blocking })
	if slices.ContainsFunc(list[free:], func(d compare.Difference) bool { return d.Blocking }) {
		t.Error("what blocks doesn't come first")
	}
	foreign := regexp.MustCompile(`arn:aws:|us-east-1\.amazonaws|ecr\.cn-north-1\.amazonaws\.com([^.]|$)`)
	for _, d := range list {
		if foreign.MatchString(d.There) {
			t.Errorf("%s there is of the other partition: %s", d.Subject, d.There)
		}
	}
}

func TestTheOtherWayRound(t *testing.T) {
	in := installation()
	in.RoleARN, in.Image = "arn:aws-cn:iam::123456789012:role/training", "727897471807.dkr.ecr.cn-north-1.amazonaws.com.cn/tensorflow-training:2"
	list := regions(t, "cn-north-1", "eu-west-1", in, nil)
	for subject, there := range map[string]string{
		"partition": "aws", "execution role": "arn:aws:iam::ACCOUNT:role/training", "currency": "USD", "file system: FSx for Lustre": "read by SageMaker",
		"training image": "763104351884.dkr.ecr.eu-west-1.amazonaws.com/tensorflow-training:2",
	} {
		if d := find(list, subject); d == nil || d.There != there {
			t.Errorf("%s: got %+v, want %s", subject, d, there)
		}
	}
	if find(list, "public web address of the installation") != nil {
		t.Error("no filing is needed outside of China")
	}
}

// Within a partition what has the region in its name is made by the suite and not told.
func TestWithinAPartition(t *testing.T) {
	list := regions(t, "us-east-1", "eu-west-1", installation(), job(t))
	for _, subject := range []string{"training image", "KMS key", "bucket", "VPC", "base dataset digits", "base dataset letters"} {
		if d := find(list, subject); d == nil || !d.Blocking || d.Change == "" {
			t.Errorf("%s: got %+v; want it to block", subject, d)
		}
	}
	for _, d := range list {
		for _, no := range []string{"partition", "execution role", "host", "interface", "console", "currency", "file system", "service principals"} {
			if strings.HasPrefix(d.Subject, no) {
				t.Errorf("%+v is no difference", d)
			}
		}
	}
	if d := find(list, "training image"); d.There != "123456789012.dkr.ecr.eu-west-1.amazonaws.com/trainyard-trainer:1" {
		t.Errorf("got %s", d.There)
	}
}

func TestChinaBothRegions(t *testing.T) {
	list := regions(t, "cn-north-1", "cn-northwest-1", compare.Installation{}, nil)
	if len(list) != 0 {
		t.Errorf("got %+v for an installation of nothing", list)
	}
}

func TestWhatTheOperatorKnows(t *testing.T) {
	in := installation()
	var err error
	if in.Capabilities, err = region.Parse([]byte("regions: {cn-north-1: {fsx_lustre: true, instance_types_missing: [ml.m5.xlarge], why: tried}}")); err != nil {
		t.Fatal(err)
	}
	list := regions(t, "us-east-1", "cn-north-1", in, job(t))
	if d := find(list, "file system: FSx for Lustre"); d != nil {
		t.Errorf("got %+v, though it works by now", d)
	}
	if d := find(list, "instance type"); d == nil || !d.Blocking || !strings.Contains(d.There, "tried") {
		t.Errorf("got %+v", d)
	}
}

// A job that reads Lustre and has nothing else there can't run; one that doesn't can.
func TestLustreBlocksWhereNothingElseIs(t *testing.T) {
	in := installation()
	in.BaseDatasets[0].Locations = in.BaseDatasets[0].Locations[:1]
	for name, request := range map[string]*sagemaker.CreateTrainingJobInput{"a job": job(t), "all jobs": nil} {
		if d := find(regions(t, "us-east-1", "cn-north-1", in, request), "file system: FSx for Lustre"); d == nil || !d.Blocking {
			t.Errorf("%s: got %+v", name, d)
		}
	}
}

func TestKeysByName(t *testing.T) {
	for id, blocks := range map[string]bool{"alias/models": false, "1234abcd-12ab-34cd-56ef-1234567890ab": true, "mrk-1234": false, strings.Replace(key, "1234abcd", "mrk-1234", 1): true} {
		list := regions(t, "us-east-1", "us-west-2", compare.Installation{OutputKMSKey: id}, nil)
		if d := find(list, "KMS key"); d == nil || d.Blocking != blocks || d.Change == "" {
			t.Errorf("%s: got %+v", id, d)
		}
	}
}

func TestRegionsAreChecked(t *testing.T) {
	for _, pair := range [][2]string{{"us-east-1", "moon-north-1"}, {"", "us-east-1"}} {
		var invalid *region.Error
		if _, err := compare.Regions(pair[0], pair[1], installation(), nil); !errors.As(err, &invalid) {
			t.Errorf("%v: got %v", pair, err)
		}
	}
	if list := regions(t, "us-east-1", "us-east-1", installation(), nil); len(list) != 0 {
		t.Errorf("a region differs from itself: %+v", list)
	}
}

func regions(t *testing.T, here, there string, in compare.Installation, request *sagemaker.CreateTrainingJobInput) []compare.Difference {
	t.Helper()
	list, err := compare.Regions(here, there, in, request)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func find(list []compare.Difference, subject string) *compare.Difference {
	for i := range list {
		if list[i].Subject == subject {
			return &list[i]
		}
	}
	return nil
}

func installation() compare.Installation {
	return compare.Installation{
		RoleARN: "arn:aws:iam::123456789012:role/training", Image: "123456789012.dkr.ecr.us-east-1.amazonaws.com/trainyard-trainer:1", Bucket: "bucket",
		OutputKMSKey: key, Subnets: []string{"subnet-00000001"}, SecurityGroups: []string{"sg-00000001"},
		BaseDatasets: []*basedataset.BaseDataset{
			{ID: "digits", Locations: []basedataset.Location{
				{Region: "us-east-1", Storage: basedataset.Lustre, FileSystemID: "fs-0123456789abcdef0", MountName: "abcdefgh", Path: "/digits"},
				{Region: "cn-north-1", Storage: basedataset.Lustre, FileSystemID: "fs-0fedcba9876543211", MountName: "abcdefgh", Path: "/digits"},
				{Region: "cn-north-1", Storage: basedataset.EFS, FileSystemID: "fs-0fedcba9876543210", Path: "/digits"},
			}},
			{ID: "letters", Locations: []basedataset.Location{{Region: "us-east-1", Storage: basedataset.S3, URI: "s3://base/letters/"}}},
			{ID: "unused", Locations: []basedataset.Location{{Region: "us-east-1", Storage: basedataset.S3, URI: "s3://base/unused/"}}},
		},
	}
}

// job is one that trains on digits and letters in us-east-1.
func job(t *testing.T) *sagemaker.CreateTrainingJobInput {
	t.Helper()
	in := installation()
	chosen := recipe.All().Find("image-classification")
	parameters, err := chosen.Resolve(nil)
	if err != nil {
		t.Fatal(err)
	}
	described := spec.Job{
		ID: "0jdf8k2m9abcdefg", Project: "p", Recipe: chosen, Parameters: parameters, Region: "us-east-1",
		Dataset:   spec.Dataset{URI: "s3://bucket/datasets/p/digits/1/", TFDSName: "digits", Labels: []string{"0", "1"}},
		Resources: spec.Resources{InstanceType: "ml.m5.xlarge", InstanceCount: 1, MaxRuntimeSeconds: 3600, OutputKMSKey: in.OutputKMSKey},
		Image:     in.Image, RoleARN: in.RoleARN, Bucket: in.Bucket, Subnets: in.Subnets, SecurityGroups: in.SecurityGroups,
	}
	for _, b := range in.BaseDatasets[:2] {
		source, err := b.Locations[0].Source()
		if err != nil {
			t.Fatal(err)
		}
		described.Bases = append(described.Bases, spec.Base{ID: b.ID, Source: source})
	}
	request, _, err := spec.Build(described)
	if err != nil {
		t.Fatal(err)
	}
	return request
}
