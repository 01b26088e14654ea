package s3

import (
	"encoding/base64"
	"errors"
	"io"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/versity/versitygw/s3api/middlewares"
	"github.com/versity/versitygw/s3err"
	"github.com/versity/versitygw/s3response"

	"github.com/trainyard/trainyard/services/internal/sha256x2"
)

// sha256Body checks the SHA-256 that a client says an object has, in place of versitygw, which hashes one body as if there were no
// other: most of the time that a PUT takes is spent on this.
type sha256Body struct {
	io.Reader
	sum  *sha256x2.Hash
	want string
}

var _ middlewares.ChecksumReader = (*sha256Body)(nil)

// checkSHA256 makes the body of an object check its SHA-256, if it comes with one. Call done when the object is stored.
func checkSHA256(in *s3response.PutObjectInput) (done func()) {
	trailing, ok := in.Body.(middlewares.ChecksumReader)
	if in.ChecksumSHA256 == nil || ok && trailing.Algorithm() != "" { // A checksum at the end of the body is checked there.
		return func() {}
	}
	in.Body = &sha256Body{Reader: in.Body, sum: sha256x2.New(), want: aws.ToString(in.ChecksumSHA256)}
	hashing.bodies.Add(1)
	return func() { hashing.bodies.Add(-1) }
}

// Read implements io.Reader. It fills p, and the end of a body with another checksum is an error.
func (b *sha256Body) Read(p []byte) (int, error) {
	n, err := io.ReadFull(b.Reader, p)
	if n > 0 {
		hashing.write(b.sum, p[:n])
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = io.EOF
	}
	if errors.Is(err, io.EOF) && b.Checksum() != b.want {
		err = s3err.GetChecksumBadDigestErr(types.ChecksumAlgorithmSha256)
	}
	return n, err
}

// Algorithm implements middlewares.ChecksumReader.
func (b *sha256Body) Algorithm() string { return "sha256" }

// Checksum implements middlewares.ChecksumReader.
func (b *sha256Body) Checksum() string { return base64.StdEncoding.EncodeToString(b.sum.Sum(nil)) }

// hashing hashes the bodies of all requests under way.
var hashing = pairs{waiting: make(chan piece)}

// pairs hashes two pieces at once where it can: that takes half the time.
type pairs struct {
	bodies  atomic.Int32 // under way
	waiting chan piece
}

type piece struct {
	sum  *sha256x2.Hash
	data []byte
	done chan struct{}
}

// partnerWait is how long a piece waits for another one: about what it takes to hash it.
const partnerWait = 200 * time.Microsecond

func (p *pairs) write(sum *sha256x2.Hash, data []byte) {
	if p.bodies.Load() < 2 {
		sum.Write(data) //nolint:errcheck // It never fails.
		return
	}
	own := piece{sum, data, make(chan struct{})}
	alone := time.NewTimer(partnerWait)
	defer alone.Stop()
	select {
	case p.waiting <- own:
		<-own.done
	case other := <-p.waiting:
		sha256x2.WriteBoth(sum, data, other.sum, other.data)
		close(other.done)
	case <-alone.C:
		sum.Write(data) //nolint:errcheck // It never fails.
	}
}
