// Package region knows what differs between AWS regions and partitions: ARNs, hosts, registries, and what SageMaker supports where.
package region

import "strings"

// Partition is the partition of a region, as ARNs have it: aws, aws-cn or aws-us-gov.
func Partition(region string) string {
	switch {
	case strings.HasPrefix(region, "cn-"):
		return "aws-cn"
	case strings.HasPrefix(region, "us-gov-"):
		return "aws-us-gov"
	}
	return "aws"
}

// DNSSuffix ends the names of AWS's hosts in a region.
func DNSSuffix(region string) string {
	if Partition(region) == "aws-cn" {
		return "amazonaws.com.cn"
	}
	return "amazonaws.com"
}

// Table says what works where. The zero value has the built-in knowledge alone.
type Table struct{}
