package archive_test

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/flate"
	"compress/gzip"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/trainyard/trainyard/services/converter/archive"
	"github.com/trainyard/trainyard/services/converter/reject"
)

// memory is a source.Source in memory; virtual zeros may stand in front of the data.
type memory struct {
	data []byte
	lead int64
}

func (m memory) Size() int64 { return m.lead + int64(len(m.data)) }

func (m memory) ReadAt(_ context.Context, p []byte, off int64) error {
	if off < 0 || off+int64(len(p)) > m.Size() {
		return io.ErrUnexpectedEOF
	}
	for i := range p {
		p[i] = 0
		if at := off + int64(i) - m.lead; at >= 0 {
			p[i] = m.data[at]
		}
	}
	return nil
}

// zipEntry is an entry as the hostile would write it: every field can lie.
type zipEntry struct {
	name, localName string // localName "" means name
	data            []byte
	method          uint16
	flags           uint16
	mode            uint32 // st_mode, Unix
	size            int    // claimed by the directory; 0 means len(data)
	crc             uint32
	offset          int // +1; 0 means where it is
	zip64           bool
	extra           []byte // of the local header
	dirExtra        []byte // of the directory, without zip64
}

// makeZip writes entries and a directory.
func makeZip(entries ...zipEntry) []byte {
	le := binary.LittleEndian
	var out, dir []byte
	for _, e := range entries {
		if e.localName == "" {
			e.localName = e.name
		}
		if e.size == 0 {
			e.size = len(e.data)
		}
		if e.crc == 0 {
			e.crc = crc32.ChecksumIEEE(e.data)
		}
		offset := len(out)
		if e.offset > 0 {
			offset = e.offset - 1
		}
		header := func(magic string, made bool, name string, extra []byte, packed, size uint32) []byte {
			b := []byte(magic)
			if made {
				b = le.AppendUint16(b, 3<<8|45)
			}
			b = le.AppendUint16(b, 45)
			b = le.AppendUint16(b, e.flags)
			b = le.AppendUint16(b, e.method)
			b = le.AppendUint32(b, 0) // time
			b = le.AppendUint32(b, e.crc)
			b = le.AppendUint32(b, packed)
			b = le.AppendUint32(b, size)
			b = le.AppendUint16(b, uint16(len(name)))
			return le.AppendUint16(b, uint16(len(extra)))
		}
		packed, size, at := uint32(len(e.data)), uint32(e.size), uint32(offset)
		var extra []byte
		if e.zip64 {
			extra = []byte{0x55, 0x54, 1, 0, 9} // another field in front
			extra = append(extra, 1, 0, 24, 0)
			extra = le.AppendUint64(le.AppendUint64(le.AppendUint64(extra, uint64(e.size)), uint64(len(e.data))), uint64(offset))
			packed, size, at = 0xffffffff, 0xffffffff, 0xffffffff
		}
		extra = append(extra, e.dirExtra...)
		dir = append(dir, header("PK\x01\x02", true, e.name, extra, packed, size)...)
		dir = append(dir, make([]byte, 6)...)
		dir = le.AppendUint32(dir, e.mode<<16)
		dir = le.AppendUint32(dir, at)
		dir = append(append(dir, e.name...), extra...)
		out = append(out, header("PK\x03\x04", false, e.localName, e.extra, uint32(len(e.data)), uint32(e.size))...)
		out = append(append(append(out, e.localName...), e.extra...), e.data...)
	}
	return append(append(out, dir...), makeEnd(len(entries), len(dir), len(out))...)
}

func makeEnd(count, size, start int) []byte {
	le := binary.LittleEndian
	b := append([]byte("PK\x05\x06"), 0, 0, 0, 0)
	b = le.AppendUint16(le.AppendUint16(b, uint16(count)), uint16(count))
	b = le.AppendUint32(le.AppendUint32(b, uint32(size)), uint32(start))
	return append(b, 0, 0)
}

func deflated(t testing.TB, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, 6)
	if err != nil {
		t.Fatal(err)
	}
	w.Write(data)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func detectAndList(t testing.TB, src memory, limits archive.Limits) (*archive.Listing, error) {
	t.Helper()
	kind, err := archive.Detect(context.Background(), src)
	if err != nil {
		return nil, err
	}
	return archive.List(context.Background(), src, kind, limits)
}

