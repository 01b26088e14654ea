// Package boot runs units: the gRPC server with its interceptors, health, metrics, tracing, and a shutdown that is bounded.
//
// A Unit is one service. A process of its own runs one Unit; `trainyard up` runs all of them in one process. Both go through
// Process, so that they can't drift.
package boot

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/trainyard/trainyard/services/internal/auth"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection"
)

// unitTimeout is added to the time in which units must come back, so that what they give back themselves has its own limits.
const unitTimeout = 5 * time.Second

// Unit is one service.
type Unit interface {
	// Name is the service's name in logs.
	Name() string
	// Register puts the unit's gRPC services on a server; a unit without any does nothing.
	Register(grpc.ServiceRegistrar)
	// Run does the unit's background work until the context ends. It returns what it took back before.
	Run(ctx context.Context) error
	// Close frees what New opened. It is called after the server has stopped.
	Close() error
}

// ServerConfig is what every process is told about serving.
type ServerConfig struct {
	GRPC            string        `name:"grpc" help:"Address to serve gRPC on; empty means none." default:"${grpc=127.0.0.1:9090}"`
	Admin           string        `help:"Address for /metrics, /healthz and /readyz; empty means none."`
	AuthTokens      string        `help:"Token file: a JSON list of {name, sha256, project, service}." type:"path"`
	Reflection      bool          `help:"Serve gRPC reflection, for grpcurl." default:"false" negatable:""`
	ShutdownTimeout time.Duration `help:"How long running calls may take to end at shutdown." default:"4s"`
}

// Process serves units on one gRPC server. Its listeners are open from NewProcess on, so that addresses with port 0 are known
// and clients may dial before Run.
type Process struct {
	cfg      ServerConfig
	log      *zap.Logger
	server   *grpc.Server
	health   *health.Server
	listener net.Listener
	admin    net.Listener
	metrics  *prometheus.Registry
	ready    atomic.Bool
}

// NewProcess opens the listeners. It refuses to serve gRPC without a token file.
func NewProcess(cfg ServerConfig, log *zap.Logger) (*Process, error) {
	p := &Process{cfg: cfg, log: log, health: health.NewServer(), metrics: prometheus.NewRegistry()}
	p.metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	p.health.SetServingStatus("", healthpb.HealthCheckResponse_NOT_SERVING)
	if cfg.GRPC != "" {
		if err := p.openGRPC(); err != nil {
			return nil, err
		}
	}
	if cfg.Admin != "" {
		var err error
		if p.admin, err = net.Listen("tcp", cfg.Admin); err != nil {
			return nil, errors.Join(fmt.Errorf("listen for admin: %w; choose another address with --admin", err), p.Close())
		}
	}
	return p, nil
}

func (p *Process) openGRPC() error {
	cfg := p.cfg
	if err := auth.CheckListen(cfg.GRPC, cfg.AuthTokens != ""); err != nil {
		return err
	}
	if cfg.AuthTokens == "" {
		return errors.New("--auth-tokens is needed: a token file says which projects and services may call; make one with `trainyard token add`")
	}
	tokens, err := auth.OpenTokens(cfg.AuthTokens)
	if err != nil {
		return err
	}
	if p.server, err = newServer(tokens, p.metrics, p.log); err != nil {
		return err
	}
	healthpb.RegisterHealthServer(p.server, p.health)
	if p.listener, err = net.Listen("tcp", cfg.GRPC); err != nil {
		return fmt.Errorf("listen for gRPC: %w; choose another address with --grpc", err)
	}
	return nil
}

// Addr is the address gRPC is served on; empty when it isn't.
func (p *Process) Addr() string {
	if p.listener == nil {
		return ""
	}
	return p.listener.Addr().String()
}

// Close closes the listeners of a process that was never run.
func (p *Process) Close() error {
	var err error
	for _, listener := range []net.Listener{p.listener, p.admin} {
		if listener != nil {
			err = errors.Join(err, listener.Close())
		}
	}
	return err
}

// Metrics is the registry behind /metrics.
func (p *Process) Metrics() prometheus.Registerer { return p.metrics }

// Dial makes a client connection to a part of the suite, with the service token.
func Dial(addr, token string) (*grpc.ClientConn, error) {
	return grpc.NewClient(addr, append(clientOptions(),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithPerRPCCredentials(auth.Bearer(token)))...)
}

// DialPlain makes a client connection without credentials: whoever calls over it brings the caller's own.
func DialPlain(addr string) (*grpc.ClientConn, error) {
	return grpc.NewClient(addr, append(clientOptions(), grpc.WithTransportCredentials(insecure.NewCredentials()))...)
}

// Run serves the units until the context ends or one of them fails, and then ends: not ready → units return their work →
// GracefulStop → Stop when that takes too long → Close in reverse order. A unit that doesn't come back in the same time again is left
// behind, with nothing closed under it, and told of as an error.
func (p *Process) Run(ctx context.Context, units ...Unit) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	group, ctx := errgroup.WithContext(ctx)
	if p.server != nil {
		for _, u := range units {
			u.Register(p.server)
		}
		if p.cfg.Reflection {
			reflection.Register(p.server)
		}
		group.Go(func() error { return p.server.Serve(p.listener) })
	}
	if p.admin != nil {
		admin := &http.Server{Handler: p.adminHandler(), ReadHeaderTimeout: 5 * time.Second}
		group.Go(func() error {
			if err := admin.Serve(p.admin); !errors.Is(err, http.ErrServerClosed) {
				return err
			}
			return nil
		})
		defer admin.Close()
		context.AfterFunc(ctx, func() { _ = admin.Close() })
	}
	running := make([]atomic.Bool, len(units))
	for i, u := range units {
		running[i].Store(true)
		group.Go(func() error {
			defer running[i].Store(false)
			if err := u.Run(ctx); err != nil && ctx.Err() == nil {
				return fmt.Errorf("%s: %w", u.Name(), err)
			}
			return nil
		})
	}
	p.health.SetServingStatus("", healthpb.HealthCheckResponse_SERVING)
	p.ready.Store(true)

	<-ctx.Done()
	p.ready.Store(false)
	p.health.Shutdown()
	p.stopServer()
	ended := make(chan error, 1)
	go func() { ended <- group.Wait() }()
	var err error
	select {
	case err = <-ended:
	case <-time.After(p.cfg.ShutdownTimeout + unitTimeout):
		var hanging []string
		for i, u := range units {
			if running[i].Load() {
				hanging = append(hanging, u.Name())
			}
		}
		return fmt.Errorf("shutdown: these units did not end: %s", strings.Join(hanging, ", "))
	}
	for i := len(units) - 1; i >= 0; i-- {
		err = errors.Join(err, units[i].Close())
	}
	return err
}

// An open stream would hold GracefulStop for ever.
func (p *Process) stopServer() {
	if p.server == nil {
		return
	}
	done := make(chan struct{})
	go func() {
		p.server.GracefulStop()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(p.cfg.ShutdownTimeout):
		p.server.Stop()
		<-done
	}
}

func (p *Process) adminHandler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(p.metrics, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if !p.ready.Load() {
			http.Error(w, "not ready", http.StatusServiceUnavailable)
		}
	})
	return mux
}
