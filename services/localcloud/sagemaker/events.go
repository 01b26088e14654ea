package sagemaker

import (
	"context"
	"encoding/json"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/google/uuid"
	"go.uber.org/zap"
)

// envelope is the EventBridge event of a job's present status: "SageMaker Training Job State Change", the detail being what
// Describe says, with a map of tags and times in milliseconds since the Unix epoch. It is "" when nobody listens.
//
// Format: https://docs.aws.amazon.com/sagemaker/latest/dg/automating-sagemaker-with-eventbridge.html
func (s *Service) envelope(j *job) (string, error) {
	if len(s.cfg.EventQueues) == 0 {
		return "", nil
	}
	detail := j.describe(epochMillis)
	tags := map[string]string{}
	for _, t := range j.Tags {
		tags[t.Key] = t.Value
	}
	detail["Tags"] = tags
	body, err := json.Marshal(map[string]any{
		"version": "0", "id": uuid.NewString(), "detail-type": "SageMaker Training Job State Change", "source": "aws.sagemaker",
		"account": s.cfg.Account, "time": j.Modified.UTC().Format(time.RFC3339), "region": s.cfg.Region,
		"resources": []string{j.ARN}, "detail": detail,
	})
	return string(body), err
}

// sendFor is how long an event is tried on a queue before it is dropped, so that a queue that is gone holds nothing up.
const sendFor = 5 * time.Minute

// relayEvents sends stored events in order and forgets each once every queue has it. After a crash in between an event is
// sent again, which EventBridge does too.
func (s *Service) relayEvents(ctx context.Context) error {
	for {
		e, found, err := s.store.nextEvent(ctx)
		if err != nil {
			return err
		}
		if !found {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-s.events:
				continue
			}
		}
		for _, queue := range s.cfg.EventQueues {
			_, err := backoff.Retry(ctx, func() (struct{}, error) {
				return struct{}{}, s.deps.Events.Send(ctx, queue, e.body)
			}, backoff.WithMaxElapsedTime(sendFor), backoff.WithNotify(func(err error, after time.Duration) {
				s.log.Warn("cannot send a state change event", zap.String("queue", queue), zap.Duration("again_after", after), zap.Error(err))
			}))
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err != nil {
				s.log.Error("dropped a state change event", zap.String("queue", queue), zap.Error(err))
			}
		}
		if err := s.store.deleteEvent(ctx, e.id); err != nil {
			return err
		}
	}
}
