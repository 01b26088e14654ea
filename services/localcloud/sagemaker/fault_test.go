package sagemaker_test

import (
	"errors"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"

	"github.com/trainyard/trainyard/services/localcloud/fault"
	"github.com/trainyard/trainyard/services/localcloud/sagemaker"
)

func TestAPIFaults(t *testing.T) {
	t.Parallel()
	faults := new(fault.Injector)
	c := start(t, sagemaker.Config{Faults: faults}, "true")
	create := func() error {
		_, err := c.sm.CreateTrainingJob(t.Context(), request("faulty"))
		return err
	}
	faults.Fail("CreateTrainingJob", 1, fault.Throttled())
	faults.Fail("CreateTrainingJob", 1, fault.Denied("sagemaker:CreateTrainingJob"))
	faults.Fail("CreateTrainingJob", 1, fault.LimitExceeded("ml.p3.2xlarge", 1, 1, 1))
	wantError(t, create(), "ThrottlingException", "Rate exceeded")
	wantError(t, create(), "AccessDeniedException", "is not authorized to perform: sagemaker:CreateTrainingJob")
	var limit *types.ResourceLimitExceeded
	if err := create(); !errors.As(err, &limit) {
		t.Errorf("got %v, want ResourceLimitExceeded", err)
	}
	_, err := c.sm.DescribeTrainingJob(t.Context(), &sdk.DescribeTrainingJobInput{TrainingJobName: aws.String("faulty")})
	wantError(t, err, "ValidationException", "Requested resource not found.")

	// The job is made, and its maker isn't told.
	faults.Fail("CreateTrainingJob", 1, fault.AnswerLost())
	if err := create(); err == nil {
		t.Error("an answer came that was to be lost")
	}
	wantError(t, create(), "ResourceInUse", "already exists")
	same(t, "calls", faults.Calls("CreateTrainingJob"), 5)
	same(t, "status", c.awaitEnd("faulty").TrainingJobStatus, types.TrainingJobStatusCompleted)
}
