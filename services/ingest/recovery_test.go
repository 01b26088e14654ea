package ingest_test

import (
	"bytes"
	"encoding/json"
	"net/url"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	errorsv1 "github.com/trainyard/trainyard/gen/trainyard/errors/v1"
	ingestv1 "github.com/trainyard/trainyard/gen/trainyard/ingest/v1"
	"github.com/trainyard/trainyard/services/ingest"
	"github.com/trainyard/trainyard/services/internal/testkit"
	"google.golang.org/grpc/codes"
)

func brisk(c *ingest.Config) {
	c.ReconcileEvery, c.ResendAfter = 30*time.Millisecond, 60*time.Millisecond
	c.LeaseDuration, c.MaxAttempts = 60*time.Millisecond, 3
}

// S3 completed the upload and ingest died before it could note so: each of those who come by next finishes it.
func TestCompletionThatDiedHalfWayHeals(t *testing.T) {
	for name, test := range map[string]struct {
		brisk  bool
		heal   func(t *testing.T, s *suite, name string)
		state  ingestv1.Version_State
		events int // Of states, from UPLOADING on.
	}{
		"by the reconciler": {
			brisk: true, state: ingestv1.Version_UPLOADED, events: 2,
			heal: func(t *testing.T, s *suite, name string) {
				testkit.Eventually(t, 10*time.Second, "uploaded", func() bool { return s.get(name).GetState() == ingestv1.Version_UPLOADED })
			},
		},
		"by a repeated completion": {
			state: ingestv1.Version_UPLOADED, events: 2,
			heal: func(_ *testing.T, s *suite, name string) { s.complete(name) },
		},
		"by the converter's claim": {
			state: ingestv1.Version_CONVERTING, events: 3,
			heal: func(_ *testing.T, s *suite, name string) { s.mustClaim(name) },
		},
		"by a client that resumes": {
			state: ingestv1.Version_UPLOADED, events: 2,
			heal: func(t *testing.T, s *suite, name string) {
				_, err := s.ingest.ListParts(t.Context(), &ingestv1.ListPartsRequest{Name: name})
				refused(t, err, codes.FailedPrecondition, errorsv1.ErrorReason_WRONG_STATE)
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			testkit.EachDatabase(t, func(t *testing.T, dsn string) {
				s := start(t, dsn, func(c *ingest.Config) {
					if test.brisk {
						brisk(c)
					}
				})
				data := file(1000)
				v := s.version(s.dataset("digits"), int64(len(data)))
				s.putAll(v, data)
				s.completeBehind(v.GetName())
				test.heal(t, s, v.GetName())
				if got := s.get(v.GetName()).GetState(); got != test.state {
					t.Errorf("state %v, want %v", got, test.state)
				}
				if got := len(s.events()) - 1; got != test.events { // One is of the dataset.
					t.Errorf("%d state events, want %d", got, test.events)
				}
			})
		})
	}
}

