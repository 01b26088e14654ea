package preflight

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/efs"
	"github.com/aws/aws-sdk-go-v2/service/fsx"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"
	"github.com/aws/aws-sdk-go-v2/service/servicequotas"

	"github.com/trainyard/trainyard/services/training/preflight/mototest"
)

func check(name string, run func(ctx context.Context) (Result, error)) Check {
	return Check{Name: name, Title: "Title of " + name, Run: func(ctx context.Context, _ *Clients, _ *Subject) (Result, error) { return run(ctx) }}
}

func ends(name string, s Status) Check {
	return check(name, func(context.Context) (Result, error) { return Result{Status: s, Seen: "seen"}, nil })
}

func fails(name string, err error) Check {
	return check(name, func(context.Context) (Result, error) { return Result{Prevents: "an error"}, err })
}

var aJob = &Subject{Region: "cn-north-1", Request: &sagemaker.CreateTrainingJobInput{}}

func run(t *testing.T, checks ...Check) []Result {
	t.Helper()
	return Run(t.Context(), &Clients{}, aJob, checks, time.Minute)
}

func TestRunListsFailuresFirst(t *testing.T) {
	got := run(t, ends("d", Pass), ends("c", Skipped), ends("b", Fail), ends("e", Warn), ends("a", Fail), ends("0", Pass))

	if got := order(got); got != "a b e c 0 d" {
		t.Errorf("order %s", got)
	}
	if got[0].Title != "Title of a" || got[0].Seen != "seen" {
		t.Errorf("%+v", got[0])
	}
}

func order(results []Result) string {
	var list []string
	for _, r := range results {
		list = append(list, r.Check)
	}
	return strings.Join(list, " ")
}

func TestRunIsSideBySideAndEndsByTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		released := make(chan struct{})
		sleeps := func(ctx context.Context) (Result, error) {
			time.Sleep(8 * time.Second)
			return Result{Status: Pass}, nil
		}
		checks := []Check{
			check("slow-1", sleeps), check("slow-2", sleeps),
			check("listens", func(ctx context.Context) (Result, error) {
				<-ctx.Done()
				return Result{}, ctx.Err()
			}),
			check("deaf", func(context.Context) (Result, error) {
				<-released
				return Result{Status: Pass}, nil
			}),
		}
		began := time.Now()

		got := Run(t.Context(), &Clients{}, aJob, checks, 10*time.Second)

		if took := time.Since(began); took != 10*time.Second {
			t.Errorf("took %v", took)
		}
		if got := order(got); got != "deaf listens slow-1 slow-2" {
			t.Fatalf("order %s", got)
		}
		for _, r := range got[:2] {
			if r.Status != Skipped || r.Seen != "did not answer within 10s" || r.Took != 10*time.Second || r.Title == "" {
				t.Errorf("%+v", r)
			}
		}
		for _, r := range got[2:] {
			if r.Status != Pass || r.Took != 8*time.Second {
				t.Errorf("%+v", r)
			}
		}
		close(released) // The late result goes nowhere.
	})
}

func TestRunOfACancelledCaller(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()

	got := Run(ctx, &Clients{}, aJob, []Check{check("a", func(ctx context.Context) (Result, error) {
		<-ctx.Done()
		return Result{}, ctx.Err()
	})}, time.Minute)

	if got[0].Status != Skipped || got[0].Seen != "was cancelled before it ended" {
		t.Errorf("%+v", got[0])
	}
}

func TestAPanicSkipsItsCheckAlone(t *testing.T) {
	got := run(t, check("breaks", func(context.Context) (Result, error) {
		var none EC2
		_, err := none.DescribeVpcs(context.Background(), nil)
		return Result{}, err
	}), ends("fine", Pass))

	if got[0].Check != "breaks" || got[0].Status != Skipped || !strings.Contains(got[0].Seen, "the check itself broke") {
		t.Errorf("%+v", got[0])
	}
	if got[1].Status != Pass {
		t.Errorf("%+v", got[1])
	}
}

