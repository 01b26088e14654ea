package main

import (
	"context"
	"io"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	trainingv1 "github.com/trainyard/trainyard/gen/trainyard/training/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// recorder answers the calls of the commands behind the REST mapping of the contracts, and keeps what arrived.
type recorder struct {
	trainingv1.UnimplementedTrainingServiceServer
	trainingv1.UnimplementedSweepServiceServer

	got    []proto.Message
	passed bool
}

func (r *recorder) CreateTrainingJob(_ context.Context, in *trainingv1.CreateTrainingJobRequest) (*trainingv1.CreateTrainingJobResponse, error) {
	r.got = append(r.got, in)
	return &trainingv1.CreateTrainingJobResponse{TrainingJob: &trainingv1.TrainingJob{Name: "trainingJobs/j", Estimate: &trainingv1.Estimate{TotalSeconds: 90}}}, nil
}

func (r *recorder) PreflightTrainingJob(_ context.Context, in *trainingv1.PreflightTrainingJobRequest) (*trainingv1.PreflightTrainingJobResponse, error) {
	r.got = append(r.got, in)
	return &trainingv1.PreflightTrainingJobResponse{Passed: r.passed}, nil
}

func (r *recorder) EstimateTrainingJob(_ context.Context, in *trainingv1.EstimateTrainingJobRequest) (*trainingv1.EstimateTrainingJobResponse, error) {
	r.got = append(r.got, in)
	return &trainingv1.EstimateTrainingJobResponse{Assumptions: []string{"The sky is blue."}}, nil
}

func (r *recorder) CompareRegions(_ context.Context, in *trainingv1.CompareRegionsRequest) (*trainingv1.CompareRegionsResponse, error) {
	r.got = append(r.got, in)
	return &trainingv1.CompareRegionsResponse{}, nil
}

func (r *recorder) GetTrainingUsage(_ context.Context, in *trainingv1.GetTrainingUsageRequest) (*trainingv1.GetTrainingUsageResponse, error) {
	r.got = append(r.got, in)
	return &trainingv1.GetTrainingUsageResponse{ConcurrentJobs: 3}, nil
}

func (r *recorder) GetTrainingJob(_ context.Context, in *trainingv1.GetTrainingJobRequest) (*trainingv1.GetTrainingJobResponse, error) {
	r.got = append(r.got, in)
	return &trainingv1.GetTrainingJobResponse{TrainingJob: &trainingv1.TrainingJob{Name: in.GetName(), Ledger: &trainingv1.Ledger{TrainSeconds: 61}}}, nil
}

func (r *recorder) CreateSweep(_ context.Context, in *trainingv1.CreateSweepRequest) (*trainingv1.CreateSweepResponse, error) {
	r.got = append(r.got, in)
	return &trainingv1.CreateSweepResponse{Sweep: &trainingv1.Sweep{Name: "sweeps/s", TrialCount: 2}}, nil
}

func (r *recorder) GetSweep(_ context.Context, in *trainingv1.GetSweepRequest) (*trainingv1.GetSweepResponse, error) {
	r.got = append(r.got, in)
	return &trainingv1.GetSweepResponse{Sweep: &trainingv1.Sweep{Name: in.GetName(), State: trainingv1.Sweep_STOPPED, TrialCount: 2}}, nil
}

func (r *recorder) StopSweep(_ context.Context, in *trainingv1.StopSweepRequest) (*trainingv1.StopSweepResponse, error) {
	r.got = append(r.got, in)
	return &trainingv1.StopSweepResponse{Sweep: &trainingv1.Sweep{Name: in.GetName(), State: trainingv1.Sweep_STOPPING}}, nil
}

func TestCommandsCallWhatTheContractsSay(t *testing.T) {
	const job = `"trainingJob":{"recipe":"recipes/image-classification","datasetVersion":"datasets/d"}`
	for line, test := range map[string]struct {
		refused bool
		code    int
		prints  string
		calls   []string
	}{
		"train --dataset d": {prints: "expected: 1 min 30 s", calls: []string{`CreateTrainingJobRequest{` + job + `}`}},
		"train --dataset d --dry-run": {prints: "The sky is blue.", calls: []string{
			`PreflightTrainingJobRequest{` + job + `}`, `EstimateTrainingJobRequest{` + job + `,"jobsPerMonth":1}`,
		}},
		"train --dataset d --dry-run --json": {refused: true, code: exitFailed, prints: `"assumptions":["The sky is blue."]`, calls: []string{
			`PreflightTrainingJobRequest{` + job + `}`, `EstimateTrainingJobRequest{` + job + `,"jobsPerMonth":1}`,
		}},
		"doctor --dataset d --region cn-north-1": {prints: "The job would be made", calls: []string{`PreflightTrainingJobRequest{` + job + `,"region":"cn-north-1"}`}},
		"doctor --dataset d":                     {refused: true, code: exitFailed, prints: "The job would not be made", calls: []string{`PreflightTrainingJobRequest{` + job + `}`}},
		"doctor --compare us-east-1 cn-north-1 --dataset d": {prints: "Nothing differs between us-east-1 and cn-north-1.", calls: []string{
			`CompareRegionsRequest{"region":"us-east-1","otherRegion":"cn-north-1",` + job + `}`,
		}},
		"doctor --compare cn-north-1":              {prints: "Nothing differs between this installation and cn-north-1.", calls: []string{`CompareRegionsRequest{"otherRegion":"cn-north-1"}`}},
		"estimate --dataset d --jobs-per-month 40": {prints: "The sky is blue.", calls: []string{`EstimateTrainingJobRequest{` + job + `,"jobsPerMonth":40}`}},
		"usage":                            {prints: "jobs at a time  3", calls: []string{`GetTrainingUsageRequest{}`}},
		"ledger j":                         {prints: "1 min 01 s", calls: []string{`GetTrainingJobRequest{"name":"trainingJobs/j"}`}},
		"ledger trainingJobs/j --json":     {prints: `"trainSeconds":61`, calls: []string{`GetTrainingJobRequest{"name":"trainingJobs/j"}`}},
		"sweep --dataset d --grid mix=0,1": {prints: "sweeps/s has begun, 2 trials", calls: []string{`CreateSweepRequest{"sweep":{` + job + `,"parameters":{"mix":{"values":[0,1]}},"strategy":"GRID","parallelTrials":2}}`}},
		"trials sweeps/s":                  {prints: "sweeps/s STOPPED", calls: []string{`GetSweepRequest{"name":"sweeps/s"}`}},
		"trials s --wait":                  {code: exitFailed, prints: "sweeps/s STOPPED", calls: []string{`GetSweepRequest{"name":"sweeps/s"}`}},
		"stop sweeps/s":                    {prints: "sweeps/s STOPPING", calls: []string{`StopSweepRequest{"name":"sweeps/s"}`}},
	} {
		t.Run(line, func(t *testing.T) {
			r := &recorder{passed: !test.refused}
			mux := runtime.NewServeMux()
			for _, err := range []error{
				trainingv1.RegisterTrainingServiceHandlerServer(t.Context(), mux, r), trainingv1.RegisterSweepServiceHandlerServer(t.Context(), mux, r),
			} {
				if err != nil {
					t.Fatal(err)
				}
			}
			server := httptest.NewServer(mux)
			defer server.Close()
			t.Setenv("TRAINYARD_URL", server.URL)
			t.Setenv("TRAINYARD_TOKEN", "token")
			printed, code := capture(t, strings.Fields(line))
			if code != test.code || !strings.Contains(printed, test.prints) {
				t.Errorf("ends with %d, want %d, and prints\n%s\nwant %q", code, test.code, printed, test.prints)
			}
			if len(r.got) != len(test.calls) {
				t.Fatalf("%d calls, want %d: %v", len(r.got), len(test.calls), r.got)
			}
			for i, got := range r.got {
				sameCall(t, got, test.calls[i])
			}
		})
	}
}

// sameCall compares a request with a message's name and its JSON. The client's own id of a request is to be there, whatever it is.
func sameCall(t *testing.T, got proto.Message, call string) {
	t.Helper()
	name, body, _ := strings.Cut(call, "{")
	if string(got.ProtoReflect().Descriptor().Name()) != name {
		t.Errorf("the call is a %s, want a %s", got.ProtoReflect().Descriptor().Name(), name)
		return
	}
	if id := got.ProtoReflect().Descriptor().Fields().ByName("request_id"); id != nil {
		if got.ProtoReflect().Get(id).String() == "" {
			t.Error("the request has no id, so that it can't be repeated")
		}
		got.ProtoReflect().Clear(id)
	}
	want := got.ProtoReflect().New().Interface()
	if err := protojson.Unmarshal([]byte("{"+body), want); err != nil {
		t.Fatal(err)
	}
	if !proto.Equal(got, want) {
		t.Errorf("called with\n%s\nwant\n%s", protojson.Format(got), protojson.Format(want))
	}
}

// capture runs a command as main does and gives what it prints on standard output.
func capture(t *testing.T, args []string) (printed string, code int) {
	t.Helper()
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout := os.Stdout
	os.Stdout = writer
	defer func() { os.Stdout = stdout }()
	all := make(chan string)
	go func() {
		data, _ := io.ReadAll(reader) // Nothing read is told by what is missing.
		all <- string(data)
	}()
	code = run(args)
	writer.Close()
	return <-all, code
}
