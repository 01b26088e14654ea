package job_test

import (
	"errors"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	trainingv1 "github.com/trainyard/trainyard/gen/trainyard/training/v1"
	"github.com/trainyard/trainyard/services/internal/store"
	"github.com/trainyard/trainyard/services/internal/testkit"
	"github.com/trainyard/trainyard/services/training/internal/job"
	"github.com/trainyard/trainyard/services/training/migrations"
	"github.com/trainyard/trainyard/services/training/recipe"
)

func TestStore(t *testing.T) {
	testkit.EachDatabase(t, func(t *testing.T, dsn string) {
		db, err := store.Open(t.Context(), dsn, "training", migrations.FS)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = db.Close() })
		s := job.NewStore(db, func() {})
		for name, test := range map[string]func(*testing.T, *store.DB, *job.Store){
			"of two changes of one job one is refused":   secondChangeIsRefused,
			"a worker doesn't undo a user's stop":        stopWins,
			"a refused change leaves nothing behind":     refusedChangeLeavesNothing,
			"a job is one worker's at a time":            leaseIsExclusive,
			"a lease that ran out is lost":               leaseRunsOut,
			"a hint during a look makes the job due":     hintIsNotLost,
			"an ended job is never due":                  endedJobRests,
			"a request that is made twice makes one job": requestIsUnique,
			"requests of other projects are their own":   requestsAreOfProjects,
			"checkpoints are one open job's at a time":   checkpointsAreOneJobs,
			"a job is given back as it was stored":       jobIsKept,
			"a job of which little is known is stored":   bareJobIsStored,
			"all of a job is shown":                      allIsShown,
			"what a job used is written down":            useIsWrittenDown,
			"a job whose machine is kept is looked at":   warmPoolIsWatched,
			"a sweep's jobs are listed":                  sweepIsListed,
		} {
			t.Run(name, func(t *testing.T) { test(t, db, s) })
		}
	})
}

func insert(t *testing.T, s *job.Store, change func(*job.Job)) *job.Job {
	t.Helper()
	id := job.NewID(time.Now())
	j := &job.Job{
		ID: id, Project: "p", Recipe: "image-classification", DatasetVersion: "datasets/digits/versions/1", BaseDatasets: []string{"base"},
		Parameters: recipe.Values{"epochs": 3.0, "augment": true, "channels": "auto"}, Labels: []string{"0", "1"},
		Resources: job.Resources{InstanceType: "ml.m5.xlarge", InstanceCount: 1}, Spec: []byte(`{"TrainingJobName":"x"}`),
		SageMakerName: "trainyard-" + id, Transitions: []job.Transition{}, Metrics: map[string]float64{},
	}
	if change != nil {
		change(j)
	}
	inserted, err := s.Insert(t.Context(), j)
	if err != nil {
		t.Fatal(err)
	}
	return inserted
}

