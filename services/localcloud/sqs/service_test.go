package sqs

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

type client struct {
	t testing.TB
	s *Service
}

func open(t testing.TB) client {
	t.Helper()
	s, err := Open(t.Context(), Config{
		Path: filepath.Join(t.TempDir(), "sqs.db"), Region: "us-east-1", AccountID: "000000000000",
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return client{t, s}
}

type object = map[string]any

// call makes one request; code is that of x-amzn-query-error, "" on success.
func (c client) call(ctx context.Context, operation string, in any) (out object, code string) {
	c.t.Helper()
	body, err := json.Marshal(in)
	if err != nil {
		c.t.Fatal(err)
	}
	r := httptest.NewRequestWithContext(ctx, http.MethodPost, "http://127.0.0.1:4566/", bytes.NewReader(body))
	r.Header.Set("X-Amz-Target", "AmazonSQS."+operation)
	w := httptest.NewRecorder()
	c.s.ServeHTTP(w, r)
	if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil {
		c.t.Fatalf("%s answered %q: %v", operation, w.Body, err)
	}
	code, _, _ = strings.Cut(w.Header().Get("x-amzn-query-error"), ";")
	if (code == "") != (w.Code == http.StatusOK) {
		c.t.Fatalf("%s: status %d with error code %q", operation, w.Code, code)
	}
	return out, code
}

func (c client) must(operation string, in any) object {
	c.t.Helper()
	out, code := c.call(c.t.Context(), operation, in)
	if code != "" {
		c.t.Fatalf("%s: %s: %v", operation, code, out["message"])
	}
	return out
}

func (c client) create(name string, attributes object) string {
	c.t.Helper()
	return c.must("CreateQueue", object{"QueueName": name, "Attributes": attributes})["QueueUrl"].(string)
}

func (c client) send(url, body string) {
	c.t.Helper()
	c.must("SendMessage", object{"QueueUrl": url, "MessageBody": body})
}

// receive takes up to ten messages without waiting.
func (c client) receive(url string) []object {
	c.t.Helper()
	return messages(c.must("ReceiveMessage", object{
		"QueueUrl": url, "MaxNumberOfMessages": 10, "MessageSystemAttributeNames": []string{"All"},
	}))
}

func messages(out object) []object {
	list, _ := out["Messages"].([]any)
	var found []object
	for _, m := range list {
		found = append(found, m.(object))
	}
	return found
}

func bodies(messages []object) []string {
	var found []string
	for _, m := range messages {
		found = append(found, m["Body"].(string))
	}
	return found
}

func attribute(m object, name string) string {
	value, _ := m["Attributes"].(object)[name].(string)
	return value
}

func TestQueueLifecycle(t *testing.T) {
	c := open(t)
	url := c.create("tasks", object{"VisibilityTimeout": "5"})
	if want := "http://127.0.0.1:4566/000000000000/tasks"; url != want {
		t.Errorf("url %s, want %s", url, want)
	}
	if again := c.create("tasks", object{"VisibilityTimeout": "5"}); again != url {
		t.Errorf("second CreateQueue gave %s", again)
	}
	if again := c.create("tasks", nil); again != url {
		t.Errorf("CreateQueue without attributes gave %s", again)
	}
	if _, code := c.call(t.Context(), "CreateQueue", object{"QueueName": "tasks", "Attributes": object{"VisibilityTimeout": "6"}}); code != "QueueAlreadyExists" {
		t.Errorf("other attributes: %q", code)
	}

	c.must("TagQueue", object{"QueueUrl": url, "Tags": object{"team": "vision", "env": "dev"}})
	c.must("UntagQueue", object{"QueueUrl": url, "TagKeys": []string{"env"}})
	if tags := c.must("ListQueueTags", object{"QueueUrl": url})["Tags"].(object); len(tags) != 1 || tags["team"] != "vision" {
		t.Errorf("tags %v", tags)
	}

	c.must("SetQueueAttributes", object{"QueueUrl": url, "Attributes": object{"DelaySeconds": "7", "Policy": `{"Statement":[]}`}})
	got := c.must("GetQueueAttributes", object{"QueueUrl": url, "AttributeNames": []string{"All"}})["Attributes"].(object)
	for name, want := range map[string]string{
		"VisibilityTimeout": "5", "DelaySeconds": "7", "Policy": `{"Statement":[]}`, "MessageRetentionPeriod": "345600",
		"MaximumMessageSize": "1048576", "ReceiveMessageWaitTimeSeconds": "0", "SqsManagedSseEnabled": "true",
		"ApproximateNumberOfMessages": "0", "QueueArn": "arn:aws:sqs:us-east-1:000000000000:tasks",
	} {
		if got[name] != want {
			t.Errorf("%s = %v, want %s", name, got[name], want)
		}
	}
	c.must("SetQueueAttributes", object{"QueueUrl": url, "Attributes": object{"Policy": ""}})
	one := c.must("GetQueueAttributes", object{"QueueUrl": url, "AttributeNames": []string{"Policy", "QueueArn"}})["Attributes"].(object)
	if len(one) != 1 {
		t.Errorf("attributes %v, want QueueArn alone", one)
	}

	c.must("DeleteQueue", object{"QueueUrl": url})
	if _, code := c.call(t.Context(), "GetQueueUrl", object{"QueueName": "tasks"}); code != "AWS.SimpleQueueService.NonExistentQueue" {
		t.Errorf("after DeleteQueue: %q", code)
	}
}

func TestListQueuesPages(t *testing.T) {
	c := open(t)
	for i := range 5 {
		c.create("a-"+strconv.Itoa(i), nil)
	}
	c.create("b", nil)

	all := c.must("ListQueues", object{})
	if got := all["QueueUrls"].([]any); len(got) != 6 || all["NextToken"] != nil {
		t.Errorf("ListQueues: %v", all)
	}
	var names []string
	in := object{"QueueNamePrefix": "a-", "MaxResults": 2}
	for {
		out := c.must("ListQueues", in)
		for _, u := range out["QueueUrls"].([]any) {
			names = append(names, u.(string)[strings.LastIndex(u.(string), "/")+1:])
		}
		token, more := out["NextToken"].(string)
		if !more {
			break
		}
		in["NextToken"] = token
	}
	if want := []string{"a-0", "a-1", "a-2", "a-3", "a-4"}; !slices.Equal(names, want) {
		t.Errorf("paged %v, want %v", names, want)
	}
}

func TestErrors(t *testing.T) {
	c := open(t)
	url := c.create("q", nil)
	c.send(url, "in flight")
	handle := c.receive(url)[0]["ReceiptHandle"]
	long := strings.Repeat("x", maxMessageBytes+1)
	entries := func(n int, id func(int) string) []object {
		var list []object
		for i := range n {
			list = append(list, object{"Id": id(i), "MessageBody": "m"})
		}
		return list
	}

	for _, test := range []struct {
		name, operation string
		in              object
		want            string
	}{
		{"no such queue", "SendMessage", object{"QueueUrl": url + "x", "MessageBody": "m"}, "AWS.SimpleQueueService.NonExistentQueue"},
		{"other account", "SendMessage", object{"QueueUrl": "http://h/111111111111/q", "MessageBody": "m"}, "AWS.SimpleQueueService.NonExistentQueue"},
		{"no queue url", "ReceiveMessage", object{}, "MissingParameter"},
		{"fifo name", "CreateQueue", object{"QueueName": "q.fifo"}, "AWS.SimpleQueueService.UnsupportedOperation"},
		{"fifo attribute", "CreateQueue", object{"QueueName": "q2", "Attributes": object{"FifoQueue": "true"}}, "AWS.SimpleQueueService.UnsupportedOperation"},
		{"bad name", "CreateQueue", object{"QueueName": "a b"}, "InvalidParameterValue"},
		{"unknown attribute", "CreateQueue", object{"QueueName": "q2", "Attributes": object{"Colour": "red"}}, "InvalidAttributeName"},
		{"attribute out of range", "SetQueueAttributes", object{"QueueUrl": url, "Attributes": object{"VisibilityTimeout": "43201"}}, "InvalidAttributeValue"},
		{"policy is no JSON", "SetQueueAttributes", object{"QueueUrl": url, "Attributes": object{"Policy": "{"}}, "InvalidAttributeValue"},
		{"unknown attribute asked", "GetQueueAttributes", object{"QueueUrl": url, "AttributeNames": []string{"Colour"}}, "InvalidAttributeName"},
		{"dead-letter queue missing", "SetQueueAttributes", object{"QueueUrl": url, "Attributes": object{
			"RedrivePolicy": `{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:000000000000:none","maxReceiveCount":3}`,
		}}, "InvalidParameterValue"},
		{"dead-letter count missing", "SetQueueAttributes", object{"QueueUrl": url, "Attributes": object{
			"RedrivePolicy": `{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:000000000000:q"}`,
		}}, "InvalidParameterValue"},
		{"empty body", "SendMessage", object{"QueueUrl": url, "MessageBody": ""}, "MissingParameter"},
		{"body too long", "SendMessage", object{"QueueUrl": url, "MessageBody": long}, "InvalidParameterValue"},
		{"forbidden character", "SendMessage", object{"QueueUrl": url, "MessageBody": "a\x00b"}, "InvalidMessageContents"},
		{"delay out of range", "SendMessage", object{"QueueUrl": url, "MessageBody": "m", "DelaySeconds": 901}, "InvalidParameterValue"},
		{"deduplication id", "SendMessage", object{"QueueUrl": url, "MessageBody": "m", "MessageDeduplicationId": "1"}, "InvalidParameterValue"},
		{"attribute of unknown type", "SendMessage", object{"QueueUrl": url, "MessageBody": "m", "MessageAttributes": object{
			"a": object{"DataType": "Bool", "StringValue": "true"},
		}}, "InvalidParameterValue"},
		{"empty attribute", "SendMessage", object{"QueueUrl": url, "MessageBody": "m", "MessageAttributes": object{
			"a": object{"DataType": "String", "StringValue": ""},
		}}, "InvalidParameterValue"},
		{"eleven messages asked", "ReceiveMessage", object{"QueueUrl": url, "MaxNumberOfMessages": 11}, "InvalidParameterValue"},
		{"wait too long", "ReceiveMessage", object{"QueueUrl": url, "WaitTimeSeconds": 21}, "InvalidParameterValue"},
		{"empty batch", "SendMessageBatch", object{"QueueUrl": url, "Entries": []object{}}, "AWS.SimpleQueueService.EmptyBatchRequest"},
		{"batch of eleven", "SendMessageBatch", object{"QueueUrl": url, "Entries": entries(11, strconv.Itoa)}, "AWS.SimpleQueueService.TooManyEntriesInBatchRequest"},
		{"repeated batch id", "SendMessageBatch", object{"QueueUrl": url, "Entries": entries(2, func(int) string { return "a" })}, "AWS.SimpleQueueService.BatchEntryIdsNotDistinct"},
		{"bad batch id", "DeleteMessageBatch", object{"QueueUrl": url, "Entries": []object{{"Id": "a b", "ReceiptHandle": handle}}}, "AWS.SimpleQueueService.InvalidBatchEntryId"},
		{"batch too long", "SendMessageBatch", object{"QueueUrl": url, "Entries": []object{
			{"Id": "a", "MessageBody": long[:maxMessageBytes-1]}, {"Id": "b", "MessageBody": "mm"},
		}}, "AWS.SimpleQueueService.BatchRequestTooLong"},
		{"no receipt handle", "DeleteMessage", object{"QueueUrl": url, "ReceiptHandle": "nonsense"}, "ReceiptHandleIsInvalid"},
		{"visibility missing", "ChangeMessageVisibility", object{"QueueUrl": url, "ReceiptHandle": handle}, "MissingParameter"},
		{"visibility too long", "ChangeMessageVisibility", object{"QueueUrl": url, "ReceiptHandle": handle, "VisibilityTimeout": 43201}, "InvalidParameterValue"},
		{"unknown operation", "AddPermission", object{}, "InvalidAction"},
		{"wrong type", "SendMessage", object{"QueueUrl": url, "MessageBody": 3}, "SerializationException"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if out, code := c.call(t.Context(), test.operation, test.in); code != test.want {
				t.Errorf("code %q (%v), want %q", code, out["message"], test.want)
			}
		})
	}
}

func TestMessageAttributes(t *testing.T) {
	c := open(t)
	url := c.create("q", nil)
	attributes := object{
		"ty.kind":  object{"DataType": "String", "StringValue": "plan"},
		"ty.count": object{"DataType": "Number", "StringValue": "3"},
		"blob":     object{"DataType": "Binary", "BinaryValue": []byte{0, 1, 2}},
	}
	sent := c.must("SendMessage", object{"QueueUrl": url, "MessageBody": "hello <&>", "MessageAttributes": attributes, "MessageSystemAttributes": object{
		"AWSTraceHeader": object{"DataType": "String", "StringValue": "Root=1"},
	}})
	if sent["MD5OfMessageBody"] != "57fbb05fd4e0844445620e20e3ebf1ca" {
		t.Errorf("body digest %v", sent["MD5OfMessageBody"])
	}

	for _, test := range []struct {
		ask  []string
		want []string
	}{
		{nil, nil},
		{[]string{"All"}, []string{"blob", "ty.count", "ty.kind"}},
		{[]string{"ty.*"}, []string{"ty.count", "ty.kind"}},
		{[]string{"blob", "absent"}, []string{"blob"}},
	} {
		m := messages(c.must("ReceiveMessage", object{
			"QueueUrl": url, "MessageAttributeNames": test.ask, "AttributeNames": []string{"AWSTraceHeader"}, "VisibilityTimeout": 0,
		}))[0]
		got, _ := m["MessageAttributes"].(object)
		if names := slices.Sorted(maps.Keys(got)); !slices.Equal(names, test.want) {
			t.Errorf("asked %v, got %v", test.ask, names)
		}
		if attribute(m, "AWSTraceHeader") != "Root=1" || m["Body"] != "hello <&>" {
			t.Errorf("message %v", m)
		}
		whole := len(test.want) == 3
		if whole != (m["MD5OfMessageAttributes"] == sent["MD5OfMessageAttributes"]) {
			t.Errorf("asked %v: digest %v, sent %v", test.ask, m["MD5OfMessageAttributes"], sent["MD5OfMessageAttributes"])
		}
	}
}

func TestVisibility(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := open(t)
		url := c.create("q", object{"VisibilityTimeout": "30"})
		c.send(url, "m")

		first := c.receive(url)[0]
		if attribute(first, "ApproximateReceiveCount") != "1" {
			t.Errorf("count %s", attribute(first, "ApproximateReceiveCount"))
		}
		change := func(m object, seconds int) string {
			_, code := c.call(t.Context(), "ChangeMessageVisibility", object{
				"QueueUrl": url, "ReceiptHandle": m["ReceiptHandle"], "VisibilityTimeout": seconds,
			})
			return code
		}
		time.Sleep(29 * time.Second)
		if code := change(first, 60); code != "" {
			t.Fatalf("heartbeat: %s", code)
		}
		time.Sleep(59 * time.Second)
		if got := c.receive(url); len(got) != 0 {
			t.Errorf("received %v while in flight", bodies(got))
		}
		time.Sleep(2 * time.Second)
		if code := change(first, 60); code != "AWS.SimpleQueueService.MessageNotInflight" {
			t.Errorf("heartbeat too late: %q", code)
		}
		second := c.receive(url)[0]
		if attribute(second, "ApproximateReceiveCount") != "2" {
			t.Errorf("count %s", attribute(second, "ApproximateReceiveCount"))
		}

		// The first receiver's handle is stale: it can neither hold nor delete.
		if code := change(first, 60); code != "InvalidParameterValue" {
			t.Errorf("stale heartbeat: %q", code)
		}
		c.must("DeleteMessage", object{"QueueUrl": url, "ReceiptHandle": first["ReceiptHandle"]})
		if code := change(second, 0); code != "" {
			t.Errorf("give back: %s", code)
		}
		third := c.receive(url)
		if len(third) != 1 {
			t.Fatal("the stale delete took the message away")
		}

		// Whatever the extensions, a receive holds 12 hours at most.
		time.Sleep(20 * time.Second)
		if code := change(third[0], 43200); code != "InvalidParameterValue" {
			t.Errorf("beyond 12 hours: %q", code)
		}
		c.must("DeleteMessage", object{"QueueUrl": url, "ReceiptHandle": third[0]["ReceiptHandle"]})
		c.must("DeleteMessage", object{"QueueUrl": url, "ReceiptHandle": third[0]["ReceiptHandle"]})
		time.Sleep(time.Hour)
		if got := c.receive(url); len(got) != 0 {
			t.Errorf("deleted message came back: %v", bodies(got))
		}
	})
}

