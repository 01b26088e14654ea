package sweep

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.einride.tech/aip/fieldbehavior"
	"go.einride.tech/aip/resourcename"
	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	trainingv1 "github.com/trainyard/trainyard/gen/trainyard/training/v1"
	"github.com/trainyard/trainyard/services/training/internal/job"
	"github.com/trainyard/trainyard/services/training/recipe"
)

// Creator makes the jobs of sweeps.
type Creator interface {
	// CheckTrial tells whether a job could be made, as the making of it would, and makes nothing. It gives the job with its
	// dataset versions pinned.
	CheckTrial(ctx context.Context, project string, trial *trainingv1.TrainingJob) (*trainingv1.TrainingJob, error)
	// CreateTrial makes the job of a sweep's trial, numbered from 1, which knows both. The same request id gives the same job.
	CreateTrial(ctx context.Context, project, sweepID string, number int, trial *trainingv1.TrainingJob, requestID string) (*job.Job, error)
}

// Maker makes sweeps.
type Maker struct {
	Store   *Store
	Recipes recipe.Catalogue
	Creator Creator
}

var requestID = regexp.MustCompile(`^[ -~]{0,64}$`)

// Create makes a sweep, RUNNING, whose every trial is valid. A request id that a sweep of the project was made with gives that
// sweep. It fails with a FieldError or a ParameterError, with one of package recipe's, or with what the Creator says of trial 1.
func (m *Maker) Create(ctx context.Context, project, request string, asked *trainingv1.Sweep) (*Sweep, error) {
	if !requestID.MatchString(request) {
		return nil, &FieldError{Field: "request_id", Message: "request_id must be up to 64 printable ASCII characters, such as a UUID."}
	}
	if request != "" {
		if earlier, err := m.Store.ByRequest(ctx, project, request); err != nil || earlier != nil {
			return earlier, err
		}
	}
	s, template, err := m.plan(asked)
	if err != nil {
		return nil, err
	}
	first, err := trialJob(template, s.Trials[0])
	if err != nil {
		return nil, err
	}
	pinned, err := m.Creator.CheckTrial(ctx, project, first)
	if err != nil {
		return nil, err
	}
	template.DatasetVersion, template.AdditionalDatasetVersions = pinned.GetDatasetVersion(), pinned.GetAdditionalDatasetVersions()
	if s.Template, err = protojson.Marshal(template); err != nil {
		return nil, err
	}
	s.ID, s.Project, s.RequestID = job.NewID(time.Now()), project, request
	return m.Store.Insert(ctx, s)
}

// plan turns a request into a sweep with its trials, and gives what the trials have in common.
func (m *Maker) plan(asked *trainingv1.Sweep) (*Sweep, *trainingv1.TrainingJob, error) {
	template, ok := proto.Clone(asked.GetTrainingJob()).(*trainingv1.TrainingJob)
	if !ok || template == nil {
		template = &trainingv1.TrainingJob{}
	}
	fieldbehavior.ClearFields(template, annotations.FieldBehavior_OUTPUT_ONLY)
	if template.GetResumeFrom() != "" {
		return nil, nil, &FieldError{
			Field: "sweep.training_job.resume_from", Message: "Trials begin anew, each with checkpoints of its own: leave resume_from out.",
		}
	}
	chosen, err := m.recipe(template)
	if err != nil {
		return nil, nil, err
	}
	s := &Sweep{
		Strategy: Grid, Parameters: make(map[string]Range, len(asked.GetParameters())), MaxTrials: int64(asked.GetMaxTrials()),
		ParallelTrials: int64(asked.GetParallelTrials()), MaxFailedTrials: int64(asked.GetMaxFailedTrials()), Seed: asked.GetSeed(),
	}
	if asked.GetStrategy() == trainingv1.Sweep_RANDOM {
		s.Strategy = Random
	}
	for name, r := range asked.GetParameters() {
		s.Parameters[name] = rangeOf(r)
	}
	if len(s.Parameters) == 0 {
		return nil, nil, &FieldError{Field: "sweep.parameters", Message: "A sweep needs a parameter that differs: give values, or minimum and maximum, of at least one."}
	}
	if err := s.setObjective(asked, template, chosen); err != nil {
		return nil, nil, err
	}
	p := planner{recipe: chosen, common: common(template), ranges: s.Parameters, strategy: s.Strategy, maxTrials: s.MaxTrials, seed: s.Seed}
	if s.Trials, err = p.plan(); err != nil {
		return nil, nil, err
	}
	s.TrialCount = int64(len(s.Trials))
	s.setDefaults()
	return s, template, nil
}