func TestAnErrorSkipsWithWhatIsMissing(t *testing.T) {
	tests := []struct {
		name                string
		err                 error
		seen, mend, snippet string
	}{
		{
			"EC2", refused("EC2", "DescribeRouteTables", "UnauthorizedOperation", "You are not authorized to perform this operation."),
			"the permission ec2:DescribeRouteTables is missing", "ec2:DescribeRouteTables", `{"Effect": "Allow", "Action": "ec2:DescribeRouteTables", "Resource": "*"}`,
		},
		{"EFS", refused("EFS", "DescribeMountTargets", "AccessDeniedException", ""), "elasticfilesystem:DescribeMountTargets", "elasticfilesystem:DescribeMountTargets", `"Resource": "*"`},
		{"quotas", refused("Service Quotas", "ListServiceQuotas", "AccessDeniedException", ""), "servicequotas:ListServiceQuotas", "", ""},
		{"S3, another action", refused("S3", "GetBucketNotificationConfiguration", "AccessDenied", "Access Denied"), "the permission s3:GetBucketNotification is missing", "", `"arn:aws-cn:s3:::*"`},
		{"S3, no body", refused("S3", "HeadBucket", "Forbidden", ""), "the permission s3:ListBucket is missing", "", `"arn:aws-cn:s3:::*"`},
		{"IAM", refused("IAM", "GetRole", "AccessDenied", ""), "iam:GetRole", "", `"arn:aws-cn:iam::*:role/*"`},
		{
			"AWS says what", refused("KMS", "DescribeKey", "AccessDeniedException", "User: arn:aws-cn:iam::1:user/x is not authorized to perform: kms:DescribeKey on resource: arn:aws-cn:kms:cn-north-1:1:key/2 because no identity-based policy allows it"),
			"kms:DescribeKey", "", `"Resource": "arn:aws-cn:kms:cn-north-1:1:key/2"`,
		},
		{"throttled", refused("IAM", "GetRole", "Throttling", "Rate exceeded"), "AWS throttled iam:GetRole", "again", ""},
		{"no such operation", refused("FSx", "DescribeDataRepositoryAssociations", "UnknownOperationException", "no such action"), "could not ask: fsx:DescribeDataRepositoryAssociations: UnknownOperationException: no such action", "", ""},
		{"no connection", errors.New("dial tcp: no such host"), "dial tcp: no such host", "", ""},
		{"no client", &NoClientError{"EC2"}, "this installation has no access to EC2", "", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := run(t, fails("a", test.err))[0]
			if got.Status != Skipped || got.Prevents != "an error" {
				t.Errorf("%+v", got)
			}
			if !strings.Contains(got.Seen, test.seen) || !strings.Contains(got.Mend, test.mend) || !strings.Contains(got.Snippet, test.snippet) {
				t.Errorf("%+v", got)
			}
		})
	}
}

func TestAnErrorKeepsWhatWasFound(t *testing.T) {
	denied := refused("EC2", "DescribeVpcs", "UnauthorizedOperation", "")
	with := func(s Status) Check {
		return check(string(s), func(context.Context) (Result, error) {
			return Result{Status: s, Seen: "a thing", Prevents: "p", Mend: "m", Snippet: "s"}, denied
		})
	}

	got := run(t, with(Fail), with(Warn), with(Pass))

	if got[0].Status != Fail || got[0].Mend != "m" || got[0].Snippet != "s" {
		t.Errorf("a failure must stay one: %+v", got[0])
	}
	for _, r := range got {
		if !strings.Contains(r.Seen, "ec2:DescribeVpcs") || !strings.Contains(r.Seen, "a thing") {
			t.Errorf("%s: %s", r.Check, r.Seen)
		}
		if r.Check != string(Fail) && r.Status != Skipped {
			t.Errorf("what wasn't looked at to the end can't pass: %+v", r)
		}
	}
}

// TestDeniedCallOfTheSDK is a real client that AWS refuses: the operation comes out of the SDK's own error.
func TestDeniedCallOfTheSDK(t *testing.T) {
	w := newAccountWorld(t, "us-east-1", "")
	w.answerEC2Denied(t)
	w.inNamedVPC()

	got := Run(t.Context(), w.clients(), w.Subject, []Check{instanceInAZCheck()}, time.Minute)[0]

	if got.Status != Skipped || got.Seen != "the permission ec2:DescribeSubnets is missing" {
		t.Errorf("%+v", got)
	}
}

