// Command ingest serves datasets, versions and uploads; see package ingest.
package main

import (
	"context"

	"github.com/alecthomas/kong"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/trainyard/trainyard/services/ingest"
	"github.com/trainyard/trainyard/services/internal/awscfg"
	"github.com/trainyard/trainyard/services/internal/boot"
	"go.uber.org/zap"
)

type config struct {
	boot.MainConfig
	Ingest           ingest.Config `embed:""`
	AWS              awscfg.Config `embed:"" prefix:"aws-"`
	NotificationAddr string        `help:"Address of the notification service." default:"127.0.0.1:9093"`
}

func main() {
	var cfg config
	boot.Main("ingest", "Datasets, versions and uploads.", &cfg, &cfg.MainConfig, func(ctx context.Context, _ *boot.Process, log *zap.Logger) (boot.Unit, error) {
		aws, err := awscfg.Load(ctx, cfg.AWS)
		if err != nil {
			return nil, err
		}
		notification, err := boot.Dial(cfg.NotificationAddr, cfg.ServiceToken)
		if err != nil {
			return nil, err
		}
		return ingest.New(ctx, cfg.Ingest, ingest.Deps{
			S3: awscfg.S3(aws), Presigner: awscfg.NewPresigner(aws, cfg.AWS.PublicEndpoint), SQS: sqs.NewFromConfig(aws),
			Region: aws.Region, Notification: notification, Log: log,
		})
	}, kong.Vars{"grpc": "127.0.0.1:9091"})
}
