package mototest

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/efs"
)

// World is a VPC in which a training job runs well: private subnets in two zones, whose route table leads to an S3 gateway endpoint; security groups
// of the job and of its EFS file system that trust each other; a mount target in each zone. There are public subnets as well, and no NAT gateway.
type World struct {
	*Account
	Region string
	EC2    *ec2.Client
	EFS    *efs.Client

	Zones   [2]string
	VPC     string
	Private [2]string
	Public  [2]string
	// PrivateTable is associated with the private subnets, PublicTable with the public ones. MainTable is the VPC's, which leads nowhere.
	PrivateTable, PublicTable, MainTable string
	InternetGateway                      string
	// S3Endpoint is the gateway endpoint, with AWS's policy that allows everything.
	S3Endpoint   string
	S3PrefixList string
	// NetworkACL is the default one, which allows everything; all subnets have it.
	NetworkACL string
	// JobGroup may send anything anywhere. FileSystemGroup lets it in at 2049.
	JobGroup, FileSystemGroup string
	FileSystem                string
	MountTargets              [2]string
}

// NewWorld builds a world in a new account.
func NewWorld(t testing.TB, region string) *World {
	t.Helper()
	a := NewAccount(t)
	cfg := a.Config(t, region)
	w := &World{Account: a, Region: region, EC2: ec2.NewFromConfig(cfg), EFS: efs.NewFromConfig(cfg), Zones: [2]string{region + "a", region + "b"}}
	w.network(t)
	w.fileSystem(t)
	return w
}

func (w *World) network(t testing.TB) {
	t.Helper()
	ctx := t.Context()
	vpc := must(w.EC2.CreateVpc(ctx, &ec2.CreateVpcInput{CidrBlock: aws.String("10.0.0.0/16")}))(t)
	w.VPC = *vpc.Vpc.VpcId
	w.Private = [2]string{w.AddSubnet(t, "10.0.0.0/24", w.Zones[0]), w.AddSubnet(t, "10.0.1.0/24", w.Zones[1])}
	w.Public = [2]string{w.AddSubnet(t, "10.0.100.0/24", w.Zones[0]), w.AddSubnet(t, "10.0.101.0/24", w.Zones[1])}

	ofVPC := []types.Filter{{Name: aws.String("vpc-id"), Values: []string{w.VPC}}}
	tables := must(w.EC2.DescribeRouteTables(ctx, &ec2.DescribeRouteTablesInput{Filters: ofVPC}))(t)
	w.MainTable = *tables.RouteTables[0].RouteTableId
	w.PrivateTable = w.AddRouteTable(t, w.Private[0], w.Private[1])
	w.PublicTable = w.AddRouteTable(t, w.Public[0], w.Public[1])

	igw := must(w.EC2.CreateInternetGateway(ctx, &ec2.CreateInternetGatewayInput{}))(t)
	w.InternetGateway = *igw.InternetGateway.InternetGatewayId
	must(w.EC2.AttachInternetGateway(ctx, &ec2.AttachInternetGatewayInput{InternetGatewayId: &w.InternetGateway, VpcId: &w.VPC}))(t)
	w.AddRoute(t, &ec2.CreateRouteInput{RouteTableId: &w.PublicTable, DestinationCidrBlock: aws.String("0.0.0.0/0"), GatewayId: &w.InternetGateway})

	endpoint := must(w.EC2.CreateVpcEndpoint(ctx, &ec2.CreateVpcEndpointInput{
		VpcId: &w.VPC, ServiceName: aws.String("com.amazonaws." + w.Region + ".s3"), VpcEndpointType: types.VpcEndpointTypeGateway, RouteTableIds: []string{w.PrivateTable},
	}))(t)
	w.S3Endpoint = *endpoint.VpcEndpoint.VpcEndpointId
	lists := must(w.EC2.DescribeManagedPrefixLists(ctx, &ec2.DescribeManagedPrefixListsInput{
		Filters: []types.Filter{{Name: aws.String("prefix-list-name"), Values: []string{"com.amazonaws." + w.Region + ".s3"}}},
	}))(t)
	w.S3PrefixList = *lists.PrefixLists[0].PrefixListId
	acls := must(w.EC2.DescribeNetworkAcls(ctx, &ec2.DescribeNetworkAclsInput{Filters: ofVPC}))(t)
	w.NetworkACL = *acls.NetworkAcls[0].NetworkAclId
}

func (w *World) fileSystem(t testing.TB) {
	t.Helper()
	ctx := t.Context()
	w.JobGroup = w.AddGroup(t, "job")
	w.FileSystemGroup = w.AddGroup(t, "file-system")
	w.Allow(t, w.FileSystemGroup, FromGroup("tcp", 2049, 2049, w.JobGroup))
	fs := must(w.EFS.CreateFileSystem(ctx, &efs.CreateFileSystemInput{CreationToken: aws.String("base")}))(t)
	w.FileSystem = *fs.FileSystemId
	for i, subnet := range w.Private {
		target := must(w.EFS.CreateMountTarget(ctx, &efs.CreateMountTargetInput{FileSystemId: fs.FileSystemId, SubnetId: &subnet, SecurityGroups: []string{w.FileSystemGroup}}))(t)
		w.MountTargets[i] = *target.MountTargetId
	}
}

