package picture

import (
	"encoding/binary"
	"hash/crc32"
)

const pngMagic = "\x89PNG\r\n\x1a\n"

// inspectPNG walks the chunks (length, type, data, CRC) from IHDR to IEND; W3C PNG specification, 5.
// What follows IEND is ignored, as decoders do.
func inspectPNG(data []byte) (Info, *Problem) {
	const chunkOverhead = 12
	var in Info
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
			var p *Problem
			if in, p = pngHeader(body); p != nil {
				return in, p
			}
			colorType = body[9]
		case "eXIf":
			in.Orientation = exifOrientation(body)
		case "acTL": // of an animated PNG; what stands in IDAT is shown by who knows no animations
			in.More = true
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
func pngHeader(ihdr []byte) (Info, *Problem) {
	in := Info{Encoding: PNG, Width: int(binary.BigEndian.Uint32(ihdr)), Height: int(binary.BigEndian.Uint32(ihdr[4:])), interlaced: ihdr[12] == 1}
	samples, depth, ok := 0, ihdr[8], false
	switch ihdr[9] {
	case 0: // grey
		samples, in.Channels, ok = 1, 1, depth == 1 || depth == 2 || depth == 4 || depth == 8 || depth == 16
	case 2: // RGB
		samples, in.Channels, ok = 3, 3, depth == 8 || depth == 16
	case 3: // palette
		samples, in.Channels, ok = 1, 3, depth == 1 || depth == 2 || depth == 4 || depth == 8
	case 4: // grey with alpha
		samples, in.Channels, ok = 2, 2, depth == 8 || depth == 16
	case 6: // RGBA
		samples, in.Channels, ok = 4, 4, depth == 8 || depth == 16
	}
	if !ok || ihdr[10] != 0 || ihdr[11] != 0 || ihdr[12] > 1 {
		return in, malformed("the PNG's header holds values that don't exist")
	}
	in.bitsPerPixel = samples * int(depth)
	return in, nil
}
