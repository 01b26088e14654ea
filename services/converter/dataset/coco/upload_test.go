package coco_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/trainyard/trainyard/services/converter/dataset"
	"github.com/trainyard/trainyard/services/converter/dataset/coco"
	"github.com/trainyard/trainyard/services/converter/dataset/datasettest"
	"github.com/trainyard/trainyard/services/converter/reject"
	"github.com/trainyard/trainyard/services/converter/tfrecord"
)

// upload implements dataset.Files.
type upload []datasettest.File

func (u upload) Len() int { return len(u) }

func (u upload) At(i int) dataset.File {
	return dataset.File{Path: u[i].Path, Size: int64(len(u[i].Data))}
}

func (u upload) Stream(_ context.Context, i int) (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(u[i].Data)), nil
}

func (u upload) Open(_ context.Context, i int) (io.ReaderAt, error) {
	return bytes.NewReader(u[i].Data), nil
}

// nobody is a dataset.Listener that hears nothing.
type nobody struct{}

func (nobody) Record(dataset.Record) {}
func (nobody) Block(dataset.Block)   {}
func (nobody) Transcode(context.Context, int, string, dataset.Split, dataset.Transcode) error {
	return nil
}
func (nobody) Use(int)                                              {}
func (nobody) LeaveOut(int, reject.Reason, string)                  {}
func (nobody) LeaveOutRow(int, int64, reject.Reason, string)        {}
func (nobody) LeaveOutAnnotation(int, int64, reject.Reason, string) {}

// keeper is a dataset.Listener that keeps the records.
type keeper struct {
	nobody
	records map[int]dataset.Record
	left    int
}

func (k *keeper) Record(r dataset.Record) {
	r.Meta = bytes.Clone(r.Meta)
	k.records[r.File] = r
}

func (k *keeper) LeaveOutAnnotation(int, int64, reject.Reason, string) { k.left++ }

// TestExample checks an example to the number.
func TestExample(t *testing.T) {
	files := upload{{Path: "instances.json", Data: []byte(instances)}, {Path: "a.png", Data: picture(t)}, {Path: "b.png", Data: picture(t)}}
	k := &keeper{records: make(map[int]dataset.Record)}
	index, err := coco.Reader{}.Index(t.Context(), files, dataset.Options{}, k)
	if err != nil {
		t.Fatal(err)
	}
	if want := `"category_ids":[3,7,90]`; !strings.Contains(string(index.Schema), want) {
		t.Errorf("schema %s lacks %s", index.Schema, want)
	}
	e, err := coco.Reader{}.NewEncoder(dataset.Options{Validation: dataset.Structure}, index)
	if err != nil {
		t.Fatal(err)
	}
	var stats dataset.Stats
	data, err := e.Encode(nil, dataset.Item{Path: "a.png", Label: -1, Meta: k.records[1].Meta}, body(files[1].Data), &stats)
	if err != nil {
		t.Fatal(err)
	}
	got, err := tfrecord.ParseExample(data)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"image_id":             "[10]",
		"objects/id":           "[101 102]",
		"objects/label":        "[1 0]",
		"objects/bbox":         "[0.1 0.025 0.3 0.1125 0 0 1 0.125]", // the second is clipped on its left
		"objects/area":         "[12.5 200]",
		"objects/is_crowd":     "[0 1]",
		"objects/segmentation": `[[[1,2,4.5,2,4.5,6]] {"size":[20,40],"counts":"a b\\c"}]`,
	} {
		v := got[name]
		text := ""
		switch {
		case v.Floats != nil:
			text = fmt.Sprint(v.Floats)
		case v.Int64s != nil:
			text = fmt.Sprint(v.Int64s)
		default:
			text = fmt.Sprintf("%s", v.Bytes)
		}
		if text != want {
			t.Errorf("%s = %s, want %s", name, text, want)
		}
	}
	if stats.Objects.Of(1) != 1 || stats.Objects.Of(0) != 1 || *stats.Counts["boxes"]["clipped to the picture"] != 1 {
		t.Errorf("statistics %+v", stats)
	}
}

