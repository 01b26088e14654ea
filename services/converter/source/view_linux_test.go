//go:build amd64 || arm64

package source_test

import (
	"bytes"
	"errors"
	"hash/crc32"
	"os"
	"path/filepath"
	"testing"

	"github.com/trainyard/trainyard/services/converter/source"
)

func viewed(t *testing.T, data []byte) (name string, f *source.File) {
	t.Helper()
	name = filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := source.OpenFile(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	return name, f
}

func TestViewEqualsTheFile(t *testing.T) {
	data := randomBytes(1 << 20)
	_, f := viewed(t, data)
	for _, r := range []struct{ off, n int }{{0, 1 << 20}, {5, 0}, {1 << 20, 0}, {4097, 9000}, {1<<20 - 1, 1}} {
		for range 2 { // what was forgotten can be looked at again
			view, err := f.View(int64(r.off), int64(r.n))
			if err != nil || !bytes.Equal(view, data[r.off:r.off+r.n]) {
				t.Fatalf("%d bytes at %d: wrong, or %v", r.n, r.off, err)
			}
			if err := f.Forget(view); err != nil {
				t.Error(err)
			}
		}
	}
	for _, r := range []struct{ off, n int64 }{{-1, 1}, {0, 1<<20 + 1}, {1 << 20, 1}, {1 << 62, 1 << 62}} {
		if _, err := f.View(r.off, r.n); err == nil {
			t.Errorf("%d bytes at %d are no part of the file", r.n, r.off)
		}
	}
}

// Whatever looks at bytes that were cut off meanwhile, Go or assembly, the program learns it and goes on.
func TestViewOfAFileThatIsCutShort(t *testing.T) {
	sum := 0
	looks := map[string]func([]byte){
		"go":       func(b []byte) { sum += int(b[len(b)-1]) },
		"copy":     func(b []byte) { sum += copy(make([]byte, len(b)), b) },
		"search":   func(b []byte) { sum += bytes.IndexByte(b, 2) },
		"checksum": func(b []byte) { sum += int(crc32.ChecksumIEEE(b)) },
	}
	for name, look := range looks {
		t.Run(name, func(t *testing.T) {
			path, f := viewed(t, bytes.Repeat([]byte{1}, 1<<20))
			view, err := f.View(1000, 1<<20-1000)
			if err != nil {
				t.Fatal(err)
			}
			if err := f.Guard(func() error { look(view); return nil }); err != nil {
				t.Errorf("before: %v", err)
			}
			if err := os.Truncate(path, 10_000); err != nil {
				t.Fatal(err)
			}
			if err := f.Guard(func() error { look(view); return nil }); !errors.Is(err, source.ErrChanged) {
				t.Errorf("after: %v", err)
			}
			if err := f.Forget(view); !errors.Is(err, source.ErrChanged) {
				t.Errorf("in the end: %v", err)
			}
		})
	}
}

func TestGuardPassesOtherFailuresOn(t *testing.T) {
	_, f := viewed(t, []byte{1})
	if _, err := f.View(0, 1); err != nil {
		t.Fatal(err)
	}
	want := errors.New("other")
	if err := f.Guard(func() error { return want }); !errors.Is(err, want) {
		t.Errorf("got %v", err)
	}
	for name, fail := range map[string]func(){
		"panic": func() { panic("other") },
		"nil":   func() { var p *int; *p++ },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("the failure was held back")
				}
			}()
			f.Guard(func() error { fail(); return nil })
		})
	}
}
