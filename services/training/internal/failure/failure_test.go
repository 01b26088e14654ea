package failure_test

import (
	"slices"
	"strings"
	"testing"

	errorsv1 "github.com/trainyard/trainyard/gen/trainyard/errors/v1"
	"github.com/trainyard/trainyard/services/training/internal/failure"
	"github.com/trainyard/trainyard/services/training/preflight"
)

func TestFailureReasons(t *testing.T) {
	for name, test := range map[string]struct {
		text  string
		want  errorsv1.ErrorReason
		check string
		says  string
	}{
		"FSx in China": {
			"ClientError: FSx for Lustre is currently not supported in the region cn-north-1 for SageMaker",
			errorsv1.ErrorReason_FILE_SYSTEM_FAILED, "file-system-support", "EFS",
		},
		"mount timed out": {
			"ClientError: Unable to mount file system: fs-0123456789abcdef0, directory path: /datasets. File system connection timed out. Please ensure that mount target IP address of the file system is reachable and the security groups you associate with file system must allow inbound access on NFS port.",
			errorsv1.ErrorReason_FILE_SYSTEM_FAILED, "efs-security", "2049",
		},
		"no such directory": {
			"ClientError: Unable to mount file system: fs-0123456789abcdef0, directory path: /fsx/base. No such file or directory: /fsx/base",
			errorsv1.ErrorReason_FILE_SYSTEM_FAILED, "file-system-path", "MountName",
		},
		"mount refused": {
			"ClientError: Unable to mount file system: fs-0123456789abcdef0, directory path: /b. Invalid file system id",
			errorsv1.ErrorReason_FILE_SYSTEM_FAILED, "efs-mount-target", "fs-0123456789abcdef0",
		},
		"notification conflict": {
			"Configuration is ambiguously defined. Cannot have overlapping suffixes in two rules if the prefixes are overlapping for the same event type.",
			errorsv1.ErrorReason_FILE_SYSTEM_FAILED, "s3-event-conflict", "EventBridge",
		},
		"no route to S3": {
			"ClientError: Data download failed:Please ensure that the subnet's route table has a route to an S3 VPC endpoint or a NAT device, both the security groups and the subnet's network ACL allow outbound traffic to S3.",
			errorsv1.ErrorReason_DATA_DOWNLOAD_FAILED, "s3-route", "gateway endpoint",
		},
		"no route for the model": {
			"ClientError: Artifact upload failed:Please ensure that the subnet's route table has a route to an S3 VPC endpoint or a NAT device, both the security groups and the subnet's network ACL allow outbound traffic to S3.",
			errorsv1.ErrorReason_TRAINING_SERVICE_FAILED, "s3-route", "could not be saved",
		},
		"key is missing": {
			"ClientError: Data download failed:NoSuchKey (404): The specified key does not exist.",
			errorsv1.ErrorReason_DATA_DOWNLOAD_FAILED, "", "s3:GetObject",
		},
		"wrong region": {
			"ClientError: Data download failed:PermanentRedirect (301): The bucket is in this region: us-west-2. Please use this region to retry the request",
			errorsv1.ErrorReason_DATA_DOWNLOAD_FAILED, "bucket-region", "another region",
		},
		"disk is full": {
			"ClientError: Data download failed:Insufficient disk space: no space left on device",
			errorsv1.ErrorReason_DATA_DOWNLOAD_FAILED, "", "volume_size_gb",
		},
		"S3 denied": {
			"ClientError: Data download failed:AccessDenied (403): Access Denied",
			errorsv1.ErrorReason_ACCESS_DENIED, "execution-role", "doctor",
		},
		"KMS denied": {
			"ClientError: Data download failed:AccessDenied (403): User: arn:aws:sts::123456789012:assumed-role/r/SageMaker is not authorized to perform: kms:Decrypt on resource: arn:aws:kms:us-east-1:123456789012:key/1",
			errorsv1.ErrorReason_ACCESS_DENIED, "kms-key", "kms:CreateGrant",
		},
		"role can't be assumed": {
			"ClientError: SageMaker was unable to assume the role 'arn:aws:iam::379899735384:role/SageMakerRole'",
			errorsv1.ErrorReason_ACCESS_DENIED, "execution-role", "trust",
		},
		"no capacity": {
			"CapacityError: Unable to provision requested ML compute capacity. Please retry using a different ML instance type.",
			errorsv1.ErrorReason_CAPACITY_UNAVAILABLE, "instance-in-az", "zones",
		},
		"no capacity, in words": {
			"ClientError: Insufficient capacity error from EC2 while launching instances",
			errorsv1.ErrorReason_CAPACITY_UNAVAILABLE, "instance-in-az", "Try again later",
		},
		"no spot capacity": {
			"CapacityError: Unable to provision requested spot capacity. Please retry using a different ML instance type.",
			errorsv1.ErrorReason_SPOT_UNAVAILABLE, "", "max_wait_seconds",
		},
		"image": {
			"ClientError: Cannot pull algorithm container. Either the image does not exist or its permissions are incorrect.",
			errorsv1.ErrorReason_IMAGE_UNAVAILABLE, "image", "registry",
		},
		"limit": {
			"ResourceLimitExceeded: The account-level service limit 'ml.p3.2xlarge for training job usage' is 0 Instances, with current utilization of 0 Instances and a request delta of 1 Instances. Please use AWS Service Quotas to request an increase for this quota.",
			errorsv1.ErrorReason_ACCOUNT_LIMIT_EXCEEDED, "instance-quota", "Service Quotas",
		},
		"SageMaker's own": {
			"InternalServerError: We encountered an internal error. Please try again.",
			errorsv1.ErrorReason_SAGEMAKER_INTERNAL_ERROR, "", "max_retries",
		},
		"memory, by SageMaker": {
			"ClientError: Please use an instance type with more memory, or reduce the size of training data processed on an instance.",
			errorsv1.ErrorReason_OUT_OF_MEMORY, "", "batch_size",
		},
		"checkpoints": {
			"ClientError: Checkpoint download failed:NoSuchBucket (404)",
			errorsv1.ErrorReason_DATA_DOWNLOAD_FAILED, "", "",
		},
		"max runtime":          {"ClientError: MaxRuntimeExceeded", errorsv1.ErrorReason_TRAINING_SERVICE_FAILED, "", "max_runtime_seconds"},
		"max wait":             {"ClientError: MaxWaitTimeExceeded", errorsv1.ErrorReason_SPOT_UNAVAILABLE, "", "max_wait_seconds"},
		"tenancy":              {"ClientError: VPC vpc-1 must have default instance tenancy", errorsv1.ErrorReason_TRAINING_SERVICE_FAILED, "vpc-tenancy", "default"},
		"nobody knows":         {"QuantumError: the cat is both", errorsv1.ErrorReason_TRAINING_SERVICE_FAILED, "", "the cat is both"},
		"nothing":              {"", errorsv1.ErrorReason_TRAINING_SERVICE_FAILED, "", "without saying why"},
		"a program's path":     {"AlgorithmError: [Errno 2] No such file or directory: '/opt/ml/x' on the file system, exit code: 1", errorsv1.ErrorReason_TRAINER_FAILED, "", "[Errno 2]"},
		"a program's denial":   {"AlgorithmError: botocore AccessDenied, exit code: 1", errorsv1.ErrorReason_TRAINER_FAILED, "", "botocore"},
		"a program was killed": {"AlgorithmError: , exit code: 137", errorsv1.ErrorReason_OUT_OF_MEMORY, "", "exit code 137"},
		"CUDA": {
			"AlgorithmError: ExecuteUserScriptError:\nExitCode 1\nErrorMessage \"RuntimeError: CUDA out of memory. Tried to allocate 20.00 MiB\"\nCommand \"/opt/conda/bin/python3.6 train.py\", exit code: 1",
			errorsv1.ErrorReason_OUT_OF_MEMORY, "", "20.00 MiB",
		},
		"TensorFlow": {
			"AlgorithmError: ResourceExhaustedError: OOM when allocating tensor with shape[64,512,512,3], exit code: 1",
			errorsv1.ErrorReason_OUT_OF_MEMORY, "", "smaller batch_size",
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := failure.Of(test.text)
			if got.Reason != test.want || got.Metadata[failure.MetaCheck] != test.check || !strings.Contains(got.Message, test.says) {
				t.Errorf("got %v, check %q: %s", got.Reason, got.Metadata[failure.MetaCheck], got.Message)
			}
			if got.Metadata[failure.MetaReason] != test.text {
				t.Error("SageMaker's own text is lost")
			}
			if known := got.Metadata[failure.MetaCause] != ""; known != (got.Metadata[failure.MetaMend] != "") {
				t.Error("a cause goes with a mend")
			}
		})
	}
}

