package sagemaker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	sdk "github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/smithy-go"
	"github.com/cenkalti/backoff/v5"
	"golang.org/x/sync/errgroup"
)

// S3 is what the service uses of *s3.Client: s3:ListBucket, s3:GetObject, s3:PutObject and s3:AbortMultipartUpload.
type S3 interface {
	ListObjectsV2(context.Context, *s3.ListObjectsV2Input, ...func(*s3.Options)) (*s3.ListObjectsV2Output, error)
	GetObject(context.Context, *s3.GetObjectInput, ...func(*s3.Options)) (*s3.GetObjectOutput, error)
	PutObject(context.Context, *s3.PutObjectInput, ...func(*s3.Options)) (*s3.PutObjectOutput, error)
	CreateMultipartUpload(context.Context, *s3.CreateMultipartUploadInput, ...func(*s3.Options)) (*s3.CreateMultipartUploadOutput, error)
	UploadPart(context.Context, *s3.UploadPartInput, ...func(*s3.Options)) (*s3.UploadPartOutput, error)
	CompleteMultipartUpload(context.Context, *s3.CompleteMultipartUploadInput, ...func(*s3.Options)) (*s3.CompleteMultipartUploadOutput, error)
	AbortMultipartUpload(context.Context, *s3.AbortMultipartUploadInput, ...func(*s3.Options)) (*s3.AbortMultipartUploadOutput, error)
}

const (
	// s3Patience is how long a transfer waits for an S3 that doesn't answer, as when it starts after us.
	s3Patience    = 2 * time.Minute
	s3Concurrency = 8
	// partSize of a multipart upload, used for files larger than one part. 10,000 parts make 640 GB.
	partSize = 64 << 20
)

// isAPIError tells an answer of S3 that a retry won't change from an S3 that can't be reached or failed inside.
func isAPIError(err error) bool {
	var api smithy.APIError
	return errors.As(err, &api) && api.ErrorFault() != smithy.FaultServer && api.ErrorCode() != "SlowDown" && api.ErrorCode() != "InternalError"
}

// withRetry runs a transfer until it works, S3 refuses it, or patience ends.
func withRetry[T any](ctx context.Context, f func() (T, error)) (T, error) {
	return backoff.Retry(ctx, func() (T, error) {
		v, err := f()
		var local *os.PathError
		if err != nil && (isAPIError(err) || errors.As(err, &local) || errors.As(err, new(*clientError))) {
			err = backoff.Permanent(err)
		}
		return v, err
	}, backoff.WithMaxElapsedTime(s3Patience))
}

// clientError is a failure that is the caller's to mend; its text becomes the job's FailureReason.
type clientError struct{ text string }

func (e *clientError) Error() string { return e.text }

func clientErrorf(format string, args ...any) error {
	return &clientError{fmt.Sprintf(format, args...)}
}

func (s *Service) noObjects(in *sdk.CreateTrainingJobInput, uri, bucket string) string {
	return fmt.Sprintf("No S3 objects found under S3 URL %q given in input data source. Please ensure that the bucket exists in the selected region (%s), that objects exist under that S3 prefix, and that the role %q has \"s3:ListBucket\" permissions on bucket %q.",
		uri, s.cfg.Region, aws.ToString(in.RoleArn), bucket)
}

func (s *Service) prefixEmpty(ctx context.Context, bucket, prefix string) (bool, error) {
	out, err := s.deps.S3.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: &bucket, Prefix: &prefix, MaxKeys: aws.Int32(1)})
	if err != nil {
		return false, err
	}
	return len(out.Contents) == 0, nil
}

func openRoot(dir string) (*os.Root, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, err
	}
	return os.OpenRoot(dir)
}

// upload puts a file to S3: in one piece if it is small, else in parts.
func (s *Service) upload(ctx context.Context, file, bucket, key string) error {
	f, err := os.Open(file) //nolint:gosec // The path is under the job's own folder.
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if info.Size() <= partSize {
		_, err := withRetry(ctx, func() (*s3.PutObjectOutput, error) {
			return s.deps.S3.PutObject(ctx, &s3.PutObjectInput{Bucket: &bucket, Key: &key, Body: io.NewSectionReader(f, 0, info.Size()), ContentLength: aws.Int64(info.Size())})
		})
		return err
	}
	return s.uploadParts(ctx, f, info.Size(), bucket, key)
}

func (s *Service) uploadParts(ctx context.Context, f io.ReaderAt, size int64, bucket, key string) error {
	created, err := withRetry(ctx, func() (*s3.CreateMultipartUploadOutput, error) {
		return s.deps.S3.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{Bucket: &bucket, Key: &key, ChecksumAlgorithm: s3types.ChecksumAlgorithmCrc32})
	})
	if err != nil {
		return err
	}
	parts := make([]s3types.CompletedPart, (size+partSize-1)/partSize)
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(s3Concurrency / 2)
	for i := range parts {
		number, offset := aws.Int32(int32(i+1)), int64(i)*partSize //nolint:gosec // S3 has at most 10,000 parts.
		length := min(partSize, size-offset)
		g.Go(func() error {
			out, err := withRetry(gctx, func() (*s3.UploadPartOutput, error) {
				return s.deps.S3.UploadPart(gctx, &s3.UploadPartInput{
					Bucket: &bucket, Key: &key, UploadId: created.UploadId, PartNumber: number, ChecksumAlgorithm: s3types.ChecksumAlgorithmCrc32,
					Body: io.NewSectionReader(f, offset, length), ContentLength: aws.Int64(length),
				})
			})
			if err == nil {
				parts[i] = s3types.CompletedPart{PartNumber: number, ETag: out.ETag, ChecksumCRC32: out.ChecksumCRC32}
			}
			return err
		})
	}
	if err = g.Wait(); err == nil {
		_, err = withRetry(ctx, func() (*s3.CompleteMultipartUploadOutput, error) {
			return s.deps.S3.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{
				Bucket: &bucket, Key: &key, UploadId: created.UploadId, MultipartUpload: &s3types.CompletedMultipartUpload{Parts: parts},
			})
		})
	}
	if err != nil {
		_, abortErr := s.deps.S3.AbortMultipartUpload(context.WithoutCancel(ctx), &s3.AbortMultipartUploadInput{Bucket: &bucket, Key: &key, UploadId: created.UploadId})
		return errors.Join(err, abortErr)
	}
	return nil
}
