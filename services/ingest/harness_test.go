package ingest_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/google/uuid"
	errorsv1 "github.com/trainyard/trainyard/gen/trainyard/errors/v1"
	ingestv1 "github.com/trainyard/trainyard/gen/trainyard/ingest/v1"
	"github.com/trainyard/trainyard/services/ingest"
	"github.com/trainyard/trainyard/services/internal/apierror"
	"github.com/trainyard/trainyard/services/internal/awscfg"
	"github.com/trainyard/trainyard/services/internal/store"
	"github.com/trainyard/trainyard/services/internal/testkit"
	"github.com/trainyard/trainyard/services/localcloud"
	"go.uber.org/zap"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// S3 and SQS are localcloud's, one for all tests, for a process can hold no second.
var (
	cloud      aws.Config
	migrations string // localcloud changes the working directory.
)

func TestMain(m *testing.M) { os.Exit(runWithCloud(m)) }

func runWithCloud(m *testing.M) int {
	wd, err := os.Getwd()
	if err != nil {
		panic(err)
	}
	migrations = filepath.Join(wd, "migrations")
	dir, err := os.MkdirTemp("", "ingest-test-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	ctx, cancel := context.WithCancel(context.Background())
	unit, err := localcloud.New(ctx, localcloud.Config{DataDir: dir, Addr: "127.0.0.1:0"}, localcloud.Deps{})
	if err != nil {
		panic(err)
	}
	done := make(chan error, 1)
	go func() { done <- unit.Run(ctx) }()
	<-unit.Ready()
	if cloud, err = unit.AWS(ctx); err != nil {
		panic(err)
	}
	code := m.Run()
	cancel()
	if err := errors.Join(<-done, unit.Close()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

const project = "acme"

// suite is a running ingest with a bucket and a queue of its own.
type suite struct {
	t          *testing.T
	cfg        ingest.Config
	server     *testkit.Server
	db         *store.DB // A second connection, to look behind the API.
	s3         *s3.Client
	sqs        *sqs.Client
	ingest     ingestv1.IngestServiceClient // A user of project.
	conversion ingestv1.ConversionServiceClient
}

// start runs ingest on the database; edit changes its configuration.
func start(t *testing.T, dsn string, edit ...func(*ingest.Config)) *suite {
	t.Helper()
	s := &suite{t: t, s3: awscfg.S3(cloud), sqs: sqs.NewFromConfig(cloud)}
	id := strings.ReplaceAll(uuid.NewString(), "-", "")
	if _, err := s.s3.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &id}); err != nil {
		t.Fatal(err)
	}
	queue, err := s.sqs.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: &id})
	if err != nil {
		t.Fatal(err)
	}
	s.cfg = ingest.Config{Store: dsn, Bucket: id, UploadsQueue: *queue.QueueUrl, PartSize: 5 << 20}
	for _, e := range edit {
		e(&s.cfg)
	}
	s.run(s.s3)
	if s.db, err = store.Open(t.Context(), dsn, "ingest", os.DirFS(migrations)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.db.Close() })
	return s
}

// replica runs a second ingest on the same database, bucket and queue.
func (s *suite) replica() *suite { return s.replicaOn(s.s3) }

// replicaOn is a replica that sees S3 through another client.
func (s *suite) replicaOn(client *s3.Client) *suite {
	r := *s
	r.run(client)
	return &r
}

func (s *suite) run(client *s3.Client) {
	s.t.Helper()
	s.server = testkit.NewServer(s.t)
	unit, err := ingest.New(s.t.Context(), s.cfg, ingest.Deps{
		S3: client, Presigner: awscfg.NewPresigner(cloud, ""), SQS: s.sqs, Region: cloud.Region,
		// Nobody serves notification there, so that events stay in the outbox, where the tests read them.
		Notification: s.server.Service, Log: zap.NewNop(),
	})
	if err != nil {
		s.t.Fatal(err)
	}
	s.server.Start(unit)
	s.ingest = ingestv1.NewIngestServiceClient(s.server.User(project))
	s.conversion = ingestv1.NewConversionServiceClient(s.server.Service)
}

// dataset makes a dataset.
func (s *suite) dataset(id string) string {
	s.t.Helper()
	res, err := s.ingest.CreateDataset(s.t.Context(), &ingestv1.CreateDatasetRequest{DatasetId: id})
	if err != nil {
		s.t.Fatal(err)
	}
	return res.GetDataset().GetName()
}

// version begins a version of a dataset.
func (s *suite) version(parent string, size int64) *ingestv1.Version {
	s.t.Helper()
	res, err := s.ingest.CreateVersion(s.t.Context(), &ingestv1.CreateVersionRequest{
		Parent: parent, Version: &ingestv1.Version{FileName: "digits.zip", SizeBytes: size},
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return res.GetVersion()
}

func (s *suite) get(name string) *ingestv1.Version {
	s.t.Helper()
	res, err := s.ingest.GetVersion(s.t.Context(), &ingestv1.GetVersionRequest{Name: name})
	if err != nil {
		s.t.Fatal(err)
	}
	return res.GetVersion()
}

// file makes bytes that no two parts share.
func file(size int) []byte {
	data := make([]byte, size)
	source := rand.NewChaCha8([32]byte{1})
	_, _ = source.Read(data)
	return data
}

func crc32c(data []byte) string {
	sum := crc32.Checksum(data, crc32.MakeTable(crc32.Castagnoli))
	return base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, sum))
}

