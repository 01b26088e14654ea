package training_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	fsxtypes "github.com/aws/aws-sdk-go-v2/service/fsx/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/trainyard/trainyard/services/training"
	"github.com/trainyard/trainyard/services/training/preflight"
	"github.com/trainyard/trainyard/services/training/preflight/mototest"
	"github.com/trainyard/trainyard/services/training/region"
)

// awsAccount is an account of AWS as preflight sees it, in which a job runs well. It is moto's but for what moto lacks. Jobs, data and logs are
// localcloud's, as everywhere in these tests.
type awsAccount struct {
	*mototest.World
	queue   string // ARN of the uploads queue.
	role    string // ARN.
	image   string
	s3      *s3.Client
	fsx     *mototest.FSx
	clients *preflight.Clients
	// sageMaker keeps what would have gone to SageMaker.
	sageMaker *askedSageMaker
}

const (
	lustre    = "fs-0123456789abcdef0"
	mountName = "a1b2c3d4"
)

func newAccount(t *testing.T, inRegion string) *awsAccount {
	t.Helper()
	a := &awsAccount{World: mototest.NewWorld(t, inRegion)}
	cfg := a.Config(t, inRegion)
	a.s3 = s3.NewFromConfig(cfg, func(o *s3.Options) { o.UsePathStyle = true })
	a.addLustre(t)
	a.ask(cfg)
	a.sageMaker = &askedSageMaker{Client: sagemaker.NewFromConfig(cloud), fileSystem: a.FileSystem}
	a.addBucket(t, cfg)
	a.addRole(t, iam.NewFromConfig(cfg))
	a.addImage(t, ecr.NewFromConfig(cfg))
	return a
}

// addLustre makes a file system, whose interfaces are moto's, in a group that trusts itself and the job's.
func (a *awsAccount) addLustre(t *testing.T) {
	t.Helper()
	fs := fsxtypes.FileSystem{
		FileSystemId: aws.String(lustre), FileSystemType: fsxtypes.FileSystemTypeLustre, Lifecycle: fsxtypes.FileSystemLifecycleAvailable, VpcId: &a.VPC,
		StorageCapacity: aws.Int32(1200), LustreConfiguration: &fsxtypes.LustreFileSystemConfiguration{
			DeploymentType: fsxtypes.LustreDeploymentTypePersistent2, MountName: aws.String(mountName),
		},
	}
	group := a.AddGroup(t, "lustre")
	for _, trust := range [][2]string{{group, group}, {group, a.JobGroup}, {a.JobGroup, group}} {
		a.Allow(t, trust[0], mototest.FromGroup("tcp", 988, 988, trust[1]), mototest.FromGroup("tcp", 1018, 1023, trust[1]))
	}
	out := do(a.EC2.CreateNetworkInterface(t.Context(), &ec2.CreateNetworkInterfaceInput{SubnetId: &a.Private[0], Groups: []string{group}}))(t)
	fs.NetworkInterfaceIds = []string{*out.NetworkInterface.NetworkInterfaceId}
	a.fsx = &mototest.FSx{Systems: []fsxtypes.FileSystem{fs}}
}

// ask has preflight ask by a configuration of AWS.
func (a *awsAccount) ask(cfg aws.Config) {
	a.clients = preflight.NewClients(cfg, a.Region)
	a.clients.S3 = s3.NewFromConfig(cfg, func(o *s3.Options) { o.UsePathStyle = true })
	a.clients.FSx, a.clients.IAM = a.fsx, simulatedIAM{iam.NewFromConfig(cfg)}
	a.clients.Quotas = &mototest.Quotas{mototest.Quota("ml.g4dn.xlarge for training job usage", 0), mototest.Quota(instance+" for training job usage", 2)}
}

// addBucket makes the installation's bucket, whose uploads are told to the queue. A name can't be in two accounts, so the next test needs it gone.
func (a *awsAccount) addBucket(t *testing.T, cfg aws.Config) {
	t.Helper()
	in := &s3.CreateBucketInput{Bucket: &made.Bucket}
	if a.Region != "us-east-1" {
		in.CreateBucketConfiguration = &s3types.CreateBucketConfiguration{LocationConstraint: s3types.BucketLocationConstraint(a.Region)}
	}
	do(a.s3.CreateBucket(t.Context(), in))(t)
	t.Cleanup(func() {
		do(a.s3.DeleteBucket(context.WithoutCancel(t.Context()), &s3.DeleteBucketInput{Bucket: &made.Bucket}))(t)
	})
	do(sqs.NewFromConfig(cfg).CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: aws.String("uploads")}))(t)
	a.queue = a.arn("sqs", a.Region, "uploads")
	a.notify(t, &s3types.NotificationConfiguration{QueueConfigurations: []s3types.QueueConfiguration{{
		QueueArn: &a.queue, Events: []s3types.Event{"s3:ObjectCreated:*"},
		Filter: &s3types.NotificationConfigurationFilter{Key: &s3types.S3KeyFilter{FilterRules: []s3types.FilterRule{{Name: "prefix", Value: aws.String("uploads/")}}}},
	}}})
}

