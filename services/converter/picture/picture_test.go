package picture

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"image"
	"image/jpeg"
	"image/png"
	"testing"

	"github.com/klauspost/compress/zlib"

	"github.com/trainyard/trainyard/services/converter/reject"
)

func pngChunk(kind string, body []byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(len(body)))
	b = append(append(b, kind...), body...)
	return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b[4:]))
}

func pngFile(width, height uint32, depth, colour, interlace byte, raw []byte) []byte {
	header := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, width), height)
	header = append(header, depth, colour, 0, 0, interlace)
	var z bytes.Buffer
	w := zlib.NewWriter(&z)
	w.Write(raw)
	w.Close()
	b := append([]byte(pngMagic), pngChunk("IHDR", header)...)
	b = append(b, pngChunk("IDAT", z.Bytes())...)
	return append(b, pngChunk("IEND", nil)...)
}

func encoded(tb testing.TB) (pngData, jpegData []byte) {
	tb.Helper()
	img := image.NewRGBA(image.Rect(0, 0, 40, 30))
	for i := range img.Pix {
		img.Pix[i] = byte(i * i >> 3)
	}
	var p, j bytes.Buffer
	if err := png.Encode(&p, img); err != nil {
		tb.Fatal(err)
	}
	if err := jpeg.Encode(&j, img, nil); err != nil {
		tb.Fatal(err)
	}
	return p.Bytes(), j.Bytes()
}

func replaced(data []byte, at int, b ...byte) []byte {
	out := bytes.Clone(data)
	copy(out[at:], b)
	return out
}

func TestInspect(t *testing.T) {
	p, j := encoded(t)
	sof := bytes.Index(j, []byte{0xff, 0xc0})
	tests := []struct {
		name   string
		data   []byte
		reason reject.Reason // "" for a sound image
	}{
		{"PNG", p, ""},
		{"PNG with data behind its end", append(bytes.Clone(p), "more"...), ""},
		{"JPEG", j, ""},
		{"JPEG with data behind its end", append(bytes.Clone(j), "more"...), ""},
		{"JPEG with fill bytes", append(append(bytes.Clone(j[:2]), 0xff, 0xff), j[2:]...), ""},
		{"PNG of 30,000² in 68 bytes", pngFile(30000, 30000, 8, 2, 0, nil), reject.TooManyPixels},
		{"PNG of 2^31 squared", pngFile(1<<31, 1<<31, 8, 2, 0, nil), reject.TooManyPixels},
		{"PNG without width", pngFile(0, 5, 8, 2, 0, nil), reject.MalformedImage},
		{"PNG of an impossible depth", pngFile(5, 5, 3, 2, 0, nil), reject.MalformedImage},
		{"PNG with palette missing", pngFile(5, 5, 8, 3, 0, nil), reject.MalformedImage},
		{"PNG cut in half", p[:len(p)/2], reject.TruncatedImage},
		{"PNG without IEND", p[:len(p)-12], reject.TruncatedImage},
		{"PNG with a flipped bit", replaced(p, len(p)/2, p[len(p)/2]^1), reject.MalformedImage},
		{"PNG chunk of 4 GiB", replaced(p, 8, 0xff, 0xff, 0xff, 0xff), reject.MalformedImage},
		{"PNG without data", append(append([]byte(pngMagic), p[8:33]...), pngChunk("IEND", nil)...), reject.MalformedImage},
		{"JPEG cut in half", j[:len(j)/2], reject.TruncatedImage},
		{"JPEG without EOI", j[:len(j)-2], reject.TruncatedImage},
		{"JPEG of 65,535²", replaced(j, sof+5, 0xff, 0xff, 0xff, 0xff), reject.TooManyPixels},
		{"JPEG of 12 bits", replaced(j, sof+4, 12), reject.UnsupportedImage},
		{"arithmetic JPEG", replaced(j, sof+1, 0xc9), reject.UnsupportedImage},
		{"JPEG with 2 components", replaced(j, sof+9, 2), reject.MalformedImage},
		{"JPEG with a sampling factor of 0", replaced(j, sof+11, 0x01), reject.MalformedImage},
		{"JPEG that ends at once", []byte("\xff\xd8\xff\xd9"), reject.MalformedImage},
		{"text", []byte("hello"), reject.MalformedImage},
		{"nothing", nil, reject.MalformedImage},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, got := Inspect(tt.data)
			switch {
			case got == nil && tt.reason != "":
				t.Errorf("accepted, want %s", tt.reason)
			case got != nil && got.Reason != tt.reason:
				t.Errorf("%s (%s), want %q", got.Reason, got.Message, tt.reason)
			}
		})
	}
}

func TestCheckFindsWhatTheStructureHides(t *testing.T) {
	rows := func(height, width int) []byte { return make([]byte, height*(1+3*width)) }
	badFilter := rows(5, 5)
	badFilter[16] = 9
	tests := []struct {
		name string
		data []byte
		ok   bool
	}{
		{"whole", pngFile(5, 5, 8, 2, 0, rows(5, 5)), true},
		{"a row too few", pngFile(5, 5, 8, 2, 0, rows(4, 5)), false},
		{"a filter that doesn't exist", pngFile(5, 5, 8, 2, 0, badFilter), false},
		// 5×5 in Adam7 has passes of 1×1, 1×1, 2×1, 1×2, 3×1, 2×3, 5×2.
		{"interlaced", pngFile(5, 5, 8, 2, 1, make([]byte, 4+4+7+8+10+21+32)), true},
		{"interlaced, a byte too few", pngFile(5, 5, 8, 2, 1, make([]byte, 4+4+7+8+10+21+31)), false},
	}
	var d Decoder // one for all: it must recover from bad data
	for range 2 {
		for _, tt := range tests {
			in, p := Inspect(tt.data)
			if p != nil {
				t.Fatalf("%s: %s", tt.name, p.Message)
			}
			if _, p := d.Check(tt.data, in); (p == nil) != tt.ok {
				t.Errorf("%s: %v", tt.name, p)
			}
		}
	}
	p, j := encoded(t)
	for _, data := range [][]byte{p, j} {
		in, _ := Inspect(data)
		if _, problem := d.Check(data, in); problem != nil {
			t.Errorf("%s: %s", in.Encoding, problem.Message)
		}
	}
}

func TestLargeProgressiveJPEGsAreNotDecoded(t *testing.T) {
	_, j := encoded(t) // has halved chroma
	sof := bytes.Index(j, []byte{0xff, 0xc0})
	sized := func(side uint16, sampling byte) []byte {
		b := replaced(j, sof+1, 0xc2)
		binary.BigEndian.PutUint16(b[sof+5:], side)
		binary.BigEndian.PutUint16(b[sof+7:], side)
		return replaced(b, sof+11, sampling)
	}
	tests := []struct {
		name    string
		data    []byte
		decoded bool
	}{
		{"24 megapixels", sized(5000, 0x22), true},
		{"24 megapixels, full chroma", sized(5000, 0x11), false},
		{"12 megapixels, full chroma", sized(3500, 0x11), true},
		{"36 megapixels", sized(6000, 0x22), false},
	}
	for _, tt := range tests {
		in, p := Inspect(tt.data)
		if p != nil {
			t.Fatal(p.Message)
		}
		if in.decodable() != tt.decoded {
			t.Errorf("%s: decodable %v", tt.name, in.decodable())
		}
	}
}
