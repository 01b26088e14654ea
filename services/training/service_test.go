package training_test

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	errorsv1 "github.com/trainyard/trainyard/gen/trainyard/errors/v1"
	ingestv1 "github.com/trainyard/trainyard/gen/trainyard/ingest/v1"
	trainingv1 "github.com/trainyard/trainyard/gen/trainyard/training/v1"
	"github.com/trainyard/trainyard/services/internal/testkit"
	"github.com/trainyard/trainyard/services/training"
)

func TestService(t *testing.T) {
	testkit.EachDatabase(t, func(t *testing.T, dsn string) {
		s := newSuite(t, dsn).start(nil)
		for name, test := range map[string]func(*testing.T, *service){
			"a job is trained and its model registered": jobIsTrained,
			"a trainer's failure is told":               trainerFails,
			"a job that leaves no model fails":          noModel,
			"a running job is stopped with its model":   runningJobIsStopped,
			"SageMaker's refusal is told":               sageMakerRefuses,
			"a request id makes one job":                requestMakesOneJob,
			"bad requests are refused":                  badRequests,
			"another project finds nothing":             otherProjectFindsNothing,
			"lists come in pages, newest first":         listsArePaged,
			"the catalogue is shown":                    catalogueIsShown,
			"forged and repeated events change nothing": eventsAreHints,
		} {
			t.Run(name, func(t *testing.T) {
				suite := *s.suite
				suite.t = t
				test(t, &service{suite: &suite, server: s.server, conn: s.conn})
			})
		}
	})
}

func jobIsTrained(t *testing.T, s *service) {
	asked := request(trainsWell)
	asked.DatasetVersion = "datasets/digits" // Pinned to its newest READY version.
	asked.BaseDatasets = []string{"baseDatasets/base"}
	s.addVersion("digits", 2, ingestv1.Version_CONVERTING)
	created := s.create(asked)
	if created.GetState() != trainingv1.TrainingJob_QUEUED || created.GetDatasetVersion() != "datasets/digits/versions/1" {
		t.Errorf("created: %v", created)
	}
	if created.GetParameters()["epochs"].GetNumberValue() != 5 || created.GetResources().GetInstanceType() != instance || created.GetResources().GetVolumeSizeGb() != 31 {
		t.Errorf("defaults are not filled in: %v %v", created.GetParameters(), created.GetResources())
	}

	job := s.wait(created.GetName(), trainingv1.TrainingJob_SUCCEEDED)
	if job.GetSecondaryStatus() != "Completed" || job.GetStartTime() == nil || job.GetEndTime() == nil || job.GetBilledSeconds() < 1 {
		t.Errorf("ended: %v", job)
	}
	var phases []string
	for _, p := range job.GetPhases() {
		phases = append(phases, p.GetName())
		if p.GetEndTime() == nil || p.GetSeconds() < 0 {
			t.Errorf("phase %v has not ended", p)
		}
	}
	if !slices.Equal(phases, []string{"Starting", "Downloading", "Training", "Uploading"}) {
		t.Errorf("phases %v", phases)
	}
	for name, want := range map[string]float64{"train:loss": 0.25, "train:accuracy": 0.75, "validation:accuracy": 0.875, "progress:epoch": 1} {
		if got := job.GetMetrics()[name]; got != want {
			t.Errorf("metric %s is %v, want %v", name, got, want)
		}
	}
	checkPoints(t, s, job.GetName())
	checkLog(t, s, job.GetName())
	checkModel(t, s, job)
	checkEvents(t, s, job)
}

func checkPoints(t *testing.T, s *service, job string) {
	t.Helper()
	var points []*trainingv1.MetricPoint
	for token, pages := "", 0; pages == 0 || token != ""; pages++ {
		res, err := s.jobs().ListTrainingJobMetrics(t.Context(), &trainingv1.ListTrainingJobMetricsRequest{Parent: job, PageSize: 4, PageToken: token})
		if err != nil {
			t.Fatal(err)
		}
		points, token = append(points, res.GetPoints()...), res.GetNextPageToken()
	}
	var losses []float64
	for _, p := range points {
		if p.GetName() == "train:loss" {
			losses = append(losses, p.GetValue(), p.GetEpoch())
		}
	}
	if len(points) != 9 || !slices.Equal(losses, []float64{0.75, 0.5, 0.25, 1}) {
		t.Errorf("%d points, losses and epochs %v", len(points), losses)
	}
}

