package preflight

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	fsxtypes "github.com/aws/aws-sdk-go-v2/service/fsx/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	kmstypes "github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/trainyard/trainyard/services/training/preflight/mototest"
	"github.com/trainyard/trainyard/services/training/region"
)

// accountWorld is an account in which a job has all that it needs; tests break one thing of it.
type accountWorld struct {
	*mototest.Account
	Region, Partition string
	EC2               *ec2.Client
	ECR               *ecr.Client
	IAM               *iam.Client
	KMS               *kms.Client
	S3                *s3.Client
	s3                S3 // S3, or what a test puts in its place; so kms.
	kms               KMS
	SQS               *sqs.Client
	FSx               *fakeFSx
	Quotas            *fakeQuotas

	Bucket, Key, Queue string // Name, ARN, ARN.
	Subject            *Subject
}

const (
	lustre     = "fs-0123456789abcdef0"
	trustOfJob = `{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"Service": %q}, "Action": "sts:AssumeRole", "Condition": {"StringEquals": {"aws:SourceAccount": %q}}}]}`
)

// newAccountWorld makes the parts of the account that a check looks at; the job names the others too.
func newAccountWorld(t testing.TB, inRegion, check string) *accountWorld {
	t.Helper()
	a := mototest.NewAccount(t)
	cfg := a.Config(t, inRegion)
	w := &accountWorld{
		Account: a, Region: inRegion, Partition: region.Partition(inRegion), Bucket: "trainyard-" + a.ID,
		EC2: ec2.NewFromConfig(cfg), ECR: ecr.NewFromConfig(cfg), IAM: iam.NewFromConfig(cfg), KMS: kms.NewFromConfig(cfg), SQS: sqs.NewFromConfig(cfg),
		S3: s3.NewFromConfig(cfg, func(o *s3.Options) { o.UsePathStyle = true }),
	}
	w.s3, w.kms = w.S3, w.KMS
	w.Key, w.Queue = w.arn("kms", "key/11111111-1111-1111-1111-111111111111"), w.arn("sqs", "uploads")
	switch check {
	case "bucket-region":
		w.addBucket(t, w.Bucket, inRegion)
	case "s3-event-conflict":
		w.addBucket(t, w.Bucket, inRegion)
		mustDo(w.SQS.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: aws.String("uploads")}))(t) // moto sends it a test event.
	case "execution-role":
		w.role(t)
	case "kms-key":
		w.role(t)
		// AWS's default is not moto's.
		key := mustDo(w.KMS.CreateKey(t.Context(), &kms.CreateKeyInput{KeyUsage: kmstypes.KeyUsageTypeEncryptDecrypt}))(t)
		w.Key = *key.KeyMetadata.Arn
	case "image":
		w.image(t)
	}
	w.FSx = &fakeFSx{Systems: []fsxtypes.FileSystem{{
		FileSystemId: aws.String(lustre), FileSystemType: fsxtypes.FileSystemTypeLustre, Lifecycle: fsxtypes.FileSystemLifecycleAvailable, StorageCapacity: aws.Int32(1200),
		LustreConfiguration: &fsxtypes.LustreFileSystemConfiguration{DeploymentType: fsxtypes.LustreDeploymentTypePersistent2, MountName: aws.String("a1b2c3d4")},
	}}}
	w.Quotas = &fakeQuotas{
		quota("ml.g4dn.xlarge for training job usage", 0), quota("ml.m5.xlarge for training job usage", 2),
		quota("ml.m5.xlarge for spot training job usage", 4), quota("ml.m5.xlarge for training warm pool usage", 2),
	}
	w.Subject = w.subject()
	return w
}

func (w *accountWorld) clients() *Clients {
	return &Clients{EC2: w.EC2, ECR: w.ECR, IAM: simulatedIAM{w.IAM}, KMS: w.kms, S3: w.s3, FSx: w.FSx, Quotas: w.Quotas}
}

