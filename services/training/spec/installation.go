package spec

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"

	"github.com/trainyard/trainyard/services/training/region"
)

var (
	jobName         = regexp.MustCompile(`^[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}$`)
	roleARN         = regexp.MustCompile(`^arn:(aws[a-z-]*):iam::([0-9]{12}):role/?[a-zA-Z_0-9+=,.@/-]+$`)
	kmsKey          = regexp.MustCompile(`^[a-zA-Z0-9:/_-]*$`)
	kmsName         = regexp.MustCompile(`^(alias/[A-Za-z0-9/_-]+|mrk-[0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})$`)
	kmsARN          = regexp.MustCompile(`^arn:(aws[a-z-]*):kms:([a-z0-9-]+):[0-9]{12}:(key|alias)/.+$`)
	subnetID        = regexp.MustCompile(`^subnet-[0-9a-f]{8,17}$`)
	securityGroupID = regexp.MustCompile(`^sg-[0-9a-f]{8,17}$`)
)

// checkInstallation checks what the operator set up and the launcher made: mistakes there are not the user's.
func (job *Job) checkInstallation() error {
	if name := JobName(job.ID); !jobName.MatchString(name) {
		return fail("", "SageMaker doesn't take %q as a job's name: it must be up to 63 letters, digits and hyphens.", shorten(name))
	}
	if !tagText.MatchString(job.Project) {
		return fail("", "The project %q can't be a tag: rename it to letters, digits and _.:/=+-@.", shorten(job.Project))
	}
	if output := fmt.Sprintf("s3://%s/models/%s/%s", job.Bucket, job.Project, job.ID); !s3URI.MatchString(output) || characters(output) > maxURI {
		return fail("", "The model can't go to %q: set the bucket to a name as S3 has them.", shorten(output))
	}
	if job.CheckpointURI != "" && (!s3URI.MatchString(job.CheckpointURI) || characters(job.CheckpointURI) > maxURI) {
		return fail("", "The checkpoints can't go to %q: it must be of the form s3://bucket/prefix/, at most %d characters.", shorten(job.CheckpointURI), maxURI)
	}
	role := roleARN.FindStringSubmatch(job.RoleARN)
	if role == nil || len(job.RoleARN) > maxRole {
		return fail("", "The execution role %q must be the ARN of a role, such as arn:aws:iam::123456789012:role/training.", shorten(job.RoleARN))
	}
	if job.Region == "" {
		return nil
	}
	if err := region.Valid(job.Region); err != nil {
		return &Error{Message: err.Error()}
	}
	if partition := region.Partition(job.Region); role[1] != partition {
		return fail("", "The execution role %s is of the partition %s, and jobs run in %s, which is of %s: set a role of an account there.", job.RoleARN, role[1], job.Region, partition)
	}
	return nil
}

// account is the number of the role's account.
func (job *Job) account() string {
	if role := roleARN.FindStringSubmatch(job.RoleARN); role != nil {
		return role[2]
	}
	return ""
}

func (job *Job) checkKey(field, key string) error {
	if !kmsKey.MatchString(key) || len(key) > maxKey {
		return fail(field, "The KMS key %q must be a key's id, its ARN, or an alias as alias/NAME or ARN, at most %d characters.", shorten(key), maxKey)
	}
	if !strings.HasPrefix(key, "arn:") {
		if !kmsName.MatchString(key) {
			return fail(field, "The KMS key %q must be a key's id such as 1234abcd-12ab-34cd-56ef-1234567890ab, its ARN, or an alias as alias/NAME or ARN.", shorten(key))
		}
		return nil
	}
	arn := kmsARN.FindStringSubmatch(key)
	if arn == nil {
		return fail(field, "The KMS key %q must be the ARN of a key or an alias, such as arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab.", shorten(key))
	}
	if job.Region != "" && (arn[2] != job.Region || arn[1] != region.Partition(job.Region)) {
		return fail(field, "The KMS key %s is of %s in the partition %s, and the job runs in %s: use a key there.", shorten(key), arn[2], arn[1], job.Region)
	}
	return nil
}

// vpcConfig puts the job into the installation's VPC where it must or should be there.
func (job *Job) vpcConfig(channels []channel) (*types.VpcConfig, error) {
	why, field := "", ""
	if job.Resources.InVPC {
		why, field = "The job is to run in the VPC", "resources.in_vpc"
	}
	for _, c := range channels {
		if c.source.inVPC {
			why, field = fmt.Sprintf("The base dataset %s lies on a file system, which is reached from within a VPC only", c.name), c.field
			break
		}
	}
	if why == "" {
		return nil, nil
	}
	if len(job.Subnets) == 0 && len(job.SecurityGroups) == 0 {
		return nil, fail(field, "%s, and this installation has none for jobs: ask its operator to set --subnets and --security-groups, or leave it out.", why)
	}
	if err := CheckVPC(job.Subnets, job.SecurityGroups); err != nil {
		return nil, fail("", "%s: %s.", why, err)
	}
	return &types.VpcConfig{Subnets: job.Subnets, SecurityGroupIds: job.SecurityGroups}, nil
}

// CheckVPC tells whether jobs can be put into these subnets and security groups.
func CheckVPC(subnets, securityGroups []string) error {
	if n := len(subnets); n < 1 || n > maxSubnets {
		return fmt.Errorf("a job in a VPC needs 1 to %d subnets and has %d; set --subnets", maxSubnets, n)
	}
	if n := len(securityGroups); n < 1 || n > maxSecurityGroups {
		return fmt.Errorf("a job in a VPC needs 1 to %d security groups and has %d; set --security-groups", maxSecurityGroups, n)
	}
	for _, id := range subnets {
		if !subnetID.MatchString(id) {
			return fmt.Errorf("subnet %q must look like subnet-0123456789abcdef0", id)
		}
	}
	for _, id := range securityGroups {
		if !securityGroupID.MatchString(id) {
			return fmt.Errorf("security group %q must look like sg-0123456789abcdef0", id)
		}
	}
	return nil
}
