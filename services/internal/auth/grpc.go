package auth

import (
	"context"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
)

// UnaryInterceptor asks who calls, on every rpc but health checks.
func (t *Tokens) UnaryInterceptor(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	if !isPublic(info.FullMethod) {
		authenticated, err := t.authenticateIncoming(ctx)
		if err != nil {
			return nil, err
		}
		ctx = authenticated
	}
	return handler(ctx, req)
}

// StreamInterceptor asks who calls, on every stream but health checks.
func (t *Tokens) StreamInterceptor(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	if isPublic(info.FullMethod) {
		return handler(srv, stream)
	}
	ctx, err := t.authenticateIncoming(stream.Context())
	if err != nil {
		return err
	}
	return handler(srv, &authenticatedStream{ServerStream: stream, ctx: ctx})
}

// Health checks come from load balancers and kubelets, which bear no token, and tell nothing of any project.
func isPublic(method string) bool {
	return strings.HasPrefix(method, "/grpc.health.v1.Health/")
}

type authenticatedStream struct {
	grpc.ServerStream
	ctx context.Context
}

func (s *authenticatedStream) Context() context.Context { return s.ctx }

// Bearer gives per-rpc credentials of a token. Transport security is the dialer's choice: inside one machine or one
// mesh there is none to require.
func Bearer(token string) credentials.PerRPCCredentials { return bearer(token) }

type bearer string

func (b bearer) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + string(b)}, nil
}

func (bearer) RequireTransportSecurity() bool { return false }

// ForProject names the project that a service acts for in its outgoing calls.
func ForProject(ctx context.Context, project string) context.Context {
	return metadata.AppendToOutgoingContext(ctx, ProjectKey, project)
}
