package logs

import (
	"context"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/trainyard/trainyard/services/localcloud/awsjson"
)

// CloudWatch Logs quotas: https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/cloudwatch_limits_cwl.html
const (
	eventOverhead = 26      // bytes counted for each event beside its message
	maxBatchBytes = 1 << 20 // a PutLogEvents batch, a GetLogEvents page
	maxEvents     = 10_000  // events in a batch or a page
	maxTooOld     = 14 * 24 * time.Hour
	maxTooNew     = 2 * time.Hour
	maxSpan       = 24 * time.Hour
	maxDescribe   = 50
	// maxScanned bounds what one FilterLogEvents call looks at; it then answers a short page with a token, as AWS does.
	maxScanned = 200_000
)

var (
	groupName  = regexp.MustCompile(`^[.\-_/#A-Za-z0-9]{1,512}$`)
	streamName = regexp.MustCompile(`^[^:*]{1,512}$`)
)

func invalid(format string, args ...any) error {
	return awsjson.Errorf("InvalidParameterException", format, args...)
}

func checkGroup(name string) error {
	if !groupName.MatchString(name) {
		return invalid(`1 validation error detected: Value '%s' at 'logGroupName' failed to satisfy constraint: Member must satisfy regular expression pattern: [\.\-_/#A-Za-z0-9]+`, name)
	}
	return nil
}

func checkStream(name string) error {
	if !streamName.MatchString(name) {
		return invalid(`1 validation error detected: Value '%s' at 'logStreamName' failed to satisfy constraint: Member must satisfy regular expression pattern: [^:*]*`, name)
	}
	return nil
}

// groupRef names a log group by name or, in readers, by name or ARN.
type groupRef struct {
	LogGroupName       string `json:"logGroupName"`
	LogGroupIdentifier string `json:"logGroupIdentifier"`
}

func (g groupRef) name() (string, error) {
	if (g.LogGroupName == "") == (g.LogGroupIdentifier == "") {
		return "", invalid("Exactly one of logGroupName and logGroupIdentifier must be given.")
	}
	name := g.LogGroupName + g.LogGroupIdentifier
	if _, inARN, ok := strings.Cut(g.LogGroupIdentifier, ":log-group:"); ok {
		name = strings.TrimSuffix(inARN, ":*")
	}
	return name, checkGroup(name)
}

type createLogGroupInput struct {
	LogGroupName string `json:"logGroupName"`
}

func (s *Service) createLogGroup(ctx context.Context, in createLogGroupInput) (any, error) {
	if err := checkGroup(in.LogGroupName); err != nil {
		return nil, err
	}
	return nil, s.store.createGroup(ctx, in.LogGroupName)
}

func (s *Service) deleteLogGroup(ctx context.Context, in createLogGroupInput) (any, error) {
	if err := checkGroup(in.LogGroupName); err != nil {
		return nil, err
	}
	return nil, s.store.deleteGroup(ctx, in.LogGroupName)
}

type createLogStreamInput struct {
	LogGroupName  string `json:"logGroupName"`
	LogStreamName string `json:"logStreamName"`
}

func (s *Service) createLogStream(ctx context.Context, in createLogStreamInput) (any, error) {
	if err := checkGroup(in.LogGroupName); err != nil {
		return nil, err
	}
	if err := checkStream(in.LogStreamName); err != nil {
		return nil, err
	}
	return nil, s.store.createStream(ctx, in.LogGroupName, in.LogStreamName)
}

type putLogEventsInput struct {
	LogGroupName  string `json:"logGroupName"`
	LogStreamName string `json:"logStreamName"`
	LogEvents     []struct {
		Timestamp *int64  `json:"timestamp"`
		Message   *string `json:"message"`
	} `json:"logEvents"`
}

type rejectedLogEventsInfo struct {
	TooNewLogEventStartIndex *int `json:"tooNewLogEventStartIndex,omitempty"`
	TooOldLogEventEndIndex   *int `json:"tooOldLogEventEndIndex,omitempty"`
}

