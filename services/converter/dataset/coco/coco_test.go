package coco_test

import (
	"bytes"
	"errors"
	"image"
	"image/png"
	"strings"
	"testing"

	"github.com/trainyard/trainyard/services/converter/dataset"
	"github.com/trainyard/trainyard/services/converter/dataset/coco"
	"github.com/trainyard/trainyard/services/converter/dataset/datasettest"
	"github.com/trainyard/trainyard/services/converter/reject"
)

// picture is a PNG of 40 × 20 pixels.
func picture(t testing.TB) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, image.NewRGBA(image.Rect(0, 0, 40, 20))); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

const categories = `"categories": [{"id": 7, "name": "dog", "supercategory": "animal"}, {"id": 3, "name": "cat"}, {"id": 90, "name": "toothbrush"}]`

// instances is a file of annotations with a trap in every entry but the first few.
const instances = `{
	"info": {"nested": [{"a": [[]]}]},
	"images": [
		{"id": 20, "file_name": "b.png", "width": 40, "height": 20},
		{"id": 10, "file_name": "some\\where\\a.png", "width": 40, "height": 20},
		{"id": 30, "file_name": "missing.png", "width": 40, "height": 20},
		{"id": 10, "file_name": "c.png"},
		{"id": "x", "file_name": "d.png"},
		{"id": 40, "file_name": "a.png"},
		{"id": 50, "file_name": "other size.png", "width": 41, "height": 30}
	],
	"annotations": [
		{"id": 101, "image_id": 10, "category_id": 7, "bbox": [1, 2, 3.5, 4], "area": 12.5, "iscrowd": 0, "segmentation": [[1, 2, 4.5, 2, 4.5, 6]]},
		{"id": 102, "image_id": 10, "category_id": 3, "bbox": [-5, 0, 10, 20], "iscrowd": 1, "segmentation": {"size": [20, 40], "counts": "a b\\c"}},
		{"id": 103, "image_id": 10, "category_id": 4, "bbox": [0, 0, 1, 1]},
		{"id": 104, "image_id": 99, "category_id": 3, "bbox": [0, 0, 1, 1]},
		{"id": 105, "image_id": 30, "category_id": 3, "bbox": [0, 0, 1, 1]},
		{"id": 106, "image_id": 20, "category_id": 3, "bbox": [NaN, 0, 1, 1]},
		{"id": 107, "image_id": 20, "category_id": 3, "bbox": [0, 0, Infinity, 1]},
		{"id": 108, "image_id": 20, "category_id": 3, "bbox": [0, 0, -1, 1]},
		{"id": 109, "image_id": 20, "category_id": 3, "bbox": [41, 0, 1, 1]},
		{"id": 110, "image_id": 20, "category_id": 3, "bbox": [0, 0, 1]},
		{"id": 111, "image_id": 20, "bbox": [0, 0, 1, 1]},
		{"id": 112, "category_id": 3, "bbox": [0, 0, 1, 1]},
		{"id": 113, "image_id": 20, "category_id": 3, "bbox": [0, 0, 1e400, 1]},
		{"id": 114, "image_id": 50, "category_id": 3, "bbox": [0, 0, 1, 1]},
		{"id": 115, "image_id": 20, "category_id": 3, "bbox": [0, 0, 1, 1], "segmentation": [[1 ,]]}
	],
	` + categories + `}`

