package converter_test

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"image"
	"image/color"
	"image/png"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/google/uuid"
	converterv1 "github.com/trainyard/trainyard/gen/trainyard/converter/v1"
	errorsv1 "github.com/trainyard/trainyard/gen/trainyard/errors/v1"
	ingestv1 "github.com/trainyard/trainyard/gen/trainyard/ingest/v1"
	notificationv1 "github.com/trainyard/trainyard/gen/trainyard/notification/v1"
	"github.com/trainyard/trainyard/services/converter"
	"github.com/trainyard/trainyard/services/converter/convert"
	"github.com/trainyard/trainyard/services/converter/worker"
	"github.com/trainyard/trainyard/services/ingest"
	"github.com/trainyard/trainyard/services/internal/apierror"
	"github.com/trainyard/trainyard/services/internal/awscfg"
	"github.com/trainyard/trainyard/services/internal/testkit"
	"github.com/trainyard/trainyard/services/notification"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest"
	"google.golang.org/protobuf/proto"
)

// The test binary is the worker process too.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == worker.Argument {
		worker.Main()
	}
	os.Exit(m.Run())
}

type file struct {
	name string
	data []byte
}

func picture(n int) []byte {
	img := image.NewGray(image.Rect(0, 0, 12, 12))
	for i := range img.Pix {
		img.SetGray(i%12, i/12, color.Gray{Y: uint8(i * (n + 1))}) //nolint:gosec // Any grey will do.
	}
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// pictures are n good images, half of them of each of two classes.
func pictures(n int) []file {
	var files []file
	for i := range n {
		files = append(files, file{fmt.Sprintf("%s/%03d.png", []string{"cat", "dog"}[i%2], i), picture(i)})
	}
	return files
}

func zipped(files ...file) []byte {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, f := range files {
		entry, err := w.Create(f.name)
		if err == nil {
			_, err = entry.Write(f.data)
		}
		if err != nil {
			panic(err)
		}
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// suite is ingest, converter and notification on a localcloud.
type suite struct {
	t        testing.TB
	cloud    *testkit.Cloud
	datasets ingestv1.IngestServiceClient
	results  converterv1.ConverterServiceClient
	events   notificationv1.NotificationServiceClient
	server   *testkit.Server
	cfg      converter.Config
	deps     converter.Deps
}

func newSuite(t testing.TB, dsn string, configure func(*converter.Config)) *suite {
	t.Helper()
	cloud := testkit.NewCloud(t, nil)
	server := testkit.NewServer(t)
	log := zaptest.NewLogger(t, zaptest.Level(zapcore.WarnLevel))
	events, err := notification.New(t.Context(), notification.Config{Store: storeFor(dsn, "notification")}, notification.Deps{Log: log})
	check(t, err)
	uploads, err := ingest.New(t.Context(), ingest.Config{
		Store: storeFor(dsn, "ingest"), Bucket: cloud.Bucket, UploadsQueue: cloud.UploadsQueueURL, ReconcileEvery: time.Second, LeaseDuration: 4 * time.Second, ResendAfter: 3 * time.Second,
		PartSize: 1 << 30, // One part is enough for any test.
	}, ingest.Deps{
		S3: awscfg.S3(cloud.AWS), Presigner: awscfg.NewPresigner(cloud.AWS, ""), SQS: sqs.NewFromConfig(cloud.AWS), Region: cloud.AWS.Region, Notification: server.Service, Log: log,
	})
	check(t, err)
	cfg := converter.Config{
		Store: storeFor(dsn, "converter"), Bucket: cloud.Bucket, UploadsQueue: cloud.UploadsQueueURL, TasksQueue: cloud.TasksQueueURL,
		Scratch: filepath.Join(t.TempDir(), "scratch"), Workers: 2, Visibility: 3 * time.Second, LeaseEvery: time.Second, MaxAttempts: 2,
	}
	if configure != nil {
		configure(&cfg)
	}
	deps := converter.Deps{
		S3: awscfg.S3(cloud.AWS), Presigner: awscfg.NewPresigner(cloud.AWS, ""), DownloadPresigner: awscfg.NewPresigner(cloud.AWS, ""),
		SQS: sqs.NewFromConfig(cloud.AWS), Ingest: server.Service, Log: log,
	}
	conversion, err := converter.New(t.Context(), cfg, deps)
	check(t, err)
	server.Start(events, uploads, conversion)
	user := server.User("acme")
	return &suite{
		t: t, cloud: cloud, server: server, cfg: cfg, deps: deps, datasets: ingestv1.NewIngestServiceClient(user),
		results: converterv1.NewConverterServiceClient(user), events: notificationv1.NewNotificationServiceClient(user),
	}
}

// storeFor gives each service its own SQLite file; in PostgreSQL each has its own schema.
func storeFor(dsn, service string) string {
	if path, ok := strings.CutPrefix(dsn, "sqlite:"); ok {
		return "sqlite:" + path + "." + service
	}
	return dsn
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// upload brings bytes in as a user does and gives the version's name.
func (s *suite) upload(name string, data []byte, options *ingestv1.ConversionOptions) string {
	s.t.Helper()
	ctx := s.t.Context()
	dataset := "d-" + uuid.NewString()[:8]
	_, err := s.datasets.CreateDataset(ctx, &ingestv1.CreateDatasetRequest{DatasetId: dataset, Dataset: &ingestv1.Dataset{}})
	check(s.t, err)
	created, err := s.datasets.CreateVersion(ctx, &ingestv1.CreateVersionRequest{
		Parent: "datasets/" + dataset, Version: &ingestv1.Version{FileName: name, SizeBytes: int64(len(data)), Conversion: options},
	})
	check(s.t, err)
	version := created.GetVersion().GetName()
	sum := base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, crc32.Checksum(data, crc32.MakeTable(crc32.Castagnoli))))
	signed, err := s.datasets.SignParts(ctx, &ingestv1.SignPartsRequest{Name: version, Parts: []*ingestv1.PartToSign{{PartNumber: 1, Crc32C: sum}}})
	check(s.t, err)
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, signed.GetParts()[0].GetUrl(), bytes.NewReader(data))
	check(s.t, err)
	for k, v := range signed.GetParts()[0].GetHeaders() {
		req.Header.Set(k, v)
	}
	res, err := http.DefaultClient.Do(req)
	check(s.t, err)
	body, _ := io.ReadAll(res.Body)
	_ = res.Body.Close()
	if res.StatusCode != http.StatusOK {
		s.t.Fatalf("PUT of the part: %s %s", res.Status, body)
	}
	_, err = s.datasets.CompleteUpload(ctx, &ingestv1.CompleteUploadRequest{Name: version})
	check(s.t, err)
	return version
}

// wait gives the version once it is READY or FAILED.
func (s *suite) wait(name string) *ingestv1.Version {
	s.t.Helper()
	var version *ingestv1.Version
	testkit.Eventually(s.t, 40*time.Second, name+" is over", func() bool {
		res, err := s.datasets.GetVersion(s.t.Context(), &ingestv1.GetVersionRequest{Name: name})
		check(s.t, err)
		version = res.GetVersion()
		return version.GetState() == ingestv1.Version_READY || version.GetState() == ingestv1.Version_FAILED
	})
	return version
}

// prefix is where a version's dataset lies.
func (s *suite) prefix(version string) string {
	parts := strings.Split(version, "/")
	return fmt.Sprintf("datasets/acme/%s/%s/", parts[1], parts[3])
}

// keys lists the objects of a version, without its prefix.
func (s *suite) keys(version string) []string {
	s.t.Helper()
	var keys []string
	prefix := s.prefix(version)
	pages := s3.NewListObjectsV2Paginator(awscfg.S3(s.cloud.AWS), &s3.ListObjectsV2Input{Bucket: &s.cloud.Bucket, Prefix: &prefix})
	for pages.HasMorePages() {
		page, err := pages.NextPage(s.t.Context())
		check(s.t, err)
		for _, o := range page.Contents {
			keys = append(keys, strings.TrimPrefix(*o.Key, prefix))
		}
	}
	return keys
}

// cleared waits until no object of a version is left below a part of its prefix, which is soon after the version's state is final.
func (s *suite) cleared(version, below string) {
	s.t.Helper()
	testkit.Eventually(s.t, 10*time.Second, version+" has left nothing below "+below, func() bool {
		return !slices.ContainsFunc(s.keys(version), func(key string) bool { return strings.HasPrefix(key, below) })
	})
}

func (s *suite) send(url, body string) {
	s.t.Helper()
	_, err := sqs.NewFromConfig(s.cloud.AWS).SendMessage(s.t.Context(), &sqs.SendMessageInput{QueueUrl: &url, MessageBody: &body})
	check(s.t, err)
}

func (s *suite) object(key string) []byte {
	s.t.Helper()
	object, err := awscfg.S3(s.cloud.AWS).GetObject(s.t.Context(), &s3.GetObjectInput{Bucket: &s.cloud.Bucket, Key: &key})
	check(s.t, err)
	defer object.Body.Close()
	data, err := io.ReadAll(object.Body)
	check(s.t, err)
	return data
}

func TestConversion(t *testing.T) {
	testkit.EachDatabase(t, func(t *testing.T, dsn string) {
		s := newSuite(t, dsn, nil)

		t.Run("one bad picture and a text file are left out and listed", func(t *testing.T) {
			files := append(pictures(40), file{"cat/broken.png", picture(1)[:60]}, file{"notes.txt", []byte("hello")})
			version := s.wait(s.upload("pets.zip", zipped(files...), nil))
			if version.GetState() != ingestv1.Version_READY {
				t.Fatalf("%s: %v", version.GetState(), version.GetError())
			}
			if version.GetExampleCount() != 40 || len(version.GetClasses()) != 2 || version.GetRejectedCount() != 2 || version.GetFormat() == "" {
				t.Errorf("version %v", version)
			}
			var inSplits, shards int32
			for _, split := range version.GetSplits() {
				inSplits += split.GetExampleCount()
				shards += split.GetShardCount()
			}
			if inSplits != 40 || shards != version.GetShardCount() {
				t.Errorf("splits hold %d examples in %d shards", inSplits, shards)
			}

			left, err := s.results.ListRejections(t.Context(), &converterv1.ListRejectionsRequest{Parent: version.GetName()})
			check(t, err)
			reasons := map[string]string{}
			for _, r := range left.GetRejections() {
				reasons[r.GetPath()] = r.GetReason()
			}
			if reasons["cat/broken.png"] != "TRUNCATED_IMAGE" || reasons["notes.txt"] != "NOT_DATA" {
				t.Errorf("left out: %v", reasons)
			}

			listed, err := s.results.ListShards(t.Context(), &converterv1.ListShardsRequest{Parent: version.GetName()})
			check(t, err)
			for _, shard := range listed.GetShards() {
				res, err := http.Get(shard.GetUrl()) //nolint:noctx // A test.
				check(t, err)
				data, err := io.ReadAll(res.Body)
				check(t, err)
				_ = res.Body.Close()
				if int64(len(data)) != shard.GetSizeBytes() {
					t.Errorf("%s has %d bytes, the manifest says %d", shard.GetName(), len(data), shard.GetSizeBytes())
				}
				if d := res.Header.Get("Content-Disposition"); d != "attachment; filename="+shard.GetName() {
					t.Errorf("browsers are told to take %s as %q", shard.GetName(), d)
				}
			}

			prefix := s.prefix(version.GetName())
			if uri := "s3://" + s.cloud.Bucket + "/" + prefix; version.GetUri() != uri {
				t.Errorf("uri %s, want %s", version.GetUri(), uri)
			}
			var manifest convert.Manifest
			check(t, json.Unmarshal(s.object(prefix+convert.ManifestName), &manifest))
			if manifest.Examples != 40 {
				t.Errorf("manifest: %d examples", manifest.Examples)
			}
			s.cleared(version.GetName(), "work/")
		})

		t.Run("one bad picture is one too many where none is tolerated", func(t *testing.T) {
			data := zipped(append(pictures(40), file{"cat/broken.png", picture(1)[:60]})...)
			version := s.wait(s.upload("pets.zip", data, &ingestv1.ConversionOptions{MaxBadFraction: proto.Float64(0)}))
			if version.GetState() != ingestv1.Version_FAILED || version.GetError().GetReason() != errorsv1.ErrorReason_TOO_MANY_BAD_FILES || version.GetRejectedCount() != 1 {
				t.Errorf("%s, %d left out: %v", version.GetState(), version.GetRejectedCount(), version.GetError())
			}
		})

		var cats []file
		for i := range 6 {
			cats = append(cats, file{fmt.Sprintf("cat/%d.png", i), picture(i)})
		}
		for name, test := range map[string]struct {
			data []byte
			want errorsv1.ErrorReason
			says string
			left int // how much of it is listed as left out
		}{
			"no archive":    {[]byte("Rar!\x1a\x07 and so on"), errorsv1.ErrorReason_NOT_AN_ARCHIVE, "zip", 0},
			"no dataset":    {[]byte(strings.Repeat("nothing known ", 50)), errorsv1.ErrorReason_FORMAT_UNKNOWN, "cats/1.jpg", 0},
			"empty archive": {zipped(), errorsv1.ErrorReason_ARCHIVE_EMPTY, "", 0},
			// Found out at the end, when the shards are there already.
			"one class usable": {zipped(append(cats, file{"dog/a.png", []byte("x")}, file{"dog/b.png", []byte("x")})...), errorsv1.ErrorReason_TOO_FEW_CLASSES, "usable", 2},
			"one class":        {zipped(file{"cat/1.png", picture(1)}, file{"cat/2.png", picture(2)}), errorsv1.ErrorReason_TOO_FEW_CLASSES, "two", 0},
			"mostly bad":       {zipped(append(pictures(4), file{"cat/a.png", []byte("x")}, file{"cat/b.png", []byte("x")}, file{"dog/c.png", []byte("x")}, file{"dog/d.png", []byte("x")}, file{"dog/e.png", []byte("x")})...), errorsv1.ErrorReason_TOO_MANY_BAD_FILES, "cat/a.png", 5},
		} {
			t.Run(name+" fails with what was expected", func(t *testing.T) {
				version := s.wait(s.upload("x.zip", test.data, nil))
				if version.GetState() != ingestv1.Version_FAILED || version.GetError().GetReason() != test.want || !strings.Contains(version.GetError().GetMessage(), test.says) {
					t.Errorf("%s: %v", version.GetState(), version.GetError())
				}
				_, err := s.results.ListShards(t.Context(), &converterv1.ListShardsRequest{Parent: version.GetName()})
				if !apierror.Is(err, errorsv1.ErrorReason_WRONG_STATE) {
					t.Errorf("its shards: %v", err)
				}
				left, err := s.results.ListRejections(t.Context(), &converterv1.ListRejectionsRequest{Parent: version.GetName()})
				check(t, err)
				if n := int32(test.left); len(left.GetRejections()) != test.left || left.GetTotalSize() != n || version.GetRejectedCount() != n { //nolint:gosec // A few.
					t.Errorf("%d left out, listed %v", version.GetRejectedCount(), left)
				}
				for _, r := range left.GetRejections() {
					if r.GetPath() == "" || r.GetReason() == "" || r.GetMessage() == "" {
						t.Errorf("listed: %v", r)
					}
				}
				if test.left == 0 {
					s.cleared(version.GetName(), "")
					return
				}
				testkit.Eventually(t, 10*time.Second, "nothing but the report stays", func() bool {
					return slices.Equal(s.keys(version.GetName()), []string{convert.ReportName})
				})
			})
		}

		t.Run("forged, foreign and repeated events change nothing", func(t *testing.T) {
			name := s.upload("pets.zip", zipped(pictures(10)...), nil)
			before := s.wait(name)
			parts := strings.Split(name, "/")
			key := fmt.Sprintf("uploads/acme/%s/%s/source.zip", parts[1], parts[3])
			for _, body := range []string{
				"not json", `{"Records":[]}`, `{"Service":"Amazon S3","Event":"s3:TestEvent"}`,
				event("another", key), event(s.cloud.Bucket, "uploads/acme/none/1/source.zip"), event(s.cloud.Bucket, "../../etc/passwd"), event(s.cloud.Bucket, "uploads/../../x"),
				event(s.cloud.Bucket, key), event(s.cloud.Bucket, key),
			} {
				s.send(s.cloud.UploadsQueueURL, body)
			}
			s.emptied(s.cloud.UploadsQueueURL)
			after := s.wait(name)
			if after.GetUpdateTime().AsTime() != before.GetUpdateTime().AsTime() || after.GetState() != ingestv1.Version_READY {
				t.Errorf("before %v, after %v", before, after)
			}
		})
	})
}

// What is left out is known once it is over, and not before.
func TestRejectionsOfWhatIsNotOver(t *testing.T) {
	s := newSuite(t, testkit.SQLite(t), nil)
	_, err := s.datasets.CreateDataset(t.Context(), &ingestv1.CreateDatasetRequest{DatasetId: "d", Dataset: &ingestv1.Dataset{}})
	check(t, err)
	_, err = s.datasets.CreateVersion(t.Context(), &ingestv1.CreateVersionRequest{Parent: "datasets/d", Version: &ingestv1.Version{FileName: "x.zip", SizeBytes: 1}})
	check(t, err)
	_, err = s.results.ListRejections(t.Context(), &converterv1.ListRejectionsRequest{Parent: "datasets/d/versions/1"})
	if !apierror.Is(err, errorsv1.ErrorReason_WRONG_STATE) || !strings.Contains(err.Error(), "READY or FAILED") {
		t.Errorf("got %v", err)
	}
}

func event(bucket, key string) string {
	return fmt.Sprintf(`{"Records":[{"eventSource":"aws:s3","eventName":"ObjectCreated:Put","s3":{"bucket":{"name":%q},"object":{"key":%q}}}]}`, bucket, key)
}

// emptied waits until a queue has nothing visible or at work.
func (s *suite) emptied(url string) {
	s.t.Helper()
	client := sqs.NewFromConfig(s.cloud.AWS)
	testkit.Eventually(s.t, 20*time.Second, "the queue is empty", func() bool {
		a, err := client.GetQueueAttributes(s.t.Context(), &sqs.GetQueueAttributesInput{QueueUrl: &url, AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameAll}})
		check(s.t, err)
		return a.Attributes["ApproximateNumberOfMessages"] == "0" && a.Attributes["ApproximateNumberOfMessagesNotVisible"] == "0"
	})
}

