package localcloud

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	awssagemaker "github.com/aws/aws-sdk-go-v2/service/sagemaker"
	smtypes "github.com/aws/aws-sdk-go-v2/service/sagemaker/types"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/trainyard/trainyard/services/internal/awscfg"
	"github.com/trainyard/trainyard/services/localcloud/sagemaker"
)

// The services together: a job reads its channel from S3, logs, leaves its
// model in S3 and tells the queue of each step.
func TestTrainingJobThroughAllServices(t *testing.T) {
	_, cfg := start(t, Config{SageMaker: sagemaker.Config{Images: map[string]sagemaker.Program{
		"trainer": {Argv: []string{"/bin/sh", "-c", `echo learning; cp "$SAGEMAKER_BASE_DIR"/input/data/train/* "$SAGEMAKER_BASE_DIR"/model/`}},
	}}})
	ctx := t.Context()
	made := must[Resources](t)(Provision(ctx, cfg, nil))
	store, training := awscfg.S3(cfg), awssagemaker.NewFromConfig(cfg)
	bucket, name := aws.String(Bucket), aws.String("job-1")
	must[*awss3.PutObjectOutput](t)(store.PutObject(ctx, &awss3.PutObjectInput{Bucket: bucket, Key: aws.String("datasets/d/shard"), Body: strings.NewReader("data")}))
	must[*awssagemaker.CreateTrainingJobOutput](t)(training.CreateTrainingJob(ctx, &awssagemaker.CreateTrainingJobInput{
		TrainingJobName: name, RoleArn: aws.String("arn:aws:iam::" + AccountID + ":role/training"),
		AlgorithmSpecification: &smtypes.AlgorithmSpecification{TrainingImage: aws.String("trainer:1"), TrainingInputMode: smtypes.TrainingInputModeFile},
		InputDataConfig: []smtypes.Channel{{ChannelName: aws.String("train"), DataSource: &smtypes.DataSource{S3DataSource: &smtypes.S3DataSource{
			S3DataType: smtypes.S3DataTypeS3Prefix, S3Uri: aws.String("s3://" + Bucket + "/datasets/d/"),
		}}}},
		OutputDataConfig:  &smtypes.OutputDataConfig{S3OutputPath: aws.String("s3://" + Bucket + "/models")},
		ResourceConfig:    &smtypes.ResourceConfig{InstanceType: smtypes.TrainingInstanceTypeMlM5Xlarge, InstanceCount: aws.Int32(1), VolumeSizeInGB: aws.Int32(10)},
		StoppingCondition: &smtypes.StoppingCondition{MaxRuntimeInSeconds: aws.Int32(60)},
	}))

	queues := awssqs.NewFromConfig(cfg)
	status := ""
	for deadline := time.Now().Add(30 * time.Second); status != "Completed" && time.Now().Before(deadline); {
		out := must[*awssqs.ReceiveMessageOutput](t)(queues.ReceiveMessage(ctx, &awssqs.ReceiveMessageInput{QueueUrl: &made.TrainingEventsQueueURL, WaitTimeSeconds: 5, MaxNumberOfMessages: 10}))
		for _, m := range out.Messages {
			var event struct {
				Source string
				Detail struct{ TrainingJobName, TrainingJobStatus string }
			}
			if err := json.Unmarshal([]byte(*m.Body), &event); err != nil || event.Source != "aws.sagemaker" || event.Detail.TrainingJobName != *name {
				t.Fatalf("event %s: %v", *m.Body, err)
			}
			status = event.Detail.TrainingJobStatus
			if status == "Failed" {
				t.Fatalf("job failed: %s", *m.Body)
			}
		}
	}
	if status != "Completed" {
		t.Fatalf("last event says %q", status)
	}
	head := must[*awss3.HeadObjectOutput](t)(store.HeadObject(ctx, &awss3.HeadObjectInput{Bucket: bucket, Key: aws.String("models/job-1/output/model.tar.gz")}))
	if *head.ContentLength == 0 {
		t.Error("the model is empty")
	}
	logged := must[*cloudwatchlogs.FilterLogEventsOutput](t)(cloudwatchlogs.NewFromConfig(cfg).FilterLogEvents(ctx, &cloudwatchlogs.FilterLogEventsInput{
		LogGroupName: aws.String(sagemaker.LogGroup), LogStreamNamePrefix: aws.String(*name + "/"),
	}))
	if len(logged.Events) != 1 || *logged.Events[0].Message != "learning" {
		t.Errorf("log %+v", logged.Events)
	}
}
