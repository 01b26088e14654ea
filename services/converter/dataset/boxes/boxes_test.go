package boxes

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"io"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/trainyard/trainyard/services/converter/dataset"
	"github.com/trainyard/trainyard/services/converter/reject"
	"github.com/trainyard/trainyard/services/converter/tfrecord"
)

// photo is a JPEG of the given size with EXIF's orientation.
func photo(t testing.TB, width, height int, orientation uint16) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := jpeg.Encode(&b, image.NewGray(image.Rect(0, 0, width, height)), nil); err != nil {
		t.Fatal(err)
	}
	exif := []byte("Exif\x00\x00MM\x00*\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01")
	exif = binary.BigEndian.AppendUint16(exif, orientation)
	exif = append(exif, 0, 0, 0, 0, 0, 0)
	out := append([]byte{0xff, 0xd8, 0xff, 0xe1}, binary.BigEndian.AppendUint16(nil, uint16(2+len(exif)))...)
	return append(append(out, exif...), b.Bytes()[2:]...)
}

// body implements dataset.Body for one file.
type body []byte

func (b body) Size() int                        { return len(b) }
func (b body) Fill(p []byte) error              { copy(p, b); return nil }
func (b body) Bytes() ([]byte, error)           { return b, nil }
func (b body) Parts() int                       { return 1 }
func (b body) Part(int) (string, []byte, error) { return "", b, nil }

func meta(p Picture, objects ...Object) []byte {
	var m Meta
	m.Reset(p)
	for i := range objects {
		m.Add(&objects[i])
	}
	return m.Bytes()
}