func checkLog(t *testing.T, s *service, job string) {
	t.Helper()
	var lines []string
	for token, pages := "", 0; pages == 0 || token != ""; pages++ {
		res, err := s.jobs().ListTrainingJobLogs(t.Context(), &trainingv1.ListTrainingJobLogsRequest{Parent: job, PageSize: 2, PageToken: token})
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range res.GetLines() {
			lines = append(lines, line.GetMessage())
		}
		token = res.GetNextPageToken()
	}
	// The base dataset's labels come from the channel on the file system.
	want := []string{"starting", "[metric] epoch=1 step=1", "[metric] epoch=1 step=2", "[metric] epoch=1 step=2", "0", "1", "done"}
	if !slices.EqualFunc(lines, want, strings.HasPrefix) {
		t.Errorf("log %q", lines)
	}
}

func checkModel(t *testing.T, s *service, job *trainingv1.TrainingJob) {
	t.Helper()
	res, err := s.models().GetModel(t.Context(), &trainingv1.GetModelRequest{Name: job.GetModel()})
	if err != nil {
		t.Fatal(err)
	}
	model := res.GetModel()
	if model.GetTrainingJob() != job.GetName() || !slices.Equal(model.GetLabels(), []string{"0", "1"}) || model.GetMetrics()["validation:accuracy"] != 0.875 {
		t.Errorf("model %v", model)
	}
	if model.GetEvaluation().GetFields()["accuracy"].GetNumberValue() != 0.9 {
		t.Errorf("evaluation %v", model.GetEvaluation())
	}
	lineage := model.GetLineage()
	if lineage.GetDatasetVersion() != "datasets/digits/versions/1" || lineage.GetManifestSha256() != strings.Repeat("ab", 32) ||
		!slices.Equal(lineage.GetBaseDatasets(), []string{"baseDatasets/base"}) || lineage.GetImage() != image ||
		lineage.GetRecipe() != "recipes/image-classification" || lineage.GetParameters()["seed"].GetNumberValue() != trainsWell {
		t.Errorf("lineage %v", lineage)
	}
	download, err := s.models().DownloadModel(t.Context(), &trainingv1.DownloadModelRequest{Name: job.GetModel()})
	if err != nil {
		t.Fatal(err)
	}
	got, err := http.Get(download.GetUrl())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = got.Body.Close() }()
	body, err := io.ReadAll(got.Body)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(body)
	if got.StatusCode != http.StatusOK || hex.EncodeToString(sum[:]) != model.GetSha256() || int64(len(body)) != model.GetSizeBytes() ||
		download.GetSha256() != model.GetSha256() || download.GetSizeBytes() != model.GetSizeBytes() {
		t.Errorf("the download is not the model: %s, %d bytes", got.Status, len(body))
	}
	file := strings.TrimPrefix(job.GetName(), "trainingJobs/") + ".tar.gz"
	if disposition := got.Header.Get("Content-Disposition"); disposition != `attachment; filename="`+file+`"` {
		t.Errorf("Content-Disposition %q", disposition)
	}
}

func checkEvents(t *testing.T, s *service, job *trainingv1.TrainingJob) {
	t.Helper()
	testkit.Eventually(t, patience, "the last events are published", func() bool {
		return len(s.events.of(job.GetModel())) == 1 && slices.Contains(s.events.states(job.GetName()), "SUCCEEDED")
	})
	if states := s.events.states(job.GetName()); !slices.Equal(states, []string{"QUEUED", "RUNNING", "SUCCEEDED"}) {
		t.Errorf("state events %v", states)
	}
	metrics, statuses := false, map[string]bool{}
	for _, event := range s.events.of(job.GetName()) {
		if event.GetProject() != s.project {
			t.Errorf("an event of project %s", event.GetProject())
		}
		payload := event.GetEvent().GetPayload().GetFields()
		statuses[payload["secondaryStatus"].GetStringValue()] = true
		metrics = metrics || len(payload["metrics"].GetStructValue().GetFields()) > 0
	}
	if !metrics || !statuses["Completed"] {
		t.Errorf("progress events tell metrics: %v, statuses: %v", metrics, statuses)
	}
	created := s.events.of(job.GetModel())[0].GetEvent()
	if created.GetType() != "model.created" || created.GetPayload().GetFields()["name"].GetStringValue() != job.GetModel() {
		t.Errorf("model event %v", created)
	}
}

