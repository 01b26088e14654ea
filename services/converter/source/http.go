package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// Limits of the HTTP source.
const (
	maxRange       = 8 << 20          // one GET; longer reads are split
	attempts       = 8                // per range, with jittered exponential pauses between
	attemptTimeout = 60 * time.Second // for one GET: 8 MiB in a minute is slower than any link worth waiting for
	keptOpen       = 16               // connections between GETs
)

// defaultClient keeps as many connections open as a reader has GETs in flight. http.DefaultClient keeps two, and each of the others would
// begin anew, with a handshake and a small window, whenever a reader has waited for all.
var defaultClient = sync.OnceValue(func() *http.Client {
	transport, ok := http.DefaultTransport.(*http.Transport)
	if !ok { // A program has put its own in its place.
		return http.DefaultClient
	}
	transport = transport.Clone()
	transport.MaxIdleConnsPerHost = keptOpen
	return &http.Client{Transport: transport}
})

// Sign yields a URL that may be used for GET, presigned where the store wants that. It is called at
// the first read and again whenever the store has refused the last URL as expired.
type Sign func(ctx context.Context) (string, error)

// HTTP is a Source over ranged GETs. Every request carries If-Match with the pinned ETag, so that
// bytes of two objects are never mixed. Short replies are continued from where they stopped.
type HTTP struct {
	client *http.Client
	sign   Sign
	size   int64
	etag   string

	mu  sync.Mutex
	url string
}

// NewHTTP makes a Source of an object whose size and ETag (as in the ETag header, with its quotes) are
// known from a HEAD. Without an ETag nothing is pinned, and nothing gives ErrChanged. A nil client means one that all such sources share.
func NewHTTP(client *http.Client, sign Sign, size int64, etag string) *HTTP {
	if client == nil {
		client = defaultClient()
	}
	return &HTTP{client: client, sign: sign, size: size, etag: etag}
}

// Size implements Source.
func (h *HTTP) Size() int64 { return h.size }

// ReadAt implements Source.
func (h *HTTP) ReadAt(ctx context.Context, p []byte, off int64) error {
	if off < 0 || off > h.size || int64(len(p)) > h.size-off {
		return io.ErrUnexpectedEOF
	}
	for len(p) > 0 {
		n := min(len(p), maxRange)
		if err := h.readRange(ctx, p[:n], off); err != nil {
			return fmt.Errorf("read %d bytes at %d of the source: %w", n, off, err)
		}
		p, off = p[n:], off+int64(n)
	}
	return nil
}

func (h *HTTP) readRange(ctx context.Context, p []byte, off int64) error {
	pauses := backoff.NewExponentialBackOff()
	pauses.InitialInterval, pauses.MaxInterval = 100*time.Millisecond, 10*time.Second
	done := 0
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		n, err := h.attempt(ctx, p[done:], off+int64(done))
		done += n
		return struct{}{}, err
	}, backoff.WithBackOff(pauses), backoff.WithMaxTries(attempts), backoff.WithMaxElapsedTime(0))
	return err
}

// attempt makes one GET and returns how many bytes came, with an error unless that was all of p.
func (h *HTTP) attempt(ctx context.Context, p []byte, off int64) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	signed, err := h.currentURL(ctx)
	if err != nil {
		return 0, fmt.Errorf("sign a URL for the source: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, signed, nil)
	if err != nil {
		return 0, backoff.Permanent(errors.New("the signed URL of the source is malformed")) // the URL itself is a secret
	}
	last := off + int64(len(p)) - 1
	req.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", off, last))
	if h.etag != "" {
		req.Header.Set("If-Match", h.etag)
	}
	// Stored bytes are wanted as they are: transparent decompression would make offsets meaningless.
	req.Header.Set("Accept-Encoding", "identity")
	res, err := h.client.Do(req)
	if err != nil {
		return 0, withoutURL(err)
	}
	defer res.Body.Close()
	switch {
	case res.StatusCode == http.StatusPartialContent:
	case res.StatusCode == http.StatusOK && off == 0 && res.ContentLength == h.size:
		// A store may answer a range that is the whole object with 200.
	case h.etag != "" && (res.StatusCode == http.StatusPreconditionFailed || res.StatusCode == http.StatusNotFound):
		return 0, backoff.Permanent(ErrChanged)
	case res.StatusCode == http.StatusForbidden, res.StatusCode == http.StatusUnauthorized:
		h.expire(signed)
		return 0, fmt.Errorf("the store refused the signed URL: %s", res.Status)
	case res.StatusCode == http.StatusTooManyRequests, res.StatusCode == http.StatusRequestTimeout, res.StatusCode >= 500:
		return 0, fmt.Errorf("the store answered %s", res.Status)
	default:
		return 0, backoff.Permanent(fmt.Errorf("the store answered %s", res.Status))
	}
	if want := fmt.Sprintf("bytes %d-%d/%s", off, last, strconv.FormatInt(h.size, 10)); res.StatusCode == http.StatusPartialContent && res.Header.Get("Content-Range") != want {
		return 0, backoff.Permanent(fmt.Errorf("asked for %q, the store answered %q", want, res.Header.Get("Content-Range")))
	}
	n, err := io.ReadFull(res.Body, p)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		// Not passed on as it is: to the reader of an archive, EOF means that the archive is cut short.
		return n, fmt.Errorf("the store sent %d of %d bytes", n, len(p))
	}
	return n, withoutURL(err)
}

func (h *HTTP) currentURL(ctx context.Context) (string, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.url == "" {
		signed, err := h.sign(ctx)
		if err != nil {
			return "", err
		}
		h.url = signed
	}
	return h.url, nil
}

// expire forgets a URL that was refused, unless another reader has already renewed it.
func (h *HTTP) expire(signed string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.url == signed {
		h.url = ""
	}
}

// withoutURL takes the URL out of an error of net/http: a presigned URL is a credential and errors end up in logs.
func withoutURL(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}
