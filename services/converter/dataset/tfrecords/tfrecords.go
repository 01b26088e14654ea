// Package tfrecords takes datasets that are TFRecord already: files of framed records
// (tensorflow/core/lib/io/record_writer.h), each a tf.train.Example. It checks what a training relies on and nothing else checks: both
// checksums of every record, that it is an example, that all examples have the same features of the same kinds, and that
// labels are within their classes. The examples pass as they are, byte for byte, into shards of the wanted size and order.
//
// Where features.json of TensorFlow Datasets lies beside the records, it says what the features are and is handed on. Else they are found out:
//   - an int64 called label, labels, class, image/class/label, target or y, or as the label column says, is the class if most examples have exactly one that
//     is not negative. Names come from labels.txt, classes.txt or NAME.labels.txt, one a line, else they are the numbers;
//   - bytes that are JPEG or PNG in all examples are images, UTF-8 is text, anything else bytes;
//   - a feature with the same number of values in all examples is a scalar or a tensor of that length, any other a sequence.
package tfrecords

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/trainyard/trainyard/services/converter/dataset"
	"github.com/trainyard/trainyard/services/converter/picture"
	"github.com/trainyard/trainyard/services/converter/reject"
	"github.com/trainyard/trainyard/services/converter/tfrecord"
)

// Reader implements dataset.RowReader.
type Reader struct{}

// Format implements dataset.Reader.
func (Reader) Format() dataset.Format {
	return dataset.Format{
		Name:  "tfrecord",
		Title: "TFRecord",
		Description: "TFRecord files of tf.train.Example, not compressed, whose examples all have the same features. features.json and label names as TensorFlow Datasets " +
			"writes them are used if they lie beside. The words train, validation and test in the names are kept as splits.",
		Extensions: []string{".tfrecord", ".tfrecords", ".tfrec"},
		Example: `flowers.zip
├── flowers-test.tfrecord-00000-of-00001
├── flowers-train.tfrecord-00000-of-00002
├── flowers-train.tfrecord-00001-of-00002
└── label.labels.txt`,
	}
}

// nameSays tells whether a file is meant to be TFRecord by its name.
func nameSays(name string) bool {
	base := strings.ToLower(path.Base(name))
	switch path.Ext(base) {
	case ".idx", ".index", ".json", ".txt", ".md", ".crc": // what lies beside records under their names
		return false
	}
	return strings.Contains(base, "tfrec") || strings.HasSuffix(base, ".tfr")
}

// mayBe tells whether a file may be TFRecord by its name: validation-00001-of-00128, train.record, or one without an ending.
func mayBe(name string) bool {
	base := strings.ToLower(path.Base(name))
	switch path.Ext(base) {
	case "", ".record", ".records", ".bin", ".data":
		return true
	case ".idx", ".index", ".json", ".txt", ".md", ".crc":
		return false
	}
	return strings.Contains(base, "-of-")
}

// soundHead tells whether a file of the given size begins with a record's length and the checksum of that.
func soundHead(head []byte, size int64) bool {
	return len(head) == headBytes && binary.LittleEndian.Uint32(head[8:]) == tfrecord.MaskedCRC(head[:8]) &&
		size >= headBytes+footBytes && binary.LittleEndian.Uint64(head) <= uint64(size-headBytes-footBytes) //nolint:gosec // not negative
}

// isPacked tells by the first bytes whether a file is compressed by gzip, zlib, zstd or bzip2.
func isPacked(head []byte) bool {
	for _, magic := range []string{"\x1f\x8b", "\x78\x01", "\x78\x9c", "\x78\xda", "\x28\xb5\x2f\xfd", "BZh"} {
		if strings.HasPrefix(string(head), magic) {
			return true
		}
	}
	return false
}

// maxDetect bounds how many files Detect looks into.
const maxDetect = 16

// Detect implements dataset.Reader.
func (Reader) Detect(ctx context.Context, files dataset.Files) (dataset.Match, error) {
	m := dataset.Match{Why: "TFRecord files such as train.tfrecord-00000-of-00002"}
	candidates, looked, found := 0, 0, 0
	for i := range files.Len() {
		f := files.At(i)
		meant := nameSays(f.Path)
		if !meant && !mayBe(f.Path) || f.Size == 0 {
			continue
		}
		candidates++
		if looked == maxDetect {
			continue
		}
		looked++
		head, err := dataset.ReadHead(ctx, files, i, headBytes)
		var bad *reject.File
		if err != nil && !errors.As(err, &bad) { // Index says what is wrong with a bad one
			return m, err
		}
		if soundHead(head, f.Size) || meant && isPacked(head) { // Index says how to mend the latter
			found++
		}
	}
	if found > 0 {
		m.Share, m.Certain = float64(candidates)/float64(files.Len()), true
	}
	return m, nil
}

// schema is what NewEncoder and Features need to know; it travels as Index.Schema.
type schema struct {
	Features []dataset.Feature `json:"features"`
	Label    string            `json:"label,omitempty"`  // the feature that is the class
	Images   []string          `json:"images,omitempty"` // the features that are one image each
	Inferred bool              `json:"inferred,omitempty"`
}

