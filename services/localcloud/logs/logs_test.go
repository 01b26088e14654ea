package logs_test

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	cwl "github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
	"github.com/aws/smithy-go"

	"github.com/trainyard/trainyard/services/localcloud/logs"
)

func open(t *testing.T, dir string) (*logs.Service, *cwl.Client, func()) {
	t.Helper()
	service, err := logs.New(t.Context(), logs.Config{Dir: dir}, logs.Deps{})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(service)
	client := cwl.New(cwl.Options{
		Region: "us-east-1", BaseEndpoint: aws.String(server.URL),
		Credentials: credentials.NewStaticCredentialsProvider("id", "secret", ""),
	})
	done := func() {
		server.Close()
		if err := service.Close(); err != nil {
			t.Error(err)
		}
	}
	return service, client, done
}

func put(t *testing.T, c *cwl.Client, stream string, from int64, messages ...string) {
	t.Helper()
	in := &cwl.PutLogEventsInput{LogGroupName: aws.String("/g"), LogStreamName: aws.String(stream)}
	for i, m := range messages {
		in.LogEvents = append(in.LogEvents, types.InputLogEvent{Timestamp: aws.Int64(from + int64(i)), Message: aws.String(m)})
	}
	if _, err := c.PutLogEvents(t.Context(), in); err != nil {
		t.Fatal(err)
	}
}

func group(t *testing.T, c *cwl.Client, streams ...string) {
	t.Helper()
	if _, err := c.CreateLogGroup(t.Context(), &cwl.CreateLogGroupInput{LogGroupName: aws.String("/g")}); err != nil {
		t.Fatal(err)
	}
	for _, s := range streams {
		if _, err := c.CreateLogStream(t.Context(), &cwl.CreateLogStreamInput{LogGroupName: aws.String("/g"), LogStreamName: aws.String(s)}); err != nil {
			t.Fatal(err)
		}
	}
}

func get(t *testing.T, c *cwl.Client, in cwl.GetLogEventsInput) ([]string, *cwl.GetLogEventsOutput) {
	t.Helper()
	in.LogGroupName = aws.String("/g")
	out, err := c.GetLogEvents(t.Context(), &in)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range out.Events {
		got = append(got, aws.ToString(e.Message))
	}
	return got, out
}