// part gives a part of the file by the version's plan.
func part(v *ingestv1.Version, data []byte, number int32) []byte {
	size := v.GetUpload().GetPartSizeBytes()
	begin := int64(number-1) * size
	return data[begin:min(begin+size, int64(len(data)))]
}

func (s *suite) sign(name string, number int32, sum string) *ingestv1.SignedPart {
	s.t.Helper()
	res, err := s.ingest.SignParts(s.t.Context(), &ingestv1.SignPartsRequest{
		Name: name, Parts: []*ingestv1.PartToSign{{PartNumber: number, Crc32C: sum}},
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return res.GetParts()[0]
}

// put sends a body to a signed URL and gives S3's status and answer.
func (s *suite) put(signed *ingestv1.SignedPart, body []byte) (int, string) {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodPut, signed.GetUrl(), bytes.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	for name, value := range signed.GetHeaders() {
		req.Header.Set(name, value)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return res.StatusCode, string(answer)
}

// putPart signs and puts one part.
func (s *suite) putPart(v *ingestv1.Version, data []byte, number int32) {
	s.t.Helper()
	body := part(v, data, number)
	if code, answer := s.put(s.sign(v.GetName(), number, crc32c(body)), body); code != http.StatusOK {
		s.t.Fatalf("part %d: %d %s", number, code, answer)
	}
}

// putAll signs and puts every part.
func (s *suite) putAll(v *ingestv1.Version, data []byte) {
	s.t.Helper()
	for number := int32(1); number <= v.GetUpload().GetPartCount(); number++ {
		s.putPart(v, data, number)
	}
}

func (s *suite) complete(name string) *ingestv1.Version {
	s.t.Helper()
	res, err := s.ingest.CompleteUpload(s.t.Context(), &ingestv1.CompleteUploadRequest{Name: name})
	if err != nil {
		s.t.Fatal(err)
	}
	return res.GetVersion()
}

// uploaded makes a version that is UPLOADED.
func (s *suite) uploaded(parent string) *ingestv1.Version {
	s.t.Helper()
	data := file(1000)
	v := s.version(parent, int64(len(data)))
	s.putAll(v, data)
	return s.complete(v.GetName())
}

// row is what the database holds of a version.
type row struct {
	ObjectKey string `bun:"object_key"`
	UploadID  string `bun:"upload_id"`
	ETag      string `bun:"etag"`
}

func (s *suite) row(name string) row {
	s.t.Helper()
	var dataset string
	var number int
	if _, err := fmt.Sscanf(strings.ReplaceAll(name, "/", " "), "datasets %s versions %d", &dataset, &number); err != nil {
		s.t.Fatal(err)
	}
	var r row
	err := s.db.NewSelect().Table("versions").Column("object_key", "upload_id", "etag").
		Where("project = ? AND dataset = ? AND number = ?", project, dataset, number).Scan(s.t.Context(), &r)
	if err != nil {
		s.t.Fatal(err)
	}
	return r
}

// claim claims a version as a converter would, by what HEAD says.
func (s *suite) claim(ctx context.Context, name string) (*ingestv1.ClaimConversionResponse, error) {
	key := s.row(name).ObjectKey
	head, err := s.s3.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &s.cfg.Bucket, Key: &key})
	if err != nil {
		return nil, err
	}
	return s.conversion.ClaimConversion(ctx, &ingestv1.ClaimConversionRequest{
		Bucket: s.cfg.Bucket, Key: key, Etag: *head.ETag, SizeBytes: *head.ContentLength, Worker: "worker-1",
	})
}

func (s *suite) mustClaim(name string) *ingestv1.ClaimConversionResponse {
	s.t.Helper()
	res, err := s.claim(s.t.Context(), name)
	if err != nil {
		s.t.Fatal(err)
	}
	return res
}

// completeBehind completes the multipart upload in S3 without ingest, as if ingest had died right after S3's step.
func (s *suite) completeBehind(name string) {
	s.t.Helper()
	r := s.row(name)
	parts, err := s.s3.ListParts(s.t.Context(), &s3.ListPartsInput{Bucket: &s.cfg.Bucket, Key: &r.ObjectKey, UploadId: &r.UploadID})
	if err != nil {
		s.t.Fatal(err)
	}
	in := &s3.CompleteMultipartUploadInput{Bucket: &s.cfg.Bucket, Key: &r.ObjectKey, UploadId: &r.UploadID, MultipartUpload: completed(parts.Parts)}
	if _, err := s.s3.CompleteMultipartUpload(s.t.Context(), in); err != nil {
		s.t.Fatal(err)
	}
}

type event struct {
	Project  string `bun:"project"`
	Resource string `bun:"resource"`
	Type     string `bun:"type"`
	Payload  string `bun:"payload"`
}

// events are those in the outbox, in order.
func (s *suite) events() []event {
	s.t.Helper()
	var events []event
	if err := s.db.NewSelect().Table("outbox").Column("project", "resource", "type", "payload").OrderExpr("id").Scan(s.t.Context(), &events); err != nil {
		s.t.Fatal(err)
	}
	return events
}

// refused checks an error's code and reason.
func refused(t *testing.T, err error, code codes.Code, reason errorsv1.ErrorReason) {
	t.Helper()
	if status.Code(err) != code || apierror.Reason(err) != reason {
		t.Fatalf("got %v (%v), want %v %v", err, apierror.Reason(err), code, reason)
	}
}
