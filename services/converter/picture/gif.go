package picture

import "encoding/binary"

// inspectGIF walks the blocks from the screen's description to the trailer; GIF89a specification, appendix B.
func inspectGIF(data []byte) (Info, *Problem) {
	const (
		headerBytes, frameBytes          = 13, 9
		extension, frame, trailer        = 0x21, 0x2c, 0x3b
		hasTable, tableSize       uint16 = 0x80, 0x07
	)
	const noEnd = "the GIF ends before its trailer"
	in := Info{Encoding: GIF, Channels: 3}
	if len(data) < headerBytes {
		return in, truncated(noEnd)
	}
	width, height := binary.LittleEndian.Uint16(data[6:]), binary.LittleEndian.Uint16(data[8:])
	if p := checkSize(uint32(width), uint32(height)); p != nil {
		return in, p
	}
	in.Width, in.Height = int(width), int(height)
	table := func(flags byte) int {
		if uint16(flags)&hasTable == 0 {
			return 0
		}
		return 3 << (1 + uint16(flags)&tableSize)
	}
	pos := headerBytes + table(data[10])
	hasGlobal := pos > headerBytes
	frames := 0
	for pos < len(data) {
		kind := data[pos]
		pos++
		switch kind {
		case trailer:
			if frames == 0 {
				return in, malformed("the GIF has no image data")
			}
			in.More = frames > 1
			return in, nil
		case extension:
			pos++ // its label
		case frame:
			if pos+frameBytes > len(data) {
				return in, truncated(noEnd)
			}
			at := func(i int) int { return int(binary.LittleEndian.Uint16(data[pos+i:])) }
			if frames == 0 && (at(0)+at(4) > in.Width || at(2)+at(6) > in.Height || at(4) == 0 || at(6) == 0) {
				return in, malformed("the GIF's first frame doesn't lie within its bounds")
			}
			own := table(data[pos+8])
			if frames == 0 && own == 0 && !hasGlobal {
				return in, malformed("the GIF has no table of colours")
			}
			frames++
			pos += frameBytes + own + 1 // the smallest code's size
		default:
			return in, malformed("the GIF has a block of a kind that doesn't exist")
		}
		for { // sub-blocks of up to 255 bytes, ended by an empty one
			if pos >= len(data) {
				return in, truncated(noEnd)
			}
			n := int(data[pos])
			pos += 1 + n
			if n == 0 {
				break
			}
		}
	}
	return in, truncated(noEnd)
}
