package basedataset_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	ingestv1 "github.com/trainyard/trainyard/gen/trainyard/ingest/v1"
	"github.com/trainyard/trainyard/services/internal/awscfg"
	"github.com/trainyard/trainyard/services/internal/store"
	"github.com/trainyard/trainyard/services/internal/testkit"
	"github.com/trainyard/trainyard/services/training/internal/basedataset"
	"github.com/trainyard/trainyard/services/training/internal/job"
	"github.com/trainyard/trainyard/services/training/migrations"
)

// versions are READY versions by project and name.
type versions map[string]map[string]*ingestv1.Version

func (v versions) Ready(_ context.Context, project, name, field string) (*ingestv1.Version, error) {
	if field != "dataset_version" {
		return nil, fmt.Errorf("the field is called %q", field)
	}
	if found := v[project][name]; found != nil {
		return found, nil
	}
	return nil, &job.NotFoundError{Name: name}
}

const here = "us-east-1"

// world is a catalog of projects a and b, each with two versions, and the operator's base dataset `operators`.
type world struct {
	*basedataset.Catalog
	t      *testing.T
	cloud  *testkit.Cloud
	client *s3.Client
	all    versions
}

func newWorld(t *testing.T, cloud *testkit.Cloud, dsn string) *world {
	t.Helper()
	db, err := store.Open(t.Context(), dsn, "training", migrations.FS)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	operators, err := basedataset.Parse([]byte("- {id: operators, storage: s3, uri: s3://elsewhere/base/, mix_ratio: 0.25}"), here)
	if err != nil {
		t.Fatal(err)
	}
	roots, err := basedataset.ParseRoots([]string{"fs-00000001:/bases", "fs-00000002:mountone:/"}, here)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, cloud: cloud, client: awscfg.S3(cloud.AWS), all: versions{"a": {}, "b": {}}}
	w.Catalog = &basedataset.Catalog{Region: here, Operator: operators, Roots: roots, Versions: w.all, S3: w.client, DB: db}
	for project := range w.all {
		w.add(project, "datasets/digits/versions/1")
		w.add(project, "datasets/digits/versions/2")
	}
	return w
}

const (
	manifest = `{"shards":[]}`
	features = `{"featuresDict":{"features":{
		"image":{"pythonClassName":"tensorflow_datasets.core.features.image_feature.Image","image":{"shape":{"dimensions":["-1","-1","1"]}}},
		"label":{"pythonClassName":"tensorflow_datasets.core.features.class_label_feature.ClassLabel"}}}}`
)

func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// add makes a READY version with what lies beside its shards.
func (w *world) add(project, name string) *ingestv1.Version {
	w.t.Helper()
	prefix := "datasets/" + project + "/" + name + "/"
	w.put(prefix+"features.json", features)
	w.put(prefix+"manifest.json", manifest)
	v := &ingestv1.Version{
		Name: name, State: ingestv1.Version_READY, Uri: "s3://" + w.cloud.Bucket + "/" + prefix, ManifestSha256: digest(manifest),
		ExampleCount: 100, ConvertedBytes: 12345, ShardCount: 3,
		Classes: []*ingestv1.ClassCount{{Name: "zero"}, {Name: "one"}}, Splits: []*ingestv1.Split{{Name: "train", ExampleCount: 80}},
	}
	w.all[project][name] = v
	return v
}

func (w *world) put(key, body string) {
	w.t.Helper()
	_, err := w.client.PutObject(w.t.Context(), &s3.PutObjectInput{Bucket: &w.cloud.Bucket, Key: aws.String(key), Body: strings.NewReader(body)})
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) publish(project string, change func(*basedataset.Publication)) (*basedataset.BaseDataset, error) {
	p := basedataset.Publication{ID: "digits", DatasetVersion: "datasets/digits/versions/1"}
	if change != nil {
		change(&p)
	}
	return w.Publish(w.t.Context(), project, p)
}

func (w *world) published(project string, change func(*basedataset.Publication)) *basedataset.BaseDataset {
	w.t.Helper()
	b, err := w.publish(project, change)
	if err != nil {
		w.t.Fatal(err)
	}
	return b
}

func (w *world) ids(project, after string, limit int) []string {
	w.t.Helper()
	page, more, err := w.List(w.t.Context(), project, after, limit)
	if err != nil {
		w.t.Fatal(err)
	}
	var ids []string
	for _, b := range page {
		ids = append(ids, b.ID)
	}
	if more {
		ids = append(ids, "…")
	}
	return ids
}
