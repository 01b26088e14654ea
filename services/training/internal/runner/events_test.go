package runner

import "testing"

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
