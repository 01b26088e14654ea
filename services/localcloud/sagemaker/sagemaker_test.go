package sagemaker_test

import (
	"crypto/rand"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	cwl "github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	sdk "github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/trainyard/trainyard/services/localcloud/sagemaker"
)

func TestJobUnderTheContainerContract(t *testing.T) {
	t.Setenv("OURS_ONLY", "secret")
	queue := newQueue(t, "contract")
	c := start(t, sagemaker.Config{
		EventQueues: []string{queue},
		Images: map[string]sagemaker.Program{
			"registry/": {Argv: []string{"false"}},
			"registry/trainer:": {Env: map[string]string{"FROM_IMAGE": "image", "FROM_BOTH": "image"}, Argv: []string{"sh", "-ec", `
				cd "$SAGEMAKER_BASE_DIR"
				env | sed 's/^/env /'
				find input output model checkpoints | sort | sed 's/^/file /'
				for f in input/config/*; do echo "config $(basename $f) $(cat $f)"; done
				echo "args $*"
				echo "loss: 0.5 accuracy: 0.25" >&2
				echo "loss: 0.125 accuracy: nan"
				printf 'no newline'
				mkdir -p model/1/variables
				cat input/data/train/part-0 > model/1/saved_model.pb
				echo weights > model/1/variables/data
				echo report > output/data/report.txt`, "trainer"}},
		},
	}, "")
	c.put("contract/train/part-0", "zero")
	c.put("contract/train/deep/part-1", "one")
	c.put("contract/train-not-this-folder", "but this prefix")

	in := request("contract-1")
	in.AlgorithmSpecification.TrainingImage = aws.String("registry/trainer:v2")
	in.AlgorithmSpecification.ContainerArguments = []string{"--fast", "a b"}
	in.AlgorithmSpecification.MetricDefinitions = []types.MetricDefinition{
		{Name: aws.String("train:loss"), Regex: aws.String(`loss: ([0-9.]+)`)},
		{Name: aws.String("train:accuracy"), Regex: aws.String(`accuracy: (\S+)`)},
	}
	in.HyperParameters = map[string]string{"epochs": "3", "labels": `["a","b"]`}
	in.Environment = map[string]string{"FROM_JOB": "job", "FROM_BOTH": "job", "TRAINING_JOB_NAME": "not-this"}
	in.Tags = []types.Tag{{Key: aws.String("project"), Value: aws.String("p1")}}
	in.InputDataConfig = []types.Channel{s3Channel("train", "s3://trainyard/contract/train/"), s3Channel("all", "s3://trainyard/contract/train")}
	in.InputDataConfig[0].ContentType = aws.String("application/x-tfrecord")
	in.InputDataConfig[1].InputMode = types.TrainingInputModeFastfile
	in.CheckpointConfig = &types.CheckpointConfig{S3Uri: aws.String("s3://trainyard/contract/checkpoints")}
	arn := c.create(in)
	same(t, "arn", arn, "arn:aws:sagemaker:us-east-1:000000000000:training-job/contract-1")
	d := c.awaitEnd("contract-1")

	t.Run("description", func(t *testing.T) {
		same(t, "status", d.TrainingJobStatus, types.TrainingJobStatusCompleted)
		same(t, "failure", aws.ToString(d.FailureReason), "")
		same(t, "phases", phases(t, d), []string{"Starting", "Downloading", "Training", "Uploading", "Completed"})
		same(t, "artifacts", aws.ToString(d.ModelArtifacts.S3ModelArtifacts), "s3://trainyard/models/contract-1/output/model.tar.gz")
		same(t, "hyperparameters", d.HyperParameters, in.HyperParameters)
		same(t, "environment", d.Environment, in.Environment)
		same(t, "algorithm", d.AlgorithmSpecification, in.AlgorithmSpecification)
		same(t, "inputs", d.InputDataConfig, in.InputDataConfig)
		same(t, "output", d.OutputDataConfig, in.OutputDataConfig)
		same(t, "resources", d.ResourceConfig, in.ResourceConfig)
		same(t, "stopping", d.StoppingCondition, in.StoppingCondition)
		same(t, "checkpoints", d.CheckpointConfig, in.CheckpointConfig)
		same(t, "role", d.RoleArn, in.RoleArn)
		same(t, "started", d.TrainingStartTime, d.SecondaryStatusTransitions[1].StartTime)
		same(t, "ended", d.TrainingEndTime, d.SecondaryStatusTransitions[4].EndTime)
		if d.CreationTime.After(*d.TrainingStartTime) || d.LastModifiedTime.Before(*d.TrainingEndTime) {
			t.Errorf("times out of order: created %v started %v ended %v modified %v", d.CreationTime, d.TrainingStartTime, d.TrainingEndTime, d.LastModifiedTime)
		}
		if b, tr := aws.ToInt32(d.BillableTimeInSeconds), aws.ToInt32(d.TrainingTimeInSeconds); b < 1 || b > 20 || tr < 1 || tr > 20 {
			t.Errorf("billable %d s, training %d s", b, tr)
		}
	})

	lines := c.log("contract-1")
	config := func(name string) (v any) {
		for _, l := range lines {
			if body, ok := strings.CutPrefix(l, "config "+name+" "); ok {
				must(t, json.Unmarshal([]byte(body), &v))
			}
		}
		return v
	}
	t.Run("configuration", func(t *testing.T) {
		same(t, "hyperparameters", config("hyperparameters.json"), map[string]any{"epochs": "3", "labels": `["a","b"]`})
		same(t, "inputdataconfig", config("inputdataconfig.json"), map[string]any{
			"train": map[string]any{"ContentType": "application/x-tfrecord", "TrainingInputMode": "File", "S3DistributionType": "FullyReplicated", "RecordWrapperType": "None"},
			"all":   map[string]any{"TrainingInputMode": "FastFile", "S3DistributionType": "FullyReplicated", "RecordWrapperType": "None"},
		})
		same(t, "resourceconfig", config("resourceconfig.json"), map[string]any{
			"current_host": "algo-1", "hosts": []any{"algo-1"}, "current_instance_type": "ml.m5.xlarge", "current_group_name": "homogeneousCluster",
			"instance_groups":        []any{map[string]any{"instance_group_name": "homogeneousCluster", "instance_type": "ml.m5.xlarge", "hosts": []any{"algo-1"}}},
			"network_interface_name": "lo",
		})
		same(t, "checkpointconfig", config("checkpointconfig.json"), map[string]any{"S3Uri": "s3://trainyard/contract/checkpoints", "LocalPath": "/opt/ml/checkpoints/"})
	})
	t.Run("environment", func(t *testing.T) {
		env := map[string]string{}
		for _, l := range lines {
			if kv, ok := strings.CutPrefix(l, "env "); ok {
				k, v, _ := strings.Cut(kv, "=")
				env[k] = v
			}
		}
		for k, want := range map[string]string{
			"TRAINING_JOB_NAME": "contract-1", "TRAINING_JOB_ARN": arn, "AWS_REGION": "us-east-1",
			"FROM_IMAGE": "image", "FROM_JOB": "job", "FROM_BOTH": "job", "OURS_ONLY": "",
		} {
			same(t, k, env[k], want)
		}
	})
	t.Run("files", func(t *testing.T) {
		var files []string
		for _, l := range lines {
			if f, ok := strings.CutPrefix(l, "file "); ok && strings.HasPrefix(f, "input/data/") {
				files = append(files, f)
			}
		}
		// A prefix gives up what stands before its last slash.
		same(t, "inputs", files, []string{
			"input/data/all", "input/data/all/train", "input/data/all/train-not-this-folder", "input/data/all/train/deep",
			"input/data/all/train/deep/part-1", "input/data/all/train/part-0",
			"input/data/train", "input/data/train/deep", "input/data/train/deep/part-1", "input/data/train/part-0",
		})
		same(t, "model", c.untar("models/contract-1/output/model.tar.gz"), map[string]string{"1/saved_model.pb": "zero", "1/variables/data": "weights\n"})
		same(t, "output", c.untar("models/contract-1/output/output.tar.gz"), map[string]string{"report.txt": "report\n"})
	})
	t.Run("log", func(t *testing.T) {
		same(t, "arguments", slices.Contains(lines, "args --fast a b"), true)
		same(t, "last line", lines[len(lines)-1], "no newline")
		streams, err := c.logs.DescribeLogStreams(t.Context(), &cwl.DescribeLogStreamsInput{LogGroupName: aws.String(sagemaker.LogGroup)})
		must(t, err)
		if name := *streams.LogStreams[0].LogStreamName; !regexp.MustCompile(`^contract-1/algo-1-\d{10}$`).MatchString(name) {
			t.Errorf("stream %s", name)
		}
	})
	t.Run("metrics", func(t *testing.T) {
		got := map[string]float32{}
		for _, m := range d.FinalMetricDataList {
			got[*m.MetricName] = *m.Value
		}
		same(t, "last values", got, map[string]float32{"train:loss": 0.125, "train:accuracy": 0.25})
	})
	t.Run("events", func(t *testing.T) {
		var secondary []any
		for _, e := range receive(t, c, queue, 5) {
			detail := e["detail"].(map[string]any)
			secondary = append(secondary, detail["SecondaryStatus"])
			same(t, "source", []any{e["source"], e["detail-type"], e["account"], e["region"]}, []any{"aws.sagemaker", "SageMaker Training Job State Change", "000000000000", "us-east-1"})
			same(t, "resources", e["resources"], []any{arn})
			same(t, "name", detail["TrainingJobName"], "contract-1")
			same(t, "tags", detail["Tags"], map[string]any{"project": "p1"})
			same(t, "created", detail["CreationTime"], float64(d.CreationTime.UnixMilli()))
			if _, err := time.Parse(time.RFC3339, e["time"].(string)); err != nil {
				t.Error(err)
			}
		}
		same(t, "in order", secondary, []any{"Starting", "Downloading", "Training", "Uploading", "Completed"})
	})
}

