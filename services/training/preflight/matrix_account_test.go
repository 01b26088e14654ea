package preflight

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	fsxtypes "github.com/aws/aws-sdk-go-v2/service/fsx/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	kmstypes "github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"

	"github.com/trainyard/trainyard/services/training/region"
)

// accountRows are the worlds of the checks of the account.
func accountRows() []row {
	var rows []row
	in := func(inRegion, check, world, judge string, want Status, says string, change func(t *testing.T, w *accountWorld)) {
		rows = append(rows, row{check, world, judge, want, says, func(t *testing.T) (*Clients, *Subject) {
			w := newAccountWorld(t, inRegion, check)
			if change != nil {
				change(t, w)
			}
			return w.clients(), w.Subject
		}})
	}
	home := func(check, world, judge string, want Status, says string, change func(t *testing.T, w *accountWorld)) {
		in("us-east-1", check, world, judge, want, says, change)
	}
	china := func(check, world, judge string, want Status, says string, change func(t *testing.T, w *accountWorld)) {
		in("cn-north-1", check, world+", in China", judge, want, says, change)
	}
	bucketRows(home, china)
	eventRows(home, china)
	roleRows(home, china)
	keyRows(home, china)
	imageRows(home, china)
	instanceRows(home, china)
	lustreSizeRows(home)
	partitionRows(home, china)
	return rows
}

// adder adds a row, whose world is a good one but for a change.
type adder func(check, world, judge string, want Status, says string, change func(t *testing.T, w *accountWorld))

func bucketRows(home, china adder) {
	const check = "bucket-region"
	home(check, "all here", "moto", Pass, "is in us-east-1", nil)
	china(check, "all here", "moto", Pass, "is in cn-north-1", nil)
	home(check, "input elsewhere", "moto", Fail, "is in eu-west-1, the job in us-east-1", func(t *testing.T, w *accountWorld) {
		w.addBucket(t, "elsewhere-"+w.ID, "eu-west-1")
		w.input().S3Uri = aws.String("s3://elsewhere-" + w.ID + "/x/")
	})
	home(check, "output elsewhere", "moto", Fail, "PermanentRedirect", func(t *testing.T, w *accountWorld) {
		w.addBucket(t, "elsewhere-"+w.ID, "eu-west-1")
		w.Subject.Request.OutputDataConfig.S3OutputPath = aws.String("s3://elsewhere-" + w.ID + "/x")
	})
	home(check, "checkpoints in no bucket", "moto", Fail, "NoSuchBucket", func(_ *testing.T, w *accountWorld) {
		w.Subject.Request.CheckpointConfig.S3Uri = aws.String("s3://nowhere-" + w.ID + "/x")
	})
	for _, code := range []int{http.StatusMovedPermanently, http.StatusForbidden, http.StatusBadRequest} {
		home(check, fmt.Sprintf("elsewhere, S3 answers %d", code), "fake", Fail, "is in eu-west-1", func(t *testing.T, w *accountWorld) {
			w.answerHead(t, code, "eu-west-1")
		})
	}
	home(check, "of another account, but here", "fake", Pass, "is in us-east-1", func(t *testing.T, w *accountWorld) {
		w.answerHead(t, http.StatusForbidden, "us-east-1")
	})
	home(check, "a store that knows no regions", "fake", Pass, "S3 doesn't tell its region", func(t *testing.T, w *accountWorld) {
		w.answerHead(t, http.StatusOK, "")
	})
	home(check, "no permission", "fake", Skipped, "the permission s3:ListBucket is missing", func(t *testing.T, w *accountWorld) {
		w.answerHead(t, http.StatusForbidden, "")
	})
}

// answerHead makes S3 answer every HEAD with a status and a region, as moto can't.
func (w *accountWorld) answerHead(t *testing.T, code int, inRegion string) {
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		if inRegion != "" {
			rw.Header().Set("X-Amz-Bucket-Region", inRegion)
		}
		rw.WriteHeader(code)
	}))
	t.Cleanup(server.Close)
	w.s3 = s3.NewFromConfig(w.Config(t, w.Region), func(o *s3.Options) { o.UsePathStyle, o.BaseEndpoint = true, &server.URL })
}

