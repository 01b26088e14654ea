package preflight

import (
	"context"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/arn"

	"github.com/trainyard/trainyard/services/training/region"
)

// trainingRegionCheck looks whether all that the request names is of the region's partition: a role of arn:aws: can't be assumed in China. It asks
// AWS nothing.
func trainingRegionCheck() Check {
	return Check{Name: "training-region", Title: "Role, keys and image of the region's partition", Run: runTrainingRegion}
}

func runTrainingRegion(_ context.Context, _ *Clients, s *Subject) (Result, error) {
	partition := region.Partition(s.Region)
	var f findings
	look := func(what, text string) {
		parsed, err := arn.Parse(text)
		switch {
		case err != nil: // A key's id or alias.
		case parsed.Partition != partition:
			f.fail(fmt.Sprintf("%s %s is of partition %s, but %s is of %s", what, text, parsed.Partition, s.Region, partition),
				"use a "+what+" of an account in partition "+partition, "# "+strings.Replace(text, "arn:"+parsed.Partition+":", "arn:"+partition+":", 1))
		default:
			f.ok("%s is of %s", what, partition)
		}
	}
	look("role", aws.ToString(s.Request.RoleArn))
	keys, uses := s.keys()
	for _, key := range keys {
		look(strings.Join(uses[key], " and ")+" key", key)
	}
	if image, ok := parseImage(s.image()); ok {
		if image.suffix == region.DNSSuffix(s.Region) {
			f.ok("image is of %s", image.suffix)
		} else {
			f.fail(fmt.Sprintf("the image's registry %s ends with %s, but that of %s with %s", image.host(), image.suffix, s.Region, region.DNSSuffix(s.Region)),
				"push the image to a registry in "+s.Region, pushImage(image, s))
		}
	}
	if len(f.seen) == 0 {
		return skipped("the request names nothing of a partition")
	}
	return f.result(s.cantAssume()), nil
}
