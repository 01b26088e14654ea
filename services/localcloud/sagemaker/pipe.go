package sagemaker

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"syscall"
	"time"

	"github.com/klauspost/compress/gzip"
)

// pipe is a channel in Pipe mode on one host: a fifo for each epoch, through which the channel's objects go one after the
// other. Only their names are held in memory.
type pipe struct {
	stem         string // the fifos' path, without _EPOCH
	objects      []object
	seed         *int64 // shuffles the objects, in another way each epoch
	index, count int    // the host's share of them, after the shuffle
	gzip         bool   // they are compressed, and go through unpacked
}

func (p *pipe) path(epoch int) string { return fmt.Sprintf("%s_%d", p.stem, epoch) }

func (p *pipe) make(epoch int) error {
	if err := syscall.Mkfifo(p.path(epoch), 0o600); err != nil {
		return fmt.Errorf("make the pipe %s: %w", p.path(epoch), err)
	}
	return nil
}

// epoch lists the positions of the objects of an epoch. All hosts shuffle alike, so that their shares stay apart.
func (p *pipe) epoch(epoch int) []int {
	order := make([]int, len(p.objects))
	for i := range order {
		order[i] = i
	}
	if p.seed != nil {
		r := rand.New(rand.NewPCG(uint64(*p.seed), uint64(epoch))) //nolint:gosec // An order that can be repeated is what is asked for.
		r.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
	}
	mine := order[:0]
	for i, o := range order {
		if i%p.count == p.index {
			mine = append(mine, o)
		}
	}
	return mine
}

// feed fills one pipe after the other until ctx ends, each as fast as the program reads it. The next one is there before one
// ends, and one that was read is taken away, so that nobody waits on it. When the input breaks off, fail is told, and the
// pipe stays open until ctx ends: the program must not take what it got for all there is.
func (s *Service) feed(ctx context.Context, p *pipe, fail func(error)) {
	for epoch := 0; ; epoch++ {
		err := p.make(epoch + 1)
		if err == nil {
			err = s.feedEpoch(ctx, p, epoch, fail)
		}
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			fail(err)
			<-ctx.Done()
			return
		}
	}
}

func (s *Service) feedEpoch(ctx context.Context, p *pipe, epoch int, fail func(error)) error {
	w, err := openPipe(ctx, p.path(epoch))
	if err != nil {
		return err
	}
	defer func() { _ = w.Close() }()
	// A write to a pipe that nobody reads ends with ctx.
	defer context.AfterFunc(ctx, func() { _ = w.SetWriteDeadline(time.Now()) })()
	for _, i := range p.epoch(epoch) {
		err := s.pour(ctx, w, p.objects[i], p.gzip)
		if errors.Is(err, syscall.EPIPE) {
			break // The program has read enough of this epoch.
		}
		if err != nil && ctx.Err() == nil {
			fail(err)
			<-ctx.Done()
		}
		if err != nil {
			return nil
		}
	}
	return os.Remove(p.path(epoch))
}

// pour writes an object to a pipe.
func (s *Service) pour(ctx context.Context, w io.Writer, o object, packed bool) error {
	object := s.read(ctx, o)
	defer object.close()
	if !packed {
		_, err := io.Copy(w, object)
		return err
	}
	unpacked, err := gzip.NewReader(bufio.NewReader(object))
	if err == nil {
		_, err = io.Copy(w, unpacked) //nolint:gosec // Nothing is kept of it, however large.
	}
	if err != nil && object.failed == nil && !errors.Is(err, syscall.EPIPE) && ctx.Err() == nil {
		return clientErrorf("s3://%s/%s can't be unpacked as gzip, which is the channel's CompressionType: %v", o.bucket, o.key, err)
	}
	return err
}

// openPipe opens a fifo for writing, which waits for a reader, or for the end of ctx.
func openPipe(ctx context.Context, path string) (*os.File, error) {
	opened, released := make(chan struct{}), make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(released)
		// A reader of our own lets the open below return. It stays until then, lest it come and go too early.
		if r, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0); err == nil { //nolint:gosec // Under the job's own folder.
			<-opened
			_ = r.Close()
		}
	})
	w, err := os.OpenFile(path, os.O_WRONLY, 0) //nolint:gosec // Under the job's own folder.
	close(opened)
	if !stop() {
		<-released
	}
	if err == nil && ctx.Err() != nil {
		return nil, errors.Join(ctx.Err(), w.Close())
	}
	return w, err
}
