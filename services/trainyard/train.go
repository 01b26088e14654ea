package main

import (
	"context"
	"fmt"
	"net/url"
	"sort"
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
	said := ""
	err := follow(ctx, api, job.GetName(), func(ctx context.Context) (bool, error) {
		if err := api.Get(ctx, "/v1/"+job.GetName(), nil, job); err != nil {
			return false, err
		}
		if line := jobLine(job); line != said && !ended(job) {
			said = line
			out.note("%s", line)
			out.update(job)
		}
		return ended(job), nil
	})
	if err != nil {
		return err
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

func jobLine(job *trainingv1.TrainingJob) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s", job.GetName(), job.GetState())
	if s := job.GetSecondaryStatus(); s != "" && !ended(job) {
		fmt.Fprintf(&b, " (%s)", s)
	}
	names := make([]string, 0, len(job.GetMetrics()))
	for name := range job.GetMetrics() {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		fmt.Fprintf(&b, " %s=%.4g", name, job.GetMetrics()[name])
	}
	if f := job.GetFailure(); f != nil {
		fmt.Fprintf(&b, "\n%s\nIts log: trainyard logs %s", f.GetMessage(), job.GetName())
	}
	return b.String()
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
	if err := api.Post(ctx, "/v1/trainingJobs/"+strings.TrimPrefix(c.Job, "trainingJobs/")+":stop", nil, job); err != nil {
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
	name := "trainingJobs/" + strings.TrimPrefix(c.Job, "trainingJobs/")
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