type putLogEventsOutput struct {
	NextSequenceToken     string                 `json:"nextSequenceToken"`
	RejectedLogEventsInfo *rejectedLogEventsInfo `json:"rejectedLogEventsInfo,omitempty"`
}

func (s *Service) putLogEvents(ctx context.Context, in putLogEventsInput) (any, error) {
	if err := checkGroup(in.LogGroupName); err != nil {
		return nil, err
	}
	if err := checkStream(in.LogStreamName); err != nil {
		return nil, err
	}
	if len(in.LogEvents) == 0 || len(in.LogEvents) > maxEvents {
		return nil, invalid("1 validation error detected: Value at 'logEvents' failed to satisfy constraint: Member must have length between 1 and %d", maxEvents)
	}
	now := time.Now()
	oldest, newest := now.Add(-maxTooOld).UnixMilli(), now.Add(maxTooNew).UnixMilli()
	var accepted []Event
	var rejected rejectedLogEventsInfo
	bytes := 0
	for i, e := range in.LogEvents {
		if e.Timestamp == nil || e.Message == nil || *e.Message == "" || *e.Timestamp < 0 {
			return nil, invalid("1 validation error detected: Value at 'logEvents.%d.member' failed to satisfy constraint: timestamp must be at least 0 and message at least 1 character long", i+1)
		}
		if i > 0 && *e.Timestamp < *in.LogEvents[i-1].Timestamp {
			return nil, invalid("Log events in a single PutLogEvents request must be in chronological order.")
		}
		bytes += len(*e.Message) + eventOverhead
		switch {
		case *e.Timestamp < oldest:
			rejected.TooOldLogEventEndIndex = ptr(i + 1)
		case *e.Timestamp > newest:
			if rejected.TooNewLogEventStartIndex == nil {
				rejected.TooNewLogEventStartIndex = ptr(i)
			}
		default:
			accepted = append(accepted, Event{Timestamp: *e.Timestamp, Message: *e.Message})
		}
	}
	if bytes > maxBatchBytes {
		return nil, invalid("Upload too large: %d bytes exceeds limit of %d", bytes, maxBatchBytes)
	}
	if n := len(in.LogEvents); *in.LogEvents[n-1].Timestamp-*in.LogEvents[0].Timestamp > maxSpan.Milliseconds() {
		return nil, invalid("The batch of log events in a single PutLogEvents request cannot span more than 24 hours.")
	}
	if err := s.store.append(ctx, in.LogGroupName, in.LogStreamName, false, accepted); err != nil {
		return nil, err
	}
	out := putLogEventsOutput{NextSequenceToken: "ignored"} // AWS still sends one and ignores what comes back.
	if rejected != (rejectedLogEventsInfo{}) {
		out.RejectedLogEventsInfo = &rejected
	}
	return out, nil
}

type getLogEventsInput struct {
	groupRef
	LogStreamName string `json:"logStreamName"`
	StartTime     *int64 `json:"startTime"`
	EndTime       *int64 `json:"endTime"`
	NextToken     string `json:"nextToken"`
	Limit         *int   `json:"limit"`
	StartFromHead bool   `json:"startFromHead"`
}

type outputLogEvent struct {
	Timestamp     int64  `json:"timestamp"`
	Message       string `json:"message"`
	IngestionTime int64  `json:"ingestionTime"`
}

type getLogEventsOutput struct {
	Events            []outputLogEvent `json:"events"`
	NextForwardToken  string           `json:"nextForwardToken"`
	NextBackwardToken string           `json:"nextBackwardToken"`
}

