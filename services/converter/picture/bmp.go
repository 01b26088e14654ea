package picture

import "encoding/binary"

// inspectBMP reads the headers of a Windows bitmap and checks that its pixels are all there; Microsoft's BITMAPINFOHEADER,
// BITMAPV4HEADER and BITMAPV5HEADER. Those are read of 1 to 8 bits with a palette, of 24 and of 32 bits, uncompressed.
func inspectBMP(data []byte) (Info, *Problem) {
	const (
		fileHeader   = 14
		v3, v4, v5   = 40, 108, 124 // lengths of the headers
		bitfields    = 3
		unreadKind   = "the BMP is compressed, of 16 bits a pixel or of an old kind, which is not read; save it as PNG or as BMP of 24 bits"
		headersShort = "the BMP ends in its headers"
	)
	in := Info{Encoding: BMP}
	if len(data) < fileHeader+4 {
		return in, truncated(headersShort)
	}
	u16 := func(at int) int { return int(binary.LittleEndian.Uint16(data[at:])) }
	u32 := func(at int) uint32 { return binary.LittleEndian.Uint32(data[at:]) }
	header := u32(fileHeader)
	if header < 12 || header > 1024 {
		return in, malformed("the file begins as a BMP but has no header of one")
	}
	if header != v3 && header != v4 && header != v5 {
		return in, unsupported(unreadKind)
	}
	if len(data) < fileHeader+int(header) {
		return in, truncated(headersShort)
	}
	width, height := int32(u32(18)), int32(u32(22)) //nolint:gosec // the fields are signed
	if height < 0 {                                 // rows from top to bottom
		height = -height
	}
	if width < 0 || height < 0 {
		return in, malformed("the BMP has an impossible size")
	}
	if p := checkSize(uint32(width), uint32(height)); p != nil {
		return in, p
	}
	in.Width, in.Height = int(width), int(height)
	bits, compression := u16(28), u32(30)
	if compression == bitfields && header > v3 && bits == 32 && u32(54) == 0xff0000 && u32(58) == 0xff00 && u32(62) == 0xff && u32(66) == 0xff000000 {
		compression = 0 // the order that uncompressed pixels have
	}
	if u16(26) != 1 || compression != 0 {
		return in, unsupported(unreadKind)
	}
	pixels := uint32(fileHeader) + header
	switch bits {
	case 1, 2, 4, 8:
		colours := u32(46)
		if colours == 0 {
			colours = 1 << bits
		}
		if colours > 1<<bits {
			return in, malformed("the BMP has more colours than its pixels can name")
		}
		pixels += 4 * colours
		in.Channels = 3
	case 24:
		in.Channels = 3
	case 32:
		in.Channels = 3
		if header > v3 {
			in.Channels = 4
		}
	default:
		return in, unsupported(unreadKind)
	}
	if u32(10) != pixels {
		return in, unsupported("the BMP has a gap between its headers and its pixels, which is not read; save it as PNG")
	}
	row := (in.Width*bits + 31) / 32 * 4
	if len(data) < int(pixels)+row*in.Height {
		return in, truncated("the BMP ends before its last row")
	}
	return in, nil
}