func TestDelayAndRetention(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := open(t)
		url := c.create("q", object{"DelaySeconds": "10", "MessageRetentionPeriod": "60"})
		c.send(url, "delayed by the queue")
		c.must("SendMessage", object{"QueueUrl": url, "MessageBody": "at once", "DelaySeconds": 0})
		if got := bodies(c.receive(url)); !slices.Equal(got, []string{"at once"}) {
			t.Errorf("received %v", got)
		}
		got := c.must("GetQueueAttributes", object{"QueueUrl": url, "AttributeNames": []string{"All"}})["Attributes"].(object)
		if got["ApproximateNumberOfMessagesDelayed"] != "1" || got["ApproximateNumberOfMessagesNotVisible"] != "1" || got["ApproximateNumberOfMessages"] != "0" {
			t.Errorf("counts %v", got)
		}
		time.Sleep(10 * time.Second)
		if got := bodies(c.receive(url)); !slices.Equal(got, []string{"delayed by the queue"}) {
			t.Errorf("received %v", got)
		}
		time.Sleep(51 * time.Second)
		if got := c.receive(url); len(got) != 0 {
			t.Errorf("received %v after the retention period", bodies(got))
		}
	})
}

func TestLongPoll(t *testing.T) {
	receive := func(c client, ctx context.Context, url string, seconds int) ([]string, string) {
		out, code := c.call(ctx, "ReceiveMessage", object{"QueueUrl": url, "WaitTimeSeconds": seconds})
		return bodies(messages(out)), code
	}
	for _, test := range []struct {
		name  string
		cause func(c client, url string)
		after time.Duration // when the receiver returns
		want  []string
		code  string
	}{
		{"nothing arrives", func(client, string) {}, 20 * time.Second, nil, ""},
		{"a message arrives", func(c client, url string) {
			time.Sleep(3 * time.Second)
			c.send(url, "m")
		}, 3 * time.Second, []string{"m"}, ""},
		{"a delayed message becomes due", func(c client, url string) {
			c.must("SendMessage", object{"QueueUrl": url, "MessageBody": "m", "DelaySeconds": 7})
		}, 7 * time.Second, []string{"m"}, ""},
		{"a receiver gives its message back", func(c client, url string) {
			c.send(url, "m")
			m := c.receive(url)
			if len(m) == 0 {
				return // The waiting receiver was faster.
			}
			time.Sleep(5 * time.Second)
			c.must("ChangeMessageVisibility", object{"QueueUrl": url, "ReceiptHandle": m[0]["ReceiptHandle"], "VisibilityTimeout": 0})
		}, 0, []string{"m"}, ""},
		{"the queue is deleted", func(c client, url string) {
			time.Sleep(2 * time.Second)
			c.must("DeleteQueue", object{"QueueUrl": url})
		}, 2 * time.Second, nil, "AWS.SimpleQueueService.NonExistentQueue"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := open(t)
				url := c.create("q", nil)
				start := time.Now()
				done := make(chan struct{})
				go func() {
					defer close(done)
					got, code := receive(c, t.Context(), url, 20)
					if !slices.Equal(got, test.want) || code != test.code {
						t.Errorf("received %v, code %q; want %v, %q", got, code, test.want, test.code)
					}
					if waited := time.Since(start).Truncate(time.Second); test.after > 0 && waited != test.after {
						t.Errorf("returned after %v, want %v", waited, test.after)
					}
				}()
				test.cause(c, url)
				<-done
			})
		})
	}

	t.Run("the receiver goes away", func(t *testing.T) {
		c := open(t)
		url := c.create("q", nil)
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if got, code := receive(c, ctx, url, 20); got != nil || code != "" {
			t.Errorf("received %v, code %q", got, code)
		}
		c.send(url, "m")
		if got := bodies(c.receive(url)); !slices.Equal(got, []string{"m"}) {
			t.Errorf("the message went to a receiver that was gone: %v", got)
		}
	})
}

func TestDeadLetterQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := open(t)
		dead := c.create("dead", nil)
		const arn = "arn:aws:sqs:us-east-1:000000000000:"
		url := c.create("q", object{
			"VisibilityTimeout": "1", "RedrivePolicy": `{"deadLetterTargetArn":"` + arn + `dead","maxReceiveCount":"2"}`,
		})
		c.send(url, "poison")
		for range 2 {
			if got := c.receive(url); len(got) != 1 {
				t.Fatalf("received %v", bodies(got))
			}
			time.Sleep(2 * time.Second)
		}

		// Somebody waiting on the dead-letter queue is woken when it arrives there.
		done := make(chan []object)
		go func() {
			done <- messages(c.must("ReceiveMessage", object{
				"QueueUrl": dead, "WaitTimeSeconds": 20, "AttributeNames": []string{"All"},
			}))
		}()
		synctest.Wait()
		if got := c.receive(url); len(got) != 0 {
			t.Errorf("third receive gave %v", bodies(got))
		}
		got := <-done
		if len(got) != 1 || attribute(got[0], "DeadLetterQueueSourceArn") != arn+"q" || attribute(got[0], "ApproximateReceiveCount") != "3" {
			t.Errorf("dead letter %v", got)
		}
		sources := c.must("ListDeadLetterSourceQueues", object{"QueueUrl": dead})["queueUrls"]
		if list := sources.([]any); len(list) != 1 || list[0] != url {
			t.Errorf("sources %v", sources)
		}
	})
}

