package training_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/structpb"

	errorsv1 "github.com/trainyard/trainyard/gen/trainyard/errors/v1"
	ingestv1 "github.com/trainyard/trainyard/gen/trainyard/ingest/v1"
	trainingv1 "github.com/trainyard/trainyard/gen/trainyard/training/v1"
	"github.com/trainyard/trainyard/services/internal/apierror"
	"github.com/trainyard/trainyard/services/internal/awscfg"
	"github.com/trainyard/trainyard/services/internal/testkit"
	"github.com/trainyard/trainyard/services/training"
	"github.com/trainyard/trainyard/services/training/preflight"
)

// elsewhere is an S3 whose buckets lie in another region than the jobs, which keeps every job from running.
type elsewhere struct{ *s3.Client }

func (elsewhere) HeadBucket(context.Context, *s3.HeadBucketInput, ...func(*s3.Options)) (*s3.HeadBucketOutput, error) {
	return &s3.HeadBucketOutput{BucketRegion: aws.String("eu-west-1")}, nil
}

func withBucketsElsewhere(_ *training.Config, deps *training.Deps) {
	deps.Preflight = func(context.Context, string) (*preflight.Clients, error) {
		return &preflight.Clients{S3: elsewhere{awscfg.S3(cloud)}}, nil
	}
}

func result(checks []*trainingv1.CheckResult, name string) *trainingv1.CheckResult {
	i := slices.IndexFunc(checks, func(c *trainingv1.CheckResult) bool { return c.GetCheck() == name })
	if i < 0 {
		return nil
	}
	return checks[i]
}

func TestPreflightKeepsAJobFromBeingMade(t *testing.T) {
	s := newSuite(t, testkit.SQLite(t)).start(withBucketsElsewhere)
	found, err := s.jobs().PreflightTrainingJob(t.Context(), &trainingv1.PreflightTrainingJobRequest{TrainingJob: request(trainsWell)})
	if err != nil {
		t.Fatal(err)
	}
	if check := result(found.GetChecks(), "bucket-region"); found.GetPassed() || check.GetStatus() != trainingv1.CheckResult_FAIL || check.GetMend() == "" {
		t.Errorf("preflight passed %v: %v", found.GetPassed(), check)
	}
	if len(found.GetChecks()) != len(preflight.All()) {
		t.Errorf("%d results of %d checks", len(found.GetChecks()), len(preflight.All()))
	}
	_, err = s.jobs().CreateTrainingJob(t.Context(), &trainingv1.CreateTrainingJobRequest{TrainingJob: request(trainsWell)})
	checkError(t, err, codes.FailedPrecondition, errorsv1.ErrorReason_PREFLIGHT_FAILED, "eu-west-1")
	if apierror.Fact(err, "checks") != "bucket-region" {
		t.Errorf("the error names the checks %q", apierror.Fact(err, "checks"))
	}
	told := false
	for _, detail := range status.Convert(err).Details() {
		if response, ok := detail.(*trainingv1.PreflightTrainingJobResponse); ok {
			told = result(response.GetChecks(), "bucket-region").GetMend() != ""
		}
	}
	if !told {
		t.Errorf("the error doesn't carry the check's mend: %v", err)
	}
	if list, err := s.jobs().ListTrainingJobs(t.Context(), &trainingv1.ListTrainingJobsRequest{}); err != nil || len(list.GetTrainingJobs()) > 0 {
		t.Errorf("something was made: %v %v", list, err)
	}

	overriding := request(trainsWell)
	overriding.OverrideChecks = []string{"nonsense"}
	_, err = s.jobs().CreateTrainingJob(t.Context(), &trainingv1.CreateTrainingJobRequest{TrainingJob: overriding})
	checkError(t, err, codes.InvalidArgument, errorsv1.ErrorReason_FIELD_INVALID, "bucket-region")

	overriding.OverrideChecks = []string{"bucket-region"}
	job := s.wait(s.create(overriding).GetName(), trainingv1.TrainingJob_SUCCEEDED)
	if check := result(job.GetPreflight(), "bucket-region"); !check.GetOverridden() || check.GetStatus() != trainingv1.CheckResult_FAIL ||
		!slices.Equal(job.GetOverrideChecks(), overriding.GetOverrideChecks()) {
		t.Errorf("the override isn't recorded: %v %v", job.GetOverrideChecks(), check)
	}
	list, err := s.jobs().ListTrainingJobs(t.Context(), &trainingv1.ListTrainingJobsRequest{})
	if err != nil || len(list.GetTrainingJobs()) != 1 || len(list.GetTrainingJobs()[0].GetPreflight()) > 0 {
		t.Errorf("the list isn't of the job without what preflight found: %v %v", list, err)
	}
}

