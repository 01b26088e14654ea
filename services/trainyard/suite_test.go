package main

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	errorsv1 "github.com/trainyard/trainyard/gen/trainyard/errors/v1"
	ingestv1 "github.com/trainyard/trainyard/gen/trainyard/ingest/v1"
	notificationv1 "github.com/trainyard/trainyard/gen/trainyard/notification/v1"
	trainingv1 "github.com/trainyard/trainyard/gen/trainyard/training/v1"
	"github.com/trainyard/trainyard/services/converter/worker"
	"github.com/trainyard/trainyard/services/internal/boot"
	"github.com/trainyard/trainyard/services/internal/testkit"
	"github.com/trainyard/trainyard/services/trainyard/client"
	"github.com/trainyard/trainyard/services/trainyard/digits"
	"google.golang.org/grpc"
	"google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/protobuf/types/known/structpb"
)

// The test binary is the converter's worker process too.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == worker.Argument {
		worker.Main()
	}
	os.Exit(m.Run())
}

// runSuite runs the whole suite in this process until the test ends.
func runSuite(t *testing.T, c *upCommand) endpoints {
	t.Helper()
	t.Chdir(".") // Back to here at the end: the local S3 makes its folder the process's.
	c.HTTP, c.GRPC, c.AWS = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
	log, err := boot.NewLogger(boot.LogConfig{LogLevel: "warn", LogFormat: "text"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ready, ended := make(chan endpoints, 1), make(chan error, 1)
	go func() { ended <- c.run(ctx, log, func(e endpoints) { ready <- e }) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the suite ended with: %v", err)
		}
	})
	select {
	case e := <-ready:
		return e
	case err := <-ended:
		ended <- nil
		t.Fatal(err)
	case <-time.After(time.Minute):
		t.Fatal("the suite is not ready after a minute")
	}
	return endpoints{}
}

