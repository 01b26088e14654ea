package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	errorsv1 "github.com/trainyard/trainyard/gen/trainyard/errors/v1"
	trainingv1 "github.com/trainyard/trainyard/gen/trainyard/training/v1"
	"github.com/trainyard/trainyard/services/internal/apierror"
	"github.com/trainyard/trainyard/services/trainyard/client"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	statuspb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

var report = &trainingv1.PreflightTrainingJobResponse{
	Notes: []string{"imagenet is read from EFS: FSx for Lustre isn't supported in cn-north-1."},
	Checks: []*trainingv1.CheckResult{
		{
			Check: "efs-security", Title: "EFS lets the job in", Status: trainingv1.CheckResult_FAIL, Seen: "sg-0b lets nobody in at 2049/tcp",
			Prevents: "File system connection timed out", Mend: "Let sg-0a in.",
			Snippet: "aws ec2 authorize-security-group-ingress \\\n  --group-id sg-0b --port 2049",
		},
		{Check: "role", Status: trainingv1.CheckResult_WARN, Seen: "bucket policy not seen", Mend: "Look at it."},
		{Check: "s3-route", Title: "a route to S3", Status: trainingv1.CheckResult_PASS, Seen: "rtb-1 → vpce-1"},
		{Check: "quota", Title: "the account's quota", Status: trainingv1.CheckResult_SKIPPED},
		{Check: "image", Status: trainingv1.CheckResult_FAIL, Overridden: true, Seen: "no such tag"},
	},
}