func newQueue(t *testing.T, name string) string {
	t.Helper()
	out, err := sqs.NewFromConfig(cloud).CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: aws.String(name + "-" + rand.Text())})
	must(t, err)
	return *out.QueueUrl
}

// receive takes n messages off a queue, in the order of their being sent.
func receive(t *testing.T, c *instance, queue string, n int) []map[string]any {
	t.Helper()
	var events []map[string]any
	for deadline := time.Now().Add(patience); len(events) < n && time.Now().Before(deadline); {
		out, err := c.sqs.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: &queue, MaxNumberOfMessages: 1, WaitTimeSeconds: 1})
		must(t, err)
		for _, m := range out.Messages {
			var e map[string]any
			must(t, json.Unmarshal([]byte(*m.Body), &e))
			events = append(events, e)
		}
	}
	return events
}

func TestFailures(t *testing.T) {
	long := strings.Repeat("x", 2000)
	for _, tc := range []struct {
		name, script, reason string
		change               func(*sdk.CreateTrainingJobInput)
		phases               []string
	}{
		{name: "failure file", script: `printf 'labels differ: 3 != 4\n' > output/failure; exit 3`, reason: "AlgorithmError: labels differ: 3 != 4, exit code: 3"},
		{name: "long failure file", script: `printf ` + long + ` > output/failure; exit 1`, reason: "AlgorithmError: " + long[:1024-len("AlgorithmError: , exit code: 255")] + ", exit code: 1"},
		{name: "no failure file", script: `exit 1`, reason: "AlgorithmError: , exit code: 1"},
		{name: "killed", script: `kill -9 $$`, reason: "AlgorithmError: , exit code: 137"},
		{
			name: "no such program", reason: "AlgorithmError: , exit code: 127",
			change: func(in *sdk.CreateTrainingJobInput) {
				in.AlgorithmSpecification.ContainerEntrypoint = []string{"/no/such/program"}
			},
		},
		{
			name: "no such image", reason: "ClientError: Cannot pull algorithm container. Either the image does not exist or its permissions are incorrect.",
			change: func(in *sdk.CreateTrainingJobInput) {
				in.AlgorithmSpecification.TrainingImage = aws.String("elsewhere/trainer:1")
			},
			phases: []string{"Starting", "Downloading", "Failed"},
		},
		{
			name: "no such output bucket", script: `touch model/m`, reason: "ClientError: Artifact upload failed:",
			change: func(in *sdk.CreateTrainingJobInput) {
				in.OutputDataConfig.S3OutputPath = aws.String("s3://no-such-bucket/x")
			},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			c := start(t, sagemaker.Config{}, tc.script)
			in := request("failing")
			if tc.change != nil {
				tc.change(in)
			}
			c.create(in)
			d := c.awaitEnd("failing")
			same(t, "status", d.TrainingJobStatus, types.TrainingJobStatusFailed)
			got := aws.ToString(d.FailureReason)
			if strings.HasSuffix(tc.reason, ":") {
				got = got[:min(len(got), len(tc.reason))]
			}
			same(t, "reason", got, tc.reason)
			want := []string{"Starting", "Downloading", "Training", "Uploading", "Failed"}
			if tc.phases != nil {
				want = tc.phases
			}
			same(t, "phases", phases(t, d), want)
			same(t, "artifacts", aws.ToString(d.ModelArtifacts.S3ModelArtifacts), "")
		})
	}
}

