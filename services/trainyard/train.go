package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
	"github.com/google/uuid"
	trainingv1 "github.com/trainyard/trainyard/gen/trainyard/training/v1"
	"github.com/trainyard/trainyard/services/trainyard/client"
)

type trainCommand struct {
	connection
	jobFlags
	DryRun bool `help:"Check and reckon the job, and make nothing."`
	Wait   bool `help:"Wait until the job has ended, then print where time and money went."`
}

// Help is called by kong.
func (c *trainCommand) Help() string {
	return `Everything that would make the job fail is checked before it is made; what fails is told with how to mend it.

Examples:
  trainyard train --dataset photos --param epochs=5 --wait
  trainyard train --dataset photos/versions/2 --base imagenet --spot --max-runtime 4h --max-wait 8h
  trainyard train --dataset photos --instance-type ml.g5.xlarge --mode fastfile --dry-run
  trainyard train --dataset photos --image 123456789012.dkr.ecr.us-east-1.amazonaws.com/mine:1 --hyperparameter lr=0.1 \
      --metric 'validation:loss=val_loss=([0-9.]+)'
  trainyard train --resume-from trainingJobs/0kx3v9m2a7f5qs1d --param epochs=20`
}

// Validate is called by kong.
func (c *trainCommand) Validate(line *kong.Context) error {
	if c.DryRun && c.Wait {
		return errors.New("--dry-run makes no job to --wait for: leave one of them out")
	}
	return c.check(line)
}

func (c *trainCommand) Run(ctx context.Context) error {
	api, err := c.client()
	if err != nil {
		return err
	}
	out := newOutput(c.JSON)
	job := c.job()
	if c.DryRun {
		return dryRun(ctx, api, job, out)
	}
	if err := api.Post(ctx, "/v1/trainingJobs?requestId="+uuid.NewString(), job, job); err != nil {
		tellChecks(err, out)
		return err
	}
	tellWarnings(job, out)
	if !c.Wait {
		text := job.GetName() + " is queued; follow it with: trainyard watch " + job.GetName()
		if expected := estimateLine(job); expected != "" {
			text += "\n" + expected
		}
		out.result(job, text)
		return nil
	}
	return waitForJob(ctx, api, job, out)
}

// dryRun prints what preflight and estimate say of a job.
func dryRun(ctx context.Context, api *client.Client, job *trainingv1.TrainingJob, out *output) error {
	passed, err := preflight(ctx, api, job, "", out)
	if err != nil {
		return err
	}
	out.note("")
	if err := estimate(ctx, api, job, 1, out); err != nil {
		return err
	}
	out.note("\nNothing was made.")
	if !passed {
		return errSilent
	}
	return nil
}

// tellChecks prints the checks that an error brings along, because of which a job was not made.
func tellChecks(err error, out *output) {
	var refused *client.Error
	if !errors.As(err, &refused) {
		return
	}
	for _, detail := range refused.Details {
		report, ok := detail.(*trainingv1.PreflightTrainingJobResponse)
		if !ok {
			continue
		}
		out.update(report)
		failed := slices.DeleteFunc(slices.Clone(report.GetChecks()), func(c *trainingv1.CheckResult) bool {
			return c.GetStatus() != trainingv1.CheckResult_FAIL || c.GetOverridden()
		})
		if len(failed) > 0 {
			out.note("%s\n", checksText(failed))
		}
	}
}

// tellWarnings prints what was chosen for a job, and what may yet go wrong with it.
func tellWarnings(job *trainingv1.TrainingJob, out *output) {
	for _, note := range job.GetNotes() {
		out.note("%s", note)
	}
	for _, check := range job.GetPreflight() {
		switch {
		case check.GetStatus() == trainingv1.CheckResult_WARN:
			out.note("warning: %s: %s", check.GetCheck(), check.GetSeen())
		case check.GetOverridden():
			out.note("overridden: %s: %s", check.GetCheck(), check.GetSeen())
		}
	}
}

func waitForJob(ctx context.Context, api *client.Client, job *trainingv1.TrainingJob, out *output) error {
	said, state := "", ""
	told := slices.Clone(job.GetNotes())
	err := follow(ctx, api, job.GetName(), func(ctx context.Context) (bool, error) {
		if err := api.Get(ctx, "/v1/"+job.GetName(), nil, job); err != nil {
			return false, err
		}
		for _, note := range job.GetNotes() { // What comes later, such as the limit that a job was stopped at.
			if !slices.Contains(told, note) {
				told = append(told, note)
				out.note("%s", note)
			}
		}
		line := jobLine(job)
		if ended(job) || line == said {
			return ended(job), nil
		}
		said = line
		out.update(job)
		if now := stateLine(job); now != state || !out.terminal() {
			state = now
			out.note("%s", line)
		}
		if job.GetSecondaryStatus() == "Training" {
			epochs := job.GetParameters()["epochs"].GetNumberValue()
			out.progress("train", accuracy(job), int64(job.GetMetrics()["progress:epoch"]), int64(epochs), false)
		}
		return false, nil
	})
	out.endBar()
	if err != nil {
		return withHint(ctx, err, "the job goes on: follow it with `trainyard watch %s`, end it with `trainyard stop %[1]s`", job.GetName())
	}
	text := jobLine(job) + modelHint(job)
	if job.GetLedger() != nil {
		text += "\n" + ledgerText(job)
	}
	out.result(job, text)
	if job.GetState() != trainingv1.TrainingJob_SUCCEEDED {
		return errSilent
	}
	return nil
}

