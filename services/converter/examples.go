package converter

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	errorsv1 "github.com/trainyard/trainyard/gen/trainyard/errors/v1"
	"github.com/trainyard/trainyard/services/converter/examples"
	"github.com/trainyard/trainyard/services/converter/worker"
	"github.com/trainyard/trainyard/services/internal/apierror"
	"google.golang.org/grpc/codes"
)

const (
	// maxReaders bounds the worker processes that read examples at once, one of a project at most. They come beside the converter's tasks.
	maxReaders = 2
	// readerWait is how long a call waits for its turn.
	readerWait = 20 * time.Second
	// readerTime is how long a page may take. What ends pages early keeps well below it.
	readerTime = 20 * time.Second
)

// A reader decodes one picture at a time and writes no file.
var readerLimits = worker.Limits{MemoryBytes: 1 << 30, CPUSeconds: 20, OpenFiles: 128, FileBytes: 0}

// readExamples reads a page of examples of the dataset below a key prefix, in a worker process.
func (u *unit) readExamples(ctx context.Context, project, prefix string, request examples.Request) (*examples.Page, error) {
	done, err := u.readers.wait(ctx, project)
	if err != nil {
		return nil, err
	}
	defer done()
	o := u.objects("", prefix)
	parent := worker.Parent{
		Executable: u.cfg.Worker, Limits: readerLimits, Deadline: readerTime,
		Sign: func(ctx context.Context, r worker.SignRequest) (worker.Signed, error) {
			if r.Object != worker.DatasetObject || r.Put || !names(request, r.Name) {
				return worker.Signed{}, fmt.Errorf("a worker that reads examples may not have %s %q (put: %v)", r.Object, r.Name, r.Put)
			}
			return o.signGet(ctx, o.fileKey(r.Name))
		},
	}
	return parent.Examples(ctx, request)
}

// names tells whether a request is about a file.
func names(r examples.Request, name string) bool {
	return slices.ContainsFunc(r.Files, func(f examples.File) bool { return f.Name == name }) ||
		slices.ContainsFunc(r.Shards, func(s examples.Shard) bool { return name != "" && (s.Name == name || s.Index == name) })
}

// readers give turns: one of each project, maxReaders in all, so that no project keeps the others waiting for more than one page.
type readers struct {
	mu      sync.Mutex
	all     chan struct{}
	project map[string]*turn
}

type turn struct {
	taken chan struct{}
	users int
}

func (r *readers) wait(ctx context.Context, project string) (done func(), err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, readerWait, apierror.New(codes.Unavailable, errorsv1.ErrorReason_DEPENDENCY_UNAVAILABLE,
		"Too many calls for examples are waiting; try again."))
	defer cancel()
	r.mu.Lock()
	if r.all == nil {
		r.all, r.project = make(chan struct{}, maxReaders), map[string]*turn{}
	}
	mine := r.project[project]
	if mine == nil {
		mine = &turn{taken: make(chan struct{}, 1)}
		r.project[project] = mine
	}
	mine.users++
	r.mu.Unlock()
	leave := func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if mine.users--; mine.users == 0 {
			delete(r.project, project)
		}
	}
	select {
	case mine.taken <- struct{}{}:
	case <-ctx.Done():
		leave()
		return nil, context.Cause(ctx)
	}
	select {
	case r.all <- struct{}{}:
	case <-ctx.Done():
		<-mine.taken
		leave()
		return nil, context.Cause(ctx)
	}
	return func() { <-r.all; <-mine.taken; leave() }, nil
}