func TestTablesForPeople(t *testing.T) {
	for name, test := range map[string]struct{ got, want string }{
		"preflight": {preflightText(report), `
imagenet is read from EFS: FSx for Lustre isn't supported in cn-north-1.
FAIL               efs-security  sg-0b lets nobody in at 2049/tcp
WARN               role          bucket policy not seen
PASS               s3-route      rtb-1 → vpce-1
SKIPPED            quota         the account's quota
FAIL (overridden)  image         no such tag

efs-security (EFS lets the job in)
  prevents: File system connection timed out
  mend: Let sg-0a in.
    aws ec2 authorize-security-group-ingress \
      --group-id sg-0b --port 2049

role
  mend: Look at it.
The job would not be made: 1 passed, 1 warn, 2 failed, 1 skipped.`},
		"preflight without checks": {preflightText(&trainingv1.PreflightTrainingJobResponse{Passed: true}), `
The job would be made: 0 passed, 0 warn, 0 failed, 0 skipped.`},
		"regions": {differencesText([]*trainingv1.RegionDifference{
			{Subject: "file system: FSx for Lustre", Here: "supported", There: "not supported", Change: "Publish the base dataset on EFS.", Blocking: true},
			{Subject: "host of S3", Here: "amazonaws.com", There: "amazonaws.com.cn"},
			{Subject: "endpoint of s3", Here: "a", There: "b", Change: "Look the name up."},
			{Subject: "endpoint of sqs", Here: "c", There: "d", Change: "Look the name up."},
		}, "us-east-1", "cn-north-1"), `
        WHAT                         us-east-1      cn-north-1
BLOCKS  file system: FSx for Lustre  supported      not supported
        host of S3                   amazonaws.com  amazonaws.com.cn
        endpoint of s3               a              b
        endpoint of sqs              c              d

To change:
file system: FSx for Lustre: Publish the base dataset on EFS.
endpoint of s3, endpoint of sqs: Look the name up.

A job fails in cn-north-1 until what blocks is changed.`},
		"regions alike": {differencesText(nil, "a", "b"), "\nNothing differs between a and b."},
		"estimate": {estimateText(&trainingv1.EstimateTrainingJobResponse{
			DatasetBytes: 2_500_000_000, BaseBytes: 150e9, Assumptions: []string{"EFS reads 100 MB/s (built in, an assumption).", "Two."},
			Estimates: []*trainingv1.Estimate{
				{
					InputMode: trainingv1.InputMode_FILE, BaseStorage: trainingv1.BaseDataset_S3, QueueSeconds: 150, DownloadSeconds: 44.7, TrainSeconds: 4000,
					UploadSeconds: 12, TotalSeconds: 4206.7, BilledSeconds: 4056.7, ComputeCost: 0.2592, TotalCost: 0.2592, Currency: "USD", Chosen: true, Cheapest: true,
				},
				{
					InputMode: trainingv1.InputMode_FAST_FILE, BaseStorage: trainingv1.BaseDataset_EFS, QueueSeconds: 150, DownloadSeconds: 4.25, TotalSeconds: 3000,
					BilledSeconds: 2850, ComputeCost: 0.18, StorageCostPerMonth: 41.9, TotalCost: 42.08, Currency: "USD", BreakEvenJobsPerMonth: 530, Fastest: true,
				},
				{InputMode: trainingv1.InputMode_PIPE, BaseStorage: trainingv1.BaseDataset_S3, Impossible: "the training program doesn't read Pipe mode"},
			},
		}), `
2.5 GB of the user's data and 150 GB of base datasets.
READ       BASE ON  WAIT        DOWNLOAD  TRAIN       UPLOAD  TOTAL        BILLED       COMPUTE     STORAGE/MONTH  A JOB       PAYS FROM
FILE       S3       2 min 30 s  45 s      1 h 06 min  12 s    1 h 10 min   1 h 07 min   0.2592 USD  0.00 USD       0.2592 USD                  chosen, cheapest
FAST_FILE  EFS      2 min 30 s  4.2 s     0 s         0 s     50 min 00 s  47 min 30 s  0.1800 USD  41.90 USD      42.08 USD   530 jobs/month  fastest
PIPE with base on S3 isn't possible: the training program doesn't read Pipe mode

Assumed:
- EFS reads 100 MB/s (built in, an assumption).
- Two.`},
		"estimate without prices or base datasets": {estimateText(&trainingv1.EstimateTrainingJobResponse{
			DatasetBytes: 999, Estimates: []*trainingv1.Estimate{{InputMode: trainingv1.InputMode_FILE, TotalSeconds: 60, Fastest: true}},
		}), `
999 bytes of the user's data.
READ  BASE ON  WAIT  DOWNLOAD  TRAIN  UPLOAD  TOTAL       BILLED  COMPUTE  STORAGE/MONTH  A JOB  PAYS FROM
FILE  -        0 s   0 s       0 s    0 s     1 min 00 s  0 s     ?        ?              ?                 fastest`},
		"ledger": {ledgerText(&trainingv1.TrainingJob{
			Ledger: &trainingv1.Ledger{
				QueueSeconds: 100, DownloadSeconds: 30, TrainSeconds: 270, UploadSeconds: 4, OtherSeconds: 2, TotalSeconds: 406, BilledSeconds: 608,
				HourlyPrice: 0.23, Cost: 0.05, WarmPoolSeconds: 60, WarmPoolCost: 0.004, SpotSaving: 0.0252, Currency: "USD", DownloadShare: 0.0987,
				Attempts: []*trainingv1.Ledger_Attempt{
					{Number: 1, QueueSeconds: 50, DownloadSeconds: 15, TrainSeconds: 100, Interrupted: true},
					{Number: 2, QueueSeconds: 50, DownloadSeconds: 15, TrainSeconds: 170, UploadSeconds: 4},
				},
			},
			Estimate: &trainingv1.Estimate{
				InstanceCount: 2, QueueSeconds: 150, DownloadSeconds: 25, TrainSeconds: 200, UploadSeconds: 12, TotalSeconds: 387, BilledSeconds: 500,
				ComputeCost: 0.0319, Currency: "USD",
			},
		}), `
                                 ACTUAL                  EXPECTED
wait for a machine               1 min 40 s              2 min 30 s
download                         30 s                    25 s
train                            4 min 30 s              3 min 20 s
upload                           4.0 s                   12 s
other                            2.0 s
total                            6 min 46 s              6 min 27 s
billed                           10 min 08 s             8 min 20 s
cost                             0.0500 USD              0.0319 USD
kept warm, of that               1 min 00 s, 0.0040 USD
saved by spot                    0.0252 USD
downloading, of the billed time  9.9 %                   10.5 %
ATTEMPT  WAIT  DOWNLOAD  TRAIN       UPLOAD
1        50 s  15 s      1 min 40 s  0 s     interrupted
2        50 s  15 s      2 min 50 s  4.0 s
SageMaker has not told the billed seconds: they are reckoned from its transitions.`},
		"ledger without estimate and price": {ledgerText(&trainingv1.TrainingJob{
			Ledger: &trainingv1.Ledger{TrainSeconds: 10, TotalSeconds: 10, BilledSeconds: 10, BilledBySagemaker: true},
		}), `
                                 ACTUAL                              EXPECTED
wait for a machine               0 s
download                         0 s
train                            10 s
upload                           0 s
total                            10 s
billed                           10 s
cost                             ? (no price of this instance type)
downloading, of the billed time  0 %`},
		"no ledger": {ledgerText(&trainingv1.TrainingJob{}), "\nNothing is in its ledger yet."},
		"sweep": {sweepText(&trainingv1.Sweep{
			Name: "sweeps/s", State: trainingv1.Sweep_FAILED, TrialCount: 3, EndedTrialCount: 2, ObjectiveMetric: "validation:accuracy", BestValue: 0.97531,
			BestTrainingJob: "trainingJobs/b", BilledSeconds: 90, Cost: 0.00576, Currency: "USD", Failure: &errorsv1.Failure{Message: "Too many trials failed."},
			Parameters: map[string]*trainingv1.SweepRange{"learning_rate": {}, "channels": {}},
			Trials: []*trainingv1.Trial{
				{Number: 1, TrainingJob: "trainingJobs/a", State: trainingv1.TrainingJob_FAILED, BilledSeconds: 30, Failure: &errorsv1.Failure{Message: "out of memory"}, Parameters: trial(0.1, "grey")},
				{Number: 2, TrainingJob: "trainingJobs/b", State: trainingv1.TrainingJob_SUCCEEDED, BilledSeconds: 60, HasValue: true, Value: 0.97531, Parameters: trial(0.004, "rgb")},
				{Number: 3, Parameters: trial(0.01, "rgb")},
			},
		}), `
   TRIAL  STATE      channels  learning_rate  validation:accuracy  BILLED  JOB
   1      FAILED     grey      0.1                                 30 s    trainingJobs/a
*  2      SUCCEEDED  rgb       0.004          0.9753               60 s    trainingJobs/b
   3      not run    rgb       0.01                                0 s
sweeps/s FAILED 2/3 trials ended, best validation:accuracy=0.9753 (trainingJobs/b)
Too many trials failed.
trial 1: out of memory
90 seconds are billed, 0.0058 USD.`},
		"usage": {usageText(&trainingv1.GetTrainingUsageResponse{
			ConcurrentJobs: 2, MaxConcurrentJobs: 4, InstanceHours: 1.5, Cost: 12.345, MaxCost: 10, Currency: "USD",
			ResetTime: &timestamppb.Timestamp{Seconds: 1764547200},
		}), `
                USED   LIMIT     LEFT
jobs at a time  2      4         2
instance-hours  1.50   no limit
cost, USD       12.35  10.00     0.00
The month ends 2025-12-01 00:00 UTC.`},
	} {
		if want := strings.TrimPrefix(test.want, "\n"); test.got != want {
			t.Errorf("%s:\n%s\nwant:\n%s", name, test.got, want)
		}
	}
}

