//go:build integration

package processes

import (
	"image"
	"image/png"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/trainyard/trainyard/services/internal/testkit"
)

// The main job through six processes on PostgreSQL: the same binaries an operator deploys.
func TestMainJobAsSixProcesses(t *testing.T) {
	s := startSix(t, t.TempDir(), testkit.Postgres(t))

	version := s.must("push", digitsZip(t, 400), "--dataset", "digits")
	if version["state"] != "READY" || version["exampleCount"] != 400.0 {
		t.Fatalf("version %v", version)
	}
	job := s.must("train", "--dataset", "digits", "--base", "mnist", "--param", "epochs=2", "--param", "augment=false", "--wait")
	if job["state"] != "SUCCEEDED" || job["billedSeconds"].(float64) < 1 || len(job["phases"].([]any)) < 3 || len(job["metrics"].(map[string]any)) < 3 {
		t.Fatalf("job %v", job)
	}
	out := filepath.Join(t.TempDir(), "model")
	model := s.must("pull", job["model"].(string), "-o", out)
	for _, file := range []string{"model.tar.gz", "model.tflite", "labels.txt", "evaluation.json", "saved_model/saved_model.pb"} {
		if info, err := os.Stat(filepath.Join(out, file)); err != nil || info.Size() == 0 {
			t.Errorf("%s is not in the model: %v", file, err)
		}
	}
	evaluation := model["evaluation"].(map[string]any)
	if matrix, ok := evaluation["confusion_matrix"].([]any); !ok || len(matrix) != 10 {
		t.Errorf("evaluation %v", evaluation)
	}
	lineage := model["lineage"].(map[string]any)
	if lineage["datasetVersion"] != version["name"] || lineage["manifestSha256"] != version["manifestSha256"] {
		t.Errorf("lineage %v", lineage)
	}

	// The log has every state in order, with no gap.
	var states []string
	events := s.get("/v1/events?pageSize=1000")["events"].([]any)
	for i, e := range events {
		event := e.(map[string]any)
		if event["sequence"] != strconv.Itoa(i+1) {
			t.Fatalf("event %d has the sequence %v", i+1, event["sequence"])
		}
		if strings.HasSuffix(event["type"].(string), ".state") {
			states = append(states, event["payload"].(map[string]any)["state"].(string))
		}
	}
	got := strings.Join(compact(states), " ")
	if want := "UPLOADING UPLOADED CONVERTING READY QUEUED RUNNING SUCCEEDED"; got != want {
		t.Errorf("states in the log: %s; want %s", got, want)
	}

	t.Run("the log is at hand", func(t *testing.T) {
		lines := s.get("/v1/" + job["name"].(string) + "/logs")["lines"].([]any)
		if len(lines) < 5 {
			t.Errorf("%d lines", len(lines))
		}
		points := s.get("/v1/" + job["name"].(string) + "/metrics")["points"].([]any)
		if len(points) < 5 {
			t.Errorf("%d metric points", len(points))
		}
	})
	t.Run("a wrong parameter is refused by name", func(t *testing.T) {
		for param, says := range map[string]string{"epoch=3": "epoch", "epochs=0": "epochs", "epochs=many": "epochs", "learning_rate=7": "learning_rate"} {
			_, stderr, ok := s.run("train", "--dataset", "digits", "--param", param)
			if ok || !strings.Contains(stderr, says) {
				t.Errorf("--param %s: ok=%v %s", param, ok, stderr)
			}
		}
	})
	t.Run("a trainer that fails says why", func(t *testing.T) {
		s.must("push", folderWithoutDigits(t), "--dataset", "letters")
		job, _, ok := s.run("train", "--dataset", "letters", "--base", "mnist", "--param", "epochs=1", "--wait")
		failure, _ := job["failure"].(map[string]any)
		if ok || state(job) != "FAILED" || failure["reason"] != "TRAINER_FAILED" || !strings.Contains(failure["message"].(string), "mnist") {
			t.Errorf("ok=%v %v", ok, job)
		}
		if lines := s.get("/v1/" + job["name"].(string) + "/logs")["lines"].([]any); len(lines) == 0 {
			t.Error("its log is empty")
		}
	})
}

// folderWithoutDigits is a folder of images whose classes no base dataset shares.
func folderWithoutDigits(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for i := range 24 {
		class := filepath.Join(dir, []string{"alpha", "beta"}[i%2])
		check(t, os.MkdirAll(class, 0o755))
		img := image.NewGray(image.Rect(0, 0, 28, 28))
		for p := range img.Pix {
			img.Pix[p] = byte(p * (i%2*6 + 1))
		}
		f, err := os.Create(filepath.Join(class, strconv.Itoa(i)+".png"))
		check(t, err)
		check(t, png.Encode(f, img))
		check(t, f.Close())
	}
	return dir
}

// compact drops repetitions that follow one another.
func compact(list []string) []string {
	var out []string
	for _, s := range list {
		if len(out) == 0 || out[len(out)-1] != s {
			out = append(out, s)
		}
	}
	return out
}

// The promises of `trainyard up` to those who start it by hand or by script.
func TestUpStartsAndEndsQuickly(t *testing.T) {
	data := t.TempDir()
	begin := time.Now()
	u := startUp(t, data)
	if took := time.Since(begin); took > 3*time.Second {
		t.Errorf("ready after %v, want under 3 s", took)
	}
	for _, key := range []string{"http", "grpc", "aws", "data"} {
		if u.fields[key] == "" {
			t.Errorf("the ready line doesn't tell %s", key)
		}
	}
	// The local command line finds the suite by itself.
	if _, err := os.Stat(filepath.Join(data, "config", "trainyard", "local.json")); err != nil {
		t.Error(err)
	}
	if took := u.interrupt(); took > 5*time.Second {
		t.Errorf("Ctrl-C took %v, want under 5 s", took)
	}
}
