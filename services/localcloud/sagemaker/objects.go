package sagemaker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"
	"golang.org/x/sync/errgroup"
)

// object is one object of a channel; name is its place in the channel's folder.
type object struct{ bucket, key, name string }

// objects are what an S3 data source holds, in their order there.
func (s *Service) objects(ctx context.Context, d *types.S3DataSource) iter.Seq2[object, error] {
	bucket, key, err := parseS3URI(*d.S3Uri)
	switch {
	case err != nil:
		return func(yield func(object, error) bool) { yield(object{}, err) }
	case d.S3DataType == types.S3DataTypeManifestFile:
		return s.manifest(ctx, *d.S3Uri, bucket, key)
	}
	return s.list(ctx, bucket, key)
}

// share is every count-th object, from the index-th: a host's share of a channel.
func share(all iter.Seq2[object, error], index, count int) iter.Seq2[object, error] {
	return func(yield func(object, error) bool) {
		n := 0
		for o, err := range all {
			if (err != nil || n%count == index) && !yield(o, err) {
				return
			}
			n++
		}
	}
}

// list gives every object whose key begins with prefix, named by the key's part after the prefix's last slash. Keys that
// end in a slash are folders and are left out.
func (s *Service) list(ctx context.Context, bucket, prefix string) iter.Seq2[object, error] {
	base := prefix[:strings.LastIndexByte(prefix, '/')+1]
	return func(yield func(object, error) bool) {
		for next := (*string)(nil); ; {
			page, err := withRetry(ctx, func() (*s3.ListObjectsV2Output, error) {
				return s.deps.S3.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: &bucket, Prefix: &prefix, ContinuationToken: next})
			})
			if err != nil {
				yield(object{}, err)
				return
			}
			for _, o := range page.Contents {
				key := aws.ToString(o.Key)
				if !strings.HasSuffix(key, "/") && !yield(object{bucket, key, strings.TrimPrefix(key, base)}, nil) {
					return
				}
			}
			if next = page.NextContinuationToken; next == nil {
				return
			}
		}
	}
}

// maxManifest bounds a manifest in memory.
const maxManifest = 64 << 20

// manifest gives the objects a manifest lists: a JSON array of {"prefix": "s3://bucket/some/"}, followed by the objects'
// names below it, which are their names in the channel too.
//
// Format: https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_S3DataSource.html
func (s *Service) manifest(ctx context.Context, uri, bucket, key string) iter.Seq2[object, error] {
	return func(yield func(object, error) bool) {
		entries, from, prefix, err := s.readManifest(ctx, uri, bucket, key)
		if err != nil {
			yield(object{}, err)
			return
		}
		for _, entry := range entries {
			var name string
			if err := json.Unmarshal(entry, &name); err != nil {
				yield(object{}, clientErrorf("the manifest %s holds %s where an object's name was expected", uri, truncate(string(entry), 100)))
				return
			}
			if !yield(object{from, prefix + name, name}, nil) {
				return
			}
		}
	}
}

func (s *Service) readManifest(ctx context.Context, uri, bucket, key string) (names []json.RawMessage, from, prefix string, err error) {
	r := s.read(ctx, object{bucket: bucket, key: key})
	defer r.close()
	raw, err := io.ReadAll(io.LimitReader(r, maxManifest+1))
	if err != nil {
		return nil, "", "", err
	}
	if len(raw) > maxManifest {
		return nil, "", "", clientErrorf("the manifest %s is larger than %d bytes", uri, maxManifest)
	}
	var entries []json.RawMessage
	var first struct {
		Prefix string `json:"prefix"`
	}
	if err := json.Unmarshal(raw, &entries); err != nil || len(entries) == 0 || json.Unmarshal(entries[0], &first) != nil {
		return nil, "", "", clientErrorf("the manifest %s must be a JSON array that begins with {\"prefix\": \"s3://bucket/folder/\"}", uri)
	}
	if from, prefix, err = parseS3URI(first.Prefix); err != nil {
		return nil, "", "", clientErrorf("the manifest %s has the prefix %q, which is no s3:// URI", uri, first.Prefix)
	}
	return entries[1:], from, prefix, nil
}

