package region_test

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/efs"
	"github.com/aws/aws-sdk-go-v2/service/fsx"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/servicequotas"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/trainyard/trainyard/services/training/region"
)

func TestPartitions(t *testing.T) {
	for name, want := range map[string][3]string{
		"us-east-1":      {"aws", "amazonaws.com", "USD"},
		"eu-central-2":   {"aws", "amazonaws.com", "USD"},
		"cn-north-1":     {"aws-cn", "amazonaws.com.cn", "CNY"},
		"cn-northwest-1": {"aws-cn", "amazonaws.com.cn", "CNY"},
		"us-gov-west-1":  {"aws-us-gov", "amazonaws.com", "USD"},
	} {
		if err := region.Valid(name); err != nil {
			t.Error(err)
		}
		if got := [3]string{region.Partition(name), region.DNSSuffix(name), region.Currency(name)}; got != want {
			t.Errorf("%s: got %v, want %v", name, got, want)
		}
	}
	for _, name := range []string{"", "us-east", "us-east-1a", "US-EAST-1", "moon-north-1", "us-iso-east-1", "us-isob-east-1", "eusc-de-east-1", "cn-north-1.", strings.Repeat("x", 200)} {
		var invalid *region.Error
		if err := region.Valid(name); !errors.As(err, &invalid) || len(err.Error()) > 300 {
			t.Errorf("%q: got %v; want a region.Error", name, err)
		}
	}
}

// recorder notes where a request would go, and sends none.
type recorder struct{ host string }

var errNotSent = errors.New("not sent")

func (r *recorder) Do(request *http.Request) (*http.Response, error) {
	r.host = request.URL.Host
	return nil, errNotSent
}

// The SDKs know their hosts; ours must be the same.
func TestHostsAreThoseOfTheSDK(t *testing.T) {
	for _, name := range []string{"us-east-1", "eu-west-1", "cn-north-1", "cn-northwest-1", "us-gov-west-1"} {
		sent := &recorder{}
		cfg := aws.Config{
			Region: name, HTTPClient: sent, RetryMaxAttempts: 1,
			Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
				return aws.Credentials{AccessKeyID: "a", SecretAccessKey: "b"}, nil
			}),
		}
		ctx := t.Context()
		calls := map[string]func() error{
			"sagemaker": func() error {
				_, err := sagemaker.NewFromConfig(cfg).ListTrainingJobs(ctx, &sagemaker.ListTrainingJobsInput{})
				return err
			},
			"ecr": func() error {
				_, err := ecr.NewFromConfig(cfg).DescribeRepositories(ctx, &ecr.DescribeRepositoriesInput{})
				return err
			},
			"iam": func() error {
				_, err := iam.NewFromConfig(cfg).GetRole(ctx, &iam.GetRoleInput{RoleName: aws.String("r")})
				return err
			},
			"efs": func() error {
				_, err := efs.NewFromConfig(cfg).DescribeFileSystems(ctx, &efs.DescribeFileSystemsInput{})
				return err
			},
			"fsx": func() error {
				_, err := fsx.NewFromConfig(cfg).DescribeFileSystems(ctx, &fsx.DescribeFileSystemsInput{})
				return err
			},
			"ec2": func() error {
				_, err := ec2.NewFromConfig(cfg).DescribeVpcs(ctx, &ec2.DescribeVpcsInput{})
				return err
			},
			"kms": func() error {
				_, err := kms.NewFromConfig(cfg).ListKeys(ctx, &kms.ListKeysInput{})
				return err
			},
			"sqs": func() error {
				_, err := sqs.NewFromConfig(cfg).ListQueues(ctx, &sqs.ListQueuesInput{})
				return err
			},
			"sts": func() error {
				_, err := sts.NewFromConfig(cfg).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
				return err
			},
			"servicequotas": func() error {
				_, err := servicequotas.NewFromConfig(cfg).ListServiceQuotas(ctx, &servicequotas.ListServiceQuotasInput{ServiceCode: aws.String("sagemaker")})
				return err
			},
			"s3": func() error {
				_, err := s3.NewFromConfig(cfg).ListBuckets(ctx, &s3.ListBucketsInput{})
				return err
			},
		}
		for service, call := range calls {
			if err := call(); !errors.Is(err, errNotSent) {
				t.Fatalf("%s in %s: %v", service, name, err)
			}
			if got := region.Host(service, name); got != sent.host {
				t.Errorf("%s in %s: %s, but the SDK asks %s", service, name, got, sent.host)
			}
		}
		presigned, err := s3.NewPresignClient(s3.NewFromConfig(cfg)).PresignGetObject(ctx, &s3.GetObjectInput{Bucket: aws.String("bucket"), Key: aws.String("key")})
		if err != nil {
			t.Fatal(err)
		}
		if want := "https://" + region.PresignedHost("bucket", name) + "/key?"; !strings.HasPrefix(presigned.URL, want) {
			t.Errorf("presigned URLs begin %s; want %s", presigned.URL[:80], want)
		}
	}
}

