package yolo

import (
	"bytes"
	"errors"
	"image"
	"image/png"
	"slices"
	"strings"
	"testing"

	"github.com/trainyard/trainyard/services/converter/dataset"
	"github.com/trainyard/trainyard/services/converter/dataset/boxes"
	"github.com/trainyard/trainyard/services/converter/dataset/datasettest"
	"github.com/trainyard/trainyard/services/converter/reject"
)

func img(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, image.NewRGBA(image.Rect(0, 0, 40, 20))); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestConformance(t *testing.T) {
	p := img(t)
	row := []byte("1 0.5 0.5 0.25 0.5\n")
	classes := []string{"cat", "dog"}
	datasettest.Run(t, Reader{}, []datasettest.Case{
		{
			Name: "images/train beside labels/train",
			Files: []datasettest.File{
				{Path: "README.txt", Data: []byte("0.5 is a number\n")},
				{Path: "data.yaml", Data: []byte("path: ../datasets/pets # root\ntrain: images/train\nval: images/val\nnames:\n  0: cat\n  1: dog\n")},
				{Path: "images/train/1.png", Data: p},
				{Path: "images/train/2.png", Data: p},
				{Path: "images/train/3.png", Data: p},
				{Path: "images/val/1.png", Data: p},
				{Path: "labels/train/1.txt", Data: append(row, "\r\n2 0.5 0.5 0.1 0.1\n0 0.5 0.5 0.1\n0 0.5 0.5 0.1 0.1 0.9\n0 320 240 10 10\n0 0.5 nan 0.1 0.1\n-1 0 0 1 1\n0 0.5 0.5 -0.1 0.1\nx\n0 0.99 0.5 0.1 0.1"...)},
				{Path: "labels/train/2.txt", Data: nil},
				{Path: "labels/val/1.txt", Data: []byte("0 0.1 0.1 0.5 0.1 0.5 .5\n")},
				{Path: "labels/val/9.txt", Data: row},
			},
			Classes: classes,
			Labels:  map[string]int{"images/train/1.png": -1, "images/train/2.png": -1, "images/train/3.png": -1, "images/val/1.png": -1},
			Splits: map[string]dataset.Split{
				"images/train/1.png": dataset.Train, "images/train/2.png": dataset.Train, "images/train/3.png": dataset.Train, "images/val/1.png": dataset.Validation,
			},
			LeftOut: map[string]reject.Reason{
				"README.txt":            reject.NotData,
				"labels/train/1.txt#3":  reject.UnknownCategory,
				"labels/train/1.txt#4":  reject.MalformedRow,
				"labels/train/1.txt#5":  reject.MalformedRow,
				"labels/train/1.txt#6":  reject.InvalidBox,
				"labels/train/1.txt#7":  reject.MalformedRow,
				"labels/train/1.txt#8":  reject.UnknownCategory,
				"labels/train/1.txt#9":  reject.InvalidBox,
				"labels/train/1.txt#10": reject.MalformedRow,
				"labels/val/9.txt":      reject.MissingImage,
			},
			Used: []string{"data.yaml", "labels/train/1.txt", "labels/train/2.txt", "labels/val/1.txt"},
		},
		{
			Name: "train/images beside train/labels, as Roboflow exports them",
			Files: []datasettest.File{
				{Path: "data.yaml", Data: []byte("train: ../train/images\nval: ../valid/images\ntest: ../test/images\nnc: 2\nnames: ['cat', 'dog']\n")},
				{Path: "train/images/1.png", Data: p},
				{Path: "train/labels/1.txt", Data: row},
				{Path: "valid/images/1.png", Data: p},
				{Path: "valid/labels/1.txt", Data: row},
			},
			Classes: classes,
			Labels:  map[string]int{"train/images/1.png": -1, "valid/images/1.png": -1},
			Splits:  map[string]dataset.Split{"train/images/1.png": dataset.Train, "valid/images/1.png": dataset.Validation},
			LeftOut: map[string]reject.Reason{},
			Used:    []string{"data.yaml", "train/labels/1.txt", "valid/labels/1.txt"},
		},
		{
			Name: "Darknet: label files beside the images, lists of splits, obj.names",
			Files: []datasettest.File{
				{Path: "obj.data", Data: []byte("classes = 2\n")},
				{Path: "obj.names", Data: []byte("cat\r\ndog\r\n")},
				{Path: "obj_train_data/1.png", Data: p},
				{Path: "obj_train_data/1.txt", Data: row},
				{Path: "obj_train_data/2.png", Data: p},
				{Path: "obj_train_data/2.txt", Data: row},
				{Path: "train.txt", Data: []byte("data/obj_train_data/1.png\n")},
				{Path: "valid.txt", Data: []byte("data/obj_train_data/2.png\ndata/obj_train_data/3.png\n")},
			},
			Classes: classes,
			Labels:  map[string]int{"obj_train_data/1.png": -1, "obj_train_data/2.png": -1},
			Splits:  map[string]dataset.Split{"obj_train_data/1.png": dataset.Train, "obj_train_data/2.png": dataset.Validation},
			LeftOut: map[string]reject.Reason{"obj.data": reject.NotData},
			Used:    []string{"obj.names", "obj_train_data/1.txt", "obj_train_data/2.txt", "train.txt", "valid.txt"},
		},
		{
			Name: "keypoints, and one folder for both splits",
			Files: []datasettest.File{
				{Path: "data.yaml", Data: []byte("train: images\nval: images\nkpt_shape: [2, 3]\nnames: [person]\n")},
				{Path: "images/1.png", Data: p},
				{Path: "labels/1.txt", Data: []byte("0 0.5 0.5 0.5 0.5 0.1 0.1 2 0.2 0.2 1\n0 0.5 0.5 0.5 0.5 1\n")},
				{Path: "stray.txt", Data: []byte("0 0.5 0.5 0.5 0.5\n")},
			},
			Classes: []string{"person"},
			Labels:  map[string]int{"images/1.png": -1},
			LeftOut: map[string]reject.Reason{"labels/1.txt#2": reject.MalformedRow, "stray.txt": reject.MissingImage},
			Used:    []string{"data.yaml", "labels/1.txt"},
		},
	})
}

