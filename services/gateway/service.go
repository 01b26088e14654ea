// Package gateway is the suite's HTTP side: REST made from the contracts, live events as SSE, sessions for browsers, and the web page.
//
// It keeps nothing and decides nothing about tenants: every call goes upstream with the caller's own credentials. It promises that
// no other header of a request becomes gRPC metadata but those on a short list, that every error is google.rpc.Status as JSON,
// that bodies, streams and shutdown are bounded, and that another site can't use a browser's session.
package gateway

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/trainyard/trainyard/services/internal/auth"
	"go.uber.org/zap"
	"google.golang.org/grpc"
)

// Config says where to serve and whom. A zero duration or count means its default.
type Config struct {
	HTTP            string        `name:"http" help:"Address to serve HTTP on. Beyond loopback, put something in front that ends TLS." default:"127.0.0.1:8080"`
	S3Origins       []string      `name:"s3-origin" env:"TRAINYARD_S3_ORIGIN" help:"Origin of the S3 endpoint that browsers put parts to and get models from, such as https://BUCKET.s3.eu-central-1.amazonaws.com; may be repeated."`
	CORSOrigins     []string      `name:"cors-origin" help:"Origin of another site whose scripts may call the API with a bearer token; may be repeated."`
	MaxWatchers     int           `help:"Event streams open at once." default:"900"`
	WriteTimeout    time.Duration `help:"How long a watcher may take nothing of what is sent to it before it is cut off." default:"10s"`
	DrainTimeout    time.Duration `help:"How long running requests may take to end at shutdown." default:"3s"`
	UpstreamTimeout time.Duration `help:"How long a call to a service may take." default:"65s"`
	// LocalToken, when set, is handed to whoever opens the page on this machine, as a session. Only `trainyard up` sets it.
	LocalToken string `kong:"-"`
}

// Validate tells what is wrong with the configuration, and fills in what is zero.
func (c *Config) Validate() error {
	setDefault(&c.HTTP, "127.0.0.1:8080")
	// One gRPC connection carries at most 1000 streams (boot); the rest is for calls.
	setDefault(&c.MaxWatchers, 900)
	setDefault(&c.WriteTimeout, 10*time.Second)
	setDefault(&c.DrainTimeout, 3*time.Second)
	setDefault(&c.UpstreamTimeout, 65*time.Second)
	if c.LocalToken != "" && !auth.IsLoopback(c.HTTP) {
		return fmt.Errorf("gateway: --http %s: a page that signs everybody in may only be served on a loopback address", c.HTTP)
	}
	for flag, origins := range map[string][]string{"--s3-origin": c.S3Origins, "--cors-origin": c.CORSOrigins} {
		for _, origin := range origins {
			u, err := url.Parse(origin)
			if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || origin != u.Scheme+"://"+u.Host {
				return fmt.Errorf("gateway: %s %q: an origin is scheme://host or scheme://host:port and nothing else", flag, origin)
			}
		}
	}
	return nil
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Deps are what the gateway works with. The connections must bear no credentials of their own (boot.DialPlain), for each call brings
// its caller's.
type Deps struct {
	Ingest, Converter, Training, Notification grpc.ClientConnInterface
	Log                                       *zap.Logger
}

// Unit is the gateway. It serves HTTP itself, in Run.
type Unit struct {
	cfg      Config
	log      *zap.Logger
	listener net.Listener
	server   *http.Server
	watches  *eventStreams
	ready    atomic.Bool
}

// New opens the listener, so that the address is known, and makes the unit.
func New(ctx context.Context, cfg Config, deps Deps) (*Unit, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if deps.Log == nil {
		deps.Log = zap.NewNop()
	}
	var listen net.ListenConfig
	listener, err := listen.Listen(ctx, "tcp", cfg.HTTP)
	if err != nil {
		return nil, fmt.Errorf("listen for HTTP: %w; choose another address with --http", err)
	}
	u := &Unit{cfg: cfg, log: deps.Log, listener: listener}
	handler, err := u.handler(ctx, deps)
	if err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	u.server = &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       60 * time.Second, // A body has at most a MiB.
		WriteTimeout:      cfg.UpstreamTimeout + 30*time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          zap.NewStdLog(deps.Log),
	}
	return u, nil
}

// Addr is the address HTTP is served on.
func (u *Unit) Addr() string { return u.listener.Addr().String() }

// Name implements boot.Unit.
func (u *Unit) Name() string { return "gateway" }

// Register implements boot.Unit; the gateway serves no gRPC.
func (u *Unit) Register(grpc.ServiceRegistrar) {}

// Run serves until the context ends; then event streams end at once, and running requests within the drain timeout.
func (u *Unit) Run(ctx context.Context) error {
	failed := make(chan error, 1)
	go func() { failed <- u.server.Serve(u.listener) }()
	u.ready.Store(true)
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	u.ready.Store(false)
	u.watches.close()
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), u.cfg.DrainTimeout)
	defer cancel()
	if err := u.server.Shutdown(drain); err != nil {
		u.log.Warn("requests were cut off at shutdown", zap.Error(err))
		return u.server.Close()
	}
	return nil
}

// Close implements boot.Unit.
func (u *Unit) Close() error {
	if err := u.listener.Close(); !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}
