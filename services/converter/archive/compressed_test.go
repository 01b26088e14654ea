package archive_test

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/trainyard/trainyard/services/converter/archive"
	"github.com/trainyard/trainyard/services/converter/reject"
)

func zstdCompressed(t testing.TB, data []byte) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	return w.EncodeAll(data, nil)
}

// No Go package of ours writes bzip2: these were made by bzip2 1.0.8, from "text\n" and from a tar
// with the file d/a that holds "text\n".
var (
	bzip2Text = fromBase64("QlpoOTFBWSZTWcBv4GUAAAHBgAAQAgAEQCAAIYyDNNCI8XckU4UJDAb+BlA=")
	bzip2Tar  = fromBase64("QlpoOTFBWSZTWfbVbWMAAG77gMmQAAJAAN8AAAJmAB5ACAggAFRGpGhhNNM9QaBJTUyaaB6gyaH3OYyEE4oQh6vkcaUmgRAPGKvEWEBHbBOD7Fn567BiWHKrpdQACJsXckU4UJD21W1j")
)

func fromBase64(s string) []byte {
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return b
}

func TestDetect(t *testing.T) {
	file := makeTar(t, &tar.Header{Name: "a", Typeflag: tar.TypeReg, Size: 5})
	text := []byte("a,b\n1,2\n")
	good := makeZip(zipEntry{name: "a", data: text})
	tests := []struct {
		name     string
		file     []byte
		want     archive.Kind
		unpacked archive.Kind
	}{
		{"zip", good, archive.Zip, archive.Zip},
		{"empty zip", makeZip(), archive.Zip, archive.Zip},
		{"zip behind a program", append([]byte("#!/bin/sh\n"), good...), archive.Zip, archive.Zip},
		{"tar", file, archive.Tar, archive.Tar},
		{"tar in gzip", gzipped(t, file), archive.TarGzip, archive.Tar},
		{"tar in zstd", zstdCompressed(t, file), archive.TarZstd, archive.Tar},
		{"tar in zstd behind a skippable frame", append([]byte("\x53\x2a\x4d\x18\x04\x00\x00\x00skip"), zstdCompressed(t, file)...), archive.TarZstd, archive.Tar},
		{"tar in bzip2", bzip2Tar, archive.TarBzip2, archive.Tar},
		{"text in gzip", gzipped(t, text), archive.Gzip, archive.Bare},
		{"text in zstd", zstdCompressed(t, text), archive.Zstd, archive.Bare},
		{"text in bzip2", bzip2Text, archive.Bzip2, archive.Bare},
		{"text", text, archive.Bare, archive.Bare},
		{"one byte", []byte("1"), archive.Bare, archive.Bare},
		{"picture", []byte("\x89PNG\r\n\x1a\n"), archive.Bare, archive.Bare},
		{"zip cut at the front", good[10:], archive.Bare, archive.Bare},
		{"text that looks like bzip2", []byte("BZh9, a station of the Bundesbahn"), archive.Bare, archive.Bare},
		{"an end record with no directory", append([]byte(strings.Repeat("x", 100)), makeEnd(1, 50, 50)...), archive.Bare, archive.Bare},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			kind, err := archive.Detect(t.Context(), memory{data: tt.file})
			if err != nil || kind != tt.want {
				t.Fatalf("detected %q, %v, want %q", kind, err, tt.want)
			}
			if kind.Unpacked() != tt.unpacked || kind.Compressed() != (tt.want != tt.unpacked) {
				t.Errorf("%q unpacks to %q, compressed %v", kind, kind.Unpacked(), kind.Compressed())
			}
		})
	}
}

func TestListBare(t *testing.T) {
	for name, want := range map[string]string{
		"data.csv": "data.csv", "train.csv.gz": "train.csv", "train.jsonl.ZST": "train.jsonl", "t.bz2": "t",
		"folder/x.parquet": "x.parquet", `C:\x\y.csv`: "y.csv", "..": "data", "": "data", "/": "data", ".gz": "data", ".csv": "data.csv",
		"a\x00b:c.csv": "a_b_c.csv", "ü\xff.csv": "ü_.csv", strings.Repeat("ü", 600) + ".csv": strings.Repeat("ü", 510) + ".csv",
	} {
		l := archive.ListBare(memory{data: []byte("text")}, name)
		data, bad := unpackAll(t, memory{data: []byte("text")}, l)
		if l.Kind != archive.Bare || len(l.Entries) != 1 || len(bad) != 0 || data[want] != "text" {
			t.Errorf("%q became %q, want %q", name, l.Entries[0].Path, want)
		}
		if why := archive.CheckPath(l.Entries[0].Path); why != "" {
			t.Errorf("%q became %q: %s", name, l.Entries[0].Path, why)
		}
	}
}

