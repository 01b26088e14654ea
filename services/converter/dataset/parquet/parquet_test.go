package parquet_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"image"
	"image/png"
	"io"
	"slices"
	"strings"
	"testing"

	parquetgo "github.com/parquet-go/parquet-go"

	"github.com/trainyard/trainyard/services/converter/dataset"
	"github.com/trainyard/trainyard/services/converter/dataset/datasettest"
	"github.com/trainyard/trainyard/services/converter/dataset/parquet"
	"github.com/trainyard/trainyard/services/converter/reject"
	"github.com/trainyard/trainyard/services/converter/tfrecord"
)

// written is a Parquet file of the rows.
func written[T any](t testing.TB, rows []T, options ...parquetgo.WriterOption) []byte {
	t.Helper()
	var b bytes.Buffer
	w := parquetgo.NewGenericWriter[T](&b, options...)
	if _, err := w.Write(rows); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

type flower struct {
	Length  float64 `parquet:"length"`
	Width   *int32  `parquet:"width,optional"`
	Species *string `parquet:"species,optional"`
}

func ptr[T any](v T) *T { return &v }

// media is an image or a sound as Hugging Face stores it.
type media struct {
	Bytes []byte  `parquet:"bytes,optional"`
	Path  *string `parquet:"path,optional"`
}

type photo struct {
	Image media `parquet:"image,optional"`
	Label int64 `parquet:"label"`
}

func pngOf(t testing.TB) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, image.NewGray(image.Rect(0, 0, 5, 7))); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// wav is a second of silence, of 16-bit samples at 8 kHz.
func wav() []byte {
	b := []byte("RIFF\x00\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00\x40\x1f\x00\x00\x80\x3e\x00\x00\x02\x00\x10\x00data")
	b = binary.LittleEndian.AppendUint32(b, 16000)
	b = append(b, make([]byte, 16000)...)
	binary.LittleEndian.PutUint32(b[4:], uint32(len(b)-8))
	return b
}

const hfLabels = `{"info":{"features":{"image":{"_type":"Image"},"label":{"names":["zebra","ant"],"_type":"ClassLabel"}}}}`

func TestConformance(t *testing.T) {
	flowers := written(t, []flower{
		{1.5, ptr(int32(3)), ptr("rose")}, {2.5, nil, ptr("aster")}, {3.5, ptr(int32(4)), nil}, {4.5, ptr(int32(5)), ptr("rose")},
	})
	more := written(t, []flower{{5.5, nil, ptr("tulip")}})
	photos := written(t, []photo{
		{media{Bytes: pngOf(t), Path: ptr("a.png")}, 0},
		{media{Path: ptr("b.png")}, 1}, // not embedded
		{media{Bytes: []byte("no image"), Path: ptr("c.png")}, 1},
		{media{Bytes: pngOf(t)}, 1},
		{media{Bytes: pngOf(t)}, -1}, // what Hugging Face has where there is no label
	}, parquetgo.KeyValueMetadata("huggingface", hfLabels))
	type listed struct {
		Tags  []string    `parquet:"tags,list"`
		Boxes [][]float32 `parquet:"boxes,list"`
		Where struct {
			X int64 `parquet:"x"`
		} `parquet:"where"`
	}
	lists := written(t, []listed{
		{Tags: []string{"a", "b"}, Boxes: [][]float32{{1, 2}, {3}}},
		{Boxes: [][]float32{{}}},
	})
	none := -1
	datasettest.Run(t, parquet.Reader{}, []datasettest.Case{
		{
			Name: "splits, a stray and a text label",
			Files: []datasettest.File{
				{Path: "README.md", Data: []byte("about")},
				{Path: "data/broken.parquet", Data: []byte("<html>404</html>")},
				{Path: "data/cut.parquet", Data: more[:len(more)-8]},
				{Path: "data/test-00000-of-00001.parquet", Data: more},
				{Path: "data/train-00000-of-00001.parquet", Data: flowers},
			},
			Classes: []string{"aster", "rose", "tulip"},
			Labels: map[string]int{
				"data/test-00000-of-00001.parquet#1": none, "data/train-00000-of-00001.parquet#1": none,
				"data/train-00000-of-00001.parquet#2": none, "data/train-00000-of-00001.parquet#4": none,
			},
			Splits: map[string]dataset.Split{
				"data/test-00000-of-00001.parquet#1": dataset.Test, "data/train-00000-of-00001.parquet#1": dataset.Train, "data/train-00000-of-00001.parquet#2": dataset.Train,
				"data/train-00000-of-00001.parquet#3": dataset.Train, "data/train-00000-of-00001.parquet#4": dataset.Train,
			},
			LeftOut: map[string]reject.Reason{
				"README.md": reject.NotData, "data/broken.parquet": reject.CorruptParquet, "data/cut.parquet": reject.CorruptParquet,
				"data/train-00000-of-00001.parquet#3": reject.MissingLabel,
			},
			Used: []string{"data/test-00000-of-00001.parquet", "data/train-00000-of-00001.parquet"},
		},
		{
			Name:    "images and classes of Hugging Face, by content and not by name",
			Files:   []datasettest.File{{Path: "photos", Data: photos}},
			Classes: []string{"zebra", "ant"},
			Labels:  map[string]int{"photos#1": none, "photos#4": none},
			LeftOut: map[string]reject.Reason{"photos#2": reject.MissingValue, "photos#3": reject.MalformedImage, "photos#5": reject.MissingLabel},
			Used:    []string{"photos"},
		},
		{
			Name:    "lists without a label",
			Files:   []datasettest.File{{Path: "lists.parquet", Data: lists}},
			Labels:  map[string]int{"lists.parquet#1": none, "lists.parquet#2": none},
			LeftOut: map[string]reject.Reason{},
			Used:    []string{"lists.parquet"},
		},
		{
			Name:    "a label that the user chose",
			Files:   []datasettest.File{{Path: "a/flowers.parquet", Data: flowers}, {Path: "a/more.parquet", Data: more}},
			Options: dataset.Options{LabelColumn: "width"},
			Classes: []string{"3", "4", "5"},
			Labels:  map[string]int{"a/flowers.parquet#1": none, "a/flowers.parquet#3": none, "a/flowers.parquet#4": none},
			LeftOut: map[string]reject.Reason{"a/flowers.parquet#2": reject.MissingLabel, "a/more.parquet#1": reject.MissingLabel},
			Used:    []string{"a/flowers.parquet", "a/more.parquet"},
		},
	})
}

