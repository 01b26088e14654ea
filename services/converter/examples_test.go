package converter_test

import (
	"bytes"
	"fmt"
	"image/jpeg"
	"path"
	"strings"
	"sync"
	"testing"

	converterv1 "github.com/trainyard/trainyard/gen/trainyard/converter/v1"
	errorsv1 "github.com/trainyard/trainyard/gen/trainyard/errors/v1"
	ingestv1 "github.com/trainyard/trainyard/gen/trainyard/ingest/v1"
	"github.com/trainyard/trainyard/services/converter"
	"github.com/trainyard/trainyard/services/internal/apierror"
	"github.com/trainyard/trainyard/services/internal/testkit"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestExamplesAreReadBack(t *testing.T) {
	s := newSuite(t, testkit.SQLite(t), func(c *converter.Config) { c.ShardBytes = 1 << 20 })
	const images = 60
	version := s.wait(s.upload("pets.zip", heavy(images), nil))
	if version.GetState() != ingestv1.Version_READY {
		t.Fatalf("%v", version.GetError())
	}

	// all reads all pages.
	all := func(req *converterv1.ListExamplesRequest) []*converterv1.Example {
		var found []*converterv1.Example
		req.Parent = version.GetName()
		for range images + 1 {
			res, err := s.results.ListExamples(t.Context(), req)
			if err != nil {
				t.Fatalf("%v: %v", req, err)
			}
			found = append(found, res.GetExamples()...)
			if req.PageToken = res.GetNextPageToken(); req.GetPageToken() == "" {
				return found
			}
		}
		t.Fatal("the pages don't end")
		return nil
	}
	everything := all(&converterv1.ListExamplesRequest{PageSize: 7})
	seen := map[string]*converterv1.Example{}
	for _, e := range everything {
		shown := map[string]*converterv1.Feature{}
		for _, f := range e.GetFeatures() {
			shown[f.GetName()] = f
		}
		file := shown["filename"].GetTexts().GetValues()[0]
		seen[file] = e
		picture := shown["image"].GetImage()
		if small, err := jpeg.DecodeConfig(bytes.NewReader(picture.GetThumbnail())); err != nil || small.Width != 12 || picture.GetWidth() != 12 || picture.GetEncoding() != "png" {
			t.Errorf("%s: %v, %v", file, picture, err)
		}
		if e.GetClass() != path.Base(path.Dir(file)) || e.GetClass() != shown["label"].GetLabels().GetNames()[0] {
			t.Errorf("%s is of class %q", file, e.GetClass())
		}
		if !strings.Contains(e.GetShard(), "-"+e.GetSplit()+".tfrecord-") || e.GetId() != fmt.Sprintf("%s__%d", e.GetShard(), e.GetIndex()) {
			t.Errorf("%s: %s, %s, %d", e.GetId(), e.GetSplit(), e.GetShard(), e.GetIndex())
		}
	}
	if len(seen) != images || len(everything) != images {
		t.Errorf("%d examples of %d files, want %d", len(everything), len(seen), images)
	}

	// By split and class the same come in the same order.
	for _, split := range version.GetSplits() {
		for _, class := range []string{"", "cat", "dog"} {
			var want, got []string
			for _, e := range everything {
				if e.GetSplit() == split.GetName() && (class == "" || e.GetClass() == class) {
					want = append(want, e.GetId())
				}
			}
			for _, e := range all(&converterv1.ListExamplesRequest{PageSize: 3, Split: split.GetName(), Class: class}) {
				got = append(got, e.GetId())
			}
			if strings.Join(got, " ") != strings.Join(want, " ") {
				t.Errorf("%s, %q: %v, want %v", split.GetName(), class, got, want)
			}
		}
	}

	t.Run("what there isn't is refused by name", func(t *testing.T) {
		first, err := s.results.ListExamples(t.Context(), &converterv1.ListExamplesRequest{Parent: version.GetName(), PageSize: 2})
		check(t, err)
		for name, test := range map[string]struct {
			req  *converterv1.ListExamplesRequest
			says string
		}{
			"split":                   {&converterv1.ListExamplesRequest{Split: "dev"}, `"train"`},
			"class":                   {&converterv1.ListExamplesRequest{Class: "Cat"}, `"cat", "dog"`},
			"token":                   {&converterv1.ListExamplesRequest{PageToken: "x"}, "page_token"},
			"token of another filter": {&converterv1.ListExamplesRequest{PageToken: first.GetNextPageToken(), Class: "cat"}, "page_token"},
		} {
			test.req.Parent = version.GetName()
			if _, err := s.results.ListExamples(t.Context(), test.req); status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), test.says) {
				t.Errorf("%s: %v", name, err)
			}
		}
	})

	t.Run("of another project or not ready", func(t *testing.T) {
		other := converterv1.NewConverterServiceClient(s.server.User("other"))
		if _, err := other.ListExamples(t.Context(), &converterv1.ListExamplesRequest{Parent: version.GetName()}); status.Code(err) != codes.NotFound {
			t.Errorf("another's: %v", err)
		}
		failed := s.wait(s.upload("x.zip", zipped(), nil))
		if _, err := s.results.ListExamples(t.Context(), &converterv1.ListExamplesRequest{Parent: failed.GetName()}); !apierror.Is(err, errorsv1.ErrorReason_WRONG_STATE) || apierror.Fact(err, "state") != "FAILED" {
			t.Errorf("failed: %v", err)
		}
	})

	t.Run("compressed shards say so", func(t *testing.T) {
		version := s.wait(s.upload("x.zip", zipped(pictures(20)...), &ingestv1.ConversionOptions{Compression: ingestv1.ConversionOptions_GZIP}))
		if _, err := s.results.ListExamples(t.Context(), &converterv1.ListExamplesRequest{Parent: version.GetName()}); status.Code(err) != codes.FailedPrecondition || !strings.Contains(err.Error(), "compressed") {
			t.Errorf("%v: %v", version.GetState(), err)
		}
	})

	t.Run("many at once", func(t *testing.T) {
		var group sync.WaitGroup
		for range 6 {
			group.Go(func() {
				if res, err := s.results.ListExamples(t.Context(), &converterv1.ListExamplesRequest{Parent: version.GetName()}); err != nil || len(res.GetExamples()) != 24 {
					t.Errorf("%d examples, %v", len(res.GetExamples()), err)
				}
			})
		}
		group.Wait()
	})

	t.Run("formats show a tree", func(t *testing.T) {
		res, err := s.results.ListFormats(t.Context(), &converterv1.ListFormatsRequest{})
		check(t, err)
		for _, f := range res.GetFormats() {
			if !strings.Contains(f.GetExample(), "\n") || len(f.GetExtensions()) == 0 {
				t.Errorf("%s: example %q, extensions %v", f.GetName(), f.GetExample(), f.GetExtensions())
			}
		}
	})
}