// unpackAll reads every entry by its extent and returns the data by path, and the reasons of those that fail.
func unpackAll(t testing.TB, src memory, l *archive.Listing) (map[string]string, map[string]reject.Reason) {
	t.Helper()
	data, bad := map[string]string{}, map[string]reject.Reason{}
	for _, f := range l.Refused.Files {
		bad[f.Path] = f.Reason
	}
	var u archive.Unpacker
	end := int64(0)
	for i := range l.Entries {
		e := &l.Entries[i]
		if e.Offset < end {
			t.Fatalf("%q begins within the entry before", e.Path)
		}
		end = e.Offset + e.Extent
		extent := make([]byte, e.Extent)
		if err := src.ReadAt(context.Background(), extent, e.Offset); err != nil {
			t.Fatalf("extent of %q: %v", e.Path, err)
		}
		dst := make([]byte, e.Size)
		var rejected *reject.File
		switch err := u.Unpack(dst, e, extent); {
		case err == nil:
			data[e.Path] = string(dst)
		case errors.As(err, &rejected):
			bad[e.Path] = rejected.Reason
		default:
			t.Fatalf("%q: %v", e.Path, err)
		}
	}
	return data, bad
}

func wantReason(t *testing.T, err error, reason reject.Reason) {
	t.Helper()
	var r *reject.Error
	if !errors.As(err, &r) || r.Reason != reason {
		t.Errorf("got %v, want %s", err, reason)
	}
}

func TestZipReadsWhatArchiveZipWrites(t *testing.T) {
	var b bytes.Buffer
	b.WriteString("#!/bin/sh what a self-extractor puts in front\n")
	w := zip.NewWriter(&b)
	w.SetOffset(int64(b.Len()))
	want := map[string]string{}
	for i := range 100 {
		h := &zip.FileHeader{Name: fmt.Sprintf("dir/%03d ü.bin", i), Method: uint16(8 * (i % 2))}
		f, err := w.CreateHeader(h)
		if err != nil {
			t.Fatal(err)
		}
		want[h.Name] = strings.Repeat(fmt.Sprint(i), 100*i)
		io.WriteString(f, want[h.Name])
	}
	if _, err := w.Create("dir/"); err != nil {
		t.Fatal(err)
	}
	w.SetComment("a comment PK\x05\x06 that looks like an end record but isn't one")
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	src := memory{data: b.Bytes()}
	l, err := detectAndList(t, src, archive.DefaultLimits)
	if err != nil {
		t.Fatal(err)
	}
	got, bad := unpackAll(t, src, l)
	if len(bad) != 0 || len(got) != len(want) {
		t.Fatalf("%d files, bad %v", len(got), bad)
	}
	for name, data := range want {
		if got[name] != data {
			t.Errorf("%s differs", name)
		}
	}
}

