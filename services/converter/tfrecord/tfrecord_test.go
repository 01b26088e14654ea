package tfrecord_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/trainyard/trainyard/services/converter/tfrecord"
)

func record(data string) []byte { return tfrecord.End(append(tfrecord.Begin(nil), data...), 0) }

func TestFramingIsTensorFlows(t *testing.T) {
	tests := []struct{ data, want string }{
		// Written by tf.io.TFRecordWriter of TensorFlow 2.21.
		{"", "000000000000000029039807d8ea82a2"},
		{"a", "01000000000000000175de4161786ee428"},
	}
	for _, tt := range tests {
		if got := hex.EncodeToString(record(tt.data)); got != tt.want {
			t.Errorf("record %q = %s, want %s", tt.data, got, tt.want)
		}
	}
}

func TestExampleIsProtobufWithSortedKeys(t *testing.T) {
	// tf.train.Example.SerializeToString(deterministic=True) of TensorFlow 2.21, which sorts keys too.
	const want = "0a450a0c0a016112070a050a0378797a0a0d0a0166120812060a040000c03f" +
		"0a1a0a056c6162656c12111a0f0a0d07ffffffffffffffffff01ac020a0a0a046e6f6e6512021a00"
	got := tfrecord.AppendExample(nil, []tfrecord.Feature{
		tfrecord.Int64s("none", nil), tfrecord.Int64s("label", []int64{7, -1, 300}),
		tfrecord.Text("a", "xyz"), tfrecord.Floats("f", []float32{1.5}),
	})
	if hex.EncodeToString(got) != want {
		t.Errorf("got %x", got)
	}
}

func TestExampleRoundTrip(t *testing.T) {
	long := strings.Repeat("x", 70_000)
	var slot []byte
	buf := tfrecord.AppendExample([]byte("before"), []tfrecord.Feature{
		tfrecord.Reserve("z", len(long), &slot),
		tfrecord.Bytes("bytes", []byte{0, 1, 2}),
		tfrecord.Bytes("none", nil),
		tfrecord.Int64("one", -5),
		tfrecord.Int64s("many", []int64{math.MinInt64, 0, 127, 128, math.MaxInt64}),
		tfrecord.Floats("floats", []float32{1.5, float32(math.Inf(-1))}),
	})
	copy(slot, long)
	got, err := tfrecord.ParseExample(bytes.TrimPrefix(buf, []byte("before")))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]tfrecord.Value{
		"z":      {Bytes: [][]byte{[]byte(long)}},
		"bytes":  {Bytes: [][]byte{{0, 1, 2}}},
		"none":   {Bytes: [][]byte{{}}},
		"one":    {Int64s: []int64{-5}},
		"many":   {Int64s: []int64{math.MinInt64, 0, 127, 128, math.MaxInt64}},
		"floats": {Floats: []float32{1.5, float32(math.Inf(-1))}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v", got)
	}
}

// FuzzTemplate compares examples of a Template, whose lengths are known or patched in, with those of AppendExample.
func FuzzTemplate(f *testing.F) {
	f.Add("a", "b", []byte("text"), int64(7), float32(1.5))
	f.Add("key", strings.Repeat("k", 117), bytes.Repeat([]byte("x"), 113), int64(-1), float32(0))
	f.Add("", strings.Repeat("k", 300), bytes.Repeat([]byte("x"), 20_000), int64(300), float32(math.NaN()))
	f.Fuzz(func(t *testing.T, key, other string, data []byte, n int64, x float32) {
		make := func(data []byte, n int64, floats []float32, ints []int64, texts [][]byte) []tfrecord.Feature {
			return []tfrecord.Feature{
				tfrecord.Text("text"+key, other), tfrecord.Int64("int"+other, n), tfrecord.Bytes("bytes"+other, data), tfrecord.Floats("floats"+key, floats),
				tfrecord.Int64s("ints"+key, ints), tfrecord.Texts("texts"+key, texts), tfrecord.Int64("~"+key, n>>32),
			}
		}
		set := make(data, n, []float32{x}, []int64{n, 1}, [][]byte{data})
		want := tfrecord.AppendExample([]byte("before"), set) // which sorts them
		template := tfrecord.NewTemplate(make(nil, 0, nil, nil, nil))
		copy(template.Features, set)
		got := template.Append([]byte("before"))
		if !bytes.Equal(got, want) {
			t.Errorf("got  %x\nwant %x", got, want)
		}
	})
}

func TestReaderReadsWhatWasWritten(t *testing.T) {
	var file []byte
	var want []string
	for i := range 50 {
		want = append(want, strings.Repeat("r", i*i*i*10))
		start := len(file)
		file = tfrecord.End(append(tfrecord.Begin(file), want[i]...), start)
	}
	r := tfrecord.NewReader(bytes.NewReader(file), 0)
	for i, w := range want {
		got, err := r.Next()
		if err != nil || string(got) != w {
			t.Fatalf("record %d: %d bytes, %v", i, len(got), err)
		}
	}
	if _, err := r.Next(); !errors.Is(err, io.EOF) {
		t.Errorf("at the end: %v", err)
	}
}

