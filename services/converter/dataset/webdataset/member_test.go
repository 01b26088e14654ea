package webdataset

import (
	"bytes"
	stdimage "image"
	"image/png"
	"strings"
	"testing"

	"github.com/trainyard/trainyard/services/converter/dataset"
	"github.com/trainyard/trainyard/services/converter/tfrecord"
)

func TestMembers(t *testing.T) {
	tests := []struct {
		path, key, ending, name string
		kind                    kind
	}{
		{"a/0001.jpg", "a/0001", "jpg", "image", image},
		{"a.b/0001.seg.PNG", "a.b/0001", "seg.png", "seg_image", image},
		{"0001.image.jpeg", "0001", "image.jpeg", "image", image},
		{"0001.cls", "0001", "cls", "label", label},
		{"0001.depth.npy", "0001", "depth.npy", "depth_npy", raw},
		{"0001.é.bin", "0001", "é.bin", "__bin", raw},
		{"0001.image_orientation", "0001", "image_orientation", "image_orientation_", raw},
		{"0001", "0001", "", "", raw},
		{"0001.", "0001.", "", "", raw},
	}
	for _, tt := range tests {
		key, ending := cut(tt.path)
		if key != tt.key || ending != tt.ending {
			t.Errorf("%q is cut to %q and %q", tt.path, key, ending)
		}
		if ending == "" {
			continue
		}
		if k := kindOf(ending); k != tt.kind || slotName(ending, k, false) != tt.name {
			t.Errorf("%q is %s named %q", tt.path, k, slotName(ending, k, false))
		}
	}
}

// FuzzMembers: whatever the endings, features have names that TFDS takes, one kind each, and there are not too many.
func FuzzMembers(f *testing.F) {
	f.Add("a.jpg\nb.seg.png\nb.seg_png.x\nc", true)
	f.Fuzz(func(t *testing.T, paths string, exact bool) {
		s := slots{exact: exact}
		for p := range strings.SplitSeq(paths, "\n") {
			key, ending := cut(p)
			if ending != "" && !strings.EqualFold(key+"."+ending, p) && strings.ToLower(p) == p {
				t.Errorf("%q is cut to %q and %q", p, key, ending)
			}
			if ending != "" {
				s.of(ending)
			}
		}
		names := make(map[string]bool)
		for _, slot := range s.list {
			if names[slot.Name] || slot.Name == "" || strings.ContainsAny(slot.Name, "/. ") {
				t.Errorf("a feature is called %q", slot.Name)
			}
			names[slot.Name] = true
		}
		if len(s.list) > maxSlots {
			t.Errorf("%d features", len(s.list))
		}
	})
}

// sample implements dataset.Body.
type sample struct {
	paths []string
	data  [][]byte
}

func (s *sample) Size() int                          { return len(s.data[0]) }
func (s *sample) Fill(p []byte) error                { copy(p, s.data[0]); return nil }
func (s *sample) Bytes() ([]byte, error)             { return s.data[0], nil }
func (s *sample) Parts() int                         { return len(s.paths) }
func (s *sample) Part(i int) (string, []byte, error) { return s.paths[i], s.data[i], nil }

func TestEncodingDoesNotAllocate(t *testing.T) {
	var p bytes.Buffer
	if err := png.Encode(&p, stdimage.NewGray(stdimage.Rect(0, 0, 30, 40))); err != nil {
		t.Fatal(err)
	}
	enc, err := Reader{}.NewEncoder(dataset.Options{}, dataset.Index{
		Classes: []string{"a"}, Schema: []byte(`{"label":0,"slots":[{"name":"label","kind":"label"},{"name":"image","kind":"image"},{"name":"json","kind":"json"}]}`),
	})
	if err != nil {
		t.Fatal(err)
	}
	body := &sample{[]string{"x/1.cls", "x/1.png", "x/1.json"}, [][]byte{[]byte("0"), p.Bytes(), []byte(`{"a": [1, 2]}`)}}
	buf := make([]byte, 0, 1<<14)
	var stats dataset.Stats
	var out []byte
	allocs := testing.AllocsPerRun(100, func() {
		if out, err = enc.Encode(buf, dataset.Item{Path: "x/1.cls"}, body, &stats); err != nil {
			t.Fatal(err)
		}
	})
	if allocs > 1 {
		t.Errorf("%v allocations a record", allocs)
	}
	example, err := tfrecord.ParseExample(out)
	if err != nil || !bytes.Equal(example["image"].Bytes[0], p.Bytes()) || string(example["json"].Bytes[0]) != `{"a": [1, 2]}` {
		t.Errorf("the example is %v, %v", example, err)
	}
}
