package convert

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"
)

// TarName is the name of the package that Options.Package asks for.
const TarName = "dataset.tar"

const tarBlock = 512

// TarBytes is the exact length of what WriteTar writes.
func (o *Output) TarBytes() int64 {
	size := int64(2 * tarBlock)
	add := func(n int64) { size += tarBlock + (n+tarBlock-1)/tarBlock*tarBlock }
	for _, f := range o.Files {
		add(int64(len(f)))
	}
	for _, s := range o.Manifest.Shards {
		add(s.Bytes)
	}
	return size
}

// WriteTar writes a dataset as one tar: below NAME/VERSION/, as TensorFlow Datasets keeps it on disk, the files beside the
// shards and then the shards, which open yields. The same dataset gives the same bytes. A shard that isn't the manifest's is an error.
func (o *Output) WriteTar(ctx context.Context, w io.Writer, open func(context.Context, Shard) (io.ReadCloser, error)) error {
	t := tar.NewWriter(w)
	folder := o.Manifest.Dataset + "/" + o.Manifest.Version + "/"
	header := func(name string, size int64) error {
		return t.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: folder + name, Size: size, Mode: 0o644, ModTime: time.Unix(0, 0), Format: tar.FormatGNU})
	}
	for _, name := range slices.Sorted(maps.Keys(o.Files)) {
		if err := header(name, int64(len(o.Files[name]))); err != nil {
			return err
		}
		if _, err := t.Write(o.Files[name]); err != nil {
			return err
		}
	}
	for _, s := range o.Manifest.Shards {
		if err := header(s.Name, s.Bytes); err != nil {
			return err
		}
		if err := copyShard(ctx, t, s, open); err != nil {
			return fmt.Errorf("pack %s: %w", s.Name, err)
		}
	}
	return t.Close()
}

func copyShard(ctx context.Context, w io.Writer, s Shard, open func(context.Context, Shard) (io.ReadCloser, error)) error {
	r, err := open(ctx, s)
	if err != nil {
		return err
	}
	defer r.Close()
	sum := sha256.New()
	if _, err := io.Copy(io.MultiWriter(w, sum), r); err != nil {
		return err
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != s.SHA256 {
		return fmt.Errorf("its SHA-256 is %s, the manifest says %s", got, s.SHA256)
	}
	return nil
}
