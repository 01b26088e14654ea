package main

import (
	"context"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"
	trainingv1 "github.com/trainyard/trainyard/gen/trainyard/training/v1"
	"github.com/trainyard/trainyard/services/trainyard/client"
	"google.golang.org/protobuf/types/known/structpb"
)

type trainCommand struct {
	connection
	Dataset      string            `required:"" help:"Dataset id (its newest READY version) or ID/versions/N."`
	Recipe       string            `default:"image-classification" help:"The recipe, see 'trainyard list recipes'."`
	Base         []string          `help:"Base dataset to train on as well, see 'trainyard list baseDatasets'; may be repeated."`
	Param        map[string]string `help:"Parameter NAME=VALUE; may be repeated." mapsep:"none"`
	InstanceType string            `help:"SageMaker instance type; by default the recipe's."`
	MaxRuntime   int32             `help:"Stop the job after this many seconds." name:"max-runtime-seconds"`
	Wait         bool              `help:"Wait until the job has ended."`
}

func (c *trainCommand) Run(ctx context.Context) error {
	api, err := c.client()
	if err != nil {
		return err
	}
	out := newOutput(c.JSON)
	job := &trainingv1.TrainingJob{
		Recipe:         "recipes/" + strings.TrimPrefix(c.Recipe, "recipes/"),
		DatasetVersion: "datasets/" + strings.TrimPrefix(c.Dataset, "datasets/"),
		Parameters:     parameters(c.Param),
		Resources:      &trainingv1.Resources{InstanceType: c.InstanceType, MaxRuntimeSeconds: c.MaxRuntime},
	}
	for _, base := range c.Base {
		job.BaseDatasets = append(job.BaseDatasets, "baseDatasets/"+strings.TrimPrefix(base, "baseDatasets/"))
	}
	if err := api.Post(ctx, "/v1/trainingJobs?requestId="+uuid.NewString(), job, job); err != nil {
		return err
	}
	if !c.Wait {
		out.result(job, job.GetName()+" is queued; follow it with: trainyard watch "+job.GetName())
		return nil
	}
	return waitForJob(ctx, api, job, out)
}

// parameters reads values as the numbers and booleans they look like; the server checks them against the recipe.
func parameters(given map[string]string) map[string]*structpb.Value {
	values := make(map[string]*structpb.Value, len(given))
	for name, text := range given {
		if number, err := strconv.ParseFloat(text, 64); err == nil {
			values[name] = structpb.NewNumberValue(number)
		} else if truth, err := strconv.ParseBool(text); err == nil {
			values[name] = structpb.NewBoolValue(truth)
		} else {
			values[name] = structpb.NewStringValue(text)
		}
	}
	return values
}

func waitForJob(ctx context.Context, api *client.Client, job *trainingv1.TrainingJob, out *output) error {
	said, state := "", ""
	err := follow(ctx, api, job.GetName(), func(ctx context.Context) (bool, error) {
		if err := api.Get(ctx, "/v1/"+job.GetName(), nil, job); err != nil {
			return false, err
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
	out.result(job, jobLine(job)+modelHint(job))
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
	Job string `arg:"" help:"The job, trainingJobs/ID or ID."`
}

func (c *stopCommand) Run(ctx context.Context) error {
	api, err := c.client()
	if err != nil {
		return err
	}
	job := &trainingv1.TrainingJob{}
	if err := api.Post(ctx, "/v1/trainingJobs/"+id(c.Job)+":stop", nil, job); err != nil {
		return err
	}
	newOutput(c.JSON).result(job, jobLine(job))
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
