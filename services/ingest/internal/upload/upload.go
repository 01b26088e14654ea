// Package upload moves a file into S3 by a multipart upload that the service owns: it starts it, signs the parts that clients
// put, sees what has arrived, puts it together and clears it away. Nothing here knows of databases or of states.
//
// Every part is bound to its CRC32C and its length by the signature, and the whole object to the checksum that S3 combines
// from the parts' (ChecksumType FULL_OBJECT).
package upload

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
)

// S3's limits, from "Amazon S3 multipart upload limits" and "Sharing objects with presigned URLs".
const (
	MinPartSize    = 5 << 20
	MaxPartSize    = 5 << 30
	MaxParts       = 10_000
	MaxURLLifetime = 7 * 24 * time.Hour
)

// Client is what is used of S3; *s3.Client is one.
type Client interface {
	CreateMultipartUpload(context.Context, *s3.CreateMultipartUploadInput, ...func(*s3.Options)) (*s3.CreateMultipartUploadOutput, error)
	ListParts(context.Context, *s3.ListPartsInput, ...func(*s3.Options)) (*s3.ListPartsOutput, error)
	CompleteMultipartUpload(context.Context, *s3.CompleteMultipartUploadInput, ...func(*s3.Options)) (*s3.CompleteMultipartUploadOutput, error)
	AbortMultipartUpload(context.Context, *s3.AbortMultipartUploadInput, ...func(*s3.Options)) (*s3.AbortMultipartUploadOutput, error)
	ListMultipartUploads(context.Context, *s3.ListMultipartUploadsInput, ...func(*s3.Options)) (*s3.ListMultipartUploadsOutput, error)
	HeadObject(context.Context, *s3.HeadObjectInput, ...func(*s3.Options)) (*s3.HeadObjectOutput, error)
	DeleteObject(context.Context, *s3.DeleteObjectInput, ...func(*s3.Options)) (*s3.DeleteObjectOutput, error)
}

// Presigner signs URLs so that the headers are bound, not hoisted into the query, where a checksum would be signed but not enforced;
// *awscfg.Presigner is one.
type Presigner interface {
	PresignUploadPart(context.Context, *s3.UploadPartInput, ...func(*s3.PresignOptions)) (*v4.PresignedHTTPRequest, error)
}

var (
	// ErrNoUpload says that S3 has no such multipart upload: it was completed, aborted, or never was.
	ErrNoUpload = errors.New("no such multipart upload")
	// ErrNoObject says that there is no object of that key.
	ErrNoObject = errors.New("no such object")
)

// UnavailableError says that S3 doesn't answer now; the call may be repeated.
type UnavailableError struct{ Cause error }

func (e *UnavailableError) Error() string { return "s3 is not available: " + e.Cause.Error() }
func (e *UnavailableError) Unwrap() error { return e.Cause }

// Upload is one multipart upload.
type Upload struct {
	Key string
	ID  string
}

// Part is a part that S3 has.
type Part struct {
	Number int32
	Size   int64
	CRC32C string // As S3 writes it: base64 of the big-endian value.
	ETag   string
}

// Object is what HEAD says.
type Object struct {
	Size    int64
	ETag    string // Without quotes.
	Version string // S3's version id; empty where the bucket keeps none.
}

// Bucket moves files into one bucket.
type Bucket struct {
	Name      string
	S3        Client
	Presigner Presigner
}

// Begin starts a multipart upload.
func (b *Bucket) Begin(ctx context.Context, key string) (Upload, error) {
	out, err := b.S3.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{
		Bucket:            &b.Name,
		Key:               &key,
		ChecksumAlgorithm: types.ChecksumAlgorithmCrc32c,
		ChecksumType:      types.ChecksumTypeFullObject,
	})
	if err != nil {
		return Upload{}, classify("begin upload", err)
	}
	return Upload{Key: key, ID: aws.ToString(out.UploadId)}, nil
}

// Signed is where to put a part.
type Signed struct {
	URL string
	// Headers must be sent as they are. The Content-Length is signed too; clients set it by the body.
	Headers map[string]string
}

// Sign signs the URL of a part. S3 refuses any other bytes, any other length, and any time after the lifetime.
func (b *Bucket) Sign(ctx context.Context, u Upload, part int32, size int64, crc32c string, lifetime time.Duration) (Signed, error) {
	out, err := b.Presigner.PresignUploadPart(ctx, &s3.UploadPartInput{
		Bucket:         &b.Name,
		Key:            &u.Key,
		UploadId:       &u.ID,
		PartNumber:     &part,
		ContentLength:  &size,
		ChecksumCRC32C: &crc32c,
	}, s3.WithPresignExpires(lifetime))
	if err != nil {
		return Signed{}, classify("sign part", err)
	}
	signed := Signed{URL: out.URL, Headers: map[string]string{}}
	for name, values := range out.SignedHeader {
		// Every HTTP client sets these two by itself, and a browser lets nobody else.
		if name = strings.ToLower(name); name != "host" && name != "content-length" {
			signed.Headers[name] = strings.Join(values, ",")
		}
	}
	return signed, nil
}

