package idx

import (
	"bytes"
	"encoding/binary"
	"image"
	"image/color"
	"image/png"
	"strings"
	"testing"
)

// head is a header with the given sizes.
func head(e element, dims ...uint32) []byte {
	b := []byte{0, 0, byte(e), byte(len(dims))}
	for _, d := range dims {
		b = binary.BigEndian.AppendUint32(b, d)
	}
	return b
}

func TestParseHeader(t *testing.T) {
	const maxRow = 1 << 20
	tests := []struct {
		name string
		head []byte
		size int64
		says string // "" for a sound one
	}{
		{"MNIST's images", head(ubyte, 60_000, 28, 28), 47_040_016, ""},
		{"MNIST's labels", head(ubyte, 60_000), 60_008, ""},
		{"doubles", head(double, 2, 3), 12 + 48, ""},
		{"other magic", []byte("\x89PNG\r\n\x1a\n"), 8, "does not begin"},
		{"a type that doesn't exist", head(0x0a, 1), 9, "does not begin"},
		{"no dimensions", head(ubyte), 4, "does not begin"},
		{"255 dimensions", append([]byte{0, 0, 8, 255}, bytes.Repeat([]byte{0, 0, 0, 1}, 8)...), 1025, "255 dimensions; the limit is 8"},
		{"cut in the header", head(ubyte, 1, 2, 3)[:12], 12, "ends within its header"},
		{"no rows", head(ubyte, 0, 28, 28), 16, "has no rows"},
		{"a size of zero", head(ubyte, 5, 0, 28), 16, "dimension 2 has the size 0"},
		{"a product that overflows", head(double, 1, 1<<31, 1<<31, 1<<31), 1 << 20, "more than 1048576 bytes"},
		{"rows that overflow", head(ubyte, 1<<32-1, 1<<20), 12, "4294967295 rows"},
		{"a byte too few", head(ubyte, 3), 10, "but 2 bytes do"},
		{"a byte too many", head(ubyte, 3), 12, "but 4 bytes do"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, problem := parseHeader(tt.head, tt.size, maxRow)
			if (problem == "") != (tt.says == "") || !strings.Contains(problem, tt.says) {
				t.Errorf("got %q, want %q", problem, tt.says)
			}
		})
	}
}

func FuzzParseHeader(f *testing.F) {
	f.Add(head(ubyte, 60_000, 28, 28), int64(47_040_016))
	f.Add(head(double, 1, 1<<31, 1<<31, 1<<31), int64(0))
	f.Fuzz(func(t *testing.T, data []byte, size int64) {
		h, problem := parseHeader(data, size, 1<<24)
		if problem == "" && (h.rows < 1 || h.rowBytes() < 1 || h.rowBytes() > 1<<24 || h.data+h.rows*int64(h.rowBytes()) != size) {
			t.Errorf("accepted %+v for %d bytes", h, size)
		}
	})
}

func TestPNGIsReadByOthers(t *testing.T) {
	w := newPNGWriter()
	for _, s := range []struct{ height, width, channels int }{
		{28, 28, 1}, {1, 1, 1}, {32, 32, 3}, {7, 65_535, 1}, {300, 400, 3}, {65_535, 1, 1}, {1, 65_534, 1},
	} {
		pixels := make([]byte, s.height*s.width*s.channels)
		for i := range pixels {
			pixels[i] = byte(i*i>>3 + i)
		}
		file := make([]byte, pngSize(s.height, s.width, s.channels))
		w.write(file, pixels, s.height, s.width, s.channels)
		img, err := png.Decode(bytes.NewReader(file))
		if err != nil {
			t.Fatalf("%+v: %v", s, err)
		}
		var got []byte
		switch img := img.(type) {
		case *image.Gray:
			got = img.Pix
		case *image.RGBA:
			for i := 0; i < len(img.Pix); i += 4 {
				got = append(got, img.Pix[i:i+3]...)
			}
		}
		if img.Bounds() != image.Rect(0, 0, s.width, s.height) || !bytes.Equal(got, pixels) {
			t.Errorf("%+v: other pixels come back; the first is %v", s, color.RGBAModel.Convert(img.At(0, 0)))
		}
	}
}

func TestNames(t *testing.T) {
	pairs := [][2]string{
		{"train-images-idx3-ubyte", "train-labels-idx1-ubyte"},
		{"t10k-images.idx3-ubyte", "t10k-labels.idx1-ubyte"},
		{"train-images-idx3-ubyte/train-images-idx3-ubyte", "train-labels-idx1-ubyte/train-labels-idx1-ubyte"},
		{"emnist-letters-test-images-idx3-ubyte", "emnist-letters-test-labels-idx1-ubyte"},
		{"val/data.idx", "val/labels.idx"},
	}
	seen := make(map[string]string)
	for _, p := range pairs {
		if part(p[0]) != part(p[1]) {
			t.Errorf("%q is %q, but %q is %q", p[0], part(p[0]), p[1], part(p[1]))
		}
		if other, ok := seen[part(p[0])]; ok {
			t.Errorf("%q and %q are taken for one part", p[0], other)
		}
		seen[part(p[0])] = p[0]
	}
}
