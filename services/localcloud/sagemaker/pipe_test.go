package sagemaker_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	sdk "github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"

	"github.com/trainyard/trainyard/services/localcloud/sagemaker"
)

// threeEpochs reads a channel three times. The pipe of the next epoch must be there before the present one ends.
const threeEpochs = `
	cd input/data
	ls | sed 's/^/there: /'
	for e in 0 1 2; do
		exec 3< train_$e
		[ -p train_$((e+1)) ] || exit 9
		echo "epoch $e $(cat <&3)"
	done`

func pipeRequest(name, uri string) *sdk.CreateTrainingJobInput {
	in := request(name)
	in.AlgorithmSpecification.TrainingInputMode = types.TrainingInputModePipe
	in.InputDataConfig = []types.Channel{s3Channel("train", uri)}
	return in
}

func TestPipeMode(t *testing.T) {
	t.Parallel()
	c := start(t, sagemaker.Config{MaxConcurrentJobs: 4}, threeEpochs)
	for _, k := range []string{"a", "b", "c", "d", "e", "deep/f"} {
		c.put("pipe/objects/"+k, strings.ToUpper(k[len(k)-1:]))
	}
	c.put("pipe/manifest", `[{"prefix": "s3://trainyard/pipe/objects/"}, "deep/f", "b"]`)
	c.put("pipe/lost", `[{"prefix": "s3://trainyard/pipe/objects/"}, "a", "gone"]`)
	for _, k := range []string{"1", "2"} {
		packed := new(bytes.Buffer)
		zip := gzip.NewWriter(packed)
		_, err := zip.Write([]byte("unpacked" + k))
		must(t, errors.Join(err, zip.Close()))
		c.put("pipe/packed/"+k, packed.String())
	}
	run := func(in *sdk.CreateTrainingJobInput) []string {
		c.create(in)
		d := c.awaitEnd(*in.TrainingJobName)
		same(t, *in.TrainingJobName+" failure", aws.ToString(d.FailureReason), "")
		return c.logWith(*in.TrainingJobName, "epoch ")
	}
	same(t, "prefix", run(pipeRequest("pipe-prefix", "s3://trainyard/pipe/objects/")), []string{"epoch 0 ABCDFE", "epoch 1 ABCDFE", "epoch 2 ABCDFE"})
	same(t, "no folder beside the pipe", slices.Contains(c.log("pipe-prefix"), "there: train"), false)

	in := pipeRequest("pipe-manifest", "s3://trainyard/pipe/manifest")
	in.InputDataConfig[0].DataSource.S3DataSource.S3DataType = types.S3DataTypeManifestFile
	same(t, "manifest", run(in), []string{"epoch 0 FB", "epoch 1 FB", "epoch 2 FB"})

	in = pipeRequest("pipe-packed", "s3://trainyard/pipe/packed/")
	in.InputDataConfig[0].CompressionType = types.CompressionTypeGzip
	same(t, "gzip", run(in)[0], "epoch 0 unpacked1unpacked2")

	in = pipeRequest("pipe-shuffle", "s3://trainyard/pipe/objects/")
	in.InputDataConfig[0].ShuffleConfig = &types.ShuffleConfig{Seed: aws.Int64(7)}
	shuffled := run(in)
	in.TrainingJobName = aws.String("pipe-shuffle-again")
	same(t, "the same seed", run(in), shuffled)
	orders := map[string]bool{}
	for _, e := range shuffled {
		orders[e[len("epoch 0 "):]] = true
		letters := strings.Split(e[len("epoch 0 "):], "")
		slices.Sort(letters)
		same(t, "letters", strings.Join(letters, ""), "ABCDEF")
	}
	if len(orders) < 2 {
		t.Errorf("three epochs have the same order: %v", shuffled)
	}

	for name, want := range map[string]string{
		"lost":    "ClientError: Data download failed:s3://trainyard/pipe/objects/gone: operation error S3: GetObject",
		"garbled": "ClientError: Data download failed:s3://trainyard/pipe/objects/a can't be unpacked as gzip",
	} {
		in = pipeRequest("pipe-"+name, "s3://trainyard/pipe/lost")
		in.InputDataConfig[0].DataSource.S3DataSource.S3DataType = types.S3DataTypeManifestFile
		if name == "garbled" {
			in.InputDataConfig[0].DataSource.S3DataSource.S3DataType = types.S3DataTypeS3Prefix
			in.InputDataConfig[0].DataSource.S3DataSource.S3Uri = aws.String("s3://trainyard/pipe/objects/a")
			in.InputDataConfig[0].CompressionType = types.CompressionTypeGzip
		}
		c.create(in)
		d := c.awaitEnd(*in.TrainingJobName)
		if got := aws.ToString(d.FailureReason); d.TrainingJobStatus != types.TrainingJobStatusFailed || !strings.HasPrefix(got, want) {
			t.Errorf("%s: %s %q, want %q", name, d.TrainingJobStatus, got, want)
		}
		same(t, "the program never sees a false end", c.logWith(*in.TrainingJobName, "epoch "), []string(nil))
	}
}

