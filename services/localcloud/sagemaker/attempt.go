package sagemaker

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"
	"go.uber.org/zap"

	"github.com/trainyard/trainyard/services/localcloud/logs"
)

// failGrace is what the other hosts of a job get to end in once one of them has failed.
const failGrace = 2 * time.Second

// ended is the cause of an attempt's end that one of its hosts brought about.
type ended struct{ outcome outcome }

func (e *ended) Error() string { return e.outcome.Reason }

// stopKind says how a job ends whose context ended.
func stopKind(runCtx context.Context) outcomeKind {
	switch cause := context.Cause(runCtx); {
	case errors.Is(cause, errMaxRuntimeExceeded):
		return maxRuntimeExceeded
	case errors.Is(cause, errMaxWaitExceeded):
		return maxWaitExceeded
	case errors.Is(cause, errInterrupted):
		return interrupted
	}
	return stopped
}

// train is one attempt at a job: it downloads the inputs and runs the program on every host. An error is our own failure;
// everything else is in the outcome. When ctx has ended neither means anything.
func (s *Service) train(ctx, runCtx context.Context, j *job, in *sdk.CreateTrainingJobInput) (outcome, error) {
	limit := time.Duration(defaultMaxRuntime) * time.Second
	if c := in.StoppingCondition; c != nil && c.MaxRuntimeInSeconds != nil {
		limit = time.Duration(*c.MaxRuntimeInSeconds) * time.Second
	}
	// The limit covers all attempts.
	spent := j.spent(time.Now(), types.SecondaryStatusDownloading, types.SecondaryStatusTraining)
	runCtx, cancel := context.WithTimeoutCause(runCtx, limit-spent, errMaxRuntimeExceeded)
	defer cancel()
	if runCtx.Err() != nil {
		return outcome{Kind: stopKind(runCtx)}, nil
	}
	faults, err := s.faultsOf(in)
	if err != nil {
		return outcome{}, err
	}
	if faults.fail == failCapacity {
		return outcome{Kind: failed, Reason: capacityReason}, nil
	}
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
	if faults.fail == failDownload {
		return outcome{Kind: failed, Reason: downloadReason}, nil
	}
	hosts := s.hosts(in)
	for i := range hosts {
		if err = s.prepare(runCtx, &hosts[i], in); err != nil {
			break
		}
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
	a := &attempt{service: s, ctx: ctx, job: j, in: in, program: program, faults: faults}
	return a.run(runCtx, hosts)
}

// prepare brings a host to where its program can start.
func (s *Service) prepare(ctx context.Context, h *host, in *sdk.CreateTrainingJobInput) error {
	if err := h.prepareDir(in); err != nil {
		return err
	}
	if err := h.writeConfig(in); err != nil {
		return err
	}
	if err := s.fetchInputs(ctx, h, in); err != nil {
		return err
	}
	return s.restoreCheckpoints(ctx, h, in)
}

// attempt is the programs of all hosts, running. ctx is the service's own.
type attempt struct {
	service *Service
	ctx     context.Context //nolint:containedctx // An attempt lives inside one call.
	job     *job
	in      *sdk.CreateTrainingJobInput
	program Program
	faults  jobFaults
}

// run runs the program on every host. The first host to fail ends the others.
func (a *attempt) run(runCtx context.Context, hosts []host) (outcome, error) {
	s := a.service
	failing := false
	if _, err := s.change(a.ctx, a.job.Name, func(j *job) {
		if j.Status != types.TrainingJobStatusStopping {
			j.move(types.SecondaryStatusTraining, time.Now())
		}
		if failing = j.Faulted < a.faults.internalErrors; failing {
			j.Faulted++
		}
	}); err != nil {
		return outcome{}, err
	}
	if failing {
		return internalError(true), nil
	}
	runCtx, end := context.WithCancelCause(runCtx)
	defer end(nil)
	if a.faults.interruptAfter > 0 && a.job.Interruptions < a.faults.interruptTimes && isSpot(a.in) {
		defer time.AfterFunc(a.faults.interruptAfter, func() { end(errInterrupted) }).Stop()
	}
	errs := make([]error, len(hosts))
	var running sync.WaitGroup
	for i := range hosts {
		running.Go(func() {
			result, err := a.runHost(runCtx, end, &hosts[i])
			if errs[i] = err; err != nil {
				result = internalError(true)
			}
			if result.Kind == failed {
				end(&ended{result})
			}
		})
	}
	running.Wait()
	result := outcome{Kind: completed, Ran: true}
	if cause := new(ended); errors.As(context.Cause(runCtx), &cause) {
		result = cause.outcome
	} else if runCtx.Err() != nil {
		result.Kind = stopKind(runCtx)
	}
	return result, errors.Join(errs...)
}

// runHost runs the program of one host, with its pipes, its log and its checkpoints, until it is gone.
func (a *attempt) runHost(runCtx context.Context, end context.CancelCauseFunc, h *host) (outcome, error) {
	s := a.service
	pump, err := s.newLogPump(h, a.in)
	if err != nil {
		return outcome{}, err
	}
	checkpoints, err := s.newCheckpointSync(h, a.in)
	if err != nil {
		return outcome{}, err
	}
	if err := pump.write(nil); err != nil { // The stream is there before the first line is.
		return outcome{}, err
	}
	sideCtx, stopSides := context.WithCancel(a.ctx)
	defer stopSides()
	var sides sync.WaitGroup
	sides.Go(func() { checkpoints.run(sideCtx, s.cfg.CheckpointInterval) })
	for _, p := range h.pipes {
		sides.Go(func() { s.feed(sideCtx, p, func(err error) { end(&ended{s.downloadFailed(a.job.Name, err)}) }) })
	}

	p := &process{
		argv: argv(a.program, a.in.AlgorithmSpecification), env: s.environment(a.job, h, a.in, a.program), baseDir: h.base(), hurry: a.ctx.Done(),
		stopping: func() { s.markOverTime(a.ctx, runCtx, a.job.Name) },
		grace:    func() time.Duration { return s.grace(a.ctx, runCtx) },
	}
	var logErr error
	code, err := p.run(runCtx, func(output *os.File) { logErr = pump.run(output) })
	stopSides()
	sides.Wait()
	result := outcome{Kind: completed, Ran: true}
	if a.ctx.Err() != nil {
		return result, nil
	}
	if notStarted := new(notStartedError); errors.As(err, &notStarted) {
		err = pump.write([]logs.Event{{Timestamp: time.Now().UnixMilli(), Message: notStarted.Error()}})
	}
	if err = errors.Join(err, logErr); err != nil {
		return result, err
	}
	if err := checkpoints.sync(a.ctx); err != nil {
		s.log.Warn("last checkpoint sync", zap.String("job", a.job.Name), zap.Error(err))
	}
	if code == 0 || runCtx.Err() != nil {
		return result, nil
	}
	failure, err := os.ReadFile(filepath.Join(h.base(), "output", "failure")) //nolint:gosec // Under the job's own folder.
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return result, err
	}
	text := strings.ToValidUTF8(strings.TrimSpace(string(failure)), "\uFFFD")
	result.Kind = failed
	result.Reason = fmt.Sprintf("AlgorithmError: %s, exit code: %d", truncate(text, maxFailure), code)
	return result, nil
}

