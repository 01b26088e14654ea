package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/alecthomas/kong"
	trainingv1 "github.com/trainyard/trainyard/gen/trainyard/training/v1"
	"github.com/trainyard/trainyard/services/trainyard/client"
)

type estimateCommand struct {
	connection
	jobFlags
	JobsPerMonth int32 `help:"Jobs like it a month, which share the cost of a file system." default:"1"`
}

// Help is called by kong.
func (c *estimateCommand) Help() string {
	return `Takes the flags of 'trainyard train' and makes nothing: time and money of each way to read the data, with what was assumed.

Examples:
  trainyard estimate --dataset photos --param epochs=20
  trainyard estimate --dataset photos --base imagenet --instance-type ml.g5.xlarge --spot --jobs-per-month 40`
}

// Validate is called by kong.
func (c *estimateCommand) Validate(line *kong.Context) error { return c.check(line) }

func (c *estimateCommand) Run(ctx context.Context) error {
	api, err := c.client()
	if err != nil {
		return err
	}
	return estimate(ctx, api, c.job(), c.JobsPerMonth, newOutput(c.JSON))
}

// estimate asks what a job would take and prints it.
func estimate(ctx context.Context, api *client.Client, job *trainingv1.TrainingJob, jobsPerMonth int32, out *output) error {
	answer := &trainingv1.EstimateTrainingJobResponse{}
	if err := api.Post(ctx, "/v1/trainingJobs:estimate?jobsPerMonth="+strconv.Itoa(int(jobsPerMonth)), job, answer); err != nil {
		return err
	}
	out.result(answer, estimateText(answer))
	return nil
}

func estimateText(answer *trainingv1.EstimateTrainingJobResponse) string {
	rows := [][]string{{"READ", "BASE ON", "WAIT", "DOWNLOAD", "TRAIN", "UPLOAD", "TOTAL", "BILLED", "COMPUTE", "STORAGE/MONTH", "A JOB", "PAYS FROM", ""}}
	var impossible strings.Builder
	for _, e := range answer.GetEstimates() {
		base, way := "-", e.GetInputMode().String()
		if e.GetBaseStorage() != 0 {
			base = e.GetBaseStorage().String()
			way += " with base on " + base
		}
		if e.GetImpossible() != "" {
			fmt.Fprintf(&impossible, "\n%s isn't possible: %s", way, e.GetImpossible())
			continue
		}
		rows = append(rows, []string{
			e.GetInputMode().String(), base, span(e.GetQueueSeconds()), span(e.GetDownloadSeconds()), span(e.GetTrainSeconds()), span(e.GetUploadSeconds()),
			span(e.GetTotalSeconds()), span(e.GetBilledSeconds()), money(e.GetComputeCost(), e.GetCurrency()), money(e.GetStorageCostPerMonth(), e.GetCurrency()),
			money(e.GetTotalCost(), e.GetCurrency()), breakEven(e), marks(e),
		})
	}
	text := fmt.Sprintf("%s of the user's data", size(answer.GetDatasetBytes()))
	if answer.GetBaseBytes() > 0 {
		text += fmt.Sprintf(" and %s of base datasets", size(answer.GetBaseBytes()))
	}
	text += ".\n" + table(rows) + impossible.String()
	if len(answer.GetAssumptions()) > 0 {
		text += "\n\nAssumed:\n- " + strings.Join(answer.GetAssumptions(), "\n- ")
	}
	return text
}

func marks(e *trainingv1.Estimate) string {
	var found []string
	for _, mark := range []struct {
		set  bool
		word string
	}{{e.GetChosen(), "chosen"}, {e.GetCheapest(), "cheapest"}, {e.GetFastest(), "fastest"}} {
		if mark.set {
			found = append(found, mark.word)
		}
	}
	return strings.Join(found, ", ")
}

func breakEven(e *trainingv1.Estimate) string {
	if e.GetBreakEvenJobsPerMonth() <= 0 {
		return ""
	}
	if e.GetBreakEvenJobsPerMonth() == 1 {
		return "1 job/month"
	}
	return fmt.Sprintf("%.0f jobs/month", e.GetBreakEvenJobsPerMonth())
}

// estimateLine is what is expected of a job that was made.
func estimateLine(job *trainingv1.TrainingJob) string {
	e := job.GetEstimate()
	if e == nil {
		return ""
	}
	line := fmt.Sprintf("expected: %s, of which %s download; billed %s", span(e.GetTotalSeconds()), span(e.GetDownloadSeconds()), span(e.GetBilledSeconds()))
	if e.GetCurrency() != "" {
		line += ", " + money(e.GetComputeCost(), e.GetCurrency())
	}
	return line
}

// size writes bytes for people, in powers of a thousand as S3's bill does.
func size(bytes int64) string {
	value, unit := float64(bytes), 0
	units := []string{"bytes", "kB", "MB", "GB", "TB", "PB"}
	for value >= 999.95 && unit < len(units)-1 {
		value /= 1000
		unit++
	}
	return fmt.Sprintf("%.4g %s", value, units[unit])
}