func TestTrialsOfASweepAreCheckedOnceInAWhile(t *testing.T) {
	var asked atomic.Int32
	s := newSuite(t, testkit.SQLite(t)).start(func(_ *training.Config, deps *training.Deps) {
		clients := deps.Preflight
		deps.Preflight = func(ctx context.Context, region string) (*preflight.Clients, error) {
			asked.Add(1)
			return clients(ctx, region)
		}
	})
	sweeps := trainingv1.NewSweepServiceClient(s.conn)
	made, err := sweeps.CreateSweep(t.Context(), &trainingv1.CreateSweepRequest{Sweep: &trainingv1.Sweep{
		TrainingJob: request(trainsWell), ParallelTrials: 3, Parameters: map[string]*trainingv1.SweepRange{
			"batch_size": {Values: []*structpb.Value{structpb.NewNumberValue(8), structpb.NewNumberValue(16), structpb.NewNumberValue(32)}},
		},
	}})
	if err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, patience, "the sweep ends", func() bool {
		got, err := sweeps.GetSweep(t.Context(), &trainingv1.GetSweepRequest{Name: made.GetSweep().GetName()})
		return err == nil && got.GetSweep().GetState() == trainingv1.Sweep_SUCCEEDED
	})
	if n := asked.Load(); n != 2 {
		t.Errorf("AWS was asked for %d preflights, want one of the sweep and one of its trials", n)
	}
	jobs, err := s.jobs().ListTrainingJobs(t.Context(), &trainingv1.ListTrainingJobsRequest{Sweep: made.GetSweep().GetName()})
	if err != nil || len(jobs.GetTrainingJobs()) != 3 {
		t.Fatalf("%d jobs, %v", len(jobs.GetTrainingJobs()), err)
	}
	for _, j := range jobs.GetTrainingJobs() {
		if result(s.get(j.GetName()).GetPreflight(), "bucket-region").GetStatus() != trainingv1.CheckResult_PASS {
			t.Errorf("%s doesn't tell what preflight found", j.GetName())
		}
	}
}

func TestEstimateStandsBesideTheLedger(t *testing.T) {
	s := newSuite(t, testkit.SQLite(t)).start(nil)
	asked := request(trainsWell)
	asked.BaseDatasets = []string{"baseDatasets/base"}
	estimated, err := s.jobs().EstimateTrainingJob(t.Context(), &trainingv1.EstimateTrainingJobRequest{TrainingJob: asked, JobsPerMonth: 10})
	if err != nil {
		t.Fatal(err)
	}
	options := estimated.GetEstimates()
	if len(options) < 4 || !options[0].GetChosen() || options[0].GetBaseStorage() != trainingv1.BaseDataset_EFS || estimated.GetDatasetBytes() != 1100 ||
		len(estimated.GetAssumptions()) < 5 {
		t.Fatalf("estimated: %v", estimated)
	}
	for _, mark := range []func(*trainingv1.Estimate) bool{(*trainingv1.Estimate).GetCheapest, (*trainingv1.Estimate).GetFastest, (*trainingv1.Estimate).GetChosen} {
		if n := len(slices.DeleteFunc(slices.Clone(options), func(e *trainingv1.Estimate) bool { return !mark(e) })); n != 1 {
			t.Errorf("%d options are marked, want 1: %v", n, options)
		}
	}
	job := s.wait(s.create(asked).GetName(), trainingv1.TrainingJob_SUCCEEDED)
	if e, l := job.GetEstimate(), job.GetLedger(); e.GetTrainSeconds() != options[0].GetTrainSeconds() || e.GetCurrency() != "USD" || l.GetHourlyPrice() != 0.23 ||
		l.GetCost() <= 0 || job.GetInputModes()["train"] != options[0].GetInputMode() {
		t.Errorf("estimate %v, ledger %v, modes %v", e, l, job.GetInputModes())
	}
}

