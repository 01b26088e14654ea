package sagemaker

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/trainyard/trainyard/services/localcloud/awsjson"
	"github.com/trainyard/trainyard/services/localcloud/logs"
)

// Why a program is told to stop, as the cause of its context's end. The end of the service itself is neither.
var (
	errStopRequested      = errors.New("stop requested")
	errMaxRuntimeExceeded = errors.New("MaxRuntimeInSeconds exceeded")
)

// heartbeat is how often a job in progress is marked alive; after a crash its phase is taken to have ended at the last one.
const heartbeat = 2 * time.Second

// run is a job that is being worked on.
type run struct {
	cancel context.CancelCauseFunc
}

// Run works on jobs until ctx ends. First it takes up those that an earlier process left: their programs, should any still
// live, are killed. When ctx ends, programs are told to stop, killed after CloseGrace, and their jobs stay in progress for
// the next Run.
func (s *Service) Run(ctx context.Context) error {
	if err := s.recover(ctx); err != nil {
		return fmt.Errorf("take up training jobs: %w", err)
	}
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.relayEvents(gctx) })
	g.Go(func() error { return s.schedule(gctx) })
	if err := g.Wait(); err != nil && ctx.Err() == nil {
		return err
	}
	return nil
}

// recover brings every job that an earlier process left into a state from which schedule can go on.
func (s *Service) recover(ctx context.Context) error {
	names, err := s.store.active(ctx)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := killStrays(s.baseDir(name)); err != nil {
			return err
		}
		alive, err := s.store.lastAlive(ctx, name)
		if err != nil {
			return err
		}
		if _, err := s.store.update(ctx, name, func(j *job) error {
			ended := alive
			if start := j.Transitions[len(j.Transitions)-1].Start; ended.Before(start) {
				ended = start
			}
			switch {
			case j.Outcome != nil: // Only the upload is left, and it can be done again.
			case j.Status == types.TrainingJobStatusStopping:
				// The program was to stop and is gone now.
				j.Outcome = &outcome{Kind: j.StopCause, Ran: true}
				j.move(types.SecondaryStatusUploading, ended)
			case j.Secondary == types.SecondaryStatusDownloading || j.Secondary == types.SecondaryStatusTraining:
				j.move(types.SecondaryStatusRestarting, ended)
			}
			return nil
		}); err != nil {
			return err
		}
		s.log.Info("taking up a training job", zap.String("job", name))
	}
	return s.sweep(names)
}

