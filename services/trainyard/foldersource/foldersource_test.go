package foldersource

import (
	"archive/zip"
	"bytes"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
)

func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestFolderReadsAsAZipAtAnyOffset(t *testing.T) {
	files := map[string]string{"cat/1.png": "one", "dog/ä.png": "two and more", "dog/empty": "", ".hidden/x": "no"}
	s, err := Open(folder(t, files))
	if err != nil {
		t.Fatal(err)
	}
	whole := make([]byte, s.Size())
	if _, err := s.ReadAt(whole, 0); err != nil {
		t.Fatal(err)
	}

	archive, err := zip.NewReader(bytes.NewReader(whole), s.Size())
	if err != nil {
		t.Fatal(err)
	}
	if len(archive.File) != 3 {
		t.Fatalf("%d files in the zip, want 3: hidden ones are left out", len(archive.File))
	}
	for _, f := range archive.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r) // Checks the CRC too.
		if err != nil || string(content) != files[f.Name] {
			t.Errorf("%s: %q, %v; want %q", f.Name, content, err, files[f.Name])
		}
	}

	for range 500 {
		from := rand.Int64N(s.Size())
		part := make([]byte, 1+rand.Int64N(s.Size()-from))
		if _, err := s.ReadAt(part, from); err != nil || !bytes.Equal(part, whole[from:from+int64(len(part))]) {
			t.Fatalf("bytes %d+%d differ from the whole (%v)", from, len(part), err)
		}
	}
}

func TestLargeFolderUsesZip64(t *testing.T) {
	dir := folder(t, map[string]string{"a/small": "x", "z/last": "y"})
	// A sparse file: 4 GiB that take no disk.
	big, err := os.Create(filepath.Join(dir, "a", "zbig"))
	if err != nil {
		t.Fatal(err)
	}
	if err := big.Truncate(4 << 30); err != nil {
		t.Fatal(err)
	}
	if err := big.Close(); err != nil {
		t.Fatal(err)
	}
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	archive, err := zip.NewReader(s, s.Size())
	if err != nil {
		t.Fatal(err)
	}
	if n := archive.File[1].UncompressedSize64; n != 4<<30 {
		t.Errorf("big file's size %d", n)
	}
	r, err := archive.File[2].Open() // Its header lies beyond 4 GiB.
	if err != nil {
		t.Fatal(err)
	}
	if content, err := io.ReadAll(r); err != nil || string(content) != "y" {
		t.Errorf("last file: %q, %v", content, err)
	}
}

func TestChangedFileIsNoticed(t *testing.T) {
	dir := folder(t, map[string]string{"a/1": "one"})
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "a", "1"), []byte("longer"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := s.ReadAt(make([]byte, s.Size()), 0); err == nil {
		t.Error("a changed file was read as if nothing had happened")
	}
}
