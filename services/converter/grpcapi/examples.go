package grpcapi

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	converterv1 "github.com/trainyard/trainyard/gen/trainyard/converter/v1"
	errorsv1 "github.com/trainyard/trainyard/gen/trainyard/errors/v1"
	"github.com/trainyard/trainyard/services/converter/convert"
	"github.com/trainyard/trainyard/services/converter/examples"
	"github.com/trainyard/trainyard/services/internal/apierror"
	"github.com/trainyard/trainyard/services/internal/auth"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
)

const (
	defaultExamples = 24
	maxExamples     = 100
	// maxShards is how many shards a page may go through. More than that are looked into by the next one.
	maxShards = 256
	// namesShown is how many names a refusal lists.
	namesShown = 20
)

// examplesToken is a page token of ListExamples.
type examplesToken struct {
	Query string            `json:"q"` // Of what was asked for; see queryOf.
	Shard int               `json:"s"` // Among those of the split.
	From  examples.Position `json:"f"`
}

// ListExamples reads examples back from the shards.
func (s *Server) ListExamples(ctx context.Context, req *converterv1.ListExamplesRequest) (*converterv1.ListExamplesResponse, error) {
	project, err := auth.Project(ctx)
	if err != nil {
		return nil, err
	}
	var manifest convert.Manifest
	prefix, err := s.document(ctx, req.GetParent(), convert.ManifestName, &manifest)
	if err != nil {
		return nil, toStatus(err)
	}
	request, err := examplesRequest(&manifest, req)
	if err != nil {
		return nil, err
	}
	from := examplesToken{Query: queryOf(req)}
	if text := req.GetPageToken(); text != "" {
		var token examplesToken
		data, err := base64.RawURLEncoding.DecodeString(text)
		if err != nil || json.Unmarshal(data, &token) != nil || token.Query != from.Query || token.From.Shard != 0 || token.Shard < 0 || token.Shard >= len(request.Shards) {
			return nil, apierror.PageToken()
		}
		from = token
	}
	all := len(request.Shards)
	request.From, request.Shards = from.From, request.Shards[from.Shard:min(all, from.Shard+maxShards)]
	page, err := s.ReadExamples(ctx, project, prefix, request)
	if errors.Is(err, examples.ErrPosition) {
		return nil, apierror.PageToken()
	}
	if err != nil {
		return nil, fmt.Errorf("read examples of %s: %w", req.GetParent(), err)
	}
	res := &converterv1.ListExamplesResponse{}
	for _, data := range page.Examples {
		example := &converterv1.Example{}
		if err := proto.Unmarshal(data, example); err != nil {
			return nil, fmt.Errorf("an example as the worker process told it: %w", err)
		}
		res.Examples = append(res.Examples, example)
	}
	next := examplesToken{Query: from.Query, Shard: from.Shard + len(request.Shards)}
	if page.Next != nil {
		next.Shard, next.From = from.Shard+page.Next.Shard, examples.Position{Cursor: page.Next.Cursor}
	}
	if next.Shard < all {
		data, err := json.Marshal(next)
		if err != nil {
			return nil, err
		}
		res.NextPageToken = base64.RawURLEncoding.EncodeToString(data)
	}
	return res, nil
}

// queryOf is short for what a page was asked of.
func queryOf(req *converterv1.ListExamplesRequest) string {
	sum := sha256.Sum256([]byte(strings.Join([]string{req.GetParent(), req.GetSplit(), req.GetClass()}, "\x00")))
	return base64.RawURLEncoding.EncodeToString(sum[:6])
}

// examplesRequest chooses from a manifest what is asked for.
func examplesRequest(m *convert.Manifest, req *converterv1.ListExamplesRequest) (examples.Request, error) {
	r := examples.Request{Label: examples.All, Limit: int(min(cmp.Or(req.GetPageSize(), defaultExamples), maxExamples))}
	if m.Options.Compression != convert.NoCompression {
		return r, apierror.New(codes.FailedPrecondition, errorsv1.ErrorReason_WRONG_STATE, fmt.Sprintf(
			"The shards of %s are compressed (%s), so that examples can't be read out of them; download the shards, or convert it again without compression.",
			req.GetParent(), m.Options.Compression), "compression", string(m.Options.Compression))
	}
	if class := req.GetClass(); class != "" {
		i := slices.IndexFunc(m.Classes, func(c convert.Class) bool { return c.Name == class })
		if i < 0 {
			return r, noSuch("class", class, m.Classes, func(c convert.Class) string { return c.Name })
		}
		if !indexed(m) {
			return r, apierror.New(codes.FailedPrecondition, errorsv1.ErrorReason_WRONG_STATE,
				req.GetParent()+" was converted before examples were indexed by class; list them without a class, or upload it again as a new version.")
		}
		r.Label = m.Classes[i].Label
	}
	if split := req.GetSplit(); split != "" && !slices.ContainsFunc(m.Splits, func(s convert.SplitSummary) bool { return string(s.Name) == split }) {
		return r, noSuch("split", split, m.Splits, func(s convert.SplitSummary) string { return string(s.Name) })
	}
	for _, f := range m.Files {
		if f.Name == "features.json" || strings.HasSuffix(f.Name, ".labels.txt") {
			r.Files = append(r.Files, examples.File{Name: f.Name, Bytes: f.Bytes})
		}
	}
	for _, shard := range m.Shards {
		if req.GetSplit() != "" && string(shard.Split) != req.GetSplit() || r.Label != examples.All && shard.Index.Name == "" {
			continue
		}
		r.Shards = append(r.Shards, examples.Shard{
			Name: shard.Name, Split: string(shard.Split), Bytes: shard.Bytes, Examples: shard.Examples, Index: shard.Index.Name, IndexBytes: shard.Index.Bytes,
		})
	}
	return r, nil
}

// indexed tells whether a dataset's labels are indexed, or it has none.
func indexed(m *convert.Manifest) bool {
	return slices.ContainsFunc(m.Shards, func(s convert.Shard) bool { return s.Index.Name != "" }) ||
		!slices.ContainsFunc(m.Classes, func(c convert.Class) bool { return c.Examples > 0 || c.Objects > 0 })
}

// noSuch names the splits or classes that there are.
func noSuch[T any](field, value string, all []T, name func(T) string) error {
	if len(all) == 0 {
		return apierror.Invalid(field, fmt.Sprintf("There is no %s %q; this dataset has none.", field, value))
	}
	names := make([]string, 0, namesShown)
	for _, one := range all[:min(len(all), namesShown)] {
		names = append(names, fmt.Sprintf("%q", name(one)))
	}
	list := strings.Join(names, ", ")
	if more := len(all) - len(names); more > 0 {
		list += fmt.Sprintf(" and %d more", more)
	}
	return apierror.Invalid(field, fmt.Sprintf("There is no %s %q; there are: %s.", field, value, list))
}
