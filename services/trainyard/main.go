// Command trainyard is the whole suite in one binary, and its command line.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
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
	Examples   examplesCommand   `cmd:"" help:"Print examples of a dataset version as they are in its shards."`
	Train      trainCommand      `cmd:"" help:"Start a training job."`
	Doctor     doctorCommand     `cmd:"" help:"Check everything a training job needs, without making it; or compare two regions."`
	Estimate   estimateCommand   `cmd:"" help:"Tell what a training job takes in time and money, for each way to read its data."`
	Sweep      sweepCommand      `cmd:"" help:"Start many training jobs over a space of parameters, to find the best."`
	Trials     trialsCommand     `cmd:"" help:"Print a sweep's trials, the best one marked."`
	Ledger     ledgerCommand     `cmd:"" help:"Print where a training job's time and money went, beside what was expected."`
	Usage      usageCommand      `cmd:"" help:"Print what the project has used of its quotas this month."`
	Base       baseCommand       `cmd:"" help:"Publish dataset versions as base datasets, and list, print and delete base datasets."`
	Watch      watchCommand      `cmd:"" help:"Follow events as they happen."`
	Pull       pullCommand       `cmd:"" help:"Download a trained model and check it."`
	Stop       stopCommand       `cmd:"" help:"Stop a training job, which saves its model first, or a sweep."`
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
	os.Exit(run(os.Args[1:]))
}

// Exit codes beside 0, which is success alone.
const (
	exitFailed      = 1
	exitUsage       = 2
	exitInterrupted = 130 // As shells have it.
)

func run(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // The second Ctrl-C ends at once.
	parser := newParser(ctx)
	if len(args) == 0 {
		args = []string{"--help"}
	}
	out := newOutput(slices.Contains(args, "--json"))
	command, err := parser.Parse(args)
	if err != nil {
		out.usage(err)
		return exitUsage
	}
	err = command.Run()
	switch {
	case err == nil:
		return 0
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		out.failure(errInterrupted)
		return exitInterrupted
	case errors.Is(err, errInterrupted):
		out.failure(err)
		return exitInterrupted
	case !errors.Is(err, errSilent):
		out.failure(err)
	}
	return exitFailed
}

func newParser(ctx context.Context) *kong.Kong {
	options := append([]kong.Option{kong.PostBuild(onlyServersByEnvironment)}, boot.ParseOptions("trainyard", description)...)
	return kong.Must(&commands{}, append(options, kong.BindTo(ctx, (*context.Context)(nil)), kong.Vars{"data": defaultData(), "defaultRecipe": defaultRecipe})...)
}

// onlyServersByEnvironment keeps the flags of the user's commands apart from the environment, but for those that name a variable: a
// TRAINYARD_DATASET or TRAINYARD_NAME of some script must not change what a command does.
func onlyServersByEnvironment(k *kong.Kong) error {
	for _, command := range k.Model.Leaves(false) {
		if command.Name == "up" || command.Name == "localcloud" {
			continue
		}
		for _, flag := range command.Flags {
			if len(flag.Envs) == 0 {
				flag.Envs = []string{"-"} // Which is kong's sign for none.
			}
		}
	}
	return nil
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
	File    string `type:"path" help:"The token file, made if it isn't there; by default the local suite's." default:"${data}/tokens.json"`
	Name    string `required:"" help:"Whose token it is; one of the same name is replaced."`
	Project string `help:"The project it acts in." xor:"kind" required:""`
	Service bool   `help:"A token for Trainyard's own services, which act for any project." xor:"kind" required:""`
}

func (c *tokenAddCommand) Run() error {
	if err := os.MkdirAll(filepath.Dir(c.File), 0o700); err != nil {
		return err
	}
	token, err := auth.AddToken(c.File, c.Name, c.Project, c.Service)
	if err != nil {
		return err
	}
	fmt.Println(token)
	return nil
}
