package sagemaker_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	cwl "github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"

	"github.com/trainyard/trainyard/services/localcloud/sagemaker"
)

func (c *clients) hostLog(name, host string) []string {
	c.t.Helper()
	out, err := c.logs.FilterLogEvents(c.t.Context(), &cwl.FilterLogEventsInput{
		LogGroupName: aws.String(sagemaker.LogGroup), LogStreamNamePrefix: aws.String(name + "/" + host + "-"),
	})
	must(c.t, err)
	var lines []string
	for _, e := range out.Events {
		lines = append(lines, *e.Message)
	}
	return lines
}

func TestSeveralInstances(t *testing.T) {
	t.Parallel()
	c := start(t, sagemaker.Config{CheckpointInterval: time.Minute}, `
		host=$(sed 's/.*"current_host":"\([^"]*\)".*/\1/' input/config/resourceconfig.json)
		cat input/config/resourceconfig.json; echo
		echo "whole $(ls input/data/whole | tr '\n' ' ')"
		echo "share $(ls input/data/share | tr '\n' ' ')"
		echo "piped $(cat input/data/piped_0) $(cat input/data/piped_1)"
		echo "found $(ls checkpoints | tr '\n' ' ')"
		echo "$host" > model/$host; echo "$host" > model/shared; echo "$host" > output/data/$host; echo "$host" > checkpoints/$host`)
	for _, k := range []string{"a", "b", "c", "d", "e"} {
		c.put("hosts/"+k, k)
	}
	in := request("hosts-1")
	in.ResourceConfig.InstanceCount = aws.Int32(3)
	in.CheckpointConfig = &types.CheckpointConfig{S3Uri: aws.String("s3://trainyard/hosts-checkpoints")}
	in.InputDataConfig = []types.Channel{s3Channel("whole", "s3://trainyard/hosts/"), s3Channel("share", "s3://trainyard/hosts/"), s3Channel("piped", "s3://trainyard/hosts/")}
	for _, i := range []int{1, 2} {
		in.InputDataConfig[i].DataSource.S3DataSource.S3DataDistributionType = types.S3DataDistributionShardedByS3Key
	}
	in.InputDataConfig[2].InputMode = types.TrainingInputModePipe
	in.InputDataConfig[2].ShuffleConfig = &types.ShuffleConfig{Seed: aws.Int64(1)}
	c.create(in)
	d := c.awaitEnd("hosts-1")
	same(t, "failure", aws.ToString(d.FailureReason), "")
	same(t, "resources", d.ResourceConfig, in.ResourceConfig)
	hosts, shares := []string{"algo-1", "algo-2", "algo-3"}, []string{"share a d ", "share b e ", "share c "}
	var piped [2]string
	for i, host := range hosts {
		lines := c.hostLog("hosts-1", host)
		var config map[string]any
		must(t, json.Unmarshal([]byte(lines[0]), &config))
		same(t, "current host", config["current_host"], any(host))
		same(t, "hosts", config["hosts"], any([]any{"algo-1", "algo-2", "algo-3"}))
		same(t, "whole", lines[1], "whole a b c d e ")
		same(t, "share", lines[2], shares[i])
		epochs := strings.Fields(lines[3])
		piped[0] += epochs[1]
		piped[1] += epochs[2]
	}
	for epoch, all := range piped {
		letters := strings.Split(all, "")
		slices.Sort(letters)
		same(t, "each object once an epoch", strings.Join(letters, ""), "abcde")
		if epoch == 1 && all == piped[0] {
			t.Errorf("both epochs were shared out alike: %v", piped)
		}
	}
	same(t, "model", c.untar("models/hosts-1/output/model.tar.gz"), map[string]string{"algo-1": "algo-1\n", "algo-2": "algo-2\n", "algo-3": "algo-3\n", "shared": "algo-1\n"})
	same(t, "output", len(c.untar("models/hosts-1/output/output.tar.gz")), 3)
	same(t, "checkpoints", c.keys("hosts-checkpoints/"), []string{"algo-1", "algo-2", "algo-3"})

	in.TrainingJobName, in.ResourceConfig.InstanceCount = aws.String("hosts-2"), aws.Int32(2)
	in.OutputDataConfig.CompressionType = types.OutputCompressionTypeNone
	c.create(in)
	same(t, "failure", aws.ToString(c.awaitEnd("hosts-2").FailureReason), "")
	same(t, "restored", c.hostLog("hosts-2", "algo-2")[4], "found algo-1 algo-2 algo-3 ")
	same(t, "plain model", c.keys("models/hosts-2/output/model/"), []string{"algo-1", "algo-2", "shared"})
	same(t, "shared", string(c.get("models/hosts-2/output/model/shared")), "algo-1\n")
}

