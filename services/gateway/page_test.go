package gateway

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"
)

const builtIndex = `<script type="module" src="/assets/index-abc.js"></script>`

func get(t *testing.T, files fstest.MapFS, path string, header ...string) *http.Response {
	t.Helper()
	p, err := newPage(&Unit{}, files)
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodGet, path, nil)
	if len(header) == 2 {
		r.Header.Set(header[0], header[1])
	}
	w := httptest.NewRecorder()
	p.ServeHTTP(w, r)
	return w.Result()
}

func body(t *testing.T, res *http.Response) string {
	t.Helper()
	var text strings.Builder
	if err := res.Write(&text); err != nil {
		t.Fatal(err)
	}
	_, content, _ := strings.Cut(text.String(), "\r\n\r\n")
	return content
}

func TestPage(t *testing.T) {
	files := fstest.MapFS{
		"web/dist-absent.html":         {Data: []byte("run make build")},
		"web/dist/index.html":          {Data: []byte(builtIndex)},
		"web/dist/favicon.svg":         {Data: []byte("<svg/>")},
		"web/dist/assets/index-abc.js": {Data: []byte("export {}")},
	}
	for _, path := range []string{"/", "/index.html", "/datasets/digits", "/datasets/a.b"} {
		res := get(t, files, path)
		if res.StatusCode != 200 || res.Header.Get("Cache-Control") != "no-cache" || res.Header.Get("Content-Type") != "text/html; charset=utf-8" ||
			body(t, res) != builtIndex {
			t.Errorf("%s: %d, %v", path, res.StatusCode, res.Header)
		}
	}

	asset := get(t, files, "/assets/index-abc.js")
	if asset.Header.Get("Cache-Control") != "public, max-age=31536000, immutable" || !strings.HasPrefix(asset.Header.Get("Content-Type"), "text/javascript") {
		t.Errorf("asset: %v", asset.Header)
	}
	icon := get(t, files, "/favicon.svg")
	if icon.Header.Get("Cache-Control") != "no-cache" || icon.Header.Get("Content-Type") != "image/svg+xml" {
		t.Errorf("icon: %v", icon.Header)
	}
	if again := get(t, files, "/favicon.svg", "If-None-Match", icon.Header.Get("ETag")); again.StatusCode != http.StatusNotModified {
		t.Errorf("the same icon again: %d", again.StatusCode)
	}
	if gone := get(t, files, "/assets/index-old.js"); gone.StatusCode != http.StatusNotFound {
		t.Errorf("an asset of another build: %d", gone.StatusCode)
	}
}

func TestPageThatIsNotBuilt(t *testing.T) {
	res := get(t, fstest.MapFS{"web/dist-absent.html": {Data: []byte("run make build")}}, "/")
	if res.StatusCode != 200 || !strings.Contains(body(t, res), "make build") {
		t.Errorf("got %d", res.StatusCode)
	}
}