func (a *awsAccount) notify(t *testing.T, c *s3types.NotificationConfiguration) {
	t.Helper()
	do(a.s3.PutBucketNotificationConfiguration(t.Context(), &s3.PutBucketNotificationConfigurationInput{Bucket: &made.Bucket, NotificationConfiguration: c}))(t)
}

// addRole makes the execution role with what a job needs, and its ARNs of the region's partition.
func (a *awsAccount) addRole(t *testing.T, client *iam.Client) {
	t.Helper()
	a.role = a.arn("iam", "", "role/train")
	do(client.CreateRole(t.Context(), &iam.CreateRoleInput{RoleName: aws.String("train"), AssumeRolePolicyDocument: aws.String(fmt.Sprintf(
		`{"Statement": [{"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole", "Condition": {"StringEquals": {"aws:SourceAccount": %q}}}]}`, a.ID))}))(t)
	bucket := "arn:" + region.Partition(a.Region) + ":s3:::" + made.Bucket
	policy := do(json.Marshal(map[string]any{"Version": "2012-10-17", "Statement": []map[string]any{
		{"Effect": "Allow", "Action": "s3:GetObject", "Resource": []string{bucket + "/datasets/*", bucket + "/checkpoints/*"}},
		{"Effect": "Allow", "Action": "s3:PutObject", "Resource": []string{bucket + "/models/*", bucket + "/checkpoints/*"}},
		{"Effect": "Allow", "Action": "s3:ListBucket", "Resource": bucket},
		{"Effect": "Allow", "Action": []string{"ec2:*NetworkInterface*", "ec2:Describe*", "elasticfilesystem:Describe*"}, "Resource": "*"},
		{"Effect": "Allow", "Action": []string{"ecr:GetAuthorizationToken", "cloudwatch:PutMetricData"}, "Resource": "*"},
		{"Effect": "Allow", "Action": "ecr:*", "Resource": a.arn("ecr", a.Region, "repository/trainer")},
		{"Effect": "Allow", "Action": "logs:*", "Resource": a.arn("logs", a.Region, "log-group:/aws/sagemaker/*")},
	}}))(t)
	do(client.PutRolePolicy(t.Context(), &iam.PutRolePolicyInput{RoleName: aws.String("train"), PolicyName: aws.String("job"), PolicyDocument: aws.String(string(policy))}))(t)
}

func (a *awsAccount) addImage(t *testing.T, client *ecr.Client) {
	t.Helper()
	a.image = fmt.Sprintf("%s.dkr.ecr.%s.%s/trainer:1", a.ID, a.Region, region.DNSSuffix(a.Region))
	do(client.CreateRepository(t.Context(), &ecr.CreateRepositoryInput{RepositoryName: aws.String("trainer")}))(t)
	digest := "sha256:" + strings.Repeat("0", 64)
	manifest := do(json.Marshal(map[string]any{
		"schemaVersion": 2, "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
		"config": map[string]any{"mediaType": "application/vnd.docker.container.image.v1+json", "size": 7023, "digest": digest},
		"layers": []map[string]any{{"mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip", "size": 32654, "digest": digest}},
	}))(t)
	do(client.PutImage(t.Context(), &ecr.PutImageInput{RepositoryName: aws.String("trainer"), ImageTag: aws.String("1"), ImageManifest: aws.String(string(manifest))}))(t)
}

func (a *awsAccount) arn(service, inRegion, resource string) string {
	return "arn:" + region.Partition(a.Region) + ":" + service + ":" + inRegion + ":" + a.ID + ":" + resource
}

// names replaces $NAME by an id of the account.
func (a *awsAccount) names() *strings.Replacer {
	return strings.NewReplacer("$TABLE", a.PrivateTable, "$VPC", a.VPC, "$JOBGROUP", a.JobGroup, "$EFSGROUP", a.FileSystemGroup, "$EFS", a.FileSystem,
		"$TARGETA", a.MountTargets[0], "$TARGETB", a.MountTargets[1], "$LUSTRE", lustre, "$MOUNT", mountName, "$LIST", a.S3PrefixList, "$QUEUE", a.queue, "$BUCKET", made.Bucket,
		"$REGION", a.Region, "$SUBNETA", a.Private[0], "$SUBNETB", a.Private[1])
}

// start runs a service of the account, whose base datasets are YAML with the account's ids by name.
func (a *awsAccount) start(s *suite, bases string) *service {
	s.t.Helper()
	a.writeBases(s, bases)
	return s.start(a.configure)
}

