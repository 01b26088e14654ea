package hub

import (
	"sync"

	notificationv1 "github.com/trainyard/trainyard/gen/trainyard/notification/v1"
	"github.com/trainyard/trainyard/services/notification/eventlog"
	"google.golang.org/protobuf/proto"
)

const (
	feedPage       = 200
	maxRecent      = 256
	maxRecentBytes = 2 << 20
)

// feed is the newest part of one project's log, in memory. Its events are shared and must not be changed.
type feed struct {
	project  string
	watchers int           // Guarded by the hub's mutex.
	wake     chan struct{} // Holds a token when there may be something new.
	abandon  func()        // Ends the loading, when the last watcher has left.

	mu      sync.Mutex
	head    int64                   // The newest event that was read, or the position to read from.
	recent  []*notificationv1.Event // Up to head, without a gap; as many as the bounds allow.
	bytes   int                     // Of recent.
	changed chan struct{}           // Closed, and made anew, when head moves.
}

func newFeed(project string, end int64, abandon func()) *feed {
	f := &feed{project: project, head: end, wake: make(chan struct{}, 1), abandon: abandon, changed: make(chan struct{})}
	f.wakeUp() // What came before there was a feed to wake.
	return f
}

func (f *feed) wakeUp() { signal(f.wake) }

func (f *feed) position() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.head
}

// add takes in a page that was read from position on.
func (f *feed) add(page eventlog.Page) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if page.Next == f.head {
		return
	}
	f.head = page.Next
	f.recent = append(f.recent, page.Events...)
	for _, e := range page.Events {
		f.bytes += proto.Size(e)
	}
	drop := 0
	for len(f.recent)-drop > maxRecent || f.bytes > maxRecentBytes && drop < len(f.recent) {
		f.bytes -= proto.Size(f.recent[drop])
		drop++
	}
	if drop > 0 {
		// A copy, lest the dropped ones stay reachable; watchers may be reading the old slice.
		f.recent = append([]*notificationv1.Event(nil), f.recent[drop:]...)
	}
	close(f.changed)
	f.changed = make(chan struct{})
}

// skip goes on at a later position when what lies before is no longer kept. Watchers find that out by themselves.
func (f *feed) skip(to int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.head, f.recent, f.bytes = to, nil, 0
	close(f.changed)
	f.changed = make(chan struct{})
}

// after gives what memory holds after a position, and a channel that is closed when there is more. inMemory is false when
// memory doesn't reach back to the position.
func (f *feed) after(position int64) (recent []*notificationv1.Event, inMemory bool, changed <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if position >= f.head {
		return nil, true, f.changed
	}
	oldest := f.head - int64(len(f.recent)) // The position before the first of recent.
	if position < oldest {
		return nil, false, f.changed
	}
	n := len(f.recent)
	return f.recent[position-oldest : n : n], true, f.changed
}
