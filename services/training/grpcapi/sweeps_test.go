package grpcapi

import (
	"context"
	"fmt"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/structpb"

	errorsv1 "github.com/trainyard/trainyard/gen/trainyard/errors/v1"
	trainingv1 "github.com/trainyard/trainyard/gen/trainyard/training/v1"
	"github.com/trainyard/trainyard/services/internal/apierror"
	"github.com/trainyard/trainyard/services/internal/auth"
	"github.com/trainyard/trainyard/services/internal/store"
	"github.com/trainyard/trainyard/services/internal/testkit"
	"github.com/trainyard/trainyard/services/training/internal/job"
	"github.com/trainyard/trainyard/services/training/internal/launch"
	"github.com/trainyard/trainyard/services/training/internal/sweep"
	"github.com/trainyard/trainyard/services/training/migrations"
	"github.com/trainyard/trainyard/services/training/recipe"
)

// launcher checks trials as little as these tests need; it makes none.
type launcher struct {
	sweep.Creator
	refuses error
}

func (l *launcher) CheckTrial(_ context.Context, _ string, trial *trainingv1.TrainingJob) (*trainingv1.TrainingJob, error) {
	return trial, l.refuses
}

func newSweeps(t *testing.T) (*Sweeps, *launcher, *job.Store) {
	t.Helper()
	db, err := store.Open(t.Context(), testkit.SQLite(t), "training", migrations.FS)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	l := &launcher{}
	return &Sweeps{
		Maker:   &sweep.Maker{Store: sweep.NewStore(db, func() {}), Recipes: recipe.All(), Creator: l},
		Changed: func() {},
	}, l, job.NewStore(db, func() {})
}

func of(t *testing.T, project string) context.Context {
	return auth.NewContext(t.Context(), auth.Principal{Project: project})
}

func epochs(values ...float64) *trainingv1.Sweep {
	r := &trainingv1.SweepRange{}
	for _, value := range values {
		r.Values = append(r.Values, structpb.NewNumberValue(value))
	}
	return &trainingv1.Sweep{
		TrainingJob: &trainingv1.TrainingJob{Recipe: "recipes/image-classification", DatasetVersion: "datasets/digits/versions/1"},
		Parameters:  map[string]*trainingv1.SweepRange{"epochs": r},
	}
}

func TestSweepOverTheAPI(t *testing.T) {
	s, _, jobs := newSweeps(t)
	ctx := of(t, "p")
	request := &trainingv1.CreateSweepRequest{Sweep: epochs(1, 2, 3), RequestId: "r"}
	made, err := s.CreateSweep(ctx, request)
	if err != nil {
		t.Fatal(err)
	}
	name := made.GetSweep().GetName()
	again, err := s.CreateSweep(ctx, request)
	if err != nil || again.GetSweep().GetName() != name {
		t.Fatalf("made again: %v, %v", again, err)
	}
	id := name[len("sweeps/"):]
	j, err := jobs.Insert(ctx, &job.Job{ID: job.NewID(time.Now()), Project: "p", Sweep: id, Trial: 1, Spec: []byte("{}"), SageMakerName: "n"})
	if err != nil {
		t.Fatal(err)
	}
	j.State, j.Metrics = job.Succeeded, map[string]float64{"validation:accuracy": 0.75}
	if err := jobs.Save(ctx, j, job.Change{Event: job.EventState}); err != nil {
		t.Fatal(err)
	}
	got, err := s.GetSweep(ctx, &trainingv1.GetSweepRequest{Name: name})
	if err != nil {
		t.Fatal(err)
	}
	shown := got.GetSweep()
	// The sums are those of the trials shown, though the runner has not looked since.
	if shown.GetState() != trainingv1.Sweep_RUNNING || shown.GetTrialCount() != 3 || len(shown.GetTrials()) != 3 || shown.GetEndedTrialCount() != 1 ||
		shown.GetBestTrainingJob() != job.Name(j.ID) || shown.GetBestValue() != 0.75 || shown.GetParallelTrials() != 2 || shown.GetMaxFailedTrials() != 3 {
		t.Errorf("shown as %v", shown)
	}
	if one, two := shown.GetTrials()[0], shown.GetTrials()[1]; one.GetTrainingJob() != job.Name(j.ID) || one.GetState() != trainingv1.TrainingJob_SUCCEEDED ||
		two.GetTrainingJob() != "" || two.GetState() != 0 || two.GetParameters()["epochs"].GetNumberValue() != 2 {
		t.Errorf("trials %v", shown.GetTrials())
	}
	stopped, err := s.StopSweep(ctx, &trainingv1.StopSweepRequest{Name: name})
	if err != nil || stopped.GetSweep().GetState() != trainingv1.Sweep_STOPPING {
		t.Errorf("stopped: %v, %v", stopped, err)
	}
	for _, missing := range []string{"sweeps/none", "trainingJobs/" + id, "sweeps/../x", ""} {
		if _, err := s.GetSweep(ctx, &trainingv1.GetSweepRequest{Name: missing}); status.Code(err) != codes.NotFound {
			t.Errorf("%q: %v", missing, err)
		}
	}
	if _, err := s.GetSweep(of(t, "q"), &trainingv1.GetSweepRequest{Name: name}); status.Code(err) != codes.NotFound {
		t.Errorf("another project gets it: %v", err)
	}
	if _, err := s.StopSweep(of(t, "q"), &trainingv1.StopSweepRequest{Name: name}); status.Code(err) != codes.NotFound {
		t.Errorf("another project stops it: %v", err)
	}
}

