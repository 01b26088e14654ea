package gateway_test

import (
	"net"
	"strings"
	"testing"

	"github.com/trainyard/trainyard/services/gateway"
)

func TestConfigIsRefused(t *testing.T) {
	for name, cfg := range map[string]gateway.Config{
		"local token beyond loopback":  {HTTP: "0.0.0.0:0", LocalToken: "ty_x"},
		"local token on all addresses": {HTTP: ":0", LocalToken: "ty_x"},
		"any origin":                   {CORSOrigins: []string{"*"}},
		"null origin":                  {CORSOrigins: []string{"null"}},
		"origin with a path":           {CORSOrigins: []string{"https://a.example/"}},
		"S3 origin with a directive":   {S3Origins: []string{"https://a.example; script-src *"}},
		"S3 origin without scheme":     {S3Origins: []string{"a.example"}},
	} {
		if err := cfg.Validate(); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

func TestSecurityHeaders(t *testing.T) {
	up := startUpstream(t)
	s := startGateway(t, gateway.Config{S3Origins: []string{"http://127.0.0.1:4566", "https://b.s3.example"}}, up.conn)
	for _, path := range []string{"/", "/v1/datasets", "/v1/nope", "/openapi.json"} {
		h := s.do("GET", path, "").Header
		policy := h.Get("Content-Security-Policy")
		for _, directive := range []string{
			"default-src 'self'", "connect-src 'self' http://127.0.0.1:4566 https://b.s3.example",
			"img-src 'self' data: blob:", "frame-ancestors 'none'", "base-uri 'none'", "object-src 'none'",
		} {
			if !strings.Contains(policy, directive) {
				t.Errorf("%s: policy %q lacks %q", path, policy, directive)
			}
		}
		if strings.Contains(policy, "unsafe") || strings.Contains(policy, "*") {
			t.Errorf("%s: policy %q", path, policy)
		}
		if h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Referrer-Policy") != "no-referrer" || h.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s: headers %v", path, h)
		}
	}
}

func TestCORS(t *testing.T) {
	up := startUpstream(t)
	s := startGateway(t, gateway.Config{CORSOrigins: []string{"https://app.example"}}, up.conn)
	user := bearer(up.Token("a"))
	for origin, allowed := range map[string]bool{
		"https://app.example":       true,
		"http://app.example":        false,
		"https://app.example:444":   false,
		"https://evil.app.example":  false,
		"https://app.example.evil":  false,
		"https://evilapp.example":   false,
		"null":                      false,
		"HTTPS://APP.EXAMPLE":       false,
		"https://app.example, null": false,
	} {
		preflight := s.do("OPTIONS", "/v1/datasets", "", "Origin", origin, "Access-Control-Request-Method", "POST")
		read := s.do("GET", "/v1/datasets", "", append([]string{"Origin", origin, "Sec-Fetch-Site", "cross-site"}, user...)...)
		write := s.do("POST", "/v1/datasets?datasetId=d", "{}", append([]string{"Origin", origin, "Sec-Fetch-Site", "cross-site"}, user...)...)
		want := ""
		if allowed {
			want = origin
		}
		for what, res := range map[string]*reply{"preflight": preflight, "read": read, "write": write} {
			if got := res.Header.Get("Access-Control-Allow-Origin"); got != want {
				t.Errorf("%s from %s: allowed origin %q", what, origin, got)
			}
			if res.Header.Get("Access-Control-Allow-Credentials") != "" {
				t.Errorf("%s from %s: credentials allowed", what, origin)
			}
			if !strings.Contains(strings.Join(res.Header.Values("Vary"), ","), "Origin") {
				t.Errorf("%s from %s: a cache would mix origins up", what, origin)
			}
		}
		if allowed && (preflight.StatusCode != 204 || write.StatusCode != 200) {
			t.Errorf("%s: preflight %d, write %d", origin, preflight.StatusCode, write.StatusCode)
		}
		if !allowed {
			write.expectError(t, 403, "PERMISSION_MISSING")
		}
	}
}

