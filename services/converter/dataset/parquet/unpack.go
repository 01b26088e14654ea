package parquet

import (
	"bufio"
	"bytes"
	"io"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go/format"
	"github.com/pierrec/lz4/v4"

	"github.com/trainyard/trainyard/services/converter/inflate"
)

// maxWindow is how far zstd may look back, in bytes.
const maxWindow = 32 << 20

// zstdSlack is what the decoder of zstd wants behind the data, in bytes, so that it need not copy to the byte.
const zstdSlack = 16

// gzipBuffer is how many bytes of a page the decoder of gzip is given at once.
const gzipBuffer = 32 << 10

// gzipped reads pages packed with gzip.
type gzipped struct {
	inflate.Gzip
	in *bufio.Reader
}

// unpacker unpacks pages, never to more bytes than the page says that it has. The library's own codecs unpack what there is.
type unpacker struct {
	packed []byte // the page at hand
	header []byte
	src    bytes.Reader
	gzip   *gzipped
	brotli *brotli.Reader
	zstd   *zstd.Decoder
}

// unpack unpacks src to size bytes, in the memory of dst if it is large enough. The result is never src's memory, so that
// src can be used for the next page.
func (u *unpacker) unpack(codec format.CompressionCodec, dst, src []byte, size int) ([]byte, error) {
	dst = sized(dst, size+zstdSlack)[:size]
	if size == 0 {
		return dst, nil
	}
	var err error
	switch codec {
	case format.Uncompressed:
		if len(src) != size {
			return dst, damage("a page has %d bytes and says %d", len(src), size)
		}
		copy(dst, src)
	case format.Snappy:
		var n int
		if n, err = snappy.DecodedLen(src); err == nil {
			if n != size {
				return dst, damage("a page unpacks to %d bytes and says %d", n, size)
			}
			_, err = snappy.Decode(dst, src)
		}
	case format.Gzip:
		u.src.Reset(src)
		if u.gzip == nil {
			u.gzip = &gzipped{in: bufio.NewReaderSize(nil, gzipBuffer)}
		}
		u.gzip.in.Reset(&u.src)
		if err = u.gzip.Reset(u.gzip.in); err == nil {
			err = readExactly(u.gzip, dst)
		}
	case format.Brotli:
		u.src.Reset(src)
		if u.brotli == nil {
			u.brotli = brotli.NewReader(&u.src)
		} else if err = u.brotli.Reset(&u.src); err != nil {
			break
		}
		err = readExactly(u.brotli, dst)
	case format.Zstd:
		err = u.unpackZstd(dst, src)
	case format.Lz4Raw:
		var n int
		if n, err = lz4.UncompressBlock(src, dst); err == nil && n != size {
			err = io.ErrUnexpectedEOF
		}
	default:
		return dst, unsupportedCodec(codec)
	}
	if err != nil {
		return dst, damage("a page can't be unpacked (%v: %v)", codec, err)
	}
	return dst, nil
}

// unpackZstd decodes a page at once: its frame says how long it will be, which is checked first.
func (u *unpacker) unpackZstd(dst, src []byte) (err error) {
	if u.zstd == nil {
		u.zstd, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxPageBytes), zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecodeAllCapLimit(true))
		if err != nil {
			return err
		}
	}
	out, err := u.zstd.DecodeAll(src, dst[:0:len(dst)+zstdSlack])
	if err == nil && len(out) != len(dst) {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// readExactly fills dst from r, which must end there.
func readExactly(r io.Reader, dst []byte) error {
	if _, err := io.ReadFull(r, dst); err != nil {
		return err
	}
	var more [1]byte
	if n, err := io.ReadFull(r, more[:]); n != 0 || err != io.EOF { //nolint:errorlint // ReadFull returns io.EOF itself
		return damage("it is longer than it says")
	}
	return nil
}

// unsupportedCodec is a compression that isn't read.
type unsupportedCodec format.CompressionCodec

func (c unsupportedCodec) Error() string {
	return "its pages are packed with " + format.CompressionCodec(c).String() + "; write it with compression zstd or snappy"
}