func TestRows(t *testing.T) {
	tests := []struct {
		row  string
		want boxes.Object
	}{
		{"1 0.5 0.5 0.25 0.5", boxes.Object{Label: 1, XMin: 0.375, YMin: 0.25, XMax: 0.625, YMax: 0.75}},
		{"1.0\t0.5  0.5 0.25 0.5 ", boxes.Object{Label: 1, XMin: 0.375, YMin: 0.25, XMax: 0.625, YMax: 0.75}},
		{"0 .25 .5 1e-1 1 .75 +.25", boxes.Object{XMin: 0.1, YMin: 0.25, XMax: 0.75, YMax: 1, Segmentation: []byte("[[0.25,0.5,0.1,1,0.75,0.25]]")}},
	}
	for _, tt := range tests {
		r := rows{classes: 2}
		n := 0
		r.read([]byte(tt.row), func(_ int64, o *boxes.Object) {
			n++
			if o.Label != tt.want.Label || o.XMin != tt.want.XMin || o.YMin != tt.want.YMin || o.XMax != tt.want.XMax || o.YMax != tt.want.YMax || !bytes.Equal(o.Segmentation, tt.want.Segmentation) {
				t.Errorf("%q: got %+v", tt.row, o)
			}
		}, func(_ int64, _ reject.Reason, message string) { t.Errorf("%q: %s", tt.row, message) })
		if n != 1 {
			t.Errorf("%q: %d objects", tt.row, n)
		}
	}
}