func (w *accountWorld) input() *types.S3DataSource {
	return w.Subject.Request.InputDataConfig[0].DataSource.S3DataSource
}

func eventRows(home, china adder) {
	const check = "s3-event-conflict"
	ours := func(w *accountWorld) []s3types.QueueConfiguration {
		return []s3types.QueueConfiguration{w.uploadsRule()}
	}
	good := func(t *testing.T, w *accountWorld) {
		w.notify(t, &s3types.NotificationConfiguration{QueueConfigurations: ours(w)})
	}
	home(check, "our queue alone", "both", Pass, "don't overlap", good)
	china(check, "our queue alone", "both", Pass, "don't overlap", good)
	other := func(prefix, suffix string, event s3types.Event) func(t *testing.T, w *accountWorld) {
		return func(t *testing.T, w *accountWorld) {
			w.notify(t, &s3types.NotificationConfiguration{QueueConfigurations: ours(w), LambdaFunctionConfigurations: []s3types.LambdaFunctionConfiguration{
				{LambdaFunctionArn: aws.String(w.arn("lambda", "function:others")), Events: []s3types.Event{event}, Filter: keys(prefix, suffix)},
			}})
		}
	}
	home(check, "a function of another prefix", "both", Pass, "1 other rules", other("datasets/", "", "s3:ObjectCreated:*"))
	home(check, "a function of another suffix", "both", Pass, "1 other rules", other("uploads/", ".csv", "s3:ObjectCreated:*"))
	home(check, "a function of other events", "both", Pass, "1 other rules", other("uploads/", "", "s3:ObjectRemoved:*"))
	home(check, "a function of the same events", "both", Fail, "want the same events", other("uploads/acme/", "", "s3:ObjectCreated:Put"))
	home(check, "a function of a longer suffix", "both", Fail, ambiguous, other("", "source.zip", "s3:ObjectCreated:*"))
	home(check, "another's queue holds the slot", "both", Fail, "doesn't tell our uploads queue yet", func(t *testing.T, w *accountWorld) {
		taken := w.uploadsRule()
		w.notify(t, &s3types.NotificationConfiguration{QueueConfigurations: []s3types.QueueConfiguration{taken}})
		w.Subject.UploadsQueueARN = w.arn("sqs", "ours")
	})
	lustreImports := func(path string, lifecycle fsxtypes.DataRepositoryLifecycle, events ...fsxtypes.EventType) func(t *testing.T, w *accountWorld) {
		return func(t *testing.T, w *accountWorld) {
			good(t, w)
			first := fsxtypes.DataRepositoryAssociation{AssociationId: aws.String("dra-0"), FileSystemId: aws.String(lustre), DataRepositoryPath: aws.String("s3://another/uploads/")}
			second := fsxtypes.DataRepositoryAssociation{AssociationId: aws.String("dra-1"), FileSystemId: aws.String(lustre), DataRepositoryPath: aws.String("s3://" + w.Bucket + path), Lifecycle: lifecycle}
			second.S3 = &fsxtypes.S3DataRepositoryConfiguration{AutoImportPolicy: &fsxtypes.AutoImportPolicy{Events: events}}
			w.FSx.Associations = []fsxtypes.DataRepositoryAssociation{first, second}
		}
	}
	home(check, "FSx imports the uploads too", "both", Fail, "dra-1 of "+lustre+", MISCONFIGURED",
		lustreImports("/uploads/", fsxtypes.DataRepositoryLifecycleMisconfigured, fsxtypes.EventTypeNew, fsxtypes.EventTypeChanged))
	china(check, "FSx imports the whole bucket", "both", Fail, ambiguous, lustreImports("", fsxtypes.DataRepositoryLifecycleMisconfigured, fsxtypes.EventTypeNew))
	home(check, "FSx imports the uploads, we read EventBridge", "both", Pass, "EventBridge", func(t *testing.T, w *accountWorld) {
		lustreImports("/uploads/", fsxtypes.DataRepositoryLifecycleAvailable, fsxtypes.EventTypeNew)(t, w)
		w.s3 = tellsEventBridge{w.S3}
	})
	home(check, "FSx imports another prefix", "both", Pass, "1 imports by FSx don't overlap", lustreImports("/base/", fsxtypes.DataRepositoryLifecycleAvailable, fsxtypes.EventTypeNew))
	home(check, "FSx imports deletions only", "both", Pass, "1 imports by FSx don't overlap", lustreImports("/uploads/", fsxtypes.DataRepositoryLifecycleAvailable, fsxtypes.EventTypeDeleted))
	home(check, "FSx imports once, not by events", "both", Pass, "0 imports", lustreImports("/uploads/", fsxtypes.DataRepositoryLifecycleAvailable))
	home(check, "an older file system imports the uploads", "both", Fail, lustre, func(t *testing.T, w *accountWorld) {
		good(t, w)
		w.FSx.Systems[0].LustreConfiguration.DataRepositoryConfiguration = &fsxtypes.DataRepositoryConfiguration{
			ImportPath: aws.String("s3://" + w.Bucket + "/uploads"), AutoImportPolicy: fsxtypes.AutoImportPolicyTypeNewChanged, Lifecycle: fsxtypes.DataRepositoryLifecycleMisconfigured,
			FailureDetails: &fsxtypes.DataRepositoryFailureDetails{Message: aws.String(ambiguous)},
		}
	})
}

