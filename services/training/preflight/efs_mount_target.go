package preflight

import (
	"context"
	"fmt"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/efs"
	efstypes "github.com/aws/aws-sdk-go-v2/service/efs/types"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"
)

// efsMountTargetCheck looks for a mount target of each EFS file system in each availability zone that the job may run in.
func efsMountTargetCheck() Check {
	return Check{Name: "efs-mount-target", Title: "EFS mount targets in the job's zones", Run: runEFSMountTarget}
}

func runEFSMountTarget(ctx context.Context, c *Clients, s *Subject) (Result, error) {
	return eachEFS(ctx, c, s, func(f *findings, n *network, fs string, targets []efstypes.MountTargetDescription) error {
		client, err := c.efs()
		if err != nil {
			return err
		}
		out, err := client.DescribeFileSystems(ctx, &efs.DescribeFileSystemsInput{FileSystemId: &fs})
		if err != nil {
			return err
		}
		for _, described := range out.FileSystems {
			if state := described.LifeCycleState; state != efstypes.LifeCycleStateAvailable && state != efstypes.LifeCycleStateUpdating {
				f.fail(fmt.Sprintf("%s is %s", fs, state), "wait until it is available", "aws efs describe-file-systems --region "+s.Region+" --file-system-id "+fs)
			}
			if zone := aws.ToString(described.AvailabilityZoneName); zone != "" {
				f.ok("%s is in the one zone %s", fs, zone)
			}
		}
		for _, subnet := range n.subnets {
			lookForTarget(f, fs, subnet, targets)
		}
		return nil
	})
}

// lookForTarget looks for a mount target that instances in a subnet can use.
func lookForTarget(f *findings, fs string, subnet ec2types.Subnet, targets []efstypes.MountTargetDescription) {
	id, vpc, zone := aws.ToString(subnet.SubnetId), aws.ToString(subnet.VpcId), zoneOf(subnet)
	where := fmt.Sprintf("subnet %s (%s, %s)", id, aws.ToString(subnet.AvailabilityZone), vpc)
	why := "no mount target in its zone"
	for _, target := range targets {
		name, state := aws.ToString(target.MountTargetId), target.LifeCycleState
		switch {
		case !inZone(target, zone):
			continue
		case aws.ToString(target.VpcId) != vpc:
			why = fmt.Sprintf("mount target %s in its zone, but in another VPC, %s", name, aws.ToString(target.VpcId))
		case state != efstypes.LifeCycleStateAvailable:
			why = fmt.Sprintf("mount target %s in its zone, but it is %s", name, state)
		default:
			f.ok("%s: %s has mount target %s (%s)", where, fs, name, aws.ToString(target.IpAddress))
			return
		}
	}
	f.fail(fmt.Sprintf("%s: %s has %s", where, fs, why), "make a mount target in each zone of the job's subnets, or give the job only subnets of zones that have one",
		fmt.Sprintf(`resource "aws_efs_mount_target" "%s" {
  file_system_id  = %q
  subnet_id       = %q
  security_groups = [aws_security_group.efs.id] # lets in 2049/tcp from the job's groups
}`, label(id), fs, id))
}

// zone is an availability zone by id and name; ids are the same in all accounts, names aren't.
type zone struct{ id, name string }

func zoneOf(subnet ec2types.Subnet) zone {
	return zone{aws.ToString(subnet.AvailabilityZoneId), aws.ToString(subnet.AvailabilityZone)}
}

func inZone(target efstypes.MountTargetDescription, z zone) bool {
	if id := aws.ToString(target.AvailabilityZoneId); id != "" && z.id != "" {
		return id == z.id
	}
	return aws.ToString(target.AvailabilityZoneName) == z.name
}

// eachEFS runs a check for each EFS file system of a job in a VPC, and fails for one that isn't there.
func eachEFS(ctx context.Context, c *Clients, s *Subject, look func(f *findings, n *network, fs string, targets []efstypes.MountTargetDescription) error) (Result, error) {
	mounts := s.mounts(types.FileSystemTypeEfs)
	if len(mounts) == 0 {
		return skipped("the job uses no EFS file system")
	}
	if s.Request.VpcConfig == nil {
		return skipped(notInVPC)
	}
	prevents := mountTimesOut(mounts[0])
	ec2Client, err := c.ec2()
	if err != nil {
		return Result{Prevents: prevents}, err
	}
	efsClient, err := c.efs()
	if err != nil {
		return Result{Prevents: prevents}, err
	}
	n, err := s.network(ctx, ec2Client)
	if err != nil {
		return Result{Prevents: prevents}, err
	}
	var f findings
	for i, m := range mounts {
		if slices.ContainsFunc(mounts[:i], func(other mount) bool { return other.id == m.id }) {
			continue
		}
		before := f.status
		targets, err := mountTargets(ctx, efsClient, m.id)
		switch {
		case errorCode(err) == "FileSystemNotFound":
			f.fail(fmt.Sprintf("there is no EFS file system %s in %s, of channel %q", m.id, s.Region, m.channel), "name a file system of this account and region",
				"aws efs describe-file-systems --region "+s.Region)
		case err == nil:
			err = look(&f, n, m.id, targets)
		}
		if err != nil && errorCode(err) != "FileSystemNotFound" {
			return f.result(prevents), err
		}
		if f.status != before {
			prevents = mountTimesOut(m)
		}
	}
	return f.result(prevents), nil
}

func mountTargets(ctx context.Context, client EFS, fs string) ([]efstypes.MountTargetDescription, error) {
	var all []efstypes.MountTargetDescription
	pages := efs.NewDescribeMountTargetsPaginator(client, &efs.DescribeMountTargetsInput{FileSystemId: &fs})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		all = append(all, page.MountTargets...)
	}
	return all, nil
}