func TestEndpointNames(t *testing.T) {
	tests := []struct {
		service, region, name string
		known                 bool
	}{
		{"ecr.api", "us-east-1", "com.amazonaws.us-east-1.ecr.api", true},
		{"ecr.api", "cn-north-1", "cn.com.amazonaws.cn-north-1.ecr.api", true},
		{"s3", "cn-northwest-1", "cn.com.amazonaws.cn-northwest-1.s3", true},
		{"logs", "cn-north-1", "com.amazonaws.cn-north-1.logs", true},
		{"bedrock", "cn-north-1", "com.amazonaws.cn-north-1.bedrock", false},
	}
	for _, test := range tests {
		if name, known := region.InterfaceEndpoint(test.service, test.region); name != test.name || known != test.known {
			t.Errorf("%s in %s: got %s, %v", test.service, test.region, name, known)
		}
	}
	if got := region.GatewayEndpoint("cn-north-1"); got != "com.amazonaws.cn-north-1.s3" {
		t.Errorf("got %s", got)
	}
}

func TestRegistries(t *testing.T) {
	for name, want := range map[string]string{
		"us-east-1": "763104351884.dkr.ecr.us-east-1.amazonaws.com", "cn-north-1": "727897471807.dkr.ecr.cn-north-1.amazonaws.com.cn",
		"ap-east-1": "871362719292.dkr.ecr.ap-east-1.amazonaws.com", "us-gov-west-1": "442386744353.dkr.ecr.us-gov-west-1.amazonaws.com",
	} {
		if got := region.Registry(region.DeepLearningAccount(name), name); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	if account, where, ok := region.ParseRegistry("123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn/trainer:1"); !ok || account != "123456789012" || where != "cn-north-1" {
		t.Errorf("got %s, %s, %v", account, where, ok)
	}
	for _, image := range []string{
		"trainer", "123456789012.dkr.ecr.cn-north-1.amazonaws.com/trainer", "123456789012.dkr.ecr.us-east-1.amazonaws.com.cn/trainer",
		"123456789012.dkr.ecr.us-east-1.amazonaws.com", "123456789012.dkr.ecr.us-east-1.amazonaws.com.example/trainer",
	} {
		if _, _, ok := region.ParseRegistry(image); ok {
			t.Errorf("%s is taken for an image of ECR", image)
		}
	}
}

func TestTable(t *testing.T) {
	var builtIn *region.Table
	for _, name := range []string{"cn-north-1", "cn-northwest-1"} {
		if ok, why := builtIn.Supports(name, region.FSxLustre); ok || !strings.Contains(why, "FSx for Lustre is currently not supported in the region "+name+" for SageMaker") {
			t.Errorf("FSx for Lustre in %s: %v, %s", name, ok, why)
		}
		if ok, _ := builtIn.Supports(name, region.Pricing); ok {
			t.Errorf("%s has a pricing API", name)
		}
		if ok, _ := builtIn.Supports(name, region.EFS); !ok {
			t.Errorf("%s has no EFS", name)
		}
	}
	for _, feature := range region.Features() {
		if ok, _ := builtIn.Supports("us-east-1", feature); !ok {
			t.Errorf("us-east-1 has no %s", feature)
		}
	}

	path := filepath.Join(t.TempDir(), "regions.yaml")
	text := "regions:\n  cn-north-1:\n    fsx_lustre: true\n    instance_types_missing: [ml.p5.48xlarge]\n    why: tried in March\n  us-east-1: {efs: false}\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	table, err := region.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if ok, why := table.Supports("cn-north-1", region.FSxLustre); !ok || why != "tried in March" {
		t.Errorf("got %v, %s", ok, why)
	}
	if ok, _ := table.Supports("cn-northwest-1", region.FSxLustre); ok {
		t.Error("one region's entry holds for another")
	}
	if ok, _ := table.Supports("cn-north-1", region.Pricing); ok {
		t.Error("an entry forgets what is built in")
	}
	if ok, why := table.Supports("us-east-1", region.EFS); ok || why != "the operator says so" {
		t.Errorf("got %v, %s", ok, why)
	}
	if lacks, why := table.LacksInstanceType("cn-north-1", "ml.p5.48xlarge"); !lacks || why != "tried in March" {
		t.Errorf("got %v, %s", lacks, why)
	}
	if lacks, _ := table.LacksInstanceType("cn-north-1", "ml.m5.xlarge"); lacks {
		t.Error("a type is missing that nobody named")
	}
}

func TestTableIsReadStrictly(t *testing.T) {
	for name, text := range map[string]string{
		"unknown key":     "regions: {cn-north-1: {lustre: true}}",
		"unknown top key": "region: {}",
		"unknown region":  "regions: {moon-north-1: {efs: true}}",
		"not a truth":     "regions: {cn-north-1: {efs: perhaps}}",
		"empty entry":     "regions: {cn-north-1: }",
		"instance type":   "regions: {cn-north-1: {instance_types_missing: [p5.48xlarge]}}",
		"two documents":   "regions: {}\n---\nregions: {}",
		"list":            "- cn-north-1",
	} {
		if _, err := region.Parse([]byte(text)); err == nil {
			t.Errorf("%s: accepted %q", name, text)
		}
	}
	if _, err := region.Load(filepath.Join(t.TempDir(), "absent.yaml")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v for a file that isn't there", err)
	}
	for _, empty := range []string{"", "regions:", "# nothing"} {
		if _, err := region.Parse([]byte(empty)); err != nil {
			t.Errorf("%q: %v", empty, err)
		}
	}
}