func TestBatches(t *testing.T) {
	c := open(t)
	url := c.create("q", nil)
	out := c.must("SendMessageBatch", object{"QueueUrl": url, "Entries": []object{
		{"Id": "good", "MessageBody": "m"}, {"Id": "bad", "MessageBody": "a\x01"},
	}})
	failed := out["Failed"].([]any)[0].(object)
	if len(out["Successful"].([]any)) != 1 || failed["Id"] != "bad" || failed["Code"] != "InvalidMessageContents" || failed["SenderFault"] != true {
		t.Errorf("send batch: %v", out)
	}
	handle := c.receive(url)[0]["ReceiptHandle"]
	out = c.must("ChangeMessageVisibilityBatch", object{"QueueUrl": url, "Entries": []object{
		{"Id": "good", "ReceiptHandle": handle, "VisibilityTimeout": 60}, {"Id": "bad", "ReceiptHandle": "x", "VisibilityTimeout": 60},
	}})
	if len(out["Successful"].([]any)) != 1 || len(out["Failed"].([]any)) != 1 {
		t.Errorf("visibility batch: %v", out)
	}
	out = c.must("DeleteMessageBatch", object{"QueueUrl": url, "Entries": []object{{"Id": "a", "ReceiptHandle": handle}}})
	if len(out["Successful"].([]any)) != 1 {
		t.Errorf("delete batch: %v", out)
	}
}

