package worker_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/trainyard/trainyard/services/converter/convert"
	"github.com/trainyard/trainyard/services/converter/reject"
	"github.com/trainyard/trainyard/services/converter/source"
	"github.com/trainyard/trainyard/services/converter/worker"
)

// The test binary is the worker process too.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == worker.Argument {
		worker.Main()
	}
	os.Exit(m.Run())
}

// script makes a program that stands in for the worker process.
func script(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "worker")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text), 0o700); err != nil { //nolint:gosec // A test's program.
		t.Fatal(err)
	}
	return path
}

func plan(t *testing.T, ctx context.Context, p worker.Parent, size int64) error {
	t.Helper()
	_, err := p.Plan(ctx, convert.DefaultOptions("d"), worker.Source{Size: size, ETag: `"e"`}, t.TempDir())
	return err
}

// served signs URLs of a store that answers every range with the bytes.
func served(t *testing.T, data string) func(context.Context, worker.SignRequest) (worker.Signed, error) {
	t.Helper()
	store := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"e"`)
		http.ServeContent(w, r, "", time.Time{}, strings.NewReader(data))
	}))
	t.Cleanup(store.Close)
	return func(context.Context, worker.SignRequest) (worker.Signed, error) {
		return worker.Signed{URL: store.URL}, nil
	}
}

func TestReasonsComeThrough(t *testing.T) {
	p := worker.Parent{Limits: worker.DefaultLimits, Sign: served(t, strings.Repeat("no archive ", 100))}
	var refused *reject.Error
	if err := plan(t, t.Context(), p, 1100); !errors.As(err, &refused) || refused.Reason != reject.NotAnArchive {
		t.Errorf("no archive: %v", err)
	}
	gone := httptest.NewServer(http.NotFoundHandler())
	defer gone.Close()
	p.Sign = func(context.Context, worker.SignRequest) (worker.Signed, error) {
		return worker.Signed{URL: gone.URL}, nil
	}
	if err := plan(t, t.Context(), p, 1100); !errors.Is(err, source.ErrChanged) {
		t.Errorf("a deleted object: %v", err)
	}
}

func TestCrashesAreTold(t *testing.T) {
	for name, test := range map[string]struct {
		program string
		says    string
	}{
		"killed":              {"echo 'panic: index out of range' >&2; kill -SEGV $$", "index out of range"},
		"ends without a word": {"exit 0", "exit status 0"},
		"talks nonsense":      {"echo '{not json'; sleep 30", ""},
	} {
		t.Run(name, func(t *testing.T) {
			begin := time.Now()
			err := plan(t, t.Context(), worker.Parent{Executable: script(t, test.program)}, 10)
			var crash *worker.CrashError
			if !errors.As(err, &crash) || !strings.Contains(err.Error(), test.says) {
				t.Errorf("%v", err)
			}
			if time.Since(begin) > 10*time.Second {
				t.Error("the parent waited for a worker that it can't understand")
			}
		})
	}
}

// A worker that needs more memory than it may have dies, and the parent lives to tell.
func TestMemoryLimitEndsTheWorker(t *testing.T) {
	limits := worker.DefaultLimits
	limits.MemoryBytes = 1 << 20 // Less than a Go program needs to start its work.
	var crash *worker.CrashError
	if err := plan(t, t.Context(), worker.Parent{Limits: limits, Sign: served(t, "x")}, 1<<30); !errors.As(err, &crash) {
		t.Errorf("%v, want a crash", err)
	}
}

func TestCancelEndsTheWorker(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	pidFile := filepath.Join(t.TempDir(), "pid")
	done := make(chan error, 1)
	go func() {
		done <- plan(t, ctx, worker.Parent{Executable: script(t, fmt.Sprintf("echo $$ > %s; exec sleep 60", pidFile))}, 10)
	}()
	deadline := time.Now().Add(10 * time.Second)
	for {
		if _, err := os.Stat(pidFile); err == nil || time.Now().After(deadline) {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	cancel()
	select {
	case err := <-done:
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
	case <-time.After(10 * time.Second):
		t.Error("the worker goes on after its work was cancelled")
	}
}
