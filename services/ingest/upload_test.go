package ingest_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	errorsv1 "github.com/trainyard/trainyard/gen/trainyard/errors/v1"
	ingestv1 "github.com/trainyard/trainyard/gen/trainyard/ingest/v1"
	"github.com/trainyard/trainyard/services/ingest"
	"github.com/trainyard/trainyard/services/internal/testkit"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
)

func completed(parts []types.Part) *types.CompletedMultipartUpload {
	out := &types.CompletedMultipartUpload{}
	for _, p := range parts {
		out.Parts = append(out.Parts, types.CompletedPart{PartNumber: p.PartNumber, ETag: p.ETag, ChecksumCRC32C: p.ChecksumCRC32C})
	}
	return out
}

func TestVersionFromFirstByteToReady(t *testing.T) {
	testkit.EachDatabase(t, func(t *testing.T, dsn string) {
		s := start(t, dsn)
		data := file(11<<20 + 7) // Two whole parts and a rest.
		parent := s.dataset("digits")

		v := s.version(parent, int64(len(data)))
		if v.GetName() != "datasets/digits/versions/1" || v.GetState() != ingestv1.Version_UPLOADING ||
			v.GetUpload().GetPartSizeBytes() != 5<<20 || v.GetUpload().GetPartCount() != 3 || !v.GetUpload().GetExpireTime().AsTime().After(time.Now()) {
			t.Fatalf("begun: %v", v)
		}
		s.putAll(v, data)
		v = s.complete(v.GetName())
		if v.GetState() != ingestv1.Version_UPLOADED || v.GetUpload() != nil {
			t.Fatalf("completed: %v", v)
		}
		if again := s.complete(v.GetName()); !proto.Equal(again, v) {
			t.Fatalf("completed again: %v, want %v", again, v)
		}
		key := s.row(v.GetName()).ObjectKey
		if key != "uploads/acme/digits/1/source.zip" {
			t.Errorf("key %s", key)
		}
		head, err := s.s3.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: &s.cfg.Bucket, Key: &key, ChecksumMode: types.ChecksumModeEnabled})
		if err != nil {
			t.Fatal(err)
		}
		if *head.ContentLength != int64(len(data)) || head.ChecksumCRC32C == nil || *head.ChecksumCRC32C != crc32c(data) {
			t.Errorf("the object has %d bytes and checksum %v, want %d and %s", *head.ContentLength, head.ChecksumCRC32C, len(data), crc32c(data))
		}

		claim := s.mustClaim(v.GetName())
		if claim.GetProject() != project || claim.GetFence() != 1 || claim.GetOutputPrefix() != "datasets/acme/digits/1/" ||
			claim.GetVersion().GetState() != ingestv1.Version_CONVERTING {
			t.Fatalf("claimed: %v", claim)
		}
		progress := &ingestv1.ConversionProgress{Phase: "converting", DoneExamples: 3, TotalExamples: 9}
		if _, err := s.conversion.ReportProgress(t.Context(), &ingestv1.ReportProgressRequest{Project: project, Name: v.GetName(), Fence: 1, Progress: progress}); err != nil {
			t.Fatal(err)
		}
		if got := s.get(v.GetName()).GetProgress(); !proto.Equal(got, progress) {
			t.Errorf("progress %v", got)
		}
		result := &ingestv1.ConversionResult{
			ExampleCount: 9, ShardCount: 3, Classes: []*ingestv1.ClassCount{{Name: "0", ExampleCount: 4}, {Name: "1", ExampleCount: 5}},
			Splits: []*ingestv1.Split{{Name: "train", ExampleCount: 9, ShardCount: 3, SizeBytes: 1}}, ConvertedBytes: 1, RejectedCount: 2,
			Format: "image-folder", TfdsName: "digits", Uri: "s3://b/p/", ManifestSha256: "ab",
		}
		for range 2 { // Safe to repeat.
			if _, err := s.conversion.FinishConversion(t.Context(), &ingestv1.FinishConversionRequest{Project: project, Name: v.GetName(), Fence: 1, Result: result}); err != nil {
				t.Fatal(err)
			}
		}
		ready := s.get("datasets/digits/versions/latest-ready")
		if ready.GetName() != v.GetName() || ready.GetState() != ingestv1.Version_READY || ready.GetExampleCount() != 9 || len(ready.GetClasses()) != 2 ||
			len(ready.GetSplits()) != 1 || ready.GetShardCount() != 3 || ready.GetConvertedBytes() != 1 || ready.GetRejectedCount() != 2 ||
			ready.GetFormat() != "image-folder" || ready.GetTfdsName() != "digits" || ready.GetUri() != "s3://b/p/" || ready.GetManifestSha256() != "ab" {
			t.Errorf("ready: %v", ready)
		}

		var told []string
		for _, e := range s.events() {
			var payload struct{ Name, State string }
			if err := json.Unmarshal([]byte(e.Payload), &payload); err != nil {
				t.Fatal(err)
			}
			if e.Project != project || payload.Name != e.Resource {
				t.Errorf("event %+v", e)
			}
			told = append(told, strings.TrimSpace(e.Type+" "+payload.State))
		}
		want := []string{
			"dataset.created", "version.state UPLOADING", "version.state UPLOADED", "version.state CONVERTING",
			"version.progress CONVERTING", "version.state READY",
		}
		if !slices.Equal(told, want) {
			t.Errorf("events %q, want %q", told, want)
		}
	})
}

