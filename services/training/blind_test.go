package training_test

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	trainingv1 "github.com/trainyard/trainyard/gen/trainyard/training/v1"
	"github.com/trainyard/trainyard/services/internal/testkit"
	"github.com/trainyard/trainyard/services/training"
	"github.com/trainyard/trainyard/services/training/preflight"
)

// Preflight helps where it can see and is in nobody's way where it can't.

// refusingEC2 answers calls of EC2 with an error, in its own words: all, or those of one action.
type refusingEC2 struct {
	aws.HTTPClient
	action  string
	status  int
	code    string
	message string
}

func (r refusingEC2) Do(req *http.Request) (*http.Response, error) {
	if !strings.Contains(req.Header.Get("Authorization"), "/ec2/aws4_request") {
		return r.HTTPClient.Do(req)
	}
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	req.Body = io.NopCloser(bytes.NewReader(body))
	if !strings.Contains(string(body), "Action="+r.action) {
		return r.HTTPClient.Do(req)
	}
	return &http.Response{
		StatusCode: r.status, ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{}, Request: req, Body: io.NopCloser(strings.NewReader(
			"<Response><Errors><Error><Code>" + r.code + "</Code><Message>" + r.message + "</Message></Error></Errors><RequestID>1</RequestID></Response>")),
	}, nil
}

func TestAMissingReadPermissionSkipsItsChecks(t *testing.T) {
	a := newAccount(t, china)
	a.RemoveS3Endpoint(t) // It would fail, could it be seen.
	cfg := a.Config(t, china)
	cfg.HTTPClient = refusingEC2{cfg.HTTPClient, "DescribeRouteTables", http.StatusForbidden, "UnauthorizedOperation", "You are not authorized to perform this operation."}
	a.ask(cfg)
	s := a.start(newSuite(t, testkit.SQLite(t)), onEFS)

	job := s.wait(s.create(withBase()).GetName(), trainingv1.TrainingJob_SUCCEEDED)

	for _, name := range []string{"s3-route", "s3-endpoint-policy"} {
		check := result(job.GetPreflight(), name)
		if check.GetStatus() != trainingv1.CheckResult_SKIPPED || !strings.Contains(check.GetSeen(), "the permission ec2:DescribeRouteTables is missing") ||
			!strings.Contains(check.GetSnippet(), `"Action": "ec2:DescribeRouteTables"`) || check.GetPrevents() == "" {
			t.Errorf("%s: %v", name, check)
		}
	}
	for _, name := range []string{"efs-mount-target", "efs-security", "s3-egress", "vpc-tenancy"} {
		if check := result(job.GetPreflight(), name); check.GetStatus() != trainingv1.CheckResult_PASS {
			t.Errorf("%s needs no such permission: %v", name, check)
		}
	}
}

// silence never answers.
type silence struct{}

func (silence) Do(req *http.Request) (*http.Response, error) {
	<-req.Context().Done()
	return nil, req.Context().Err()
}

func TestAnAWSThatDoesNotAnswerHoldsUpNoJob(t *testing.T) {
	const (
		deadline = time.Second
		slack    = 4 * time.Second // For a slow machine; AWS's own retries would take longer.
	)
	network := []string{"efs-mount-target", "efs-security", "s3-route", "s3-egress", "s3-endpoint-policy", "vpc-tenancy", "instance-in-az"}
	for name, test := range map[string]struct {
		ask     func(t *testing.T, a *awsAccount)
		skipped []string
	}{
		"away": {
			ask: func(t *testing.T, a *awsAccount) {
				cfg := a.Config(t, a.Region)
				cfg.HTTPClient = silence{}
				a.clients = preflight.NewClients(cfg, a.Region)
			},
			skipped: append([]string{"bucket-region", "execution-role", "image", "instance-quota", "s3-event-conflict"}, network...),
		},
		"throttled": {
			ask: func(t *testing.T, a *awsAccount) {
				cfg := a.Config(t, a.Region)
				cfg.HTTPClient = refusingEC2{cfg.HTTPClient, "", http.StatusServiceUnavailable, "RequestLimitExceeded", "Request limit exceeded."}
				a.ask(cfg)
			},
			skipped: network,
		},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAccount(t, global)
			a.Forbid(t, a.FileSystemGroup, jobsNFS(a)) // It would fail, could it be seen.
			test.ask(t, a)
			s := newSuite(t, testkit.SQLite(t))
			a.writeBases(s, onEFS)
			started := s.start(func(cfg *training.Config, deps *training.Deps) {
				a.configure(cfg, deps)
				cfg.PreflightTimeout = deadline
			})
			began := time.Now()

			queued := started.create(withBase())

			if took := time.Since(began); took > deadline+slack {
				t.Errorf("making a job took %v with a deadline of %v", took, deadline)
			}
			job := started.wait(queued.GetName(), trainingv1.TrainingJob_SUCCEEDED)
			for _, name := range test.skipped {
				check := result(job.GetPreflight(), name)
				late, throttled := strings.Contains(check.GetSeen(), "did not answer within 1s"), strings.Contains(check.GetSeen(), "AWS throttled ec2:Describe")
				if check.GetStatus() != trainingv1.CheckResult_SKIPPED || !late && !throttled {
					t.Errorf("%s: %v", name, check)
				}
			}
		})
	}
}
