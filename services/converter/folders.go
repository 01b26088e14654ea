package converter

import (
	"errors"
	"os"
	"path/filepath"
	"sync"

	"github.com/trainyard/trainyard/services/converter/internal/tracker"
)

// folders are this process's scratch folders, one a conversion. What tasks leave there for one another, such as an unpacked tar, stays
// until the conversion has ended, whoever ended it.
type folders struct {
	root string

	mu    sync.Mutex
	users map[string]int // By folder.
}

// of gives the folder of a conversion until it is released.
func (f *folders) of(c tracker.Conversion) (dir string, release func(), err error) {
	dir = filepath.Join(f.root, c.Project, filepath.FromSlash(c.Name))
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", nil, err
	}
	f.users[dir]++
	return dir, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.users[dir]--
	}, nil
}

// clear removes the folders that nobody uses and whose conversion isn't listed.
func (f *folders) clear(list []tracker.Conversion) error {
	wanted := map[string]bool{}
	for _, c := range list {
		wanted[filepath.Join(f.root, c.Project, filepath.FromSlash(c.Name))] = true
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	var failures []error
	for dir, users := range f.users {
		if users > 0 || wanted[dir] {
			continue
		}
		if err := os.RemoveAll(dir); err != nil {
			failures = append(failures, err)
			continue
		}
		delete(f.users, dir)
	}
	return errors.Join(failures...)
}