func TestConformance(t *testing.T) {
	p := picture(t)
	classes := []string{"cat", "dog", "toothbrush"}
	datasettest.Run(t, coco.Reader{}, []datasettest.Case{
		{
			Name: "every kind of annotation",
			Files: []datasettest.File{
				{Path: "annotations/captions.json", Data: []byte(`{"images": [{"id": 10, "file_name": "a.png"}], "annotations": [{"id": 1, "image_id": 10, "caption": "a cat"}]}`)},
				{Path: "annotations/image_info.json", Data: []byte(`{"images": [{"id": 10, "file_name": "c.png"}], ` + categories + `}`)},
				{Path: "annotations/instances.json", Data: []byte(instances)},
				{Path: "annotations/person_keypoints.json", Data: []byte(`{"images": [{"id": 10, "file_name": "a.png"}], ` + categories + `,
					"annotations": [{"id": 1, "image_id": 10, "category_id": 3, "bbox": [0, 0, 1, 1], "keypoints": [1, 2, 2]}]}`)},
				{Path: "annotations/stuff.json", Data: []byte(`{"images": [{"id": 10, "file_name": "a.png"}], "annotations": [{"id": 1, "image_id": 10, "category_id": 3, "bbox": [0, 0, 1, 1]}], ` + categories + `}`)},
				{Path: "images/a.png", Data: p},
				{Path: "images/b.png", Data: p},
				{Path: "images/c.png", Data: p},
				{Path: "images/d.heic", Data: p},
				{Path: "images/other size.png", Data: p},
				{Path: "labelme.json", Data: []byte(`{"version": "5", "shapes": []}`)},
				{Path: "readme.md", Data: []byte("about")},
			},
			Classes: classes,
			Labels:  map[string]int{"images/a.png": -1, "images/b.png": -1},
			LeftOut: map[string]reject.Reason{
				"annotations/captions.json": reject.NotData, "annotations/image_info.json": reject.NotData, "annotations/stuff.json": reject.DuplicateFile,
				"annotations/person_keypoints.json": reject.NotData, "labelme.json": reject.NotData, "readme.md": reject.NotData,
				"images/c.png": reject.NoAnnotation, "images/d.heic": reject.UnsupportedImage, "images/other size.png": reject.SizeMismatch,
				"annotations/instances.json#3": reject.MissingImage, "annotations/instances.json#4": reject.DuplicateFile,
				"annotations/instances.json#5": reject.MalformedRow, "annotations/instances.json#6": reject.DuplicateFile,
				"annotations/instances.json#103": reject.UnknownCategory, "annotations/instances.json#104": reject.MissingImage, "annotations/instances.json#105": reject.MissingImage,
				"annotations/instances.json#106": reject.InvalidBox, "annotations/instances.json#107": reject.InvalidBox, "annotations/instances.json#108": reject.InvalidBox,
				"annotations/instances.json#109": reject.InvalidBox, "annotations/instances.json#110": reject.InvalidBox, "annotations/instances.json#111": reject.UnknownCategory,
				"annotations/instances.json#112": reject.MalformedRow, "annotations/instances.json#113": reject.InvalidBox, "annotations/instances.json#115": reject.MalformedRow,
			},
			Used: []string{"annotations/instances.json"},
		},
		{
			Name: "splits by the names of the files, and pictures of one name in two folders",
			Files: []datasettest.File{
				{Path: "annotations/instances_train2017.json", Data: []byte(`{` + categories + `, "annotations": [{"id": 1, "image_id": 1, "category_id": 3, "bbox": [0, 0, 1, 1]}], "images": [{"id": 1, "file_name": "1.png"}]}`)},
				{Path: "annotations/instances_val2017.json", Data: []byte(`{"images": [{"id": 1, "coco_url": "http://images.example/val2017/1.png"}], "annotations": [], ` + categories + `}`)},
				{Path: "train2017/1.png", Data: p},
				{Path: "val2017/1.png", Data: p},
			},
			Classes: classes,
			Labels:  map[string]int{"train2017/1.png": -1, "val2017/1.png": -1},
			Splits:  map[string]dataset.Split{"train2017/1.png": dataset.Train, "val2017/1.png": dataset.Validation},
			LeftOut: map[string]reject.Reason{},
			Used:    []string{"annotations/instances_train2017.json", "annotations/instances_val2017.json"},
		},
		{
			Name: "splits by folder, as Roboflow exports them, with keypoints",
			Files: []datasettest.File{
				{Path: "train/1.png", Data: p},
				{Path: "train/_annotations.coco.json", Data: []byte(`{"categories": [{"id": 0, "name": "ball", "supercategory": "none"}, {"id": 1, "name": "ball"}], "images": [{"id": 0, "file_name": "1.png"}],
					"annotations": [{"id": 0, "image_id": 0, "category_id": 1, "bbox": [0, 0, 1, 1], "keypoints": [1, 2, 2]}]}`)},
				{Path: "valid/1.png", Data: p},
				{Path: "valid/_annotations.coco.json", Data: []byte("\xef\xbb\xbf" + `{"categories": [{"id": 1, "name": "ball"}], "images": [{"id": 0, "file_name": "1.png"}], "annotations": []}`)},
			},
			Classes: []string{"ball"},
			Labels:  map[string]int{"train/1.png": -1, "valid/1.png": -1},
			Splits:  map[string]dataset.Split{"train/1.png": dataset.Train, "valid/1.png": dataset.Validation},
			LeftOut: map[string]reject.Reason{},
			Used:    []string{"train/_annotations.coco.json", "valid/_annotations.coco.json"},
		},
	})
}

