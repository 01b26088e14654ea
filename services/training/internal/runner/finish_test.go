package runner

import (
	"testing"

	errorsv1 "github.com/trainyard/trainyard/gen/trainyard/errors/v1"
)

func TestFailureIsTheTrainersOwnMessage(t *testing.T) {
	const trainer, service = errorsv1.ErrorReason_TRAINER_FAILED, errorsv1.ErrorReason_TRAINING_SERVICE_FAILED
	for name, test := range map[string]struct {
		reason  string
		want    errorsv1.ErrorReason
		message string
		code    string
	}{
		"trainer":         {"AlgorithmError: the loss became nan, exit code: 1", trainer, "the loss became nan", "1"},
		"no code":         {"AlgorithmError: out of memory", trainer, "out of memory", ""},
		"no text":         {"AlgorithmError: , exit code: 137", trainer, "The training program failed without saying why. Its log tells more.", "137"},
		"client":          {"ClientError: Data download failed: no S3 route", service, "ClientError: Data download failed: no S3 route", ""},
		"internal":        {"InternalServerError: We encountered an internal error.", service, "InternalServerError: We encountered an internal error.", ""},
		"nothing":         {"", service, "SageMaker ended the job as failed without saying why. Its log tells more.", ""},
		"code in a story": {"AlgorithmError: exit code: 3 came from the tool, exit code: 1", trainer, "exit code: 3 came from the tool", "1"},
	} {
		t.Run(name, func(t *testing.T) {
			got := failureOf(test.reason)
			if got.Reason != test.want || got.Message != test.message || got.Metadata["exit_code"] != test.code {
				t.Fatalf("got %v %q %v", got.Reason, got.Message, got.Metadata)
			}
			if got.Metadata["sagemaker_failure_reason"] != test.reason {
				t.Fatal("SageMaker's own text is lost")
			}
		})
	}
}

func TestEventsAreReadStrictly(t *testing.T) {
	const good = `{"source":"aws.sagemaker","detail-type":"SageMaker Training Job State Change","detail":{"TrainingJobName":"trainyard-1","CreationTime":1583831889050}}`
	for name, test := range map[string]struct{ body, want string }{
		"state change":  {good, "trainyard-1"},
		"no JSON":       {"hello", ""},
		"other source":  {`{"source":"me","detail-type":"SageMaker Training Job State Change","detail":{"TrainingJobName":"x"}}`, ""},
		"other type":    {`{"source":"aws.sagemaker","detail-type":"SageMaker Model State Change","detail":{"TrainingJobName":"x"}}`, ""},
		"wrong shape":   {`{"source":"aws.sagemaker","detail-type":"SageMaker Training Job State Change","detail":"x"}`, ""},
		"test event":    {`{"Service":"Amazon S3","Event":"s3:TestEvent"}`, ""},
		"no job's name": {`{"source":"aws.sagemaker","detail-type":"SageMaker Training Job State Change","detail":{}}`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			if got := jobName(test.body); got != test.want {
				t.Fatalf("got %q, want %q", got, test.want)
			}
		})
	}
}
