package gateway

import (
	"net/http"
	"slices"
	"strings"

	errorsv1 "github.com/trainyard/trainyard/gen/trainyard/errors/v1"
	"google.golang.org/grpc/codes"
)

// secure sets the headers that bound what a browser does with an answer, and takes away those of a request that grpc-gateway would
// understand and nobody but a gRPC client has to send.
func (u *Unit) secure(next http.Handler) http.Handler {
	policy := u.contentSecurityPolicy()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for key := range r.Header {
			if strings.HasPrefix(key, "Grpc-") {
				r.Header.Del(key)
			}
		}
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-store") // Answers hold signed URLs; what may be cached says so itself.
		next.ServeHTTP(w, r)
	})
}

// contentSecurityPolicy lets the page load from here alone, and talk to us and to S3. Scripts and styles come from files: there is
// no unsafe-inline and no nonce.
func (u *Unit) contentSecurityPolicy() string {
	return strings.Join([]string{
		"default-src 'self'",
		"connect-src " + strings.Join(append([]string{"'self'"}, u.cfg.S3Origins...), " "),
		"img-src 'self' data: blob:",
		"object-src 'none'",
		"base-uri 'none'",
		"form-action 'self'",
		"frame-ancestors 'none'",
	}, "; ")
}

// allowOrigins answers preflights and marks answers for the configured origins. Credentials are never allowed: a script of another
// site brings a bearer token or nothing.
func (u *Unit) allowOrigins(next http.Handler) http.Handler {
	if len(u.cfg.CORSOrigins) == 0 {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Add("Vary", "Origin")
		origin := r.Header.Get("Origin")
		if !slices.Contains(u.cfg.CORSOrigins, origin) {
			next.ServeHTTP(w, r)
			return
		}
		h.Set("Access-Control-Allow-Origin", origin)
		h.Set("Access-Control-Expose-Headers", "X-Request-Id, Retry-After")
		if r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != "" {
			h.Set("Access-Control-Allow-Methods", "GET, POST, PATCH, DELETE")
			h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, Accept-Language, Last-Event-ID, X-Request-Id")
			h.Set("Access-Control-Max-Age", "600")
			w.WriteHeader(http.StatusNoContent)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// crossOriginProtection refuses what a browser sends for another site, but for GET, HEAD and OPTIONS, which change nothing here.
func (u *Unit) crossOriginProtection() (*http.CrossOriginProtection, error) {
	csrf := http.NewCrossOriginProtection()
	for _, origin := range u.cfg.CORSOrigins {
		if err := csrf.AddTrustedOrigin(origin); err != nil {
			return nil, err
		}
	}
	csrf.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		u.refuse(w, http.StatusForbidden, codes.PermissionDenied, errorsv1.ErrorReason_PERMISSION_MISSING,
			"The request was sent by a page of another site; the operator may allow that site by --cors-origin.")
	}))
	return csrf, nil
}
