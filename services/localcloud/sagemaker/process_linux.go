package sagemaker

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// ownGroup puts a child at the head of its own process group and has it killed should this process die.
func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// killStrays kills every process that was started for a base directory, or one below it, and waits until they are gone:
// orphans of a dead localcloud, and descendants that left their process group. They are known by SAGEMAKER_BASE_DIR in the environment they were started
// with, which no other process can have by chance, as it could have a recorded process id.
func killStrays(baseDir string) error {
	mark := "\x00SAGEMAKER_BASE_DIR=" + baseDir
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		left := 0
		environs, err := filepath.Glob("/proc/[0-9]*/environ")
		if err != nil {
			return err
		}
		for _, file := range environs {
			// Another user's process, or one that has just ended, can't be read and isn't ours. A zombie's is empty.
			environ, err := os.ReadFile(file) //nolint:gosec // A path below /proc.
			_, rest, found := strings.Cut("\x00"+string(environ), mark)
			if err != nil || !found || rest == "" || rest[0] != 0 && rest[0] != '/' {
				continue
			}
			pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
			if err != nil || pid == os.Getpid() {
				continue
			}
			left++
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
				return fmt.Errorf("kill process %d of %s: %w", pid, baseDir, err)
			}
		}
		if left == 0 {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%d processes of %s don't die", left, baseDir)
		}
	}
}
