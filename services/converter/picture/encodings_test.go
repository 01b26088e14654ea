package picture

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"testing"

	"golang.org/x/image/bmp"
	"golang.org/x/image/tiff"

	"github.com/trainyard/trainyard/services/converter/reject"
)

func fromHex(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return b
}

// Written by Pillow with libwebp: 7 × 5 pixels, quality 40. The pixels are libwebp's, in RGBA.
var (
	webpLossy       = fromHex("524946466600000057454250565038205a000000f001009d012a0700050003805a25b0027435c001425df54000fe8a47adee04f386a80c65b87f8b05bf1f43efe5f36e380e0823d880a355cc30fefb9a7cc695f56a4cb5e33dd3fe3d72bf2f1343ff071b809acf7ffc104d000000")
	webpLossyPixels = fromHex("021135ff24324dff54636cff7a8384ffa5a1a7ffdebdabffffc77fff151f45ff36415fff657280ff909294ffd4beb8ffffe5caff82450aff32345eff515679ff7d889dffb1a6a5fffbbe9fff8c481dff3c1a00ff434275ff62678cff8d9ba7ffc7b5a7ffffaf8dffac4f31ff332320ff6b6eafff7e8aadff9ab49effd3be98ffa02315ffcd525cff504562ff")
	webpAlpha       = fromHex("524946469000000057454250565038580a00000010000000060000040000414c5048240000000013354c8c96bf03445288afdbfd295a87b7defe194a9cb0d2172a5a74b5e1042e5c799b5650382046000000f001009d012a0700050003805a25a0027401177eb437438000fe4f7e9ffd4e3fc19c47d5ba762bf87fa5081aa58bbe4c2f3e9cf9e2c4c2dfe4d5952206801f089a2161200000")
	webpAlphaPixels = fromHex("06122a132d3e54353e57684c7f8f9a8cb0a8a696d7c4cbbf6655790318273d44506378526f8a9a888b9ea8afbeb7b5dbe4d3d9fd1e0f32292e44585a344c5f87678996b799b3baded2d2cefe584c50192f27484a3d5b6c9c537383b094bdcad2a2c4c817bbc4ba2a625d5c5a1d1e39744d7082b5618999e190c0ce04b3dbdf2ec5d4c85c232922793a425b9b")
	webpExif6       = fromHex("524946468a00000057454250565038580a00000008000000060000040000565038204a000000f001009d012a0700050003805a25b002747f0015cb94402000fe4f7eb32e5971450fcd9e0a13e3c116dcba22862005ae6fbe0be48262b2e2ffafb25286d34630cfe5daf9198ce0000000455849461a0000004d4d002a00000008000101120003000000010006000000000000")
	webpAnimated    = fromHex("52494646c000000057454250565038580a00000002000000030000030000414e494d06000000000000000000414e4d46480000000000000000000300000300000000000256503820300000005001009d012a04000400074096258800058c0000fedddd2e87fe3196231fffc39373fe35bd84f41f27773dbdf7e00000414e4d464400000000000000000003000003000000000000565038202c0000003401009d012a04000400000096250000b18000fed7395c72eff0813bfff0e4dcfc925397945084e549fc8000")
	webpLossless    = fromHex("52494646be000000574542505650384cb20000002f0600010017c126008034b8dbcbcf4f7d7a100042d87c351c47004036b1ed6ce0fddf19c2b6553cdb3bb6916d2bf9ae11eed0038dd304155000a1bb443af31fe709fef8e51b036ca5aca96dd29510d365df344ef80f00995cb0569156003b9b9a92518e03a1a1c63c68107f854b3f10befad99825577e05289f6a5b694169bc5f6f9e3908c799355e70b0fd1afa36c02000c0b2b1d9b6ce88fec79a2efc074aebd3b7c130b15c88eb961f4c44afef4d9902")
	webpLosslessRow = fromHex("260018ff452d46ff6d5765ff728d86ffb8b7a0ffd9d3d8fff4f8f4ff")
)

