package picture

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"

	"golang.org/x/image/draw"

	"github.com/trainyard/trainyard/services/converter/reject"
)

// MaxThumbnail is the longest side that a thumbnail may have, in pixels.
const MaxThumbnail = 1024

// thumbnailQuality is JPEG's, of 100.
const thumbnailQuality = 80

// Thumbnail returns a JPEG of the image that fits into a square of maxSide pixels and stands upright. Small
// images aren't enlarged; transparency becomes white. The image may be any that Inspect accepts, within the limits for decoding. Errors are *reject.File without a path.
func (d *Decoder) Thumbnail(data []byte, maxSide int) ([]byte, error) {
	if maxSide < 1 || maxSide > MaxThumbnail {
		return nil, fmt.Errorf("a thumbnail of %d pixels; it may have 1 to %d", maxSide, MaxThumbnail)
	}
	in, p := Inspect(data)
	if p != nil {
		return nil, &reject.File{Reason: p.Reason, Message: p.Message}
	}
	if !in.decodable() {
		return nil, &reject.File{Reason: reject.TooManyPixels, Message: fmt.Sprintf("the image has %d × %d pixels; the limit for a thumbnail is %d megapixels, half of it for a progressive JPEG with full colour", in.Width, in.Height, MaxDecoded>>20)}
	}
	defer limitDecodes(in)()
	img, err := d.decode(data, in)
	if err != nil {
		return nil, &reject.File{Reason: reject.MalformedImage, Message: "the " + err.Error()}
	}
	if in.Encoding == GIF || in.Encoding == WebP {
		img = whole(img, in)
	}
	small := turned(shrunk(img, maxSide), in.Orientation)
	var b bytes.Buffer
	if err := jpeg.Encode(&b, small, &jpeg.Options{Quality: thumbnailQuality}); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// shrunk scales an image to fit into a square of side pixels, on white.
func shrunk(img image.Image, side int) *image.RGBA {
	// The scaler that averages needs memory for the whole height of its source, so that one that only looks at the nearest pixels goes
	// first where an image is far larger than its thumbnail.
	if b := img.Bounds(); max(b.Dx(), b.Dy()) > 4*side {
		rough := image.NewRGBA(fit(b, 4*side))
		draw.ApproxBiLinear.Scale(rough, rough.Rect, img, b, draw.Src, nil)
		img = rough
	}
	out := image.NewRGBA(fit(img.Bounds(), side))
	draw.Draw(out, out.Rect, image.NewUniform(color.White), image.Point{}, draw.Src)
	draw.BiLinear.Scale(out, out.Rect, img, img.Bounds(), draw.Over, nil)
	return out
}

// fit returns the size that an image has within a square.
func fit(b image.Rectangle, side int) image.Rectangle {
	w, h := b.Dx(), b.Dy()
	if longest := max(w, h); longest > side {
		w, h = max(1, (w*side+longest/2)/longest), max(1, (h*side+longest/2)/longest)
	}
	return image.Rect(0, 0, w, h)
}

// turned returns an image as it is to be shown; Exif 3.0, 4.6.5.1.6, orientation.
func turned(img *image.RGBA, orientation int) *image.RGBA {
	if orientation <= 1 {
		return img
	}
	w, h := img.Rect.Dx(), img.Rect.Dy()
	out := image.NewRGBA(image.Rect(0, 0, w, h))
	if orientation >= 5 {
		out = image.NewRGBA(image.Rect(0, 0, h, w))
	}
	for y := range h {
		for x := range w {
			tx, ty := x, y
			switch orientation {
			case 2: // mirrored left to right
				tx = w - 1 - x
			case 3: // upside down
				tx, ty = w-1-x, h-1-y
			case 4: // mirrored top to bottom
				ty = h - 1 - y
			case 5: // mirrored along the diagonal from the upper left
				tx, ty = y, x
			case 6: // to be turned clockwise
				tx, ty = h-1-y, x
			case 7: // mirrored along the other diagonal
				tx, ty = h-1-y, w-1-x
			case 8: // to be turned counterclockwise
				tx, ty = y, w-1-x
			}
			out.SetRGBA(tx, ty, img.RGBAAt(x, y))
		}
	}
	return out
}
