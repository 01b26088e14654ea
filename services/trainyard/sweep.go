package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
	"github.com/google/uuid"
	trainingv1 "github.com/trainyard/trainyard/gen/trainyard/training/v1"
	"github.com/trainyard/trainyard/services/trainyard/client"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/structpb"
)

type sweepCommand struct {
	connection
	jobFlags
	Grid      map[string]string `help:"Values NAME=V1,V2,… of a parameter; may be repeated for others." mapsep:"none" group:"Sweep:"`
	Range     map[string]string `help:"Range NAME=LEAST..GREATEST of a parameter, with :log spread by powers, on a grid with :steps=N values; may be repeated." mapsep:"none" group:"Sweep:"`
	Random    int32             `help:"Draw so many combinations by chance instead of trying all." placeholder:"N" group:"Sweep:"`
	Parallel  int32             `help:"So many trials run at a time." default:"2" group:"Sweep:"`
	Objective string            `help:"The metric to find the best by; by default the recipe's." placeholder:"METRIC" group:"Sweep:"`
	Minimize  bool              `help:"The smallest value of the metric is best." xor:"goal" group:"Sweep:"`
	Maximize  bool              `help:"The largest value of the metric is best." xor:"goal" group:"Sweep:"`
	MaxFailed int32             `help:"End when more trials than this have failed; by default 3." group:"Sweep:"`
	Seed      int64             `help:"Starting point of chance: the same sweep draws the same trials." group:"Sweep:"`
	Wait      bool              `help:"Wait until all trials have ended, then print them."`
}

// Help is called by kong.
func (c *sweepCommand) Help() string {
	return `Takes the flags of 'trainyard train' for what all trials have in common.

Examples:
  trainyard sweep --dataset photos --grid learning_rate=0.01,0.001 --grid batch_size=32,64,128 --parallel 3 --wait
  trainyard sweep --dataset photos --range learning_rate=1e-4..1e-1:log:steps=4
  trainyard sweep --dataset photos --range learning_rate=1e-4..1e-1:log --random 12 --objective validation:loss --minimize
Then:
  trainyard trials sweeps/ID
  trainyard stop sweeps/ID`
}

// Validate is called by kong.
func (c *sweepCommand) Validate(line *kong.Context) error {
	if len(c.Grid)+len(c.Range) == 0 {
		return errors.New("a sweep needs a parameter that differs: give --grid NAME=V1,V2 or --range NAME=LEAST..GREATEST")
	}
	if c.Random < 0 {
		return fmt.Errorf("--random %d: want 1 or more", c.Random)
	}
	for name, text := range c.Range {
		if _, err := parseRange(text); err != nil {
			return fmt.Errorf("--range %s=%w", name, err)
		}
		if c.Grid[name] != "" {
			return fmt.Errorf("%s is given by --grid and by --range: leave one of them out", name)
		}
	}
	for name := range c.Param {
		if c.Range[name]+c.Grid[name] != "" {
			return fmt.Errorf("%s has one value by --param and differs as well: leave one of them out", name)
		}
	}
	return c.check(line)
}

func (c *sweepCommand) sweep() *trainingv1.Sweep {
	sweep := &trainingv1.Sweep{
		TrainingJob: c.job(), Parameters: map[string]*trainingv1.SweepRange{}, Strategy: trainingv1.Sweep_GRID, MaxTrials: c.Random,
		ParallelTrials: c.Parallel, ObjectiveMetric: c.Objective, MaxFailedTrials: c.MaxFailed, Seed: c.Seed,
	}
	for name, text := range c.Grid {
		values := &trainingv1.SweepRange{}
		for value := range strings.SplitSeq(text, ",") {
			values.Values = append(values.Values, parameter(strings.TrimSpace(value)))
		}
		sweep.Parameters[name] = values
	}
	for name, text := range c.Range {
		sweep.Parameters[name], _ = parseRange(text) // Checked before.
	}
	if c.Random > 0 {
		sweep.Strategy = trainingv1.Sweep_RANDOM
	}
	switch {
	case c.Minimize:
		sweep.Goal = trainingv1.Sweep_MINIMIZE
	case c.Maximize:
		sweep.Goal = trainingv1.Sweep_MAXIMIZE
	}
	return sweep
}

func (c *sweepCommand) Run(ctx context.Context) error {
	api, err := c.client()
	if err != nil {
		return err
	}
	out := newOutput(c.JSON)
	sweep := c.sweep()
	if err := api.Post(ctx, "/v1/sweeps?requestId="+uuid.NewString(), sweep, sweep); err != nil {
		tellChecks(err, out)
		return err
	}
	if c.Wait {
		return waitForSweep(ctx, api, sweep, out)
	}
	out.result(sweep, fmt.Sprintf("%s has begun, %s; follow it with: trainyard trials %[1]s --wait", sweep.GetName(), counted(int64(sweep.GetTrialCount()), "trial")))
	return nil
}

