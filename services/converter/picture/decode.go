package picture

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"
	"sync"

	"github.com/klauspost/compress/zlib"
	"golang.org/x/image/bmp"
	"golang.org/x/image/tiff"
	"golang.org/x/image/webp"
)

// Decoder decodes images. It keeps its buffers from one image to the next, so each goroutine needs its own.
// The zero value is ready for use.
type Decoder struct {
	inflate io.ReadCloser
	in      bytes.Reader
	scrap   []byte
}

// largeDecode lets one large image at a time be decoded in a process: the workers share its memory limit.
var largeDecode sync.Mutex

// largePixels is from which size on an image is large.
const largePixels = 4 << 20

// limitDecodes waits for a large image's turn, and returns the function that ends it.
func limitDecodes(in Info) (done func()) {
	if in.Pixels() <= largePixels {
		return func() {}
	}
	largeDecode.Lock()
	return largeDecode.Unlock
}

// Check decodes a JPEG or PNG that Inspect found sound to nowhere, to see whether it can be done. It tells whether it did: images that are larger than
// is decoded and the few kinds that TensorFlow decodes but Go doesn't stay checked by their structure.
// The other encodings are decoded by a Transcoder in any case.
func (d *Decoder) Check(data []byte, in Info) (decoded bool, _ *Problem) {
	if !in.decodable() {
		return false, nil
	}
	if in.Encoding == PNG {
		return true, d.checkPNG(data, in)
	}
	defer limitDecodes(in)()
	_, err := d.decode(data, in)
	var unknown jpeg.UnsupportedError
	if errors.As(err, &unknown) {
		return false, nil
	}
	if err != nil {
		return true, malformed("the " + err.Error())
	}
	return true, nil
}

// decode decodes the first picture, after limitDecodes. in must come from Inspect, which has found nothing wrong; it must be decodable.
func (d *Decoder) decode(data []byte, in Info) (_ image.Image, err error) {
	// These decoders are well tested, but one upload in which they find an index out of range must not cost more than its image.
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%s can't be decoded: %v", in.Encoding, r)
		}
	}()
	d.in.Reset(data)
	var img image.Image
	switch in.Encoding {
	case JPEG:
		img, err = jpeg.Decode(&d.in)
	case PNG:
		img, err = png.Decode(&d.in)
	case GIF:
		img, err = gif.Decode(&d.in)
	case BMP:
		img, err = bmp.Decode(&d.in)
	case WebP:
		img, err = webp.Decode(&d.in)
	case TIFF:
		img, err = tiff.Decode(&d.in)
	}
	if err != nil {
		return nil, fmt.Errorf("%s can't be decoded: %w", in.Encoding, err)
	}
	if g, ok := img.(*image.Gray); ok && in.inverted {
		// Runs that fax calls white are zeros, so that they are black where the TIFF says that zero is black (libtiff, tif_fax3.c). x/image keeps them white.
		for i := range g.Pix {
			g.Pix[i] = ^g.Pix[i]
		}
	}
	if size := img.Bounds().Size(); in.Encoding != GIF && (size.X != in.Width || size.Y != in.Height) { // a GIF's frame may be smaller
		return nil, fmt.Errorf("%s has %d × %d pixels where its header says %d × %d", in.Encoding, size.X, size.Y, in.Width, in.Height)
	}
	return img, nil
}

// idat reads the contents of a PNG's IDAT chunks as one stream. The chunks have been checked.
type idat struct{ chunks, body []byte }

func (r *idat) Read(p []byte) (int, error) {
	for len(r.body) == 0 {
		if len(r.chunks) < 12 {
			return 0, io.EOF
		}
		length := binary.BigEndian.Uint32(r.chunks)
		switch string(r.chunks[4:8]) {
		case "IDAT":
			r.body = r.chunks[8 : 8+length]
		case "IEND":
			return 0, io.EOF
		}
		r.chunks = r.chunks[12+length:]
	}
	n := copy(p, r.body)
	r.body = r.body[n:]
	return n, nil
}

// checkPNG inflates the image row by row and checks each row's filter, the number of rows and zlib's
// checksum. That is all a decoder can find wrong, without holding the pixels.
func (d *Decoder) checkPNG(data []byte, in Info) *Problem {
	src := &idat{chunks: data[len(pngMagic):]}
	var err error
	if d.inflate == nil {
		d.inflate, err = zlib.NewReader(src)
	} else {
		err = d.inflate.(zlib.Resetter).Reset(src, nil)
	}
	if err != nil {
		d.inflate = nil
		return malformed("the PNG's image data are not compressed as they should be")
	}
	for _, pass := range passes(in) {
		rowBytes := 1 + (pass.width*in.bitsPerPixel+7)/8
		if cap(d.scrap) < rowBytes {
			d.scrap = make([]byte, rowBytes)
		}
		row := d.scrap[:rowBytes]
		for range pass.height {
			if _, err := io.ReadFull(d.inflate, row); err != nil {
				return truncated("the PNG's image data are damaged or hold fewer rows than the image has")
			}
			if row[0] > 4 {
				return malformed("the PNG uses a row filter that doesn't exist")
			}
		}
	}
	// Reading on to the end is what checks zlib's checksum. More rows than needed are an error to libpng only as a warning.
	if n, err := io.CopyN(io.Discard, d.inflate, 1); n == 0 && err != io.EOF { //nolint:errorlint // CopyN returns io.EOF itself
		return malformed("the PNG's image data don't match their checksum")
	}
	return nil
}

type pass struct{ width, height int }

// passes are the sub-images of an Adam7-interlaced PNG, or the one of any other; specification, 8.2.
func passes(in Info) []pass {
	if !in.interlaced {
		return []pass{{in.Width, in.Height}}
	}
	var all []pass
	for _, g := range [...]struct{ x0, y0, dx, dy int }{{0, 0, 8, 8}, {4, 0, 8, 8}, {0, 4, 4, 8}, {2, 0, 4, 4}, {0, 2, 2, 4}, {1, 0, 2, 2}, {0, 1, 1, 2}} {
		p := pass{(in.Width - g.x0 + g.dx - 1) / g.dx, (in.Height - g.y0 + g.dy - 1) / g.dy}
		if p.width > 0 && p.height > 0 {
			all = append(all, p)
		}
	}
	return all
}
