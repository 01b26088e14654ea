package sagemaker

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"slices"
	"strings"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"

	"github.com/trainyard/trainyard/services/localcloud/awsjson"
)

// checkS3Timeout bounds how long CreateTrainingJob looks for objects under an S3 channel's prefix.
const checkS3Timeout = 5 * time.Second

func (s *Service) createTrainingJob(ctx context.Context, body []byte) (any, error) {
	request := map[string]json.RawMessage{}
	if err := json.Unmarshal(body, &request); err != nil {
		return nil, awsjson.Errorf("SerializationException", "%v", err)
	}
	// Members are told by their exact names: what is checked, run and described is the same.
	members := reflect.TypeFor[sdk.CreateTrainingJobInput]()
	for member, value := range request {
		if _, known := members.FieldByName(member); !known || string(value) == "null" {
			delete(request, member)
		}
	}
	in, err := decodeRequest(request)
	if err != nil {
		return nil, awsjson.Errorf("SerializationException", "%v", err)
	}
	if err := checkModel(in); err != nil {
		return nil, err
	}
	if err := s.checkRules(in); err != nil {
		return nil, err
	}
	if _, err := s.store.get(ctx, *in.TrainingJobName); errors.As(err, new(*awsjson.Error)) {
		// Only a new job is worth a look into S3; a taken name is refused by insert.
		if err := s.checkInputsExist(ctx, in); err != nil {
			return nil, err
		}
	}
	delete(request, "Tags")
	if in.StoppingCondition == nil {
		request["StoppingCondition"] = json.RawMessage(`{"MaxRuntimeInSeconds":86400}`)
	}
	now := time.Now()
	j := &job{
		Name: *in.TrainingJobName, ARN: s.jobARN(*in.TrainingJobName), Request: request, Tags: mergeTags(nil, in.Tags),
		Status: types.TrainingJobStatusInProgress, Created: now, Modified: now,
	}
	if isSpot(in) {
		j.SpotDiscount, j.MaxWait = s.cfg.SpotDiscount, time.Duration(*in.StoppingCondition.MaxWaitTimeInSeconds)*time.Second
	}
	j.move(types.SecondaryStatusStarting, now)
	if err := s.store.insert(ctx, j); err != nil {
		return nil, err
	}
	signal(s.wake)
	signal(s.events)
	return map[string]string{"TrainingJobArn": j.ARN}, nil
}

// checkInputsExist refuses a job whose S3 channel holds nothing, as SageMaker does at once. If S3 can't be asked the job
// is taken: it asks again when it downloads.
func (s *Service) checkInputsExist(ctx context.Context, in *sdk.CreateTrainingJobInput) error {
	ctx, cancel := context.WithTimeout(ctx, checkS3Timeout)
	defer cancel()
	for _, c := range in.InputDataConfig {
		d := c.DataSource.S3DataSource
		if d == nil {
			continue
		}
		bucket, key, err := parseS3URI(*d.S3Uri)
		if err != nil {
			return err
		}
		empty, err := s.prefixEmpty(ctx, bucket, key)
		if err == nil && empty || isAPIError(err) {
			return invalid("%s", s.noObjects(in, *d.S3Uri, bucket))
		}
	}
	return nil
}

type jobNameInput struct{ TrainingJobName string }

func (i jobNameInput) check() error {
	v := new(violations)
	v.text("trainingJobName", &i.TrainingJobName, 1, 63, jobName)
	return v.err()
}

func (s *Service) describeTrainingJob(ctx context.Context, in jobNameInput) (any, error) {
	if err := in.check(); err != nil {
		return nil, err
	}
	j, err := s.store.get(ctx, in.TrainingJobName)
	if err != nil {
		return nil, err
	}
	return j.describe(epochSeconds), nil
}

