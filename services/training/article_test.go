package training_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	fsxtypes "github.com/aws/aws-sdk-go-v2/service/fsx/types"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	errorsv1 "github.com/trainyard/trainyard/gen/trainyard/errors/v1"
	trainingv1 "github.com/trainyard/trainyard/gen/trainyard/training/v1"
	"github.com/trainyard/trainyard/services/internal/apierror"
	"github.com/trainyard/trainyard/services/internal/testkit"
	"github.com/trainyard/trainyard/services/training"
	"github.com/trainyard/trainyard/services/training/preflight/mototest"
)

const (
	global = "us-east-1"
	china  = "cn-north-1"

	onEFS    = "[{id: base, storage: efs, file_system_id: $EFS, path: /base, labels: ['0', '1']}]"
	onLustre = "[{id: base, storage: fsx-lustre, file_system_id: $LUSTRE, mount_name: $MOUNT, path: /base, labels: ['0', '1']}]"

	// onLustreAndEFS is the article's end: in China as well, and there on EFS beside Lustre.
	onLustreAndEFS = `[{id: base, labels: ['0', '1'], locations: [
		{region: us-east-1, storage: fsx-lustre, file_system_id: $LUSTRE, mount_name: $MOUNT, path: /base},
		{region: cn-north-1, storage: fsx-lustre, file_system_id: $LUSTRE, mount_name: $MOUNT, path: /base},
		{region: cn-north-1, storage: efs, file_system_id: $EFS, path: /base}]}]`

	noWayToS3 = "ClientError: Data download failed:Please ensure that the subnet's route table has a route to an S3 VPC endpoint or a NAT device, " +
		"and both the security groups and the subnet's network ACL allow outbound traffic to S3."
	mountTimesOut = "ClientError: Unable to mount file system: $EFS, directory path: /base. File system connection timed out. " +
		"Please ensure that mount target IP address of file system is reachable and the security groups you associate with file system must allow inbound access on NFS port."
	ambiguous = "Configuration is ambiguously defined. Cannot have overlapping suffixes in two rules if the prefixes are overlapping for the same event type."
)

// articleFailure is one of those that a team met one after the other, each after it had cost, when it moved its training to China.
type articleFailure struct {
	check    string
	bases    string // onEFS if empty.
	breaks   func(t *testing.T, a *awsAccount)
	seen     []string // $NAME is an id of the account, as below.
	prevents string
	snippet  []string
	mend     func(t *testing.T, a *awsAccount)
	mended   string // The base datasets after the mend, if that is there.
}

