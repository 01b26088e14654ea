package preflight

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

func TestVPCTenancy(t *testing.T) {
	testNetwork(t, vpcTenancyCheck(), []networkCase{
		{name: "default", want: Pass, seen: []string{"$VPC has default tenancy"}},
		{
			name: "dedicated", region: china, want: Fail, seen: []string{"$VPC has tenancy dedicated"}, prevents: "ValidationException",
			snippet: []string{"aws ec2 modify-vpc-tenancy --region cn-north-1 --vpc-id $VPC --instance-tenancy default"},
			breaks: func(_ testing.TB, w *networkWorld) {
				w.ec2 = changedEC2{EC2: w.EC2, vpcs: func(all []ec2types.Vpc) { all[0].InstanceTenancy = ec2types.TenancyDedicated }}
			},
		},
		{
			name: "no such subnet", want: Fail, seen: []string{"subnet-00000000"},
			breaks: func(_ testing.TB, w *networkWorld) { w.job.VpcConfig.Subnets = []string{"subnet-00000000"} },
		},
		{
			name: "no such group", want: Fail, seen: []string{"sg-00000000"},
			breaks: func(_ testing.TB, w *networkWorld) { w.job.VpcConfig.SecurityGroupIds = []string{"sg-00000000"} },
		},
		{
			name: "a group of another VPC", want: Fail, seen: []string{"in several VPCs", "$VPC"},
			breaks: func(t testing.TB, w *networkWorld) {
				vpc := mustDo(w.EC2.CreateVpc(t.Context(), &ec2.CreateVpcInput{CidrBlock: aws.String("10.1.0.0/16")}))(t)
				group := mustDo(w.EC2.CreateSecurityGroup(t.Context(), &ec2.CreateSecurityGroupInput{VpcId: vpc.Vpc.VpcId, GroupName: aws.String("there"), Description: aws.String("there")}))(t)
				w.job.VpcConfig.SecurityGroupIds = append(w.job.VpcConfig.SecurityGroupIds, *group.GroupId)
			},
		},
	})
}
