package preflight

import (
	"context"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/efs"
	efstypes "github.com/aws/aws-sdk-go-v2/service/efs/types"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"

	"github.com/trainyard/trainyard/services/training/preflight/mototest"
)

// changedEFS is moto with mount targets and file systems in states that moto never has.
type changedEFS struct {
	EFS
	targets func([]efstypes.MountTargetDescription)
	systems func([]efstypes.FileSystemDescription)
}

func (c changedEFS) DescribeMountTargets(ctx context.Context, in *efs.DescribeMountTargetsInput, o ...func(*efs.Options)) (*efs.DescribeMountTargetsOutput, error) {
	out, err := c.EFS.DescribeMountTargets(ctx, in, o...)
	if err == nil && c.targets != nil {
		c.targets(out.MountTargets)
	}
	return out, err
}

func (c changedEFS) DescribeFileSystems(ctx context.Context, in *efs.DescribeFileSystemsInput, o ...func(*efs.Options)) (*efs.DescribeFileSystemsOutput, error) {
	out, err := c.EFS.DescribeFileSystems(ctx, in, o...)
	if err == nil && c.systems != nil {
		c.systems(out.FileSystems)
	}
	return out, err
}

func TestEFSMountTarget(t *testing.T) {
	testNetwork(t, efsMountTargetCheck(), []networkCase{
		{name: "one in each zone", want: Pass, seen: []string{"subnet $A (us-east-1a, $VPC): $FS has mount target $TARGETA", "subnet $B (us-east-1b, $VPC): $FS has mount target $TARGETB"}},
		{
			name: "in one zone of two", region: china,
			breaks: func(t testing.TB, w *networkWorld) {
				mustDo(w.EFS.DeleteMountTarget(t.Context(), &efs.DeleteMountTargetInput{MountTargetId: &w.MountTargets[1]}))(t)
			},
			want: Fail, seen: []string{"subnet $A (cn-north-1a, $VPC): $FS has mount target $TARGETA", "subnet $B (cn-north-1b, $VPC): $FS has no mount target in its zone"},
			snippet:  []string{`resource "aws_efs_mount_target"`, `file_system_id  = "$FS"`, `subnet_id       = "$B"`},
			prevents: "ClientError: Unable to mount file system: $FS, directory path: /datasets/digits. File system connection timed out. Please ensure that mount target IP address of file system is reachable and the security groups you associate with file system must allow inbound access on NFS port.",
		},
		{
			name: "another subnet of the same zone",
			breaks: func(t testing.TB, w *networkWorld) {
				w.job.VpcConfig.Subnets = []string{w.AddSubnet(t, "10.0.50.0/24", w.Zones[0])}
			},
			want: Pass, seen: []string{"$TARGETA"},
		},
		{
			name: "a job in a third zone",
			breaks: func(t testing.TB, w *networkWorld) {
				w.job.VpcConfig.Subnets = append(w.job.VpcConfig.Subnets, w.AddSubnet(t, "10.0.50.0/24", w.Region+"c"))
			},
			want: Fail, seen: []string{"(us-east-1c, $VPC): $FS has no mount target in its zone"},
		},
		{
			name: "being made",
			breaks: func(_ testing.TB, w *networkWorld) {
				w.efs = changedEFS{EFS: w.EFS, targets: func(all []efstypes.MountTargetDescription) { all[0].LifeCycleState = efstypes.LifeCycleStateCreating }}
			},
			want: Fail, seen: []string{"in its zone, but it is creating"},
		},
		{
			name: "of another VPC",
			breaks: func(_ testing.TB, w *networkWorld) {
				w.efs = changedEFS{EFS: w.EFS, targets: func(all []efstypes.MountTargetDescription) {
					for i := range all {
						all[i].VpcId = aws.String("vpc-other")
					}
				}}
			},
			want: Fail, seen: []string{"in its zone, but in another VPC, vpc-other"},
		},
		{
			name: "the file system is being deleted",
			breaks: func(_ testing.TB, w *networkWorld) {
				w.efs = changedEFS{EFS: w.EFS, systems: func(all []efstypes.FileSystemDescription) { all[0].LifeCycleState = efstypes.LifeCycleStateDeleting }}
			},
			want: Fail, seen: []string{"$FS is deleting"},
		},
		{
			name: "no such file system",
			breaks: func(_ testing.TB, w *networkWorld) {
				w.base(types.FileSystemTypeEfs, "fs-00000000", "/")
			},
			want: Fail, seen: []string{"there is no EFS file system fs-00000000 in us-east-1"},
		},
	})
}