func TestTheArticlesFailuresKeepAJobFromBeingMade(t *testing.T) {
	for name, f := range map[string]articleFailure{
		"EFS port 2049 shut": {
			check:  "efs-security",
			breaks: func(t *testing.T, a *awsAccount) { a.Forbid(t, a.FileSystemGroup, jobsNFS(a)) },
			seen:   []string{"$EFSGROUP", "$TARGETA", "$TARGETB", "2049/tcp"}, prevents: mountTimesOut,
			snippet: []string{"aws_vpc_security_group_ingress_rule", "$EFSGROUP", "$JOBGROUP", "2049"},
			mend:    func(t *testing.T, a *awsAccount) { a.Allow(t, a.FileSystemGroup, jobsNFS(a)) },
		},
		"Lustre's path on EFS": {
			check: "file-system-path",
			bases: "[{id: base, storage: efs, file_system_id: $EFS, path: /$MOUNT/base, labels: ['0', '1']}]",
			seen:  []string{"/$MOUNT/base on EFS $EFS", "$LUSTRE"}, prevents: "ClientError: Unable to mount file system: $EFS, directory path: /$MOUNT/base. No such file or directory: /$MOUNT/base.",
			snippet: []string{`DirectoryPath = "/base"`},
			mended:  onEFS,
		},
		"private subnets with no route to S3": {
			check:  "s3-route",
			breaks: func(t *testing.T, a *awsAccount) { a.RemoveS3Endpoint(t) },
			seen:   []string{"$SUBNETA", "$SUBNETB", "$TABLE"}, prevents: noWayToS3,
			snippet: []string{"aws_vpc_endpoint", "com.amazonaws.$REGION.s3", "$TABLE", "$VPC"},
			mend:    func(t *testing.T, a *awsAccount) { a.createVPCEndpoint(t) },
		},
		"egress to S3 shut": {
			check: "s3-egress",
			breaks: func(t *testing.T, a *awsAccount) {
				a.OnlyOut(t, a.JobGroup, mototest.FromGroup("tcp", 2049, 2049, a.FileSystemGroup))
			},
			seen: []string{"$JOBGROUP", "443/tcp", "$LIST"}, prevents: noWayToS3,
			snippet: []string{"aws_vpc_security_group_egress_rule", "$JOBGROUP", "$LIST", "443"},
			mend: func(t *testing.T, a *awsAccount) {
				do(a.EC2.AuthorizeSecurityGroupEgress(t.Context(), &ec2.AuthorizeSecurityGroupEgressInput{
					GroupId: &a.JobGroup, IpPermissions: []ec2types.IpPermission{mototest.FromPrefixList("tcp", 443, 443, a.S3PrefixList)},
				}))(t)
			},
		},
		"the uploads' events for SQS and FSx": {
			check:  "s3-event-conflict",
			breaks: func(_ *testing.T, a *awsAccount) { a.lustreImports("uploads/") },
			seen:   []string{"dra-0123456789abcdef0", "$LUSTRE", "$QUEUE", "uploads/"}, prevents: ambiguous,
			snippet: []string{"eventbridge = true", "$QUEUE", `"$BUCKET"`},
			mend: func(t *testing.T, a *awsAccount) {
				a.notify(t, &s3types.NotificationConfiguration{EventBridgeConfiguration: &s3types.EventBridgeConfiguration{}})
				a.clients.S3 = tellsEventBridge{a.s3}
			},
		},
		"all of the bucket's events for FSx": {
			check:  "s3-event-conflict",
			breaks: func(_ *testing.T, a *awsAccount) { a.lustreImports("") },
			seen:   []string{"dra-0123456789abcdef0", "$LUSTRE", "$QUEUE", `prefix ""`}, prevents: ambiguous,
			mend: func(_ *testing.T, a *awsAccount) { a.lustreImports("base/") },
		},
	} {
		for _, inRegion := range []string{global, china} {
			t.Run(name+" in "+inRegion, func(t *testing.T) { testArticle(t, inRegion, f) })
		}
	}
}

// jobsNFS is the rule that lets the job in at the mount targets.
func jobsNFS(a *awsAccount) ec2types.IpPermission {
	return mototest.FromGroup("tcp", 2049, 2049, a.JobGroup)
}

// lustreImports has FSx learn of what is made below a prefix of the bucket.
func (a *awsAccount) lustreImports(prefix string) {
	a.fsx.Associations = []fsxtypes.DataRepositoryAssociation{{
		AssociationId: aws.String("dra-0123456789abcdef0"), FileSystemId: aws.String(lustre), Lifecycle: fsxtypes.DataRepositoryLifecycleMisconfigured,
		DataRepositoryPath: aws.String("s3://" + made.Bucket + "/" + prefix),
		S3:                 &fsxtypes.S3DataRepositoryConfiguration{AutoImportPolicy: &fsxtypes.AutoImportPolicy{Events: []fsxtypes.EventType{fsxtypes.EventTypeNew}}},
	}}
}

