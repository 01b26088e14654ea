package converter

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/s3/transfermanager"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
	"github.com/trainyard/trainyard/services/converter/convert"
	"github.com/trainyard/trainyard/services/converter/shardindex"
	"github.com/trainyard/trainyard/services/converter/worker"
)

// urlLifetime is how long a child's URL works; it asks for another one when it has run out.
const urlLifetime = 15 * time.Minute

// objects are the S3 objects of one conversion. Under the output prefix lie the dataset and, below `work/`, what is
// removed when the dataset is whole.
type objects struct {
	s3     S3
	signer Presigner
	bucket string
	source string // Key.
	output string // Key prefix, ends in a slash.
}

func (u *unit) objects(sourceKey, outputPrefix string) objects {
	return objects{s3: u.deps.S3, signer: u.deps.Presigner, bucket: u.cfg.Bucket, source: sourceKey, output: outputPrefix}
}

// What converters of two versions work on at once, in a rolling update, they keep apart.
func (o objects) workPrefix() string { return o.output + "work/" }
func (o objects) planKey() string    { return o.workPrefix() + convert.Version + "/plan" }
func (o objects) resultKey(task int) string {
	return fmt.Sprintf("%s%s/result-%05d.json", o.workPrefix(), convert.Version, task)
}

func (o objects) uri() string                { return fmt.Sprintf("s3://%s/%s", o.bucket, o.output) }
func (o objects) fileKey(name string) string { return o.output + name }

var shardName = regexp.MustCompile(`^[a-z][a-z0-9_]*-(train|validation|test)\.tfrecord-[0-9]{5,}-of-[0-9]{5,}$`)

// isOutput tells whether a task may write a file: it is a shard, or the index of one.
func isOutput(name string) bool {
	if shard, ok := shardindex.Shard(name); ok {
		name = shard
	}
	return shardName.MatchString(name)
}

// sign signs what the child of a step may have, and nothing else.
func (o objects) sign(step worker.Step) func(context.Context, worker.SignRequest) (worker.Signed, error) {
	return func(ctx context.Context, r worker.SignRequest) (worker.Signed, error) {
		switch {
		case r.Object == worker.SourceObject && !r.Put:
			return o.signGet(ctx, o.source)
		case r.Object == worker.PlanObject && !r.Put && step == worker.TaskStep:
			return o.signGet(ctx, o.planKey())
		case r.Object == worker.PlanObject && r.Put && step == worker.PlanStep:
			return o.signPut(ctx, o.planKey(), r)
		case r.Object == worker.ShardObject && r.Put && step == worker.TaskStep && isOutput(r.Name):
			return o.signPut(ctx, o.fileKey(r.Name), r)
		}
		return worker.Signed{}, fmt.Errorf("a worker that does a %s may not have %s %q (put: %v)", step, r.Object, r.Name, r.Put)
	}
}

func (o objects) signGet(ctx context.Context, key string) (worker.Signed, error) {
	signed, err := o.signer.PresignGetObject(ctx, &s3.GetObjectInput{Bucket: &o.bucket, Key: &key}, s3.WithPresignExpires(urlLifetime))
	if err != nil {
		return worker.Signed{}, err
	}
	return worker.Signed{URL: signed.URL}, nil
}

// signPut binds the URL to the bytes: S3 checks length and digest.
func (o objects) signPut(ctx context.Context, key string, r worker.SignRequest) (worker.Signed, error) {
	sum, err := worker.Base64(r.SHA256)
	if err != nil {
		return worker.Signed{}, err
	}
	signed, err := o.signer.PresignPutObject(ctx, &s3.PutObjectInput{
		Bucket: &o.bucket, Key: &key, ContentLength: &r.Size, ChecksumSHA256: &sum, ChecksumAlgorithm: types.ChecksumAlgorithmSha256,
	}, s3.WithPresignExpires(urlLifetime))
	if err != nil {
		return worker.Signed{}, err
	}
	result := worker.Signed{URL: signed.URL, Headers: map[string]string{}}
	for name, values := range signed.SignedHeader {
		if !strings.EqualFold(name, "Host") && !strings.EqualFold(name, "Content-Length") {
			result.Headers[name] = values[0]
		}
	}
	return result, nil
}

func (o objects) putResult(ctx context.Context, result *convert.TaskResult) error {
	data, err := json.Marshal(result)
	if err != nil {
		return err
	}
	key := o.resultKey(result.Task)
	_, err = o.s3.PutObject(ctx, &s3.PutObjectInput{Bucket: &o.bucket, Key: &key, Body: bytes.NewReader(data)})
	return err
}

