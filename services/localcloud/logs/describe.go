package logs

import (
	"context"
	"encoding/base64"
	"fmt"
	"strings"
)

type describeLogGroupsInput struct {
	LogGroupNamePrefix  string `json:"logGroupNamePrefix"`
	LogGroupNamePattern string `json:"logGroupNamePattern"`
	NextToken           string `json:"nextToken"`
	Limit               *int   `json:"limit"`
}

type logGroup struct {
	LogGroupName      string `json:"logGroupName"`
	CreationTime      int64  `json:"creationTime"`
	MetricFilterCount int    `json:"metricFilterCount"`
	ARN               string `json:"arn"`
	LogGroupARN       string `json:"logGroupArn"`
	LogGroupClass     string `json:"logGroupClass"`
	StoredBytes       int64  `json:"storedBytes"`
}

type describeLogGroupsOutput struct {
	LogGroups []logGroup `json:"logGroups"`
	NextToken string     `json:"nextToken,omitempty"`
}

func (s *Service) describeLogGroups(ctx context.Context, in describeLogGroupsInput) (any, error) {
	if in.LogGroupNamePrefix != "" && in.LogGroupNamePattern != "" {
		return nil, invalid("LogGroup name prefix and LogGroup name pattern are mutually exclusive parameters.")
	}
	limit, err := pageLimit(in.Limit, maxDescribe)
	if err != nil {
		return nil, err
	}
	after, _, err := decodeMark(in.NextToken)
	if err != nil {
		return nil, err
	}
	rows, err := s.store.db.QueryContext(ctx, `SELECT name, created,
			(SELECT coalesce(sum(bytes), 0) FROM log_streams WHERE group_name = log_groups.name)
		FROM log_groups WHERE name > ? AND substr(name, 1, length(?)) = ? AND instr(name, ?) > 0 ORDER BY name LIMIT ?`,
		after, in.LogGroupNamePrefix, in.LogGroupNamePrefix, in.LogGroupNamePattern, limit+1)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	out := describeLogGroupsOutput{LogGroups: []logGroup{}}
	for rows.Next() {
		g := logGroup{LogGroupClass: "STANDARD"}
		if err := rows.Scan(&g.LogGroupName, &g.CreationTime, &g.StoredBytes); err != nil {
			return nil, err
		}
		if len(out.LogGroups) == limit {
			out.NextToken = encodeMark(out.LogGroups[limit-1].LogGroupName, 0)
			break
		}
		g.LogGroupARN = s.groupARN(g.LogGroupName)
		g.ARN = g.LogGroupARN + ":*"
		out.LogGroups = append(out.LogGroups, g)
	}
	return out, rows.Err()
}

type describeLogStreamsInput struct {
	groupRef
	LogStreamNamePrefix string `json:"logStreamNamePrefix"`
	OrderBy             string `json:"orderBy"`
	Descending          bool   `json:"descending"`
	NextToken           string `json:"nextToken"`
	Limit               *int   `json:"limit"`
}

type logStream struct {
	LogStreamName       string `json:"logStreamName"`
	CreationTime        int64  `json:"creationTime"`
	FirstEventTimestamp *int64 `json:"firstEventTimestamp,omitempty"`
	LastEventTimestamp  *int64 `json:"lastEventTimestamp,omitempty"`
	LastIngestionTime   *int64 `json:"lastIngestionTime,omitempty"`
	UploadSequenceToken string `json:"uploadSequenceToken"`
	ARN                 string `json:"arn"`
	// StoredBytes stays 0: since 2019 AWS reports it for groups only.
	StoredBytes int64 `json:"storedBytes"`
}

type describeLogStreamsOutput struct {
	LogStreams []logStream `json:"logStreams"`
	NextToken  string      `json:"nextToken,omitempty"`
}

func (s *Service) describeLogStreams(ctx context.Context, in describeLogStreamsInput) (any, error) {
	group, err := in.name()
	if err != nil {
		return nil, err
	}
	limit, err := pageLimit(in.Limit, maxDescribe)
	if err != nil {
		return nil, err
	}
	// A stream without events sorts before all that have one.
	key := "coalesce(last_event, -1)"
	switch in.OrderBy {
	case "", "LogStreamName":
		key = "0"
	case "LastEventTime":
		if in.LogStreamNamePrefix != "" {
			return nil, invalid("Cannot order by LastEventTime with a logStreamNamePrefix.")
		}
	default:
		return nil, invalid("1 validation error detected: Value '%s' at 'orderBy' failed to satisfy constraint: Member must satisfy enum value set: [LogStreamName, LastEventTime]", in.OrderBy)
	}
	if err := groupExists(ctx, s.store.db, group); err != nil {
		return nil, err
	}
	name, mark, err := decodeMark(in.NextToken)
	if err != nil {
		return nil, err
	}
	compare, order := ">", "ASC"
	if in.Descending {
		compare, order = "<", "DESC"
	}
	rows, err := s.store.db.QueryContext(ctx, `SELECT name, created, first_event, last_event, last_ingest, `+key+` AS mark
		FROM log_streams WHERE group_name = ? AND substr(name, 1, length(?)) = ? AND (? OR (`+key+`, name) `+compare+` (?, ?))
		ORDER BY mark `+order+`, name `+order+` LIMIT ?`,
		group, in.LogStreamNamePrefix, in.LogStreamNamePrefix, in.NextToken == "", mark, name, limit+1)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	out := describeLogStreamsOutput{LogStreams: []logStream{}}
	var lastMark int64
	for rows.Next() {
		l := logStream{UploadSequenceToken: "ignored"}
		var m int64
		if err := rows.Scan(&l.LogStreamName, &l.CreationTime, &l.FirstEventTimestamp, &l.LastEventTimestamp, &l.LastIngestionTime, &m); err != nil {
			return nil, err
		}
		if len(out.LogStreams) == limit {
			out.NextToken = encodeMark(out.LogStreams[limit-1].LogStreamName, lastMark)
			break
		}
		lastMark = m
		l.ARN = s.groupARN(group) + ":log-stream:" + l.LogStreamName
		out.LogStreams = append(out.LogStreams, l)
	}
	return out, rows.Err()
}

// A describe token is the last name of the page with its sort key, so that streams made meanwhile shift nothing.
func encodeMark(name string, mark int64) string {
	return base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, "%d:%s", mark, name))
}

func decodeMark(token string) (name string, mark int64, err error) {
	if token == "" {
		return "", 0, nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(token)
	number, name, ok := strings.Cut(string(raw), ":")
	if _, scanErr := fmt.Sscan(number, &mark); err != nil || !ok || scanErr != nil {
		return "", 0, invalid("The specified nextToken is invalid.")
	}
	return name, mark, nil
}