// List gives up to limit parts (at most 1000, S3's page) with a number above after, and whether there are more. ErrNoUpload when the
// upload is gone.
func (b *Bucket) List(ctx context.Context, u Upload, after, limit int32) ([]Part, bool, error) {
	out, err := b.S3.ListParts(ctx, &s3.ListPartsInput{
		Bucket:           &b.Name,
		Key:              &u.Key,
		UploadId:         &u.ID,
		MaxParts:         &limit,
		PartNumberMarker: aws.String(strconv.Itoa(int(after))),
	})
	if err != nil {
		return nil, false, classify("list parts", err)
	}
	parts := make([]Part, len(out.Parts))
	for i, p := range out.Parts {
		parts[i] = Part{
			Number: aws.ToInt32(p.PartNumber), Size: aws.ToInt64(p.Size), CRC32C: aws.ToString(p.ChecksumCRC32C), ETag: aws.ToString(p.ETag),
		}
	}
	return parts, aws.ToBool(out.IsTruncated), nil
}

// Complete checks that every part of the plan has arrived with its size, and puts them together. IncompleteError names what is amiss,
// ErrNoUpload says that the upload is gone.
func (b *Bucket) Complete(ctx context.Context, u Upload, plan Plan) error {
	var parts []Part
	for more := true; more; {
		var after int32
		if len(parts) > 0 {
			after = parts[len(parts)-1].Number
		}
		page, truncated, err := b.List(ctx, u, after, 1000)
		if err != nil {
			return err
		}
		parts = append(parts, page...)
		more = truncated && len(page) > 0
	}
	if err := plan.check(parts); err != nil {
		return err
	}
	completed := make([]types.CompletedPart, len(parts))
	for i, p := range parts {
		completed[i] = types.CompletedPart{PartNumber: &p.Number, ETag: &p.ETag, ChecksumCRC32C: &p.CRC32C}
	}
	_, err := b.S3.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{
		Bucket:          &b.Name,
		Key:             &u.Key,
		UploadId:        &u.ID,
		ChecksumType:    types.ChecksumTypeFullObject,
		MpuObjectSize:   aws.Int64(plan.Size),
		MultipartUpload: &types.CompletedMultipartUpload{Parts: completed},
	})
	return classify("complete upload", err)
}

// Abort ends an upload and frees its parts. ErrNoUpload when it is gone already.
func (b *Bucket) Abort(ctx context.Context, u Upload) error {
	_, err := b.S3.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: &b.Name, Key: &u.Key, UploadId: &u.ID})
	return classify("abort upload", err)
}

// Head looks at the object. ErrNoObject when there is none.
func (b *Bucket) Head(ctx context.Context, key string) (Object, error) {
	out, err := b.S3.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &b.Name, Key: &key})
	if err != nil {
		return Object{}, classify("look at object", err)
	}
	return Object{Size: aws.ToInt64(out.ContentLength), ETag: TrimETag(aws.ToString(out.ETag)), Version: aws.ToString(out.VersionId)}, nil
}

// Delete removes the object. One that is not there is no error.
func (b *Bucket) Delete(ctx context.Context, key string) error {
	_, err := b.S3.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &b.Name, Key: &key})
	return classify("delete object", err)
}

// Unfinished calls found for every multipart upload under the prefix that was begun before the given time.
func (b *Bucket) Unfinished(ctx context.Context, prefix string, before time.Time, found func(Upload) error) error {
	in := &s3.ListMultipartUploadsInput{Bucket: &b.Name, Prefix: &prefix}
	for {
		out, err := b.S3.ListMultipartUploads(ctx, in)
		if err != nil {
			return classify("list uploads", err)
		}
		for _, u := range out.Uploads {
			if aws.ToTime(u.Initiated).Before(before) {
				if err := found(Upload{Key: aws.ToString(u.Key), ID: aws.ToString(u.UploadId)}); err != nil {
					return err
				}
			}
		}
		if !aws.ToBool(out.IsTruncated) {
			return nil
		}
		in.KeyMarker, in.UploadIdMarker = out.NextKeyMarker, out.NextUploadIdMarker
	}
}

// TrimETag takes the quotes off an ETag, so that one from a header and one from an event compare.
func TrimETag(etag string) string { return strings.Trim(etag, `"`) }

// classify gives S3's errors the names of this package.
func classify(doing string, err error) error {
	if err == nil {
		return nil
	}
	wrapped := fmt.Errorf("%s: %w", doing, err)
	var api smithy.APIError
	if errors.As(err, &api) {
		switch api.ErrorCode() {
		case "NoSuchUpload":
			return fmt.Errorf("%s: %w", doing, ErrNoUpload)
		case "NoSuchKey", "NotFound":
			return fmt.Errorf("%s: %w", doing, ErrNoObject)
		}
	}
	var response interface{ HTTPStatusCode() int }
	if errors.As(err, &response) {
		if code := response.HTTPStatusCode(); code != 0 && code < http.StatusInternalServerError && code != http.StatusTooManyRequests {
			return wrapped
		}
		return &UnavailableError{wrapped}
	}
	// Without a response the request did not get through, unless the caller gave up.
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return wrapped
	}
	return &UnavailableError{wrapped}
}
