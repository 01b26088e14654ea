package examples_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"image/png"
	"io"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	converterv1 "github.com/trainyard/trainyard/gen/trainyard/converter/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"

	"github.com/trainyard/trainyard/services/converter/dataset"
	"github.com/trainyard/trainyard/services/converter/examples"
	"github.com/trainyard/trainyard/services/converter/shardindex"
	"github.com/trainyard/trainyard/services/converter/source"
	"github.com/trainyard/trainyard/services/converter/tfrecord"
)

// store holds a dataset's files and notes what is read of them.
type store struct {
	files map[string][]byte
	gets  int
	bytes int64
}

type object struct {
	*store
	data []byte
}

func (s *store) open(name string, _ int64) source.Source { return &object{s, s.files[name]} }

func (o *object) Size() int64 { return int64(len(o.data)) }

func (o *object) ReadAt(_ context.Context, p []byte, off int64) error {
	if off < 0 || off+int64(len(p)) > o.Size() {
		return io.ErrUnexpectedEOF
	}
	o.gets++
	o.bytes += int64(copy(p, o.data[off:]))
	return nil
}

// features writes features.json and the label files of features.
func features(t testing.TB, all ...dataset.Feature) map[string][]byte {
	t.Helper()
	files, dict, labels := map[string][]byte{}, map[string]any{}, map[string][]string{}
	for _, f := range all {
		dict[f.Name] = f.JSON
		f.LabelFiles(labels)
	}
	for name, of := range labels {
		files[name] = []byte(strings.Join(of, "\n") + "\n")
	}
	data, err := json.Marshal(map[string]any{"featuresDict": map[string]any{"features": dict}})
	if err != nil {
		t.Fatal(err)
	}
	files["features.json"] = data
	return files
}

func decode(t testing.TB, files map[string][]byte, record ...tfrecord.Feature) *converterv1.Example {
	t.Helper()
	schema, err := examples.ParseSchema(files["features.json"], func(name string) ([]byte, error) { return files[name], nil })
	if err != nil {
		t.Fatal(err)
	}
	example, err := examples.NewDecoder(schema).Decode(tfrecord.AppendExample(nil, record))
	if err != nil {
		t.Fatal(err)
	}
	return example
}