// tellsEventBridge is moto's S3 with the one notification that moto takes but doesn't give.
type tellsEventBridge struct{ S3 }

func (tellsEventBridge) GetBucketNotificationConfiguration(context.Context, *s3.GetBucketNotificationConfigurationInput, ...func(*s3.Options)) (*s3.GetBucketNotificationConfigurationOutput, error) {
	return &s3.GetBucketNotificationConfigurationOutput{EventBridgeConfiguration: &s3types.EventBridgeConfiguration{}}, nil
}

func roleRows(home, china adder) {
	const check = "execution-role"
	trust := func(document string) func(t *testing.T, w *accountWorld) {
		return func(t *testing.T, w *accountWorld) {
			mustDo(w.IAM.UpdateAssumeRolePolicy(t.Context(), &iam.UpdateAssumeRolePolicyInput{
				RoleName: aws.String("train"), PolicyDocument: aws.String(strings.ReplaceAll(document, "ACCOUNT", w.ID)),
			}))(t)
		}
	}
	const cantAssume = "Could not assume role"
	home(check, "least privilege", "both", Pass, simulationSees, nil)
	china(check, "least privilege", "both", Pass, simulationSees, nil)
	home(check, "in a VPC", "both", Pass, "permissions simulated", func(t *testing.T, w *accountWorld) { w.inVPC(t) })
	home(check, "no such role", "moto", Fail, cantAssume, func(_ *testing.T, w *accountWorld) {
		w.Subject.Request.RoleArn = aws.String("arn:aws:iam::" + w.ID + ":role/nobody")
	})
	home(check, "the role's path is left out", "moto", Fail, "role/service-role/train, not", func(_ *testing.T, w *accountWorld) {
		w.Subject.Request.RoleArn = aws.String("arn:aws:iam::" + w.ID + ":role/train")
	})
	home(check, "trusts EC2 alone", "moto", Fail, cantAssume, trust(fmt.Sprintf(trustOfJob, "ec2.amazonaws.com", "ACCOUNT")))
	china(check, "trusts a principal that China hasn't", "moto", Fail, cantAssume, trust(fmt.Sprintf(trustOfJob, "sagemaker.amazonaws.com.cn", "ACCOUNT")))
	home(check, "trusts another account's jobs", "moto", Fail, cantAssume, trust(fmt.Sprintf(trustOfJob, "sagemaker.amazonaws.com", "210987654321")))
	home(check, "trusts under a condition of its own", "both", Warn, "sts:ExternalId",
		trust(`{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole", "Condition": {"StringEquals": {"sts:ExternalId": "x"}}}]}`))
	without := func(policy string) func(t *testing.T, w *accountWorld) {
		return func(t *testing.T, w *accountWorld) { w.forbid(t, policy) }
	}
	home(check, "no S3", "both", Fail, "s3:GetObject on arn:aws:s3:::", without("s3"))
	china(check, "no S3", "both", Fail, "s3:GetObject on arn:aws-cn:s3:::", without("s3"))
	home(check, "may not pull", "both", Fail, "ecr:BatchGetImage", without("ecr"))
	home(check, "no log", "both", Warn, "logs:PutLogEvents", without("logs"))
	home(check, "in a VPC, no network interfaces", "both", Fail, "ec2:CreateNetworkInterfacePermission", func(t *testing.T, w *accountWorld) {
		w.inVPC(t)
		w.forbid(t, "network")
	})
	home(check, "may not write the model", "both", Fail, "s3:PutObject", func(_ *testing.T, w *accountWorld) {
		w.Subject.Request.OutputDataConfig.S3OutputPath = aws.String("s3://" + w.Bucket + "/elsewhere")
	})
	home(check, "may not list the input", "both", Fail, "s3:ListBucket", func(t *testing.T, w *accountWorld) {
		w.allow(t, "deny", map[string]any{"Effect": "Deny", "Action": "s3:ListBucket", "Resource": "*"})
	})
	home(check, "reads under a condition", "both", Warn, "s3:GetObject", func(t *testing.T, w *accountWorld) {
		w.forbid(t, "s3")
		w.allow(t, "s3", map[string]any{"Action": "s3:*", "Resource": "*", "Condition": map[string]any{"StringEquals": map[string]any{"aws:SourceVpce": "vpce-1"}}})
	})
}

