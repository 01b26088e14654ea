package grpcapi

import (
	"context"
	"strings"

	"go.einride.tech/aip/resourcename"
	"google.golang.org/grpc/status"

	trainingv1 "github.com/trainyard/trainyard/gen/trainyard/training/v1"
	"github.com/trainyard/trainyard/services/internal/apierror"
	"github.com/trainyard/trainyard/services/internal/auth"
	"github.com/trainyard/trainyard/services/training/internal/sweep"
)

// Sweeps serves SweepService.
type Sweeps struct {
	trainingv1.UnimplementedSweepServiceServer
	Maker *sweep.Maker
	// Changed is called when there is something to do for the runner of sweeps.
	Changed func()
}

// Status turns an error of this service's domain into the API's, for those who show one without being asked by a request.
func Status(err error) error { return toStatus(err) }

// CreateSweep implements SweepService.
func (s *Sweeps) CreateSweep(ctx context.Context, req *trainingv1.CreateSweepRequest) (*trainingv1.CreateSweepResponse, error) {
	project, err := auth.Project(ctx)
	if err != nil {
		return nil, err
	}
	made, err := s.Maker.Create(ctx, project, req.GetRequestId(), req.GetSweep())
	if err != nil {
		return nil, withinSweep(toStatus(err))
	}
	s.Changed()
	shown, err := s.show(ctx, made)
	return &trainingv1.CreateSweepResponse{Sweep: shown}, err
}

// withinSweep names a field of the training job by its place in the request, which is the sweep's.
func withinSweep(err error) error {
	field := apierror.Fact(err, "field")
	if !strings.HasPrefix(field, "training_job") {
		return err
	}
	told := status.Convert(err)
	facts := []string{"field", "sweep." + field}
	for key, fact := range apierror.Facts(err) {
		if key != "field" {
			facts = append(facts, key, fact)
		}
	}
	return apierror.New(told.Code(), apierror.Reason(err), told.Message(), facts...)
}

// GetSweep implements SweepService.
func (s *Sweeps) GetSweep(ctx context.Context, req *trainingv1.GetSweepRequest) (*trainingv1.GetSweepResponse, error) {
	project, id, err := s.find(ctx, req.GetName())
	if err != nil {
		return nil, err
	}
	found, err := s.Maker.Store.Get(ctx, project, id)
	if err != nil {
		return nil, toStatus(err)
	}
	shown, err := s.show(ctx, found)
	return &trainingv1.GetSweepResponse{Sweep: shown}, err
}

// find reads a sweep's resource name and the caller's project.
func (s *Sweeps) find(ctx context.Context, name string) (project, id string, err error) {
	if project, err = auth.Project(ctx); err != nil {
		return "", "", err
	}
	if resourcename.Sscan(name, "sweeps/{sweep}", &id) != nil || !idPattern.MatchString(id) {
		return "", "", apierror.NotFound(name)
	}
	return project, id, nil
}

func (s *Sweeps) show(ctx context.Context, found *sweep.Sweep) (*trainingv1.Sweep, error) {
	jobs, err := s.Maker.Store.Jobs(ctx, found.ID)
	if err != nil {
		return nil, err
	}
	return found.WithTrials(jobs)
}

// ListSweeps implements SweepService.
func (s *Sweeps) ListSweeps(ctx context.Context, req *trainingv1.ListSweepsRequest) (*trainingv1.ListSweepsResponse, error) {
	project, err := auth.Project(ctx)
	if err != nil {
		return nil, err
	}
	before, err := readIDToken(req.GetPageToken())
	if err != nil {
		return nil, err
	}
	size := pageSize(req.GetPageSize(), 50, 1000)
	sweeps, err := s.Maker.Store.List(ctx, project, before, size+1)
	if err != nil {
		return nil, err
	}
	shown, next, err := page(sweeps, size, func(found *sweep.Sweep) string { return found.ID }, (*sweep.Sweep).Proto)
	return &trainingv1.ListSweepsResponse{Sweeps: shown, NextPageToken: next}, err
}

// StopSweep implements SweepService.
func (s *Sweeps) StopSweep(ctx context.Context, req *trainingv1.StopSweepRequest) (*trainingv1.StopSweepResponse, error) {
	project, id, err := s.find(ctx, req.GetName())
	if err != nil {
		return nil, err
	}
	found, err := s.Maker.Store.RequestStop(ctx, project, id)
	if err != nil {
		return nil, toStatus(err)
	}
	s.Changed()
	shown, err := s.show(ctx, found)
	return &trainingv1.StopSweepResponse{Sweep: shown}, err
}
