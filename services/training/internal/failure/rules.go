package failure

import (
	"regexp"

	errorsv1 "github.com/trainyard/trainyard/gen/trainyard/errors/v1"
)

const doctor = " `trainyard doctor` shows which."

// outOfMemory stands apart: it is read in what programs say.
var outOfMemory = rule{
	memory, errorsv1.ErrorReason_OUT_OF_MEMORY, "",
	"The training program ran out of memory.",
	"What it holds at once, a batch or a whole channel, is more than the instance or its GPU has.",
	"Use a smaller batch_size or image_size, or an instance type with more memory.",
}

// ownDenied is for calls of this installation's own.
var ownDenied = rule{
	reason: errorsv1.ErrorReason_ACCESS_DENIED,
	cause:  "This installation's own credentials lack the action that is named.",
	mend:   "The operator allows it: the least that the training service needs is listed in its README.",
}

// rules are tried in their order: what is more exact stands first. Texts that are quoted are AWS's own.
var rules = []rule{
	// The network file systems: the article's failures.
	{
		regexp.MustCompile(`(?i)(FSx for Lustre|FSxLustre|EFS|file system).{0,40} not (currently )?supported in|is currently not supported in the region`),
		errorsv1.ErrorReason_FILE_SYSTEM_FAILED, "file-system-support",
		"SageMaker does not take this kind of file system here.",
		"SageMaker doesn't support it in the job's region, whatever the file system's own service does there.",
		"Give the base dataset a location on EFS in this region, or on S3.",
	},
	{
		regexp.MustCompile(`(?i)file system connection timed out|mount(ing)? .{0,60}tim(ed|e) ?-?out`),
		errorsv1.ErrorReason_FILE_SYSTEM_FAILED, "efs-security",
		"The job could not mount its file system.",
		"Nothing answered: a security group shuts port 2049 of EFS, or 988 and 1018-1023 of FSx for Lustre, or there is no mount target in the zone of the job's subnet.",
		"Let the job's security group reach that of the file system on its ports, from group to group, and put a mount target into each of the job's zones." + doctor,
	},
	{
		regexp.MustCompile(`(?i)(unable to mount|mount|file ?system|fs-[0-9a-f]{8,}).*no such file or directory|directory path.* does not exist`),
		errorsv1.ErrorReason_FILE_SYSTEM_FAILED, "file-system-path",
		"The job's file system has no such directory.",
		"The path of the base dataset is wrong: on EFS it begins at the root, on FSx for Lustre with the MountName.",
		"Correct the base dataset's path, or put the dataset there.",
	},
	{
		regexp.MustCompile(`(?i)unable to mount|failed to mount|mount(ing)? .{0,30}fail`),
		errorsv1.ErrorReason_FILE_SYSTEM_FAILED, "efs-mount-target",
		"The job could not mount its file system.",
		"SageMaker reached it and was refused, or it is not available.",
		"Look whether the file system is available, in the job's VPC and region, and lets the job in." + doctor,
	},
	{
		regexp.MustCompile(`(?i)configuration is ambiguously defined|overlapping suffixes`),
		errorsv1.ErrorReason_FILE_SYSTEM_FAILED, "s3-event-conflict",
		"Two consumers want the same events of a bucket.",
		"S3 gives an event of one prefix and suffix to one consumer only, and both the queue of uploads and FSx for Lustre ask for it.",
		"Give them prefixes that don't overlap, or let S3 tell EventBridge, which tells the queue, and leave the notification to FSx.",
	},

	// Machines.
	{
		regexp.MustCompile(`(?i)ResourceLimitExceeded|account-level service limit|service quota.{0,40}exceed`),
		errorsv1.ErrorReason_ACCOUNT_LIMIT_EXCEEDED, "instance-quota",
		"A limit of the AWS account was met.",
		"The account may not run so many instances of this type at the same time.",
		"Wait until other jobs have ended, use fewer instances or another type, or ask for more in AWS Service Quotas, at `<type> for training job usage`.",
	},
	{
		regexp.MustCompile(`(?i)spot.{0,60}(capacity|interrupt|reclaim|unavailable)|(capacity|interrupt).{0,60}spot`),
		errorsv1.ErrorReason_SPOT_UNAVAILABLE, "",
		"No spot instance was to be had.",
		"AWS had none left of this type, or took it away.",
		"Try again later or with another instance type, wait longer (max_wait_seconds), or do without spot.",
	},
	{
		regexp.MustCompile(`(?i)CapacityError|InsufficientCapacity|insufficient .{0,30}capacity|unable to provision requested ML compute capacity`),
		errorsv1.ErrorReason_CAPACITY_UNAVAILABLE, "instance-in-az",
		"No machine was to be had.",
		"AWS had no free instance of this type in the job's zones.",
		"Try again later, use another instance type, or give the job subnets in more zones.",
	},

	// Permissions, before what they were needed for.
	{
		regexp.MustCompile(`(?i)assume (the )?role|AssumeRole`),
		errorsv1.ErrorReason_ACCESS_DENIED, "execution-role",
		"SageMaker may not use the execution role.",
		"The role is missing, or does not trust sagemaker.amazonaws.com.",
		"Let the trust policy of the execution role name the service sagemaker.amazonaws.com, or correct --role-arn.",
	},
	{
		regexp.MustCompile(`(?i)\bKMS|kms:|ciphertext refers|customer master key`),
		errorsv1.ErrorReason_ACCESS_DENIED, "kms-key",
		"A key of KMS could not be used.",
		"The execution role may not use the key, or the key is disabled, missing or in another region.",
		"Allow the execution role kms:GenerateDataKey, kms:Decrypt and kms:CreateGrant, in its own policy and in the key's.",
	},
	{
		regexp.MustCompile(`(?i)(pull|image|ecr).{0,80}(AccessDenied|access denied|not authorized)`),
		errorsv1.ErrorReason_IMAGE_UNAVAILABLE, "image",
		"The training image could not be pulled.",
		"The execution role may not read it.",
		"Allow the execution role to pull from the repository, in its own policy and, in another account, in the repository's.",
	},
	{
		regexp.MustCompile(`(?i)bucket is in this region|PermanentRedirect|AuthorizationHeaderMalformed|(bucket|image|resource).{0,80}(same|different|wrong|incorrect) region|is not in region`),
		errorsv1.ErrorReason_DATA_DOWNLOAD_FAILED, "bucket-region",
		"The job's data lies in another region.",
		"SageMaker reads only from buckets in the region where the job runs.",
		"Copy the data to a bucket in the job's region, or give the base dataset a location there.",
	},
	{
		regexp.MustCompile(`(?i)AccessDenied|access denied|not authorized to perform|Forbidden|\b403\b`),
		errorsv1.ErrorReason_ACCESS_DENIED, "execution-role",
		"AWS denied something that the job needs.",
		"A policy lacks the action that is named, or a bucket's or an endpoint's policy denies it.",
		"Allow it to whom the text names, the execution role or this installation." + doctor,
	},

	// Images and data.
	{
		regexp.MustCompile(`(?i)cannot pull|pull algorithm container|pull.{0,40}image|image.{0,60}(does not exist|not found|could not be found)`),
		errorsv1.ErrorReason_IMAGE_UNAVAILABLE, "image",
		"The training image could not be pulled.",
		"There is no such image or tag, it is in another region or partition, or its repository does not let the execution role read it.",
		"Correct the image's name, push it to a registry of the job's region, and allow the execution role to pull it.",
	},
	{
		regexp.MustCompile(`(?i)artifact upload failed|checkpoint upload failed`),
		errorsv1.ErrorReason_TRAINING_SERVICE_FAILED, "s3-route",
		"The training ended but its model could not be saved to S3.",
		"The job has no way to S3, or may not write where models go.",
		"Give its subnets a route to S3, and allow the execution role s3:PutObject on models/*." + doctor,
	},
	{
		regexp.MustCompile(`(?i)route to an S3 VPC endpoint|S3 VPC endpoint or (a )?NAT`),
		errorsv1.ErrorReason_DATA_DOWNLOAD_FAILED, "s3-route",
		"The job could not reach S3.",
		"Its subnets have neither a gateway endpoint of S3 nor a NAT device in their route tables, or its security groups or network ACLs shut what goes out on 443.",
		"Add a gateway endpoint of S3 to the subnets' route tables, which costs nothing, and let 443 out." + doctor,
	},
	{
		regexp.MustCompile(`(?i)no space left|insufficient disk|disk.{0,20}full`),
		errorsv1.ErrorReason_DATA_DOWNLOAD_FAILED, "",
		"The job's disk is too small for its data.",
		"In File mode all of the data is copied to the disk, beside the image and the model.",
		"Raise volume_size_gb, or read the data in FastFile mode.",
	},
	{
		regexp.MustCompile(`(?i)no S3 objects found|data download failed|failed to download data|NoSuchKey|NoSuchBucket`),
		errorsv1.ErrorReason_DATA_DOWNLOAD_FAILED, "",
		"SageMaker could not read the job's data.",
		"Nothing lies at the place that is named, or the execution role may not list it.",
		"Look whether the dataset version's shards are still there, and allow the execution role s3:GetObject and s3:ListBucket on them.",
	},
	{
		regexp.MustCompile(`(?i)checkpoint download failed`),
		errorsv1.ErrorReason_DATA_DOWNLOAD_FAILED, "",
		"SageMaker could not read the job's checkpoints.",
		"They were deleted, or the execution role may not read them.",
		"Allow the execution role s3:GetObject and s3:ListBucket on checkpoints/*, or start without resume_from.",
	},
	{
		regexp.MustCompile(`(?i)tenancy`),
		errorsv1.ErrorReason_TRAINING_SERVICE_FAILED, "vpc-tenancy",
		"SageMaker does not take the job's VPC.",
		"It has dedicated tenancy, and jobs run in VPCs of default tenancy only.",
		"Use subnets of a VPC whose tenancy is default.",
	},

	// The rest.
	outOfMemory,
	{
		regexp.MustCompile(`(?i)MaxWaitTimeExceeded|max(imum)? wait time`),
		errorsv1.ErrorReason_SPOT_UNAVAILABLE, "",
		"No spot instance was to be had in time.",
		"AWS had none left of this type for as long as the job was to wait.",
		"Try again later or with another instance type, wait longer (max_wait_seconds), or do without spot.",
	},
	{
		regexp.MustCompile(`(?i)MaxRuntimeExceeded|max(imum)? ?run ?time`),
		errorsv1.ErrorReason_TRAINING_SERVICE_FAILED, "",
		"The job ran as long as it may.",
		"Training takes longer than max_runtime_seconds.",
		"Raise max_runtime_seconds, train fewer epochs, or use a faster instance type.",
	},
	{
		regexp.MustCompile(`(?i)InternalServerError|InternalFailure|ServiceError|internal error`),
		errorsv1.ErrorReason_SAGEMAKER_INTERNAL_ERROR, "",
		"SageMaker failed by itself.",
		"It is an error within AWS.",
		"Start the job again; max_retries lets SageMaker do so by itself.",
	},
}
