package preflight

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/efs"
	"github.com/aws/aws-sdk-go-v2/service/fsx"
	fsxtypes "github.com/aws/aws-sdk-go-v2/service/fsx/types"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"

	"github.com/trainyard/trainyard/services/training/preflight/mototest"
	"github.com/trainyard/trainyard/services/training/region"
)

const (
	global = "us-east-1"
	china  = "cn-north-1"
)

// networkWorld is a world with a job that runs well in it: its dataset from S3, the team's from EFS. FSx is a fake, which has one Lustre file system
// with interfaces in the private subnets; the job doesn't use it.
type networkWorld struct {
	*mototest.World
	job *sagemaker.CreateTrainingJobInput
	// ec2 and efs are moto; tests wrap them for what moto can't be brought to.
	ec2 EC2
	efs EFS
	fsx FSx
	// lustreGroup is of the Lustre file system's interfaces.
	lustreGroup string
}

func newNetworkWorld(t testing.TB, inRegion string) *networkWorld {
	t.Helper()
	w := &networkWorld{World: mototest.NewWorld(t, inRegion)}
	w.ec2, w.efs = w.EC2, w.EFS
	w.job = &sagemaker.CreateTrainingJobInput{
		RoleArn:          aws.String("arn:" + region.Partition(inRegion) + ":iam::" + w.ID + ":role/train"),
		VpcConfig:        &types.VpcConfig{Subnets: w.Private[:], SecurityGroupIds: []string{w.JobGroup}},
		InputDataConfig:  []types.Channel{s3Channel("s3://data/datasets/digits/"), fileSystemChannel(types.FileSystemTypeEfs, w.FileSystem, "/datasets/digits")},
		OutputDataConfig: &types.OutputDataConfig{S3OutputPath: aws.String("s3://data/models")},
		CheckpointConfig: &types.CheckpointConfig{S3Uri: aws.String("s3://data/checkpoints/job")},
	}
	w.lustre(t)
	return w
}

func (w *networkWorld) lustre(t testing.TB) {
	t.Helper()
	w.lustreGroup = w.AddGroup(t, "lustre")
	fs := fsxtypes.FileSystem{
		FileSystemId: aws.String(lustre), FileSystemType: fsxtypes.FileSystemTypeLustre, Lifecycle: fsxtypes.FileSystemLifecycleAvailable, VpcId: &w.VPC,
		LustreConfiguration: &fsxtypes.LustreFileSystemConfiguration{MountName: aws.String("a1b2c3d4")},
	}
	for _, subnet := range w.Private {
		out := mustDo(w.EC2.CreateNetworkInterface(t.Context(), &ec2.CreateNetworkInterfaceInput{SubnetId: &subnet, Groups: []string{w.lustreGroup}}))(t)
		fs.NetworkInterfaceIds = append(fs.NetworkInterfaceIds, *out.NetworkInterface.NetworkInterfaceId)
	}
	w.fsx = &fakeFSx{Systems: []fsxtypes.FileSystem{fs}}
}

func s3Channel(uri string) types.Channel {
	return types.Channel{ChannelName: aws.String("train"), DataSource: &types.DataSource{
		S3DataSource: &types.S3DataSource{S3DataType: types.S3DataTypeS3Prefix, S3Uri: &uri},
	}}
}

func fileSystemChannel(kind types.FileSystemType, id, path string) types.Channel {
	return types.Channel{ChannelName: aws.String("digits"), DataSource: &types.DataSource{
		FileSystemDataSource: &types.FileSystemDataSource{FileSystemType: kind, FileSystemId: &id, DirectoryPath: &path, FileSystemAccessMode: types.FileSystemAccessModeRo},
	}}
}

// base puts the team's dataset elsewhere.
func (w *networkWorld) base(kind types.FileSystemType, id, path string) {
	w.job.InputDataConfig[1] = fileSystemChannel(kind, id, path)
}

// onLustre has the team's dataset on the Lustre file system.
func (w *networkWorld) onLustre() {
	w.base(types.FileSystemTypeFsxlustre, lustre, "/a1b2c3d4/datasets/digits")
}

func (w *networkWorld) run(t testing.TB, c Check) Result {
	t.Helper()
	clients := &Clients{EC2: w.ec2, EFS: w.efs, FSx: w.fsx}
	return Run(t.Context(), clients, &Subject{Region: w.Region, Request: w.job}, []Check{c}, time.Minute)[0]
}

