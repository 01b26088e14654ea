package voc

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/png"
	"math"
	"strings"
	"testing"

	"github.com/trainyard/trainyard/services/converter/dataset"
	"github.com/trainyard/trainyard/services/converter/dataset/datasettest"
	"github.com/trainyard/trainyard/services/converter/reject"
)

// img is a PNG of 40 × 20 pixels.
func img(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, image.NewRGBA(image.Rect(0, 0, 40, 20))); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func obj(name string, box ...float64) string {
	return fmt.Sprintf("<object><name>%s</name><pose>Left</pose><truncated>1</truncated><difficult>0</difficult><bndbox><xmin>%g</xmin><ymin>%g</ymin><xmax>%g</xmax><ymax>%g</ymax></bndbox></object>\n",
		name, box[0], box[1], box[2], box[3])
}

func doc(width, height int, objects ...string) []byte {
	return fmt.Appendf(nil, "<?xml version=\"1.0\"?>\n<annotation><filename>x.png</filename><size><width>%d</width><height>%d</height><depth>3</depth></size>\n%s</annotation>\n",
		width, height, strings.Join(objects, ""))
}

func TestConformance(t *testing.T) {
	p := img(t)
	datasettest.Run(t, Reader{}, []datasettest.Case{
		{
			Name: "the layout of VOC2012",
			Files: []datasettest.File{
				{Path: "Annotations/1.xml", Data: doc(40, 20, obj("dog", 1, 1, 40, 20), obj("cat", 5, 5, 9, 9))},
				{Path: "Annotations/2.xml", Data: doc(40, 20)},
				{Path: "Annotations/3.xml", Data: doc(40, 20, obj("a\tb", 1, 1, 2, 2), obj("cat", 9, 1, 5, 2), obj("cat", math.NaN(), 1, 5, 2), obj("cat", 50, 1, 60, 2),
					"<object><name>cat</name></object>\n", obj("person", 1, 1, 4, 4)+"<object><name>person</name><part><name>head</name><bndbox><xmin>1</xmin></bndbox></part><robndbox><cx>1</cx></robndbox></object>\n")},
				{Path: "Annotations/4.xml", Data: doc(80, 60, obj("dog", 1, 1, 2, 2))}, // another picture's size
				{Path: "Annotations/5.xml", Data: doc(400, 200, obj("dog", 1, 1, 400, 200))},
				{Path: "Annotations/6.xml", Data: doc(40, 20, obj("dog", 1, 1, 2, 2))}, // no picture
				{Path: "Annotations/7.xml", Data: []byte("<!DOCTYPE a [<!ENTITY b \"c\">]><annotation/>")},
				{Path: "ImageSets/Main/dog_train.txt", Data: []byte("1 1\n")},
				{Path: "ImageSets/Main/train.txt", Data: []byte("1\n2 -1\n\n9\n")},
				{Path: "ImageSets/Main/val.txt", Data: []byte("3\n2\n7\n10\n")},
				{Path: "JPEGImages/1.png", Data: p},
				{Path: "JPEGImages/10.png", Data: p}, // listed, so it shows nothing
				{Path: "JPEGImages/2.png", Data: p},
				{Path: "JPEGImages/3.png", Data: p},
				{Path: "JPEGImages/4.png", Data: p},
				{Path: "JPEGImages/5.png", Data: p},
				{Path: "JPEGImages/7.png", Data: p},
				{Path: "JPEGImages/8.png", Data: p},
				{Path: "SegmentationClass/1.png", Data: p},
			},
			Classes: []string{"cat", "dog", "person"},
			Labels:  map[string]int{"JPEGImages/1.png": -1, "JPEGImages/10.png": -1, "JPEGImages/2.png": -1, "JPEGImages/3.png": -1, "JPEGImages/5.png": -1},
			Splits:  map[string]dataset.Split{"JPEGImages/1.png": dataset.Train, "JPEGImages/2.png": dataset.Train, "JPEGImages/3.png": dataset.Validation, "JPEGImages/10.png": dataset.Validation},
			LeftOut: map[string]reject.Reason{
				"Annotations/3.xml#3": reject.UnknownCategory, "Annotations/3.xml#4": reject.InvalidBox, "Annotations/3.xml#5": reject.InvalidBox,
				"Annotations/3.xml#6": reject.InvalidBox, "Annotations/3.xml#7": reject.InvalidBox, "Annotations/3.xml#9": reject.InvalidBox, // the part and its object share the line
				"Annotations/6.xml": reject.MissingImage, "Annotations/7.xml": reject.MalformedFile,
				"ImageSets/Main/dog_train.txt": reject.NotData, "ImageSets/Main/val.txt#2": reject.DuplicateFile,
				"JPEGImages/4.png": reject.SizeMismatch, "JPEGImages/7.png": reject.NoAnnotation, "JPEGImages/8.png": reject.NoAnnotation,
				"SegmentationClass/1.png": reject.NotData,
			},
			Used: []string{
				"Annotations/1.xml", "Annotations/2.xml", "Annotations/3.xml", "Annotations/4.xml", "Annotations/5.xml",
				"ImageSets/Main/train.txt", "ImageSets/Main/val.txt",
			},
		},
		{
			Name: "XML beside the pictures, in folders of splits",
			Files: []datasettest.File{
				{Path: "train/a.png", Data: p},
				{Path: "train/a.xml", Data: doc(0, 0, obj("ball", 0, 0, 10, 10))},
				{Path: "valid/a.png", Data: p},
				{Path: "valid/a.xml", Data: doc(40, 20)},
				{Path: "valid/renamed.xml", Data: bytes.ReplaceAll(doc(40, 20), []byte("x.png"), []byte(`C:\photos\b.png`))},
				{Path: "valid/b.png", Data: p},
			},
			Classes: []string{"ball"},
			Labels:  map[string]int{"train/a.png": -1, "valid/a.png": -1, "valid/b.png": -1},
			Splits:  map[string]dataset.Split{"train/a.png": dataset.Train, "valid/a.png": dataset.Validation, "valid/b.png": dataset.Validation},
			LeftOut: map[string]reject.Reason{},
			Used:    []string{"train/a.xml", "valid/a.xml", "valid/renamed.xml"},
		},
	})
}

