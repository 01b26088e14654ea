package region

import "regexp"

// deepLearning is the account of AWS's Deep Learning Containers in the regions that have one of their own. The list is that of
// https://aws.github.io/deep-learning-containers/reference/region_availability/ and, for GovCloud, of the SageMaker SDK.
var deepLearning = map[string]string{
	"af-south-1":     "626614931356",
	"ap-east-1":      "871362719292",
	"ap-east-2":      "975050140332",
	"ap-northeast-3": "364406365360",
	"ap-south-2":     "772153158452",
	"ap-southeast-3": "907027046896",
	"ap-southeast-4": "457447274322",
	"ap-southeast-5": "550225433462",
	"ap-southeast-6": "633930458069",
	"ap-southeast-7": "590183813437",
	"ca-west-1":      "204538143572",
	"eu-central-2":   "380420809688",
	"eu-south-1":     "692866216735",
	"eu-south-2":     "503227376785",
	"il-central-1":   "780543022126",
	"me-central-1":   "914824155844",
	"me-south-1":     "217643126080",
	"mx-central-1":   "637423239942",
	"us-gov-east-1":  "446045086412",
	"us-gov-west-1":  "442386744353",
}

// DeepLearningAccount is the account that holds AWS's Deep Learning Containers in a region.
func DeepLearningAccount(region string) string {
	if account, ok := deepLearning[region]; ok {
		return account
	}
	if Partition(region) == China {
		return "727897471807"
	}
	return "763104351884"
}

// Registry is the host of an account's container registry (ECR) in a region.
func Registry(account, region string) string {
	return account + ".dkr.ecr." + region + "." + DNSSuffix(region)
}

var registry = regexp.MustCompile(`^([0-9]{12})\.dkr\.ecr\.([a-z0-9-]+)\.(amazonaws\.com(?:\.cn)?)/`)

// ParseRegistry gives the account and region of an image in ECR; ok is false for other images and for a host that no partition has, such as
// one of cn-north-1 without the .cn at its end.
func ParseRegistry(image string) (account, region string, ok bool) {
	match := registry.FindStringSubmatch(image)
	if match == nil || DNSSuffix(match[2]) != match[3] {
		return "", "", false
	}
	return match[1], match[2], true
}
