package examples

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// kind is how a feature's values are shown.
type kind int

const (
	plain kind = iota
	image
	label
	box
	audio
)

// leaf is a feature that has values of its own.
type leaf struct {
	name       string // parts set apart by slashes; the key in the example too
	kind       kind
	names      []string // of a label
	labels     int      // of a box: the leaf that holds the boxes' labels, or -1
	sampleRate int      // of audio, in Hz; 0: see rate
	rate       int      // of audio: the leaf that holds the sample rate, or -1
	channels   int      // of audio; 0: their number differs, and the shape is stored too
	width      int      // of audio whose samples are stored as bytes: of one; else 0
	single     bool     // it is in no sequence
}

// Schema is what features.json says of the examples.
type Schema struct {
	leaves []leaf
	class  int // the leaf that holds an example's label, or -1
}

// feature is a feature in features.json (tensorflow_datasets/core/proto/feature.proto in its JSON form), as far as it matters here.
type feature struct {
	Class        string `json:"pythonClassName"`
	FeaturesDict *struct {
		Features map[string]feature `json:"features"`
	} `json:"featuresDict"`
	Sequence *struct {
		Feature *feature `json:"feature"`
	} `json:"sequence"`
	Image       json.RawMessage `json:"image"`
	ClassLabel  json.RawMessage `json:"classLabel"`
	BoundingBox json.RawMessage `json:"boundingBox"`
	Audio       *struct {
		DType      string `json:"dtype"`
		Encoding   string `json:"encoding"`
		SampleRate string `json:"sampleRate"`
		Shape      struct {
			Dimensions []string `json:"dimensions"`
		} `json:"shape"`
	} `json:"audio"`
}

// ParseSchema reads features.json. labelFile gives the content of the label file of a name, and nil where there is none.
func ParseSchema(featuresJSON []byte, labelFile func(name string) ([]byte, error)) (*Schema, error) {
	var root feature
	if err := json.Unmarshal(featuresJSON, &root); err != nil {
		return nil, fmt.Errorf("features.json: %w", err)
	}
	s := &Schema{class: -1}
	s.add("", &root, true)
	slices.SortFunc(s.leaves, func(a, b leaf) int { return strings.Compare(a.name, b.name) })
	for i := range s.leaves {
		l := &s.leaves[i]
		l.labels, l.rate = -1, -1
		switch l.kind {
		case box:
			l.labels = s.beside(l.name, func(other *leaf) bool { return other.kind == label })
		case audio:
			l.rate = s.beside(l.name, func(other *leaf) bool { return strings.HasSuffix(other.name, "sample_rate") })
		case label:
			names, err := labelFile(strings.ReplaceAll(l.name, "/", "-") + ".labels.txt")
			if err != nil {
				return nil, err
			}
			if len(names) > 0 {
				l.names = strings.Split(strings.TrimSuffix(string(names), "\n"), "\n")
			}
			if l.single && (s.class < 0 || l.name == "label") {
				s.class = i
			}
		}
	}
	return s, nil
}

func (s *Schema) add(name string, f *feature, single bool) {
	switch {
	case f.FeaturesDict != nil:
		for field, inner := range f.FeaturesDict.Features {
			if name != "" {
				field = name + "/" + field
			}
			s.add(field, &inner, single)
		}
	case f.Sequence != nil:
		if f.Sequence.Feature != nil {
			s.add(name, f.Sequence.Feature, false)
		}
	default:
		l := leaf{name: name, single: single}
		switch {
		case f.Image != nil:
			l.kind = image
		case f.ClassLabel != nil:
			l.kind = label
		case f.BoundingBox != nil:
			l.kind = box
		case f.Audio != nil:
			l.kind, l.channels = audio, 1
			l.sampleRate, _ = strconv.Atoi(f.Audio.SampleRate)
			if d := f.Audio.Shape.Dimensions; len(d) > 1 {
				channels, _ := strconv.Atoi(d[1])
				l.channels = max(channels, 0)
			}
			if f.Audio.Encoding == "bytes" {
				l.width = map[string]int{"int16": 2, "int32": 4, "float32": 4, "float64": 8}[f.Audio.DType]
			}
		}
		s.leaves = append(s.leaves, l)
	}
}

// beside finds a leaf in the same dict as the named one.
func (s *Schema) beside(name string, is func(*leaf) bool) int {
	dict := func(name string) string { return name[:strings.LastIndexByte(name, '/')+1] }
	return slices.IndexFunc(s.leaves, func(l leaf) bool { return dict(l.name) == dict(name) && is(&l) })
}

// nameOf names a label; "" where there is no such class.
func (l *leaf) nameOf(v int64) string {
	if v < 0 || v >= int64(len(l.names)) {
		return ""
	}
	return cmp.Or(strings.ToValidUTF8(l.names[v], "\uFFFD"), strconv.FormatInt(v, 10))
}
