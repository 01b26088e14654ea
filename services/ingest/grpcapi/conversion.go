package grpcapi

import (
	"context"

	ingestv1 "github.com/trainyard/trainyard/gen/trainyard/ingest/v1"
	"github.com/trainyard/trainyard/services/ingest/internal/lifecycle"
	"github.com/trainyard/trainyard/services/internal/auth"
)

type conversionServer struct {
	ingestv1.UnimplementedConversionServiceServer
	lifecycle *lifecycle.Lifecycle
	errors    errorTable
}

func (s *conversionServer) ClaimConversion(ctx context.Context, req *ingestv1.ClaimConversionRequest) (*ingestv1.ClaimConversionResponse, error) {
	if err := auth.RequireService(ctx); err != nil {
		return nil, err
	}
	if err := checkText("worker", req.GetWorker(), false); err != nil {
		return nil, err
	}
	v, err := s.lifecycle.Claim(ctx, req.GetBucket(), req.GetKey(), req.GetEtag(), req.GetSizeBytes(), req.GetWorker())
	if err != nil {
		return nil, s.errors.status(err)
	}
	return &ingestv1.ClaimConversionResponse{
		Project: v.Project, Version: v.Proto(), Fence: v.Fence, OutputPrefix: v.OutputPrefix(),
	}, nil
}

func (s *conversionServer) ReportProgress(ctx context.Context, req *ingestv1.ReportProgressRequest) (*ingestv1.ReportProgressResponse, error) {
	if err := auth.RequireService(ctx); err != nil {
		return nil, err
	}
	id, err := parseVersion(req.GetProject(), req.GetName())
	if err != nil {
		return nil, err
	}
	if err := s.lifecycle.Report(ctx, id, req.GetFence(), req.GetProgress()); err != nil {
		return nil, s.errors.status(err)
	}
	return &ingestv1.ReportProgressResponse{}, nil
}

func (s *conversionServer) FinishConversion(ctx context.Context, req *ingestv1.FinishConversionRequest) (*ingestv1.FinishConversionResponse, error) {
	if err := auth.RequireService(ctx); err != nil {
		return nil, err
	}
	id, err := parseVersion(req.GetProject(), req.GetName())
	if err != nil {
		return nil, err
	}
	if err := s.lifecycle.Finish(ctx, id, req.GetFence(), req.GetResult()); err != nil {
		return nil, s.errors.status(err)
	}
	return &ingestv1.FinishConversionResponse{}, nil
}

func (s *conversionServer) FailConversion(ctx context.Context, req *ingestv1.FailConversionRequest) (*ingestv1.FailConversionResponse, error) {
	if err := auth.RequireService(ctx); err != nil {
		return nil, err
	}
	id, err := parseVersion(req.GetProject(), req.GetName())
	if err != nil {
		return nil, err
	}
	if err := s.lifecycle.Fail(ctx, id, req.GetFence(), req.GetFailure(), req.GetRejectedCount(), req.GetUri()); err != nil {
		return nil, s.errors.status(err)
	}
	return &ingestv1.FailConversionResponse{}, nil
}