func TestPurge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := open(t)
		url := c.create("q", nil)
		c.send(url, "m")
		c.must("PurgeQueue", object{"QueueUrl": url})
		if got := c.receive(url); len(got) != 0 {
			t.Errorf("received %v", bodies(got))
		}
		if _, code := c.call(t.Context(), "PurgeQueue", object{"QueueUrl": url}); code != "AWS.SimpleQueueService.PurgeQueueInProgress" {
			t.Errorf("second purge: %q", code)
		}
		time.Sleep(time.Minute)
		c.must("PurgeQueue", object{"QueueUrl": url})
	})
}

// The expected digest was computed apart from this code, in Python with struct
// and hashlib, from the developer guide's description.
func TestAttributesMD5(t *testing.T) {
	text, number := "test", "1"
	got := attributesMD5(map[string]attributeValue{
		"b": {DataType: "Number", StringValue: &number},
		"a": {DataType: "String", StringValue: &text},
		"c": {DataType: "Binary", BinaryValue: []byte("x")},
	})
	if want := "588968a416d4416139941084e64ee996"; got != want {
		t.Errorf("digest %s, want %s", got, want)
	}
}

// One message's life: sent, received, deleted, each of them synced to disk.
func BenchmarkMessage(b *testing.B) {
	c := open(b)
	url := c.create("q", nil)
	for b.Loop() {
		c.send(url, "message")
		m := c.receive(url)[0]
		c.must("DeleteMessage", object{"QueueUrl": url, "ReceiptHandle": m["ReceiptHandle"]})
	}
}