// subject is a job on S3 data, with a volume and an output that the account's key encrypts.
func (w *accountWorld) subject() *Subject {
	return &Subject{
		Region: w.Region, UploadsBucket: w.Bucket, UploadsPrefix: "uploads/", UploadsQueueARN: w.Queue, Capabilities: &region.Table{},
		Request: &sagemaker.CreateTrainingJobInput{
			TrainingJobName:        aws.String("trainyard-0123"),
			RoleArn:                aws.String("arn:" + w.Partition + ":iam::" + w.ID + ":role/service-role/train"),
			AlgorithmSpecification: &types.AlgorithmSpecification{TrainingImage: aws.String(w.registry() + "/trainer:1"), TrainingInputMode: types.TrainingInputModeFile},
			InputDataConfig: []types.Channel{{ChannelName: aws.String("train"), DataSource: &types.DataSource{S3DataSource: &types.S3DataSource{
				S3DataType: types.S3DataTypeS3Prefix, S3Uri: aws.String("s3://" + w.Bucket + "/datasets/acme/digits/1/train/"),
			}}}},
			OutputDataConfig: &types.OutputDataConfig{S3OutputPath: aws.String("s3://" + w.Bucket + "/models/acme"), KmsKeyId: &w.Key},
			CheckpointConfig: &types.CheckpointConfig{S3Uri: aws.String("s3://" + w.Bucket + "/checkpoints/acme/0123")},
			ResourceConfig:   &types.ResourceConfig{InstanceType: types.TrainingInstanceTypeMlM5Xlarge, InstanceCount: aws.Int32(2), VolumeSizeInGB: aws.Int32(50), VolumeKmsKeyId: &w.Key},
		},
	}
}

func (w *accountWorld) arn(service, resource string) string {
	return "arn:" + w.Partition + ":" + service + ":" + w.Region + ":" + w.ID + ":" + resource
}

func (w *accountWorld) registry() string {
	return w.ID + ".dkr.ecr." + w.Region + "." + region.DNSSuffix(w.Region)
}

func (w *accountWorld) addBucket(t testing.TB, name, inRegion string) {
	t.Helper()
	client := s3.NewFromConfig(w.Config(t, inRegion), func(o *s3.Options) { o.UsePathStyle = true })
	in := &s3.CreateBucketInput{Bucket: &name}
	if inRegion != "us-east-1" {
		in.CreateBucketConfiguration = &s3types.CreateBucketConfiguration{LocationConstraint: s3types.BucketLocationConstraint(inRegion)}
	}
	mustDo(client.CreateBucket(t.Context(), in))(t)
}

// role makes the execution role with no more than AWS.md's least privilege.
func (w *accountWorld) role(t testing.TB) {
	t.Helper()
	mustDo(w.IAM.CreateRole(t.Context(), &iam.CreateRoleInput{
		RoleName: aws.String("train"), Path: aws.String("/service-role/"), AssumeRolePolicyDocument: aws.String(fmt.Sprintf(trustOfJob, "sagemaker.amazonaws.com", w.ID)),
	}))(t)
	bucket := "arn:" + w.Partition + ":s3:::" + w.Bucket
	w.allow(t, "s3",
		map[string]any{"Action": "s3:GetObject", "Resource": []string{bucket + "/datasets/*", bucket + "/checkpoints/*"}},
		map[string]any{"Action": "s3:PutObject", "Resource": []string{bucket + "/models/*", bucket + "/checkpoints/*"}},
		map[string]any{"Action": "s3:ListBucket", "Resource": bucket, "Condition": map[string]any{"StringLike": map[string]any{"s3:prefix": []string{"datasets/*", "checkpoints/*"}}}},
	)
	w.allow(
		t, "network",
		map[string]any{"Action": []string{"ec2:*NetworkInterface*", "ec2:Describe*"}, "Resource": "*"},
	)
	w.allow(
		t, "ecr",
		map[string]any{"Action": "ecr:GetAuthorizationToken", "Resource": "*"},
		map[string]any{"Action": []string{"ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"}, "Resource": w.arn("ecr", "repository/trainer")},
	)
	w.allow(
		t, "logs",
		map[string]any{"Action": "logs:*", "Resource": w.arn("logs", "log-group:/aws/sagemaker/*")},
		map[string]any{"Action": "cloudwatch:PutMetricData", "Resource": "*"},
	)
	w.allow(t, "kms", map[string]any{"Action": "kms:*", "Resource": w.arn("kms", "key/*")})
}

// allow gives the role a policy, in place of one of that name.
func (w *accountWorld) allow(t testing.TB, name string, statements ...map[string]any) {
	t.Helper()
	for _, s := range statements {
		if s["Effect"] == nil {
			s["Effect"] = "Allow"
		}
	}
	document := mustDo(json.Marshal(map[string]any{"Version": "2012-10-17", "Statement": statements}))(t)
	mustDo(w.IAM.PutRolePolicy(t.Context(), &iam.PutRolePolicyInput{RoleName: aws.String("train"), PolicyName: &name, PolicyDocument: aws.String(string(document))}))(t)
}

