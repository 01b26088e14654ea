package s3

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/smithy-go"

	"github.com/trainyard/trainyard/services/localcloud/sigv4"
	"github.com/trainyard/trainyard/services/localcloud/sqs"
)

// One store serves all tests of this package: versitygw allows one a process.
var (
	endpoint string
	dataDir  string
)

var keys = sigv4.Credentials{AccessKey: "key", SecretKey: "secret", Region: "us-east-1"}

func TestMain(m *testing.M) { os.Exit(runTests(m)) }

func runTests(m *testing.M) int {
	fail := func(err error) int {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	var err error
	if dataDir, err = os.MkdirTemp("", "s3-test-"); err != nil {
		return fail(err)
	}
	defer os.RemoveAll(dataDir)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	queues, err := sqs.Open(ctx, sqs.Config{Path: filepath.Join(dataDir, "sqs.db"), Region: keys.Region, AccountID: "000000000000"})
	if err != nil {
		return fail(err)
	}
	defer queues.Close()
	store, err := Open(ctx, Config{Dir: filepath.Join(dataDir, "s3"), AccountID: "000000000000", Credentials: keys, Queues: queues})
	if err != nil {
		return fail(err)
	}
	defer store.Close()
	done := make(chan error, 1)
	go func() { done <- store.Run(ctx) }()
	<-store.Ready()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Amz-Target") != "" {
			queues.ServeHTTP(w, r)
			return
		}
		store.ServeHTTP(w, r)
	}))
	endpoint = server.URL
	code := m.Run()
	server.Close()
	cancel()
	if err := <-done; err != nil {
		return fail(err)
	}
	return code
}