func keyRows(home, china adder) {
	const check = "kms-key"
	policy := func(document string) func(t *testing.T, w *accountWorld) {
		return func(t *testing.T, w *accountWorld) {
			document := strings.NewReplacer("ACCOUNT", w.ID, "ROLE", *w.Subject.Request.RoleArn).Replace(document)
			mustDo(w.KMS.PutKeyPolicy(t.Context(), &kms.PutKeyPolicyInput{KeyId: &w.Key, PolicyName: aws.String("default"), Policy: &document}))(t)
		}
	}
	home(check, "key leaves it to IAM, which allows", "both", Pass, "leaves kms:CreateGrant, kms:GenerateDataKey, kms:Decrypt to IAM", nil)
	china(check, "key leaves it to IAM, which allows", "both", Pass, "arn:aws-cn:kms", nil)
	home(check, "by alias", "both", Pass, "alias/train", func(t *testing.T, w *accountWorld) {
		mustDo(w.KMS.CreateAlias(t.Context(), &kms.CreateAliasInput{AliasName: aws.String("alias/train"), TargetKeyId: &w.Key}))(t)
		w.Subject.Request.OutputDataConfig.KmsKeyId = aws.String("alias/train")
	})
	home(check, "key leaves it to IAM, which doesn't", "both", Fail, "kms:GenerateDataKey on arn:aws:kms", func(t *testing.T, w *accountWorld) { w.forbid(t, "kms") })
	home(check, "key lets the role in, IAM doesn't", "moto", Pass, "its policy lets the role kms:Decrypt", func(t *testing.T, w *accountWorld) {
		w.forbid(t, "kms")
		policy(`{"Statement": [{"Effect": "Allow", "Principal": {"AWS": "ROLE"}, "Action": "kms:*", "Resource": "*"}]}`)(t, w)
	})
	home(check, "key lets another role in alone", "moto", Fail, "no statement allows it",
		policy(`{"Statement": [{"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::ACCOUNT:role/another"}, "Action": "kms:*", "Resource": "*"}]}`))
	home(check, "key lets the role in by S3 alone, IAM doesn't", "both", Warn, "kms:CreateGrant", func(t *testing.T, w *accountWorld) {
		w.forbid(t, "kms")
		policy(`{"Statement": [{"Effect": "Allow", "Principal": {"AWS": "ROLE"}, "Action": "kms:*", "Resource": "*", "Condition": {"StringEquals": {"kms:ViaService": "s3.us-east-1.amazonaws.com"}}}]}`)(t, w)
	})
	home(check, "no such key", "moto", Fail, "there is no volume and output key", func(_ *testing.T, w *accountWorld) {
		w.setKey(w.arn("kms", "key/00000000-0000-0000-0000-000000000000"))
	})
	home(check, "key of another region", "moto", Fail, "is of eu-west-1", func(_ *testing.T, w *accountWorld) { w.setKey(strings.Replace(w.Key, "us-east-1", "eu-west-1", 1)) })
	home(check, "disabled", "moto", Fail, "Disabled", func(t *testing.T, w *accountWorld) {
		mustDo(w.KMS.DisableKey(t.Context(), &kms.DisableKeyInput{KeyId: w.keyID()}))(t)
	})
	home(check, "waits for deletion", "moto", Fail, "PendingDeletion", func(t *testing.T, w *accountWorld) {
		mustDo(w.KMS.ScheduleKeyDeletion(t.Context(), &kms.ScheduleKeyDeletionInput{KeyId: w.keyID()}))(t)
	})
	home(check, "of another account", "both", Warn, "it belongs to account 210987654321", func(t *testing.T, w *accountWorld) {
		w.othersKey("210987654321", "")
		w.allow(t, "kms", map[string]any{"Action": "kms:*", "Resource": "*"})
	})
	home(check, "of another account, IAM allows one's own alone", "both", Fail, "kms:CreateGrant on arn:aws:kms:us-east-1:210987654321:key/1", func(t *testing.T, w *accountWorld) {
		w.othersKey("210987654321", "")
		w.allow(t, "kms", map[string]any{"Action": "kms:*", "Resource": w.arn("kms", "key/*")})
	})
	home(check, "managed by AWS", "fake", Pass, "managed by AWS", func(_ *testing.T, w *accountWorld) { w.othersKey(w.ID, kmstypes.KeyManagerTypeAws) })
	home(check, "for signing", "moto", Fail, "SIGN_VERIFY", func(t *testing.T, w *accountWorld) {
		key := mustDo(w.KMS.CreateKey(t.Context(), &kms.CreateKeyInput{KeyUsage: kmstypes.KeyUsageTypeSignVerify, KeySpec: kmstypes.KeySpecRsa2048}))(t)
		w.setKey(*key.KeyMetadata.Arn)
	})
}

