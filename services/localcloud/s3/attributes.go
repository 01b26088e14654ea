package s3

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"sync"

	"github.com/versity/versitygw/backend/meta"
)

// attributes keeps in memory what was read of objects' attributes. versitygw looks for a dozen of them in files of their own at every
// GET, most of which aren't there; reading an object range by range, this took as long as a quarter of the bytes themselves.
// Only this process writes attributes, and any write makes it forget all, so it needs to know nothing of how attributes hang together.
type attributes struct {
	meta.MetadataStorer

	mu     sync.Mutex
	writes uint64            // ended so far
	known  map[string][]byte // by attributeKey; nil: there is no such attribute
}

// maxKnown bounds the attributes in memory: a few hundred objects' are enough for those that are read range by range.
const maxKnown = 1 << 12

// attributeKey is equal for names of the same file: a key may end in a slash or have two in a row.
func attributeKey(bucket, object, attribute string) string {
	return filepath.Join(bucket, object) + "\x00" + attribute
}

// RetrieveAttribute implements meta.MetadataStorer.
func (a *attributes) RetrieveAttribute(f *os.File, bucket, object, attribute string) ([]byte, error) {
	key := attributeKey(bucket, object, attribute)
	a.mu.Lock()
	value, found := a.known[key]
	writes := a.writes
	a.mu.Unlock()
	if found && value == nil {
		return nil, meta.ErrNoSuchKey
	}
	if found {
		return bytes.Clone(value), nil
	}
	value, err := a.MetadataStorer.RetrieveAttribute(f, bucket, object, attribute)
	if err != nil && !errors.Is(err, meta.ErrNoSuchKey) {
		return nil, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.writes == writes { // What was read while something was written may be old.
		if len(a.known) == maxKnown {
			clear(a.known)
		}
		a.known[key] = bytes.Clone(value)
	}
	return value, err
}

// forget is called when a write has ended, well or not.
func (a *attributes) forget() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.writes++
	clear(a.known)
}

// StoreAttribute implements meta.MetadataStorer.
func (a *attributes) StoreAttribute(f *os.File, bucket, object, attribute string, value []byte) error {
	defer a.forget()
	return a.MetadataStorer.StoreAttribute(f, bucket, object, attribute, value)
}

// DeleteAttribute implements meta.MetadataStorer.
func (a *attributes) DeleteAttribute(bucket, object, attribute string) error {
	defer a.forget()
	return a.MetadataStorer.DeleteAttribute(bucket, object, attribute)
}

// DeleteAttributes implements meta.MetadataStorer.
func (a *attributes) DeleteAttributes(bucket, object string) error {
	defer a.forget()
	return a.MetadataStorer.DeleteAttributes(bucket, object)
}

// RenameObject implements meta.MetadataStorer.
func (a *attributes) RenameObject(bucket, oldObject, newObject string) error {
	defer a.forget()
	return a.MetadataStorer.RenameObject(bucket, oldObject, newObject)
}