// sweep removes the folders of jobs that have ended, should a crash have kept us from it.
func (s *Service) sweep(active []string) error {
	dirs, err := os.ReadDir(filepath.Join(s.cfg.Dir, "jobs"))
	if err != nil {
		return err
	}
	for _, d := range dirs {
		if !slices.Contains(active, d.Name()) {
			if err := os.RemoveAll(s.jobDir(d.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// schedule starts jobs, the oldest first, as places get free.
func (s *Service) schedule(ctx context.Context) error {
	var jobs sync.WaitGroup
	defer jobs.Wait()
	for {
		if err := s.startJobs(ctx, &jobs); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.wake:
		}
	}
}

func (s *Service) startJobs(ctx context.Context, jobs *sync.WaitGroup) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	names, err := s.store.active(ctx)
	if err != nil {
		return err
	}
	for _, name := range names {
		if s.running[name] != nil {
			continue
		}
		j, err := s.store.get(ctx, name)
		if err != nil {
			return err
		}
		// A job that only has to end takes no place.
		if ending := j.Outcome != nil && !j.Outcome.Ran; !ending && len(s.running) >= s.cfg.MaxConcurrentJobs {
			if j.Secondary == types.SecondaryStatusStarting {
				if _, err := s.store.update(ctx, name, func(j *job) error {
					j.move(types.SecondaryStatusPending, time.Now())
					return nil
				}); err != nil {
					return err
				}
				signal(s.events)
			}
			continue
		}
		runCtx, cancel := context.WithCancelCause(ctx)
		s.running[name] = &run{cancel: cancel}
		if j.Status == types.TrainingJobStatusStopping && j.Outcome == nil {
			cancel(errStopRequested)
		}
		jobs.Go(func() {
			defer cancel(nil)
			if err := s.work(ctx, runCtx, name); err != nil && ctx.Err() == nil {
				s.log.Error("training job", zap.String("job", name), zap.Error(err))
			}
			s.mu.Lock()
			delete(s.running, name)
			s.mu.Unlock()
			signal(s.wake)
		})
	}
	return nil
}

// work brings a job to its end. ctx ends with the service, runCtx also when the job is to stop. If the service ends first
// the job stays as it is.
func (s *Service) work(ctx, runCtx context.Context, name string) error {
	j, err := s.store.get(ctx, name)
	if err != nil {
		return err
	}
	in, err := decodeRequest(j.Request)
	if err != nil {
		return err
	}
	stopBeat := s.beat(name)
	defer stopBeat()
	if j.Outcome == nil {
		result, err := s.train(ctx, runCtx, j, in)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			s.log.Error("training job failed inside localcloud", zap.String("job", name), zap.Error(err))
			result = internalError(result.Ran)
		}
		if j, err = s.change(ctx, name, func(j *job) {
			if j.Status == types.TrainingJobStatusStopping && result.Kind == completed {
				result.Kind = j.StopCause // It was told to stop, and ended well.
			}
			j.Outcome = &result
			if result.Ran {
				j.move(types.SecondaryStatusUploading, time.Now())
			}
		}); err != nil {
			return err
		}
	}
	result, artifacts := *j.Outcome, ""
	if result.Ran {
		artifacts, err = s.uploadOutputs(ctx, in, result.Kind)
		switch {
		case ctx.Err() != nil:
			return nil
		case isAPIError(err):
			result = outcome{Kind: failed, Reason: fmt.Sprintf("ClientError: Artifact upload failed:%v", err), Ran: true}
		case err != nil:
			s.log.Error("upload of a training job's outputs", zap.String("job", name), zap.Error(err))
			result = internalError(true)
		}
	}
	if _, err := s.change(ctx, name, func(j *job) {
		if result.Kind != failed {
			j.Artifacts = artifacts
		}
		j.finish(result, time.Now())
	}); err != nil {
		return err
	}
	return os.RemoveAll(s.jobDir(name))
}

// change updates a job and has the event of it sent.
func (s *Service) change(ctx context.Context, name string, f func(*job)) (*job, error) {
	j, err := s.store.update(context.WithoutCancel(ctx), name, func(j *job) error {
		f(j)
		return nil
	})
	signal(s.events)
	return j, err
}

func internalError(ran bool) outcome {
	return outcome{Kind: failed, Reason: "InternalServerError: We encountered an internal error. Please try again.", Ran: ran}
}

// beat marks a job alive now, regularly, and once more when it is stopped.
func (s *Service) beat(name string) (stop func()) {
	mark := func() {
		if err := s.store.markAlive(context.Background(), name, time.Now()); err != nil {
			s.log.Warn("mark a training job alive", zap.String("job", name), zap.Error(err))
		}
	}
	mark()
	done, gone := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(gone)
		tick := time.NewTicker(heartbeat)
		defer tick.Stop()
		for {
			select {
			case <-done:
				mark()
				return
			case <-tick.C:
				mark()
			}
		}
	}()
	return func() {
		close(done)
		<-gone
	}
}

// train downloads the inputs and runs the program. An error is our own failure; everything else is in the outcome. When
// ctx has ended neither means anything.
func (s *Service) train(ctx, runCtx context.Context, j *job, in *sdk.CreateTrainingJobInput) (outcome, error) {
	limit := time.Duration(defaultMaxRuntime) * time.Second
	if c := in.StoppingCondition; c != nil && c.MaxRuntimeInSeconds != nil {
		limit = time.Duration(*c.MaxRuntimeInSeconds) * time.Second
	}
	// The limit covers all attempts.
	spent := j.spent(time.Now(), types.SecondaryStatusDownloading, types.SecondaryStatusTraining)
	runCtx, cancel := context.WithTimeoutCause(runCtx, limit-spent, errMaxRuntimeExceeded)
	defer cancel()

	if _, err := s.change(ctx, j.Name, func(j *job) {
		now := time.Now()
		if j.Status == types.TrainingJobStatusStopping {
			return
		}
		j.move(types.SecondaryStatusDownloading, now)
		if j.Started == nil {
			j.Started = &now
		}
	}); err != nil {
		return outcome{}, err
	}
	program, ok := s.program(aws.ToString(in.AlgorithmSpecification.TrainingImage))
	if !ok {
		return outcome{Kind: failed, Reason: "ClientError: Cannot pull algorithm container. Either the image does not exist or its permissions are incorrect."}, nil
	}
	err := s.prepareDir(in)
	if err == nil {
		err = s.writeConfig(in)
	}
	if err == nil {
		err = s.fetchInputs(runCtx, in)
	}
	if err == nil {
		err = s.restoreCheckpoints(runCtx, in)
	}
	if runCtx.Err() != nil {
		return outcome{Kind: stopKind(runCtx)}, nil
	}
	if refused := new(clientError); errors.As(err, &refused) {
		return outcome{Kind: failed, Reason: refused.text}, nil
	}
	if err != nil {
		return outcome{}, err
	}
	return s.runProgram(ctx, runCtx, j, in, program)
}

// stopKind says how a job ends whose context ended.
func stopKind(runCtx context.Context) outcomeKind {
	if errors.Is(context.Cause(runCtx), errMaxRuntimeExceeded) {
		return maxRuntimeExceeded
	}
	return stopped
}

func (s *Service) runProgram(ctx, runCtx context.Context, j *job, in *sdk.CreateTrainingJobInput, program Program) (outcome, error) {
	pump, err := s.newLogPump(in)
	if err != nil {
		return outcome{}, err
	}
	checkpoints, err := s.newCheckpointSync(in)
	if err != nil {
		return outcome{}, err
	}
	if err := pump.write(nil); err != nil { // The stream is there before the first line is.
		return outcome{}, err
	}
	if _, err := s.change(ctx, j.Name, func(j *job) {
		if j.Status != types.TrainingJobStatusStopping {
			j.move(types.SecondaryStatusTraining, time.Now())
		}
	}); err != nil {
		return outcome{}, err
	}
	syncCtx, stopSync := context.WithCancel(ctx)
	var syncing sync.WaitGroup
	syncing.Go(func() { checkpoints.run(syncCtx, s.cfg.CheckpointInterval) })

	p := &process{
		argv: argv(program, in.AlgorithmSpecification), env: s.environment(j, in, program), baseDir: s.baseDir(j.Name), hurry: ctx.Done(),
		stopping: func() { s.markOverTime(ctx, runCtx, j.Name) },
		grace: func() time.Duration {
			if ctx.Err() != nil {
				return s.cfg.CloseGrace
			}
			return s.cfg.StopGrace
		},
	}
	var logErr error
	code, err := p.run(runCtx, func(output *os.File) { logErr = pump.run(output) })
	stopSync()
	syncing.Wait()
	result := outcome{Kind: completed, Ran: true}
	if ctx.Err() != nil {
		return result, nil
	}
	if notStarted := new(notStartedError); errors.As(err, &notStarted) {
		err = pump.write([]logs.Event{{Timestamp: time.Now().UnixMilli(), Message: notStarted.Error()}})
	}
	if err = errors.Join(err, logErr); err != nil {
		return result, err
	}
	if err := checkpoints.sync(ctx); err != nil {
		s.log.Warn("last checkpoint sync", zap.String("job", j.Name), zap.Error(err))
	}
	switch {
	case runCtx.Err() != nil:
		result.Kind = stopKind(runCtx)
	case code != 0:
		failure, err := os.ReadFile(filepath.Join(s.baseDir(j.Name), "output", "failure")) //nolint:gosec // Under the job's own folder.
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return result, err
		}
		text := strings.ToValidUTF8(strings.TrimSpace(string(failure)), "\uFFFD")
		result.Kind = failed
		result.Reason = fmt.Sprintf("AlgorithmError: %s, exit code: %d", truncate(text, maxFailure), code)
	}
	return result, nil
}

