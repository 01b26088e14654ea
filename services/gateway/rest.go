package gateway

import (
	"context"
	"errors"
	"net/http"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	converterv1 "github.com/trainyard/trainyard/gen/trainyard/converter/v1"
	ingestv1 "github.com/trainyard/trainyard/gen/trainyard/ingest/v1"
	notificationv1 "github.com/trainyard/trainyard/gen/trainyard/notification/v1"
	trainingv1 "github.com/trainyard/trainyard/gen/trainyard/training/v1"
	"google.golang.org/protobuf/encoding/protojson"
)

var resourceJSON = protojson.MarshalOptions{EmitUnpopulated: true}

// forwarded lists the headers that go upstream, by the metadata key they get there. `authorization` does so in any case.
var forwarded = map[string]string{
	"Accept-Language": "accept-language",
	"X-Request-Id":    "x-request-id",
}

// newREST makes REST of the contracts. It calls over real connections: a handler that called the servers in process would go around
// their interceptors.
func (u *Unit) newREST(ctx context.Context, deps Deps) (*runtime.ServeMux, error) {
	strictQueries()
	nothing := func(string) (string, bool) { return "", false }
	mux := runtime.NewServeMux(
		runtime.WithMarshalerOption(runtime.MIMEWildcard, jsonBodies{&runtime.JSONPb{MarshalOptions: resourceJSON}}),
		runtime.WithIncomingHeaderMatcher(func(key string) (string, bool) {
			name, ok := forwarded[key]
			return name, ok
		}),
		runtime.WithOutgoingHeaderMatcher(nothing),
		runtime.WithOutgoingTrailerMatcher(nothing),
		runtime.WithErrorHandler(func(_ context.Context, _ *runtime.ServeMux, _ runtime.Marshaler, w http.ResponseWriter, r *http.Request, err error) {
			u.writeError(w, r, err)
		}),
		runtime.WithRoutingErrorHandler(u.routingError),
		// A POST must not become another method by a header or a form.
		runtime.WithDisableHTTPMethodOverride(),
		runtime.WithDisablePathLengthFallback(),
	)
	return mux, errors.Join(
		ingestv1.RegisterIngestServiceHandlerClient(ctx, mux, ingestv1.NewIngestServiceClient(deps.Ingest)),
		converterv1.RegisterConverterServiceHandlerClient(ctx, mux, converterv1.NewConverterServiceClient(deps.Converter)),
		trainingv1.RegisterTrainingServiceHandlerClient(ctx, mux, trainingv1.NewTrainingServiceClient(deps.Training)),
		trainingv1.RegisterCatalogServiceHandlerClient(ctx, mux, trainingv1.NewCatalogServiceClient(deps.Training)),
		trainingv1.RegisterSweepServiceHandlerClient(ctx, mux, trainingv1.NewSweepServiceClient(deps.Training)),
		trainingv1.RegisterModelServiceHandlerClient(ctx, mux, trainingv1.NewModelServiceClient(deps.Training)),
		notificationv1.RegisterNotificationServiceHandlerClient(ctx, mux, notificationv1.NewNotificationServiceClient(deps.Notification)),
	)
}
