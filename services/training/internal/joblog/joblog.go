// Package joblog reads the logs of training jobs from CloudWatch Logs: the streams of a job's machines as one log, by time.
//
// A place in a log is a Cursor of our own, made of a time and a count in each stream, and not CloudWatch's tokens: those expire after 24 hours, and a
// reader may come back later.
package joblog

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
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

// maxCalls bounds the calls of one Read, or twice the number of streams if that is more: CloudWatch may give empty pages with more behind them.
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

// Page is a part of a log.
type Page struct {
	Lines []Line
	// Next is the place behind Lines; it stays good for what is logged later.
	Next Cursor
	// AtEnd says that there was nothing behind Next when the log was read.
	AtEnd bool
}

// Read gives lines of a job behind a cursor, by time over all of its machines, up to a number of lines and, but for the first line, of bytes. A line
// that CloudWatch gets later than others of its time comes after them. A job that has logged nothing yet has an empty log.
func Read(ctx context.Context, client Client, job string, from Cursor, maxLines, maxBytes int) (Page, error) {
	page := Page{Next: from, AtEnd: true}
	names, err := streamNames(ctx, client, job)
	if err != nil {
		return page, err
	}
	calls := max(maxCalls, 2*len(names))
	var lines []located
	horizon := int64(math.MaxInt64) // Behind it a stream may have lines that were not fetched.
	for _, name := range names {
		s, err := fetch(ctx, client, from.in(name), maxLines, &calls)
		if err != nil {
			return page, err
		}
		if !s.atEnd {
			page.AtEnd = false
			horizon = min(horizon, s.last)
		}
		lines = append(lines, s.lines...)
	}
	slices.SortStableFunc(lines, func(a, b located) int { return cmp.Compare(a.at.Time, b.at.Time) })
	places := from.keep(names)
	for _, line := range lines {
		full := len(page.Lines) == maxLines || len(page.Lines) > 0 && maxBytes < len(line.Message)
		if full || line.at.Time > horizon && len(page.Lines) > 0 { // One at least, so that it goes on.
			page.AtEnd = false
			break
		}
		maxBytes -= len(line.Message)
		places[line.at.Stream] = line.at
		page.Lines = append(page.Lines, line.Line)
	}
	page.Next = cursorOf(places)
	return page, nil
}

// located is a line with the place behind it.
type located struct {
	Line
	at Place
}

// fetched is the next lines of a stream.
type fetched struct {
	lines []located
	atEnd bool
	last  int64 // The time up to which all lines are here.
}

// fetch reads on in a stream, in one call or, where CloudWatch gives empty pages with more behind them, in several.
func fetch(ctx context.Context, client Client, place Place, maxLines int, calls *int) (fetched, error) {
	input := &cloudwatchlogs.GetLogEventsInput{
		LogGroupName:  aws.String(Group),
		LogStreamName: aws.String(place.Stream),
		StartFromHead: aws.Bool(true),
		Limit:         aws.Int32(int32(min(maxLines+place.Count, maxEvents))), //nolint:gosec // At most maxEvents.
	}
	skip := place.Count // Events of the place's own millisecond that have been read.
	if place.Time > 0 {
		input.StartTime = aws.Int64(place.Time)
	}
	got := fetched{last: place.Time}
	for *calls > 0 {
		*calls--
		output, err := client.GetLogEvents(ctx, input)
		if notFound(err) {
			got.atEnd = true
			return got, nil
		}
		if err != nil {
			return got, failed(fmt.Errorf("read log stream %s: %w", place.Stream, err))
		}
		for _, event := range output.Events {
			at := aws.ToInt64(event.Timestamp)
			got.last = at
			if skip > 0 && at == place.Time {
				skip--
				continue
			}
			skip = 0
			if at == place.Time {
				place.Count++
			} else {
				place.Time, place.Count = at, 1
			}
			got.lines = append(got.lines, located{Line{Time: time.UnixMilli(at), Message: aws.ToString(event.Message), Stream: place.Stream}, place})
		}
		// At the end of a stream CloudWatch gives the token back that it was given.
		if next := aws.ToString(output.NextForwardToken); next == "" || next == aws.ToString(input.NextToken) {
			got.atEnd = true
			return got, nil
		}
		if len(got.lines) >= maxLines {
			return got, nil
		}
		input.NextToken = output.NextForwardToken
	}
	return got, nil
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
