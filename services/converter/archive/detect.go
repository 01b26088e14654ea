package archive

import (
	"bytes"
	"context"
	"errors"
	"io"

	"github.com/trainyard/trainyard/services/converter/reject"
	"github.com/trainyard/trainyard/services/converter/source"
)

// Detect finds the container by its content, never by its name. What has no container's mark is Bare; whether
// it is data is for the formats to say. For a container that isn't read, or one within another, the error says so.
func Detect(ctx context.Context, src source.Source) (Kind, error) {
	head := make([]byte, min(src.Size(), tarBlock))
	if err := src.ReadAt(ctx, head, 0); err != nil {
		return "", err
	}
	if len(head) == 0 {
		return "", reject.New(reject.NotAnArchive, "The file is empty. %s", expected)
	}
	kind, unread := sniff(head)
	switch {
	case unread != nil:
		return "", reject.New(reject.UnsupportedContainer, "The file is %s, which is not read; %s. %s", unread.name, unread.mend, expected)
	case kind.Compressed():
		return detectInside(ctx, src, kind)
	case kind != Bare:
		return kind, nil
	}
	// A zip may have anything in front of it (a self-extractor); what makes it one is at its end.
	_, err := findDirectory(ctx, src)
	var r *reject.Error
	switch {
	case err == nil:
		return Zip, nil
	case errors.As(err, &r) && r.Reason == reject.CorruptArchive:
		return Bare, nil
	}
	return "", err
}

// detectInside looks at the beginning of what is compressed.
func detectInside(ctx context.Context, src source.Source, kind Kind) (Kind, error) {
	s, err := openCompressed(ctx, src, kind)
	if err != nil {
		return "", err
	}
	defer s.close()
	head := make([]byte, tarBlock)
	n, err := io.ReadFull(s, head)
	switch {
	case errors.Is(err, io.EOF):
		return "", reject.New(reject.NotAnArchive, "The file is compressed, but what is in it is empty. %s", expected)
	case err != nil && !errors.Is(err, io.ErrUnexpectedEOF):
		return "", err
	}
	inner, unread := sniff(head[:n])
	switch {
	case unread == nil && inner == Bare:
		return kind, nil
	case unread == nil && inner == Tar:
		return map[Kind]Kind{Gzip: TarGzip, Zstd: TarZstd, Bzip2: TarBzip2}[kind], nil
	}
	name := containerNames[inner]
	if unread != nil {
		name = unread.name
	}
	return "", reject.New(reject.UnsupportedContainer, "The file is %s, and what is in it is %s: containers are opened one level deep. Upload what is inside. %s",
		containerNames[kind], name, expected)
}

var containerNames = map[Kind]string{Zip: "a zip", Gzip: "compressed by gzip", Zstd: "compressed by zstd", Bzip2: "compressed by bzip2"}

// container is one that is recognised but not read.
type container struct{ magic, name, mend string }

var unreadContainers = [...]container{
	{"\xfd7zXZ\x00", "compressed by xz", "compress it by zstd or gzip instead"},
	{"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", "make a zip of its files"},
	{"Rar!\x1a\x07", "a RAR archive", "make a zip of its files"},
	{"\x04\x22\x4d\x18", "compressed by lz4", "compress it by zstd or gzip instead"},
	partOfZip,
}

// partOfZip begins the first part; the last one is known by its end, the others not at all.
var partOfZip = container{"PK\x07\x08", "one part of a zip of several parts", "join the parts first (`zip -s 0 parts.zip --out whole.zip`)"}

// sniff tells a container from its first block. Bare means that there is no mark of any.
func sniff(head []byte) (Kind, *container) {
	has := func(magic string) bool { return bytes.HasPrefix(head, []byte(magic)) }
	switch {
	case has("PK\x03\x04"), has("PK\x05\x06"):
		return Zip, nil
	case has("\x1f\x8b\x08"): // RFC 1952: deflate, the only method
		return Gzip, nil
	case has("\x28\xb5\x2f\xfd"): // RFC 8878
		return Zstd, nil
	case len(head) > 4 && head[0]&0xf0 == 0x50 && string(head[1:4]) == "\x2a\x4d\x18": // a skippable frame, as pzstd writes in front
		return Zstd, nil
	case len(head) >= 10 && has("BZh") && (string(head[4:10]) == "1AY&SY" || string(head[4:10]) == "\x17\x72\x45\x38\x50\x90"): // a block, or the end of an empty stream
		return Bzip2, nil
	case isTarHeader(head):
		return Tar, nil
	}
	for i := range unreadContainers {
		if has(unreadContainers[i].magic) {
			return Bare, &unreadContainers[i]
		}
	}
	return Bare, nil
}
