package imagefolder

import (
	"bytes"
	"encoding/binary"
	"image/jpeg"
	"io"
	"sync"

	"github.com/klauspost/compress/zlib"
)

// maxDecoded is the size up to which a full validation decodes, in pixels. Go's decoder holds a progressive JPEG's
// coefficients at 12 bytes a pixel, so that this bounds a decode to about 300 MB; larger images are checked by structure, and counted so.
const maxDecoded = 24 << 20

// decoder decodes images to nowhere, to see whether it can be done.
type decoder struct {
	inflate io.ReadCloser
	in      bytes.Reader
	scrap   []byte
}

// largeDecode lets one large image at a time be decoded in a process: the workers share its memory limit.
var largeDecode sync.Mutex

func (d *decoder) decode(data []byte, in info) *problem {
	if in.encoding == "png" {
		return d.decodePNG(data, in)
	}
	if in.width*in.height > 4<<20 {
		largeDecode.Lock()
		defer largeDecode.Unlock()
	}
	d.in.Reset(data)
	if _, err := jpeg.Decode(&d.in); err != nil {
		return malformed("the JPEG can't be decoded: " + err.Error())
	}
	return nil
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

// decodePNG inflates the image row by row and checks each row's filter, the number of rows and zlib's
// checksum. That is all a decoder can find wrong, without holding the pixels.
func (d *decoder) decodePNG(data []byte, in info) *problem {
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
func passes(in info) []pass {
	if !in.interlaced {
		return []pass{{in.width, in.height}}
	}
	var all []pass
	for _, g := range [...]struct{ x0, y0, dx, dy int }{{0, 0, 8, 8}, {4, 0, 8, 8}, {0, 4, 4, 8}, {2, 0, 4, 4}, {0, 2, 2, 4}, {1, 0, 2, 2}, {0, 1, 1, 2}} {
		p := pass{(in.width - g.x0 + g.dx - 1) / g.dx, (in.height - g.y0 + g.dy - 1) / g.dy}
		if p.width > 0 && p.height > 0 {
			all = append(all, p)
		}
	}
	return all
}
