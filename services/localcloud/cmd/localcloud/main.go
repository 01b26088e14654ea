// Command localcloud plays AWS on a loopback port; see package localcloud.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/trainyard/trainyard/services/internal/boot"
	"github.com/trainyard/trainyard/services/localcloud"
)

func main() {
	var flags struct {
		localcloud.Command
		boot.LogConfig
		Config kong.ConfigFlag `help:"JSON file whose keys are these flags' names."`
	}
	parser := kong.Must(&flags, boot.ParseOptions("localcloud", "S3, SQS, SageMaker and CloudWatch Logs on a loopback port.")...)
	_, err := parser.Parse(os.Args[1:])
	parser.FatalIfErrorf(err)
	log, err := boot.NewLogger(flags.LogConfig)
	parser.FatalIfErrorf(err)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	parser.FatalIfErrorf(flags.Run(ctx, os.Stdout, log))
}