// body implements dataset.Body for one file.
type body []byte

func (b body) Size() int                        { return len(b) }
func (b body) Fill(p []byte) error              { copy(p, b); return nil }
func (b body) Bytes() ([]byte, error)           { return b, nil }
func (b body) Parts() int                       { return 1 }
func (b body) Part(int) (string, []byte, error) { return "", b, nil }

// TestManyAnnotations has the annotations of each picture scattered over a file that is larger than what is held in memory.
func TestManyAnnotations(t *testing.T) {
	const pictures, each = 50, 1200
	type annotation struct {
		ID       int       `json:"id"`
		Image    int       `json:"image_id"`
		Category int       `json:"category_id"`
		Box      []int     `json:"bbox"`
		Polygons [][]int64 `json:"segmentation"`
	}
	type entry struct {
		ID   int    `json:"id"`
		File string `json:"file_name"`
	}
	var all struct {
		Images      []entry          `json:"images"`
		Categories  []map[string]any `json:"categories"`
		Annotations []annotation     `json:"annotations"`
	}
	all.Categories = []map[string]any{{"id": 1, "name": "cat"}}
	var files upload
	for i := range pictures {
		name := fmt.Sprintf("%d.png", i)
		all.Images = append(all.Images, entry{1000 - i, name})
		files = append(files, datasettest.File{Path: name, Data: []byte("x")})
	}
	long := make([]int64, 300)
	for n := range pictures * each {
		all.Annotations = append(all.Annotations, annotation{n, 1000 - n%pictures, 1, []int{0, 0, 1, 1}, [][]int64{long}})
	}
	rand.New(rand.NewPCG(1, 2)).Shuffle(len(all.Annotations), func(i, j int) {
		a := all.Annotations
		a[i], a[j] = a[j], a[i]
	})
	text, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	files = append(files, datasettest.File{Path: "a.json", Data: text})
	k := &keeper{records: make(map[int]dataset.Record)}
	if _, err := (coco.Reader{}).Index(t.Context(), files, dataset.Options{Scratch: t.TempDir()}, k); err != nil {
		t.Fatal(err)
	}
	for i := range pictures {
		if got := k.records[i].Annotations; got != each {
			t.Errorf("picture %d has %d annotations, want %d", i, got, each)
		}
	}
	if k.left != 0 {
		t.Errorf("%d annotations were left out", k.left)
	}
}

func FuzzIndex(f *testing.F) {
	f.Add([]byte(instances))
	f.Add([]byte(`{"images":[{"id":1,"file_name":"a.png"}],"annotations":[{"image_id":1,"category_id":1,"bbox":[0,0,1,1]}],"categories":[{"id":1,"name":"a"}]}`))
	f.Add([]byte(`{"categories":[],"images":{},"annotations":null}`))
	f.Add([]byte("\xef\xbb\xbf{}"))
	p := picture(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		files := upload{{Path: "a.json", Data: data}, {Path: "a.png", Data: p}, {Path: "b.png", Data: p}}
		if _, err := (coco.Reader{}).Detect(t.Context(), files); err != nil {
			t.Fatal(err)
		}
		k := &keeper{records: make(map[int]dataset.Record)}
		index, err := coco.Reader{}.Index(t.Context(), files, dataset.Options{}, k)
		if err != nil {
			return
		}
		e, err := coco.Reader{}.NewEncoder(dataset.Options{}, index)
		if err != nil {
			t.Fatal(err)
		}
		for i, r := range k.records {
			var stats dataset.Stats
			data, err := e.Encode(nil, dataset.Item{Path: files[i].Path, Label: -1, Meta: r.Meta}, body(p), &stats)
			if err != nil {
				continue
			}
			example, err := tfrecord.ParseExample(data)
			if err != nil {
				t.Fatal(err)
			}
			for _, v := range example["objects/bbox"].Floats {
				if !(v >= 0 && v <= 1) {
					t.Errorf("a box coordinate is %g", v)
				}
			}
		}
	})
}
