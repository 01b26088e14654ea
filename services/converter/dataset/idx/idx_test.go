package idx_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/trainyard/trainyard/services/converter/dataset"
	"github.com/trainyard/trainyard/services/converter/dataset/datasettest"
	"github.com/trainyard/trainyard/services/converter/dataset/idx"
	"github.com/trainyard/trainyard/services/converter/reject"
	"github.com/trainyard/trainyard/services/converter/tfrecord"
)

// file is an IDX file of the given type and sizes; its data are as long as they say.
func file(element byte, data []byte, dims ...uint32) []byte {
	b := []byte{0, 0, element, byte(len(dims))}
	for _, d := range dims {
		b = binary.BigEndian.AppendUint32(b, d)
	}
	return append(b, data...)
}

func counting(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i)
	}
	return b
}

func TestConformance(t *testing.T) {
	images := func(n, seed int) []byte {
		return file(8, bytes.Repeat([]byte{byte(seed)}, n*6), uint32(n), 2, 3)
	}
	datasettest.Run(t, idx.Reader{}, []datasettest.Case{
		{
			Name: "MNIST",
			Files: []datasettest.File{
				{Path: "README.txt", Data: []byte("about")},
				{Path: "t10k-images-idx3-ubyte", Data: images(2, 1)},
				{Path: "t10k-labels-idx1-ubyte", Data: file(8, []byte{7, 3}, 2)},
				{Path: "train-images-idx3-ubyte", Data: images(3, 2)},
				{Path: "train-labels-idx1-ubyte", Data: file(8, []byte{0, 7, 7}, 3)},
			},
			Classes: []string{"0", "3", "7"},
			Labels: map[string]int{
				"t10k-images-idx3-ubyte#1": -1, "t10k-images-idx3-ubyte#2": -1,
				"train-images-idx3-ubyte#1": -1, "train-images-idx3-ubyte#2": -1, "train-images-idx3-ubyte#3": -1,
			},
			Splits: map[string]dataset.Split{
				"t10k-images-idx3-ubyte#1": dataset.Test, "t10k-images-idx3-ubyte#2": dataset.Test,
				"train-images-idx3-ubyte#1": dataset.Train, "train-images-idx3-ubyte#2": dataset.Train, "train-images-idx3-ubyte#3": dataset.Train,
			},
			LeftOut: map[string]reject.Reason{"README.txt": reject.NotData},
			Used:    []string{"t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte", "train-images-idx3-ubyte", "train-labels-idx1-ubyte"},
		},
		{
			Name: "what doesn't fit is left out",
			Files: []datasettest.File{
				{Path: "a-images.idx", Data: images(2, 1)},
				{Path: "a-labels.idx", Data: file(0x0c, []byte{0, 0, 0, 5, 0xff, 0xff, 0xff, 0xff}, 2)},
				{Path: "again/a-images.idx", Data: images(2, 1)},
				{Path: "b-images.idx", Data: images(2, 3)},
				{Path: "b-labels.idx", Data: file(8, []byte{1}, 1)},
				{Path: "c-images.idx", Data: images(2, 4)[:20]},
				{Path: "d-images.idx", Data: images(2, 5)},
				{Path: "e-images.idx", Data: file(8, counting(4), 1, 2, 2)},
				{Path: "e-labels.idx", Data: file(8, []byte{5}, 1)},
				{Path: "f-images-idx3-ubyte.gz", Data: []byte("\x1f\x8b")},
			},
			Classes: []string{"-1", "5"},
			Labels:  map[string]int{"a-images.idx#1": -1, "a-images.idx#2": -1},
			LeftOut: map[string]reject.Reason{
				"again/a-images.idx": reject.DuplicateFile, "b-images.idx": reject.MissingPart, "b-labels.idx": reject.MissingPart,
				"c-images.idx": reject.MalformedFile, "d-images.idx": reject.MissingPart, "e-images.idx": reject.DifferentShape, "e-labels.idx": reject.DifferentShape,
				"f-images-idx3-ubyte.gz": reject.NestedArchive,
			},
			Used: []string{"a-images.idx", "a-labels.idx"},
		},
		{
			Name:    "colour images alone",
			Files:   []datasettest.File{{Path: "x-idx4-ubyte", Data: file(8, counting(24), 2, 2, 2, 3)}},
			Labels:  map[string]int{"x-idx4-ubyte#1": -1, "x-idx4-ubyte#2": -1},
			LeftOut: map[string]reject.Reason{},
			Used:    []string{"x-idx4-ubyte"},
		},
		{
			Name: "tensors with tensors as labels, whatever they are called",
			Files: []datasettest.File{
				{Path: "measured.idx", Data: file(0x0e, counting(2*3*8), 2, 3)},
				{Path: "true-labels.idx", Data: file(0x0d, counting(2*2*4), 2, 2)},
			},
			Labels:  map[string]int{"measured.idx#1": -1, "measured.idx#2": -1},
			LeftOut: map[string]reject.Reason{},
			Used:    []string{"measured.idx", "true-labels.idx"},
		},
	})
}