func (s *Service) getLogEvents(ctx context.Context, in getLogEventsInput) (any, error) {
	group, err := in.name()
	if err != nil {
		return nil, err
	}
	limit, err := pageLimit(in.Limit, maxEvents)
	if err != nil {
		return nil, err
	}
	id, err := streamID(ctx, s.store.db, group, in.LogStreamName)
	if err != nil {
		return nil, err
	}
	from, backward := head, false
	switch {
	case in.NextToken != "":
		if from, backward, err = parseToken(in.NextToken); err != nil {
			return nil, err
		}
	case !in.StartFromHead:
		from, backward = tail, true
	}
	// endTime is exclusive here, though inclusive in FilterLogEvents.
	start, end := orElse(in.StartTime, 0), orElse(in.EndTime, math.MaxInt64)-1
	var events []storedEvent
	bytes := 0
	err = s.store.scan(ctx, map[int64]string{id: in.LogStreamName}, from, backward, start, end, func(e storedEvent) bool {
		bytes += len(e.Message) + eventOverhead
		if bytes > maxBatchBytes && len(events) > 0 {
			return false
		}
		events = append(events, e)
		return len(events) < limit
	})
	if err != nil {
		return nil, err
	}
	out := getLogEventsOutput{Events: make([]outputLogEvent, len(events))}
	for i, e := range events {
		if backward {
			i = len(events) - 1 - i
		}
		out.Events[i] = outputLogEvent{Timestamp: e.Timestamp, Message: e.Message, IngestionTime: e.Ingestion}
	}
	// Each token points just past its end of the page. At the end of the stream both stay where they were, so a reader
	// that gets its own token back knows that it has caught up, and may ask again later with the same one.
	first, last := from, from
	if len(events) > 0 {
		first, last = events[0].position, events[len(events)-1].position
		if backward {
			first, last = last, first
		}
	} else if in.NextToken == "" {
		first, last = tail, head
	} else if backward {
		last.seq-- // The event that the token excludes is the first one on the way forward again.
	} else {
		first.seq++
	}
	out.NextForwardToken, out.NextBackwardToken = token("f", last), token("b", first)
	return out, nil
}

type filterLogEventsInput struct {
	groupRef
	LogStreamNames      []string `json:"logStreamNames"`
	LogStreamNamePrefix string   `json:"logStreamNamePrefix"`
	StartTime           *int64   `json:"startTime"`
	EndTime             *int64   `json:"endTime"`
	FilterPattern       string   `json:"filterPattern"`
	NextToken           string   `json:"nextToken"`
	Limit               *int     `json:"limit"`
	StartFromHead       *bool    `json:"startFromHead"`
}

type filteredLogEvent struct {
	EventID       string `json:"eventId"`
	LogStreamName string `json:"logStreamName"`
	outputLogEvent
}

type filterLogEventsOutput struct {
	Events             []filteredLogEvent `json:"events"`
	SearchedLogStreams []struct{}         `json:"searchedLogStreams"`
	NextToken          string             `json:"nextToken,omitempty"`
}

func (s *Service) filterLogEvents(ctx context.Context, in filterLogEventsInput) (any, error) {
	group, err := in.name()
	if err != nil {
		return nil, err
	}
	limit, err := pageLimit(in.Limit, maxEvents)
	if err != nil {
		return nil, err
	}
	match, err := parseFilter(in.FilterPattern)
	if err != nil {
		return nil, err
	}
	if len(in.LogStreamNames) > 0 && in.LogStreamNamePrefix != "" {
		return nil, invalid("logStreamNamePrefix and logStreamNames cannot be specified together.")
	}
	streams, err := s.store.selectStreams(ctx, group, in.LogStreamNames, in.LogStreamNamePrefix)
	if err != nil {
		return nil, err
	}
	from, backward := head, in.StartFromHead != nil && !*in.StartFromHead
	if backward {
		from = tail
	}
	if in.NextToken != "" {
		if from, backward, err = parseToken(in.NextToken); err != nil {
			return nil, err
		}
	}
	out := filterLogEventsOutput{Events: []filteredLogEvent{}, SearchedLogStreams: []struct{}{}}
	bytes, scanned, more, last := 0, 0, false, from
	err = s.store.scan(ctx, streams, from, backward, orElse(in.StartTime, 0), orElse(in.EndTime, math.MaxInt64), func(e storedEvent) bool {
		hit := match(e.Message)
		size := len(e.Message) + eventOverhead
		if scanned++; scanned > maxScanned || hit && (len(out.Events) == limit || bytes+size > maxBatchBytes && len(out.Events) > 0) {
			more = true
			return false
		}
		last = e.position
		if hit {
			bytes += size
			out.Events = append(out.Events, filteredLogEvent{
				EventID: fmt.Sprintf("%020d%036d", e.Timestamp, e.seq), LogStreamName: e.stream,
				outputLogEvent: outputLogEvent{Timestamp: e.Timestamp, Message: e.Message, IngestionTime: e.Ingestion},
			})
		}
		return true
	})
	if err != nil {
		return nil, err
	}
	if more {
		direction := "f"
		if backward {
			direction = "b"
		}
		out.NextToken = token(direction, last)
	}
	return out, nil
}

