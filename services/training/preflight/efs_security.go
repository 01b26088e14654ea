package preflight

import (
	"context"
	"fmt"
	"net/netip"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/efs"
	efstypes "github.com/aws/aws-sdk-go-v2/service/efs/types"
)

// nfs is the port of EFS.
var nfs = span{2049, 2049}

// efsSecurityCheck looks whether the groups of the job and of the mount targets that it would use let NFS through.
func efsSecurityCheck() Check {
	return Check{Name: "efs-security", Title: "Security groups between the job and EFS", Run: runEFSSecurity}
}

func runEFSSecurity(ctx context.Context, c *Clients, s *Subject) (Result, error) {
	return eachEFS(ctx, c, s, func(f *findings, n *network, fs string, targets []efstypes.MountTargetDescription) error {
		ec2Client, err := c.ec2()
		if err != nil {
			return err
		}
		near := nearTargets(n, targets)
		if len(near) == 0 {
			f.fail(fs+" has no mount target in the job's zones", "see efs-mount-target", "")
			return nil
		}
		for _, target := range near {
			groups, err := targetGroups(ctx, c, ec2Client, target)
			if err != nil {
				return err
			}
			if err := lookAtTarget(ctx, ec2Client, f, n, target, groups); err != nil {
				return err
			}
		}
		return nil
	})
}

// nearTargets are those in the zones of the job's subnets.
func nearTargets(n *network, targets []efstypes.MountTargetDescription) []efstypes.MountTargetDescription {
	return slices.DeleteFunc(slices.Clone(targets), func(target efstypes.MountTargetDescription) bool {
		return !slices.ContainsFunc(n.subnets, func(subnet ec2types.Subnet) bool { return inZone(target, zoneOf(subnet)) })
	})
}

func targetGroups(ctx context.Context, c *Clients, ec2Client EC2, target efstypes.MountTargetDescription) ([]ec2types.SecurityGroup, error) {
	client, err := c.efs()
	if err != nil {
		return nil, err
	}
	out, err := client.DescribeMountTargetSecurityGroups(ctx, &efs.DescribeMountTargetSecurityGroupsInput{MountTargetId: target.MountTargetId})
	if err != nil {
		return nil, err
	}
	return securityGroups(ctx, ec2Client, out.SecurityGroups)
}

func lookAtTarget(ctx context.Context, client EC2, f *findings, n *network, target efstypes.MountTargetDescription, groups []ec2types.SecurityGroup) error {
	theirs := (&network{groups: groups}).groupIDs()
	name := "mount target " + aws.ToString(target.MountTargetId)
	// The job comes from one of its subnets in the target's zone.
	var near network
	near.groups = n.groups
	for _, subnet := range n.subnets {
		if inZone(target, zoneOf(subnet)) {
			near.subnets = append(near.subnets, subnet)
		}
	}
	in := need{d: ingress, of: groups, ofs: "groups of " + name, ports: []span{nfs}, peers: near.peers(), peerGroups: n.groupIDs()}
	if err := in.look(ctx, client, f); err != nil {
		return err
	}
	to := peer{name: fmt.Sprintf("%s (%s)", name, aws.ToString(target.IpAddress)), groups: theirs}
	if addr, err := netip.ParseAddr(aws.ToString(target.IpAddress)); err == nil {
		to.nets = []netip.Prefix{netip.PrefixFrom(addr, addr.BitLen())}
	}
	out := need{d: egress, of: n.groups, ofs: "groups of the job", ports: []span{nfs}, peers: []peer{to}, peerGroups: theirs}
	return out.look(ctx, client, f)
}