func same(t *testing.T, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

func TestGetLogEventsWalksForwardAndBackward(t *testing.T) {
	_, c, done := open(t, t.TempDir())
	defer done()
	group(t, c, "s")
	s := aws.String("s")
	now := time.Now().UnixMilli()

	// A reader may come before the first event, and its token then leads to it.
	got, empty := get(t, c, cwl.GetLogEventsInput{LogStreamName: s, StartFromHead: aws.Bool(true)})
	same(t, got, []string(nil))
	put(t, c, "s", now, "a", "b", "c", "d", "e")
	got, page := get(t, c, cwl.GetLogEventsInput{LogStreamName: s, NextToken: empty.NextForwardToken, Limit: aws.Int32(2), StartFromHead: aws.Bool(true)})
	same(t, got, []string{"a", "b"})
	got, page = get(t, c, cwl.GetLogEventsInput{LogStreamName: s, NextToken: page.NextForwardToken, StartFromHead: aws.Bool(true)})
	same(t, got, []string{"c", "d", "e"})

	// At the end the same token comes back, and later leads on.
	got, end := get(t, c, cwl.GetLogEventsInput{LogStreamName: s, NextToken: page.NextForwardToken, StartFromHead: aws.Bool(true)})
	same(t, got, []string(nil))
	same(t, *end.NextForwardToken, *page.NextForwardToken)
	got, _ = get(t, c, cwl.GetLogEventsInput{LogStreamName: s, NextToken: end.NextBackwardToken, Limit: aws.Int32(2)})
	same(t, got, []string{"d", "e"})
	put(t, c, "s", now+4, "f") // The same millisecond as e: arrival decides.
	got, _ = get(t, c, cwl.GetLogEventsInput{LogStreamName: s, NextToken: end.NextForwardToken, StartFromHead: aws.Bool(true)})
	same(t, got, []string{"f"})

	// Without startFromHead the latest events come, in order, and the backward token leads to older ones.
	got, page = get(t, c, cwl.GetLogEventsInput{LogStreamName: s, Limit: aws.Int32(4)})
	same(t, got, []string{"c", "d", "e", "f"})
	got, page = get(t, c, cwl.GetLogEventsInput{LogStreamName: s, NextToken: page.NextBackwardToken})
	same(t, got, []string{"a", "b"})
	got, end = get(t, c, cwl.GetLogEventsInput{LogStreamName: s, NextToken: page.NextBackwardToken})
	same(t, got, []string(nil))
	same(t, *end.NextBackwardToken, *page.NextBackwardToken)

	// startTime is inclusive, endTime exclusive.
	got, _ = get(t, c, cwl.GetLogEventsInput{LogStreamName: s, StartTime: aws.Int64(now + 1), EndTime: aws.Int64(now + 3)})
	same(t, got, []string{"b", "c"})
}

func TestFilterLogEvents(t *testing.T) {
	_, c, done := open(t, t.TempDir())
	defer done()
	group(t, c, "job/algo-1", "job/algo-2", "other")
	now := time.Now().UnixMilli()
	put(t, c, "job/algo-1", now, "epoch 1 loss: 0.5", "WARN slow disk", "epoch 2 loss: 0.25")
	put(t, c, "job/algo-2", now, "epoch 1 loss: 0.6", "ERROR no disk left")
	put(t, c, "other", now, "epoch 1 loss: 9")
	for _, tc := range []struct {
		name string
		in   cwl.FilterLogEventsInput
		want []string
	}{
		{"all of a prefix, by time", cwl.FilterLogEventsInput{LogStreamNamePrefix: aws.String("job/")}, []string{
			"epoch 1 loss: 0.5", "epoch 1 loss: 0.6", "WARN slow disk", "ERROR no disk left", "epoch 2 loss: 0.25",
		}},
		{"one stream", cwl.FilterLogEventsInput{LogStreamNames: []string{"other"}}, []string{"epoch 1 loss: 9"}},
		{"all terms", cwl.FilterLogEventsInput{FilterPattern: aws.String("epoch 2")}, []string{"epoch 2 loss: 0.25"}},
		{"phrase", cwl.FilterLogEventsInput{FilterPattern: aws.String(`"slow disk"`)}, []string{"WARN slow disk"}},
		{"any term", cwl.FilterLogEventsInput{FilterPattern: aws.String("?WARN ?ERROR")}, []string{"WARN slow disk", "ERROR no disk left"}},
		{"excluded term", cwl.FilterLogEventsInput{FilterPattern: aws.String("disk -ERROR")}, []string{"WARN slow disk"}},
		{"end time is inclusive", cwl.FilterLogEventsInput{LogStreamNames: []string{"job/algo-1"}, EndTime: aws.Int64(now + 1)}, []string{"epoch 1 loss: 0.5", "WARN slow disk"}},
		{"latest first", cwl.FilterLogEventsInput{LogStreamNames: []string{"job/algo-2"}, StartFromHead: aws.Bool(false), StartTime: aws.Int64(now)}, []string{"ERROR no disk left", "epoch 1 loss: 0.6"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.in.LogGroupName, tc.in.Limit = aws.String("/g"), aws.Int32(2)
			var got []string
			pages := cwl.NewFilterLogEventsPaginator(c, &tc.in)
			for pages.HasMorePages() {
				out, err := pages.NextPage(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				for _, e := range out.Events {
					got = append(got, aws.ToString(e.Message))
				}
			}
			same(t, got, tc.want)
		})
	}
}

func TestDescribe(t *testing.T) {
	_, c, done := open(t, t.TempDir())
	defer done()
	var want []string
	for i := range 7 {
		want = append(want, fmt.Sprintf("s%d", i))
	}
	group(t, c, want...)
	now := time.Now().UnixMilli()
	put(t, c, "s3", now-1000, "x")
	put(t, c, "s1", now, "x", "y")

	list := func(in cwl.DescribeLogStreamsInput) []string {
		t.Helper()
		in.LogGroupName, in.Limit = aws.String("/g"), aws.Int32(3)
		var got []string
		pages := cwl.NewDescribeLogStreamsPaginator(c, &in)
		for pages.HasMorePages() {
			out, err := pages.NextPage(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, l := range out.LogStreams {
				got = append(got, aws.ToString(l.LogStreamName))
				if *l.LogStreamName == "s1" {
					same(t, []int64{*l.FirstEventTimestamp, *l.LastEventTimestamp}, []int64{now, now + 1})
				}
			}
		}
		return got
	}
	same(t, list(cwl.DescribeLogStreamsInput{}), want)
	same(t, list(cwl.DescribeLogStreamsInput{LogStreamNamePrefix: aws.String("s5")}), []string{"s5"})
	same(t, list(cwl.DescribeLogStreamsInput{OrderBy: types.OrderByLastEventTime, Descending: aws.Bool(true)}), []string{"s1", "s3", "s6", "s5", "s4", "s2", "s0"})

	groups, err := c.DescribeLogGroups(t.Context(), &cwl.DescribeLogGroupsInput{LogGroupNamePrefix: aws.String("/")})
	if err != nil {
		t.Fatal(err)
	}
	same(t, aws.ToString(groups.LogGroups[0].Arn), "arn:aws:logs:us-east-1:000000000000:log-group:/g:*")
	same(t, aws.ToInt64(groups.LogGroups[0].StoredBytes), int64(81))
}

func TestErrors(t *testing.T) {
	_, c, done := open(t, t.TempDir())
	defer done()
	group(t, c, "s")
	ctx, g, s, now := t.Context(), aws.String("/g"), aws.String("s"), time.Now().UnixMilli()
	event := func(at int64, m string) types.InputLogEvent {
		return types.InputLogEvent{Timestamp: aws.Int64(at), Message: aws.String(m)}
	}
	putting := func(e ...types.InputLogEvent) func() error {
		return func() error {
			_, err := c.PutLogEvents(ctx, &cwl.PutLogEventsInput{LogGroupName: g, LogStreamName: s, LogEvents: e})
			return err
		}
	}
	for _, tc := range []struct {
		name, code string
		call       func() error
	}{
		{"group twice", "ResourceAlreadyExistsException", func() error {
			_, err := c.CreateLogGroup(ctx, &cwl.CreateLogGroupInput{LogGroupName: g})
			return err
		}},
		{"stream twice", "ResourceAlreadyExistsException", func() error {
			_, err := c.CreateLogStream(ctx, &cwl.CreateLogStreamInput{LogGroupName: g, LogStreamName: s})
			return err
		}},
		{"group name", "InvalidParameterException", func() error {
			_, err := c.CreateLogGroup(ctx, &cwl.CreateLogGroupInput{LogGroupName: aws.String("a b")})
			return err
		}},
		{"missing group", "ResourceNotFoundException", func() error {
			_, err := c.GetLogEvents(ctx, &cwl.GetLogEventsInput{LogGroupName: aws.String("none"), LogStreamName: s})
			return err
		}},
		{"missing stream", "ResourceNotFoundException", func() error {
			_, err := c.GetLogEvents(ctx, &cwl.GetLogEventsInput{LogGroupName: g, LogStreamName: aws.String("none")})
			return err
		}},
		{"bad token", "InvalidParameterException", func() error {
			_, err := c.GetLogEvents(ctx, &cwl.GetLogEventsInput{LogGroupName: g, LogStreamName: s, NextToken: aws.String("f/12")})
			return err
		}},
		{"json pattern", "InvalidParameterException", func() error {
			_, err := c.FilterLogEvents(ctx, &cwl.FilterLogEventsInput{LogGroupName: g, FilterPattern: aws.String(`{ $.a = 1 }`)})
			return err
		}},
		{"out of order", "InvalidParameterException", putting(event(now, "a"), event(now-1, "b"))},
		{"too large", "InvalidParameterException", putting(event(now, strings.Repeat("x", 1<<20)))},
		{"more than 24 hours", "InvalidParameterException", putting(event(now-25*3600_000, "a"), event(now, "b"))},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var api smithy.APIError
			if err := tc.call(); !errors.As(err, &api) || api.ErrorCode() != tc.code {
				t.Errorf("got %v, want %s", err, tc.code)
			}
		})
	}
}

func TestTooOldEventsAreRejectedAndSaid(t *testing.T) {
	_, c, done := open(t, t.TempDir())
	defer done()
	group(t, c, "s")
	now := time.Now()
	out, err := c.PutLogEvents(t.Context(), &cwl.PutLogEventsInput{
		LogGroupName: aws.String("/g"), LogStreamName: aws.String("s"), LogEvents: []types.InputLogEvent{
			{Timestamp: aws.Int64(now.Add(-14*24*time.Hour - time.Minute).UnixMilli()), Message: aws.String("old")},
			{Timestamp: aws.Int64(now.Add(-14*24*time.Hour + time.Hour).UnixMilli()), Message: aws.String("new enough")},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	same(t, aws.ToInt32(out.RejectedLogEventsInfo.TooOldLogEventEndIndex), int32(1))
	got, _ := get(t, c, cwl.GetLogEventsInput{LogStreamName: aws.String("s")})
	same(t, got, []string{"new enough"})
}

func TestReopenAndDelete(t *testing.T) {
	dir := t.TempDir()
	service, _, done := open(t, dir)
	if err := service.Append(context.Background(), "/g", "s", []logs.Event{{Timestamp: 1, Message: "kept"}}); err != nil {
		t.Fatal(err)
	}
	done()

	_, c, done := open(t, dir)
	defer done()
	got, _ := get(t, c, cwl.GetLogEventsInput{LogStreamName: aws.String("s")})
	same(t, got, []string{"kept"})
	if _, err := c.DeleteLogGroup(t.Context(), &cwl.DeleteLogGroupInput{LogGroupName: aws.String("/g")}); err != nil {
		t.Fatal(err)
	}
	group(t, c, "s") // The name is free again, and the new stream is empty.
	got, _ = get(t, c, cwl.GetLogEventsInput{LogStreamName: aws.String("s")})
	same(t, got, []string(nil))
}

func BenchmarkAppend(b *testing.B) {
	service, err := logs.New(b.Context(), logs.Config{Dir: b.TempDir()}, logs.Deps{})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = service.Close() }()
	batch := make([]logs.Event, 1000)
	for i := range batch {
		batch[i] = logs.Event{Timestamp: int64(i), Message: "epoch 3 step 12345 loss: 0.0123 accuracy: 0.987 images/s: 1234"}
	}
	for b.Loop() {
		if err := service.Append(b.Context(), "/g", "s", batch); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(len(batch)*b.N)/b.Elapsed().Seconds(), "lines/s")
}
