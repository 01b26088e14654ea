package sagemaker

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// drainTime is how long a dead program's output is still read. Only a descendant that escaped its process group and our
// search can hold the pipe open longer.
const drainTime = 30 * time.Second

// process is one run of a training program.
type process struct {
	argv    []string
	env     []string
	baseDir string // also the mark by which the program's descendants are found
	// stopping is called before the program is told to stop.
	stopping func()
	// grace gives the time between SIGTERM and SIGKILL, asked when the context ends.
	grace func() time.Duration
	// hurry ends a grace period early: it is closed when the service itself must go.
	hurry <-chan struct{}
}

// exitNotStarted is the exit code of a program that can't be started, as a shell and Docker give it.
const exitNotStarted = 127

// run starts the program, gives its output, stdout and stderr as one, to consume, and waits until it and everything it
// started are gone. When ctx ends it is told to stop by SIGTERM and, after the grace, killed. A program killed by a signal
// has exit code 128 + signal.
func (p *process) run(ctx context.Context, consume func(*os.File)) (exitCode int, err error) {
	reader, writer, err := os.Pipe()
	if err != nil {
		return 0, err
	}
	defer func() { _ = reader.Close() }()

	cmd := exec.Command(p.argv[0], p.argv[1:]...) //nolint:gosec,noctx // The operator configured the program; its end is ours to stage.
	cmd.Env, cmd.Dir = p.env, p.baseDir
	cmd.Stdout, cmd.Stderr = writer, writer
	cmd.SysProcAttr = ownGroup()

	started, ended := make(chan error, 1), make(chan error, 1)
	go func() {
		// The kernel sends the parent-death signal when the *thread* that started the child ends, so this one is kept
		// until the child is gone. It covers kill -9 of this process; killStrays covers what it misses.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			ended <- cmd.Wait()
		}
	}()
	err = <-started
	_ = writer.Close()
	if err != nil {
		return exitNotStarted, &notStartedError{err}
	}
	consumed := make(chan struct{})
	go func() {
		consume(reader)
		close(consumed)
	}()

	exited := false
	select {
	case err = <-ended:
		exited = true
	case <-ctx.Done():
		p.stopping()
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) // It may just have ended.
		exited, err = p.linger(ended)
	}
	if !exited {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		err = <-ended
	}
	// A container takes all its processes with it, so whatever the program left behind goes too.
	if strayErr := killStrays(p.baseDir); strayErr != nil {
		err = errors.Join(err, strayErr)
	}
	select {
	case <-consumed:
	case <-time.After(drainTime):
		_ = reader.SetReadDeadline(time.Now())
		<-consumed
	}
	return exitCodeOf(err)
}

// notStartedError is the image's fault, not ours.
type notStartedError struct{ err error }

func (e *notStartedError) Error() string { return fmt.Sprintf("cannot start the program: %v", e.err) }
func (e *notStartedError) Unwrap() error { return e.err }

// linger gives a program that was told to stop its time to end.
func (p *process) linger(ended <-chan error) (exited bool, err error) {
	timer := time.NewTimer(p.grace())
	defer timer.Stop()
	hurry := p.hurry
	for {
		select {
		case err = <-ended:
			return true, err
		case <-timer.C:
			return false, nil
		case <-hurry:
			hurry = nil
			timer.Reset(p.grace())
		}
	}
}

func exitCodeOf(err error) (int, error) {
	if err == nil {
		return 0, nil
	}
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return 0, err
	}
	if ws, ok := exit.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return 128 + int(ws.Signal()), nil
	}
	return exit.ExitCode(), nil
}
