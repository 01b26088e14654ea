package picture

import (
	"encoding/binary"
	"errors"
	"testing"

	"github.com/trainyard/trainyard/services/converter/dataset"
	"github.com/trainyard/trainyard/services/converter/reject"
)

func TestLoad(t *testing.T) {
	p, j := encoded(t)
	l := NewLoader(dataset.Options{Validation: dataset.Structure})
	for _, data := range [][]byte{p, j} {
		got, err := l.Load("a", data)
		if err != nil || &got.Data[0] != &data[0] {
			t.Errorf("a PNG or JPEG isn't handed on as it is: %v", err)
		}
	}
	got, err := l.Load("a", webpLossy)
	if err != nil || got.Encoding != WebP || string(got.Data[:8]) != pngMagic || got.Size != len(webpLossy) {
		t.Errorf("a WebP became %+v, %v", got.Info, err)
	}
	_, err = l.Load("a/b.jpg", j[:len(j)/2])
	var rejected *reject.File
	if !errors.As(err, &rejected) || rejected.Path != "a/b.jpg" || rejected.Reason != reject.TruncatedImage {
		t.Errorf("half a JPEG: %v", err)
	}
}

func TestFeatureFollowsTheImages(t *testing.T) {
	p, j := encoded(t)
	tests := []struct {
		name               string
		images             [][]byte
		encoding, channels string
	}{
		{"PNG", [][]byte{p}, "png", "3"},
		{"what is stored as PNG", [][]byte{p, webpLossy, gifOf(paletted(screen))}, "png", "3"},
		{"JPEG", [][]byte{j}, "jpeg", "3"},
		{"mixed kinds", [][]byte{j, webpLossy, p}, "", "3"},
		{"grey", [][]byte{tiffOf(grey(3, 3), 0)}, "png", "1"},
		{"grey, some with alpha", [][]byte{tiffOf(grey(3, 3), 0), pngFile(1, 1, 8, 4, 0, make([]byte, 3))}, "png", "1"},
		{"mixed depths", [][]byte{tiffOf(grey(3, 3), 0), p}, "png", "3"},
		{"nothing", nil, "", "3"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var stats dataset.Stats
			l := NewLoader(dataset.Options{Validation: dataset.Full})
			for _, data := range tt.images {
				got, err := l.Load("a", data)
				if err != nil {
					t.Fatal(err)
				}
				got.Observe(&stats)
			}
			image := Feature("image", &stats).JSON["image"].(map[string]any)
			encoding, _ := image["encodingFormat"].(string)
			channels := image["shape"].(map[string]any)["dimensions"].([]string)[2]
			if encoding != tt.encoding || channels != tt.channels {
				t.Errorf("encoding %q, channels %s; want %q, %s", encoding, channels, tt.encoding, tt.channels)
			}
		})
	}
}

func TestLoadDoesNotAllocate(t *testing.T) {
	p, j := encoded(t)
	l := NewLoader(dataset.Options{Validation: dataset.Structure})
	var stats dataset.Stats
	for _, data := range [][]byte{p, j, jpegWithExif(j, exifBlock(binary.BigEndian, 6))} {
		if allocs := testing.AllocsPerRun(100, func() {
			got, err := l.Load("a", data)
			if err != nil {
				t.Fatal(err)
			}
			got.Observe(&stats)
		}); allocs != 0 {
			t.Errorf("%v allocations an image", allocs)
		}
	}
}