// TestPipesNeverHoldAJobUp has programs that don't read their pipes to the end, or at all.
func TestPipesNeverHoldAJobUp(t *testing.T) {
	t.Parallel()
	c := start(t, sagemaker.Config{MaxConcurrentJobs: 3, StopGrace: 50 * time.Millisecond}, `eval "$SCRIPT"`)
	c.put("unread/large", strings.Repeat("x", 10<<20))
	for name, script := range map[string]string{
		"never-opened": `echo no need`,
		"left-early":   `for e in 0 1 2; do echo "epoch $e $(head -c 3 input/data/train_$e)"; done`,
		"held-open":    `exec 3< input/data/train_0; echo ready; while :; do sleep 0.01; done`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := pipeRequest(name, "s3://trainyard/unread/")
			in.Environment = map[string]string{"SCRIPT": script}
			c.create(in)
			want := types.TrainingJobStatusCompleted
			if name == "held-open" {
				want = types.TrainingJobStatusStopped
				c.awaitLog(name, "ready")
				_, err := c.sm.StopTrainingJob(t.Context(), &sdk.StopTrainingJobInput{TrainingJobName: &name})
				must(t, err)
			}
			d := c.awaitEnd(name)
			same(t, "status", d.TrainingJobStatus, want)
			if name == "left-early" {
				same(t, "epochs", c.logWith(name, "epoch "), []string{"epoch 0 xxx", "epoch 1 xxx", "epoch 2 xxx"})
			}
		})
	}
}

// flaky is an S3 whose downloads break off after some bytes.
type flaky struct {
	sagemaker.S3
	every  int64
	broken atomic.Int64
	asked  sync.Map
}

func (f *flaky) GetObject(ctx context.Context, in *s3.GetObjectInput, options ...func(*s3.Options)) (*s3.GetObjectOutput, error) {
	out, err := f.S3.GetObject(ctx, in, options...)
	if err == nil {
		f.asked.Store(aws.ToString(in.Range), true)
		out.Body = &breaking{ReadCloser: out.Body, left: f.every, broken: &f.broken}
	}
	return out, err
}

type breaking struct {
	io.ReadCloser
	left   int64
	broken *atomic.Int64
}

func (b *breaking) Read(p []byte) (int, error) {
	if b.left == 0 {
		b.broken.Add(1)
		return 0, io.ErrUnexpectedEOF
	}
	n, err := b.ReadCloser.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}

func TestDownloadsGoOnWhereTheyBroke(t *testing.T) {
	t.Parallel()
	body := new(strings.Builder)
	for i := range 100_000 {
		fmt.Fprintln(body, i)
	}
	for _, mode := range []types.TrainingInputMode{types.TrainingInputModeFile, types.TrainingInputModePipe} {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			f := &flaky{every: 100_000}
			c := start(t, sagemaker.Config{}, `cd input/data; if [ -p train_0 ]; then cat train_0; else cat train/numbers; fi > ../../model/m`,
				func(real sagemaker.S3) sagemaker.S3 {
					f.S3 = real
					return f
				})
			c.put("flaky/numbers", body.String())
			in := pipeRequest("flaky-"+string(mode), "s3://trainyard/flaky/")
			in.AlgorithmSpecification.TrainingInputMode = mode
			c.create(in)
			same(t, "failure", aws.ToString(c.awaitEnd(*in.TrainingJobName).FailureReason), "")
			if got := c.untar("models/" + *in.TrainingJobName + "/output/model.tar.gz")["m"]; got != body.String() {
				t.Errorf("%d bytes came, not the %d that were put", len(got), body.Len())
			}
			if _, ok := f.asked.Load("bytes=100000-"); f.broken.Load() < 5 || !ok {
				t.Errorf("it broke %d times and did not go on from byte 100000", f.broken.Load())
			}
		})
	}
}
