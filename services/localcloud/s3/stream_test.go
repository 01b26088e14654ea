package s3

import (
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
)

// zeros is an endless body that costs nothing to make.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func putZeros(t testing.TB, signed *v4.PresignedHTTPRequest, size int64) {
	t.Helper()
	r := ok[*http.Request](t)(http.NewRequestWithContext(t.Context(), http.MethodPut, signed.URL, io.LimitReader(zeros{}, size)))
	r.ContentLength = size
	res := ok[*http.Response](t)(http.DefaultClient.Do(r))
	defer res.Body.Close()
	if text, _ := io.ReadAll(res.Body); res.StatusCode != http.StatusOK {
		t.Fatalf("put: %d %s", res.StatusCode, text)
	}
}

// peakMemory gives the largest resident size of this process so far, in bytes.
func peakMemory(t *testing.T) int64 {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Skip("no /proc to read the peak memory from")
	}
	match := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(status)
	if match == nil {
		t.Skip("no VmHWM in /proc/self/status")
	}
	return ok[int64](t)(strconv.ParseInt(string(match[1]), 10, 64)) << 10
}

func TestLargeBodiesAreStreamed(t *testing.T) {
	const size, allowance = 128 << 20, 32 << 20
	c := client(t)
	in := &awss3.PutObjectInput{Bucket: bucketFor(t, c), Key: aws.String("large")}
	signed := ok[*v4.PresignedHTTPRequest](t)(awss3.NewPresignClient(c).PresignPutObject(t.Context(), in))
	before := peakMemory(t)

	start := time.Now()
	putZeros(t, signed, size)
	written := time.Since(start)
	start = time.Now()
	signed = ok[*v4.PresignedHTTPRequest](t)(awss3.NewPresignClient(c).PresignGetObject(t.Context(), &awss3.GetObjectInput{Bucket: in.Bucket, Key: in.Key}))
	r := ok[*http.Request](t)(http.NewRequestWithContext(t.Context(), http.MethodGet, signed.URL, nil))
	res := ok[*http.Response](t)(http.DefaultClient.Do(r))
	defer res.Body.Close()
	if n := ok[int64](t)(io.Copy(io.Discard, res.Body)); n != size {
		t.Errorf("%d bytes came back, want %d", n, size)
	}
	read := time.Since(start)

	grown := peakMemory(t) - before
	t.Logf("put %.0f MiB/s, get %.0f MiB/s, peak memory grew by %d MiB", size/written.Seconds()/(1<<20), size/read.Seconds()/(1<<20), grown>>20)
	if grown > allowance {
		t.Errorf("memory grew by %d MiB for a body of %d MiB", grown>>20, size>>20)
	}
}

// An upload whose client vanishes leaves no object and no temporary file.
func TestAbortedPutLeavesNothing(t *testing.T) {
	c := client(t)
	bucket := bucketFor(t, c)
	signed := ok[*v4.PresignedHTTPRequest](t)(awss3.NewPresignClient(c).PresignPutObject(t.Context(), &awss3.PutObjectInput{Bucket: bucket, Key: aws.String("k")}))
	r := ok[*http.Request](t)(http.NewRequestWithContext(t.Context(), http.MethodPut, signed.URL, nil))
	conn := ok[net.Conn](t)(new(net.Dialer).DialContext(t.Context(), "tcp", r.URL.Host))
	_, err := io.WriteString(conn, "PUT "+r.URL.RequestURI()+" HTTP/1.1\r\nHost: "+r.URL.Host+"\r\nContent-Length: 10485760\r\n\r\nonly this")
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()

	temporary := filepath.Join(dataDir, "s3", "root", *bucket, ".sgwtmp", "*")
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		left := ok[[]string](t)(filepath.Glob(temporary))
		listed := ok[*awss3.ListObjectsV2Output](t)(c.ListObjectsV2(t.Context(), &awss3.ListObjectsV2Input{Bucket: bucket}))
		if len(left) == 0 && len(listed.Contents) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("left: %v, listed: %d", left, len(listed.Contents))
		}
	}
}

func BenchmarkPut(b *testing.B) {
	const size = 64 << 20
	c := client(b)
	bucket := bucketFor(b, c)
	signed := ok[*v4.PresignedHTTPRequest](b)(awss3.NewPresignClient(c).PresignPutObject(b.Context(), &awss3.PutObjectInput{Bucket: bucket, Key: aws.String("k")}))
	b.SetBytes(size)
	for b.Loop() {
		putZeros(b, signed, size)
	}
}
