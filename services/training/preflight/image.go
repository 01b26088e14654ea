package preflight

import (
	"cmp"
	"context"
	"fmt"
	"regexp"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	ecrtypes "github.com/aws/aws-sdk-go-v2/service/ecr/types"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"

	"github.com/trainyard/trainyard/services/training/region"
)

// imageCheck looks whether the training image is where SageMaker pulls it: in ECR, in the job's region.
func imageCheck() Check {
	return Check{Name: "image", Title: "Training image in ECR", Run: runImage}
}

func runImage(ctx context.Context, c *Clients, s *Subject) (Result, error) {
	uri := s.image()
	if uri == "" {
		return skipped("the job uses an algorithm of SageMaker, not an image")
	}
	client, err := c.ecr()
	if err != nil {
		return Result{}, err
	}
	var f findings
	image, ok := parseImage(uri)
	prevents := cannotPull(image, s)
	if !ok {
		if own := s.Request.AlgorithmSpecification.TrainingImageConfig; own != nil && own.TrainingRepositoryAccessMode == types.TrainingRepositoryAccessModeVpc {
			return skipped("%s is in a private registry that the job reaches through its VPC: it can't be asked from here", uri)
		}
		f.fail(uri+" is not in ECR, and SageMaker pulls from there", "push the image to ECR, or set TrainingRepositoryAccessMode=Vpc for a private registry", pushImage(image, s))
		return f.result(cmp.Or(prevents, "ValidationException: Cannot find the requested image: "+uri)), nil
	}
	if image.region != s.Region || image.suffix != region.DNSSuffix(s.Region) {
		f.fail(fmt.Sprintf("%s is in %s (%s), the job in %s (%s)", uri, image.region, image.suffix, s.Region, region.DNSSuffix(s.Region)),
			"push the image to a registry in "+s.Region, pushImage(image, s))
		return f.result(prevents), nil
	}
	if image.account != s.account() {
		return skipped("%s belongs to account %s, whose registry can't be asked; its policy must let role %s pull it", uri, image.account, s.role())
	}
	id := ecrtypes.ImageIdentifier{ImageTag: aws.String(cmp.Or(image.tag, "latest"))}
	if image.digest != "" {
		id = ecrtypes.ImageIdentifier{ImageDigest: &image.digest}
	}
	out, err := client.DescribeImages(ctx, &ecr.DescribeImagesInput{RegistryId: &image.account, RepositoryName: &image.repository, ImageIds: []ecrtypes.ImageIdentifier{id}})
	switch code := errorCode(err); {
	case code == "RepositoryNotFoundException":
		f.fail("there is no repository "+image.repository+" in registry "+image.account+" in "+s.Region, "create the repository and push the image",
			fmt.Sprintf("aws ecr create-repository --region %s --repository-name %s\n%s", s.Region, image.repository, pushImage(image, s)))
	case code == "ImageNotFoundException" || err == nil && len(out.ImageDetails) == 0:
		f.fail(fmt.Sprintf("repository %s has no image %s", image.repository, cmp.Or(image.digest, image.tag, "latest")), "push the image, or name one that is there",
			fmt.Sprintf("aws ecr describe-images --region %s --repository-name %s --query 'imageDetails[].imageTags'\n%s", s.Region, image.repository, pushImage(image, s)))
		prevents = "ValidationException: Cannot find the requested image: " + uri
	case err != nil:
		return f.result(prevents), err
	default:
		f.ok("%s is there, digest %s, %d bytes compressed", uri, aws.ToString(out.ImageDetails[0].ImageDigest), aws.ToInt64(out.ImageDetails[0].ImageSizeInBytes))
	}
	return f.result(prevents), nil
}

// ecrImage is the URI of an image in ECR, taken apart.
type ecrImage struct{ account, fips, region, suffix, repository, tag, digest string }

var ecrURI = regexp.MustCompile(`^(\d{12})\.dkr\.ecr(-fips)?\.([a-z0-9-]+)\.(amazonaws\.com(?:\.cn)?)/([^:@]+)(?::([^@]+))?(?:@(sha256:[0-9a-f]+))?$`)

func parseImage(uri string) (ecrImage, bool) {
	m := ecrURI.FindStringSubmatch(uri)
	if m == nil {
		return ecrImage{}, false
	}
	return ecrImage{account: m[1], fips: m[2], region: m[3], suffix: m[4], repository: m[5], tag: m[6], digest: m[7]}, true
}

func (i ecrImage) host() string {
	return i.account + ".dkr.ecr" + i.fips + "." + i.region + "." + i.suffix
}

// pushImage are the lines that put an image into the registry of the job's account and region.
func pushImage(i ecrImage, s *Subject) string {
	host := cmp.Or(s.account(), i.account) + ".dkr.ecr." + s.Region + "." + region.DNSSuffix(s.Region)
	to := host + "/" + cmp.Or(i.repository, "trainer") + ":" + cmp.Or(i.tag, "latest")
	return fmt.Sprintf("aws ecr get-login-password --region %s | docker login --username AWS --password-stdin %s\ndocker tag %s %s\ndocker push %s",
		s.Region, host, s.image(), to, to)
}

func cannotPull(i ecrImage, s *Subject) string {
	if i.repository == "" {
		return ""
	}
	return fmt.Sprintf("ValidationException: Cannot find repository: %s in registry ID: %s Please check if your ECR repository exists and role %s has proper pull permissions for SageMaker: "+
		"ecr:BatchCheckLayerAvailability, ecr:BatchGetImage, ecr:GetDownloadUrlForLayer", i.repository, i.account, s.role())
}
