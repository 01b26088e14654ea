// Package picture inspects, checks and converts encoded images that come from strangers. It promises that
// its memory and time are bounded by the length of the data and by MaxPixels and MaxDecoded, whatever the data are.
//
// JPEG and PNG become part of an example byte for byte. tf.io.decode_image reads neither WebP nor TIFF, gives an animated GIF one more
// dimension than the Image feature of TensorFlow Datasets allows, and reads only some BMPs, so these four are
// stored as PNG, which loses nothing.
//
// Nothing here turns an image: the orientation that EXIF notes is handed on, as tf.io.decode_image ignores it.
package picture

import (
	"bytes"
	"fmt"
	"path"
	"strings"

	"github.com/trainyard/trainyard/services/converter/reject"
)

// The limits on an image's size. It is known before anything is decoded: 68 bytes of PNG can claim 900 million pixels.
const (
	// MaxPixels is 64 mebipixels.
	MaxPixels = 64 << 20
	// MaxDecoded is the number of pixels up to which an image is decoded.
	MaxDecoded = 24 << 20
)

// maxCoefficients bounds what Go's decoder holds of a progressive JPEG beside the image: four bytes for each sample. It is enough for
// MaxDecoded pixels with the usual halved chroma. Together they bound a decode to about 250 MB.
const maxCoefficients = 6 * MaxDecoded

// Encoding is how an image is encoded.
type Encoding string

// The encodings that are read.
const (
	JPEG Encoding = "jpeg"
	PNG  Encoding = "png"
	GIF  Encoding = "gif"
	BMP  Encoding = "bmp"
	WebP Encoding = "webp"
	TIFF Encoding = "tiff"
)

// Stored is the encoding that an image has in an example.
func (e Encoding) Stored() Encoding {
	if e == JPEG {
		return JPEG
	}
	return PNG
}

// Info is what an image's structure tells.
type Info struct {
	Encoding      Encoding
	Width, Height int // as stored, in pixels, before any turn
	// Channels is what tf.io.decode_image finds in a PNG or JPEG: 1 grey, 2 grey with alpha, 3 colour or palette, 4 with alpha or CMYK.
	Channels int
	// Orientation is EXIF's, 1 to 8: how to turn the stored image for it to stand upright. 1, upright, where there is none.
	Orientation int
	// More says that the file holds further pictures (an animation, pages), of which only the first is used.
	More bool

	interlaced   bool // PNG only
	bitsPerPixel int  // PNG and TIFF only
	coefficients int  // bytes that decoding a progressive JPEG takes beside the image
	inverted     bool // TIFF by fax compression only: see decode
}

// Pixels is the number of pixels.
func (i Info) Pixels() int { return i.Width * i.Height }

// decodable tells whether decoding the image stays within the limits.
func (i Info) decodable() bool { return i.Pixels() <= MaxDecoded && i.coefficients <= maxCoefficients }

// Problem is why an image can't be an example.
type Problem struct {
	Reason  reject.Reason
	Message string
}

func malformed(message string) *Problem   { return &Problem{reject.MalformedImage, message} }
func truncated(message string) *Problem   { return &Problem{reject.TruncatedImage, message} }
func unsupported(message string) *Problem { return &Problem{reject.UnsupportedImage, message} }

// checkSize applies the limit on pixels.
func checkSize(width, height uint32) *Problem {
	if width == 0 || height == 0 {
		return malformed("the image has no pixels")
	}
	if uint64(width)*uint64(height) > MaxPixels {
		return &Problem{reject.TooManyPixels, fmt.Sprintf("the image has %d × %d pixels, more than %d megapixels; make it smaller", width, height, MaxPixels>>20)}
	}
	return nil
}

// checkDecodable applies the limit on what has to be decoded to become an example.
func checkDecodable(in Info) *Problem {
	if in.Pixels() > MaxDecoded {
		return &Problem{reject.TooManyPixels, fmt.Sprintf("the image has %d × %d pixels; a %s image is stored as PNG and may have %d megapixels; make it smaller or save it as JPEG or PNG",
			in.Width, in.Height, strings.ToUpper(string(in.Encoding)), MaxDecoded>>20)}
	}
	return nil
}

// Inspect walks an image's structure to its end. It allocates nothing for a sound JPEG or PNG and decodes nothing. The kind
// of image is told from the content alone; many files are misnamed.
func Inspect(data []byte) (Info, *Problem) {
	var in Info
	var p *Problem
	switch {
	case bytes.HasPrefix(data, []byte(pngMagic)):
		in, p = inspectPNG(data)
	case bytes.HasPrefix(data, []byte("\xff\xd8\xff")):
		in, p = inspectJPEG(data)
	case bytes.HasPrefix(data, []byte("GIF87a")), bytes.HasPrefix(data, []byte("GIF89a")):
		in, p = inspectGIF(data)
	case len(data) >= 12 && string(data[:4]) == "RIFF" && string(data[8:12]) == "WEBP":
		in, p = inspectWebP(data)
	case bytes.HasPrefix(data, []byte("II*\x00")), bytes.HasPrefix(data, []byte("MM\x00*")):
		in, p = inspectTIFF(data)
	case bytes.HasPrefix(data, []byte("II+\x00")), bytes.HasPrefix(data, []byte("MM\x00+")):
		return in, unsupported("BigTIFF is not read; save the image as TIFF, PNG or JPEG")
	case len(data) >= 12 && string(data[4:8]) == "ftyp", bytes.HasPrefix(data, []byte("\xff\x0a")), bytes.HasPrefix(data, []byte("\x00\x00\x00\x0cJXL ")),
		bytes.HasPrefix(data, []byte("\x00\x00\x00\x0cjP  ")), bytes.HasPrefix(data, []byte("8BPS")):
		return in, unsupported("images of this kind (HEIC, AVIF, JPEG XL, JPEG 2000, Photoshop) are not read, whatever the file is called; save it as PNG or JPEG")
	case bytes.HasPrefix(data, []byte("BM")):
		in, p = inspectBMP(data)
	default:
		return in, malformed("the file holds no image that is read: JPEG, PNG, GIF, BMP, WebP or TIFF")
	}
	if p == nil && in.Encoding.Stored() != in.Encoding {
		p = checkDecodable(in)
	}
	if in.Orientation == 0 {
		in.Orientation = 1
	}
	return in, p
}

// Extensions are the endings of the files that are read, for dataset.Format.
func Extensions() []string {
	return []string{".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".gif", ".bmp", ".webp", ".tif", ".tiff"}
}

// Kind is what a file's name promises.
type Kind int

// The kinds of files.
const (
	NoImage Kind = iota // no image
	Image               // an image that is read
	Unread              // an image of a kind that isn't read
)

// KindOf tells from a file's name whether it is meant to be an image. It allocates nothing for names in lower case.
func KindOf(name string) Kind {
	switch strings.ToLower(path.Ext(name)) {
	case ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".gif", ".bmp", ".dib", ".webp", ".tif", ".tiff":
		return Image
	case ".heic", ".heif", ".avif", ".jp2", ".j2k", ".jxl", ".psd", ".ico", ".svg", ".cr2", ".nef", ".arw", ".dng":
		return Unread
	}
	return NoImage
}
