package runner

import (
	"context"
	"encoding/json"
	"time"

	"github.com/trainyard/trainyard/services/internal/queue"
)

// stateChange is what is read of EventBridge's envelope. It is a hint and nothing more: whoever can send to the queue could
// have made it, and it comes late, twice or in the wrong order. SageMaker is asked.
type stateChange struct {
	Source     string `json:"source"`
	DetailType string `json:"detail-type"`
	Detail     struct {
		TrainingJobName string `json:"TrainingJobName"`
	} `json:"detail"`
}

// receiveEvents turns SageMaker's events into hints until ctx ends.
func (r *Runner) receiveEvents(ctx context.Context) error {
	consumer := &queue.Consumer{
		Client: r.deps.SQS, URL: r.cfg.EventsQueue, Visibility: 30 * time.Second, Concurrency: 10, Handle: r.takeEvent, Log: r.log,
	}
	return consumer.Run(ctx)
}

func (r *Runner) takeEvent(ctx context.Context, m queue.Message) error {
	name := jobName(m.Body)
	if name == "" {
		r.log.Warn("dropping a message that is no training job's state change")
		return nil
	}
	if err := r.deps.Jobs.Hint(ctx, name); err != nil {
		return err
	}
	r.Wake()
	return nil
}

// jobName reads the job's SageMaker name from an event; "" if it is no state change of a training job. The job may be anybody's.
func jobName(body string) string {
	var event stateChange
	if json.Unmarshal([]byte(body), &event) != nil || event.Source != "aws.sagemaker" || event.DetailType != "SageMaker Training Job State Change" {
		return ""
	}
	return event.Detail.TrainingJobName
}
