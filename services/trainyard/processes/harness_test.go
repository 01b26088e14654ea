//go:build integration || browser

package processes

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/trainyard/trainyard/services/internal/auth"
	"github.com/trainyard/trainyard/services/trainyard/digits"
)

// root is the repository's.
func root(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	check(t, err)
	return filepath.Join(dir, "..", "..", "..")
}

func binary(t *testing.T, name string) string {
	t.Helper()
	path := filepath.Join(root(t), "bin", name)
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%v: run make build first", err)
	}
	return path
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// freeAddr is a loopback address that nobody listens on.
func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	defer l.Close()
	return l.Addr().String()
}

// process is a running binary.
type process struct {
	t     *testing.T
	name  string
	cmd   *exec.Cmd
	log   *safeBuffer
	lines chan string
	ended chan error
}

type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// start starts a binary with environment variables beside the test's own. It is killed when the test ends.
func start(t *testing.T, env []string, path string, args ...string) *process {
	t.Helper()
	p := &process{t: t, name: filepath.Base(path), log: &safeBuffer{}, lines: make(chan string, 100), ended: make(chan error, 1)}
	p.cmd = exec.Command(path, args...)
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stderr = p.log
	stdout, err := p.cmd.StdoutPipe()
	check(t, err)
	check(t, p.cmd.Start())
	go func() {
		scanner := bufio.NewScanner(stdout)
		for scanner.Scan() {
			p.lines <- scanner.Text()
		}
		p.ended <- p.cmd.Wait()
	}()
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			text := p.log.String()
			t.Logf("--- the end of %s's log\n%s", p.name, text[max(0, len(text)-6000):])
		}
	})
	return p
}

// ready waits for the line that says so and gives its key=value fields.
func (p *process) ready(limit time.Duration) map[string]string {
	p.t.Helper()
	select {
	case line := <-p.lines:
		if !strings.Contains(line, " ready: ") {
			p.t.Fatalf("%s said %q", p.name, line)
		}
		fields := map[string]string{}
		for _, field := range strings.Fields(line) {
			if key, value, ok := strings.Cut(field, "="); ok {
				fields[key] = value
			}
		}
		return fields
	case err := <-p.ended:
		p.ended <- err
		p.t.Fatalf("%s ended instead of getting ready: %v\n%s", p.name, err, p.log.String())
	case <-time.After(limit):
		p.t.Fatalf("%s is not ready after %v", p.name, limit)
	}
	return nil
}

// kill ends the process as a power cut would.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	p.wait(10 * time.Second)
}

// interrupt is Ctrl-C; it gives how long the process took to end.
func (p *process) interrupt() time.Duration {
	p.t.Helper()
	begin := time.Now()
	check(p.t, p.cmd.Process.Signal(os.Interrupt))
	if err := p.wait(20 * time.Second); err != nil {
		p.t.Errorf("%s did not end cleanly: %v", p.name, err)
	}
	return time.Since(begin)
}

func (p *process) wait(limit time.Duration) error {
	select {
	case err := <-p.ended:
		p.ended <- err
		return err
	case <-time.After(limit):
		return errors.New("still running")
	}
}

// user is somebody at the command line of one suite.
type user struct {
	t          *testing.T
	url, token string
}

func (u user) env() []string {
	return []string{"TRAINYARD_URL=" + u.url, "TRAINYARD_TOKEN=" + u.token}
}

// run runs a command with --json and gives its last line, the resource, and whether it exited with 0.
func (u user) run(args ...string) (resource map[string]any, stderr string, ok bool) {
	u.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary(u.t, "trainyard"), append(args, "--json")...)
	cmd.Env = append(os.Environ(), u.env()...)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	lines := bytes.Split(bytes.TrimSpace(out), []byte("\n"))
	for _, line := range lines {
		resource = nil
		if len(line) > 0 && json.Unmarshal(line, &resource) != nil {
			u.t.Errorf("trainyard %s: a line that is no JSON object: %q", strings.Join(args, " "), line)
		}
	}
	return resource, errs.String(), err == nil
}