func trainerFails(t *testing.T, s *service) {
	withReason, silently := s.create(request(failsWithReason)), s.create(request(failsSilently))
	job := s.wait(withReason.GetName(), trainingv1.TrainingJob_FAILED)
	if f := job.GetFailure(); f.GetReason() != errorsv1.ErrorReason_TRAINER_FAILED || f.GetMessage() != "the loss became nan" ||
		!strings.HasPrefix(f.GetMetadata()["sagemaker_failure_reason"], "AlgorithmError: ") {
		t.Errorf("failure %v", f)
	}
	res, err := s.jobs().ListTrainingJobLogs(t.Context(), &trainingv1.ListTrainingJobLogsRequest{Parent: job.GetName()})
	if err != nil || len(res.GetLines()) == 0 || res.GetLines()[0].GetMessage() != "starting" || res.GetNextPageToken() != "" {
		t.Errorf("log %v, %v", res, err)
	}
	if job.GetModel() != "" {
		t.Errorf("a failed job has the model %s", job.GetModel())
	}
	job = s.wait(silently.GetName(), trainingv1.TrainingJob_FAILED)
	if f := job.GetFailure(); f.GetReason() != errorsv1.ErrorReason_TRAINER_FAILED || !strings.Contains(f.GetMessage(), "log") || f.GetMetadata()["exit_code"] != "3" {
		t.Errorf("failure %v", f)
	}
}

func noModel(t *testing.T, s *service) {
	job := s.wait(s.create(request(leavesNoModel)).GetName(), trainingv1.TrainingJob_FAILED)
	if f := job.GetFailure(); f.GetReason() != errorsv1.ErrorReason_TRAINER_FAILED || !strings.Contains(f.GetMessage(), "left no model") {
		t.Errorf("failure %v", f)
	}
}

func runningJobIsStopped(t *testing.T, s *service) {
	name := s.create(request(waitsForStop)).GetName()
	testkit.Eventually(t, patience, "the job prints a metric", func() bool { return s.get(name).GetMetrics()["train:loss"] == 0.5 })
	atEnd := logToken(t, s, name, "")

	res, err := s.jobs().StopTrainingJob(t.Context(), &trainingv1.StopTrainingJobRequest{Name: name})
	if err != nil || res.GetTrainingJob().GetState() != trainingv1.TrainingJob_STOPPING {
		t.Fatalf("stop: %v, %v", res, err)
	}
	job := s.wait(name, trainingv1.TrainingJob_STOPPED)
	if job.GetModel() == "" {
		t.Error("the model that was saved on SIGTERM is not registered")
	}
	// Stopping what has stopped is safe, and the log's last token is still good.
	res, err = s.jobs().StopTrainingJob(t.Context(), &trainingv1.StopTrainingJobRequest{Name: name})
	if err != nil || res.GetTrainingJob().GetState() != trainingv1.TrainingJob_STOPPED {
		t.Errorf("stop again: %v, %v", res, err)
	}
	later, err := s.jobs().ListTrainingJobLogs(t.Context(), &trainingv1.ListTrainingJobLogsRequest{Parent: name, PageToken: atEnd})
	if err != nil || later.GetNextPageToken() != "" {
		t.Fatalf("the rest of the log: %v, %v", later, err)
	}
	var rest []string
	for _, line := range later.GetLines() {
		rest = append(rest, line.GetMessage())
	}
	if !slices.Contains(rest, "saving") || slices.Contains(rest, "starting") { // The shell may tell of its sleep's end.
		t.Errorf("the rest of the log: %q", rest)
	}
	testkit.Eventually(t, patience, "the last event is published", func() bool { return slices.Contains(s.events.states(name), "STOPPED") })
	if states := s.events.states(name); !slices.Equal(states, []string{"QUEUED", "RUNNING", "STOPPING", "STOPPED"}) {
		t.Errorf("state events %v", states)
	}
}

// logToken reads a running job's log to its present end.
func logToken(t *testing.T, s *service, job, token string) string {
	t.Helper()
	for {
		res, err := s.jobs().ListTrainingJobLogs(t.Context(), &trainingv1.ListTrainingJobLogsRequest{Parent: job, PageToken: token})
		if err != nil || res.GetNextPageToken() == "" {
			t.Fatalf("log of a running job: %v, %v", res, err)
		}
		if len(res.GetLines()) == 0 {
			return res.GetNextPageToken()
		}
		token = res.GetNextPageToken()
	}
}

func sageMakerRefuses(t *testing.T, s *service) {
	s.addVersion("empty", 1, ingestv1.Version_READY) // Without shards in S3, which SageMaker sees at once.
	asked := request(trainsWell)
	asked.DatasetVersion = "datasets/empty/versions/1"
	job := s.wait(s.create(asked).GetName(), trainingv1.TrainingJob_FAILED)
	f := job.GetFailure()
	if f.GetReason() != errorsv1.ErrorReason_DATA_DOWNLOAD_FAILED || !strings.Contains(f.GetMessage(), "ValidationException") ||
		!strings.Contains(f.GetMessage(), "empty-train.tfrecord") {
		t.Errorf("failure %v", f)
	}
}

