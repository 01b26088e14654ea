// Package quota says what projects may use: jobs at the same time, and hours of instances and money a month. It knows the limits and how to tell
// of them; what was used is the store's to count, together with the insertion of a job.
//
// The file is YAML or JSON, read strictly; 0, or what is left out, is no limit:
//
//	default: {max_concurrent_jobs: 10, max_instance_hours: 500, max_cost: 400}
//	projects:
//	  research: {max_concurrent_jobs: 40} # Instead of the default, as a whole.
package quota

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"time"

	"go.yaml.in/yaml/v3"
)

// Limits are what a project may use; 0 is no limit. A month is a calendar month in UTC, and a job counts wholly in the month that it was made in.
type Limits struct {
	// MaxConcurrentJobs bounds the jobs that have not ended.
	MaxConcurrentJobs int32 `yaml:"max_concurrent_jobs"`
	// MaxInstanceHours bounds the billed hours of a month, times instances.
	MaxInstanceHours float64 `yaml:"max_instance_hours"`
	// MaxCost bounds the money of a month, in the currency of the job's region.
	MaxCost float64 `yaml:"max_cost"`
}

// None tells whether there is no limit at all.
func (l Limits) None() bool { return l == Limits{} }

// Config is the limits of all projects. The zero value has none.
type Config struct {
	Default  Limits            `yaml:"default"`
	Projects map[string]Limits `yaml:"projects"`
}

// Of gives a project's limits.
func (c Config) Of(project string) Limits {
	if limits, ok := c.Projects[project]; ok {
		return limits
	}
	return c.Default
}

// Load reads an operator's file; no path means no limits.
func Load(path string) (Config, error) {
	if path == "" {
		return Config{}, nil
	}
	data, err := os.ReadFile(path) //nolint:gosec // The operator names the file.
	if err != nil {
		return Config{}, fmt.Errorf("quotas: %w", err)
	}
	config, err := Parse(data)
	if err != nil {
		return Config{}, fmt.Errorf("quotas of %s: %w", path, err)
	}
	return config, nil
}

// Parse reads YAML or JSON. An unknown key or a negative limit is an error.
func Parse(data []byte) (Config, error) {
	var c Config
	decoder := yaml.NewDecoder(bytes.NewReader(data)) // JSON is YAML as well.
	decoder.KnownFields(true)
	if err := decoder.Decode(&c); err != nil && !errors.Is(err, io.EOF) {
		return Config{}, err
	}
	if err := decoder.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return Config{}, errors.New("it must hold one document, with default and projects")
	}
	if err := c.Default.check(); err != nil {
		return Config{}, fmt.Errorf("default.%w", err)
	}
	for name, limits := range c.Projects {
		if err := limits.check(); err != nil {
			return Config{}, fmt.Errorf("projects.%s.%w", name, err)
		}
	}
	return c, nil
}

// check tells what is wrong; its errors begin with the key.
func (l Limits) check() error {
	switch {
	case l.MaxConcurrentJobs < 0:
		return fmt.Errorf("max_concurrent_jobs %d must be 0 (no limit) or more", l.MaxConcurrentJobs)
	case !isLimit(l.MaxInstanceHours):
		return fmt.Errorf("max_instance_hours %g must be 0 (no limit) or more", l.MaxInstanceHours)
	case !isLimit(l.MaxCost):
		return fmt.Errorf("max_cost %g must be 0 (no limit) or more", l.MaxCost)
	}
	return nil
}

func isLimit(value float64) bool { return value >= 0 && !math.IsInf(value, 0) }

// Usage is what a project uses, or what a job asks for.
type Usage struct {
	ConcurrentJobs int32
	// InstanceHours and Cost are of the month so far.
	InstanceHours float64
	Cost          float64
	// ReservedHours and ReservedCost are what jobs that have not ended are still expected to use.
	ReservedHours float64
	ReservedCost  float64
}

// Month gives the begin of a moment's month and that of the next, when what was used is forgotten.
func Month(now time.Time) (begin, next time.Time) {
	year, month, _ := now.UTC().Date()
	begin = time.Date(year, month, 1, 0, 0, 0, 0, time.UTC)
	return begin, begin.AddDate(0, 1, 0)
}

// The quotas' names, as in the file.
const (
	ConcurrentJobs = "max_concurrent_jobs"
	InstanceHours  = "max_instance_hours"
	Cost           = "max_cost"
)

// ExceededError tells that a job would exceed a quota. Nothing was made.
type ExceededError struct {
	Project string
	Quota   string // Its name.
	Unit    string // What its numbers count, such as USD; empty for jobs.
	Limit   float64
	Used    float64
	// Reserved is what jobs that have not ended are still expected to use.
	Reserved float64
	Left     float64
	// Asked is what the new job is expected to use.
	Asked float64
	// Reset is when the month ends; zero for jobs at the same time.
	Reset time.Time
}

func (e *ExceededError) Error() string {
	if e.Quota == ConcurrentJobs {
		return fmt.Sprintf("Project %s may have %g training jobs at the same time (%s), and %g have not ended: none is left. Wait until one has ended, or stop one.",
			e.Project, e.Limit, e.Quota, e.Used)
	}
	reserved := ""
	if e.Reserved > 0 {
		reserved = fmt.Sprintf(", and %s are expected of its jobs that have not ended", amount(e.Reserved))
	}
	return fmt.Sprintf("Project %s has used %s of its %s %s this month (%s)%s: %s are left, and this job is expected to use %s. "+
		"The quota begins anew on %s; until then use a smaller or cheaper job, or ask the operator for more.",
		e.Project, amount(e.Used), amount(e.Limit), e.Unit, e.Quota, reserved, amount(e.Left), amount(e.Asked), e.Reset.Format(time.RFC3339))
}

// amount shows hours or money by hundredths, and what is less by its first figures: small jobs take parts of a cent.
func amount(v float64) string {
	if v > 0 && v < 0.1 {
		return fmt.Sprintf("%.2g", v)
	}
	return fmt.Sprintf("%.2f", v)
}

// PriceUnknownError tells that a project's money is limited and a job's price isn't known, so that the limit could not be kept.
type PriceUnknownError struct {
	Project, Region, InstanceType string
}

func (e *PriceUnknownError) Error() string {
	return fmt.Sprintf("Project %s has a limit of money (%s), and no price of %s in %s is known: use another instance type, or ask the operator to configure its price.",
		e.Project, Cost, e.InstanceType, e.Region)
}

// Check tells whether a project that uses this may have a job that is expected to use asked; it fails with an ExceededError. What is used up refuses
// any job, also one of which nothing is expected.
func (l Limits) Check(project string, used, asked Usage, currency string, now time.Time) error {
	if limit := l.MaxConcurrentJobs; limit > 0 && used.ConcurrentJobs >= limit {
		return &ExceededError{Project: project, Quota: ConcurrentJobs, Limit: float64(limit), Used: float64(used.ConcurrentJobs), Asked: 1}
	}
	_, reset := Month(now)
	check := func(name, unit string, limit, used, reserved, asked float64) error {
		left := limit - used - reserved
		if limit == 0 || left > 0 && asked <= left {
			return nil
		}
		return &ExceededError{
			Project: project, Quota: name, Unit: unit, Limit: limit, Used: used, Reserved: reserved, Left: max(left, 0), Asked: asked, Reset: reset,
		}
	}
	if err := check(InstanceHours, "instance hours", l.MaxInstanceHours, used.InstanceHours, used.ReservedHours, asked.InstanceHours); err != nil {
		return err
	}
	return check(Cost, currency, l.MaxCost, used.Cost, used.ReservedCost, asked.Cost)
}
