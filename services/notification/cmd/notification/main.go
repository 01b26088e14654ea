// Command notification serves the event log.
package main

import (
	"context"

	"github.com/alecthomas/kong"
	"github.com/trainyard/trainyard/services/internal/boot"
	"github.com/trainyard/trainyard/services/notification"
	"go.uber.org/zap"
)

func main() {
	var config struct {
		boot.MainConfig
		Notification notification.Config `embed:""`
	}
	boot.Main("notification", "Serves the event log: publish, list, watch.", &config, &config.MainConfig,
		func(ctx context.Context, p *boot.Process, log *zap.Logger) (boot.Unit, error) {
			return notification.New(ctx, config.Notification, notification.Deps{Log: log, Metrics: p.Metrics()})
		}, kong.Vars{"grpc": "127.0.0.1:9093"})
}
