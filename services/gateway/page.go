package gateway

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"fmt"
	"io/fs"
	"mime"
	"net"
	"net/http"
	"path"
	"strings"
	"time"
)

// The pattern takes dist in where it was built, and always the page that says how to build it: a fresh clone compiles.
//
//go:embed all:web/dist*
var webFiles embed.FS

// page serves the web page: its index for every path that is no file's, since the page routes by itself.
type page struct {
	unit   *Unit
	index  []byte
	files  map[string]file
	locals map[string]bool // Hosts that the page is signed in on.
}

type file struct {
	data        []byte
	contentType string
	etag        string
	immutable   bool // Its name holds its hash.
}

// newPage reads the page from files, whose root is the package's folder.
func newPage(u *Unit, files fs.FS) (*page, error) {
	p := &page{unit: u, files: map[string]file{}, locals: map[string]bool{}}
	if u.cfg.LocalToken != "" {
		_, port, err := net.SplitHostPort(u.Addr())
		if err != nil {
			return nil, err
		}
		for _, host := range []string{"127.0.0.1", "localhost", "::1"} {
			p.locals[net.JoinHostPort(host, port)] = true
		}
	}
	err := fs.WalkDir(files, "web/dist", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := fs.ReadFile(files, name)
		if err != nil {
			return err
		}
		url := strings.TrimPrefix(name, "web/dist")
		if url == "/index.html" {
			p.index = data
			return nil
		}
		sum := sha256.Sum256(data)
		p.files[url] = file{
			data: data, contentType: mime.TypeByExtension(path.Ext(name)), immutable: strings.HasPrefix(url, "/assets/"),
			etag: `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`,
		}
		return nil
	})
	if p.index == nil { // Not built.
		p.index, err = fs.ReadFile(files, "web/dist-absent.html")
	}
	if err != nil {
		return nil, fmt.Errorf("web page: %w", err)
	}
	return p, nil
}

func (p *page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f, ok := p.files[r.URL.Path]
	switch {
	case ok:
		w.Header().Set("Cache-Control", "no-cache")
		if f.immutable {
			w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
		}
		if f.contentType != "" {
			w.Header().Set("Content-Type", f.contentType)
		}
		w.Header().Set("ETag", f.etag)
		http.ServeContent(w, r, r.URL.Path, time.Time{}, bytes.NewReader(f.data))
	case strings.HasPrefix(r.URL.Path, "/assets/"): // Of an older build; a page in its place would only confuse.
		p.unit.notFound(w, r)
	default:
		p.serveIndex(w, r)
	}
}

func (p *page) serveIndex(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-cache")
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	// The Host is compared whole, for any site may have its name resolve to 127.0.0.1 (DNS rebinding).
	if p.locals[r.Host] {
		http.SetCookie(w, newCookie(r, p.unit.cfg.LocalToken, int(sessionAge.Seconds())))
	}
	_, _ = w.Write(p.index)
}