func TestAnnotationsWithoutPictures(t *testing.T) {
	files := upload{{Path: "a.json", Data: []byte(`{"images":[{"id":1,"file_name":"a.png"}],"categories":[{"id":1,"name":"a"}],"annotations":[{"id":1,"image_id":1,"category_id":1,"bbox":[0,0,1,1]}]}`)}}
	_, err := coco.Reader{}.Index(t.Context(), files, dataset.Options{Scratch: t.TempDir()}, nobody{})
	var rejected *reject.Error
	if !errors.As(err, &rejected) || rejected.Reason != reject.MissingImage {
		t.Errorf("got %v, want %s", err, reject.MissingImage)
	}
}

func TestUploadsThatAreNoDataset(t *testing.T) {
	tests := []struct {
		name, json string
		reason     reject.Reason
		says       string
	}{
		{"deep", `{"images":[{"id":1,"file_name":"a.png"}],"annotations":[` + strings.Repeat("[", 1_000_000), reject.TooDeep, "64"},
		{"deep beside the lists", `{"images":[{"id":1,"file_name":"a.png"}],"info":` + strings.Repeat(`{"a":`, 1_000_000), reject.TooDeep, "64"},
		{"a flood of annotations", `{"images":[{"id":1,"file_name":"a.png"}],"annotations":[` + strings.Repeat(`{},`, 1_000_000) + `{}]}`, reject.MalformedFile, "100000"},
		{"a flood of pictures", `{"categories":[{"id":1,"name":"a"}],"images":[` + strings.Repeat(`0,`, 1_000_000) + `0]}`, reject.MalformedFile, "100000"},
		{"a flood of categories", `{"images":[{"id":1,"file_name":"a.png"}],"categories":[` + strings.Repeat(`{"id":1,"name":"a"},`, 500_000) + `{}]}`, reject.TooManyClasses, "400000"},
		{"a long annotation", `{"images":[{"id":1,"file_name":"a.png"}],"annotations":["` + strings.Repeat("x", 5<<20) + `"]}`, reject.TooLarge, "4194304"},
		{"cut off", `{"images":[{"id":1,"file_name":"a.png"}],"annotations":[{"id":1,`, reject.MalformedFile, "not whole"},
		{"text behind", `{"images":[{"id":1,"file_name":"a.png"}]} {}`, reject.MalformedFile, "behind"},
		{"numbers without a comma", `{"images":[{"id":1,"file_name":"a.png"}],"annotations":[{"bbox":[1 2]}]}`, reject.MalformedFile, "comma"},
		{"an id of two names", `{"images":[{"id":1,"file_name":"a.png"}],"categories":[{"id":1,"name":"a"},{"id":1,"name":"b"}],"annotations":[]}`, reject.DuplicateClasses, "id 1"},
		{"a name that is no line", `{"images":[{"id":1,"file_name":"a.png"}],"categories":[{"id":1,"name":"a\nb"}]}`, reject.InvalidClassName, "control"},
		{"nothing but captions", `{"images":[{"id":1,"file_name":"a.png"}],"annotations":[{"id":1,"image_id":1,"caption":"x"}]}`, reject.NoAnnotation, "bbox"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			files := upload{{Path: "a.json", Data: []byte(tt.json)}, {Path: "a.png", Data: picture(t)}}
			if m, err := (coco.Reader{}).Detect(t.Context(), files); err != nil || !m.Certain {
				t.Errorf("Detect = %+v, %v", m, err)
			}
			_, err := coco.Reader{}.Index(t.Context(), files, dataset.Options{Scratch: t.TempDir()}, nobody{})
			var rejected *reject.Error
			var file *reject.File
			reason, message := reject.Reason(""), ""
			switch {
			case errors.As(err, &rejected):
				reason, message = rejected.Reason, rejected.Message
			case errors.As(err, &file):
				reason, message = file.Reason, file.Message
			}
			if reason != tt.reason || !strings.Contains(message, tt.says) {
				t.Errorf("got %v, want %s that says %q", err, tt.reason, tt.says)
			}
		})
	}
}
