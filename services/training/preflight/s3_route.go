package preflight

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/trainyard/trainyard/services/training/region"
)

// noWayToS3 is SageMaker's error for everything that keeps instances from S3.
const noWayToS3 = "ClientError: Data download failed:Please ensure that the subnet's route table has a route to an S3 VPC endpoint or a NAT device, and both the security groups and the subnet's network ACL allow outbound traffic to S3."

// s3RouteCheck looks how each of the job's subnets reaches S3: by a gateway endpoint or a NAT gateway. Job interfaces have no public address, so
// that a public subnet's internet gateway is none.
func s3RouteCheck() Check {
	return Check{Name: "s3-route", Title: "Routes from the job's subnets to S3", Run: runS3Route}
}

func runS3Route(ctx context.Context, c *Clients, s *Subject) (Result, error) {
	if s.Request.VpcConfig == nil {
		return skipped(notInVPC)
	}
	client, err := c.ec2()
	if err != nil {
		return Result{Prevents: noWayToS3}, err
	}
	r, err := s.routing(ctx, client)
	if err != nil {
		return Result{Prevents: noWayToS3}, err
	}
	var f findings
	for _, subnet := range r.subnets {
		if err := r.look(ctx, client, &f, subnet); err != nil {
			return f.result(noWayToS3), err
		}
	}
	return f.result(noWayToS3), nil
}

// routing is what decides how a VPC's subnets reach S3.
type routing struct {
	region  string
	vpc     string
	subnets []types.Subnet
	tables  []types.RouteTable
	// endpoints are those to S3.
	endpoints []types.VpcEndpoint
	s3List    string
}

func (s *Subject) routing(ctx context.Context, client EC2) (*routing, error) {
	subnets, err := client.DescribeSubnets(ctx, &ec2.DescribeSubnetsInput{SubnetIds: s.subnets()})
	if err != nil {
		return nil, err
	}
	r := &routing{region: s.Region, subnets: subnets.Subnets}
	r.vpc = (&network{subnets: r.subnets}).vpc()
	ofVPC := []types.Filter{{Name: aws.String("vpc-id"), Values: []string{r.vpc}}}
	tables := ec2.NewDescribeRouteTablesPaginator(client, &ec2.DescribeRouteTablesInput{Filters: ofVPC})
	for tables.HasMorePages() {
		page, err := tables.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		r.tables = append(r.tables, page.RouteTables...)
	}
	interfaceName, _ := region.InterfaceEndpoint("s3", s.Region)
	endpoints := ec2.NewDescribeVpcEndpointsPaginator(client, &ec2.DescribeVpcEndpointsInput{Filters: ofVPC})
	for endpoints.HasMorePages() {
		page, err := endpoints.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, endpoint := range page.VpcEndpoints {
			name, gone := aws.ToString(endpoint.ServiceName), strings.EqualFold(string(endpoint.State), string(types.StateDeleted))
			if !gone && (name == region.GatewayEndpoint(s.Region) || name == interfaceName) {
				r.endpoints = append(r.endpoints, endpoint)
			}
		}
	}
	r.s3List, _, err = s3Ranges(ctx, client, region.GatewayEndpoint(s.Region))
	return r, err
}

// table is the one that a subnet is associated with, else the VPC's main one.
func (r *routing) table(subnet string) (table types.RouteTable, explicit bool) {
	var mainTable types.RouteTable
	for _, t := range r.tables {
		for _, association := range t.Associations {
			if aws.ToString(association.SubnetId) == subnet {
				return t, true
			}
			if aws.ToBool(association.Main) {
				mainTable = t
			}
		}
	}
	return mainTable, false
}

// gateway is the gateway endpoint that a table's active route to S3 leads to.
func (r *routing) gateway(table types.RouteTable) (types.VpcEndpoint, bool) {
	for _, endpoint := range r.endpoints {
		if endpoint.VpcEndpointType == types.VpcEndpointTypeGateway && available(endpoint) &&
			slices.Contains(endpoint.RouteTableIds, aws.ToString(table.RouteTableId)) && r.hasRoute(table, endpoint) {
			return endpoint, true
		}
	}
	return types.VpcEndpoint{}, false
}

