package mototest_test

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/efs"

	"github.com/trainyard/trainyard/services/training/preflight/mototest"
)

func TestWorldsAreApart(t *testing.T) {
	for _, region := range []string{"us-east-1", "cn-north-1"} {
		t.Run(region, func(t *testing.T) {
			t.Parallel()
			first, second := mototest.NewWorld(t, region), mototest.NewWorld(t, region)

			if _, err := first.EC2.DescribeSubnets(t.Context(), &ec2.DescribeSubnetsInput{SubnetIds: first.Private[:]}); err != nil {
				t.Fatal(err)
			}
			if _, err := second.EC2.DescribeSubnets(t.Context(), &ec2.DescribeSubnetsInput{SubnetIds: first.Private[:]}); err == nil {
				t.Error("a world sees the subnets of another")
			}
			targets, err := first.EFS.DescribeMountTargets(t.Context(), &efs.DescribeMountTargetsInput{FileSystemId: &first.FileSystem})
			if err != nil || len(targets.MountTargets) != 2 {
				t.Errorf("mount targets: %+v, %v, want 2", targets, err)
			}
		})
	}
}
