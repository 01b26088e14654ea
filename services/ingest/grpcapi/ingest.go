package grpcapi

import (
	"context"
	"fmt"
	"math"
	"strings"

	ingestv1 "github.com/trainyard/trainyard/gen/trainyard/ingest/v1"
	"github.com/trainyard/trainyard/services/ingest/internal/catalog"
	"github.com/trainyard/trainyard/services/ingest/internal/lifecycle"
	"github.com/trainyard/trainyard/services/internal/apierror"
	"github.com/trainyard/trainyard/services/internal/auth"
	"github.com/trainyard/trainyard/services/internal/formats"
	"google.golang.org/protobuf/types/known/timestamppb"
)

type ingestServer struct {
	ingestv1.UnimplementedIngestServiceServer
	catalog   *catalog.Catalog
	lifecycle *lifecycle.Lifecycle
	errors    errorTable
}

func (s *ingestServer) CreateDataset(ctx context.Context, req *ingestv1.CreateDatasetRequest) (*ingestv1.CreateDatasetResponse, error) {
	project, err := auth.Project(ctx)
	if err != nil {
		return nil, err
	}
	if err := checkText("dataset.display_name", req.GetDataset().GetDisplayName(), false); err != nil {
		return nil, err
	}
	if err := checkText("dataset.description", req.GetDataset().GetDescription(), true); err != nil {
		return nil, err
	}
	d := &catalog.Dataset{
		Project: project, ID: req.GetDatasetId(), DisplayName: req.GetDataset().GetDisplayName(), Description: req.GetDataset().GetDescription(),
	}
	if err := s.catalog.CreateDataset(ctx, d); err != nil {
		return nil, s.errors.status(err)
	}
	return &ingestv1.CreateDatasetResponse{Dataset: d.Proto()}, nil
}

func (s *ingestServer) GetDataset(ctx context.Context, req *ingestv1.GetDatasetRequest) (*ingestv1.GetDatasetResponse, error) {
	project, err := auth.Project(ctx)
	if err != nil {
		return nil, err
	}
	id, err := parseDataset("name", req.GetName())
	if err != nil {
		return nil, err
	}
	d, err := s.catalog.Dataset(ctx, project, id)
	if err != nil {
		return nil, s.errors.status(err)
	}
	return &ingestv1.GetDatasetResponse{Dataset: d.Proto()}, nil
}

// datasetKey is where a page of datasets ended.
type datasetKey struct {
	CreateTime int64  `json:"t"`
	ID         string `json:"i"`
}

func (s *ingestServer) ListDatasets(ctx context.Context, req *ingestv1.ListDatasetsRequest) (*ingestv1.ListDatasetsResponse, error) {
	project, err := auth.Project(ctx)
	if err != nil {
		return nil, err
	}
	var after *catalog.DatasetCursor
	if token := req.GetPageToken(); token != "" {
		var key datasetKey
		if err := decodeToken(token, &key); err != nil {
			return nil, err
		}
		if !datasetID.MatchString(key.ID) {
			return nil, apierror.PageToken()
		}
		after = &catalog.DatasetCursor{CreateTime: key.CreateTime, ID: key.ID}
	}
	size := pageSize(req.GetPageSize())
	page, err := s.catalog.Datasets(ctx, project, after, size+1)
	if err != nil {
		return nil, s.errors.status(err)
	}
	res := &ingestv1.ListDatasetsResponse{}
	if int64(len(page)) > size {
		page = page[:size]
		last := page[size-1]
		res.NextPageToken = encodeToken(datasetKey{last.CreateTime, last.ID})
	}
	for _, d := range page {
		res.Datasets = append(res.Datasets, d.Proto())
	}
	return res, nil
}

func (s *ingestServer) CreateVersion(ctx context.Context, req *ingestv1.CreateVersionRequest) (*ingestv1.CreateVersionResponse, error) {
	project, err := auth.Project(ctx)
	if err != nil {
		return nil, err
	}
	dataset, err := parseDataset("parent", req.GetParent())
	if err != nil {
		return nil, err
	}
	in := req.GetVersion()
	if err := checkText("version.file_name", in.GetFileName(), false); err != nil {
		return nil, err
	}
	if err := checkText("request_id", req.GetRequestId(), false); err != nil {
		return nil, err
	}
	options := in.GetConversion()
	if options == nil {
		options = &ingestv1.ConversionOptions{}
	}
	if err := checkOptions(options); err != nil {
		return nil, err
	}
	v, err := s.lifecycle.Create(ctx, project, dataset, in.GetFileName(), in.GetSizeBytes(), options, req.GetRequestId())
	if err != nil {
		return nil, s.errors.status(err)
	}
	return &ingestv1.CreateVersionResponse{Version: v.Proto()}, nil
}

