package tfrecords

import (
	"bytes"
	"errors"
	"io"
	"strconv"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/trainyard/trainyard/services/converter/dataset"
	"github.com/trainyard/trainyard/services/converter/tfrecord"
)

func someExample() []byte {
	return tfrecord.AppendExample(nil, []tfrecord.Feature{
		tfrecord.Text("a", "x"), tfrecord.Int64s("b", []int64{-1, 300}), tfrecord.Floats("c", []float32{1}), tfrecord.Int64s("d", nil),
	})
}

func TestParse(t *testing.T) {
	unpacked := func(typ protowire.Type, value ...byte) []byte { // a list with one value that isn't packed
		list := append(protowire.AppendTag(nil, 1, typ), value...)
		k := protowire.Number(ints)
		if typ == protowire.Fixed32Type {
			k = protowire.Number(floats)
		}
		f := protowire.AppendBytes(protowire.AppendTag(nil, k, protowire.BytesType), list)
		entry := protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), []byte("k"))
		entry = protowire.AppendBytes(protowire.AppendTag(entry, 2, protowire.BytesType), f)
		return protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType),
			protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), entry))
	}
	tests := []struct {
		name string
		data []byte
		want []feature // key, kind, count and first; nil: it can't be parsed
	}{
		{"every kind", someExample(), []feature{
			{key: []byte("a"), kind: texts, count: 1}, {key: []byte("b"), kind: ints, count: 2, first: -1}, {key: []byte("c"), kind: floats, count: 1}, {key: []byte("d"), kind: ints},
		}},
		{
			"the later of two features with one name", append(unpacked(protowire.VarintType, 7), unpacked(protowire.VarintType, 9)...),
			[]feature{{key: []byte("k"), kind: ints, count: 1, first: 9}},
		},
		{"a float that isn't packed", unpacked(protowire.Fixed32Type, 0, 0, 0, 0), []feature{{key: []byte("k"), kind: floats, count: 1}}},
		{"a number of 65 bits", unpacked(protowire.BytesType, 10, 255, 255, 255, 255, 255, 255, 255, 255, 255, 2), nil},
		{"a number cut off", unpacked(protowire.VarintType, 0x80), nil},
		{"a name with a control character", tfrecord.AppendExample(nil, []tfrecord.Feature{tfrecord.Text("a\x01", "x")}), nil},
		{"no features", nil, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, problem := parse(tt.data, nil)
			if (problem == "") != (tt.want != nil) || problem == "" && len(got) != len(tt.want) {
				t.Fatalf("got %d features, %q", len(got), problem)
			}
			for i, w := range tt.want {
				if g := got[i]; !bytes.Equal(g.key, w.key) || g.kind != w.kind || g.count != w.count || g.first != w.first {
					t.Errorf("feature %d is %q %s ×%d, first %d", i, g.key, g.kind, g.count, g.first)
				}
			}
		})
	}
}

// FuzzParse compares with the other parser of examples: what this one accepts, that one reads the same.
func FuzzParse(f *testing.F) {
	f.Add(someExample())
	f.Add(append(someExample(), someExample()...))
	f.Fuzz(func(t *testing.T, data []byte) {
		got, problem := parse(data, nil)
		if problem != "" {
			return
		}
		want, err := tfrecord.ParseExample(data)
		if err != nil || len(want) != len(got) {
			t.Fatalf("%d features, the other parser finds %d, %v", len(got), len(want), err)
		}
		for i := range got {
			g, w := &got[i], want[string(got[i].key)]
			if g.count != len(w.Bytes)+len(w.Floats)+len(w.Int64s) || len(w.Int64s) > 0 && g.first != w.Int64s[0] || len(w.Bytes) > 0 && !bytes.Equal(g.bytes, w.Bytes[0]) {
				t.Fatalf("%q is %s ×%d, the other parser finds %+v", g.key, g.kind, g.count, w)
			}
			n := 0
			for v := range g.values {
				if g.kind == texts && !bytes.Equal(v, w.Bytes[n]) {
					t.Fatalf("value %d of %q differs", n, g.key)
				}
				n++
			}
		}
	})
}

