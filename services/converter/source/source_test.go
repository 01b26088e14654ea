package source_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/trainyard/trainyard/services/converter/source"
)

func randomBytes(n int) []byte {
	r := rand.New(rand.NewPCG(1, 2))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

const etag = `"v1"`

// store serves data at any path as S3 does, and lets a test answer requests itself.
func store(t *testing.T, data []byte, intercept func(n int64, w http.ResponseWriter, r *http.Request) bool) (url string, requests *atomic.Int64) {
	t.Helper()
	requests = &atomic.Int64{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if n := requests.Add(1); intercept != nil && intercept(n, w, r) {
			return
		}
		w.Header().Set("ETag", etag)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
	}))
	t.Cleanup(s.Close)
	return s.URL, requests
}

func signed(url string) source.Sign {
	return func(context.Context) (string, error) { return url + "/object?X-Amz-Signature=secret", nil }
}

func TestHTTPReadsRanges(t *testing.T) {
	data := randomBytes(20 << 20) // more than two GETs' worth
	url, requests := store(t, data, nil)
	src := source.NewHTTP(nil, signed(url), int64(len(data)), etag)
	for _, r := range []struct{ off, n int }{{0, 10}, {5, 0}, {len(data) - 3, 3}, {0, len(data)}} {
		p := make([]byte, r.n)
		if err := src.ReadAt(t.Context(), p, int64(r.off)); err != nil || !bytes.Equal(p, data[r.off:r.off+r.n]) {
			t.Errorf("%d bytes at %d: wrong, or %v", r.n, r.off, err)
		}
	}
	if requests.Load() != 5 {
		t.Errorf("%d requests, want 1 for each short range and 3 for the long one", requests.Load())
	}
	if err := src.ReadAt(t.Context(), make([]byte, 2), int64(len(data)-1)); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("beyond the end: %v", err)
	}
}

// Many reads at once, again and again, as a task's windows make them, open no more connections than there are reads at once.
func TestHTTPKeepsConnections(t *testing.T) {
	const atOnce = 8
	data := randomBytes(1 << 20)
	var opened atomic.Int64
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", etag)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
	}))
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			opened.Add(1)
		}
	}
	s.Start()
	t.Cleanup(s.Close)
	src := source.NewHTTP(nil, signed(s.URL), int64(len(data)), etag)
	for range 20 {
		var reads sync.WaitGroup
		for range atOnce {
			reads.Go(func() {
				if err := src.ReadAt(t.Context(), make([]byte, 300_000), 0); err != nil {
					t.Error(err)
				}
			})
		}
		reads.Wait()
	}
	if n := opened.Load(); n > 2*atOnce {
		t.Errorf("%d connections were opened for %d reads at once", n, atOnce)
	}
}

func TestHTTPMendsWhatPasses(t *testing.T) {
	data := randomBytes(100_000)
	tests := map[string]func(n int64, w http.ResponseWriter, r *http.Request) bool{
		"503 and 429": func(n int64, w http.ResponseWriter, _ *http.Request) bool {
			if n <= 2 {
				w.WriteHeader([]int{503, 429}[n-1])
			}
			return n <= 2
		},
		"connection dropped in the middle": func(n int64, w http.ResponseWriter, r *http.Request) bool {
			if n > 1 {
				if got := r.Header.Get("Range"); got != "bytes=40100-90099" {
					t.Errorf("continued with %q", got)
				}
				return false
			}
			w.Header().Set("Content-Range", fmt.Sprintf("bytes 100-90099/%d", len(data)))
			w.Header().Set("Content-Length", "90000")
			w.WriteHeader(http.StatusPartialContent)
			w.Write(data[100:40100])
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		},
	}
	for name, intercept := range tests {
		t.Run(name, func(t *testing.T) {
			url, _ := store(t, data, intercept)
			p := make([]byte, 90_000)
			err := source.NewHTTP(nil, signed(url), int64(len(data)), etag).ReadAt(t.Context(), p, 100)
			if err != nil || !bytes.Equal(p, data[100:90_100]) {
				t.Errorf("wrong, or %v", err)
			}
		})
	}
}