// keyID is the key's id, the only name by which moto disables and deletes it.
func (w *accountWorld) keyID() *string { return aws.String(w.Key[strings.LastIndex(w.Key, "/")+1:]) }

// describedKey is a key as KMS describes it, which moto can't: of another account or managed by AWS. Its policy can't be read.
type describedKey struct {
	KMS
	metadata kmstypes.KeyMetadata
}

func (d describedKey) DescribeKey(context.Context, *kms.DescribeKeyInput, ...func(*kms.Options)) (*kms.DescribeKeyOutput, error) {
	return &kms.DescribeKeyOutput{KeyMetadata: &d.metadata}, nil
}

func (describedKey) GetKeyPolicy(context.Context, *kms.GetKeyPolicyInput, ...func(*kms.Options)) (*kms.GetKeyPolicyOutput, error) {
	return nil, refused("KMS", "GetKeyPolicy", "AccessDeniedException", "")
}

func (w *accountWorld) othersKey(account string, manager kmstypes.KeyManagerType) {
	key := "arn:aws:kms:us-east-1:" + account + ":key/1"
	w.setKey(key)
	w.kms = describedKey{w.KMS, kmstypes.KeyMetadata{
		KeyId: aws.String("1"), Arn: &key, Enabled: true, KeyState: kmstypes.KeyStateEnabled, KeyUsage: kmstypes.KeyUsageTypeEncryptDecrypt, KeyManager: manager,
	}}
}

func (w *accountWorld) setKey(id string) {
	w.Subject.Request.OutputDataConfig.KmsKeyId, w.Subject.Request.ResourceConfig.VolumeKmsKeyId = &id, &id
}

