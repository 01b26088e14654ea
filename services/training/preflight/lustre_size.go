package preflight

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/fsx"
	fsxtypes "github.com/aws/aws-sdk-go-v2/service/fsx/types"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"
)

// lustreSizeError is the code alone: FSx's words after it depend on the deployment type.
const lustreSizeError = "BadRequest"

// lustreSizeCheck looks at the size of Lustre file systems, which has a floor and steps, and is billed whole.
func lustreSizeCheck() Check {
	return Check{Name: "lustre-size", Title: "Size and state of the Lustre file system", Run: runLustreSize}
}

func runLustreSize(ctx context.Context, c *Clients, s *Subject) (Result, error) {
	ids := s.fileSystems(types.FileSystemTypeFsxlustre)
	if len(ids) == 0 {
		return skipped("the job uses no Lustre file system")
	}
	client, err := c.fsx()
	if err != nil {
		return Result{}, err
	}
	var f findings
	for _, id := range ids {
		out, err := client.DescribeFileSystems(ctx, &fsx.DescribeFileSystemsInput{FileSystemIds: []string{id}})
		if errorCode(err) == "FileSystemNotFound" || err == nil && len(out.FileSystems) == 0 {
			f.fail(fmt.Sprintf("there is no file system %s in %s", id, s.Region), "name a file system of this account and region", "aws fsx describe-file-systems --region "+s.Region)
			continue
		}
		if err != nil {
			return f.result(lustreSizeError), err
		}
		lustreSize(&f, &out.FileSystems[0], s.Region)
	}
	return f.result(lustreSizeError), nil
}

func lustreSize(f *findings, fs *fsxtypes.FileSystem, inRegion string) {
	id, size := aws.ToString(fs.FileSystemId), aws.ToInt32(fs.StorageCapacity)
	deployment, tiering := "of an unknown deployment type", fs.StorageType == fsxtypes.StorageTypeIntelligentTiering
	if fs.LustreConfiguration != nil && fs.LustreConfiguration.DeploymentType != "" {
		deployment = string(fs.LustreConfiguration.DeploymentType)
	}
	switch {
	case fs.FileSystemType != "" && fs.FileSystemType != fsxtypes.FileSystemTypeLustre:
		f.fail(fmt.Sprintf("%s is a file system of type %s, not Lustre", id, fs.FileSystemType), "name a Lustre file system", "aws fsx describe-file-systems --region "+inRegion)
	case fs.Lifecycle == fsxtypes.FileSystemLifecycleCreating || fs.Lifecycle == fsxtypes.FileSystemLifecycleDeleting ||
		fs.Lifecycle == fsxtypes.FileSystemLifecycleFailed || fs.Lifecycle == fsxtypes.FileSystemLifecycleMisconfiguredUnavailable:
		f.fail(fmt.Sprintf("%s is %s", id, fs.Lifecycle), "wait until it is AVAILABLE, or make another",
			fmt.Sprintf("aws fsx describe-file-systems --region %s --file-system-ids %s --query 'FileSystems[].[Lifecycle,FailureDetails.Message]'", inRegion, id))
	case tiering:
		f.ok("%s is %s with INTELLIGENT_TIERING: its bytes are billed as stored, its throughput from creation to deletion, used or not", id, deployment)
	case !validLustreSize(size, fs):
		f.fail(fmt.Sprintf("%s has %d GiB, which FSx doesn't offer for %s", id, size, deployment), "take the next valid size",
			fmt.Sprintf("aws fsx create-file-system --region %s --file-system-type LUSTRE --storage-capacity %d --subnet-ids SUBNET", inRegion, nextLustreSize(size)))
	default:
		f.ok("%s is %s with %d GiB; all of it is billed from creation to deletion, used or not, and 1200 GiB is the least there is", id, deployment, size)
	}
}

// validLustreSize tells whether FSx offers a size, by "StorageCapacity" in the reference of CreateFileSystem.
func validLustreSize(gib int32, fs *fsxtypes.FileSystem) bool {
	var deployment fsxtypes.LustreDeploymentType
	var perTiB int32
	if fs.LustreConfiguration != nil {
		deployment, perTiB = fs.LustreConfiguration.DeploymentType, aws.ToInt32(fs.LustreConfiguration.PerUnitStorageThroughput)
	}
	switch {
	case deployment == fsxtypes.LustreDeploymentTypeScratch1:
		return gib == 1200 || gib == 2400 || gib >= 3600 && gib%3600 == 0
	case fs.StorageType == fsxtypes.StorageTypeHdd && perTiB == 40:
		return gib >= 1800 && gib%1800 == 0
	case fs.StorageType == fsxtypes.StorageTypeHdd:
		return gib >= 6000 && gib%6000 == 0
	}
	return gib == 1200 || gib >= 2400 && gib%2400 == 0
}

// nextLustreSize is the least size on SSD that holds so many GiB.
func nextLustreSize(gib int32) int32 {
	if gib <= 1200 {
		return 1200
	}
	return (gib + 2399) / 2400 * 2400
}