// checkOptions refuses what the field rules can't say.
func checkOptions(options *ingestv1.ConversionOptions) error {
	if err := checkText("version.conversion.format", options.GetFormat(), false); err != nil {
		return err
	}
	if err := checkText("version.conversion.label_column", options.GetLabelColumn(), false); err != nil {
		return err
	}
	switch format := options.GetFormat(); {
	case format == "": // Found by looking.
	case !formats.Known(format):
		return apierror.Invalid("version.conversion.format", fmt.Sprintf(
			"version.conversion.format: there is no format %q. Choose one of %s, or leave it empty to have it found by looking.",
			format, strings.Join(formats.IDs(false), ", ")))
	case options.GetLabelColumn() != "" && !formats.HasColumns(format):
		return apierror.Invalid("version.conversion.label_column", fmt.Sprintf(
			"version.conversion.label_column: the format %s has labels of its own and no column of them. Leave the label column out, or choose a format of those with columns: %s.",
			format, strings.Join(formats.IDs(true), ", ")))
	}
	split := options.GetSplitFractions()
	sum := split.GetTrain() + split.GetValidation() + split.GetTest()
	switch {
	case sum == 0: // The default.
	case math.Abs(sum-1) > 1e-6: // The slack is that of decimals written by people: 0.7 + 0.2 + 0.1 is not 1 in binary.
		return apierror.Invalid("version.conversion.split_fractions",
			fmt.Sprintf("version.conversion.split_fractions must sum to 1 and sum to %.6g; give all three, or none for 0.8, 0.1 and 0.1.", sum))
	case split.GetTrain() == 0:
		return apierror.Invalid("version.conversion.split_fractions.train",
			"version.conversion.split_fractions.train must be above 0: some examples are needed to train on. Validation and test may be 0.")
	}
	return nil
}

func (s *ingestServer) GetVersion(ctx context.Context, req *ingestv1.GetVersionRequest) (*ingestv1.GetVersionResponse, error) {
	project, err := auth.Project(ctx)
	if err != nil {
		return nil, err
	}
	v, err := s.version(ctx, project, req.GetName())
	if err != nil {
		return nil, s.errors.status(err)
	}
	return &ingestv1.GetVersionResponse{Version: v.Proto()}, nil
}

func (s *ingestServer) ListVersions(ctx context.Context, req *ingestv1.ListVersionsRequest) (*ingestv1.ListVersionsResponse, error) {
	project, err := auth.Project(ctx)
	if err != nil {
		return nil, err
	}
	dataset, err := parseDataset("parent", req.GetParent())
	if err != nil {
		return nil, err
	}
	before, err := decodeNumber(req.GetPageToken())
	if err != nil {
		return nil, err
	}
	size := pageSize(req.GetPageSize())
	page, err := s.catalog.Versions(ctx, project, dataset, before, size+1)
	if err != nil {
		return nil, s.errors.status(err)
	}
	res := &ingestv1.ListVersionsResponse{}
	if int64(len(page)) > size {
		page = page[:size]
		res.NextPageToken = encodeToken(numberKey{page[size-1].Number})
	}
	for _, v := range page {
		res.Versions = append(res.Versions, v.Proto())
	}
	return res, nil
}

func (s *ingestServer) SignParts(ctx context.Context, req *ingestv1.SignPartsRequest) (*ingestv1.SignPartsResponse, error) {
	project, err := auth.Project(ctx)
	if err != nil {
		return nil, err
	}
	id, err := parseVersion(project, req.GetName())
	if err != nil {
		return nil, err
	}
	parts := make([]lifecycle.PartToSign, len(req.GetParts()))
	for i, p := range req.GetParts() {
		parts[i] = lifecycle.PartToSign{Number: p.GetPartNumber(), CRC32C: p.GetCrc32C()}
	}
	signed, expires, err := s.lifecycle.Sign(ctx, id, parts)
	if err != nil {
		return nil, s.errors.status(err)
	}
	res := &ingestv1.SignPartsResponse{}
	for i, p := range signed {
		res.Parts = append(res.Parts, &ingestv1.SignedPart{
			PartNumber: parts[i].Number, Url: p.URL, Headers: p.Headers, ExpireTime: timestamppb.New(expires),
		})
	}
	return res, nil
}

func (s *ingestServer) ListParts(ctx context.Context, req *ingestv1.ListPartsRequest) (*ingestv1.ListPartsResponse, error) {
	project, err := auth.Project(ctx)
	if err != nil {
		return nil, err
	}
	id, err := parseVersion(project, req.GetName())
	if err != nil {
		return nil, err
	}
	after, err := decodeNumber(req.GetPageToken())
	if err != nil {
		return nil, err
	}
	size := req.GetPageSize()
	if size == 0 || size > maxPageSize {
		size = maxPageSize
	}
	parts, more, err := s.lifecycle.Parts(ctx, id, after, size)
	if err != nil {
		return nil, s.errors.status(err)
	}
	res := &ingestv1.ListPartsResponse{}
	for _, p := range parts {
		res.Parts = append(res.Parts, &ingestv1.Part{PartNumber: p.Number, SizeBytes: p.Size, Crc32C: p.CRC32C})
	}
	if more && len(parts) > 0 {
		res.NextPageToken = encodeToken(numberKey{parts[len(parts)-1].Number})
	}
	return res, nil
}

func (s *ingestServer) CompleteUpload(ctx context.Context, req *ingestv1.CompleteUploadRequest) (*ingestv1.CompleteUploadResponse, error) {
	project, err := auth.Project(ctx)
	if err != nil {
		return nil, err
	}
	id, err := parseVersion(project, req.GetName())
	if err != nil {
		return nil, err
	}
	v, err := s.lifecycle.Complete(ctx, id)
	if err != nil {
		return nil, s.errors.status(err)
	}
	return &ingestv1.CompleteUploadResponse{Version: v.Proto()}, nil
}

func (s *ingestServer) AbortUpload(ctx context.Context, req *ingestv1.AbortUploadRequest) (*ingestv1.AbortUploadResponse, error) {
	project, err := auth.Project(ctx)
	if err != nil {
		return nil, err
	}
	id, err := parseVersion(project, req.GetName())
	if err != nil {
		return nil, err
	}
	v, err := s.lifecycle.Abort(ctx, id)
	if err != nil {
		return nil, s.errors.status(err)
	}
	return &ingestv1.AbortUploadResponse{Version: v.Proto()}, nil
}
