package grpcapi

import (
	"context"
	"errors"
	"strconv"

	"go.einride.tech/aip/resourcename"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/timestamppb"

	errorsv1 "github.com/trainyard/trainyard/gen/trainyard/errors/v1"
	trainingv1 "github.com/trainyard/trainyard/gen/trainyard/training/v1"
	"github.com/trainyard/trainyard/services/internal/apierror"
	"github.com/trainyard/trainyard/services/internal/auth"
	"github.com/trainyard/trainyard/services/training/internal/basedataset"
	"github.com/trainyard/trainyard/services/training/internal/job"
)

// ListBaseDatasets implements CatalogService.
func (s *Catalog) ListBaseDatasets(ctx context.Context, req *trainingv1.ListBaseDatasetsRequest) (*trainingv1.ListBaseDatasetsResponse, error) {
	project, err := auth.Project(ctx)
	if err != nil {
		return nil, err
	}
	after, err := readIDToken(req.GetPageToken())
	if err != nil {
		return nil, err
	}
	bases, more, err := s.Launcher.BaseDatasets.List(ctx, project, after, int(req.GetPageSize()))
	if err != nil {
		return nil, err
	}
	res := new(trainingv1.ListBaseDatasetsResponse)
	for _, b := range bases {
		res.BaseDatasets = append(res.BaseDatasets, s.baseDataset(b))
	}
	if more {
		res.NextPageToken = pageToken(bases[len(bases)-1].ID)
	}
	return res, nil
}

// GetBaseDataset implements CatalogService.
func (s *Catalog) GetBaseDataset(ctx context.Context, req *trainingv1.GetBaseDatasetRequest) (*trainingv1.GetBaseDatasetResponse, error) {
	project, id, err := baseDatasetID(ctx, req.GetName())
	if err != nil {
		return nil, err
	}
	b, err := s.Launcher.BaseDatasets.Find(ctx, project, id)
	if err != nil {
		return nil, baseDatasetStatus(err)
	}
	return &trainingv1.GetBaseDatasetResponse{BaseDataset: s.baseDataset(b)}, nil
}

// PublishBaseDataset implements CatalogService.
func (s *Catalog) PublishBaseDataset(ctx context.Context, req *trainingv1.PublishBaseDatasetRequest) (*trainingv1.PublishBaseDatasetResponse, error) {
	project, err := auth.Project(ctx)
	if err != nil {
		return nil, err
	}
	asked := basedataset.Publication{
		ID: req.GetBaseDatasetId(), DatasetVersion: req.GetDatasetVersion(), DisplayName: req.GetDisplayName(),
		Description: req.GetDescription(), MixRatio: req.GetMixRatio(),
	}
	if l := req.GetFileSystem(); l != nil {
		asked.FileSystem = &basedataset.Location{
			Region: l.GetRegion(), Storage: storageOf(l.GetStorage()), URI: l.GetUri(),
			FileSystemID: l.GetFileSystemId(), Path: l.GetPath(), MountName: l.GetMountName(),
		}
	}
	b, err := s.Launcher.BaseDatasets.Publish(ctx, project, asked)
	if err != nil {
		return nil, baseDatasetStatus(err)
	}
	return &trainingv1.PublishBaseDatasetResponse{BaseDataset: s.baseDataset(b)}, nil
}

// DeleteBaseDataset implements CatalogService.
func (s *Catalog) DeleteBaseDataset(ctx context.Context, req *trainingv1.DeleteBaseDatasetRequest) (*trainingv1.DeleteBaseDatasetResponse, error) {
	project, id, err := baseDatasetID(ctx, req.GetName())
	if err != nil {
		return nil, err
	}
	if err := s.Launcher.BaseDatasets.Delete(ctx, project, id); err != nil {
		return nil, baseDatasetStatus(err)
	}
	return new(trainingv1.DeleteBaseDatasetResponse), nil
}

func baseDatasetID(ctx context.Context, name string) (project, id string, err error) {
	if project, err = auth.Project(ctx); err != nil {
		return "", "", err
	}
	if resourcename.Sscan(name, "baseDatasets/{base}", &id) != nil || !idPattern.MatchString(id) {
		return "", "", apierror.NotFound(name)
	}
	return project, id, nil
}

var storages = map[basedataset.Storage]trainingv1.BaseDataset_Storage{
	basedataset.S3:     trainingv1.BaseDataset_S3,
	basedataset.EFS:    trainingv1.BaseDataset_EFS,
	basedataset.Lustre: trainingv1.BaseDataset_FSX_LUSTRE,
}

func storageOf(shown trainingv1.BaseDataset_Storage) basedataset.Storage {
	for storage, s := range storages {
		if s == shown {
			return storage
		}
	}
	return ""
}

func (s *Catalog) baseDataset(b *basedataset.BaseDataset) *trainingv1.BaseDataset {
	shown := &trainingv1.BaseDataset{
		Name: job.BaseDatasetName(b.ID), DisplayName: b.DisplayName, Description: b.Description,
		Labels: b.Labels, ExampleCount: b.ExampleCount, SizeBytes: b.SizeBytes, FileCount: b.FileCount, MixRatio: b.MixRatio,
		AccessMode: trainingv1.BaseDataset_READ_ONLY, ManifestSha256: b.ManifestSHA256, Features: b.Features.Classes(), DatasetVersion: b.DatasetVersion,
	}
	for _, l := range b.Locations {
		shown.Locations = append(shown.Locations, &trainingv1.BaseDatasetLocation{
			Region: l.Region, Storage: storages[l.Storage], Uri: l.URI, FileSystemId: l.FileSystemID, Path: l.Path, MountName: l.MountName,
		})
	}
	if location, _, err := s.Launcher.BaseDatasets.Resolve(b); err == nil { // Else it can't be read here, which is told to those who ask for it in a job.
		shown.Storage = storages[location.Storage]
	}
	if !b.CreateTime.IsZero() {
		shown.CreateTime = timestamppb.New(b.CreateTime)
	}
	return shown
}

// baseDatasetStatus is toStatus with the errors that only calls about base datasets have.
func baseDatasetStatus(err error) error {
	var (
		field       *basedataset.FieldError
		exists      *basedataset.ExistsError
		operators   *basedataset.OperatorsError
		limit       *basedataset.LimitError
		unavailable *basedataset.UnavailableError
	)
	switch {
	case errors.As(err, &field):
		return apierror.Invalid(field.Field, field.Message)
	case errors.As(err, &exists):
		return apierror.New(codes.AlreadyExists, errorsv1.ErrorReason_RESOURCE_EXISTS, exists.Error(), "resource", exists.Name)
	case errors.As(err, &operators):
		return apierror.New(codes.PermissionDenied, errorsv1.ErrorReason_PERMISSION_MISSING, operators.Error(), "resource", operators.Name)
	case errors.As(err, &limit):
		return apierror.New(codes.ResourceExhausted, errorsv1.ErrorReason_QUOTA_EXCEEDED, limit.Error(), "quota", "base_datasets", "limit", strconv.Itoa(limit.Limit))
	case errors.As(err, &unavailable):
		return apierror.New(codes.Unavailable, errorsv1.ErrorReason_DEPENDENCY_UNAVAILABLE, "S3, which has the datasets, does not answer now; try again.")
	}
	return toStatus(err)
}
