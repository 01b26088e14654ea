// Package grpcapi serves TrainingService, CatalogService and ModelService. It turns messages into calls of the domain and
// back; the caller's project comes from its credentials, and another project's resource is not found.
package grpcapi

import (
	"context"
	"strconv"
	"time"

	"go.einride.tech/aip/resourcename"
	"google.golang.org/protobuf/types/known/timestamppb"

	trainingv1 "github.com/trainyard/trainyard/gen/trainyard/training/v1"
	"github.com/trainyard/trainyard/services/internal/apierror"
	"github.com/trainyard/trainyard/services/internal/auth"
	"github.com/trainyard/trainyard/services/training/internal/job"
	"github.com/trainyard/trainyard/services/training/internal/joblog"
	"github.com/trainyard/trainyard/services/training/internal/launch"
	"github.com/trainyard/trainyard/services/training/internal/quota"
)

// Training serves TrainingService.
type Training struct {
	trainingv1.UnimplementedTrainingServiceServer
	Launcher *launch.Launcher
	Jobs     *job.Store
	Logs     joblog.Client
	// Changed is called when there is something to do for the runner.
	Changed func()
}

// CreateTrainingJob implements TrainingService.
func (s *Training) CreateTrainingJob(ctx context.Context, req *trainingv1.CreateTrainingJobRequest) (*trainingv1.CreateTrainingJobResponse, error) {
	project, err := auth.Project(ctx)
	if err != nil {
		return nil, err
	}
	request := launch.FromProto(req.GetTrainingJob())
	request.RequestID = req.GetRequestId()
	j, err := s.Launcher.Create(ctx, project, request)
	if err != nil {
		return nil, toStatus(err)
	}
	s.Changed()
	shown, err := j.ProtoWithChecks(time.Now())
	return &trainingv1.CreateTrainingJobResponse{TrainingJob: shown}, err
}

// PreflightTrainingJob implements TrainingService.
func (s *Training) PreflightTrainingJob(ctx context.Context, req *trainingv1.PreflightTrainingJobRequest) (*trainingv1.PreflightTrainingJobResponse, error) {
	project, err := auth.Project(ctx)
	if err != nil {
		return nil, err
	}
	checked, err := s.Launcher.Preflight(ctx, project, launch.FromProto(req.GetTrainingJob()), req.GetRegion())
	if err != nil {
		return nil, toStatus(err)
	}
	return &trainingv1.PreflightTrainingJobResponse{
		Checks: job.ChecksProto(checked.Job.Preflight), Passed: len(checked.Failed) == 0, Notes: checked.Job.Notes,
	}, nil
}

// EstimateTrainingJob implements TrainingService.
func (s *Training) EstimateTrainingJob(ctx context.Context, req *trainingv1.EstimateTrainingJobRequest) (*trainingv1.EstimateTrainingJobResponse, error) {
	project, err := auth.Project(ctx)
	if err != nil {
		return nil, err
	}
	estimated, err := s.Launcher.Estimate(ctx, project, launch.FromProto(req.GetTrainingJob()), req.GetJobsPerMonth())
	if err != nil {
		return nil, toStatus(err)
	}
	res := &trainingv1.EstimateTrainingJobResponse{
		Assumptions: estimated.Assumptions, DatasetBytes: estimated.Input.Dataset.Bytes, BaseBytes: estimated.Input.Base.Bytes,
	}
	for _, option := range estimated.Options {
		res.Estimates = append(res.Estimates, option.Proto())
	}
	return res, nil
}

// CompareRegions implements TrainingService.
func (s *Training) CompareRegions(ctx context.Context, req *trainingv1.CompareRegionsRequest) (*trainingv1.CompareRegionsResponse, error) {
	project, err := auth.Project(ctx)
	if err != nil {
		return nil, err
	}
	var request *launch.Request
	if req.GetTrainingJob() != nil {
		given := launch.FromProto(req.GetTrainingJob())
		request = &given
	}
	differences, err := s.Launcher.Compare(ctx, project, request, req.GetRegion(), req.GetOtherRegion())
	if err != nil {
		return nil, toStatus(err)
	}
	res := new(trainingv1.CompareRegionsResponse)
	for _, d := range differences {
		res.Differences = append(res.Differences, &trainingv1.RegionDifference{Subject: d.Subject, Here: d.Here, There: d.There, Change: d.Change, Blocking: d.Blocking})
	}
	return res, nil
}

// GetTrainingUsage implements TrainingService.
func (s *Training) GetTrainingUsage(ctx context.Context, _ *trainingv1.GetTrainingUsageRequest) (*trainingv1.GetTrainingUsageResponse, error) {
	project, err := auth.Project(ctx)
	if err != nil {
		return nil, err
	}
	currency := s.Launcher.Prices.Currency(s.Launcher.Config.Region)
	limits := s.Jobs.Quotas.Of(project)
	usage, err := s.Jobs.Usage(ctx, project, currency)
	if err != nil {
		return nil, err
	}
	_, reset := quota.Month(time.Now())
	return &trainingv1.GetTrainingUsageResponse{
		ConcurrentJobs: usage.ConcurrentJobs, MaxConcurrentJobs: limits.MaxConcurrentJobs,
		InstanceHours: usage.InstanceHours, MaxInstanceHours: limits.MaxInstanceHours,
		Cost: usage.Cost, MaxCost: limits.MaxCost, Currency: currency,
		ResetTime: timestamppb.New(reset),
	}, nil
}

