package basedataset_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	ingestv1 "github.com/trainyard/trainyard/gen/trainyard/ingest/v1"
	"github.com/trainyard/trainyard/services/internal/testkit"
	"github.com/trainyard/trainyard/services/training/internal/basedataset"
	"github.com/trainyard/trainyard/services/training/internal/job"
	"github.com/trainyard/trainyard/services/training/region"
)

func isNotFound(err error) bool {
	missing := (*job.NotFoundError)(nil)
	return errors.As(err, &missing)
}

func TestCatalog(t *testing.T) {
	cloud := testkit.NewCloud(t, nil)
	for name, test := range map[string]func(*testing.T, *world){
		"a version is published as it is":               publishedAsItIs,
		"the same again gives the same":                 sameAgain,
		"many at once make one":                         manyAtOnce,
		"other content under a taken id is refused":     takenIDs,
		"what can't be a base dataset is refused":       refusals,
		"a project's are its own":                       tenancy,
		"a list has the operator's and one's own":       lists,
		"an id that the operator takes later stays":     laterOperators,
		"deleting takes it out, and it can come again":  deleting,
		"a file system's directory must be allowed":     places,
		"a manifest that changed is told":               manifests,
		"a project has no more than it may":             limits,
		"S3 away is no fault of the request":            s3Away,
		"what can't be read in the region has no place": unreadableHere,
	} {
		t.Run(name, func(t *testing.T) {
			testkit.EachDatabase(t, func(t *testing.T, dsn string) { test(t, newWorld(t, cloud, dsn)) })
		})
	}
}

func publishedAsItIs(t *testing.T, w *world) {
	w.published("a", func(p *basedataset.Publication) { p.Description, p.MixRatio = "ten digits", 0.75 })
	b, err := w.Find(t.Context(), "a", "digits")
	if err != nil {
		t.Fatal(err)
	}
	if b.DisplayName != "digits" || b.Description != "ten digits" || b.MixRatio != 0.75 || b.DatasetVersion != "datasets/digits/versions/1" ||
		b.ManifestSHA256 != digest(manifest) || b.ExampleCount != 100 || b.SizeBytes != 12345 || b.FileCount != 3 || b.CreateTime.IsZero() ||
		!slices.Equal(b.Labels, []string{"zero", "one"}) ||
		!maps.Equal(b.Features.Classes(), map[string]string{"image": "Image", "label": "ClassLabel"}) || !slices.Equal(b.Features["image"].Shape, []int{-1, -1, 1}) {
		t.Errorf("%+v", b)
	}
	want := basedataset.Location{Region: here, Storage: basedataset.S3, URI: "s3://" + w.cloud.Bucket + "/datasets/a/datasets/digits/versions/1/"}
	if location, _, err := w.Resolve(b); err != nil || location != want {
		t.Errorf("%+v, %v; want %+v", location, err, want)
	}
}

func sameAgain(t *testing.T, w *world) {
	one, two := w.published("a", nil), w.published("a", nil)
	if !one.CreateTime.Equal(two.CreateTime) || one.Locations[0] != two.Locations[0] {
		t.Errorf("%+v\n%+v", one, two)
	}
}

func manyAtOnce(t *testing.T, w *world) {
	var calls sync.WaitGroup
	created := make([]int64, 8)
	for i := range created {
		calls.Go(func() {
			if b, err := w.publish("a", nil); err != nil {
				t.Error(err)
			} else {
				created[i] = b.CreateTime.UnixMicro()
			}
		})
	}
	calls.Wait()
	if slices.Sort(created); created[0] != created[len(created)-1] {
		t.Errorf("more than one was made: %v", created)
	}
}

