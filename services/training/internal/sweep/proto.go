package sweep

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/structpb"

	trainingv1 "github.com/trainyard/trainyard/gen/trainyard/training/v1"
	"github.com/trainyard/trainyard/services/training/internal/job"
)

// Proto is the sweep as lists show it: without its trials.
func (s *Sweep) Proto() (*trainingv1.Sweep, error) {
	template, err := s.template()
	if err != nil {
		return nil, err
	}
	p := &trainingv1.Sweep{
		Name:            job.SweepName(s.ID),
		State:           trainingv1.Sweep_State(trainingv1.Sweep_State_value[string(s.State)]),
		TrainingJob:     template,
		Parameters:      make(map[string]*trainingv1.SweepRange, len(s.Parameters)),
		Strategy:        trainingv1.Sweep_Strategy(trainingv1.Sweep_Strategy_value[string(s.Strategy)]),
		MaxTrials:       int32(s.MaxTrials),       //nolint:gosec // At most 1000, as are all of these.
		ParallelTrials:  int32(s.ParallelTrials),  //nolint:gosec // See above.
		MaxFailedTrials: int32(s.MaxFailedTrials), //nolint:gosec // See above.
		ObjectiveMetric: s.ObjectiveMetric,
		Goal:            trainingv1.Sweep_Goal(trainingv1.Sweep_Goal_value[string(s.Goal)]),
		Seed:            s.Seed,
		TrialCount:      int32(s.TrialCount),      //nolint:gosec // See above.
		EndedTrialCount: int32(s.EndedTrialCount), //nolint:gosec // See above.
		BilledSeconds:   s.BilledSeconds,
		Cost:            s.Cost,
		Currency:        s.Currency,
		Failure:         s.Failure.Proto(),
		CreateTime:      job.Timestamp(s.CreateTime),
		EndTime:         job.Timestamp(s.EndTime),
	}
	if s.BestJob != "" {
		p.BestTrainingJob, p.BestValue = job.Name(s.BestJob), s.BestValue
	}
	for name, r := range s.Parameters {
		if p.Parameters[name], err = r.proto(); err != nil {
			return nil, fmt.Errorf("sweep %s: parameter %s: %w", s.ID, name, err)
		}
	}
	return p, nil
}

// WithTrials is the sweep with its trials, whose jobs are given. What they sum up to is of the same moment.
func (s *Sweep) WithTrials(jobs []*job.Job) (*trainingv1.Sweep, error) {
	now := *s
	now.take(jobs)
	p, err := now.Proto()
	if err != nil {
		return nil, err
	}
	for i, values := range s.Trials {
		parameters, err := job.ParameterValues(values)
		if err != nil {
			return nil, fmt.Errorf("sweep %s: trial %d: %w", s.ID, i+1, err)
		}
		p.Trials = append(p.Trials, &trainingv1.Trial{Number: int32(i + 1), Parameters: parameters}) //nolint:gosec // At most 1000.
	}
	for _, j := range jobs {
		if j.Trial < 1 || j.Trial > int64(len(p.Trials)) {
			continue
		}
		t := p.Trials[j.Trial-1]
		t.TrainingJob = job.Name(j.ID)
		t.State = trainingv1.TrainingJob_State(trainingv1.TrainingJob_State_value[string(j.State)])
		t.Value, t.HasValue = j.Metrics[s.ObjectiveMetric]
		t.BilledSeconds = j.InstanceSeconds
		t.Failure = j.Failure.Proto()
	}
	return p, nil
}

func (s *Sweep) template() (*trainingv1.TrainingJob, error) {
	template := new(trainingv1.TrainingJob)
	// A replica of an older version may meet a field that it doesn't know.
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(s.Template, template); err != nil {
		return nil, fmt.Errorf("sweep %s: template: %w", s.ID, err)
	}
	return template, nil
}

func rangeOf(p *trainingv1.SweepRange) Range {
	r := Range{Minimum: p.GetMinimum(), Maximum: p.GetMaximum(), Steps: p.GetSteps(), Logarithmic: p.GetLogarithmic()}
	for _, value := range p.GetValues() {
		r.Values = append(r.Values, value.AsInterface())
	}
	return r
}

func (r Range) proto() (*trainingv1.SweepRange, error) {
	p := &trainingv1.SweepRange{Minimum: r.Minimum, Maximum: r.Maximum, Steps: r.Steps, Logarithmic: r.Logarithmic}
	for _, value := range r.Values {
		v, err := structpb.NewValue(value)
		if err != nil {
			return nil, err
		}
		p.Values = append(p.Values, v)
	}
	return p, nil
}
