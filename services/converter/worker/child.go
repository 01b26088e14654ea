package worker

import (
	"bufio"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/trainyard/trainyard/services/converter/convert"
	"github.com/trainyard/trainyard/services/converter/examples"
	"github.com/trainyard/trainyard/services/converter/reject"
	"github.com/trainyard/trainyard/services/converter/scratch"
	"github.com/trainyard/trainyard/services/converter/source"
)

const (
	putTries   = 6
	maxNamed   = 8 << 20 // bytes of paths and messages that go with a refusal
	putTimeout = 10 * time.Minute
)

// Main is the whole of a child process: it reads its job, does it, says what came of it and never returns.
func Main() {
	c := &child{encode: json.NewEncoder(os.Stdout), waiting: map[int]chan answer{}}
	c.encode.SetEscapeHTML(false) // It would make a path of `<` six times as long.
	input := bufio.NewScanner(os.Stdin)
	input.Buffer(make([]byte, 0, 64<<10), maxLine)
	var j job
	if !input.Scan() || json.Unmarshal(input.Bytes(), &j) != nil {
		fmt.Fprintln(os.Stderr, "this is a worker process of the converter; it is not started by hand")
		os.Exit(2)
	}
	if err := cmp.Or(j.Limits.apply(), confine(j.Scratch)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	go func() {
		for input.Scan() {
			var a answer
			if json.Unmarshal(input.Bytes(), &a) == nil {
				c.deliver(a)
			}
		}
		os.Exit(1) // The parent is gone: what we would still do is nobody's.
	}()
	c.send(c.do(context.Background(), j))
	os.Exit(0)
}

type child struct {
	writing sync.Mutex
	encode  *json.Encoder

	mu      sync.Mutex
	lastID  int
	waiting map[int]chan answer
}

func (c *child) send(m message) {
	c.writing.Lock()
	defer c.writing.Unlock()
	if err := c.encode.Encode(m); err != nil {
		os.Exit(1)
	}
}

func (c *child) deliver(a answer) {
	c.mu.Lock()
	waiter := c.waiting[a.ID]
	delete(c.waiting, a.ID)
	c.mu.Unlock()
	if waiter != nil {
		waiter <- a
	}
}

func (c *child) sign(ctx context.Context, request SignRequest) (Signed, error) {
	reply := make(chan answer, 1)
	c.mu.Lock()
	c.lastID++
	request.ID = c.lastID
	c.waiting[request.ID] = reply
	c.mu.Unlock()
	c.send(message{Sign: &request})
	select {
	case a := <-reply:
		if a.Error != "" {
			return Signed{}, errors.New(a.Error)
		}
		return a.Signed, nil
	case <-ctx.Done():
		return Signed{}, ctx.Err()
	}
}

func (c *child) do(ctx context.Context, j job) message {
	var m message
	var err error
	switch {
	case j.Step == PlanStep:
		m.Planned, err = c.plan(ctx, j)
	case j.Step == ExamplesStep && j.Examples != nil:
		m.Page, err = examples.Read(ctx, *j.Examples, func(name string, size int64) source.Source {
			return c.object(SignRequest{Object: DatasetObject, Name: name}, size, "")
		})
	default:
		m.Result, err = c.task(ctx, j)
	}
	if err == nil {
		return m
	}
	var refused *reject.Error
	switch {
	case errors.As(err, &refused):
		refused.Files.Trim(maxNamed)
		return message{Rejected: &rejected{Reason: refused.Reason, Message: refused.Message, Files: refused.Files}}
	case errors.Is(err, source.ErrChanged):
		return message{Failed: &failed{Kind: sourceChanged, Error: err.Error()}}
	case errors.Is(err, scratch.ErrFull):
		return message{Failed: &failed{Kind: scratchFull, Error: err.Error()}}
	case errors.Is(err, examples.ErrPosition):
		return message{Failed: &failed{Kind: wrongPosition, Error: err.Error()}}
	}
	return message{Failed: &failed{Kind: otherFailure, Error: err.Error()}}
}

func (c *child) object(request SignRequest, size int64, etag string) source.Source {
	return source.NewHTTP(nil, func(ctx context.Context) (string, error) {
		signed, err := c.sign(ctx, request)
		return signed.URL, err
	}, size, etag)
}

func (c *child) plan(ctx context.Context, j job) (*Planned, error) {
	src := &counted{Source: c.object(SignRequest{Object: SourceObject}, j.SourceSize, j.SourceETag)}
	stopProgress := c.tellRead(src)
	plan, err := convert.MakePlan(ctx, src, j.Options, j.Scratch)
	stopProgress()
	if err != nil {
		return nil, err
	}
	defer plan.Close()
	sum, size, err := digest(plan.Path())
	if err != nil {
		return nil, err
	}
	if err := c.put(ctx, SignRequest{Object: PlanObject, Put: true, Size: size, SHA256: sum}, plan.Path()); err != nil {
		return nil, err
	}
	planned := &Planned{Key: plan.Key, Size: size, Format: plan.Format.Name, Records: plan.Records, LeftOut: plan.LeftOut.Total()}
	for _, t := range plan.Tasks {
		planned.TaskSize = append(planned.TaskSize, t.Bytes)
	}
	return planned, os.Remove(plan.Path())
}

// counted is a Source that counts the bytes that were read of it.
type counted struct {
	source.Source
	read atomic.Int64
}

// ReadAt implements source.Source.
func (s *counted) ReadAt(ctx context.Context, p []byte, off int64) error {
	err := s.Source.ReadAt(ctx, p, off)
	if err == nil {
		s.read.Add(int64(len(p)))
	}
	return err
}

const tellEvery = 250 * time.Millisecond

// tellRead tells the parent how much was read, whenever that has grown, until the returned function is called. What is read twice isn't more than there is.
func (c *child) tellRead(src *counted) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var telling sync.WaitGroup
	telling.Go(func() {
		ticker := time.NewTicker(tellEvery)
		defer ticker.Stop()
		told := int64(0)
		for {
			select {
			case <-ticker.C:
			case <-ctx.Done():
				return
			}
			if read := min(src.read.Load(), src.Size()); read > told {
				told = read
				c.send(message{Progress: &convert.Progress{Bytes: read}})
			}
		}
	})
	return func() {
		cancel()
		telling.Wait()
	}
}