func testArticle(t *testing.T, inRegion string, f articleFailure) {
	t.Helper()
	a := newAccount(t, inRegion)
	if f.bases == "" {
		f.bases = onEFS
	}
	if f.breaks != nil {
		f.breaks(t, a)
	}
	suite := newSuite(t, testkit.SQLite(t))
	s := a.start(suite, f.bases)
	asked := &trainingv1.CreateTrainingJobRequest{TrainingJob: withBase(), RequestId: "one"}

	s.refuses(a, asked, f)

	if f.mend != nil {
		f.mend(t, a)
	}
	if f.mended != "" {
		s.stop()
		s = a.start(suite, f.mended)
	}
	res, err := s.jobs().CreateTrainingJob(t.Context(), asked)
	if err != nil {
		t.Fatalf("mended: %v", err)
	}
	job := s.wait(res.GetTrainingJob().GetName(), trainingv1.TrainingJob_SUCCEEDED)
	for _, check := range job.GetPreflight() {
		want := trainingv1.CheckResult_PASS
		switch check.GetCheck() {
		case "kms-key", "lustre-security", "lustre-size": // The job has neither key nor Lustre.
			want = trainingv1.CheckResult_SKIPPED
		case "instance-in-az":
			if inRegion == china { // moto knows of no machines there.
				want = trainingv1.CheckResult_WARN
			}
		}
		if check.GetStatus() != want {
			t.Errorf("mended, want %s: %v", want, check)
		}
	}
	if n := len(a.sageMaker.asked()); n != 1 {
		t.Errorf("SageMaker was asked for %d jobs, want 1", n)
	}
}

// refuses tells whether a request fails for the reason that is wanted, told in full, and makes nothing.
func (s *service) refuses(a *awsAccount, asked *trainingv1.CreateTrainingJobRequest, f articleFailure) {
	s.t.Helper()
	_, err := s.jobs().CreateTrainingJob(s.t.Context(), asked)
	checkError(s.t, err, codes.FailedPrecondition, errorsv1.ErrorReason_PREFLIGHT_FAILED, "nothing is billed")
	if got := apierror.Fact(err, "checks"); got != f.check {
		s.t.Fatalf("the checks %q failed, want %s alone: %v", got, f.check, err)
	}
	check := failedCheck(err, f.check)
	holds(s.t, a, "seen", check.GetSeen(), f.seen)
	holds(s.t, a, "the snippet", check.GetSnippet(), f.snippet)
	if want := a.names().Replace(f.prevents); check.GetPrevents() != want {
		s.t.Errorf("it prevents %q, want %q", check.GetPrevents(), want)
	}
	if check.GetMend() == "" {
		s.t.Error("it has no mend")
	}
	s.madeNothing(a)
}

func withBase() *trainingv1.TrainingJob {
	asked := request(trainsWell)
	asked.BaseDatasets = []string{"baseDatasets/base"}
	return asked
}

// failedCheck is what an error's details say of a check.
func failedCheck(err error, name string) *trainingv1.CheckResult {
	for _, detail := range status.Convert(err).Details() {
		if response, ok := detail.(*trainingv1.PreflightTrainingJobResponse); ok {
			return result(response.GetChecks(), name)
		}
	}
	return nil
}

func holds(t *testing.T, a *awsAccount, what, text string, parts []string) {
	t.Helper()
	for _, part := range parts {
		if part = a.names().Replace(part); !strings.Contains(text, part) {
			t.Errorf("%s doesn't tell %q: %s", what, part, text)
		}
	}
}

// madeNothing tells whether there is a job, of ours or at SageMaker, or an event of one.
func (s *service) madeNothing(a *awsAccount) {
	s.t.Helper()
	list, err := s.jobs().ListTrainingJobs(s.t.Context(), &trainingv1.ListTrainingJobsRequest{})
	if err != nil || len(list.GetTrainingJobs()) > 0 || len(a.sageMaker.asked()) > 0 {
		s.t.Errorf("something was made: %v, %v, %v", list, a.sageMaker.asked(), err)
	}
}

