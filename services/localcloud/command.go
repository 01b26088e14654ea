package localcloud

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"go.uber.org/zap"

	"github.com/trainyard/trainyard/services/localcloud/sagemaker"
)

// Command is localcloud alone, as `trainyard localcloud` and its own main run
// it. Its fields are kong flags.
type Command struct {
	Data          string            `help:"Folder for all data; it is made if missing." required:"" type:"path"`
	AWS           string            `name:"aws" help:"Loopback address to serve on; port 0 takes a free one." default:"127.0.0.1:4566"`
	Region        string            `help:"Region to play." default:"us-east-1"`
	AccessKey     string            `help:"The one access key." default:"trainyard"`
	SecretKey     string            `help:"Its secret key." default:"trainyard-local"`
	Image         map[string]string `help:"What a training image runs: IMAGE=COMMAND, the command split at spaces. Repeatable." mapsep:"none"`
	FileSystem    map[string]string `help:"A file system for training: fs-ID=EFS:FOLDER or fs-ID=FSxLustre:FOLDER. Repeatable." mapsep:"none"`
	JSON          bool              `help:"Say the address as a JSON object." env:"-"`
	Provision     bool              `help:"Make the bucket and queues of the Trainyard suite."`
	AllowedOrigin []string          `help:"With --provision: origin of a web page that may use the bucket, such as http://127.0.0.1:8080. Repeatable."`
}

func (c *Command) config() (Config, error) {
	cfg := Config{DataDir: c.Data, Addr: c.AWS, Region: c.Region, AccessKey: c.AccessKey, SecretKey: c.SecretKey}
	cfg.SageMaker.Images = make(map[string]sagemaker.Program)
	for image, command := range c.Image {
		cfg.SageMaker.Images[image] = sagemaker.Program{Argv: strings.Fields(command)}
	}
	cfg.SageMaker.FileSystems = make(map[string]sagemaker.FileSystem)
	for id, value := range c.FileSystem {
		kind, dir, ok := strings.Cut(value, ":")
		if !ok {
			return Config{}, fmt.Errorf("--file-system %s=%s: write fs-ID=EFS:FOLDER or fs-ID=FSxLustre:FOLDER", id, value)
		}
		cfg.SageMaker.FileSystems[id] = sagemaker.FileSystem{Type: kind, Dir: dir}
	}
	return cfg, nil
}

// Run serves until ctx ends, and says on stdout, in one line, when it is ready.
func (c *Command) Run(ctx context.Context, stdout io.Writer, log *zap.Logger) error {
	cfg, err := c.config()
	if err != nil {
		return err
	}
	unit, err := New(ctx, cfg, Deps{Logger: log})
	if err != nil {
		return err
	}
	defer func() {
		if err := unit.Close(); err != nil {
			log.Error("close localcloud", zap.Error(err))
		}
	}()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- unit.Run(ctx) }()
	select {
	case err := <-ended:
		return err
	case <-unit.Ready():
	}
	if c.Provision {
		client, err := unit.AWS(ctx)
		if err == nil {
			_, err = Provision(ctx, client, c.AllowedOrigin)
		}
		if err != nil {
			stop()
			<-ended
			return err
		}
	}
	c.tellReady(stdout, unit)
	return <-ended
}

func (c *Command) tellReady(stdout io.Writer, unit *Unit) {
	if c.JSON {
		// Strings always marshal, and whoever closed stdout doesn't want to know.
		_ = json.NewEncoder(stdout).Encode(map[string]string{"aws": unit.Endpoint(), "data": unit.cfg.DataDir})
		return
	}
	fmt.Fprintf(stdout, "localcloud ready: aws=%s data=%s\n", unit.Endpoint(), unit.cfg.DataDir)
}
