package preflight

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// aclEntry is a rule of a network ACL for TCP over IPv4.
type aclEntry struct {
	ports span
	net   netip.Prefix
	allow bool
}

// aclEntries are the rules of one direction, in the order in which they are tried.
func aclEntries(acl types.NetworkAcl, d direction) []aclEntry {
	sorted := slices.Clone(acl.Entries)
	slices.SortStableFunc(sorted, func(a, b types.NetworkAclEntry) int {
		return cmp.Compare(aws.ToInt32(a.RuleNumber), aws.ToInt32(b.RuleNumber))
	})
	var entries []aclEntry
	for _, e := range sorted {
		net, err := netip.ParsePrefix(aws.ToString(e.CidrBlock))
		if err != nil || aws.ToBool(e.Egress) != (d == egress) {
			continue
		}
		var from, to *int32
		if e.PortRange != nil {
			from, to = e.PortRange.From, e.PortRange.To
		}
		entries = append(entries, aclEntry{tcpPorts(e.Protocol, from, to), net, e.RuleAction == types.RuleActionAllow})
	}
	return entries
}

// passes tells whether all ports to or from all addresses of a net pass. The first rule that fits decides; what fits none doesn't pass.
func passes(entries []aclEntry, net netip.Prefix, ports span) bool {
	for i, e := range entries {
		if e.ports.to < ports.from || ports.to < e.ports.from || !e.net.Overlaps(net) {
			continue
		}
		// The rule decides a part; the rest, cut off, is decided by it or those after it.
		rest := entries[i:]
		switch {
		case ports.from < e.ports.from:
			return passes(rest, net, span{ports.from, e.ports.from - 1}) && passes(rest, net, span{e.ports.from, ports.to})
		case ports.to > e.ports.to:
			return passes(rest, net, span{ports.from, e.ports.to}) && passes(rest, net, span{e.ports.to + 1, ports.to})
		case net.Bits() < e.net.Bits():
			low, high := halves(net)
			return passes(rest, low, ports) && passes(rest, high, ports)
		}
		return e.allow
	}
	return false
}
