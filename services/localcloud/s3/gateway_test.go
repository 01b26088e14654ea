package s3

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

func TestRanges(t *testing.T) {
	c := client(t)
	bucket, key := bucketFor(t, c), aws.String("numbers")
	data := []byte(strings.Repeat("0123456789", 100_000))
	ok[*awss3.PutObjectOutput](t)(c.PutObject(t.Context(), &awss3.PutObjectInput{Bucket: bucket, Key: key, Body: bytes.NewReader(data)}))
	for asked, want := range map[string]struct {
		body   []byte
		ranged string
	}{
		"bytes=0-0":            {data[:1], "bytes 0-0/1000000"},
		"bytes=3-700000":       {data[3:700_001], "bytes 3-700000/1000000"},
		"bytes=999990-":        {data[999_990:], "bytes 999990-999999/1000000"},
		"bytes=-7":             {data[999_993:], "bytes 999993-999999/1000000"},
		"bytes=0-999999":       {data, "bytes 0-999999/1000000"},
		"bytes=500000-9999999": {data[500_000:], "bytes 500000-999999/1000000"},
		"bytes=0-1,3-4":        {data, ""}, // Not served by S3 either.
	} {
		out := ok[*awss3.GetObjectOutput](t)(c.GetObject(t.Context(), &awss3.GetObjectInput{
			Bucket: bucket, Key: key, Range: &asked, ChecksumMode: types.ChecksumModeEnabled,
		}))
		got := ok[[]byte](t)(io.ReadAll(out.Body))
		if out.Body.Close(); !bytes.Equal(got, want.body) || aws.ToString(out.ContentRange) != want.ranged {
			t.Errorf("%s: %d bytes, Content-Range %q", asked, len(got), aws.ToString(out.ContentRange))
		}
	}
	_, err := c.GetObject(t.Context(), &awss3.GetObjectInput{Bucket: bucket, Key: key, Range: aws.String("bytes=1000000-")})
	wantCode(t, err, "InvalidRange")
	_, err = c.GetObject(t.Context(), &awss3.GetObjectInput{Bucket: bucket, Key: key, Range: aws.String("bytes=0-1"), IfMatch: aws.String(`"other"`)})
	wantCode(t, err, "PreconditionFailed")
}

func TestEmptyObjects(t *testing.T) {
	c := client(t)
	bucket, key := bucketFor(t, c), aws.String("nothing")
	ok[*awss3.PutObjectOutput](t)(c.PutObject(t.Context(), &awss3.PutObjectInput{Bucket: bucket, Key: key, ContentType: aws.String("text/csv")}))
	head := ok[*awss3.HeadObjectOutput](t)(c.HeadObject(t.Context(), &awss3.HeadObjectInput{Bucket: bucket, Key: key}))
	if aws.ToInt64(head.ContentLength) != 0 || aws.ToString(head.ContentType) != "text/csv" {
		t.Errorf("%d bytes of %q", aws.ToInt64(head.ContentLength), aws.ToString(head.ContentType))
	}
	if body := get(t, c, bucket, *key); len(body) != 0 {
		t.Errorf("it holds %q", body)
	}
}