func awsConfig(t testing.TB, accessKey, secretKey string) aws.Config {
	t.Helper()
	cfg, err := config.LoadDefaultConfig(t.Context(), config.WithRegion(keys.Region), config.WithBaseEndpoint(endpoint),
		config.WithCredentialsProvider(credentials.NewStaticCredentialsProvider(accessKey, secretKey, "")),
		config.WithSharedConfigFiles(nil), config.WithSharedCredentialsFiles(nil))
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

func client(t testing.TB) *awss3.Client {
	t.Helper()
	return awss3.NewFromConfig(awsConfig(t, keys.AccessKey, keys.SecretKey), func(o *awss3.Options) { o.UsePathStyle = true })
}

// bucketFor makes a bucket named after the test.
func bucketFor(t testing.TB, c *awss3.Client) *string {
	t.Helper()
	name := strings.ToLower(strings.NewReplacer("/", "-", "_", "-").Replace(t.Name()))
	if _, err := c.CreateBucket(t.Context(), &awss3.CreateBucketInput{Bucket: &name}); err != nil {
		t.Fatal(err)
	}
	return &name
}

func wantCode(t *testing.T, err error, code string) {
	t.Helper()
	var api smithy.APIError
	if !errors.As(err, &api) || api.ErrorCode() != code {
		t.Errorf("error %v, want code %s", err, code)
	}
}

func ok[T any](t testing.TB) func(v T, err error) T {
	t.Helper()
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func get(t *testing.T, c *awss3.Client, bucket *string, key string) []byte {
	t.Helper()
	out := ok[*awss3.GetObjectOutput](t)(c.GetObject(t.Context(), &awss3.GetObjectInput{Bucket: bucket, Key: &key}))
	defer out.Body.Close()
	return ok[[]byte](t)(io.ReadAll(out.Body))
}

func TestObjects(t *testing.T) {
	c, ctx := client(t), t.Context()
	bucket := bucketFor(t, c)
	body := bytes.Repeat([]byte("trainyard "), 100_000)
	for _, key := range []string{"plain", "a folder/ö +&=%?#'*()!~/x.bin"} {
		t.Run(key, func(t *testing.T) {
			_, err := c.PutObject(ctx, &awss3.PutObjectInput{
				Bucket: bucket, Key: &key, Body: bytes.NewReader(body), ContentType: aws.String("text/plain"), Metadata: map[string]string{"colour": "red"},
			})
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(get(t, c, bucket, key), body) {
				t.Error("other bytes came back")
			}
			head := ok[*awss3.HeadObjectOutput](t)(c.HeadObject(ctx, &awss3.HeadObjectInput{Bucket: bucket, Key: &key}))
			if *head.ContentLength != int64(len(body)) || *head.ContentType != "text/plain" || head.Metadata["colour"] != "red" {
				t.Errorf("head %+v", head)
			}
			copied := key + "-copy"
			source := *bucket + "/" + strings.ReplaceAll(url.QueryEscape(key), "+", "%20")
			ok[*awss3.CopyObjectOutput](t)(c.CopyObject(ctx, &awss3.CopyObjectInput{Bucket: bucket, Key: &copied, CopySource: &source}))
			if !bytes.Equal(get(t, c, bucket, copied), body) {
				t.Error("the copy has other bytes")
			}
		})
	}

	_, err := c.PutObject(ctx, &awss3.PutObjectInput{Bucket: bucket, Key: aws.String("once"), Body: strings.NewReader("1"), IfNoneMatch: aws.String("*")})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.PutObject(ctx, &awss3.PutObjectInput{Bucket: bucket, Key: aws.String("once"), Body: strings.NewReader("2"), IfNoneMatch: aws.String("*")})
	wantCode(t, err, "PreconditionFailed")

	_, err = c.GetObject(ctx, &awss3.GetObjectInput{Bucket: bucket, Key: aws.String("absent")})
	wantCode(t, err, "NoSuchKey")
	_, err = c.GetObject(ctx, &awss3.GetObjectInput{Bucket: aws.String("no-such-bucket"), Key: aws.String("k")})
	wantCode(t, err, "NoSuchBucket")
}

func TestKeysAreChecked(t *testing.T) {
	bucket := bucketFor(t, client(t))
	for _, test := range []struct{ name, access, secret, code string }{
		{"unknown key", "other", "secret", "InvalidAccessKeyId"},
		{"wrong secret", "key", "other", "SignatureDoesNotMatch"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := awss3.NewFromConfig(awsConfig(t, test.access, test.secret), func(o *awss3.Options) { o.UsePathStyle = true })
			_, err := c.ListObjectsV2(t.Context(), &awss3.ListObjectsV2Input{Bucket: bucket})
			wantCode(t, err, test.code)
			_, err = c.GetBucketNotificationConfiguration(t.Context(), &awss3.GetBucketNotificationConfigurationInput{Bucket: bucket})
			wantCode(t, err, test.code)
		})
	}
	t.Run("no signature", func(t *testing.T) {
		for _, path := range []string{"/", "/" + *bucket, "/" + *bucket + "?notification", "/" + *bucket + "/key"} {
			res := ok[*http.Response](t)(http.Get(endpoint + path)) //nolint:gosec,noctx // A loopback address of our own.
			res.Body.Close()
			if res.StatusCode != http.StatusForbidden {
				t.Errorf("GET %s unsigned: %d", path, res.StatusCode)
			}
		}
	})
}

func crc32c(b []byte) *string {
	sum := binary.BigEndian.AppendUint32(nil, crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)))
	return aws.String(base64.StdEncoding.EncodeToString(sum))
}

// presignPart signs an UploadPart whose checksum header is part of the
// signature, so that no other bytes can be uploaded with it.
func presignPart(t *testing.T, c *awss3.Client, bucket, key, upload *string, number int32, part []byte) *v4.PresignedHTTPRequest {
	t.Helper()
	presigner := awss3.NewPresignClient(c, func(o *awss3.PresignOptions) {
		o.Presigner = v4.NewSigner(func(so *v4.SignerOptions) {
			so.DisableURIPathEscaping = true
			so.DisableHeaderHoisting = true
		})
	})
	return ok[*v4.PresignedHTTPRequest](t)(presigner.PresignUploadPart(t.Context(), &awss3.UploadPartInput{
		Bucket: bucket, Key: key, UploadId: upload, PartNumber: &number, ChecksumCRC32C: crc32c(part),
	}))
}