func requestMakesOneJob(t *testing.T, s *service) {
	names := make(chan string, 8)
	for range cap(names) {
		go func() {
			res, err := s.jobs().CreateTrainingJob(t.Context(), &trainingv1.CreateTrainingJobRequest{TrainingJob: request(trainsWell), RequestId: "one"})
			if err != nil {
				t.Error(err)
			}
			names <- res.GetTrainingJob().GetName()
		}()
	}
	name := <-names
	for range cap(names) - 1 {
		if other := <-names; other != name {
			t.Errorf("one request made %s and %s", name, other)
		}
	}
	s.wait(name, trainingv1.TrainingJob_SUCCEEDED)
	// The same id later, when the parameters could no longer be resolved to the same version, still gives the job.
	res, err := s.jobs().CreateTrainingJob(t.Context(), &trainingv1.CreateTrainingJobRequest{TrainingJob: request(trainsWell), RequestId: "one"})
	if err != nil || res.GetTrainingJob().GetName() != name || res.GetTrainingJob().GetState() != trainingv1.TrainingJob_SUCCEEDED {
		t.Errorf("again: %v, %v", res, err)
	}
}

func otherProjectFindsNothing(t *testing.T, s *service) {
	job := s.wait(s.create(request(trainsWell)).GetName(), trainingv1.TrainingJob_SUCCEEDED)
	stranger := s.server.User("stranger")
	jobs, models := trainingv1.NewTrainingServiceClient(stranger), trainingv1.NewModelServiceClient(stranger)
	ctx := t.Context()
	for _, name := range []string{job.GetName(), "trainingJobs/nobody", "trainingJobs/\x00", "nonsense"} {
		for rpc, call := range map[string]func() error{
			"GetTrainingJob": func() error {
				_, err := jobs.GetTrainingJob(ctx, &trainingv1.GetTrainingJobRequest{Name: name})
				return err
			},
			"StopTrainingJob": func() error {
				_, err := jobs.StopTrainingJob(ctx, &trainingv1.StopTrainingJobRequest{Name: name})
				return err
			},
			"ListTrainingJobMetrics": func() error {
				_, err := jobs.ListTrainingJobMetrics(ctx, &trainingv1.ListTrainingJobMetricsRequest{Parent: name})
				return err
			},
			"ListTrainingJobLogs": func() error {
				_, err := jobs.ListTrainingJobLogs(ctx, &trainingv1.ListTrainingJobLogsRequest{Parent: name})
				return err
			},
		} {
			if err := call(); status.Code(err) != codes.NotFound {
				t.Errorf("%s of %q: %v; want NOT_FOUND", rpc, name, err)
			}
		}
	}
	if _, err := models.GetModel(ctx, &trainingv1.GetModelRequest{Name: job.GetModel()}); status.Code(err) != codes.NotFound {
		t.Errorf("GetModel: %v; want NOT_FOUND", err)
	}
	if _, err := models.DownloadModel(ctx, &trainingv1.DownloadModelRequest{Name: job.GetModel()}); status.Code(err) != codes.NotFound {
		t.Errorf("DownloadModel: %v; want NOT_FOUND", err)
	}
	list, err := jobs.ListTrainingJobs(ctx, &trainingv1.ListTrainingJobsRequest{})
	if err != nil || len(list.GetTrainingJobs()) != 0 {
		t.Errorf("ListTrainingJobs: %v, %v", list, err)
	}
	modelList, err := models.ListModels(ctx, &trainingv1.ListModelsRequest{})
	if err != nil || len(modelList.GetModels()) != 0 {
		t.Errorf("ListModels: %v, %v", modelList, err)
	}
	_, err = jobs.CreateTrainingJob(ctx, &trainingv1.CreateTrainingJobRequest{TrainingJob: request(trainsWell)})
	if status.Code(err) != codes.NotFound {
		t.Errorf("training on another project's dataset: %v; want NOT_FOUND", err)
	}
	noProject := trainingv1.NewTrainingServiceClient(s.server.Service)
	if _, err := noProject.ListTrainingJobs(ctx, &trainingv1.ListTrainingJobsRequest{}); status.Code(err) != codes.Unauthenticated {
		t.Errorf("a service that names no project: %v; want UNAUTHENTICATED", err)
	}
}

