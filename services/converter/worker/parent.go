package worker

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/trainyard/trainyard/services/converter/convert"
	"github.com/trainyard/trainyard/services/converter/examples"
	"github.com/trainyard/trainyard/services/converter/reject"
	"github.com/trainyard/trainyard/services/converter/scratch"
	"github.com/trainyard/trainyard/services/converter/source"
)

// Argument is the only argument of a child process. A main that starts the converter calls Main when it finds it.
const Argument = "converter-worker"

const (
	maxLine   = 64 << 20 // A task's result carries 8 bytes a record and the files left out.
	stderrCap = 8 << 10

	signsInFlight = 64
	// lastWord is how long a child may take to end when it has said its result or nothing more.
	lastWord = 2 * time.Second
)

// CrashError says that a child ended without a result: it was killed by a limit, or it panicked.
type CrashError struct {
	State  string // As the kernel told it.
	Stderr string // The end of its log.
}

func (e *CrashError) Error() string {
	return fmt.Sprintf("the worker process ended without a result (%s): %s", e.State, e.Stderr)
}

// Parent runs children.
type Parent struct {
	// Executable is the binary to run; empty means this one.
	Executable string
	Limits     Limits
	// Deadline is how long a step may take; 0 means without end. A child that takes longer counts as crashed.
	Deadline time.Duration
	// Sign signs a URL for one object of the step at hand.
	Sign func(context.Context, SignRequest) (Signed, error)
	// Progress is told a few times a second how far a task is; while planning, of how many bytes of the source were read. May be nil.
	Progress func(convert.Progress)
}

// Source is the pinned upload.
type Source struct {
	Size int64
	ETag string
}

// Plan plans a conversion and leaves the plan in S3. Errors are *reject.Error, source.ErrChanged, scratch.ErrFull, *CrashError, or others that may pass.
func (p Parent) Plan(ctx context.Context, options convert.Options, src Source, scratchDir string) (*Planned, error) {
	m, err := p.run(ctx, job{Step: PlanStep, Options: options, SourceSize: src.Size, SourceETag: src.ETag, Scratch: scratchDir})
	if err != nil {
		return nil, err
	}
	if m.Planned == nil || m.Planned.Records < 1 || len(m.Planned.TaskSize) == 0 {
		return nil, &CrashError{State: "its plan is empty"}
	}
	return m.Planned, nil
}

// Task runs one task of a plan that is in S3. Errors are as with Plan.
func (p Parent) Task(ctx context.Context, index int, planSize int64, src Source, scratchDir string) (*convert.TaskResult, error) {
	m, err := p.run(ctx, job{Step: TaskStep, Task: index, PlanSize: planSize, SourceSize: src.Size, SourceETag: src.ETag, Scratch: scratchDir})
	if err != nil {
		return nil, err
	}
	if m.Result == nil || m.Result.Task != index {
		return nil, &CrashError{State: "its result is of another step"}
	}
	return m.Result, nil
}

// Examples reads a page of examples of a finished dataset, whose files Sign signs. Errors are examples.ErrPosition, *CrashError, or others.
func (p Parent) Examples(ctx context.Context, request examples.Request) (*examples.Page, error) {
	m, err := p.run(ctx, job{Step: ExamplesStep, Examples: &request})
	if err != nil {
		return nil, err
	}
	if m.Page == nil || len(m.Page.Examples) > request.Limit {
		return nil, &CrashError{State: "its page is not the one that was asked for"}
	}
	return m.Page, nil
}

var errDeadline = errors.New("it took too long")

