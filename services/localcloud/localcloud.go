// Package localcloud plays AWS on a laptop: S3, SQS, SageMaker training jobs
// and CloudWatch Logs in their own wire protocols, on one loopback port, over
// one folder. The suite and any AWS SDK, boto3 or the AWS CLI work against it
// with no more than another endpoint URL.
//
// One key pair opens everything, checked by Signature Version 4. It listens on
// loopback only: the port answers whoever holds that key, and jobs are local
// processes.
package localcloud

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	"github.com/trainyard/trainyard/services/internal/awscfg"
	"github.com/trainyard/trainyard/services/internal/boot"
	"github.com/trainyard/trainyard/services/localcloud/fault"
	"github.com/trainyard/trainyard/services/localcloud/logs"
	"github.com/trainyard/trainyard/services/localcloud/s3"
	"github.com/trainyard/trainyard/services/localcloud/sagemaker"
	"github.com/trainyard/trainyard/services/localcloud/sigv4"
	"github.com/trainyard/trainyard/services/localcloud/sqs"
)

// AccountID is the account that everything belongs to.
const AccountID = "000000000000"

// The key pair, if the configuration has none. It is no secret: it opens a
// loopback port to whoever runs programs on this machine.
const (
	DefaultAccessKey = "trainyard"
	DefaultSecretKey = "trainyard-local"
)

// Config says where the data is and who may use it.
type Config struct {
	// DataDir holds everything and is made if missing. Only one process may use it.
	DataDir string
	// Addr is a loopback address with port; port 0 takes a free one. The default is 127.0.0.1:4566.
	Addr string
	// Region is us-east-1 if empty.
	Region string
	// AccessKey and SecretKey are DefaultAccessKey and DefaultSecretKey if empty.
	AccessKey, SecretKey string
	// SageMaker says what training images and file systems stand for. Its Dir,
	// Region, Account and Faults are filled in here, and EventQueues, which are ARNs,
	// with the suite's queue if nil.
	SageMaker sagemaker.Config
	// Faults, if set, are what operations of SageMaker and Logs fail with, for tests.
	Faults *fault.Injector `json:"-"`
}

func (c *Config) complete() error {
	if c.DataDir == "" {
		return errors.New("localcloud: no data folder; name one with --data")
	}
	dir, err := filepath.Abs(c.DataDir)
	if err != nil {
		return fmt.Errorf("localcloud: data folder: %w", err)
	}
	c.DataDir = dir
	for value, initial := range map[*string]string{
		&c.Addr: "127.0.0.1:4566", &c.Region: "us-east-1",
		&c.AccessKey: DefaultAccessKey, &c.SecretKey: DefaultSecretKey,
	} {
		if *value == "" {
			*value = initial
		}
	}
	c.SageMaker.Dir = filepath.Join(dir, "sagemaker")
	c.SageMaker.Region, c.SageMaker.Account, c.SageMaker.Faults = c.Region, AccountID, c.Faults
	if c.SageMaker.EventQueues == nil {
		c.SageMaker.EventQueues = []string{queueARN(c.Region, TrainingEventsQueue)}
	}
	return checkLoopback(c.Addr)
}

func checkLoopback(addr string) error {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("localcloud: address %q: %w; it must be like 127.0.0.1:4566", addr, err)
	}
	if ip := net.ParseIP(host); host == "localhost" || ip != nil && ip.IsLoopback() {
		return nil
	}
	return fmt.Errorf("localcloud: refusing to listen on %q: it runs jobs for whoever knows its key, so it serves loopback "+
		"addresses only, such as 127.0.0.1:4566", addr)
}

// Deps are what the unit uses. Logger may be nil.
type Deps struct {
	Logger *zap.Logger
}

// Unit is the running localcloud.
type Unit struct {
	cfg       Config
	log       *zap.Logger
	listener  net.Listener
	keys      sigv4.Credentials
	s3        *s3.Server
	services  map[string]service // by the prefix of X-Amz-Target
	sagemaker *sagemaker.Service
	ready     chan struct{}
	closers   []func() error // in the order of opening
}

// service is one of the JSON APIs.
type service struct {
	name    string // in the signature's scope
	handler http.Handler
}

var _ boot.Unit = (*Unit)(nil)

