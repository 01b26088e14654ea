package webdataset_test

import (
	"bytes"
	"encoding/binary"
	"image"
	"image/png"
	"testing"

	"github.com/trainyard/trainyard/services/converter/dataset"
	"github.com/trainyard/trainyard/services/converter/dataset/datasettest"
	"github.com/trainyard/trainyard/services/converter/dataset/webdataset"
	"github.com/trainyard/trainyard/services/converter/reject"
)

func pngOf(t testing.TB) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, image.NewGray(image.Rect(0, 0, 5, 4))); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// wav is a sound of 16-bit samples, one channel, 8 kHz.
func wav(samples ...int16) []byte {
	le := binary.LittleEndian
	b := le.AppendUint32([]byte("RIFF"), uint32(36+2*len(samples)))
	b = le.AppendUint32(append(b, "WAVEfmt "...), 16)
	b = le.AppendUint16(le.AppendUint16(b, 1), 1)
	b = le.AppendUint32(le.AppendUint32(b, 8000), 16000)
	b = le.AppendUint16(le.AppendUint16(b, 2), 16)
	b = le.AppendUint32(append(b, "data"...), uint32(2*len(samples)))
	for _, s := range samples {
		b = le.AppendUint16(b, uint16(s))
	}
	return b
}

func TestConformance(t *testing.T) {
	p := pngOf(t)
	file := func(path string, data string) datasettest.File {
		return datasettest.File{Path: path, Data: []byte(data)}
	}
	pic := func(path string) datasettest.File { return datasettest.File{Path: path, Data: p} }
	datasettest.Run(t, webdataset.Reader{}, []datasettest.Case{
		{
			Name: "pictures with numbers as labels",
			Files: []datasettest.File{
				file("README.md", "about"),
				file("train/0001.cls", "10"), pic("train/0001.png"), file("train/0001.json", `{"a": 1}`),
				file("train/0002.cls", "2\n"), pic("train/0002.PNG"), file("train/0002.json", `{"b": [2]}`), file("train/0002.note", "x"),
				file("val/0003.cls", "10"), pic("val/0003.png"), file("val/0003.json", `{}`),
				file("val/0004.cls", "2"), pic("val/0004.png"),
				file("val/0005.cls", ""), pic("val/0005.png"), file("val/0005.json", `{}`),
				file("val/0006.cls", "2"), pic("val/0006.png"), file("val/0006.json", `{`),
				file("val/0007.cls", "2"), file("val/0007.png", "no picture"), file("val/0007.json", `{}`),
				file("val/0008.cls", "2"), pic("val/0008.png"), pic("val/0008.jpg"), file("val/0008.json", `{}`),
				file("val/0003.class", "10"), pic("val/0003.jpg"), file("val/0003.jsn", `{}`),
			},
			Classes: []string{"2", "10"},
			Labels:  map[string]int{"train/0001.cls": 1, "train/0002.cls": 0, "val/0003.cls": 1},
			Splits: map[string]dataset.Split{
				"train/0001.cls": dataset.Train, "train/0002.cls": dataset.Train, "val/0003.cls": dataset.Validation,
				"val/0006.cls": dataset.Validation, "val/0007.cls": dataset.Validation,
			},
			LeftOut: map[string]reject.Reason{
				"README.md": reject.NotData, "train/0002.note#0": reject.NotData, "val/0004.cls": reject.MissingPart, "val/0004.png": reject.MissingPart,
				"val/0005.cls": reject.MissingLabel, "val/0005.png": reject.MissingLabel, "val/0005.json": reject.MissingLabel,
				"val/0006.cls": reject.InvalidText, "val/0007.cls": reject.MalformedImage,
				"val/0008.cls": reject.DuplicateFile, "val/0008.png": reject.DuplicateFile, "val/0008.jpg": reject.DuplicateFile, "val/0008.json": reject.DuplicateFile,
				"val/0003.class": reject.DuplicatePath, "val/0003.jpg": reject.DuplicatePath, "val/0003.jsn": reject.DuplicatePath,
			},
		},
		{
			Name: "names of classes in a file",
			Files: []datasettest.File{
				file("classes.txt", "cat\ndog\nbird\n"),
				pic("a.jpg"), file("a.cls", "dog"), pic("b.jpg"), file("b.cls", "0"), pic("c.jpg"), file("c.cls", "3"),
			},
			Classes: []string{"cat", "dog", "bird"},
			Labels:  map[string]int{"a.jpg": 1, "b.jpg": 0},
			LeftOut: map[string]reject.Reason{"c.jpg": reject.LabelOutOfRange, "c.cls": reject.LabelOutOfRange},
			Used:    []string{"classes.txt"},
		},
		{
			Name: "sounds, words and bytes without a label",
			Files: []datasettest.File{
				{Path: "x/1.wav", Data: wav(1, 2, 3)},
				file("x/1.txt", "one"), file("x/1.npy", "\x93NUMPY"), file("x/1.id", "7"), pic("x/1.seg.png"),
				{Path: "x/2.wav", Data: wav(4)},
				file("x/2.txt", "two"), file("x/2.npy", ""), file("x/2.id", " -8\n"), pic("x/2.seg.png"),
				{Path: "x/3.wav", Data: wav(4)},
				file("x/3.txt", "\xff"), file("x/3.npy", ""), file("x/3.id", "1"), pic("x/3.seg.png"),
			},
			Labels:  map[string]int{"x/1.wav": -1, "x/2.wav": -1},
			LeftOut: map[string]reject.Reason{"x/3.wav": reject.InvalidText},
		},
		{
			Name: "pictures and masks that differ in their ending alone",
			Files: []datasettest.File{
				pic("1.jpg"), pic("1.png"), file("1.txt", "a"), pic("2.jpg"), pic("2.png"), file("2.txt", "b"),
			},
			Labels:  map[string]int{"1.jpg": -1, "2.jpg": -1},
			LeftOut: map[string]reject.Reason{},
		},
		{
			Name:    "the label is a text",
			Options: dataset.Options{LabelColumn: "text"},
			Files:   []datasettest.File{pic("1.jpg"), file("1.txt", "b"), pic("2.jpg"), file("2.txt", "a")},
			Classes: []string{"a", "b"},
			Labels:  map[string]int{"1.jpg": 1, "2.jpg": 0},
			LeftOut: map[string]reject.Reason{},
		},
		{
			Name:    "the label is a text, called by the ending of its files",
			Options: dataset.Options{LabelColumn: "txt"},
			Files:   []datasettest.File{pic("1.jpg"), file("1.txt", "b"), pic("2.jpg"), file("2.txt", "a")},
			Classes: []string{"a", "b"},
			Labels:  map[string]int{"1.jpg": 1, "2.jpg": 0},
			LeftOut: map[string]reject.Reason{},
		},
	})
}
