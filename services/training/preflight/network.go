package preflight

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// notInVPC is what checks of the network say about a job without VpcConfig.
const notInVPC = "the job does not run in a VPC"

// network is where a job's instances have their network interfaces: each in one of the subnets, with all the groups.
type network struct {
	subnets []types.Subnet
	groups  []types.SecurityGroup
}

// network asks for the subnets and groups of a job that has a VpcConfig.
func (s *Subject) network(ctx context.Context, client EC2) (*network, error) {
	subnets, err := client.DescribeSubnets(ctx, &ec2.DescribeSubnetsInput{SubnetIds: s.subnets()})
	if err != nil {
		return nil, err
	}
	groups, err := securityGroups(ctx, client, s.groups())
	if err != nil {
		return nil, err
	}
	return &network{subnets.Subnets, groups}, nil
}

// groups are the job's security groups, or none if it isn't in a VPC.
func (s *Subject) groups() []string {
	if s.Request.VpcConfig == nil {
		return nil
	}
	return s.Request.VpcConfig.SecurityGroupIds
}

func securityGroups(ctx context.Context, client EC2, ids []string) ([]types.SecurityGroup, error) {
	if len(ids) == 0 { // Else AWS would give all.
		return nil, nil
	}
	out, err := client.DescribeSecurityGroups(ctx, &ec2.DescribeSecurityGroupsInput{GroupIds: ids})
	if err != nil {
		return nil, err
	}
	return out.SecurityGroups, nil
}

// vpcs are those of subnets and groups, each once.
func (n *network) vpcs() []string {
	var ids []string
	for _, subnet := range n.subnets {
		ids = append(ids, aws.ToString(subnet.VpcId))
	}
	for _, group := range n.groups {
		ids = append(ids, aws.ToString(group.VpcId))
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// vpc is that of the first subnet; the check vpc-tenancy fails if there are several.
func (n *network) vpc() string {
	if len(n.subnets) == 0 {
		return ""
	}
	return aws.ToString(n.subnets[0].VpcId)
}

func (n *network) groupIDs() []string {
	ids := make([]string, len(n.groups))
	for i, group := range n.groups {
		ids[i] = aws.ToString(group.GroupId)
	}
	return ids
}

// peers are the job's instances as the other side of a rule: one for each subnet.
func (n *network) peers() []peer {
	var all []peer
	for _, subnet := range n.subnets {
		p := peer{name: fmt.Sprintf("subnet %s (%s)", aws.ToString(subnet.SubnetId), aws.ToString(subnet.CidrBlock)), groups: n.groupIDs()}
		if net, err := netip.ParsePrefix(aws.ToString(subnet.CidrBlock)); err == nil {
			p.nets = []netip.Prefix{net}
		}
		all = append(all, p)
	}
	return all
}

// s3Ranges gives the id and the addresses of AWS's prefix list of S3 in the region.
func s3Ranges(ctx context.Context, client EC2, service string) (list string, nets []netip.Prefix, err error) {
	out, err := client.DescribeManagedPrefixLists(ctx, &ec2.DescribeManagedPrefixListsInput{
		Filters: []types.Filter{{Name: aws.String("prefix-list-name"), Values: []string{service}}},
	})
	if err != nil {
		return "", nil, err
	}
	if len(out.PrefixLists) == 0 {
		return "", nil, errors.New("AWS gives no prefix list " + service)
	}
	list = aws.ToString(out.PrefixLists[0].PrefixListId)
	nets, err = prefixList(ctx, client, list)
	return list, nets, err
}

// prefixList gives the IPv4 addresses of a prefix list.
func prefixList(ctx context.Context, client EC2, id string) ([]netip.Prefix, error) {
	var nets []netip.Prefix
	pages := ec2.NewGetManagedPrefixListEntriesPaginator(client, &ec2.GetManagedPrefixListEntriesInput{PrefixListId: &id})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, entry := range page.Entries {
			if net, err := netip.ParsePrefix(aws.ToString(entry.Cidr)); err == nil && net.Addr().Is4() {
				nets = append(nets, net)
			}
		}
	}
	return nets, nil
}

// covered tells whether nets together hold every address of one.
func covered(one netip.Prefix, nets []netip.Prefix) bool {
	touched := false
	for _, net := range nets {
		if net.Bits() <= one.Bits() && net.Contains(one.Addr()) {
			return true
		}
		touched = touched || net.Overlaps(one)
	}
	if !touched {
		return false
	}
	low, high := halves(one)
	return covered(low, nets) && covered(high, nets)
}

// halves splits a range of IPv4 addresses of more than one address.
func halves(net netip.Prefix) (low, high netip.Prefix) {
	bits := net.Bits() + 1
	b := net.Masked().Addr().As4()
	low = netip.PrefixFrom(netip.AddrFrom4(b), bits)
	b[(bits-1)/8] |= 1 << (7 - (bits-1)%8)
	return low, netip.PrefixFrom(netip.AddrFrom4(b), bits)
}
