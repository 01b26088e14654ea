package runner_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker"

	errorsv1 "github.com/trainyard/trainyard/gen/trainyard/errors/v1"
	"github.com/trainyard/trainyard/services/internal/testkit"
	"github.com/trainyard/trainyard/services/localcloud/fault"
	"github.com/trainyard/trainyard/services/training/internal/failure"
	"github.com/trainyard/trainyard/services/training/internal/job"
	"github.com/trainyard/trainyard/services/training/internal/runner"
)

// The SDK asks three times in a look.
const sdkTries = 3

func waits(j *job.Job) bool {
	return slices.ContainsFunc(j.Notes, func(note string) bool { return strings.HasPrefix(note, "Waiting for SageMaker") })
}

func TestThrottledJobWaitsAndSaysSo(t *testing.T) {
	w := start(t, runner.Config{})
	faults.Fail("CreateTrainingJob", 2*sdkTries+1, fault.Throttled())
	id := w.insert(1, nil)
	testkit.Eventually(t, patience, "the job tells that it waits", func() bool {
		j := w.get(id)
		return waits(j) && j.State == job.Queued && strings.Contains(strings.Join(j.Notes, ""), "ThrottlingException")
	})
	if j := w.wait(id, job.Succeeded); waits(j) {
		t.Errorf("notes %q", j.Notes)
	}
	if n := w.atSageMaker(id); n != 1 {
		t.Errorf("SageMaker has %d jobs", n)
	}
}

func TestLostAnswerStartsNothingTwice(t *testing.T) {
	w := start(t, runner.Config{})
	faults.Fail("CreateTrainingJob", 1, fault.AnswerLost())
	id := w.insert(1, nil)
	w.wait(id, job.Succeeded)
	if n := w.atSageMaker(id); n != 1 {
		t.Errorf("SageMaker has %d jobs", n)
	}
}

// The account's limit may be met by the very job whose answer was lost.
func TestLimitMetByTheJobItself(t *testing.T) {
	w := start(t, runner.Config{})
	faults.Fail("CreateTrainingJob", 1, fault.AnswerLost())
	faults.Fail("CreateTrainingJob", 1, fault.LimitExceeded("ml.m5.xlarge", 1, 1, 1))
	w.wait(w.insert(1, nil), job.Succeeded)
}

func TestRefusalsAreTold(t *testing.T) {
	for name, test := range map[string]struct {
		fault  error
		reason errorsv1.ErrorReason
		key    string
		value  string
	}{
		"denied": {fault.Denied("sagemaker:CreateTrainingJob"), errorsv1.ErrorReason_ACCESS_DENIED, failure.MetaAction, "sagemaker:CreateTrainingJob"},
		"limit":  {fault.LimitExceeded("ml.m5.xlarge", 0, 0, 1), errorsv1.ErrorReason_ACCOUNT_LIMIT_EXCEEDED, failure.MetaCheck, "instance-quota"},
	} {
		t.Run(name, func(t *testing.T) {
			w := start(t, runner.Config{})
			before := faults.Calls("CreateTrainingJob")
			faults.Fail("CreateTrainingJob", fault.Always, test.fault)
			id := w.insert(1, nil)
			j := w.wait(id, job.Failed)
			if j.Failure.Reason != test.reason || j.Failure.Metadata[test.key] != test.value || !strings.Contains(j.Failure.Message, "nothing is billed") {
				t.Errorf("failure %+v", j.Failure)
			}
			if n := faults.Calls("CreateTrainingJob") - before; n != 1 || w.atSageMaker(id) != 0 {
				t.Errorf("SageMaker was asked %d times and has %d jobs", n, w.atSageMaker(id))
			}
		})
	}
}