func TestReaderRefuses(t *testing.T) {
	good := record("some data")
	flip := func(at int) []byte {
		b := bytes.Clone(good)
		b[at] ^= 4
		return b
	}
	huge := binary.LittleEndian.AppendUint64(nil, 1<<40)
	huge = binary.LittleEndian.AppendUint32(huge, tfrecord.MaskedCRC(huge))
	lying := binary.LittleEndian.AppendUint64(nil, 200<<20) // within the limit, but nothing follows
	lying = binary.LittleEndian.AppendUint32(lying, tfrecord.MaskedCRC(lying))
	tests := []struct {
		name string
		file []byte
		says string
	}{
		{"length altered", flip(0), "length's checksum"},
		{"data altered", flip(14), "data's checksum"},
		{"checksum altered", flip(len(good) - 1), "data's checksum"},
		{"cut in the header", good[:5], "ends inside the record's header at offset 0"},
		{"cut in the data", good[:15], "ends inside the record at offset 0"},
		{"cut in the checksum", good[:len(good)-1], "ends inside the data's checksum"},
		{"too long", huge, "the limit is"},
		{"length without data", lying, "ends inside the record"},
		{"second record cut", append(bytes.Clone(good), good[:3]...), "at offset 25"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := tfrecord.NewReader(bytes.NewReader(tt.file), 0)
			var err error
			for err == nil {
				_, err = r.Next()
			}
			if !errors.Is(err, tfrecord.ErrCorrupt) || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("got %v, want one that says %q", err, tt.says)
			}
		})
	}
}

func TestWritingDoesNotAllocate(t *testing.T) {
	image := make([]byte, 50_000)
	buf := make([]byte, 0, 100_000)
	features := make([]tfrecord.Feature, 0, 3)
	var slot []byte
	allocs := testing.AllocsPerRun(100, func() {
		features = append(features[:0],
			tfrecord.Reserve("image", len(image), &slot), tfrecord.Int64("label", 7), tfrecord.Text("filename", "a/b.png"))
		b := tfrecord.AppendExample(tfrecord.Begin(buf), features)
		copy(slot, image)
		tfrecord.End(b, 0)
	})
	if allocs != 0 {
		t.Errorf("%v allocations a record", allocs)
	}
}

func FuzzReader(f *testing.F) {
	f.Add(record("some data"))
	f.Add(append(record(""), record("more")...))
	f.Fuzz(func(t *testing.T, file []byte) {
		r := tfrecord.NewReader(bytes.NewReader(file), 1<<20)
		var again []byte
		for {
			data, err := r.Next()
			if errors.Is(err, io.EOF) {
				if !bytes.Equal(again, file) {
					t.Error("a file that was read to its end isn't what its records make")
				}
				return
			}
			if err != nil {
				if !errors.Is(err, tfrecord.ErrCorrupt) {
					t.Errorf("unexpected error %v", err)
				}
				return
			}
			start := len(again)
			again = tfrecord.End(append(tfrecord.Begin(again), data...), start)
		}
	})
}

func FuzzParseExample(f *testing.F) {
	f.Add(tfrecord.AppendExample(nil, []tfrecord.Feature{
		tfrecord.Text("a", "x"), tfrecord.Int64s("b", []int64{1, 300}), tfrecord.Floats("c", []float32{1}),
	}))
	f.Fuzz(func(_ *testing.T, data []byte) {
		tfrecord.ParseExample(data) //nolint:errcheck // it must come back, that is all
	})
}

func FuzzExampleRoundTrip(f *testing.F) {
	f.Add("image", []byte("data"), int64(-1), float32(2))
	f.Fuzz(func(t *testing.T, key string, data []byte, n int64, x float32) {
		got, err := tfrecord.ParseExample(tfrecord.AppendExample(nil, []tfrecord.Feature{
			tfrecord.Bytes("b"+key, data), tfrecord.Int64("i"+key, n), tfrecord.Floats("f"+key, []float32{x}),
		}))
		if err != nil {
			t.Fatal(err)
		}
		same := math.Float32bits(got["f"+key].Floats[0]) == math.Float32bits(x)
		if !bytes.Equal(got["b"+key].Bytes[0], data) || got["i"+key].Int64s[0] != n || !same {
			t.Errorf("got %v", got)
		}
	})
}

// BenchmarkWriteExample frames and encodes an image of 60 KB; the figure to compare with is memcpy plus CRC-32C.
func BenchmarkWriteExample(b *testing.B) {
	image := make([]byte, 60_000)
	buf := make([]byte, 0, 100_000)
	features := make([]tfrecord.Feature, 0, 3)
	var slot []byte
	b.SetBytes(int64(len(image)))
	b.ReportAllocs()
	for b.Loop() {
		features = append(features[:0],
			tfrecord.Text("filename", "class/000001.jpg"), tfrecord.Reserve("image", len(image), &slot), tfrecord.Int64("label", 7))
		r := tfrecord.AppendExample(tfrecord.Begin(buf), features)
		copy(slot, image)
		tfrecord.End(r, 0)
	}
}

func BenchmarkReader(b *testing.B) {
	var file []byte
	for range 100 {
		start := len(file)
		file = tfrecord.End(append(tfrecord.Begin(file), make([]byte, 60_000)...), start)
	}
	b.SetBytes(int64(len(file)))
	for b.Loop() {
		r := tfrecord.NewReader(bytes.NewReader(file), 0)
		for {
			if _, err := r.Next(); err != nil {
				break
			}
		}
	}
}
