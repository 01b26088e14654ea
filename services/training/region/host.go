package region

import "slices"

// DNSSuffix ends the names of AWS's hosts in a region.
func DNSSuffix(region string) string {
	if Partition(region) == China {
		return "amazonaws.com.cn"
	}
	return "amazonaws.com"
}

// Host is the API host of a service in a region, by the service's name in AWS's SDKs, such as `sagemaker` or `ecr`. It is the SDKs' own
// choice, to be shown and compared; requests are sent where the SDK says.
func Host(service, region string) string {
	switch service {
	case "sagemaker", "ecr":
		service = "api." + service
	case "iam": // IAM is one for the whole partition.
		switch Partition(region) {
		case China:
			return "iam.cn-north-1." + DNSSuffix(region)
		case GovCloud:
			return "iam.us-gov." + DNSSuffix(region)
		}
		return "iam." + DNSSuffix(region)
	case "efs":
		service = "elasticfilesystem"
	}
	return service + "." + region + "." + DNSSuffix(region)
}

// PresignedHost is the host of the URLs by which browsers up- and download the objects of a bucket.
func PresignedHost(bucket, region string) string {
	return bucket + "." + Host("s3", region)
}

// ConsoleHost is where people sign in to AWS.
func ConsoleHost(region string) string {
	switch Partition(region) {
	case China:
		return "console.amazonaws.cn"
	case GovCloud:
		return "console.amazonaws-us-gov.com"
	}
	return "console.aws.amazon.com"
}

// Principal is a service's name in the trust and resource policies of every partition: those of the services that the suite names
// (sagemaker, s3, events) end in amazonaws.com in China, too, where hosts end in amazonaws.com.cn.
func Principal(service string) string { return service + ".amazonaws.com" }

// The names by which VPC endpoints are asked for, without their beginning.
var (
	// chinaPrefixed are those whose names begin with cn.com.amazonaws in China. For S3 it is the interface endpoint only.
	chinaPrefixed = []string{"ecr.api", "ecr.dkr", "sqs", "sts", "elasticfilesystem", "fsx", "monitoring", "sagemaker.api", "sagemaker.runtime"}
	// chinaPlain are those whose names begin as everywhere, as far as was seen.
	chinaPlain = []string{"sns", "logs", "kms", "events", "secretsmanager"}
)

// GatewayEndpoint is the service name of the gateway endpoint of S3, which is the same in every partition.
func GatewayEndpoint(region string) string { return "com.amazonaws." + region + ".s3" }

// InterfaceEndpoint is the service name of an interface VPC endpoint, such as of `ecr.api`. known is false where the name was not seen and
// only follows the usual form: there, ask with `aws ec2 describe-vpc-endpoint-services` or Terraform's data source aws_vpc_endpoint_service.
func InterfaceEndpoint(service, region string) (name string, known bool) {
	plain := "com.amazonaws." + region + "." + service
	if Partition(region) != China {
		return plain, true
	}
	if service == "s3" || slices.Contains(chinaPrefixed, service) {
		return "cn." + plain, true
	}
	return plain, slices.Contains(chinaPlain, service)
}