// memory implements dataset.Files, dataset.Listener and dataset.Body for one file and its labels.
type memory struct {
	files  []datasettest.File
	blocks []dataset.Block
	row    []byte
}

func (m *memory) Len() int { return len(m.files) }
func (m *memory) At(i int) dataset.File {
	return dataset.File{Path: m.files[i].Path, Size: int64(len(m.files[i].Data))}
}

func (m *memory) Stream(_ context.Context, i int) (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(m.files[i].Data)), nil
}

func (m *memory) Open(_ context.Context, i int) (io.ReaderAt, error) {
	return bytes.NewReader(m.files[i].Data), nil
}
func (m *memory) Record(dataset.Record) {}
func (m *memory) Block(b dataset.Block) { m.blocks = append(m.blocks, b) }
func (m *memory) Transcode(context.Context, int, string, dataset.Split, dataset.Transcode) error {
	return errors.New("nothing to transcode")
}
func (m *memory) Use(int)                                              {}
func (m *memory) LeaveOut(int, reject.Reason, string)                  {}
func (m *memory) LeaveOutRow(int, int64, reject.Reason, string)        {}
func (m *memory) LeaveOutAnnotation(int, int64, reject.Reason, string) {}
func (m *memory) Size() int                                            { return len(m.row) }
func (m *memory) Fill(p []byte) error                                  { copy(p, m.row); return nil }
func (m *memory) Bytes() ([]byte, error)                               { return m.row, nil }
func (m *memory) Parts() int                                           { return 1 }
func (m *memory) Part(int) (path string, data []byte, err error)       { return m.files[0].Path, m.row, nil }

// examples encodes all rows of the files.
func examples(t *testing.T, m *memory) (dataset.Index, []map[string]tfrecord.Value) {
	t.Helper()
	index, err := idx.Reader{}.Index(t.Context(), m, dataset.Options{}, m)
	if err != nil {
		t.Fatal(err)
	}
	enc, err := idx.Reader{}.NewEncoder(dataset.Options{}, index)
	if err != nil {
		t.Fatal(err)
	}
	var all []map[string]tfrecord.Value
	for _, b := range m.blocks {
		i := 0
		data := m.files[b.File].Data[b.Offset:][:b.Size]
		idx.Reader{}.Rows(index)(data, func(start, end int) {
			m.row = data[start:end]
			out, err := enc.Encode(nil, dataset.Item{Index: i, Label: -1, Meta: b.Meta}, m, &dataset.Stats{})
			if err != nil {
				t.Fatal(err)
			}
			example, err := tfrecord.ParseExample(out)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, example)
			i++
		})
	}
	return index, all
}

func TestLabelsStayWithTheirRows(t *testing.T) {
	const n = 1000
	pixels := make([]byte, n*20*20)
	var labels []byte
	want := make([]int64, n)
	for i := range n {
		pixels[i*400] = byte(i)
		labels = binary.BigEndian.AppendUint16(labels, uint16(i))
		want[i] = int64(i)
	}
	m := &memory{files: []datasettest.File{
		{Path: "images.idx", Data: file(8, pixels, n, 20, 20)}, {Path: "labels.idx", Data: file(0x0b, labels, n)},
	}}
	index, all := examples(t, m)
	if len(index.Classes) != n || index.Classes[999] != "999" || len(m.blocks) < 5 {
		t.Errorf("%d classes in %d blocks", len(index.Classes), len(m.blocks))
	}
	for i, e := range all {
		if e["label"].Int64s[0] != want[i] || !bytes.Contains(e["image"].Bytes[0], []byte{0, byte(i), 0}) {
			t.Fatalf("row %d has the label %d", i, e["label"].Int64s[0])
		}
	}
	if len(all) != n {
		t.Errorf("%d rows", len(all))
	}
}

