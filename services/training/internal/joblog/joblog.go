// Package joblog reads the logs of training jobs from CloudWatch Logs.
//
// A place in a log is a Cursor of our own, made of a stream, a time and a count, and not one of CloudWatch's tokens: those
// expire after 24 hours, and a reader may come back later.
package joblog

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
	"github.com/aws/smithy-go"
)

// Group is the log group of SageMaker's training jobs; a job's streams are `{job}/algo-{n}-{epoch}`, one for each start.
const Group = "/aws/sagemaker/TrainingJobs"

// maxEvents is CloudWatch's limit of one GetLogEvents.
const maxEvents = 10_000

// maxCalls bounds the calls of one Read: CloudWatch may give empty pages with more behind them.
const maxCalls = 50

// Client is what is used of CloudWatch Logs.
type Client interface {
	DescribeLogStreams(context.Context, *cloudwatchlogs.DescribeLogStreamsInput, ...func(*cloudwatchlogs.Options)) (*cloudwatchlogs.DescribeLogStreamsOutput, error)
	GetLogEvents(context.Context, *cloudwatchlogs.GetLogEventsInput, ...func(*cloudwatchlogs.Options)) (*cloudwatchlogs.GetLogEventsOutput, error)
}

// Line is a line of a log.
type Line struct {
	Time    time.Time
	Message string
	Stream  string
}

// Cursor is a place in a job's log: behind Count events of the millisecond Time of Stream. The zero Cursor is the beginning.
type Cursor struct {
	Stream string `json:"s,omitempty"`
	Time   int64  `json:"t,omitempty"`
	Count  int    `json:"c,omitempty"`
}

// Encode writes the cursor as text.
func (c Cursor) Encode() string {
	text, _ := json.Marshal(c) // Texts and numbers always marshal.
	return string(text)
}

// Decode reads a cursor's text; empty text is the beginning.
func Decode(text string) (Cursor, error) {
	var c Cursor
	if text == "" {
		return c, nil
	}
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		return c, fmt.Errorf("log cursor: %w", err)
	}
	if c.Time < 0 || c.Count < 0 {
		return c, errors.New("log cursor: negative")
	}
	return c, nil
}

// Page is a part of a log.
type Page struct {
	Lines []Line
	// Next is the place behind Lines; it stays good for what is logged later.
	Next Cursor
	// AtEnd says that there was nothing behind Next when the log was read.
	AtEnd bool
}

// Read gives lines of a job behind a cursor, up to a number of lines and, but for the first line, of bytes; the streams
// one after the other in the order of their starts. A job that has logged nothing yet has an empty log.
func Read(ctx context.Context, client Client, job string, from Cursor, maxLines, maxBytes int) (Page, error) {
	page := Page{Next: from}
	room := &room{lines: maxLines, bytes: maxBytes, calls: maxCalls}
	streams, err := streamNames(ctx, client, job)
	if err != nil {
		return page, err
	}
	first := 0
	if from.Stream != "" {
		if first = slices.Index(streams, from.Stream); first < 0 {
			page.AtEnd = true // The stream's retention has ended.
			return page, nil
		}
	}
	for _, stream := range streams[first:] {
		if page.Next.Stream != stream {
			page.Next = Cursor{Stream: stream}
		}
		atEnd, err := page.readStream(ctx, client, room)
		if err != nil || !atEnd {
			return page, err
		}
	}
	page.AtEnd = true
	return page, nil
}

// room is what is left of a Read's bounds.
type room struct{ lines, bytes, calls int }

// readStream reads on in the stream of p.Next and tells whether it came to its end.
func (p *Page) readStream(ctx context.Context, client Client, left *room) (atEnd bool, err error) {
	input := &cloudwatchlogs.GetLogEventsInput{
		LogGroupName:  aws.String(Group),
		LogStreamName: aws.String(p.Next.Stream),
		StartFromHead: aws.Bool(true),
	}
	skip := p.Next.Count // Events of the cursor's own millisecond that have been read.
	if p.Next.Time > 0 {
		input.StartTime = aws.Int64(p.Next.Time)
	}
	for {
		if left.lines == 0 || left.calls == 0 {
			return false, nil
		}
		left.calls--
		input.Limit = aws.Int32(int32(min(left.lines+skip, maxEvents))) //nolint:gosec // At most maxEvents.
		output, err := client.GetLogEvents(ctx, input)
		if notFound(err) {
			return true, nil
		}
		if err != nil {
			return false, failed(fmt.Errorf("read log stream %s: %w", p.Next.Stream, err))
		}
		for _, event := range output.Events {
			at := aws.ToInt64(event.Timestamp)
			if skip > 0 && at == p.Next.Time {
				skip--
				continue
			}
			skip = 0
			message := aws.ToString(event.Message)
			if left.lines == 0 || len(p.Lines) > 0 && left.bytes < len(message) {
				return false, nil
			}
			left.lines--
			left.bytes -= len(message)
			if at == p.Next.Time {
				p.Next.Count++
			} else {
				p.Next.Time, p.Next.Count = at, 1
			}
			p.Lines = append(p.Lines, Line{Time: time.UnixMilli(at), Message: message, Stream: p.Next.Stream})
		}
		// At the end of a stream CloudWatch gives the token back that it was given.
		if next := aws.ToString(output.NextForwardToken); next == "" || next == aws.ToString(input.NextToken) {
			return true, nil
		}
		input.NextToken = output.NextForwardToken
	}
}

// streamNames gives the streams of a job in the order of their starts.
func streamNames(ctx context.Context, client Client, job string) ([]string, error) {
	input := &cloudwatchlogs.DescribeLogStreamsInput{
		LogGroupName:        aws.String(Group),
		LogStreamNamePrefix: aws.String(job + "/"),
	}
	var streams []types.LogStream
	for {
		output, err := client.DescribeLogStreams(ctx, input)
		if notFound(err) {
			return nil, nil // SageMaker makes the group with the first job's first line.
		}
		if err != nil {
			return nil, failed(fmt.Errorf("list log streams of %s: %w", job, err))
		}
		streams = append(streams, output.LogStreams...)
		if input.NextToken = output.NextToken; input.NextToken == nil {
			break
		}
	}
	slices.SortStableFunc(streams, func(a, b types.LogStream) int {
		return cmp.Or(cmp.Compare(aws.ToInt64(a.CreationTime), aws.ToInt64(b.CreationTime)),
			cmp.Compare(aws.ToString(a.LogStreamName), aws.ToString(b.LogStreamName)))
	})
	names := make([]string, len(streams))
	for i, s := range streams {
		names[i] = aws.ToString(s.LogStreamName)
	}
	return names, nil
}

// UnavailableError tells that CloudWatch didn't answer or asked for patience: the same call may succeed later.
type UnavailableError struct{ Cause error }

func (e *UnavailableError) Error() string { return e.Cause.Error() }

func (e *UnavailableError) Unwrap() error { return e.Cause }

func failed(err error) error {
	var api smithy.APIError
	if errors.As(err, &api) && api.ErrorFault() != smithy.FaultServer && api.ErrorCode() != "ThrottlingException" {
		return err
	}
	return &UnavailableError{Cause: err}
}

func notFound(err error) bool {
	var missing *types.ResourceNotFoundException
	return errors.As(err, &missing)
}
