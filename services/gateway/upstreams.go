package gateway

import (
	"errors"

	"github.com/trainyard/trainyard/services/internal/boot"
)

// Upstreams says where the services are that the gateway speaks for.
type Upstreams struct {
	IngestAddr       string `help:"gRPC address of ingest." required:""`
	ConverterAddr    string `help:"gRPC address of converter." required:""`
	TrainingAddr     string `help:"gRPC address of training." required:""`
	NotificationAddr string `help:"gRPC address of notification." required:""`
}

// Dial makes the connections. They bear no credentials; they connect when they are used, so the order of starting doesn't matter.
func (a Upstreams) Dial() (Deps, error) {
	ingest, err1 := boot.DialPlain(a.IngestAddr)
	converter, err2 := boot.DialPlain(a.ConverterAddr)
	training, err3 := boot.DialPlain(a.TrainingAddr)
	notification, err4 := boot.DialPlain(a.NotificationAddr)
	return Deps{Ingest: ingest, Converter: converter, Training: training, Notification: notification}, errors.Join(err1, err2, err3, err4)
}
