package training_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	errorsv1 "github.com/trainyard/trainyard/gen/trainyard/errors/v1"
	trainingv1 "github.com/trainyard/trainyard/gen/trainyard/training/v1"
	"github.com/trainyard/trainyard/services/internal/testkit"
	"github.com/trainyard/trainyard/services/training"
	"github.com/trainyard/trainyard/services/training/internal/runner"
	"github.com/trainyard/trainyard/services/training/spec"
)

// wire is the way to SageMaker; create is called in the place of CreateTrainingJob.
type wire struct {
	runner.SageMaker
	create func(context.Context, *sagemaker.CreateTrainingJobInput) (*sagemaker.CreateTrainingJobOutput, error)
}

func (w *wire) CreateTrainingJob(ctx context.Context, input *sagemaker.CreateTrainingJobInput, _ ...func(*sagemaker.Options)) (*sagemaker.CreateTrainingJobOutput, error) {
	return w.create(ctx, input)
}

func TestCrashes(t *testing.T) {
	testkit.EachDatabase(t, func(t *testing.T, dsn string) {
		s := newSuite(t, dsn)
		for name, test := range map[string]func(*testing.T, *suite){
			"a job that was only written down is started later": writtenDownOnly,
			"a job whose answer was lost is adopted":            answerLost,
			"another's job of the same name is not adopted":     nameIsTaken,
			"a job is followed by whoever is there":             followedByAnother,
			"polling finds what events don't tell":              pollingAlone,
			"a queued job stops at once":                        queuedJobStops,
			"a job that was being started is stopped":           startingJobStops,
			"replicas do each thing once":                       replicas,
		} {
			t.Run(name, func(t *testing.T) {
				own := *s
				own.t = t
				test(t, &own)
			})
		}
	})
}

func writtenDownOnly(t *testing.T, s *suite) {
	killed := s.startIdle()
	name := killed.create(request(trainsWell)).GetName()
	killed.stop()
	s.start(nil).wait(name, trainingv1.TrainingJob_SUCCEEDED)
}

func answerLost(t *testing.T, s *suite) {
	var calls atomic.Int32
	running := s.start(func(_ *training.Config, deps *training.Deps) {
		real := deps.SageMaker
		deps.SageMaker = &wire{SageMaker: real, create: func(ctx context.Context, input *sagemaker.CreateTrainingJobInput) (*sagemaker.CreateTrainingJobOutput, error) {
			output, err := real.CreateTrainingJob(ctx, input)
			if calls.Add(1) == 1 {
				return nil, errors.New("connection reset after the request was sent")
			}
			return output, err
		}}
	})
	name := running.create(request(trainsWell)).GetName()
	running.wait(name, trainingv1.TrainingJob_SUCCEEDED)
	if calls.Load() < 2 {
		t.Error("the lost answer was not met")
	}
	testkit.Eventually(t, patience, "the last event is published", func() bool { return slices.Contains(s.events.states(name), "SUCCEEDED") })
	if states := s.events.states(name); !slices.Equal(states, []string{"QUEUED", "RUNNING", "SUCCEEDED"}) {
		t.Errorf("state events %v", states)
	}
}

func nameIsTaken(t *testing.T, s *suite) {
	for name, tags := range map[string][]types.Tag{
		"without tags":      nil,
		"with another hash": {{Key: aws.String(spec.TagHash), Value: aws.String(strings.Repeat("0", 64))}},
	} {
		t.Run(name, func(t *testing.T) {
			own := *s
			own.t = t
			var once sync.Once
			running := own.start(func(_ *training.Config, deps *training.Deps) {
				real := deps.SageMaker
				deps.SageMaker = &wire{SageMaker: real, create: func(ctx context.Context, input *sagemaker.CreateTrainingJobInput) (*sagemaker.CreateTrainingJobOutput, error) {
					once.Do(func() {
						other := *input
						other.Tags = tags
						if _, err := real.CreateTrainingJob(ctx, &other); err != nil {
							t.Error(err)
						}
					})
					return real.CreateTrainingJob(ctx, input)
				}}
			})
			job := running.wait(running.create(request(trainsWell)).GetName(), trainingv1.TrainingJob_FAILED)
			if f := job.GetFailure(); f.GetReason() != errorsv1.ErrorReason_TRAINING_SERVICE_FAILED || !strings.Contains(f.GetMessage(), "another job named") {
				t.Errorf("failure %v", f)
			}
		})
	}
}