// FuzzScan: whatever a file holds, its records lie one behind the other within it, and a block of them is cut to the same.
func FuzzScan(f *testing.F) {
	file := tfrecord.End(append(tfrecord.Begin(nil), someExample()...), 0)
	f.Add(file)
	f.Add(append(bytes.Clone(file), file...))
	f.Fuzz(func(t *testing.T, data []byte) {
		s := scanner{r: bytes.NewReader(data), size: int64(len(data))}
		at := int64(0)
		var sizes []int
		for {
			rec, end, err := s.next()
			if end != nil || errors.Is(err, io.EOF) {
				break
			}
			if err != nil || rec.at != at || rec.size < headBytes+footBytes || rec.at+rec.size > int64(len(data)) {
				t.Fatalf("record %+v at %d, %v", rec, at, err)
			}
			at += rec.size
			sizes = append(sizes, int(rec.size))
		}
		n := 0
		rows(data[:at], func(start, end int) {
			if end-start != sizes[n]-headBytes-footBytes {
				t.Errorf("record %d has %d bytes of %d", n, end-start, sizes[n])
			}
			n++
		})
		if n != len(sizes) {
			t.Errorf("%d rows of %d records", n, len(sizes))
		}
		rows(data, func(start, end int) { _ = data[start:end] })
	})
}

func FuzzFeaturesJSON(f *testing.F) {
	f.Add([]byte(`{"pythonClassName":"a.FeaturesDict","featuresDict":{"features":{"x":{"pythonClassName":"a.Tensor","tensor":{"dtype":"int64","shape":{"dimensions":["-1","3"]}}}}}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var g given
		if g.parseFeatures(data) != "" {
			return
		}
		g.name(map[string][]string{"": {"a"}, "x": {"b"}, "x-y": {"c"}})
		for key, w := range g.contract {
			if w.count < -1 || w.count > dataset.MaxRowBytes {
				t.Errorf("%q must have %d values", key, w.count)
			}
		}
	})
}

// TestSignaturesAreBounded: a file can have another set of features in each of its records; memory must not grow with them.
func TestSignaturesAreBounded(t *testing.T) {
	s := signatures{limit: 10}
	var features []feature
	for i := range 10 * maxSignatures {
		example := tfrecord.AppendExample(nil, []tfrecord.Feature{tfrecord.Int64("k"+strconv.Itoa(i), 1)})
		var problem string
		if features, problem = parse(example, features); problem != "" {
			t.Fatal(problem)
		}
		if sig, _ := s.of(features); (sig == nil) != (i >= maxSignatures) {
			t.Fatalf("set %d of features: %v", i, sig)
		}
	}
}

// body implements dataset.Body.
type body []byte

func (b body) Size() int                        { return len(b) }
func (b body) Fill(p []byte) error              { copy(p, b); return nil }
func (b body) Bytes() ([]byte, error)           { return b, nil }
func (b body) Parts() int                       { return 1 }
func (b body) Part(int) (string, []byte, error) { return "", b, nil }

func TestEncodingDoesNotAllocate(t *testing.T) {
	enc, err := Reader{}.NewEncoder(dataset.Options{}, dataset.Index{Classes: []string{"0", "1"}, Schema: []byte(`{"label":"label"}`)})
	if err != nil {
		t.Fatal(err)
	}
	var record dataset.Body = body(tfrecord.AppendExample(nil, []tfrecord.Feature{tfrecord.Int64("label", 1), tfrecord.Floats("x", make([]float32, 1000))}))
	buf := make([]byte, 0, 1<<14)
	var stats dataset.Stats
	allocs := testing.AllocsPerRun(100, func() {
		if _, err := enc.Encode(buf, dataset.Item{Label: -1}, record, &stats); err != nil {
			t.Fatal(err)
		}
	})
	if allocs > 1 {
		t.Errorf("%v allocations a record", allocs)
	}
}
