// Package grpcapi serves ConverterService.
package grpcapi

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/url"
	"strconv"
	"strings"
	"time"

	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	converterv1 "github.com/trainyard/trainyard/gen/trainyard/converter/v1"
	ingestv1 "github.com/trainyard/trainyard/gen/trainyard/ingest/v1"
	"github.com/trainyard/trainyard/services/converter/convert"
	"github.com/trainyard/trainyard/services/converter/dataset/all"
	"github.com/trainyard/trainyard/services/converter/examples"
	"github.com/trainyard/trainyard/services/internal/apierror"
	"github.com/trainyard/trainyard/services/internal/auth"
)

const (
	defaultPage  = 50
	maxPage      = 1000
	urlLifetime  = time.Hour
	maxDocument  = 256 << 20 // A manifest or a report; the latter lists at most 10,000 files.
	offsetPrefix = "o"
)

// Server answers what the converter understands and what it made of a version.
type Server struct {
	converterv1.UnimplementedConverterServiceServer

	Versions ingestv1.IngestServiceClient
	S3       interface {
		GetObject(context.Context, *s3.GetObjectInput, ...func(*s3.Options)) (*s3.GetObjectOutput, error)
		HeadObject(context.Context, *s3.HeadObjectInput, ...func(*s3.Options)) (*s3.HeadObjectOutput, error)
	}
	Presigner interface {
		PresignGetObject(context.Context, *s3.GetObjectInput, ...func(*s3.PresignOptions)) (*v4.PresignedHTTPRequest, error)
	}
	Bucket string
	// ReadExamples reads a page of examples of a project's dataset, which lies below a key prefix.
	ReadExamples func(ctx context.Context, project, prefix string, request examples.Request) (*examples.Page, error)
}

// ListFormats lists the formats.
func (s *Server) ListFormats(_ context.Context, req *converterv1.ListFormatsRequest) (*converterv1.ListFormatsResponse, error) {
	var formats []*converterv1.Format
	for _, reader := range all.Readers() {
		f := reader.Format()
		formats = append(formats, &converterv1.Format{
			Name: "formats/" + f.Name, DisplayName: f.Title, Description: f.Description, Example: f.Example, Extensions: f.Extensions, Labels: f.Labels,
		})
	}
	page, next, err := paginate(formats, req.GetPageSize(), req.GetPageToken())
	return &converterv1.ListFormatsResponse{Formats: page, NextPageToken: next}, err
}

// ListShards lists the shards that the manifest names.
func (s *Server) ListShards(ctx context.Context, req *converterv1.ListShardsRequest) (*converterv1.ListShardsResponse, error) {
	prefix, raw, err := s.read(ctx, req.GetParent(), convert.ManifestName)
	if err != nil {
		return nil, toStatus(err)
	}
	var manifest convert.Manifest
	if err := json.Unmarshal(raw, &manifest); err != nil {
		return nil, err
	}
	page, next, err := paginate(manifest.Shards, req.GetPageSize(), req.GetPageToken())
	if err != nil {
		return nil, err
	}
	res := &converterv1.ListShardsResponse{NextPageToken: next, TfdsName: manifest.Dataset, TfdsVersion: manifest.Version}
	for _, shard := range page {
		address, err := s.signed(ctx, prefix+shard.Name, shard.Name)
		if err != nil {
			return nil, err
		}
		res.Shards = append(res.Shards, &converterv1.Shard{
			Name: shard.Name, Split: string(shard.Split), ExampleCount: int32(shard.Examples), //nolint:gosec // Checked when planned.
			SizeBytes: shard.Bytes, Sha256: shard.SHA256, Url: address,
		})
	}
	if req.GetPageToken() != "" {
		return res, nil
	}
	sum := sha256.Sum256(raw)
	manifest.Files = append(manifest.Files, convert.MetadataFile{Name: convert.ManifestName, Bytes: int64(len(raw)), SHA256: hex.EncodeToString(sum[:])})
	return res, s.addFiles(ctx, prefix, &manifest, res)
}

// addFiles adds what lies beside the shards.
func (s *Server) addFiles(ctx context.Context, prefix string, manifest *convert.Manifest, res *converterv1.ListShardsResponse) error {
	for _, f := range manifest.Files {
		address, err := s.signed(ctx, prefix+f.Name, f.Name)
		if err != nil {
			return err
		}
		res.Files = append(res.Files, &converterv1.File{Name: f.Name, SizeBytes: f.Bytes, Sha256: f.SHA256, Url: address})
	}
	if !manifest.Options.Package {
		return nil
	}
	key := prefix + convert.TarName
	head, err := s.S3.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &s.Bucket, Key: &key})
	if err != nil {
		return err
	}
	address, err := s.signed(ctx, key, manifest.Dataset+"-"+manifest.Version+".tar")
	res.Package = &converterv1.File{Name: convert.TarName, SizeBytes: *head.ContentLength, Url: address}
	return err
}