// parseFilter reads CloudWatch's patterns for unstructured events: all terms must occur; `?a ?b` means any of them; `-a`
// excludes; a term in double quotes may hold spaces. JSON and space-delimited patterns are refused, not misread.
// Syntax: https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntax.html
func parseFilter(pattern string) (func(string) bool, error) {
	var all, anyOf, none []string
	rest := strings.TrimSpace(pattern)
	if strings.HasPrefix(rest, "{") || strings.HasPrefix(rest, "[") || strings.HasPrefix(rest, "%") {
		return nil, invalid("Invalid filter pattern: localcloud reads patterns of terms only, not JSON, space-delimited or regular expression ones.")
	}
	for rest != "" {
		to := &all
		switch rest[0] {
		case '?':
			to, rest = &anyOf, rest[1:]
		case '-':
			to, rest = &none, rest[1:]
		}
		var term string
		if quoted, ok := strings.CutPrefix(rest, `"`); ok {
			if term, rest, ok = strings.Cut(quoted, `"`); !ok {
				return nil, invalid("Invalid filter pattern: a double quote is not closed.")
			}
		} else {
			term, rest, _ = strings.Cut(rest, " ")
		}
		if term != "" {
			*to = append(*to, term)
		}
		rest = strings.TrimSpace(rest)
	}
	return func(message string) bool {
		for _, t := range all {
			if !strings.Contains(message, t) {
				return false
			}
		}
		for _, t := range none {
			if strings.Contains(message, t) {
				return false
			}
		}
		for _, t := range anyOf {
			if strings.Contains(message, t) {
				return true
			}
		}
		return len(anyOf) == 0
	}, nil
}

func token(direction string, p position) string {
	return fmt.Sprintf("%s/%020d%036d", direction, p.timestamp+1, p.seq+1)
}

func parseToken(t string) (position, bool, error) {
	direction, digits, _ := strings.Cut(t, "/")
	if len(digits) == 56 && (direction == "f" || direction == "b") {
		timestamp, err1 := strconv.ParseInt(digits[:20], 10, 64)
		seq, err2 := strconv.ParseInt(digits[20:], 10, 64)
		if err1 == nil && err2 == nil {
			return position{timestamp - 1, seq - 1}, direction == "b", nil
		}
	}
	return position{}, false, invalid("The specified nextToken is invalid.")
}

func pageLimit(given *int, most int) (int, error) {
	if given == nil {
		return most, nil
	}
	if *given < 1 || *given > most {
		return 0, invalid("1 validation error detected: Value '%d' at 'limit' failed to satisfy constraint: Member must have value between 1 and %d", *given, most)
	}
	return *given, nil
}

func orElse(v *int64, otherwise int64) int64 {
	if v == nil {
		return otherwise
	}
	return *v
}

func ptr[T any](v T) *T { return &v }
