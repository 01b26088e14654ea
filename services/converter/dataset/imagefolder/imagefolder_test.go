package imagefolder_test

import (
	"bytes"
	"context"
	"errors"
	"image"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"
	"strings"
	"testing"

	"golang.org/x/image/bmp"
	"golang.org/x/image/tiff"

	"github.com/trainyard/trainyard/services/converter/dataset"
	"github.com/trainyard/trainyard/services/converter/dataset/datasettest"
	"github.com/trainyard/trainyard/services/converter/dataset/imagefolder"
	"github.com/trainyard/trainyard/services/converter/reject"
)

// picture is a small image whose pixels depend on n.
func picture(n int) image.Image {
	img := image.NewRGBA(image.Rect(0, 0, 17, 13))
	for i := range img.Pix {
		img.Pix[i] = byte(i*n + i/7)
	}
	return img
}

func written(t *testing.T, encode func(io.Writer) error) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := encode(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func pngOf(t *testing.T, img image.Image) []byte {
	t.Helper()
	return written(t, func(w io.Writer) error { return png.Encode(w, img) })
}

func jpegOf(t *testing.T, img image.Image) []byte {
	t.Helper()
	return written(t, func(w io.Writer) error { return jpeg.Encode(w, img, nil) })
}

func TestConformance(t *testing.T) {
	p, j := pngOf(t, picture(1)), jpegOf(t, picture(2))
	g := written(t, func(w io.Writer) error { return gif.Encode(w, picture(3), nil) })
	b := written(t, func(w io.Writer) error { return bmp.Encode(w, picture(3)) })
	x := written(t, func(w io.Writer) error { return tiff.Encode(w, picture(3), nil) })
	datasettest.Run(t, imagefolder.Reader{}, []datasettest.Case{
		{
			Name: "two classes with strays",
			Files: []datasettest.File{
				{Path: "README.txt", Data: []byte("about")},
				{Path: "logo.png", Data: p},
				{Path: "cats/1.png", Data: p},
				{Path: "cats/deep/er/2.JPG", Data: j},
				{Path: "dogs/1.png", Data: j}, // misnamed; the content counts
				{Path: "dogs/2.png", Data: p[:len(p)-20]},
				{Path: "dogs/3.webp", Data: []byte("RIFF")},
				{Path: "dogs/3.heic", Data: []byte("what")},
				{Path: "dogs/6.gif", Data: g},
				{Path: "dogs/7.bmp", Data: b},
				{Path: "dogs/8.tif", Data: x},
				{Path: "dogs/4.jpg", Data: nil},
				{Path: "dogs/5.zip", Data: []byte("PK")},
			},
			Classes: []string{"cats", "dogs"},
			Labels:  map[string]int{"cats/1.png": 0, "cats/deep/er/2.JPG": 0, "dogs/1.png": 1, "dogs/6.gif": 1, "dogs/7.bmp": 1, "dogs/8.tif": 1},
			LeftOut: map[string]reject.Reason{
				"README.txt": reject.NotData, "logo.png": reject.NoClassFolder, "dogs/2.png": reject.TruncatedImage,
				"dogs/3.webp": reject.MalformedImage, "dogs/3.heic": reject.UnsupportedImage, "dogs/4.jpg": reject.EmptyFile, "dogs/5.zip": reject.NestedArchive,
			},
		},
		{
			Name: "split folders",
			Files: []datasettest.File{
				{Path: "train/a/1.png", Data: p},
				{Path: "train/b/1.png", Data: p},
				{Path: "val/a/1.png", Data: p},
				{Path: "Test/b/1.png", Data: p},
			},
			Classes: []string{"a", "b"},
			Labels:  map[string]int{"train/a/1.png": 0, "train/b/1.png": 1, "val/a/1.png": 0, "Test/b/1.png": 1},
			Splits: map[string]dataset.Split{
				"train/a/1.png": dataset.Train, "train/b/1.png": dataset.Train, "val/a/1.png": dataset.Validation, "Test/b/1.png": dataset.Test,
			},
			LeftOut: map[string]reject.Reason{},
		},
		{
			Name: "classes that are called like splits",
			Files: []datasettest.File{
				{Path: "train/1.png", Data: p}, {Path: "test/1.png", Data: p}, {Path: "plane/1.png", Data: p},
			},
			Classes: []string{"plane", "test", "train"},
			Labels:  map[string]int{"plane/1.png": 0, "test/1.png": 1, "train/1.png": 2},
			LeftOut: map[string]reject.Reason{},
		},
		{
			Name:    "a single split folder is a wrapper",
			Files:   []datasettest.File{{Path: "train/a/1.png", Data: p}, {Path: "train/b/1.png", Data: p}},
			Classes: []string{"a", "b"},
			Labels:  map[string]int{"train/a/1.png": 0, "train/b/1.png": 1},
			LeftOut: map[string]reject.Reason{},
		},
	})
}

// paths are files of which nothing but the path is asked.
type paths []string

func (p paths) Len() int              { return len(p) }
func (p paths) At(i int) dataset.File { return dataset.File{Path: p[i], Size: 1} }

func (paths) Stream(context.Context, int) (io.ReadCloser, error) { return nil, errors.ErrUnsupported }

func (paths) Open(context.Context, int) (io.ReaderAt, error) { return nil, errors.ErrUnsupported }

// nobody listens to findings before a rejection.
type nobody struct{ dataset.Listener }

func TestIndexRejects(t *testing.T) {
	tests := []struct {
		name   string
		files  paths
		reason reject.Reason
		says   string
	}{
		{"one class", paths{"zero/1.png", "zero/2.png"}, reject.TooFewClasses, `only one class folder, "zero"`},
		{"one class, wrapped", paths{"digits/zero/1.png", "digits/zero/2.png"}, reject.TooFewClasses, "cats/1.jpg"},
		{"no folders", paths{"1.png", "2.png"}, reject.TooFewClasses, "no class folder"},
		{"no kind that is read", paths{"a/1.heic", "b/2.heic"}, reject.TooFewClasses, `files such as "a/1.heic" are not`},
		{"classes that differ in case", paths{"Cat/1.png", "cat/2.png", "dog/1.png"}, reject.DuplicateClasses, "Cat"},
		{"classes that differ in Unicode form", paths{"caf\u00e9/1.png", "cafe\u0301/2.png"}, reject.DuplicateClasses, "accent"},
		{"a class that ends with a space", paths{"cat /1.png", "dog/1.png"}, reject.InvalidClassName, "cat "},
		{"a class with a long name", paths{strings.Repeat("x", 257) + "/1.png", "dog/1.png"}, reject.InvalidClassName, "256"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := imagefolder.Reader{}.Index(t.Context(), tt.files, dataset.Options{}, nobody{})
			var rejected *reject.Error
			if !errors.As(err, &rejected) || rejected.Reason != tt.reason || !strings.Contains(rejected.Message, tt.says) {
				t.Errorf("got %v, want %s that says %q", err, tt.reason, tt.says)
			}
		})
	}
}

// bare is the body of a record of one file.
type bare struct {
	dataset.Body
	data []byte
}

func (b bare) Bytes() ([]byte, error) { return b.data, nil }

func TestEncodeDoesNotAllocate(t *testing.T) {
	e, err := imagefolder.Reader{}.NewEncoder(dataset.Options{Validation: dataset.Structure}, dataset.Index{})
	if err != nil {
		t.Fatal(err)
	}
	var stats dataset.Stats
	var body dataset.Body = bare{data: jpegOf(t, picture(3))}
	buf := make([]byte, 0, 1<<16)
	allocs := testing.AllocsPerRun(100, func() {
		if _, err := e.Encode(buf, dataset.Item{Path: "a/1.jpg", Label: 3}, body, &stats); err != nil {
			t.Fatal(err)
		}
	})
	if allocs != 0 {
		t.Errorf("%v allocations a record", allocs)
	}
}
