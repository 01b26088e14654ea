// Package s3 serves the Amazon S3 API from a folder: versitygw's gateway with
// its posix backend, to which this package adds what versitygw has not, bucket
// notifications to SQS queues in AWS's exact form.
//
// What it promises: bodies are streamed to disk, never held in memory; an
// object appears whole or not at all; an event reaches its queues at least
// once, before the caller's answer, or after a crash at the next start.
// Objects survive kill -9, but nothing here calls fsync: a power cut can lose
// the newest of them.
//
// What follows from versitygw: one Server per process; the posix backend
// changes the process's working directory to its root, so every other path of
// the process must be absolute before Open; keys `a` and `a/b` exclude each other.
package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/gofiber/fiber/v3"
	"github.com/versity/versitygw/auth"
	"github.com/versity/versitygw/backend"
	"github.com/versity/versitygw/backend/meta"
	"github.com/versity/versitygw/backend/posix"
	"github.com/versity/versitygw/embedgw"
	"github.com/versity/versitygw/s3api"
	"go.uber.org/zap"

	"github.com/trainyard/trainyard/services/localcloud/sigv4"
)

const (
	// copyLimit is S3's largest source of one CopyObject or UploadPartCopy.
	copyLimit = 5 << 30
	// maxParts is S3's limit of parts in one upload.
	maxParts = 10_000
	// maxConnections bounds the connections and maxRequests the requests at
	// once; the proxy in front keeps one connection for each running request.
	maxConnections = 4096
	maxRequests    = 2048
	// socket is where the gateway listens, relative to the root that is the
	// working directory: a socket's path may have 107 bytes at most, and a
	// data folder's path has no such limit.
	socket = "../gateway.sock"
)

// Queues is where events go. Its methods give sqs.ErrNoQueue for a queue that is not there.
type Queues interface {
	// Send puts a message into the queue durably.
	Send(ctx context.Context, queueARN, body string) error
	// Policy gives the queue's access policy as JSON, "" for none.
	Policy(ctx context.Context, queueARN string) (string, error)
}

// Config says where the objects live and whose they are.
type Config struct {
	// Dir holds everything: objects in root, their metadata in meta, the
	// event journal. It must be absolute and is made if missing.
	Dir       string
	AccountID string
	sigv4.Credentials
	Queues Queues
	Logger *zap.Logger
}

// Server is the S3 API as an http.Handler. It answers once Run is serving.
type Server struct {
	cfg           Config
	backend       backend.Backend
	journal       *journal
	notifications *notifications
	pending       pending
	proxy         *httputil.ReverseProxy
	transport     *http.Transport
	ready         chan struct{}
	readyOnce     sync.Once
}

// Open opens or makes the object store in cfg.Dir and delivers the events that
// a crash left behind.
func Open(ctx context.Context, cfg Config) (*Server, error) {
	if cfg.Logger == nil {
		cfg.Logger = zap.NewNop()
	}
	if !filepath.IsAbs(cfg.Dir) {
		return nil, fmt.Errorf("s3 folder %q must be an absolute path: the store changes the working directory", cfg.Dir)
	}
	root, metadata := filepath.Join(cfg.Dir, "root"), filepath.Join(cfg.Dir, "meta")
	for _, dir := range []string{root, metadata} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("make s3 folder: %w", err)
		}
	}
	if err := sweepTemporary(root); err != nil {
		return nil, err
	}
	sidecar, err := meta.NewSideCar(metadata)
	if err != nil {
		return nil, fmt.Errorf("open s3 metadata %s: %w", metadata, err)
	}
	// SideCarDir is left away: all it does is to check what holds here by
	// construction, and to print a line to standard output.
	store, err := posix.New(root, sidecar, posix.PosixOpts{
		CopyObjectThreshold: copyLimit,
		// Only this process writes here, so its own locks are enough.
		ForceNoObjLockFile: true,
	})
	if err != nil {
		return nil, fmt.Errorf("open s3 objects %s: %w", root, err)
	}
	journal, err := openJournal(ctx, filepath.Join(cfg.Dir, "events.db"))
	if err != nil {
		store.Shutdown()
		return nil, err
	}
	s := &Server{cfg: cfg, journal: journal, ready: make(chan struct{})}
	if s.notifications, err = loadNotifications(ctx, journal); err != nil {
		store.Shutdown()
		return nil, errors.Join(err, journal.Close())
	}
	s.backend = &eventBackend{Backend: store, server: s}
	s.transport = &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		},
		// The body and the Accept-Encoding header must reach the gateway as they were signed.
		DisableCompression:  true,
		MaxIdleConnsPerHost: maxRequests,
		WriteBufferSize:     copyBuffer,
		ReadBufferSize:      copyBuffer,
	}
	s.proxy = &httputil.ReverseProxy{
		Rewrite:      forward,
		Transport:    s.transport,
		BufferPool:   buffers{},
		ErrorHandler: s.gatewayFailed,
		ErrorLog:     zap.NewStdLog(cfg.Logger),
	}
	if err := s.recover(ctx); err != nil {
		store.Shutdown()
		return nil, errors.Join(err, journal.Close())
	}
	return s, nil
}