// faxTIFF is by Pillow with libtiff: black and white, group 4, BlackIsZero.
var (
	faxTIFF = fromHex("49492a00120000002ec15254928008008000090000010300010000000b0000000101030001000000030000000201030001000000010000000301030001000000040000000601030001000000010000001101040001000000080000001601030001000000030000001701040001000000090000001c010300010000000100000000000000")
	faxRows = []string{"00111100111", "01111001111", "11110011110"}
)

// blackAndWhite is an image with a digit for each pixel.
func blackAndWhite(rows []string) *image.Gray {
	img := image.NewGray(image.Rect(0, 0, len(rows[0]), len(rows)))
	for y, row := range rows {
		for x, c := range row {
			img.SetGray(x, y, color.Gray{byte(c-'0') * 255})
		}
	}
	return img
}

// must returns the bytes that encode writes.
func must(encode func(b *bytes.Buffer) error) []byte {
	var b bytes.Buffer
	if err := encode(&b); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// colourful is an image with an alpha channel unless it is opaque.
func colourful(w, h int, opaque bool) *image.NRGBA {
	img := image.NewNRGBA(image.Rect(0, 0, w, h))
	for i := range img.Pix {
		img.Pix[i] = byte(i * i >> 3)
		if opaque && i%4 == 3 {
			img.Pix[i] = 0xff
		}
	}
	return img
}

func grey(w, h int) *image.Gray {
	img := image.NewGray(image.Rect(0, 0, w, h))
	for i := range img.Pix {
		img.Pix[i] = byte(i * 7)
	}
	return img
}

var colours = color.Palette{color.RGBA{1, 2, 3, 255}, color.RGBA{200, 2, 3, 255}, color.RGBA{1, 200, 3, 255}, color.RGBA{9, 9, 200, 255}}

func paletted(r image.Rectangle) *image.Paletted {
	img := image.NewPaletted(r, colours)
	for i := range img.Pix {
		img.Pix[i] = byte(i % 4)
	}
	return img
}

func bmpOf(img image.Image) []byte {
	return must(func(b *bytes.Buffer) error { return bmp.Encode(b, img) })
}

// bmpV4 is a BMP with a BITMAPV4HEADER and masks, as Windows and GIMP write it.
func bmpV4(img *image.NRGBA) []byte {
	b := bmpOf(img)
	binary.LittleEndian.PutUint32(b[10:], 14+108)
	binary.LittleEndian.PutUint32(b[14:], 108)
	binary.LittleEndian.PutUint32(b[30:], 3)
	rest := make([]byte, 68)
	for i, mask := range []uint32{0xff0000, 0xff00, 0xff, 0xff000000} {
		binary.LittleEndian.PutUint32(rest[4*i:], mask)
	}
	return append(append(bytes.Clone(b[:54]), rest...), b[54:]...)
}

func tiffOf(img image.Image, compression tiff.CompressionType) []byte {
	return must(func(b *bytes.Buffer) error {
		return tiff.Encode(b, img, &tiff.Options{Compression: compression, Predictor: compression != tiff.Uncompressed})
	})
}

// gifOf makes a GIF with the given frames on a screen of 20 × 10.
func gifOf(frames ...*image.Paletted) []byte {
	g := &gif.GIF{Image: frames, Delay: make([]int, len(frames)), Config: image.Config{ColorModel: colours, Width: 20, Height: 10}}
	return must(func(b *bytes.Buffer) error { return gif.EncodeAll(b, g) })
}

var screen = image.Rect(0, 0, 20, 10)

// setTag changes the first value of a tag in the first directory of a little-endian TIFF.
func setTag(data []byte, tag uint16, value uint32) []byte {
	out := bytes.Clone(data)
	d, _ := firstDirectory(out)
	for i := range d.len() {
		if d.entry(i).tag == tag {
			binary.LittleEndian.PutUint32(d.entries[i*entryBytes+8:], value)
			return out
		}
	}
	panic("no such tag")
}

// tiffEntry is an entry of one SHORT or LONG.
type tiffEntry struct {
	tag, kind uint16
	value     uint32
}

// makeTIFF writes a little-endian TIFF with the entries, which must be sorted, and 8 bytes of image data at offset 8.
func makeTIFF(entries ...tiffEntry) []byte {
	b := []byte("II*\x00\x10\x00\x00\x00abcdefgh")
	b = binary.LittleEndian.AppendUint16(b, uint16(len(entries)))
	for _, e := range entries {
		b = binary.LittleEndian.AppendUint16(b, e.tag)
		b = binary.LittleEndian.AppendUint16(b, e.kind)
		b = binary.LittleEndian.AppendUint32(b, 1)
		b = binary.LittleEndian.AppendUint32(b, e.value)
	}
	return append(b, 0, 0, 0, 0)
}

func TestTranscodedKeepThePixels(t *testing.T) {
	opaque, alpha := colourful(20, 10, true), colourful(20, 10, false)
	deep := image.NewGray16(image.Rect(0, 0, 5, 4))
	for i := range deep.Pix {
		deep.Pix[i] = byte(i * 31)
	}
	whole, part := paletted(screen), paletted(image.Rect(3, 2, 8, 6))
	tests := []struct {
		name     string
		data     []byte
		encoding Encoding
		channels int
		more     bool
		want     image.Image
	}{
		{"GIF", gifOf(whole), GIF, 3, false, whole},
		{"GIF of two frames", gifOf(whole, part), GIF, 3, true, whole},
		{"GIF with data behind its trailer", append(gifOf(whole), "more"...), GIF, 3, false, whole},
		{"GIF whose frame is smaller than its screen", gifOf(part), GIF, 4, false, part},
		{"BMP of 24 bits", bmpOf(opaque), BMP, 3, false, opaque},
		{"BMP of 32 bits, whose fourth byte means nothing", bmpOf(alpha), BMP, 3, false, opaque},
		{"BMP of 32 bits with the header that has alpha", bmpV4(alpha), BMP, 4, false, alpha},
		{"BMP with a palette", bmpOf(whole), BMP, 3, false, whole},
		{"TIFF", tiffOf(opaque, tiff.Uncompressed), TIFF, 3, false, opaque},
		{"TIFF with alpha, deflated", tiffOf(alpha, tiff.Deflate), TIFF, 4, false, alpha},
		{"grey TIFF", tiffOf(grey(9, 9), tiff.Uncompressed), TIFF, 1, false, grey(9, 9)},
		{"grey TIFF of 16 bits", tiffOf(deep, tiff.Deflate), TIFF, 1, false, deep},
		{"TIFF with a palette", tiffOf(whole, tiff.Uncompressed), TIFF, 3, false, whole},
		{"TIFF by fax compression where zero is black", faxTIFF, TIFF, 1, false, blackAndWhite(faxRows)},
		{"lossy WebP", webpLossy, WebP, 3, false, &image.NRGBA{Pix: webpLossyPixels, Stride: 28, Rect: image.Rect(0, 0, 7, 5)}},
		{"lossy WebP with alpha", webpAlpha, WebP, 4, false, &image.NRGBA{Pix: webpAlphaPixels, Stride: 28, Rect: image.Rect(0, 0, 7, 5)}},
		{"lossless WebP", webpLossless, WebP, 3, false, &image.NRGBA{Pix: webpLosslessRow, Stride: 28, Rect: image.Rect(0, 0, 7, 1)}}, // its first row
	}
	var tr Transcoder // one for all
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in, p := Inspect(tt.data)
			if p != nil {
				t.Fatal(p.Message)
			}
			out, stored, p := tr.PNG([]byte("before"), tt.data, in)
			if p != nil {
				t.Fatal(p.Message)
			}
			rest, ok := bytes.CutPrefix(out, []byte("before"))
			if !ok {
				t.Fatal("it didn't append")
			}
			if in.Encoding != tt.encoding || in.More != tt.more || stored.Channels != tt.channels || in.Orientation != 1 {
				t.Errorf("%+v, stored with %d channels", in, stored.Channels)
			}
			as, p := Inspect(rest)
			if p != nil || as.Encoding != PNG || as.Width != in.Width || as.Height != in.Height || as.Channels != tt.channels {
				t.Errorf("as PNG %+v, %v", as, p)
			}
			img, err := png.Decode(bytes.NewReader(rest))
			if err != nil {
				t.Fatal(err)
			}
			b := tt.want.Bounds()
			for y := b.Min.Y; y < b.Max.Y; y++ {
				for x := b.Min.X; x < b.Max.X; x++ {
					if got, want := color.NRGBA64Model.Convert(img.At(x, y)), color.NRGBA64Model.Convert(tt.want.At(x, y)); got != want {
						t.Fatalf("pixel %d, %d is %v, want %v", x, y, got, want)
					}
				}
			}
		})
	}
}

