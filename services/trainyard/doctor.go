package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/alecthomas/kong"
	trainingv1 "github.com/trainyard/trainyard/gen/trainyard/training/v1"
	"github.com/trainyard/trainyard/services/trainyard/client"
)

type doctorCommand struct {
	connection
	jobFlags
	Region  string   `help:"Look at another region than the installation's."`
	Compare bool     `help:"List what differs between two regions instead, for the job if one is given. One region is compared with the installation's."`
	Regions []string `arg:"" optional:"" help:"With --compare: the regions, such as us-east-1 cn-north-1."`
}

// Help is called by kong.
func (c *doctorCommand) Help() string {
	return `Takes the flags of 'trainyard train' and makes nothing: every check runs, and what fails is told with the error that AWS would give and how
to mend it. Ends with 1 if the job would not be made.

Examples:
  trainyard doctor --dataset photos
  trainyard doctor --dataset photos --base imagenet --region eu-central-1
  trainyard doctor --compare us-east-1 cn-north-1 --dataset photos --base imagenet`
}

// Validate is called by kong.
func (c *doctorCommand) Validate(line *kong.Context) error {
	if !c.Compare {
		if len(c.Regions) > 0 {
			return fmt.Errorf("unexpected argument %s: give the job by its flags; regions go with --compare", c.Regions[0])
		}
		return c.check(line)
	}
	switch {
	case len(c.Regions) < 1 || len(c.Regions) > 2:
		return errors.New("--compare takes one or two regions, such as: --compare us-east-1 cn-north-1")
	case c.Region != "":
		return errors.New("--region can't be used with --compare, which has its regions as arguments")
	case c.hasJob():
		return c.check(line)
	}
	return nil
}

func (c *doctorCommand) hasJob() bool { return c.Dataset != "" || c.ResumeFrom != "" }

func (c *doctorCommand) Run(ctx context.Context) error {
	api, err := c.client()
	if err != nil {
		return err
	}
	out := newOutput(c.JSON)
	if c.Compare {
		return c.compare(ctx, api, out)
	}
	passed, err := preflight(ctx, api, c.job(), c.Region, out)
	if err == nil && !passed {
		return errSilent
	}
	return err
}

// preflight asks for the checks of a job and prints them; it tells whether the job would be made.
func preflight(ctx context.Context, api *client.Client, job *trainingv1.TrainingJob, region string, out *output) (passed bool, err error) {
	path := "/v1/trainingJobs:preflight"
	if region != "" {
		path += "?region=" + url.QueryEscape(region)
	}
	report := &trainingv1.PreflightTrainingJobResponse{}
	if err := api.Post(ctx, path, job, report); err != nil {
		return false, err
	}
	out.result(report, preflightText(report))
	return report.GetPassed(), nil
}

func preflightText(report *trainingv1.PreflightTrainingJobResponse) string {
	var text strings.Builder
	for _, note := range report.GetNotes() {
		fmt.Fprintln(&text, note)
	}
	if len(report.GetChecks()) > 0 {
		fmt.Fprintln(&text, checksText(report.GetChecks()))
	}
	counts := map[trainingv1.CheckResult_Status]int{}
	for _, check := range report.GetChecks() {
		counts[check.GetStatus()]++
	}
	verdict := "The job would be made"
	if !report.GetPassed() {
		verdict = "The job would not be made"
	}
	fmt.Fprintf(&text, "%s: %d passed, %d warn, %d failed, %d skipped.", verdict, counts[trainingv1.CheckResult_PASS], counts[trainingv1.CheckResult_WARN],
		counts[trainingv1.CheckResult_FAIL], counts[trainingv1.CheckResult_SKIPPED])
	return text.String()
}

// checksText is a table of checks. Below it, for those that fail or warn, stands what they prevent and how to mend it.
func checksText(checks []*trainingv1.CheckResult) string {
	rows := make([][]string, len(checks))
	var advice strings.Builder
	for i, check := range checks {
		status := check.GetStatus().String()
		if check.GetOverridden() {
			status += " (overridden)"
		}
		rows[i] = []string{status, check.GetCheck(), cmp.Or(check.GetSeen(), check.GetTitle())}
		if check.GetStatus() == trainingv1.CheckResult_FAIL || check.GetStatus() == trainingv1.CheckResult_WARN {
			advice.WriteString(adviceText(check))
		}
	}
	return table(rows) + strings.TrimRight(advice.String(), "\n")
}

func adviceText(check *trainingv1.CheckResult) string {
	if check.GetPrevents()+check.GetMend()+check.GetSnippet() == "" {
		return ""
	}
	var text strings.Builder
	fmt.Fprintf(&text, "\n\n%s", check.GetCheck())
	if check.GetTitle() != "" {
		fmt.Fprintf(&text, " (%s)", check.GetTitle())
	}
	if check.GetPrevents() != "" {
		fmt.Fprintf(&text, "\n  prevents: %s", check.GetPrevents())
	}
	if check.GetMend() != "" {
		fmt.Fprintf(&text, "\n  mend: %s", check.GetMend())
	}
	if check.GetSnippet() != "" {
		fmt.Fprintf(&text, "\n%s", indented(check.GetSnippet()))
	}
	return text.String()
}

func (c *doctorCommand) compare(ctx context.Context, api *client.Client, out *output) error {
	request := &trainingv1.CompareRegionsRequest{OtherRegion: c.Regions[len(c.Regions)-1]}
	if len(c.Regions) == 2 {
		request.Region = c.Regions[0]
	}
	if c.hasJob() {
		request.TrainingJob = c.job()
	}
	answer := &trainingv1.CompareRegionsResponse{}
	if err := api.Post(ctx, "/v1/trainingJobs:compareRegions", request, answer); err != nil {
		return err
	}
	out.result(answer, differencesText(answer.GetDifferences(), cmp.Or(request.GetRegion(), "this installation"), request.GetOtherRegion()))
	return nil
}

func differencesText(differences []*trainingv1.RegionDifference, here, there string) string {
	if len(differences) == 0 {
		return fmt.Sprintf("Nothing differs between %s and %s.", here, there)
	}
	rows := [][]string{{"", "WHAT", here, there}}
	var changes []string              // In their order, and
	subjects := map[string][]string{} // what each is for: one change may mend many differences.
	blocking := 0
	for _, d := range differences {
		mark := ""
		if d.GetBlocking() {
			mark = "BLOCKS"
			blocking++
		}
		rows = append(rows, []string{mark, d.GetSubject(), d.GetHere(), d.GetThere()})
		if change := d.GetChange(); change != "" {
			if subjects[change] == nil {
				changes = append(changes, change)
			}
			subjects[change] = append(subjects[change], d.GetSubject())
		}
	}
	text := table(rows)
	if len(changes) > 0 {
		text += "\n\nTo change:"
	}
	for _, change := range changes {
		text += fmt.Sprintf("\n%s: %s", strings.Join(subjects[change], ", "), change)
	}
	if blocking > 0 {
		text += fmt.Sprintf("\n\nA job fails in %s until what blocks is changed.", there)
	}
	return text
}
