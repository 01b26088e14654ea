package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	converterv1 "github.com/trainyard/trainyard/gen/trainyard/converter/v1"
	"github.com/trainyard/trainyard/services/trainyard/client"
)

// shop serves a version's files by pages of two, and writes down what is fetched of which byte on.
type shop struct {
	*httptest.Server
	files map[string][]byte // Shards.
	extra map[string][]byte // Files beside them, all on the first page.

	mu      sync.Mutex
	fetched []string
	lists   int
	cut     string // The file whose answer ends in the middle, once.
}

func newShop(t *testing.T) *shop {
	t.Helper()
	s := &shop{files: map[string][]byte{}, extra: map[string][]byte{manifestFile: []byte(`{"shards":[]}`), "features.json": []byte(`{}`)}}
	for i := range 5 {
		s.files[fmt.Sprintf("d-train.tfrecord-0000%d-of-00005", i)] = bytes.Repeat([]byte{byte('a' + i)}, 1000)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/datasets/d/versions/1/shards", s.list)
	mux.HandleFunc("GET /file/{name}", s.file)
	s.Server = httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s
}

func sum(data []byte) string {
	digest := sha256.Sum256(data)
	return hex.EncodeToString(digest[:])
}

func (s *shop) names() []string {
	var names []string
	for name := range s.files {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func (s *shop) list(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lists++
	from := 0
	_, _ = fmt.Sscan(r.URL.Query().Get("pageToken"), &from) // None is 0.
	names := s.names()
	page := &converterv1.ListShardsResponse{TfdsName: "d", TfdsVersion: "1.0.0"}
	for _, name := range names[from:min(from+2, len(names))] {
		page.Shards = append(page.Shards, &converterv1.Shard{Name: name, SizeBytes: int64(len(s.files[name])), Sha256: sum(s.files[name]), Url: s.URL + "/file/" + name})
	}
	if from == 0 {
		for name, data := range s.extra {
			page.Files = append(page.Files, &converterv1.File{Name: name, SizeBytes: int64(len(data)), Sha256: sum(data), Url: s.URL + "/file/" + name})
		}
	}
	if from+2 < len(names) {
		page.NextPageToken = fmt.Sprint(from + 2)
	}
	_, _ = w.Write(marshal(page))
}

func (s *shop) file(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	name := r.PathValue("name")
	data, ok := s.files[name]
	if !ok {
		data = s.extra[name]
	}
	s.fetched = append(s.fetched, strings.TrimSpace(name+" "+r.Header.Get("Range")))
	if s.cut == name {
		s.cut = ""
		w.Header().Set("Content-Length", fmt.Sprint(len(data)))
		_, _ = w.Write(data[:len(data)/2])
		return
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
}

func (s *shop) open(t *testing.T) *datasetFiles {
	t.Helper()
	d, err := listDataset(t.Context(), client.New(s.URL, "token"), "datasets/d/versions/1")
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func (s *shop) whole(t *testing.T, folder string) {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil || len(entries) != len(s.files)+len(s.extra) {
		t.Fatalf("%v, %v", entries, err)
	}
	for _, files := range []map[string][]byte{s.files, s.extra} {
		for name, want := range files {
			if got, err := os.ReadFile(filepath.Join(folder, name)); err != nil || !bytes.Equal(got, want) {
				t.Errorf("%s is not what it should be: %v", name, err)
			}
		}
	}
}

func TestDatasetFiles(t *testing.T) {
	for name, test := range map[string]func(*testing.T, *shop, string){
		"all come, the manifest last": func(t *testing.T, s *shop, folder string) {
			d := s.open(t)
			if err := d.fits(folder); err != nil {
				t.Fatal(err)
			}
			if err := d.download(t.Context(), folder, newOutput(true)); err != nil {
				t.Fatal(err)
			}
			s.whole(t, folder)
			if n := len(s.fetched); n != 7 || s.fetched[n-1] != manifestFile {
				t.Errorf("fetched %v", s.fetched)
			}
		},
		"what is there and right is kept, what is wrong is replaced": func(t *testing.T, s *shop, folder string) {
			names := s.names()
			for name, data := range map[string][]byte{
				names[0]: s.files[names[0]], names[1]: []byte("short"), names[2]: bytes.Repeat([]byte("z"), 1000), names[3] + partialSuffix: s.files[names[3]][:400],
			} {
				if err := os.WriteFile(filepath.Join(folder, name), data, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			d := s.open(t)
			if err := d.fits(folder); err != nil {
				t.Fatal(err)
			}
			if err := d.download(t.Context(), folder, newOutput(true)); err != nil {
				t.Fatal(err)
			}
			s.whole(t, folder)
			want := []string{names[1], names[2], names[3] + " bytes=400-", names[4], "features.json", manifestFile}
			slices.Sort(s.fetched)
			if slices.Sort(want); !slices.Equal(s.fetched, want) {
				t.Errorf("fetched %v, want %v", s.fetched, want)
			}
			s.fetched = nil
			if err := s.open(t).download(t.Context(), folder, newOutput(true)); err != nil || len(s.fetched) > 0 {
				t.Errorf("again: %v, fetched %v", err, s.fetched)
			}
		},
		"a connection that breaks goes on where it was": func(t *testing.T, s *shop, folder string) {
			s.cut = s.names()[1]
			if err := s.open(t).download(t.Context(), folder, newOutput(true)); err != nil {
				t.Fatal(err)
			}
			s.whole(t, folder)
			if want := s.names()[1] + " bytes=500-"; !slices.Contains(s.fetched, want) {
				t.Errorf("fetched %v, want %s among them", s.fetched, want)
			}
		},
		"a file that isn't what the manifest says leaves no manifest": func(t *testing.T, s *shop, folder string) {
			d := s.open(t)
			s.files[s.names()[3]] = bytes.Repeat([]byte("!"), 1000)
			err := d.download(t.Context(), folder, newOutput(true))
			if err == nil || !strings.Contains(err.Error(), s.names()[3]) || !strings.Contains(err.Error(), "SHA-256") {
				t.Fatalf("%v", err)
			}
			for _, name := range []string{s.names()[3], s.names()[3] + partialSuffix, manifestFile} {
				if _, err := os.Stat(filepath.Join(folder, name)); !errors.Is(err, os.ErrNotExist) {
					t.Errorf("%s is there: %v", name, err)
				}
			}
		},
		"URLs that are old are signed anew, a page at a time": func(t *testing.T, s *shop, folder string) {
			d := s.open(t)
			before := s.lists
			for _, f := range d.files {
				f.page.at = f.page.at.Add(-signedFor)
			}
			if err := d.download(t.Context(), folder, newOutput(true)); err != nil {
				t.Fatal(err)
			}
			s.whole(t, folder)
			if again := s.lists - before; again != 3 {
				t.Errorf("%d pages were listed again, want 3", again)
			}
		},
		"a name that leads out is refused": func(t *testing.T, s *shop, _ string) {
			s.extra["../evil"] = []byte("x")
			if _, err := listDataset(t.Context(), client.New(s.URL, "token"), "datasets/d/versions/1"); err == nil || !strings.Contains(err.Error(), "outside") {
				t.Errorf("%v", err)
			}
		},
		"a folder of something else is refused": func(t *testing.T, s *shop, folder string) {
			d := s.open(t)
			for name, says := range map[string]string{"other-train.tfrecord-00000-of-00001": "no file of datasets/d/versions/1", manifestFile: "another dataset"} {
				path := filepath.Join(folder, name)
				if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
					t.Fatal(err)
				}
				if err := d.fits(folder); err == nil || !strings.Contains(err.Error(), says) {
					t.Errorf("%s: %v", name, err)
				}
				if err := os.Remove(path); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.WriteFile(filepath.Join(folder, ".nfs0001"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := d.fits(folder); err != nil {
				t.Errorf("with a file of the file system's own: %v", err)
			}
			if err := d.fits(filepath.Join(folder, "new")); err != nil {
				t.Errorf("a new folder: %v", err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) { test(t, newShop(t), t.TempDir()) })
	}
}
