package sweep_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	trainingv1 "github.com/trainyard/trainyard/gen/trainyard/training/v1"
	"github.com/trainyard/trainyard/services/internal/store"
	"github.com/trainyard/trainyard/services/training/internal/job"
	"github.com/trainyard/trainyard/services/training/internal/sweep"
	"github.com/trainyard/trainyard/services/training/migrations"
	"github.com/trainyard/trainyard/services/training/recipe"
)

const project = "p"

// world is a database with sweeps and jobs, and a Creator that makes jobs as the launcher does, but for their checks.
type world struct {
	t     *testing.T
	db    *store.DB
	jobs  *job.Store
	store *sweep.Store
	maker *sweep.Maker

	mu sync.Mutex
	// created counts the calls that made a job or found it, by request id.
	created map[string]int
	// mostOpen is the most jobs of one sweep that were open at once.
	mostOpen int
	// refuse, if set, may refuse a trial before its job is made, and spoil the answer after.
	refuse, spoil func(trial int) error
}

func newWorld(t *testing.T, dsn string) *world {
	t.Helper()
	db, err := store.Open(t.Context(), dsn, "training", migrations.FS)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return &world{t: t, db: db, jobs: job.NewStore(db, func() {}), store: sweep.NewStore(db, func() {})}
}

// forTest is the same database for one test, with nothing else in common.
func (w *world) forTest(t *testing.T) *world {
	own := &world{t: t, db: w.db, jobs: w.jobs, store: w.store, created: map[string]int{}}
	own.maker = &sweep.Maker{Store: w.store, Recipes: recipe.All(), Creator: own}
	return own
}

// CheckTrial implements sweep.Creator.
func (w *world) CheckTrial(_ context.Context, _ string, trial *trainingv1.TrainingJob) (*trainingv1.TrainingJob, error) {
	pinned := proto.CloneOf(trial)
	if !strings.Contains(pinned.GetDatasetVersion(), "/versions/") {
		pinned.DatasetVersion += "/versions/7"
	}
	return pinned, nil
}

// CreateTrial implements sweep.Creator.
func (w *world) CreateTrial(
	ctx context.Context, project, sweepID string, number int, trial *trainingv1.TrainingJob, requestID string,
) (*job.Job, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.refuse != nil {
		if err := w.refuse(number); err != nil {
			return nil, err
		}
	}
	parameters := recipe.Values{}
	for name, value := range trial.GetParameters() {
		parameters[name] = value.AsInterface()
	}
	id := job.NewID(time.Now())
	j, err := w.jobs.Insert(ctx, &job.Job{
		ID: id, Project: project, RequestID: requestID, Sweep: sweepID, Trial: int64(number), Recipe: "image-classification",
		DatasetVersion: trial.GetDatasetVersion(), Parameters: parameters, Spec: []byte("{}"), Resources: job.Resources{InstanceCount: 1},
		SageMakerName: "trainyard-" + id, HourlyPrice: 3.6, Currency: "USD",
	})
	if err != nil {
		return nil, err
	}
	w.created[requestID]++
	open := 0
	for _, other := range w.trials(sweepID) {
		if !other.State.Ended() {
			open++
		}
	}
	w.mostOpen = max(w.mostOpen, open)
	if w.spoil != nil {
		if err := w.spoil(number); err != nil {
			return nil, err
		}
	}
	return j, nil
}

func (w *world) trials(sweepID string) []*job.Job {
	w.t.Helper()
	jobs, err := w.store.Jobs(context.WithoutCancel(w.t.Context()), sweepID)
	if err != nil {
		w.t.Error(err)
	}
	return jobs
}

// request is a sweep over some epochs, whose trials are numbered as the epochs are.
func request(trials int, change func(*trainingv1.Sweep)) *trainingv1.Sweep {
	asked := &trainingv1.Sweep{
		TrainingJob: &trainingv1.TrainingJob{Recipe: "recipes/image-classification", DatasetVersion: "datasets/digits"},
		Parameters:  map[string]*trainingv1.SweepRange{"epochs": {}},
	}
	for i := range trials {
		asked.Parameters["epochs"].Values = append(asked.Parameters["epochs"].Values, structpb.NewNumberValue(float64(i+1)))
	}
	if change != nil {
		change(asked)
	}
	return asked
}

