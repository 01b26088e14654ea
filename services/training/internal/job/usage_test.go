package job_test

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/trainyard/trainyard/services/internal/store"
	"github.com/trainyard/trainyard/services/internal/testkit"
	"github.com/trainyard/trainyard/services/training/internal/job"
	"github.com/trainyard/trainyard/services/training/internal/quota"
	"github.com/trainyard/trainyard/services/training/migrations"
)

func TestQuotas(t *testing.T) {
	testkit.EachDatabase(t, func(t *testing.T, dsn string) {
		db, err := store.Open(t.Context(), dsn, "training", migrations.FS)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = db.Close() })
		s := job.NewStore(db, func() {})
		s.Quotas = quota.Config{Projects: map[string]quota.Limits{
			"one":    {MaxConcurrentJobs: 1},
			"same":   {MaxConcurrentJobs: 1},
			"three":  {MaxConcurrentJobs: 3},
			"hours":  {MaxInstanceHours: 10},
			"money":  {MaxCost: 10},
			"unsure": {MaxCost: 10},
		}}
		for name, test := range map[string]func(*testing.T, *store.DB, *job.Store){
			"of many at once as many pass as there is room for": onlySoManyPass,
			"a request that is repeated is not in its own way":  requestIsNotInItsWay,
			"what ended makes room":                             endedMakesRoom,
			"hours are of the month, with what is expected":     hoursOfTheMonth,
			"money is of one currency":                          moneyOfOneCurrency,
			"a limit of money needs a price":                    moneyNeedsAPrice,
		} {
			t.Run(name, func(t *testing.T) { test(t, db, s) })
		}
	})
}

func of(project string, change func(*job.Job)) *job.Job {
	id := job.NewID(time.Now())
	j := &job.Job{
		ID: id, Project: project, Spec: []byte("{}"), SageMakerName: "trainyard-" + id, HourlyPrice: 1, Currency: "USD",
		Resources: job.Resources{InstanceType: "ml.m5.xlarge", InstanceCount: 1},
	}
	if change != nil {
		change(j)
	}
	return j
}

func refusal(t *testing.T, s *job.Store, j *job.Job, name string) *quota.ExceededError {
	t.Helper()
	_, err := s.Insert(t.Context(), j)
	var exceeded *quota.ExceededError
	if !errors.As(err, &exceeded) || exceeded.Quota != name {
		t.Fatalf("got %v; want it refused for %s", err, name)
	}
	if _, err := s.Get(t.Context(), j.Project, j.ID); err == nil {
		t.Error("a job that was refused was stored")
	}
	return exceeded
}

func accepted(t *testing.T, s *job.Store, j *job.Job) *job.Job {
	t.Helper()
	inserted, err := s.Insert(t.Context(), j)
	if err != nil {
		t.Fatal(err)
	}
	return inserted
}

func onlySoManyPass(t *testing.T, _ *store.DB, s *job.Store) {
	results := make(chan error, 12)
	var calls sync.WaitGroup
	for range cap(results) {
		calls.Go(func() {
			_, err := s.Insert(t.Context(), of("three", nil))
			results <- err
		})
	}
	calls.Wait()
	passed := 0
	for range cap(results) {
		var exceeded *quota.ExceededError
		if err := <-results; err == nil {
			passed++
		} else if !errors.As(err, &exceeded) {
			t.Error(err)
		}
	}
	if passed != 3 {
		t.Errorf("%d jobs passed a limit of 3", passed)
	}
}

func requestIsNotInItsWay(t *testing.T, _ *store.DB, s *job.Store) {
	ids := make(chan string, 6)
	for range cap(ids) {
		go func() {
			j, err := s.Insert(t.Context(), of("same", func(j *job.Job) { j.RequestID = "r" }))
			if err != nil {
				t.Error(err)
				ids <- ""
				return
			}
			ids <- j.ID
		}()
	}
	first := <-ids
	for range cap(ids) - 1 {
		if id := <-ids; id != first {
			t.Errorf("one request gave %q and %q", first, id)
		}
	}
	refusal(t, s, of("same", func(j *job.Job) { j.RequestID = "another" }), quota.ConcurrentJobs)
}