func TestStop(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, script, model string
		grace               time.Duration
	}{
		{"the program saves and ends", `trap 'echo saved > model/m; exit 0' TERM; echo ready; while :; do sleep 0.01; done`, "saved\n", time.Minute},
		{"the program ends badly", `trap 'echo saved > model/m; exit 9' TERM; echo ready; while :; do sleep 0.01; done`, "saved\n", time.Minute},
		{"the program doesn't listen", `echo early > model/m; trap '' TERM; echo ready; while :; do sleep 0.01; done`, "early\n", 50 * time.Millisecond},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			c := start(t, sagemaker.Config{StopGrace: tc.grace}, tc.script)
			name := "stopped-" + strings.ReplaceAll(strings.ReplaceAll(tc.name, " ", "-"), "'", "")
			c.create(request(name))
			c.awaitLog(name, "ready")
			_, err := c.sm.StopTrainingJob(t.Context(), &sdk.StopTrainingJobInput{TrainingJobName: &name})
			must(t, err)
			// Once more changes nothing. The job may have ended by now, which is told.
			if _, err = c.sm.StopTrainingJob(t.Context(), &sdk.StopTrainingJobInput{TrainingJobName: &name}); err != nil {
				wantError(t, err, "ValidationException", "The request was rejected because the training job is in status Stopped.")
			}
			d := c.awaitEnd(name)
			same(t, "status", d.TrainingJobStatus, types.TrainingJobStatusStopped)
			same(t, "phases", phases(t, d), []string{"Starting", "Downloading", "Training", "Stopping", "Uploading", "Stopped"})
			same(t, "failure", aws.ToString(d.FailureReason), "")
			same(t, "model", c.untar("models/" + name + "/output/model.tar.gz")["m"], tc.model)
			_, err = c.sm.StopTrainingJob(t.Context(), &sdk.StopTrainingJobInput{TrainingJobName: &name})
			wantError(t, err, "ValidationException", "The request was rejected because the training job is in status Stopped.")
		})
	}
}

