// Command converter turns uploads into TFRecord datasets.
package main

import (
	"context"
	"os"

	"github.com/alecthomas/kong"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/trainyard/trainyard/services/converter"
	"github.com/trainyard/trainyard/services/converter/worker"
	"github.com/trainyard/trainyard/services/internal/awscfg"
	"github.com/trainyard/trainyard/services/internal/boot"
	"go.uber.org/zap"
)

func main() {
	if len(os.Args) == 2 && os.Args[1] == worker.Argument {
		worker.Main()
	}
	var config struct {
		boot.MainConfig
		Converter  converter.Config `embed:""`
		AWS        awscfg.Config    `embed:"" prefix:"aws-"`
		IngestAddr string           `help:"Address of the ingest service." default:"127.0.0.1:9091"`
	}
	boot.Main("converter", "Turns uploads into TFRecord datasets.", &config, &config.MainConfig,
		func(ctx context.Context, _ *boot.Process, log *zap.Logger) (boot.Unit, error) {
			cfg, err := awscfg.Load(ctx, config.AWS)
			if err != nil {
				return nil, err
			}
			ingest, err := boot.Dial(config.IngestAddr, config.ServiceToken)
			if err != nil {
				return nil, err
			}
			return converter.New(ctx, config.Converter, converter.Deps{
				S3: awscfg.S3(cfg), Presigner: awscfg.NewPresigner(cfg, ""), DownloadPresigner: awscfg.NewPresigner(cfg, config.AWS.PublicEndpoint),
				SQS: sqs.NewFromConfig(cfg), Ingest: ingest, Log: log,
			})
		}, kong.Vars{"grpc": "127.0.0.1:9092"})
}
