package launch

import (
	"context"
	"errors"

	"github.com/aws/aws-sdk-go-v2/service/sagemaker"

	"github.com/trainyard/trainyard/services/training/region"
	"github.com/trainyard/trainyard/services/training/region/compare"
)

// Compare lists what differs between two regions for the installation and, unless request is nil, for a job; an empty region means the
// installation's. It fails as Create does where the job can't even be described.
func (l *Launcher) Compare(ctx context.Context, project string, request *Request, here, there string) ([]compare.Difference, error) {
	here, err := l.region(here, "region")
	if err != nil {
		return nil, err
	}
	if there, err = l.region(there, "other_region"); err != nil {
		return nil, err
	}
	if here == there {
		return nil, &FieldError{Field: "other_region", Message: "Both regions are " + here + ": name two that differ."}
	}
	bases, _, err := l.BaseDatasets.List(ctx, project, "", 0)
	if err != nil {
		return nil, err
	}
	installation := compare.Installation{
		Capabilities: l.Capabilities, RoleARN: l.Config.RoleARN, Image: l.Config.Image, Bucket: l.Config.Bucket,
		VolumeKMSKey: l.Config.VolumeKMSKey, OutputKMSKey: l.Config.OutputKMSKey,
		Subnets: l.Config.Subnets, SecurityGroups: l.Config.SecurityGroups, BaseDatasets: bases,
	}
	var input *sagemaker.CreateTrainingJobInput
	if request != nil {
		p, err := l.plan(ctx, project, *request, here)
		if err != nil {
			return nil, err
		}
		input = p.Input
	}
	differences, err := compare.Regions(here, there, installation, input)
	if unknown := (*region.Error)(nil); errors.As(err, &unknown) {
		return nil, &FieldError{Field: "other_region", Message: unknown.Error()}
	}
	return differences, err
}
