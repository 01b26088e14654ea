package joblog_test

import (
	"errors"
	"fmt"
	"math"
	"net/http/httptest"
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"

	"github.com/trainyard/trainyard/services/internal/awscfg"
	"github.com/trainyard/trainyard/services/localcloud/logs"
	"github.com/trainyard/trainyard/services/training/internal/joblog"
)

const job = "trainyard-1"

func TestReadGoesOnWhereItStopped(t *testing.T) {
	for _, lines := range []int{1, 2, 3, 7, 1000} {
		t.Run(fmt.Sprint(lines, " at a time"), func(t *testing.T) {
			cloud, client := open(t)
			var want []string
			write := func(stream string, count int) {
				t.Helper()
				var events []logs.Event
				for range count {
					// Several events a millisecond, as real programs have them.
					events = append(events, logs.Event{Timestamp: 1_732_000_000_000 + int64(len(want)/4), Message: fmt.Sprint("line ", len(want))})
					want = append(want, events[len(events)-1].Message)
				}
				if err := cloud.Append(t.Context(), joblog.Group, stream, events); err != nil {
					t.Fatal(err)
				}
			}
			var got []string
			cursor := joblog.Cursor{}
			readOn := func() {
				t.Helper()
				for {
					page, err := joblog.Read(t.Context(), client, job, cursor, lines, math.MaxInt)
					if err != nil {
						t.Fatal(err)
					}
					if len(page.Lines) > lines {
						t.Fatalf("%d lines, asked for %d", len(page.Lines), lines)
					}
					for _, line := range page.Lines {
						got = append(got, line.Message)
					}
					// As text, as it travels in page tokens and in the database.
					if cursor, err = joblog.Decode(page.Next.Encode()); err != nil {
						t.Fatal(err)
					}
					if page.AtEnd {
						return
					}
				}
			}
			readOn() // Nothing yet, not even the group.
			write(job+"/algo-1-100", 10)
			write("trainyard-10/algo-1-100", 1) // Another job's.
			want = want[:len(want)-1]
			readOn()
			write(job+"/algo-1-100", 5)
			readOn()
			readOn()
			write(job+"/algo-1-200", 6) // The job was started again.
			readOn()
			if !slices.Equal(got, want) {
				t.Fatalf("\n got %q\nwant %q", got, want)
			}
		})
	}
}

// Machines of one job log at the same time: no line of the first is missed because those of the second have been read, and all come by time.
func TestMachinesMakeOneLog(t *testing.T) {
	for _, lines := range []int{1, 3, 1000} {
		t.Run(fmt.Sprint(lines, " at a time"), func(t *testing.T) {
			cloud, client := open(t)
			var cursor joblog.Cursor
			var got, want []string
			for round := range int64(3) {
				for machine := range int64(3) {
					var events []logs.Event
					for line := range int64(4) {
						events = append(events, logs.Event{Timestamp: 1000*(round+1) + 10*line + machine, Message: fmt.Sprintf("%d.%d.%d", round, line, machine)})
					}
					if err := cloud.Append(t.Context(), joblog.Group, fmt.Sprintf("%s/algo-%d-1", job, machine+1), events); err != nil {
						t.Fatal(err)
					}
				}
				for line := range 4 {
					for machine := range 3 {
						want = append(want, fmt.Sprintf("%d.%d.%d", round, line, machine))
					}
				}
				for atEnd := false; !atEnd; {
					page, err := joblog.Read(t.Context(), client, job, cursor, lines, math.MaxInt)
					if err != nil {
						t.Fatal(err)
					}
					for _, line := range page.Lines {
						got = append(got, line.Message)
					}
					cursor, atEnd = page.Next, page.AtEnd
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("\n got %q\nwant %q", got, want)
			}
		})
	}
}

func TestReadKeepsToBytes(t *testing.T) {
	cloud, client := open(t)
	events := []logs.Event{{Timestamp: 1, Message: "0123456789"}, {Timestamp: 2, Message: "0123456789"}, {Timestamp: 2, Message: "01"}}
	if err := cloud.Append(t.Context(), joblog.Group, job+"/algo-1-1", events); err != nil {
		t.Fatal(err)
	}
	var pages []int
	for cursor, atEnd := joblog.Cursor(nil), false; !atEnd; {
		page, err := joblog.Read(t.Context(), client, job, cursor, 100, 12)
		if err != nil {
			t.Fatal(err)
		}
		pages = append(pages, len(page.Lines))
		cursor, atEnd = page.Next, page.AtEnd
	}
	if !slices.Equal(pages, []int{1, 2}) {
		t.Fatalf("pages of %v lines", pages)
	}
}

func TestCloudWatchThatIsAwayIsSaidSo(t *testing.T) {
	cfg, err := awscfg.Load(t.Context(), awscfg.Config{Region: "us-east-1", Endpoint: "http://127.0.0.1:1", AccessKey: "key", SecretKey: "secret"})
	if err != nil {
		t.Fatal(err)
	}
	cfg.RetryMaxAttempts = 1
	_, err = joblog.Read(t.Context(), cloudwatchlogs.NewFromConfig(cfg), job, joblog.Cursor{}, 1, 1)
	var away *joblog.UnavailableError
	if !errors.As(err, &away) {
		t.Fatalf("got %v; want an UnavailableError", err)
	}
}

func TestLostStreamEndsTheLog(t *testing.T) {
	_, client := open(t)
	page, err := joblog.Read(t.Context(), client, job, joblog.Cursor{{Stream: "gone", Time: 5, Count: 1}}, 10, 100)
	if err != nil || !page.AtEnd || len(page.Lines) != 0 {
		t.Fatalf("got %v, %v", page, err)
	}
}

func TestDecodeRefusesWhatItDidNotWrite(t *testing.T) {
	for _, text := range []string{"x", "{}", `[{"t":1}]`, `[{"s":"a","t":"1"}]`, `[{"s":"a","t":-1}]`, `[{"s":"a","c":-1}]`, `[{"s":"a","c":9223372036854775807}]`, "[][]"} {
		if _, err := joblog.Decode(text); err == nil {
			t.Errorf("%s was read", text)
		}
	}
}

func TestDecodeReadsAnOlderVersionsPlace(t *testing.T) {
	got, err := joblog.Decode(`{"s":"job/algo-1-1","t":5,"c":2}`)
	if err != nil || !slices.Equal(got, joblog.Cursor{{Stream: "job/algo-1-1", Time: 5, Count: 2}}) {
		t.Errorf("got %v, %v", got, err)
	}
}

func open(t *testing.T) (*logs.Service, *cloudwatchlogs.Client) {
	t.Helper()
	service, err := logs.New(t.Context(), logs.Config{Dir: t.TempDir()}, logs.Deps{})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(service)
	t.Cleanup(func() {
		server.Close()
		if err := service.Close(); err != nil {
			t.Error(err)
		}
	})
	cfg, err := awscfg.Load(t.Context(), awscfg.Config{Region: "us-east-1", Endpoint: server.URL, AccessKey: "key", SecretKey: "secret"})
	if err != nil {
		t.Fatal(err)
	}
	return service, cloudwatchlogs.NewFromConfig(cfg)
}