func (s *Service) stopTrainingJob(ctx context.Context, in jobNameInput) (any, error) {
	if err := in.check(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.running[in.TrainingJobName]
	_, err := s.store.update(ctx, in.TrainingJobName, func(j *job) error {
		switch {
		case j.ended():
			return invalid("The request was rejected because the training job is in status %s.", j.Status)
		case j.Status == types.TrainingJobStatusStopping || j.Outcome != nil:
			return nil // It is ending already.
		}
		now := time.Now()
		j.Status, j.StopCause = types.TrainingJobStatusStopping, stopped
		j.move(types.SecondaryStatusStopping, now)
		if r == nil {
			j.Outcome = &outcome{Kind: stopped} // Nothing runs, so the next start only has to end it.
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if r != nil {
		r.cancel(errStopRequested)
	}
	signal(s.wake)
	signal(s.events)
	return nil, nil
}

func (s *Service) deleteTrainingJob(ctx context.Context, in jobNameInput) (any, error) {
	if err := in.check(); err != nil {
		return nil, err
	}
	return nil, s.store.delete(ctx, in.TrainingJobName)
}

// seconds is a time as the AWS JSON protocol writes it: seconds since the Unix epoch, with a fraction.
type seconds float64

func (t *seconds) time() *time.Time {
	if t == nil {
		return nil
	}
	whole, frac := math.Modf(float64(*t))
	at := time.Unix(int64(whole), int64(math.Round(frac*1e6))*1e3)
	return &at
}

type listTrainingJobsInput struct {
	CreationTimeAfter      *seconds
	CreationTimeBefore     *seconds
	LastModifiedTimeAfter  *seconds
	LastModifiedTimeBefore *seconds
	MaxResults             *int32
	NameContains           string
	NextToken              string
	SortBy                 types.SortBy
	SortOrder              types.SortOrder
	StatusEquals           types.TrainingJobStatus
}

func (s *Service) listTrainingJobs(ctx context.Context, in listTrainingJobsInput) (any, error) {
	v := new(violations)
	v.number("maxResults", in.MaxResults, 1, 100)
	v.text("nameContains", &in.NameContains, 0, 63, nil)
	enum(v, "sortBy", in.SortBy, types.SortBy("").Values())
	enum(v, "sortOrder", in.SortOrder, types.SortOrder("").Values())
	enum(v, "statusEquals", in.StatusEquals, types.TrainingJobStatus("").Values())
	if err := v.err(); err != nil {
		return nil, err
	}
	l := listing{
		status: in.StatusEquals, nameContains: in.NameContains, sortBy: in.SortBy, after: in.NextToken, limit: 10,
		createdAfter: in.CreationTimeAfter.time(), createdBefore: in.CreationTimeBefore.time(),
		modifiedAfter: in.LastModifiedTimeAfter.time(), modifiedBefore: in.LastModifiedTimeBefore.time(),
		descending: in.SortOrder == types.SortOrderDescending,
	}
	if l.sortBy == "" {
		l.sortBy = types.SortByCreationTime
	}
	if in.MaxResults != nil {
		l.limit = int(*in.MaxResults)
	}
	jobs, next, err := s.store.list(ctx, l)
	if err != nil {
		return nil, err
	}
	summaries := make([]map[string]any, len(jobs))
	for i, j := range jobs {
		summaries[i] = map[string]any{
			"TrainingJobName": j.Name, "TrainingJobArn": j.ARN, "TrainingJobStatus": j.Status, "SecondaryStatus": j.Secondary,
			"CreationTime": epochSeconds(j.Created), "LastModifiedTime": epochSeconds(j.Modified),
		}
		if j.Ended != nil {
			summaries[i]["TrainingEndTime"] = epochSeconds(*j.Ended)
		}
	}
	out := map[string]any{"TrainingJobSummaries": summaries}
	if next != "" {
		out["NextToken"] = next
	}
	return out, nil
}

type tagsInput struct {
	ResourceArn string
	Tags        []types.Tag
}

func (i tagsInput) jobName() (string, error) {
	v := new(violations)
	v.text("resourceArn", &i.ResourceArn, 0, 256, resourceARN)
	v.tags(i.Tags)
	if err := v.err(); err != nil {
		return "", err
	}
	_, name, ok := strings.Cut(i.ResourceArn, ":training-job/")
	if !ok {
		return "", errNotFound()
	}
	return name, nil
}

func (s *Service) addTags(ctx context.Context, in tagsInput) (any, error) {
	name, err := in.jobName()
	if err != nil {
		return nil, err
	}
	j, err := s.store.update(ctx, name, func(j *job) error {
		j.Tags = mergeTags(j.Tags, in.Tags)
		if len(j.Tags) > 50 {
			return invalid("A resource can have at most 50 tags: this would make %d.", len(j.Tags))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return map[string]any{"Tags": j.Tags}, nil
}

func (s *Service) listTags(ctx context.Context, in tagsInput) (any, error) {
	name, err := in.jobName()
	if err != nil {
		return nil, err
	}
	j, err := s.store.get(ctx, name)
	if err != nil {
		return nil, err
	}
	return map[string]any{"Tags": append([]tag{}, j.Tags...)}, nil
}

// mergeTags adds tags; a key that is there gets the new value.
func mergeTags(have []tag, add []types.Tag) []tag {
	for _, t := range add {
		if i := slices.IndexFunc(have, func(h tag) bool { return h.Key == *t.Key }); i >= 0 {
			have[i].Value = *t.Value
		} else {
			have = append(have, tag{*t.Key, *t.Value})
		}
	}
	return have
}
