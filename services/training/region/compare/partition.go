package compare

import (
	"fmt"

	"github.com/trainyard/trainyard/services/training/region"
)

func (c *comparison) partition() {
	if c.samePartition() {
		return
	}
	here, there := region.Partition(c.here), region.Partition(c.there)
	c.add(Difference{
		Subject: "partition", Here: here, There: there,
		Change: fmt.Sprintf("Take an account of %s and an installation of its own there, with that account's credentials: accounts, roles and sign-in of %s don't exist in %s, and no policy reaches across. ARNs begin arn:%s:.",
			there, here, there, there),
		Blocking: true,
	})
}

func (c *comparison) hosts() {
	if here, there := region.Host("sagemaker", c.here), region.Host("sagemaker", c.there); !c.alike(here, there) {
		c.add(Difference{Subject: "hosts of AWS's APIs", Here: here, There: there})
	}
	bucket := c.Bucket
	if bucket == "" {
		bucket = "BUCKET"
	}
	if here, there := region.PresignedHost(bucket, c.here), region.PresignedHost(bucket, c.there); !c.alike(here, there) {
		c.add(Difference{Subject: "host of presigned URLs", Here: here, There: there})
	}
}

// endpointServices are those that jobs and services within a VPC ask.
var endpointServices = []string{
	"s3", "ecr.api", "ecr.dkr", "sqs", "sts", "elasticfilesystem", "fsx", "monitoring", "sagemaker.api", "sagemaker.runtime", "logs", "kms", "events",
}

func (c *comparison) endpoints() {
	for _, service := range endpointServices {
		here, hereKnown := region.InterfaceEndpoint(service, c.here)
		there, thereKnown := region.InterfaceEndpoint(service, c.there)
		if c.alike(here, there) && hereKnown && thereKnown {
			continue
		}
		c.add(Difference{
			Subject: "interface VPC endpoint of " + service, Here: unsure(here, hereKnown), There: unsure(there, thereKnown),
			Change: "Look the name up rather than write it out: Terraform's data source aws_vpc_endpoint_service, or `aws ec2 describe-vpc-endpoint-services --region " + c.there + "`.",
		})
	}
}

func unsure(name string, known bool) string {
	if known {
		return name
	}
	return name + " (not seen)"
}

func (c *comparison) principals() {
	if c.samePartition() {
		return
	}
	name := region.Principal("sagemaker")
	c.add(Difference{
		Subject: "service principals in policies", Here: name, There: name + ": the same, also where hosts end in ." + region.DNSSuffix(c.there),
	})
}

func (c *comparison) money() {
	hereOK, hereWhy := c.Capabilities.Supports(c.here, region.Pricing)
	thereOK, thereWhy := c.Capabilities.Supports(c.there, region.Pricing)
	if hereOK != thereOK {
		d := Difference{Subject: "AWS's API of prices", Here: answers(hereOK, hereWhy), There: answers(thereOK, thereWhy)}
		if !thereOK {
			d.Change = "Take the prices from AWS's pages for " + c.there + " into the installation's file of prices."
		}
		c.add(d)
	}
	if here, there := region.Currency(c.here), region.Currency(c.there); here != there {
		c.add(Difference{
			Subject: "currency", Here: here, There: there,
			Change: "Give prices and monthly limits of the installation there in " + there + ".",
		})
	}
}

func answers(ok bool, why string) string {
	if ok {
		return "answers"
	}
	return "none: " + why
}

// access is how people reach AWS and the installation.
func (c *comparison) access() {
	if here, there := region.ConsoleHost(c.here), region.ConsoleHost(c.there); here != there {
		c.add(Difference{Subject: "console", Here: here, There: there})
	}
	if region.Partition(c.there) == region.China && !c.samePartition() {
		c.add(Difference{
			Subject: "public web address of the installation", Here: "any domain",
			There:  "a domain with an ICP filing; ports 80, 443 and 8080 are believed to stay shut before it",
			Change: "File for ICP, or reach the page by a private address or VPN.",
		})
	}
}
