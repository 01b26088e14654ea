// Package client speaks Trainyard's REST API for the command line: typed by the contracts, errors as they were meant to be read.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"
	errorsv1 "github.com/trainyard/trainyard/gen/trainyard/errors/v1"
	"github.com/trainyard/trainyard/services/internal/apierror"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	statuspb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// retryFor is how long a server that is away or restarting is waited for.
const retryFor = 30 * time.Second

// answerIn is how long a call may stay without an answer. The servers' own deadline is a minute.
const answerIn = 90 * time.Second

// Client calls one gateway.
type Client struct {
	// Waiting, where it is set, hears why a call that failed is tried again.
	Waiting func(error)

	base  string
	token string
	http  *http.Client
}

// New makes a client of the gateway at base, such as http://127.0.0.1:8080.
func New(base, token string) *Client {
	transport := http.DefaultTransport.(*http.Transport).Clone() //nolint:forcetypeassert // It is one, by net/http's documentation.
	transport.ResponseHeaderTimeout = answerIn
	return &Client{base: strings.TrimRight(base, "/"), token: token, http: &http.Client{Transport: transport}}
}

// Error is an answer that the gateway refused to give.
type Error struct {
	// HTTPStatus is 0 when the gateway gave no answer at all.
	HTTPStatus int
	Reason     errorsv1.ErrorReason
	Message    string
	Metadata   map[string]string
	// Details are what else the answer tells of the error, as far as this program knows their types.
	Details []proto.Message
}

func (e *Error) Error() string { return e.Message }

// Get reads a resource.
func (c *Client) Get(ctx context.Context, path string, query url.Values, out proto.Message) error {
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	return c.call(ctx, http.MethodGet, path, nil, out)
}

// GetJSON reads any path and gives the answer's JSON as it is.
func (c *Client) GetJSON(ctx context.Context, path string) (json.RawMessage, error) {
	return c.do(ctx, http.MethodGet, path, nil)
}

// Post makes a resource or calls a method of one. in is the body; nil means an empty object. Posts are repeated when the gateway is
// away, so they must be safe to repeat.
func (c *Client) Post(ctx context.Context, path string, in, out proto.Message) error {
	body := []byte("{}")
	if in != nil {
		var err error
		if body, err = protojson.Marshal(in); err != nil {
			return err
		}
	}
	return c.call(ctx, http.MethodPost, path, body, out)
}

// Delete takes a resource away.
func (c *Client) Delete(ctx context.Context, path string) error {
	_, err := c.do(ctx, http.MethodDelete, path, nil)
	return err
}

func (c *Client) call(ctx context.Context, method, path string, body []byte, out proto.Message) error {
	data, err := c.do(ctx, method, path, body)
	if err != nil {
		return err
	}
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(data, out); err != nil {
		return fmt.Errorf("%s answered what this version of trainyard can't read: %w", c.base, err)
	}
	return nil
}

func (c *Client) do(ctx context.Context, method, path string, body []byte) ([]byte, error) {
	return backoff.Retry(ctx, func() ([]byte, error) {
		return c.attempt(ctx, method, path, body)
	}, backoff.WithMaxElapsedTime(retryFor), backoff.WithNotify(func(err error, _ time.Duration) { c.waiting(err) }))
}

func (c *Client) waiting(err error) {
	if c.Waiting != nil {
		c.Waiting(err)
	}
}

func (c *Client) attempt(ctx context.Context, method, path string, body []byte) ([]byte, error) {
	req, err := c.request(ctx, method, path, body)
	if err != nil {
		return nil, backoff.Permanent(err)
	}
	res, err := c.send(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, err
	}
	if res.StatusCode >= http.StatusBadRequest {
		err := c.readError(res.StatusCode, data)
		if res.StatusCode == http.StatusServiceUnavailable || res.StatusCode == http.StatusBadGateway {
			return nil, err
		}
		return nil, backoff.Permanent(err)
	}
	return data, nil
}

// send sends a request; no answer is an Error as a refusal is.
func (c *Client) send(req *http.Request) (*http.Response, error) {
	res, err := c.http.Do(req)
	if err == nil {
		return res, nil
	}
	if ended := req.Context().Err(); ended != nil {
		return nil, ended
	}
	var inner *url.Error // Its text repeats method and address.
	if errors.As(err, &inner) {
		err = inner.Err
	}
	return nil, &Error{
		Reason:  errorsv1.ErrorReason_DEPENDENCY_UNAVAILABLE,
		Message: fmt.Sprintf("%s can't be reached (%v); is it running (`trainyard up`), is TRAINYARD_URL right?", c.base, err),
	}
}

func (c *Client) request(ctx context.Context, method, path string, body []byte) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+c.token)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	return req, nil
}

func (c *Client) readError(httpStatus int, data []byte) error {
	var st statuspb.Status
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(data, &st); err != nil || st.GetMessage() == "" {
		return &Error{HTTPStatus: httpStatus, Message: fmt.Sprintf(
			"%s answered %d %s and no error of Trainyard's; is TRAINYARD_URL right?", c.base, httpStatus, http.StatusText(httpStatus))}
	}
	result := &Error{HTTPStatus: httpStatus, Message: st.GetMessage()}
	for _, detail := range st.GetDetails() {
		message, err := detail.UnmarshalNew()
		if err != nil {
			continue
		}
		if info, ok := message.(*errdetails.ErrorInfo); ok && info.GetDomain() == apierror.Domain {
			result.Metadata = info.GetMetadata()
			result.Reason = errorsv1.ErrorReason(errorsv1.ErrorReason_value[info.GetReason()])
			continue
		}
		result.Details = append(result.Details, message)
	}
	return result
}

// Is tells whether an error of this package carries the reason.
func Is(err error, reason errorsv1.ErrorReason) bool {
	var e *Error
	return errors.As(err, &e) && e.Reason == reason
}
