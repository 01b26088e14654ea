package ingest_test

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	errorsv1 "github.com/trainyard/trainyard/gen/trainyard/errors/v1"
	ingestv1 "github.com/trainyard/trainyard/gen/trainyard/ingest/v1"
	"github.com/trainyard/trainyard/services/ingest"
	"github.com/trainyard/trainyard/services/internal/apierror"
	"github.com/trainyard/trainyard/services/internal/testkit"
	"google.golang.org/grpc/codes"
)

func (s *suite) report(name string, fence int64, done int32) error {
	_, err := s.conversion.ReportProgress(s.t.Context(), &ingestv1.ReportProgressRequest{
		Project: project, Name: name, Fence: fence, Progress: &ingestv1.ConversionProgress{DoneExamples: done},
	})
	return err
}

func (s *suite) finish(name string, fence int64) error {
	_, err := s.conversion.FinishConversion(s.t.Context(), &ingestv1.FinishConversionRequest{
		Project: project, Name: name, Fence: fence, Result: &ingestv1.ConversionResult{ExampleCount: 1},
	})
	return err
}

func (s *suite) fail(name string, fence int64) error {
	_, err := s.conversion.FailConversion(s.t.Context(), &ingestv1.FailConversionRequest{
		Project: project, Name: name, Fence: fence,
		Failure: &errorsv1.Failure{Reason: errorsv1.ErrorReason_ARCHIVE_EMPTY, Message: "The archive holds no files."},
	})
	return err
}

func TestOneOfManyClaimsWins(t *testing.T) {
	testkit.EachDatabase(t, func(t *testing.T, dsn string) {
		s := start(t, dsn)
		replicas := []*suite{s, s.replica()}
		v := s.uploaded(s.dataset("digits"))
		var won atomic.Int32
		var group sync.WaitGroup
		for i := range 10 {
			group.Go(func() {
				_, err := replicas[i%2].claim(t.Context(), v.GetName())
				switch {
				case err == nil:
					won.Add(1)
				case !apierror.Is(err, errorsv1.ErrorReason_LEASE_HELD):
					t.Errorf("a claim that lost got %v", err)
				}
			})
		}
		group.Wait()
		if won.Load() != 1 {
			t.Errorf("%d claims won", won.Load())
		}
	})
}

func TestStaleFenceIsRefused(t *testing.T) {
	testkit.EachDatabase(t, func(t *testing.T, dsn string) {
		s := start(t, dsn, func(c *ingest.Config) { c.LeaseDuration = 200 * time.Millisecond })
		v := s.uploaded(s.dataset("digits"))
		first := s.mustClaim(v.GetName()).GetFence()
		var second int64
		testkit.Eventually(t, 10*time.Second, "claimed anew once the lease ran out", func() bool {
			res, err := s.claim(t.Context(), v.GetName())
			second = res.GetFence()
			return err == nil
		})
		if second != first+1 {
			t.Errorf("fences %d and %d", first, second)
		}
		refused(t, s.report(v.GetName(), first, 1), codes.FailedPrecondition, errorsv1.ErrorReason_FENCE_STALE)
		refused(t, s.finish(v.GetName(), first), codes.FailedPrecondition, errorsv1.ErrorReason_FENCE_STALE)
		refused(t, s.fail(v.GetName(), first), codes.FailedPrecondition, errorsv1.ErrorReason_FENCE_STALE)
		if got := s.get(v.GetName()).GetState(); got != ingestv1.Version_CONVERTING {
			t.Fatalf("the stale worker moved it to %v", got)
		}
		if err := s.finish(v.GetName(), second); err != nil {
			t.Fatal(err)
		}
		// READY is immutable, whoever asks.
		refused(t, s.fail(v.GetName(), second), codes.FailedPrecondition, errorsv1.ErrorReason_WRONG_STATE)
		refused(t, s.report(v.GetName(), second, 1), codes.FailedPrecondition, errorsv1.ErrorReason_WRONG_STATE)
		_, err := s.claim(t.Context(), v.GetName())
		refused(t, err, codes.FailedPrecondition, errorsv1.ErrorReason_WRONG_STATE)
	})
}

func TestProgressKeepsTheLease(t *testing.T) {
	s := start(t, testkit.SQLite(t), func(c *ingest.Config) { c.LeaseDuration = time.Second })
	v := s.uploaded(s.dataset("digits"))
	fence := s.mustClaim(v.GetName()).GetFence()
	begin := time.Now()
	testkit.Eventually(t, 10*time.Second, "two leases long", func() bool {
		if err := s.report(v.GetName(), fence, 1); err != nil {
			t.Fatal(err)
		}
		_, err := s.claim(t.Context(), v.GetName())
		refused(t, err, codes.Aborted, errorsv1.ErrorReason_LEASE_HELD)
		return time.Since(begin) > 2*time.Second
	})
}