func get(t *testing.T, s *job.Store, j *job.Job) *job.Job {
	t.Helper()
	found, err := s.Get(t.Context(), j.Project, j.ID)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func claim(t *testing.T, s *job.Store, j *job.Job) *job.Job {
	t.Helper()
	claimed, err := s.Claim(t.Context(), j.ID)
	if err != nil {
		t.Fatal(err)
	}
	return claimed
}

func isDue(t *testing.T, s *job.Store, j *job.Job) bool {
	t.Helper()
	ids, err := s.Due(t.Context(), 1000)
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range ids {
		if id == j.ID {
			return true
		}
	}
	return false
}

func secondChangeIsRefused(t *testing.T, _ *store.DB, s *job.Store) {
	j := insert(t, s, nil)
	one, two := get(t, s, j), get(t, s, j)
	one.State, two.State = job.Running, job.Failed
	if err := s.Save(t.Context(), one, job.Change{Event: job.EventState}); err != nil {
		t.Fatal(err)
	}
	if err := s.Save(t.Context(), two, job.Change{Event: job.EventState}); !errors.Is(err, job.ErrConflict) {
		t.Fatalf("got %v; want ErrConflict", err)
	}
	if now := get(t, s, j); now.State != job.Running {
		t.Errorf("the job is %s", now.State)
	}
}

func stopWins(t *testing.T, _ *store.DB, s *job.Store) {
	j := insert(t, s, nil)
	worker := claim(t, s, j)
	stopped, err := s.RequestStop(t.Context(), j.Project, j.ID)
	if err != nil || stopped.State != job.Stopped {
		t.Fatalf("stop: %v, %v", stopped, err)
	}
	worker.Attempts++
	if err := s.Save(t.Context(), worker, job.Change{}); !errors.Is(err, job.ErrConflict) {
		t.Fatalf("got %v; want ErrConflict, or SageMaker would be asked to start a job that was stopped", err)
	}
}

func refusedChangeLeavesNothing(t *testing.T, db *store.DB, s *job.Store) {
	j := insert(t, s, nil)
	late := get(t, s, j)
	if err := s.Save(t.Context(), get(t, s, j), job.Change{}); err != nil {
		t.Fatal(err)
	}
	err := s.Save(t.Context(), late, job.Change{
		Event: job.EventState, Points: []*job.Point{{JobID: j.ID, Number: 1, Name: "train:loss"}},
		Model: &job.Model{ID: j.ID, Project: j.Project, Metrics: map[string]float64{}, Labels: []string{}, Job: j},
	})
	if !errors.Is(err, job.ErrConflict) {
		t.Fatalf("got %v; want ErrConflict", err)
	}
	points, err := s.Points(t.Context(), j.ID, 0, 10)
	if err != nil || len(points) != 0 {
		t.Errorf("points %v, %v", points, err)
	}
	var missing *job.NotFoundError
	if _, err := s.GetModel(t.Context(), j.Project, j.ID); !errors.As(err, &missing) {
		t.Errorf("model: %v", err)
	}
	events, err := db.NewSelect().Table("outbox").Where("resource = ?", job.Name(j.ID)).Count(t.Context())
	if err != nil || events != 1 {
		t.Errorf("%d events (%v); want the one of its creation", events, err)
	}
}

func leaseIsExclusive(t *testing.T, _ *store.DB, s *job.Store) {
	j := insert(t, s, nil)
	if !isDue(t, s, j) {
		t.Error("a new job is not due")
	}
	results := make(chan error, 8)
	var workers sync.WaitGroup
	for range cap(results) {
		workers.Go(func() {
			_, err := s.Claim(t.Context(), j.ID)
			results <- err
		})
	}
	workers.Wait()
	won := 0
	for range cap(results) {
		switch err := <-results; {
		case err == nil:
			won++
		case !errors.Is(err, job.ErrLeased):
			t.Error(err)
		}
	}
	if won != 1 || isDue(t, s, j) {
		t.Errorf("%d workers have the job; due: %v", won, isDue(t, s, j))
	}
}

func leaseRunsOut(t *testing.T, db *store.DB, s *job.Store) {
	j := insert(t, s, nil)
	dead := claim(t, s, j)
	if err := s.Renew(t.Context(), dead); err != nil {
		t.Fatal(err)
	}
	if _, err := db.NewUpdate().Table("training_jobs").Set("lease_until = 1").Where("id = ?", j.ID).Exec(t.Context()); err != nil {
		t.Fatal(err)
	}
	alive := claim(t, s, j)
	if err := s.Renew(t.Context(), dead); !errors.Is(err, job.ErrLeased) {
		t.Errorf("a lost lease was renewed: %v", err)
	}
	// What the dead one gives back is not its own any more.
	if err := s.Release(t.Context(), dead, job.Next{}, 0); err != nil {
		t.Fatal(err)
	}
	if err := s.Renew(t.Context(), alive); err != nil {
		t.Errorf("the lease of the living was given back: %v", err)
	}
}

func hintIsNotLost(t *testing.T, _ *store.DB, s *job.Store) {
	j := insert(t, s, nil)
	rest := job.Next{Look: time.Hour, Describe: time.Hour}
	worker := claim(t, s, j)
	if err := s.Release(t.Context(), worker, rest, 0); err != nil {
		t.Fatal(err)
	}
	if isDue(t, s, j) {
		t.Fatal("a job is due before its time")
	}
	if err := s.Hint(t.Context(), j.SageMakerName); err != nil {
		t.Fatal(err)
	}
	worker = claim(t, s, j)
	if due, err := s.DescribeDue(t.Context(), worker); err != nil || !due {
		t.Errorf("a hint doesn't make the worker ask: %v, %v", due, err)
	}
	if err := s.Hint(t.Context(), j.SageMakerName); err != nil { // While the worker is at it.
		t.Fatal(err)
	}
	if err := s.Release(t.Context(), worker, rest, 0); err != nil {
		t.Fatal(err)
	}
	if !isDue(t, s, j) {
		t.Error("a hint that came during a look is lost")
	}
}

func endedJobRests(t *testing.T, _ *store.DB, s *job.Store) {
	j := insert(t, s, nil)
	if _, err := s.RequestStop(t.Context(), j.Project, j.ID); err != nil {
		t.Fatal(err)
	}
	if err := s.Hint(t.Context(), j.SageMakerName); err != nil {
		t.Fatal(err)
	}
	if isDue(t, s, j) {
		t.Error("it is due")
	}
	if _, err := s.Claim(t.Context(), j.ID); !errors.Is(err, job.ErrLeased) {
		t.Errorf("it was claimed: %v", err)
	}
}

func requestIsUnique(t *testing.T, _ *store.DB, s *job.Store) {
	request := func(j *job.Job) { j.RequestID = "r" }
	one, two := insert(t, s, request), insert(t, s, request)
	if one.ID != two.ID {
		t.Errorf("jobs %s and %s", one.ID, two.ID)
	}
}

func requestsAreOfProjects(t *testing.T, _ *store.DB, s *job.Store) {
	one := insert(t, s, func(j *job.Job) { j.RequestID = "shared" })
	two := insert(t, s, func(j *job.Job) { j.RequestID, j.Project = "shared", "q" })
	if one.ID == two.ID {
		t.Error("two projects have one job")
	}
}

func bareJobIsStored(t *testing.T, _ *store.DB, s *job.Store) {
	id := job.NewID(time.Now())
	if _, err := s.Insert(t.Context(), &job.Job{ID: id, Project: "p", Spec: []byte("{}"), SageMakerName: "trainyard-" + id}); err != nil {
		t.Fatal(err)
	}
	j := get(t, s, &job.Job{ID: id, Project: "p"})
	if j.CustomImage != nil || j.Estimate != nil || len(j.Notes) != 0 || j.Tags == nil {
		t.Errorf("got %+v", j)
	}
	shown, err := j.Proto(time.Now())
	if err != nil || shown.GetRecipe() != "" || shown.GetSweep() != "" || shown.GetResumeFrom() != "" || shown.GetEstimate() != nil {
		t.Errorf("shown as %v (%v)", shown, err)
	}
}

func allIsShown(t *testing.T, _ *store.DB, s *job.Store) {
	j := get(t, s, insert(t, s, func(j *job.Job) {
		j.Recipe, j.Region, j.Image, j.Sweep, j.Trial, j.ResumeFrom = "", "cn-north-1", "own:1", "s1", 3, "earlier"
		j.CustomImage = &job.CustomImage{
			Image: "own:1", Entrypoint: []string{"python"}, Arguments: []string{"-u"}, Environment: map[string]string{"A": "1"},
			Hyperparameters: map[string]string{"lr": "0.1"}, MetricDefinitions: []job.MetricDefinition{{Name: "loss", Regex: "loss=(.*)"}},
		}
		j.AdditionalVersions = []job.PinnedVersion{{Name: "datasets/more/versions/2", ManifestSHA256: "ab"}}
		j.InputModes = map[string]string{"train": "FastFile", "validation": "File", "version-2": "Pipe"}
		j.Tags = map[string]string{"team": "a"}
		j.ResolvedBases = []job.ResolvedBase{{ID: "base", Region: "cn-north-1", Storage: "efs", FileSystemID: "fs-1", Path: "/b", ManifestSHA256: "cd"}}
		j.Notes = []string{"EFS, because FSx for Lustre is not supported in cn-north-1"}
		j.OverrideChecks = []string{"s3-route"}
		j.Preflight = []job.CheckResult{{Check: "s3-route", Status: "FAIL", Overridden: true, Seconds: 0.5}}
		j.Estimate = &job.Estimate{InputMode: "FastFile", BaseStorage: "fsx-lustre", QueueSeconds: 1, DownloadSeconds: 2, TrainSeconds: 3, UploadSeconds: 4, BilledSeconds: 9, Currency: "CNY"}
		j.HourlyPrice, j.Currency = 2.1, "CNY"
		j.Resources = job.Resources{InstanceType: "ml.m5.xlarge", InstanceCount: 2, Spot: true, MaxWaitSeconds: 9, Sharded: true, OutputKMSKey: "k"}
	}))
	got, err := j.ProtoWithChecks(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	want := &trainingv1.TrainingJob{
		Name: job.Name(j.ID), State: trainingv1.TrainingJob_QUEUED, DatasetVersion: j.DatasetVersion, BaseDatasets: []string{"baseDatasets/base"},
		Parameters: got.GetParameters(), SagemakerJobName: j.SageMakerName, CreateTime: got.GetCreateTime(), UpdateTime: got.GetUpdateTime(),
		Region: "cn-north-1", Image: "own:1", Sweep: "sweeps/s1", ResumeFrom: "trainingJobs/earlier",
		CustomImage: &trainingv1.CustomImage{
			Image: "own:1", Entrypoint: []string{"python"}, Arguments: []string{"-u"}, Environment: map[string]string{"A": "1"},
			Hyperparameters: map[string]string{"lr": "0.1"}, MetricDefinitions: []*trainingv1.MetricDefinition{{Name: "loss", Regex: "loss=(.*)"}},
		},
		AdditionalDatasetVersions: []string{"datasets/more/versions/2"},
		InputModes: map[string]trainingv1.InputMode{
			"train": trainingv1.InputMode_FAST_FILE, "validation": trainingv1.InputMode_FILE, "version-2": trainingv1.InputMode_PIPE,
		},
		Tags: map[string]string{"team": "a"},
		ResolvedBaseDatasets: []*trainingv1.ResolvedBaseDataset{{
			BaseDataset:    "baseDatasets/base",
			Location:       &trainingv1.BaseDatasetLocation{Region: "cn-north-1", Storage: trainingv1.BaseDataset_EFS, FileSystemId: "fs-1", Path: "/b"},
			ManifestSha256: "cd",
		}},
		Notes:          []string{"EFS, because FSx for Lustre is not supported in cn-north-1"},
		OverrideChecks: []string{"s3-route"},
		Preflight:      []*trainingv1.CheckResult{{Check: "s3-route", Status: trainingv1.CheckResult_FAIL, Overridden: true, Seconds: 0.5}},
		Ledger:         &trainingv1.Ledger{HourlyPrice: 2.1, Currency: "CNY"},
		Estimate: &trainingv1.Estimate{
			InputMode: trainingv1.InputMode_FAST_FILE, BaseStorage: trainingv1.BaseDataset_FSX_LUSTRE, InstanceType: "ml.m5.xlarge", InstanceCount: 2,
			QueueSeconds: 1, DownloadSeconds: 2, TrainSeconds: 3, UploadSeconds: 4, TotalSeconds: 10, BilledSeconds: 9, Currency: "CNY", Chosen: true,
		},
		Resources: &trainingv1.Resources{
			InstanceType: "ml.m5.xlarge", InstanceCount: 2, Spot: true, MaxWaitSeconds: 9, OutputKmsKey: "k", Distribution: trainingv1.Resources_SHARDED,
		},
	}
	if !proto.Equal(got, want) {
		t.Errorf("\n got %v\nwant %v", got, want)
	}
}

func useIsWrittenDown(t *testing.T, _ *store.DB, s *job.Store) {
	j := insert(t, s, func(j *job.Job) { j.HourlyPrice, j.Currency, j.Resources.InstanceCount = 1, "USD", 2 })
	training, billable := int64(7200), int64(1800)
	j.State, j.TrainingSeconds, j.BillableSeconds, j.WarmPoolSeconds, j.WarmPoolStatus = job.Succeeded, &training, &billable, 900, "Terminated"
	j.Notes = append(j.Notes, "a note")
	if err := s.Save(t.Context(), j, job.Change{Event: job.EventState}); err != nil {
		t.Fatal(err)
	}
	kept := get(t, s, j)
	if *kept.TrainingSeconds != training || kept.InstanceSeconds != 2*(1800+900) || kept.Cost != 1.5 || kept.WarmPoolStatus != "Terminated" || kept.Notes[0] != "a note" {
		t.Errorf("got %+v", kept)
	}
}

func warmPoolIsWatched(t *testing.T, _ *store.DB, s *job.Store) {
	j := insert(t, s, nil)
	for status, watched := range map[string]bool{"Available": true, "InUse": true, job.WarmPoolUnknown: true, "Terminated": false, "Reused": false, "": false} {
		j.State, j.WarmPoolStatus = job.Succeeded, status
		if err := s.Save(t.Context(), j, job.Change{}); err != nil {
			t.Fatal(err)
		}
		if due := isDue(t, s, j); due != watched {
			t.Errorf("with a warm pool that is %q the job is due: %v", status, due)
		}
		if !watched {
			continue
		}
		if err := s.Release(t.Context(), claim(t, s, j), job.Next{}, 0); err != nil {
			t.Fatal(err)
		}
	}
}

func sweepIsListed(t *testing.T, _ *store.DB, s *job.Store) {
	var ids []string
	for trial := range int64(3) {
		ids = append(ids, insert(t, s, func(j *job.Job) {
			j.ID = job.NewID(time.Now().Add(time.Duration(trial) * time.Millisecond)) // Ids of one millisecond have no order.
			j.Sweep, j.Trial = "listed", trial+1
		}).ID)
	}
	insert(t, s, func(j *job.Job) { j.Sweep, j.Project = "listed", "other" })
	insert(t, s, nil)
	newest, err := s.List(t.Context(), "p", "listed", "", 2)
	if err != nil || len(newest) != 2 || newest[0].ID != ids[2] {
		t.Errorf("newest: %v, %v", newest, err)
	}
	rest, err := s.List(t.Context(), "p", "listed", newest[1].ID, 2)
	if err != nil || len(rest) != 1 || rest[0].ID != ids[0] {
		t.Errorf("rest: %v, %v", rest, err)
	}
	trials, err := s.Trials(t.Context(), "p", "listed", 1, 10)
	if err != nil || len(trials) != 2 || trials[0].ID != ids[1] {
		t.Errorf("trials: %v, %v", trials, err)
	}
}

func jobIsKept(t *testing.T, _ *store.DB, s *job.Store) {
	j := insert(t, s, nil)
	billable := int64(7)
	j.State, j.BillableSeconds, j.Epoch = job.Failed, &billable, 1.5
	j.Transitions = []job.Transition{{Status: "Starting", Start: 1, End: 2}}
	j.Metrics = map[string]float64{"train:loss": 1e-7}
	j.Failure = &job.Failure{Message: "it's <b>\"broken\"</b> ☃ ? \\u0041 %s", Metadata: map[string]string{"exit_code": "1"}}
	if err := s.Save(t.Context(), j, job.Change{Event: job.EventState}); err != nil {
		t.Fatal(err)
	}
	kept := get(t, s, j)
	if kept.State != job.Failed || *kept.BillableSeconds != 7 || kept.Epoch != 1.5 || kept.Transitions[0] != j.Transitions[0] ||
		kept.Metrics["train:loss"] != 1e-7 || kept.Failure.Message != j.Failure.Message || kept.Failure.Metadata["exit_code"] != "1" ||
		kept.Parameters["epochs"] != 3.0 || kept.Parameters["augment"] != true || kept.BaseDatasets[0] != "base" || string(kept.Spec) != string(j.Spec) {
		t.Errorf("\n got %+v\nwant %+v", kept, j)
	}
}
