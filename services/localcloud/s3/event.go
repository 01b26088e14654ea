package s3

import (
	"encoding/json"
	"net/url"
	"strings"
	"time"
)

// The form of an event is that of the S3 user guide, "Event message structure".
type eventMessage struct {
	Records []eventRecord `json:"Records"`
}

type eventRecord struct {
	EventVersion      string            `json:"eventVersion"`
	EventSource       string            `json:"eventSource"`
	AWSRegion         string            `json:"awsRegion"`
	EventTime         string            `json:"eventTime"`
	EventName         string            `json:"eventName"`
	UserIdentity      principal         `json:"userIdentity"`
	RequestParameters map[string]string `json:"requestParameters"`
	ResponseElements  map[string]string `json:"responseElements"`
	S3                eventS3           `json:"s3"`
}

type principal struct {
	PrincipalID string `json:"principalId"`
}

type eventS3 struct {
	SchemaVersion   string      `json:"s3SchemaVersion"`
	ConfigurationID string      `json:"configurationId"`
	Bucket          eventBucket `json:"bucket"`
	Object          eventObject `json:"object"`
}

type eventBucket struct {
	Name          string    `json:"name"`
	OwnerIdentity principal `json:"ownerIdentity"`
	ARN           string    `json:"arn"`
}

type eventObject struct {
	Key       string `json:"key"`
	Size      int64  `json:"size"`
	ETag      string `json:"eTag"`
	Sequencer string `json:"sequencer"`
}

// eventTime is ISO 8601 in UTC with milliseconds.
const eventTime = "2006-01-02T15:04:05.000Z"

// happened is a write that succeeded and is to be told of.
type happened struct {
	intent
	at        time.Time
	size      int64
	etag      string
	requestID string
	hostID    string
}

func (s *Server) eventBody(h happened, configurationID string) (string, error) {
	body, err := json.Marshal(eventMessage{Records: []eventRecord{{
		EventVersion:      "2.1",
		EventSource:       "aws:s3",
		AWSRegion:         s.cfg.Region,
		EventTime:         h.at.UTC().Format(eventTime),
		EventName:         h.eventName,
		UserIdentity:      principal{"AWS:" + s.cfg.AccountID},
		RequestParameters: map[string]string{"sourceIPAddress": "127.0.0.1"},
		ResponseElements:  map[string]string{"x-amz-request-id": h.requestID, "x-amz-id-2": h.hostID},
		S3: eventS3{
			SchemaVersion:   "1.0",
			ConfigurationID: configurationID,
			Bucket: eventBucket{
				Name: h.bucket, OwnerIdentity: principal{s.cfg.AccountID}, ARN: s.bucketARN(h.bucket),
			},
			Object: eventObject{
				Key: formEncode(h.key), Size: h.size, ETag: strings.Trim(h.etag, `"`), Sequencer: h.sequencer(),
			},
		},
	}}})
	return string(body), err
}

// testEvent is what S3 sends to a queue when notifications to it are set up.
func testEvent(bucket, requestID, hostID string, at time.Time) (string, error) {
	body, err := json.Marshal(struct {
		Service, Event, Time, Bucket string
		RequestID                    string `json:"RequestId"`
		HostID                       string `json:"HostId"`
	}{"Amazon S3", "s3:TestEvent", at.UTC().Format(eventTime), bucket, requestID, hostID})
	return string(body), err
}

func (s *Server) bucketARN(bucket string) string {
	partition := "aws"
	if strings.HasPrefix(s.cfg.Region, "cn-") {
		partition = "aws-cn"
	}
	return "arn:" + partition + ":s3:::" + bucket
}

// formEncode writes a key as S3 does in events: form encoding (a space is "+"),
// in which slashes stay.
func formEncode(key string) string {
	return strings.ReplaceAll(url.QueryEscape(key), "%2F", "/")
}