// must is run for commands that have to succeed.
func (u user) must(args ...string) map[string]any {
	u.t.Helper()
	resource, stderr, ok := u.run(args...)
	if !ok {
		u.t.Fatalf("trainyard %s failed: %s\n%v", strings.Join(args, " "), stderr, resource)
	}
	return resource
}

// get reads a path of the REST API.
func (u user) get(path string) map[string]any {
	u.t.Helper()
	status, body := u.tryGet(path)
	if status != http.StatusOK {
		u.t.Fatalf("GET %s: %d %v", path, status, body)
	}
	return body
}

func (u user) tryGet(path string) (status int, body map[string]any) {
	u.t.Helper()
	req, err := http.NewRequest(http.MethodGet, u.url+path, nil)
	check(u.t, err)
	req.Header.Set("Authorization", "Bearer "+u.token)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	check(u.t, err)
	check(u.t, json.Unmarshal(data, &body))
	return res.StatusCode, body
}

// until asks for a path until the condition holds. The gateway may be away meanwhile.
func (u user) until(path string, limit time.Duration, what string, condition func(map[string]any) bool) map[string]any {
	u.t.Helper()
	deadline := time.Now().Add(limit)
	for {
		status, body := u.tryGet(path)
		if status == http.StatusOK && condition(body) {
			return body
		}
		if time.Now().After(deadline) {
			u.t.Fatalf("after %v still not: %s; %s is %v", limit, what, path, body)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func state(body map[string]any) string { s, _ := body["state"].(string); return s }

func isOver(body map[string]any) bool {
	switch state(body) {
	case "READY", "FAILED", "SUCCEEDED", "STOPPED":
		return true
	}
	return false
}

// digitsZip writes n digits as a zip of class folders.
func digitsZip(t *testing.T, n int) string {
	t.Helper()
	train, _, err := digits.Load()
	check(t, err)
	path := filepath.Join(t.TempDir(), "digits.zip")
	check(t, train.Slice(0, n).WriteZip(path))
	return path
}

// baseDataset puts n other digits on the EFS file system of a data folder and gives the operator's list that names it, and another on a Lustre file
// system that isn't there.
func baseDataset(t *testing.T, data string, n int) (list string) {
	t.Helper()
	train, _, err := digits.Load()
	check(t, err)
	check(t, train.Slice(30000, 30000+n).WriteShards(filepath.Join(data, "efs", "mnist"), "mnist-train", 2))
	list = filepath.Join(data, "base-datasets.yaml")
	check(t, os.WriteFile(list, []byte(`- {id: mnist, display_name: MNIST, storage: efs, file_system_id: fs-00000001, path: /mnist}
- {id: absent, display_name: Digits on Lustre, storage: fsx-lustre, file_system_id: fs-0123456789abcdef0, mount_name: fsx, path: /digits}
`), 0o600))
	return list
}

// trainer is the command that runs as the training image.
func trainer(t *testing.T) string {
	t.Helper()
	python := filepath.Join(root(t), ".venv", "bin", "python")
	if _, err := os.Stat(python); err != nil {
		t.Fatalf("%v: run make python first", err)
	}
	return python + " -m trainyard_trainer train"
}

// up runs `trainyard up` on a data folder.
type up struct {
	*process
	user
	fields map[string]string
}

func startUp(t *testing.T, data string, args ...string) *up {
	t.Helper()
	config := []string{"XDG_CONFIG_HOME=" + filepath.Join(data, "config")}
	p := start(t, config, binary(t, "trainyard"), append([]string{"up", "--data", data, "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0", "--aws", "127.0.0.1:0"}, args...)...)
	fields := p.ready(20 * time.Second)
	token, err := os.ReadFile(filepath.Join(data, "token"))
	check(t, err)
	return &up{process: p, fields: fields, user: user{t: t, url: fields["http"], token: strings.TrimSpace(string(token))}}
}

// six is the suite as six processes.
type six struct {
	user
	gateway    *process
	gatewayCmd []string
	gatewayEnv []string
	grpc       map[string]string // By service.
}

func startSix(t *testing.T, data, dsn string) *six {
	t.Helper()
	bases := baseDataset(t, data, 300)
	capabilities := filepath.Join(data, "capabilities.yaml")
	check(t, os.WriteFile(capabilities, []byte("regions: {us-east-1: {fsx_lustre: false}}"), 0o600))
	httpAddr := freeAddr(t)
	page := "http://" + httpAddr
	cloud := start(t, nil, binary(t, "localcloud"), "--data", filepath.Join(data, "cloud"), "--aws", "127.0.0.1:0", "--provision", "--allowed-origin", page,
		"--image", "trainyard-trainer="+trainer(t), "--file-system", "fs-00000001=EFS:"+filepath.Join(data, "efs"))
	aws := cloud.ready(20 * time.Second)["aws"]

	tokens := filepath.Join(data, "tokens.json")
	userToken, err := auth.AddToken(tokens, "ada", "acme", false)
	check(t, err)
	serviceToken, err := auth.AddToken(tokens, "services", "", true)
	check(t, err)
	env := []string{
		"TRAINYARD_SERVICE_TOKEN=" + serviceToken, "TRAINYARD_AUTH_TOKENS=" + tokens, "TRAINYARD_AWS_ENDPOINT=" + aws, "TRAINYARD_AWS_REGION=us-east-1",
		"TRAINYARD_AWS_ACCESS_KEY=trainyard", "TRAINYARD_AWS_SECRET_KEY=trainyard-local", "TRAINYARD_BUCKET=trainyard", "TRAINYARD_REFLECTION=true",
	}
	queue := func(name string) string { return aws + "/000000000000/" + name }
	storeOf := func(name string) string {
		if dsn != "" {
			return dsn
		}
		return "sqlite:" + filepath.Join(data, name+".db")
	}
	s := &six{user: user{t: t, url: page, token: userToken}, grpc: map[string]string{}}
	run := func(name string, args ...string) {
		p := start(t, env, binary(t, name), append([]string{"--grpc", "127.0.0.1:0", "--store", storeOf(name)}, args...)...)
		s.grpc[name] = p.ready(20 * time.Second)["grpc"]
	}
	run("notification")
	run("ingest", "--notification-addr", s.grpc["notification"], "--uploads-queue", queue("trainyard-uploads"), "--reconcile-every", "2s")
	run("converter", "--ingest-addr", s.grpc["ingest"], "--uploads-queue", queue("trainyard-uploads"), "--tasks-queue", queue("trainyard-tasks"),
		"--scratch", filepath.Join(data, "scratch"))
	run("training", "--ingest-addr", s.grpc["ingest"], "--notification-addr", s.grpc["notification"], "--events-queue", queue("trainyard-training-events"),
		"--base-datasets", bases, "--capabilities", capabilities, "--image", "trainyard-trainer", "--role-arn", "arn:aws:iam::000000000000:role/trainyard-training",
		"--subnets", "subnet-00000001", "--security-groups", "sg-00000001", "--poll-every", "2s", "--log-every", "1s")
	s.gatewayCmd = append([]string{binary(t, "gateway"), "--http", httpAddr, "--s3-origin", aws}, upstreams(s.grpc)...)
	s.gatewayEnv = env
	s.gateway = start(t, env, s.gatewayCmd[0], s.gatewayCmd[1:]...)
	s.until("/v1/datasets", 20*time.Second, "the gateway answers", func(map[string]any) bool { return true })
	return s
}

func upstreams(addresses map[string]string) (flags []string) {
	for name, address := range addresses {
		flags = append(flags, fmt.Sprintf("--%s-addr", name), address)
	}
	return flags
}
