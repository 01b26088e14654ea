package archive_test

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"strings"
	"testing"
)

// virtual is a source whose bytes are made when they are read, so that it can be as large as it likes.
type virtual struct {
	size int64
	fill func(p []byte, off int64) int // fills p from off, at least one byte, and returns how many
	read *int64                        // counts bytes, if set
}

func (v virtual) Size() int64 { return v.size }

func (v virtual) ReadAt(ctx context.Context, p []byte, off int64) error {
	if off < 0 || off+int64(len(p)) > v.size {
		return io.ErrUnexpectedEOF
	}
	if v.read != nil {
		*v.read += int64(len(p))
	}
	for len(p) > 0 {
		n := v.fill(p, off)
		p, off = p[n:], off+int64(n)
	}
	return ctx.Err()
}

// near is a source from which short reads cost little.
type near struct{ virtual }

func (near) Prefetch(int64, int64) {}

func zeros(p []byte, upTo int64) int {
	p = p[:min(int64(len(p)), upTo)]
	clear(p)
	return len(p)
}

// virtualZip has n empty files named by eight digits at the end of a folder's name. Only the directory is there: where
// the entries would be there is nothing.
func virtualZip(n int64, folder string) virtual {
	name := int64(len(folder) + 8)
	perEntry, perRecord := 30+name, 46+name
	lead, dir := n*perEntry, n*perRecord
	le := binary.LittleEndian
	end64 := append([]byte("PK\x06\x06\x2c\x00\x00\x00\x00\x00\x00\x00"), make([]byte, 12)...)
	for _, v := range []int64{n, n, dir, lead} {
		end64 = le.AppendUint64(end64, uint64(v))
	}
	tail := append(end64, "PK\x06\x07\x00\x00\x00\x00"...)
	tail = append(le.AppendUint64(tail, uint64(lead+dir)), 1, 0, 0, 0)
	tail = append(tail, "PK\x05\x06\x00\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00\x00"...)
	fill := func(p []byte, off int64) int {
		switch {
		case off == 0:
			return copy(p, "PK\x03\x04")
		case off < lead:
			return zeros(p, lead-off)
		case off >= lead+dir:
			return copy(p, tail[off-lead-dir:])
		}
		i := (off - lead) / perRecord
		var record [2048]byte
		copy(record[:], "PK\x01\x02")
		le.PutUint16(record[28:], uint16(name))
		le.PutUint32(record[42:], uint32(i*perEntry))
		copy(record[46:], folder)
		for j, rest := perRecord-1, i; j >= perRecord-8; j, rest = j-1, rest/10 {
			record[j] = byte('0' + rest%10)
		}
		return copy(p, record[off-lead-i*perRecord:perRecord])
	}
	return virtual{size: lead + dir + int64(len(tail)), fill: fill}
}

// virtualTar has n files of the given size named by eight digits.
func virtualTar(t testing.TB, n, size int64) virtual {
	template := makeTar(t, &tar.Header{Name: "00000000", Typeflag: tar.TypeReg, Format: tar.FormatUSTAR})[:512]
	copy(template[124:], fmt.Sprintf("%011o\x00", size))
	copy(template[148:156], "        ")
	var sum int64
	for _, c := range template[8:] {
		sum += int64(c)
	}
	period := 512 + (size+511)/512*512
	fill := func(p []byte, off int64) int {
		i := off / period
		at := off - i*period
		switch {
		case i >= n:
			return zeros(p, int64(len(p)))
		case at >= 512:
			return zeros(p, period-at)
		}
		header := [512]byte(template)
		sum := sum
		for j, rest := 7, i; j >= 0; j, rest = j-1, rest/10 {
			header[j] = byte('0' + rest%10)
			sum += int64(header[j])
		}
		for j := 153; j >= 148; j, sum = j-1, sum/8 {
			header[j] = byte('0' + sum%8)
		}
		header[154] = 0
		return copy(p, header[at:])
	}
	return virtual{size: n*period + 1024, fill: fill}
}

// sealTar writes a tar header's checksum.
func sealTar(h []byte) []byte {
	copy(h[148:156], "        ")
	var sum int
	for _, c := range h[:512] {
		sum += int(c)
	}
	copy(h[148:156], fmt.Sprintf("%06o\x00 ", sum))
	return h
}

// tarBlocks pads data to whole blocks.
func tarBlocks(data []byte) []byte { return append(data, make([]byte, (512-len(data)%512)%512)...) }

