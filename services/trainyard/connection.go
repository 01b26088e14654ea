package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	"github.com/trainyard/trainyard/services/internal/auth"
	"github.com/trainyard/trainyard/services/trainyard/client"
)

// connection says which Trainyard a command talks to.
type connection struct {
	URL   string `name:"url" env:"TRAINYARD_URL" help:"The gateway's address; by default the local suite's."`
	Token string `env:"TRAINYARD_TOKEN" help:"Bearer token; by default the local suite's."`
	JSON  bool   `help:"Print one JSON object a line, the resource itself last. An error is one on standard error: reason, message, metadata."`
}

func (c *connection) client() (*client.Client, error) {
	address, token := c.URL, c.Token
	if address == "" || token == "" {
		l, err := readLocal()
		switch {
		case errors.Is(err, os.ErrNotExist):
			return nil, errors.New("no local Trainyard is running: start one with `trainyard up`, or set TRAINYARD_URL and TRAINYARD_TOKEN")
		case err != nil:
			return nil, err
		case address != "" && strings.TrimRight(address, "/") != l.URL:
			return nil, errors.New("TRAINYARD_URL is set and TRAINYARD_TOKEN isn't; set both")
		}
		address = l.URL
		if token == "" {
			token = l.Token
		}
	}
	if u, err := url.Parse(address); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("TRAINYARD_URL is %q: want an address such as http://127.0.0.1:8080", address)
	}
	api := client.New(address, token)
	var once sync.Once
	api.Waiting = func(err error) {
		once.Do(func() { newOutput(c.JSON).note("%v Trying again …", err) })
	}
	return api, nil
}

// local is what `trainyard up` leaves for the commands of the same user.
type local struct {
	URL   string `json:"url"`
	Token string `json:"token"`
	Data  string `json:"data"`
	PID   int    `json:"pid"`
}

func localPath() (string, error) {
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, "trainyard", "local.json"), nil
}

func readLocal() (local, error) {
	path, err := localPath()
	if err != nil {
		return local{}, err
	}
	data, err := os.ReadFile(path) //nolint:gosec // Our own file.
	if err != nil {
		return local{}, err
	}
	var l local
	if err := json.Unmarshal(data, &l); err != nil {
		return local{}, fmt.Errorf("%s: %w; remove it and start `trainyard up` again", path, err)
	}
	return l, nil
}

// writeLocal tells the commands of the same user where the suite is.
func writeLocal(l local) error {
	path, err := localPath()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	data, err := json.Marshal(l)
	if err != nil {
		return err
	}
	return auth.WriteSecret(path, data)
}

// forgetLocal takes back what this process wrote. A suite that was found before, and still runs, is found again.
func forgetLocal(before local) error {
	now, err := readLocal()
	if err != nil || now.PID != os.Getpid() {
		return nil //nolint:nilerr // Nothing of ours is there.
	}
	if before.PID > 0 && syscall.Kill(before.PID, 0) == nil {
		return writeLocal(before)
	}
	path, err := localPath()
	if err != nil {
		return err
	}
	return os.Remove(path)
}