// S3 was away, or ingest died, between the row and the multipart upload.
func TestUploadThatWasNotBegunIsBegunLater(t *testing.T) {
	s := start(t, testkit.SQLite(t))
	parent := s.dataset("digits")
	away := s.replicaOn(s3.NewFromConfig(cloud, func(o *s3.Options) {
		o.BaseEndpoint, o.RetryMaxAttempts = aws.String("http://127.0.0.1:1"), 1
	}))
	req := &ingestv1.CreateVersionRequest{Parent: parent, Version: &ingestv1.Version{FileName: "x.zip", SizeBytes: 1000}, RequestId: "once"}
	_, err := away.ingest.CreateVersion(t.Context(), req)
	refused(t, err, codes.Unavailable, errorsv1.ErrorReason_DEPENDENCY_UNAVAILABLE)

	name := parent + "/versions/1"
	if res, err := s.ingest.ListParts(t.Context(), &ingestv1.ListPartsRequest{Name: name}); err != nil || len(res.GetParts()) != 0 {
		t.Fatalf("got %v, %v", res, err)
	}
	_, err = s.ingest.CompleteUpload(t.Context(), &ingestv1.CompleteUploadRequest{Name: name})
	refused(t, err, codes.FailedPrecondition, errorsv1.ErrorReason_UPLOAD_INCOMPLETE)
	for _, begin := range map[string]func() string{
		"by the repeated request": func() string {
			res, err := s.ingest.CreateVersion(t.Context(), req)
			if err != nil {
				t.Fatal(err)
			}
			return res.GetVersion().GetName()
		},
		"by signing": func() string {
			s.sign(name, 1, "AAAAAA==")
			return name
		},
	} {
		if got := begin(); got != name || s.row(name).UploadID == "" {
			t.Fatalf("begun %s with upload %q", got, s.row(name).UploadID)
		}
		if _, err := s.db.ExecContext(t.Context(), "UPDATE versions SET upload_id = '', revision = revision + 1"); err != nil {
			t.Fatal(err)
		}
	}
	s.putAll(s.get(name), file(1000))
	if got := s.complete(name).GetState(); got != ingestv1.Version_UPLOADED {
		t.Errorf("state %v", got)
	}
}

// A lifecycle rule of the bucket, or an operator, aborted the multipart upload.
func TestUploadThatS3LostStartsOver(t *testing.T) {
	s := start(t, testkit.SQLite(t))
	data := file(6 << 20)
	v := s.version(s.dataset("digits"), int64(len(data)))
	s.putAll(v, data)
	r := s.row(v.GetName())
	if _, err := s.s3.AbortMultipartUpload(t.Context(), &s3.AbortMultipartUploadInput{Bucket: &s.cfg.Bucket, Key: &r.ObjectKey, UploadId: &r.UploadID}); err != nil {
		t.Fatal(err)
	}
	_, err := s.ingest.CompleteUpload(t.Context(), &ingestv1.CompleteUploadRequest{Name: v.GetName()})
	refused(t, err, codes.FailedPrecondition, errorsv1.ErrorReason_UPLOAD_INCOMPLETE)
	s.putAll(v, data)
	if got := s.complete(v.GetName()).GetState(); got != ingestv1.Version_UPLOADED {
		t.Errorf("state %v", got)
	}
}

// receive waits for the next message of the uploads queue and gives the key it tells of.
func (s *suite) receive() string {
	s.t.Helper()
	out, err := s.sqs.ReceiveMessage(s.t.Context(), &sqs.ReceiveMessageInput{QueueUrl: &s.cfg.UploadsQueue, WaitTimeSeconds: 10, MaxNumberOfMessages: 1})
	if err != nil {
		s.t.Fatal(err)
	}
	if len(out.Messages) == 0 {
		s.t.Fatal("no event was sent again")
	}
	if _, err := s.sqs.DeleteMessage(s.t.Context(), &sqs.DeleteMessageInput{QueueUrl: &s.cfg.UploadsQueue, ReceiptHandle: out.Messages[0].ReceiptHandle}); err != nil {
		s.t.Fatal(err)
	}
	var body struct {
		Records []struct {
			EventSource string
			EventName   string
			S3          struct {
				Bucket struct{ Name string }
				Object struct {
					Key  string
					Size int64
					ETag string
				}
			}
		}
	}
	if err := json.Unmarshal([]byte(*out.Messages[0].Body), &body); err != nil {
		s.t.Fatal(err)
	}
	if len(body.Records) != 1 || body.Records[0].EventSource != "aws:s3" || body.Records[0].EventName != "ObjectCreated:CompleteMultipartUpload" ||
		body.Records[0].S3.Bucket.Name != s.cfg.Bucket || body.Records[0].S3.Object.Size != 1000 || body.Records[0].S3.Object.ETag == "" {
		s.t.Fatalf("message %s", *out.Messages[0].Body)
	}
	key, err := url.QueryUnescape(body.Records[0].S3.Object.Key)
	if err != nil {
		s.t.Fatal(err)
	}
	return key
}

