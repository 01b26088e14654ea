package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/trainyard/trainyard/services/trainyard/client"
)

// connection says which Trainyard a command talks to.
type connection struct {
	URL   string `name:"url" env:"TRAINYARD_URL" help:"The gateway's address; by default the local suite's."`
	Token string `env:"TRAINYARD_TOKEN" help:"Bearer token; by default the local suite's."`
	JSON  bool   `help:"Print one JSON object a line, the resource itself last."`
}

// local is what `trainyard up` leaves for the commands of the same user.
type local struct {
	URL   string `json:"url"`
	Token string `json:"token"`
	Data  string `json:"data"`
}

func localPath() (string, error) {
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, "trainyard", "local.json"), nil
}

func (c *connection) client() (*client.Client, error) {
	if c.URL != "" && c.Token != "" {
		return client.New(c.URL, c.Token), nil
	}
	path, err := localPath()
	if err != nil {
		return nil, err
	}
	var l local
	data, err := os.ReadFile(path) //nolint:gosec // Our own file.
	if err == nil {
		err = json.Unmarshal(data, &l)
	}
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil, errors.New("no local Trainyard was ever started here: run `trainyard up`, or set TRAINYARD_URL and TRAINYARD_TOKEN")
	case err != nil:
		return nil, fmt.Errorf("%s: %w", path, err)
	case c.URL != "" && c.URL != l.URL:
		return nil, errors.New("TRAINYARD_URL is set and TRAINYARD_TOKEN isn't; set both")
	}
	token := l.Token
	if c.Token != "" {
		token = c.Token
	}
	return client.New(l.URL, token), nil
}
