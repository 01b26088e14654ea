package preflight

import (
	"context"
	"fmt"
	"net/netip"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/fsx"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"
)

// lustrePorts are those of Lustre's servers and clients, which both call each other.
//
// Source: "File system access control with Amazon VPC" in the guide of FSx for Lustre.
var lustrePorts = []span{{988, 988}, {1018, 1023}}

// lustreSecurityCheck looks whether the groups of the job and of the file system's interfaces let Lustre through, both ways, and the file
// system's servers to each other.
func lustreSecurityCheck() Check {
	return Check{Name: "lustre-security", Title: "Security groups between the job and FSx for Lustre", Run: runLustreSecurity}
}

func runLustreSecurity(ctx context.Context, c *Clients, s *Subject) (Result, error) {
	mounts := s.mounts(types.FileSystemTypeFsxlustre)
	if len(mounts) == 0 {
		return skipped("the job uses no Lustre file system")
	}
	if s.Request.VpcConfig == nil {
		return skipped(notInVPC)
	}
	prevents := mountTimesOut(mounts[0])
	fsxClient, err := c.fsx()
	if err != nil {
		return Result{Prevents: prevents}, err
	}
	ec2Client, err := c.ec2()
	if err != nil {
		return Result{Prevents: prevents}, err
	}
	n, err := s.network(ctx, ec2Client)
	if err != nil {
		return Result{Prevents: prevents}, err
	}
	var f findings
	for _, id := range s.fileSystems(types.FileSystemTypeFsxlustre) {
		if err := lookAtLustre(ctx, fsxClient, ec2Client, &f, n, id); err != nil {
			return f.result(prevents), err
		}
	}
	return f.result(prevents), nil
}

func lookAtLustre(ctx context.Context, fsxClient FSx, client EC2, f *findings, n *network, id string) error {
	out, err := fsxClient.DescribeFileSystems(ctx, &fsx.DescribeFileSystemsInput{FileSystemIds: []string{id}})
	if err != nil {
		return err
	}
	if len(out.FileSystems) == 0 || len(out.FileSystems[0].NetworkInterfaceIds) == 0 {
		f.warn("FSx names no network interfaces of "+id+", so their groups can't be looked at", "look at them by hand",
			"aws fsx describe-file-systems --file-system-ids "+id+" --query 'FileSystems[].NetworkInterfaceIds'")
		return nil
	}
	fs := out.FileSystems[0]
	interfaces, err := client.DescribeNetworkInterfaces(ctx, &ec2.DescribeNetworkInterfacesInput{NetworkInterfaceIds: fs.NetworkInterfaceIds})
	if err != nil {
		return err
	}
	if vpc := aws.ToString(fs.VpcId); vpc != "" && vpc != n.vpc() {
		f.warn(fmt.Sprintf("%s is in %s, the job in %s; whether they are joined isn't looked at", id, vpc, n.vpc()), "run the job in the file system's VPC", "")
	}
	var ids []string
	servers := peer{name: id}
	for _, ni := range interfaces.NetworkInterfaces {
		for _, group := range ni.Groups {
			ids = append(ids, aws.ToString(group.GroupId))
		}
		if addr, err := netip.ParseAddr(aws.ToString(ni.PrivateIpAddress)); err == nil {
			servers.nets = append(servers.nets, netip.PrefixFrom(addr, addr.BitLen()))
		}
	}
	slices.Sort(ids)
	servers.groups = slices.Compact(ids)
	groups, err := securityGroups(ctx, client, servers.groups)
	if err != nil {
		return err
	}
	theirs, ours := "groups of "+id, "groups of the job"
	job := n.peers()
	for _, d := range []direction{ingress, egress} {
		needs := []need{{d: d, of: groups, ofs: theirs, ports: lustrePorts, peers: []peer{servers}, peerGroups: servers.groups}}
		if !sameGroups(servers.groups, n.groupIDs()) {
			needs = append(needs, need{d: d, of: groups, ofs: theirs, ports: lustrePorts, peers: job, peerGroups: n.groupIDs()},
				need{d: d, of: n.groups, ofs: ours, ports: lustrePorts, peers: []peer{servers}, peerGroups: servers.groups})
		}
		for _, need := range needs {
			if err := need.look(ctx, client, f); err != nil {
				return err
			}
		}
	}
	return nil
}

func sameGroups(a, b []string) bool {
	a, b = slices.Clone(a), slices.Clone(b)
	slices.Sort(a)
	slices.Sort(b)
	return slices.Equal(a, b)
}
