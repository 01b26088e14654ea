package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"strings"

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
	files, err := listDataset(ctx, api, version)
	if err != nil {
		return err
	}
	folder := filepath.Join(dir, filepath.Base(files.tfdsName), filepath.Base(files.tfdsVersion))
	if err := files.download(ctx, folder, out); err != nil {
		return err
	}
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

// readyVersion gives the name of a version that was named in short, or of a dataset's newest READY one.
func readyVersion(ctx context.Context, api *client.Client, text string) (string, error) {
	parts := strings.Split(strings.Trim(text, "/"), "/")
	switch {
	case len(parts) == 4 && parts[0] == "datasets" && parts[2] == "versions":
		parts = []string{parts[1], parts[3]}
	case len(parts) == 3 && parts[1] == "versions":
		parts = []string{parts[0], parts[2]}
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