func (a *awsAccount) writeBases(s *suite, bases string) {
	s.t.Helper()
	if err := os.WriteFile(s.bases, []byte(a.names().Replace(bases)), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

func (a *awsAccount) configure(cfg *training.Config, deps *training.Deps) {
	cfg.RoleARN, cfg.Image, cfg.UploadsQueueARN = a.role, a.image, a.queue
	cfg.Subnets, cfg.SecurityGroups = a.Private[:], []string{a.JobGroup}
	deps.Region, deps.SageMaker = a.Region, a.sageMaker
	deps.Preflight = func(_ context.Context, asked string) (*preflight.Clients, error) {
		if asked != a.Region {
			return nil, fmt.Errorf("preflight asks in %s", asked)
		}
		return a.clients, nil
	}
}

// createVPCEndpoint gives the private subnets' route table a gateway endpoint to S3.
func (a *awsAccount) createVPCEndpoint(t *testing.T) {
	t.Helper()
	do(a.EC2.CreateVpcEndpoint(t.Context(), &ec2.CreateVpcEndpointInput{
		VpcId: &a.VPC, ServiceName: aws.String(region.GatewayEndpoint(a.Region)), VpcEndpointType: "Gateway", RouteTableIds: []string{a.PrivateTable},
	}))(t)
}

// askedSageMaker keeps each request as AWS would get it. localcloud, which then runs the job, has one image and one file system under names of
// their own, for it is made once for all tests.
type askedSageMaker struct {
	*sagemaker.Client
	fileSystem string

	mu       sync.Mutex
	requests []*sagemaker.CreateTrainingJobInput
}

func (a *askedSageMaker) CreateTrainingJob(ctx context.Context, in *sagemaker.CreateTrainingJobInput, o ...func(*sagemaker.Options)) (*sagemaker.CreateTrainingJobOutput, error) {
	a.mu.Lock()
	a.requests = append(a.requests, in)
	a.mu.Unlock()
	local, algorithm := *in, *in.AlgorithmSpecification
	algorithm.TrainingImage = aws.String(image)
	local.AlgorithmSpecification, local.InputDataConfig = &algorithm, slices.Clone(in.InputDataConfig)
	for i, channel := range local.InputDataConfig {
		if source := channel.DataSource.FileSystemDataSource; source != nil && aws.ToString(source.FileSystemId) == a.fileSystem {
			here := *source
			here.FileSystemId = aws.String("fs-00000001")
			local.InputDataConfig[i].DataSource = &types.DataSource{FileSystemDataSource: &here}
		}
	}
	return a.Client.CreateTrainingJob(ctx, &local, o...)
}

func (a *askedSageMaker) asked() []*sagemaker.CreateTrainingJobInput {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.requests)
}

// simulatedIAM is moto's IAM with the simulation that it lacks: it judges by the inline policies that moto holds for the role.
type simulatedIAM struct{ *iam.Client }

func (s simulatedIAM) SimulatePrincipalPolicy(ctx context.Context, in *iam.SimulatePrincipalPolicyInput, _ ...func(*iam.Options)) (*iam.SimulatePrincipalPolicyOutput, error) {
	_, name, _ := strings.Cut(aws.ToString(in.PolicySourceArn), ":role/")
	held, err := s.GetRolePolicy(ctx, &iam.GetRolePolicyInput{RoleName: &name, PolicyName: aws.String("job")})
	if err != nil {
		return nil, err
	}
	policy, err := preflight.ParsePolicy(aws.ToString(held.PolicyDocument))
	if err != nil {
		return nil, err
	}
	anyone, err := preflight.ParsePolicy(`{"Statement": {"Principal": "*"}}`)
	if err != nil {
		return nil, err
	}
	for i := range policy.Statements {
		policy.Statements[i].Principal = anyone.Statements[0].Principal // An identity's policy is for that identity.
	}
	var all []iamtypes.EvaluationResult
	for _, action := range in.ActionNames {
		for _, resource := range in.ResourceArns {
			decision := iamtypes.PolicyEvaluationDecisionTypeImplicitDeny
			if verdict, _ := policy.Allows(preflight.Question{Action: action, Resource: resource}); verdict == preflight.Allowed {
				decision = iamtypes.PolicyEvaluationDecisionTypeAllowed
			}
			all = append(all, iamtypes.EvaluationResult{EvalActionName: &action, EvalResourceName: &resource, EvalDecision: decision})
		}
	}
	items, next := mototest.Page(all, in.Marker)
	return &iam.SimulatePrincipalPolicyOutput{EvaluationResults: items, Marker: next, IsTruncated: next != nil}, nil
}

// tellsEventBridge is moto's S3 with the one notification that moto takes but doesn't give.
type tellsEventBridge struct{ *s3.Client }

func (e tellsEventBridge) GetBucketNotificationConfiguration(ctx context.Context, in *s3.GetBucketNotificationConfigurationInput, o ...func(*s3.Options)) (*s3.GetBucketNotificationConfigurationOutput, error) {
	out, err := e.Client.GetBucketNotificationConfiguration(ctx, in, o...)
	if err == nil {
		out.EventBridgeConfiguration = &s3types.EventBridgeConfiguration{}
	}
	return out, err
}

// do gives what a call that sets up an account returned.
func do[T any](out T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
}
