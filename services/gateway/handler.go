package gateway

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/trainyard/trainyard/gen/openapi"
	errorsv1 "github.com/trainyard/trainyard/gen/trainyard/errors/v1"
	"go.uber.org/zap"
	"google.golang.org/grpc/codes"
)

// maxBody is the most a request's body may hold; files go to S3 directly.
const maxBody = 1 << 20

func (u *Unit) handler(ctx context.Context, deps Deps) (http.Handler, error) {
	rest, err := u.newREST(ctx, deps)
	if err != nil {
		return nil, err
	}
	page, err := newPage(u, webFiles)
	if err != nil {
		return nil, err
	}
	sessions := newSessions(u, rest, deps.Notification)
	u.watches = newEventStreams(u, rest, deps.Notification)

	mux := http.NewServeMux()
	mux.Handle("/v1/", u.readable(u.deadline(rest)))
	mux.HandleFunc("/v1/events:watch", u.only(u.watches.ServeHTTP, http.MethodGet))
	mux.HandleFunc("/session", u.only(sessions.ServeHTTP, http.MethodPost, http.MethodDelete))
	mux.HandleFunc("/openapi.json", u.only(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(openapi.JSON)
	}, http.MethodGet, http.MethodHead))
	mux.HandleFunc("/healthz", u.only(func(http.ResponseWriter, *http.Request) {}, http.MethodGet, http.MethodHead))
	mux.HandleFunc("/readyz", u.only(func(w http.ResponseWriter, _ *http.Request) {
		if !u.ready.Load() {
			u.refuse(w, http.StatusServiceUnavailable, codes.Unavailable, errorsv1.ErrorReason_DEPENDENCY_UNAVAILABLE, "The gateway is starting or shutting down.")
		}
	}, http.MethodGet, http.MethodHead))
	mux.HandleFunc("/", u.only(page.ServeHTTP, http.MethodGet, http.MethodHead))

	csrf, err := u.crossOriginProtection()
	if err != nil {
		return nil, err
	}
	// From the inside out; the last is the first to see a request.
	var handler http.Handler = sessions.signIn(mux)
	handler = u.limitBody(handler)
	handler = csrf.Handler(handler)
	handler = u.allowOrigins(handler)
	handler = u.secure(handler)
	return u.observe(handler), nil
}

// deadline ends calls whose service doesn't answer.
func (u *Unit) deadline(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), u.cfg.UpstreamTimeout)
		defer cancel()
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

// readable refuses a path that no message can carry; paths hold the names of resources.
func (u *Unit) readable(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !utf8.ValidString(r.URL.Path) {
			u.writeError(w, r, wrong("path", "it is not text in UTF-8; encode it so"))
			return
		}
		next.ServeHTTP(w, r)
	})
}

// limitBody reads the body, and refuses one that is too large before anything else happens. It is done on every method, for an
// endless body of a GET is read to its end by what comes later.
func (u *Unit) limitBody(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
		var tooLarge *http.MaxBytesError
		switch {
		case errors.As(err, &tooLarge):
			u.refuse(w, http.StatusRequestEntityTooLarge, codes.ResourceExhausted, errorsv1.ErrorReason_LIMIT_EXCEEDED,
				"A request's body may have at most 1 MiB; files go to S3 by the URLs that :signParts gives.", "limit_bytes", "1048576")
			return
		case err != nil:
			u.refuse(w, http.StatusBadRequest, codes.InvalidArgument, errorsv1.ErrorReason_FIELD_INVALID, "The request's body could not be read to its end.")
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		next.ServeHTTP(w, r)
	})
}

// observe gives a request its id and logs it, without its query, which may hold what isn't for logs.
func (u *Unit) observe(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		begin := time.Now()
		id := r.Header.Get("X-Request-Id")
		if len(id) == 0 || len(id) > 128 || strings.ContainsFunc(id, func(c rune) bool { return c <= ' ' || c > '~' }) {
			id = uuid.NewString()
			r.Header.Set("X-Request-Id", id)
		}
		w.Header().Set("X-Request-Id", id)
		recorder := &statusRecorder{ResponseWriter: w, status: http.StatusOK}
		next.ServeHTTP(recorder, r)
		u.log.Debug("request", zap.String("method", r.Method), zap.String("path", r.URL.Path), zap.Int("status", recorder.status),
			zap.Duration("took", time.Since(begin)), zap.String("request_id", id))
	})
}

type statusRecorder struct {
	http.ResponseWriter
	status int
}

func (s *statusRecorder) WriteHeader(status int) {
	s.status = status
	s.ResponseWriter.WriteHeader(status)
}

// Unwrap lets http.ResponseController reach the connection.
func (s *statusRecorder) Unwrap() http.ResponseWriter { return s.ResponseWriter }
