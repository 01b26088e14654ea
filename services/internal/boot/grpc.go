package boot

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"time"
	"unicode/utf8"

	"buf.build/go/protovalidate"
	grpcprom "github.com/grpc-ecosystem/go-grpc-middleware/providers/prometheus"
	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/recovery"
	"github.com/prometheus/client_golang/prometheus"
	errorsv1 "github.com/trainyard/trainyard/gen/trainyard/errors/v1"
	"github.com/trainyard/trainyard/services/internal/apierror"
	"github.com/trainyard/trainyard/services/internal/auth"
	"github.com/trainyard/trainyard/services/internal/store"
	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

const (
	maxMessageBytes      = 8 << 20
	maxConcurrentStreams = 1000
	unaryDeadline        = 60 * time.Second
)

func newServer(tokens *auth.Tokens, metrics *prometheus.Registry, log *zap.Logger) (*grpc.Server, error) {
	validator, err := protovalidate.New()
	if err != nil {
		return nil, err
	}
	counters := grpcprom.NewServerMetrics()
	metrics.MustRegister(counters)
	onPanic := recovery.WithRecoveryHandler(func(cause any) error {
		log.Error("a call panicked", zap.Any("cause", cause), zap.ByteString("stack", debug.Stack()))
		return internalError()
	})
	return grpc.NewServer(
		grpc.StatsHandler(otelgrpc.NewServerHandler()),
		grpc.MaxRecvMsgSize(maxMessageBytes),
		grpc.MaxConcurrentStreams(maxConcurrentStreams),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: 30 * time.Second, Timeout: 20 * time.Second}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 10 * time.Second, PermitWithoutStream: true}),
		grpc.ChainUnaryInterceptor(
			counters.UnaryServerInterceptor(),
			func(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
				begin := time.Now()
				res, err := next(ctx, req)
				err = crossing(log, info.FullMethod, err)
				logCall(log, info.FullMethod, begin, err)
				return res, err
			},
			recovery.UnaryServerInterceptor(onPanic),
			tokens.UnaryInterceptor,
			func(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
				if err := validate(validator, req); err != nil {
					return nil, err
				}
				ctx, cancel := context.WithTimeout(ctx, unaryDeadline)
				defer cancel()
				return next(ctx, req)
			},
		),
		grpc.ChainStreamInterceptor(
			counters.StreamServerInterceptor(),
			func(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) error {
				begin := time.Now()
				err := crossing(log, info.FullMethod, next(srv, stream))
				logCall(log, info.FullMethod, begin, err)
				return err
			},
			recovery.StreamServerInterceptor(onPanic),
			tokens.StreamInterceptor,
			func(srv any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, next grpc.StreamHandler) error {
				return next(srv, &validatingStream{ServerStream: stream, validator: validator})
			},
		),
	), nil
}

func clientOptions() []grpc.DialOption {
	return []grpc.DialOption{
		grpc.WithStatsHandler(otelgrpc.NewClientHandler()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessageBytes)),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 30 * time.Second, Timeout: 10 * time.Second}),
		// gRPC's own default tries again after up to two minutes; a service that is back should be found within seconds.
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 200 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 5 * time.Second},
			MinConnectTimeout: 5 * time.Second,
		}),
	}
}

// crossing is where an error leaves the process. What no table has named is logged with its cause and told as a fixed text,
// because causes hold addresses, queries and keys.
func crossing(log *zap.Logger, method string, err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, context.Canceled) {
		return status.FromContextError(err).Err()
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return apierror.New(codes.DeadlineExceeded, errorsv1.ErrorReason_DEPENDENCY_UNAVAILABLE, "The call took too long; try again.")
	}
	// Of a wrapped status only the status itself is told: what wraps it was meant for the log.
	var carrier interface{ GRPCStatus() *status.Status }
	if errors.As(err, &carrier) {
		st := carrier.GRPCStatus()
		switch st.Code() {
		case codes.Unknown, codes.Internal:
		case codes.Unavailable:
			if apierror.Reason(err) != errorsv1.ErrorReason_ERROR_REASON_UNSPECIFIED {
				return st.Err()
			}
			// gRPC's own, of a service that is away; its text holds that one's address.
			log.Warn("a service is away", zap.String("method", method), zap.Error(err))
			return unavailable()
		default:
			return st.Err()
		}
	}
	if store.IsUnavailable(err) {
		log.Warn("the database is away", zap.String("method", method), zap.Error(err))
		return unavailable()
	}
	log.Error("internal error", zap.String("method", method), zap.Error(err))
	return internalError()
}