// maxFailure is how much of /opt/ml/output/failure goes into the FailureReason, which holds 1,024 characters in all.
const maxFailure = 1024 - len("AlgorithmError: , exit code: 255")

// grace is the time between SIGTERM and SIGKILL.
func (s *Service) grace(ctx, runCtx context.Context) time.Duration {
	switch {
	case ctx.Err() != nil:
		return s.cfg.CloseGrace
	case errors.As(context.Cause(runCtx), new(*ended)):
		return min(failGrace, s.cfg.StopGrace)
	}
	return s.cfg.StopGrace
}

// downloadFailed is how a job ends whose input broke off while its program ran.
func (s *Service) downloadFailed(name string, err error) outcome {
	if isAPIError(err) || errors.As(err, new(*clientError)) {
		return outcome{Kind: failed, Reason: fmt.Sprintf("ClientError: Data download failed:%v", err), Ran: true}
	}
	s.log.Error("pipe of a training job", zap.String("job", name), zap.Error(err))
	return internalError(true)
}

// markOverTime makes a job Stopping whose program is told to stop because its time is up.
func (s *Service) markOverTime(ctx, runCtx context.Context, name string) {
	kind := stopKind(runCtx)
	if ctx.Err() != nil || kind != maxRuntimeExceeded && kind != maxWaitExceeded {
		return
	}
	if _, err := s.change(ctx, name, func(j *job) {
		if j.Status == types.TrainingJobStatusInProgress {
			j.Status, j.StopCause = types.TrainingJobStatusStopping, kind
			j.move(types.SecondaryStatusStopping, time.Now())
		}
	}); err != nil {
		s.log.Error("training job", zap.String("job", name), zap.Error(err))
	}
}
