package preflight

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// span is a range of TCP ports.
type span struct{ from, to int32 }

func (s span) String() string {
	if s.from == s.to {
		return fmt.Sprintf("%d/tcp", s.from)
	}
	return fmt.Sprintf("%d-%d/tcp", s.from, s.to)
}

// direction is that of a rule, as AWS names it.
type direction string

const (
	ingress direction = "ingress"
	egress  direction = "egress"
)

// peer is the other side of a connection: addresses that have security groups.
type peer struct {
	name   string
	groups []string
	nets   []netip.Prefix // IPv4.
}

// rule is what one group lets through for TCP, its prefix lists resolved to addresses.
type rule struct {
	group string
	ports span
	peers []string // Groups.
	nets  []netip.Prefix
}

// rules are those of several groups of one network interface: what any of them lets through, goes through.
type rules []rule

// rulesOf asks for the prefix lists that the groups' rules for these ports name.
func rulesOf(ctx context.Context, client EC2, groups []types.SecurityGroup, d direction, ports ...span) (rules, error) {
	var all rules
	for _, group := range groups {
		permissions := group.IpPermissions
		if d == egress {
			permissions = group.IpPermissionsEgress
		}
		for _, permission := range permissions {
			r := rule{group: aws.ToString(group.GroupId), ports: tcpPorts(permission.IpProtocol, permission.FromPort, permission.ToPort)}
			if !slices.ContainsFunc(ports, func(p span) bool { return r.ports.from <= p.to && p.from <= r.ports.to }) {
				continue
			}
			for _, pair := range permission.UserIdGroupPairs {
				r.peers = append(r.peers, aws.ToString(pair.GroupId))
			}
			for _, ip := range permission.IpRanges {
				if net, err := netip.ParsePrefix(aws.ToString(ip.CidrIp)); err == nil {
					r.nets = append(r.nets, net)
				}
			}
			for _, list := range permission.PrefixListIds {
				nets, err := prefixList(ctx, client, aws.ToString(list.PrefixListId))
				if err != nil {
					return nil, err
				}
				r.nets = append(r.nets, nets...)
			}
			all = append(all, r)
		}
	}
	return all, nil
}

// tcpPorts are the TCP ports of a rule; none, that is from above to, for another protocol.
func tcpPorts(protocol *string, from, to *int32) span {
	switch aws.ToString(protocol) {
	case "-1":
		return span{0, 65535}
	case "tcp", "6":
		return span{aws.ToInt32(from), aws.ToInt32(to)}
	}
	return span{1, 0}
}

// shut gives the ports that aren't open to a peer: neither by one of its groups nor by all of its addresses.
func (r rules) shut(ports span, to peer) []span {
	var shut []span
	for port := ports.from; port <= ports.to; port++ {
		if r.open(port, to) {
			continue
		}
		if n := len(shut); n > 0 && shut[n-1].to == port-1 {
			shut[n-1].to = port
		} else {
			shut = append(shut, span{port, port})
		}
	}
	return shut
}

func (r rules) open(port int32, to peer) bool {
	var nets []netip.Prefix
	for _, rule := range r {
		if port < rule.ports.from || port > rule.ports.to {
			continue
		}
		if slices.ContainsFunc(rule.peers, func(group string) bool { return slices.Contains(to.groups, group) }) {
			return true
		}
		nets = append(nets, rule.nets...)
	}
	for _, net := range to.nets {
		if !covered(net, nets) {
			return false
		}
	}
	return len(to.nets) > 0
}

// openToAll gives the groups that let in the whole world.
func (r rules) openToAll() []string {
	var groups []string
	for _, rule := range r {
		if slices.ContainsFunc(rule.nets, func(net netip.Prefix) bool { return net.Bits() == 0 }) && !slices.Contains(groups, rule.group) {
			groups = append(groups, rule.group)
		}
	}
	return groups
}

// need is that rules let ports through to peers.
type need struct {
	d     direction
	of    []types.SecurityGroup
	ofs   string // Whose groups, for people.
	ports []span
	peers []peer
	// peerGroups are named in the mend.
	peerGroups []string
}

// look adds to the findings which ports are shut, and a rule that opens them.
func (n need) look(ctx context.Context, client EC2, f *findings) error {
	if len(n.of) == 0 {
		return nil
	}
	rules, err := rulesOf(ctx, client, n.of, n.d, n.ports...)
	if err != nil {
		return err
	}
	ids := make([]string, len(n.of))
	for i, group := range n.of {
		ids[i] = aws.ToString(group.GroupId)
	}
	toward := map[direction]string{ingress: "in from", egress: "out to"}[n.d]
	for _, ports := range n.ports {
		bad := false
		for _, p := range n.peers {
			for _, shut := range rules.shut(ports, p) {
				bad = true
				f.fail(fmt.Sprintf("%s (%s) don't let %s %s %s (%s)", n.ofs, strings.Join(ids, ", "), shut, toward, p.name, strings.Join(p.groups, ", ")),
					"let the groups trust each other, not addresses", groupRules(n.d, ids[0], n.peerGroups, ports))
			}
		}
		if !bad {
			f.ok("%s (%s) let %s %s %s", n.ofs, strings.Join(ids, ", "), ports, toward, strings.Join(n.peerGroups, ", "))
		}
	}
	if n.d == egress {
		return nil // Groups that may send anything anywhere are what AWS makes.
	}
	for _, group := range rules.openToAll() {
		f.warn(fmt.Sprintf("%s lets in 0.0.0.0/0, which is too wide", group), "let in the job's groups instead of all addresses", groupRules(n.d, group, n.peerGroups, n.ports...))
	}
	return nil
}

// groupRules are Terraform's lines that let a group and others trust each other.
func groupRules(d direction, group string, others []string, ports ...span) string {
	var lines []string
	for _, other := range others {
		for _, p := range ports {
			lines = append(lines, fmt.Sprintf(`resource "aws_vpc_security_group_%s_rule" "%s_%s_%d" {
  security_group_id            = %q
  referenced_security_group_id = %q
  ip_protocol                  = "tcp"
  from_port                    = %d
  to_port                      = %d
}`, d, label(group), label(other), p.from, group, other, p.from, p.to))
		}
	}
	return strings.Join(lines, "\n")
}

// label makes an id a name in Terraform.
func label(id string) string { return strings.ReplaceAll(id, "-", "_") }
