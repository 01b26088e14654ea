package s3

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// Bodies whose digests are checked side by side don't mix, and one that is wrong is refused and leaves nothing.
func TestSHA256OfManyAtOnce(t *testing.T) {
	c := client(t)
	bucket := bucketFor(t, c)
	presigner := awss3.NewPresignClient(c)
	var puts sync.WaitGroup
	for i := range 12 {
		puts.Go(func() {
			data := make([]byte, 1+rand.IntN(3<<20))
			for j := range data {
				data[j] = byte(i + j>>8)
			}
			sum := sha256.Sum256(data)
			key, digest := strconv.Itoa(i), base64.StdEncoding.EncodeToString(sum[:])
			signed := ok[*v4.PresignedHTTPRequest](t)(presigner.PresignPutObject(t.Context(), &awss3.PutObjectInput{
				Bucket: bucket, Key: &key, ContentLength: aws.Int64(int64(len(data))), ChecksumSHA256: &digest, ChecksumAlgorithm: types.ChecksumAlgorithmSha256,
			}))
			want := http.StatusOK
			if i%3 == 0 {
				data[len(data)/2] ^= 1
				want = http.StatusBadRequest
			}
			req := ok[*http.Request](t)(http.NewRequestWithContext(t.Context(), http.MethodPut, signed.URL, bytes.NewReader(data)))
			for name, values := range signed.SignedHeader {
				req.Header[name] = values
			}
			res := ok[*http.Response](t)(http.DefaultClient.Do(req))
			defer res.Body.Close()
			if text := ok[[]byte](t)(io.ReadAll(res.Body)); res.StatusCode != want || want != http.StatusOK && !strings.Contains(string(text), "BadDigest") {
				t.Errorf("object %d: %d %s", i, res.StatusCode, text)
			}
			head, err := c.HeadObject(t.Context(), &awss3.HeadObjectInput{Bucket: bucket, Key: &key, ChecksumMode: types.ChecksumModeEnabled})
			if want != http.StatusOK {
				wantCode(t, err, "NotFound")
			} else if err != nil || aws.ToString(head.ChecksumSHA256) != digest || aws.ToInt64(head.ContentLength) != int64(len(data)) {
				t.Errorf("object %d: %v, checksum %s", i, err, aws.ToString(head.ChecksumSHA256))
			}
		})
	}
	puts.Wait()
}
