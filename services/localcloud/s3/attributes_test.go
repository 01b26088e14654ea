package s3

import (
	"errors"
	"os"
	"testing"

	"github.com/versity/versitygw/backend/meta"
)

// readHook counts what is read of attributes' files and lets a test do something between a read and its end.
type readHook struct {
	meta.MetadataStorer
	reads int
	after func()
}

func (h *readHook) RetrieveAttribute(f *os.File, bucket, object, attribute string) ([]byte, error) {
	value, err := h.MetadataStorer.RetrieveAttribute(f, bucket, object, attribute)
	h.reads++
	if h.after != nil {
		h.after()
	}
	return value, err
}

func newAttributes(t *testing.T) (*attributes, *readHook) {
	t.Helper()
	below := &readHook{MetadataStorer: ok[meta.SideCar](t)(meta.NewSideCar(t.TempDir()))}
	return &attributes{MetadataStorer: below, known: map[string][]byte{}}, below
}

func wantAttribute(t *testing.T, a *attributes, object, want string) {
	t.Helper()
	value, err := a.RetrieveAttribute(nil, "bucket", object, "tag")
	if want == "" && !errors.Is(err, meta.ErrNoSuchKey) || want != "" && (err != nil || string(value) != want) {
		t.Errorf("%s has %q, %v, want %q", object, value, err, want)
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestAttributesAreReadOnce(t *testing.T) {
	a, below := newAttributes(t)
	check(t, a.StoreAttribute(nil, "bucket", "there", "tag", []byte("1")))
	for range 3 {
		wantAttribute(t, a, "there", "1")
		wantAttribute(t, a, "missing", "")
	}
	if below.reads != 2 {
		t.Errorf("%d reads of files, want 2", below.reads)
	}
}

func TestAttributesFollowEveryWrite(t *testing.T) {
	a, _ := newAttributes(t)
	wantAttribute(t, a, "a/b", "")
	check(t, a.StoreAttribute(nil, "bucket", "a/b/", "tag", []byte("1"))) // Another name of the same.
	wantAttribute(t, a, "a/b", "1")
	check(t, a.StoreAttribute(nil, "bucket", "a/b", "tag", []byte("2")))
	wantAttribute(t, a, "a/b", "2")
	wantAttribute(t, a, "c/b", "")
	check(t, a.RenameObject("bucket", "a", "c"))
	wantAttribute(t, a, "a/b", "")
	wantAttribute(t, a, "c/b", "2")
	check(t, a.DeleteAttribute("bucket", "c/b", "tag"))
	wantAttribute(t, a, "c/b", "")
	check(t, a.StoreAttribute(nil, "bucket", "c/b", "tag", []byte("3")))
	wantAttribute(t, a, "c/b", "3")
	check(t, a.DeleteAttributes("bucket", ""))
	wantAttribute(t, a, "c/b", "")
}

func TestAttributesReadDuringAWriteAreNotKept(t *testing.T) {
	a, below := newAttributes(t)
	check(t, a.StoreAttribute(nil, "bucket", "key", "tag", []byte("old")))
	below.after = func() { check(t, a.StoreAttribute(nil, "bucket", "key", "tag", []byte("new"))) }
	wantAttribute(t, a, "key", "old")
	below.after = nil
	wantAttribute(t, a, "key", "new")
}