func TestSweepsAreListedByPages(t *testing.T) {
	s, _, _ := newSweeps(t)
	ctx := of(t, "p")
	for range 5 {
		if _, err := s.CreateSweep(ctx, &trainingv1.CreateSweepRequest{Sweep: epochs(1)}); err != nil {
			t.Fatal(err)
		}
	}
	seen := map[string]bool{}
	token := ""
	for page := range 3 {
		res, err := s.ListSweeps(ctx, &trainingv1.ListSweepsRequest{PageSize: 2, PageToken: token})
		if err != nil {
			t.Fatal(err)
		}
		for _, listed := range res.GetSweeps() {
			seen[listed.GetName()] = true
			if listed.GetTrials() != nil || listed.GetTrialCount() != 1 || listed.GetTrainingJob().GetRecipe() == "" {
				t.Errorf("listed as %v", listed)
			}
		}
		if token = res.GetNextPageToken(); (token == "") != (page == 2) {
			t.Fatalf("page %d: token %q", page, token)
		}
	}
	if len(seen) != 5 {
		t.Errorf("%d sweeps", len(seen))
	}
	if res, err := s.ListSweeps(of(t, "q"), &trainingv1.ListSweepsRequest{}); err != nil || len(res.GetSweeps()) != 0 {
		t.Errorf("another project's: %v, %v", res, err)
	}
	if _, err := s.ListSweeps(ctx, &trainingv1.ListSweepsRequest{PageToken: "%"}); !apierror.Is(err, errorsv1.ErrorReason_PAGE_TOKEN_INVALID) {
		t.Errorf("got %v", err)
	}
}

func TestRefusedSweepsNameTheField(t *testing.T) {
	for name, test := range map[string]struct {
		change  func(*trainingv1.Sweep)
		refuses error
		reason  errorsv1.ErrorReason
		field   string
	}{
		"a value of a trial": {
			func(s *trainingv1.Sweep) { s.Parameters["epochs"].Values[1] = structpb.NewNumberValue(0) }, nil,
			errorsv1.ErrorReason_PARAMETER_INVALID, "sweep.parameters.epochs",
		},
		"a parameter that there isn't": {
			func(s *trainingv1.Sweep) { s.Parameters["x"] = s.Parameters["epochs"] }, nil,
			errorsv1.ErrorReason_PARAMETER_UNKNOWN, "sweep.parameters.x",
		},
		"a parameter of all trials": {
			func(s *trainingv1.Sweep) {
				s.TrainingJob.Parameters = map[string]*structpb.Value{"mix": structpb.NewNumberValue(2)}
			}, nil,
			errorsv1.ErrorReason_PARAMETER_INVALID, "sweep.training_job.parameters.mix",
		},
		"what the launcher refuses": {
			nil, fmt.Errorf("launch: %w", &launch.FieldError{Field: "training_job.dataset_version", Message: "No."}),
			errorsv1.ErrorReason_FIELD_INVALID, "sweep.training_job.dataset_version",
		},
		"too many trials": {func(s *trainingv1.Sweep) { s.MaxTrials = 1 }, nil, errorsv1.ErrorReason_FIELD_INVALID, "sweep.max_trials"},
	} {
		t.Run(name, func(t *testing.T) {
			s, l, _ := newSweeps(t)
			l.refuses = test.refuses
			asked := epochs(1, 2)
			if test.change != nil {
				test.change(asked)
			}
			_, err := s.CreateSweep(of(t, "p"), &trainingv1.CreateSweepRequest{Sweep: asked})
			if status.Code(err) != codes.InvalidArgument || !apierror.Is(err, test.reason) || apierror.Fact(err, "field") != test.field {
				t.Errorf("got %v of field %q; want %s of %s", err, apierror.Fact(err, "field"), test.reason, test.field)
			}
		})
	}
}
