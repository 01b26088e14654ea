package preflight

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"

	"github.com/trainyard/trainyard/services/training/region"
)

// fileSystemSupportCheck looks whether SageMaker can use the job's file systems in this region. AWS has no call that tells: the services' own
// endpoints exist where SageMaker refuses them. So a table decides, which the operator can override.
func fileSystemSupportCheck() Check {
	return Check{Name: "file-system-support", Title: "File systems that SageMaker supports in the region", Run: runFileSystemSupport}
}

func runFileSystemSupport(_ context.Context, _ *Clients, s *Subject) (Result, error) {
	kinds := []struct {
		kind    types.FileSystemType
		feature region.Feature
		name    string
		mend    string
		snippet func(id string) string
	}{
		{types.FileSystemTypeFsxlustre, region.FSxLustre, "FSx for Lustre", "keep the data on EFS in this region, and give the base dataset that location", efsInstead},
		{types.FileSystemTypeEfs, region.EFS, "EFS", "keep the data on S3 in this region, and give the base dataset that location", nil},
	}
	var f findings
	prevents := fmt.Sprintf("FSx for Lustre is currently not supported in the region %s for SageMaker", s.Region)
	for _, k := range kinds {
		for _, id := range s.fileSystems(k.kind) {
			ok, why := s.Capabilities.Supports(s.Region, k.feature)
			if ok {
				f.ok("%s in %s, for %s: %s", k.name, s.Region, id, why)
				continue
			}
			snippet := ""
			if k.snippet != nil {
				snippet = k.snippet(id)
			}
			f.fail(fmt.Sprintf("%s can't be used with SageMaker in %s, for %s: %s", k.name, s.Region, id, why), k.mend, snippet)
			prevents = fmt.Sprintf("%s is currently not supported in the region %s for SageMaker", k.name, s.Region)
		}
	}
	if len(f.seen) == 0 {
		return skipped("the job uses no file system")
	}
	return f.result(prevents), nil
}

func efsInstead(id string) string {
	return fmt.Sprintf(`resource "aws_efs_file_system" "instead_of_%s" {
  encrypted       = true
  throughput_mode = "elastic"
}`, label(id))
}
