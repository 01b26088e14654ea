package training_test

import (
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/structpb"

	errorsv1 "github.com/trainyard/trainyard/gen/trainyard/errors/v1"
	ingestv1 "github.com/trainyard/trainyard/gen/trainyard/ingest/v1"
	trainingv1 "github.com/trainyard/trainyard/gen/trainyard/training/v1"
	"github.com/trainyard/trainyard/services/internal/apierror"
)

func badRequests(t *testing.T, s *service) {
	s.addVersion("fresh", 1, ingestv1.Version_CONVERTING)
	s.addVersion("broken", 1, ingestv1.Version_FAILED)
	s.addVersion("tiny", 1, ingestv1.Version_READY).Splits[1].ExampleCount = 0
	s.addVersion("single", 1, ingestv1.Version_READY).Classes = []*ingestv1.ClassCount{{Name: "0"}}
	s.addVersion("table", 1, ingestv1.Version_READY).Format = "csv"
	s.addVersion("packed", 1, ingestv1.Version_READY).Conversion = &ingestv1.ConversionOptions{Compression: ingestv1.ConversionOptions_GZIP}
	s.putFeatures(s.addVersion("numbers", 1, ingestv1.Version_READY), "height", "Tensor", "kind", "ClassLabel")
	s.putFeatures(s.addVersion("masks", 1, ingestv1.Version_READY), "photo", "Image", "mask", "Image", "kind", "ClassLabel")
	s.putFeatures(s.addVersion("levels", 1, ingestv1.Version_READY), "image", "Image", "fine", "ClassLabel", "coarse", "ClassLabel")
	number, text := structpb.NewNumberValue, structpb.NewStringValue
	tests := map[string]struct {
		change func(*trainingv1.TrainingJob)
		code   codes.Code
		reason errorsv1.ErrorReason
		says   string
	}{
		"unknown parameter": {
			func(j *trainingv1.TrainingJob) { j.Parameters["epoch"] = number(3) },
			codes.InvalidArgument, errorsv1.ErrorReason_PARAMETER_UNKNOWN, "has no parameter epoch: remove it, or use one of epochs, ",
		},
		"labels are not the user's": {
			func(j *trainingv1.TrainingJob) { j.Parameters["labels"] = text("[]") },
			codes.InvalidArgument, errorsv1.ErrorReason_PARAMETER_UNKNOWN, "labels",
		},
		"out of range": {
			func(j *trainingv1.TrainingJob) { j.Parameters["epochs"] = number(0) },
			codes.InvalidArgument, errorsv1.ErrorReason_PARAMETER_INVALID, "epochs is 0, but it must be a whole number from 1 to 1000",
		},
		"wrong type": {
			func(j *trainingv1.TrainingJob) { j.Parameters["epochs"] = text("many") },
			codes.InvalidArgument, errorsv1.ErrorReason_PARAMETER_INVALID, `epochs is "many"`,
		},
		"unknown recipe": {
			func(j *trainingv1.TrainingJob) { j.Recipe = "recipes/alchemy" },
			codes.InvalidArgument, errorsv1.ErrorReason_FIELD_INVALID, "recipes/image-classification",
		},
		"unknown base dataset": {
			func(j *trainingv1.TrainingJob) { j.BaseDatasets = []string{"baseDatasets/nobody"} },
			codes.InvalidArgument, errorsv1.ErrorReason_FIELD_INVALID, "baseDatasets/base",
		},
		"base dataset twice": {
			func(j *trainingv1.TrainingJob) { j.BaseDatasets = []string{"baseDatasets/base", "baseDatasets/base"} },
			codes.InvalidArgument, errorsv1.ErrorReason_FIELD_INVALID, "base_datasets",
		},
		"no shared class": {
			func(j *trainingv1.TrainingJob) { j.BaseDatasets = []string{"baseDatasets/letters"} },
			codes.InvalidArgument, errorsv1.ErrorReason_FIELD_INVALID, "shares no class",
		},
		"no such version": {
			func(j *trainingv1.TrainingJob) { j.DatasetVersion = "datasets/digits/versions/99" },
			codes.NotFound, errorsv1.ErrorReason_RESOURCE_NOT_FOUND, "datasets/digits/versions/99",
		},
		"no such dataset": {
			func(j *trainingv1.TrainingJob) { j.DatasetVersion = "datasets/nobody" },
			codes.NotFound, errorsv1.ErrorReason_RESOURCE_NOT_FOUND, "datasets/nobody",
		},
		"no dataset's name": {
			func(j *trainingv1.TrainingJob) { j.DatasetVersion = "s3://bucket/key" },
			codes.InvalidArgument, errorsv1.ErrorReason_FIELD_INVALID, "datasets/NAME",
		},
		"still converting": {
			func(j *trainingv1.TrainingJob) { j.DatasetVersion = "datasets/fresh/versions/1" },
			codes.FailedPrecondition, errorsv1.ErrorReason_WRONG_STATE, "datasets/fresh/versions/1 is CONVERTING",
		},
		"none is READY": {
			func(j *trainingv1.TrainingJob) { j.DatasetVersion = "datasets/broken" },
			codes.FailedPrecondition, errorsv1.ErrorReason_WRONG_STATE, "is FAILED and will not become READY",
		},
		"no validation split": {
			func(j *trainingv1.TrainingJob) { j.DatasetVersion = "datasets/tiny" },
			codes.InvalidArgument, errorsv1.ErrorReason_FIELD_INVALID, "no examples in its validation split",
		},
		"one class": {
			func(j *trainingv1.TrainingJob) { j.DatasetVersion = "datasets/single" },
			codes.InvalidArgument, errorsv1.ErrorReason_FIELD_INVALID, "1 classes",
		},
		"a table": {
			func(j *trainingv1.TrainingJob) { j.DatasetVersion = "datasets/table" },
			codes.InvalidArgument, errorsv1.ErrorReason_FIELD_INVALID, "was read as csv",
		},
		"no picture": {
			func(j *trainingv1.TrainingJob) { j.DatasetVersion = "datasets/numbers" },
			codes.InvalidArgument, errorsv1.ErrorReason_FIELD_INVALID, "hold no image of the kind Image, which recipes/image-classification needs; their features are height (Tensor), kind (ClassLabel)",
		},
		"several pictures": {
			func(j *trainingv1.TrainingJob) { j.DatasetVersion = "datasets/masks" },
			codes.InvalidArgument, errorsv1.ErrorReason_FIELD_INVALID, "mask, photo",
		},
		"several classes": {
			func(j *trainingv1.TrainingJob) { j.DatasetVersion = "datasets/levels" },
			codes.InvalidArgument, errorsv1.ErrorReason_FIELD_INVALID, "coarse, fine. Upload the data again with the one to train on named \"label\", or choose it as the label column",
		},
		"compressed shards": {
			func(j *trainingv1.TrainingJob) { j.DatasetVersion = "datasets/packed" },
			codes.InvalidArgument, errorsv1.ErrorReason_FIELD_INVALID, "without compression",
		},
		"instance type": {
			func(j *trainingv1.TrainingJob) {
				j.Resources = &trainingv1.Resources{InstanceType: "m5.xlarge"}
			},
			codes.InvalidArgument, errorsv1.ErrorReason_FIELD_INVALID, "ml.m5.xlarge",
		},
		"a base dataset that no database can look for": {
			func(j *trainingv1.TrainingJob) { j.BaseDatasets = []string{"baseDatasets/b\x00"} },
			codes.InvalidArgument, errorsv1.ErrorReason_FIELD_INVALID, "There is no base dataset",
		},
		"a job to resume that no database can look for": {
			func(j *trainingv1.TrainingJob) { j.ResumeFrom = "trainingJobs/j\x00" },
			codes.InvalidArgument, errorsv1.ErrorReason_FIELD_INVALID, "must be a job's name",
		},
		"an image that no database can look for": {
			func(j *trainingv1.TrainingJob) {
				j.Recipe, j.Parameters, j.CustomImage = "", nil, &trainingv1.CustomImage{Image: "i\x00"}
			},
			codes.InvalidArgument, errorsv1.ErrorReason_FIELD_INVALID, "can't be an image",
		},
		"too many instances": {
			func(j *trainingv1.TrainingJob) { j.Resources = &trainingv1.Resources{InstanceCount: 2} },
			codes.InvalidArgument, errorsv1.ErrorReason_FIELD_INVALID, "instance_count",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			asked := request(trainsWell)
			test.change(asked)
			_, err := s.jobs().CreateTrainingJob(t.Context(), &trainingv1.CreateTrainingJobRequest{TrainingJob: asked})
			checkError(t, err, test.code, test.reason, test.says)
			if test.code != codes.NotFound && apierror.Fact(err, "field") == "" {
				t.Errorf("no field is named: %v", apierror.Facts(err))
			}
		})
	}
	t.Run("ingest is away", func(t *testing.T) {
		s.ingest.fail(status.Error(codes.Unavailable, "secret address"))
		defer s.ingest.fail(nil)
		_, err := s.jobs().CreateTrainingJob(t.Context(), &trainingv1.CreateTrainingJobRequest{TrainingJob: request(trainsWell)})
		checkError(t, err, codes.Unavailable, errorsv1.ErrorReason_DEPENDENCY_UNAVAILABLE, "try again")
		if strings.Contains(err.Error(), "secret") {
			t.Errorf("the cause is told to the user: %v", err)
		}
	})
	t.Run("page tokens of others", func(t *testing.T) {
		for _, token := range []string{"!", "AA", "eyJ4Ijox"} {
			_, err := s.jobs().ListTrainingJobs(t.Context(), &trainingv1.ListTrainingJobsRequest{PageToken: token})
			checkError(t, err, codes.InvalidArgument, errorsv1.ErrorReason_PAGE_TOKEN_INVALID, "page_token")
		}
	})
}

func checkError(t *testing.T, err error, code codes.Code, reason errorsv1.ErrorReason, says string) {
	t.Helper()
	if status.Code(err) != code || apierror.Reason(err) != reason || !strings.Contains(err.Error(), says) {
		t.Errorf("got %v (%v); want %v %v, saying %q", err, apierror.Reason(err), code, reason, says)
	}
}
