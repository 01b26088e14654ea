package main

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"
	errorsv1 "github.com/trainyard/trainyard/gen/trainyard/errors/v1"
	trainingv1 "github.com/trainyard/trainyard/gen/trainyard/training/v1"
	"github.com/trainyard/trainyard/services/trainyard/client"
)

type pullCommand struct {
	connection
	Model string `arg:"" help:"The model: its name, its job's name, or their ID. Or a converted dataset: datasets/DATASET/versions/NUMBER, or datasets/DATASET for its newest READY version."`
	Out   string `short:"o" name:"output" required:"" type:"path" help:"Folder for model.tar.gz and what is in it, or for the dataset."`
}

func (c *pullCommand) Run(ctx context.Context) error {
	api, err := c.client()
	if err != nil {
		return err
	}
	out := newOutput(c.JSON)
	if strings.HasPrefix(c.Model, "datasets/") {
		return pullDataset(ctx, api, c.Model, c.Out, out)
	}
	model := &trainingv1.Model{}
	if err := api.Get(ctx, "/v1/models/"+id(c.Model), nil, model); err != nil {
		if client.Is(err, errorsv1.ErrorReason_RESOURCE_NOT_FOUND) && !strings.Contains(c.Model, "/") {
			return fmt.Errorf("%w (a converted dataset is pulled by its name, such as datasets/%s)", err, c.Model)
		}
		return err
	}
	if err := os.MkdirAll(c.Out, 0o755); err != nil { //nolint:gosec // A model is no secret of the machine.
		return err
	}
	archive := filepath.Join(c.Out, "model.tar.gz")
	there, err := download(ctx, artifactOf(api, model, out), archive)
	if err != nil {
		out.endBar()
		return withHint(ctx, err, "run the same command again to go on")
	}
	if there {
		out.note("%s is there already", archive)
	}
	if err := extract(archive, c.Out); err != nil {
		return err
	}
	out.endBar()
	out.result(model, fmt.Sprintf("%s is in %s (SHA-256 checked)", model.GetName(), c.Out))
	return nil
}

// id takes the id out of a name, so that a model is found by its job's name too, and makes it safe in a path.
func id(name string) string {
	_, last, ok := strings.Cut(name, "/")
	if !ok {
		last = name
	}
	return url.PathEscape(last)
}

func artifactOf(api *client.Client, model *trainingv1.Model, out *output) artifact {
	return artifact{
		size: model.GetSizeBytes(), sha256: model.GetSha256(),
		sign: func(ctx context.Context) (string, error) {
			var signed trainingv1.DownloadModelResponse
			err := api.Get(ctx, "/v1/"+model.GetName()+":download", nil, &signed)
			return signed.GetUrl(), err
		},
		progress: func(done int64) { out.progress("download", "", done, model.GetSizeBytes(), true) },
	}
}

// artifact is what is downloaded.
type artifact struct {
	size     int64
	sha256   string
	sign     func(context.Context) (string, error) // a URL that works for a while
	progress func(done int64)                      // in bytes
}

// download fetches an artifact, going on where an earlier try stopped. What stands under the path is whole, and its SHA-256 right, whatever
// crashes. there tells that it was so before.
func download(ctx context.Context, a artifact, path string) (there bool, err error) {
	if isFile(path, a.size, a.sha256) {
		a.progress(a.size)
		return true, nil
	}
	partial := path + partialSuffix
	f, err := os.OpenFile(partial, os.O_CREATE|os.O_RDWR, 0o644) //nolint:gosec // The user names the folder.
	if err != nil {
		return false, err
	}
	defer f.Close()
	_, err = backoff.Retry(ctx, func() (struct{}, error) {
		signed, err := a.sign(ctx)
		if err != nil {
			return struct{}{}, backoff.Permanent(err)
		}
		return struct{}{}, downloadRest(ctx, signed, f, a)
	}, backoff.WithMaxTries(8))
	if err != nil {
		return false, err
	}
	sum, err := fileSHA256(partial)
	if err != nil {
		return false, err
	}
	if sum != a.sha256 {
		return false, errors.Join(fmt.Errorf("the download's SHA-256 is %s and should be %s", sum, a.sha256), os.Remove(partial))
	}
	if err := errors.Join(f.Sync(), os.Rename(partial, path)); err != nil {
		return false, err
	}
	return false, syncFolder(filepath.Dir(path))
}

// partialSuffix ends the name of a file that isn't whole yet.
const partialSuffix = ".partial"

func isFile(path string, size int64, sha256 string) bool {
	info, err := os.Stat(path)
	if err != nil || info.Size() != size {
		return false
	}
	sum, err := fileSHA256(path)
	return err == nil && sum == sha256
}

// syncFolder has a rename outlive a crash of the machine.
func syncFolder(dir string) error {
	f, err := os.Open(dir) //nolint:gosec // The user names the folder.
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

func downloadRest(ctx context.Context, address string, f *os.File, a artifact) error {
	have, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return backoff.Permanent(err)
	}
	if have == a.size {
		return nil
	}
	if have > a.size {
		have = 0
		if err := f.Truncate(0); err != nil {
			return backoff.Permanent(err)
		}
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return backoff.Permanent(err)
		}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return backoff.Permanent(errors.New("the signed URL can't be read"))
	}
	want := http.StatusOK
	if have > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", have))
		want = http.StatusPartialContent
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		var withURL *url.Error // The URL is a credential; it stays out of messages.
		if errors.As(err, &withURL) {
			err = withURL.Err
		}
		return fmt.Errorf("S3 can't be reached: %w", err)
	}
	defer res.Body.Close()
	if res.StatusCode != want {
		return fmt.Errorf("S3 answered %s", res.Status)
	}
	buffer := make([]byte, 256<<10)
	for {
		n, err := res.Body.Read(buffer)
		if _, err := f.Write(buffer[:n]); err != nil {
			return backoff.Permanent(err)
		}
		have += int64(n)
		a.progress(have)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
	}
	if have != a.size {
		return fmt.Errorf("got %d of %d bytes", have, a.size)
	}
	return nil
}

func fileSHA256(path string) (string, error) {
	f, err := os.Open(path) //nolint:gosec // The user names the folder.
	if err != nil {
		return "", err
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// extract unpacks the archive into dir. os.Root keeps every path inside, whatever the archive says; links are left out.
func extract(archive, dir string) error {
	f, err := os.Open(archive) //nolint:gosec // Ours, just downloaded.
	if err != nil {
		return err
	}
	defer f.Close()
	unzipped, err := gzip.NewReader(f)
	if err != nil {
		return fmt.Errorf("%s: %w", archive, err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	entries := tar.NewReader(unzipped)
	for {
		header, err := entries.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: %w", archive, err)
		}
		name := filepath.Clean(header.Name)
		switch header.Typeflag {
		case tar.TypeDir:
			err = root.MkdirAll(name, 0o755)
		case tar.TypeReg:
			err = extractFile(root, name, entries, header.ModTime)
		}
		if err != nil {
			return fmt.Errorf("%s: %s: %w", archive, name, err)
		}
	}
}

func extractFile(root *os.Root, name string, content io.Reader, modTime time.Time) error {
	if err := root.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	f, err := root.Create(name)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, content) //nolint:gosec // The size was checked by the artifact's digest: it is what the job wrote.
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return root.Chtimes(name, modTime, modTime)
}
