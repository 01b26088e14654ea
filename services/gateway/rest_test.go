package gateway_test

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/trainyard/trainyard/services/gateway"
	"github.com/trainyard/trainyard/services/internal/boot"
)

func TestJSON(t *testing.T) {
	up := startUpstream(t)
	s := startGateway(t, gateway.Config{}, up.conn)
	user := bearer(up.Token("a"))
	res := s.do("POST", "/v1/datasets?datasetId=digits", `{"displayName": "Digits"}`, user...)
	var dataset map[string]any
	if err := json.Unmarshal([]byte(res.body), &dataset); err != nil {
		t.Fatalf("%d %s: %v", res.StatusCode, res.body, err)
	}
	// Unset fields are there, so that clients need no defaults.
	for key, want := range map[string]any{"name": "datasets/digits", "displayName": "Digits", "description": "", "latestVersion": 0.0, "createTime": nil} {
		if got, ok := dataset[key]; !ok || got != want {
			t.Errorf("%s is %v, want %v", key, got, want)
		}
	}
	if res.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("an answer may be cached: %q", res.Header.Get("Cache-Control"))
	}
}

func TestErrors(t *testing.T) {
	up := startUpstream(t)
	s := startGateway(t, gateway.Config{}, up.conn)
	user := bearer(up.Token("a"))
	for name, test := range map[string]struct {
		method, path, body string
		headers            []string
		status             int
		reason, contains   string
	}{
		"rule broken":            {"POST", "/v1/datasets?datasetId=D", `{}`, user, 400, "FIELD_INVALID", `dataset_id: must be 1 to 63 of a-z, 0-9 and -, begin with a letter and not end in -; \"D\" is not.`},
		"no credentials":         {"GET", "/v1/datasets", "", nil, 401, "CREDENTIALS_INVALID", "authorization"},
		"unknown token":          {"GET", "/v1/datasets", "", bearer("ty_nope"), 401, "CREDENTIALS_INVALID", ""},
		"two credentials":        {"GET", "/v1/datasets", "", append(slices.Clone(user), user...), 401, "CREDENTIALS_INVALID", ""},
		"no such resource":       {"GET", "/v1/datasets/none", "", user, 404, "RESOURCE_NOT_FOUND", "datasets/none"},
		"no such path":           {"GET", "/v1/nope", "", user, 404, "RESOURCE_NOT_FOUND", "/v1/nope"},
		"no such method":         {"DELETE", "/v1/datasets", "", user, 405, "FIELD_INVALID", "DELETE"},
		"method of the page":     {"POST", "/datasets", "", user, 405, "FIELD_INVALID", "POST"},
		"method of the events":   {"POST", "/v1/events:watch", "", user, 405, "FIELD_INVALID", "POST"},
		"method by override":     {"POST", "/v1/trainingJobs/j", "", append([]string{"X-HTTP-Method-Override", "GET", "Content-Type", "application/x-www-form-urlencoded"}, user...), 405, "FIELD_INVALID", ""},
		"service not there":      {"GET", "/v1/recipes", "", user, 501, "DEPENDENCY_UNAVAILABLE", "doesn't serve"},
		"large body":             {"POST", "/v1/datasets?datasetId=d", `{"description": "` + strings.Repeat("x", 1<<20) + `"}`, user, 413, "LIMIT_EXCEEDED", "1 MiB"},
		"large body of a GET":    {"GET", "/v1/datasets", strings.Repeat("x", 1<<20+1), user, 413, "LIMIT_EXCEEDED", ""},
		"asset of another build": {"GET", "/assets/index-old.js", "", nil, 404, "RESOURCE_NOT_FOUND", ""},
	} {
		t.Run(name, func(t *testing.T) {
			res := s.do(test.method, test.path, test.body, test.headers...)
			res.expectError(t, test.status, test.reason)
			if !strings.Contains(res.body, test.contains) {
				t.Errorf("%s doesn't contain %s", res.body, test.contains)
			}
			if challenge := res.Header.Get("WWW-Authenticate"); (challenge != "") != (test.status == 401) {
				t.Errorf("challenge %q with status %d", challenge, test.status)
			}
		})
	}
}

