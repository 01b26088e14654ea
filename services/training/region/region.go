// Package region knows what differs between AWS regions and partitions: ARNs, hosts, registries, and what SageMaker supports
// where. It asks nobody: what can't be known without asking is in a Table that the operator may correct.
package region

import (
	"fmt"
	"regexp"
	"strings"
)

// The partitions that the suite knows, as ARNs have them.
const (
	AWS      = "aws"
	China    = "aws-cn"
	GovCloud = "aws-us-gov"
)

// shape is that of the regions of the three partitions, from the partition list of AWS's SDKs. The others of that list, the
// isolated and the European sovereign ones, have further names for everything.
var shape = regexp.MustCompile(`^(us-gov|us|eu|ap|sa|ca|me|af|il|mx|cn)-[a-z]+-[0-9]+$`)

// Error tells that a text is no region that the suite can run in.
type Error struct {
	Region string
}

func (e *Error) Error() string {
	return fmt.Sprintf("Region %q must be one of AWS's, such as us-east-1 or cn-north-1; the isolated and the European sovereign partitions are not supported.", shorten(e.Region))
}

// Valid tells by its shape whether a text can be a region; it fails with an Error. Whether there is such a region is AWS's to say.
func Valid(region string) error {
	if !shape.MatchString(region) || strings.HasPrefix(region, "us-iso") {
		return &Error{Region: region}
	}
	return nil
}

// Partition is the partition of a region, as ARNs have it: aws, aws-cn or aws-us-gov.
func Partition(region string) string {
	switch {
	case strings.HasPrefix(region, "cn-"):
		return China
	case strings.HasPrefix(region, "us-gov-"):
		return GovCloud
	}
	return AWS
}

// Currency is what AWS bills in: a region of China has accounts of its own, which pay in yuan.
func Currency(region string) string {
	if Partition(region) == China {
		return "CNY"
	}
	return "USD"
}

// shorten keeps what a user sent from filling an error.
func shorten(text string) string {
	if runes := []rune(text); len(runes) > 80 {
		return string(runes[:79]) + "…"
	}
	return text
}
