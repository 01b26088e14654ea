package picture

import (
	"encoding/binary"
)

// inspectWebP walks the chunks of the RIFF container and reads the size that each kind of header claims; RFC 9649, section 2.
func inspectWebP(data []byte) (Info, *Problem) {
	const (
		riffHeader, chunkHeader  = 12, 8
		alphaFlag, animationFlag = 1 << 4, 1 << 1
	)
	in := Info{Encoding: WebP}
	size := uint64(binary.LittleEndian.Uint32(data[4:]))
	if size < 4 || size+8 > uint64(len(data)) {
		return in, truncated("the WebP ends before the length that its header claims")
	}
	rest := data[riffHeader : 8+size] // what follows is ignored, as decoders do
	extended, hasFrame, alpha, hasAlpha := false, false, false, false
	for first := true; len(rest) > 0; first = false {
		if len(rest) < chunkHeader {
			return in, truncated("the WebP ends in the middle of a chunk")
		}
		kind, length := string(rest[:4]), uint64(binary.LittleEndian.Uint32(rest[4:]))
		padded := length + length&1
		if chunkHeader+length > uint64(len(rest)) {
			return in, malformed("a WebP chunk claims to be longer than the file")
		}
		body := rest[chunkHeader : chunkHeader+length]
		rest = rest[min(chunkHeader+padded, uint64(len(rest))):] // some writers forget the last byte of padding
		var width, height uint32
		switch kind {
		case "VP8X":
			if !first || length != 10 {
				return in, malformed("the WebP's extended header is not where or what it must be")
			}
			if body[0]&animationFlag != 0 {
				return in, unsupported("animated WebP is not read; save one of its pictures as WebP, PNG or JPEG")
			}
			extended, alpha = true, body[0]&alphaFlag != 0
			width, height = 1+u24(body[4:]), 1+u24(body[7:])
		case "VP8 ", "VP8L":
			if hasFrame {
				continue // decoders take the first
			}
			if !extended && !first {
				return in, malformed("the WebP doesn't begin with its image data")
			}
			hasFrame = true
			var ok, ownAlpha bool
			if kind == "VP8 " {
				width, height, ok = vp8Size(body)
			} else {
				width, height, ownAlpha, ok = vp8lSize(body)
			}
			if !ok {
				return in, malformed("the WebP's image data have no header")
			}
			if extended && (int(width) != in.Width || int(height) != in.Height) {
				return in, malformed("the WebP's image data have another size than its header says")
			}
			if kind == "VP8 " && alpha && !hasAlpha {
				return in, malformed("the WebP claims to have transparency but has none before its image data")
			}
			in.Channels = 3
			if ownAlpha || kind == "VP8 " && alpha {
				in.Channels = 4
			}
		case "ALPH":
			hasAlpha = true
			continue
		case "EXIF":
			in.Orientation = exifOrientation(body)
			continue
		default:
			continue
		}
		if p := checkSize(width, height); p != nil {
			return in, p
		}
		in.Width, in.Height = int(width), int(height)
	}
	if !hasFrame {
		return in, malformed("the WebP has no image data")
	}
	return in, nil
}

func u24(b []byte) uint32 { return uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 }

// vp8Size reads the header of a lossy key frame; RFC 6386, 9.1.
func vp8Size(b []byte) (width, height uint32, ok bool) {
	if len(b) < 10 || b[0]&1 != 0 || u24(b[3:]) != 0x2a019d {
		return 0, 0, false
	}
	return uint32(binary.LittleEndian.Uint16(b[6:])) & 0x3fff, uint32(binary.LittleEndian.Uint16(b[8:])) & 0x3fff, true
}

// vp8lSize reads the header of a lossless image; RFC 9649, 3.4.
func vp8lSize(b []byte) (width, height uint32, alpha, ok bool) {
	if len(b) < 5 || b[0] != 0x2f {
		return 0, 0, false, false
	}
	bits := binary.LittleEndian.Uint32(b[1:])
	return 1 + bits&0x3fff, 1 + bits>>14&0x3fff, bits>>28&1 == 1, bits>>29 == 0
}
