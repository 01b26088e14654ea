// Command training runs the training service alone.
package main

import (
	"context"

	"github.com/alecthomas/kong"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"go.uber.org/zap"

	"github.com/trainyard/trainyard/services/internal/awscfg"
	"github.com/trainyard/trainyard/services/internal/boot"
	"github.com/trainyard/trainyard/services/training"
	"github.com/trainyard/trainyard/services/training/preflight"
)

type config struct {
	boot.MainConfig
	Training         training.Config `embed:""`
	AWS              awscfg.Config   `embed:"" prefix:"aws-"`
	IngestAddr       string          `help:"Address of the ingest service." default:"127.0.0.1:9091"`
	NotificationAddr string          `help:"Address of the notification service." default:"127.0.0.1:9093"`
}

func main() {
	var c config
	boot.Main("training", "Trains models on SageMaker.", &c, &c.MainConfig, c.build, kong.Vars{"grpc": "127.0.0.1:9094"})
}

func (c *config) build(ctx context.Context, _ *boot.Process, log *zap.Logger) (boot.Unit, error) {
	cfg, err := awscfg.Load(ctx, c.AWS)
	if err != nil {
		return nil, err
	}
	ingest, err := boot.Dial(c.IngestAddr, c.ServiceToken)
	if err != nil {
		return nil, err
	}
	notification, err := boot.Dial(c.NotificationAddr, c.ServiceToken)
	if err != nil {
		return nil, err
	}
	return training.New(ctx, c.Training, training.Deps{
		SageMaker: sagemaker.NewFromConfig(cfg), Logs: cloudwatchlogs.NewFromConfig(cfg), SQS: sqs.NewFromConfig(cfg),
		S3: awscfg.S3(cfg), Presigner: awscfg.NewPresigner(cfg, c.AWS.PublicEndpoint), Region: cfg.Region,
		Ingest: ingest, Notification: notification, Log: log,
		Preflight: func(_ context.Context, region string) (*preflight.Clients, error) {
			if cfg.BaseEndpoint != nil { // localcloud has no more than S3 of what preflight asks.
				return &preflight.Clients{S3: awscfg.S3(cfg)}, nil
			}
			return preflight.NewClients(cfg, region), nil
		},
	})
}
