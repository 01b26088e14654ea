package quota_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/trainyard/trainyard/services/training/internal/quota"
)

func TestCheck(t *testing.T) {
	now := time.Date(2026, 12, 31, 23, 59, 59, 0, time.UTC)
	limits := quota.Limits{MaxConcurrentJobs: 2, MaxInstanceHours: 10, MaxCost: 5}
	for name, test := range map[string]struct {
		limits      quota.Limits
		used, asked quota.Usage
		refused     string
		left        float64
		says        []string
	}{
		"no limits":                  {quota.Limits{}, quota.Usage{ConcurrentJobs: 99, InstanceHours: 1e6, Cost: 1e6}, quota.Usage{Cost: 1}, "", 0, nil},
		"room for one":               {limits, quota.Usage{ConcurrentJobs: 1, InstanceHours: 9, Cost: 4}, quota.Usage{InstanceHours: 1, Cost: 1}, "", 0, nil},
		"too many jobs":              {limits, quota.Usage{ConcurrentJobs: 2}, quota.Usage{}, quota.ConcurrentJobs, 0, []string{"2 training jobs", "and 2 have not ended", "Wait until"}},
		"hours":                      {limits, quota.Usage{InstanceHours: 9.5}, quota.Usage{InstanceHours: 1}, quota.InstanceHours, 0.5, []string{"9.50 of its 10.00 instance hours", "0.50 are left", "use 1.00", "2027-01-01T00:00:00Z"}},
		"hours reserved":             {limits, quota.Usage{InstanceHours: 1, ReservedHours: 8.5}, quota.Usage{InstanceHours: 1}, quota.InstanceHours, 0.5, []string{"8.50 are expected of its jobs"}},
		"money":                      {limits, quota.Usage{Cost: 4.5}, quota.Usage{Cost: 0.6}, quota.Cost, 0.5, []string{"4.50 of its 5.00 CNY", "smaller or cheaper"}},
		"parts of a cent":            {quota.Limits{MaxCost: 0.0625}, quota.Usage{Cost: 0.0546875}, quota.Usage{Cost: 0.01171875}, quota.Cost, 0.0078125, []string{"0.055 of its 0.062 CNY", "0.0078 are left", "use 0.012"}},
		"used up, nothing expected":  {limits, quota.Usage{Cost: 5}, quota.Usage{}, quota.Cost, 0, []string{"0.00 are left"}},
		"more than used up":          {limits, quota.Usage{Cost: 7}, quota.Usage{}, quota.Cost, 0, []string{"0.00 are left"}},
		"something left and unasked": {limits, quota.Usage{Cost: 4.99}, quota.Usage{}, "", 0, nil},
	} {
		t.Run(name, func(t *testing.T) {
			err := test.limits.Check("p", test.used, test.asked, "CNY", now)
			var exceeded *quota.ExceededError
			if !errors.As(err, &exceeded) {
				if err != nil || test.refused != "" {
					t.Fatalf("got %v; want a refusal for %q", err, test.refused)
				}
				return
			}
			if exceeded.Quota != test.refused || exceeded.Left != test.left {
				t.Errorf("got %+v", exceeded)
			}
			for _, part := range test.says {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q doesn't say %q", err, part)
				}
			}
		})
	}
}

func TestMonth(t *testing.T) {
	begin, next := quota.Month(time.Date(2027, 1, 1, 3, 0, 0, 0, time.FixedZone("east", 8*3600)))
	if begin.Format(time.RFC3339) != "2026-12-01T00:00:00Z" || next.Format(time.RFC3339) != "2027-01-01T00:00:00Z" {
		t.Errorf("%v to %v", begin, next)
	}
}

func TestFileIsReadStrictly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "quotas.yaml")
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("default: {max_concurrent_jobs: 2, max_cost: 10}\nprojects: {big: {max_instance_hours: 7.5}}\n")
	config, err := quota.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := config.Of("any"); got != (quota.Limits{MaxConcurrentJobs: 2, MaxCost: 10}) {
		t.Errorf("got %+v", got)
	}
	if got := config.Of("big"); got != (quota.Limits{MaxInstanceHours: 7.5}) {
		t.Errorf("got %+v; a project's own limits stand instead of the default", got)
	}
	if none, err := quota.Load(""); err != nil || !none.Of("any").None() {
		t.Errorf("no file: %+v, %v", none, err)
	}
	for name, test := range map[string]struct{ file, says string }{
		"unknown key":   {"default: {max_jobs: 1}", "max_jobs"},
		"negative":      {"projects: {p: {max_cost: -1}}", "projects.p.max_cost -1"},
		"not a number":  {"default: {max_instance_hours: .nan}", "default.max_instance_hours"},
		"negative jobs": {"default: {max_concurrent_jobs: -1}", "default.max_concurrent_jobs -1"},
		"two documents": {"default: {}\n---\ndefault: {}", "one document"},
	} {
		t.Run(name, func(t *testing.T) {
			write(test.file)
			if _, err := quota.Load(path); err == nil || !strings.Contains(err.Error(), test.says) || !strings.Contains(err.Error(), path) {
				t.Errorf("got %v", err)
			}
		})
	}
}