func TestYAMLRefuses(t *testing.T) {
	laughs := "a: &a [lol, lol]\n"
	for c := 'b'; c < 'z'; c++ {
		laughs += string(c) + ": &" + string(c) + " [*" + string(c-1) + ", *" + string(c-1) + "]\n"
	}
	tests := []struct {
		name, yaml string
		reason     reject.Reason
		says       string
	}{
		{"billion laughs", laughs + "names: *y\n", reject.MalformedFile, "aliases"},
		{"an anchor", "names: &n [cat]\n", reject.MalformedFile, "anchors"},
		{"a merge", "x: &x {a: b}\nnames:\n  <<: *x\n", reject.MalformedFile, "anchors"},
		{"deep brackets", "names: " + strings.Repeat("[", 400_000), reject.MalformedFile, "YAML"},
		{"deep mappings", "names: " + strings.Repeat("{a: ", 100_000), reject.MalformedFile, "YAML"},
		{"deep lists", strings.Repeat("- ", 300_000), reject.MalformedFile, "YAML"},
		{"deep keys", strings.Repeat("? ", 300_000), reject.MalformedFile, "YAML"},
		{"a little too deep", "x: [[[[[[[[[[]]]]]]]]]]\nnames: [a]\n", reject.TooDeep, "8"},
		{"a flood", "names: [" + strings.Repeat("a,", 1_000_000) + "]", reject.TooLarge, "500000"},
		{"no names", "train: images\n", reject.NotData, "names"},
		{"a list", "- cat\n", reject.NotData, "mapping"},
		{"a gap", "names: {0: cat, 2: dog}\n", reject.MalformedFile, "line 1"},
		{"a number twice", "names: {0: cat, 0: dog}\n", reject.MalformedFile, "once"},
		{"names in a text", "names: cat\n", reject.MalformedFile, "list"},
		{"a name that is a list", "names:\n- cat\n- [dog]\n", reject.MalformedFile, "line 3"},
		{"keypoints", "names: [cat]\nkpt_shape: [99999999, 3]\n", reject.MalformedFile, "line 2"},
		{"a path that is a map", "names: [cat]\ntrain: {a: b}\n", reject.MalformedFile, "line 2"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := parseYAML([]byte(tt.yaml))
			var syntax *syntaxError
			if !errors.As(err, &syntax) || syntax.reason != tt.reason || !strings.Contains(syntax.message, tt.says) {
				t.Errorf("got %.300v, want %s that says %q", err, tt.reason, tt.says)
			}
		})
	}
}

func TestYAML(t *testing.T) {
	c, err := parseYAML([]byte("path: /data\ntrain:\n- D:\\sets\\images\\train\n- ../more/images\nval: null\ntest: test.txt\nnc: 2\nnames: [no, 3]\nkpt_shape: [17, 2]\ndownload: |\n  print('*a')\n"))
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(c.names, []string{"no", "3"}) || c.keypoints != [2]int{17, 2} ||
		!slices.Equal(c.splits[dataset.Train], []string{"sets/images/train", "more/images"}) || len(c.splits[dataset.Validation]) != 0 || !slices.Equal(c.splits[dataset.Test], []string{"test.txt"}) {
		t.Errorf("got %+v", c)
	}
}

func FuzzRows(f *testing.F) {
	f.Add([]byte("1 0.5 0.5 0.25 0.5\n0 0.1 0.1 0.5 0.1 0.5 .5\n"), false)
	f.Add([]byte("\xef\xbb\xbf0 0.5 0.5 0.5 0.5 0.1 0.1 2 0.2 0.2 1\r\n"), true)
	f.Add([]byte("0 1e400 0x1p-2 NaN -inf\n"), false)
	f.Fuzz(func(t *testing.T, data []byte, keypoints bool) {
		r := rows{classes: 3}
		if keypoints {
			r.keypoints = [2]int{2, 3}
		}
		p := boxes.Picture{Units: boxes.Parts}
		r.read(data, func(_ int64, o *boxes.Object) {
			if o.Label < 0 || o.Label > 2 {
				t.Errorf("label %d", o.Label)
			}
			p.Check(o)
		}, func(int64, reject.Reason, string) {})
	})
}

func FuzzYAML(f *testing.F) {
	f.Add([]byte("train: images/train\nval: [a, b]\nnames:\n  0: cat\n  1: dog\n"))
	f.Add([]byte("names: &a [*a]\n"))
	f.Add([]byte("%YAML 1.1\n--- !!map\n? names\n: - !!str cat\n"))
	f.Add([]byte("names: [\"\\x41\", 'b', |\n c\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := parseYAML(data)
		var syntax *syntaxError
		if err != nil && !errors.As(err, &syntax) {
			t.Fatalf("%v is no *syntaxError", err)
		}
		if err == nil {
			_ = boxes.CheckClasses(c.names, "in data.yaml")
		}
		if _, err := parseNames(data); err != nil && !errors.As(err, &syntax) {
			t.Fatal(err)
		}
	})
}