func TestInspectRefuses(t *testing.T) {
	g, b, x := gifOf(paletted(screen)), bmpOf(colourful(20, 10, true)), tiffOf(colourful(20, 10, true), tiff.Uncompressed)
	u32 := func(v uint32) []byte { return binary.LittleEndian.AppendUint32(nil, v) }
	const short, long = 3, 4
	tests := []struct {
		name   string
		data   []byte
		reason reject.Reason
	}{
		{"GIF cut in half", g[:len(g)/2], reject.TruncatedImage},
		{"GIF without trailer", g[:len(g)-1], reject.TruncatedImage},
		{"GIF of a header", g[:13], reject.TruncatedImage},
		{"GIF without frames", append(bytes.Clone(g[:13+12]), 0x3b), reject.MalformedImage},
		{"GIF of 65,535²", replaced(g, 6, 0xff, 0xff, 0xff, 0xff), reject.TooManyPixels},
		{"GIF of 6,000² that would have to be decoded", replaced(g, 6, 0x70, 0x17, 0x70, 0x17), reject.TooManyPixels},
		{"GIF whose frame is larger than its screen", replaced(g, 6, 1, 0, 1, 0), reject.MalformedImage},
		{"BMP cut in half", b[:len(b)/2], reject.TruncatedImage},
		{"BMP of 30 bytes", b[:30], reject.TruncatedImage},
		{"BMP that claims 20 × 20", replaced(b, 22, u32(20)...), reject.TruncatedImage},
		{"BMP of 30,000²", replaced(replaced(b, 18, u32(30000)...), 22, u32(30000)...), reject.TooManyPixels},
		{"BMP with a height of -2^31", replaced(b, 22, u32(1<<31)...), reject.MalformedImage},
		{"BMP by run lengths", replaced(b, 30, 1), reject.UnsupportedImage},
		{"BMP of 16 bits", replaced(b, 28, 16), reject.UnsupportedImage},
		{"BMP with a gap", replaced(b, 10, 200), reject.UnsupportedImage},
		{"text that begins with BM", []byte("BMW makes cars, and motorcycles too"), reject.MalformedImage},
		{"TIFF cut", x[:len(x)-50], reject.TruncatedImage},
		{"TIFF of a header", x[:8], reject.TruncatedImage},
		{"TIFF whose strips lie behind its end", setTag(x, tiffStripBytes, 1<<31), reject.TruncatedImage},
		{"TIFF of 30,000²", setTag(setTag(x, tiffWidth, 30000), tiffHeight, 30000), reject.TooManyPixels},
		{"TIFF with JPEG", setTag(x, tiffCompression, 7), reject.UnsupportedImage},
		{"TIFF of CMYK", setTag(x, tiffPhotometric, 5), reject.UnsupportedImage},
		{"TIFF with a floating-point predictor", makeTIFF(
			tiffEntry{tiffWidth, short, 2}, tiffEntry{tiffHeight, short, 2}, tiffEntry{tiffBitsPerSample, short, 8}, tiffEntry{tiffCompression, short, 8},
			tiffEntry{tiffPhotometric, short, 1}, tiffEntry{tiffStripOffsets, long, 8}, tiffEntry{tiffStripBytes, long, 8}, tiffEntry{tiffPredictor, short, 3}), reject.UnsupportedImage},
		{"TIFF of one compressed strip of 16 megapixels", makeTIFF(
			tiffEntry{tiffWidth, long, 4096}, tiffEntry{tiffHeight, long, 4096}, tiffEntry{tiffBitsPerSample, short, 8}, tiffEntry{tiffCompression, short, 8},
			tiffEntry{tiffPhotometric, short, 1}, tiffEntry{tiffStripOffsets, long, 8}, tiffEntry{tiffStripBytes, long, 8}), reject.TooManyPixels},
		{"TIFF of 1 × 1,000,000 in tiles of 1,024²", makeTIFF(
			tiffEntry{tiffWidth, long, 1}, tiffEntry{tiffHeight, long, 1000000}, tiffEntry{tiffBitsPerSample, short, 8}, tiffEntry{tiffCompression, short, 8},
			tiffEntry{tiffPhotometric, short, 1}, tiffEntry{tiffTileWidth, short, 1024}, tiffEntry{tiffTileHeight, short, 1024},
			tiffEntry{tiffTileOffsets, long, 8}, tiffEntry{tiffTileBytes, long, 8}), reject.MalformedImage},
		{"TIFF with a strip for each row that isn't there", makeTIFF(
			tiffEntry{tiffWidth, long, 1}, tiffEntry{tiffHeight, long, 1000000}, tiffEntry{tiffBitsPerSample, short, 8}, tiffEntry{tiffPhotometric, short, 1},
			tiffEntry{tiffStripOffsets, long, 8}, tiffEntry{tiffRowsPerStrip, short, 1}, tiffEntry{tiffStripBytes, long, 8}), reject.TruncatedImage},
		{"BigTIFF", []byte("II+\x00\x08\x00\x00\x00"), reject.UnsupportedImage},
		{"WebP cut", webpLossy[:len(webpLossy)-10], reject.TruncatedImage},
		{"WebP whose chunk lies about its size", replaced(webpLossy, 16, u32(1<<30)...), reject.MalformedImage},
		{"WebP whose header lies about the size of the image", replaced(webpAlpha, 24, 0xff), reject.MalformedImage},
		{"WebP of 16 million squared", replaced(webpAlpha, 24, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff), reject.TooManyPixels},
		{"animated WebP", webpAnimated, reject.UnsupportedImage},
		{"WebP without image data", []byte("RIFF\x04\x00\x00\x00WEBP"), reject.MalformedImage},
		{"HEIC", []byte("\x00\x00\x00\x18ftypheic"), reject.UnsupportedImage},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, p := Inspect(tt.data); p == nil || p.Reason != tt.reason {
				t.Errorf("%+v, want %s", p, tt.reason)
			}
		})
	}
}