// AddSubnet makes a subnet of the VPC; its routes are the main table's.
func (w *World) AddSubnet(t testing.TB, cidr, zone string) string {
	t.Helper()
	out := must(w.EC2.CreateSubnet(t.Context(), &ec2.CreateSubnetInput{VpcId: &w.VPC, CidrBlock: &cidr, AvailabilityZone: &zone}))(t)
	return *out.Subnet.SubnetId
}

// AddRouteTable makes a table that has the local route alone, for the subnets.
func (w *World) AddRouteTable(t testing.TB, subnets ...string) string {
	t.Helper()
	out := must(w.EC2.CreateRouteTable(t.Context(), &ec2.CreateRouteTableInput{VpcId: &w.VPC}))(t)
	for _, subnet := range subnets {
		must(w.EC2.AssociateRouteTable(t.Context(), &ec2.AssociateRouteTableInput{RouteTableId: out.RouteTable.RouteTableId, SubnetId: &subnet}))(t)
	}
	return *out.RouteTable.RouteTableId
}

// AddRoute adds a route.
func (w *World) AddRoute(t testing.TB, route *ec2.CreateRouteInput) {
	t.Helper()
	must(w.EC2.CreateRoute(t.Context(), route))(t)
}

// AddNAT makes a NAT gateway in a subnet and gives the private subnets a default route to it.
func (w *World) AddNAT(t testing.TB, subnet string) string {
	t.Helper()
	address := must(w.EC2.AllocateAddress(t.Context(), &ec2.AllocateAddressInput{Domain: types.DomainTypeVpc}))(t)
	out := must(w.EC2.CreateNatGateway(t.Context(), &ec2.CreateNatGatewayInput{SubnetId: &subnet, AllocationId: address.AllocationId}))(t)
	w.AddRoute(t, &ec2.CreateRouteInput{RouteTableId: &w.PrivateTable, DestinationCidrBlock: aws.String("0.0.0.0/0"), NatGatewayId: out.NatGateway.NatGatewayId})
	return *out.NatGateway.NatGatewayId
}

// RemoveS3Endpoint deletes the gateway endpoint, and with it its route.
func (w *World) RemoveS3Endpoint(t testing.TB) {
	t.Helper()
	must(w.EC2.DeleteVpcEndpoints(t.Context(), &ec2.DeleteVpcEndpointsInput{VpcEndpointIds: []string{w.S3Endpoint}}))(t)
}

// AddGroup makes a security group that lets nothing in and everything out.
func (w *World) AddGroup(t testing.TB, name string) string {
	t.Helper()
	out := must(w.EC2.CreateSecurityGroup(t.Context(), &ec2.CreateSecurityGroupInput{VpcId: &w.VPC, GroupName: &name, Description: &name}))(t)
	return *out.GroupId
}

// Allow adds rules for what comes in.
func (w *World) Allow(t testing.TB, group string, rules ...types.IpPermission) {
	t.Helper()
	must(w.EC2.AuthorizeSecurityGroupIngress(t.Context(), &ec2.AuthorizeSecurityGroupIngressInput{GroupId: &group, IpPermissions: rules}))(t)
}

// Forbid removes rules for what comes in, which must be there word for word.
func (w *World) Forbid(t testing.TB, group string, rules ...types.IpPermission) {
	t.Helper()
	must(w.EC2.RevokeSecurityGroupIngress(t.Context(), &ec2.RevokeSecurityGroupIngressInput{GroupId: &group, IpPermissions: rules}))(t)
}

// OnlyOut replaces the rule that lets a new group send anything anywhere.
func (w *World) OnlyOut(t testing.TB, group string, rules ...types.IpPermission) {
	t.Helper()
	anything := []types.IpPermission{{IpProtocol: aws.String("-1"), IpRanges: []types.IpRange{{CidrIp: aws.String("0.0.0.0/0")}}}}
	must(w.EC2.RevokeSecurityGroupEgress(t.Context(), &ec2.RevokeSecurityGroupEgressInput{GroupId: &group, IpPermissions: anything}))(t)
	if len(rules) > 0 {
		must(w.EC2.AuthorizeSecurityGroupEgress(t.Context(), &ec2.AuthorizeSecurityGroupEgressInput{GroupId: &group, IpPermissions: rules}))(t)
	}
}

// FromGroup is a rule whose other side is a security group; it serves for both directions.
func FromGroup(protocol string, from, to int32, group string) types.IpPermission {
	return types.IpPermission{IpProtocol: &protocol, FromPort: &from, ToPort: &to, UserIdGroupPairs: []types.UserIdGroupPair{{GroupId: &group}}}
}

// FromCIDR is a rule whose other side is a range of IPv4 addresses.
func FromCIDR(protocol string, from, to int32, cidr string) types.IpPermission {
	return types.IpPermission{IpProtocol: &protocol, FromPort: &from, ToPort: &to, IpRanges: []types.IpRange{{CidrIp: &cidr}}}
}

// FromPrefixList is a rule whose other side is a prefix list.
func FromPrefixList(protocol string, from, to int32, list string) types.IpPermission {
	return types.IpPermission{IpProtocol: &protocol, FromPort: &from, ToPort: &to, PrefixListIds: []types.PrefixListId{{PrefixListId: &list}}}
}

func must[T any](out T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
}
