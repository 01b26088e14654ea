// Package auth knows who calls: bearer tokens, each of one project, kept only as SHA-256.
//
// A project is the tenant. A user's token fixes the project. A service's token acts for any project, which it names in
// the metadata key `trainyard-project`; the key is ignored for users.
package auth

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	errorsv1 "github.com/trainyard/trainyard/gen/trainyard/errors/v1"
	"github.com/trainyard/trainyard/services/internal/apierror"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
)

// ProjectKey is the metadata key by which a service names the project it acts for.
const ProjectKey = "trainyard-project"

// ErrNoAuth says that a server would listen beyond this machine without asking who calls.
var ErrNoAuth = errors.New("refusing to listen on a non-loopback address without auth: set --auth-tokens to a token file, or listen on 127.0.0.1")

// projectID is what a project may be called: projects are parts of S3 keys, so that a slash or `..` would reach into another's.
var projectID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`)

// CheckProject refuses a name that can't be a project's.
func CheckProject(name string) error {
	if projectID.MatchString(name) {
		return nil
	}
	return fmt.Errorf("project %q: want 1 to 63 letters, digits, dots, dashes and underscores, beginning with a letter or digit", name)
}

// Principal is who calls.
type Principal struct {
	// Project is the tenant; empty for a service that named none.
	Project string
	// Service tells that the caller is a part of the suite.
	Service bool
}

// Entry is one token as the token file holds it.
type Entry struct {
	Name    string    `json:"name"`
	SHA256  string    `json:"sha256"` // Hex of the token's SHA-256.
	Project string    `json:"project,omitempty"`
	Service bool      `json:"service,omitempty"`
	Created time.Time `json:"created"`
}

// Tokens authenticates by a token file, which it reads again when it has changed.
type Tokens struct {
	path string

	mu    sync.Mutex
	info  os.FileInfo // Of the file that was read; nil before.
	bySum map[string]Entry
}

// OpenTokens reads a token file: a JSON list of Entry.
func OpenTokens(path string) (*Tokens, error) {
	t := &Tokens{path: path}
	if err := t.reload(); err != nil {
		return nil, err
	}
	return t, nil
}

// Authenticate gives the principal of a bearer token.
func (t *Tokens) Authenticate(token string) (Principal, error) {
	if err := t.reload(); err != nil {
		return Principal{}, err
	}
	// The map is keyed by digest, so that look-up time tells nothing about the token.
	sum := sha256.Sum256([]byte(token))
	t.mu.Lock()
	entry, ok := t.bySum[hex.EncodeToString(sum[:])]
	t.mu.Unlock()
	if !ok {
		return Principal{}, unauthenticated("The bearer token is not known here; ask the operator for one of this installation.")
	}
	return Principal{Project: entry.Project, Service: entry.Service}, nil
}

func (t *Tokens) reload() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	info, err := os.Stat(t.path)
	if err != nil {
		return fmt.Errorf("token file: %w", err)
	}
	// Two writes may fall into one tick of the file system's clock, but then they are two files, for each is renamed into place.
	if t.info != nil && os.SameFile(info, t.info) && info.ModTime().Equal(t.info.ModTime()) && info.Size() == t.info.Size() {
		return nil
	}
	entries, err := readEntries(t.path)
	if err != nil {
		return err
	}
	t.bySum = make(map[string]Entry, len(entries))
	for _, e := range entries {
		t.bySum[e.SHA256] = e
	}
	t.info = info
	return nil
}

func readEntries(path string) ([]Entry, error) {
	data, err := os.ReadFile(path) //nolint:gosec // The operator names the file.
	if err != nil {
		return nil, fmt.Errorf("token file: %w", err)
	}
	var entries []Entry
	if err := json.Unmarshal(data, &entries); err != nil {
		return nil, fmt.Errorf("token file %s: %w", path, err)
	}
	for _, e := range entries {
		if e.Service && e.Project == "" {
			continue
		}
		if err := CheckProject(e.Project); err != nil {
			return nil, fmt.Errorf("token file %s, entry %q: %w", path, e.Name, err)
		}
	}
	return entries, nil
}

// AddToken makes a token, writes its digest into the token file (made if absent) and returns the token, which is kept nowhere.
// An entry of the same name is replaced.
func AddToken(path, name, project string, service bool) (string, error) {
	if !service || project != "" {
		if err := CheckProject(project); err != nil {
			return "", err
		}
	}
	entries, err := readEntries(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", err
	}
	secret := make([]byte, 24)
	if _, err := rand.Read(secret); err != nil {
		return "", err
	}
	token := "ty_" + base64.RawURLEncoding.EncodeToString(secret)
	sum := sha256.Sum256([]byte(token))
	kept := entries[:0]
	for _, e := range entries {
		if e.Name != name {
			kept = append(kept, e)
		}
	}
	kept = append(kept, Entry{Name: name, SHA256: hex.EncodeToString(sum[:]), Project: project, Service: service, Created: time.Now().UTC()})
	data, err := json.MarshalIndent(kept, "", "  ")
	if err != nil {
		return "", err
	}
	return token, WriteSecret(path, data)
}

// WriteSecret writes a file that only its owner reads, whole or not at all.
func WriteSecret(path string, data []byte) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), ".secret-*") // CreateTemp gives mode 0600.
	if err != nil {
		return err
	}
	_, err = tmp.Write(data)
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		_ = os.Remove(tmp.Name())
		return err
	}
	return os.Rename(tmp.Name(), path)
}

type contextKey struct{}

// NewContext puts a principal into a context.
func NewContext(ctx context.Context, p Principal) context.Context {
	return context.WithValue(ctx, contextKey{}, p)
}

// FromContext gives the principal that the interceptor found.
func FromContext(ctx context.Context) Principal {
	p, _ := ctx.Value(contextKey{}).(Principal)
	return p
}

// Project gives the caller's project, or UNAUTHENTICATED when there is none.
func Project(ctx context.Context) (string, error) {
	p := FromContext(ctx)
	if p.Project == "" {
		return "", unauthenticated("This call acts in a project and the credentials name none.")
	}
	return p.Project, nil
}

// RequireService refuses callers that aren't a part of the suite.
func RequireService(ctx context.Context) error {
	if FromContext(ctx).Service {
		return nil
	}
	return apierror.New(codes.PermissionDenied, errorsv1.ErrorReason_PERMISSION_MISSING, "Only Trainyard's own services may make this call.")
}

// Authenticate finds the caller of an incoming call by its metadata.
func (t *Tokens) authenticateIncoming(ctx context.Context) (context.Context, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	values := md.Get("authorization")
	if len(values) != 1 {
		return nil, unauthenticated("Credentials are missing: send `authorization: Bearer TOKEN`.")
	}
	scheme, token, ok := strings.Cut(values[0], " ")
	if !ok || !strings.EqualFold(scheme, "bearer") {
		return nil, unauthenticated("The authorization header is not of the form `Bearer TOKEN`.")
	}
	p, err := t.Authenticate(strings.TrimSpace(token))
	if err != nil {
		return nil, err
	}
	if p.Service {
		if projects := md.Get(ProjectKey); len(projects) == 1 {
			if err := CheckProject(projects[0]); err != nil {
				return nil, apierror.Invalid(ProjectKey, err.Error()+".")
			}
			p.Project = projects[0]
		}
	}
	return NewContext(ctx, p), nil
}

func unauthenticated(message string) error {
	return apierror.New(codes.Unauthenticated, errorsv1.ErrorReason_CREDENTIALS_INVALID, message)
}

// CheckListen refuses to serve beyond this machine when nobody is asked who they are.
func CheckListen(addr string, hasAuth bool) error {
	if hasAuth || IsLoopback(addr) {
		return nil
	}
	return fmt.Errorf("%s: %w", addr, ErrNoAuth)
}

// IsLoopback tells whether a listen address (host:port) is reachable from this machine only.
func IsLoopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