func picture(t testing.TB, width, height int, encode func(io.Writer, image.Image) error) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := encode(&b, image.NewRGBA(image.Rect(0, 0, width, height))); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestEveryKindOfFeatureIsShown(t *testing.T) {
	files := features(t,
		dataset.ImageFeature("image", "", 3), dataset.ClassLabelFeature("label", []string{"cat", "dog"}), dataset.TextFeature("filename"),
		dataset.TensorFeature("numbers", "int64", -1), dataset.TensorFeature("shares", "float32", -1), dataset.TensorFeature("raw", "string"),
		dataset.AudioFeature("audio", 8000, 2), dataset.AudioBytesFeature("mono", "int16", 8000, 1), dataset.AudioBytesFeature("mixed", "float64", 8000, 0),
		dataset.SequenceFeature("objects", dataset.BBoxFeature("bbox"), dataset.ClassLabelFeature("label", []string{"ear", "tail"}),
			dataset.SequenceFeature("polygon", dataset.TensorFeature("", "float32"))),
		dataset.SequenceFeature("tags", dataset.ClassLabelFeature("", []string{"red", "blue"})),
		dataset.TensorFeature("absent", "int64"),
	)
	img := picture(t, 600, 300, png.Encode)
	long := strings.Repeat("é", 1000)
	got := decode(t, files,
		tfrecord.Bytes("image", img), tfrecord.Int64("label", 1), tfrecord.Text("filename", long),
		tfrecord.Int64s("numbers", slices.Repeat([]int64{-1, 300}, 5000)), tfrecord.Floats("shares", []float32{0.5}), tfrecord.Bytes("raw", []byte{0xff, 0}),
		tfrecord.Floats("audio", make([]float32, 24_000)), tfrecord.Bytes("mono", make([]byte, 8000)),
		tfrecord.Bytes("mixed/value", make([]byte, 8*24_000)), tfrecord.Int64s("mixed/shape", []int64{8000, 3}),
		tfrecord.Floats("objects/bbox", []float32{0, 0.25, 0.5, 0.75, 0, 0, 1, 1}), tfrecord.Int64s("objects/label", []int64{1, -1}),
		tfrecord.Floats("objects/polygon/ragged_flat_values", []float32{1, 2, 3}), tfrecord.Int64s("objects/polygon/ragged_row_lengths_0", []int64{2, 1}),
		tfrecord.Int64s("tags", []int64{1, 0, 1}),
	)
	if got.GetClass() != "dog" || got.GetSizeBytes() == 0 {
		t.Errorf("class %q, %d bytes", got.GetClass(), got.GetSizeBytes())
	}
	shown := map[string]*converterv1.Feature{}
	for _, f := range got.GetFeatures() {
		shown[f.GetName()] = f
	}
	thumbnail, err := jpeg.DecodeConfig(bytes.NewReader(shown["image"].GetImage().GetThumbnail()))
	if err != nil || thumbnail.Width != 256 || thumbnail.Height != 128 {
		t.Errorf("thumbnail of %d × %d, %v", thumbnail.Width, thumbnail.Height, err)
	}
	shown["image"].GetImage().Thumbnail = nil
	for name, want := range map[string]string{
		"image":           fmt.Sprintf(`value_count: 1 image: {width: 600 height: 300 encoding: "png" orientation: 1 size_bytes: %d}`, len(img)),
		"label":           `value_count: 1 labels: {values: 1 names: "dog"}`,
		"filename":        fmt.Sprintf(`value_count: 1 texts: {values: %q sizes: 2000}`, long[:1024]),
		"shares":          `value_count: 1 floats: {values: 0.5}`,
		"raw":             `value_count: 1 blobs: {sizes: 2}`,
		"audio":           `value_count: 24000 audio: {sample_rate: 8000 channels: 2 seconds: 1.5}`,
		"mono":            `value_count: 4000 audio: {sample_rate: 8000 channels: 1 seconds: 0.5}`,
		"mixed":           `value_count: 24000 audio: {sample_rate: 8000 channels: 3 seconds: 1}`,
		"objects/bbox":    `value_count: 2 boxes: {boxes: {xmin: 0.25 ymax: 0.5 xmax: 0.75 class: "tail"} boxes: {ymax: 1 xmax: 1}}`,
		"objects/label":   `value_count: 2 labels: {values: 1 values: -1 names: "tail" names: ""}`,
		"objects/polygon": `value_count: 3 floats: {values: 1 values: 2 values: 3}`,
		"tags":            `value_count: 3 labels: {values: 1 values: 0 values: 1 names: "blue" names: "red" names: "blue"}`,
	} {
		f := &converterv1.Feature{Name: name}
		if err := prototext.Unmarshal([]byte("name: \""+name+"\" "+want), f); err != nil {
			t.Fatal(err)
		}
		if !proto.Equal(shown[name], f) {
			t.Errorf("%s: %v, want %v", name, shown[name], f)
		}
	}
	if n := shown["numbers"]; n.GetValueCount() != 10_000 || len(n.GetInts().GetValues()) != 64 || n.GetInts().GetValues()[1] != 300 {
		t.Errorf("numbers: %v", n)
	}
	if shown["absent"] != nil {
		t.Error("a feature is shown that the example hasn't")
	}
}

func TestPicturesThatCannotBeDecodedAreNotShown(t *testing.T) {
	files := features(t, dataset.ImageFeature("image", "", 3))
	img := picture(t, 60, 30, png.Encode)
	for name, data := range map[string][]byte{"cut": img[:len(img)/2], "no picture": []byte("GIF is not what this is"), "empty": {}} {
		f := decode(t, files, tfrecord.Bytes("image", data)).GetFeatures()[0].GetImage()
		if len(f.GetThumbnail()) > 0 || f.GetSizeBytes() != int64(len(data)) {
			t.Errorf("%s: %v", name, f)
		}
	}
}

const perShard = 50