// New opens the data and the port; nothing is answered before Run. It changes
// the process's working directory (see package s3), so there can be one Unit in
// a process at a time and all other paths must be absolute.
func New(ctx context.Context, cfg Config, deps Deps) (*Unit, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	if deps.Logger == nil {
		deps.Logger = zap.NewNop()
	}
	u := &Unit{
		cfg: cfg, log: deps.Logger.Named("localcloud"), ready: make(chan struct{}),
		keys: sigv4.Credentials{AccessKey: cfg.AccessKey, SecretKey: cfg.SecretKey, Region: cfg.Region},
	}
	if err := u.open(ctx); err != nil {
		return nil, errors.Join(err, u.Close())
	}
	return u, nil
}

func (u *Unit) open(ctx context.Context) error {
	for _, dir := range []string{u.cfg.DataDir, filepath.Join(u.cfg.DataDir, "sqs")} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("localcloud: data folder: %w", err)
		}
	}
	if err := u.lock(); err != nil {
		return err
	}
	listener, err := net.Listen("tcp", u.cfg.Addr)
	if err != nil {
		return fmt.Errorf("localcloud: %w; choose another address with --aws", err)
	}
	u.listener = listener
	u.closers = append(u.closers, func() error {
		if err := listener.Close(); !errors.Is(err, net.ErrClosed) {
			return err
		}
		return nil
	})

	queues, err := sqs.Open(ctx, sqs.Config{
		Path: filepath.Join(u.cfg.DataDir, "sqs", "sqs.db"), Region: u.cfg.Region, AccountID: AccountID, Logger: u.log.Named("sqs"),
	})
	if err != nil {
		return err
	}
	u.closers = append(u.closers, queues.Close)

	logStore, err := logs.New(ctx, logs.Config{
		Dir: filepath.Join(u.cfg.DataDir, "logs"), Region: u.cfg.Region, Account: AccountID, Faults: u.cfg.Faults,
	}, logs.Deps{Logger: u.log})
	if err != nil {
		return err
	}
	u.closers = append(u.closers, logStore.Close)

	if u.s3, err = s3.Open(ctx, s3.Config{
		Dir: filepath.Join(u.cfg.DataDir, "s3"), AccountID: AccountID, Credentials: u.keys, Queues: queues, Logger: u.log.Named("s3"),
	}); err != nil {
		return err
	}
	u.closers = append(u.closers, u.s3.Close)

	client, err := u.AWS(ctx)
	if err != nil {
		return err
	}
	if u.sagemaker, err = sagemaker.New(ctx, u.cfg.SageMaker, sagemaker.Deps{
		S3: awscfg.S3(client), Logs: logStore, Events: events{queues, u.log}, Logger: u.log,
	}); err != nil {
		return err
	}
	u.closers = append(u.closers, u.sagemaker.Close)

	u.services = map[string]service{
		"AmazonSQS":     {"sqs", queues},
		"SageMaker":     {"sagemaker", u.sagemaker},
		"Logs_20140328": {"logs", logStore},
	}
	return nil
}

// events sends state changes to queues. As with EventBridge, one whose queue
// is not there is lost, and says so in the log.
type events struct {
	queues *sqs.Service
	log    *zap.Logger
}

func (e events) Send(ctx context.Context, queueARN, body string) error {
	err := e.queues.Send(ctx, queueARN, body)
	if errors.Is(err, sqs.ErrNoQueue) {
		e.log.Warn("state change dropped, its queue is not there", zap.String("queue", queueARN))
		return nil
	}
	return err
}