func TestRegionsAreCompared(t *testing.T) {
	s := newSuite(t, testkit.SQLite(t)).start(nil)
	compared, err := s.jobs().CompareRegions(t.Context(), &trainingv1.CompareRegionsRequest{OtherRegion: "cn-north-1", TrainingJob: request(trainsWell)})
	if err != nil {
		t.Fatal(err)
	}
	if first := compared.GetDifferences()[0]; !first.GetBlocking() || first.GetSubject() != "partition" || first.GetThere() != "aws-cn" || first.GetChange() == "" {
		t.Errorf("the first difference: %v", first)
	}
	for _, other := range []string{"atlantis", cloud.Region} {
		_, err = s.jobs().CompareRegions(t.Context(), &trainingv1.CompareRegionsRequest{OtherRegion: other})
		checkError(t, err, codes.InvalidArgument, errorsv1.ErrorReason_FIELD_INVALID, other)
	}
	_, err = s.jobs().PreflightTrainingJob(t.Context(), &trainingv1.PreflightTrainingJobRequest{TrainingJob: request(trainsWell), Region: "atlantis"})
	checkError(t, err, codes.InvalidArgument, errorsv1.ErrorReason_FIELD_INVALID, "atlantis")
}

func TestQuotaRefusesAndTellsWhatIsLeft(t *testing.T) {
	quotas := filepath.Join(t.TempDir(), "quotas.yaml")
	if err := os.WriteFile(quotas, []byte("default: {max_concurrent_jobs: 1, max_instance_hours: 100}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := newSuite(t, testkit.SQLite(t)).start(func(cfg *training.Config, _ *training.Deps) { cfg.Quotas = quotas })
	first := s.create(request(waitsForStop))
	_, err := s.jobs().CreateTrainingJob(t.Context(), &trainingv1.CreateTrainingJobRequest{TrainingJob: request(trainsWell)})
	checkError(t, err, codes.ResourceExhausted, errorsv1.ErrorReason_QUOTA_EXCEEDED, "none is left")
	if apierror.Fact(err, "limit") != "1" || apierror.Fact(err, "left") != "0" {
		t.Errorf("facts: %v", err)
	}
	usage, err := s.jobs().GetTrainingUsage(t.Context(), &trainingv1.GetTrainingUsageRequest{})
	if err != nil || usage.GetConcurrentJobs() != 1 || usage.GetMaxConcurrentJobs() != 1 || usage.GetMaxInstanceHours() != 100 || usage.GetResetTime() == nil {
		t.Errorf("usage %v %v", usage, err)
	}
	if _, err := s.jobs().StopTrainingJob(t.Context(), &trainingv1.StopTrainingJobRequest{Name: first.GetName()}); err != nil {
		t.Fatal(err)
	}
	s.wait(first.GetName(), trainingv1.TrainingJob_STOPPED)
	s.wait(s.create(request(trainsWell)).GetName(), trainingv1.TrainingJob_SUCCEEDED)
}

func TestAJobGoesOnFromAnothersCheckpoints(t *testing.T) {
	s := newSuite(t, testkit.SQLite(t)).start(nil)
	asked := request(waitsForStop)
	asked.Resources = &trainingv1.Resources{InstanceType: "ml.m5.2xlarge", MaxRuntimeSeconds: 600}
	first := s.create(asked).GetName()
	resume := &trainingv1.TrainingJob{ResumeFrom: first}
	_, err := s.jobs().CreateTrainingJob(t.Context(), &trainingv1.CreateTrainingJobRequest{TrainingJob: resume})
	checkError(t, err, codes.FailedPrecondition, errorsv1.ErrorReason_WRONG_STATE, "only a job that has ended can be resumed")
	testkit.Eventually(t, patience, "the job trains", func() bool { return s.get(first).GetMetrics()["train:loss"] == 0.5 })
	if _, err := s.jobs().StopTrainingJob(t.Context(), &trainingv1.StopTrainingJobRequest{Name: first}); err != nil {
		t.Fatal(err)
	}
	s.wait(first, trainingv1.TrainingJob_STOPPED)

	for field, change := range map[string]func(*trainingv1.TrainingJob){
		"parameters.batch_size": func(j *trainingv1.TrainingJob) {
			j.Parameters = map[string]*structpb.Value{"batch_size": structpb.NewNumberValue(7)}
		},
		"dataset_version": func(j *trainingv1.TrainingJob) {
			s.addVersion("digits", 2, ingestv1.Version_READY)
			j.DatasetVersion = "datasets/digits/versions/2"
		},
		"base_datasets": func(j *trainingv1.TrainingJob) {
			j.DatasetVersion, j.BaseDatasets = "datasets/digits/versions/1", []string{"baseDatasets/base"}
		},
	} {
		asked := &trainingv1.TrainingJob{ResumeFrom: first}
		change(asked)
		_, err := s.jobs().CreateTrainingJob(t.Context(), &trainingv1.CreateTrainingJobRequest{TrainingJob: asked})
		checkError(t, err, codes.InvalidArgument, errorsv1.ErrorReason_FIELD_INVALID, "start anew without resume_from")
		if got := apierror.Fact(err, "field"); got != "training_job."+field {
			t.Errorf("the error names field %q, want training_job.%s", got, field)
		}
	}
	resume.Parameters = map[string]*structpb.Value{"epochs": structpb.NewNumberValue(9)}
	second := s.createAtOnce(resume)
	if second.GetResumeFrom() != first || second.GetDatasetVersion() != "datasets/digits/versions/1" || second.GetResources().GetInstanceType() != "ml.m5.2xlarge" ||
		second.GetResources().GetMaxRuntimeSeconds() != 600 || second.GetParameters()["seed"].GetNumberValue() != waitsForStop {
		t.Errorf("what was left out isn't the earlier job's: %v", second)
	}
	_, err = s.jobs().CreateTrainingJob(t.Context(), &trainingv1.CreateTrainingJobRequest{TrainingJob: resume})
	checkError(t, err, codes.FailedPrecondition, errorsv1.ErrorReason_WRONG_STATE, second.GetName()+" goes on from these checkpoints already")
	resume.ResumeFrom = "trainingJobs/nobody"
	_, err = s.jobs().CreateTrainingJob(t.Context(), &trainingv1.CreateTrainingJobRequest{TrainingJob: resume})
	checkError(t, err, codes.NotFound, errorsv1.ErrorReason_RESOURCE_NOT_FOUND, "trainingJobs/nobody")
	if _, err := s.jobs().StopTrainingJob(t.Context(), &trainingv1.StopTrainingJobRequest{Name: second.GetName()}); err != nil {
		t.Fatal(err)
	}
	s.wait(second.GetName(), trainingv1.TrainingJob_STOPPED)
}

// createAtOnce makes a job by several calls of two requests at the same time, of which one makes it and the other is refused.
func (s *service) createAtOnce(asked *trainingv1.TrainingJob) *trainingv1.TrainingJob {
	s.t.Helper()
	type answer struct {
		request string
		job     *trainingv1.TrainingJob
		err     error
	}
	answers := make(chan answer, 8)
	for i := range cap(answers) {
		go func() {
			request := []string{"one", "other"}[i%2]
			res, err := s.jobs().CreateTrainingJob(s.t.Context(), &trainingv1.CreateTrainingJobRequest{TrainingJob: asked, RequestId: request})
			answers <- answer{request, res.GetTrainingJob(), err}
		}()
	}
	made := map[string]*trainingv1.TrainingJob{}
	refused := map[string]bool{}
	for range cap(answers) {
		a := <-answers
		if a.err != nil {
			checkError(s.t, a.err, codes.FailedPrecondition, errorsv1.ErrorReason_WRONG_STATE, "goes on from these checkpoints already")
			refused[a.request] = true
			continue
		}
		if earlier := made[a.request]; earlier != nil && earlier.GetName() != a.job.GetName() {
			s.t.Errorf("one request made %s and %s", earlier.GetName(), a.job.GetName())
		}
		made[a.request] = a.job
	}
	if len(made) != 1 {
		s.t.Fatalf("%d requests made a job of the same checkpoints, want 1", len(made))
	}
	for request, job := range made {
		if refused[request] {
			s.t.Errorf("a request that made a job was refused in another of its calls")
		}
		return job
	}
	return nil
}

func TestAnImageOfOnesOwnTrains(t *testing.T) {
	s := newSuite(t, testkit.SQLite(t)).start(func(cfg *training.Config, _ *training.Deps) {
		cfg.AllowedImages = []string{strings.TrimSuffix(image, ":1")}
	})
	// A table: recipes don't read it, a program of one's own may.
	version := s.addVersion("digits", 1, ingestv1.Version_READY)
	version.Format = "csv"
	s.put(version, "label.labels.txt", "0\n1\n")
	own := func() *trainingv1.TrainingJob {
		return &trainingv1.TrainingJob{
			DatasetVersion: "datasets/digits/versions/1",
			CustomImage: &trainingv1.CustomImage{
				Image: image, Hyperparameters: map[string]string{"seed": "1"}, Environment: map[string]string{"MY_NAME": "value"},
				MetricDefinitions: []*trainingv1.MetricDefinition{{Name: "loss", Regex: `train:loss=([0-9.]+)`}},
			},
			Resources: &trainingv1.Resources{InstanceType: instance},
			Tags:      map[string]string{"team": "vision"},
		}
	}
	job := s.wait(s.create(own()).GetName(), trainingv1.TrainingJob_SUCCEEDED)
	if job.GetRecipe() != "" || job.GetImage() != image || job.GetMetrics()["loss"] != 0.25 || job.GetTags()["team"] != "vision" ||
		job.GetCustomImage().GetEnvironment()["MY_NAME"] != "value" {
		t.Errorf("the job: %v", job)
	}
	if job.GetInputModes()["labels"] == trainingv1.InputMode_INPUT_MODE_UNSPECIFIED {
		t.Errorf("the program gets no names of the classes: %v", job.GetInputModes())
	}
	learned, err := s.jobs().EstimateTrainingJob(t.Context(), &trainingv1.EstimateTrainingJobRequest{TrainingJob: own()})
	if err != nil || !strings.Contains(strings.Join(learned.GetAssumptions(), "\n"), "median of 1 past job") {
		t.Errorf("the next job's estimate learned nothing from this one: %v, %v", learned.GetAssumptions(), err)
	}
	for name, test := range map[string]struct {
		change func(*trainingv1.TrainingJob)
		reason errorsv1.ErrorReason
		field  string
	}{
		"a registry that isn't allowed": {func(j *trainingv1.TrainingJob) { j.CustomImage.Image = "docker.io/me/mine:1" }, errorsv1.ErrorReason_FIELD_INVALID, "custom_image.image"},
		"a recipe as well":              {func(j *trainingv1.TrainingJob) { j.Recipe = "recipes/image-classification" }, errorsv1.ErrorReason_FIELD_INVALID, "custom_image"},
		"parameters of a recipe": {func(j *trainingv1.TrainingJob) {
			j.Parameters = map[string]*structpb.Value{"epochs": structpb.NewNumberValue(1)}
		}, errorsv1.ErrorReason_FIELD_INVALID, "parameters"},
		"an environment key":       {func(j *trainingv1.TrainingJob) { j.CustomImage.Environment["1 2"] = "" }, errorsv1.ErrorReason_FIELD_INVALID, "custom_image.environment.1 2"},
		"a metric without a group": {func(j *trainingv1.TrainingJob) { j.CustomImage.MetricDefinitions[0].Regex = "loss" }, errorsv1.ErrorReason_FIELD_INVALID, "custom_image.metric_definitions[0].regex"},
		"a tag of AWS's":           {func(j *trainingv1.TrainingJob) { j.Tags["aws:mine"] = "1" }, errorsv1.ErrorReason_FIELD_INVALID, "tags.aws:mine"},
		"a warm pool of spot":      {func(j *trainingv1.TrainingJob) { j.Resources.Spot, j.Resources.KeepAliveSeconds = true, 60 }, errorsv1.ErrorReason_FIELD_INVALID, "resources.keep_alive_seconds"},
		"less waiting than running": {func(j *trainingv1.TrainingJob) {
			r := j.Resources
			r.Spot, r.MaxRuntimeSeconds, r.MaxWaitSeconds = true, 100, 60
		}, errorsv1.ErrorReason_FIELD_INVALID, "resources.max_wait_seconds"},
		"a mode of no channel": {func(j *trainingv1.TrainingJob) {
			j.InputModes = map[string]trainingv1.InputMode{"tran": trainingv1.InputMode_FILE}
		}, errorsv1.ErrorReason_FIELD_INVALID, "input_modes.tran"},
		"the same version once more": {func(j *trainingv1.TrainingJob) { j.AdditionalDatasetVersions = []string{"datasets/digits/versions/1"} }, errorsv1.ErrorReason_FIELD_INVALID, "additional_dataset_versions[0]"},
		"a disk beyond what there is": {func(j *trainingv1.TrainingJob) {
			j.Resources.InstanceType, j.Resources.VolumeSizeGb = "ml.g5.xlarge", 9999
		}, errorsv1.ErrorReason_FIELD_INVALID, "resources.volume_size_gb"},
	} {
		t.Run(name, func(t *testing.T) {
			asked := own()
			test.change(asked)
			_, err := s.jobs().CreateTrainingJob(t.Context(), &trainingv1.CreateTrainingJobRequest{TrainingJob: asked})
			checkError(t, err, codes.InvalidArgument, test.reason, "")
			if got := apierror.Fact(err, "field"); got != "training_job."+test.field {
				t.Errorf("the error names field %q, want training_job.%s: %v", got, test.field, err)
			}
		})
	}
}

// A machine with disks of its own takes neither a key for them nor a size, so that the installation's key must not be put there, nor the size that was
// sent be asked for when the job is resumed.
func TestMachinesWithDisksOfTheirOwn(t *testing.T) {
	const key = "arn:aws:kms:us-east-1:000000000000:key/0f0e0d0c-0b0a-4908-8706-050403020100"
	s := newSuite(t, testkit.SQLite(t)).start(func(cfg *training.Config, _ *training.Deps) { cfg.VolumeKMSKey = key })
	asked := request(trainsWell)
	asked.Resources = &trainingv1.Resources{InstanceType: "ml.g5.xlarge"}
	own := s.wait(s.create(asked).GetName(), trainingv1.TrainingJob_SUCCEEDED)
	if got := own.GetResources().GetVolumeKmsKey(); got != "" {
		t.Errorf("the key %q is on a disk that takes none", got)
	}
	s.wait(s.create(&trainingv1.TrainingJob{ResumeFrom: own.GetName()}).GetName(), trainingv1.TrainingJob_SUCCEEDED)
	asked.Resources.InstanceType = instance
	if got := s.wait(s.create(asked).GetName(), trainingv1.TrainingJob_SUCCEEDED).GetResources().GetVolumeKmsKey(); got != key {
		t.Errorf("the installation's key is %q", got)
	}
}