// networkChecks are those that look at the network and file systems of a job.
func networkChecks() []Check {
	return []Check{
		efsMountTargetCheck(), efsSecurityCheck(), fileSystemPathCheck(), fileSystemSupportCheck(), lustreSecurityCheck(),
		s3EgressCheck(), s3EndpointPolicyCheck(), s3RouteCheck(), vpcTenancyCheck(),
	}
}

// networkCase is a world in which one thing is broken.
type networkCase struct {
	name     string
	region   string // us-east-1 if empty.
	breaks   func(t testing.TB, w *networkWorld)
	want     Status
	seen     []string // What Seen must tell; $NAME is an id of the world.
	snippet  []string
	prevents string
}

func testNetwork(t *testing.T, c Check, cases []networkCase) {
	t.Helper()
	for _, test := range cases {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if test.region == "" {
				test.region = global
			}
			w := newNetworkWorld(t, test.region)
			if test.breaks != nil {
				test.breaks(t, w)
			}

			got := w.run(t, c)

			if got.Status != test.want {
				t.Errorf("%s, want %s; seen: %s", got.Status, test.want, got.Seen)
			}
			w.holds(t, "seen", got.Seen, test.seen)
			w.holds(t, "snippet", got.Snippet, test.snippet)
			if want := w.names().Replace(test.prevents); test.prevents != "" && got.Prevents != want {
				t.Errorf("prevents %q, want %q", got.Prevents, want)
			}
			if (got.Status == Fail || got.Status == Warn) && got.Mend == "" {
				t.Errorf("%s without a mend: %s", got.Status, got.Seen)
			}
			if got.Status == Fail && got.Prevents == "" {
				t.Error("it fails without saying what it prevents")
			}
		})
	}
}

func (w *networkWorld) holds(t testing.TB, what, text string, parts []string) {
	t.Helper()
	for _, part := range parts {
		if part = w.names().Replace(part); !strings.Contains(text, part) {
			t.Errorf("%s doesn't tell %q: %s", what, part, text)
		}
	}
}

func (w *networkWorld) names() *strings.Replacer {
	return strings.NewReplacer(
		"$VPC", w.VPC, "$PUBLIC", w.Public[0], "$TABLE", w.PrivateTable, "$MAIN", w.MainTable, "$IGW", w.InternetGateway,
		"$ENDPOINT", w.S3Endpoint, "$LIST", w.S3PrefixList, "$ACL", w.NetworkACL, "$JOB", w.JobGroup, "$TARGETGROUP", w.FileSystemGroup, "$FS", w.FileSystem,
		"$TARGETA", w.MountTargets[0], "$TARGETB", w.MountTargets[1], "$LUSTREGROUP", w.lustreGroup, "$A", w.Private[0], "$B", w.Private[1], // The short ones last: the first that fits is taken.
	)
}

func TestNetworkOfAGoodWorldPasses(t *testing.T) {
	for _, inRegion := range []string{global, china} {
		for _, c := range networkChecks() {
			t.Run(inRegion+" "+c.Name, func(t *testing.T) {
				t.Parallel()
				w := newNetworkWorld(t, inRegion)
				if c.Name == "lustre-security" {
					w.onLustre()
					w.trustLustre(t)
				}

				got := w.run(t, c)

				if got.Status != Pass || got.Seen == "" {
					t.Errorf("%s, want PASS with what was seen; seen: %s", got.Status, got.Seen)
				}
			})
		}
	}
}

func TestNetworkIsSkippedWithoutAVPC(t *testing.T) {
	w := newNetworkWorld(t, global)
	w.job.VpcConfig = nil
	for _, c := range networkChecks() {
		switch c.Name {
		case "file-system-path", "file-system-support":
			continue // These look at no network.
		case "lustre-security":
			w.onLustre()
		default:
			w.base(types.FileSystemTypeEfs, w.FileSystem, "/")
		}
		if got := w.run(t, c); got.Status != Skipped || got.Seen != notInVPC {
			t.Errorf("%s: %s (%s), want SKIPPED: %s", c.Name, got.Status, got.Seen, notInVPC)
		}
	}
}

func TestFileSystemsAreSkippedWithoutAny(t *testing.T) {
	w := newNetworkWorld(t, global)
	w.job.InputDataConfig = w.job.InputDataConfig[:1]
	for _, c := range []Check{efsMountTargetCheck(), efsSecurityCheck(), fileSystemPathCheck(), fileSystemSupportCheck(), lustreSecurityCheck()} {
		if got := w.run(t, c); got.Status != Skipped {
			t.Errorf("%s: %s (%s), want SKIPPED", c.Name, got.Status, got.Seen)
		}
	}
}

