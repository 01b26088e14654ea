package sagemaker_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"
	"github.com/aws/smithy-go"

	"github.com/trainyard/trainyard/services/localcloud/sagemaker"
)

func wantError(t *testing.T, err error, code, text string) {
	t.Helper()
	var api smithy.APIError
	if !errors.As(err, &api) || api.ErrorCode() != code || !strings.Contains(api.ErrorMessage(), text) {
		t.Errorf("got  %v\nwant %s: %s", err, code, text)
	}
}

func TestCreateRefuses(t *testing.T) {
	t.Parallel()
	c := start(t, sagemaker.Config{LustreUnsupported: true, Region: "cn-north-1"}, "true")
	c.put("refuse/data", "x")
	vpc := &types.VpcConfig{SecurityGroupIds: []string{"sg-1"}, Subnets: []string{"subnet-1"}}
	many := func(n int) map[string]string {
		m := map[string]string{}
		for i := range n {
			m[fmt.Sprintf("k%d", i)] = "v"
		}
		return m
	}
	type in = sdk.CreateTrainingJobInput
	for _, tc := range []struct {
		name   string
		change func(*in)
		text   string
	}{
		{"name", func(in *in) { in.TrainingJobName = aws.String("a_b") }, "1 validation error detected: Value 'a_b' at 'trainingJobName' failed to satisfy constraint: Member must satisfy regular expression pattern: ^[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}$"},
		{"two faults", func(in *in) { in.TrainingJobName, in.RoleArn = aws.String("-"), aws.String(strings.Repeat("x", 20)) }, "2 validation errors detected: Value '-' at 'trainingJobName'"},
		{"long name", func(in *in) { in.TrainingJobName = aws.String(strings.Repeat("a", 64)) }, "at 'trainingJobName' failed to satisfy constraint: Member must have length less than or equal to 63"},
		{"role", func(in *in) { in.RoleArn = aws.String("arn:aws:iam::1:role/x-and-some-more") }, "at 'roleArn'"},
		{"hyperparameter count", func(in *in) { in.HyperParameters = many(101) }, "at 'hyperParameters' failed to satisfy constraint: Member must have length less than or equal to 100"},
		{"hyperparameter value", func(in *in) { in.HyperParameters = map[string]string{"k": strings.Repeat("v", 2501)} }, "at 'hyperParameters.k' failed to satisfy constraint: Member must have length less than or equal to 2500"},
		{"environment key", func(in *in) { in.Environment = map[string]string{"A-B": "v"} }, "Value 'A-B' at 'environment'"},
		{"environment value", func(in *in) { in.Environment = map[string]string{"A": strings.Repeat("v", 513)} }, "less than or equal to 512"},
		{"tags", func(in *in) {
			for i := range 51 {
				in.Tags = append(in.Tags, types.Tag{Key: aws.String(fmt.Sprint(i)), Value: aws.String("")})
			}
		}, "at 'tags' failed to satisfy constraint: Member must have length less than or equal to 50"},
		{"no image", func(in *in) { in.AlgorithmSpecification.TrainingImage = nil }, "You must provide either"},
		{"input mode", func(in *in) { in.AlgorithmSpecification.TrainingInputMode = "Files" }, "Value 'Files' at 'algorithmSpecification.trainingInputMode' failed to satisfy constraint: Member must satisfy enum value set: [Pipe, File, FastFile]"},
		{"metric count", func(in *in) {
			in.AlgorithmSpecification.MetricDefinitions = slices.Repeat([]types.MetricDefinition{{Name: aws.String("m"), Regex: aws.String("(x)")}}, 41)
		}, "less than or equal to 40"},
		{"metric regex", func(in *in) {
			in.AlgorithmSpecification.MetricDefinitions = []types.MetricDefinition{{Name: aws.String("m"), Regex: aws.String("(")}}
		}, "Invalid regular expression for metric m"},
		{"metric without group", func(in *in) {
			in.AlgorithmSpecification.MetricDefinitions = []types.MetricDefinition{{Name: aws.String("m"), Regex: aws.String("loss")}}
		}, "needs a capture group"},
		{"instance type", func(in *in) { in.ResourceConfig.InstanceType = "ml.huge" }, "at 'resourceConfig.instanceType'"},
		{"runtime", func(in *in) { in.StoppingCondition.MaxRuntimeInSeconds = aws.Int32(0) }, "at 'stoppingCondition.maxRuntimeInSeconds' failed to satisfy constraint: Member must have value greater than or equal to 1"},
		{"long runtime", func(in *in) { in.StoppingCondition.MaxRuntimeInSeconds = aws.Int32(2419201) }, "Invalid MaxRuntimeInSeconds"},
		{"spot without wait", func(in *in) { in.EnableManagedSpotTraining = aws.Bool(true) }, "Invalid MaxWaitTimeInSeconds. It must be present and be greater than or equal to MaxRuntimeInSeconds"},
		{"wait without spot", func(in *in) { in.StoppingCondition.MaxWaitTimeInSeconds = aws.Int32(900) }, "MaxWaitTimeInSeconds"},
		{"output", func(in *in) { in.OutputDataConfig.S3OutputPath = aws.String("/tmp") }, "at 'outputDataConfig.s3OutputPath'"},
		{"channels", func(in *in) { in.InputDataConfig = []types.Channel{} }, "at 'inputDataConfig' failed to satisfy constraint: Member must have length greater than or equal to 1"},
		{"channel name", func(in *in) { in.InputDataConfig = []types.Channel{s3Channel("a/b", "s3://trainyard/refuse/")} }, "Value 'a/b' at 'inputDataConfig.1.member.channelName'"},
		{"channel twice", func(in *in) {
			in.InputDataConfig = slices.Repeat([]types.Channel{s3Channel("a", "s3://trainyard/refuse/")}, 2)
		}, "Channel names must be unique"},
		{"empty prefix", func(in *in) { in.InputDataConfig = []types.Channel{s3Channel("a", "s3://trainyard/nothing/")} }, `No S3 objects found under S3 URL "s3://trainyard/nothing/" given in input data source. Please ensure that the bucket exists in the selected region (cn-north-1), that objects exist under that S3 prefix, and that the role "` + role + `" has "s3:ListBucket" permissions on bucket "trainyard".`},
		{"no bucket", func(in *in) { in.InputDataConfig = []types.Channel{s3Channel("a", "s3://no-such-bucket/x")} }, "No S3 objects found under S3 URL"},
		{"RecordIO", func(in *in) {
			in.AlgorithmSpecification.TrainingInputMode = types.TrainingInputModePipe
			in.InputDataConfig = []types.Channel{s3Channel("a", "s3://trainyard/refuse/")}
			in.InputDataConfig[0].RecordWrapperType = types.RecordWrapperRecordio
		}, "localcloud doesn't wrap objects as RecordIO (channel a)"},
		{"augmented manifest", func(in *in) {
			in.InputDataConfig = []types.Channel{s3Channel("a", "s3://trainyard/refuse/")}
			in.InputDataConfig[0].DataSource.S3DataSource.S3DataType = types.S3DataTypeAugmentedManifestFile
		}, "localcloud doesn't read the S3DataType AugmentedManifestFile (channel a)"},
		{"pipe from a file system", func(in *in) {
			in.VpcConfig = vpc
			in.InputDataConfig = []types.Channel{fileSystemChannel("fs-0123456789abcdef0", "/", types.FileSystemTypeEfs)}
			in.InputDataConfig[0].InputMode = types.TrainingInputModePipe
		}, "A FileSystemDataSource has no Pipe input mode"},
		{"fault", func(in *in) { in.Environment = map[string]string{"LOCALCLOUD_FAIL": "something"} }, `The variable LOCALCLOUD_FAIL is "something": localcloud takes capacity or download.`},
		{"interruption without spot", func(in *in) { in.Environment = map[string]string{"LOCALCLOUD_INTERRUPT_AFTER": "1s"} }, "needs EnableManagedSpotTraining"},
		{"warm pool on spot", func(in *in) {
			in.EnableManagedSpotTraining, in.StoppingCondition.MaxWaitTimeInSeconds = aws.Bool(true), aws.Int32(900)
			in.ResourceConfig.KeepAlivePeriodInSeconds = aws.Int32(60)
		}, "KeepAlivePeriodInSeconds is not supported with managed spot training"},
		{"file system without VPC", func(in *in) {
			in.InputDataConfig = []types.Channel{fileSystemChannel("fs-0123456789abcdef0", "/", types.FileSystemTypeEfs)}
		}, "VpcConfig is required"},
		{"file system id", func(in *in) {
			in.VpcConfig = vpc
			in.InputDataConfig = []types.Channel{fileSystemChannel("fs-xyz0123456", "/", types.FileSystemTypeEfs)}
		}, "at 'inputDataConfig.1.member.dataSource.fileSystemDataSource.fileSystemId' failed to satisfy constraint: Member must satisfy regular expression pattern: ^(fs-[0-9a-f]{8,})$"},
		{"the article's file system type", func(in *in) {
			in.VpcConfig = vpc
			in.InputDataConfig = []types.Channel{fileSystemChannel("fs-0123456789abcdef0", "/", "FsxLustre")}
		}, "Member must satisfy enum value set: [EFS, FSxLustre]"},
		{"Lustre where there is none", func(in *in) {
			in.VpcConfig = vpc
			in.InputDataConfig = []types.Channel{fileSystemChannel("fs-0123456789abcdef0", "/fsx", types.FileSystemTypeFsxlustre)}
		}, "FSx for Lustre is currently not supported in the region cn-north-1 for SageMaker"},
		{"checkpoints elsewhere", func(in *in) {
			in.CheckpointConfig = &types.CheckpointConfig{S3Uri: aws.String("s3://trainyard/c"), LocalPath: aws.String("/opt/ml/../../etc")}
		}, "under /opt/ml only"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			in := request("refused")
			tc.change(in)
			_, err := c.sm.CreateTrainingJob(t.Context(), in)
			wantError(t, err, "ValidationException", tc.text)
		})
	}
	in2 := request("refused")
	in2.ResourceConfig.InstanceCount = aws.Int32(5)
	_, err := c.sm.CreateTrainingJob(t.Context(), in2)
	wantError(t, err, "ResourceLimitExceeded", "The account-level service limit 'ml.m5.xlarge for training job usage' is 4 Instances, with current utilization of 0 Instances and a request delta of 5 Instances.")
	_, err = c.sm.DescribeTrainingJob(t.Context(), &sdk.DescribeTrainingJobInput{TrainingJobName: aws.String("refused")})
	wantError(t, err, "ValidationException", "Requested resource not found.")
}

