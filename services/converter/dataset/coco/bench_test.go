package coco_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/trainyard/trainyard/services/converter/dataset"
	"github.com/trainyard/trainyard/services/converter/dataset/coco"
	"github.com/trainyard/trainyard/services/converter/dataset/datasettest"
)

// manyAnnotations is a COCO file of so many annotations of 1,000 pictures, with the fields that COCO's own have, and a polygon each if they are to have one.
func manyAnnotations(n int, polygons bool) upload {
	const pictures = 1000
	var files upload
	var b bytes.Buffer
	b.WriteString(`{"info": {"year": 2017}, "images": [`)
	for i := range pictures {
		name := fmt.Sprintf("%012d.jpg", i)
		files = append(files, datasettest.File{Path: name, Data: []byte("x")})
		fmt.Fprintf(&b, `{"license": 3, "file_name": %q, "height": 427, "width": 640, "date_captured": "2013-11-14 11:18:45", "id": %d}, `, name, i)
	}
	b.Truncate(b.Len() - 2)
	b.WriteString(`], "annotations": [`)
	for i := range n {
		segmentation := "[]"
		if polygons {
			segmentation = "[[239.97, 260.24, 222.04, 270.49, 199.84, 253.41, 213.5, 227.79, 259.62, 200.46, 274.13, 202.17, 277.55, 210.71, 249.37, 253.41]]"
		}
		fmt.Fprintf(&b, `{"segmentation": %s, "area": %d.3971, "iscrowd": 0, "image_id": %d, "bbox": [199.84, 200.46, 77.71, 70.88], "category_id": %d, "id": %d}, `,
			segmentation, 1000+i%5000, i*7919%pictures, 1+i%80, i)
	}
	b.Truncate(b.Len() - 2)
	b.WriteString(`], "categories": [`)
	for i := range 80 {
		fmt.Fprintf(&b, `{"supercategory": "thing", "id": %d, "name": "class %d"}, `, i+1, i+1)
	}
	b.Truncate(b.Len() - 2)
	b.WriteString(`]}`)
	return append(files, datasettest.File{Path: "instances.json", Data: b.Bytes()})
}

func BenchmarkIndex(b *testing.B) {
	for name, polygons := range map[string]bool{"boxes": false, "polygons": true} {
		b.Run(name, func(b *testing.B) {
			files := manyAnnotations(1_000_000, polygons)
			b.SetBytes(int64(len(files[len(files)-1].Data)))
			for b.Loop() {
				if _, err := (coco.Reader{}).Index(b.Context(), files, dataset.Options{Scratch: b.TempDir()}, nobody{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
