package main

import (
	"context"
	"fmt"

	trainingv1 "github.com/trainyard/trainyard/gen/trainyard/training/v1"
)

type usageCommand struct {
	connection
}

// Help is called by kong.
func (c *usageCommand) Help() string {
	return `Jobs at a time, and instance-hours and money of the calendar month (UTC). A job that would go beyond a quota is refused, with what is left.`
}

func (c *usageCommand) Run(ctx context.Context) error {
	api, err := c.client()
	if err != nil {
		return err
	}
	usage := &trainingv1.GetTrainingUsageResponse{}
	if err := api.Get(ctx, "/v1/trainingUsage", nil, usage); err != nil {
		return err
	}
	newOutput(c.JSON).result(usage, usageText(usage))
	return nil
}

func usageText(u *trainingv1.GetTrainingUsageResponse) string {
	row := func(title, format string, used, limit float64) []string {
		if limit <= 0 {
			return []string{title, fmt.Sprintf(format, used), "no limit", ""}
		}
		return []string{title, fmt.Sprintf(format, used), fmt.Sprintf(format, limit), fmt.Sprintf(format, max(limit-used, 0))}
	}
	cost := "cost"
	if u.GetCurrency() != "" {
		cost += ", " + u.GetCurrency()
	}
	text := table([][]string{
		{"", "USED", "LIMIT", "LEFT"},
		row("jobs at a time", "%.0f", float64(u.GetConcurrentJobs()), float64(u.GetMaxConcurrentJobs())),
		row("instance-hours", "%.2f", u.GetInstanceHours(), u.GetMaxInstanceHours()),
		row(cost, "%.2f", u.GetCost(), u.GetMaxCost()),
	})
	if u.GetResetTime() != nil {
		text += "\nThe month ends " + u.GetResetTime().AsTime().Format("2006-01-02 15:04 UTC") + "."
	}
	return text
}
