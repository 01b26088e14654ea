package worker

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// TryConfined confines this process and tells what it still can do.
func TryConfined(scratchDir string) string {
	if err := confine(scratchDir); err != nil {
		return "not confined: " + err.Error()
	}
	var out strings.Builder
	tell := func(what string, err error) {
		verdict := "ok"
		if err != nil {
			verdict = "refused"
		}
		fmt.Fprintf(&out, "%s: %s\n", what, verdict)
	}
	tell("scratch", os.WriteFile(filepath.Join(scratchDir, "file"), nil, 0o600))
	_, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", os.Getppid()))
	tell("parent's environment", err)
	_, err = os.ReadFile("/etc/passwd")
	tell("another file", err)
	tell("another program", exec.Command("/bin/true").Run())
	return out.String()
}