// exifBlock is a TIFF structure that holds an orientation.
func exifBlock(order binary.AppendByteOrder, orientation uint16) []byte {
	mark := "II*\x00"
	if order == binary.AppendByteOrder(binary.BigEndian) {
		mark = "MM\x00*"
	}
	b := order.AppendUint32([]byte(mark), 8)
	b = order.AppendUint16(b, 1)
	b = order.AppendUint16(order.AppendUint16(b, tiffOrientation), 3)
	b = order.AppendUint16(order.AppendUint32(b, 1), orientation)
	return append(b, 0, 0, 0, 0, 0, 0)
}

func jpegWithExif(j, exif []byte) []byte {
	segment := binary.BigEndian.AppendUint16([]byte{0xff, 0xe1}, uint16(2+len(exifHeader)+len(exif)))
	segment = append(append(segment, exifHeader...), exif...)
	return append(append(bytes.Clone(j[:2]), segment...), j[2:]...)
}

func TestOrientation(t *testing.T) {
	p, j := encoded(t)
	for o := range uint16(10) {
		want := int(o)
		if o < 1 || o > 8 {
			want = 1 // what means nothing is upright
		}
		big, little := exifBlock(binary.BigEndian, o), exifBlock(binary.LittleEndian, o)
		withTag := makeTIFF(tiffEntry{tiffWidth, 3, 2}, tiffEntry{tiffHeight, 3, 4}, tiffEntry{tiffBitsPerSample, 3, 8}, tiffEntry{tiffPhotometric, 3, 1},
			tiffEntry{tiffStripOffsets, 4, 8}, tiffEntry{tiffOrientation, 3, uint32(o)}, tiffEntry{tiffStripBytes, 4, 8})
		for name, data := range map[string][]byte{
			"JPEG, big-endian":    jpegWithExif(j, big),
			"JPEG, little-endian": jpegWithExif(j, little),
			"PNG":                 append(append(bytes.Clone(p[:33]), pngChunk("eXIf", big)...), p[33:]...),
			"TIFF":                withTag,
			"WebP":                replaced(webpExif6, len(webpExif6)-8, 0, byte(o)),
		} {
			if in, problem := Inspect(data); problem != nil || in.Orientation != want {
				t.Errorf("%s with %d: %+v, %+v", name, o, in, problem)
			}
		}
	}
	for _, exif := range [][]byte{nil, []byte("II*\x00"), exifBlock(binary.BigEndian, 6)[:15], []byte("II*\x00\xff\xff\xff\xff\xff"), bytes.Repeat([]byte{0xff}, 50)} {
		if in, problem := Inspect(jpegWithExif(j, exif)); problem != nil || in.Orientation != 1 {
			t.Errorf("damaged EXIF %x: %+v, %+v", exif, in, problem)
		}
	}
}