// deniedEC2, deniedEFS and deniedFSx answer a call as AWS does without the permission. moto allows everything.
type deniedEC2 struct{ EC2 }

func (deniedEC2) DescribeSubnets(context.Context, *ec2.DescribeSubnetsInput, ...func(*ec2.Options)) (*ec2.DescribeSubnetsOutput, error) {
	return nil, refused("EC2", "DescribeSubnets", "UnauthorizedOperation", "You are not authorized to perform this operation.")
}

type deniedEFS struct{ EFS }

func (deniedEFS) DescribeMountTargets(context.Context, *efs.DescribeMountTargetsInput, ...func(*efs.Options)) (*efs.DescribeMountTargetsOutput, error) {
	return nil, refused("EFS", "DescribeMountTargets", "AccessDeniedException", "denied")
}

type deniedFSx struct{ FSx }

func (deniedFSx) DescribeFileSystems(context.Context, *fsx.DescribeFileSystemsInput, ...func(*fsx.Options)) (*fsx.DescribeFileSystemsOutput, error) {
	return nil, refused("FSx", "DescribeFileSystems", "AccessDeniedException", "denied")
}

func TestNetworkNamesTheMissingPermission(t *testing.T) {
	w := newNetworkWorld(t, global)
	w.ec2, w.efs, w.fsx = deniedEC2{w.EC2}, deniedEFS{w.EFS}, deniedFSx{w.fsx}
	for _, c := range networkChecks() {
		want := "ec2:DescribeSubnets"
		switch c.Name {
		case "file-system-support":
			continue // It asks nothing.
		case "file-system-path", "lustre-security":
			w.onLustre()
			w.ec2, want = w.EC2, "fsx:DescribeFileSystems"
		case "efs-mount-target", "efs-security":
			w.base(types.FileSystemTypeEfs, w.FileSystem, "/")
			w.ec2, want = w.EC2, "elasticfilesystem:DescribeMountTargets"
		default:
			w.ec2 = deniedEC2{w.EC2}
		}
		if got := w.run(t, c); got.Status != Skipped || !strings.Contains(got.Seen, want) || got.Prevents == "" {
			t.Errorf("%s: %s (%s), want SKIPPED that names %s and what it would prevent", c.Name, got.Status, got.Seen, want)
		}
	}
}

// changedEC2 is moto with answers changed into states that moto never has.
type changedEC2 struct {
	EC2
	tables    func([]ec2types.RouteTable)
	endpoints func([]ec2types.VpcEndpoint)
	gateways  func([]ec2types.NatGateway)
	vpcs      func([]ec2types.Vpc)
}

func (c changedEC2) DescribeRouteTables(ctx context.Context, in *ec2.DescribeRouteTablesInput, o ...func(*ec2.Options)) (*ec2.DescribeRouteTablesOutput, error) {
	out, err := c.EC2.DescribeRouteTables(ctx, in, o...)
	if err == nil && c.tables != nil {
		c.tables(out.RouteTables)
	}
	return out, err
}

func (c changedEC2) DescribeVpcEndpoints(ctx context.Context, in *ec2.DescribeVpcEndpointsInput, o ...func(*ec2.Options)) (*ec2.DescribeVpcEndpointsOutput, error) {
	out, err := c.EC2.DescribeVpcEndpoints(ctx, in, o...)
	if err == nil && c.endpoints != nil {
		c.endpoints(out.VpcEndpoints)
	}
	return out, err
}

func (c changedEC2) DescribeNatGateways(ctx context.Context, in *ec2.DescribeNatGatewaysInput, o ...func(*ec2.Options)) (*ec2.DescribeNatGatewaysOutput, error) {
	out, err := c.EC2.DescribeNatGateways(ctx, in, o...)
	if err == nil && c.gateways != nil {
		c.gateways(out.NatGateways)
	}
	return out, err
}

func (c changedEC2) DescribeVpcs(ctx context.Context, in *ec2.DescribeVpcsInput, o ...func(*ec2.Options)) (*ec2.DescribeVpcsOutput, error) {
	out, err := c.EC2.DescribeVpcs(ctx, in, o...)
	if err == nil && c.vpcs != nil {
		c.vpcs(out.Vpcs)
	}
	return out, err
}