// send makes a presigned request with its signed headers.
func send(t *testing.T, signed *v4.PresignedHTTPRequest, body []byte, extra http.Header) (*http.Response, []byte) {
	t.Helper()
	r := ok[*http.Request](t)(http.NewRequestWithContext(t.Context(), signed.Method, signed.URL, bytes.NewReader(body)))
	for name, values := range signed.SignedHeader {
		if !strings.EqualFold(name, "host") && !strings.EqualFold(name, "content-length") {
			r.Header[name] = values
		}
	}
	for name, values := range extra {
		r.Header[name] = values
	}
	res := ok[*http.Response](t)(http.DefaultClient.Do(r))
	defer res.Body.Close()
	return res, ok[[]byte](t)(io.ReadAll(res.Body))
}

func TestPresignedMultipart(t *testing.T) {
	c, ctx := client(t), t.Context()
	bucket, key := bucketFor(t, c), aws.String("uploads/p/d/1/source.zip")
	created := ok[*awss3.CreateMultipartUploadOutput](t)(c.CreateMultipartUpload(ctx, &awss3.CreateMultipartUploadInput{
		Bucket: bucket, Key: key, ChecksumAlgorithm: types.ChecksumAlgorithmCrc32c,
	}))
	parts := [][]byte{bytes.Repeat([]byte("a"), 5<<20), bytes.Repeat([]byte("b"), 5<<20), []byte("the end")}
	var completed []types.CompletedPart
	for i, part := range parts {
		number := int32(i + 1) //nolint:gosec // Three parts.
		signed := presignPart(t, c, bucket, key, created.UploadId, number, part)

		wrong := slices.Clone(part)
		wrong[0] ^= 1
		res, text := send(t, signed, wrong, nil)
		if res.StatusCode != http.StatusBadRequest || !bytes.Contains(text, []byte("<Code>BadDigest</Code>")) {
			t.Errorf("part %d with wrong bytes: %d %s", number, res.StatusCode, text)
		}
		res, text = send(t, signed, part, nil)
		if res.StatusCode != http.StatusOK {
			t.Fatalf("part %d: %d %s", number, res.StatusCode, text)
		}
		completed = append(completed, types.CompletedPart{
			PartNumber: &number, ETag: aws.String(res.Header.Get("ETag")), ChecksumCRC32C: crc32c(part),
		})
	}

	// Another checksum in the header than was signed.
	signed := presignPart(t, c, bucket, key, created.UploadId, 1, parts[0])
	signed.SignedHeader.Set("X-Amz-Checksum-Crc32c", *crc32c(parts[1]))
	if res, text := send(t, signed, parts[1], nil); res.StatusCode != http.StatusForbidden {
		t.Errorf("changed checksum header: %d %s", res.StatusCode, text)
	}

	listed := ok[*awss3.ListPartsOutput](t)(c.ListParts(ctx, &awss3.ListPartsInput{Bucket: bucket, Key: key, UploadId: created.UploadId}))
	if len(listed.Parts) != 3 || *listed.Parts[2].Size != int64(len(parts[2])) || *listed.Parts[1].ChecksumCRC32C != *crc32c(parts[1]) {
		t.Errorf("parts %+v", listed.Parts)
	}
	_, err := c.CompleteMultipartUpload(ctx, &awss3.CompleteMultipartUploadInput{
		Bucket: bucket, Key: key, UploadId: created.UploadId, MultipartUpload: &types.CompletedMultipartUpload{Parts: completed},
	})
	if err != nil {
		t.Fatal(err)
	}
	whole := bytes.Join(parts, nil)
	if !bytes.Equal(get(t, c, bucket, *key), whole) {
		t.Error("the object is not its parts")
	}

	t.Run("presigned range", func(t *testing.T) {
		signed := ok[*v4.PresignedHTTPRequest](t)(awss3.NewPresignClient(c).PresignGetObject(ctx, &awss3.GetObjectInput{Bucket: bucket, Key: key}))
		res, body := send(t, signed, nil, http.Header{"Range": {"bytes=5242879-5242881"}})
		if res.StatusCode != http.StatusPartialContent || string(body) != "abb" {
			t.Errorf("range: %d %q", res.StatusCode, body)
		}
		if want := fmt.Sprintf("bytes 5242879-5242881/%d", len(whole)); res.Header.Get("Content-Range") != want {
			t.Errorf("Content-Range %q, want %q", res.Header.Get("Content-Range"), want)
		}
	})
	t.Run("presigned put if absent", func(t *testing.T) {
		in := &awss3.PutObjectInput{Bucket: bucket, Key: aws.String("manifest.json"), IfNoneMatch: aws.String("*")}
		signed := ok[*v4.PresignedHTTPRequest](t)(awss3.NewPresignClient(c).PresignPutObject(ctx, in))
		for _, want := range []int{http.StatusOK, http.StatusPreconditionFailed} {
			if res, text := send(t, signed, []byte("{}"), nil); res.StatusCode != want {
				t.Errorf("status %d, want %d: %s", res.StatusCode, want, text)
			}
		}
	})
	t.Run("abort", func(t *testing.T) {
		other := ok[*awss3.CreateMultipartUploadOutput](t)(c.CreateMultipartUpload(ctx, &awss3.CreateMultipartUploadInput{Bucket: bucket, Key: key}))
		ok[*awss3.AbortMultipartUploadOutput](t)(c.AbortMultipartUpload(ctx, &awss3.AbortMultipartUploadInput{Bucket: bucket, Key: key, UploadId: other.UploadId}))
		_, err := c.ListParts(ctx, &awss3.ListPartsInput{Bucket: bucket, Key: key, UploadId: other.UploadId})
		wantCode(t, err, "NoSuchUpload")
	})
}

