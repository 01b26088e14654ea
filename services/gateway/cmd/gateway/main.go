// Command gateway serves REST, live events and the web page.
package main

import (
	"context"

	"github.com/alecthomas/kong"
	"github.com/trainyard/trainyard/services/gateway"
	"github.com/trainyard/trainyard/services/internal/boot"
	"go.uber.org/zap"
)

func main() {
	var config struct {
		boot.MainConfig
		Gateway   gateway.Config    `embed:""`
		Upstreams gateway.Upstreams `embed:""`
	}
	boot.Main("gateway", "Serves REST, live events and the web page.", &config, &config.MainConfig,
		func(ctx context.Context, _ *boot.Process, log *zap.Logger) (boot.Unit, error) {
			deps, err := config.Upstreams.Dial()
			if err != nil {
				return nil, err
			}
			deps.Log = log
			return gateway.New(ctx, config.Gateway, deps)
		}, kong.Vars{"grpc": ""})
}