// infer describes the features that the contract names.
func (s *schema) infer(contract map[string]wanted, sigs *signatures, classes []string) {
	s.Inferred = true
	for name, w := range contract {
		v := values{notText: true, notImage: true}
		first := true
		for _, sig := range sigs.all {
			i, ok := slices.BinarySearch(sig.keys, name)
			if !ok || sig.reason != "" || sig.kinds[i] != w.kind || sig.seen[i].max == 0 {
				continue
			}
			if first {
				v, first = sig.seen[i], false
			} else {
				v.merge(sig.seen[i])
			}
		}
		s.Features = append(s.Features, s.feature(name, w, v, classes))
	}
	sortFeatures(s.Features)
	slices.Sort(s.Images)
}

func (s *schema) feature(name string, w wanted, v values, classes []string) dataset.Feature {
	dtype := map[kind]string{texts: "string", floats: "float32", ints: "int64"}[w.kind]
	switch {
	case name == s.Label && s.Label != "":
		return dataset.ClassLabelFeature(name, classes)
	case w.count == 1 && w.kind == texts && !v.notImage:
		s.Images = append(s.Images, name)
		return dataset.ImageFeature(name, "", 3)
	case w.count == 1 && w.kind == texts && !v.notText:
		return dataset.TextFeature(name)
	case w.count == 1:
		return dataset.TensorFeature(name, dtype)
	case w.count > 1:
		return dataset.TensorFeature(name, dtype, w.count)
	}
	inner := dataset.TensorFeature("", dtype)
	if w.kind == texts && !v.notText {
		inner = dataset.TextFeature("")
	}
	return dataset.SequenceFeature(name, inner)
}

func sortFeatures(features []dataset.Feature) {
	slices.SortFunc(features, func(a, b dataset.Feature) int { return strings.Compare(a.Name, b.Name) })
}

// Rows implements dataset.RowReader.
func (Reader) Rows(dataset.Index) func(data []byte, row func(start, end int)) { return rows }

// Features implements dataset.Reader.
func (Reader) Features(index dataset.Index, stats *dataset.Stats) []dataset.Feature {
	var s schema
	if json.Unmarshal(index.Schema, &s) != nil {
		return nil
	}
	if s.Inferred {
		for i := range s.Features {
			if slices.Contains(s.Images, s.Features[i].Name) {
				s.Features[i] = picture.FeatureOf(s.Features[i].Name, stats)
			}
		}
	}
	return s.Features
}

// NewEncoder implements dataset.Reader.
func (Reader) NewEncoder(opts dataset.Options, index dataset.Index) (dataset.Encoder, error) {
	e := &encoder{classes: int64(len(index.Classes)), loader: picture.NewLoader(opts)}
	if err := json.Unmarshal(index.Schema, &e.schema); err != nil {
		return nil, fmt.Errorf("read the schema of TFRecord files: %w", err)
	}
	for _, name := range e.schema.Images {
		e.names = append(e.names, picture.NamesOf(name))
	}
	e.pictures = make([]named, 0, len(e.schema.Images))
	return e, nil
}

// named is an image and what it is counted as.
type named struct {
	picture.Loaded
	names picture.Names
}

type encoder struct {
	schema   schema
	classes  int64
	features []feature
	loader   *picture.Loader
	pictures []named
	names    []picture.Names // of schema.Images
}

// Encode implements dataset.Encoder. The example's bytes are the record's; the images in it are inspected.
func (e *encoder) Encode(dst []byte, record dataset.Item, body dataset.Body, stats *dataset.Stats) ([]byte, error) {
	start := len(dst)
	dst = slices.Grow(dst, body.Size()+footBytes)[:start+body.Size()]
	if err := body.Fill(dst[start:]); err != nil {
		return dst, err
	}
	var problem string
	if e.features, problem = parse(dst[start:], e.features); problem != "" {
		return dst, reject.NewFile(record.Path, reject.CorruptRecord, "%s", problem)
	}
	label := -1
	e.pictures = e.pictures[:0]
	for i := range e.features {
		f := &e.features[i]
		if string(f.key) == e.schema.Label {
			if f.kind != ints || f.count != 1 || f.first < 0 || f.first >= e.classes {
				return dst, reject.NewFile(record.Path, reject.LabelOutOfRange, "the label in the feature %q is not one number from 0 to %d", f.key, e.classes-1)
			}
			label = int(f.first)
			continue
		}
		for n, name := range e.schema.Images {
			if string(f.key) != name || f.kind != texts || f.count != 1 {
				continue
			}
			p, err := e.loader.Load(record.Path, f.bytes)
			if err != nil {
				return dst, err
			}
			e.pictures = append(e.pictures, named{p, e.names[n]})
		}
	}
	for _, p := range e.pictures {
		p.ObserveAs(p.names, stats)
	}
	stats.AddExample(body.Size(), label)
	return dst, nil
}
