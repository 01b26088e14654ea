package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	converterv1 "github.com/trainyard/trainyard/gen/trainyard/converter/v1"
	ingestv1 "github.com/trainyard/trainyard/gen/trainyard/ingest/v1"
	"github.com/trainyard/trainyard/services/trainyard/client"
)

// pullDataset downloads a converted dataset to DIR/NAME/VERSION, where tfds.builder_from_directory finds it. Files that are there already
// and right are not fetched again, so that the same command goes on after an interruption.
func pullDataset(ctx context.Context, api *client.Client, name, dir string, out *output) error {
	version, err := readyVersion(ctx, api, name)
	if err != nil {
		return err
	}
	var converted ingestv1.Version
	if err := api.Get(ctx, "/v1/"+version, nil, &converted); err != nil {
		return err
	}
	folder := ""
	query := url.Values{"pageSize": {"100"}}
	for {
		var page converterv1.ListShardsResponse
		if err := api.Get(ctx, "/v1/"+version+"/shards", query, &page); err != nil {
			return err
		}
		folder = filepath.Join(dir, filepath.Base(page.GetTfdsName()), filepath.Base(page.GetTfdsVersion()))
		for _, s := range page.GetShards() {
			page.Files = append(page.Files, &converterv1.File{Name: s.GetName(), SizeBytes: s.GetSizeBytes(), Sha256: s.GetSha256(), Url: s.GetUrl()})
		}
		for _, f := range page.GetFiles() {
			if err := pullFile(ctx, f, folder, out); err != nil {
				out.endBar()
				return withHint(ctx, err, "run the same command again to go on")
			}
		}
		if page.GetNextPageToken() == "" {
			break
		}
		query.Set("pageToken", page.GetNextPageToken())
	}
	out.endBar()
	out.result(&ingestv1.Version{Name: version}, fmt.Sprintf("%s is in %s (SHA-256 checked); %s", version, folder, openedBy(converted.GetConversion())))
	return nil
}

// openedBy says what reads the shards of a dataset that was converted so.
func openedBy(options *ingestv1.ConversionOptions) string {
	if options.GetCompression() == ingestv1.ConversionOptions_GZIP {
		return `tf.data.TFRecordDataset(files, compression_type="GZIP") reads its shards`
	}
	return "tfds.builder_from_directory opens it"
}

func pullFile(ctx context.Context, f *converterv1.File, folder string, out *output) error {
	path := filepath.Join(folder, filepath.FromSlash(f.GetName()))
	if !filepath.IsLocal(filepath.FromSlash(f.GetName())) {
		return fmt.Errorf("the server names a file %q outside of the dataset", f.GetName())
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil { //nolint:gosec // A dataset is no secret of the machine.
		return err
	}
	return download(ctx, artifact{f.GetSizeBytes(), f.GetSha256(), func(context.Context) (string, error) { return f.GetUrl(), nil }}, path, out)
}

// readyVersion gives the name of a version that was named in short, or of a dataset's newest READY one.
func readyVersion(ctx context.Context, api *client.Client, text string) (string, error) {
	parts := strings.Split(strings.Trim(text, "/"), "/")
	switch {
	case len(parts) == 4 && parts[0] == "datasets" && parts[2] == "versions":
		parts = []string{parts[1], parts[3]}
	case len(parts) == 2 && parts[0] == "datasets":
		parts = parts[1:]
	}
	switch {
	case len(parts) > 2 || slices.Contains(parts, ""):
		return "", fmt.Errorf("%q is no version: want one such as photos/1, or photos for its newest", text)
	case len(parts) == 2:
		return fmt.Sprintf("datasets/%s/versions/%s", url.PathEscape(parts[0]), url.PathEscape(parts[1])), nil
	}
	var versions ingestv1.ListVersionsResponse // Newest first.
	if err := api.Get(ctx, "/v1/datasets/"+url.PathEscape(parts[0])+"/versions", url.Values{"pageSize": {"1000"}}, &versions); err != nil {
		return "", err
	}
	for _, v := range versions.GetVersions() {
		if v.GetState() == ingestv1.Version_READY {
			return v.GetName(), nil
		}
	}
	return "", errors.New("datasets/" + parts[0] + " has no READY version yet")
}