// lock keeps a second process out of the folder.
func (u *Unit) lock() error {
	file, err := os.OpenFile(filepath.Join(u.cfg.DataDir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("localcloud: %w", err)
	}
	u.closers = append(u.closers, file.Close)
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil { //nolint:gosec // A descriptor fits an int.
		if errors.Is(err, syscall.EWOULDBLOCK) {
			err = errors.New("it is in use by another localcloud; stop that one or choose another folder with --data")
		}
		return fmt.Errorf("localcloud: %s: %w", u.cfg.DataDir, err)
	}
	return nil
}

// Addr is the address that is served, with the port that was taken.
func (u *Unit) Addr() string { return u.listener.Addr().String() }

// Endpoint is the endpoint URL for AWS clients.
func (u *Unit) Endpoint() string { return "http://" + u.Addr() }

// AWS is the configuration for clients of this localcloud.
func (u *Unit) AWS(ctx context.Context) (aws.Config, error) {
	return awscfg.Load(ctx, awscfg.Config{
		Region: u.cfg.Region, Endpoint: u.Endpoint(), AccessKey: u.cfg.AccessKey, SecretKey: u.cfg.SecretKey,
	})
}

// Name implements boot.Unit.
func (u *Unit) Name() string { return "localcloud" }

// Register implements boot.Unit: localcloud speaks no gRPC.
func (u *Unit) Register(grpc.ServiceRegistrar) {}

// Ready is closed once Run answers requests.
func (u *Unit) Ready() <-chan struct{} { return u.ready }

// shutdownTimeout is how long uploads and downloads under way may take to end.
const shutdownTimeout = 2 * time.Second

// Run serves until ctx ends. It can be called once.
func (u *Unit) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)

	// The gateway outlives the front server, so that uploads under way end well.
	gatewayCtx, stopGateway := context.WithCancel(context.WithoutCancel(ctx))
	defer stopGateway()
	gateway := make(chan error, 1)
	go func() {
		err := u.s3.Run(gatewayCtx)
		if err == nil && gatewayCtx.Err() == nil {
			err = errors.New("localcloud: the s3 gateway ended")
		}
		gateway <- err
	}()
	select {
	case <-u.s3.Ready():
	case err := <-gateway:
		return err
	}

	server := &http.Server{
		Handler:           u.handler(ctx),
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		ErrorLog:          zap.NewStdLog(u.log),
	}
	group.Go(func() error {
		if err := server.Serve(u.listener); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	group.Go(func() error {
		if err := u.sagemaker.Run(ctx); ctx.Err() == nil {
			return err
		}
		return nil
	})
	group.Go(func() error {
		select {
		case err := <-gateway:
			gateway <- nil
			return err
		case <-ctx.Done():
			return nil
		}
	})
	u.log.Info("serving", zap.String("endpoint", u.Endpoint()), zap.String("data", u.cfg.DataDir))
	close(u.ready)

	<-ctx.Done()
	deadline, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	if err := server.Shutdown(deadline); err != nil {
		_ = server.Close() // What is still under way is cut off.
	}
	err := group.Wait()
	stopGateway()
	return errors.Join(err, <-gateway)
}

// Close frees what New opened, the newest first. Call it after Run has returned.
func (u *Unit) Close() error {
	var err error
	for i := len(u.closers) - 1; i >= 0; i-- {
		err = errors.Join(err, u.closers[i]())
	}
	u.closers = nil
	return err
}

// maxJSONBody bounds the body of a JSON request: a message of 1 MiB is up to
// six times that when all of it is escaped.
const maxJSONBody = 8 << 20

// handler answers a request of any of the APIs: the JSON ones say which in
// X-Amz-Target, S3 has no such header. When ctx ends, so do the JSON requests
// that wait for something.
func (u *Unit) handler(ctx context.Context) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Amz-Target") == "" {
			u.s3.ServeHTTP(w, r)
			return
		}
		requestCtx, cancel := context.WithCancel(r.Context())
		defer cancel()
		defer context.AfterFunc(ctx, cancel)()
		u.serveJSON(w, r.WithContext(requestCtx))
	})
}

func (u *Unit) serveJSON(w http.ResponseWriter, r *http.Request) {
	target := r.Header.Get("X-Amz-Target")
	prefix, _, _ := strings.Cut(target, ".")
	api, ok := u.services[prefix]
	if !ok {
		writeAuthError(w, "", "UnknownOperationException", "InvalidAction", http.StatusBadRequest,
			fmt.Sprintf("localcloud has no service for the target %s; it offers S3, SQS, SageMaker and CloudWatch Logs.", target))
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxJSONBody))
	if err != nil {
		writeAuthError(w, api.name, "RequestEntityTooLargeException", "RequestEntityTooLarge", http.StatusRequestEntityTooLarge,
			"The request body could not be read or is longer than 8 MiB.")
		return
	}
	if err := u.keys.Verify(r, api.name, body); err != nil {
		refuseSignature(w, api.name, err)
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	api.handler.ServeHTTP(w, r)
}
