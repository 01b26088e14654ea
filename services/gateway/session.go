package gateway

import (
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	notificationv1 "github.com/trainyard/trainyard/gen/trainyard/notification/v1"
	"github.com/trainyard/trainyard/services/internal/apierror"
	"google.golang.org/grpc"
)

const (
	cookieName = "trainyard_session"
	// sessionAge is how long a browser keeps the cookie; the token itself may end earlier.
	sessionAge = 30 * 24 * time.Hour
	// maxToken leaves room in the 4096 bytes that browsers keep of a cookie.
	maxToken = 3500
)

// sessions lets a browser keep its token where no script can read it: in a cookie, which is sent upstream as the authorization of
// requests that have none. Nothing is kept here.
type sessions struct {
	unit   *Unit
	rest   *runtime.ServeMux // For the headers that go upstream.
	client notificationv1.NotificationServiceClient
}

func newSessions(u *Unit, rest *runtime.ServeMux, notification grpc.ClientConnInterface) *sessions {
	return &sessions{unit: u, rest: rest, client: notificationv1.NewNotificationServiceClient(notification)}
}

// ServeHTTP serves `POST /session {"token": "…"}`, which checks the token and sets the cookie, and `DELETE /session`.
func (s *sessions) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodDelete {
		http.SetCookie(w, newCookie(r, "", -1))
		w.WriteHeader(http.StatusNoContent)
		return
	}
	token, err := readToken(r.Body)
	if err == nil {
		r.Header.Set("Authorization", "Bearer "+token)
		err = s.check(r)
	}
	if err != nil {
		s.unit.writeError(w, r, err)
		return
	}
	http.SetCookie(w, newCookie(r, token, int(sessionAge.Seconds())))
	w.WriteHeader(http.StatusNoContent)
}

// check asks notification, for the gateway knows no tokens.
func (s *sessions) check(r *http.Request) error {
	ctx, err := runtime.AnnotateContext(r.Context(), s.rest, r, notificationv1.NotificationService_ListEvents_FullMethodName)
	if err != nil {
		return err
	}
	_, err = s.client.ListEvents(ctx, &notificationv1.ListEventsRequest{PageSize: 1})
	return err
}

func readToken(body io.Reader) (string, error) {
	var request struct {
		Token string `json:"token"`
	}
	decoder := json.NewDecoder(body)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&request); err != nil {
		return "", apierror.Invalid("token", `The body must be {"token": "…"}.`)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return "", apierror.Invalid("token", `The body must be {"token": "…"} and nothing else.`)
	}
	token := strings.TrimSpace(request.Token)
	if token == "" || len(token) > maxToken || strings.ContainsFunc(token, isUnfitForCookie) {
		return "", apierror.Invalid("token", "token is empty or not of the form that tokens have.")
	}
	return token, nil
}

// isUnfitForCookie tells characters that RFC 6265 keeps out of a cookie's value. No token has them.
func isUnfitForCookie(c rune) bool {
	return c <= ' ' || c > '~' || strings.ContainsRune(`",;\`, c)
}

func newCookie(r *http.Request, token string, maxAge int) *http.Cookie {
	return &http.Cookie{
		Name: cookieName, Value: token, Path: "/", MaxAge: maxAge,
		HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: !isLoopbackHost(r.Host),
	}
}

// signIn makes the cookie the request's authorization where it has none and a page of ours sent it.
func (s *sessions) signIn(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if cookie, err := r.Cookie(cookieName); err == nil && cookie.Value != "" && r.Header.Get("Authorization") == "" && isSameOrigin(r) {
			r.Header.Set("Authorization", "Bearer "+cookie.Value)
		}
		next.ServeHTTP(w, r)
	})
}

// isSameOrigin tells whether a request comes from a page of this very origin, or from no page. SameSite alone would let pages of
// other ports of the same host in.
func isSameOrigin(r *http.Request) bool {
	if site := r.Header.Get("Sec-Fetch-Site"); site != "" {
		return site == "same-origin" || site == "none"
	}
	origin := r.Header.Get("Origin")
	if origin == "" {
		return true
	}
	u, err := url.Parse(origin)
	return err == nil && u.Host == r.Host
}

// isLoopbackHost tells whether a Host header names this machine by a name that no DNS server can give to another.
func isLoopbackHost(host string) bool {
	name, _, err := net.SplitHostPort(host)
	if err != nil {
		name = strings.Trim(host, "[]")
	}
	return name == "localhost" || name == "127.0.0.1" || name == "::1"
}