func followedByAnother(t *testing.T, s *suite) {
	first := s.start(nil)
	name := first.create(request(waitsForStop)).GetName()
	testkit.Eventually(t, patience, "the job runs", func() bool { return first.get(name).GetMetrics()["train:loss"] == 0.5 })
	first.stop()

	second := s.start(nil)
	if _, err := second.jobs().StopTrainingJob(t.Context(), &trainingv1.StopTrainingJobRequest{Name: name}); err != nil {
		t.Fatal(err)
	}
	second.wait(name, trainingv1.TrainingJob_STOPPED)
	points, err := second.jobs().ListTrainingJobMetrics(t.Context(), &trainingv1.ListTrainingJobMetricsRequest{Parent: name})
	if err != nil || len(points.GetPoints()) != 2 {
		t.Errorf("the log's metrics were read twice or not at all: %v, %v", points, err)
	}
}

func pollingAlone(t *testing.T, s *suite) {
	running := s.start(func(cfg *training.Config, deps *training.Deps) {
		cfg.EventsQueue, cfg.PollEvery = "", 200*time.Millisecond
		deps.SQS = nil
	})
	running.wait(running.create(request(trainsWell)).GetName(), trainingv1.TrainingJob_SUCCEEDED)
}

func queuedJobStops(t *testing.T, s *suite) {
	idle := s.startIdle()
	name := idle.create(request(trainsWell)).GetName()
	res, err := idle.jobs().StopTrainingJob(t.Context(), &trainingv1.StopTrainingJobRequest{Name: name})
	if err != nil || res.GetTrainingJob().GetState() != trainingv1.TrainingJob_STOPPED || res.GetTrainingJob().GetEndTime() == nil {
		t.Fatalf("stop: %v, %v", res, err)
	}
	log, err := idle.jobs().ListTrainingJobLogs(t.Context(), &trainingv1.ListTrainingJobLogsRequest{Parent: name})
	if err != nil || len(log.GetLines()) != 0 || log.GetNextPageToken() != "" {
		t.Errorf("log of a job that never was: %v, %v", log, err)
	}
}

// startingJobStops stops a job while SageMaker can't be reached: whether it has the job is asked later.
func startingJobStops(t *testing.T, s *suite) {
	for name, reached := range map[string]bool{"SageMaker got it": true, "SageMaker never got it": false} {
		t.Run(name, func(t *testing.T) {
			own := *s
			own.t = t
			var calls atomic.Int32
			running := own.start(func(_ *training.Config, deps *training.Deps) {
				real := deps.SageMaker
				deps.SageMaker = &wire{SageMaker: real, create: func(ctx context.Context, input *sagemaker.CreateTrainingJobInput) (*sagemaker.CreateTrainingJobOutput, error) {
					if reached && calls.Load() == 0 {
						if _, err := real.CreateTrainingJob(ctx, input); err != nil {
							t.Error(err)
						}
					}
					calls.Add(1)
					return nil, errors.New("no answer")
				}}
			})
			job := running.create(request(waitsForStop))
			testkit.Eventually(t, patience, "SageMaker was called", func() bool { return calls.Load() > 0 })
			if _, err := running.jobs().StopTrainingJob(t.Context(), &trainingv1.StopTrainingJobRequest{Name: job.GetName()}); err != nil {
				t.Fatal(err)
			}
			ended := running.wait(job.GetName(), trainingv1.TrainingJob_STOPPED)
			if reached != (ended.GetSecondaryStatus() == "Stopped") {
				t.Errorf("SageMaker's status is %q", ended.GetSecondaryStatus())
			}
		})
	}
}