func ended(job *trainingv1.TrainingJob) bool {
	switch job.GetState() {
	case trainingv1.TrainingJob_SUCCEEDED, trainingv1.TrainingJob_FAILED, trainingv1.TrainingJob_STOPPED:
		return true
	}
	return false
}

func stateLine(job *trainingv1.TrainingJob) string {
	line := fmt.Sprintf("%s %s", job.GetName(), job.GetState())
	if s := job.GetSecondaryStatus(); s != "" && !ended(job) {
		line += " (" + s + ")"
	}
	return line
}

// metricsLine has the newest losses and accuracies; speed and the like are for the log.
func metricsLine(job *trainingv1.TrainingJob) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(job.GetMetrics())) {
		if !strings.HasPrefix(name, "progress:") && !strings.HasSuffix(name, "learning_rate") {
			parts = append(parts, fmt.Sprintf("%s=%.4g", name, job.GetMetrics()[name]))
		}
	}
	return strings.Join(parts, " ")
}

func accuracy(job *trainingv1.TrainingJob) string {
	if value, ok := job.GetMetrics()["validation:accuracy"]; ok {
		return fmt.Sprintf("accuracy=%.4f", value)
	}
	return ""
}

func jobLine(job *trainingv1.TrainingJob) string {
	line := strings.TrimSpace(stateLine(job) + " " + metricsLine(job))
	if f := job.GetFailure(); f != nil {
		line += fmt.Sprintf("\n%s\nIts log: trainyard logs %s", f.GetMessage(), job.GetName())
	}
	return line
}

func modelHint(job *trainingv1.TrainingJob) string {
	if job.GetModel() == "" {
		return ""
	}
	return fmt.Sprintf("\n%s is ready, %d seconds are billed; fetch it with: trainyard pull %s -o DIR", job.GetModel(), job.GetBilledSeconds(), job.GetModel())
}

type stopCommand struct {
	connection
	Name string `arg:"" help:"The job, trainingJobs/ID or ID, or the sweep, sweeps/ID."`
}

func (c *stopCommand) Run(ctx context.Context) error {
	api, err := c.client()
	if err != nil {
		return err
	}
	out := newOutput(c.JSON)
	if strings.HasPrefix(c.Name, "sweeps/") {
		sweep := &trainingv1.Sweep{}
		if err := api.Post(ctx, "/v1/sweeps/"+id(c.Name)+":stop", nil, sweep); err != nil {
			return err
		}
		out.result(sweep, sweepLine(sweep))
		return nil
	}
	job := &trainingv1.TrainingJob{}
	if err := api.Post(ctx, "/v1/trainingJobs/"+id(c.Name)+":stop", nil, job); err != nil {
		return err
	}
	out.result(job, jobLine(job))
	return nil
}

type logsCommand struct {
	connection
	Job    string `arg:"" help:"The job, trainingJobs/ID or ID."`
	Follow bool   `short:"f" help:"Go on until the job has ended."`
}

func (c *logsCommand) Run(ctx context.Context) error {
	api, err := c.client()
	if err != nil {
		return err
	}
	out := newOutput(c.JSON)
	name := "trainingJobs/" + id(c.Job)
	query := url.Values{}
	print := func(ctx context.Context) error {
		for {
			var page trainingv1.ListTrainingJobLogsResponse
			if err := api.Get(ctx, "/v1/"+name+"/logs", query, &page); err != nil {
				return err
			}
			for _, line := range page.GetLines() {
				if out.json {
					out.raw(marshal(line))
				} else {
					fmt.Println(line.GetTime().AsTime().Local().Format("15:04:05"), line.GetMessage())
				}
			}
			query.Set("pageToken", page.GetNextPageToken())
			if len(page.GetLines()) == 0 || page.GetNextPageToken() == "" {
				return nil
			}
		}
	}
	if !c.Follow {
		return print(ctx)
	}
	job := &trainingv1.TrainingJob{}
	return follow(ctx, api, name, func(ctx context.Context) (bool, error) {
		if err := api.Get(ctx, "/v1/"+name, nil, job); err != nil {
			return false, err
		}
		return ended(job), print(ctx)
	})
}