func TestHTTPSignsAgainWhenRefused(t *testing.T) {
	data := randomBytes(100)
	url, _ := store(t, data, func(_ int64, w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Query().Get("n") == "1" {
			w.WriteHeader(http.StatusForbidden)
			return true
		}
		return false
	})
	signs := 0
	src := source.NewHTTP(nil, func(context.Context) (string, error) {
		signs++
		return fmt.Sprintf("%s/?n=%d", url, signs), nil
	}, 100, etag)
	for range 3 {
		if err := src.ReadAt(t.Context(), make([]byte, 10), 0); err != nil {
			t.Fatal(err)
		}
	}
	if signs != 2 {
		t.Errorf("signed %d times, want once and once more", signs)
	}
}

func TestHTTPRefuses(t *testing.T) {
	data := randomBytes(100)
	tests := []struct {
		name    string
		etag    string
		answer  func(w http.ResponseWriter)
		changed bool
	}{
		{"another object", `"v2"`, nil, true},
		{"deleted", etag, func(w http.ResponseWriter) { w.WriteHeader(http.StatusNotFound) }, true},
		{"another range", etag, func(w http.ResponseWriter) {
			w.Header().Set("Content-Range", "bytes 0-9/100")
			w.WriteHeader(http.StatusPartialContent)
		}, false},
		{"range ignored", etag, func(w http.ResponseWriter) { w.Write(data) }, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			url, requests := store(t, data, func(_ int64, w http.ResponseWriter, _ *http.Request) bool {
				if tt.answer != nil {
					tt.answer(w)
				}
				return tt.answer != nil
			})
			err := source.NewHTTP(nil, signed(url), 100, tt.etag).ReadAt(t.Context(), make([]byte, 10), 50)
			if err == nil || errors.Is(err, source.ErrChanged) != tt.changed {
				t.Errorf("got %v", err)
			}
			if requests.Load() != 1 {
				t.Errorf("%d requests for what can't pass", requests.Load())
			}
		})
	}
}

func TestHTTPKeepsURLsOutOfErrors(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	err := source.NewHTTP(nil, signed("http://127.0.0.1:1"), 100, etag).ReadAt(ctx, make([]byte, 10), 0)
	if err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("got %v", err)
	}
}

// slow counts reads in flight.
type slow struct {
	data     []byte
	mu       sync.Mutex
	inFlight int
	most     int
}

func (s *slow) Size() int64 { return int64(len(s.data)) }

func (s *slow) ReadAt(_ context.Context, p []byte, off int64) error {
	s.mu.Lock()
	s.inFlight++
	s.most = max(s.most, s.inFlight)
	s.mu.Unlock()
	copy(p, s.data[off:])
	s.mu.Lock()
	s.inFlight--
	s.mu.Unlock()
	return nil
}

func TestReaderEqualsTheSource(t *testing.T) {
	src := &slow{data: randomBytes(30 << 20)}
	r := source.NewReader(t.Context(), src, 1000, src.Size()-1000)
	defer r.Close()
	got, err := io.ReadAll(r)
	if err != nil || !bytes.Equal(got, src.data[1000:len(src.data)-1000]) {
		t.Errorf("read %d bytes that differ, or %v", len(got), err)
	}
	if src.most > 3 {
		t.Errorf("%d blocks in flight, the budget is 3", src.most)
	}
}

func TestReaderSeeks(t *testing.T) {
	src := &slow{data: randomBytes(12 << 20)}
	r := source.NewReader(t.Context(), src, 0, src.Size())
	defer r.Close()
	random := rand.New(rand.NewPCG(3, 4))
	pos := int64(0)
	for range 500 {
		switch random.IntN(3) {
		case 0:
			pos = random.Int64N(src.Size())
		case 1:
			pos = min(src.Size(), pos+random.Int64N(100_000)) // ahead, mostly within what is fetched
		}
		if at, err := r.Seek(pos, io.SeekStart); err != nil || at != pos || r.Offset() != pos {
			t.Fatalf("seek to %d: %d, %v", pos, at, err)
		}
		p := make([]byte, random.IntN(200_000))
		n, err := io.ReadFull(r, p)
		if want := min(len(p), int(src.Size()-pos)); n != want || !bytes.Equal(p[:n], src.data[pos:pos+int64(n)]) {
			t.Fatalf("%d bytes at %d differ, or %v", n, pos, err)
		}
		pos += int64(n)
	}
}

func TestFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(name, []byte("0123456789"), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := source.OpenFile(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	p := make([]byte, 4)
	if err := f.ReadAt(t.Context(), p, 6); err != nil || string(p) != "6789" || f.Size() != 10 {
		t.Errorf("%q of %d, %v", p, f.Size(), err)
	}
	if err := f.ReadAt(t.Context(), p, 7); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("beyond the end: %v", err)
	}
}
