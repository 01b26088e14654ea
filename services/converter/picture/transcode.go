package picture

import (
	"image"
	"image/draw"
	"image/png"
)

// Transcoder writes images as PNG. It keeps its buffers from one image to the next, so each goroutine needs its own.
// The zero value is ready for use.
type Transcoder struct {
	Decoder
	buffer *png.EncoderBuffer
}

// Get implements png.EncoderBufferPool.
func (t *Transcoder) Get() *png.EncoderBuffer { return t.buffer }

// Put implements png.EncoderBufferPool.
func (t *Transcoder) Put(b *png.EncoderBuffer) { t.buffer = b }

// appender is an io.Writer.
type appender []byte

func (a *appender) Write(p []byte) (int, error) {
	*a = append(*a, p...)
	return len(p), nil
}

// PNG appends to dst the first picture of an image in which Inspect found nothing wrong, as PNG without loss, and tells what
// has become of it. The same image always gives the same bytes. It compresses fast rather than well, as
// there are many images and a shard is read more often than stored.
func (t *Transcoder) PNG(dst, data []byte, in Info) ([]byte, Info, *Problem) {
	if p := checkDecodable(in); p != nil {
		return dst, in, p
	}
	defer limitDecodes(in)()
	img, err := t.decode(data, in)
	if err != nil {
		return dst, in, malformed("the " + err.Error())
	}
	base := len(dst)
	encoder := png.Encoder{CompressionLevel: png.BestSpeed, BufferPool: t}
	if err := encoder.Encode((*appender)(&dst), whole(img, in)); err != nil {
		return dst[:base], in, malformed("the image can't be stored as PNG: " + err.Error())
	}
	out, p := pngHeader(dst[base+len(pngMagic)+8:])
	if p != nil {
		return dst[:base], in, p
	}
	in.Channels = out.Channels
	return dst, in, nil
}

// whole returns an image of the size that the file has, in colours that are encoded fast and right.
func whole(img image.Image, in Info) image.Image {
	switch m := img.(type) {
	case *image.YCbCr:
		if in.Encoding == WebP {
			return fromVP8(m, nil, 0)
		}
	case *image.NYCbCrA:
		return fromVP8(&m.YCbCr, m.A, m.AStride)
	}
	if img.Bounds() == image.Rect(0, 0, in.Width, in.Height) {
		return img
	}
	screen := image.NewNRGBA(image.Rect(0, 0, in.Width, in.Height)) // of a GIF whose first frame doesn't cover it
	draw.Draw(screen, img.Bounds(), img, img.Bounds().Min, draw.Src)
	return screen
}

// fromVP8 converts the colours of a lossy WebP as libwebp does: BT.601 with values from 16 to 235 (RFC 6386, 9.2), where Go's
// image.YCbCr takes the full range that JPEG has, and chroma interpolated between its samples
// (WebPUpsamplers in libwebp's dsp/upsampling.c, dsp/yuv.h). So it has the pixels that every browser and Pillow show.
func fromVP8(m *image.YCbCr, alpha []byte, alphaStride int) *image.NRGBA {
	width, height := m.Rect.Dx(), m.Rect.Dy()
	out := image.NewNRGBA(image.Rect(0, 0, width, height))
	chromaWidth, chromaHeight := (width+1)/2, (height+1)/2
	for y := range height {
		// Each pixel lies nearest to one sample of chroma, in near's row, and between that and the one beyond.
		near, far := y/2, y/2+y&1*2-1
		far = max(0, min(far, chromaHeight-1))
		nearRow, farRow := near*m.CStride, far*m.CStride
		pixels := out.Pix[y*out.Stride : y*out.Stride+4*width]
		for x := range width {
			nearX := x / 2
			farX := max(0, min(nearX+x&1*2-1, chromaWidth-1))
			u := between(m.Cb[nearRow+nearX], m.Cb[nearRow+farX], m.Cb[farRow+nearX], m.Cb[farRow+farX])
			v := between(m.Cr[nearRow+nearX], m.Cr[nearRow+farX], m.Cr[farRow+nearX], m.Cr[farRow+farX])
			luma := int32(m.Y[y*m.YStride+x]) * 19077 >> 8
			p := pixels[4*x : 4*x+4 : 4*x+4]
			p[0] = clip(luma + v*26149>>8 - 14234)
			p[1] = clip(luma - u*6419>>8 - v*13320>>8 + 8708)
			p[2] = clip(luma + u*33050>>8 - 17685)
			p[3] = 0xff
			if alpha != nil {
				p[3] = alpha[y*alphaStride+x]
			}
		}
	}
	return out
}

// between weighs four samples 9:3:3:1, with libwebp's rounding in two steps.
func between(near, side, above, corner byte) int32 {
	n, s, a, c := int32(near), int32(side), int32(above), int32(corner)
	diagonal := (n + s + a + c + 8 + 2*(s+a)) >> 3
	return (n + diagonal) >> 1
}

// clip takes a value with six binary digits to a byte.
func clip(v int32) byte { return byte(max(0, min(v>>6, 255))) } //nolint:gosec // in range by the clipping