// The main job on real digits and the real trainer, in one process, so that the race detector sees all of it.
func TestMainJob(t *testing.T) {
	python, err := filepath.Abs("../../.venv/bin/python")
	if err != nil {
		t.Fatal(err)
	}
	if !exists(python) {
		t.Skip("there is no .venv: run make python, as make test does")
	}
	data := t.TempDir()
	train, _, err := digits.Load()
	if err != nil {
		t.Fatal(err)
	}
	archive := filepath.Join(t.TempDir(), "digits.zip")
	if err := train.Slice(0, 300).WriteZip(archive); err != nil {
		t.Fatal(err)
	}
	if err := train.Slice(300, 600).WriteShards(filepath.Join(data, "efs", "mnist"), "mnist-train", 2); err != nil {
		t.Fatal(err)
	}
	bases := "- {id: mnist, storage: efs, file_system_id: " + localFileSystem + ", path: /mnist, labels: ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9']}"
	if err := os.WriteFile(filepath.Join(data, "base-datasets.yaml"), []byte(bases), 0o600); err != nil {
		t.Fatal(err)
	}
	suite := runSuite(t, &upCommand{Data: data, Trainer: python + " -m trainyard_trainer train"})
	api, ctx := client.New(suite.HTTP, suite.Token), t.Context()

	// Upload and convert.
	source, name, err := openSource(archive)
	if err != nil {
		t.Fatal(err)
	}
	out := newOutput(true)
	version, err := beginVersion(ctx, api, "digits", name, source.Size(), &ingestv1.ConversionOptions{}, out)
	if err == nil {
		err = upload(ctx, api, version, source, 2, out)
	}
	if err == nil {
		err = api.Post(ctx, "/v1/"+version.GetName()+":completeUpload", nil, version)
	}
	if err == nil {
		err = (&pushCommand{}).wait(ctx, api, version, out)
	}
	if err != nil || version.GetState() != ingestv1.Version_READY || version.GetExampleCount() != 300 {
		t.Fatalf("%v: %v", err, version)
	}

	if err := checkFormat(ctx, api, "image-folder"); err != nil {
		t.Error(err)
	}
	if err := checkFormat(ctx, api, "images"); err == nil || !strings.Contains(err.Error(), "image-folder") {
		t.Errorf("a format that there isn't: %v", err)
	}

	// Train on both datasets.
	job := &trainingv1.TrainingJob{
		Recipe: "recipes/image-classification", DatasetVersion: "datasets/digits", BaseDatasets: []string{"baseDatasets/mnist"},
		Parameters: map[string]*structpb.Value{"epochs": structpb.NewNumberValue(1)},
	}
	if err := api.Post(ctx, "/v1/trainingJobs", job, job); err != nil {
		t.Fatal(err)
	}
	if job.GetDatasetVersion() != version.GetName() {
		t.Errorf("the dataset is pinned to %q, want %q", job.GetDatasetVersion(), version.GetName())
	}
	if err := waitForJob(ctx, api, job, out); err != nil || job.GetState() != trainingv1.TrainingJob_SUCCEEDED {
		t.Fatalf("%v: %v", err, job)
	}

	// Download and check.
	dir := t.TempDir()
	model := &trainingv1.Model{}
	if err := api.Get(ctx, "/v1/"+job.GetModel(), nil, model); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "model.tar.gz")
	if _, err := download(ctx, artifactOf(api, model, out), path); err != nil {
		t.Fatal(err)
	}
	if err := extract(path, dir); err != nil || !exists(filepath.Join(dir, "model.tflite")) {
		t.Fatalf("the model has no model.tflite: %v", err)
	}
	// The converted dataset comes down whole, where TensorFlow Datasets looks for it, and the second time nothing is fetched.
	for range 2 {
		if err := pullDataset(ctx, api, version.GetName(), dir, out); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"features.json", "dataset_info.json", "label.labels.txt", "manifest.json", "report.json"} {
		if found, err := filepath.Glob(filepath.Join(dir, "*", "1.0.0", name)); err != nil || len(found) != 1 {
			t.Errorf("%s is not in the dataset's folder: %v %v", name, found, err)
		}
	}
	used := model.GetEvaluation().GetFields()["base_examples"].GetNumberValue()
	if used == 0 {
		t.Error("the base dataset was not used")
	}

	t.Run("events replay from any cursor without a gap", func(t *testing.T) {
		var all notificationv1.ListEventsResponse
		if err := api.Get(ctx, "/v1/events", url.Values{"pageSize": {"1000"}}, &all); err != nil {
			t.Fatal(err)
		}
		events := all.GetEvents()
		if len(events) < 8 {
			t.Fatalf("%d events", len(events))
		}
		done := errors.New("done")
		next := events[2].GetSequence() + 1
		err := api.Watch(ctx, "", "3", func(e client.Event) error {
			if want := events[next-1]; !strings.Contains(e.Data, want.GetId()) {
				t.Errorf("event %d is %s, want %s", next, e.Data, want.GetId())
			}
			if next++; int(next) > len(events) {
				return done
			}
			return nil
		})
		if !errors.Is(err, done) {
			t.Error(err)
		}
	})
	t.Run("reflection shows every service", func(t *testing.T) {
		conn, err := boot.Dial(suite.GRPC, suite.Token)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		shown := reflected(t, conn)
		for _, service := range []string{
			"trainyard.ingest.v1.IngestService", "trainyard.ingest.v1.ConversionService", "trainyard.converter.v1.ConverterService",
			"trainyard.training.v1.TrainingService", "trainyard.training.v1.CatalogService", "trainyard.training.v1.ModelService",
			"trainyard.notification.v1.NotificationService",
		} {
			if !strings.Contains(shown, service) {
				t.Errorf("%s is not among %s", service, shown)
			}
		}
	})
	t.Run("the page signs in by itself, and a stranger gets nothing", func(t *testing.T) {
		res, err := http.Get(suite.HTTP + "/") //nolint:noctx // A test.
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if len(res.Cookies()) != 1 || !res.Cookies()[0].HttpOnly {
			t.Errorf("cookies %v", res.Cookies())
		}
		stranger := client.New(suite.HTTP, "ty_nobody")
		if err := stranger.Get(ctx, "/v1/datasets", nil, &ingestv1.ListDatasetsResponse{}); !client.Is(err, errorsv1.ErrorReason_CREDENTIALS_INVALID) {
			t.Errorf("a stranger's list of datasets: %v", err)
		}
	})
}

func reflected(t *testing.T, conn *grpc.ClientConn) string {
	t.Helper()
	stream, err := grpc_reflection_v1.NewServerReflectionClient(conn).ServerReflectionInfo(t.Context())
	if err == nil {
		err = stream.Send(&grpc_reflection_v1.ServerReflectionRequest{MessageRequest: &grpc_reflection_v1.ServerReflectionRequest_ListServices{}})
	}
	if err != nil {
		t.Fatal(err)
	}
	answer, err := stream.Recv()
	if err != nil {
		t.Fatal(err)
	}
	return answer.GetListServicesResponse().String()
}

// A suite on PostgreSQL keeps every service in a schema of its own.
func TestSuiteOnPostgres(t *testing.T) {
	suite := runSuite(t, &upCommand{Data: t.TempDir(), Store: testkit.Postgres(t), Trainer: "/bin/false"})
	api := client.New(suite.HTTP, suite.Token)
	var dataset ingestv1.Dataset
	if err := api.Post(t.Context(), "/v1/datasets?datasetId=d", &ingestv1.Dataset{DisplayName: "D"}, &dataset); err != nil || dataset.GetName() != "datasets/d" {
		t.Fatalf("%v: %v", err, &dataset)
	}
	testkit.Eventually(t, 10*time.Second, "the event has arrived", func() bool {
		var events notificationv1.ListEventsResponse
		err := api.Get(t.Context(), "/v1/events", nil, &events)
		return err == nil && len(events.GetEvents()) == 1 && events.GetEvents()[0].GetType() == "dataset.created"
	})
}