func TestThumbnailStandsUpright(t *testing.T) {
	// Upright, the image's left upper quarter is red and the rest blue; each of the eight has it stored otherwise.
	corner := map[int]image.Point{1: {0, 0}, 2: {1, 0}, 3: {1, 1}, 4: {0, 1}, 5: {0, 0}, 6: {0, 1}, 7: {1, 1}, 8: {1, 0}}
	var d Decoder
	for o := 1; o <= 8; o++ {
		size := image.Pt(400, 200)
		if o >= 5 {
			size = image.Pt(200, 400)
		}
		img := image.NewRGBA(image.Rectangle{Max: size})
		for y := range size.Y {
			for x := range size.X {
				c := color.RGBA{B: 255, A: 255}
				if (image.Point{2 * x / size.X, 2 * y / size.Y}) == corner[o] {
					c = color.RGBA{R: 255, A: 255}
				}
				img.SetRGBA(x, y, c)
			}
		}
		j := must(func(b *bytes.Buffer) error { return jpeg.Encode(b, img, nil) })
		thumb, err := d.Thumbnail(jpegWithExif(j, exifBlock(binary.BigEndian, uint16(o))), 64)
		if err != nil {
			t.Fatal(err)
		}
		out, err := jpeg.Decode(bytes.NewReader(thumb))
		if err != nil {
			t.Fatal(err)
		}
		if out.Bounds() != image.Rect(0, 0, 64, 32) {
			t.Fatalf("orientation %d: %v", o, out.Bounds())
		}
		for _, at := range []image.Point{{8, 8}, {56, 8}, {8, 24}, {56, 24}} {
			r, _, b, _ := out.At(at.X, at.Y).RGBA()
			if red := at == image.Pt(8, 8); (r > b) != red {
				t.Errorf("orientation %d at %v: red %d, blue %d", o, at, r>>8, b>>8)
			}
		}
	}
}

