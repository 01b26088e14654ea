package boot_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	converterv1 "github.com/trainyard/trainyard/gen/trainyard/converter/v1"
	errorsv1 "github.com/trainyard/trainyard/gen/trainyard/errors/v1"
	ingestv1 "github.com/trainyard/trainyard/gen/trainyard/ingest/v1"
	notificationv1 "github.com/trainyard/trainyard/gen/trainyard/notification/v1"
	trainingv1 "github.com/trainyard/trainyard/gen/trainyard/training/v1"
	"github.com/trainyard/trainyard/services/internal/apierror"
	"github.com/trainyard/trainyard/services/internal/auth"
	"github.com/trainyard/trainyard/services/internal/boot"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"
)

// service answers as a test says: ListShards by call, WatchEvents with a stream that ends only with its context.
type service struct {
	converterv1.UnimplementedConverterServiceServer
	ingestv1.UnimplementedIngestServiceServer
	notificationv1.UnimplementedNotificationServiceServer
	trainingv1.UnimplementedTrainingServiceServer
	call   func() error
	run    func(context.Context)
	closed bool
}

func (s *service) Name() string { return "service" }
func (s *service) Register(r grpc.ServiceRegistrar) {
	converterv1.RegisterConverterServiceServer(r, s)
	ingestv1.RegisterIngestServiceServer(r, s)
	notificationv1.RegisterNotificationServiceServer(r, s)
	trainingv1.RegisterTrainingServiceServer(r, s)
}
func (s *service) Close() error { s.closed = true; return nil }
func (s *service) Run(ctx context.Context) error {
	if s.run != nil {
		s.run(ctx)
	}
	<-ctx.Done()
	return nil
}

func (s *service) ListShards(context.Context, *converterv1.ListShardsRequest) (*converterv1.ListShardsResponse, error) {
	return &converterv1.ListShardsResponse{}, s.call()
}

func (s *service) WatchEvents(_ *notificationv1.WatchEventsRequest, stream grpc.ServerStreamingServer[notificationv1.WatchEventsResponse]) error {
	if err := stream.Send(&notificationv1.WatchEventsResponse{}); err != nil {
		return err
	}
	<-stream.Context().Done()
	return stream.Context().Err()
}

// serve runs a service; stop shuts it down and gives what Run returned.
func serve(t *testing.T, s *service, shutdown time.Duration) (conn *grpc.ClientConn, logs *observer.ObservedLogs, stop func() error) {
	t.Helper()
	tokens := filepath.Join(t.TempDir(), "tokens.json")
	token, err := auth.AddToken(tokens, "user", "acme", false)
	if err != nil {
		t.Fatal(err)
	}
	core, logs := observer.New(zapcore.WarnLevel)
	process, err := boot.NewProcess(boot.ServerConfig{GRPC: "127.0.0.1:0", AuthTokens: tokens, ShutdownTimeout: shutdown}, zap.New(core))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- process.Run(ctx, s) }()
	if conn, err = boot.Dial(process.Addr(), token); err != nil {
		t.Fatal(err)
	}
	stopped := false
	stop = func() error {
		stopped = true
		cancel()
		return <-done
	}
	t.Cleanup(func() {
		_ = conn.Close()
		if !stopped {
			_ = stop()
		}
	})
	return conn, logs, stop
}

// What a caller is told of an error is what was made for callers; the cause is in the log.
func TestErrorsCrossOnce(t *testing.T) {
	const secret = "10.1.2.3:9091 refused SELECT"
	stale := apierror.New(codes.FailedPrecondition, errorsv1.ErrorReason_FENCE_STALE, "Taken over.")
	for name, test := range map[string]struct {
		call   func() error
		code   codes.Code
		reason errorsv1.ErrorReason
		logged bool
	}{
		"unknown":                   {func() error { return errors.New(secret) }, codes.Internal, errorsv1.ErrorReason_INTERNAL_ERROR, true},
		"panic":                     {func() error { panic(secret) }, codes.Internal, errorsv1.ErrorReason_INTERNAL_ERROR, true},
		"named":                     {func() error { return stale }, codes.FailedPrecondition, errorsv1.ErrorReason_FENCE_STALE, false},
		"named and wrapped":         {func() error { return fmt.Errorf("%s: %w", secret, stale) }, codes.FailedPrecondition, errorsv1.ErrorReason_FENCE_STALE, false},
		"another service is away":   {func() error { return status.Error(codes.Unavailable, secret) }, codes.Unavailable, errorsv1.ErrorReason_DEPENDENCY_UNAVAILABLE, true},
		"another service is broken": {func() error { return status.Error(codes.Internal, secret) }, codes.Internal, errorsv1.ErrorReason_INTERNAL_ERROR, true},
		"too slow":                  {func() error { return fmt.Errorf("%s: %w", secret, context.DeadlineExceeded) }, codes.DeadlineExceeded, errorsv1.ErrorReason_DEPENDENCY_UNAVAILABLE, false},
	} {
		t.Run(name, func(t *testing.T) {
			conn, logs, _ := serve(t, &service{call: test.call}, time.Second)
			_, err := converterv1.NewConverterServiceClient(conn).ListShards(t.Context(), &converterv1.ListShardsRequest{Parent: "p"})
			if status.Code(err) != test.code || apierror.Reason(err) != test.reason {
				t.Errorf("told %v", err)
			}
			if strings.Contains(err.Error(), secret) {
				t.Errorf("the cause was told: %v", err)
			}
			if found := strings.Contains(fmt.Sprint(logs.All()), secret); found != test.logged {
				t.Errorf("the cause is in the log: %v, want %v: %v", found, test.logged, logs.All())
			}
		})
	}
}