func replicas(t *testing.T, s *suite) {
	var mu sync.Mutex
	created := map[string]int{}
	count := func(_ *training.Config, deps *training.Deps) {
		real := deps.SageMaker
		deps.SageMaker = &wire{SageMaker: real, create: func(ctx context.Context, input *sagemaker.CreateTrainingJobInput) (*sagemaker.CreateTrainingJobOutput, error) {
			mu.Lock()
			created[*input.TrainingJobName]++
			mu.Unlock()
			return real.CreateTrainingJob(ctx, input)
		}}
	}
	one, two := s.start(count), s.start(count)
	var names []string
	for range 3 {
		names = append(names, one.create(request(trainsWell)).GetName(), two.create(request(trainsWell)).GetName())
	}
	for _, name := range names {
		job := one.wait(name, trainingv1.TrainingJob_SUCCEEDED)
		if n := created[job.GetSagemakerJobName()]; n != 1 {
			t.Errorf("%s was created %d times", name, n)
		}
		points, err := two.jobs().ListTrainingJobMetrics(t.Context(), &trainingv1.ListTrainingJobMetricsRequest{Parent: name})
		if err != nil || len(points.GetPoints()) != 9 {
			t.Errorf("%s has %d points (%v)", name, len(points.GetPoints()), err)
		}
		testkit.Eventually(t, patience, "the last event is published", func() bool { return slices.Contains(s.events.states(name), "SUCCEEDED") })
		if states := s.events.states(name); !slices.Equal(states, []string{"QUEUED", "RUNNING", "SUCCEEDED"}) {
			t.Errorf("%s: state events %v", name, states)
		}
	}
}

// eventsAreHints sends what anybody with access to the queue could send.
func eventsAreHints(t *testing.T, s *service) {
	client := sqs.NewFromConfig(cloud)
	send := func(body string) {
		t.Helper()
		if _, err := client.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: aws.String(made.TrainingEventsQueueURL), MessageBody: aws.String(body)}); err != nil {
			t.Fatal(err)
		}
	}
	change := func(job *trainingv1.TrainingJob, status string) string {
		return fmt.Sprintf(`{"source":"aws.sagemaker","detail-type":"SageMaker Training Job State Change","detail":{"TrainingJobName":%q,"TrainingJobStatus":%q}}`,
			job.GetSagemakerJobName(), status)
	}
	waiting := s.create(request(waitsForStop))
	testkit.Eventually(t, patience, "the job runs", func() bool { return s.get(waiting.GetName()).GetMetrics()["train:loss"] == 0.5 })
	done := s.wait(s.create(request(trainsWell)).GetName(), trainingv1.TrainingJob_SUCCEEDED)
	for range 5 {
		for _, status := range []string{"Completed", "Failed", "InProgress"} {
			send(change(waiting, status))
			send(change(done, status))
		}
		send("{}")
		send(`{"source":"aws.sagemaker","detail-type":"SageMaker Training Job State Change","detail":{"TrainingJobName":"nobody"}}`)
	}
	// A job that was created after them is done: they have been taken.
	s.wait(s.create(request(trainsWell)).GetName(), trainingv1.TrainingJob_SUCCEEDED)
	if job := s.get(waiting.GetName()); job.GetState() != trainingv1.TrainingJob_RUNNING {
		t.Errorf("a forged event made a running job %s", job.GetState())
	}
	if job := s.get(done.GetName()); job.GetState() != trainingv1.TrainingJob_SUCCEEDED || job.GetUpdateTime().AsTime() != done.GetUpdateTime().AsTime() {
		t.Errorf("an event changed a job that had ended: %v", job)
	}
	if states := s.events.states(waiting.GetName()); !slices.Equal(states, []string{"QUEUED", "RUNNING"}) {
		t.Errorf("state events %v", states)
	}
	if _, err := s.jobs().StopTrainingJob(t.Context(), &trainingv1.StopTrainingJobRequest{Name: waiting.GetName()}); err != nil {
		t.Fatal(err)
	}
	s.wait(waiting.GetName(), trainingv1.TrainingJob_STOPPED)
}
