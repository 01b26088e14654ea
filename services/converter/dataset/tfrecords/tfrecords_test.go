package tfrecords_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"image"
	"image/png"
	"testing"

	"github.com/trainyard/trainyard/services/converter/dataset"
	"github.com/trainyard/trainyard/services/converter/dataset/datasettest"
	"github.com/trainyard/trainyard/services/converter/dataset/tfrecords"
	"github.com/trainyard/trainyard/services/converter/reject"
	"github.com/trainyard/trainyard/services/converter/table/tabletest"
	"github.com/trainyard/trainyard/services/converter/tfrecord"
)

// framed is a file of records.
func framed(records ...[]byte) []byte {
	var file []byte
	for _, r := range records {
		start := len(file)
		file = tfrecord.End(append(tfrecord.Begin(file), r...), start)
	}
	return file
}

func example(features ...tfrecord.Feature) []byte { return tfrecord.AppendExample(nil, features) }

func pngOf(t testing.TB) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, image.NewGray(image.Rect(0, 0, 5, 4))); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// flipped is the file with one bit altered.
func flipped(file []byte, at int) []byte {
	b := bytes.Clone(file)
	b[at] ^= 4
	return b
}

const features = `{"pythonClassName": "tensorflow_datasets.core.features.features_dict.FeaturesDict", "featuresDict": {"features": {
"label": {"pythonClassName": "tensorflow_datasets.core.features.class_label_feature.ClassLabel", "classLabel": {"numClasses": "3"}},
"objects": {"pythonClassName": "tensorflow_datasets.core.features.sequence_feature.Sequence", "sequence": {"length": "-1", "feature": {
  "pythonClassName": "tensorflow_datasets.core.features.features_dict.FeaturesDict", "featuresDict": {"features": {
    "bbox": {"pythonClassName": "tensorflow_datasets.core.features.bounding_boxes.BBoxFeature", "boundingBox": {"shape": {"dimensions": ["4"]}, "dtype": "float32"}}}}}}},
"x": {"pythonClassName": "tensorflow_datasets.core.features.tensor_feature.Tensor", "tensor": {"shape": {"dimensions": ["2"]}, "dtype": "float32", "encoding": "none"}}}}}`

func TestMuchLostBehindDamageIsRefused(t *testing.T) {
	records := make([][]byte, 100)
	for i := range records {
		records[i] = example(tfrecord.Int64("x", int64(i)))
	}
	data := framed(records...)
	size := len(data) / 100
	tooMany := func(bad, all int64) bool { return bad > 10 && bad*100 > all }
	for kept, refused := range map[int]bool{50: true, 95: false} {
		broken := flipped(data, kept*size) // a record's length
		_, _, err := tabletest.Index(t, tfrecords.Reader{}, dataset.Options{TooManyBad: tooMany}, datasettest.File{Path: "a.tfrecord", Data: broken})
		var r *reject.Error
		if (err != nil) != refused || refused && (!errors.As(err, &r) || r.Reason != reject.TooManyBadFiles) {
			t.Errorf("%d of 100 records kept: %v", kept, err)
		}
	}
}