func (c *child) task(ctx context.Context, j job) (*convert.TaskResult, error) {
	plan, err := convert.OpenPlan(ctx, c.object(SignRequest{Object: PlanObject}, j.PlanSize, ""))
	if err != nil {
		return nil, err
	}
	return convert.RunTask(ctx, convert.Task{
		Plan: plan, Index: j.Task, Scratch: j.Scratch, Sink: c,
		Source:   c.object(SignRequest{Object: SourceObject}, j.SourceSize, j.SourceETag),
		Progress: func(p convert.Progress) { c.send(message{Progress: &p}) },
	})
}

// Put implements convert.Sink.
func (c *child) Put(ctx context.Context, file convert.MetadataFile, path string) error {
	err := c.put(ctx, SignRequest{Object: ShardObject, Put: true, Name: file.Name, Size: file.Bytes, SHA256: file.SHA256}, path)
	if err == nil {
		// Not at the end with all others: giving back a gigabyte takes a tenth of a second, and there is work besides now.
		_ = os.Remove(path) // The folder goes too when the conversion ends.
	}
	return err
}

func (c *child) put(ctx context.Context, request SignRequest, path string) error {
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		signed, err := c.sign(ctx, request)
		if err != nil {
			return struct{}{}, err
		}
		return struct{}{}, putOnce(ctx, signed, request.Size, path)
	}, backoff.WithMaxTries(putTries), backoff.WithMaxElapsedTime(0))
	return err
}

func putOnce(ctx context.Context, signed Signed, size int64, path string) error {
	ctx, cancel := context.WithTimeout(ctx, putTimeout)
	defer cancel()
	f, err := os.Open(path) //nolint:gosec // Our own scratch file.
	if err != nil {
		return backoff.Permanent(err)
	}
	defer f.Close()
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, signed.URL, io.NopCloser(f))
	if err != nil {
		return backoff.Permanent(errors.New("the signed URL can't be read"))
	}
	req.ContentLength = size
	if size == 0 {
		req.Body = http.NoBody
	}
	for key, value := range signed.Headers {
		req.Header.Set(key, value)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		var withURL *url.Error // The URL is a credential; it stays out of logs.
		if errors.As(err, &withURL) {
			err = withURL.Err
		}
		return fmt.Errorf("put to S3: %w", err)
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(res.Body, 2048))
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("put to S3: %s: %s", res.Status, body)
	}
	return nil
}

func digest(path string) (hexSum string, size int64, err error) {
	f, err := os.Open(path) //nolint:gosec // Our own scratch file.
	if err != nil {
		return "", 0, err
	}
	defer f.Close()
	sum := sha256.New()
	size, err = io.Copy(sum, f)
	return hex.EncodeToString(sum.Sum(nil)), size, err
}

// Base64 turns a hex SHA-256 into the base64 that S3's checksum headers hold. Without a whole one a PUT would be bound to nothing.
func Base64(hexSum string) (string, error) {
	raw, err := hex.DecodeString(hexSum)
	if err == nil && len(raw) != sha256.Size {
		err = fmt.Errorf("a SHA-256 has %d bytes, not %d", sha256.Size, len(raw))
	}
	return base64.StdEncoding.EncodeToString(raw), err
}