// markOverTime makes a job Stopping whose program is told to stop because its time is up.
func (s *Service) markOverTime(ctx, runCtx context.Context, name string) {
	if ctx.Err() != nil || stopKind(runCtx) != maxRuntimeExceeded {
		return
	}
	if _, err := s.change(ctx, name, func(j *job) {
		if j.Status == types.TrainingJobStatusInProgress {
			j.Status, j.StopCause = types.TrainingJobStatusStopping, maxRuntimeExceeded
			j.move(types.SecondaryStatusStopping, time.Now())
		}
	}); err != nil {
		s.log.Error("training job", zap.String("job", name), zap.Error(err))
	}
}

// maxFailure is how much of /opt/ml/output/failure goes into the FailureReason, which holds 1,024 characters in all.
const maxFailure = 1024 - len("AlgorithmError: , exit code: 255")

func (s *Service) newLogPump(in *sdk.CreateTrainingJobInput) (*logPump, error) {
	name := *in.TrainingJobName
	readers, err := metricReaders(in.AlgorithmSpecification.MetricDefinitions)
	if err != nil {
		return nil, err
	}
	stream := fmt.Sprintf("%s/%s-%d", name, host, time.Now().Unix())
	return &logPump{
		metrics: readers,
		write: func(events []logs.Event) error {
			return s.deps.Logs.Append(context.Background(), LogGroup, stream, events)
		},
		changed: func(values []metric) {
			if _, err := s.store.update(context.Background(), name, func(j *job) error {
				j.Metrics = mergeMetrics(j.Metrics, values)
				return nil
			}); err != nil && !errors.As(err, new(*awsjson.Error)) {
				s.log.Error("store metrics", zap.String("job", name), zap.Error(err))
			}
		},
	}, nil
}

