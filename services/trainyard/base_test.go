package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	errorsv1 "github.com/trainyard/trainyard/gen/trainyard/errors/v1"
	trainingv1 "github.com/trainyard/trainyard/gen/trainyard/training/v1"
	"github.com/trainyard/trainyard/services/trainyard/client"
)

// A trainer that fails unless it finds the base dataset whole and can't write to it.
const baseTrainer = `#!/bin/sh
base=$SAGEMAKER_BASE_DIR/input/data/squares
for name in manifest.json features.json label.labels.txt; do
	test -s "$base/$name" || { echo "no $name" > "$SAGEMAKER_BASE_DIR/output/failure"; exit 1; }
done
grep -o '"manifests":[^}]*' "$SAGEMAKER_BASE_DIR/input/config/hyperparameters.json"
echo '{"accuracy":1}' > "$SAGEMAKER_BASE_DIR/model/evaluation.json"
`

func TestBaseDatasets(t *testing.T) {
	data := t.TempDir()
	trainer := filepath.Join(t.TempDir(), "trainer")
	if err := os.WriteFile(trainer, []byte(baseTrainer), 0o700); err != nil { //nolint:gosec // A test's program.
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(data, "base-datasets.yaml"), []byte("- {id: operators, storage: s3, uri: s3://elsewhere/x/}"), 0o600); err != nil {
		t.Fatal(err)
	}
	suite := runSuite(t, &upCommand{Data: data, Trainer: trainer})
	t.Setenv("TRAINYARD_URL", suite.HTTP)
	t.Setenv("TRAINYARD_TOKEN", suite.Token)
	api, ctx, out := client.New(suite.HTTP, suite.Token), t.Context(), newOutput(true)
	archive := filepath.Join(t.TempDir(), "squares.zip")
	if err := os.WriteFile(archive, squares(t), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := (&pushCommand{Path: archive, Dataset: "squares", Parallel: 1}).push(ctx, api, out); err != nil {
		t.Fatal(err)
	}

	folder := filepath.Join(data, "efs", "local", "squares")
	onEFS := []string{
		"base", "publish", "squares/versions/1", "--id", "squares", "--mix", "0.25",
		"--file-system", localFileSystem, "--path", "/local/squares", "--to", folder,
	}
	for _, step := range []struct {
		args   string
		code   int
		prints string
	}{
		{"base list", 0, "operators  S3     ?        ?         ?     the operator"},
		{"base publish squares --id on-s3", 0, "baseDatasets/on-s3 (40 examples of 2 classes, "},
		{"base publish squares --id on-s3", 0, "on S3) is published from datasets/squares/versions/1"},
		{"base publish squares --id on-s3 --mix 0.5", exitFailed, ""},
		{"base publish squares --id operators", exitFailed, ""},
		{"base publish nobodys --id x", exitFailed, ""},
		{"base publish squares --id x --file-system fs-00000001", exitUsage, ""},
		{"base publish squares --id x --mix 2", exitUsage, ""},
		{"base publish squares --id x --file-system fs-00000001 --path /other/squares", exitFailed, ""},
		{strings.Join(onEFS, " "), 0, "on EFS) is published from datasets/squares/versions/1"},
		{strings.Join(onEFS, " "), 0, "on EFS) is published from datasets/squares/versions/1"},
		{"base get squares", 0, "location  us-east-1 EFS fs-00000001 /local/squares"},
		{"base get baseDatasets/squares", 0, "features  filename (Text), image (Image), label (ClassLabel)"},
		{"base get nobodys", exitFailed, ""},
		{"base list", 0, "squares    EFS    2        40        "},
		{"base delete on-s3", 0, "baseDatasets/on-s3 is deleted"},
		{"base delete on-s3", exitFailed, ""},
		{"base delete operators", exitFailed, ""},
	} {
		printed, code := capture(t, strings.Fields(step.args))
		if code != step.code || !strings.Contains(printed, step.prints) {
			t.Errorf("trainyard %s ends with %d, want %d, and prints\n%s\nwant %q", step.args, code, step.code, printed, step.prints)
		}
	}

	// What was copied is what the manifest says, and a job that reads it is held to it.
	base := &trainingv1.BaseDataset{}
	if err := api.Get(ctx, "/v1/baseDatasets/squares", nil, base); err != nil {
		t.Fatal(err)
	}
	manifest, err := os.ReadFile(filepath.Join(folder, manifestFile))
	if err != nil || sum(manifest) != base.GetManifestSha256() {
		t.Fatalf("the manifest on EFS is %s, want %s: %v", sum(manifest), base.GetManifestSha256(), err)
	}
	job := &trainingv1.TrainingJob{Recipe: "recipes/image-classification", DatasetVersion: "datasets/squares", BaseDatasets: []string{base.GetName()}}
	if err := api.Post(ctx, "/v1/trainingJobs", job, job); err != nil {
		t.Fatal(err)
	}
	if mix := job.GetParameters()["mix"].GetNumberValue(); mix != 0.25 {
		t.Errorf("mix is %v, want the base dataset's", mix)
	}
	if err := waitForJob(ctx, api, job, out); err != nil || job.GetState() != trainingv1.TrainingJob_SUCCEEDED {
		t.Fatalf("%v: %v", err, job)
	}
	if printed, code := capture(t, []string{"logs", job.GetName()}); code != 0 || !strings.Contains(printed, base.GetManifestSha256()) {
		t.Errorf("the training program isn't told the manifest: %s", printed)
	}

	// Its files on S3 went away under a base dataset: no job is made.
	if _, code := capture(t, []string{"base", "publish", "squares", "--id", "on-s3"}); code != 0 {
		t.Fatal(code)
	}
	stored := filepath.Join(data, "localcloud", "s3", "root", "trainyard", "datasets", localProject, "squares", "1", manifestFile)
	if err := os.Remove(stored); err != nil {
		t.Fatal(err)
	}
	late := &trainingv1.TrainingJob{Recipe: "recipes/image-classification", DatasetVersion: "datasets/squares", BaseDatasets: []string{"baseDatasets/on-s3"}}
	if err := api.Post(ctx, "/v1/trainingJobs", late, late); !client.Is(err, errorsv1.ErrorReason_SOURCE_MISMATCH) || !strings.Contains(err.Error(), "changed since it was published") {
		t.Errorf("a base dataset without its manifest: %v", err)
	}
	if took := time.Since(base.GetCreateTime().AsTime()); took < 0 || took > time.Hour {
		t.Errorf("it was published %v ago", took)
	}
}
