package imagefolder

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"

	"github.com/trainyard/trainyard/services/converter/reject"
)

// maxPixels is 64 mebipixels. An image's size is checked before anything is decoded: 68 bytes of PNG can claim 900 million pixels.
const maxPixels = 64 << 20

// info is what an image's structure tells.
type info struct {
	encoding      string // "png" or "jpeg"
	width, height int
	channels      int // as stored; 3 for a palette
	interlaced    bool
	bitsPerPixel  int // PNG only
}

// problem is why an image can't be an example.
type problem struct {
	reason  reject.Reason
	message string
}

func malformed(message string) *problem { return &problem{reject.MalformedImage, message} }
func truncated(message string) *problem { return &problem{reject.TruncatedImage, message} }
func unsupported(message string) *problem {
	return &problem{reject.UnsupportedImage, message}
}

// checkSize applies the limit on pixels.
func checkSize(width, height uint32) *problem {
	if width == 0 || height == 0 {
		return malformed("the image has no pixels")
	}
	if uint64(width)*uint64(height) > maxPixels {
		return &problem{reject.TooManyPixels, "the image has more than 64 megapixels; make it smaller"}
	}
	return nil
}

const pngMagic = "\x89PNG\r\n\x1a\n"

// inspect walks an image's structure to its end. It allocates nothing and decodes nothing. The kind
// of image is told from the content alone; many files are misnamed.
func inspect(data []byte) (info, *problem) {
	switch {
	case bytes.HasPrefix(data, []byte(pngMagic)):
		return inspectPNG(data)
	case bytes.HasPrefix(data, []byte("\xff\xd8\xff")):
		return inspectJPEG(data)
	case bytes.HasPrefix(data, []byte("GIF8")), bytes.HasPrefix(data, []byte("BM")), bytes.HasPrefix(data, []byte("II*\x00")),
		bytes.HasPrefix(data, []byte("MM\x00*")), len(data) > 12 && string(data[8:12]) == "WEBP", len(data) > 12 && string(data[4:8]) == "ftyp":
		return info{}, unsupported("images of this kind are not read, whatever the file is called; convert it to PNG or JPEG")
	}
	return info{}, malformed("the file holds neither a PNG nor a JPEG image")
}

// inspectPNG walks the chunks (length, type, data, CRC) from IHDR to IEND; W3C PNG specification, 5.
// What follows IEND is ignored, as decoders do.
func inspectPNG(data []byte) (info, *problem) {
	const chunkOverhead = 12
	var in info
	colorType, hasPalette, hasData := byte(0), false, false
	for rest, first := data[len(pngMagic):], true; ; first = false {
		if len(rest) < chunkOverhead {
			return in, truncated("the PNG ends before its IEND chunk")
		}
		length := binary.BigEndian.Uint32(rest)
		if length > 1<<31-1 {
			return in, malformed("a PNG chunk claims more than 2 GiB")
		}
		if int64(length) > int64(len(rest)-chunkOverhead) {
			return in, truncated("the PNG ends in the middle of a chunk")
		}
		typed, body := rest[4:8+length], rest[8:8+length]
		if first {
			if string(typed[:4]) != "IHDR" || length != 13 {
				return in, malformed("the PNG doesn't begin with an IHDR chunk")
			}
			if p := checkSize(binary.BigEndian.Uint32(body), binary.BigEndian.Uint32(body[4:])); p != nil {
				return in, p
			}
		}
		if crc32.ChecksumIEEE(typed) != binary.BigEndian.Uint32(rest[8+length:]) {
			return in, malformed("a PNG chunk's checksum doesn't match")
		}
		switch string(typed[:4]) {
		case "IHDR":
			if !first {
				return in, malformed("the PNG has a second IHDR chunk")
			}
			var p *problem
			if in, p = pngHeader(body); p != nil {
				return in, p
			}
			colorType = body[9]
		case "PLTE":
			hasPalette = true
		case "IDAT":
			if colorType == 3 && !hasPalette {
				return in, malformed("the PNG has no palette before its data")
			}
			hasData = hasData || length > 0
		case "IEND":
			if !hasData {
				return in, malformed("the PNG has no image data")
			}
			return in, nil
		}
		rest = rest[chunkOverhead+length:]
	}
}

