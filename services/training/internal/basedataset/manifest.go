package basedataset

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
)

// manifestFile lies beside the shards and names each of them with its SHA-256.
const manifestFile = "manifest.json"

// ManifestError tells that a base dataset is no longer what was pinned.
type ManifestError struct {
	ID  string
	URI string
	// Want and Have are SHA-256 in hex; Have is empty where the manifest is gone.
	Want, Have string
}

func (e *ManifestError) Error() string {
	if e.Have == "" {
		return fmt.Sprintf("%s has changed since it was published: its %s%s is gone and had the SHA-256 %s. Put the dataset back, or publish it again.", e.ID, e.URI, manifestFile, e.Want)
	}
	return fmt.Sprintf("%s has changed since it was published: its %s%s has the SHA-256 %s and had %s. Put the dataset back, or publish it again.",
		e.ID, e.URI, manifestFile, e.Have, e.Want)
}

// PinManifest gives the SHA-256 of the manifest that a job at this location must find, in hex; empty where there is none to pin. On S3 it is
// read and compared now; without a digest to compare, what is there now is pinned. A file system can't be read from here, nor may S3 be
// where only the jobs' role may: the training program compares there. It fails with a ManifestError or an UnavailableError.
func PinManifest(ctx context.Context, client Objects, b *BaseDataset, l Location) (string, error) {
	if l.Storage != S3 || !strings.HasSuffix(l.URI, "/") {
		return b.ManifestSHA256, nil
	}
	have, err := manifestSHA256(ctx, client, l.URI)
	var api smithy.APIError
	switch {
	case errors.As(err, &api) && api.ErrorCode() == "AccessDenied":
		return b.ManifestSHA256, nil
	case err != nil:
		return "", &UnavailableError{Cause: fmt.Errorf("get %s%s: %w", l.URI, manifestFile, err)}
	case b.ManifestSHA256 != "" && have != b.ManifestSHA256:
		return "", &ManifestError{ID: b.ID, URI: l.URI, Want: b.ManifestSHA256, Have: have}
	}
	return have, nil
}

// manifestSHA256 is empty where there is no manifest.
func manifestSHA256(ctx context.Context, client Objects, uri string) (string, error) {
	bucket, prefix, _ := strings.Cut(strings.TrimPrefix(uri, "s3://"), "/")
	object, err := client.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String(bucket), Key: aws.String(prefix + manifestFile)})
	if missing := (*s3types.NoSuchKey)(nil); errors.As(err, &missing) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	defer func() { _ = object.Body.Close() }()
	sum := sha256.New()
	if _, err := io.Copy(sum, object.Body); err != nil {
		return "", err
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}
