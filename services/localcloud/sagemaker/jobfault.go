package sagemaker

import (
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/sagemaker"
)

// jobFaults is what a job asks to go wrong with it, by variables in its Environment or in its image's Program.Env.
type jobFaults struct {
	interruptAfter time.Duration // of training, each time
	interruptTimes int
	interruptWait  time.Duration // until there is an instance again
	internalErrors int
	fail           string
}

const (
	failCapacity = "capacity"
	failDownload = "download"

	capacityReason = "CapacityError: Unable to provision requested ML compute capacity. Please retry using a different ML instance type."
	downloadReason = "ClientError: Data download failed:Please ensure that the subnet's route table has a route to an S3 VPC endpoint or a NAT device, both the security groups and the subnet's network ACL allow outbound traffic to S3."
)

// faultsOf reads a job's faults. README.md lists the variables.
func (s *Service) faultsOf(in *sdk.CreateTrainingJobInput) (f jobFaults, err error) {
	f = jobFaults{interruptTimes: 1, interruptWait: time.Second}
	program, _ := s.program(aws.ToString(in.AlgorithmSpecification.TrainingImage))
	for _, v := range []struct {
		name, want string
		read       func(text string) error
	}{
		{"LOCALCLOUD_INTERRUPT_AFTER", "a time such as 5s", duration(&f.interruptAfter)},
		{"LOCALCLOUD_INTERRUPT_WAIT", "a time such as 5s", duration(&f.interruptWait)},
		{"LOCALCLOUD_INTERRUPT_TIMES", "a number", number(&f.interruptTimes)},
		{"LOCALCLOUD_INTERNAL_ERRORS", "a number", number(&f.internalErrors)},
		{"LOCALCLOUD_FAIL", failCapacity + " or " + failDownload, func(text string) error {
			if f.fail = text; text != failCapacity && text != failDownload {
				return strconv.ErrSyntax
			}
			return nil
		}},
	} {
		text, ok := in.Environment[v.name]
		if !ok {
			text, ok = program.Env[v.name]
		}
		if ok && v.read(text) != nil {
			return f, invalid("The variable %s is %q: localcloud takes %s.", v.name, text, v.want)
		}
	}
	if _, asked := in.Environment["LOCALCLOUD_INTERRUPT_AFTER"]; asked && !isSpot(in) {
		return f, invalid("LOCALCLOUD_INTERRUPT_AFTER needs EnableManagedSpotTraining: other instances are not interrupted.")
	}
	return f, nil
}

func duration(to *time.Duration) func(string) error {
	return func(text string) (err error) {
		*to, err = time.ParseDuration(text)
		return err
	}
}

func number(to *int) func(string) error {
	return func(text string) (err error) {
		*to, err = strconv.Atoi(text)
		return err
	}
}

func isSpot(in *sdk.CreateTrainingJobInput) bool {
	return in.EnableManagedSpotTraining != nil && *in.EnableManagedSpotTraining
}
