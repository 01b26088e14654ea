// Package mototest gives tests an AWS that others wrote: moto, as a server on loopback, with an account for each test and worlds in which
// a test breaks one thing.
//
// moto says yes to much that AWS refuses. AWS.md lists what it lacks or fakes; tests of that use a fake behind the same client interface.
package mototest

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
)

// program runs until its standard input ends, and that ends with the test process however it ends: by os.Exit, panic, time-out or kill. So
// no test has to stop it and none leaves it behind.
const program = `
import sys
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
print("http://%s:%d" % server.get_host_and_port(), flush=True)
sys.stdin.read()
`

var errNoVenv = errors.New("there is no .venv at the root of the repository; the tests against moto need it (make python)")

var server = sync.OnceValues(start)

// start gives moto's URL.
func start() (string, error) {
	python, err := findPython()
	if err != nil {
		return "", err
	}
	cmd := exec.CommandContext(context.Background(), python, "-c", program)
	// moto looks at nothing of the caller's AWS settings.
	cmd.Env = append(os.Environ(), "AWS_CONFIG_FILE="+os.DevNull, "AWS_SHARED_CREDENTIALS_FILE="+os.DevNull)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if _, err := cmd.StdinPipe(); err != nil {
		return "", err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return "", err
	}
	if err := cmd.Start(); err != nil {
		return "", err
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		return "", fmt.Errorf("moto did not start: %w, %w\n%s", err, cmd.Wait(), stderr.String())
	}
	// Waiting holds on to moto's standard input, which the garbage collector would close otherwise.
	go func() { _ = cmd.Wait() }()
	return strings.TrimSpace(line), nil
}

// testDir is the package's that is tested. It is asked for at once, because localcloud's S3 goes elsewhere.
var testDir, errTestDir = os.Getwd()

func findPython() (string, error) {
	if errTestDir != nil {
		return "", errTestDir
	}
	for dir := testDir; ; dir = filepath.Dir(dir) {
		python := filepath.Join(dir, ".venv", "bin", "python")
		if _, err := os.Stat(python); err == nil {
			return python, nil
		}
		if dir == filepath.Dir(dir) {
			return "", errNoVenv
		}
	}
}

// Account is an AWS account that only one test uses, so that tests can run side by side.
type Account struct {
	// ID has twelve digits.
	ID string
	// Endpoint is moto's URL, for any service and region.
	Endpoint string
}

var accounts atomic.Int64

// NewAccount gives an empty account. It starts moto for the first test that asks, and skips the test where there is no .venv.
func NewAccount(t testing.TB) *Account {
	t.Helper()
	endpoint, err := server()
	if errors.Is(err, errNoVenv) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return &Account{ID: fmt.Sprintf("%012d", 100000000000+accounts.Add(1)), Endpoint: endpoint}
}

// Config is for all clients of this account in a region, be it in China. An S3 client needs UsePathStyle as well.
func (a *Account) Config(t testing.TB, region string) aws.Config {
	t.Helper()
	cfg, err := config.LoadDefaultConfig(t.Context(),
		config.WithRegion(region),
		config.WithBaseEndpoint(a.Endpoint),
		config.WithSharedConfigFiles(nil),
		config.WithSharedCredentialsFiles(nil),
		config.WithCredentialsProvider(credentials.NewStaticCredentialsProvider("test", "test", "")),
	)
	if err != nil {
		t.Fatal(err)
	}
	cfg.HTTPClient = inAccount{a.ID} // Given above, it would be refused where AWS_CA_BUNDLE is set.
	return cfg
}

// inAccount tells moto the account, which it would otherwise take from the access key.
type inAccount struct{ id string }

// Do implements aws.HTTPClient.
func (a inAccount) Do(req *http.Request) (*http.Response, error) {
	req.Header.Set("X-Moto-Account-Id", a.id)
	return http.DefaultClient.Do(req)
}