// Each lie about a part is told by another client of the same signed URL.
func TestSignedPartTakesItsBytesAlone(t *testing.T) {
	s := start(t, testkit.SQLite(t))
	data := file(1000)
	v := s.version(s.dataset("digits"), int64(len(data)))
	other := file(1001)[1:] // As long, but other bytes.
	for name, test := range map[string]struct {
		body    []byte
		headers map[string]string
		want    []int
	}{
		"other bytes":                    {other, nil, []int{http.StatusBadRequest}},
		"fewer bytes":                    {data[:999], nil, []int{http.StatusForbidden, http.StatusBadRequest}},
		"other bytes, no checksum":       {other, map[string]string{}, []int{http.StatusForbidden, http.StatusBadRequest}},
		"other bytes, their checksum":    {other, map[string]string{"x-amz-checksum-crc32c": crc32c(other)}, []int{http.StatusForbidden}},
		"right bytes, checksum left out": {data, map[string]string{}, []int{http.StatusForbidden, http.StatusBadRequest}},
	} {
		t.Run(name, func(t *testing.T) {
			signed := s.sign(v.GetName(), 1, crc32c(data))
			if test.headers != nil {
				signed.Headers = test.headers
			}
			if code, answer := s.put(signed, test.body); !slices.Contains(test.want, code) {
				t.Errorf("got %d %s, want %v", code, answer, test.want)
			}
		})
	}
	if parts, err := s.ingest.ListParts(t.Context(), &ingestv1.ListPartsRequest{Name: v.GetName()}); err != nil || len(parts.GetParts()) != 0 {
		t.Fatalf("S3 took %v, %v", parts, err)
	}

	signed := s.sign(v.GetName(), 1, crc32c(data))
	address, err := url.Parse(signed.GetUrl())
	if err != nil {
		t.Fatal(err)
	}
	// A body of another length that has the same checksum can be made, so the length is bound as well.
	if got := address.Query().Get("X-Amz-SignedHeaders"); got != "content-length;host;x-amz-checksum-crc32c" {
		t.Errorf("signed headers %s", got)
	}
	if code, answer := s.put(signed, data); code != http.StatusOK {
		t.Fatalf("the right bytes: %d %s", code, answer)
	}
	s.complete(v.GetName())
	if code, _ := s.put(signed, data); code != http.StatusNotFound {
		t.Errorf("a part put after completion: %d, want 404", code)
	}
}

