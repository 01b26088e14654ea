package preflight

import (
	"context"
	"fmt"
	"net/netip"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/trainyard/trainyard/services/training/region"
)

var (
	https = span{443, 443}
	// ephemeral are the ports at which answers come back; network ACLs keep no state.
	ephemeral = span{1024, 65535}
)

// s3EgressCheck looks whether security groups and network ACLs let the job out to S3, and the answers in.
func s3EgressCheck() Check {
	return Check{Name: "s3-egress", Title: "Security groups and network ACLs toward S3", Run: runS3Egress}
}

func runS3Egress(ctx context.Context, c *Clients, s *Subject) (Result, error) {
	if s.Request.VpcConfig == nil {
		return skipped(notInVPC)
	}
	client, err := c.ec2()
	if err != nil {
		return Result{Prevents: noWayToS3}, err
	}
	n, err := s.network(ctx, client)
	if err != nil {
		return Result{Prevents: noWayToS3}, err
	}
	list, nets, err := s3Ranges(ctx, client, region.GatewayEndpoint(s.Region))
	if err != nil {
		return Result{Prevents: noWayToS3}, err
	}
	var f findings
	if err := s3Groups(ctx, client, &f, n, list, nets); err != nil {
		return f.result(noWayToS3), err
	}
	err = s3ACLs(ctx, client, &f, n, list, nets)
	return f.result(noWayToS3), err
}

// s3Groups looks at what the job's groups together let out.
func s3Groups(ctx context.Context, client EC2, f *findings, n *network, list string, nets []netip.Prefix) error {
	ids := strings.Join(n.groupIDs(), ", ")
	rules, err := rulesOf(ctx, client, n.groups, egress, https)
	if err != nil {
		return err
	}
	var shut []string
	for _, net := range nets {
		if len(rules.shut(https, peer{nets: []netip.Prefix{net}})) > 0 {
			shut = append(shut, net.String())
		}
	}
	switch {
	case len(shut) > 0 && len(n.groups) > 0:
		f.fail(fmt.Sprintf("the job's groups %s don't let %s out to %d of the %d ranges of S3 (%s): %s", ids, https, len(shut), len(nets), list, strings.Join(shut, ", ")),
			"let a group of the job out to S3's prefix list", fmt.Sprintf(`resource "aws_vpc_security_group_egress_rule" "%s_s3" {
  security_group_id = %q
  prefix_list_id    = %q
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
}`, label(n.groupIDs()[0]), n.groupIDs()[0], list))
	default:
		f.ok("the job's groups %s let %s out to S3 (%s)", ids, https, list)
	}
	return nil
}

// s3ACLs looks at the network ACL of each subnet.
func s3ACLs(ctx context.Context, client EC2, f *findings, n *network, list string, nets []netip.Prefix) error {
	var acls []types.NetworkAcl
	pages := ec2.NewDescribeNetworkAclsPaginator(client, &ec2.DescribeNetworkAclsInput{Filters: []types.Filter{{Name: aws.String("vpc-id"), Values: []string{n.vpc()}}}})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return err
		}
		acls = append(acls, page.NetworkAcls...)
	}
	for _, subnet := range n.subnets {
		acl, ok := aclOf(acls, aws.ToString(subnet.SubnetId))
		if !ok {
			f.warn(fmt.Sprintf("subnet %s: AWS names no network ACL", aws.ToString(subnet.SubnetId)), "", "")
			continue
		}
		s3ACL(f, aws.ToString(subnet.SubnetId), acl, list, nets)
	}
	return nil
}

func s3ACL(f *findings, subnet string, acl types.NetworkAcl, list string, nets []netip.Prefix) {
	id := aws.ToString(acl.NetworkAclId)
	good := true
	for _, want := range []struct {
		d     direction
		ports span
		say   string
	}{{egress, https, "out to"}, {ingress, ephemeral, "in from"}} {
		entries := aclEntries(acl, want.d)
		for _, net := range nets {
			if passes(entries, net, want.ports) {
				continue
			}
			good = false
			f.fail(fmt.Sprintf("subnet %s: network ACL %s doesn't let %s %s S3's %s (%s)", subnet, id, want.ports, want.say, net, list),
				"allow it in the network ACL by a rule of a lower number than the one that denies it", fmt.Sprintf(`resource "aws_network_acl_rule" "%s_s3_%s" {
  network_acl_id = %q
  rule_number    = 1 # Before the rule that denies it.
  egress         = %t
  protocol       = "tcp"
  rule_action    = "allow"
  cidr_block     = "0.0.0.0/0"
  from_port      = %d
  to_port        = %d
}`, label(id), want.d, id, want.d == egress, want.ports.from, want.ports.to))
			break // One range of S3 says enough.
		}
	}
	if good {
		f.ok("subnet %s: network ACL %s lets %s out and %s in", subnet, id, https, ephemeral)
	}
}

func aclOf(acls []types.NetworkAcl, subnet string) (types.NetworkAcl, bool) {
	for _, acl := range acls {
		for _, association := range acl.Associations {
			if aws.ToString(association.SubnetId) == subnet {
				return acl, true
			}
		}
	}
	return types.NetworkAcl{}, false
}
