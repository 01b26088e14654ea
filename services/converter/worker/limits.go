package worker

import (
	"fmt"
	"os"
	"runtime/debug"
	"strings"

	"github.com/landlock-lsm/go-landlock/landlock"
	"golang.org/x/sys/unix"
)

// Limits bound a child. RLIMIT_AS is not among them: a Go program reserves more than a gigabyte of addresses at its start.
type Limits struct {
	MemoryBytes uint64 `json:"memory_bytes"`
	CPUSeconds  uint64 `json:"cpu_seconds"`
	OpenFiles   uint64 `json:"open_files"`
	FileBytes   uint64 `json:"file_bytes"`
}

// DefaultLimits serve sources of any size: a task's memory doesn't grow with the source. What needs most is a full validation of large
// progressive JPEGs and two million tiny files; both end at 512 MiB and pass at 768, because RLIMIT_DATA counts what is mapped, not
// what is in use.
var DefaultLimits = Limits{MemoryBytes: 1 << 30, CPUSeconds: 4 * 3600, OpenFiles: 512, FileBytes: 1 << 43}

// confine leaves this process no files but its scratch folder and what it takes to reach S3 by name and to trust it. A kernel without
// Landlock (before 5.13) leaves it what its user may have, which includes the environment of its parent in /proc.
func confine(scratchDir string) error {
	trust := []string{"/etc/ssl", "/etc/pki", "/usr/share/ca-certificates", "/usr/local/share/ca-certificates", "/etc/ca-certificates"}
	if dir := os.Getenv("SSL_CERT_DIR"); dir != "" {
		trust = append(trust, strings.Split(dir, ":")...)
	}
	files := []string{"/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf", "/etc/services", "/dev/null", "/sys/kernel/mm/transparent_hugepage/hpage_pmd_size"}
	if file := os.Getenv("SSL_CERT_FILE"); file != "" {
		files = append(files, file)
	}
	rules := []landlock.Rule{landlock.RODirs(trust...).IgnoreIfMissing(), landlock.ROFiles(files...).IgnoreIfMissing()}
	if scratchDir != "" {
		rules = append(rules, landlock.RWDirs(scratchDir))
	}
	return landlock.V5.BestEffort().RestrictPaths(rules...)
}

// apply sets the limits on this process.
func (l Limits) apply() error {
	debug.SetMemoryLimit(int64(l.MemoryBytes / 4)) //nolint:gosec // Far below 2^63. The collector works harder long before the kernel refuses.
	for resource, limit := range map[int]uint64{
		unix.RLIMIT_DATA: l.MemoryBytes, unix.RLIMIT_CPU: l.CPUSeconds, unix.RLIMIT_NOFILE: l.OpenFiles, unix.RLIMIT_FSIZE: l.FileBytes, unix.RLIMIT_CORE: 0,
	} {
		if err := unix.Setrlimit(resource, &unix.Rlimit{Cur: limit, Max: limit}); err != nil {
			return fmt.Errorf("limit %d: %w", resource, err)
		}
	}
	return nil
}