// animals is a dataset of three shards of fifty records, in which every tenth is a bird, with indexes.
func animals(t testing.TB, payload int) (*store, examples.Request) {
	t.Helper()
	files := features(t, dataset.ClassLabelFeature("label", []string{"cat", "dog", "bird"}), dataset.TensorFeature("payload", "string"))
	r := examples.Request{Label: examples.All, Limit: 24}
	for name, data := range files {
		r.Files = append(r.Files, examples.File{Name: name, Bytes: int64(len(data))})
	}
	for i, split := range []string{"train", "train", "test"} {
		s := examples.Shard{Name: fmt.Sprintf("a-%s.tfrecord-%05d", split, i), Split: split}
		w := shardindex.NewWriter(t.TempDir(), s.Name)
		var data []byte
		for j := range perShard {
			label := int64(j % 2)
			if j%10 == 9 {
				label = 2
			}
			start := len(data)
			data = tfrecord.AppendExample(tfrecord.Begin(data), []tfrecord.Feature{
				tfrecord.Int64("label", label), tfrecord.Bytes("payload", make([]byte, payload)),
			})
			if err := w.Add(int64(len(data)-start-tfrecord.Overhead+4), []int32{int32(label)}); err != nil { // The footer isn't there yet.
				t.Fatal(err)
			}
			data = tfrecord.End(data, start)
		}
		index, err := w.Finish()
		if err != nil {
			t.Fatal(err)
		}
		s.Index, s.IndexBytes, s.Bytes, s.Examples = shardindex.Name(s.Name), index.Bytes, int64(len(data)), perShard
		if files[s.Index], err = os.ReadFile(index.Path); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		files[s.Name] = data
		r.Shards = append(r.Shards, s)
	}
	return &store{files: files}, r
}

// pages reads all pages and gives the ids of what they hold.
func pages(t *testing.T, s *store, r examples.Request) (ids []string, classes map[string]int) {
	t.Helper()
	classes = map[string]int{}
	for range 1000 {
		page, err := examples.Read(t.Context(), r, s.open)
		if err != nil {
			t.Fatal(err)
		}
		if len(page.Examples) > r.Limit {
			t.Fatalf("%d examples on a page of %d", len(page.Examples), r.Limit)
		}
		for _, data := range page.Examples {
			var e converterv1.Example
			if err := proto.Unmarshal(data, &e); err != nil {
				t.Fatal(err)
			}
			if e.GetId() != fmt.Sprintf("%s__%d", e.GetShard(), e.GetIndex()) || !strings.Contains(e.GetShard(), e.GetSplit()) {
				t.Errorf("%s: %s, %s, %d", e.GetId(), e.GetSplit(), e.GetShard(), e.GetIndex())
			}
			ids = append(ids, e.GetId())
			classes[e.GetClass()]++
		}
		if page.Next == nil {
			return ids, classes
		}
		r.From = *page.Next
	}
	t.Fatal("the pages don't end")
	return nil, nil
}

func TestPagesHoldEveryExampleOnceInOrder(t *testing.T) {
	s, r := animals(t, 100)
	for _, limit := range []int{1, 7, 24, 50, 100, 1000} {
		r.Limit = limit
		for label, want := range map[int]map[string]int{
			examples.All: {"cat": 75, "dog": 60, "bird": 15},
			0:            {"cat": 75}, 2: {"bird": 15}, 77: {},
		} {
			r.Label = label
			ids, classes := pages(t, s, r)
			var expected []string
			for _, shard := range r.Shards {
				for j := range perShard {
					is := j % 2
					if j%10 == 9 {
						is = 2
					}
					if label == examples.All || label == is {
						expected = append(expected, fmt.Sprintf("%s__%d", shard.Name, j))
					}
				}
			}
			if !slices.Equal(ids, expected) || fmt.Sprint(classes) != fmt.Sprint(want) {
				t.Errorf("label %d in pages of %d: %v, %v", label, limit, classes, ids)
			}
		}
	}
}

// A page reads little of a large shard.
func TestPagesReadNoWholeShard(t *testing.T) {
	s, r := animals(t, 400_000)
	r.Limit = 2
	for label, most := range map[int]int64{examples.All: 4 << 20, 2: 2 << 20} {
		s.gets, s.bytes, r.Label = 0, 0, label
		if _, err := examples.Read(t.Context(), r, s.open); err != nil || s.bytes > most || s.gets > 10 {
			t.Errorf("label %d: %d bytes by %d reads, %v", label, s.bytes, s.gets, err)
		}
	}
	// And one with many records ends early.
	r.Limit, r.Label = 1000, examples.All
	page, err := examples.Read(t.Context(), r, s.open)
	if err != nil || page.Next == nil || len(page.Examples) < 50 {
		t.Errorf("%d examples, next %v, %v", len(page.Examples), page.Next, err)
	}
}

