package converter

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
	"github.com/trainyard/trainyard/services/converter/convert"
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

func (o objects) planKey() string { return o.output + "work/plan" }
func (o objects) resultKey(task int) string {
	return fmt.Sprintf("%swork/result-%05d.json", o.output, task)
}
func (o objects) fileKey(name string) string { return o.output + name }

// sign signs what a child may have, and nothing else.
func (o objects) sign(ctx context.Context, r worker.SignRequest) (worker.Signed, error) {
	expires := s3.WithPresignExpires(urlLifetime)
	if !r.Put {
		key := o.source
		if r.Object == worker.PlanObject {
			key = o.planKey()
		}
		signed, err := o.signer.PresignGetObject(ctx, &s3.GetObjectInput{Bucket: &o.bucket, Key: &key}, expires)
		if err != nil {
			return worker.Signed{}, err
		}
		return worker.Signed{URL: signed.URL}, nil
	}
	key := o.planKey()
	switch {
	case r.Object == worker.PlanObject:
	case r.Object == worker.ShardObject && strings.Contains(r.Name, ".tfrecord-") && !strings.ContainsAny(r.Name, "/\\"):
		key = o.fileKey(r.Name)
	default:
		return worker.Signed{}, fmt.Errorf("a worker may not write %s %q", r.Object, r.Name)
	}
	sum, err := worker.Base64(r.SHA256)
	if err != nil {
		return worker.Signed{}, err
	}
	signed, err := o.signer.PresignPutObject(ctx, &s3.PutObjectInput{
		Bucket: &o.bucket, Key: &key, ContentLength: &r.Size, ChecksumSHA256: &sum, ChecksumAlgorithm: types.ChecksumAlgorithmSha256,
	}, expires)
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

// publish puts the manifest, which makes the dataset exist. A manifest that is there already is the dataset: it is given back instead.
func (o objects) publish(ctx context.Context, manifest []byte) ([]byte, error) {
	key := o.fileKey(convert.ManifestName)
	_, err := o.s3.PutObject(ctx, &s3.PutObjectInput{
		Bucket: &o.bucket, Key: &key, Body: bytes.NewReader(manifest), ContentType: aws.String("application/json"), IfNoneMatch: aws.String("*"),
	})
	if hasStatus(err, http.StatusPreconditionFailed) || hasStatus(err, http.StatusConflict) {
		return o.read(ctx, key)
	}
	return manifest, err
}

// clean removes what only the work needed. What is left behind by a crash costs a few bytes and harms nobody.
func (o objects) clean(ctx context.Context, tasks int) error {
	keys := []string{o.planKey()}
	for i := range tasks {
		keys = append(keys, o.resultKey(i))
	}
	var failures []error
	for _, key := range keys {
		if _, err := o.s3.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &o.bucket, Key: &key}); err != nil {
			failures = append(failures, err)
		}
	}
	return errors.Join(failures...)
}

func hasStatus(err error, status int) bool {
	var response interface{ HTTPStatusCode() int }
	return errors.As(err, &response) && response.HTTPStatusCode() == status
}

func isMissing(err error) bool {
	var api smithy.APIError
	return hasStatus(err, http.StatusNotFound) || errors.As(err, &api) && (api.ErrorCode() == "NoSuchKey" || api.ErrorCode() == "NotFound")
}
