package testkit

import (
	"context"
	"crypto/rand"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/trainyard/trainyard/services/internal/auth"
	"github.com/trainyard/trainyard/services/internal/boot"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest"
	"google.golang.org/grpc"
)

// Server is a running gRPC server with real tokens on a free loopback port.
type Server struct {
	*boot.Process
	t      testing.TB
	tokens string
	stop   func()
	// Service is a connection that calls with a service token.
	Service *grpc.ClientConn
}

// NewServer opens a server; Start serves units on it. Units that call one another dial Service before Start.
func NewServer(t testing.TB) *Server {
	t.Helper()
	s := &Server{t: t, stop: func() {}, tokens: filepath.Join(t.TempDir(), "tokens.json")}
	token, err := auth.AddToken(s.tokens, "service", "", true)
	if err != nil {
		t.Fatal(err)
	}
	s.open("127.0.0.1:0")
	s.Service = s.dial(token)
	return s
}

func (s *Server) open(addr string) {
	s.t.Helper()
	var err error
	s.Process, err = boot.NewProcess(boot.ServerConfig{
		GRPC: addr, AuthTokens: s.tokens, Reflection: true, ShutdownTimeout: 2 * time.Second,
	}, zaptest.NewLogger(s.t, zaptest.Level(zapcore.WarnLevel)))
	if err != nil {
		s.t.Fatal(err)
	}
}

// Start serves the units until Stop, or the test's end.
func (s *Server) Start(units ...boot.Unit) {
	s.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	process := s.Process
	go func() { done <- process.Run(ctx, units...) }()
	s.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			s.t.Errorf("server: %v", err)
		}
	})
	s.t.Cleanup(s.stop)
}

// Stop shuts the server down and closes its units.
func (s *Server) Stop() { s.stop() }

// Restart serves new units on the same address, with the same tokens, after Stop.
func (s *Server) Restart(units ...boot.Unit) {
	s.t.Helper()
	s.Stop()
	s.open(s.Addr())
	s.Start(units...)
}

// Token makes a user's token of a project.
func (s *Server) Token(project string) string {
	s.t.Helper()
	token, err := auth.AddToken(s.tokens, "user-"+project, project, false)
	if err != nil {
		s.t.Fatal(err)
	}
	return token
}

// ServiceToken makes another service's token.
func (s *Server) ServiceToken() string {
	s.t.Helper()
	token, err := auth.AddToken(s.tokens, "service-"+rand.Text(), "", true)
	if err != nil {
		s.t.Fatal(err)
	}
	return token
}

// User is a connection of a user of the project.
func (s *Server) User(project string) *grpc.ClientConn {
	s.t.Helper()
	return s.dial(s.Token(project))
}

func (s *Server) dial(token string) *grpc.ClientConn {
	s.t.Helper()
	conn, err := boot.Dial(s.Addr(), token)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// Eventually asks until the condition holds, or fails the test after the limit.
func Eventually(t testing.TB, limit time.Duration, what string, condition func() bool) {
	t.Helper()
	deadline := time.Now().Add(limit)
	for !condition() {
		if time.Now().After(deadline) {
			t.Fatalf("after %v still not: %s", limit, what)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
