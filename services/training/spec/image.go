package spec

import (
	"regexp"
	"strings"

	"github.com/trainyard/trainyard/services/training/region"
)

// Registries are the beginnings of the images that users may bring, each a registry's host or more, such as
// `123456789012.dkr.ecr.us-east-1.amazonaws.com/team`. A beginning ends where a part of the image's name does.
type Registries []string

// DefaultRegistries are the account's own registry in the region and that of AWS's Deep Learning Containers.
func DefaultRegistries(account, where string) Registries {
	return Registries{region.Registry(account, where) + "/", region.Registry(region.DeepLearningAccount(where), where) + "/"}
}

func (r Registries) allow(image string) bool {
	for _, prefix := range r {
		rest, ok := strings.CutPrefix(image, prefix)
		if ok && prefix != "" && (rest == "" || strings.HasSuffix(prefix, "/") || strings.ContainsAny(rest[:1], "/:@")) {
			return true
		}
	}
	return false
}

// imageName is a reference as registries have it: host, path, tag, digest. The model takes any text, a registry doesn't.
var imageName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:/@-]*$`)

// CheckImage tells whether an image of a user's own may run in a region. It fails with an Error.
func CheckImage(image, where string, allowed Registries) error {
	const field = "custom_image.image"
	if n := characters(image); n == 0 || n > maxImage {
		return fail(field, "The image's name has %d characters; SageMaker takes 1 to %d. Give it as REGISTRY/REPOSITORY:TAG.", n, maxImage)
	}
	if !imageName.MatchString(image) {
		return fail(field, "The image %q must be a name such as REGISTRY/REPOSITORY:TAG or REGISTRY/REPOSITORY@sha256:DIGEST.", shorten(image))
	}
	if !allowed.allow(image) {
		return fail(field, "The image %s is of a registry that is not allowed here: push it to one of %s.", shorten(image), strings.Join(allowed, ", "))
	}
	return checkImageRegion(field, image, where)
}

// checkImageRegion refuses an image of ECR in another region: SageMaker pulls from its own region's.
func checkImageRegion(field, image, where string) error {
	account, of, ok := region.ParseRegistry(image)
	if !ok || where == "" || of == where {
		return nil
	}
	return fail(field, "The image %s lies in %s, and the job runs in %s: push it to %s.", shorten(image), of, where, region.Registry(account, where))
}