func TestEFSSecurity(t *testing.T) {
	anyone := mototest.FromCIDR("tcp", 2049, 2049, "0.0.0.0/0")
	shut := func(t testing.TB, w *networkWorld) {
		w.Forbid(t, w.FileSystemGroup, mototest.FromGroup("tcp", 2049, 2049, w.JobGroup))
	}
	testNetwork(t, efsSecurityCheck(), []networkCase{
		{name: "group to group", want: Pass, seen: []string{"mount target $TARGETA ($TARGETGROUP) let 2049/tcp in from $JOB", "groups of the job ($JOB) let 2049/tcp out to $TARGETGROUP"}},
		{
			name: "the port is shut", breaks: shut, want: Fail,
			seen:     []string{"groups of mount target $TARGETA ($TARGETGROUP) don't let 2049/tcp in from subnet $A (10.0.0.0/24) ($JOB)", "$TARGETB"},
			snippet:  []string{"aws_vpc_security_group_ingress_rule", `security_group_id            = "$TARGETGROUP"`, `referenced_security_group_id = "$JOB"`, "from_port                    = 2049"},
			prevents: "ClientError: Unable to mount file system: $FS, directory path: /datasets/digits. File system connection timed out. Please ensure that mount target IP address of file system is reachable and the security groups you associate with file system must allow inbound access on NFS port.",
		},
		{
			name: "another port", want: Fail, seen: []string{"don't let 2049/tcp in"},
			breaks: func(t testing.TB, w *networkWorld) {
				shut(t, w)
				w.Allow(t, w.FileSystemGroup, mototest.FromGroup("tcp", 111, 2048, w.JobGroup))
			},
		},
		{
			name: "UDP", want: Fail, seen: []string{"don't let 2049/tcp in"},
			breaks: func(t testing.TB, w *networkWorld) {
				shut(t, w)
				w.Allow(t, w.FileSystemGroup, mototest.FromGroup("udp", 2049, 2049, w.JobGroup))
			},
		},
		{
			name: "another group", want: Fail, seen: []string{"don't let 2049/tcp in"},
			breaks: func(t testing.TB, w *networkWorld) {
				shut(t, w)
				w.Allow(t, w.FileSystemGroup, mototest.FromGroup("tcp", 2049, 2049, w.FileSystemGroup))
			},
		},
		{
			name: "one of the job's groups is enough", want: Pass,
			breaks: func(t testing.TB, w *networkWorld) {
				w.job.VpcConfig.SecurityGroupIds = []string{w.AddGroup(t, "other"), w.JobGroup}
			},
		},
		{
			name: "every protocol", want: Pass,
			breaks: func(t testing.TB, w *networkWorld) {
				shut(t, w)
				w.Allow(t, w.FileSystemGroup, ec2types.IpPermission{IpProtocol: aws.String("-1"), UserIdGroupPairs: []ec2types.UserIdGroupPair{{GroupId: &w.JobGroup}}})
			},
		},
		{
			name: "the VPC's addresses", want: Pass,
			breaks: func(t testing.TB, w *networkWorld) {
				shut(t, w)
				w.Allow(t, w.FileSystemGroup, mototest.FromCIDR("tcp", 2049, 2049, "10.0.0.0/16"))
			},
		},
		{
			name: "two halves of a subnet, and the other subnet", want: Pass,
			breaks: func(t testing.TB, w *networkWorld) {
				shut(t, w)
				for _, cidr := range []string{"10.0.0.0/25", "10.0.0.128/25", "10.0.1.0/24"} {
					w.Allow(t, w.FileSystemGroup, mototest.FromCIDR("tcp", 2049, 2049, cidr))
				}
			},
		},
		{
			name: "the addresses of one subnet of two", want: Fail, seen: []string{"$TARGETA ($TARGETGROUP) let 2049/tcp in", "$TARGETB ($TARGETGROUP) don't let 2049/tcp in from subnet $B (10.0.1.0/24)"},
			breaks: func(t testing.TB, w *networkWorld) {
				shut(t, w)
				w.Allow(t, w.FileSystemGroup, mototest.FromCIDR("tcp", 2049, 2049, "10.0.0.0/24"))
			},
		},
		{
			name: "addresses of a prefix list", want: Pass,
			breaks: func(t testing.TB, w *networkWorld) {
				shut(t, w)
				list := mustDo(w.EC2.CreateManagedPrefixList(t.Context(), &ec2.CreateManagedPrefixListInput{
					PrefixListName: aws.String("jobs"), AddressFamily: aws.String("IPv4"), MaxEntries: aws.Int32(2), Entries: []ec2types.AddPrefixListEntry{{Cidr: aws.String("10.0.0.0/23")}},
				}))(t)
				w.Allow(t, w.FileSystemGroup, mototest.FromPrefixList("tcp", 2049, 2049, *list.PrefixList.PrefixListId))
			},
		},
		{
			name: "the whole world, as in the article", region: china, want: Warn, seen: []string{"$TARGETGROUP lets in 0.0.0.0/0, which is too wide"}, snippet: []string{`referenced_security_group_id = "$JOB"`},
			breaks: func(t testing.TB, w *networkWorld) {
				shut(t, w)
				w.Allow(t, w.FileSystemGroup, anyone)
			},
		},
		{
			name: "the job may send nothing there", region: china, want: Fail, seen: []string{"groups of the job ($JOB) don't let 2049/tcp out to mount target $TARGETA"},
			snippet: []string{"aws_vpc_security_group_egress_rule", `security_group_id            = "$JOB"`, `referenced_security_group_id = "$TARGETGROUP"`},
			breaks: func(t testing.TB, w *networkWorld) {
				w.OnlyOut(t, w.JobGroup, mototest.FromCIDR("tcp", 443, 443, "0.0.0.0/0"))
			},
		},
		{
			name: "the job may send to the targets' group", want: Pass,
			breaks: func(t testing.TB, w *networkWorld) {
				w.OnlyOut(t, w.JobGroup, mototest.FromGroup("tcp", 2049, 2049, w.FileSystemGroup))
			},
		},
		{
			name: "no mount target", want: Fail, seen: []string{"$FS has no mount target in the job's zones"},
			breaks: func(t testing.TB, w *networkWorld) {
				w.job.VpcConfig.Subnets = []string{w.AddSubnet(t, "10.0.50.0/24", w.Region+"c")}
			},
		},
	})
}
