package compare

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/trainyard/trainyard/services/training/region"
)

var arn = regexp.MustCompile(`^arn:([a-z-]+):([a-z0-9]+):([a-z0-9-]*):([0-9]{12}):(.+)$`)

// role is the job's, else the installation's. IAM is one for a partition, so that within one the same role serves.
func (c *comparison) role() {
	role := c.RoleARN
	if c.request != nil {
		role = aws.ToString(c.request.RoleArn)
	}
	parts := arn.FindStringSubmatch(role)
	if parts == nil || parts[1] == region.Partition(c.there) {
		return
	}
	c.add(Difference{
		Subject: "execution role", Here: role, There: fmt.Sprintf("arn:%s:iam::ACCOUNT:%s", region.Partition(c.there), parts[5]),
		Change:   "Make the role in the account there, with policies whose ARNs are of that partition and a trust whose aws:SourceAccount is that account, and set its ARN.",
		Blocking: true,
	})
}

func (c *comparison) images() {
	used := c.Image
	if c.request != nil {
		used = aws.ToString(c.request.AlgorithmSpecification.TrainingImage)
	}
	for _, image := range unique(used, c.Image) {
		account, of, ok := region.ParseRegistry(image)
		if !ok || of == c.there {
			continue
		}
		_, name, _ := strings.Cut(image, "/")
		d := Difference{Subject: "training image", Here: image, Blocking: image == used}
		if account == region.DeepLearningAccount(of) {
			d.There = region.Registry(region.DeepLearningAccount(c.there), c.there) + "/" + name
			d.Change = "Use AWS's image of the account there; see that it has this tag."
		} else {
			d.There = region.Registry(c.account(account), c.there) + "/" + name
			d.Change = "Push the image to the registry there and name it so: SageMaker pulls from its own region's."
		}
		c.add(d)
	}
	if here, there := region.DeepLearningAccount(c.here), region.DeepLearningAccount(c.there); here != there {
		c.add(Difference{Subject: "account of AWS's Deep Learning Containers", Here: here, There: there})
	}
}

func (c *comparison) keys() {
	var used []string
	if c.request != nil {
		used = unique(aws.ToString(c.request.OutputDataConfig.KmsKeyId), aws.ToString(c.request.ResourceConfig.VolumeKmsKeyId))
	} else {
		used = unique(c.OutputKMSKey, c.VolumeKMSKey)
	}
	for _, key := range used {
		d := Difference{Subject: "KMS key", Here: key}
		id := key
		parts := arn.FindStringSubmatch(key)
		if parts != nil {
			if parts[3] == c.there {
				continue
			}
			id = parts[5]
			d.There = fmt.Sprintf("arn:%s:kms:%s:%s:%s", region.Partition(c.there), c.there, c.account(parts[4]), id)
		} else {
			d.There = key + " of " + c.there
		}
		switch {
		case parts == nil && strings.HasPrefix(id, "alias/"):
			d.Change = "See that a key there has this alias."
		case c.samePartition() && strings.Contains(id, "mrk-"):
			d.Change, d.Blocking = "Replicate the multi-region key there, and name the replica.", parts != nil
		default:
			d.Change, d.Blocking = "Make a key there that the execution role may use, and name it: keys are of one region.", true
		}
		c.add(d)
	}
}

// buckets are those of the job, but for base datasets, which have rows of their own.
func (c *comparison) buckets() {
	uris := []string{}
	if c.request != nil {
		uris = append(uris, aws.ToString(c.request.OutputDataConfig.S3OutputPath))
		if p := c.request.CheckpointConfig; p != nil {
			uris = append(uris, aws.ToString(p.S3Uri))
		}
		for _, channel := range c.request.InputDataConfig {
			if s3 := channel.DataSource.S3DataSource; s3 != nil && !c.isBase(*channel.ChannelName) {
				uris = append(uris, aws.ToString(s3.S3Uri))
			}
		}
	}
	names := []string{c.Bucket}
	for _, uri := range uris {
		name, _, _ := strings.Cut(strings.TrimPrefix(uri, "s3://"), "/")
		names = append(names, name)
	}
	for _, name := range unique(names...) {
		c.add(Difference{
			Subject: "bucket", Here: name + " in " + c.here, There: "a bucket in " + c.there,
			Change:   "Make a bucket there for the installation, and upload the datasets to it: SageMaker reads buckets of its own region only.",
			Blocking: true,
		})
	}
}

func (c *comparison) vpc() {
	subnets, groups := c.Subnets, c.SecurityGroups
	if c.request != nil {
		if c.request.VpcConfig == nil {
			return
		}
		subnets, groups = c.request.VpcConfig.Subnets, c.request.VpcConfig.SecurityGroupIds
	}
	if len(subnets)+len(groups) == 0 {
		return
	}
	c.add(Difference{
		Subject: "VPC", Here: strings.Join(append(append([]string{}, subnets...), groups...), ", "), There: "subnets and security groups of a VPC in " + c.there,
		Change:   "Make a VPC there with a route to S3 and security groups that reach the file systems, and set --subnets and --security-groups; `trainyard doctor` looks at it there.",
		Blocking: true,
	})
}

func (c *comparison) instances() {
	if c.request == nil {
		return
	}
	name := string(c.request.ResourceConfig.InstanceType)
	if lacks, why := c.Capabilities.LacksInstanceType(c.there, name); lacks {
		c.add(Difference{
			Subject: "instance type", Here: name, There: "not there: " + why, Change: "Choose another instance type.", Blocking: true,
		})
		return
	}
	c.add(Difference{
		Subject: "quota of " + name + " for training", Here: "the account's in " + c.here, There: "the account's in " + c.there,
		Change: "Look at it with `aws service-quotas list-service-quotas --service-code sagemaker --region " + c.there + "`, and ask for more in time: quotas are of one region, and many begin at 0.",
	})
}
