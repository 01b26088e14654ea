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

// Client calls one gateway.
type Client struct {
	base  string
	token string
	http  *http.Client
}

// New makes a client of the gateway at base, such as http://127.0.0.1:8080.
func New(base, token string) *Client {
	return &Client{base: strings.TrimRight(base, "/"), token: token, http: &http.Client{}}
}

// Error is an answer that the gateway refused to give.
type Error struct {
	HTTPStatus int
	Reason     errorsv1.ErrorReason
	Message    string
}

func (e *Error) Error() string { return e.Message }

// Get reads a resource.
func (c *Client) Get(ctx context.Context, path string, query url.Values, out proto.Message) error {
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	return c.do(ctx, http.MethodGet, path, nil, out)
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
	return c.do(ctx, http.MethodPost, path, body, out)
}

func (c *Client) do(ctx context.Context, method, path string, body []byte, out proto.Message) error {
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		return struct{}{}, c.attempt(ctx, method, path, body, out)
	}, backoff.WithMaxElapsedTime(retryFor))
	return err
}

func (c *Client) attempt(ctx context.Context, method, path string, body []byte, out proto.Message) error {
	req, err := c.request(ctx, method, path, body)
	if err != nil {
		return backoff.Permanent(err)
	}
	res, err := c.http.Do(req)
	if err != nil {
		return fmt.Errorf("%s can't be reached: %w; is it running (`trainyard up`), is TRAINYARD_URL right?", c.base, err)
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	if res.StatusCode >= http.StatusBadRequest {
		err := readError(res.StatusCode, data)
		if res.StatusCode == http.StatusServiceUnavailable || res.StatusCode == http.StatusBadGateway {
			return err
		}
		return backoff.Permanent(err)
	}
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(data, out); err != nil {
		return backoff.Permanent(fmt.Errorf("%s answered what this version of trainyard can't read: %w", c.base, err))
	}
	return nil
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

func readError(httpStatus int, data []byte) error {
	var st statuspb.Status
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(data, &st); err != nil || st.GetMessage() == "" {
		return &Error{HTTPStatus: httpStatus, Message: fmt.Sprintf("the server answered %d %s", httpStatus, http.StatusText(httpStatus))}
	}
	result := &Error{HTTPStatus: httpStatus, Message: st.GetMessage()}
	for _, detail := range st.GetDetails() {
		var info errdetails.ErrorInfo
		if detail.UnmarshalTo(&info) == nil && info.GetDomain() == apierror.Domain {
			result.Reason = errorsv1.ErrorReason(errorsv1.ErrorReason_value[info.GetReason()])
		}
	}
	return result
}

// Is tells whether an error of this package carries the reason.
func Is(err error, reason errorsv1.ErrorReason) bool {
	var e *Error
	return errors.As(err, &e) && e.Reason == reason
}

// GetJSON reads any path and gives the answer's JSON as it is.
func (c *Client) GetJSON(ctx context.Context, path string) (json.RawMessage, error) {
	req, err := c.request(ctx, http.MethodGet, path, nil)
	if err != nil {
		return nil, err
	}
	res, err := c.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("%s can't be reached: %w", c.base, err)
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, err
	}
	if res.StatusCode >= http.StatusBadRequest {
		return nil, readError(res.StatusCode, data)
	}
	return data, nil
}