func listsArePaged(t *testing.T, s *service) {
	var made []string
	for range 3 {
		made = append(made, s.create(request(trainsWell)).GetName())
	}
	for _, name := range made {
		s.wait(name, trainingv1.TrainingJob_SUCCEEDED)
	}
	var jobs, models []string
	for token, pages := "", 0; pages == 0 || token != ""; pages++ {
		res, err := s.jobs().ListTrainingJobs(t.Context(), &trainingv1.ListTrainingJobsRequest{PageSize: 2, PageToken: token})
		if err != nil {
			t.Fatal(err)
		}
		for _, j := range res.GetTrainingJobs() {
			jobs = append(jobs, j.GetName())
		}
		token = res.GetNextPageToken()
	}
	for token, pages := "", 0; pages == 0 || token != ""; pages++ {
		res, err := s.models().ListModels(t.Context(), &trainingv1.ListModelsRequest{PageSize: 2, PageToken: token})
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range res.GetModels() {
			models = append(models, m.GetTrainingJob())
		}
		token = res.GetNextPageToken()
	}
	for what, list := range map[string][]string{"jobs": jobs, "models": models} {
		sorted := slices.Clone(list)
		slices.Sort(sorted)
		slices.Reverse(sorted)
		if !slices.Equal(list, slices.Compact(sorted)) {
			t.Errorf("%s are not listed newest first, each once: %v", what, list)
		}
		for _, name := range made {
			if !slices.Contains(list, name) {
				t.Errorf("%s miss %s", what, name)
			}
		}
	}
}

func catalogueIsShown(t *testing.T, s *service) {
	catalog := trainingv1.NewCatalogServiceClient(s.conn)
	recipe, err := catalog.GetRecipe(t.Context(), &trainingv1.GetRecipeRequest{Name: "recipes/image-classification"})
	if err != nil {
		t.Fatal(err)
	}
	size := recipe.GetRecipe().GetParameters()[3]
	if size.GetName() != "image_size" || size.GetMinimum() != 0 || size.GetMaximum() != 512 || size.GetType() != trainingv1.Parameter_INTEGER || size.GetDefaultValue().GetNumberValue() != 0 {
		t.Errorf("parameter %v", size)
	}
	if recipe.GetRecipe().GetObjectiveMetric() != "validation:accuracy" || recipe.GetRecipe().GetDefaultInstanceType() != instance {
		t.Errorf("recipe %v", recipe)
	}
	bases, err := catalog.ListBaseDatasets(t.Context(), &trainingv1.ListBaseDatasetsRequest{PageSize: 1})
	if err != nil || len(bases.GetBaseDatasets()) != 1 || bases.GetBaseDatasets()[0].GetExampleCount() != 20000 || bases.GetBaseDatasets()[0].GetStorage() != trainingv1.BaseDataset_EFS {
		t.Fatalf("base datasets %v, %v", bases, err)
	}
	rest, err := catalog.ListBaseDatasets(t.Context(), &trainingv1.ListBaseDatasetsRequest{PageToken: bases.GetNextPageToken()})
	if err != nil || len(rest.GetBaseDatasets()) != 1 || rest.GetBaseDatasets()[0].GetName() != "baseDatasets/letters" || rest.GetNextPageToken() != "" {
		t.Errorf("the rest %v, %v", rest, err)
	}
	if _, err := catalog.GetBaseDataset(t.Context(), &trainingv1.GetBaseDatasetRequest{Name: "baseDatasets/nobody"}); status.Code(err) != codes.NotFound {
		t.Errorf("GetBaseDataset: %v", err)
	}
	if _, err := catalog.GetRecipe(t.Context(), &trainingv1.GetRecipeRequest{Name: "recipes/" + url.PathEscape("../x")}); status.Code(err) != codes.NotFound {
		t.Errorf("GetRecipe: %v", err)
	}
}

func TestConfigurationIsChecked(t *testing.T) {
	s := newSuite(t, testkit.SQLite(t))
	for name, test := range map[string]struct {
		change func(*training.Config)
		says   string
	}{
		"no bucket":         {func(c *training.Config) { c.Bucket = "" }, "--bucket"},
		"no subnets":        {func(c *training.Config) { c.Subnets = nil }, "--subnets"},
		"bad group":         {func(c *training.Config) { c.SecurityGroups = []string{"default"} }, "sg-"},
		"too long a run":    {func(c *training.Config) { c.MaxRuntime = 700 * 3600e9 }, "28 days"},
		"bad instance type": {func(c *training.Config) { c.InstanceType = "big" }, "ml.m5.xlarge"},
		"no such file":      {func(c *training.Config) { c.BaseDatasets += "x" }, "base datasets"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := config(s)
			test.change(&cfg)
			if _, err := training.New(t.Context(), cfg, s.deps()); err == nil || !strings.Contains(err.Error(), test.says) {
				t.Fatalf("got %v; want it refused, saying %q", err, test.says)
			}
		})
	}
}