func TestThumbnailOfEveryKind(t *testing.T) {
	p, j := encoded(t)
	long := must(func(b *bytes.Buffer) error { return png.Encode(b, image.NewGray(image.Rect(0, 0, 1, 100000))) })
	clear := must(func(b *bytes.Buffer) error { return png.Encode(b, image.NewNRGBA(image.Rect(0, 0, 9, 9))) })
	var d Decoder
	for name, data := range map[string][]byte{
		"PNG": p, "JPEG": j, "GIF": gifOf(paletted(image.Rect(3, 2, 8, 6))), "BMP": bmpOf(colourful(300, 2, false)), "WebP": webpAlpha,
		"TIFF": tiffOf(grey(9, 9), tiff.Deflate), "long PNG": long, "clear PNG": clear,
	} {
		thumb, err := d.Thumbnail(data, 128)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		img, err := jpeg.Decode(bytes.NewReader(thumb))
		if err != nil || max(img.Bounds().Dx(), img.Bounds().Dy()) > 128 {
			t.Errorf("%s: %v, %v", name, img.Bounds(), err)
		}
		if r, _, _, _ := img.At(0, 0).RGBA(); name == "clear PNG" && r>>8 != 255 {
			t.Error("transparency isn't white")
		}
	}
	for name, data := range map[string][]byte{"bomb": pngFile(30000, 30000, 8, 2, 0, nil), "above the limit": pngFile(8000, 8000, 8, 2, 0, nil), "text": []byte("hello"), "cut": j[:50]} {
		if _, err := d.Thumbnail(data, 128); err == nil {
			t.Errorf("%s has a thumbnail", name)
		}
	}
	if _, err := d.Thumbnail(p, MaxThumbnail+1); err == nil {
		t.Error("a thumbnail may have any size")
	}
}