// argv is the command of a job: the image's, or its own entrypoint, with its own arguments behind.
func argv(program Program, a *types.AlgorithmSpecification) []string {
	command := program.Argv
	if len(a.ContainerEntrypoint) > 0 {
		command = a.ContainerEntrypoint
	}
	return slices.Concat(command, a.ContainerArguments)
}

// environment is all that a program gets: the little that any program needs, what the image sets, what the job sets, and
// the contract's own variables, which nobody overrides.
func (s *Service) environment(j *job, in *sdk.CreateTrainingJobInput, program Program) []string {
	vars := map[string]string{"TMPDIR": s.tempDir(j.Name), "PYTHONUNBUFFERED": "1"}
	for _, inherited := range []string{"PATH", "HOME", "LANG", "TZ"} {
		if v, ok := os.LookupEnv(inherited); ok {
			vars[inherited] = v
		}
	}
	for _, set := range []map[string]string{program.Env, in.Environment, {
		"TRAINING_JOB_NAME": j.Name, "TRAINING_JOB_ARN": j.ARN, "AWS_REGION": s.cfg.Region, "SAGEMAKER_BASE_DIR": s.baseDir(j.Name),
	}} {
		for k, v := range set {
			vars[k] = v
		}
	}
	list := make([]string, 0, len(vars))
	for k, v := range vars {
		list = append(list, k+"="+v)
	}
	slices.Sort(list)
	return list
}