func TestStartIsBounded(t *testing.T) {
	const tries = 2
	for name, test := range map[string]struct {
		plan  func()
		state job.State
		says  string
	}{
		"throttled on and on": {
			func() { faults.Fail("CreateTrainingJob", fault.Always, fault.Throttled()) },
			job.Failed, "Nothing was started",
		},
		"started, but no answer ever came": {
			func() {
				faults.Fail("CreateTrainingJob", 1, fault.AnswerLost())
				faults.Fail("CreateTrainingJob", fault.Always, fault.Unavailable())
			},
			job.Succeeded, "",
		},
		"AWS is away": {
			func() {
				faults.Fail("CreateTrainingJob", fault.Always, fault.Unavailable())
				faults.Fail("DescribeTrainingJob", fault.Always, fault.Unavailable())
			},
			job.Failed, "which may be running and on the bill",
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := start(t, runner.Config{StartTries: tries})
			test.plan()
			id := w.insert(1, nil)
			j := w.wait(id, test.state)
			if test.state == job.Failed && (j.Failure.Reason != errorsv1.ErrorReason_TRAINING_SERVICE_FAILED || !strings.Contains(j.Failure.Message, test.says)) {
				t.Errorf("failure %+v", j.Failure)
			}
			faults.Clear()
			if n := w.atSageMaker(id); n != map[job.State]int{job.Failed: 0, job.Succeeded: 1}[test.state] {
				t.Errorf("SageMaker has %d jobs", n)
			}
		})
	}
}

// While SageMaker doesn't tell how a job is doing, the job stays RUNNING, which it is, and says so; later it is followed to its end.
func TestRunningJobStaysTruthfulWhileSageMakerIsAway(t *testing.T) {
	w := start(t, runner.Config{})
	id := w.insert(60, nil)
	w.wait(id, job.Running)
	faults.Fail("DescribeTrainingJob", fault.Always, fault.Denied("sagemaker:DescribeTrainingJob"))
	testkit.Eventually(t, patience, "the job tells that it waits", func() bool { return waits(w.get(id)) })
	j := w.get(id)
	if j.State != job.Running || !strings.Contains(strings.Join(j.Notes, ""), "not authorized to perform: sagemaker:DescribeTrainingJob") {
		t.Errorf("the job is %s, notes %q", j.State, j.Notes)
	}
	faults.Clear()
	if j := w.wait(id, job.Succeeded); waits(j) {
		t.Errorf("notes %q", j.Notes)
	}
}

// A stop that SageMaker throttles is asked for again.
func TestThrottledStop(t *testing.T) {
	w := start(t, runner.Config{})
	id := w.insert(600, nil)
	testkit.Eventually(t, patience, "the job trains", func() bool { return w.get(id).Metrics["loss"] == 0.5 })
	faults.Fail("StopTrainingJob", sdkTries+1, fault.Throttled())
	if _, err := w.jobs.RequestStop(t.Context(), "p", id); err != nil {
		t.Fatal(err)
	}
	if j := w.wait(id, job.Stopped); !j.HasModel || waits(j) {
		t.Errorf("model: %v, notes %q", j.HasModel, j.Notes)
	}
}

// A log that CloudWatch doesn't give costs metrics, not the job.
func TestLogThatIsDeniedDoesNotKeepAJobUp(t *testing.T) {
	w := start(t, runner.Config{LogTries: 2})
	faults.Fail("DescribeLogStreams", fault.Always, fault.Denied("logs:DescribeLogStreams"))
	id := w.insert(1, nil)
	if j := w.wait(id, job.Succeeded); !j.HasModel || !strings.Contains(strings.Join(j.Notes, ""), "metrics may be missing") {
		t.Errorf("model: %v, notes %q", j.HasModel, j.Notes)
	}
}

func TestMetricsOfAnImageOfOnesOwn(t *testing.T) {
	w := start(t, runner.Config{})
	id := w.insert(1, nil)
	if j := w.wait(id, job.Succeeded); j.Metrics["loss"] != 0.5 {
		t.Errorf("metrics %v", j.Metrics)
	}
	points, err := w.jobs.Points(t.Context(), id, 0, 10)
	if err != nil || len(points) != 1 || points[0].Epoch != 2 || points[0].Step != 7 {
		t.Errorf("points %+v, %v", points, err)
	}
}

func TestLimitsAreTold(t *testing.T) {
	w := start(t, runner.Config{})
	id := w.insert(600, func(j *job.Job, input *sagemaker.CreateTrainingJobInput) {
		j.Resources.MaxRuntimeSeconds, j.CheckpointURI = 1, "s3://b/checkpoints/"
		input.StoppingCondition.MaxRuntimeInSeconds = aws.Int32(1)
	})
	j := w.wait(id, job.Stopped)
	if note := strings.Join(j.Notes, ""); !j.HasModel || !strings.Contains(note, "max_runtime_seconds (1)") || !strings.Contains(note, "resume_from") {
		t.Errorf("model: %v, notes %q", j.HasModel, j.Notes)
	}
}
