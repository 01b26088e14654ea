package sagemaker_test

import (
	"context"
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	sdk "github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"

	"github.com/trainyard/trainyard/services/internal/awscfg"
	"github.com/trainyard/trainyard/services/localcloud"
	"github.com/trainyard/trainyard/services/localcloud/sagemaker"
)

// resumable trains in two epochs: the first ends with a checkpoint, the second only in a run that found one. It starts two
// more processes, one of which leaves its process group.
const resumable = `
	echo "pid $$"
	setsid sleep 600 & echo "pid $!"
	sleep 600 & echo "pid $!"
	if [ -e checkpoints/epoch-1 ]; then
		echo "resumed with $(cat input/data/train/x)"
		echo model > model/m
		exit 0
	fi
	echo stale > model/stale
	echo 1 > checkpoints/epoch-1
	echo checkpointed
	sleep 600`

func pids(lines []string) []string {
	var list []string
	for _, l := range lines {
		if pid, ok := strings.CutPrefix(l, "pid "); ok {
			list = append(list, pid)
		}
	}
	return list
}

func TestCloseLeavesJobsToResume(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := start(t, sagemaker.Config{Dir: dir}, resumable)
	c.put("resume/train/x", "x")
	in := request("resume")
	in.InputDataConfig = []types.Channel{s3Channel("train", "s3://trainyard/resume/train/")}
	c.create(in)
	first := pids(c.awaitLog("resume", "checkpointed"))
	began := time.Now()
	c.stop()
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("closing took %v", took)
	}
	awaitDeath(t, first...)

	c = start(t, sagemaker.Config{Dir: dir}, resumable)
	d := c.awaitEnd("resume")
	same(t, "status", d.TrainingJobStatus, types.TrainingJobStatusCompleted)
	same(t, "phases", phases(t, d), []string{"Starting", "Downloading", "Training", "Restarting", "Downloading", "Training", "Uploading", "Completed"})
	same(t, "model", c.untar("models/resume/output/model.tar.gz"), map[string]string{"m": "model\n"})
	awaitDeath(t, pids(c.log("resume"))...)
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		left, err := os.ReadDir(filepath.Join(dir, "jobs"))
		must(t, err)
		if len(left) == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the job left %v behind", left)
		}
	}
}

func TestCloseWhileStopping(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	const script = `trap 'echo told' TERM; echo saved > model/m; echo ready; while :; do sleep 0.01; done`
	c := start(t, sagemaker.Config{Dir: dir, CloseGrace: 50 * time.Millisecond}, script)
	c.create(request("closing"))
	c.awaitLog("closing", "ready")
	_, err := c.sm.StopTrainingJob(t.Context(), &sdk.StopTrainingJobInput{TrainingJobName: aws.String("closing")})
	must(t, err)
	c.awaitLog("closing", "told")
	began := time.Now()
	c.stop() // The program had 120 s, of which the end of the service leaves 50 ms.
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("closing took %v", took)
	}

	c = start(t, sagemaker.Config{Dir: dir}, script)
	d := c.awaitEnd("closing")
	same(t, "status", d.TrainingJobStatus, types.TrainingJobStatusStopped)
	same(t, "phases", phases(t, d), []string{"Starting", "Downloading", "Training", "Stopping", "Uploading", "Stopped"})
	same(t, "model", c.untar("models/closing/output/model.tar.gz")["m"], "saved\n")
}

// stuck is an S3 whose uploads hang until they are given up.
type stuck struct {
	sagemaker.S3
	reached chan struct{}
	once    sync.Once
}

func (s *stuck) PutObject(ctx context.Context, in *s3.PutObjectInput, _ ...func(*s3.Options)) (*s3.PutObjectOutput, error) {
	s.once.Do(func() { close(s.reached) })
	<-ctx.Done()
	return nil, ctx.Err()
}

func TestInterruptedUploadIsDoneAgain(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	const script = `echo run; echo $$ > model/m`
	hang := &stuck{reached: make(chan struct{})}
	c := start(t, sagemaker.Config{Dir: dir}, script, func(real sagemaker.S3) sagemaker.S3 {
		hang.S3 = real
		return hang
	})
	c.create(request("upload"))
	<-hang.reached
	c.stop()

	c = start(t, sagemaker.Config{Dir: dir}, script)
	d := c.awaitEnd("upload")
	same(t, "phases", phases(t, d), []string{"Starting", "Downloading", "Training", "Uploading", "Completed"})
	same(t, "runs", c.log("upload"), []string{"run"})
	same(t, "files", len(c.untar("models/upload/output/model.tar.gz")), 1)
}

// TestKillNine kills a whole localcloud while it trains.
func TestKillNine(t *testing.T) {
	t.Parallel()
	address := freeAddress(t)
	spec, err := json.Marshal(localcloud.Config{
		DataDir: t.TempDir(), Addr: address,
		SageMaker: sagemaker.Config{
			Images: map[string]sagemaker.Program{"trainer": sh(resumable)}, EventQueues: []string{"events"}, CheckpointInterval: time.Second,
		},
	})
	must(t, err)
	var process *exec.Cmd
	launch := func() *clients {
		process = exec.Command(os.Args[0]) //nolint:gosec // This test binary itself.
		process.Env = append(os.Environ(), child+"="+string(spec))
		process.Stderr = os.Stderr
		must(t, process.Start())
		cfg, err := awscfg.Load(t.Context(), awscfg.Config{
			Region: "us-east-1", Endpoint: "http://" + address, AccessKey: localcloud.DefaultAccessKey, SecretKey: localcloud.DefaultSecretKey,
		})
		must(t, err)
		c := newClients(t, cfg)
		for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
			if _, err = c.sm.ListTrainingJobs(t.Context(), &sdk.ListTrainingJobsInput{}); err == nil {
				return c
			}
			if time.Now().After(deadline) {
				t.Fatal(err)
			}
		}
	}
	kill := func() {
		must(t, process.Process.Kill())
		_ = process.Wait() // It says that it was killed.
	}
	c := launch()
	t.Cleanup(func() { kill() })
	_, err = c.s3.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String(bucket)})
	must(t, err)
	c.put("train/x", "x")
	in := request("killed")
	in.InputDataConfig = []types.Channel{s3Channel("train", "s3://trainyard/train/")}
	c.create(in)
	first := pids(c.awaitLog("killed", "checkpointed"))
	same(t, "processes", len(first), 3)
	kill()
	awaitDeath(t, first[0]) // The program dies with us; what it started is found at the next start.

	c = launch()
	d := c.awaitEnd("killed")
	same(t, "status", d.TrainingJobStatus, types.TrainingJobStatusCompleted)
	same(t, "failure", aws.ToString(d.FailureReason), "")
	same(t, "phases", phases(t, d), []string{"Starting", "Downloading", "Training", "Restarting", "Downloading", "Training", "Uploading", "Completed"})
	lines := c.log("killed")
	same(t, "resumed", slices.Contains(lines, "resumed with x"), true)
	awaitDeath(t, pids(lines)...)
	same(t, "model", c.untar("models/killed/output/model.tar.gz"), map[string]string{"m": "model\n"})
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer func() { must(t, l.Close()) }()
	return l.Addr().String()
}