func TestSession(t *testing.T) {
	up := startUpstream(t)
	s := startGateway(t, gateway.Config{}, up.conn)
	token := up.Token("a")
	s.do("POST", "/session", `{"token": "ty_wrong"}`).expectError(t, 401, "CREDENTIALS_INVALID")
	for _, body := range []string{``, `{}`, `{"token": ""}`, `{"token": "a b"}`, `{"token": "a;b"}`, `{"token": "a", "x": 1}`, `{"token": "a"}{}`, `{"token": "` + strings.Repeat("a", 4000) + `"}`} {
		s.do("POST", "/session", body).expectError(t, 400, "FIELD_INVALID")
	}
	s.do("POST", "/session", `{"token": "`+up.ServiceToken()+`"}`).expectError(t, 401, "CREDENTIALS_INVALID")

	res := s.do("POST", "/session", `{"token": "`+token+`"}`)
	if res.StatusCode != 204 || len(res.Cookies()) != 1 {
		t.Fatalf("got %d %s, cookies %v", res.StatusCode, res.body, res.Cookies())
	}
	set := res.Header.Get("Set-Cookie")
	for _, attribute := range []string{"trainyard_session=", "; Path=/", "; HttpOnly", "; SameSite=Strict"} {
		if !strings.Contains(set, attribute) {
			t.Errorf("cookie %q lacks %q", set, attribute)
		}
	}
	if strings.Contains(set, "Secure") {
		t.Errorf("cookie %q: no browser keeps it on http://127.0.0.1", set)
	}
	if set := s.do("POST", "/session", `{"token": "`+token+`"}`, "Host", "trainyard.example").Header.Get("Set-Cookie"); !strings.Contains(set, "; Secure") {
		t.Errorf("cookie %q of a real host is not Secure", set)
	}

	cookie := "trainyard_session=" + res.Cookies()[0].Value
	own := s.url
	for name, test := range map[string]struct {
		method  string
		headers []string
		status  int
	}{
		"page reads":                       {"GET", []string{"Sec-Fetch-Site", "same-origin"}, 200},
		"page writes":                      {"POST", []string{"Sec-Fetch-Site", "same-origin", "Origin", own}, 200},
		"old browser's page writes":        {"POST", []string{"Origin", own}, 200},
		"other site reads":                 {"GET", []string{"Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example"}, 401},
		"other port reads":                 {"GET", []string{"Sec-Fetch-Site", "same-site", "Origin", "http://127.0.0.1:1"}, 401},
		"old browser, other port reads":    {"GET", []string{"Origin", "http://127.0.0.1:1"}, 401},
		"other site writes":                {"POST", []string{"Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example"}, 403},
		"other port writes":                {"POST", []string{"Sec-Fetch-Site", "same-site", "Origin", "http://127.0.0.1:1"}, 403},
		"old browser, other site writes":   {"POST", []string{"Origin", "https://evil.example"}, 403},
		"sandboxed frame writes":           {"POST", []string{"Origin", "null"}, 403},
		"a header goes before the cookie":  {"GET", []string{"Authorization", "Bearer ty_wrong"}, 401},
		"a header alone is enough":         {"GET", append([]string{"Cookie", "x=y"}, bearer(token)...), 200},
		"no browser at all, with a cookie": {"GET", nil, 200},
	} {
		t.Run(name, func(t *testing.T) {
			res := s.do(test.method, "/v1/datasets"+map[string]string{"POST": "?datasetId=d"}[test.method], map[string]string{"POST": "{}"}[test.method], append([]string{"Cookie", cookie}, test.headers...)...)
			if res.StatusCode != test.status {
				t.Errorf("got %d %s, want %d", res.StatusCode, res.body, test.status)
			}
		})
	}
	// A cookie doesn't get further than here.
	s.do("GET", "/v1/datasets", "", "Cookie", cookie)
	if md := up.ingest.last(); len(md.Get("cookie"))+len(md.Get("grpcgateway-cookie")) != 0 {
		t.Errorf("the cookie went upstream: %v", md)
	}

	gone := s.do("DELETE", "/session", "", "Cookie", cookie, "Sec-Fetch-Site", "same-origin")
	if set := gone.Header.Get("Set-Cookie"); gone.StatusCode != 204 || !strings.Contains(set, "trainyard_session=;") || !strings.Contains(set, "Max-Age=0") {
		t.Errorf("got %d, cookie %q", gone.StatusCode, set)
	}
	s.do("DELETE", "/session", "", "Sec-Fetch-Site", "cross-site").expectError(t, 403, "PERMISSION_MISSING")
}

func TestLocalPageIsSignedIn(t *testing.T) {
	up := startUpstream(t)
	token := up.Token("a")
	s := startGateway(t, gateway.Config{LocalToken: token}, up.conn)
	_, port, err := net.SplitHostPort(s.unit.Addr())
	if err != nil {
		t.Fatal(err)
	}
	for host, signedIn := range map[string]bool{
		"127.0.0.1:" + port: true,
		"localhost:" + port: true,
		"[::1]:" + port:     true,
		"127.0.0.1":         false,
		"127.0.0.1:1":       false,
		// Names that someone else's DNS may resolve to us.
		"evil.example:" + port:           false,
		"127.0.0.1.evil.example:" + port: false,
		"localhost.evil.example:" + port: false,
		"localhost:" + port + ".":        false,
		"user@localhost:" + port:         false,
	} {
		for _, path := range []string{"/", "/datasets/d"} {
			res := s.do("GET", path, "", "Host", host)
			if got := len(res.Cookies()) == 1; got != signedIn || strings.Contains(res.body, token) {
				t.Errorf("%s at %s: signed in %v, want %v", path, host, got, signedIn)
			}
		}
		for _, path := range []string{"/v1/datasets", "/openapi.json", "/healthz", "/favicon.svg"} {
			if res := s.do("GET", path, "", "Host", host); len(res.Cookies()) != 0 && res.Header.Get("Content-Type") != "text/html; charset=utf-8" {
				t.Errorf("%s at %s sets a cookie", path, host)
			}
		}
	}
	cookie := s.do("GET", "/", "").Header.Get("Set-Cookie")
	if res := s.do("GET", "/v1/datasets", "", "Cookie", strings.Split(cookie, ";")[0]); res.StatusCode != 200 {
		t.Errorf("with the page's cookie: %d %s", res.StatusCode, res.body)
	}
}

func TestWithoutLocalTokenNobodyIsSignedIn(t *testing.T) {
	s := startGateway(t, gateway.Config{}, startUpstream(t).conn)
	if res := s.do("GET", "/", ""); len(res.Cookies()) != 0 || res.StatusCode != 200 {
		t.Errorf("got %d, cookies %v", res.StatusCode, res.Cookies())
	}
}