// The bucket of these tests sends no events at all, so that every one is lost.
func TestLostEventIsSentAgain(t *testing.T) {
	testkit.EachDatabase(t, func(t *testing.T, dsn string) {
		s := start(t, dsn, brisk)
		v := s.uploaded(s.dataset("digits"))
		for range 2 { // And again, should that one be lost too.
			if key := s.receive(); key != s.row(v.GetName()).ObjectKey {
				t.Errorf("key %s", key)
			}
		}
	})
}

func TestReplicasSendAnEventOnce(t *testing.T) {
	testkit.EachDatabase(t, func(t *testing.T, dsn string) {
		s := start(t, dsn, func(c *ingest.Config) { c.ReconcileEvery, c.ResendAfter = 10*time.Millisecond, time.Second })
		s.replica()
		s.uploaded(s.dataset("digits"))
		s.receive()
		for begin := time.Now(); time.Since(begin) < 400*time.Millisecond; { // The next is due after a second.
			out, err := s.sqs.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: &s.cfg.UploadsQueue})
			if err != nil || len(out.Messages) > 0 {
				t.Fatalf("sent twice: %v, %v", out.Messages, err)
			}
		}
	})
}

func TestAbortOfWhatS3HasCompletedLeavesNothing(t *testing.T) {
	s := start(t, testkit.SQLite(t))
	v := s.version(s.dataset("digits"), 1000)
	s.putAll(v, file(1000))
	s.completeBehind(v.GetName())
	if _, err := s.ingest.AbortUpload(t.Context(), &ingestv1.AbortUploadRequest{Name: v.GetName()}); err != nil {
		t.Fatal(err)
	}
	left, err := s.s3.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: &s.cfg.Bucket})
	if err != nil || len(left.Contents) != 0 {
		t.Errorf("S3 keeps %v, %v", left.Contents, err)
	}
}

func TestWorkerThatDiesIsReplacedAndAtLastGivenUp(t *testing.T) {
	testkit.EachDatabase(t, func(t *testing.T, dsn string) {
		s := start(t, dsn, brisk, func(c *ingest.Config) { c.ResendAfter = time.Minute })
		v := s.uploaded(s.dataset("digits"))
		for range 3 {
			s.mustClaim(v.GetName())
			s.receiveOrEnd(v.GetName())
		}
		got := s.get(v.GetName())
		if got.GetState() != ingestv1.Version_FAILED || got.GetError().GetReason() != errorsv1.ErrorReason_CONVERTER_CRASHED {
			t.Errorf("got %v", got)
		}
	})
}

// receiveOrEnd waits until the version's event is sent again, or the version has FAILED.
func (s *suite) receiveOrEnd(name string) {
	s.t.Helper()
	testkit.Eventually(s.t, 10*time.Second, "event sent again, or FAILED", func() bool {
		out, err := s.sqs.ReceiveMessage(s.t.Context(), &sqs.ReceiveMessageInput{QueueUrl: &s.cfg.UploadsQueue})
		if err != nil {
			s.t.Fatal(err)
		}
		return len(out.Messages) > 0 || s.get(name).GetState() == ingestv1.Version_FAILED
	})
}

// A long conversion on machines that come and go may take many claims, as long as it gets further.
func TestHeadwayForgivesDeadWorkers(t *testing.T) {
	s := start(t, testkit.SQLite(t), brisk)
	v := s.uploaded(s.dataset("digits"))
	for done := range int32(6) { // Twice as often as MaxAttempts.
		var fence int64
		testkit.Eventually(t, 10*time.Second, "claimed once the last lease ran out", func() bool {
			res, err := s.claim(t.Context(), v.GetName())
			fence = res.GetFence()
			return err == nil
		})
		if err := s.report(v.GetName(), fence, done+1); err != nil {
			t.Fatal(err)
		}
		s.receiveOrEnd(v.GetName())
	}
	if got := s.get(v.GetName()).GetState(); got != ingestv1.Version_CONVERTING {
		t.Errorf("state %v", got)
	}
}