// signed is a URL to GET an object by, which browsers save under the given name instead of showing it.
func (s *Server) signed(ctx context.Context, key, name string) (string, error) {
	disposition := mime.FormatMediaType("attachment", map[string]string{"filename": name})
	signed, err := s.Presigner.PresignGetObject(ctx, &s3.GetObjectInput{Bucket: &s.Bucket, Key: &key, ResponseContentDisposition: &disposition},
		s3.WithPresignExpires(urlLifetime))
	if err != nil {
		return "", err
	}
	return signed.URL, nil
}

// ListRejections lists what was left out. A version that failed for another reason than that has left nothing out.
func (s *Server) ListRejections(ctx context.Context, req *converterv1.ListRejectionsRequest) (*converterv1.ListRejectionsResponse, error) {
	v, err := s.version(ctx, req.GetParent())
	if err != nil {
		return nil, err
	}
	ready, failed := v.GetState() == ingestv1.Version_READY, v.GetState() == ingestv1.Version_FAILED
	if !ready && !failed {
		return nil, toStatus(&notReadyError{version: v.GetName(), state: v.GetState(), what: "what was left out is known once it is READY or FAILED"})
	}
	var report convert.Losses
	if ready || v.GetUri() != "" {
		_, raw, err := s.get(ctx, v, convert.ReportName)
		if err != nil {
			return nil, err
		}
		if err := json.Unmarshal(raw, &report); err != nil {
			return nil, err
		}
	}
	page, next, err := paginate(report.Files, req.GetPageSize(), req.GetPageToken())
	if err != nil {
		return nil, err
	}
	res := &converterv1.ListRejectionsResponse{NextPageToken: next, TotalSize: int32(report.LeftOut.Files + report.LeftOut.Rows + report.LeftOut.Annotations)} //nolint:gosec // Checked when planned.
	for _, f := range page {
		res.Rejections = append(res.Rejections, &converterv1.Rejection{Path: f.Path, Reason: string(f.Reason), Message: f.Message, Kind: cmp.Or(string(f.Kind), "file"), Where: f.Where})
	}
	return res, nil
}

// document reads a JSON document of a READY version and gives the key prefix it lies under.
func (s *Server) document(ctx context.Context, version, name string, into any) (prefix string, err error) {
	prefix, raw, err := s.read(ctx, version, name)
	if err != nil {
		return "", err
	}
	return prefix, json.Unmarshal(raw, into)
}

// read reads a file of a READY version and gives the key prefix it lies under.
func (s *Server) read(ctx context.Context, version, name string) (prefix string, raw []byte, err error) {
	v, err := s.version(ctx, version)
	if err != nil {
		return "", nil, err
	}
	if v.GetState() != ingestv1.Version_READY {
		return "", nil, &notReadyError{version: v.GetName(), state: v.GetState(), what: "only READY versions have shards, examples and statistics"}
	}
	return s.get(ctx, v, name)
}

// version asks ingest for a version of the caller's project.
func (s *Server) version(ctx context.Context, name string) (*ingestv1.Version, error) {
	project, err := auth.Project(ctx)
	if err != nil {
		return nil, err
	}
	res, err := s.Versions.GetVersion(auth.ForProject(ctx, project), &ingestv1.GetVersionRequest{Name: name})
	return res.GetVersion(), err
}

// get reads a file from where a version's URI says.
func (s *Server) get(ctx context.Context, version *ingestv1.Version, name string) (prefix string, raw []byte, err error) {
	uri, err := url.Parse(version.GetUri())
	if err != nil {
		return "", nil, fmt.Errorf("version's uri: %w", err)
	}
	prefix = strings.TrimPrefix(uri.Path, "/")
	key := prefix + name
	object, err := s.S3.GetObject(ctx, &s3.GetObjectInput{Bucket: &s.Bucket, Key: &key})
	if err != nil {
		return "", nil, err
	}
	defer object.Body.Close()
	raw, err = io.ReadAll(io.LimitReader(object.Body, maxDocument))
	return prefix, raw, err
}

// paginate cuts a list that doesn't change any more; its tokens are offsets.
func paginate[T any](items []T, size int32, token string) (page []T, next string, err error) {
	from := 0
	if token != "" {
		text, err := base64.RawURLEncoding.DecodeString(token)
		if err == nil {
			from, err = strconv.Atoi(strings.TrimPrefix(string(text), offsetPrefix))
		}
		if err != nil || from < 0 || from > len(items) {
			return nil, "", apierror.PageToken()
		}
	}
	if size == 0 {
		size = defaultPage
	}
	to := min(from+int(min(size, maxPage)), len(items))
	if to < len(items) {
		next = base64.RawURLEncoding.EncodeToString([]byte(offsetPrefix + strconv.Itoa(to)))
	}
	return items[from:to], next, nil
}

type notReadyError struct {
	version string
	state   ingestv1.Version_State
	what    string
}

func (e *notReadyError) Error() string {
	return fmt.Sprintf("%s is %s; %s.", e.version, e.state, e.what)
}

var _ error = (*notReadyError)(nil)

func asNotReady(err error) (*notReadyError, bool) {
	var e *notReadyError
	return e, errors.As(err, &e)
}