func imageRows(home, china adder) {
	const check = "image"
	name := func(image string) func(t *testing.T, w *accountWorld) {
		return func(_ *testing.T, w *accountWorld) {
			w.Subject.Request.AlgorithmSpecification.TrainingImage = aws.String(strings.NewReplacer("REGISTRY", w.registry(), "ACCOUNT", w.ID).Replace(image))
		}
	}
	home(check, "there", "moto", Pass, "is there, digest sha256:", nil)
	china(check, "there", "moto", Pass, "amazonaws.com.cn/trainer:1 is there", nil)
	home(check, "no such tag", "moto", Fail, "repository trainer has no image 2", name("REGISTRY/trainer:2"))
	home(check, "no tag, and no latest", "moto", Fail, "has no image latest", name("REGISTRY/trainer"))
	home(check, "no such digest", "moto", Fail, "has no image sha256:1", name("REGISTRY/trainer@sha256:"+strings.Repeat("1", 64)))
	home(check, "no such repository", "moto", Fail, "Cannot find repository: nothing in registry ID: ", name("REGISTRY/nothing:1"))
	home(check, "of another region", "moto", Fail, "is in eu-west-1", name("ACCOUNT.dkr.ecr.eu-west-1.amazonaws.com/trainer:1"))
	china(check, "of the other partition's registry", "moto", Fail, "docker push", name("ACCOUNT.dkr.ecr.cn-north-1.amazonaws.com/trainer:1"))
	home(check, "not in ECR", "moto", Fail, "is not in ECR", name("docker.io/library/trainer:1"))
	home(check, "of AWS's account", "moto", Skipped, "belongs to account 763104351884", name("763104351884.dkr.ecr.us-east-1.amazonaws.com/tensorflow-training:2.19"))
	home(check, "in a private registry", "moto", Skipped, "private registry", func(t *testing.T, w *accountWorld) {
		name("registry.example.com/trainer:1")(t, w)
		w.Subject.Request.AlgorithmSpecification.TrainingImageConfig = &types.TrainingImageConfig{TrainingRepositoryAccessMode: types.TrainingRepositoryAccessModeVpc}
	})
}

func instanceRows(home, china adder) {
	const check = "instance-in-az"
	home(check, "offered in the region", "moto", Pass, "EC2 offers m5.xlarge in us-east-1", nil)
	home(check, "offered in the subnets' zones", "moto", Pass, "us-east-1a", func(t *testing.T, w *accountWorld) { w.inVPC(t) })
	home(check, "not offered", "moto", Warn, capacityError, func(_ *testing.T, w *accountWorld) { w.Subject.Request.ResourceConfig.InstanceType = "ml.none.xlarge" })
	china(check, "not offered", "moto", Warn, "EC2 doesn't offer p4d.24xlarge in cn-north-1", func(_ *testing.T, w *accountWorld) {
		w.Subject.Request.ResourceConfig.InstanceType = types.TrainingInstanceTypeMlP4d24xlarge
	})

	home(check, "known to be missing", "moto", Warn, "tried in March", func(t *testing.T, w *accountWorld) {
		w.Subject.Capabilities = mustDo(region.Parse([]byte("regions: {us-east-1: {instance_types_missing: [ml.m5.xlarge], why: tried in March}}")))(t)
	})

	const quota = "instance-quota"
	resources := func(change func(r *types.ResourceConfig)) func(t *testing.T, w *accountWorld) {
		return func(_ *testing.T, w *accountWorld) { change(w.Subject.Request.ResourceConfig) }
	}
	home(quota, "enough", "fake", Pass, "is 2, the job needs 2", nil)
	home(quota, "too many instances", "fake", Fail, "The account-level service limit 'ml.m5.xlarge for training job usage' is 2 Instances, with current utilization of 0 Instances and a request delta of 3 Instances.",
		resources(func(r *types.ResourceConfig) { r.InstanceCount = aws.Int32(3) }))
	home(quota, "a new account's quota of GPUs", "fake", Fail, "--quota-code L-1234ABCD --desired-value 2",
		resources(func(r *types.ResourceConfig) { r.InstanceType = types.TrainingInstanceTypeMlG4dnXlarge }))
	spot := func(n int32) func(t *testing.T, w *accountWorld) {
		return func(_ *testing.T, w *accountWorld) {
			w.Subject.Request.EnableManagedSpotTraining, w.Subject.Request.ResourceConfig.InstanceCount = aws.Bool(true), aws.Int32(n)
		}
	}
	home(quota, "enough of spot, not on demand", "fake", Pass, "spot training job usage", spot(4))
	home(quota, "too many of spot", "fake", Fail, "spot training job usage", spot(5))
	home(quota, "too many for the warm pool", "fake", Fail, "'ml.m5.xlarge for training warm pool usage' is 1", func(_ *testing.T, w *accountWorld) {
		(*w.Quotas)[3].Value = aws.Float64(1)
		w.Subject.Request.ResourceConfig.KeepAlivePeriodInSeconds = aws.Int32(600)
	})
	home(quota, "instance groups of one type", "fake", Fail, "the job needs 3", resources(func(r *types.ResourceConfig) {
		r.InstanceType, r.InstanceCount = "", nil
		r.InstanceGroups = []types.InstanceGroup{{InstanceType: types.TrainingInstanceTypeMlM5Xlarge, InstanceCount: aws.Int32(1)}, {InstanceType: types.TrainingInstanceTypeMlM5Xlarge, InstanceCount: aws.Int32(2)}}
	}))
	china(quota, "an instance type that isn't listed", "fake", Warn, "lists no", resources(func(r *types.ResourceConfig) { r.InstanceType = types.TrainingInstanceTypeMlP4d24xlarge }))
}