func TestForgedPositionsAreRefused(t *testing.T) {
	s, r := animals(t, 100)
	for name, test := range map[string]struct {
		label int
		from  examples.Position
	}{
		"inside a record":    {examples.All, examples.Position{Cursor: shardindex.Cursor{Index: 1, Offset: 5}}},
		"behind the end":     {examples.All, examples.Position{Cursor: shardindex.Cursor{Offset: 1 << 40}}},
		"before the start":   {examples.All, examples.Position{Cursor: shardindex.Cursor{Offset: -1}}},
		"behind a list":      {2, examples.Position{Cursor: shardindex.Cursor{At: 1 << 40}}},
		"of another list":    {2, examples.Position{Cursor: shardindex.Cursor{Offset: 7}}},
		"at the end of time": {2, examples.Position{Cursor: shardindex.Cursor{Offset: math.MaxInt64, Index: math.MaxInt64}}},
	} {
		r.Label, r.From = test.label, test.from
		if _, err := examples.Read(t.Context(), r, s.open); !errors.Is(err, examples.ErrPosition) {
			t.Errorf("%s: %v", name, err)
		}
	}
	r.From = examples.Position{Shard: 99}
	if page, err := examples.Read(t.Context(), r, s.open); err != nil || len(page.Examples) > 0 || page.Next != nil {
		t.Errorf("behind the last shard: %v, %v", page, err)
	}
}

func TestDamagedShardsAreTold(t *testing.T) {
	s, r := animals(t, 100)
	shard := s.files[r.Shards[0].Name]
	shard[20] ^= 1 // Of the first record, which is of label 0.
	r.Limit = 100
	for _, label := range []int{examples.All, 0} {
		r.Label = label
		if _, err := examples.Read(t.Context(), r, s.open); !errors.Is(err, tfrecord.ErrCorrupt) || errors.Is(err, examples.ErrPosition) {
			t.Errorf("label %d: %v", label, err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	files := features(f, dataset.ImageFeature("image", "", 3), dataset.ClassLabelFeature("label", []string{"cat"}), dataset.TextFeature("text"),
		dataset.SequenceFeature("objects", dataset.BBoxFeature("bbox"), dataset.ClassLabelFeature("label", []string{"ear"})), dataset.AudioFeature("audio", 0, 2),
		dataset.TensorFeature("sample_rate", "int64"))
	schema, err := examples.ParseSchema(files["features.json"], func(name string) ([]byte, error) { return files[name], nil })
	if err != nil {
		f.Fatal(err)
	}
	d := examples.NewDecoder(schema)
	f.Add(tfrecord.AppendExample(nil, []tfrecord.Feature{
		tfrecord.Bytes("image", picture(f, 3, 3, png.Encode)), tfrecord.Int64("label", 0), tfrecord.Text("text", "x"), tfrecord.Int64("sample_rate", 8000),
		tfrecord.Floats("objects/bbox", []float32{0, 0, 1, 1}), tfrecord.Int64s("objects/label", []int64{0}), tfrecord.Floats("audio", []float32{1, -1}),
	}))
	f.Fuzz(func(t *testing.T, record []byte) {
		example, err := d.Decode(record)
		if err != nil {
			return
		}
		if _, err := protojson.Marshal(example); err != nil {
			t.Errorf("it can't be answered: %v", err)
		}
	})
}

func FuzzSchema(f *testing.F) {
	f.Add(features(f, dataset.ImageFeature("image", "", 3), dataset.SequenceFeature("objects", dataset.BBoxFeature("bbox")))["features.json"])
	f.Fuzz(func(_ *testing.T, data []byte) {
		examples.ParseSchema(data, func(string) ([]byte, error) { return []byte("a\nb\n"), nil }) //nolint:errcheck // It must come back, that is all.
	})
}
