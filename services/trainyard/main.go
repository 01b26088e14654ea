// Command trainyard is the whole suite in one binary, and its command line.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/alecthomas/kong"
	"github.com/trainyard/trainyard/services/converter/worker"
	"github.com/trainyard/trainyard/services/internal/auth"
	"github.com/trainyard/trainyard/services/internal/boot"
	"github.com/trainyard/trainyard/services/localcloud"
)

const description = `Brings datasets in and trained models back.

Start a local suite with 'trainyard up'; then, in another terminal:
  trainyard push photos.zip --dataset photos
  trainyard train --dataset photos --param epochs=5 --wait
  trainyard pull MODEL -o model/`

type commands struct {
	Up         upCommand         `cmd:"" help:"Run the whole suite on this machine, with its own S3, SQS and SageMaker."`
	Push       pushCommand       `cmd:"" help:"Upload an archive or a folder as a new dataset version and wait until it is converted."`
	Train      trainCommand      `cmd:"" help:"Start a training job."`
	Watch      watchCommand      `cmd:"" help:"Follow events as they happen."`
	Pull       pullCommand       `cmd:"" help:"Download a trained model and check it."`
	Stop       stopCommand       `cmd:"" help:"Stop a training job; it saves its model first."`
	Logs       logsCommand       `cmd:"" help:"Print a training job's log."`
	Get        getCommand        `cmd:"" help:"Print one resource."`
	List       listCommand       `cmd:"" help:"Print a collection of resources."`
	Token      tokenCommand      `cmd:"" help:"Manage the bearer tokens of an installation."`
	Localcloud localcloudCommand `cmd:"" help:"Run the local S3, SQS, SageMaker and CloudWatch Logs alone."`
}

func main() {
	if len(os.Args) == 2 && os.Args[1] == worker.Argument {
		worker.Main()
	}
	var c commands
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	parser := kong.Must(&c, append(boot.ParseOptions("trainyard", description), kong.BindTo(ctx, (*context.Context)(nil)), kong.Vars{"data": defaultData()})...)
	command, err := parser.Parse(os.Args[1:])
	parser.FatalIfErrorf(err)
	if err := command.Run(); err != nil {
		if !errors.Is(err, errSilent) {
			fmt.Fprintln(os.Stderr, "trainyard:", err)
		}
		stop()
		os.Exit(1) //nolint:gocritic // stop was called.
	}
}

// defaultData is where the suite keeps its data when it isn't told: where the user's other programs keep theirs.
func defaultData() string {
	if dir := os.Getenv("XDG_DATA_HOME"); dir != "" {
		return filepath.Join(dir, "trainyard")
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "trainyard-data"
	}
	return filepath.Join(home, ".local", "share", "trainyard")
}

type localcloudCommand struct {
	localcloud.Command
	boot.LogConfig
}

func (c *localcloudCommand) Run(ctx context.Context) error {
	log, err := boot.NewLogger(c.LogConfig)
	if err != nil {
		return err
	}
	return c.Command.Run(ctx, os.Stdout, log)
}

type tokenCommand struct {
	Add tokenAddCommand `cmd:"" help:"Make a token, put its digest into the token file and print the token, once."`
}

type tokenAddCommand struct {
	File    string `required:"" type:"path" help:"The token file; it is made if it isn't there."`
	Name    string `required:"" help:"Whose token it is; one of the same name is replaced."`
	Project string `help:"The project it acts in." xor:"kind" required:""`
	Service bool   `help:"A token for Trainyard's own services, which act for any project." xor:"kind" required:""`
}

func (c *tokenAddCommand) Run() error {
	token, err := auth.AddToken(c.File, c.Name, c.Project, c.Service)
	if err != nil {
		return err
	}
	fmt.Println(token)
	return nil
}