func unavailable() error {
	return apierror.New(codes.Unavailable, errorsv1.ErrorReason_DEPENDENCY_UNAVAILABLE, "A part of Trainyard is not reachable now; try again in a moment.")
}

func internalError() error {
	return apierror.New(codes.Internal, errorsv1.ErrorReason_INTERNAL_ERROR,
		"Something went wrong inside Trainyard; the operator finds the cause in the log. Trying again is safe.")
}

func logCall(log *zap.Logger, method string, begin time.Time, err error) {
	if strings.HasPrefix(method, "/grpc.health.v1.Health/") {
		return
	}
	log.Debug("call", zap.String("method", method), zap.Duration("took", time.Since(begin)), zap.String("code", status.Code(err).String()))
}

func validate(validator protovalidate.Validator, req any) error {
	message, ok := req.(proto.Message)
	if !ok {
		return nil
	}
	err := validator.Validate(message)
	var invalid *protovalidate.ValidationError
	if errors.As(err, &invalid) && len(invalid.Violations) > 0 {
		first := invalid.Violations[0]
		field := protovalidate.FieldPathString(first.Proto.GetField())
		return apierror.Invalid(field, field+": "+first.Proto.GetMessage()+"; "+remedy(message.ProtoReflect().Descriptor(), first)+".")
	}
	return err
}

// remedy says how to mend what a rule found.
func remedy(message protoreflect.MessageDescriptor, violation *protovalidate.Violation) string {
	if field := fieldOf(message, violation); field != nil && field.Enum() != nil {
		return "use one of " + apierror.EnumNames(field.Enum())
	}
	value := violation.FieldValue
	var rule protoreflect.Name
	if violation.RuleDescriptor != nil {
		rule = violation.RuleDescriptor.Name()
	}
	switch rule {
	case "required", "min_len", "min_bytes", "min_items", "min_pairs":
		return "give it"
	case "max_len":
		return fmt.Sprintf("it has %d, so shorten it", utf8.RuneCountInString(value.String()))
	case "max_bytes":
		return fmt.Sprintf("it has %d, so shorten it", len(value.String()))
	case "max_items":
		return fmt.Sprintf("it has %d, so leave some out", value.List().Len())
	case "max_pairs":
		return fmt.Sprintf("it has %d, so leave some out", value.Map().Len())
	case "unique":
		return "name each only once"
	}
	switch given := value.Interface().(type) {
	case string:
		return fmt.Sprintf("%.80q is not", given)
	case int32, int64, uint32, uint64, float32, float64:
		return fmt.Sprintf("%v is not", given)
	}
	return "change it so"
}

// fieldOf gives the field that a violation is of, or nil; the violation itself doesn't for an element of a list or a map.
func fieldOf(message protoreflect.MessageDescriptor, violation *protovalidate.Violation) protoreflect.FieldDescriptor {
	var field protoreflect.FieldDescriptor
	for _, element := range violation.Proto.GetField().GetElements() {
		field = message.Fields().ByNumber(protoreflect.FieldNumber(element.GetFieldNumber()))
		if field.IsMap() && element.GetSubscript() != nil {
			field = field.MapValue()
		}
		message = field.Message()
	}
	return field
}

type validatingStream struct {
	grpc.ServerStream
	validator protovalidate.Validator
}

func (s *validatingStream) RecvMsg(m any) error {
	if err := s.ServerStream.RecvMsg(m); err != nil {
		return err
	}
	return validate(s.validator, m)
}
