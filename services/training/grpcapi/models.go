package grpcapi

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"go.einride.tech/aip/resourcename"
	"google.golang.org/protobuf/types/known/timestamppb"

	trainingv1 "github.com/trainyard/trainyard/gen/trainyard/training/v1"
	"github.com/trainyard/trainyard/services/internal/apierror"
	"github.com/trainyard/trainyard/services/internal/auth"
	"github.com/trainyard/trainyard/services/training/internal/job"
)

// downloadTime is how long a download may be begun after its URL was signed.
const downloadTime = time.Hour

// Presigner signs URLs of S3.
type Presigner interface {
	PresignGetObject(context.Context, *s3.GetObjectInput, ...func(*s3.PresignOptions)) (*v4.PresignedHTTPRequest, error)
}

// Models serves ModelService.
type Models struct {
	trainingv1.UnimplementedModelServiceServer
	Jobs      *job.Store
	Presigner Presigner
}

// GetModel implements ModelService.
func (s *Models) GetModel(ctx context.Context, req *trainingv1.GetModelRequest) (*trainingv1.GetModelResponse, error) {
	m, err := s.model(ctx, req.GetName())
	if err != nil {
		return nil, err
	}
	shown, err := m.Proto()
	return &trainingv1.GetModelResponse{Model: shown}, err
}

func (s *Models) model(ctx context.Context, name string) (*job.Model, error) {
	project, err := auth.Project(ctx)
	if err != nil {
		return nil, err
	}
	var id string
	if err := resourcename.Sscan(name, "models/{model}", &id); err != nil || !idPattern.MatchString(id) {
		return nil, apierror.NotFound(name)
	}
	m, err := s.Jobs.GetModel(ctx, project, id)
	return m, toStatus(err)
}

// ListModels implements ModelService.
func (s *Models) ListModels(ctx context.Context, req *trainingv1.ListModelsRequest) (*trainingv1.ListModelsResponse, error) {
	project, err := auth.Project(ctx)
	if err != nil {
		return nil, err
	}
	before, err := readIDToken(req.GetPageToken())
	if err != nil {
		return nil, err
	}
	size := pageSize(req.GetPageSize(), 50, 1000)
	found, err := s.Jobs.ListModels(ctx, project, before, size+1)
	if err != nil {
		return nil, err
	}
	shown, next, err := page(found, size, func(m *job.Model) string { return m.ID }, (*job.Model).Proto)
	return &trainingv1.ListModelsResponse{Models: shown, NextPageToken: next}, err
}

// DownloadModel implements ModelService.
func (s *Models) DownloadModel(ctx context.Context, req *trainingv1.DownloadModelRequest) (*trainingv1.DownloadModelResponse, error) {
	m, err := s.model(ctx, req.GetName())
	if err != nil {
		return nil, err
	}
	bucket, key, ok := strings.Cut(strings.TrimPrefix(m.ArtifactURI, "s3://"), "/")
	if !ok {
		return nil, fmt.Errorf("model %s: artifact URI %q is not of the form s3://bucket/key", m.ID, m.ArtifactURI)
	}
	signedAt := time.Now()
	signed, err := s.Presigner.PresignGetObject(ctx, &s3.GetObjectInput{
		Bucket: aws.String(bucket), Key: aws.String(key),
		ResponseContentDisposition: aws.String(fmt.Sprintf("attachment; filename=%q", m.ID+".tar.gz")),
		ResponseContentType:        aws.String("application/gzip"),
	}, s3.WithPresignExpires(downloadTime))
	if err != nil {
		return nil, fmt.Errorf("sign the download of model %s: %w", m.ID, err)
	}
	return &trainingv1.DownloadModelResponse{
		Url: signed.URL, ExpireTime: timestamppb.New(signedAt.Add(downloadTime)), SizeBytes: m.SizeBytes, Sha256: m.SHA256,
	}, nil
}
