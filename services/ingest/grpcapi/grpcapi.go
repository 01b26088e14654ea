// Package grpcapi is ingest's two gRPC services: it reads requests, calls the lifecycle and the catalog, and writes answers. It decides nothing
// but who may see what: users see their credentials' project, services act for the project that they name.
package grpcapi

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"regexp"
	"strconv"
	"strings"

	ingestv1 "github.com/trainyard/trainyard/gen/trainyard/ingest/v1"
	"github.com/trainyard/trainyard/services/ingest/internal/catalog"
	"github.com/trainyard/trainyard/services/ingest/internal/lifecycle"
	"github.com/trainyard/trainyard/services/internal/apierror"
	"go.einride.tech/aip/resourcename"
	"go.uber.org/zap"
	"google.golang.org/grpc"
)

// Register puts both services on a server.
func Register(r grpc.ServiceRegistrar, c *catalog.Catalog, l *lifecycle.Lifecycle, log *zap.Logger) {
	errs := errorTable{log}
	ingestv1.RegisterIngestServiceServer(r, &ingestServer{catalog: c, lifecycle: l, errors: errs})
	ingestv1.RegisterConversionServiceServer(r, &conversionServer{lifecycle: l, errors: errs})
}

var (
	datasetID     = regexp.MustCompile(`^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$`)
	versionNumber = regexp.MustCompile(`^[1-9][0-9]{0,9}$`)
)

// parseDataset reads `datasets/{dataset}`; field is where the request has it.
func parseDataset(field, name string) (string, error) {
	var id string
	if err := resourcename.Sscan(name, "datasets/{dataset}", &id); err != nil || !datasetID.MatchString(id) {
		return "", apierror.Invalid(field, field+" must be of the form datasets/{dataset}, such as datasets/digits.")
	}
	return id, nil
}

// The aliases that stand for a version's number.
const (
	latest      = "latest"
	latestReady = "latest-ready"
)

// splitVersion reads `datasets/{dataset}/versions/{version}` and leaves open what the version is.
func splitVersion(name string) (dataset, version string, err error) {
	err = resourcename.Sscan(name, "datasets/{dataset}/versions/{version}", &dataset, &version)
	known := version == latest || version == latestReady || versionNumber.MatchString(version)
	if err != nil || !datasetID.MatchString(dataset) || !known {
		return "", "", apierror.Invalid("name", "name must be of the form datasets/{dataset}/versions/{number}, such as datasets/digits/versions/1.")
	}
	return dataset, version, nil
}

// parseVersion reads a version's name. The aliases are refused: what changes a version says which.
func parseVersion(project, name string) (catalog.ID, error) {
	dataset, version, err := splitVersion(name)
	if err != nil {
		return catalog.ID{}, err
	}
	if version == latest || version == latestReady {
		return catalog.ID{}, apierror.Invalid("name", "name must give the version's number here; get "+name+" first and use the name in the answer.")
	}
	number, err := strconv.ParseInt(version, 10, 32)
	if err != nil { // Ten digits may be more than an int32 holds: no version has that number.
		return catalog.ID{}, apierror.NotFound(name)
	}
	return catalog.ID{Project: project, Dataset: dataset, Number: int32(number)}, nil
}

// checkText refuses control characters, which PostgreSQL (NUL), logs and terminals don't take; line breaks and tabs are good where lines is set.
func checkText(field, text string, lines bool) error {
	bad := strings.ContainsFunc(text, func(r rune) bool {
		return (r < ' ' && (!lines || !strings.ContainsRune("\n\r\t", r))) || r == 0x7f
	})
	if bad {
		return apierror.Invalid(field, field+" must not contain control characters.")
	}
	return nil
}

const (
	defaultPageSize = 50
	maxPageSize     = 1000
)

func pageSize(asked int32) int64 {
	if asked == 0 {
		return defaultPageSize
	}
	return int64(min(asked, maxPageSize))
}

// Page tokens are keys of the last row, so that rows added meanwhile neither repeat nor hide any. They hold nothing secret, and a project is never read from them.
func encodeToken(key any) string {
	data, err := json.Marshal(key)
	if err != nil {
		panic(err) // Only our own structs of numbers and strings come here.
	}
	return base64.RawURLEncoding.EncodeToString(data)
}

func decodeToken(token string, key any) error {
	data, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		return apierror.PageToken()
	}
	decoder := json.NewDecoder(strings.NewReader(string(data)))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(key); err != nil {
		return apierror.PageToken()
	}
	return nil
}

// numberKey is where a page of versions or parts ended.
type numberKey struct {
	Number int32 `json:"n"`
}

func decodeNumber(token string) (int32, error) {
	if token == "" {
		return 0, nil
	}
	var key numberKey
	if err := decodeToken(token, &key); err != nil {
		return 0, err
	}
	if key.Number < 1 {
		return 0, apierror.PageToken()
	}
	return key.Number, nil
}

// version finds a version by number or alias.
func (s *ingestServer) version(ctx context.Context, project, name string) (*catalog.Version, error) {
	dataset, version, err := splitVersion(name)
	if err != nil {
		return nil, err
	}
	if version == latest || version == latestReady {
		return s.catalog.Latest(ctx, project, dataset, name, version == latestReady)
	}
	id, err := parseVersion(project, name)
	if err != nil {
		return nil, err
	}
	return s.catalog.Version(ctx, id)
}