// What breaks a rule is named with its limit and the mend.
func TestInvalidRequestsNameTheField(t *testing.T) {
	conn, _, _ := serve(t, &service{call: func() error { return nil }}, time.Second)
	training := func(job *trainingv1.TrainingJob) (string, proto.Message) {
		return trainingv1.TrainingService_CreateTrainingJob_FullMethodName, &trainingv1.CreateTrainingJobRequest{TrainingJob: job}
	}
	job := func(change func(*trainingv1.TrainingJob)) func() (string, proto.Message) {
		return func() (string, proto.Message) {
			job := &trainingv1.TrainingJob{Recipe: "recipes/r", DatasetVersion: "datasets/d/versions/1"}
			change(job)
			return training(job)
		}
	}
	tags := make(map[string]string)
	for i := range 41 {
		tags[fmt.Sprint(i)] = ""
	}
	for name, test := range map[string]struct {
		request        func() (string, proto.Message)
		field, message string
	}{
		"range": {func() (string, proto.Message) {
			return converterv1.ConverterService_ListShards_FullMethodName, &converterv1.ListShardsRequest{Parent: "p", PageSize: -1}
		}, "page_size", "must be greater than or equal to 0; -1 is not."},
		"missing": {func() (string, proto.Message) {
			return converterv1.ConverterService_ListShards_FullMethodName, &converterv1.ListShardsRequest{}
		}, "parent", "must be at least 1 characters; give it."},
		"missing message": {func() (string, proto.Message) { return training(nil) }, "training_job", "value is required; give it."},
		"length": {
			func() (string, proto.Message) {
				return ingestv1.IngestService_CreateDataset_FullMethodName,
					&ingestv1.CreateDatasetRequest{DatasetId: "d", Dataset: &ingestv1.Dataset{DisplayName: strings.Repeat("ä", 201)}}
			},
			"dataset.display_name", "must be at most 200 characters; it has 201, so shorten it.",
		},
		"items": {
			job(func(j *trainingv1.TrainingJob) { j.BaseDatasets = make([]string, 19) }),
			"training_job.base_datasets", "must contain no more than 18 item(s); it has 19, so leave some out.",
		},
		"twice": {
			job(func(j *trainingv1.TrainingJob) { j.BaseDatasets = []string{"a", "a"} }),
			"training_job.base_datasets", "repeated value must contain unique items; name each only once.",
		},
		"entries": {
			job(func(j *trainingv1.TrainingJob) { j.Tags = tags }),
			"training_job.tags", "map must be at most 40 entries; it has 41, so leave some out.",
		},
		"enum in a map": {
			job(func(j *trainingv1.TrainingJob) { j.InputModes = map[string]trainingv1.InputMode{"train": 0} }),
			`training_job.input_modes["train"]`, "must not be in list [0]; use one of FILE, FAST_FILE, PIPE.",
		},
		"enum": {
			job(func(j *trainingv1.TrainingJob) { j.Resources = &trainingv1.Resources{Distribution: 99} }),
			"training_job.resources.distribution", "value must be one of the defined enum values; use one of ",
		},
		"text": {
			func() (string, proto.Message) {
				return ingestv1.IngestService_CreateDataset_FullMethodName, &ingestv1.CreateDatasetRequest{DatasetId: "D"}
			},
			"dataset_id", `must be 1 to 63 of a-z, 0-9 and -, begin with a letter and not end in -; "D" is not.`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			method, request := test.request()
			err := conn.Invoke(t.Context(), method, request, &emptypb.Empty{})
			if status.Code(err) != codes.InvalidArgument || apierror.Fact(err, "field") != test.field ||
				!strings.HasPrefix(status.Convert(err).Message(), test.field+": "+test.message) {
				t.Errorf("got %v of field %q", err, apierror.Fact(err, "field"))
			}
		})
	}
}

// An open stream and a unit that doesn't come back hold a shutdown up, but not for ever.
func TestShutdownIsBounded(t *testing.T) {
	s := &service{}
	conn, _, stop := serve(t, s, 200*time.Millisecond)
	stream, err := notificationv1.NewNotificationServiceClient(conn).WatchEvents(t.Context(), &notificationv1.WatchEventsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	if err := stop(); err != nil || time.Since(begin) > 3*time.Second || !s.closed {
		t.Errorf("took %v, closed %v, %v", time.Since(begin), s.closed, err)
	}
}

func TestUnitThatDoesNotEndIsLeftBehind(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	s := &service{run: func(context.Context) { <-release }}
	_, _, stop := serve(t, s, 100*time.Millisecond)
	if err := stop(); err == nil || !strings.Contains(err.Error(), "did not end: service") || s.closed {
		t.Errorf("closed %v, %v", s.closed, err)
	}
}

func TestRefusesToServeWithoutTokens(t *testing.T) {
	for _, addr := range []string{"0.0.0.0:0", "127.0.0.1:0", "[::]:0"} {
		if p, err := boot.NewProcess(boot.ServerConfig{GRPC: addr}, zap.NewNop()); err == nil {
			_ = p.Close()
			t.Errorf("%s: serves to anybody", addr)
		}
	}
}