func encoder(t testing.TB, s Schema) *Encoder {
	t.Helper()
	e, err := NewEncoder(dataset.Options{Validation: dataset.Structure}, dataset.Index{Classes: []string{"a", "b"}, Schema: s.Encode()})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// TestFrames places a box of the upper left quarter's left half, as people see it.
func TestFrames(t *testing.T) {
	upright := func(w, h float64) Object { return Object{XMax: w / 4, YMax: h / 2} }
	tests := []struct {
		name          string
		orientation   uint16
		width, height int // stated; the stored picture has 40 × 20
		units         Units
		object        Object
		want          []float32 // ymin, xmin, ymax, xmax; nil: left out
	}{
		{"as stored", 1, 40, 20, Pixels, upright(40, 20), []float32{0, 0, 0.5, 0.25}},
		{"size not stated", 1, 0, 0, Pixels, upright(40, 20), []float32{0, 0, 0.5, 0.25}},
		{"mirrored", 2, 40, 20, Pixels, upright(40, 20), []float32{0, 0.75, 0.5, 1}},
		{"upside down", 3, 40, 20, Pixels, upright(40, 20), []float32{0.5, 0.75, 1, 1}},
		{"mirrored upside down", 4, 40, 20, Pixels, upright(40, 20), []float32{0.5, 0, 1, 0.25}},
		{"transposed", 5, 20, 40, Pixels, upright(20, 40), []float32{0, 0, 0.25, 0.5}},
		{"to be turned right", 6, 20, 40, Pixels, upright(20, 40), []float32{0.75, 0, 1, 0.5}},
		{"transversed", 7, 20, 40, Pixels, upright(20, 40), []float32{0.75, 0.5, 1, 1}},
		{"to be turned left", 8, 20, 40, Pixels, upright(20, 40), []float32{0, 0.5, 0.25, 1}},
		{"to be turned, size not stated", 6, 0, 0, Pixels, upright(20, 40), []float32{0.75, 0, 1, 0.5}},
		{"to be turned, in parts", 6, 0, 0, Parts, upright(1, 1), []float32{0.75, 0, 1, 0.5}},
		{"to be turned, but annotated as stored", 6, 40, 20, Pixels, upright(40, 20), []float32{0, 0, 0.5, 0.25}},
		{"resized since", 1, 400, 200, Pixels, upright(400, 200), []float32{0, 0, 0.5, 0.25}},
		{"resized since and to be turned", 8, 200, 400, Pixels, upright(200, 400), []float32{0, 0.5, 0.25, 1}},
		{"another picture", 1, 30, 30, Pixels, upright(30, 30), nil},
		{"clipped", 1, 40, 20, Pixels, Object{XMin: -9, YMin: 10, XMax: 10, YMax: 99}, []float32{0.5, 0, 1, 0.25}},
		{"outside, size not stated", 1, 0, 0, Pixels, Object{XMin: 50, XMax: 60, YMax: 5}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e := encoder(t, Schema{})
			m := meta(Picture{Units: tt.units, Width: tt.width, Height: tt.height}, tt.object)
			data, err := e.Encode(nil, dataset.Item{Path: "a.jpg", Meta: m}, body(photo(t, 40, 20, tt.orientation)), &dataset.Stats{})
			if tt.want == nil {
				var file *reject.File
				if !errors.As(err, &file) {
					t.Errorf("got %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			example, err := tfrecord.ParseExample(data)
			if err != nil {
				t.Fatal(err)
			}
			if got := example["objects/bbox"].Floats; !slices.Equal(got, tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
			if got := example["orientation"].Int64s; !slices.Equal(got, []int64{int64(tt.orientation)}) {
				t.Errorf("orientation %v", got)
			}
		})
	}
}

func TestCheck(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	p := Picture{Width: 40, Height: 20}
	for _, o := range []Object{
		{XMin: nan, XMax: 1, YMax: 1},
		{XMax: inf, YMax: 1},
		{YMin: -inf, XMax: 1, YMax: 1},
		{},
		{XMax: -1, YMax: 1},
		{XMin: 2, XMax: 1, YMax: 1},
		{XMin: 40, XMax: 41, YMax: 1},
		{XMin: -2, XMax: -1, YMax: 1},
		{YMin: 20, XMax: 1, YMax: 21},
	} {
		if p.Check(&o) == "" {
			t.Errorf("%+v is let through", o)
		}
	}
	for _, o := range []Object{{XMax: 40, YMax: 20}, {XMin: -5, YMin: -5, XMax: 1e9, YMax: 1}} {
		if reason := p.Check(&o); reason != "" {
			t.Errorf("%+v: %s", o, reason)
		}
	}
}

func TestObjectsTravelWhole(t *testing.T) {
	want := Object{
		Label: 70_000, ID: -5, XMin: 0.1, YMin: -2, XMax: math.MaxFloat64, YMax: 3, Area: 1e-9, Crowd: true, Difficult: true,
		Pose: []byte("Left"), Segmentation: []byte("[[1]]"), KeypointSet: []byte("[1,2,3]"),
	}
	var got Object
	b := AppendObject(nil, &want)
	rest, ok := CutObject(append(b, 9), &got)
	if !ok || len(rest) != 1 || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %+v, %v, %v", got, rest, ok)
	}
	for n := range b {
		if _, ok := CutObject(b[:n], &got); ok {
			t.Errorf("cut to %d bytes it is whole", n)
		}
	}
}

func TestMetaIsBounded(t *testing.T) {
	var m Meta
	m.Reset(Picture{})
	big := Object{Segmentation: make([]byte, 1<<20)}
	for range 20 {
		m.Add(&big)
	}
	if m.Objects != 3 || len(m.Bytes()) > MaxMeta {
		t.Errorf("%d objects in %d bytes", m.Objects, len(m.Bytes()))
	}
}

func TestCheckClasses(t *testing.T) {
	tests := []struct {
		names  []string
		reason reject.Reason
	}{
		{nil, reject.TooFewClasses},
		{[]string{"a", "a"}, reject.DuplicateClasses},
		{[]string{""}, reject.InvalidClassName},
		{[]string{" a"}, reject.InvalidClassName},
		{[]string{"a\nb"}, reject.InvalidClassName},
		{[]string{"\xff"}, reject.InvalidClassName},
		{[]string{strings.Repeat("x", 257)}, reject.InvalidClassName},
		{make([]string, MaxClasses+1), reject.TooManyClasses},
	}
	for _, tt := range tests {
		var rejected *reject.Error
		if err := CheckClasses(tt.names, "here"); !errors.As(err, &rejected) || rejected.Reason != tt.reason {
			t.Errorf("%.3q: %v, want %s", tt.names, err, tt.reason)
		}
	}
	if err := CheckClasses([]string{"one is enough"}, ""); err != nil {
		t.Error(err)
	}
}

// paths implements dataset.Files for names alone.
type paths []string

func (p paths) Len() int                                         { return len(p) }
func (p paths) At(i int) dataset.File                            { return dataset.File{Path: p[i], Size: 1} }
func (paths) Stream(context.Context, int) (io.ReadCloser, error) { return nil, io.EOF }
func (paths) Open(context.Context, int) (io.ReaderAt, error)     { return nil, io.EOF }

func TestImages(t *testing.T) {
	files := paths{"up/a/images/1.jpg", "up/a/images/1.png", "up/b/images/1.jpg", "up/b/x1.jpg", "up/b/images/2.jpg", "up/masks/2.png", "up/notes.txt"}
	im := FindImages(files, func(p string) bool { return strings.Contains(p, "masks") })
	if len(im.All) != 5 || im.Key(0) != "a/images/1.jpg" {
		t.Errorf("%v, key %q", im.All, im.Key(0))
	}
	for annotations, want := range map[string][]int{
		"up/a/labels/1.txt": {0, 1}, "up/b/labels/1.txt": {2}, "up/b/1.txt": {2}, "up/c/labels/1.txt": nil, "up/b/labels/2.txt": {4}, "1.txt": nil,
	} {
		if got := im.Beside(annotations); !slices.Equal(got, want) {
			t.Errorf("beside %q: %v, want %v", annotations, got, want)
		}
	}
	for _, tt := range []struct {
		name, annotations string
		file              int
		reason            reject.Reason
	}{
		{"a/images/1.jpg", "up/x.json", 0, ""},
		{`C:\else\where\b\images\1.jpg`, "up/x.json", 2, ""},
		{"1.jpg", "up/x.json", -1, reject.AmbiguousImage},
		{"1.jpg", "up/instances_b.json", 2, ""},
		{"1.jpg", "up/a/x.json", 0, ""},
		{"1.png", "x.json", 1, ""},
		{"x1.jpg", "x.json", 3, ""},
		{"../../x1.jpg", "x.json", 3, ""},
		{"3.jpg", "x.json", -1, reject.MissingImage},
		{"", "x.json", -1, reject.MissingImage},
		{"/", "x.json", -1, reject.MissingImage},
	} {
		if file, reason := im.Named(tt.name, tt.annotations); file != tt.file || reason != tt.reason {
			t.Errorf("%q from %q: %d, %s, want %d, %s", tt.name, tt.annotations, file, reason, tt.file, tt.reason)
		}
	}
}

func TestEncodingDoesNotAllocate(t *testing.T) {
	e := encoder(t, Schema{COCO: true, VOC: true, Segmentation: true, Keypoints: true})
	data := body(photo(t, 40, 20, 1))
	m := meta(Picture{Width: 40, Height: 20}, Object{XMax: 4, YMax: 5, Segmentation: []byte("[[1,2,3,4,5,6]]")}, Object{Label: 1, XMax: 40, YMax: 50})
	var stats dataset.Stats
	var dst []byte
	encode := func() {
		var err error
		if dst, err = e.Encode(dst[:0], dataset.Item{Path: "a.jpg", Label: -1, Meta: m}, data, &stats); err != nil {
			t.Fatal(err)
		}
		stats.TakeLabels()
	}
	encode()
	if n := testing.AllocsPerRun(100, encode); n > 1 {
		t.Errorf("%g allocations a record", n)
	}
}

func FuzzEncode(f *testing.F) {
	f.Add(meta(Picture{Width: 40, Height: 20}, Object{XMax: 4, YMax: 5}), uint16(6))
	f.Add(meta(Picture{Units: Parts}, Object{XMax: 0.5, YMax: 0.5, Segmentation: []byte("[]")}), uint16(1))
	f.Fuzz(func(t *testing.T, m []byte, orientation uint16) {
		e := encoder(t, Schema{COCO: true, Segmentation: true})
		data, err := e.Encode(nil, dataset.Item{Path: "a.jpg", Meta: m}, body(photo(t, 40, 20, orientation%9)), &dataset.Stats{})
		if err != nil {
			return
		}
		example, err := tfrecord.ParseExample(data)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range example["objects/bbox"].Floats {
			if !(v >= 0 && v <= 1) {
				t.Errorf("a coordinate is %g", v)
			}
		}
	})
}
