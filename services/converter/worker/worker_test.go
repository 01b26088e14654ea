package worker_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/trainyard/trainyard/services/converter/convert"
	"github.com/trainyard/trainyard/services/converter/reject"
	"github.com/trainyard/trainyard/services/converter/source"
	"github.com/trainyard/trainyard/services/converter/worker"
	"golang.org/x/sys/unix"
)

// The test binary is the worker process too.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == worker.Argument {
		worker.Main()
	}
	if len(os.Args) == 3 && os.Args[1] == "confined" { // See TestConfinement.
		fmt.Print(worker.TryConfined(os.Args[2]))
		os.Exit(0)
	}
	if len(os.Args) == 3 && os.Args[1] == "parent" { // See TestParentsDeathEndsTheWorker.
		p := worker.Parent{Executable: os.Args[2], Limits: worker.DefaultLimits, Sign: func(ctx context.Context, _ worker.SignRequest) (worker.Signed, error) {
			<-ctx.Done()
			return worker.Signed{}, ctx.Err()
		}}
		_, _ = p.Plan(context.Background(), convert.DefaultOptions("d"), worker.Source{Size: 1 << 20, ETag: `"e"`}, os.TempDir())
		os.Exit(1)
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
	p := worker.Parent{Limits: worker.DefaultLimits, Sign: served(t, strings.Repeat("no dataset ", 100))}
	var refused *reject.Error
	if err := plan(t, t.Context(), p, 1100); !errors.As(err, &refused) || refused.Reason != reject.UnknownFormat {
		t.Errorf("no dataset: %v", err)
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

// While it plans, a child tells how much of the source it has read.
func TestPlanningTellsWhatWasRead(t *testing.T) {
	data := "a,b\n" + strings.Repeat("1,2\n", 100_000)
	store := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(100 * time.Millisecond) // So that it takes longer than a child waits to tell.
		w.Header().Set("ETag", `"e"`)
		http.ServeContent(w, r, "", time.Time{}, strings.NewReader(data))
	}))
	t.Cleanup(store.Close)
	var told []int64
	p := worker.Parent{
		Limits: worker.DefaultLimits,
		Sign: func(_ context.Context, r worker.SignRequest) (worker.Signed, error) {
			if r.Put {
				return worker.Signed{}, errors.New("nothing is put here")
			}
			return worker.Signed{URL: store.URL}, nil
		},
		Progress: func(p convert.Progress) { told = append(told, p.Bytes) },
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second) // It will try to put its plan for longer.
	defer cancel()
	_ = plan(t, ctx, p, int64(len(data)))
	if len(told) == 0 || !slices.IsSorted(told) || told[0] <= 0 || told[len(told)-1] > int64(len(data)) {
		t.Errorf("told %v of %d bytes", told, len(data))
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
		"never ends a line":   {"read -r line; exec tr '\\0' x </dev/zero", "token too long"},
		"plans nothing":       {`read -r line; echo '{"planned":{}}'`, "plan is empty"},
		"answers another":     {`read -r line; echo '{"result":{"task":7}}'`, "plan is empty"},
		"says nothing at all": {"exec 1>&-; sleep 30", "killed"},
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

// A worker that doesn't end is ended: after its last word, and when its time is up.
func TestWorkersThatHangAreEnded(t *testing.T) {
	begin := time.Now()
	p := worker.Parent{Executable: script(t, `read -r line; echo '{"planned":{"key":"k","records":1,"task_size":[1]}}'; exec sleep 60`)}
	if err := plan(t, t.Context(), p, 10); err != nil {
		t.Errorf("after its last word: %v", err)
	}
	p = worker.Parent{Executable: script(t, "sleep 60 & wait"), Deadline: 200 * time.Millisecond}
	var crash *worker.CrashError
	if err := plan(t, t.Context(), p, 10); !errors.As(err, &crash) || !strings.Contains(err.Error(), "too long") {
		t.Errorf("after its time: %v", err)
	}
	if took := time.Since(begin); took > 10*time.Second {
		t.Errorf("the parent waited for %v", took)
	}
}

// Requests that nobody reads the answers of don't pile up, and don't hold the parent.
func TestWorkerThatOnlyAsks(t *testing.T) {
	p := worker.Parent{
		Executable: script(t, `exec yes '{"sign":{"id":1,"object":"source"}}'`), Deadline: time.Second,
		Sign: func(context.Context, worker.SignRequest) (worker.Signed, error) {
			return worker.Signed{URL: strings.Repeat("x", 4096)}, nil
		},
	}
	before := runtime.NumGoroutine()
	var crash *worker.CrashError
	if err := plan(t, t.Context(), p, 10); !errors.As(err, &crash) {
		t.Errorf("%v", err)
	}
	for deadline := time.Now().Add(5 * time.Second); runtime.NumGoroutine() > before; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines are left of %d before", runtime.NumGoroutine(), before)
		}
	}
}