func TestMaxRuntime(t *testing.T) {
	t.Parallel()
	c := start(t, sagemaker.Config{}, `trap 'echo saved > model/m; exit 0' TERM; while :; do sleep 0.01; done`)
	in := request("too-long")
	in.StoppingCondition.MaxRuntimeInSeconds = aws.Int32(1)
	c.create(in)
	d := c.awaitEnd("too-long")
	same(t, "status", d.TrainingJobStatus, types.TrainingJobStatusStopped)
	same(t, "secondary", d.SecondaryStatus, types.SecondaryStatusMaxRuntimeExceeded)
	same(t, "phases", phases(t, d), []string{"Starting", "Downloading", "Training", "Stopping", "Uploading", "MaxRuntimeExceeded"})
	same(t, "model", c.untar("models/too-long/output/model.tar.gz")["m"], "saved\n")
}

func TestJobsWaitForAPlace(t *testing.T) {
	t.Parallel()
	c := start(t, sagemaker.Config{MaxConcurrentJobs: 1}, `while [ ! -e "$GO" ]; do sleep 0.01; done`)
	gate := filepath.Join(t.TempDir(), "go")
	for _, name := range []string{"first", "second", "third"} {
		in := request("place-" + name)
		in.Environment = map[string]string{"GO": gate}
		c.create(in)
	}
	for _, name := range []string{"place-second", "place-third"} {
		c.await(name, "Pending", func(d *sdk.DescribeTrainingJobOutput) bool { return d.SecondaryStatus == types.SecondaryStatusPending })
	}
	// A job that waits needs no place to stop.
	_, err := c.sm.StopTrainingJob(t.Context(), &sdk.StopTrainingJobInput{TrainingJobName: aws.String("place-third")})
	must(t, err)
	d := c.awaitEnd("place-third")
	same(t, "stopped", phases(t, d), []string{"Starting", "Pending", "Stopping", "Stopped"})
	same(t, "billed", d.BillableTimeInSeconds, (*int32)(nil))
	same(t, "first", c.describe("place-first").SecondaryStatus, types.SecondaryStatusTraining)

	must(t, os.WriteFile(gate, nil, 0o600))
	same(t, "first", c.awaitEnd("place-first").TrainingJobStatus, types.TrainingJobStatusCompleted)
	same(t, "second", phases(t, c.awaitEnd("place-second")), []string{"Starting", "Pending", "Downloading", "Training", "Uploading", "Completed"})
}

