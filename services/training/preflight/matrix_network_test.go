package preflight

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/efs"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"

	"github.com/trainyard/trainyard/services/training/preflight/mototest"
	"github.com/trainyard/trainyard/services/training/region"
)

// networkRows are the worlds of the checks of network and file systems: a good one for each, and what commonly breaks them. Their own tests have more.
func networkRows() []row {
	var rows []row
	in := func(inRegion string) func(check, world, judge string, want Status, says string, breaks func(t testing.TB, w *networkWorld)) {
		return func(check, world, judge string, want Status, says string, breaks func(t testing.TB, w *networkWorld)) {
			if inRegion == china {
				world += ", in China"
			}
			rows = append(rows, row{check, world, judge, want, says, func(t *testing.T) (*Clients, *Subject) {
				w := newNetworkWorld(t, inRegion)
				if breaks != nil {
					breaks(t, w)
				}
				return &Clients{EC2: w.ec2, EFS: w.efs, FSx: w.fsx}, &Subject{Region: w.Region, Request: w.job, Capabilities: &region.Table{}}
			}})
		}
	}
	here, there := in(global), in(china)

	here("file-system-support", "Lustre", "none", Pass, "FSx for Lustre in us-east-1", func(_ testing.TB, w *networkWorld) { w.onLustre() })
	there("file-system-support", "EFS", "none", Pass, "EFS in cn-north-1", nil)
	there("file-system-support", "Lustre", "none", Fail, "FSx for Lustre is currently not supported in the region cn-north-1 for SageMaker", func(_ testing.TB, w *networkWorld) { w.onLustre() })

	for _, add := range []func(check, world, judge string, want Status, says string, breaks func(t testing.TB, w *networkWorld)){here, there} {
		add("efs-mount-target", "one in each zone", "moto", Pass, "", nil)
		add("efs-mount-target", "a zone without one", "moto", Fail, "File system connection timed out", func(t testing.TB, w *networkWorld) {
			mustDo(w.EFS.DeleteMountTarget(t.Context(), &efs.DeleteMountTargetInput{MountTargetId: &w.MountTargets[1]}))(t)
		})
		add("efs-security", "2049 open from the job's group", "moto", Pass, "2049/tcp", nil)
		add("efs-security", "2049 shut", "moto", Fail, "File system connection timed out", func(t testing.TB, w *networkWorld) {
			w.Forbid(t, w.FileSystemGroup, mototest.FromGroup("tcp", 2049, 2049, w.JobGroup))
		})
		add("efs-security", "2049 open to the world", "moto", Warn, "0.0.0.0/0", func(t testing.TB, w *networkWorld) {
			w.Allow(t, w.FileSystemGroup, mototest.FromCIDR("tcp", 2049, 2049, "0.0.0.0/0"))
		})
		add("file-system-path", "a folder of EFS", "both", Pass, "", nil)
		add("file-system-path", "a Lustre path on EFS", "both", Fail, "No such file or directory", func(_ testing.TB, w *networkWorld) {
			w.base(types.FileSystemTypeEfs, w.FileSystem, "/a1b2c3d4/datasets/digits")
		})
		add("s3-route", "by the gateway endpoint", "moto", Pass, "", nil)
		add("s3-route", "private subnets without a way", "moto", Fail, "route to an S3 VPC endpoint or a NAT device", func(t testing.TB, w *networkWorld) { w.RemoveS3Endpoint(t) })
		add("s3-egress", "anything out", "moto", Pass, "", nil)
		add("s3-egress", "only EFS out", "moto", Fail, "443/tcp", func(t testing.TB, w *networkWorld) {
			w.OnlyOut(t, w.JobGroup, mototest.FromGroup("tcp", 2049, 2049, w.FileSystemGroup))
		})
		add("vpc-tenancy", "default", "moto", Pass, "", nil)
	}
	here("file-system-path", "a folder of Lustre", "both", Pass, "a1b2c3d4", func(_ testing.TB, w *networkWorld) { w.onLustre() })
	here("file-system-path", "a Lustre path without its mount name", "both", Fail, "No such file or directory", func(_ testing.TB, w *networkWorld) {
		w.base(types.FileSystemTypeFsxlustre, lustre, "/fsx/datasets/digits")
	})
	here("lustre-security", "groups that trust each other", "both", Pass, "1018-1023/tcp", func(t testing.TB, w *networkWorld) {
		w.onLustre()
		w.trustLustre(t)
	})
	here("lustre-security", "nothing open", "both", Fail, "File system connection timed out", func(_ testing.TB, w *networkWorld) { w.onLustre() })
	here("s3-route", "by a NAT gateway", "moto", Pass, "nat-", func(t testing.TB, w *networkWorld) {
		w.RemoveS3Endpoint(t)
		w.AddNAT(t, w.Public[0])
	})
	here("s3-route", "public subnets, an internet gateway alone", "moto", Fail, "igw-", func(_ testing.TB, w *networkWorld) { w.job.VpcConfig.Subnets = w.Public[:] })
	here("s3-egress", "a network ACL that shuts the answers out", "moto", Fail, "acl-", func(t testing.TB, w *networkWorld) {
		mustDo(w.EC2.CreateNetworkAclEntry(t.Context(), &ec2.CreateNetworkAclEntryInput{
			NetworkAclId: &w.NetworkACL, Egress: aws.Bool(false), RuleNumber: aws.Int32(1), Protocol: aws.String("6"), RuleAction: ec2types.RuleActionDeny,
			CidrBlock: aws.String("0.0.0.0/0"), PortRange: &ec2types.PortRange{From: aws.Int32(1024), To: aws.Int32(65535)},
		}))(t)
	})
	here("s3-endpoint-policy", "allows everything", "moto", Pass, "", nil)
	here("s3-endpoint-policy", "allows another bucket alone", "moto", Fail, "AccessDenied", func(t testing.TB, w *networkWorld) {
		mustDo(w.EC2.ModifyVpcEndpoint(t.Context(), &ec2.ModifyVpcEndpointInput{
			VpcEndpointId: &w.S3Endpoint, PolicyDocument: aws.String(`{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "arn:aws:s3:::another/*"}]}`),
		}))(t)
	})
	here("vpc-tenancy", "dedicated", "both", Fail, "ValidationException", func(_ testing.TB, w *networkWorld) {
		w.ec2 = changedEC2{EC2: w.EC2, vpcs: func(vpcs []ec2types.Vpc) {
			for i := range vpcs {
				vpcs[i].InstanceTenancy = ec2types.TenancyDedicated
			}
		}}
	})
	return rows
}
