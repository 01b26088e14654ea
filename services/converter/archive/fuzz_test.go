package archive_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"hash/crc32"
	"os"
	"path/filepath"
	"testing"

	"github.com/trainyard/trainyard/services/converter/archive"
	"github.com/trainyard/trainyard/services/converter/reject"
)

var fuzzLimits = archive.Limits{MaxEntries: 1000, MaxRecordBytes: 1 << 20, MaxUnpacked: 16 << 20}

// checkListing lists, unpacks what is listed and checks what holds of every listing. An error must be a rejection.
func checkListing(t *testing.T, src memory, kind archive.Kind) {
	l, err := archive.List(context.Background(), src, kind, fuzzLimits)
	if err != nil {
		checkRejection(t, err)
		return
	}
	var size int64
	for i := range l.Entries {
		e := &l.Entries[i]
		if why := archive.CheckPath(e.Path); why != "" {
			t.Errorf("path %q: %s", e.Path, why)
		}
		if e.Size < 0 || e.Packed < 0 || e.Extent < e.Packed {
			t.Errorf("impossible sizes: %+v", e)
		}
		size += e.Size
	}
	if size > fuzzLimits.MaxUnpacked || len(l.Entries) > fuzzLimits.MaxEntries {
		t.Errorf("%d entries of %d bytes together are beyond the limits", len(l.Entries), size)
	}
	unpackAll(t, src, l)
}

func checkRejection(t *testing.T, err error) {
	var r *reject.Error
	if !errors.As(err, &r) {
		t.Errorf("%v is no *reject.Error", err)
	}
}

// FuzzZip mutates whole archives. The directories of the seeds have every field that is looked at.
func FuzzZip(f *testing.F) {
	text := []byte("text")
	f.Add(makeZip(zipEntry{name: "a", data: text}, zipEntry{name: "b/c", data: deflated(f, text), size: 4, method: 8, crc: crc32.ChecksumIEEE(text), zip64: true}))
	f.Add(makeZip(zipEntry{name: "\x84", data: text, extra: unicodePath("\x84", "b"), dirExtra: unicodePath("\x84", "b")}, zipEntry{name: "d/"}, zipEntry{name: "l", mode: 0o120777}))
	f.Add(append([]byte("#!/bin/sh\n"), makeZip(zipEntry{name: "a", data: text})...))
	small := make([]byte, 4<<10)
	if err := virtualZip(20, "").ReadAt(context.Background(), small[:virtualZip(20, "").Size()], 0); err != nil {
		f.Fatal(err)
	}
	f.Add(small[:virtualZip(20, "").Size()])
	f.Fuzz(func(t *testing.T, data []byte) { checkListing(t, memory{data: data}, archive.Zip) })
}

// FuzzZipDirectory mutates the directory alone, behind room for the entries and with an end record that fits it.
func FuzzZipDirectory(f *testing.F) {
	const room = 4 << 10
	whole := makeZip(zipEntry{name: "a", data: []byte("text")}, zipEntry{name: "b", zip64: true}, zipEntry{name: "\x84", dirExtra: unicodePath("\x84", "b")})
	f.Add(whole[bytes.Index(whole, []byte("PK\x01\x02")):len(whole)-22], uint16(3))
	f.Fuzz(func(t *testing.T, directory []byte, count uint16) {
		data := append(make([]byte, room), directory...)
		checkListing(t, memory{data: append(data, makeEnd(int(count), len(directory), room)...)}, archive.Zip)
	})
}

func FuzzTar(f *testing.F) {
	f.Add(makeTar(f, &tar.Header{Name: "a", Typeflag: tar.TypeReg, Size: 5}, &tar.Header{Name: "l", Typeflag: tar.TypeSymlink, Linkname: "a"}))
	f.Add(makeTar(f, &tar.Header{Name: "a", Typeflag: tar.TypeReg, Size: 5, Format: tar.FormatPAX, PAXRecords: map[string]string{"A.b": "c"}}))
	f.Add(gnuSparseTar(f))
	f.Add(paxTar(f, nil, "GNU.sparse.size=1099511627776", "GNU.sparse.numblocks=1", "GNU.sparse.map=0,0"))
	f.Add(paxTar(f, tarBlocks([]byte("1\n0\n0\n")), "GNU.sparse.major=1", "GNU.sparse.minor=0", "GNU.sparse.realsize=1099511627776", "GNU.sparse.name=hole"))
	f.Fuzz(func(t *testing.T, data []byte) { checkListing(t, memory{data: data}, archive.Tar) })
}

// FuzzDetect goes the way of an upload: look, unpack, list.
func FuzzDetect(f *testing.F) {
	file := makeTar(f, &tar.Header{Name: "a", Typeflag: tar.TypeReg, Size: 5})
	for _, data := range [][]byte{
		file, gzipped(f, file), zstdCompressed(f, file), bzip2Tar, bzip2Text, gzipped(f, []byte("a,b\n")), zstdCompressed(f, []byte("a,b\n")), []byte("a,b\n"),
		makeZip(zipEntry{name: "a", data: []byte("text")}), gzipped(f, gzipped(f, nil)), zstdBomb(0x50, []byte("x"), 3),
		{},
	} {
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		src := memory{data: data}
		kind, err := archive.Detect(context.Background(), src)
		if err != nil {
			checkRejection(t, err)
			return
		}
		if kind.Compressed() {
			name := filepath.Join(t.TempDir(), "u")
			f, err := archive.Unpack(context.Background(), src, name, fuzzLimits)
			if err != nil {
				checkRejection(t, err)
				return
			}
			f.Close()
			if src.data, err = os.ReadFile(name); err != nil {
				t.Fatal(err)
			}
			kind = kind.Unpacked()
		}
		if kind == archive.Bare {
			unpackAll(t, src, archive.ListBare(src, "x"))
			return
		}
		checkListing(t, src, kind)
	})
}