// TestWithoutClientsNothingFails is the laptop: what asks AWS is skipped and says so, and nothing keeps a job from being made.
func TestWithoutClientsNothingFails(t *testing.T) {
	w := &accountWorld{Account: &mototest.Account{ID: "123456789012"}, Region: "us-east-1", Partition: "aws", Bucket: "trainyard", Key: "alias/train"}
	w.Subject = w.subject()
	w.onLustre()
	w.inNamedVPC()

	got := Run(t.Context(), &Clients{}, w.Subject, All(), time.Minute)

	for _, r := range got {
		switch {
		case r.Check == "training-region" || r.Check == "file-system-support":
			if r.Status != Pass {
				t.Errorf("%+v", r)
			}
		case r.Status != Skipped || r.Seen == "":
			t.Errorf("%+v", r)
		}
	}
	if failed, err := Blocking(got, nil); len(failed) > 0 || err != nil {
		t.Errorf("%+v, %v", failed, err)
	}
}

// TestAnEmptyRequestIsLookedAt: a check may not break on what a request leaves out.
func TestAnEmptyRequestIsLookedAt(t *testing.T) {
	for _, request := range []*sagemaker.CreateTrainingJobInput{
		{},
		{
			AlgorithmSpecification: &types.AlgorithmSpecification{}, InputDataConfig: []types.Channel{{}, {DataSource: &types.DataSource{}}}, OutputDataConfig: &types.OutputDataConfig{},
			CheckpointConfig: &types.CheckpointConfig{}, ResourceConfig: &types.ResourceConfig{}, VpcConfig: &types.VpcConfig{},
		},
	} {
		w := newAccountWorld(t, "us-east-1", "")
		s := &Subject{Region: "us-east-1", Request: request}
		for _, r := range Run(t.Context(), w.clients(), s, All(), time.Minute) {
			if strings.Contains(r.Seen, "the check itself broke") {
				t.Errorf("%+v", r)
			}
		}
	}
}

func TestBlocking(t *testing.T) {
	results := func() []Result {
		return run(t, ends("a", Fail), ends("b", Fail), ends("c", Warn), ends("d", Skipped), ends("e", Pass))
	}
	blocked := func(overrides ...string) (string, []Result) {
		all := results()
		failed, err := Blocking(all, overrides)
		if err != nil {
			t.Fatal(err)
		}
		return order(failed), all
	}

	if got, _ := blocked(); got != "a b" {
		t.Errorf("%s, want a b", got)
	}
	if got, all := blocked("b", "e"); got != "a" || !all[1].Overridden || all[0].Overridden || all[4].Overridden {
		t.Errorf("%s, want a; only b is overridden: %+v", got, all)
	}
	if got, _ := blocked("a", "b"); got != "" {
		t.Errorf("%s, want none", got)
	}
	_, err := Blocking(results(), []string{"a", "s3-rout"})
	var unknown *UnknownCheckError
	if !errors.As(err, &unknown) || unknown.Name != "s3-rout" || !slices.Equal(unknown.Names, []string{"a", "b", "c", "d", "e"}) {
		t.Errorf("%v", err)
	}
}

func TestNamesAreSlugsAndApart(t *testing.T) {
	all := Names()
	if !slices.IsSorted(all) || len(slices.Compact(slices.Clone(all))) != len(all) {
		t.Errorf("%v", all)
	}
	for _, c := range All() {
		if c.Name == "" || strings.ToLower(c.Name) != c.Name || strings.ContainsAny(c.Name, " _") || c.Title == "" {
			t.Errorf("%+v", c)
		}
	}
}

// For the compiler: what the service makes has to fit.
var _ = Clients{
	EC2: (*ec2.Client)(nil), EFS: (*efs.Client)(nil), FSx: (*fsx.Client)(nil), S3: (*s3.Client)(nil),
	KMS: (*kms.Client)(nil), IAM: (*iam.Client)(nil), Quotas: (*servicequotas.Client)(nil), ECR: (*ecr.Client)(nil),
}
