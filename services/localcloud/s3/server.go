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
// ETags are to be compared only: they are made of checksums, as those that S3
// gives where it encrypts with keys of KMS, not MD5s.
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
	// maxRequests bounds the requests at once.
	maxRequests = 2048
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
	gateway       gateway
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
	store, err := posix.New(root, &attributes{MetadataStorer: sidecar, known: map[string][]byte{}}, posix.PosixOpts{
		CopyObjectThreshold: copyLimit,
		IOBufferSize:        copyBuffer,
		// An ETag is made of the object's checksum and is no MD5, as where S3
		// encrypts with keys of KMS: MD5 was half of the time of a PUT.
		DataIntegrityEtag: true,
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
	// The store outlives the requests under way.
	gatewayCtx, endGateway := context.WithCancel(context.WithoutCancel(ctx))
	defer endGateway()
	defer context.AfterFunc(ctx, func() {
		s.gateway.stop()
		endGateway()
	})()
	apps := make(chan *fiber.App, 1)
	var beginning sync.WaitGroup
	err := embedgw.RunVersityGW(gatewayCtx, s.backend, &embedgw.Config{
		RootUserAccess:    s.cfg.AccessKey,
		RootUserSecret:    s.cfg.SecretKey,
		Region:            s.cfg.Region,
		Ports:             []string{socket},
		SocketPerm:        "0600",
		MaxConnections:    maxRequests,
		MaxRequests:       maxRequests,
		MultipartMaxParts: maxParts,
		KeepAlive:         true,
		Quiet:             true,
		IAMService:        singleUser{auth.NewIAMServiceSingle(auth.Account{Access: s.cfg.AccessKey, Secret: s.cfg.SecretKey, Role: auth.RoleAdmin})},
		S3Options: []s3api.Option{
			s3api.WithMiddleware("/", func(c fiber.Ctx) error {
				select {
				case apps <- c.App():
				default:
				}
				return drainBody(c)
			}),
			s3api.WithOnListen(func() { beginning.Go(func() { s.begin(gatewayCtx, apps) }) }),
		},
	})
	beginning.Wait()
	s.gateway.stop()
	<-retries
	if err != nil {
		return fmt.Errorf("s3 gateway: %w", err)
	}
	return nil
}

// begin takes requests to the gateway from then on. versitygw gives its handler to nobody, but each request has it: one is made by the
// gateway's own socket.
func (s *Server) begin(ctx context.Context, apps <-chan *fiber.App) {
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		},
	}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://gateway/", nil)
	if err == nil {
		var res *http.Response
		if res, err = client.Do(req); err == nil {
			err = res.Body.Close()
		}
	}
	if err != nil {
		if ctx.Err() == nil {
			s.cfg.Logger.Error("the gateway doesn't answer", zap.Error(err))
		}
		return
	}
	s.gateway.start((<-apps).Handler())
	s.readyOnce.Do(func() { close(s.ready) })
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
	if !s.gateway.serve(w, r) {
		writeError(w, apiError(http.StatusServiceUnavailable, "ServiceUnavailable", "The object store is not serving; it is starting or stopping. Try again."))
	}
}