func TestLogLines(t *testing.T) {
	t.Parallel()
	c := start(t, sagemaker.Config{}, `
		printf 'windows\r\n\n'
		printf 'bad \377 byte\n'
		head -c 300000 /dev/zero | tr '\0' x; echo
		i=0; while [ $i -lt 20000 ]; do echo "step $i"; i=$((i+1)); done
		sleep 600 & # It holds the output open, and must not hold the job up.
		echo end`)
	c.create(request("lines"))
	d := c.awaitEnd("lines")
	if took := d.TrainingEndTime.Sub(*d.TrainingStartTime); took > 15*time.Second {
		t.Errorf("the job took %v", took)
	}
	var lines []string
	pages := cwl.NewFilterLogEventsPaginator(c.logs, &cwl.FilterLogEventsInput{LogGroupName: aws.String(sagemaker.LogGroup)})
	for pages.HasMorePages() {
		out, err := pages.NextPage(t.Context())
		must(t, err)
		for _, e := range out.Events {
			lines = append(lines, *e.Message)
		}
	}
	same(t, "first", lines[:2], []string{"windows", "bad \uFFFD byte"})
	same(t, "long line", []int{len(lines[2]), len(lines[3])}, []int{256<<10 - 26, 300000 - (256<<10 - 26)})
	same(t, "count", len(lines), 2+2+20000+1)
	same(t, "order", []string{lines[4], lines[20003], lines[20004]}, []string{"step 0", "step 19999", "end"})
}
