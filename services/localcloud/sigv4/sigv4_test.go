package sigv4

import (
	"bytes"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

var ours = Credentials{AccessKey: "key", SecretKey: "secret", Region: "us-east-1"}

type signing struct {
	access, secret, region, service string
	at                              time.Time
}

// request is signed by the AWS SDK's own signer.
func request(t *testing.T, target string, body []byte, s signing) *http.Request {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, target, bytes.NewReader(body))
	r.Header.Set("Content-Type", "application/x-amz-json-1.0")
	r.Header.Set("X-Amz-Target", "AmazonSQS.ListQueues")
	r.Header.Set("X-Amz-Meta-Spaces", "  a   b ")
	err := v4.NewSigner().SignHTTP(t.Context(), aws.Credentials{AccessKeyID: s.access, SecretAccessKey: s.secret}, r,
		hexSHA256(body), s.service, s.region, s.at, func(o *v4.SignerOptions) { o.DisableURIPathEscaping = s.service == "s3" })
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestVerify(t *testing.T) {
	good := signing{"key", "secret", "us-east-1", "sqs", time.Now()}
	with := func(change func(*signing)) signing {
		s := good
		change(&s)
		return s
	}
	for _, test := range []struct {
		name   string
		target string
		s      signing
		tamper func(*http.Request)
		want   error
	}{
		{name: "good", s: good},
		{name: "query and odd path", target: "http://h:1/a%20b/c+d?b=2&a=%2F&a=1&flag", s: good},
		{name: "s3 path", target: "http://h:1/bucket/k%20%2Bey?notification=", s: with(func(s *signing) { s.service = "s3" })},
		{name: "old", s: with(func(s *signing) { s.at = s.at.Add(-16 * time.Minute) }), want: ErrSkewed},
		{name: "early", s: with(func(s *signing) { s.at = s.at.Add(16 * time.Minute) }), want: ErrSkewed},
		{name: "other key", s: with(func(s *signing) { s.access = "other" }), want: ErrUnknownKey},
		{name: "other secret", s: with(func(s *signing) { s.secret = "other" }), want: ErrMismatch},
		{name: "other region", s: with(func(s *signing) { s.region = "eu-west-1" }), want: ErrMalformed},
		{name: "other target", s: good, tamper: func(r *http.Request) { r.Header.Set("X-Amz-Target", "AmazonSQS.DeleteQueue") }, want: ErrMismatch},
		{name: "other host", s: good, tamper: func(r *http.Request) { r.Host = "elsewhere" }, want: ErrMismatch},
		{name: "other query", s: good, tamper: func(r *http.Request) { r.URL.RawQuery = "x=1" }, want: ErrMismatch},
		{name: "no signature", s: good, tamper: func(r *http.Request) { r.Header.Del("Authorization") }, want: ErrMissing},
		{name: "basic auth", s: good, tamper: func(r *http.Request) { r.SetBasicAuth("key", "secret") }, want: ErrMalformed},
		{name: "signature is no hex", s: good, tamper: func(r *http.Request) {
			r.Header.Set("Authorization", r.Header.Get("Authorization")+"zz")
		}, want: ErrMismatch},
	} {
		t.Run(test.name, func(t *testing.T) {
			target := test.target
			if target == "" {
				target = "http://127.0.0.1:4566/"
			}
			body := []byte(`{"a":1}`)
			r := request(t, target, body, test.s)
			if test.tamper != nil {
				test.tamper(r)
			}
			service := "sqs"
			if test.s.service == "s3" {
				service = "s3"
			}
			if err := ours.Verify(r, service, body); !errors.Is(err, test.want) {
				t.Errorf("Verify: %v, want %v", err, test.want)
			}
			if test.want == nil {
				if err := ours.Verify(r, service, []byte(`{"a":2}`)); !errors.Is(err, ErrMismatch) {
					t.Errorf("with another body: %v, want %v", err, ErrMismatch)
				}
			}
		})
	}
}