func TestTensorsAreLittleEndian(t *testing.T) {
	var data, labels []byte
	for _, v := range []float64{1.5, -2, math.Pi, 0} {
		data = binary.BigEndian.AppendUint64(data, math.Float64bits(v))
	}
	labels = binary.BigEndian.AppendUint32(labels, math.Float32bits(0.25))
	labels = binary.BigEndian.AppendUint32(labels, math.Float32bits(-8))
	m := &memory{files: []datasettest.File{{Path: "x.idx", Data: file(0x0e, data, 2, 2)}, {Path: "x-labels.idx", Data: file(0x0d, labels, 2)}}}
	index, all := examples(t, m)
	value := all[1]["value"].Bytes[0]
	if got := math.Float64frombits(binary.LittleEndian.Uint64(value)); got != math.Pi {
		t.Errorf("value %v", got)
	}
	if got := math.Float32frombits(binary.LittleEndian.Uint32(all[1]["label"].Bytes[0])); got != -8 {
		t.Errorf("label %v", got)
	}
	features := idx.Reader{}.Features(index, &dataset.Stats{})
	tensor, _ := features[0].JSON["tensor"].(map[string]any)
	if tensor["encoding"] != "bytes" || tensor["dtype"] != "float64" || index.Classes != nil {
		t.Errorf("features %v", features)
	}
}

func TestIndexRejects(t *testing.T) {
	tests := []struct {
		name   string
		files  []datasettest.File
		reason reject.Reason
		says   string
	}{
		{"packed files", []datasettest.File{{Path: "train-images-idx3-ubyte.gz", Data: []byte("\x1f\x8b")}}, reject.NestedArchive, "gunzip"},
		{"lying sizes", []datasettest.File{{Path: "a.idx", Data: file(8, nil, math.MaxUint32, math.MaxUint32)}}, reject.NoExamples, "in the names"},
		{"labels alone", []datasettest.File{{Path: "labels.idx", Data: file(8, []byte{1}, 1)}}, reject.NoExamples, "in the names"},
		{"too many classes", []datasettest.File{
			{Path: "x.idx", Data: file(8, make([]byte, 100_001), 100_001)}, {Path: "x-labels.idx", Data: file(0x0c, everyNumber(100_001), 100_001)},
		}, reject.TooManyClasses, "100000"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := &memory{files: tt.files}
			_, err := idx.Reader{}.Index(t.Context(), m, dataset.Options{}, m)
			var rejected *reject.Error
			if !errors.As(err, &rejected) || rejected.Reason != tt.reason || !strings.Contains(rejected.Message, tt.says) {
				t.Errorf("got %v, want %s that says %q", err, tt.reason, tt.says)
			}
		})
	}
}

func everyNumber(n int) []byte {
	var b []byte
	for i := range n {
		b = binary.BigEndian.AppendUint32(b, uint32(i))
	}
	return b
}

func TestEncodingDoesNotAllocate(t *testing.T) {
	m := &memory{files: []datasettest.File{{Path: "i.idx", Data: file(8, counting(784), 1, 28, 28)}, {Path: "labels.idx", Data: file(8, []byte{3}, 1)}}}
	index, _ := examples(t, m)
	enc, err := idx.Reader{}.NewEncoder(dataset.Options{}, index)
	if err != nil {
		t.Fatal(err)
	}
	var stats dataset.Stats
	buf := make([]byte, 0, 4096)
	item := dataset.Item{Path: "i.idx", Row: 1, Label: -1, Meta: slices.Clone(m.blocks[0].Meta)}
	allocs := testing.AllocsPerRun(100, func() {
		if _, err := enc.Encode(buf, item, m, &stats); err != nil {
			t.Fatal(err)
		}
	})
	if allocs > 1 {
		t.Errorf("%v allocations a record", allocs)
	}
}
