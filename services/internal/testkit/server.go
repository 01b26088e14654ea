package testkit

import (
	"context"
	"path/filepath"
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
	t      *testing.T
	tokens string
	// Service is a connection that calls with a service token.
	Service *grpc.ClientConn
}

// NewServer opens a server; Start serves units on it. Units that call one another dial Service before Start.
func NewServer(t *testing.T) *Server {
	t.Helper()
	s := &Server{t: t, tokens: filepath.Join(t.TempDir(), "tokens.json")}
	token, err := auth.AddToken(s.tokens, "service", "", true)
	if err != nil {
		t.Fatal(err)
	}
	s.Process, err = boot.NewProcess(boot.ServerConfig{
		GRPC: "127.0.0.1:0", AuthTokens: s.tokens, Reflection: true, ShutdownTimeout: 2 * time.Second,
	}, zaptest.NewLogger(t, zaptest.Level(zapcore.WarnLevel)))
	if err != nil {
		t.Fatal(err)
	}
	s.Service = s.dial(token)
	return s
}

// Start serves the units until the test ends.
func (s *Server) Start(units ...boot.Unit) {
	s.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx, units...) }()
	s.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			s.t.Errorf("server: %v", err)
		}
	})
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
func Eventually(t *testing.T, limit time.Duration, what string, condition func() bool) {
	t.Helper()
	deadline := time.Now().Add(limit)
	for !condition() {
		if time.Now().After(deadline) {
			t.Fatalf("after %v still not: %s", limit, what)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