func TestUploadIsResumedByWhatS3Has(t *testing.T) {
	s := start(t, testkit.SQLite(t))
	data := file(16 << 20)
	v := s.version(s.dataset("digits"), int64(len(data)))
	for _, number := range []int32{1, 3, 4} {
		s.putPart(v, data, number)
	}

	// Another client goes on from what is there, a page at a time.
	r := s.replica()
	var have []int32
	req := &ingestv1.ListPartsRequest{Name: v.GetName(), PageSize: 2}
	for {
		page, err := r.ingest.ListParts(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range page.GetParts() {
			body := part(v, data, p.GetPartNumber())
			if p.GetSizeBytes() != int64(len(body)) || p.GetCrc32C() != crc32c(body) {
				t.Errorf("part %v, want %d bytes with checksum %s", p, len(body), crc32c(body))
			}
			have = append(have, p.GetPartNumber())
		}
		if req.PageToken = page.GetNextPageToken(); req.PageToken == "" {
			break
		}
	}
	if !slices.Equal(have, []int32{1, 3, 4}) {
		t.Fatalf("S3 has %v", have)
	}
	_, err := r.ingest.CompleteUpload(t.Context(), &ingestv1.CompleteUploadRequest{Name: v.GetName()})
	refused(t, err, codes.FailedPrecondition, errorsv1.ErrorReason_UPLOAD_INCOMPLETE)
	if !strings.Contains(err.Error(), "Missing parts: 2.") {
		t.Errorf("the error does not name the part: %v", err)
	}
	r.putPart(v, data, 2)
	if got := r.complete(v.GetName()); got.GetState() != ingestv1.Version_UPLOADED {
		t.Errorf("state %v", got.GetState())
	}
}

func TestCompletionsAtOnceAgree(t *testing.T) {
	s := start(t, testkit.SQLite(t))
	data := file(10 << 20)
	v := s.version(s.dataset("digits"), int64(len(data)))
	s.putAll(v, data)
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			res, err := s.ingest.CompleteUpload(t.Context(), &ingestv1.CompleteUploadRequest{Name: v.GetName()})
			if err != nil || res.GetVersion().GetState() != ingestv1.Version_UPLOADED {
				t.Errorf("got %v, %v", res, err)
			}
		})
	}
	group.Wait()
}

func TestAbortFreesThePartsAndIsFinal(t *testing.T) {
	testkit.EachDatabase(t, func(t *testing.T, dsn string) {
		s := start(t, dsn)
		data := file(6 << 20)
		v := s.version(s.dataset("digits"), int64(len(data)))
		s.putPart(v, data, 1)
		for range 2 {
			res, err := s.ingest.AbortUpload(t.Context(), &ingestv1.AbortUploadRequest{Name: v.GetName()})
			if err != nil || res.GetVersion().GetState() != ingestv1.Version_ABORTED {
				t.Fatalf("got %v, %v", res, err)
			}
		}
		left, err := s.s3.ListMultipartUploads(t.Context(), &s3.ListMultipartUploadsInput{Bucket: &s.cfg.Bucket})
		if err != nil || len(left.Uploads) != 0 {
			t.Errorf("S3 keeps %v, %v", left.Uploads, err)
		}
		_, err = s.ingest.SignParts(t.Context(), &ingestv1.SignPartsRequest{Name: v.GetName(), Parts: []*ingestv1.PartToSign{{PartNumber: 1, Crc32C: "AAAAAA=="}}})
		refused(t, err, codes.FailedPrecondition, errorsv1.ErrorReason_WRONG_STATE)
		_, err = s.ingest.CompleteUpload(t.Context(), &ingestv1.CompleteUploadRequest{Name: v.GetName()})
		refused(t, err, codes.FailedPrecondition, errorsv1.ErrorReason_WRONG_STATE)

		whole := s.uploaded("datasets/digits")
		_, err = s.ingest.AbortUpload(t.Context(), &ingestv1.AbortUploadRequest{Name: whole.GetName()})
		refused(t, err, codes.FailedPrecondition, errorsv1.ErrorReason_WRONG_STATE)
	})
}

func TestQuietUploadExpires(t *testing.T) {
	testkit.EachDatabase(t, func(t *testing.T, dsn string) {
		s := start(t, dsn, func(c *ingest.Config) {
			c.UploadTTL, c.ReconcileEvery = 3*time.Second, 50*time.Millisecond // Longer than putting a part takes on a busy machine.
		})
		data := file(6 << 20)
		v := s.version(s.dataset("digits"), int64(len(data)))
		s.putPart(v, data, 1)
		testkit.Eventually(t, 10*time.Second, "expired", func() bool { return s.get(v.GetName()).GetState() == ingestv1.Version_EXPIRED })
		testkit.Eventually(t, 10*time.Second, "parts freed", func() bool {
			left, err := s.s3.ListMultipartUploads(t.Context(), &s3.ListMultipartUploadsInput{Bucket: &s.cfg.Bucket})
			return err == nil && len(left.Uploads) == 0
		})
	})
}
