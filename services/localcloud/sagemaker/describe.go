package sagemaker

import (
	"encoding/json"
	"fmt"
	"time"
)

// describe builds the members that Describe and the events share; stamp writes times the way each wants them.
func (j *job) describe(stamp func(time.Time) any) map[string]any {
	out := map[string]any{
		"EnableNetworkIsolation": false, "EnableInterContainerTrafficEncryption": false, "EnableManagedSpotTraining": false,
	}
	for k, v := range j.Request {
		out[k] = v
	}
	delete(out, "SessionChainingConfig") // Describe has no such member.
	out["TrainingJobName"] = j.Name
	out["TrainingJobArn"] = j.ARN
	out["TrainingJobStatus"] = j.Status
	out["SecondaryStatus"] = j.Secondary
	out["CreationTime"] = stamp(j.Created)
	out["LastModifiedTime"] = stamp(j.Modified)
	out["ModelArtifacts"] = map[string]string{"S3ModelArtifacts": j.Artifacts}
	if j.FailureReason != "" {
		out["FailureReason"] = j.FailureReason
	}
	now := time.Now()
	if w := j.warmPoolStatus(now); w != nil {
		out["WarmPoolStatus"] = w
	}
	if j.Ended != nil {
		now = *j.Ended
		out["TrainingEndTime"] = stamp(now)
	}
	if j.Started != nil {
		out["TrainingStartTime"] = stamp(*j.Started)
		out["TrainingTimeInSeconds"] = ceilSeconds(j.training(now))
		out["BillableTimeInSeconds"] = j.billable(now)
	}
	transitions := make([]map[string]any, len(j.Transitions))
	for i, t := range j.Transitions {
		transitions[i] = map[string]any{"Status": t.Status, "StartTime": stamp(t.Start), "StatusMessage": t.Message}
		if t.End != nil {
			transitions[i]["EndTime"] = stamp(*t.End)
		}
	}
	out["SecondaryStatusTransitions"] = transitions
	if len(j.Metrics) > 0 {
		metrics := make([]map[string]any, len(j.Metrics))
		for i, m := range j.Metrics {
			metrics[i] = map[string]any{"MetricName": m.Name, "Value": m.Value, "Timestamp": stamp(m.Time)}
		}
		out["FinalMetricDataList"] = metrics
	}
	return out
}

// epochSeconds is how the AWS JSON protocol writes a time.
func epochSeconds(t time.Time) any {
	return json.Number(fmt.Sprintf("%d.%03d", t.Unix(), t.Nanosecond()/1e6))
}

// epochMillis is how SageMaker's EventBridge events write a time.
func epochMillis(t time.Time) any { return t.UnixMilli() }
