package boot

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/signal"
	"reflect"
	"syscall"

	"github.com/alecthomas/kong"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// LogConfig says how to log.
type LogConfig struct {
	LogLevel  string `help:"debug, info, warn or error." enum:"debug,info,warn,error" default:"info"`
	LogFormat string `help:"json or text." enum:"json,text" default:"json"`
}

// NewLogger makes the process's logger; it writes to standard error.
func NewLogger(cfg LogConfig) (*zap.Logger, error) {
	level, err := zapcore.ParseLevel(cfg.LogLevel)
	if err != nil {
		return nil, err
	}
	config := zap.NewProductionConfig()
	if cfg.LogFormat == "text" {
		config = zap.NewDevelopmentConfig()
		config.Development = false
	}
	config.Level = zap.NewAtomicLevelAt(level)
	config.Sampling = nil
	config.DisableStacktrace = true
	config.EncoderConfig.EncodeTime = zapcore.ISO8601TimeEncoder
	return config.Build()
}

// ParseOptions gives kong's options for a process: flags, then environment variables TRAINYARD_*, then one JSON file
// (--config) whose unknown keys are an error.
func ParseOptions(name, description string) []kong.Option {
	return []kong.Option{
		kong.Name(name),
		kong.Description(description),
		kong.DefaultEnvars("TRAINYARD"),
		kong.ShortUsageOnError(),
		kong.Configuration(strictJSON),
	}
}

type strictResolver struct {
	kong.Resolver
	keys map[string]any
}

func strictJSON(r io.Reader) (kong.Resolver, error) {
	data, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	var keys map[string]any
	if err := json.Unmarshal(data, &keys); err != nil {
		return nil, fmt.Errorf("configuration file: %w", err)
	}
	resolver := kong.ResolverFunc(func(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) { return keys[flag.Name], nil })
	return &strictResolver{Resolver: resolver, keys: keys}, nil
}

// Validate fails on keys that are no flag's name.
func (r *strictResolver) Validate(app *kong.Application) error {
	known := map[string]bool{}
	_ = kong.Visit(app, func(node kong.Visitable, next kong.Next) error {
		if flag, ok := node.(*kong.Flag); ok {
			known[flag.Name] = true
		}
		return next(nil)
	})
	for key := range r.keys {
		if !known[key] {
			return fmt.Errorf("configuration file: unknown key %q; keys are the long flags' names, see --help", key)
		}
	}
	return nil
}

// MainConfig is what each service's own main is told beside its service's Config.
type MainConfig struct {
	Config       kong.ConfigFlag `help:"JSON file whose keys are these flags' names."`
	CheckConfig  bool            `help:"Read the configuration, say whether it is good, and end."`
	ServiceToken string          `help:"Token by which this service calls the others; better given as TRAINYARD_SERVICE_TOKEN."`
	ServerConfig
	LogConfig
}

// Main is the body of a service's own main. config must be a pointer to a struct that embeds MainConfig; build makes the
// unit once the configuration is read. Options go to kong; the variable `grpc` is the default of --grpc.
func Main(name, description string, config any, main *MainConfig, build func(ctx context.Context, p *Process, log *zap.Logger) (Unit, error), options ...kong.Option) {
	parser := kong.Must(config, append(ParseOptions(name, description), options...)...)
	_, err := parser.Parse(os.Args[1:])
	parser.FatalIfErrorf(err)
	parser.FatalIfErrorf(validateParts(config))
	if main.CheckConfig {
		fmt.Println(name + ": configuration is good")
		return
	}
	parser.FatalIfErrorf(run(name, main, build))
}

// validateParts asks every part of a configuration that has a Validate method.
func validateParts(config any) error {
	value := reflect.ValueOf(config).Elem()
	for i := range value.NumField() {
		if !value.Type().Field(i).IsExported() {
			continue
		}
		if part, ok := value.Field(i).Addr().Interface().(interface{ Validate() error }); ok {
			if err := part.Validate(); err != nil {
				return err
			}
		}
	}
	return nil
}

func run(name string, main *MainConfig, build func(context.Context, *Process, *zap.Logger) (Unit, error)) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	log, err := NewLogger(main.LogConfig)
	if err != nil {
		return err
	}
	log = log.Named(name)
	shutdown, err := Tracing(ctx)
	if err != nil {
		return err
	}
	defer shutdown()
	p, err := NewProcess(main.ServerConfig, log)
	if err != nil {
		return err
	}
	unit, err := build(ctx, p, log)
	if err != nil {
		_ = p.Close()
		return err
	}
	addresses := name + " ready:"
	if p.Addr() != "" {
		addresses += " grpc=" + p.Addr()
	}
	if http, ok := unit.(interface{ Addr() string }); ok { // Of units that serve HTTP themselves.
		addresses += " http=" + http.Addr()
	}
	fmt.Println(addresses)
	return p.Run(ctx, unit)
}

// Tracing sends spans over OTLP when the standard variable OTEL_EXPORTER_OTLP_ENDPOINT is set. The result flushes them.
func Tracing(ctx context.Context) (func(), error) {
	otel.SetTextMapPropagator(propagation.TraceContext{})
	if os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT") == "" {
		return func() {}, nil
	}
	exporter, err := otlptracegrpc.New(ctx)
	if err != nil {
		return nil, err
	}
	provider := trace.NewTracerProvider(trace.WithBatcher(exporter))
	otel.SetTracerProvider(provider)
	return func() { _ = provider.Shutdown(context.WithoutCancel(ctx)) }, nil
}