// sweepTemporary removes what aborted writes left on file systems without
// unnamed temporary files: regular files in each bucket's temporary folder.
// Parts of running multipart uploads are in a folder below and stay.
func sweepTemporary(root string) error {
	leftovers, err := filepath.Glob(filepath.Join(root, "*", posix.MetaTmpDir, "*"))
	if err != nil {
		return fmt.Errorf("look for aborted writes: %w", err)
	}
	for _, path := range leftovers {
		info, err := os.Lstat(path)
		if err != nil || !info.Mode().IsRegular() {
			continue
		}
		if err := os.Remove(path); err != nil {
			return fmt.Errorf("remove aborted write: %w", err)
		}
	}
	return nil
}

// Run serves until ctx ends. Events that could not be delivered are tried again meanwhile.
func (s *Server) Run(ctx context.Context) error {
	// What is left of a killed process; a missing file is the usual case.
	if err := os.Remove(socket); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove old gateway socket: %w", err)
	}
	retries := make(chan struct{})
	go func() {
		defer close(retries)
		s.retryEvents(ctx)
	}()
	err := embedgw.RunVersityGW(ctx, s.backend, &embedgw.Config{
		RootUserAccess:    s.cfg.AccessKey,
		RootUserSecret:    s.cfg.SecretKey,
		Region:            s.cfg.Region,
		Ports:             []string{socket},
		SocketPerm:        "0600",
		MaxConnections:    maxConnections,
		MaxRequests:       maxRequests,
		MultipartMaxParts: maxParts,
		KeepAlive:         true,
		Quiet:             true,
		IAMService:        singleUser{auth.NewIAMServiceSingle(auth.Account{Access: s.cfg.AccessKey, Secret: s.cfg.SecretKey, Role: auth.RoleAdmin})},
		S3Options: []s3api.Option{
			s3api.WithMiddleware("/", drainBody),
			s3api.WithOnListen(func() { s.readyOnce.Do(func() { close(s.ready) }) }),
		},
	})
	s.transport.CloseIdleConnections()
	<-retries
	if err != nil {
		return fmt.Errorf("s3 gateway: %w", err)
	}
	return nil
}

// singleUser is versitygw's single account, with the error that becomes S3's
// InvalidAccessKeyId for any other access key.
type singleUser struct{ auth.IAMService }

func (s singleUser) GetUserAccount(access string) (auth.Account, error) {
	account, err := s.IAMService.GetUserAccount(access)
	if err != nil {
		return auth.Account{}, auth.ErrNoSuchUser
	}
	return account, nil
}

// drainBody reads what a refused request still sends. Without it the gateway
// closes the connection on a body of which more than 256 KiB are left, and the
// client sees a broken connection in place of the refusal.
func drainBody(c fiber.Ctx) error {
	err := c.Next()
	// Only a body of known length can be read to its end again.
	if body := c.Request().BodyStream(); body != nil && c.Request().Header.ContentLength() > 0 {
		_, _ = io.Copy(io.Discard, body) // If it breaks, the gateway closes the connection.
	}
	return err
}

// Ready is closed once the gateway is listening.
func (s *Server) Ready() <-chan struct{} { return s.ready }

// Close closes the event journal. Call it after Run has returned.
func (s *Server) Close() error { return s.journal.Close() }

// ServeHTTP answers an S3 request: those on a bucket's notifications here, all
// others by the gateway.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if bucket := strings.Trim(r.URL.Path, "/"); bucket != "" && !strings.Contains(bucket, "/") && r.URL.Query().Has("notification") {
		switch r.Method {
		case http.MethodGet:
			s.getNotification(w, r, bucket)
			return
		case http.MethodPut:
			s.putNotification(w, r, bucket)
			return
		}
	}
	s.proxy.ServeHTTP(w, r)
}

// forward sends a request on as it came, so that its signature still holds.
func forward(p *httputil.ProxyRequest) {
	p.Out.URL.Scheme = "http"
	p.Out.URL.Host = "gateway"
	p.Out.URL.RawQuery = p.In.URL.RawQuery
	p.Out.Host = p.In.Host
	// The front server has already asked the client to go on.
	p.Out.Header.Del("Expect")
}

func (s *Server) gatewayFailed(w http.ResponseWriter, r *http.Request, err error) {
	if !errors.Is(err, context.Canceled) {
		s.cfg.Logger.Warn("s3 request not answered", zap.String("method", r.Method), zap.String("path", r.URL.Path), zap.Error(err))
	}
	writeError(w, apiError(http.StatusServiceUnavailable, "ServiceUnavailable",
		"The object store is not serving; it is starting, stopping or the connection broke. Try again."))
}

// copyBuffer is large because a body crosses two sockets: fewer, larger reads
// and writes cost less.
const copyBuffer = 256 << 10

var bufferPool = sync.Pool{New: func() any { return new([copyBuffer]byte) }}

type buffers struct{}

func (buffers) Get() []byte  { return bufferPool.Get().(*[copyBuffer]byte)[:] }
func (buffers) Put(b []byte) { bufferPool.Put((*[copyBuffer]byte)(b)) }