func TestZipManyEntriesUseZip64(t *testing.T) {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for i := range 70_000 {
		if _, err := w.CreateHeader(&zip.FileHeader{Name: fmt.Sprintf("%d", i)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	for _, lead := range []int64{0, 5 << 30} { // offsets above 4 GiB, by what is in front
		l, err := archive.List(t.Context(), memory{b.Bytes(), lead}, archive.Zip, archive.DefaultLimits)
		if err != nil || len(l.Entries) != 70_000 {
			t.Errorf("lead %d: %v", lead, err)
		}
	}
	_, err := archive.List(t.Context(), memory{data: b.Bytes()}, archive.Zip, archive.Limits{MaxEntries: 69_999, MaxRecordBytes: 1, MaxUnpacked: 1 << 40})
	wantReason(t, err, reject.TooManyEntries)
}

func TestZipEntriesThatAreLeftOut(t *testing.T) {
	text := []byte("some text that is here")
	packed := deflated(t, text)
	ok := zipEntry{name: "ok", data: text}
	tests := []struct {
		name  string
		entry zipEntry
		want  reject.Reason // "" for a sound one
	}{
		{"stored", zipEntry{name: "a", data: text}, ""},
		{"deflated", zipEntry{name: "a", data: packed, size: len(text), crc: crc32.ChecksumIEEE(text), method: 8}, ""},
		{"zip64 sizes", zipEntry{name: "a", data: text, zip64: true}, ""},
		{"extra in the local header only", zipEntry{name: "a", data: text, extra: make([]byte, 500)}, ""},
		{"parent folder", zipEntry{name: "a/../../etc/passwd", data: text}, reject.BadPath},
		{"absolute", zipEntry{name: "/etc/passwd", data: text}, reject.BadPath},
		{"drive", zipEntry{name: "C:/x", data: text}, reject.BadPath},
		{"backslash", zipEntry{name: `a\b`, data: text}, reject.BadPath},
		{"NUL", zipEntry{name: "a\x00b", data: text}, reject.BadPath},
		{"newline", zipEntry{name: "a\nb", data: text}, reject.BadPath},
		{"not UTF-8 though it says so", zipEntry{name: "a\xff", data: text, flags: 1 << 11}, reject.BadPath},
		{"long", zipEntry{name: strings.Repeat("n", 1025), data: text}, reject.BadPath},
		{"deep", zipEntry{name: strings.Repeat("d/", 32) + "x", data: text}, reject.BadPath},
		{"symlink", zipEntry{name: "a", data: text, mode: 0o120777}, reject.NotARegularFile},
		{"device", zipEntry{name: "a", data: text, mode: 0o060666}, reject.NotARegularFile},
		{"LZMA", zipEntry{name: "a", data: text, method: 14}, reject.UnsupportedCompression},
		{"stored with two sizes", zipEntry{name: "a", data: text, size: 5}, reject.CorruptEntry},
		{"wrong checksum", zipEntry{name: "a", data: text, crc: 1}, reject.CorruptEntry},
		{"deflated to more than it says", zipEntry{name: "a", data: packed, size: len(text) - 1, crc: 1, method: 8}, reject.CorruptEntry},
		{"deflated to less than it says", zipEntry{name: "a", data: packed, size: len(text) + 1, crc: 1, method: 8}, reject.CorruptEntry},
		{"deflated rubbish", zipEntry{name: "a", data: text, size: 99, crc: 1, method: 8}, reject.CorruptEntry},
		{"another name in the local header", zipEntry{name: "a", localName: "b", data: text}, reject.CorruptEntry},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			src := memory{data: makeZip(ok, tt.entry, zipEntry{name: "ok2", data: text})}
			l, err := detectAndList(t, src, archive.DefaultLimits)
			if err != nil {
				t.Fatal(err)
			}
			data, bad := unpackAll(t, src, l)
			if data["ok"] != string(text) || data["ok2"] != string(text) {
				t.Error("the entries around it were not read")
			}
			if tt.want == "" {
				if data["a"] != string(text) {
					t.Errorf("read %q, bad %v", data["a"], bad)
				}
				return
			}
			var reasons []reject.Reason
			for _, r := range bad {
				reasons = append(reasons, r)
			}
			if !slices.Equal(reasons, []reject.Reason{tt.want}) {
				t.Errorf("left out %v, want %s", bad, tt.want)
			}
		})
	}
}

// unicodePath is Info-ZIP's extra field that gives a name in UTF-8.
func unicodePath(name, unicode string) []byte {
	b := binary.LittleEndian.AppendUint16([]byte{0x75, 0x70}, uint16(5+len(unicode)))
	b = binary.LittleEndian.AppendUint32(append(b, 1), crc32.ChecksumIEEE([]byte(name)))
	return append(b, unicode...)
}

func TestZipNames(t *testing.T) {
	const flagged = 1 << 11
	both := func(name, unicode string) zipEntry {
		x := unicodePath(name, unicode)
		return zipEntry{name: name, extra: x, dirExtra: append([]byte{0x55, 0x54, 1, 0, 9}, x...)}
	}
	tests := []struct {
		name  string
		entry zipEntry
		want  string // "" if it is refused
		left  reject.Reason
	}{
		{"ASCII", zipEntry{name: "a"}, "a", ""},
		{"UTF-8 with the flag", zipEntry{name: "ä", flags: flagged}, "ä", ""},
		{"UTF-8 without the flag", zipEntry{name: "ä"}, "ä", ""},
		{"code page 437", zipEntry{name: "\x84\x81\xe1"}, "äüß", ""},
		{"code page 437 with the flag of UTF-8", zipEntry{name: "\x84", flags: flagged}, "", reject.BadPath},
		{"Unicode Path", both("?", "日本"), "日本", ""},
		{"Unicode Path and the flag", zipEntry{name: "ä", flags: flagged, extra: unicodePath("ä", "b"), dirExtra: unicodePath("ä", "b")}, "ä", ""},
		{"Unicode Path of another name", zipEntry{name: "a", dirExtra: unicodePath("b", "c")}, "a", ""},
		{"Unicode Path cut short", zipEntry{name: "a", dirExtra: unicodePath("a", "bcd")[:10]}, "a", ""},
		{"Unicode Path that leads out", both("a", "../../etc/passwd"), "", reject.BadPath},
		{"Unicode Path that isn't UTF-8", both("a", "\xff"), "", reject.BadPath},
		{"Unicode Path in the directory alone", zipEntry{name: "a", dirExtra: unicodePath("a", "b")}, "", reject.CorruptEntry},
		{"longer in UTF-8 than as stored", zipEntry{name: strings.Repeat("\xb0", 300)}, strings.Repeat("░", 300), ""},
		{"too long in UTF-8 alone", zipEntry{name: strings.Repeat("\xb0", 400)}, "", reject.BadPath},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.entry.data = []byte("text")
			src := memory{data: makeZip(tt.entry, zipEntry{name: "next", data: []byte("text")})}
			l, err := detectAndList(t, src, archive.DefaultLimits)
			if err != nil {
				t.Fatal(err)
			}
			data, bad := unpackAll(t, src, l)
			_, ok := data[tt.want]
			if tt.want != "" && !ok || len(data)+len(bad) != 2 {
				t.Errorf("read %v, left out %v", data, bad)
			}
			for _, r := range bad {
				if r != tt.left {
					t.Errorf("left out %v, want %q", bad, tt.left)
				}
			}
		})
	}
}

