package spec

import (
	"regexp"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"
)

// tagPrefix begins the tags that are the suite's.
const tagPrefix = "trainyard:"

// The tags of every job.
const (
	TagProject = tagPrefix + "project"
	TagJob     = tagPrefix + "job"
	TagHash    = tagPrefix + "spec-hash"
)

const ownTags = 3

var tagText = regexp.MustCompile(`^([\p{L}\p{Z}\p{N}_.:/=+\-@]*)$`)

// tags are all but TagHash.
func (job *Job) tags() ([]types.Tag, error) {
	if n := len(job.Tags); n > maxTags-ownTags {
		return nil, fail("tags", "The job has %d tags of your own; SageMaker takes %d beside the suite's %d. Leave out %d.", n, maxTags-ownTags, ownTags, n-(maxTags-ownTags))
	}
	tags := []types.Tag{
		{Key: aws.String(TagProject), Value: aws.String(job.Project)},
		{Key: aws.String(TagJob), Value: aws.String(job.ID)},
	}
	for _, key := range sortedKeys(job.Tags) {
		at, value := "tags."+shorten(key), job.Tags[key]
		lower := strings.ToLower(key)
		switch n := characters(key); {
		case n == 0 || n > maxTagKey || !tagText.MatchString(key):
			return nil, fail(at, "The tag's key %q must be 1 to %d letters, digits, spaces and _.:/=+-@: rename it.", shorten(key), maxTagKey)
		case strings.HasPrefix(lower, "aws:"):
			return nil, fail(at, "The tag's key %s begins with aws:, which is AWS's own: rename it.", shorten(key))
		case strings.HasPrefix(lower, tagPrefix):
			return nil, fail(at, "The tag's key %s begins with %s, which is the suite's own: rename it.", shorten(key), tagPrefix)
		}
		if n := characters(value); n > maxTagValue || !tagText.MatchString(value) {
			return nil, fail(at, "The value %q of tag %s must be up to %d letters, digits, spaces and _.:/=+-@: change it.", shorten(value), shorten(key), maxTagValue)
		}
		tags = append(tags, types.Tag{Key: aws.String(key), Value: aws.String(value)})
	}
	return tags, nil
}
