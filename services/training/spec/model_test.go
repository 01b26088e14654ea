package spec_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/trainyard/trainyard/services/training/recipe"
	"github.com/trainyard/trainyard/services/training/spec"
)

// Whatever the job, Build either says what is wrong with a field of it or makes a request that AWS's own service model takes.
func TestBuiltRequestsKeepToTheServiceModel(t *testing.T) {
	python := python(t)
	var requests [][]byte
	refused := map[string]int{}
	rapid.Check(t, func(r *rapid.T) {
		job := anyJob(r)
		input, hash, err := spec.Build(job)
		var limit *spec.Error
		if errors.As(err, &limit) {
			refused[limit.Field]++
			return
		}
		if err != nil {
			r.Fatalf("%v is no spec.Error", err)
		}
		if _, again, err := spec.Build(job); err != nil || again != hash {
			r.Fatalf("the same job has the hashes %s and %s (%v)", hash, again, err)
		}
		body, _ := wire(t, input, job.Region)
		requests = append(requests, body)
	})
	if len(requests) < 20 || len(refused) < 5 {
		t.Fatalf("of the jobs %d were built and %v refused; the test sees too little", len(requests), refused)
	}
	if complaints := judge(t, python, requests); len(complaints) > 0 {
		t.Errorf("AWS's model refuses what was built:\n%s", complaints)
	}
}

func TestShownRequestsKeepToTheServiceModel(t *testing.T) {
	python := python(t)
	files, err := filepath.Glob(filepath.Join("testdata", "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	var requests [][]byte
	for _, file := range files {
		body, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		requests = append(requests, body)
	}
	if complaints := judge(t, python, requests); len(complaints) > 0 {
		t.Errorf("AWS's model refuses %v:\n%s", files, complaints)
	}
	broken := bytes.Replace(requests[0], []byte(`"trainyard-`), []byte(`"_trainyard-`), 1)
	if complaints := judge(t, python, [][]byte{broken}); !strings.Contains(complaints, "request.TrainingJobName") {
		t.Errorf("the judge lets a bad name pass: %q", complaints)
	}
}

// judge asks AWS's Python SDK and gives its complaints.
func judge(t *testing.T, python string, requests [][]byte) string {
	t.Helper()
	var lines bytes.Buffer
	for _, body := range requests {
		if err := json.Compact(&lines, body); err != nil {
			t.Fatal(err)
		}
		lines.WriteByte('\n')
	}
	command := exec.CommandContext(t.Context(), python, filepath.Join("testdata", "judge.py"))
	command.Stdin = &lines
	var failure bytes.Buffer
	command.Stderr = &failure
	out, err := command.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, failure.String())
	}
	return string(out)
}