func trial(rate float64, colours string) map[string]*structpb.Value {
	return map[string]*structpb.Value{"learning_rate": structpb.NewNumberValue(rate), "channels": structpb.NewStringValue(colours)}
}

// refusing is a gateway that refuses every call because of preflight.
func refusing(t *testing.T) *client.Client {
	t.Helper()
	info, err := anypb.New(&errdetails.ErrorInfo{
		Domain: apierror.Domain, Reason: errorsv1.ErrorReason_PREFLIGHT_FAILED.String(), Metadata: map[string]string{"checks": "efs-security"},
	})
	if err != nil {
		t.Fatal(err)
	}
	details, err := anypb.New(report)
	if err != nil {
		t.Fatal(err)
	}
	body, err := protojson.Marshal(&statuspb.Status{Code: int32(codes.FailedPrecondition), Message: "Preflight: efs-security.", Details: []*anypb.Any{info, details}})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = w.Write(body)
	}))
	t.Cleanup(server.Close)
	return client.New(server.URL, "token")
}

func TestChecksThatKeepAJobFromBeingMadeAreTold(t *testing.T) {
	err := refusing(t).Post(t.Context(), "/v1/trainingJobs", &trainingv1.TrainingJob{}, &trainingv1.TrainingJob{})
	if !client.Is(err, errorsv1.ErrorReason_PREFLIGHT_FAILED) {
		t.Fatalf("%v", err)
	}
	var stdout, stderr bytes.Buffer
	tellChecks(err, &output{stdout: &stdout, stderr: &stderr})
	for _, part := range []string{"FAIL  efs-security  sg-0b", "mend: Let sg-0a in.", "--group-id sg-0b"} {
		if !strings.Contains(stderr.String(), part) {
			t.Errorf("%q is missing in:\n%s", part, &stderr)
		}
	}
	for _, part := range []string{"role", "image", "s3-route"} { // Nothing but what it failed for.
		if strings.Contains(stderr.String(), part) {
			t.Errorf("%q is in:\n%s", part, &stderr)
		}
	}
	stderr.Reset()
	tellChecks(err, &output{json: true, stdout: &stdout, stderr: &stderr})
	var line struct{ Checks []struct{ Check string } }
	if err := json.Unmarshal(stdout.Bytes(), &line); err != nil || len(line.Checks) != len(report.GetChecks()) || stderr.Len() > 0 {
		t.Errorf("%v: %s%s", err, &stdout, &stderr)
	}
	stdout.Reset()
	tellChecks(errors.New("another error"), &output{stdout: &stdout, stderr: &stderr})
	if stdout.Len()+stderr.Len() > 0 {
		t.Errorf("%s%s", &stdout, &stderr)
	}
}

func TestSpansAndSizes(t *testing.T) {
	for seconds, want := range map[float64]string{
		0: "0 s", 0.04: "0 s", 0.44: "0.4 s", 9.94: "9.9 s", 9.96: "10 s", 59.6: "1 min 00 s", 61: "1 min 01 s", 3599.7: "1 h 00 min", 86_400: "24 h 00 min",
	} {
		if got := span(seconds); got != want {
			t.Errorf("%g s: %q, want %q", seconds, got, want)
		}
	}
	for bytes, want := range map[int64]string{0: "0 bytes", 999: "999 bytes", 1000: "1 kB", 1_234_567: "1.235 MB", 999_999_999: "1 GB", 1_200_000_000_000: "1.2 TB"} {
		if got := size(bytes); got != want {
			t.Errorf("%d bytes: %q, want %q", bytes, got, want)
		}
	}
}