func TestParse(t *testing.T) {
	a, err := parse(doc(500, 375, obj("aeroplane", 1, 2, 30.5, 40)))
	if err != nil || a.width != 500 || a.height != 375 || a.filename != "x.png" || len(a.objects) != 1 {
		t.Fatalf("got %+v, %v", a, err)
	}
	// The first pixel is 1, and the last belongs to the box.
	if b := a.objects[0].box(); b.XMin != 0 || b.YMin != 1 || b.XMax != 30.5 || b.YMax != 40 || !b.Truncated || b.Difficult || string(b.Pose) != "Left" {
		t.Errorf("got %+v", b)
	}
}

func TestParseRefuses(t *testing.T) {
	laughs := "<!DOCTYPE lolz [<!ENTITY lol \"lol\">" + strings.Repeat("<!ENTITY l \"&lol;&lol;\">", 10) + "]><annotation><filename>&l;</filename></annotation>"
	tests := []struct {
		name, xml string
		reason    reject.Reason
		says      string
	}{
		{"billion laughs", laughs, reject.MalformedFile, "DOCTYPE"},
		{"an entity without a document type", "<annotation>&lol;</annotation>", reject.MalformedFile, "line 1"},
		{"deep", strings.Repeat("<annotation>", 300_000), reject.TooDeep, "16"},
		{"not whole", "<annotation>\n<object>\n<name>cat", reject.MalformedFile, "line 3"},
		{"wrong end", "<annotation></object>", reject.MalformedFile, "</object>"},
		{"two roots", "<annotation/><annotation/>", reject.MalformedFile, "outermost"},
		{"text behind", "<annotation/>x", reject.MalformedFile, "text"},
		{"another root", "<kml/>", reject.NotData, "annotation"},
		{"another encoding", "<?xml version=\"1.0\" encoding=\"GB2312\"?><annotation/>", reject.UnsupportedEncoding, "UTF-8"},
		{"invalid UTF-8", "<annotation><filename>\xff</filename></annotation>", reject.MalformedFile, "UTF-8"},
		{"empty", "", reject.MalformedFile, "not whole"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := parse([]byte(tt.xml))
			var syntax *syntaxError
			if !errors.As(err, &syntax) || syntax.reason != tt.reason || !strings.Contains(syntax.message, tt.says) {
				t.Errorf("got %v, want %s that says %q", err, tt.reason, tt.says)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add(doc(40, 20, obj("cat", 1, 2, 3, 4)))
	f.Add([]byte("<annotation><object><part><name>a</name><bndbox><xmin>1</xmin></bndbox></part></object></annotation>"))
	f.Add([]byte("<!DOCTYPE a><annotation>&amp;<![CDATA[x]]><!-- --></annotation>"))
	f.Add([]byte("<annotation><object/><size><width>1e3</width></size></annotation>"))
	f.Fuzz(func(t *testing.T, data []byte) {
		a, err := parse(data)
		var syntax *syntaxError
		if err != nil && !errors.As(err, &syntax) {
			t.Fatalf("%v is no *syntaxError", err)
		}
		for i := range a.objects {
			if !a.objects[i].part {
				a.objects[i].box()
			}
		}
	})
}