// GetTrainingJob implements TrainingService.
func (s *Training) GetTrainingJob(ctx context.Context, req *trainingv1.GetTrainingJobRequest) (*trainingv1.GetTrainingJobResponse, error) {
	j, err := s.job(ctx, req.GetName())
	if err != nil {
		return nil, err
	}
	shown, err := j.ProtoWithChecks(time.Now())
	return &trainingv1.GetTrainingJobResponse{TrainingJob: shown}, err
}

// job finds a job of the caller's project by its resource name.
func (s *Training) job(ctx context.Context, name string) (*job.Job, error) {
	project, err := auth.Project(ctx)
	if err != nil {
		return nil, err
	}
	var id string
	if err := resourcename.Sscan(name, "trainingJobs/{job}", &id); err != nil || !idPattern.MatchString(id) {
		return nil, apierror.NotFound(name)
	}
	j, err := s.Jobs.Get(ctx, project, id)
	return j, toStatus(err)
}

// ListTrainingJobs implements TrainingService.
func (s *Training) ListTrainingJobs(ctx context.Context, req *trainingv1.ListTrainingJobsRequest) (*trainingv1.ListTrainingJobsResponse, error) {
	project, err := auth.Project(ctx)
	if err != nil {
		return nil, err
	}
	before, err := readIDToken(req.GetPageToken())
	if err != nil {
		return nil, err
	}
	size := pageSize(req.GetPageSize(), 50, 1000)
	sweep := ""
	if req.GetSweep() != "" && (resourcename.Sscan(req.GetSweep(), "sweeps/{sweep}", &sweep) != nil || !idPattern.MatchString(sweep)) {
		return nil, apierror.Invalid("sweep", "The sweep must be sweeps/NAME.")
	}
	jobs, err := s.Jobs.List(ctx, project, sweep, before, size+1)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	shown, next, err := page(jobs, size, func(j *job.Job) string { return j.ID }, func(j *job.Job) (*trainingv1.TrainingJob, error) { return j.Proto(now) })
	return &trainingv1.ListTrainingJobsResponse{TrainingJobs: shown, NextPageToken: next}, err
}

// StopTrainingJob implements TrainingService.
func (s *Training) StopTrainingJob(ctx context.Context, req *trainingv1.StopTrainingJobRequest) (*trainingv1.StopTrainingJobResponse, error) {
	j, err := s.job(ctx, req.GetName())
	if err != nil {
		return nil, err
	}
	if j, err = s.Jobs.RequestStop(ctx, j.Project, j.ID); err != nil {
		return nil, toStatus(err)
	}
	s.Changed()
	shown, err := j.ProtoWithChecks(time.Now())
	return &trainingv1.StopTrainingJobResponse{TrainingJob: shown}, err
}

// ListTrainingJobMetrics implements TrainingService.
func (s *Training) ListTrainingJobMetrics(ctx context.Context, req *trainingv1.ListTrainingJobMetricsRequest) (*trainingv1.ListTrainingJobMetricsResponse, error) {
	j, err := s.job(ctx, req.GetParent())
	if err != nil {
		return nil, err
	}
	after, err := readNumberToken(req.GetPageToken())
	if err != nil {
		return nil, err
	}
	size := pageSize(req.GetPageSize(), 1000, 10_000)
	points, err := s.Jobs.Points(ctx, j.ID, after, size+1)
	if err != nil {
		return nil, err
	}
	res := new(trainingv1.ListTrainingJobMetricsResponse)
	if int64(len(points)) > size {
		points = points[:size]
		res.NextPageToken = pageToken(strconv.FormatInt(points[size-1].Number, 10))
	}
	for _, p := range points {
		res.Points = append(res.Points, p.Proto())
	}
	return res, nil
}

// ListTrainingJobLogs implements TrainingService.
func (s *Training) ListTrainingJobLogs(ctx context.Context, req *trainingv1.ListTrainingJobLogsRequest) (*trainingv1.ListTrainingJobLogsResponse, error) {
	j, err := s.job(ctx, req.GetParent())
	if err != nil {
		return nil, err
	}
	key, err := readPageToken(req.GetPageToken())
	if err != nil {
		return nil, err
	}
	cursor, err := joblog.Decode(key)
	if err != nil {
		return nil, apierror.PageToken()
	}
	res := new(trainingv1.ListTrainingJobLogsResponse)
	page := joblog.Page{Next: cursor, AtEnd: true}
	if j.Attempts > 0 { // Else SageMaker has nothing to log of it.
		size := pageSize(req.GetPageSize(), 1000, 10_000)
		if page, err = joblog.Read(ctx, s.Logs, j.SageMakerName, cursor, int(size), maxPageBytes); err != nil {
			return nil, toStatus(err)
		}
	}
	for _, line := range page.Lines {
		res.Lines = append(res.Lines, &trainingv1.LogLine{Time: timestamppb.New(line.Time), Message: line.Message, Stream: line.Stream})
	}
	if !page.AtEnd || !j.State.Ended() {
		res.NextPageToken = pageToken(page.Next.Encode())
	}
	return res, nil
}