// What a failure names as the check that sees it beforehand is one that there is.
func TestChecksExist(t *testing.T) {
	var known []string
	for _, check := range preflight.All() {
		known = append(known, check.Name)
	}
	for _, text := range []string{
		"FSx for Lustre is currently not supported in the region cn-north-1", "File system connection timed out",
		"Unable to mount file system: No such file or directory: /x", "Unable to mount", "Configuration is ambiguously defined", "ResourceLimitExceeded",
		"CapacityError", "could not assume role", "kms:Decrypt", "PermanentRedirect", "AccessDenied", "Cannot pull algorithm container",
		"route to an S3 VPC endpoint", "dedicated tenancy",
	} {
		if check := failure.Of(text).Metadata[failure.MetaCheck]; !slices.Contains(known, check) {
			t.Errorf("%q names the check %q, which is none of %v", text, check, known)
		}
	}
}

// A training program's failure is its own message, word for word.
func TestProgramsSpeakForThemselves(t *testing.T) {
	for name, test := range map[string]struct{ text, message, code string }{
		"with a code":     {"AlgorithmError: the loss became nan, exit code: 1", "the loss became nan", "1"},
		"without a code":  {"AlgorithmError: the loss became nan", "the loss became nan", ""},
		"without a text":  {"AlgorithmError: , exit code: 3", "The training program ended with exit code 3 without saying why. Its log tells more.", "3"},
		"with nothing":    {"AlgorithmError:", "The training program failed without saying why. Its log tells more.", ""},
		"code in a story": {"AlgorithmError: exit code: 3 came from the tool, exit code: 1", "exit code: 3 came from the tool", "1"},
	} {
		t.Run(name, func(t *testing.T) {
			got := failure.Of(test.text)
			if got.Reason != errorsv1.ErrorReason_TRAINER_FAILED || got.Message != test.message || got.Metadata[failure.MetaExitCode] != test.code {
				t.Errorf("got %+v", got)
			}
		})
	}
}

