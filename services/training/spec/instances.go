package spec

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"
)

var instanceType = regexp.MustCompile(`^ml\.([a-z0-9-]+)\.[a-z0-9-]+$`)

// CheckInstanceType tells whether SageMaker trains on instances of this name, by the list of its SDK. Whether the account may is SageMaker's to say.
func CheckInstanceType(name string) error {
	all := types.TrainingInstanceType("").Values()
	if slices.Contains(all, types.TrainingInstanceType(name)) {
		return nil
	}
	suggestion := "such as ml.m5.xlarge"
	if match := instanceType.FindStringSubmatch(name); match != nil {
		var kin []string
		for _, other := range all {
			if strings.HasPrefix(string(other), "ml."+match[1]+".") {
				kin = append(kin, string(other))
			}
		}
		if len(kin) > 0 {
			suggestion = strings.Join(kin, ", ") + " or another"
		}
	}
	return fmt.Errorf("instance type %q must be one of SageMaker's for training, %s", shorten(name), suggestion)
}

// localStorage is the size in GB of the NVMe disks of SageMaker's training instances that have some, from EC2's description of the types
// (DescribeInstanceTypes, InstanceStorageInfo.TotalSizeInGB). For these SageMaker makes no other disk and takes no key: see VolumeSizeInGB and
// VolumeKmsKeyId of ResourceConfig in its API reference.
var localStorage = map[string]int32{
	"ml.g4dn.xlarge": 125, "ml.g4dn.2xlarge": 225, "ml.g4dn.4xlarge": 225, "ml.g4dn.8xlarge": 900, "ml.g4dn.12xlarge": 900, "ml.g4dn.16xlarge": 900,
	"ml.g5.xlarge": 250, "ml.g5.2xlarge": 450, "ml.g5.4xlarge": 600, "ml.g5.8xlarge": 900, "ml.g5.12xlarge": 3800, "ml.g5.16xlarge": 1900,
	"ml.g5.24xlarge": 3800, "ml.g5.48xlarge": 7600,
	"ml.g6.xlarge": 250, "ml.g6.2xlarge": 450, "ml.g6.4xlarge": 600, "ml.g6.8xlarge": 900, "ml.g6.12xlarge": 3760, "ml.g6.16xlarge": 1880,
	"ml.g6.24xlarge": 3760, "ml.g6.48xlarge": 7520,
	"ml.g6e.xlarge": 250, "ml.g6e.2xlarge": 450, "ml.g6e.4xlarge": 600, "ml.g6e.8xlarge": 900, "ml.g6e.12xlarge": 3800, "ml.g6e.16xlarge": 1900,
	"ml.g6e.24xlarge": 3800, "ml.g6e.48xlarge": 7600,
	"ml.g7.2xlarge": 440, "ml.g7.4xlarge": 875, "ml.g7.8xlarge": 930, "ml.g7.12xlarge": 1900, "ml.g7.24xlarge": 3800, "ml.g7.48xlarge": 7600,
	"ml.g7e.2xlarge": 1900, "ml.g7e.4xlarge": 1900, "ml.g7e.8xlarge": 1900, "ml.g7e.12xlarge": 3800, "ml.g7e.24xlarge": 7600, "ml.g7e.48xlarge": 15200,
	"ml.p3dn.24xlarge": 1800, "ml.p4d.24xlarge": 8000, "ml.p4de.24xlarge": 8000,
	"ml.p5.4xlarge": 3800, "ml.p5.48xlarge": 30400, "ml.p5e.48xlarge": 30400, "ml.p5en.48xlarge": 30400,
	"ml.p6-b200.48xlarge": 30400, "ml.p6-b300.48xlarge": 30400,
	"ml.p6e-gb200.36xlarge": 0, // It has some; how much was not to be found.
	"ml.r5d.large":          75, "ml.r5d.xlarge": 150, "ml.r5d.2xlarge": 300, "ml.r5d.4xlarge": 600, "ml.r5d.8xlarge": 1200, "ml.r5d.12xlarge": 1800,
	"ml.r5d.16xlarge": 2400, "ml.r5d.24xlarge": 3600,
	"ml.trn1.2xlarge": 474, "ml.trn1.32xlarge": 7600, "ml.trn1n.32xlarge": 7600, "ml.trn2.48xlarge": 7600,
}

// LocalStorageGB is the size of an instance type's own NVMe disks. With these, a job can have neither a volume size nor a volume key. gb is 0
// when it isn't known.
func LocalStorageGB(instanceType string) (gb int32, ok bool) {
	gb, ok = localStorage[instanceType]
	return gb, ok
}