func TestCORS(t *testing.T) {
	c, ctx := client(t), t.Context()
	bucket := bucketFor(t, c)
	const origin = "http://127.0.0.1:8080"
	ok[*awss3.PutBucketCorsOutput](t)(c.PutBucketCors(ctx, &awss3.PutBucketCorsInput{Bucket: bucket, CORSConfiguration: &types.CORSConfiguration{
		CORSRules: []types.CORSRule{{
			AllowedOrigins: []string{origin}, AllowedMethods: []string{"GET", "PUT"}, AllowedHeaders: []string{"*"},
			ExposeHeaders: []string{"ETag", "x-amz-checksum-crc32c"}, MaxAgeSeconds: aws.Int32(3600),
		}},
	}}))
	created := ok[*awss3.CreateMultipartUploadOutput](t)(c.CreateMultipartUpload(ctx, &awss3.CreateMultipartUploadInput{
		Bucket: bucket, Key: aws.String("k"), ChecksumAlgorithm: types.ChecksumAlgorithmCrc32c,
	}))
	signed := presignPart(t, c, bucket, aws.String("k"), created.UploadId, 1, []byte("part"))

	preflight := func(origin string) *http.Response {
		r := ok[*http.Request](t)(http.NewRequestWithContext(ctx, http.MethodOptions, signed.URL, nil))
		r.Header.Set("Origin", origin)
		r.Header.Set("Access-Control-Request-Method", "PUT")
		r.Header.Set("Access-Control-Request-Headers", "x-amz-checksum-crc32c")
		res := ok[*http.Response](t)(http.DefaultClient.Do(r))
		res.Body.Close()
		return res
	}
	res := preflight(origin)
	if res.StatusCode != http.StatusOK || res.Header.Get("Access-Control-Allow-Origin") != origin ||
		!strings.Contains(res.Header.Get("Access-Control-Allow-Methods"), "PUT") ||
		!strings.Contains(strings.ToLower(res.Header.Get("Access-Control-Allow-Headers")), "x-amz-checksum-crc32c") {
		t.Errorf("preflight: %d %v", res.StatusCode, res.Header)
	}
	for _, other := range []string{"http://127.0.0.1:8081", "http://127.0.0.1:8080.evil.example", "null"} {
		if res := preflight(other); res.StatusCode != http.StatusForbidden || res.Header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("preflight from %s: %d %v", other, res.StatusCode, res.Header)
		}
	}
	res, text := send(t, signed, []byte("part"), http.Header{"Origin": {origin}})
	exposed := strings.ToLower(res.Header.Get("Access-Control-Expose-Headers"))
	if res.StatusCode != http.StatusOK || res.Header.Get("Access-Control-Allow-Origin") != origin ||
		!strings.Contains(exposed, "etag") || !strings.Contains(exposed, "x-amz-checksum-crc32c") || res.Header.Get("X-Amz-Checksum-Crc32c") == "" {
		t.Errorf("put of a part: %d %v %s", res.StatusCode, res.Header, text)
	}
	// The page must be able to read why a part was refused.
	res, _ = send(t, signed, []byte("trap"), http.Header{"Origin": {origin}})
	if res.StatusCode != http.StatusBadRequest || res.Header.Get("Access-Control-Allow-Origin") != origin {
		t.Errorf("put of a wrong part: %d %v", res.StatusCode, res.Header)
	}
}

