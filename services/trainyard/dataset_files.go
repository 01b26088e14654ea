package main

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"time"

	converterv1 "github.com/trainyard/trainyard/gen/trainyard/converter/v1"
	"github.com/trainyard/trainyard/services/trainyard/client"
)

const (
	// manifestFile names all the others; it is fetched last, so that where it is the dataset is whole.
	manifestFile = "manifest.json"
	// signedFor is how long signed URLs are used. They work for an hour.
	signedFor = 45 * time.Minute
)

// datasetFiles are all files of a converted dataset: shards, what lies beside them, and the manifest last.
type datasetFiles struct {
	api                   *client.Client
	version               string
	tfdsName, tfdsVersion string
	files                 []datasetFile
	bytes                 int64
}

type datasetFile struct {
	*converterv1.File
	page *signedPage
}

// signedPage is a page of the list, whose URLs work for a while.
type signedPage struct {
	token  string
	at     time.Time
	byName map[string]string
}

// listDataset lists a READY version's files.
func listDataset(ctx context.Context, api *client.Client, version string) (*datasetFiles, error) {
	d := &datasetFiles{api: api, version: version}
	var manifest []datasetFile
	for token := ""; ; {
		page := &signedPage{token: token}
		listed, err := d.sign(ctx, page)
		if err != nil {
			return nil, err
		}
		d.tfdsName, d.tfdsVersion = listed.GetTfdsName(), listed.GetTfdsVersion()
		for _, f := range filesOf(listed) {
			if !filepath.IsLocal(filepath.FromSlash(f.GetName())) {
				return nil, fmt.Errorf("the server names a file %q outside of the dataset", f.GetName())
			}
			d.bytes += f.GetSizeBytes()
			if f.GetName() == manifestFile {
				manifest = append(manifest, datasetFile{f, page})
			} else {
				d.files = append(d.files, datasetFile{f, page})
			}
		}
		if token = listed.GetNextPageToken(); token == "" {
			d.files = append(d.files, manifest...)
			return d, nil
		}
	}
}

// sign lists a page, which gives its files new URLs.
func (d *datasetFiles) sign(ctx context.Context, page *signedPage) (*converterv1.ListShardsResponse, error) {
	query := url.Values{"pageSize": {"100"}}
	if page.token != "" {
		query.Set("pageToken", page.token)
	}
	page.at = time.Now()
	var listed converterv1.ListShardsResponse
	if err := d.api.Get(ctx, "/v1/"+d.version+"/shards", query, &listed); err != nil {
		return nil, err
	}
	page.byName = map[string]string{}
	for _, f := range filesOf(&listed) {
		page.byName[f.GetName()] = f.GetUrl()
	}
	return &listed, nil
}

func filesOf(listed *converterv1.ListShardsResponse) []*converterv1.File {
	files := make([]*converterv1.File, 0, len(listed.GetShards())+len(listed.GetFiles()))
	for _, s := range listed.GetShards() {
		files = append(files, &converterv1.File{Name: s.GetName(), SizeBytes: s.GetSizeBytes(), Sha256: s.GetSha256(), Url: s.GetUrl()})
	}
	return append(files, listed.GetFiles()...)
}

// download fetches all files into a folder. Those that are there and right are kept.
func (d *datasetFiles) download(ctx context.Context, folder string, out *output) error {
	defer out.endBar()
	var before int64
	kept := 0
	for _, f := range d.files {
		path := filepath.Join(folder, filepath.FromSlash(f.GetName()))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil { //nolint:gosec // A dataset is no secret of the machine.
			return err
		}
		there, err := download(ctx, artifact{
			size: f.GetSizeBytes(), sha256: f.GetSha256(),
			sign:     func(ctx context.Context) (string, error) { return d.url(ctx, f) },
			progress: func(done int64) { out.progress("download", f.GetName(), before+done, d.bytes, true) },
		}, path)
		if err != nil {
			out.endBar()
			return withHint(ctx, fmt.Errorf("%s: %w", f.GetName(), err), "run the same command again to go on")
		}
		if there {
			kept++
		}
		before += f.GetSizeBytes()
	}
	if kept > 0 {
		out.note("%d of %d files were there already", kept, len(d.files))
	}
	return nil
}

func (d *datasetFiles) url(ctx context.Context, f datasetFile) (string, error) {
	if time.Since(f.page.at) > signedFor {
		if _, err := d.sign(ctx, f.page); err != nil {
			return "", err
		}
	}
	return f.page.byName[f.GetName()], nil
}
