package main

import (
	"strings"
	"testing"

	trainingv1 "github.com/trainyard/trainyard/gen/trainyard/training/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

func TestFlagsDescribeAJob(t *testing.T) {
	for line, want := range map[string]string{
		"--dataset d": `{"recipe":"recipes/image-classification","datasetVersion":"datasets/d"}`,
		"--dataset datasets/d/versions/2 --recipe recipes/r --param epochs=3 --param augment=false --param channels=grey --param x=NaN": `{
			"recipe":"recipes/r","datasetVersion":"datasets/d/versions/2","parameters":{"epochs":3,"augment":false,"channels":"grey","x":"NaN"}}`,
		"--dataset d --also e --also datasets/f/versions/1 --base b,baseDatasets/c --mode fastfile --mode b=file": `{
			"recipe":"recipes/image-classification","datasetVersion":"datasets/d","additionalDatasetVersions":["datasets/e","datasets/f/versions/1"],
			"baseDatasets":["baseDatasets/b","baseDatasets/c"],
			"inputModes":{"train":"FAST_FILE","validation":"FAST_FILE","version-2":"FAST_FILE","version-3":"FAST_FILE","b":"FILE"}}`,
		"--dataset d --mode train=pipe --mode FAST_FILE": `{
			"recipe":"recipes/image-classification","datasetVersion":"datasets/d","inputModes":{"train":"PIPE","validation":"FAST_FILE"}}`,
		"--dataset d --image i:1 --entrypoint python --entrypoint a.py --argument x,y --argument z --env A=b=c --hyperparameter lr=0.1,2 --metric v=v=([0-9]+),x --metric a:b=(.)": `{
			"datasetVersion":"datasets/d","customImage":{"image":"i:1","entrypoint":["python","a.py"],"arguments":["x,y","z"],"environment":{"A":"b=c"},
			"hyperparameters":{"lr":"0.1,2"},"metricDefinitions":[{"name":"a:b","regex":"(.)"},{"name":"v","regex":"v=([0-9]+),x"}]}}`,
		"--dataset d --instance-type ml.g5.xlarge --instances 2 --sharded --volume-size 50 --max-runtime 90m --spot --max-wait 10800 --keep-alive 1h --retries 3 --isolate --vpc --encrypt-traffic": `{
			"recipe":"recipes/image-classification","datasetVersion":"datasets/d","resources":{"instanceType":"ml.g5.xlarge","instanceCount":2,
			"distribution":"SHARDED","volumeSizeGb":50,"maxRuntimeSeconds":5400,"spot":true,"maxWaitSeconds":10800,"keepAliveSeconds":3600,"maxRetries":3,
			"networkIsolation":true,"inVpc":true,"encryptTraffic":true}}`,
		"--dataset d --max-runtime-seconds 60 --tag team=a --override-check s3-route --override-check quota": `{
			"recipe":"recipes/image-classification","datasetVersion":"datasets/d","resources":{"maxRuntimeSeconds":60},"tags":{"team":"a"},
			"overrideChecks":["s3-route","quota"]}`,
		// What isn't given is the earlier job's.
		"--resume-from j --param epochs=9": `{"resumeFrom":"trainingJobs/j","parameters":{"epochs":9}}`,
	} {
		parsed, err := newParser(t.Context()).Parse(append([]string{"train"}, strings.Fields(line)...))
		if err != nil {
			t.Errorf("%s: %v", line, err)
			continue
		}
		train, ok := parsed.Selected().Target.Addr().Interface().(*trainCommand)
		if !ok {
			t.Fatal("this is no train command")
		}
		var wanted trainingv1.TrainingJob
		if err := protojson.Unmarshal([]byte(want), &wanted); err != nil {
			t.Fatal(err)
		}
		if got := train.job(); !proto.Equal(got, &wanted) {
			t.Errorf("%s:\n%v\nwant\n%v", line, protojson.Format(got), protojson.Format(&wanted))
		}
	}
}

// A script's empty variable must not become another job than was meant.
func TestFlagsWithNothingInThemAreRefused(t *testing.T) {
	for _, line := range [][]string{
		{"train", "--dataset", "d", "--image", ""},
		{"train", "--dataset", "d", "--base="},
		{"train", "--dataset", "d", "--also", "e", "--also", ""},
		{"train", "--dataset", "", "--resume-from", "j"},
		{"train", "--dataset", "d", "--instances", "0"},
		{"train", "--resume-from", "j", "--keep-alive", "0"},
		{"estimate", "--dataset", "d", "--max-runtime", "0"},
		{"doctor", "--dataset", "d", "--region", ""},
		{"sweep", "--dataset", "d", "--grid", "a=1", "--max-failed", "0"},
	} {
		_, err := newParser(t.Context()).Parse(line)
		if err == nil || !strings.Contains(err.Error(), "is empty or 0") {
			t.Errorf("%q: got %v", line, err)
		}
	}
	for _, line := range [][]string{
		{"train", "--dataset", "d", "--image", "i", "--argument", "", "--env", "A="},
		{"sweep", "--dataset", "d", "--grid", "a=1", "--seed", "0"},
	} {
		if _, err := newParser(t.Context()).Parse(line); err != nil {
			t.Errorf("%q: %v", line, err)
		}
	}
}

func TestFlagsDescribeASweep(t *testing.T) {
	const common = `"trainingJob":{"recipe":"recipes/image-classification","datasetVersion":"datasets/d"}`
	for line, want := range map[string]string{
		"--grid learning_rate=0.1,0.01 --grid channels=grey,rgb": `{` + common + `,"strategy":"GRID","parallelTrials":2,
			"parameters":{"learning_rate":{"values":[0.1,0.01]},"channels":{"values":["grey","rgb"]}}}`,
		"--range learning_rate=1e-4..1e-1:log:steps=4 --parallel 3 --objective validation:loss --minimize": `{` + common + `,"strategy":"GRID","parallelTrials":3,
			"parameters":{"learning_rate":{"minimum":0.0001,"maximum":0.1,"logarithmic":true,"steps":4}},"objectiveMetric":"validation:loss","goal":"MINIMIZE"}`,
		"--range mix=-1..1 --random 12 --seed 7 --max-failed 1 --maximize": `{` + common + `,"strategy":"RANDOM","maxTrials":12,"parallelTrials":2,"seed":"7",
			"maxFailedTrials":1,"goal":"MAXIMIZE","parameters":{"mix":{"minimum":-1,"maximum":1}}}`,
	} {
		parsed, err := newParser(t.Context()).Parse(append([]string{"sweep", "--dataset", "d"}, strings.Fields(line)...))
		if err != nil {
			t.Errorf("%s: %v", line, err)
			continue
		}
		sweep, ok := parsed.Selected().Target.Addr().Interface().(*sweepCommand)
		if !ok {
			t.Fatal("this is no sweep command")
		}
		var wanted trainingv1.Sweep
		if err := protojson.Unmarshal([]byte(want), &wanted); err != nil {
			t.Fatal(err)
		}
		if got := sweep.sweep(); !proto.Equal(got, &wanted) {
			t.Errorf("%s:\n%v\nwant\n%v", line, protojson.Format(got), protojson.Format(&wanted))
		}
	}
}