// queueFor makes a queue that S3 may send to and gives its URL and ARN.
func queueFor(t *testing.T, name string) (url, arn string) {
	t.Helper()
	arn = "arn:aws:sqs:us-east-1:000000000000:" + name
	policy, err := json.Marshal(map[string]any{"Statement": []any{map[string]any{
		"Effect": "Allow", "Principal": map[string]string{"Service": "s3.amazonaws.com"}, "Action": "sqs:SendMessage", "Resource": arn,
		"Condition": map[string]any{"ArnLike": map[string]string{"aws:SourceArn": "arn:aws:s3:::*"}, "StringEquals": map[string]string{"aws:SourceAccount": "000000000000"}},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	q := awssqs.NewFromConfig(awsConfig(t, keys.AccessKey, keys.SecretKey))
	out := ok[*awssqs.CreateQueueOutput](t)(q.CreateQueue(t.Context(), &awssqs.CreateQueueInput{
		QueueName: &name, Attributes: map[string]string{"Policy": string(policy)},
	}))
	return *out.QueueUrl, arn
}

// drain receives and deletes what is in the queue, waiting for n messages.
func drain(t *testing.T, url string, n int) []string {
	t.Helper()
	q := awssqs.NewFromConfig(awsConfig(t, keys.AccessKey, keys.SecretKey))
	var bodies []string
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); {
		wait := int32(1)
		if len(bodies) >= n {
			wait = 0
		}
		out := ok[*awssqs.ReceiveMessageOutput](t)(q.ReceiveMessage(t.Context(), &awssqs.ReceiveMessageInput{
			QueueUrl: &url, MaxNumberOfMessages: 10, WaitTimeSeconds: wait,
		}))
		if len(out.Messages) == 0 && len(bodies) >= n {
			return bodies
		}
		for _, m := range out.Messages {
			bodies = append(bodies, *m.Body)
			ok[*awssqs.DeleteMessageOutput](t)(q.DeleteMessage(t.Context(), &awssqs.DeleteMessageInput{QueueUrl: &url, ReceiptHandle: m.ReceiptHandle}))
		}
	}
	t.Fatalf("%d messages of %d arrived", len(bodies), n)
	return nil
}

func queueConfig(arn, prefix, suffix string, events ...types.Event) types.QueueConfiguration {
	var rules []types.FilterRule
	if prefix != "" {
		rules = append(rules, types.FilterRule{Name: types.FilterRuleNamePrefix, Value: &prefix})
	}
	if suffix != "" {
		rules = append(rules, types.FilterRule{Name: types.FilterRuleNameSuffix, Value: &suffix})
	}
	return types.QueueConfiguration{
		QueueArn: &arn, Events: events, Filter: &types.NotificationConfigurationFilter{Key: &types.S3KeyFilter{FilterRules: rules}},
	}
}

func putNotifications(t *testing.T, c *awss3.Client, bucket *string, queues ...types.QueueConfiguration) error {
	t.Helper()
	_, err := c.PutBucketNotificationConfiguration(t.Context(), &awss3.PutBucketNotificationConfigurationInput{
		Bucket: bucket, NotificationConfiguration: &types.NotificationConfiguration{QueueConfigurations: queues},
	})
	return err
}

func TestEvents(t *testing.T) {
	c, ctx := client(t), t.Context()
	bucket := bucketFor(t, c)
	queue, arn := queueFor(t, "events")
	if err := putNotifications(t, c, bucket, queueConfig(arn, "uploads/", "", "s3:ObjectCreated:*")); err != nil {
		t.Fatal(err)
	}
	var test map[string]string
	if err := json.Unmarshal([]byte(drain(t, queue, 1)[0]), &test); err != nil || test["Event"] != "s3:TestEvent" || test["Bucket"] != *bucket {
		t.Errorf("test event %v, %v", test, err)
	}

	const key = "uploads/a b/ä+.zip"
	put := ok[*awss3.PutObjectOutput](t)(c.PutObject(ctx, &awss3.PutObjectInput{Bucket: bucket, Key: aws.String(key), Body: strings.NewReader("12345")}))
	ok[*awss3.PutObjectOutput](t)(c.PutObject(ctx, &awss3.PutObjectInput{Bucket: bucket, Key: aws.String("datasets/x"), Body: strings.NewReader("x")}))
	source := (&url.URL{Path: *bucket + "/datasets/x"}).EscapedPath()
	ok[*awss3.CopyObjectOutput](t)(c.CopyObject(ctx, &awss3.CopyObjectInput{Bucket: bucket, Key: aws.String("uploads/copy"), CopySource: &source}))
	created := ok[*awss3.CreateMultipartUploadOutput](t)(c.CreateMultipartUpload(ctx, &awss3.CreateMultipartUploadInput{Bucket: bucket, Key: aws.String("uploads/mp")}))
	part := ok[*awss3.UploadPartOutput](t)(c.UploadPart(ctx, &awss3.UploadPartInput{
		Bucket: bucket, Key: aws.String("uploads/mp"), UploadId: created.UploadId, PartNumber: aws.Int32(1), Body: strings.NewReader("part"),
	}))
	ok[*awss3.CompleteMultipartUploadOutput](t)(c.CompleteMultipartUpload(ctx, &awss3.CompleteMultipartUploadInput{
		Bucket: bucket, Key: aws.String("uploads/mp"), UploadId: created.UploadId,
		MultipartUpload: &types.CompletedMultipartUpload{Parts: []types.CompletedPart{{PartNumber: aws.Int32(1), ETag: part.ETag}}},
	}))
	_, err := c.PutObject(ctx, &awss3.PutObjectInput{Bucket: bucket, Key: aws.String(key), Body: strings.NewReader("no"), IfNoneMatch: aws.String("*")})
	wantCode(t, err, "PreconditionFailed")

	var records []eventRecord
	for _, body := range drain(t, queue, 3) {
		var m eventMessage
		if err := json.Unmarshal([]byte(body), &m); err != nil {
			t.Fatal(err)
		}
		records = append(records, m.Records...)
	}
	if len(records) != 3 {
		t.Fatalf("%d events, want 3", len(records))
	}
	last := ""
	for i, want := range []struct {
		name, key string
		size      int64
	}{
		{"ObjectCreated:Put", "uploads/a+b/%C3%A4%2B.zip", 5},
		{"ObjectCreated:Copy", "uploads/copy", 1},
		{"ObjectCreated:CompleteMultipartUpload", "uploads/mp", 4},
	} {
		got := records[i]
		if got.EventName != want.name || got.S3.Object.Key != want.key || got.S3.Object.Size != want.size ||
			got.S3.Bucket.Name != *bucket || got.S3.Bucket.ARN != "arn:aws:s3:::"+*bucket || got.EventSource != "aws:s3" {
			t.Errorf("event %d is %+v, want %+v", i, got, want)
		}
		if got.S3.Object.Sequencer <= last {
			t.Errorf("sequencer %s after %s", got.S3.Object.Sequencer, last)
		}
		last = got.S3.Object.Sequencer
	}
	if etag := strings.Trim(*put.ETag, `"`); records[0].S3.Object.ETag != etag || strings.Contains(etag, `"`) {
		t.Errorf("eTag %s, want %s", records[0].S3.Object.ETag, etag)
	}
}

func TestNotificationConfiguration(t *testing.T) {
	c, ctx := client(t), t.Context()
	bucket := bucketFor(t, c)
	_, one := queueFor(t, "one")
	_, two := queueFor(t, "two")
	q := awssqs.NewFromConfig(awsConfig(t, keys.AccessKey, keys.SecretKey))
	ok[*awssqs.CreateQueueOutput](t)(q.CreateQueue(ctx, &awssqs.CreateQueueInput{QueueName: aws.String("closed")}))
	const created, put = types.EventS3ObjectCreated, types.EventS3ObjectCreatedPut
	const ambiguous = "Configuration is ambiguously defined. Cannot have overlapping suffixes in two rules if the prefixes are overlapping for the same event type."

	for _, test := range []struct {
		name    string
		queues  []types.QueueConfiguration
		message string // part of the refusal, "" if accepted
	}{
		{"apart by prefix", []types.QueueConfiguration{queueConfig(one, "a/", "", created), queueConfig(two, "b/", "", created)}, ""},
		{"apart by suffix", []types.QueueConfiguration{queueConfig(one, "", ".zip", created), queueConfig(two, "", ".tar", created)}, ""},
		{"apart by event", []types.QueueConfiguration{queueConfig(one, "", "", put), queueConfig(two, "", "", types.EventS3ObjectCreatedCopy)}, ""},
		{"the same twice", []types.QueueConfiguration{queueConfig(one, "a/", "", created), queueConfig(two, "a/", "", created)}, ambiguous},
		{"prefix of the other", []types.QueueConfiguration{queueConfig(one, "a/", "", created), queueConfig(two, "a/b/", "", put)}, ambiguous},
		{"suffix of the other", []types.QueueConfiguration{queueConfig(one, "", ".tar.gz", created), queueConfig(two, "", ".gz", created)}, ambiguous},
		{"no such queue", []types.QueueConfiguration{queueConfig("arn:aws:sqs:us-east-1:000000000000:none", "", "", created)}, "Unable to validate the following destination configurations"},
		{"queue without policy", []types.QueueConfiguration{queueConfig("arn:aws:sqs:us-east-1:000000000000:closed", "", "", created)}, "Permissions on the destination queue"},
		{"fifo queue", []types.QueueConfiguration{queueConfig("arn:aws:sqs:us-east-1:000000000000:q.fifo", "", "", created)}, "FIFO SQS queues are not supported"},
		{"event never emitted", []types.QueueConfiguration{queueConfig(one, "", "", types.EventS3ObjectRemoved)}, "not supported for notifications"},
		{"none", nil, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			before := ok[*awss3.GetBucketNotificationConfigurationOutput](t)(c.GetBucketNotificationConfiguration(ctx, &awss3.GetBucketNotificationConfigurationInput{Bucket: bucket}))
			err := putNotifications(t, c, bucket, test.queues...)
			want := len(test.queues)
			if test.message != "" {
				var api smithy.APIError
				if !errors.As(err, &api) || api.ErrorCode() != "InvalidArgument" || !strings.Contains(api.ErrorMessage(), test.message) {
					t.Errorf("error %v, want InvalidArgument: %s", err, test.message)
				}
				want = len(before.QueueConfigurations)
			} else if err != nil {
				t.Fatal(err)
			}
			after := ok[*awss3.GetBucketNotificationConfigurationOutput](t)(c.GetBucketNotificationConfiguration(ctx, &awss3.GetBucketNotificationConfigurationInput{Bucket: bucket}))
			if len(after.QueueConfigurations) != want {
				t.Fatalf("%d configurations, want %d", len(after.QueueConfigurations), want)
			}
			for i, got := range after.QueueConfigurations {
				if test.message == "" && (*got.QueueArn != *test.queues[i].QueueArn || got.Id == nil ||
					len(got.Filter.Key.FilterRules) != len(test.queues[i].Filter.Key.FilterRules)) {
					t.Errorf("configuration %d is %+v", i, got)
				}
			}
		})
	}
	_, err := c.GetBucketNotificationConfiguration(ctx, &awss3.GetBucketNotificationConfigurationInput{Bucket: aws.String("no-such-bucket")})
	wantCode(t, err, "NoSuchBucket")
}
