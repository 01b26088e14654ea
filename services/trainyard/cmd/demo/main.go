// Command demo runs the main job on real data, by the real commands: 6,000 of MNIST's digits are a user's zip, 20,000 others a base dataset on an EFS
// file system of localcloud; a job trains on both, and the downloaded model is measured on the 10,000 test digits that nobody has seen.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/alecthomas/kong"
	ingestv1 "github.com/trainyard/trainyard/gen/trainyard/ingest/v1"
	trainingv1 "github.com/trainyard/trainyard/gen/trainyard/training/v1"
	"github.com/trainyard/trainyard/services/trainyard/digits"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

const (
	userExamples = 6000
	baseExamples = 20000
	goal         = 0.97
)

type config struct {
	Keep  bool   `help:"Leave the suite running and print the page's address."`
	Sweep bool   `help:"Look for the best parameters in 6 trials as well."`
	Root  string `help:"The repository's root." default:"."`
}

func main() {
	var c config
	kong.Parse(&c, kong.Name("demo"), kong.Description("Runs the main job on real digits."))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := c.run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		stop()
		os.Exit(1) //nolint:gocritic // stop was called.
	}
}

func (c *config) run(ctx context.Context) error {
	root, err := filepath.Abs(c.Root)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "trainyard-demo-")
	if err != nil {
		return err
	}
	d := &demo{root: root, dir: dir, begin: time.Now()}
	if err := d.makeData(); err != nil {
		return err
	}
	if err := d.start(); err != nil {
		return err
	}
	result, err := d.mainJob(ctx)
	if err == nil && c.Sweep {
		err = d.sweep(ctx)
	}
	if err != nil {
		d.tellLog()
	}
	switch {
	case c.Keep && err == nil:
		fmt.Printf("The suite goes on at %s (data in %s); press Ctrl-C to end it.\n%s\n", d.url, dir, result)
		<-ctx.Done()
		return d.stop()
	case err != nil:
		return errors.Join(err, d.stop())
	}
	if err := d.stop(); err != nil {
		return err
	}
	fmt.Println(result)
	return nil
}

type demo struct {
	root, dir  string
	begin      time.Time
	suite      *exec.Cmd
	url, token string
}

func (d *demo) step(format string, args ...any) {
	fmt.Printf("[%5.1fs] %s\n", time.Since(d.begin).Seconds(), fmt.Sprintf(format, args...))
}

func (d *demo) path(names ...string) string {
	return filepath.Join(append([]string{d.dir}, names...)...)
}

func (d *demo) makeData() error {
	if err := os.Chdir(filepath.Join(d.root, "services")); err != nil { // Where the module that carries MNIST is known.
		return err
	}
	train, test, err := digits.Load()
	if err != nil {
		return err
	}
	if err := train.Slice(0, userExamples).WriteZip(d.path("digits.zip")); err != nil {
		return err
	}
	if err := train.Slice(userExamples, userExamples+baseExamples).WriteShards(d.path("data", "efs", "mnist"), "mnist-train", 8); err != nil {
		return err
	}
	if err := test.WriteShards(d.path("test"), "mnist-test", 2); err != nil {
		return err
	}
	d.step("MNIST: a zip of %d digits, %d others as a base dataset, %d to test on", userExamples, baseExamples, test.Len())
	bases := fmt.Sprintf(`- id: mnist
  display_name: MNIST
  description: Handwritten digits on the local EFS file system.
  storage: efs
  file_system_id: fs-00000001
  path: /mnist
  labels: ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]
  example_count: %d
`, baseExamples)
	return os.WriteFile(d.path("data", "base-datasets.yaml"), []byte(bases), 0o600)
}

// start runs the suite as a user would, on free ports.
func (d *demo) start() error {
	log, err := os.Create(d.path("suite.log"))
	if err != nil {
		return err
	}
	defer log.Close()
	d.suite = exec.Command(filepath.Join(d.root, "bin", "trainyard"), "up", //nolint:gosec // Our own binary.
		"--data", d.path("data"), "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0", "--aws", "127.0.0.1:0", "--log-level", "info")
	d.suite.Stderr = log
	d.suite.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is ours to pass on.
	// The demo's suite is not the user's own: its address goes into no file of the user's home.
	d.suite.Env = append(os.Environ(), "XDG_CONFIG_HOME="+d.path("config"))
	stdout, err := d.suite.StdoutPipe()
	if err != nil {
		return err
	}
	if err := d.suite.Start(); err != nil {
		return err
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		d.tellLog()
		return errors.Join(fmt.Errorf("the suite did not start: %w", err), d.stop())
	}
	go func() { _, _ = io.Copy(io.Discard, stdout) }()
	for _, field := range strings.Fields(line) {
		if value, ok := strings.CutPrefix(field, "http="); ok {
			d.url = value
		}
	}
	token, err := os.ReadFile(d.path("data", "token"))
	if err != nil {
		return errors.Join(err, d.stop())
	}
	d.token = strings.TrimSpace(string(token))
	d.step("%s", strings.TrimSpace(line))
	return nil
}

