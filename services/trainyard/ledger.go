package main

import (
	"context"
	"fmt"
	"strings"

	trainingv1 "github.com/trainyard/trainyard/gen/trainyard/training/v1"
)

type ledgerCommand struct {
	connection
	Job string `arg:"" help:"The job, trainingJobs/ID or ID."`
}

// Help is called by kong.
func (c *ledgerCommand) Help() string {
	return `The seconds of each phase by SageMaker's own transitions, what is billed of them, and beside it what was expected when the job was made.

Example:
  trainyard ledger trainingJobs/0kx3v9m2a7f5qs1d`
}

func (c *ledgerCommand) Run(ctx context.Context) error {
	api, err := c.client()
	if err != nil {
		return err
	}
	job := &trainingv1.TrainingJob{}
	if err := api.Get(ctx, "/v1/trainingJobs/"+id(c.Job), nil, job); err != nil {
		return err
	}
	newOutput(c.JSON).result(job, stateLine(job)+"\n"+ledgerText(job))
	return nil
}

// ledgerText is a job's ledger with its estimate beside it.
func ledgerText(job *trainingv1.TrainingJob) string {
	ledger, estimate := job.GetLedger(), job.GetEstimate()
	if ledger == nil {
		return "Nothing is in its ledger yet."
	}
	rows := [][]string{{"", "ACTUAL", "EXPECTED"}}
	add := func(title, actual, expected string) {
		if estimate == nil {
			expected = ""
		}
		rows = append(rows, []string{title, actual, expected})
	}
	add("wait for a machine", span(ledger.GetQueueSeconds()), span(estimate.GetQueueSeconds()))
	add("download", span(ledger.GetDownloadSeconds()), span(estimate.GetDownloadSeconds()))
	add("train", span(ledger.GetTrainSeconds()), span(estimate.GetTrainSeconds()))
	add("upload", span(ledger.GetUploadSeconds()), span(estimate.GetUploadSeconds()))
	if ledger.GetOtherSeconds() > 0 {
		add("other", span(ledger.GetOtherSeconds()), "")
	}
	add("total", span(ledger.GetTotalSeconds()), span(estimate.GetTotalSeconds()))
	add("billed", span(float64(ledger.GetBilledSeconds())), span(estimate.GetBilledSeconds()))
	if ledger.GetHourlyPrice() > 0 {
		add("cost", money(ledger.GetCost(), ledger.GetCurrency()), money(estimate.GetComputeCost(), estimate.GetCurrency()))
	} else {
		add("cost", "? (no price of this instance type)", money(estimate.GetComputeCost(), estimate.GetCurrency()))
	}
	if ledger.GetWarmPoolSeconds() > 0 {
		add("kept warm, of that", span(float64(ledger.GetWarmPoolSeconds()))+", "+money(ledger.GetWarmPoolCost(), ledger.GetCurrency()), "")
	}
	if ledger.GetSpotSaving() > 0 {
		add("saved by spot", money(ledger.GetSpotSaving(), ledger.GetCurrency()), "")
	}
	expected := 0.0
	if runs := estimate.GetDownloadSeconds() + estimate.GetTrainSeconds() + estimate.GetUploadSeconds(); runs > 0 {
		expected = estimate.GetDownloadSeconds() / runs
	}
	add("downloading, of the billed time", percent(ledger.GetDownloadShare()), percent(expected))
	text := table(rows)
	if attempts := ledger.GetAttempts(); len(attempts) > 1 {
		text += "\n" + attemptsText(attempts)
	}
	if ledger.GetBilledSeconds() > 0 && !ledger.GetBilledBySagemaker() {
		text += "\nSageMaker has not told the billed seconds: they are reckoned from its transitions."
	}
	return text
}

func attemptsText(attempts []*trainingv1.Ledger_Attempt) string {
	rows := [][]string{{"ATTEMPT", "WAIT", "DOWNLOAD", "TRAIN", "UPLOAD", ""}}
	for _, a := range attempts {
		end := ""
		if a.GetInterrupted() {
			end = "interrupted"
		}
		rows = append(rows, []string{
			fmt.Sprint(a.GetNumber()), span(a.GetQueueSeconds()), span(a.GetDownloadSeconds()), span(a.GetTrainSeconds()), span(a.GetUploadSeconds()), end,
		})
	}
	return table(rows)
}

func percent(share float64) string {
	return strings.Replace(fmt.Sprintf("%.1f %%", 100*share), ".0 %", " %", 1)
}