func TestUnpack(t *testing.T) {
	file := makeTar(t, &tar.Header{Name: "a", Typeflag: tar.TypeReg, Size: 300_000})
	z, zst := gzipped(t, file), zstdCompressed(t, file)
	wrongSum := append(bytes.Clone(z[:len(z)-8]), make([]byte, 8)...)
	bz2Cut := bzip2Tar[:len(bzip2Tar)-10]
	tests := []struct {
		name    string
		file    []byte
		want    string
		refused reject.Reason
	}{
		{"gzip", z, string(file), ""},
		{"gzip of two members", append(gzipped(t, file[:1000]), gzipped(t, file[1000:])...), string(file), ""},
		{"gzip cut short", z[:len(z)/2], "", reject.CorruptArchive},
		{"gzip with a wrong checksum", wrongSum, "", reject.CorruptArchive},
		{"gzip followed by rubbish", append(bytes.Clone(z), "rubbish"...), "", reject.CorruptArchive},
		{"zstd", zst, string(file), ""},
		{"zstd of two frames", append(zstdCompressed(t, file[:1000]), zstdCompressed(t, file[1000:])...), string(file), ""},
		{"zstd cut short", zst[:len(zst)-6], "", reject.CorruptArchive},
		{"zstd damaged", append(bytes.Clone(zst[:len(zst)-2]), 0, 0), "", reject.CorruptArchive},
		{"bzip2", bzip2Text, "text\n", ""},
		{"bzip2 of two streams", append(bytes.Clone(bzip2Text), bzip2Text...), "text\ntext\n", ""},
		{"bzip2 cut short", bz2Cut, "", reject.CorruptArchive},
		{"text in zstd", zstdCompressed(t, []byte("text")), "text", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			name := filepath.Join(dir, "u")
			src := memory{data: tt.file}
			f, err := archive.Unpack(t.Context(), src, name, archive.DefaultLimits)
			if tt.refused != "" {
				wantReason(t, err, tt.refused)
				if left, _ := filepath.Glob(name + ".[0-9]*"); len(left) != 0 {
					t.Errorf("left behind: %v", left)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			f.Close()
			got, err := os.ReadFile(name)
			if err != nil || string(got) != tt.want {
				t.Errorf("unpacked %d bytes that differ, %v", len(got), err)
			}
			// It is found, not made again: what it would be made of is gone.
			again, err := archive.Unpack(t.Context(), memory{}, name, archive.DefaultLimits)
			if err != nil {
				t.Fatal(err)
			}
			again.Close()
		})
	}
}

// failing is a source that can't be read beyond a point.
type failing struct {
	memory
	from int64
}

var errNetwork = errors.New("the network is down")

func (f failing) ReadAt(ctx context.Context, p []byte, off int64) error {
	if off+int64(len(p)) > f.from {
		return errNetwork
	}
	return f.memory.ReadAt(ctx, p, off)
}

// A fault of the surroundings must not be taken for a damaged upload, which would end the conversion for good.
func TestFaultsOfTheSourceAreNoRejections(t *testing.T) {
	noise := make([]byte, 2<<20)
	for i, x := 0, uint32(1); i < len(noise); i++ {
		x = x*1664525 + 1013904223
		noise[i] = byte(x >> 24)
	}
	file := append(makeTar(t, &tar.Header{Name: "a", Typeflag: tar.TypeReg, Size: int64(len(noise))})[:512], noise...)
	file = append(file, makeTar(t, &tar.Header{Name: "b", Typeflag: tar.TypeReg})...)
	for name, data := range map[string][]byte{"gzip": gzipped(t, file), "zstd": zstdCompressed(t, file)} {
		src := failing{memory{data: data}, 1 << 20}
		if _, err := archive.Unpack(t.Context(), src, filepath.Join(t.TempDir(), "u"), archive.DefaultLimits); !errors.Is(err, errNetwork) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for kind, data := range map[archive.Kind][]byte{archive.Tar: file, archive.Zip: makeZip(zipEntry{name: "a", data: noise})} {
		src := failing{memory{data: data}, 1 << 20}
		if _, err := archive.List(t.Context(), src, kind, archive.DefaultLimits); !errors.Is(err, errNetwork) {
			t.Errorf("%s: %v", kind, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := archive.Detect(ctx, cancelled{memory{data: gzipped(t, file)}}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

type cancelled struct{ memory }

func (c cancelled) ReadAt(ctx context.Context, p []byte, off int64) error {
	if err := ctx.Err(); err != nil && len(p) > 512 {
		return err
	}
	return c.memory.ReadAt(ctx, p, off)
}