func TestDamagedDataDoNoHarm(t *testing.T) {
	var tr Transcoder
	for _, data := range corpus(t) {
		for n := 0; n < len(data); n += max(1, len(data)/60) {
			for _, damaged := range [][]byte{data[:n], replaced(data, n, data[n]^0xff), replaced(data, n, 0xff, 0xff, 0xff, 0xff)[:len(data)]} {
				use(t, &tr, damaged)
			}
		}
	}
}

func corpus(tb testing.TB) [][]byte {
	tb.Helper()
	p, j := encoded(tb)
	return [][]byte{
		p, j, pngFile(5, 5, 8, 2, 1, make([]byte, 86)), jpegWithExif(j, exifBlock(binary.BigEndian, 6)),
		gifOf(paletted(screen)), gifOf(paletted(image.Rect(3, 2, 8, 6)), paletted(screen)),
		bmpOf(colourful(20, 10, true)), bmpOf(colourful(20, 10, false)), bmpV4(colourful(20, 10, false)), bmpOf(paletted(screen)),
		tiffOf(colourful(20, 10, true), tiff.Uncompressed), tiffOf(colourful(20, 10, false), tiff.Deflate), tiffOf(grey(9, 9), tiff.Deflate), tiffOf(paletted(screen), tiff.Uncompressed),
		makeTIFF(tiffEntry{tiffWidth, 3, 2}, tiffEntry{tiffHeight, 3, 4}, tiffEntry{tiffBitsPerSample, 3, 8}, tiffEntry{tiffCompression, 3, 5},
			tiffEntry{tiffPhotometric, 3, 1}, tiffEntry{tiffStripOffsets, 4, 8}, tiffEntry{tiffStripBytes, 4, 8}),
		faxTIFF, webpLossy, webpAlpha, webpExif6, webpAnimated, webpLossless,
	}
}

// use does with data what a conversion and the examples' page do, and checks what is promised of the outcome.
func use(t *testing.T, tr *Transcoder, data []byte) {
	t.Helper()
	in, problem := Inspect(data)
	if problem != nil {
		if problem.Reason == "" || problem.Message == "" {
			t.Errorf("incomplete problem %+v", problem)
		}
		return
	}
	if in.Width <= 0 || in.Height <= 0 || in.Pixels() > MaxPixels || in.Channels < 1 || in.Channels > 4 || in.Orientation < 1 || in.Orientation > 8 {
		t.Errorf("accepted %+v", in)
	}
	if in.Pixels() >= 1<<20 {
		return
	}
	if in.Encoding.Stored() == in.Encoding {
		tr.Check(data, in)
	} else if out, _, p := tr.PNG(nil, data, in); p == nil {
		if _, p := Inspect(out); p != nil {
			t.Errorf("the PNG made of a %s is none: %s", in.Encoding, p.Message)
		}
	}
	tr.Thumbnail(data, 32)
}

func FuzzInspect(f *testing.F) {
	for _, data := range corpus(f) {
		f.Add(data)
	}
	var tr Transcoder
	f.Fuzz(func(t *testing.T, data []byte) { use(t, &tr, data) })
}