func TestObjectThatIsNotTheUploadedOneFailsTheVersion(t *testing.T) {
	for name, spoil := range map[string]func(t *testing.T, s *suite, key string){
		"deleted": func(t *testing.T, s *suite, key string) {
			if _, err := s.s3.DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: &s.cfg.Bucket, Key: &key}); err != nil {
				t.Fatal(err)
			}
		},
		"replaced": func(t *testing.T, s *suite, key string) {
			if _, err := s.s3.PutObject(t.Context(), &s3.PutObjectInput{Bucket: &s.cfg.Bucket, Key: &key, Body: bytes.NewReader(make([]byte, 1000))}); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, testkit.SQLite(t), func(c *ingest.Config) { c.ReconcileEvery, c.ResendAfter = 50*time.Millisecond, time.Second })
			v := s.uploaded(s.dataset("digits"))
			spoil(t, s, s.row(v.GetName()).ObjectKey)
			testkit.Eventually(t, 10*time.Second, "FAILED", func() bool { return s.get(v.GetName()).GetState() == ingestv1.Version_FAILED })
			if got := s.get(v.GetName()).GetError(); got.GetReason() != errorsv1.ErrorReason_SOURCE_MISMATCH {
				t.Errorf("error %v", got)
			}
		})
	}
}

func TestForeignObjectIsNoUpload(t *testing.T) {
	s := start(t, testkit.SQLite(t), brisk)
	data := file(1000)
	v := s.version(s.dataset("digits"), int64(len(data)))
	key := s.row(v.GetName()).ObjectKey
	if _, err := s.s3.PutObject(t.Context(), &s3.PutObjectInput{Bucket: &s.cfg.Bucket, Key: &key, Body: bytes.NewReader(data[:10])}); err != nil {
		t.Fatal(err)
	}
	_, err := s.claim(t.Context(), v.GetName())
	refused(t, err, codes.FailedPrecondition, errorsv1.ErrorReason_SOURCE_MISMATCH)
	s.putAll(v, data)
	if got := s.complete(v.GetName()).GetState(); got != ingestv1.Version_UPLOADED {
		t.Errorf("state %v", got)
	}
}

func TestOrphanUploadsAreSweptAndLiveOnesStay(t *testing.T) {
	s := start(t, testkit.SQLite(t), func(c *ingest.Config) { c.ReconcileEvery, c.UploadTTL = 50*time.Millisecond, 1500*time.Millisecond })
	v := s.version(s.dataset("digits"), 1000)
	live := s.row(v.GetName())
	begin := func(key string) string {
		out, err := s.s3.CreateMultipartUpload(t.Context(), &s3.CreateMultipartUploadInput{Bucket: &s.cfg.Bucket, Key: &key})
		if err != nil {
			t.Fatal(err)
		}
		return *out.UploadId
	}
	orphans := map[string]bool{begin(live.ObjectKey): true, begin("uploads/acme/gone/1/source.zip"): true}
	foreign := begin("other/file")
	testkit.Eventually(t, 10*time.Second, "orphans gone, and only they", func() bool {
		s.sign(v.GetName(), 1, "AAAAAA==") // Keeps the live one from being quiet.
		out, err := s.s3.ListMultipartUploads(t.Context(), &s3.ListMultipartUploadsInput{Bucket: &s.cfg.Bucket})
		if err != nil {
			t.Fatal(err)
		}
		there := map[string]bool{}
		for _, u := range out.Uploads {
			there[*u.UploadId] = true
		}
		if !there[live.UploadID] || !there[foreign] {
			t.Fatal("an upload that is no orphan was aborted")
		}
		for id := range orphans {
			if there[id] {
				return false
			}
		}
		return true
	})
}