func (r *routing) hasRoute(table types.RouteTable, endpoint types.VpcEndpoint) bool {
	return slices.ContainsFunc(table.Routes, func(route types.Route) bool {
		return aws.ToString(route.GatewayId) == aws.ToString(endpoint.VpcEndpointId) && route.State == types.RouteStateActive &&
			aws.ToString(route.DestinationPrefixListId) == r.s3List
	})
}

// available tells whether an endpoint works; AWS writes its state in lower case where the SDK's constants don't.
func available(endpoint types.VpcEndpoint) bool {
	return strings.EqualFold(string(endpoint.State), string(types.StateAvailable))
}

// look says how one subnet reaches S3.
func (r *routing) look(ctx context.Context, client EC2, f *findings, subnet types.Subnet) error {
	id := aws.ToString(subnet.SubnetId)
	table, explicit := r.table(id)
	tableID := aws.ToString(table.RouteTableId)
	at := fmt.Sprintf("subnet %s by route table %s", id, tableID)
	if !explicit {
		at += " (main)"
	}
	if endpoint, ok := r.gateway(table); ok {
		f.ok("%s: %s -> %s (gateway endpoint, available)", at, r.s3List, aws.ToString(endpoint.VpcEndpointId))
		return nil
	}
	mend, snippet := r.mend(tableID)
	notes := r.endpointNotes(table)
	route, ok := r.wayOut(table)
	way, status := "no route to S3 and no default route", Fail
	if ok {
		var err error
		if way, status, err = r.target(ctx, client, route); err != nil {
			return err
		}
	}
	if status == Fail {
		if endpoint := r.privateDNS(); endpoint != "" {
			way, status = way+fmt.Sprintf("; the interface endpoint %s has a private DNS name, by which S3 may be reached", endpoint), Warn
		}
	}
	seen := strings.Join(append([]string{at + ": " + way}, notes...), "; ")
	switch status {
	case Fail:
		f.fail(seen, mend, snippet)
	case Warn:
		f.warn(seen+"; whether that leads to S3 can't be seen from here", mend, snippet)
	default:
		f.ok("%s", seen)
	}
	return nil
}

// endpointNotes say why the gateway endpoints that there are don't help a table.
func (r *routing) endpointNotes(table types.RouteTable) []string {
	var notes []string
	for _, endpoint := range r.endpoints {
		id := aws.ToString(endpoint.VpcEndpointId)
		switch {
		case endpoint.VpcEndpointType != types.VpcEndpointTypeGateway:
		case !slices.Contains(endpoint.RouteTableIds, aws.ToString(table.RouteTableId)):
			notes = append(notes, fmt.Sprintf("gateway endpoint %s isn't associated with the table but with %s", id, strings.Join(endpoint.RouteTableIds, ", ")))
		case !available(endpoint):
			notes = append(notes, fmt.Sprintf("gateway endpoint %s is %s", id, endpoint.State))
		default:
			notes = append(notes, fmt.Sprintf("gateway endpoint %s is associated, but the table has no active route from %s to it", id, r.s3List))
		}
	}
	return notes
}

// mend associates the endpoint that there is, or makes one.
func (r *routing) mend(table string) (mend, snippet string) {
	for _, endpoint := range r.endpoints {
		if endpoint.VpcEndpointType == types.VpcEndpointTypeGateway && available(endpoint) {
			return "associate the S3 gateway endpoint with the route table", fmt.Sprintf(`resource "aws_vpc_endpoint_route_table_association" "s3_%s" {
  vpc_endpoint_id = %q
  route_table_id  = %q
}`, label(table), aws.ToString(endpoint.VpcEndpointId), table)
		}
	}
	return "make an S3 gateway endpoint, which costs nothing, for the route table", fmt.Sprintf(`resource "aws_vpc_endpoint" "s3" {
  vpc_id            = %q
  service_name      = %q
  vpc_endpoint_type = "Gateway"
  route_table_ids   = [%q]
}`, r.vpc, region.GatewayEndpoint(r.region), table)
}