// setDefaults puts the defaults in where the request left zeros.
func (s *Sweep) setDefaults() {
	if s.MaxTrials == 0 {
		s.MaxTrials = s.TrialCount
		if s.Strategy == Random {
			s.MaxTrials = randomTrials
		}
	}
	if s.ParallelTrials == 0 {
		s.ParallelTrials = 2
	}
	if s.MaxFailedTrials == 0 {
		s.MaxFailedTrials = min(3, s.TrialCount)
	}
}

// recipe gives the recipe of a template, or nil for an image of the user's own.
func (m *Maker) recipe(template *trainingv1.TrainingJob) (*recipe.Recipe, error) {
	if template.GetCustomImage() != nil && template.GetRecipe() == "" {
		return nil, nil
	}
	var id string
	if resourcename.Sscan(template.GetRecipe(), "recipes/{recipe}", &id) == nil {
		if chosen := m.Recipes.Find(id); chosen != nil {
			return chosen, nil
		}
	}
	return nil, &FieldError{Field: "sweep.training_job.recipe", Message: fmt.Sprintf(
		"There is no recipe %q: use one of recipes/%s.", shorten(template.GetRecipe()), strings.Join(m.Recipes.IDs(), ", recipes/"))}
}

// setObjective finds the metric to compare trials by.
func (s *Sweep) setObjective(asked *trainingv1.Sweep, template *trainingv1.TrainingJob, chosen *recipe.Recipe) error {
	var known []string
	if chosen != nil {
		s.ObjectiveMetric = chosen.Objective
		for _, metric := range chosen.Metrics {
			known = append(known, metric.Name)
		}
	} else {
		for _, metric := range template.GetCustomImage().GetMetricDefinitions() {
			known = append(known, metric.GetName())
		}
	}
	if asked.GetObjectiveMetric() != "" {
		s.ObjectiveMetric = asked.GetObjectiveMetric()
	}
	if !slices.Contains(known, s.ObjectiveMetric) {
		mend := "use one of " + strings.Join(known, ", ")
		if len(known) == 0 {
			mend = "define metrics in sweep.training_job.custom_image.metric_definitions, and name one of them"
		}
		return &FieldError{Field: "sweep.objective_metric", Message: fmt.Sprintf(
			"The training has no metric %q to find the best trial by: %s.", shorten(s.ObjectiveMetric), mend)}
	}
	switch asked.GetGoal() {
	case trainingv1.Sweep_MAXIMIZE:
		s.Goal = Maximize
	case trainingv1.Sweep_MINIMIZE:
		s.Goal = Minimize
	default:
		s.Goal = usualGoal(s.ObjectiveMetric)
	}
	return nil
}

// lossWord ends words of metrics of which less is better.
var lossWord = regexp.MustCompile(`(?i)(loss|error|entropy|perplexity|mae|mse|mape|\bwer|\bcer)s?$`)

var betweenWords = regexp.MustCompile(`[^A-Za-z]+`)

// usualGoal tells from a metric's name whether less or more of it is better.
func usualGoal(metric string) Goal {
	if slices.ContainsFunc(betweenWords.Split(metric, -1), lossWord.MatchString) {
		return Minimize
	}
	return Maximize
}

// common are the parameters that a template sets for all trials.
func common(template *trainingv1.TrainingJob) recipe.Values {
	values := recipe.Values{}
	for name, value := range template.GetParameters() {
		values[name] = value.AsInterface()
	}
	for name, text := range template.GetCustomImage().GetHyperparameters() {
		values[name] = text
	}
	return values
}

// trialJob gives the job of a trial: what all have in common, and its own parameters.
func trialJob(template *trainingv1.TrainingJob, trial recipe.Values) (*trainingv1.TrainingJob, error) {
	asked, _ := proto.Clone(template).(*trainingv1.TrainingJob)
	if custom := asked.GetCustomImage(); custom != nil {
		if custom.Hyperparameters == nil {
			custom.Hyperparameters = map[string]string{}
		}
		for name, value := range trial {
			if figure, ok := value.(float64); ok {
				value = number(figure)
			}
			custom.Hyperparameters[name] = fmt.Sprint(value)
		}
		return asked, nil
	}
	values, err := job.ParameterValues(trial)
	if err != nil {
		return nil, err
	}
	if asked.Parameters == nil {
		asked.Parameters = values
	} else {
		maps.Copy(asked.Parameters, values)
	}
	return asked, nil
}
