package convert

import (
	"context"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/trainyard/trainyard/services/converter/source"
)

// DirSink puts shards and their indexes into a folder. Its scratch folder should be on the same file system, so that a
// shard is moved and not copied. Nothing is synced to disk.
type DirSink struct{ Dir string }

// Put implements Sink.
func (s DirSink) Put(_ context.Context, file MetadataFile, path string) error {
	if err := os.Chmod(path, 0o644); err != nil { //nolint:gosec // a dataset is for others to read
		return err
	}
	to := filepath.Join(s.Dir, file.Name)
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil { //nolint:gosec // as above
		return err
	}
	return os.Rename(path, to)
}

// Local converts the archive srcPath into the folder outDir, which is made if it isn't there. progress may be nil.
// The manifest is written last: a folder without one is not a dataset.
func Local(ctx context.Context, srcPath, outDir string, opts Options, progress func(Progress)) (out *Output, err error) {
	src, err := source.OpenFile(srcPath)
	if err != nil {
		return nil, err
	}
	defer src.Close()
	if err := os.MkdirAll(outDir, 0o755); err != nil { //nolint:gosec // as above
		return nil, err
	}
	scratchDir, err := os.MkdirTemp(outDir, ".convert-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(scratchDir)) }()

	plan, err := MakePlan(ctx, src, opts, scratchDir)
	if err != nil {
		return nil, err
	}
	defer plan.Close()
	var results []*TaskResult
	var before Progress
	for i := range plan.Tasks {
		var last Progress
		r, err := RunTask(ctx, Task{
			Plan: plan, Index: i, Source: src, Scratch: scratchDir, Sink: DirSink{outDir},
			Progress: func(p Progress) {
				last = Progress{Examples: before.Examples + p.Examples, LeftOut: before.LeftOut + p.LeftOut, Bytes: before.Bytes + p.Bytes}
				if progress != nil {
					progress(last)
				}
			},
		})
		if err != nil {
			return nil, err
		}
		before = last
		results = append(results, r)
	}
	removed := make(chan error, 1) // what tasks needed; large files take their time
	go func() { removed <- os.RemoveAll(scratchDir) }()
	out, err = Merge(plan, results)
	if err = errors.Join(err, <-removed); err != nil {
		return nil, err
	}
	if opts.Package {
		if err := packLocal(ctx, out, outDir); err != nil {
			return nil, err
		}
	}
	names := slices.Sorted(maps.Keys(out.Files))
	names = append(slices.DeleteFunc(names, func(n string) bool { return n == ManifestName }), ManifestName)
	for _, name := range names {
		if err := os.WriteFile(filepath.Join(outDir, name), out.Files[name], 0o644); err != nil { //nolint:gosec // as above
			return nil, err
		}
	}
	return out, nil
}

func packLocal(ctx context.Context, out *Output, dir string) (err error) {
	f, err := os.OpenFile(filepath.Join(dir, TarName), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o644) //nolint:gosec // as above
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return out.WriteTar(ctx, f, func(_ context.Context, s Shard) (io.ReadCloser, error) { return os.Open(filepath.Join(dir, s.Name)) }) //nolint:gosec // ours
}