func TestOneFailingInstanceFailsTheJob(t *testing.T) {
	t.Parallel()
	c := start(t, sagemaker.Config{StopGrace: 100 * time.Millisecond}, `
		echo "pid $$"
		trap '' TERM
		case $(cat input/config/resourceconfig.json) in
		*'"current_host":"algo-2"'*) echo bad luck > output/failure; sleep 0.2; exit 4;;
		*'"current_host":"algo-3"'*) exit 0;;
		esac
		while :; do sleep 0.01; done`)
	in := request("one-fails")
	in.ResourceConfig.InstanceCount = aws.Int32(4)
	c.create(in)
	d := c.awaitEnd("one-fails")
	same(t, "status", d.TrainingJobStatus, types.TrainingJobStatusFailed)
	same(t, "reason", aws.ToString(d.FailureReason), "AlgorithmError: bad luck, exit code: 4")
	for _, host := range []string{"algo-1", "algo-4"} {
		awaitDeath(t, pids(c.hostLog("one-fails", host))...)
	}
}

// TestOwnImage runs a program of the user's own, which must get what its job says, whatever the names are.
func TestOwnImage(t *testing.T) {
	t.Parallel()
	c := start(t, sagemaker.Config{Images: map[string]sagemaker.Program{"000000000000.dkr.ecr.us-east-1.amazonaws.com/": sh("exit 9")}}, "")
	in := request("own-image")
	in.AlgorithmSpecification.TrainingImage = aws.String("000000000000.dkr.ecr.us-east-1.amazonaws.com/team/own@sha256:abc")
	in.AlgorithmSpecification.ContainerEntrypoint = []string{"sh", "-ec", `cat input/config/hyperparameters.json; echo; echo "args $# $1|$2"; echo "env $MY_VAR|$_x"`, "own"}
	in.AlgorithmSpecification.ContainerArguments = []string{"--flag=a b", ""}
	in.HyperParameters = map[string]string{"Max Depth": "3", "sagemaker_program": `"train.py"`, "größe": "1e-3", "a.b-c": "", `"`: "\n"}
	in.Environment = map[string]string{"MY_VAR": "a=b c", "_x": "1"}
	in.RetryStrategy = &types.RetryStrategy{MaximumRetryAttempts: aws.Int32(3)}
	in.EnableNetworkIsolation, in.EnableInterContainerTrafficEncryption = aws.Bool(true), aws.Bool(true)
	in.VpcConfig = &types.VpcConfig{SecurityGroupIds: []string{"sg-1"}, Subnets: []string{"subnet-1"}}
	in.ProfilerConfig = &types.ProfilerConfig{DisableProfiler: aws.Bool(true)}
	c.create(in)
	d := c.awaitEnd("own-image")
	same(t, "failure", aws.ToString(d.FailureReason), "")
	lines := c.log("own-image")
	got := map[string]string{}
	must(t, json.Unmarshal([]byte(lines[0]), &got))
	same(t, "hyperparameters", got, in.HyperParameters)
	same(t, "arguments", lines[1], "args 2 --flag=a b|")
	same(t, "environment", lines[2], "env a=b c|1")
	same(t, "described", []any{d.HyperParameters, d.Environment, d.AlgorithmSpecification, d.RetryStrategy, d.VpcConfig, d.ProfilerConfig, d.EnableNetworkIsolation, d.EnableInterContainerTrafficEncryption},
		[]any{in.HyperParameters, in.Environment, in.AlgorithmSpecification, in.RetryStrategy, in.VpcConfig, in.ProfilerConfig, in.EnableNetworkIsolation, in.EnableInterContainerTrafficEncryption})
}