func takenIDs(t *testing.T, w *world) {
	w.published("a", nil)
	for name, change := range map[string]func(*basedataset.Publication){
		"another version": func(p *basedataset.Publication) { p.DatasetVersion = "datasets/digits/versions/2" },
		"another title":   func(p *basedataset.Publication) { p.DisplayName = "Digits" },
		"another mix":     func(p *basedataset.Publication) { p.MixRatio = 0.1 },
		"another place": func(p *basedataset.Publication) {
			p.FileSystem = &basedataset.Location{Storage: basedataset.EFS, FileSystemID: "fs-00000001", Path: "/bases/a/digits"}
		},
	} {
		_, err := w.publish("a", change)
		if exists := (*basedataset.ExistsError)(nil); !errors.As(err, &exists) || exists.Name != "baseDatasets/digits" || !strings.Contains(err.Error(), "trainyard base delete digits") {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err := w.publish("a", func(p *basedataset.Publication) { p.ID = "operators" })
	if exists := (*basedataset.ExistsError)(nil); !errors.As(err, &exists) || !strings.Contains(err.Error(), "one of the operator's") {
		t.Errorf("the operator's id: %v", err)
	}
}

func refusals(t *testing.T, w *world) {
	w.add("a", "datasets/packed/versions/1").Conversion = &ingestv1.ConversionOptions{Compression: ingestv1.ConversionOptions_GZIP}
	w.add("a", "datasets/untrained/versions/1").Splits = []*ingestv1.Split{{Name: "train"}, {Name: "test", ExampleCount: 9}}
	w.add("a", "datasets/featureless/versions/1").Uri = "s3://" + w.cloud.Bucket + "/datasets/a/nothing/"
	from := func(name string) func(*basedataset.Publication) {
		return func(p *basedataset.Publication) { p.DatasetVersion = "datasets/" + name + "/versions/1" }
	}
	called := func(id string) func(*basedataset.Publication) {
		return func(p *basedataset.Publication) { p.ID = id }
	}
	for name, test := range map[string]struct {
		change      func(*basedataset.Publication)
		field, says string
	}{
		"an id in capitals":             {called("Digits"), "base_dataset_id", "begin with a letter"},
		"a path for an id":              {called("../b"), "base_dataset_id", "begin with a letter"},
		"a channel's name":              {called("validation"), "base_dataset_id", "choose another"},
		"another channel's name":        {called("version-12"), "base_dataset_id", "choose another"},
		"a mix beyond 1":                {func(p *basedataset.Publication) { p.MixRatio = 1.5 }, "mix_ratio", "from 0 to 1"},
		"a text that no database takes": {func(p *basedataset.Publication) { p.Description = "a\x00b" }, "description", "code 0"},
		"a mix that is no number":       {func(p *basedataset.Publication) { p.MixRatio = math.NaN() }, "mix_ratio", "from 0 to 1"},
		"compressed shards":             {from("packed"), "dataset_version", "without compression"},
		"nothing to train on":           {from("untrained"), "dataset_version", "train split"},
		"no features":                   {from("featureless"), "dataset_version", "features.json"},
	} {
		_, err := w.publish("a", test.change)
		if refused := (*basedataset.FieldError)(nil); !errors.As(err, &refused) || refused.Field != test.field || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := w.publish("a", from("nobodys")); !isNotFound(err) {
		t.Errorf("no such version: %v", err)
	}
	if ids := w.ids("a", "", 0); !slices.Equal(ids, []string{"operators"}) {
		t.Errorf("what was refused left %v", ids)
	}
}

func tenancy(t *testing.T, w *world) {
	w.published("a", nil)
	w.add("a", "datasets/secret/versions/1")
	if _, err := w.Find(t.Context(), "b", "digits"); !isNotFound(err) {
		t.Errorf("another project's is found: %v", err)
	}
	if err := w.Delete(t.Context(), "b", "digits"); !isNotFound(err) {
		t.Errorf("another project's is deleted: %v", err)
	}
	if ids := w.ids("b", "", 0); !slices.Equal(ids, []string{"operators"}) {
		t.Errorf("another project's is listed: %v", ids)
	}
	if _, err := w.publish("b", func(p *basedataset.Publication) { p.DatasetVersion = "datasets/secret/versions/1" }); !isNotFound(err) {
		t.Errorf("another project's version is published: %v", err)
	}
	theirs := w.published("b", nil) // The same id, of their own version.
	if uri := theirs.Locations[0].URI; !strings.Contains(uri, "/datasets/b/") {
		t.Errorf("b's lies at %s", uri)
	}
	if mine, err := w.Find(t.Context(), "a", "digits"); err != nil || !strings.Contains(mine.Locations[0].URI, "/datasets/a/") {
		t.Errorf("%+v, %v", mine, err)
	}
}

func lists(t *testing.T, w *world) {
	for _, id := range []string{"zebras", "m-1", "m1", "abc"} {
		w.published("a", func(p *basedataset.Publication) { p.ID = id })
	}
	if ids := w.ids("a", "", 0); !slices.Equal(ids, []string{"abc", "m-1", "m1", "operators", "zebras"}) {
		t.Errorf("%v", ids)
	}
	if ids := w.ids("a", "", 2); !slices.Equal(ids, []string{"abc", "m-1", "…"}) {
		t.Errorf("%v", ids)
	}
	if ids := w.ids("a", "m-1", 3); !slices.Equal(ids, []string{"m1", "operators", "zebras"}) {
		t.Errorf("%v", ids)
	}
}

func laterOperators(t *testing.T, w *world) {
	w.published("a", nil)
	later, err := basedataset.Parse([]byte("- {id: digits, storage: s3, uri: s3://elsewhere/digits/}"), here)
	if err != nil {
		t.Fatal(err)
	}
	w.Operator = append(w.Operator, later...)
	for project, want := range map[string]string{"a": "a", "b": ""} {
		if b, err := w.Find(t.Context(), project, "digits"); err != nil || b.Project != want {
			t.Errorf("%s finds that of %q, %v", project, b.Project, err)
		}
		if ids := w.ids(project, "", 0); !slices.Equal(ids, []string{"digits", "operators"}) {
			t.Errorf("%s lists %v", project, ids)
		}
	}
	w.published("a", nil) // Publishing it again is still the same.
}

func deleting(t *testing.T, w *world) {
	w.published("a", nil)
	if err := w.Delete(t.Context(), "a", "digits"); err != nil {
		t.Fatal(err)
	}
	if err := w.Delete(t.Context(), "a", "digits"); !isNotFound(err) {
		t.Errorf("twice: %v", err)
	}
	if err := w.Delete(t.Context(), "a", "operators"); !errors.As(err, new(*basedataset.OperatorsError)) {
		t.Errorf("the operator's: %v", err)
	}
	if b := w.published("a", func(p *basedataset.Publication) { p.DatasetVersion = "datasets/digits/versions/2" }); b.DatasetVersion != "datasets/digits/versions/2" {
		t.Errorf("%+v", b)
	}
}

func places(t *testing.T, w *world) {
	efs := func(path string) *basedataset.Location {
		return &basedataset.Location{Storage: basedataset.EFS, FileSystemID: "fs-00000001", Path: path}
	}
	lustre := func(mount, path string) *basedataset.Location {
		return &basedataset.Location{Storage: basedataset.Lustre, FileSystemID: "fs-00000002", MountName: mount, Path: path}
	}
	elsewhere := efs("/bases/a/digits")
	elsewhere.Region = "eu-west-1"
	const allowed = "use one under fs-00000001:/bases/a/… or fs-00000002:mountone:/a/…"
	for name, test := range map[string]struct {
		location    *basedataset.Location
		field, says string // Empty when it is good.
	}{
		"EFS":                        {efs("/bases/a/digits"), "", ""},
		"deeper":                     {efs("/bases/a/x/y/z"), "", ""},
		"Lustre":                     {lustre("mountone", "/a/digits"), "", ""},
		"this region":                {&basedataset.Location{Region: here, Storage: basedataset.EFS, FileSystemID: "fs-00000001", Path: "/bases/a/digits"}, "", ""},
		"another project's":          {efs("/bases/b/digits"), "file_system.path", allowed},
		"a project of a longer name": {efs("/bases/ab/digits"), "file_system.path", allowed},
		"the root itself":            {efs("/bases"), "file_system.path", allowed},
		"all of the project's":       {efs("/bases/a"), "file_system.path", allowed},
		"beside the root":            {efs("/basement/a/digits"), "file_system.path", allowed},
		"back out":                   {efs("/bases/a/../b/digits"), "file_system", "without .."},
		"a control character":        {efs("/bases/a/x\ny"), "file_system", "one line"},
		"another file system":        {&basedataset.Location{Storage: basedataset.EFS, FileSystemID: "fs-00000009", Path: "/bases/a/digits"}, "file_system.path", allowed},
		"EFS for Lustre":             {&basedataset.Location{Storage: basedataset.EFS, FileSystemID: "fs-00000002", Path: "/a/digits"}, "file_system.path", allowed},
		"another mount name":         {lustre("mounttwo", "/a/digits"), "file_system.path", allowed},
		"S3":                         {&basedataset.Location{Storage: basedataset.S3, URI: "s3://" + w.cloud.Bucket + "/datasets/b/"}, "file_system.storage", "leave it out"},
		"EFS with a URI":             {&basedataset.Location{Storage: basedataset.EFS, URI: "s3://x/y/", FileSystemID: "fs-00000001", Path: "/bases/a/digits"}, "file_system", "uri belongs"},
		"another region":             {elsewhere, "file_system.region", "jobs run in us-east-1"},
	} {
		_, err := w.publish("a", func(p *basedataset.Publication) {
			p.ID, p.FileSystem = "p-"+strings.ToLower(strings.NewReplacer(" ", "-", "'", "").Replace(name)), test.location
		})
		refused := (*basedataset.FieldError)(nil)
		switch {
		case test.field == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case test.field != "" && (!errors.As(err, &refused) || refused.Field != test.field || !strings.Contains(err.Error(), test.says)):
			t.Errorf("%s: %v", name, err)
		}
	}
	var err error
	if w.Capabilities, err = region.Parse([]byte("regions: {us-east-1: {fsx_lustre: false, why: a test}}")); err != nil {
		t.Fatal(err)
	}
	_, err = w.publish("a", func(p *basedataset.Publication) { p.FileSystem = lustre("mountone", "/a/unsupported") })
	if refused := (*basedataset.FieldError)(nil); !errors.As(err, &refused) || refused.Field != "file_system" || !strings.Contains(err.Error(), "not supported by SageMaker in us-east-1") {
		t.Errorf("Lustre where it isn't supported: %v", err)
	}
	w.Roots = nil
	_, err = w.publish("a", func(p *basedataset.Publication) { p.FileSystem = efs("/bases/a/digits") })
	if refused := (*basedataset.FieldError)(nil); !errors.As(err, &refused) || refused.Field != "file_system" || !strings.Contains(err.Error(), "--publish-roots") {
		t.Errorf("no root: %v", err)
	}
}

func manifests(t *testing.T, w *world) {
	b := w.published("a", nil)
	at := b.Locations[0]
	pin := func(b *basedataset.BaseDataset, l basedataset.Location) (string, error) {
		return basedataset.PinManifest(t.Context(), w.client, b, l)
	}
	if sum, err := pin(b, at); err != nil || sum != digest(manifest) {
		t.Errorf("unchanged: %q, %v", sum, err)
	}
	_, key, _ := strings.Cut(strings.TrimPrefix(at.URI, "s3://"), "/")
	w.put(key+"manifest.json", "{}")
	_, err := pin(b, at)
	if changed := (*basedataset.ManifestError)(nil); !errors.As(err, &changed) || changed.Have != digest("{}") || !strings.Contains(err.Error(), "changed since it was published") {
		t.Errorf("changed: %v", err)
	}
	if sum, err := pin(&basedataset.BaseDataset{ID: "x"}, at); err != nil || sum != digest("{}") {
		t.Errorf("without a digest, what is there is pinned: %q, %v", sum, err)
	}
	if _, err := w.client.DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: &w.cloud.Bucket, Key: aws.String(key + "manifest.json")}); err != nil {
		t.Fatal(err)
	}
	_, err = pin(b, at)
	if changed := (*basedataset.ManifestError)(nil); !errors.As(err, &changed) || !strings.Contains(err.Error(), "is gone") {
		t.Errorf("gone: %v", err)
	}
	if sum, err := pin(&basedataset.BaseDataset{ID: "x"}, at); err != nil || sum != "" {
		t.Errorf("none and none wanted: %q, %v", sum, err)
	}
	efs := basedataset.Location{Region: here, Storage: basedataset.EFS, FileSystemID: "fs-00000001", Path: "/bases/a/digits"}
	if sum, err := pin(b, efs); err != nil || sum != digest(manifest) {
		t.Errorf("on a file system the training program compares: %q, %v", sum, err)
	}
	nowhere := basedataset.Location{Region: here, Storage: basedataset.S3, URI: "s3://no-such-bucket/x/"}
	if _, err := pin(b, nowhere); !errors.As(err, new(*basedataset.UnavailableError)) {
		t.Errorf("no bucket: %v", err)
	}
}

func limits(t *testing.T, w *world) {
	for i := range 500 {
		w.published("a", func(p *basedataset.Publication) { p.ID = fmt.Sprint("x", i) })
	}
	if _, err := w.publish("a", nil); !errors.As(err, new(*basedataset.LimitError)) {
		t.Errorf("one more: %v", err)
	}
	w.published("a", func(p *basedataset.Publication) { p.ID = "x1" }) // That is there already.
	w.published("b", nil)
}

func s3Away(t *testing.T, w *world) {
	ctx, cancel := context.WithCancel(t.Context())
	w.S3 = away{w.client, cancel}
	_, err := w.Publish(ctx, "a", basedataset.Publication{ID: "digits", DatasetVersion: "datasets/digits/versions/1"})
	if !errors.As(err, new(*basedataset.UnavailableError)) {
		t.Errorf("%v", err)
	}
}

// away loses the connection to S3 when it is asked.
type away struct {
	*s3.Client
	cut func()
}

func (a away) GetObject(ctx context.Context, in *s3.GetObjectInput, options ...func(*s3.Options)) (*s3.GetObjectOutput, error) {
	a.cut()
	return a.Client.GetObject(ctx, in, options...)
}

func unreadableHere(t *testing.T, w *world) {
	b := w.published("a", nil)
	w.Region = "cn-north-1"
	_, _, err := w.Resolve(b)
	if nowhere := (*basedataset.LocationError)(nil); !errors.As(err, &nowhere) || !slices.Equal(nowhere.Regions, []string{here}) {
		t.Errorf("%v", err)
	}
}

func TestParseRootsIsStrict(t *testing.T) {
	for text, says := range map[string]string{
		"fs-00000001:/bases": "", "fs-00000001:/": "", "fs-00000002:mountone:/": "", "fs-00000001:/a fs-00000001:/b": "", "fs-00000001:/a fs-00000002:/a": "",
		"": "must be written", "fs-00000001": "must be written", "fs-00000001:/a:b:c": "must be written", "/bases": "must be written",
		"fs-00000001:bases": "from the file system's root", "fs-00000001:/bases/": "without ..", "fs-00000001:/a/../b": "without ..",
		"efs-1:/bases": "fs-0123456789abcdef0", "fs-00000002:mount_is_long:/": "MountName", "fs-00000002:fsx:/fsx/bases": "added by itself",
		"fs-00000001:/ fs-00000001:/bases": "one within the other", "fs-00000001:/bases fs-00000001:/bases": "one within the other",
		"fs-00000001:/bases/x fs-00000001:/bases": "one within the other",
	} {
		_, err := basedataset.ParseRoots(strings.Split(text, " "), here)
		if says == "" && err != nil || says != "" && (err == nil || !strings.Contains(err.Error(), says)) {
			t.Errorf("%q: %v", text, err)
		}
	}
}
