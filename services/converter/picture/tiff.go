package picture

import (
	"fmt"

	"github.com/trainyard/trainyard/services/converter/reject"
)

// Tags of TIFF 6.0 that matter here.
const (
	tiffWidth         = 256
	tiffHeight        = 257
	tiffBitsPerSample = 258
	tiffCompression   = 259
	tiffPhotometric   = 262
	tiffFillOrder     = 266
	tiffStripOffsets  = 273
	tiffOrientation   = 274
	tiffRowsPerStrip  = 278
	tiffStripBytes    = 279
	tiffPlanar        = 284
	tiffPredictor     = 317
	tiffTileWidth     = 322
	tiffTileHeight    = 323
	tiffTileOffsets   = 324
	tiffTileBytes     = 325
	tiffExtraSamples  = 338
	tiffSampleFormat  = 339
)

// maxBlockPixels bounds a compressed strip or tile. Decoding one takes up to 8 bytes a pixel beside the image, and twice that while it grows.
const maxBlockPixels = 8 << 20

// maxTIFFBytes bounds a decoded TIFF, which may have 8 bytes a pixel.
const maxTIFFBytes = 4 * MaxDecoded

// inspectTIFF reads the first directory and checks that every strip or tile lies within the file, that they don't
// share data and hold no more than about the image; TIFF 6.0. Other directories are further pages.
func inspectTIFF(data []byte) (Info, *Problem) {
	in := Info{Encoding: TIFF}
	d, ok := firstDirectory(data)
	if !ok {
		return in, truncated("the TIFF's first directory doesn't lie within the file")
	}
	in.More = d.next != 0
	tags := map[uint16]entry{}
	for i := range d.len() {
		e := d.entry(i)
		tags[e.tag] = e
	}
	first := func(tag uint16, otherwise uint32) uint32 {
		if e := tags[tag]; e.len() > 0 {
			return e.at(0)
		}
		return otherwise
	}
	width, height := first(tiffWidth, 0), first(tiffHeight, 0)
	if p := checkSize(width, height); p != nil {
		return in, p
	}
	in.Width, in.Height = int(width), int(height)
	if e, ok := tags[tiffOrientation]; ok {
		in.Orientation = e.orientation()
	}
	if p := tiffPixels(&in, tags, first); p != nil {
		return in, p
	}
	if in.Pixels()*((in.bitsPerPixel+7)/8) > maxTIFFBytes {
		return in, &Problem{reject.TooManyPixels, fmt.Sprintf("the TIFF has %d MiB of pixels; the limit for one is %d MiB; make it smaller or save it as JPEG or PNG",
			in.Pixels()*in.bitsPerPixel>>23, maxTIFFBytes>>20)}
	}
	return in, tiffBlocks(in, tags, first, len(data))
}

// tiffPixels checks how the pixels are stored, and finds the channels.
func tiffPixels(in *Info, tags map[uint16]entry, first func(uint16, uint32) uint32) *Problem {
	const mend = ", which is not read; save it as PNG or as TIFF of 8 or 16 bits a sample"
	bits := first(tiffBitsPerSample, 1)
	samples := max(1, tags[tiffBitsPerSample].len())
	if bits != 1 && bits != 8 && bits != 16 {
		return unsupported(fmt.Sprintf("the TIFF has %d bits a sample", bits) + mend)
	}
	if first(tiffSampleFormat, 1) != 1 {
		return unsupported("the TIFF holds signed or floating-point samples" + mend)
	}
	if samples > 1 && first(tiffPlanar, 1) != 1 {
		return unsupported("the TIFF stores each channel by itself" + mend)
	}
	compression := first(tiffCompression, 1)
	switch compression {
	case 0, 1, 3, 4, 5, 8, 32773, 32946:
	default:
		return unsupported(fmt.Sprintf("the TIFF is compressed by method %d (7 is JPEG)", compression) + mend)
	}
	if first(tiffFillOrder, 1) != 1 && compression != 3 && compression != 4 {
		return unsupported("the TIFF stores its bits in reverse" + mend)
	}
	if predictor := first(tiffPredictor, 1); predictor > 2 || predictor == 2 && bits == 1 {
		return unsupported("the TIFF uses a predictor for floating-point numbers" + mend)
	}
	photometric := first(tiffPhotometric, 0)
	switch {
	case photometric <= 1 && samples == 1:
		in.Channels = 1
	case photometric == 2 && bits >= 8 && (samples == 3 || samples == 4 && (first(tiffExtraSamples, 0) == 1 || first(tiffExtraSamples, 0) == 2)):
		in.Channels = samples
	case photometric == 3 && samples == 1:
		in.Channels = 3
	default:
		return unsupported(fmt.Sprintf("the TIFF has %d samples a pixel in colour space %d, neither grey, RGB, RGBA nor a palette", samples, photometric) + mend)
	}
	in.inverted = photometric == 1 && (compression == 3 || compression == 4)
	in.bitsPerPixel = samples * int(bits)
	if in.bitsPerPixel == 24 {
		in.bitsPerPixel = 32 // as it is decoded to
	} else if in.bitsPerPixel == 48 {
		in.bitsPerPixel = 64
	}
	return nil
}

// tiffBlocks checks the strips or tiles. Without it a small file can have a decoder inflate the same block a million times.
func tiffBlocks(in Info, tags map[uint16]entry, first func(uint16, uint32) uint32, size int) *Problem {
	width, height := int64(in.Width), int64(in.Height)
	blockWidth, blockHeight := width, height
	if rows := int64(first(tiffRowsPerStrip, 0)); rows > 0 {
		blockHeight = min(height, rows)
	}
	offsets, counts := tags[tiffStripOffsets], tags[tiffStripBytes]
	if _, tiled := tags[tiffTileWidth]; tiled {
		blockWidth, blockHeight = int64(first(tiffTileWidth, 0)), int64(first(tiffTileHeight, 0))
		offsets, counts = tags[tiffTileOffsets], tags[tiffTileBytes]
	}
	if blockWidth == 0 || blockHeight == 0 {
		return malformed("the TIFF's strips or tiles have no size")
	}
	across, down := (width+blockWidth-1)/blockWidth, (height+blockHeight-1)/blockHeight
	const sparse = 4 << 20 // pixels of padding that tiles at the edge may have
	if blockWidth > MaxPixels || blockHeight > MaxPixels || across*blockWidth*down*blockHeight > 2*int64(in.Pixels())+sparse {
		return malformed("the TIFF's tiles are far larger than the image")
	}
	if first(tiffCompression, 1) > 1 && blockWidth*blockHeight > maxBlockPixels {
		return &Problem{reject.TooManyPixels, fmt.Sprintf("the TIFF is compressed in pieces of %d × %d pixels; the limit for a piece is %d megapixels; save it with smaller strips or as PNG",
			blockWidth, blockHeight, maxBlockPixels>>20)}
	}
	n := int(across * down)
	if offsets.len() < n || counts.len() < n {
		return truncated("the TIFF's lists of strips or tiles are too short or don't lie within the file")
	}
	total := int64(0)
	for i := range n {
		offset, count := int64(offsets.at(i)), int64(counts.at(i))
		if offset+count > int64(size) {
			return truncated("the TIFF's image data don't lie within the file")
		}
		total += count
	}
	if total > int64(size) {
		return malformed("the TIFF's strips or tiles overlap")
	}
	return nil
}
