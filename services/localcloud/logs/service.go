// Package logs is localcloud's CloudWatch Logs: groups, streams and events over AWS's JSON protocol (Logs_20140328), so
// that the AWS CLI, boto3 and the SDKs read a training job's log here as they do on AWS.
//
// What is acknowledged survives kill -9 of the process: events lie in SQLite in WAL mode. With synchronous=NORMAL a power
// cut may take the last moments of a log, never its consistency; a chatty job would otherwise wait on fsync.
package logs

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"go.uber.org/zap"

	"github.com/trainyard/trainyard/services/localcloud/awsjson"
	"github.com/trainyard/trainyard/services/localcloud/fault"
)

// Config says where the logs lie and whose they are.
type Config struct {
	// Dir is the folder of the database; it is made if absent.
	Dir string
	// Region and Account go into ARNs; the defaults are us-east-1 and 000000000000.
	Region  string
	Account string
	// Faults, if set, are what operations fail with.
	Faults *fault.Injector `json:"-"`
}

// Deps are what the service uses. Logger may be nil.
type Deps struct {
	Logger *zap.Logger
}

// Service is an http.Handler of the target prefix `Logs_20140328.`.
type Service struct {
	*awsjson.Handler
	cfg   Config
	store *store
}

// New opens the logs under cfg.Dir.
func New(ctx context.Context, cfg Config, deps Deps) (*Service, error) {
	if cfg.Region == "" {
		cfg.Region = "us-east-1"
	}
	if cfg.Account == "" {
		cfg.Account = "000000000000"
	}
	if deps.Logger == nil {
		deps.Logger = zap.NewNop()
	}
	dir, err := filepath.Abs(cfg.Dir)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, err
	}
	st, err := openStore(ctx, filepath.Join(dir, "logs.db"))
	if err != nil {
		return nil, err
	}
	s := &Service{cfg: cfg, store: st}
	s.Handler = &awsjson.Handler{
		Prefix:    "Logs_20140328",
		Logger:    deps.Logger.Named("logs"),
		Intercept: cfg.Faults.Intercept,
		Operations: map[string]awsjson.Operation{
			"CreateLogGroup":     awsjson.Op(s.createLogGroup),
			"CreateLogStream":    awsjson.Op(s.createLogStream),
			"PutLogEvents":       awsjson.Op(s.putLogEvents),
			"GetLogEvents":       awsjson.Op(s.getLogEvents),
			"FilterLogEvents":    awsjson.Op(s.filterLogEvents),
			"DescribeLogGroups":  awsjson.Op(s.describeLogGroups),
			"DescribeLogStreams": awsjson.Op(s.describeLogStreams),
			"DeleteLogGroup":     awsjson.Op(s.deleteLogGroup),
		},
	}
	return s, nil
}

// Run blocks until ctx ends; the service has no work of its own.
func (s *Service) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

// Close closes the database; requests after it fail.
func (s *Service) Close() error { return s.store.db.Close() }

// Append adds events to a stream, making its group and the stream where they are absent. It is how localcloud's own
// services write, without PutLogEvents' limits on age and batch; events need not be in order.
func (s *Service) Append(ctx context.Context, group, stream string, events []Event) error {
	return s.store.append(ctx, group, stream, true, events)
}

var _ http.Handler = (*Service)(nil)

func (s *Service) groupARN(group string) string {
	partition := "aws"
	if strings.HasPrefix(s.cfg.Region, "cn-") {
		partition = "aws-cn"
	}
	return "arn:" + partition + ":logs:" + s.cfg.Region + ":" + s.cfg.Account + ":log-group:" + group
}