func (p Parent) run(ctx context.Context, j job) (message, error) {
	j.Limits = p.Limits
	executable := p.Executable
	if executable == "" {
		var err error
		if executable, err = os.Executable(); err != nil {
			return message{}, err
		}
	}
	work := ctx
	if p.Deadline > 0 {
		var cancel context.CancelFunc
		work, cancel = context.WithTimeoutCause(ctx, p.Deadline, errDeadline)
		defer cancel()
	}
	cmd := exec.CommandContext(work, executable, Argument) //nolint:gosec // This binary.
	cmd.Env = environment(j.Scratch)
	cmd.WaitDelay = lastWord
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C on a terminal is the parent's to handle.
	kill := func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.Cancel = kill
	stderr := &tail{}
	cmd.Stderr = stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return message{}, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return message{}, err
	}
	if err := cmd.Start(); err != nil {
		return message{}, err
	}
	// What the child has started may outlive it and hold the pipe open.
	defer context.AfterFunc(work, func() { _ = stdout.Close() })()
	final, readErr := p.converse(work, j, stdin, stdout)
	if readErr != nil {
		_ = kill() // It speaks what we don't understand, or nothing any more.
	}
	slow := time.AfterFunc(lastWord, func() { _ = kill() })
	waitErr := cmd.Wait()
	slow.Stop()
	if err := ctx.Err(); err != nil {
		return message{}, err
	}
	switch {
	case final.Rejected != nil:
		return message{}, &reject.Error{Reason: final.Rejected.Reason, Message: final.Rejected.Message, Files: final.Rejected.Files}
	case final.Failed != nil:
		return message{}, final.Failed.asError()
	case final.Planned != nil, final.Result != nil, final.Page != nil:
		return final, nil
	}
	state := "no reason known"
	if cmd.ProcessState != nil {
		state = cmd.ProcessState.String()
	}
	return message{}, errors.Join(&CrashError{State: state, Stderr: stderr.String()}, context.Cause(work), readErr, waitErr)
}

// environment is the child's: no credentials, but where the certificates are by which it knows S3.
func environment(scratchDir string) []string {
	env := []string{"TMPDIR=" + scratchDir}
	for _, name := range []string{"SSL_CERT_FILE", "SSL_CERT_DIR"} {
		if value, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+value)
		}
	}
	return env
}

// converse answers a child's requests until its last word or the end of its output, and closes its input.
func (p Parent) converse(ctx context.Context, j job, stdin io.WriteCloser, stdout io.Reader) (message, error) {
	var signing sync.WaitGroup
	defer signing.Wait()
	defer stdin.Close() //nolint:errcheck // A child that is gone has closed it.
	var writing sync.Mutex
	encode := json.NewEncoder(stdin)
	if err := encode.Encode(j); err != nil {
		return message{}, err
	}
	slots := make(chan struct{}, signsInFlight)
	lines := bufio.NewScanner(stdout)
	lines.Buffer(make([]byte, 0, 64<<10), maxLine)
	for lines.Scan() {
		var m message
		if err := json.Unmarshal(lines.Bytes(), &m); err != nil {
			return message{}, fmt.Errorf("a line of the worker process: %w", err)
		}
		switch {
		case m.Sign != nil:
			slots <- struct{}{} // Free again by the deadline at the latest, when the child dies.
			signing.Go(func() {
				defer func() { <-slots }()
				reply := answer{ID: m.Sign.ID}
				signed, err := p.Sign(ctx, *m.Sign)
				if reply.Signed = signed; err != nil {
					reply.Error = err.Error()
				}
				writing.Lock()
				defer writing.Unlock()
				_ = encode.Encode(reply) // A child that is gone needs no answer.
			})
		case m.Progress != nil:
			if p.Progress != nil {
				p.Progress(*m.Progress)
			}
		default:
			return m, nil
		}
	}
	return message{}, lines.Err()
}

func (f *failed) asError() error {
	switch f.Kind {
	case sourceChanged:
		return source.ErrChanged
	case scratchFull:
		return fmt.Errorf("%w: %s", scratch.ErrFull, f.Error)
	case wrongPosition:
		return fmt.Errorf("%w: %s", examples.ErrPosition, f.Error)
	}
	return errors.New(f.Error)
}

// tail keeps the end of what is written.
type tail struct {
	mu   sync.Mutex
	kept []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kept = append(t.kept, p...)
	if over := len(t.kept) - stderrCap; over > 0 {
		t.kept = t.kept[over:]
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(string(t.kept))
}