// A crashing worker is given up after a few tries: the version says so, and the message lies with the dead letters.
func TestCrashingWorker(t *testing.T) {
	crash := filepath.Join(t.TempDir(), "crash")
	check(t, os.WriteFile(crash, []byte("#!/bin/sh\necho 'about to die' >&2\nkill -SEGV $$\n"), 0o700)) //nolint:gosec // A test's program.
	s := newSuite(t, testkit.SQLite(t), func(c *converter.Config) { c.Worker = crash })
	version := s.wait(s.upload("pets.zip", zipped(pictures(10)...), nil))
	if version.GetState() != ingestv1.Version_FAILED || version.GetError().GetReason() != errorsv1.ErrorReason_CONVERTER_CRASHED {
		t.Fatalf("%s: %v", version.GetState(), version.GetError())
	}
	client := sqs.NewFromConfig(s.cloud.AWS)
	testkit.Eventually(t, 60*time.Second, "the message is a dead letter", func() bool {
		a, err := client.GetQueueAttributes(context.Background(), &sqs.GetQueueAttributesInput{QueueUrl: &s.cloud.UploadsDeadLetterQueueURL, AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameAll}})
		check(t, err)
		return a.Attributes["ApproximateNumberOfMessages"] == "1"
	})
}

// How much of an upload was read while it is planned shows in the version.
func TestPlanningShowsHowFarItIs(t *testing.T) {
	planning := filepath.Join(t.TempDir(), "planning")
	check(t, os.WriteFile(planning, []byte("#!/bin/sh\nread -r job\necho '{\"progress\":{\"bytes\":1000}}'\nexec sleep 60\n"), 0o700)) //nolint:gosec // A test's program.
	s := newSuite(t, testkit.SQLite(t), func(c *converter.Config) { c.Worker = planning })
	data := zipped(pictures(10)...)
	name := s.upload("pets.zip", data, nil)
	var told *ingestv1.ConversionProgress
	testkit.Eventually(t, 10*time.Second, "it is told", func() bool {
		told = s.state(name).GetProgress()
		return told.GetDoneBytes() > 0
	})
	if told.GetPhase() != "planning" || told.GetDoneBytes() != 1000 || told.GetTotalBytes() != int64(len(data)) || told.GetTotalExamples() != 0 {
		t.Errorf("progress %v", told)
	}
	time.Sleep(1500 * time.Millisecond) // The lease is renewed meanwhile.
	if told = s.state(name).GetProgress(); told.GetDoneBytes() != 1000 {
		t.Errorf("progress %v", told)
	}
}

// A converter that is lost between the plan and the queue keeps nothing from going on: the lease runs out, and the tasks are sent anew.
func TestPlannedButNotSent(t *testing.T) {
	var missing string
	s := newSuite(t, testkit.SQLite(t), func(c *converter.Config) {
		missing = c.TasksQueue + "-missing"
		c.TasksQueue = missing
	})
	name := s.upload("pets.zip", zipped(pictures(10)...), nil)
	testkit.Eventually(t, 10*time.Second, "it is planned", func() bool {
		res, err := s.datasets.GetVersion(t.Context(), &ingestv1.GetVersionRequest{Name: name})
		check(t, err)
		return res.GetVersion().GetState() == ingestv1.Version_CONVERTING
	})
	time.Sleep(time.Second) // The first try to send is over.
	queue := missing[strings.LastIndex(missing, "/")+1:]
	_, err := sqs.NewFromConfig(s.cloud.AWS).CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: &queue})
	check(t, err)
	if version := s.wait(name); version.GetState() != ingestv1.Version_READY {
		t.Errorf("%s: %v", version.GetState(), version.GetError())
	}
}