func (o objects) result(ctx context.Context, task int) (*convert.TaskResult, error) {
	data, err := o.read(ctx, o.resultKey(task))
	if err != nil {
		return nil, err
	}
	result := &convert.TaskResult{}
	return result, json.Unmarshal(data, result)
}

func (o objects) read(ctx context.Context, key string) ([]byte, error) {
	object, err := o.s3.GetObject(ctx, &s3.GetObjectInput{Bucket: &o.bucket, Key: &key})
	if err != nil {
		return nil, fmt.Errorf("get %s: %w", key, err)
	}
	defer object.Body.Close()
	return io.ReadAll(object.Body)
}

func (o objects) put(ctx context.Context, name string, data []byte) error {
	key, contentType := o.fileKey(name), "application/octet-stream"
	if strings.HasSuffix(name, ".json") {
		contentType = "application/json"
	}
	_, err := o.s3.PutObject(ctx, &s3.PutObjectInput{Bucket: &o.bucket, Key: &key, Body: bytes.NewReader(data), ContentType: &contentType})
	return err
}

// maxParts is how many parts an upload in parts may have, with room to spare.
const maxParts = 9000

// pack puts the whole dataset as one tar. Its bytes stream through this process: a part of a tar has no URL that could be signed before.
func (o objects) pack(ctx context.Context, out *convert.Output) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	read, write := io.Pipe()
	go func() {
		write.CloseWithError(out.WriteTar(ctx, write, func(ctx context.Context, s convert.Shard) (io.ReadCloser, error) {
			key := o.fileKey(s.Name)
			object, err := o.s3.GetObject(ctx, &s3.GetObjectInput{Bucket: &o.bucket, Key: &key})
			if err != nil {
				return nil, err
			}
			return object.Body, nil
		}))
	}()
	key := o.fileKey(convert.TarName)
	_, err := transfermanager.New(o.s3, func(c *transfermanager.Options) {
		c.Concurrency, c.PartSizeBytes = 2, max(8<<20, out.TarBytes()/maxParts)
	}).UploadObject(ctx, &transfermanager.UploadObjectInput{Bucket: &o.bucket, Key: &key, Body: read, ContentType: aws.String("application/x-tar")})
	return errors.Join(err, read.Close())
}

// publish puts the manifest, which makes the dataset exist. When it is there already, a claim before this one was lost after it had
// published, or another replica is as far; both made the same bytes. Only a converter of another version made others: nobody has been told
// of that dataset, and its shards are overwritten by now.
func (o objects) publish(ctx context.Context, manifest []byte) error {
	key := o.fileKey(convert.ManifestName)
	put := func() error {
		_, err := o.s3.PutObject(ctx, &s3.PutObjectInput{
			Bucket: &o.bucket, Key: &key, Body: bytes.NewReader(manifest), ContentType: aws.String("application/json"), IfNoneMatch: aws.String("*"),
		})
		return err
	}
	err := put()
	if !hasStatus(err, http.StatusPreconditionFailed) {
		return err // A conflict (409) may pass: two replicas put at once.
	}
	there, err := o.read(ctx, key)
	if err != nil || bytes.Equal(there, manifest) {
		return err
	}
	if _, err := o.s3.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &o.bucket, Key: &key}); err != nil {
		return err
	}
	return put()
}

// remove removes all objects below a prefix but the one that stays.
func (o objects) remove(ctx context.Context, prefix, stays string) error {
	pages := s3.NewListObjectsV2Paginator(o.s3, &s3.ListObjectsV2Input{Bucket: &o.bucket, Prefix: &prefix})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return err
		}
		gone := &types.Delete{Quiet: aws.Bool(true)}
		for _, object := range page.Contents { // At most 1,000, which is also what DeleteObjects takes.
			if aws.ToString(object.Key) != stays {
				gone.Objects = append(gone.Objects, types.ObjectIdentifier{Key: object.Key})
			}
		}
		if len(gone.Objects) == 0 {
			continue
		}
		result, err := o.s3.DeleteObjects(ctx, &s3.DeleteObjectsInput{Bucket: &o.bucket, Delete: gone})
		if err != nil {
			return err
		}
		if len(result.Errors) > 0 {
			return fmt.Errorf("%d objects were not deleted: %s %s", len(result.Errors), aws.ToString(result.Errors[0].Code), aws.ToString(result.Errors[0].Message))
		}
	}
	return nil
}

func hasStatus(err error, status int) bool {
	var response interface{ HTTPStatusCode() int }
	return errors.As(err, &response) && response.HTTPStatusCode() == status
}

func isMissing(err error) bool {
	var api smithy.APIError
	return hasStatus(err, http.StatusNotFound) || errors.As(err, &api) && (api.ErrorCode() == "NoSuchKey" || api.ErrorCode() == "NotFound")
}