// upload is files that are read where they are.
type upload struct {
	dataset.Files
	files []datasettest.File
}

func (u upload) Len() int { return len(u.files) }

func (u upload) At(i int) dataset.File {
	return dataset.File{Path: u.files[i].Path, Size: int64(len(u.files[i].Data))}
}

func (u upload) Stream(_ context.Context, i int) (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(u.files[i].Data)), nil
}

func (u upload) Open(_ context.Context, i int) (io.ReaderAt, error) {
	return bytes.NewReader(u.files[i].Data), nil
}

// listener keeps rows.
type listener struct {
	dataset.Listener
	upload upload
	rows   [][]byte
}

func (l *listener) Transcode(ctx context.Context, file int, _ string, _ dataset.Split, transcode dataset.Transcode) error {
	return transcode(ctx, l.upload.At(file), bytes.NewReader(l.upload.files[file].Data), func(rows dataset.Rows) error {
		start := 0
		for _, end := range rows.Ends {
			l.rows = append(l.rows, slices.Clone(rows.Data[start:end]))
			start = end
		}
		return nil
	})
}

// body is the body of a row.
type body struct {
	dataset.Body
	row []byte
}

func (b *body) Bytes() ([]byte, error) { return b.row, nil }

// examples converts a file.
func examples(t *testing.T, data []byte, opts dataset.Options) (dataset.Index, []map[string]tfrecord.Value) {
	t.Helper()
	u := upload{files: []datasettest.File{{Path: "x.parquet", Data: data}}}
	l := &listener{upload: u}
	index, err := parquet.Reader{}.Index(t.Context(), u, opts, l)
	if err != nil {
		t.Fatal(err)
	}
	e, err := parquet.Reader{}.NewEncoder(dataset.Options{}, index)
	if err != nil {
		t.Fatal(err)
	}
	var all []map[string]tfrecord.Value
	for _, row := range l.rows {
		b, err := e.Encode(nil, dataset.Item{Path: "x.parquet"}, &body{row: row}, &dataset.Stats{})
		if err != nil {
			t.Fatal(err)
		}
		example, err := tfrecord.ParseExample(b)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, example)
	}
	return index, all
}

func TestSoundsAreFoundByTheirBytes(t *testing.T) {
	type clip struct {
		Sound media `parquet:"sound"`
	}
	_, all := examples(t, written(t, []clip{{media{Bytes: wav()}}}), dataset.Options{})
	if got := len(all[0]["sound"].Bytes[0]); got != 16000 {
		t.Errorf("%d bytes of samples, want 16000", got)
	}
	if got := all[0]["sound_sample_rate"].Int64s; !slices.Equal(got, []int64{8000}) {
		t.Errorf("sample rate %d", got)
	}
}

