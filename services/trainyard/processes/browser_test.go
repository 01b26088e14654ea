//go:build browser

package processes

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/trainyard/trainyard/services/internal/testkit"
)

// The page in Chromium against six processes, whose gateway is killed and started again in the middle.
func TestPage(t *testing.T) {
	s := startSix(t, t.TempDir(), testkit.Postgres(t))
	restart := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		s.gateway.kill()
		s.gateway = start(t, s.gatewayEnv, s.gatewayCmd[0], s.gatewayCmd[1:]...)
	}))
	t.Cleanup(restart.Close)

	web := filepath.Join(root(t), "services", "gateway", "web")
	e2e := exec.Command("npm", "run", "--silent", "e2e")
	e2e.Dir = web
	e2e.Env = append(append(os.Environ(), s.env()...),
		"E2E_ZIP="+digitsZip(t, 400), "E2E_BASE=mnist", "E2E_REFUSED_BASE=absent", "E2E_EPOCHS=3", "E2E_SHOTS="+os.Getenv("E2E_SHOTS"),
		fmt.Sprintf("E2E_RESTART_URL_CMD=%q -e 'fetch(%q).then(r => process.exit(r.ok ? 0 : 1))'", "node", restart.URL),
	)
	out, err := e2e.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Fatal(err)
	}
}