// download copies objects to dir and returns how many there were. With keep, files that are there already stay as they are.
func (s *Service) download(ctx context.Context, objects iter.Seq2[object, error], dir string, keep bool) (found int, err error) {
	root, err := openRoot(dir)
	if err != nil {
		return 0, err
	}
	defer func() { _ = root.Close() }()
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(s3Concurrency)
	for o, err := range objects {
		if err != nil {
			return found, errors.Join(err, g.Wait())
		}
		found++
		if keep {
			if _, err := root.Lstat(o.name); err == nil {
				continue
			}
		}
		g.Go(func() error { return s.downloadObject(ctx, root, o) })
	}
	return found, g.Wait()
}

// downloadObject copies one object into root, which no name can leave.
func (s *Service) downloadObject(ctx context.Context, root *os.Root, o object) (err error) {
	if !filepath.IsLocal(o.name) {
		return clientErrorf("the key %q leads out of the channel's folder", o.key)
	}
	if err := root.MkdirAll(filepath.Dir(o.name), 0o750); err != nil {
		return err
	}
	r := s.read(ctx, o)
	defer r.close()
	if err := r.open(); err != nil { // What can't be had makes no file.
		return err
	}
	f, err := root.OpenFile(o.name, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o640)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	_, err = io.Copy(f, r)
	return err
}

// objectReader reads an object in order. A connection that breaks is taken up where it broke.
type objectReader struct {
	ctx     context.Context //nolint:containedctx // A reader's methods have no place for it.
	service *Service
	object  object
	body    io.ReadCloser // nil while there is no connection
	etag    *string
	offset  int64
	size    int64
	failed  error // why there is no more to read
}

func (s *Service) read(ctx context.Context, o object) *objectReader {
	return &objectReader{ctx: ctx, service: s, object: o, size: -1}
}

// open connects, trying for a while.
func (r *objectReader) open() error {
	_, err := withRetry(r.ctx, func() (struct{}, error) { return struct{}{}, r.connect() })
	return err
}

func (r *objectReader) connect() error {
	in := &s3.GetObjectInput{Bucket: &r.object.bucket, Key: &r.object.key, IfMatch: r.etag}
	if r.offset > 0 {
		in.Range = aws.String(fmt.Sprintf("bytes=%d-", r.offset))
	}
	out, err := r.service.deps.S3.GetObject(r.ctx, in, func(o *s3.Options) {
		// The SDK can't check a multipart object's checksum and would say so for each.
		o.DisableLogOutputChecksumValidationSkipped = true
	})
	if err != nil {
		return fmt.Errorf("s3://%s/%s: %w", r.object.bucket, r.object.key, err)
	}
	r.body, r.etag = out.Body, out.ETag
	if r.size < 0 {
		r.size = aws.ToInt64(out.ContentLength)
	}
	return nil
}

// Read implements io.Reader.
func (r *objectReader) Read(p []byte) (n int, err error) {
	defer func() {
		if err != nil && !errors.Is(err, io.EOF) {
			r.failed = err
		}
	}()
	for range maxBreaks {
		if r.body == nil {
			if err := r.open(); err != nil {
				return 0, err
			}
		}
		n, err := r.body.Read(p)
		r.offset += int64(n)
		switch {
		case err == nil || errors.Is(err, io.EOF):
			return n, err
		case r.ctx.Err() != nil || r.offset >= r.size: // All came, so it is its checksum that is wrong.
			return n, err
		}
		r.close()
		if n > 0 {
			return n, nil
		}
	}
	return 0, fmt.Errorf("s3://%s/%s: the connection breaks at byte %d again and again", r.object.bucket, r.object.key, r.offset)
}

// maxBreaks is how often a connection may break at one place before it is given up.
const maxBreaks = 5

func (r *objectReader) close() {
	if r.body != nil {
		_ = r.body.Close()
		r.body = nil
	}
}
