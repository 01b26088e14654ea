// Package sigv4 checks AWS Signature Version 4 on requests signed in their
// headers, for the APIs of localcloud that are not behind versitygw (which
// checks its own, presigned URLs included).
//
// Format: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
package sigv4

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The ways a request can fail. Each API words them in its own protocol.
var (
	// ErrMissing: no signature in the request at all.
	ErrMissing = errors.New("request is missing authentication token")
	// ErrMalformed: an Authorization header that isn't of this form, or whose
	// scope names another region or service.
	ErrMalformed = errors.New("authorization header is malformed or its credential scope is wrong")
	// ErrUnknownKey: an access key other than the one there is.
	ErrUnknownKey = errors.New("the security token included in the request is invalid")
	// ErrMismatch: the secret key, or what was signed, differs.
	ErrMismatch = errors.New("the request signature we calculated does not match the signature you provided")
	// ErrSkewed: signed more than 15 minutes from now.
	ErrSkewed = errors.New("signature expired or not yet current")
)

const (
	algorithm   = "AWS4-HMAC-SHA256"
	timeFormat  = "20060102T150405Z"
	maxSkew     = 15 * time.Minute
	terminator  = "aws4_request"
	contentHash = "X-Amz-Content-Sha256"
	// unsigned says that the caller left the body out of the signature.
	unsigned = "UNSIGNED-PAYLOAD"
)

// Credentials are the one key pair of localcloud and the region it plays.
type Credentials struct {
	AccessKey, SecretKey, Region string
}

// Verify checks that r, whose whole body is given, was signed with c for the
// service ("s3", "sqs", "sagemaker", "logs").
func (c Credentials) Verify(r *http.Request, service string, body []byte) error {
	header := r.Header.Get("Authorization")
	if header == "" {
		return ErrMissing
	}
	credential, signedHeaders, signature, ok := parse(header)
	if !ok {
		return ErrMalformed
	}
	signedAt, err := time.Parse(timeFormat, r.Header.Get("X-Amz-Date"))
	if err != nil {
		return ErrMalformed
	}
	accessKey, scope, _ := strings.Cut(credential, "/")
	if accessKey != c.AccessKey {
		return ErrUnknownKey
	}
	date := signedAt.Format("20060102")
	if scope != date+"/"+c.Region+"/"+service+"/"+terminator {
		return ErrMalformed
	}
	if skew := time.Since(signedAt); skew > maxSkew || skew < -maxSkew {
		return ErrSkewed
	}
	if !slices.Contains(signedHeaders, "host") {
		return ErrMalformed
	}

	payload := hexSHA256(body)
	if claimed := r.Header.Get(contentHash); claimed != "" {
		if claimed != unsigned && claimed != payload {
			return ErrMismatch
		}
		payload = claimed
	}
	canonical := strings.Join([]string{
		r.Method, canonicalPath(r.URL, service), canonicalQuery(r.URL.Query()),
		canonicalHeaders(r, signedHeaders), strings.Join(signedHeaders, ";"), payload,
	}, "\n")
	toSign := strings.Join([]string{algorithm, r.Header.Get("X-Amz-Date"), scope, hexSHA256([]byte(canonical))}, "\n")

	key := []byte("AWS4" + c.SecretKey)
	for _, part := range []string{date, c.Region, service, terminator, toSign} {
		key = sign(key, part)
	}
	want, err := hex.DecodeString(signature)
	if err != nil || !hmac.Equal(key, want) {
		return ErrMismatch
	}
	return nil
}

func parse(header string) (credential string, signedHeaders []string, signature string, ok bool) {
	rest, ok := strings.CutPrefix(header, algorithm+" ")
	if !ok {
		return "", nil, "", false
	}
	for field := range strings.SplitSeq(rest, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(field), "=")
		switch name {
		case "Credential":
			credential = value
		case "SignedHeaders":
			signedHeaders = strings.Split(value, ";")
		case "Signature":
			signature = value
		}
	}
	return credential, signedHeaders, signature, credential != "" && len(signedHeaders) > 0 && signature != ""
}

// canonicalPath is the path as sent, which every service but S3 encodes a
// second time.
func canonicalPath(u *url.URL, service string) string {
	path := u.EscapedPath()
	if path == "" {
		return "/"
	}
	if service == "s3" {
		return path
	}
	return encode(path, true)
}

func canonicalQuery(query url.Values) string {
	var pairs []string
	for name, values := range query {
		for _, value := range values {
			pairs = append(pairs, encode(name, false)+"="+encode(value, false))
		}
	}
	slices.Sort(pairs)
	return strings.Join(pairs, "&")
}

func canonicalHeaders(r *http.Request, names []string) string {
	var b strings.Builder
	for _, name := range names {
		var value string
		switch name {
		case "host":
			value = r.Host // net/http takes it out of the headers.
		default:
			values := r.Header.Values(name)
			trimmed := make([]string, len(values))
			for i, v := range values {
				trimmed[i] = strings.Join(strings.Fields(v), " ")
			}
			value = strings.Join(trimmed, ",")
			if name == "content-length" && value == "" {
				value = formatLength(r.ContentLength)
			}
		}
		b.WriteString(name + ":" + value + "\n")
	}
	return b.String()
}

func formatLength(n int64) string {
	if n < 0 {
		return ""
	}
	return strconv.FormatInt(n, 10)
}

// encode is AWS's URI encoding: all but the unreserved characters of RFC 3986.
func encode(s string, keepSlash bool) string {
	const upperHex = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		if 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' ||
			c == '-' || c == '_' || c == '.' || c == '~' || keepSlash && c == '/' {
			b.WriteByte(c)
			continue
		}
		b.Write([]byte{'%', upperHex[c>>4], upperHex[c&15]})
	}
	return b.String()
}

func sign(key []byte, data string) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(data))
	return mac.Sum(nil)
}

func hexSHA256(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