func TestNamesAreUnique(t *testing.T) {
	t.Parallel()
	c := start(t, sagemaker.Config{}, "true")
	c.create(request("unique"))
	_, err := c.sm.CreateTrainingJob(t.Context(), request("unique"))
	var inUse *types.ResourceInUse
	if !errors.As(err, &inUse) {
		t.Fatalf("got %v, want ResourceInUse", err)
	}
	same(t, "message", aws.ToString(inUse.Message), "Training job names must be unique within an AWS account and region, and a training job with this name already exists (arn:aws:sagemaker:us-east-1:000000000000:training-job/unique)")
}

func TestListTagDelete(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	c := start(t, sagemaker.Config{}, `exit $CODE`)
	var created []time.Time
	for i, name := range []string{"list-b", "list-a", "list-c", "other"} {
		in := request(name)
		in.Environment = map[string]string{"CODE": fmt.Sprint(i % 2)}
		in.Tags = []types.Tag{{Key: aws.String("n"), Value: aws.String(fmt.Sprint(i))}}
		c.create(in)
		created = append(created, *c.awaitEnd(name).CreationTime)
	}
	list := func(in sdk.ListTrainingJobsInput) []string {
		t.Helper()
		in.MaxResults = aws.Int32(2)
		names := []string{}
		pages := sdk.NewListTrainingJobsPaginator(c.sm, &in)
		for pages.HasMorePages() {
			out, err := pages.NextPage(ctx)
			must(t, err)
			for _, j := range out.TrainingJobSummaries {
				names = append(names, *j.TrainingJobName)
				if j.TrainingEndTime == nil || j.TrainingJobArn == nil || j.SecondaryStatus == "" {
					t.Errorf("summary %+v lacks something", j)
				}
			}
		}
		return names
	}
	same(t, "default", list(sdk.ListTrainingJobsInput{}), []string{"list-b", "list-a", "list-c", "other"})
	same(t, "newest first", list(sdk.ListTrainingJobsInput{SortOrder: types.SortOrderDescending}), []string{"other", "list-c", "list-a", "list-b"})
	same(t, "by name", list(sdk.ListTrainingJobsInput{SortBy: types.SortByName}), []string{"list-a", "list-b", "list-c", "other"})
	same(t, "by status", list(sdk.ListTrainingJobsInput{SortBy: types.SortByStatus}), []string{"list-b", "list-c", "list-a", "other"})
	same(t, "failed", list(sdk.ListTrainingJobsInput{StatusEquals: types.TrainingJobStatusFailed}), []string{"list-a", "other"})
	same(t, "name", list(sdk.ListTrainingJobsInput{NameContains: aws.String("list")}), []string{"list-b", "list-a", "list-c"})
	same(t, "after", list(sdk.ListTrainingJobsInput{CreationTimeAfter: aws.Time(created[1].Add(10 * time.Millisecond))}), []string{"list-c", "other"})
	same(t, "before", list(sdk.ListTrainingJobsInput{CreationTimeBefore: &created[1]}), []string{"list-b"})
	_, err := c.sm.ListTrainingJobs(ctx, &sdk.ListTrainingJobsInput{MaxResults: aws.Int32(101)})
	wantError(t, err, "ValidationException", "'maxResults'")
	_, err = c.sm.ListTrainingJobs(ctx, &sdk.ListTrainingJobsInput{NextToken: aws.String("?")})
	wantError(t, err, "ValidationException", "NextToken")

	arn := c.describe("list-a").TrainingJobArn
	_, err = c.sm.AddTags(ctx, &sdk.AddTagsInput{ResourceArn: arn, Tags: []types.Tag{{Key: aws.String("n"), Value: aws.String("new")}, {Key: aws.String("m"), Value: aws.String("")}}})
	must(t, err)
	tags, err := c.sm.ListTags(ctx, &sdk.ListTagsInput{ResourceArn: arn})
	must(t, err)
	same(t, "tags", tags.Tags, []types.Tag{{Key: aws.String("n"), Value: aws.String("new")}, {Key: aws.String("m"), Value: aws.String("")}})

	_, err = c.sm.DeleteTrainingJob(ctx, &sdk.DeleteTrainingJobInput{TrainingJobName: aws.String("list-a")})
	must(t, err)
	_, err = c.sm.DeleteTrainingJob(ctx, &sdk.DeleteTrainingJobInput{TrainingJobName: aws.String("list-a")})
	wantError(t, err, "ValidationException", "Requested resource not found.")
	same(t, "left", list(sdk.ListTrainingJobsInput{SortBy: types.SortByName}), []string{"list-b", "list-c", "other"})
}

func TestOnlyEndedJobsAreDeleted(t *testing.T) {
	t.Parallel()
	c := start(t, sagemaker.Config{}, `echo ready; sleep 60`)
	c.create(request("busy"))
	c.awaitLog("busy", "ready")
	_, err := c.sm.DeleteTrainingJob(t.Context(), &sdk.DeleteTrainingJobInput{TrainingJobName: aws.String("busy")})
	wantError(t, err, "ResourceInUse", "InProgress")
}
