package preflight

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/trainyard/trainyard/services/training/region"
)

func TestS3Route(t *testing.T) {
	everywhere := aws.String("0.0.0.0/0")
	withNAT := func(change func(*ec2types.NatGateway)) func(testing.TB, *networkWorld) {
		return func(t testing.TB, w *networkWorld) {
			w.RemoveS3Endpoint(t)
			w.AddNAT(t, w.Public[0])
			w.ec2 = changedEC2{EC2: w.EC2, gateways: func(all []ec2types.NatGateway) { change(&all[0]) }}
		}
	}
	changedEndpoint := func(change func(*ec2types.VpcEndpoint)) func(testing.TB, *networkWorld) {
		return func(_ testing.TB, w *networkWorld) {
			w.ec2 = changedEC2{EC2: w.EC2, endpoints: func(all []ec2types.VpcEndpoint) { change(&all[0]) }}
		}
	}
	changedRoute := func(of func(ec2types.Route) bool, change func(*ec2types.Route)) func([]ec2types.RouteTable) {
		return func(tables []ec2types.RouteTable) {
			for _, table := range tables {
				for i := range table.Routes {
					if of(table.Routes[i]) {
						change(&table.Routes[i])
					}
				}
			}
		}
	}
	toS3 := func(r ec2types.Route) bool { return r.DestinationPrefixListId != nil }
	testNetwork(t, s3RouteCheck(), []networkCase{
		{name: "gateway endpoint", want: Pass, seen: []string{"subnet $A by route table $TABLE: $LIST -> $ENDPOINT", "subnet $B"}},
		{
			name: "a private subnet with no route", want: Fail, breaks: func(t testing.TB, w *networkWorld) { w.RemoveS3Endpoint(t) },
			seen:     []string{"subnet $A by route table $TABLE: no route to S3 and no default route", "subnet $B"},
			snippet:  []string{`resource "aws_vpc_endpoint" "s3"`, `vpc_id            = "$VPC"`, `"com.amazonaws.us-east-1.s3"`, `route_table_ids   = ["$TABLE"]`},
			prevents: noWayToS3,
		},
		{
			name: "in China the endpoint has its name from AWS, too", region: china, want: Fail, breaks: func(t testing.TB, w *networkWorld) { w.RemoveS3Endpoint(t) },
			snippet: []string{`service_name      = "com.amazonaws.cn-north-1.s3"`},
		},
		{
			name: "the main table counts where none is associated", want: Fail,
			breaks: func(t testing.TB, w *networkWorld) {
				w.job.VpcConfig.Subnets = []string{w.AddSubnet(t, "10.0.50.0/24", w.Zones[0]), w.Private[1]}
			},
			seen:    []string{"by route table $MAIN (main): no route to S3", "gateway endpoint $ENDPOINT isn't associated with the table but with $TABLE", "subnet $B by route table $TABLE: $LIST -> $ENDPOINT"},
			snippet: []string{`resource "aws_vpc_endpoint_route_table_association"`, `vpc_endpoint_id = "$ENDPOINT"`, `route_table_id  = "$MAIN"`},
		},
		{
			name: "a public subnet's internet gateway does not help", region: china, want: Fail,
			breaks: func(_ testing.TB, w *networkWorld) { w.job.VpcConfig.Subnets = w.Public[:] },
			seen:   []string{"subnet $PUBLIC", "0.0.0.0/0 -> $IGW, an internet gateway: it doesn't help, because the job's network interfaces have no public address"},
		},
		{
			name: "NAT", region: china, want: Pass, seen: []string{"0.0.0.0/0 -> nat-", "available"},
			breaks: func(t testing.TB, w *networkWorld) {
				w.RemoveS3Endpoint(t)
				w.AddNAT(t, w.Public[0])
			},
		},
		{
			name: "NAT in a subnet with no way out", want: Fail, seen: []string{"a NAT gateway whose subnet $B has no active route 0.0.0.0/0 to an internet gateway in $TABLE"},
			breaks: func(t testing.TB, w *networkWorld) {
				w.RemoveS3Endpoint(t)
				w.AddNAT(t, w.Private[1])
			},
		},
		{
			name: "NAT that failed", want: Fail, seen: []string{"a NAT gateway that is failed"},
			breaks: withNAT(func(g *ec2types.NatGateway) { g.State = ec2types.NatGatewayStateFailed }),
		},
		{
			name: "private NAT", want: Fail, seen: []string{"a private NAT gateway"},
			breaks: withNAT(func(g *ec2types.NatGateway) { g.ConnectivityType = ec2types.ConnectivityTypePrivate }),
		},
		{
			name: "a default route into a black hole", want: Fail, seen: []string{"a black hole"},
			breaks: func(t testing.TB, w *networkWorld) {
				w.RemoveS3Endpoint(t)
				w.AddNAT(t, w.Public[0])
				isNAT := func(r ec2types.Route) bool { return r.NatGatewayId != nil }
				w.ec2 = changedEC2{EC2: w.EC2, tables: changedRoute(isNAT, func(r *ec2types.Route) { r.State = ec2types.RouteStateBlackhole })}
			},
		},
		{
			name: "S3's own route into a black hole, beside a NAT that works", want: Fail, seen: []string{"$LIST -> $ENDPOINT, a black hole"},
			breaks: func(t testing.TB, w *networkWorld) {
				w.AddNAT(t, w.Public[0])
				w.ec2 = changedEC2{EC2: w.EC2, tables: changedRoute(toS3, func(r *ec2types.Route) { r.State = ec2types.RouteStateBlackhole })}
			},
		},
		{
			name: "an endpoint that isn't available", want: Fail, seen: []string{"gateway endpoint $ENDPOINT is Deleting"},
			breaks: changedEndpoint(func(e *ec2types.VpcEndpoint) { e.State = ec2types.StateDeleting }),
		},
		{
			name: "an endpoint associated, its route not there yet", want: Fail, seen: []string{"$ENDPOINT is associated, but the table has no active route from $LIST to it"},
			breaks: func(t testing.TB, w *networkWorld) {
				mustDo(w.EC2.DeleteRoute(t.Context(), &ec2.DeleteRouteInput{RouteTableId: &w.PrivateTable, DestinationPrefixListId: &w.S3PrefixList}))(t)
			},
		},
		{
			name: "an endpoint of DynamoDB", want: Fail, seen: []string{"no route to S3"},
			breaks: func(t testing.TB, w *networkWorld) {
				w.RemoveS3Endpoint(t)
				mustDo(w.EC2.CreateVpcEndpoint(t.Context(), &ec2.CreateVpcEndpointInput{
					VpcId: &w.VPC, ServiceName: aws.String("com.amazonaws.us-east-1.dynamodb"), VpcEndpointType: ec2types.VpcEndpointTypeGateway, RouteTableIds: []string{w.PrivateTable},
				}))(t)
			},
		},
		{
			name: "a transit gateway", region: china, want: Warn, seen: []string{"0.0.0.0/0 -> tgw-", "can't be seen from here"},
			breaks: func(t testing.TB, w *networkWorld) {
				w.RemoveS3Endpoint(t)
				tgw := mustDo(w.EC2.CreateTransitGateway(t.Context(), &ec2.CreateTransitGatewayInput{}))(t)
				w.AddRoute(t, &ec2.CreateRouteInput{RouteTableId: &w.PrivateTable, DestinationCidrBlock: everywhere, TransitGatewayId: tgw.TransitGateway.TransitGatewayId})
			},
		},
		{
			name: "a machine that routes", want: Warn, seen: []string{"0.0.0.0/0 -> eni-"},
			breaks: func(t testing.TB, w *networkWorld) {
				w.RemoveS3Endpoint(t)
				ni := mustDo(w.EC2.CreateNetworkInterface(t.Context(), &ec2.CreateNetworkInterfaceInput{SubnetId: &w.Public[0]}))(t)
				w.AddRoute(t, &ec2.CreateRouteInput{RouteTableId: &w.PrivateTable, DestinationCidrBlock: everywhere, NetworkInterfaceId: ni.NetworkInterface.NetworkInterfaceId})
			},
		},
		{
			name: "an interface endpoint with a private name", region: china, want: Warn, seen: []string{"the interface endpoint vpce-"},
			breaks: func(t testing.TB, w *networkWorld) {
				w.RemoveS3Endpoint(t)
				name, _ := region.InterfaceEndpoint("s3", w.Region)
				mustDo(w.EC2.CreateVpcEndpoint(t.Context(), &ec2.CreateVpcEndpointInput{
					VpcId: &w.VPC, ServiceName: &name, VpcEndpointType: ec2types.VpcEndpointTypeInterface, SubnetIds: w.Private[:], PrivateDnsEnabled: aws.Bool(true),
				}))(t)
			},
		},
	})
}