func TestArchivesThatAreRefused(t *testing.T) {
	text := []byte("some text that is here")
	good := makeZip(zipEntry{name: "a", data: text}, zipEntry{name: "b", data: text})
	end := len(good) - 22
	patch := func(at int, b ...byte) []byte {
		out := bytes.Clone(good)
		copy(out[at:], b)
		return out
	}
	tests := []struct {
		name string
		file []byte
		want reject.Reason
	}{
		{"nothing", nil, reject.NotAnArchive},
		{"RAR", []byte("Rar!\x1a\x07\x00 and so on"), reject.UnsupportedContainer},
		{"7-Zip", []byte("7z\xbc\xaf\x27\x1c and so on"), reject.UnsupportedContainer},
		{"xz", []byte("\xfd7zXZ\x00 and so on"), reject.UnsupportedContainer},
		{"part of a zip", []byte("PK\x07\x08 and so on"), reject.UnsupportedContainer},
		{"zstd that isn't", []byte("\x28\xb5\x2f\xfd and so on"), reject.CorruptArchive},
		{"gzip of nothing", gzipped(t, nil), reject.NotAnArchive},
		{"empty zip", makeZip(), reject.EmptyArchive},
		{"zip with folders only", makeZip(zipEntry{name: "a/"}), reject.EmptyArchive},
		{"zip cut short", good[:len(good)-30], reject.CorruptArchive},
		{"encrypted zip", makeZip(zipEntry{name: "a", data: text, flags: 1}), reject.EncryptedArchive},
		{"two entries at one place", makeZip(zipEntry{name: "a", data: text}, zipEntry{name: "a", data: text, offset: 1}), reject.OverlappingEntries},
		{"an entry that covers the next", makeZip(zipEntry{name: "a", data: text}, zipEntry{name: "b", data: text, offset: 11}), reject.OverlappingEntries},
		{"an entry beyond the file", makeZip(zipEntry{name: "a", data: text, offset: 1 << 20}), reject.CorruptArchive},
		{"more entries than directory", patch(end+8, 9, 0, 9, 0), reject.CorruptArchive},
		{"fewer entries than directory", patch(end+8, 1, 0, 1, 0), reject.CorruptArchive},
		{"directory of 4 GiB", patch(end+12, 0xf0, 0xff, 0xff, 0xff), reject.CorruptArchive},
		{"last part of a zip", patch(end+4, 1, 0), reject.UnsupportedContainer},
		{"last part of a zip that begins with data", patch(end+4, 1, 0)[10:], reject.UnsupportedContainer},
		{"a bomb", makeZip(zipEntry{name: "a", data: text, size: 4_000_000_000, method: 8}), reject.ArchiveTooLarge},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := detectAndList(t, memory{data: tt.file}, archive.DefaultLimits)
			wantReason(t, err, tt.want)
		})
	}
}