// tarRecord is an entry of the type given, with a header that may claim any size.
func tarRecord(t testing.TB, typeflag byte, name string, claimed int64, data []byte) []byte {
	h := makeTar(t, &tar.Header{Name: "x", Typeflag: tar.TypeReg, Format: tar.FormatGNU})[:512:512]
	clear(h[:100])
	copy(h[:100], name)
	copy(h[124:136], "\x80\x00\x00\x00") // base 256
	if claimed < 0 {
		copy(h[124:136], "\xff\xff\xff\xff")
	}
	binary.BigEndian.PutUint64(h[128:136], uint64(claimed))
	h[156] = typeflag
	return append(sealTar(h), tarBlocks(data)...)
}

// paxTar is a tar with one file behind a PAX header of the given records, and a sound file in front.
func paxTar(t testing.TB, data []byte, records ...string) []byte {
	var pax bytes.Buffer
	for _, kv := range records {
		fmt.Fprintf(&pax, "%d %s\n", paxLength(kv), kv)
	}
	out := makeTar(t, &tar.Header{Name: "ok", Typeflag: tar.TypeReg, Size: 5})[:1024:1024]
	out = append(out, tarRecord(t, 'x', "PaxHeaders", int64(pax.Len()), pax.Bytes())...)
	out = append(out, tarRecord(t, '0', "hole", int64(len(data)), data)...)
	return append(out, make([]byte, 1024)...)
}

// gnuSparseTar is a tar with a file of 1 TiB in GNU's old sparse form, and a sound file in front.
func gnuSparseTar(t testing.TB) []byte {
	out := makeTar(t, &tar.Header{Name: "ok", Typeflag: tar.TypeReg, Size: 5})[:1024:1024]
	h := tarRecord(t, 'S', "hole", 0, nil)
	for _, at := range []int{386, 483} { // offset of the first piece, which is empty; real size
		clear(h[at : at+12])
		h[at] = 0x80
		binary.BigEndian.PutUint64(h[at+4:], 1<<40)
	}
	copy(h[398:410], "00000000000\x00")
	return append(append(out, sealTar(h)...), make([]byte, 1024)...)
}

// zstdBomb is a frame of n blocks that each say "128 KiB of zeros" in 4 bytes, behind a head. window is the descriptor's byte.
func zstdBomb(window byte, head []byte, n int) []byte {
	out := []byte("\x28\xb5\x2f\xfd\x00")
	out = append(out, window)
	block := func(kind, size, last int) {
		h := last | kind<<1 | size<<3
		out = append(out, byte(h), byte(h>>8), byte(h>>16))
	}
	block(0, len(head), 0)
	out = append(out, head...)
	for i := range n {
		last := 0
		if i == n-1 {
			last = 1
		}
		block(1, 128<<10, last)
		out = append(out, 0)
	}
	return out
}

// bzip2Zeros is 64 MiB of zeros by bzip2 -9. Streams may follow each other.
var bzip2Zeros = fromBase64("QlpoOTFBWSZTWQ4J4t8BX45AAMAAAAggADCATUZCoCWpCoCXMUFZJlNZvAS1wwCidcAAwAAACCAAIKQINjKKiE0qKiE4u5IpwoSFALuD6A==")

func gzipBomb(t testing.TB, head []byte) []byte {
	return append(gzipped(t, head), bytes.Repeat(gzipped(t, make([]byte, 16<<20)), 128)...)
}

// quotedZip is the bomb of overlapping entries: all of them are one piece of data.
func quotedZip(t testing.TB) []byte {
	const size = 76 << 20
	kernel := zipEntry{name: "a", data: deflated(t, make([]byte, size)), size: size, method: 8}
	entries := []zipEntry{kernel}
	for range 250 {
		entries = append(entries, zipEntry{name: "a", size: size, method: 8, offset: 1})
	}
	return makeZip(entries...)
}

// denseZip has n entries that don't overlap, each deflated 1000 : 1.
func denseZip(t testing.TB, n int) []byte {
	const size = 16 << 20
	data := deflated(t, make([]byte, size))
	entries := make([]zipEntry, n)
	for i := range entries {
		entries[i] = zipEntry{name: fmt.Sprint(i), data: data, size: size, method: 8}
	}
	return makeZip(entries...)
}

// badNames are names that must be refused. A tar can't hold NUL.
var badNames = map[string]string{
	"parent folder": "../up", "parent folder within": "a/../../up", "absolute": "/etc/passwd", "backslash": `a\..\b`, "drive": "C:/x", "NUL": "a\x00b",
	"longer than 1024 bytes": strings.Repeat("n", 1025), "deeper than 32 folders": strings.Repeat("d/", 32) + "x", "control character": "a\x1b[2Jb", "empty part": "a//b",
}
