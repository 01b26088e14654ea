package archive

import (
	"bufio"
	"compress/bzip2"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/sync/errgroup"

	"github.com/trainyard/trainyard/services/converter/inflate"
	"github.com/trainyard/trainyard/services/converter/reject"
	"github.com/trainyard/trainyard/services/converter/scratch"
	"github.com/trainyard/trainyard/services/converter/source"
)

// maxZstdWindow is how far back a zstd stream may refer, which is memory for us. Levels up to 19 need 8 MiB.
const maxZstdWindow = 32 << 20

// inflater inflates a compressed source. Damaged data give a *reject.Error; other errors are the source's.
type inflater struct {
	kind  Kind
	in    watched
	z     io.Reader
	close func()
}

func openCompressed(ctx context.Context, src source.Source, kind Kind) (*inflater, error) {
	if !kind.Compressed() {
		return nil, fmt.Errorf("a container of kind %q is not compressed", kind)
	}
	r := source.NewReader(ctx, src, 0, src.Size())
	s := &inflater{kind: kind, in: watched{ReadSeeker: r}, close: func() { _ = r.Close() }}
	buffered := bufio.NewReaderSize(&s.in, 256<<10)
	var err error
	switch kind {
	case Gzip:
		s.z, err = inflate.NewGzip(buffered)
	case Zstd:
		var d *zstd.Decoder
		if d, err = zstd.NewReader(buffered, zstd.WithDecoderMaxWindow(maxZstdWindow), zstd.WithDecoderLowmem(true)); err == nil {
			s.z, s.close = d, func() { d.Close(); _ = r.Close() }
		}
	case Bzip2:
		s.z = bzip2.NewReader(buffered)
	}
	if err != nil {
		err = s.explain(err)
		s.close()
		return nil, err
	}
	return s, nil
}

// Read implements io.Reader.
func (s *inflater) Read(p []byte) (int, error) {
	n, err := s.z.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = s.explain(err)
	}
	return n, err
}

// explain tells damaged data from a source that couldn't be read.
func (s *inflater) explain(err error) error {
	if failure := s.in.failed(); failure != nil {
		return failure
	}
	if errors.Is(err, zstd.ErrWindowSizeExceeded) || errors.Is(err, zstd.ErrDecoderSizeExceeded) {
		return reject.New(reject.UnsupportedContainer,
			"To unpack the file, zstd needs a window larger than the limit of %d MiB. Compress it without --ultra and --long.", maxZstdWindow>>20)
	}
	return corrupt(err, "The file is %s, and its data are damaged or cut short.", containerNames[s.kind])
}

// Unpack unpacks a compressed tar or file to the named file, unless it is already there, and opens it.
// Processes that want the same file at once take turns by a lock beside it; a file that is there is
// whole, because it is renamed into place. The caller closes the result and in the end removes the folder.
func Unpack(ctx context.Context, src source.Source, name string, limits Limits) (*source.File, error) {
	lock, err := os.OpenFile(name+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil { //nolint:gosec // a descriptor fits an int
		return nil, fmt.Errorf("lock %s: %w", name, err)
	}
	if _, err := os.Stat(name); err == nil {
		return source.OpenFile(name)
	} else if !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	if err := scratch.Check(filepath.Dir(name), src.Size()); err != nil {
		return nil, err
	}
	tmp, err := os.CreateTemp(filepath.Dir(name), filepath.Base(name)+".*")
	if err != nil {
		return nil, scratch.Wrap(err)
	}
	defer os.Remove(tmp.Name()) // does nothing once the file is renamed
	if err := errors.Join(inflateTo(ctx, tmp, src, limits), tmp.Close()); err != nil {
		return nil, scratch.Wrap(err)
	}
	if err := os.Rename(tmp.Name(), name); err != nil {
		return nil, err
	}
	return source.OpenFile(name)
}

func inflateTo(ctx context.Context, dst *os.File, src source.Source, limits Limits) error {
	head := make([]byte, min(src.Size(), tarBlock))
	if err := src.ReadAt(ctx, head, 0); err != nil {
		return err
	}
	kind, _ := sniff(head)
	s, err := openCompressed(ctx, src, kind)
	if err != nil {
		return err
	}
	defer s.close()
	// One piece is inflated while the one before is written.
	const pieces, piece = 3, 512 << 10
	free, inflated := make(chan []byte, pieces), make(chan []byte, pieces)
	for range pieces {
		free <- make([]byte, piece)
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		for p := range inflated {
			if _, err := dst.Write(p); err != nil {
				return err
			}
			free <- p[:piece]
		}
		return nil
	})
	group.Go(func() error {
		defer close(inflated)
		return s.inflateAll(ctx, filepath.Dir(dst.Name()), limits, free, inflated)
	})
	return group.Wait()
}

// inflateAll fills free pieces and passes them on, to be written to the folder dir.
func (s *inflater) inflateAll(ctx context.Context, dir string, limits Limits, free <-chan []byte, inflated chan<- []byte) error {
	// Disk and size are looked at every so many bytes. What came out is held against what went in so far and
	// not against the whole source, or a large bomb would fill the disk before it is found out.
	const step = 32 << 20
	for done, look := int64(0), int64(0); ; {
		if done >= look {
			if err := scratch.Check(dir, step); err != nil {
				return err
			}
			look = done + step
		}
		var p []byte
		select {
		case p = <-free:
		case <-ctx.Done():
			return ctx.Err()
		}
		n, err := s.Read(p)
		done += int64(n)
		if read := s.in.n.Load(); done > limits.maxUnpacked(read) {
			return reject.New(reject.ArchiveTooLarge,
				"The first %d bytes of the file unpack to more than %d bytes, as only files made to do harm do. Upload the files themselves with `trainyard push FOLDER`, or without compression.",
				read, limits.maxUnpacked(read))
		}
		inflated <- p[:n] // never blocks: there are so many pieces and no more
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