func makeTar(t testing.TB, headers ...*tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range headers {
		if h.Mode == 0 {
			h.Mode = 0o644
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeReg {
			io.WriteString(w, strings.Repeat("x", int(h.Size)))
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestTar(t *testing.T) {
	long := strings.Repeat("long/", 30) + "name" // needs a PAX or GNU header
	file := makeTar(t,
		&tar.Header{Name: "d/", Typeflag: tar.TypeDir},
		&tar.Header{Name: "./d/a", Typeflag: tar.TypeReg, Size: 1000},
		&tar.Header{Name: long, Typeflag: tar.TypeReg, Size: 3},
		&tar.Header{Name: "d/b", Typeflag: tar.TypeReg, Size: 600, Format: tar.FormatGNU},
		&tar.Header{Name: "d/empty", Typeflag: tar.TypeReg},
		&tar.Header{Name: "d/soft", Typeflag: tar.TypeSymlink, Linkname: "/etc/passwd"},
		&tar.Header{Name: "d/hard", Typeflag: tar.TypeLink, Linkname: "d/a"},
		&tar.Header{Name: "d/pipe", Typeflag: tar.TypeFifo},
		&tar.Header{Name: "../out", Typeflag: tar.TypeReg, Size: 1},
	)
	src := memory{data: file}
	l, err := detectAndList(t, src, archive.DefaultLimits)
	if err != nil {
		t.Fatal(err)
	}
	data, bad := unpackAll(t, src, l)
	for name, size := range map[string]int{"d/a": 1000, long: 3, "d/b": 600, "d/empty": 0} {
		if got, ok := data[name]; !ok || got != strings.Repeat("x", size) {
			t.Errorf("%s: %d bytes, %v", name, len(got), ok)
		}
	}
	want := map[string]reject.Reason{"d/soft": reject.NotARegularFile, "d/hard": reject.NotARegularFile, "d/pipe": reject.NotARegularFile, "../out": reject.BadPath}
	if len(data) != 4 || fmt.Sprint(bad) != fmt.Sprint(want) {
		t.Errorf("%d files; left out %v, want %v", len(data), bad, want)
	}
	// Cut within the data of the third file, and within a header.
	for _, n := range []int{2000, 700} {
		_, err := detectAndList(t, memory{data: file[:n]}, archive.DefaultLimits)
		wantReason(t, err, reject.CorruptArchive)
	}
	_, err = detectAndList(t, memory{data: makeTar(t, &tar.Header{Name: "d/", Typeflag: tar.TypeDir})}, archive.DefaultLimits)
	wantReason(t, err, reject.EmptyArchive)
}

func TestSparseTarIsLeftOut(t *testing.T) {
	// A PAX 0.1 sparse file of 1 TiB in three blocks.
	file := makeTar(t, &tar.Header{Name: "d/ok", Typeflag: tar.TypeReg, Size: 5})
	var pax bytes.Buffer
	for _, kv := range []string{"GNU.sparse.size=1099511627776", "GNU.sparse.numblocks=1", "GNU.sparse.map=0,0"} {
		fmt.Fprintf(&pax, "%d %s\n", paxLength(kv), kv)
	}
	body := pax.String()
	block := makeTar(t, &tar.Header{Name: "PaxHeaders", Typeflag: tar.TypeReg, Size: int64(len(body))})[:512]
	block[156] = 'x'
	copy(block[148:156], "        ")
	var sum int
	for _, c := range block {
		sum += int(c)
	}
	copy(block[148:156], fmt.Sprintf("%06o\x00 ", sum))
	hole := append(block, body...)
	hole = append(hole, make([]byte, 512-len(body)%512)...)
	hole = append(hole, makeTar(t, &tar.Header{Name: "d/hole", Typeflag: tar.TypeReg})...)
	src := memory{data: append(file[:1024:1024], hole...)}
	l, err := detectAndList(t, src, archive.DefaultLimits)
	if err != nil {
		t.Fatal(err)
	}
	data, bad := unpackAll(t, src, l)
	if len(data) != 1 || bad["d/hole"] != reject.SparseFile {
		t.Errorf("read %d files, left out %v", len(data), bad)
	}
}

// paxLength is the length of a PAX record, which counts its own digits.
func paxLength(kv string) int {
	n := len(kv) + 2
	for len(fmt.Sprint(n))+len(kv)+2 != n {
		n++
	}
	return n
}

func gzipped(t testing.TB, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	w.Write(data)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
