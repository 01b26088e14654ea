package preflight

import (
	"net/netip"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/trainyard/trainyard/services/training/preflight/mototest"
)

func TestS3Egress(t *testing.T) {
	only := func(rules func(w *networkWorld) []ec2types.IpPermission) func(testing.TB, *networkWorld) {
		return func(t testing.TB, w *networkWorld) { w.OnlyOut(t, w.JobGroup, rules(w)...) }
	}
	entry := func(number int32, out, allow bool, from, to int32, cidr string) func(testing.TB, *networkWorld) {
		return func(t testing.TB, w *networkWorld) {
			action := map[bool]ec2types.RuleAction{true: ec2types.RuleActionAllow, false: ec2types.RuleActionDeny}[allow]
			mustDo(w.EC2.CreateNetworkAclEntry(t.Context(), &ec2.CreateNetworkAclEntryInput{
				NetworkAclId: &w.NetworkACL, RuleNumber: &number, Egress: &out, RuleAction: action, Protocol: aws.String("6"), CidrBlock: &cidr, PortRange: &ec2types.PortRange{From: &from, To: &to},
			}))(t)
		}
	}
	all := func(steps ...func(testing.TB, *networkWorld)) func(testing.TB, *networkWorld) {
		return func(t testing.TB, w *networkWorld) {
			for _, step := range steps {
				step(t, w)
			}
		}
	}
	testNetwork(t, s3EgressCheck(), []networkCase{
		{name: "anything out", want: Pass, seen: []string{"$JOB let 443/tcp out to S3 ($LIST)", "subnet $A: network ACL $ACL lets 443/tcp out and 1024-65535/tcp in"}},
		{
			name: "S3 egress shut", breaks: only(func(*networkWorld) []ec2types.IpPermission { return nil }), want: Fail,
			seen:    []string{"groups $JOB don't let 443/tcp out to 3 of the 3 ranges of S3 ($LIST)"},
			snippet: []string{"aws_vpc_security_group_egress_rule", `security_group_id = "$JOB"`, `prefix_list_id    = "$LIST"`}, prevents: noWayToS3,
		},
		{
			name: "S3 egress shut in China", region: china, breaks: only(func(w *networkWorld) []ec2types.IpPermission {
				return []ec2types.IpPermission{mototest.FromGroup("tcp", 2049, 2049, w.FileSystemGroup)}
			}), want: Fail, snippet: []string{`prefix_list_id    = "$LIST"`},
		},
		{name: "to the prefix list", region: china, breaks: only(func(w *networkWorld) []ec2types.IpPermission {
			return []ec2types.IpPermission{mototest.FromPrefixList("tcp", 443, 443, w.S3PrefixList)}
		}), want: Pass},
		{name: "443 to everywhere", breaks: only(func(*networkWorld) []ec2types.IpPermission {
			return []ec2types.IpPermission{mototest.FromCIDR("tcp", 443, 443, "0.0.0.0/0")}
		}), want: Pass},
		{name: "80 to everywhere", breaks: only(func(*networkWorld) []ec2types.IpPermission {
			return []ec2types.IpPermission{mototest.FromCIDR("tcp", 80, 80, "0.0.0.0/0")}
		}), want: Fail},
		{name: "inside the VPC alone", breaks: only(func(*networkWorld) []ec2types.IpPermission {
			return []ec2types.IpPermission{mototest.FromCIDR("tcp", 443, 443, "10.0.0.0/8")}
		}), want: Fail},
		{name: "to ranges that cover S3's", breaks: only(func(*networkWorld) []ec2types.IpPermission {
			return []ec2types.IpPermission{mototest.FromCIDR("tcp", 443, 443, "52.216.0.0/16"), mototest.FromCIDR("tcp", 443, 443, "52.217.0.0/16"), mototest.FromCIDR("tcp", 443, 443, "3.0.0.0/8"), mototest.FromCIDR("tcp", 443, 443, "54.231.0.0/16")}
		}), want: Pass},
		{name: "to a part of S3's ranges", breaks: only(func(*networkWorld) []ec2types.IpPermission {
			return []ec2types.IpPermission{mototest.FromCIDR("tcp", 443, 443, "52.216.0.0/15"), mototest.FromCIDR("tcp", 443, 443, "54.231.0.0/17")}
		}), want: Fail, seen: []string{"2 of the 3 ranges", "3.5.0.0/19", "54.231.0.0/16"}},
		{name: "one of two groups lets it out", breaks: func(t testing.TB, w *networkWorld) {
			shut := w.AddGroup(t, "shut")
			w.OnlyOut(t, shut)
			w.job.VpcConfig.SecurityGroupIds = []string{shut, w.JobGroup}
		}, want: Pass},
		{
			name: "the network ACL denies 443 out", region: china, breaks: entry(50, true, false, 443, 443, "0.0.0.0/0"), want: Fail,
			seen:     []string{"subnet $A: network ACL $ACL doesn't let 443/tcp out to S3's", "subnet $B: network ACL $ACL"},
			snippet:  []string{`network_acl_id = "$ACL"`, "egress         = true", "from_port      = 443"},
			prevents: noWayToS3,
		},
		{name: "a denial after the rule that allows", breaks: entry(150, true, false, 443, 443, "0.0.0.0/0"), want: Pass},
		{name: "a denial with an exception before it", breaks: all(entry(50, true, false, 443, 443, "0.0.0.0/0"), entry(40, true, true, 0, 1023, "0.0.0.0/0")), want: Pass},
		{name: "a denial of other addresses", breaks: entry(50, true, false, 443, 443, "10.0.0.0/8"), want: Pass},
		{name: "a denial of a part of S3", breaks: entry(50, true, false, 443, 443, "54.231.128.0/17"), want: Fail, seen: []string{"54.231.0.0/16"}},
		{
			name: "the network ACL denies the answers", breaks: entry(50, false, false, 32768, 61000, "0.0.0.0/0"), want: Fail,
			seen: []string{"doesn't let 1024-65535/tcp in from S3's"}, snippet: []string{"egress         = false", "from_port      = 1024", "to_port        = 65535"},
		},
		{name: "it denies what isn't needed", breaks: all(entry(50, false, false, 22, 22, "0.0.0.0/0"), entry(51, true, false, 25, 25, "0.0.0.0/0")), want: Pass},
	})
}

func TestCovered(t *testing.T) {
	nets := func(texts ...string) []netip.Prefix {
		var all []netip.Prefix
		for _, text := range texts {
			all = append(all, netip.MustParsePrefix(text))
		}
		return all
	}
	tests := []struct {
		one  string
		nets []netip.Prefix
		want bool
	}{
		{"10.0.0.0/24", nets("10.0.0.0/16"), true},
		{"10.0.0.0/24", nets("10.0.0.0/24"), true},
		{"10.0.0.0/24", nets("10.0.0.0/25"), false},
		{"10.0.0.0/24", nets("10.0.0.128/25", "10.0.0.0/26", "10.0.0.64/26"), true},
		{"10.0.0.0/24", nets("10.0.0.128/25", "10.0.0.0/26", "10.0.0.64/27"), false},
		{"10.0.0.1/32", nets("10.0.0.0/24"), true},
		{"0.0.0.0/0", nets("0.0.0.0/1", "128.0.0.0/1"), true},
		{"10.0.0.0/24", nets("::/0"), false},
		{"10.0.0.0/24", nil, false},
	}
	for _, test := range tests {
		if got := covered(netip.MustParsePrefix(test.one), test.nets); got != test.want {
			t.Errorf("covered(%s, %v) = %v, want %v", test.one, test.nets, got, test.want)
		}
	}
}