// pngHeader reads IHDR; the allowed pairs of colour type and bit depth are table 11.1 of the specification.
func pngHeader(ihdr []byte) (info, *problem) {
	in := info{encoding: "png", width: int(binary.BigEndian.Uint32(ihdr)), height: int(binary.BigEndian.Uint32(ihdr[4:])), interlaced: ihdr[12] == 1}
	samples, depth, ok := 0, ihdr[8], false
	switch ihdr[9] {
	case 0: // grey
		samples, in.channels, ok = 1, 1, depth == 1 || depth == 2 || depth == 4 || depth == 8 || depth == 16
	case 2: // RGB
		samples, in.channels, ok = 3, 3, depth == 8 || depth == 16
	case 3: // palette
		samples, in.channels, ok = 1, 3, depth == 1 || depth == 2 || depth == 4 || depth == 8
	case 4: // grey with alpha
		samples, in.channels, ok = 2, 2, depth == 8 || depth == 16
	case 6: // RGBA
		samples, in.channels, ok = 4, 4, depth == 8 || depth == 16
	}
	if !ok || ihdr[10] != 0 || ihdr[11] != 0 || ihdr[12] > 1 {
		return in, malformed("the PNG's header holds values that don't exist")
	}
	in.bitsPerPixel = samples * int(depth)
	return in, nil
}

// inspectJPEG walks the marker segments and the entropy-coded data between them from SOI to EOI;
// ITU-T T.81, annex B. What follows EOI is ignored, as decoders do.
func inspectJPEG(data []byte) (info, *problem) {
	const (
		sof0, sof2, sof15         = 0xc0, 0xc2, 0xcf
		dht, jpg, dac             = 0xc4, 0xc8, 0xcc
		rst0, rst7, soi, eoi      = 0xd0, 0xd7, 0xd8, 0xd9
		sos, tem, stuffed, filler = 0xda, 0x01, 0x00, 0xff
	)
	const noEnd = "the JPEG ends before its end marker"
	in := info{encoding: "jpeg"}
	hasFrame, hasScan := false, false
	pos := 2
	for {
		if pos+2 > len(data) {
			return in, truncated(noEnd)
		}
		if data[pos] != 0xff {
			return in, malformed("the JPEG has data where a marker must be")
		}
		marker := data[pos+1]
		if marker == filler { // any number of 0xff may precede a marker
			pos++
			continue
		}
		pos += 2
		switch {
		case marker == eoi:
			if !hasScan {
				return in, malformed("the JPEG has no image data")
			}
			return in, nil
		case marker == tem, marker >= rst0 && marker <= rst7:
			continue
		case marker == soi, marker == stuffed:
			return in, malformed("the JPEG has a marker where it can't be")
		}
		if pos+2 > len(data) {
			return in, truncated(noEnd)
		}
		length := int(binary.BigEndian.Uint16(data[pos:]))
		if length < 2 {
			return in, malformed("a JPEG segment is too short")
		}
		if pos+length > len(data) {
			return in, truncated("the JPEG ends in the middle of a segment")
		}
		segment := data[pos+2 : pos+length]
		pos += length
		switch {
		case marker == sos:
			if !hasFrame {
				return in, malformed("the JPEG's data come before its header")
			}
			hasScan = true
			pos = skipEntropy(data, pos)
		case marker >= sof0 && marker <= sof15 && marker != dht && marker != jpg && marker != dac:
			if hasFrame {
				return in, malformed("the JPEG has a second header")
			}
			if marker > sof2 {
				return in, unsupported("the JPEG is lossless, hierarchical or arithmetic-coded, which TensorFlow doesn't read; save it as a baseline JPEG")
			}
			if p := jpegFrame(&in, segment); p != nil {
				return in, p
			}
			hasFrame = true
		}
	}
}

// jpegFrame reads a start-of-frame segment.
func jpegFrame(in *info, segment []byte) *problem {
	if len(segment) < 6 {
		return malformed("the JPEG's header is too short")
	}
	height, width := binary.BigEndian.Uint16(segment[1:]), binary.BigEndian.Uint16(segment[3:])
	if p := checkSize(uint32(width), uint32(height)); p != nil {
		return p
	}
	if segment[0] != 8 {
		return unsupported("the JPEG has other than 8 bits a sample, which TensorFlow doesn't read; save it as a baseline JPEG")
	}
	in.width, in.height, in.channels = int(width), int(height), int(segment[5])
	if (in.channels != 1 && in.channels != 3 && in.channels != 4) || len(segment) < 6+3*in.channels {
		return malformed("the JPEG's header has an impossible number of components")
	}
	return nil
}

// skipEntropy returns the position of the first marker at or after pos that ends a scan; stuffed
// zeros and restart markers belong to it.
func skipEntropy(data []byte, pos int) int {
	for {
		i := bytes.IndexByte(data[min(pos, len(data)):], 0xff)
		if i < 0 || pos+i+1 >= len(data) {
			return len(data)
		}
		pos += i
		if next := data[pos+1]; next != 0 && (next < 0xd0 || next > 0xd7) {
			return pos
		}
		pos += 2
	}
}