// Lustre isn't supported in China, which SageMaker says when the job is made. A base dataset that lies on EFS as well is read from there.
func TestLustreInChinaGivesWayToEFS(t *testing.T) {
	a := newAccount(t, china)
	suite := newSuite(t, testkit.SQLite(t))
	s := a.start(suite, onLustre)

	asked := &trainingv1.CreateTrainingJobRequest{TrainingJob: withBase(), RequestId: "one"}
	const unsupported = "FSx for Lustre is currently not supported in the region cn-north-1 for SageMaker"

	s.refuses(a, asked, articleFailure{
		check: "file-system-support", seen: []string{"$LUSTRE", "cn-north-1"}, prevents: unsupported, snippet: []string{"aws_efs_file_system"},
	})

	s.stop()
	s = a.start(suite, onLustreAndEFS)
	res, err := s.jobs().CreateTrainingJob(t.Context(), asked)
	if err != nil {
		t.Fatal(err)
	}
	job := s.wait(res.GetTrainingJob().GetName(), trainingv1.TrainingJob_SUCCEEDED)
	note := a.names().Replace(`base is read from EFS $EFS: FSx for Lustre is not supported by SageMaker in cn-north-1 (SageMaker answered there: "` + unsupported + `").`)
	if !slices.Contains(job.GetNotes(), note) {
		t.Errorf("the job doesn't say %q: %q", note, job.GetNotes())
	}
	if at := job.GetResolvedBaseDatasets(); len(at) != 1 || at[0].GetLocation().GetStorage() != trainingv1.BaseDataset_EFS || at[0].GetLocation().GetRegion() != china ||
		at[0].GetLocation().GetFileSystemId() != a.FileSystem || at[0].GetLocation().GetPath() != "/base" || at[0].GetLocation().GetMountName() != "" {
		t.Errorf("it is read from %v", at)
	}
	a.checkChinese(t)
}

// Where Lustre works the same list leads there; so it does where the operator says that it works by now, and where a user overrides the check.
func TestLustreIsReadWhereItWorks(t *testing.T) {
	capabilities := filepath.Join(t.TempDir(), "capabilities.yaml")
	if err := os.WriteFile(capabilities, []byte("regions: {cn-north-1: {fsx_lustre: true, why: tried today}}"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		region, bases, capabilities string
		overrides                   []string
		want                        trainingv1.CheckResult_Status
	}{
		"the global region":  {global, onLustreAndEFS, "", nil, trainingv1.CheckResult_PASS},
		"China by now":       {china, onLustreAndEFS, capabilities, nil, trainingv1.CheckResult_PASS},
		"China, to be tried": {china, onLustre, "", []string{"file-system-support"}, trainingv1.CheckResult_FAIL},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAccount(t, test.region)
			suite := newSuite(t, testkit.SQLite(t))
			a.writeBases(suite, test.bases)
			s := suite.start(func(cfg *training.Config, deps *training.Deps) {
				a.configure(cfg, deps)
				cfg.Capabilities = test.capabilities
			})
			asked := withBase()
			asked.OverrideChecks = test.overrides

			job := s.create(asked)

			if check := result(job.GetPreflight(), "file-system-support"); check.GetStatus() != test.want || check.GetOverridden() != (test.overrides != nil) {
				t.Errorf("the check: %v", check)
			}
			if check := result(job.GetPreflight(), "lustre-security"); check.GetStatus() != trainingv1.CheckResult_PASS {
				t.Errorf("the groups: %v", check)
			}
			testkit.Eventually(t, patience, "SageMaker is asked", func() bool { return len(a.sageMaker.asked()) == 1 })
			source := baseChannel(a.sageMaker.asked()[0])
			if source == nil || *source.FileSystemId != lustre || source.FileSystemType != "FSxLustre" || *source.DirectoryPath != "/"+mountName+"/base" {
				t.Errorf("the base dataset is read from %+v", source)
			}
		})
	}
}

// baseChannel is the file system that the base dataset's channel reads, or nil.
func baseChannel(in *sagemaker.CreateTrainingJobInput) *types.FileSystemDataSource {
	for _, channel := range in.InputDataConfig {
		if *channel.ChannelName == "base" {
			return channel.DataSource.FileSystemDataSource
		}
	}
	return nil
}