func (d *demo) stop() error {
	if err := d.suite.Process.Signal(os.Interrupt); err != nil {
		return err
	}
	if err := d.suite.Wait(); err != nil {
		return fmt.Errorf("the suite did not end cleanly: %w", err)
	}
	return nil
}

func (d *demo) tellLog() {
	if data, err := os.ReadFile(d.path("suite.log")); err == nil {
		lines := bytes.Split(bytes.TrimSpace(data), []byte("\n"))
		fmt.Fprintf(os.Stderr, "--- the end of %s\n%s\n", d.path("suite.log"), bytes.Join(lines[max(len(lines)-30, 0):], []byte("\n")))
	}
}

func (d *demo) mainJob(ctx context.Context) (string, error) {
	var version ingestv1.Version
	began := time.Now()
	if err := d.trainyard(ctx, &version, "push", d.path("digits.zip"), "--dataset", "digits"); err != nil {
		return "", err
	}
	converted := time.Since(began)
	d.step("%s is %s: %d examples, %d shards", version.GetName(), version.GetState(), version.GetExampleCount(), version.GetShardCount())

	var job trainingv1.TrainingJob
	began = time.Now()
	err := d.trainyard(ctx, &job, "train", "--dataset", "digits", "--recipe", "image-classification", "--base", "mnist", "--param", "epochs=3", "--wait")
	if err != nil {
		return "", err
	}
	trained := time.Since(began)
	d.step("%s %s: validation accuracy %.4f", job.GetName(), job.GetState(), job.GetMetrics()["validation:accuracy"])
	if err := d.show(ctx, "ledger", job.GetName()); err != nil {
		return "", err
	}
	var download float64
	for _, phase := range job.GetPhases() {
		if phase.GetName() == "Downloading" {
			download = phase.GetSeconds()
		}
	}

	var model trainingv1.Model
	if err := d.trainyard(ctx, &model, "pull", job.GetModel(), "-o", d.path("model")); err != nil {
		return "", err
	}
	d.step("pulled %s, %d bytes", model.GetName(), model.GetSizeBytes())
	accuracy, err := d.evaluate(ctx)
	if err != nil {
		return "", err
	}
	d.step("model.tflite on the untouched test digits: %.4f", accuracy)
	if accuracy < goal {
		return "", fmt.Errorf("test accuracy %.4f is below %.2f", accuracy, goal)
	}
	return fmt.Sprintf("demo: ok examples=%d base_examples=%d test_accuracy=%.3f convert_seconds=%.1f train_seconds=%.1f billed_seconds=%d download_seconds=%.1f model=%s",
		version.GetExampleCount(), baseExamples, accuracy, converted.Seconds(), trained.Seconds(), job.GetBilledSeconds(), download, d.path("model", "model.tar.gz")), nil
}

// sweep looks for the best of 6 combinations of parameters, two trials at a time.
func (d *demo) sweep(ctx context.Context) error {
	d.step("a sweep of 6 trials")
	return d.show(ctx, "sweep", "--dataset", "digits", "--param", "epochs=1", "--grid", "learning_rate=0.01,0.004,0.001", "--grid", "batch_size=32,64", "--wait")
}

// show runs a command and lets it print.
func (d *demo) show(ctx context.Context, args ...string) error {
	cmd := d.command(ctx, args...)
	cmd.Stdout = os.Stdout
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("trainyard %s: %w", strings.Join(args, " "), err)
	}
	return nil
}

func (d *demo) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(d.root, "bin", "trainyard"), args...) //nolint:gosec // Our own binary.
	cmd.Env = append(os.Environ(), "TRAINYARD_URL="+d.url, "TRAINYARD_TOKEN="+d.token)
	cmd.Stderr = os.Stderr
	return cmd
}

// trainyard runs a command with --json and reads its last line, which is the resource.
func (d *demo) trainyard(ctx context.Context, resource proto.Message, args ...string) error {
	out, err := d.command(ctx, append(args, "--json")...).Output()
	lines := bytes.Split(bytes.TrimSpace(out), []byte("\n"))
	last := lines[len(lines)-1]
	if err != nil {
		return fmt.Errorf("trainyard %s: %w\n%s", strings.Join(args, " "), err, last)
	}
	return protojson.Unmarshal(last, resource)
}

func (d *demo) evaluate(ctx context.Context) (float64, error) {
	cmd := exec.CommandContext(ctx, filepath.Join(d.root, ".venv", "bin", "python"), "-m", "trainyard_trainer", "evaluate", //nolint:gosec // Our own.
		"--model", d.path("model"), "--data", d.path("test"), "--json")
	cmd.Env = append(os.Environ(), "PYTHONPATH="+filepath.Join(d.root, "services", "trainer"), "PYTHONDONTWRITEBYTECODE=1")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return 0, fmt.Errorf("evaluate: %w", err)
	}
	var result struct {
		Accuracy float64 `json:"accuracy"`
		Examples int     `json:"examples"`
	}
	if err := json.Unmarshal(out, &result); err != nil {
		return 0, fmt.Errorf("evaluate: %w", err)
	}
	if result.Examples != 10000 {
		return 0, fmt.Errorf("evaluated %d digits instead of 10000", result.Examples)
	}
	return result.Accuracy, nil
}