func (w *world) make(asked *trainingv1.Sweep) *sweep.Sweep {
	w.t.Helper()
	s, err := w.maker.Create(w.t.Context(), project, "", asked)
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

func (w *world) makeOf(trials int, change func(*trainingv1.Sweep)) *sweep.Sweep {
	w.t.Helper()
	return w.make(request(trials, change))
}

func (w *world) get(s *sweep.Sweep) *sweep.Sweep {
	w.t.Helper()
	found, err := w.store.Get(w.t.Context(), s.Project, s.ID)
	if err != nil {
		w.t.Fatal(err)
	}
	return found
}

// runner gives a runner whose waits are short.
func (w *world) runner() *sweep.Runner { return w.runnerOf(w) }

func (w *world) runnerOf(creator sweep.Creator) *sweep.Runner {
	log := zaptest.NewLogger(w.t, zaptest.Level(zap.ErrorLevel))
	return sweep.NewRunner(sweep.Config{PollEvery: 20 * time.Millisecond, WaitFor: 20 * time.Millisecond}, sweep.Deps{
		Sweeps: w.store, Jobs: w.jobs, Creator: creator, Status: func(err error) error { return err }, JobsChanged: func() {}, Log: log,
	})
}

// run runs what there is until the test's end, or until stop is called.
func (w *world) run(run func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			w.t.Error(err)
		}
	})
	w.t.Cleanup(stop)
	return stop
}

// sageMaker moves the jobs of a sweep along, one step each at a time: QUEUED, RUNNING, and what end says of a trial, or on
// RUNNING while that is empty. What is STOPPING is STOPPED.
func (w *world) sageMaker(s *sweep.Sweep, end func(j *job.Job) job.State) func(context.Context) error {
	return func(ctx context.Context) error {
		for ctx.Err() == nil {
			for _, seen := range w.trials(s.ID) {
				if seen.State.Ended() {
					continue
				}
				j, err := w.jobs.Get(ctx, seen.Project, seen.ID)
				if err != nil {
					break
				}
				w.move(ctx, j, end)
			}
			select {
			case <-ctx.Done():
			case <-time.After(5 * time.Millisecond):
			}
		}
		return nil
	}
}

func (w *world) move(ctx context.Context, j *job.Job, end func(j *job.Job) job.State) {
	before := j.State
	switch j.State {
	case job.Queued:
		j.State, j.Attempts, j.StartTime = job.Running, 1, store.Micros(time.Now())
	case job.Running:
		if to := end(j); to != "" {
			j.State = to
		}
	case job.Stopping:
		j.State = job.Stopped
	}
	if j.State == before {
		return
	}
	if j.State.Ended() {
		seconds := int64(10)
		j.EndTime, j.BillableSeconds = store.Micros(time.Now()), &seconds
	}
	if j.State == job.Failed {
		j.Failure = &job.Failure{Message: fmt.Sprintf("the loss of trial %d became nan.", j.Trial)}
	}
	_ = w.jobs.Save(ctx, j, job.Change{Event: job.EventState}) // A conflict is met again.
}

// endsWell lets every trial end well, its accuracy given by its number.
func endsWell(accuracy ...float64) func(*job.Job) job.State {
	return func(j *job.Job) job.State {
		j.Metrics = map[string]float64{"validation:accuracy": accuracy[j.Trial-1], "validation:loss": 1 - accuracy[j.Trial-1]}
		return job.Succeeded
	}
}

// events gives the types of a sweep's events in their order.
func (w *world) events(s *sweep.Sweep) []string {
	w.t.Helper()
	var types []string
	if err := w.db.NewSelect().Table("outbox").Column("type").Where("resource = ?", job.SweepName(s.ID)).OrderExpr("id").Scan(w.t.Context(), &types); err != nil {
		w.t.Fatal(err)
	}
	return types
}