// privateDNS is an interface endpoint that takes over S3's usual name, or "".
func (r *routing) privateDNS() string {
	for _, endpoint := range r.endpoints {
		if endpoint.VpcEndpointType == types.VpcEndpointTypeInterface && available(endpoint) && aws.ToBool(endpoint.PrivateDnsEnabled) {
			return aws.ToString(endpoint.VpcEndpointId)
		}
	}
	return ""
}

// wayOut is the route that a table has for S3's addresses: that for its prefix list, else the default one.
func (r *routing) wayOut(table types.RouteTable) (types.Route, bool) {
	for _, route := range table.Routes {
		if aws.ToString(route.DestinationPrefixListId) == r.s3List {
			return route, true
		}
	}
	for _, route := range table.Routes {
		if aws.ToString(route.DestinationCidrBlock) == "0.0.0.0/0" {
			return route, true
		}
	}
	return types.Route{}, false
}

// target says where a route leads.
func (r *routing) target(ctx context.Context, client EC2, route types.Route) (way string, status Status, err error) {
	to := routeTarget(route)
	destination := aws.ToString(route.DestinationCidrBlock)
	if destination == "" {
		destination = aws.ToString(route.DestinationPrefixListId)
	}
	way = destination + " -> " + to
	switch {
	case route.State == types.RouteStateBlackhole:
		return way + ", a black hole: what it led to is gone", Fail, nil
	case strings.HasPrefix(to, "nat-"):
		why, err := r.nat(ctx, client, to)
		if err != nil {
			return "", "", err
		}
		if why != "" {
			return way + ", " + why, Fail, nil
		}
		return way + " (NAT gateway, available, with a way to the internet)", Pass, nil
	case strings.HasPrefix(to, "igw-"):
		return way + ", an internet gateway: it doesn't help, because the job's network interfaces have no public address, even in a public subnet", Fail, nil
	}
	if slices.ContainsFunc(r.endpoints, func(e types.VpcEndpoint) bool { return aws.ToString(e.VpcEndpointId) == to }) {
		return way, Fail, nil // One that works was found before; endpointNotes say what is wrong with this one.
	}
	return way, Warn, nil
}

// routeTarget is the id of what a route leads to.
func routeTarget(route types.Route) string {
	for _, id := range []*string{
		route.NatGatewayId, route.TransitGatewayId, route.VpcPeeringConnectionId, route.InstanceId, route.NetworkInterfaceId,
		route.LocalGatewayId, route.CarrierGatewayId, route.CoreNetworkArn, route.EgressOnlyInternetGatewayId, route.GatewayId,
	} {
		if aws.ToString(id) != "" {
			return *id
		}
	}
	return "something unknown"
}

// nat says what is wrong with a NAT gateway, or "".
func (r *routing) nat(ctx context.Context, client EC2, id string) (string, error) {
	out, err := client.DescribeNatGateways(ctx, &ec2.DescribeNatGatewaysInput{NatGatewayIds: []string{id}})
	if err != nil {
		return "", err
	}
	if len(out.NatGateways) == 0 {
		return "which isn't there", nil
	}
	gateway := out.NatGateways[0]
	subnet := aws.ToString(gateway.SubnetId)
	table, _ := r.table(subnet)
	public := slices.ContainsFunc(table.Routes, func(route types.Route) bool {
		return aws.ToString(route.DestinationCidrBlock) == "0.0.0.0/0" && strings.HasPrefix(aws.ToString(route.GatewayId), "igw-") && route.State == types.RouteStateActive
	})
	_, s3 := r.gateway(table)
	switch {
	case gateway.State != types.NatGatewayStateAvailable:
		return fmt.Sprintf("a NAT gateway that is %s", gateway.State), nil
	case s3: // From there on, it is the endpoint's.
		return "", nil
	case gateway.ConnectivityType == types.ConnectivityTypePrivate:
		return "a private NAT gateway, which has no way to the internet", nil
	case !public:
		return fmt.Sprintf("a NAT gateway whose subnet %s has no active route 0.0.0.0/0 to an internet gateway in %s", subnet, aws.ToString(table.RouteTableId)), nil
	}
	return "", nil
}