type trialsCommand struct {
	connection
	Sweep string `arg:"" help:"The sweep, sweeps/ID or ID."`
	Wait  bool   `help:"Wait until all trials have ended."`
}

func (c *trialsCommand) Run(ctx context.Context) error {
	api, err := c.client()
	if err != nil {
		return err
	}
	out := newOutput(c.JSON)
	sweep := &trainingv1.Sweep{Name: "sweeps/" + id(c.Sweep)}
	if c.Wait {
		return waitForSweep(ctx, api, sweep, out)
	}
	if err := api.Get(ctx, "/v1/"+sweep.GetName(), nil, sweep); err != nil {
		return err
	}
	out.result(sweep, sweepText(sweep))
	return nil
}

func waitForSweep(ctx context.Context, api *client.Client, sweep *trainingv1.Sweep, out *output) error {
	name, said := sweep.GetName(), ""
	err := follow(ctx, api, name, func(ctx context.Context) (bool, error) {
		if err := api.Get(ctx, "/v1/"+name, nil, sweep); err != nil {
			return false, err
		}
		over := sweepEnded(sweep)
		if line := sweepLine(sweep); line != said && !over {
			said = line
			out.update(sweep)
			out.note("%s", line)
		}
		return over, nil
	})
	if err != nil {
		return withHint(ctx, err, "the sweep goes on: follow it with `trainyard trials %s --wait`, end it with `trainyard stop %[1]s`", name)
	}
	out.result(sweep, sweepText(sweep))
	if sweep.GetState() != trainingv1.Sweep_SUCCEEDED {
		return errSilent
	}
	return nil
}

func sweepEnded(sweep *trainingv1.Sweep) bool {
	switch sweep.GetState() {
	case trainingv1.Sweep_SUCCEEDED, trainingv1.Sweep_FAILED, trainingv1.Sweep_STOPPED:
		return true
	}
	return false
}

func sweepLine(sweep *trainingv1.Sweep) string {
	line := fmt.Sprintf("%s %s %d/%d trials ended", sweep.GetName(), sweep.GetState(), sweep.GetEndedTrialCount(), sweep.GetTrialCount())
	if sweep.GetBestTrainingJob() != "" {
		line += fmt.Sprintf(", best %s=%.4g (%s)", sweep.GetObjectiveMetric(), sweep.GetBestValue(), sweep.GetBestTrainingJob())
	}
	if message := sweep.GetFailure().GetMessage(); message != "" {
		line += "\n" + message
	}
	return line
}

// sweepText is a sweep with its trials, the best one marked by a star.
func sweepText(sweep *trainingv1.Sweep) string {
	names := slices.Sorted(maps.Keys(sweep.GetParameters()))
	rows := [][]string{slices.Concat([]string{"", "TRIAL", "STATE"}, names, []string{sweep.GetObjectiveMetric(), "BILLED", "JOB"})}
	for _, trial := range sweep.GetTrials() {
		mark, value, state := "", "", "waits"
		if sweepEnded(sweep) {
			state = "not run"
		}
		if trial.GetTrainingJob() != "" {
			state = trial.GetState().String()
			if trial.GetTrainingJob() == sweep.GetBestTrainingJob() {
				mark = "*"
			}
		}
		if trial.GetHasValue() {
			value = fmt.Sprintf("%.4g", trial.GetValue())
		}
		row := []string{mark, fmt.Sprint(trial.GetNumber()), state}
		for _, name := range names {
			row = append(row, valueText(trial.GetParameters()[name]))
		}
		rows = append(rows, append(row, value, fmt.Sprintf("%d s", trial.GetBilledSeconds()), trial.GetTrainingJob()))
	}
	text := table(rows) + "\n" + sweepLine(sweep)
	for _, trial := range sweep.GetTrials() {
		if message := trial.GetFailure().GetMessage(); message != "" {
			text += fmt.Sprintf("\ntrial %d: %s", trial.GetNumber(), message)
		}
	}
	text += fmt.Sprintf("\n%d seconds are billed", sweep.GetBilledSeconds())
	if sweep.GetCurrency() != "" {
		text += ", " + money(sweep.GetCost(), sweep.GetCurrency())
	}
	return text + "."
}

func valueText(value *structpb.Value) string {
	if text, ok := value.GetKind().(*structpb.Value_StringValue); ok {
		return text.StringValue
	}
	data, err := protojson.Marshal(value)
	if err != nil {
		return ""
	}
	return string(data)
}
