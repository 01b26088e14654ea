package preflight

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

const vpcError = "ValidationException"

// vpcTenancyCheck looks whether the job's subnets and groups exist and are in one VPC, of default tenancy: SageMaker runs in no other.
func vpcTenancyCheck() Check {
	return Check{Name: "vpc-tenancy", Title: "The job's VPC", Run: runVPCTenancy}
}

func runVPCTenancy(ctx context.Context, c *Clients, s *Subject) (Result, error) {
	if s.Request.VpcConfig == nil {
		return skipped(notInVPC)
	}
	client, err := c.ec2()
	if err != nil {
		return Result{Prevents: vpcError}, err
	}
	var f findings
	n, err := s.network(ctx, client)
	if notThere := []string{"InvalidSubnetID.NotFound", "InvalidSubnetId.NotFound", "InvalidGroup.NotFound", "InvalidSubnetID.Malformed", "InvalidGroupId.Malformed"}; slices.Contains(notThere, errorCode(err)) {
		f.fail(fmt.Sprintf("a subnet or group of the job (%s; %s) isn't in %s: %s", strings.Join(s.subnets(), ", "), strings.Join(s.groups(), ", "), s.Region, skip(err, s.Region).Seen),
			"name subnets and groups of this account and region", "aws ec2 describe-subnets --region "+s.Region+"\naws ec2 describe-security-groups --region "+s.Region)
		return f.result(vpcError), nil
	}
	if err != nil {
		return Result{Prevents: vpcError}, err
	}
	vpcs := n.vpcs()
	if len(vpcs) > 1 {
		f.fail("the job's subnets and groups are in several VPCs: "+strings.Join(vpcs, ", "), "name subnets and groups of one VPC",
			fmt.Sprintf("aws ec2 describe-subnets --region %s --filters Name=vpc-id,Values=%s", s.Region, n.vpc()))
	}
	out, err := client.DescribeVpcs(ctx, &ec2.DescribeVpcsInput{VpcIds: vpcs})
	if err != nil {
		return f.result(vpcError), err
	}
	for _, vpc := range out.Vpcs {
		id := aws.ToString(vpc.VpcId)
		if vpc.InstanceTenancy != types.TenancyDefault {
			f.fail(fmt.Sprintf("%s has tenancy %s; SageMaker runs only where it is default", id, vpc.InstanceTenancy),
				"change it to default, which only dedicated allows and which is for new instances alone; else use another VPC",
				fmt.Sprintf("aws ec2 modify-vpc-tenancy --region %s --vpc-id %s --instance-tenancy default", s.Region, id))
			continue
		}
		f.ok("%s has default tenancy", id)
	}
	return f.result(vpcError), nil
}