// A task's result may be larger than any pipe holds, with requests and answers under way meanwhile.
func TestLargeResults(t *testing.T) {
	hashes := base64.StdEncoding.EncodeToString(make([]byte, 16<<20))
	big := filepath.Join(t.TempDir(), "result")
	text := `{"sign":{"id":1,"object":"plan"}}` + "\n" + `{"result":{"task":3,"shards":[{"name":"s","hashes":"` + hashes + `"}]}}` + "\n"
	if err := os.WriteFile(big, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p := worker.Parent{Executable: script(t, "read -r line; exec cat "+big), Sign: func(context.Context, worker.SignRequest) (worker.Signed, error) {
		return worker.Signed{URL: strings.Repeat("x", 1<<20)}, nil // Never read.
	}}
	result, err := p.Task(t.Context(), 3, 1, worker.Source{}, t.TempDir())
	if err != nil || len(result.Shards[0].Hashes) != 16<<20 {
		t.Errorf("%v", err)
	}
	var crash *worker.CrashError
	if _, err := p.Task(t.Context(), 4, 1, worker.Source{}, t.TempDir()); !errors.As(err, &crash) {
		t.Errorf("the result of another task: %v", err)
	}
}

// A worker whose parent was killed, and so could end nothing, ends by itself.
func TestParentsDeathEndsTheWorker(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	pidFile := filepath.Join(t.TempDir(), "pid")
	parent := exec.CommandContext(t.Context(), self, "parent", script(t, fmt.Sprintf("echo $$ > %s.tmp; mv %s.tmp %s; exec %s $1", pidFile, pidFile, pidFile, self))) //nolint:gosec // This binary.
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	pid := readPID(t, pidFile)
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait()
	gone(t, pid)
}

func readPID(t *testing.T, file string) int {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		text, err := os.ReadFile(file) //nolint:gosec // The test's own.
		if pid, _ := strconv.Atoi(strings.TrimSpace(string(text))); err == nil && pid > 0 {
			return pid
		}
		if time.Now().After(deadline) {
			t.Fatal("the worker didn't start")
		}
	}
}

func gone(t *testing.T, pid int) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		state, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil || strings.Contains(string(state), ") Z ") { // Nobody may be there to reap an orphan.
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("process %d is still there", pid)
		}
	}
}

func TestCancelEndsTheWorker(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	pidFile := filepath.Join(t.TempDir(), "pid")
	done := make(chan error, 1)
	go func() {
		// What the worker has started is ended with it.
		done <- plan(t, ctx, worker.Parent{Executable: script(t, fmt.Sprintf("sleep 60 & echo $! > %s; wait", pidFile))}, 10)
	}()
	pid := readPID(t, pidFile)
	cancel()
	select {
	case err := <-done:
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
	case <-time.After(10 * time.Second):
		t.Error("the worker goes on after its work was cancelled")
	}
	gone(t, pid)
}

// What a worker process could be made to do by the bytes that it parses, it may not: read its parent's environment, or any other file.
func TestConfinement(t *testing.T) {
	const version = 1
	if _, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, version); errno != 0 {
		t.Skip("this kernel has no Landlock")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), self, "confined", t.TempDir()).CombinedOutput() //nolint:gosec // This binary.
	if err != nil || string(out) != "scratch: ok\nparent's environment: refused\nanother file: refused\nanother program: refused\n" {
		t.Errorf("%s%v", out, err)
	}
}