func TestUpstreamAway(t *testing.T) {
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = gone.Close()
	conn, err := boot.DialPlain(gone.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	s := startGateway(t, gateway.Config{}, conn)
	for _, path := range []string{"/v1/datasets", "/v1/events:watch"} {
		res := s.do("GET", path, "", bearer("ty_x")...)
		res.expectError(t, 503, "DEPENDENCY_UNAVAILABLE")
		if strings.Contains(res.body, "127.0.0.1") || res.Header.Get("Retry-After") == "" {
			t.Errorf("%s tells %s, retry after %q", path, res.body, res.Header.Get("Retry-After"))
		}
	}
}

// TestUpstreamHangs has an upstream that takes connections and says nothing.
func TestUpstreamHangs(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	conn, err := boot.DialPlain(silent.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	s := startGateway(t, gateway.Config{UpstreamTimeout: 100 * time.Millisecond}, conn)
	s.do("GET", "/v1/datasets", "", bearer("ty_x")...).expectError(t, 504, "DEPENDENCY_UNAVAILABLE")
}

// TestEndlessBody sends one that never ends, and must be answered all the same.
func TestEndlessBody(t *testing.T) {
	s := startGateway(t, gateway.Config{}, startUpstream(t).conn)
	conn, err := net.Dial("tcp", s.unit.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	go func() {
		_, _ = io.WriteString(conn, "POST /v1/datasets HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
		chunk := "10000\r\n" + strings.Repeat("x", 1<<16) + "\r\n"
		for {
			if _, err := io.WriteString(conn, chunk); err != nil {
				return
			}
		}
	}()
	_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	line := make([]byte, len("HTTP/1.1 413"))
	if _, err := io.ReadFull(conn, line); err != nil || string(line) != "HTTP/1.1 413" {
		t.Fatalf("got %q, %v", line, err)
	}
}

func TestOnlyListedHeadersGoUpstream(t *testing.T) {
	up := startUpstream(t)
	s := startGateway(t, gateway.Config{}, up.conn)
	token := up.Token("a")
	res := s.do("GET", "/v1/datasets", "", append(bearer(token),
		"Accept-Language", "de", "X-Request-Id", "mine",
		"Trainyard-Project", "b", "Grpc-Metadata-Trainyard-Project", "b", "Grpc-Metadata-Authorization", "Bearer other",
		"Grpc-Metadata-Grpcgateway-Host", "x", "Grpc-Timeout", "nonsense", "Cookie", "a=b", "X-Other", "x", "Grpc-Trace-Bin", "AAAA")...)
	if res.StatusCode != 200 {
		t.Fatalf("got %d %s", res.StatusCode, res.body)
	}
	got := up.ingest.last()
	want := map[string]string{"authorization": "Bearer " + token, "accept-language": "de", "x-request-id": "mine"}
	for key, values := range got {
		if len(values) != 1 || want[key] != values[0] {
			t.Errorf("%s: %q went upstream", key, values)
		}
	}
	if len(got) != len(want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if res.Header.Get("X-Request-Id") != "mine" {
		t.Errorf("request id %q", res.Header.Get("X-Request-Id"))
	}
	for key := range res.Header {
		if strings.HasPrefix(key, "Grpc-") {
			t.Errorf("header %s went downstream", key)
		}
	}
}

// TestServiceTokenActsForNobody has someone who holds a service token try to name a project from outside.
func TestServiceTokenActsForNobody(t *testing.T) {
	up := startUpstream(t)
	s := startGateway(t, gateway.Config{}, up.conn)
	token := up.ServiceToken()
	for _, header := range []string{"Trainyard-Project", "Grpc-Metadata-Trainyard-Project"} {
		res := s.do("GET", "/v1/datasets", "", append(bearer(token), header, "a")...)
		res.expectError(t, 401, "CREDENTIALS_INVALID")
	}
}

func TestOpenAPI(t *testing.T) {
	up := startUpstream(t)
	s := startGateway(t, gateway.Config{}, up.conn)
	want, err := os.ReadFile("../../gen/openapi/trainyard.openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	res := s.do("GET", "/openapi.json", "")
	if res.body != string(want) || res.Header.Get("Content-Type") != "application/json" {
		t.Error("what is served isn't what was generated")
	}
	// Whatever it describes must lead to a service.
	var document struct{ Paths map[string]map[string]any }
	if err := json.Unmarshal(want, &document); err != nil {
		t.Fatal(err)
	}
	user := bearer(up.Token("a"))
	parameter := regexp.MustCompile(`\{\w+\}`)
	for path, operations := range document.Paths {
		for method := range operations {
			res := s.do(strings.ToUpper(method), parameter.ReplaceAllString(path, "x"), "{}", user...)
			if strings.Contains(res.body, "/openapi.json lists") {
				t.Errorf("%s %s is not routed: %d %s", method, path, res.StatusCode, res.body)
			}
		}
	}
	if len(document.Paths) < 20 {
		t.Errorf("only %d paths", len(document.Paths))
	}
}

func TestHealth(t *testing.T) {
	s := startGateway(t, gateway.Config{}, startUpstream(t).conn)
	for _, path := range []string{"/healthz", "/readyz"} {
		if res := s.do("GET", path, ""); res.StatusCode != http.StatusOK {
			t.Errorf("%s: %d", path, res.StatusCode)
		}
	}
}