// python finds the repository's own, above this package.
func python(t *testing.T) string {
	t.Helper()
	directory, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for ; directory != filepath.Dir(directory); directory = filepath.Dir(directory) {
		path := filepath.Join(directory, ".venv", "bin", "python")
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	t.Skip("there is no .venv: run make python, as make test does")
	return ""
}

// anyJob draws jobs on both sides of the limits, mostly within them.
func anyJob(r *rapid.T) spec.Job {
	job := example()
	// near draws a length, seldom beyond the limit.
	near := func(limit int, label string) int {
		if rapid.Uint32().Draw(r, label+" at the limit")%200 == 199 {
			return limit + rapid.SampledFrom([]int{0, -1, 0, 1}).Draw(r, label+" about the limit")
		}
		return rapid.IntRange(0, min(limit, 12)).Draw(r, label)
	}
	text := func(limit int, letters, label string) string {
		n := near(limit, label)
		drawn := rapid.StringOfN(rapid.RuneFrom([]rune(letters)), min(n, 12), min(n, 12), -1).Draw(r, label)
		return drawn + strings.Repeat("x", max(0, n-12))
	}
	chance := func(in int, label string) bool { return rapid.IntRange(1, in).Draw(r, label) == in }
	const free = "aZ09 äß火\"\\<>{}"
	pairs := func(count, key, value int, keys, values, label string) map[string]string {
		m := map[string]string{}
		for i := range near(count, label) {
			m[fmt.Sprint("k", i)+text(key-4, keys, label+" key")] = text(value, values, label+" value")
		}
		return m
	}

	job.Tags = pairs(47, 128, 256, "aZ ä.:/=+-@_", "aZ ä.:/=+-@_", "tags")
	for i := range near(300, "labels") {
		job.Dataset.Labels = append(job.Dataset.Labels, text(40, free+"\n", "label")+fmt.Sprint(i))
	}
	for i := range near(8, "additional versions") {
		job.Additional = append(job.Additional, spec.Dataset{
			URI: fmt.Sprintf("s3://bucket/datasets/p/more/%d/", i), TFDSName: "more", Labels: []string{text(2500, free, "additional label")},
			DownloadBytes: rapid.Int64Range(0, 1e11).Draw(r, "additional bytes"), TrainShards: rapid.Int32Range(0, 9).Draw(r, "shards"),
		})
	}
	for i := range near(18, "bases") {
		base := spec.Base{ID: text(60, "az09.-_", "base") + fmt.Sprint(i), ManifestSHA256: strings.Repeat("a", 64)}
		switch rapid.IntRange(0, 2).Draw(r, "storage") {
		case 0:
			base.Source, _ = spec.S3Prefix("s3://elsewhere/" + text(1000, free, "prefix"))
		case 1:
			base.Source, _ = spec.EFSDirectory("fs-00000001", "/"+text(4095, free, "directory"))
		default:
			base.Source, _ = spec.LustreDirectory("fs-0123456789abcdef0", "fsx", "/"+text(4090, free, "directory"))
		}
		job.Bases = append(job.Bases, base)
	}
	if chance(3, "modes") {
		job.InputModes = map[string]spec.Mode{"train": rapid.SampledFrom([]spec.Mode{spec.File, spec.FastFile, spec.FastFile, spec.Pipe}).Draw(r, "mode")}
	}
	job.Resources = spec.Resources{
		InstanceType:      rapid.SampledFrom([]string{"ml.m5.xlarge", "ml.m5.xlarge", "ml.g5.xlarge", "ml.c5.18xlarge"}).Draw(r, "instance type"),
		InstanceCount:     1,
		MaxRuntimeSeconds: rapid.Int32Range(1, spec.MaxRuntimeSeconds).Draw(r, "runtime"),
		MaxRetries:        int32(near(30, "retries")), //nolint:gosec // Small.
		NetworkIsolation:  chance(2, "isolation"), InVPC: chance(3, "in VPC"), EncryptTraffic: chance(2, "encryption"), Sharded: chance(3, "sharded"),
		OutputKMSKey: rapid.SampledFrom([]string{"", "", "", "alias/models", "alias/models", "bad key"}).Draw(r, "output key"),
	}
	if chance(3, "spot") {
		job.Resources.Spot, job.CheckpointURI = true, "s3://bucket/checkpoints/p/x/"
		job.Resources.MaxWaitSeconds = rapid.SampledFrom([]int32{0, 0, 3600, spec.MaxRuntimeSeconds}).Draw(r, "wait")
	}
	if chance(6, "keep alive") {
		job.Resources.KeepAliveSeconds = rapid.Int32Range(1, 21602).Draw(r, "keep alive seconds")
	}
	if chance(2, "own image") {
		ownJob(&job)
		job.Resources.InstanceCount = rapid.Int32Range(1, 4).Draw(r, "instances")
		job.Custom.Environment = pairs(100, 512, 512, "aZ_0", free+"\n", "environment")
		job.Custom.Hyperparameters = pairs(100, 256, 2500, free, free, "hyperparameters")
		for range near(100, "arguments") {
			job.Custom.Arguments = append(job.Custom.Arguments, text(256, free, "argument"))
		}
		for i := range near(40, "metrics") {
			job.Custom.Metrics = append(job.Custom.Metrics, recipe.Metric{Name: text(250, free, "metric") + fmt.Sprint(i), Regex: text(490, "aZ =", "regex") + "([0-9]+)"})
		}
	}
	return job
}