func TestRefusals(t *testing.T) {
	for name, test := range map[string]struct {
		code, text string
		want       errorsv1.ErrorReason
		action     string
		check      string
	}{
		"may not create": {
			"AccessDeniedException", "User: arn:aws:iam::123456789012:user/trainyard is not authorized to perform: sagemaker:CreateTrainingJob on resource: arn:aws:sagemaker:us-east-1:123456789012:training-job/trainyard-1",
			errorsv1.ErrorReason_ACCESS_DENIED, "sagemaker:CreateTrainingJob", "",
		},
		"may not pass the role": {
			"AccessDeniedException", "User: arn:aws:iam::123456789012:user/trainyard is not authorized to perform: iam:PassRole on resource: arn:aws:iam::123456789012:role/r",
			errorsv1.ErrorReason_ACCESS_DENIED, "iam:PassRole", "",
		},
		"may not pass the role in China": {
			"ValidationException", "Could not assume role arn:aws-cn:iam::123456789012:role/r. Please ensure that the role exists and allows principal 'sagemaker.amazonaws.com' to assume the role.",
			errorsv1.ErrorReason_ACCESS_DENIED, "", "execution-role",
		},
		"limit": {
			"ResourceLimitExceeded", "The account-level service limit 'ml.g5.xlarge for training job usage' is 1 Instances, with current utilization of 1 Instances and a request delta of 1 Instances.",
			errorsv1.ErrorReason_ACCOUNT_LIMIT_EXCEEDED, "", "instance-quota",
		},
		"nothing there": {
			"ValidationException", `No S3 objects found under S3 URL "s3://b/datasets/x" given in input data source. Please ensure that the bucket exists in the selected region (us-east-1), that objects exist under that S3 prefix, and that the role "arn:aws:iam::123456789012:role/r" has "s3:ListBucket" permissions on bucket "b".`,
			errorsv1.ErrorReason_DATA_DOWNLOAD_FAILED, "", "",
		},
		"not understood": {"ValidationException", "1 validation error detected", errorsv1.ErrorReason_TRAINING_SERVICE_FAILED, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			got := failure.OfRefusal(test.code, test.text)
			if got.Reason != test.want || got.Metadata[failure.MetaAction] != test.action || got.Metadata[failure.MetaCheck] != test.check {
				t.Errorf("got %+v", got)
			}
			for _, part := range []string{test.text, test.code, "Nothing was started"} {
				if !strings.Contains(got.Message, part) {
					t.Errorf("%q doesn't say %q", got.Message, part)
				}
			}
		})
	}
}