func lustreSizeRows(home adder) {
	const check = "lustre-size"
	size := func(gib int32, change func(fs *fsxtypes.FileSystem)) func(t *testing.T, w *accountWorld) {
		return func(_ *testing.T, w *accountWorld) {
			w.onLustre()
			w.FSx.Systems[0].StorageCapacity = &gib
			if change != nil {
				change(&w.FSx.Systems[0])
			}
		}
	}
	home(check, "1200 GiB", "fake", Pass, "PERSISTENT_2 with 1200 GiB; all of it is billed from creation to deletion", size(1200, nil))
	home(check, "4800 GiB", "fake", Pass, "4800 GiB", size(4800, nil))
	home(check, "3600 GiB", "fake", Fail, "--storage-capacity 4800", size(3600, nil))
	home(check, "1000 GiB", "fake", Fail, "--storage-capacity 1200", size(1000, nil))
	home(check, "3600 GiB of SCRATCH_1", "fake", Pass, "SCRATCH_1", size(3600, func(fs *fsxtypes.FileSystem) {
		fs.LustreConfiguration.DeploymentType = fsxtypes.LustreDeploymentTypeScratch1
	}))
	home(check, "6000 GiB on disks", "fake", Pass, "6000 GiB", size(6000, func(fs *fsxtypes.FileSystem) { fs.StorageType = fsxtypes.StorageTypeHdd }))
	home(check, "still being made", "fake", Fail, "is CREATING", size(1200, func(fs *fsxtypes.FileSystem) { fs.Lifecycle = fsxtypes.FileSystemLifecycleCreating }))
	home(check, "another type", "fake", Fail, "WINDOWS", size(1200, func(fs *fsxtypes.FileSystem) { fs.FileSystemType = fsxtypes.FileSystemTypeWindows }))
	home(check, "no such file system", "fake", Fail, "there is no file system", func(_ *testing.T, w *accountWorld) {
		w.onLustre()
		w.FSx.Systems = nil
	})
	home(check, "no Lustre", "fake", Skipped, "uses no Lustre file system", nil)
}

func partitionRows(home, china adder) {
	const check = "training-region"
	home(check, "all of aws", "none", Pass, "role is of aws", nil)
	china(check, "all of aws-cn", "none", Pass, "image is of amazonaws.com.cn", nil)
	china(check, "a role of aws", "none", Fail, "arn:aws-cn:iam", func(_ *testing.T, w *accountWorld) {
		w.Subject.Request.RoleArn = aws.String("arn:aws:iam::" + w.ID + ":role/train")
	})
	china(check, "a key of aws", "none", Fail, "volume and output key", func(_ *testing.T, w *accountWorld) {
		w.setKey(strings.Replace(w.Key, "arn:aws-cn:", "arn:aws:", 1))
	})
	home(check, "an image of China", "none", Fail, "ends with amazonaws.com.cn", func(_ *testing.T, w *accountWorld) {
		w.Subject.Request.AlgorithmSpecification.TrainingImage = aws.String(w.ID + ".dkr.ecr.cn-north-1.amazonaws.com.cn/trainer:1")
	})
}
