package archive

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"

	"github.com/klauspost/compress/gzip"

	"github.com/trainyard/trainyard/services/converter/reject"
	"github.com/trainyard/trainyard/services/converter/scratch"
	"github.com/trainyard/trainyard/services/converter/source"
)

// Unpack unpacks a compressed tar to the named file, unless it is already there, and opens it.
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
	if err := errors.Join(gunzip(ctx, src, tmp, limits), tmp.Close()); err != nil {
		return nil, scratch.Wrap(err)
	}
	if err := os.Rename(tmp.Name(), name); err != nil {
		return nil, err
	}
	return source.OpenFile(name)
}

func gunzip(ctx context.Context, src source.Source, dst *os.File, limits Limits) error {
	in := source.NewReader(ctx, src, 0, src.Size())
	defer in.Close()
	z, err := gzip.NewReader(bufio.NewReaderSize(in, 1<<18))
	if err != nil {
		return gzipError(ctx, err)
	}
	head := make([]byte, tarBlock)
	if n, err := io.ReadFull(z, head); err != nil && !ended(err) {
		return gzipError(ctx, err)
	} else if !isTarHeader(head[:n]) {
		return reject.New(reject.NotAnArchive, "The file is compressed with gzip, but what is in it is not a tar. %s", expected)
	}
	if _, err := dst.Write(head); err != nil {
		return err
	}
	limit := limits.maxUnpacked(src.Size())
	const step = 64 << 20
	for written := int64(tarBlock); ; {
		if err := scratch.Check(filepath.Dir(dst.Name()), step); err != nil {
			return err
		}
		n, err := io.CopyN(dst, z, step)
		written += n
		if written > limit {
			return reject.New(reject.ArchiveTooLarge,
				"The archive of %d bytes unpacks to more than %d bytes, as only archives made to do harm do. Upload the files themselves with `trainyard push FOLDER`, or as a plain .tar.", src.Size(), limit)
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return gzipError(ctx, err)
		}
	}
}

// gzipError tells damaged data from a failure to read or write them.
func gzipError(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return err
	}
	if errors.Is(err, gzip.ErrChecksum) || errors.Is(err, gzip.ErrHeader) || isFlateError(err) || ended(err) {
		return corrupt(err, "The gzip data are damaged or cut short.")
	}
	return err
}