// checkChinese looks at the request that SageMaker in China gets: nothing of it is of the global partition.
func (a *awsAccount) checkChinese(t *testing.T) {
	t.Helper()
	asked := a.sageMaker.asked()
	if len(asked) != 1 {
		t.Fatalf("SageMaker was asked for %d jobs, want 1", len(asked))
	}
	text := string(do(json.MarshalIndent(asked[0], "", " "))(t))
	if strings.Contains(text, "arn:aws:") || strings.Count(text, "amazonaws.com") != strings.Count(text, "amazonaws.com.cn") || strings.Contains(text, global) {
		t.Errorf("it has something of the global partition: %s", text)
	}
	in := asked[0]
	if got, want := aws.ToString(in.RoleArn), "arn:aws-cn:iam::"+a.ID+":role/train"; got != want {
		t.Errorf("role %s, want %s", got, want)
	}
	if got, want := aws.ToString(in.AlgorithmSpecification.TrainingImage), a.ID+".dkr.ecr.cn-north-1.amazonaws.com.cn/trainer:1"; got != want {
		t.Errorf("image %s, want %s", got, want)
	}
	if !slices.Equal(in.VpcConfig.Subnets, a.Private[:]) || !slices.Equal(in.VpcConfig.SecurityGroupIds, []string{a.JobGroup}) {
		t.Errorf("VPC %v", in.VpcConfig)
	}
	source := baseChannel(in)
	if source == nil || *source.FileSystemId != a.FileSystem || source.FileSystemType != "EFS" || *source.DirectoryPath != "/base" || source.FileSystemAccessMode != "ro" {
		t.Errorf("the base dataset's channel: %s", text)
	}
}

// Nothing outside the file system can prove that a folder is there. That is said before; the program gets the dataset's digest, and SageMaker's
// refusal is told with its mend.
func TestAFolderOnEFSIsNotClaimedToExist(t *testing.T) {
	digest := strings.Repeat("cd", 32)
	a := newAccount(t, china)
	s := a.start(newSuite(t, testkit.SQLite(t)), "[{id: base, storage: efs, file_system_id: $EFS, path: /nobody/made/this, labels: ['0', '1'], manifest_sha256: "+digest+"}]")

	job := s.wait(s.create(withBase()).GetName(), trainingv1.TrainingJob_FAILED)

	if check := result(job.GetPreflight(), "file-system-path"); check.GetStatus() != trainingv1.CheckResult_PASS || !strings.Contains(check.GetSeen(), "can't be seen from outside") {
		t.Errorf("the check doesn't say what it can't know: %v", check)
	}
	if got, want := a.sageMaker.asked()[0].HyperParameters["manifests"], `{"base":"`+digest+`"}`; got != want {
		t.Errorf("the program gets the manifests %s, want %s", got, want)
	}
	if f := job.GetFailure(); f.GetReason() != errorsv1.ErrorReason_FILE_SYSTEM_FAILED || !strings.Contains(f.GetMessage(), "No such file or directory: /nobody/made/this") ||
		f.GetMetadata()["check"] != "file-system-path" || f.GetMetadata()["mend"] == "" {
		t.Errorf("the failure: %v", f)
	}
}

// The path that documentation shows for Lustre can't even be written down for EFS.
func TestLustresDefaultPathOnEFSIsNoConfiguration(t *testing.T) {
	s := newSuite(t, testkit.SQLite(t))
	if err := os.WriteFile(s.bases, []byte("[{id: base, storage: efs, file_system_id: fs-00000001, path: /fsx/base}]"), 0o600); err != nil {
		t.Fatal(err)
	}
	unit, err := training.New(t.Context(), config(s), s.deps())
	if err == nil {
		t.Fatal(unit.Close())
	}
	for _, part := range []string{s.bases, "entry 1 (base)", "the mount name of FSx for Lustre", `such as "/base"`} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("the error doesn't tell %q: %v", part, err)
		}
	}
}