// forbid takes a policy away.
func (w *accountWorld) forbid(t testing.TB, name string) {
	t.Helper()
	mustDo(w.IAM.DeleteRolePolicy(t.Context(), &iam.DeleteRolePolicyInput{RoleName: aws.String("train"), PolicyName: &name}))(t)
}

func (w *accountWorld) image(t testing.TB) {
	t.Helper()
	mustDo(w.ECR.CreateRepository(t.Context(), &ecr.CreateRepositoryInput{RepositoryName: aws.String("trainer")}))(t)
	digest := "sha256:" + strings.Repeat("0", 64)
	manifest := mustDo(json.Marshal(map[string]any{
		"schemaVersion": 2, "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
		"config": map[string]any{"mediaType": "application/vnd.docker.container.image.v1+json", "size": 7023, "digest": digest},
		"layers": []map[string]any{{"mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip", "size": 32654, "digest": digest}},
	}))(t)
	mustDo(w.ECR.PutImage(t.Context(), &ecr.PutImageInput{RepositoryName: aws.String("trainer"), ImageTag: aws.String("1"), ImageManifest: aws.String(string(manifest))}))(t)
}

// notify sets the bucket's notifications.
func (w *accountWorld) notify(t testing.TB, c *s3types.NotificationConfiguration) {
	t.Helper()
	mustDo(w.S3.PutBucketNotificationConfiguration(t.Context(), &s3.PutBucketNotificationConfigurationInput{Bucket: &w.Bucket, NotificationConfiguration: c}))(t)
}

// uploadsRule tells the uploads queue of what is made below uploads/.
func (w *accountWorld) uploadsRule() s3types.QueueConfiguration {
	return s3types.QueueConfiguration{QueueArn: &w.Queue, Events: []s3types.Event{"s3:ObjectCreated:*"}, Filter: keys("uploads/", ".zip")}
}

// keys are those of a prefix and a suffix; either may be empty.
func keys(prefix, suffix string) *s3types.NotificationConfigurationFilter {
	key := &s3types.S3KeyFilter{}
	if prefix != "" {
		key.FilterRules = append(key.FilterRules, s3types.FilterRule{Name: s3types.FilterRuleNamePrefix, Value: &prefix})
	}
	if suffix != "" {
		key.FilterRules = append(key.FilterRules, s3types.FilterRule{Name: s3types.FilterRuleNameSuffix, Value: &suffix})
	}
	return &s3types.NotificationConfigurationFilter{Key: key}
}

// onLustre makes the job read its base data from a Lustre file system.
func (w *accountWorld) onLustre() {
	w.Subject.Request.InputDataConfig = append(w.Subject.Request.InputDataConfig, types.Channel{
		ChannelName: aws.String("base"), DataSource: &types.DataSource{FileSystemDataSource: &types.FileSystemDataSource{
			FileSystemId: aws.String(lustre), FileSystemType: types.FileSystemTypeFsxlustre, FileSystemAccessMode: types.FileSystemAccessModeRo, DirectoryPath: aws.String("/a1b2c3d4/base"),
		}},
	})
}

// inVPC puts the job into the account's default VPC.
func (w *accountWorld) inVPC(t testing.TB) {
	t.Helper()
	subnets := mustDo(w.EC2.DescribeSubnets(t.Context(), &ec2.DescribeSubnetsInput{}))(t)
	groups := mustDo(w.EC2.DescribeSecurityGroups(t.Context(), &ec2.DescribeSecurityGroupsInput{}))(t)
	w.Subject.Request.VpcConfig = &types.VpcConfig{Subnets: []string{*subnets.Subnets[0].SubnetId, *subnets.Subnets[1].SubnetId}, SecurityGroupIds: []string{*groups.SecurityGroups[0].GroupId}}
}

// inNamedVPC puts the job into subnets and groups that nobody is asked for.
func (w *accountWorld) inNamedVPC() {
	w.Subject.Request.VpcConfig = &types.VpcConfig{Subnets: []string{"subnet-1"}, SecurityGroupIds: []string{"sg-1"}}
}

// answerEC2Denied makes EC2 refuse every call, in its own XML.
func (w *accountWorld) answerEC2Denied(t testing.TB) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		rw.WriteHeader(http.StatusForbidden)
		_, _ = io.WriteString(rw, `<Response><Errors><Error><Code>UnauthorizedOperation</Code><Message>You are not authorized to perform this operation.</Message></Error></Errors><RequestID>1</RequestID></Response>`)
	}))
	t.Cleanup(server.Close)
	w.EC2 = ec2.NewFromConfig(w.Config(t, w.Region), func(o *ec2.Options) { o.BaseEndpoint = &server.URL })
}
