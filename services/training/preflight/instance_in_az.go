package preflight

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

const capacityError = "CapacityError: Unable to provision requested ML compute capacity. Please retry using a different ML instance type."

// instanceInAZCheck asks EC2 whether it has the job's instance types where the job's subnets are. That is advice: SageMaker's own stock isn't told.
func instanceInAZCheck() Check {
	return Check{Name: "instance-in-az", Title: "Instance type in the subnets' zones", Run: runInstanceInAZ}
}

func runInstanceInAZ(ctx context.Context, c *Clients, s *Subject) (Result, error) {
	wanted := s.machines()
	if len(wanted) == 0 {
		return skipped("the job names no instance type")
	}
	client, err := c.ec2()
	if err != nil {
		return Result{}, err
	}
	zones, err := zonesOf(ctx, client, s.subnets())
	if err != nil {
		return Result{}, err
	}
	location, places := ec2types.LocationTypeRegion, []string{s.Region}
	if len(zones) > 0 {
		location, places = ec2types.LocationTypeAvailabilityZone, zones
	}
	var f findings
	for _, m := range wanted {
		if lacks, why := s.Capabilities.LacksInstanceType(s.Region, m.Type); lacks {
			f.warn(fmt.Sprintf("SageMaker is known to have no %s in %s: %s", m.Type, s.Region, why), "take another instance type, or mend the table of capabilities", "")
			continue
		}
		name := strings.TrimPrefix(m.Type, "ml.")
		offered, err := offeredIn(ctx, client, name, location, places)
		if err != nil {
			return f.result(capacityError), err
		}
		var missing []string
		for _, p := range places {
			if !slices.Contains(offered, p) {
				missing = append(missing, p)
			}
		}
		switch {
		case len(missing) == 0:
			f.ok("EC2 offers %s in %s", name, strings.Join(places, ", "))
		case len(offered) > 0:
			f.ok("EC2 offers %s in %s, but not in %s: the job can start in the former only", name, strings.Join(offered, ", "), strings.Join(missing, ", "))
		default:
			f.warn(fmt.Sprintf("EC2 doesn't offer %s in %s, so SageMaker may have none either", name, strings.Join(missing, ", ")),
				"take another instance type, or subnets in zones that offer it",
				fmt.Sprintf("aws ec2 describe-instance-type-offerings --region %s --location-type availability-zone --filters Name=instance-type,Values=%s", s.Region, name))
		}
	}
	return f.result(capacityError), nil
}

// zonesOf are the availability zones of subnets, each once; none if there are no subnets.
func zonesOf(ctx context.Context, client EC2, subnets []string) ([]string, error) {
	if len(subnets) == 0 {
		return nil, nil
	}
	out, err := client.DescribeSubnets(ctx, &ec2.DescribeSubnetsInput{SubnetIds: subnets})
	if err != nil {
		return nil, err
	}
	var zones []string
	for _, subnet := range out.Subnets {
		zones = append(zones, aws.ToString(subnet.AvailabilityZone))
	}
	slices.Sort(zones)
	return slices.Compact(zones), nil
}

// offeredIn are those of the places that offer an instance type.
func offeredIn(ctx context.Context, client EC2, instance string, location ec2types.LocationType, places []string) ([]string, error) {
	pages := ec2.NewDescribeInstanceTypeOfferingsPaginator(client, &ec2.DescribeInstanceTypeOfferingsInput{
		LocationType: location,
		Filters: []ec2types.Filter{
			{Name: aws.String("instance-type"), Values: []string{instance}},
			{Name: aws.String("location"), Values: places},
		},
	})
	var offered []string
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, o := range page.InstanceTypeOfferings {
			offered = append(offered, aws.ToString(o.Location))
		}
	}
	slices.Sort(offered)
	return offered, nil
}