func endedMakesRoom(t *testing.T, _ *store.DB, s *job.Store) {
	j := accepted(t, s, of("one", nil))
	if e := refusal(t, s, of("one", nil), quota.ConcurrentJobs); e.Limit != 1 || e.Used != 1 || e.Left != 0 {
		t.Errorf("got %+v", e)
	}
	if _, err := s.RequestStop(t.Context(), "one", j.ID); err != nil {
		t.Fatal(err)
	}
	accepted(t, s, of("one", nil))
}

func expecting(hours float64) func(*job.Job) {
	return func(j *job.Job) {
		j.Estimate = &job.Estimate{BilledSeconds: hours * 3600, ComputeCost: hours * j.HourlyPrice}
	}
}

// end ends a job with so many billed hours.
func end(t *testing.T, s *job.Store, j *job.Job, hours int64) {
	t.Helper()
	billable := hours * 3600
	j.State, j.BillableSeconds = job.Succeeded, &billable
	if err := s.Save(t.Context(), j, job.Change{Event: job.EventState}); err != nil {
		t.Fatal(err)
	}
}

func hoursOfTheMonth(t *testing.T, db *store.DB, s *job.Store) {
	first := accepted(t, s, of("hours", expecting(6)))
	// The first is still expected to use its six.
	if e := refusal(t, s, of("hours", expecting(5)), quota.InstanceHours); e.Reserved != 6 || e.Left != 4 || e.Used != 0 || e.Asked != 5 {
		t.Errorf("got %+v", e)
	}
	end(t, s, first, 2) // It was quicker.
	second := accepted(t, s, of("hours", expecting(5)))
	used, err := s.Usage(t.Context(), "hours", "USD")
	if err != nil || used != (quota.Usage{ConcurrentJobs: 1, InstanceHours: 2, Cost: 2, ReservedHours: 5, ReservedCost: 5}) {
		t.Errorf("used %+v, %v", used, err)
	}
	// What goes on counts up to now.
	second.State, second.StartTime = job.Running, time.Now().Add(-7*time.Hour).UnixMicro()
	if err := s.Save(t.Context(), second, job.Change{}); err != nil {
		t.Fatal(err)
	}
	if e := refusal(t, s, of("hours", expecting(2)), quota.InstanceHours); e.Used < 9 || e.Used > 9.1 || e.Reserved != 0 {
		t.Errorf("got %+v", e)
	}
	// A month later all of it is forgotten, but for the job that goes on.
	begin, _ := quota.Month(time.Now())
	if _, err := db.NewUpdate().Table("training_jobs").Set("create_time = ?", begin.UnixMicro()-1).Where("project = 'hours'").Exec(t.Context()); err != nil {
		t.Fatal(err)
	}
	if used, err := s.Usage(t.Context(), "hours", "USD"); err != nil || used != (quota.Usage{ConcurrentJobs: 1}) {
		t.Errorf("used %+v, %v", used, err)
	}
	accepted(t, s, of("hours", expecting(9)))
}

func moneyOfOneCurrency(t *testing.T, _ *store.DB, s *job.Store) {
	end(t, s, accepted(t, s, of("money", func(j *job.Job) { j.HourlyPrice = 2 })), 3)
	end(t, s, accepted(t, s, of("money", func(j *job.Job) { j.Currency = "CNY" })), 9)
	if e := refusal(t, s, of("money", expecting(5)), quota.Cost); e.Used != 6 || e.Left != 4 || e.Asked != 5 || e.Unit != "USD" {
		t.Errorf("got %+v", e)
	}
	accepted(t, s, of("money", expecting(4)))
	for currency, want := range map[string]float64{"USD": 6, "CNY": 9} {
		if used, err := s.Usage(t.Context(), "money", currency); err != nil || used.Cost != want || used.InstanceHours != 12 {
			t.Errorf("used %+v (%s), %v", used, currency, err)
		}
	}
}

func moneyNeedsAPrice(t *testing.T, _ *store.DB, s *job.Store) {
	_, err := s.Insert(t.Context(), of("unsure", func(j *job.Job) { j.HourlyPrice = 0 }))
	var unknown *quota.PriceUnknownError
	if !errors.As(err, &unknown) || unknown.InstanceType != "ml.m5.xlarge" {
		t.Errorf("got %v", err)
	}
}
