package picture

import (
	"bytes"
	"encoding/binary"
)

// inspectJPEG walks the marker segments and the entropy-coded data between them from SOI to EOI;
// ITU-T T.81, annex B. What follows EOI is ignored, as decoders do.
func inspectJPEG(data []byte) (Info, *Problem) {
	const (
		sof0, sof2, sof15         = 0xc0, 0xc2, 0xcf
		dht, jpg, dac             = 0xc4, 0xc8, 0xcc
		rst0, rst7, soi, eoi      = 0xd0, 0xd7, 0xd8, 0xd9
		sos, tem, stuffed, filler = 0xda, 0x01, 0x00, 0xff
		app1                      = 0xe1
	)
	const noEnd = "the JPEG ends before its end marker"
	in := Info{Encoding: JPEG}
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
		case marker == app1:
			if exif, ok := bytes.CutPrefix(segment, []byte(exifHeader)); ok && in.Orientation == 0 {
				in.Orientation = exifOrientation(exif)
			}
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
			if p := jpegFrame(&in, segment, marker == sof2); p != nil {
				return in, p
			}
			hasFrame = true
		}
	}
}

// jpegFrame reads a start-of-frame segment.
func jpegFrame(in *Info, segment []byte, progressive bool) *Problem {
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
	in.Width, in.Height, in.Channels = int(width), int(height), int(segment[5])
	if (in.Channels != 1 && in.Channels != 3 && in.Channels != 4) || len(segment) < 6+3*in.Channels {
		return malformed("the JPEG's header has an impossible number of components")
	}
	samples, across, down := 0, 0, 0
	for i := range in.Channels {
		h, v := int(segment[7+3*i]>>4), int(segment[7+3*i]&15)
		if h < 1 || h > 4 || v < 1 || v > 4 {
			return malformed("the JPEG's header has an impossible sampling factor")
		}
		samples, across, down = samples+h*v, max(across, h), max(down, v)
	}
	if progressive {
		in.coefficients = 4 * in.Pixels() * samples / (across * down)
	}
	return nil
}

// skipEntropy returns the position of the first marker at or after pos that ends a scan; stuffed
// zeros and restart markers belong to it.
func skipEntropy(data []byte, pos int) int {
	for {
		i := findFF(data[min(pos, len(data)):])
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