func TestFailedConversionSaysWhy(t *testing.T) {
	testkit.EachDatabase(t, func(t *testing.T, dsn string) {
		s := start(t, dsn)
		v := s.uploaded(s.dataset("digits"))
		fence := s.mustClaim(v.GetName()).GetFence()
		for range 2 { // Safe to repeat.
			if err := s.fail(v.GetName(), fence); err != nil {
				t.Fatal(err)
			}
		}
		got := s.get(v.GetName())
		if got.GetState() != ingestv1.Version_FAILED || got.GetError().GetReason() != errorsv1.ErrorReason_ARCHIVE_EMPTY || got.GetError().GetMessage() == "" {
			t.Errorf("got %v", got)
		}
		refused(t, s.finish(v.GetName(), fence), codes.FailedPrecondition, errorsv1.ErrorReason_WRONG_STATE)
		if _, err := s.ingest.GetVersion(t.Context(), &ingestv1.GetVersionRequest{Name: "datasets/digits/versions/latest-ready"}); err == nil {
			t.Error("a FAILED version is latest-ready")
		}
	})
}

func TestFailedConversionTellsWhereItsReportIs(t *testing.T) {
	testkit.EachDatabase(t, func(t *testing.T, dsn string) {
		s := start(t, dsn)
		v := s.uploaded(s.dataset("digits"))
		_, err := s.conversion.FailConversion(t.Context(), &ingestv1.FailConversionRequest{
			Project: project, Name: v.GetName(), Fence: s.mustClaim(v.GetName()).GetFence(), RejectedCount: 12, Uri: "s3://b/p/",
			Failure: &errorsv1.Failure{Reason: errorsv1.ErrorReason_TOO_MANY_BAD_FILES, Message: "too many"},
		})
		if err != nil {
			t.Fatal(err)
		}
		got := s.get(v.GetName())
		if got.GetState() != ingestv1.Version_FAILED || got.GetRejectedCount() != 12 || got.GetUri() != "s3://b/p/" || got.GetExampleCount() != 0 {
			t.Errorf("got %v", got)
		}
	})
}

func TestClaimOfWhatDoesNotFit(t *testing.T) {
	s := start(t, testkit.SQLite(t))
	v := s.uploaded(s.dataset("digits"))
	r := s.row(v.GetName())
	begun := s.version("datasets/digits", 1000)
	good := func() *ingestv1.ClaimConversionRequest {
		return &ingestv1.ClaimConversionRequest{Bucket: s.cfg.Bucket, Key: r.ObjectKey, Etag: r.ETag, SizeBytes: 1000}
	}
	for name, test := range map[string]struct {
		edit   func(*ingestv1.ClaimConversionRequest)
		code   codes.Code
		reason errorsv1.ErrorReason
	}{
		"other bucket": {func(r *ingestv1.ClaimConversionRequest) { r.Bucket = "other" }, codes.NotFound, errorsv1.ErrorReason_RESOURCE_NOT_FOUND},
		"other key":    {func(r *ingestv1.ClaimConversionRequest) { r.Key = "uploads/x" }, codes.NotFound, errorsv1.ErrorReason_RESOURCE_NOT_FOUND},
		"other size":   {func(r *ingestv1.ClaimConversionRequest) { r.SizeBytes = 1 }, codes.FailedPrecondition, errorsv1.ErrorReason_SOURCE_MISMATCH},
		"other etag":   {func(r *ingestv1.ClaimConversionRequest) { r.Etag = "x" }, codes.FailedPrecondition, errorsv1.ErrorReason_SOURCE_MISMATCH},
		"not there yet": {
			func(r *ingestv1.ClaimConversionRequest) { r.Key = s.row(begun.GetName()).ObjectKey },
			codes.FailedPrecondition, errorsv1.ErrorReason_SOURCE_MISMATCH,
		},
	} {
		t.Run(name, func(t *testing.T) {
			req := good()
			test.edit(req)
			_, err := s.conversion.ClaimConversion(t.Context(), req)
			refused(t, err, test.code, test.reason)
		})
	}
	_, err := ingestv1.NewConversionServiceClient(s.server.User(project)).ClaimConversion(t.Context(), good())
	refused(t, err, codes.PermissionDenied, errorsv1.ErrorReason_PERMISSION_MISSING)
	if _, err := s.conversion.ClaimConversion(t.Context(), good()); err != nil {
		t.Errorf("the fitting claim: %v", err)
	}
}
