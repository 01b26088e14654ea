package idx

import (
	"encoding/binary"
	"hash"
	"hash/adler32"
	"hash/crc32"
)

// The images become PNG files whose data are stored, not compressed. So their bytes depend on no
// compressor's version, the shards are about as large as the upload, and making and decoding one is little more than a copy.

const (
	pngMagic  = "\x89PNG\r\n\x1a\n"
	maxStored = 65_535 // bytes of a block of stored data; RFC 1951, 3.2.4

	chunkBytes  = 12 // length, type and CRC around a chunk's data; PNG specification, 5.3
	headerBytes = 13
	zlibBytes   = 2 + 4 // header and checksum; RFC 1950
)

// pngSize is the exact length of the PNG file of an image, in bytes.
func pngSize(height, width, channels int) int {
	return len(pngMagic) + chunkBytes + headerBytes + chunkBytes + dataSize(height*(1+width*channels)) + chunkBytes
}

// dataSize is the length of zlib's form of n bytes, stored.
func dataSize(n int) int { return zlibBytes + n + 5*((n+maxStored-1)/maxStored) }

// pngWriter writes PNG files without allocating.
type pngWriter struct{ sum hash.Hash32 }

func newPNGWriter() pngWriter { return pngWriter{sum: adler32.New()} }

// write fills dst, which has pngSize bytes, with the PNG file of an image: rows of 8-bit samples from the top,
// one (grey) or three (RGB) a pixel.
func (w pngWriter) write(dst, pixels []byte, height, width, channels int) {
	n := copy(dst, pngMagic)
	head := dst[n:]
	binary.BigEndian.PutUint32(head, headerBytes)
	copy(head[4:], "IHDR")
	binary.BigEndian.PutUint32(head[8:], uint32(width))   //nolint:gosec // at most maxImageSide
	binary.BigEndian.PutUint32(head[12:], uint32(height)) //nolint:gosec // as above
	colour := byte(0)
	if channels == 3 {
		colour = 2
	}
	copy(head[16:], []byte{8, colour, 0, 0, 0})
	n += closeChunk(head[:chunkBytes+headerBytes])

	rows := height * (1 + width*channels)
	size := dataSize(rows)
	data := dst[n : n+chunkBytes+size]
	binary.BigEndian.PutUint32(data, uint32(size)) //nolint:gosec // a row is at most dataset.MaxRowBytes
	copy(data[4:], "IDAT")
	w.store(data[8:8+size], pixels, width*channels)
	n += closeChunk(data)

	end := dst[n : n+chunkBytes]
	copy(end, "\x00\x00\x00\x00IEND")
	closeChunk(end)
}

// closeChunk puts the checksum of a chunk's type and data at its end and returns the chunk's length.
func closeChunk(chunk []byte) int {
	at := len(chunk) - 4
	binary.BigEndian.PutUint32(chunk[at:], crc32.ChecksumIEEE(chunk[4:at]))
	return len(chunk)
}

// store fills dst with zlib's form of rows of pixels, each behind a filter byte of zero: no filter.
func (w pngWriter) store(dst, pixels []byte, rowBytes int) {
	dst[0], dst[1] = 0x78, 0x01
	out := dst[2 : len(dst)-4]
	w.sum.Reset()
	left := len(pixels) + len(pixels)/rowBytes
	column := -1 // the filter byte comes before the row's first
	for left > 0 {
		block := min(left, maxStored)
		left -= block
		out[0] = 0
		if left == 0 {
			out[0] = 1 // the last block
		}
		binary.LittleEndian.PutUint16(out[1:], uint16(block))  //nolint:gosec // at most maxStored
		binary.LittleEndian.PutUint16(out[3:], ^uint16(block)) //nolint:gosec // as above
		data := out[5 : 5+block]
		out = out[5+block:]
		for at := 0; at < block; {
			if column < 0 {
				data[at] = 0
				at, column = at+1, 0
				continue
			}
			n := copy(data[at:], pixels[:rowBytes-column])
			pixels, at, column = pixels[n:], at+n, column+n
			if column == rowBytes {
				column = -1
			}
		}
		w.sum.Write(data)
	}
	binary.BigEndian.PutUint32(dst[len(dst)-4:], w.sum.Sum32())
}