func TestConformance(t *testing.T) {
	picture := pngOf(t)
	one := func(label int64) []byte {
		return example(tfrecord.Bytes("image", picture), tfrecord.Int64("label", label), tfrecord.Text("name", "a cat"), tfrecord.Floats("box", []float32{1, 2}))
	}
	boxed := func(label int64, x ...float32) []byte {
		return example(tfrecord.Int64("label", label), tfrecord.Floats("x", x), tfrecord.Floats("objects/bbox", []float32{0, 0, 1, 1, 0, 0, 1, 1}))
	}
	large := binary.LittleEndian.AppendUint64(nil, 1<<63)
	large = binary.LittleEndian.AppendUint32(large, tfrecord.MaskedCRC(large))
	datasettest.Run(t, tfrecords.Reader{}, []datasettest.Case{
		{
			Name: "splits, labels from a file",
			Files: []datasettest.File{
				{Path: "README.md", Data: []byte("about")},
				{Path: "flowers-test.tfrecord-00000-of-00001", Data: framed(one(1))},
				{Path: "flowers-train.tfrecord-00000-of-00001", Data: framed(one(0), one(1), one(2), one(-1))},
				{Path: "labels.txt", Data: []byte("rose\ntulip\n")},
			},
			Classes: []string{"rose", "tulip"},
			Labels: map[string]int{
				"flowers-test.tfrecord-00000-of-00001#1": -1, "flowers-train.tfrecord-00000-of-00001#1": -1, "flowers-train.tfrecord-00000-of-00001#2": -1,
			},
			Splits: map[string]dataset.Split{
				"flowers-test.tfrecord-00000-of-00001#1": dataset.Test, "flowers-train.tfrecord-00000-of-00001#1": dataset.Train,
				"flowers-train.tfrecord-00000-of-00001#2": dataset.Train,
			},
			LeftOut: map[string]reject.Reason{
				"README.md": reject.NotData, "flowers-train.tfrecord-00000-of-00001#3": reject.LabelOutOfRange, "flowers-train.tfrecord-00000-of-00001#4": reject.LabelOutOfRange,
			},
			Used: []string{"flowers-test.tfrecord-00000-of-00001", "flowers-train.tfrecord-00000-of-00001", "labels.txt"},
		},
		{
			Name: "damage",
			Files: []datasettest.File{
				{Path: "a.tfrecord", Data: flipped(framed(one(0), one(0), one(0)), len(framed(one(0)))+50)},      // in the data of the second
				{Path: "b.tfrecord", Data: flipped(framed(one(0), one(1), one(0)), len(framed(one(0)))+1)},       // in the length of the second
				{Path: "c.tfrecord", Data: framed(one(0), one(0))[:len(framed(one(0)))+40]},                      // cut in the second
				{Path: "d.tfrecord", Data: append(framed(one(0)), large...)},                                     // 2^63 bytes
				{Path: "e.tfrecord", Data: append(framed(one(0)), append(large, "data"...)...)},                  // the same, and something behind it
				{Path: "f.tfrecord", Data: framed([]byte("no protobuf"), one(0), nil, example(), []byte{18, 0})}, // what isn't an example
				{Path: "g.tfrecord", Data: []byte("\x1f\x8b and so on, compressed")},
				{Path: "h.tfrecord", Data: []byte("something else altogether")},
				{Path: "i.tfrecord", Data: nil},
				{Path: "j.tfrecord", Data: framed(one(0), example(tfrecord.Int64("label", 1)), one(1),
					example(tfrecord.Bytes("image", picture), tfrecord.Text("label", "1"), tfrecord.Text("name", "a"), tfrecord.Floats("box", []float32{1, 2})), one(0))},
				{Path: "k.tfrecord", Data: framed(example(tfrecord.Bytes("image", picture[:len(picture)-9]), tfrecord.Int64("label", 0), tfrecord.Text("name", "cut"), tfrecord.Floats("box", []float32{1, 2})))},
			},
			Classes: []string{"0", "1"},
			Labels: map[string]int{
				"a.tfrecord#1": -1, "a.tfrecord#3": -1, "b.tfrecord#1": -1, "c.tfrecord#1": -1, "d.tfrecord#1": -1, "e.tfrecord#1": -1, "f.tfrecord#2": -1,
				"j.tfrecord#1": -1, "j.tfrecord#3": -1, "j.tfrecord#5": -1,
			},
			LeftOut: map[string]reject.Reason{
				"a.tfrecord#2": reject.CorruptRecord, "b.tfrecord#2": reject.CorruptRecord, "c.tfrecord#2": reject.CorruptRecord, "d.tfrecord#2": reject.CorruptRecord,
				"e.tfrecord#2": reject.CorruptRecord, "f.tfrecord#1": reject.CorruptRecord, "f.tfrecord#3": reject.CorruptRecord, "f.tfrecord#4": reject.CorruptRecord,
				"f.tfrecord#5": reject.CorruptRecord, "g.tfrecord": reject.NestedArchive, "h.tfrecord": reject.MalformedFile, "i.tfrecord": reject.EmptyFile,
				"j.tfrecord#2": reject.MissingPart, "j.tfrecord#4": reject.DifferentShape, "k.tfrecord#1": reject.TruncatedImage,
			},
			Used: []string{"a.tfrecord", "b.tfrecord", "c.tfrecord", "d.tfrecord", "e.tfrecord", "f.tfrecord", "j.tfrecord", "k.tfrecord"},
		},
		{
			Name: "features given",
			Files: []datasettest.File{
				{Path: "dataset_info.json", Data: []byte("{}")},
				{Path: "features.json", Data: []byte(features)},
				{Path: "label.labels.txt", Data: []byte("a\nb\nc\n")},
				{Path: "x.tfrecord-00000-of-00001", Data: framed(boxed(0, 1, 2), boxed(2, 1, 2), boxed(3, 1, 2), boxed(0, 1, 2, 3), example(tfrecord.Int64("label", 1)))},
			},
			Classes: []string{"a", "b", "c"},
			Labels:  map[string]int{"x.tfrecord-00000-of-00001#1": -1, "x.tfrecord-00000-of-00001#2": -1},
			LeftOut: map[string]reject.Reason{
				"x.tfrecord-00000-of-00001#3": reject.LabelOutOfRange, "x.tfrecord-00000-of-00001#4": reject.DifferentShape, "x.tfrecord-00000-of-00001#5": reject.MissingPart,
			},
			Used: []string{"dataset_info.json", "features.json", "label.labels.txt", "x.tfrecord-00000-of-00001"},
		},
		{
			Name: "no label",
			Files: []datasettest.File{
				{Path: "data/train-00000-of-00001", Data: framed(example(tfrecord.Floats("y", []float32{1})), example(tfrecord.Floats("y", []float32{2, 3})))},
			},
			Labels:  map[string]int{"data/train-00000-of-00001#1": -1, "data/train-00000-of-00001#2": -1},
			LeftOut: map[string]reject.Reason{},
			Used:    []string{"data/train-00000-of-00001"},
		},
	})
}
