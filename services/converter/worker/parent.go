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
	"github.com/trainyard/trainyard/services/converter/reject"
	"github.com/trainyard/trainyard/services/converter/scratch"
	"github.com/trainyard/trainyard/services/converter/source"
)

// Argument is the only argument of a child process. A main that starts the converter calls Main when it finds it.
const Argument = "converter-worker"

const (
	maxLine   = 64 << 20 // A task's result carries 8 bytes a record and the files left out.
	stderrCap = 8 << 10
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
	// Sign signs a URL for one object of the step at hand.
	Sign func(context.Context, SignRequest) (Signed, error)
	// Progress is told a few times a second how far a task is. May be nil.
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
	return m.Planned, err
}

// Task runs one task of a plan that is in S3. Errors are as with Plan.
func (p Parent) Task(ctx context.Context, index int, planSize int64, src Source, scratchDir string) (*convert.TaskResult, error) {
	m, err := p.run(ctx, job{Step: TaskStep, Task: index, PlanSize: planSize, SourceSize: src.Size, SourceETag: src.ETag, Scratch: scratchDir})
	return m.Result, err
}

func (p Parent) run(ctx context.Context, j job) (message, error) {
	j.Limits = p.Limits
	executable := p.Executable
	if executable == "" {
		var err error
		if executable, err = os.Executable(); err != nil {
			return message{}, err
		}
	}
	cmd := exec.CommandContext(ctx, executable, Argument) //nolint:gosec // This binary.
	cmd.Env = []string{"TMPDIR=" + j.Scratch}
	cmd.WaitDelay = 2 * time.Second
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C on a terminal is the parent's to handle.
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
	final, readErr := p.converse(ctx, j, stdin, stdout)
	if readErr != nil {
		_ = cmd.Process.Kill() // It speaks what we don't understand, or nothing any more.
	}
	_ = stdin.Close()
	waitErr := cmd.Wait()
	if err := ctx.Err(); err != nil {
		return message{}, err
	}
	switch {
	case final.Rejected != nil:
		return message{}, &reject.Error{Reason: final.Rejected.Reason, Message: final.Rejected.Message, Files: final.Rejected.Files}
	case final.Failed != nil:
		return message{}, final.Failed.asError()
	case final.Planned != nil, final.Result != nil:
		return final, nil
	}
	state := "no reason known"
	if cmd.ProcessState != nil {
		state = cmd.ProcessState.String()
	}
	return message{}, errors.Join(&CrashError{State: state, Stderr: stderr.String()}, readErr, waitErr)
}

// converse answers a child's requests until its last word or the end of its output.
func (p Parent) converse(ctx context.Context, j job, stdin io.Writer, stdout io.Reader) (message, error) {
	var writing sync.Mutex
	encode := json.NewEncoder(stdin)
	if err := encode.Encode(j); err != nil {
		return message{}, err
	}
	lines := bufio.NewScanner(stdout)
	lines.Buffer(make([]byte, 0, 64<<10), maxLine)
	for lines.Scan() {
		var m message
		if err := json.Unmarshal(lines.Bytes(), &m); err != nil {
			return message{}, fmt.Errorf("a line of the worker process: %w", err)
		}
		switch {
		case m.Sign != nil:
			go func(request SignRequest) {
				reply := answer{ID: request.ID}
				signed, err := p.Sign(ctx, request)
				if reply.Signed = signed; err != nil {
					reply.Error = err.Error()
				}
				writing.Lock()
				defer writing.Unlock()
				_ = encode.Encode(reply) // A child that is gone needs no answer.
			}(*m.Sign)
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