func TestIndexRejects(t *testing.T) {
	type numbers struct {
		A int64   `parquet:"a"`
		B float64 `parquet:"b"`
		C []int64 `parquet:"c,list"`
	}
	type other struct {
		A string `parquet:"a"`
	}
	type twins struct {
		A int64 `parquet:"a/b"`
		B int64 `parquet:"a_b"`
	}
	type gallery struct {
		Images []media `parquet:"images,list"`
	}
	numeric := written(t, []numbers{{A: 1, B: 0.5}, {A: 1, B: 1.5}})
	tests := []struct {
		name   string
		files  [][]byte
		label  string
		reason reject.Reason
		says   string
	}{
		{"no Parquet", [][]byte{[]byte("hello")}, "", reject.NoExamples, "no Parquet"},
		{"different columns", [][]byte{numeric, written(t, []other{{"x"}})}, "", reject.DifferentColumns, `"a" is int64 in the first and text in the second`},
		{"most of it cut off", [][]byte{numeric, append(bytes.Clone(numeric), 0), append(bytes.Clone(numeric), 0)}, "", reject.CorruptParquet, "doesn't end with PAR1"},
		{"an unknown label", [][]byte{numeric}, "z", reject.UnknownColumn, `"a", "b", "c"`},
		{"a label of one value", [][]byte{numeric}, "a", reject.TooFewClasses, "1 different values"},
		{"a label of fractions", [][]byte{numeric}, "b", reject.InvalidClassName, "0.5"},
		{"a label in a list", [][]byte{numeric}, "c", reject.InvalidOptions, "list of int64"},
		{"two columns of one name", [][]byte{written(t, []twins{{}})}, "", reject.DuplicateColumns, "a_b"},
		{"images in a list", [][]byte{written(t, []gallery{{}})}, "", reject.UnsupportedParquet, "images"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var u upload
			for i, data := range tt.files {
				u.files = append(u.files, datasettest.File{Path: string(rune('a'+i)) + ".bin", Data: data})
			}
			l := &listener{upload: u, Listener: silent{}}
			_, err := parquet.Reader{}.Index(t.Context(), u, dataset.Options{LabelColumn: tt.label}, l)
			var rejected *reject.Error
			if !errors.As(err, &rejected) || rejected.Reason != tt.reason || !strings.Contains(rejected.Message, tt.says) {
				t.Errorf("got %v, want %s that says %q", err, tt.reason, tt.says)
			}
		})
	}
}

// silent listens to what is left out.
type silent struct{ dataset.Listener }

func (silent) LeaveOut(int, reject.Reason, string) {}

func TestLabelsAreGuessed(t *testing.T) {
	type row struct {
		Target int64  `parquet:"target"`
		Class  string `parquet:"class"`
	}
	many := make([]row, 300)
	for i := range many {
		many[i] = row{Target: int64(i), Class: "only one"}
	}
	tests := []struct {
		name    string
		data    []byte
		classes []string
	}{
		{"text before numbers in the order of names", written(t, []row{{7, "b"}, {8, "a"}}), []string{"a", "b"}},
		{"a name that misleads", written(t, many), nil},
		{"numbers", written(t, []struct {
			Y int8 `parquet:"y"`
		}{{10}, {9}, {10}}), []string{"9", "10"}},
		{"a quantity", written(t, []struct {
			Y int64 `parquet:"y"`
		}{{1000}, {2000}, {3000}}), nil},
		{"bools", written(t, []struct {
			Label bool `parquet:"label"`
		}{{true}, {false}}), []string{"false", "true"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			index, _ := examples(t, tt.data, dataset.Options{})
			if !slices.Equal(index.Classes, tt.classes) {
				t.Errorf("classes %q, want %q", index.Classes, tt.classes)
			}
			if !json.Valid(index.Schema) {
				t.Errorf("schema %q", index.Schema)
			}
		})
	}
}

func TestEncodeDoesNotAllocate(t *testing.T) {
	type row struct {
		A    int64     `parquet:"a"`
		B    *float64  `parquet:"b,optional"`
		C    string    `parquet:"c"`
		D    []float32 `parquet:"d,list"`
		E    []string  `parquet:"e,list"`
		Kind string    `parquet:"class"`
	}
	rows := []row{{1, nil, "one", []float32{1, 2}, []string{"x", "yy"}, "cat"}, {2, ptr(2.5), "two", nil, nil, "dog"}}
	u := upload{files: []datasettest.File{{Path: "x", Data: written(t, rows)}}}
	l := &listener{upload: u}
	index, err := parquet.Reader{}.Index(t.Context(), u, dataset.Options{}, l)
	if err != nil {
		t.Fatal(err)
	}
	e, err := parquet.Reader{}.NewEncoder(dataset.Options{}, index)
	if err != nil {
		t.Fatal(err)
	}
	var stats dataset.Stats
	var b body
	buf := make([]byte, 0, 1<<12)
	allocs := testing.AllocsPerRun(100, func() {
		for _, b.row = range l.rows {
			if _, err := e.Encode(buf, dataset.Item{Path: "x"}, &b, &stats); err != nil {
				t.Fatal(err)
			}
		}
	})
	if allocs != 0 {
		t.Errorf("%v allocations for %d rows", allocs, len(l.rows))
	}
}
