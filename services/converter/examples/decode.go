package examples

import (
	"strings"
	"unicode/utf8"

	converterv1 "github.com/trainyard/trainyard/gen/trainyard/converter/v1"

	"github.com/trainyard/trainyard/services/converter/picture"
)

// What is shown of a feature, as the contract says.
const (
	maxValues    = 64
	maxTextBytes = 1 << 10
	maxBoxes     = 256
	maxThumbnail = 256 // pixels each way
)

// Decoder decodes records for people to look at. It is used by one goroutine at a time.
type Decoder struct {
	schema   *Schema
	pictures picture.Decoder
}

// NewDecoder makes a Decoder of the records of a dataset.
func NewDecoder(schema *Schema) *Decoder { return &Decoder{schema: schema} }

// Decode decodes a record's data. Where the record lies is the caller's to fill in. It gives an error that wraps tfrecord.ErrCorrupt for
// what is no example; a picture that can't be decoded is only not shown.
func (d *Decoder) Decode(record []byte) (*converterv1.Example, error) {
	found, err := peek(record)
	if err != nil {
		return nil, err
	}
	example := &converterv1.Example{SizeBytes: int64(len(record))}
	for i := range d.schema.leaves {
		l := &d.schema.leaves[i]
		if v := d.valuesOf(l, found); v != nil {
			example.Features = append(example.Features, d.feature(l, v, found))
		}
	}
	if d.schema.class >= 0 {
		l := &d.schema.leaves[d.schema.class]
		if v := found[l.name]; v != nil && len(v.ints) > 0 {
			example.Class = l.nameOf(v.ints[0])
		}
	}
	return example, nil
}

// valuesOf finds a feature's values. Those of sequences in sequences are stored in a row under a key of its own.
func (d *Decoder) valuesOf(l *leaf, found map[string]*values) *values {
	if v := found[l.name]; v != nil {
		return v
	}
	if l.kind == audio {
		return found[l.name+"/value"]
	}
	return found[l.name+"/ragged_flat_values"]
}

func (d *Decoder) feature(l *leaf, v *values, found map[string]*values) *converterv1.Feature {
	f := &converterv1.Feature{Name: strings.ToValidUTF8(l.name, "\uFFFD"), ValueCount: v.count}
	switch {
	case l.kind == image && len(v.bytes) > 0:
		f.Value = &converterv1.Feature_Image_{Image: d.image(v.bytes[0])}
	case l.kind == label && len(v.ints) > 0:
		labels := &converterv1.Feature_Labels{Values: v.ints[:min(len(v.ints), maxValues)]}
		for _, one := range labels.GetValues() {
			labels.Names = append(labels.Names, l.nameOf(one))
		}
		f.Value = &converterv1.Feature_Labels_{Labels: labels}
	case l.kind == box:
		f.ValueCount /= 4
		f.Value = &converterv1.Feature_Boxes_{Boxes: d.boxes(l, v, found)}
	case l.kind == audio:
		f.Value = &converterv1.Feature_Audio_{Audio: d.audio(l, v, found)}
		f.ValueCount = l.samples(v)
	case len(v.bytes) > 0:
		setBytes(f, v.bytes[:min(len(v.bytes), maxValues)])
	case len(v.ints) > 0:
		f.Value = &converterv1.Feature_Ints_{Ints: &converterv1.Feature_Ints{Values: v.ints[:min(len(v.ints), maxValues)]}}
	case len(v.floats) > 0:
		f.Value = &converterv1.Feature_Floats_{Floats: &converterv1.Feature_Floats{Values: v.floats[:min(len(v.floats), maxValues)]}}
	}
	return f
}

// samples counts the samples of audio in all channels.
func (l *leaf) samples(v *values) int64 {
	if l.width > 0 && len(v.bytes) > 0 {
		return int64(len(v.bytes[0]) / l.width)
	}
	return v.count
}

func (d *Decoder) audio(l *leaf, v *values, found map[string]*values) *converterv1.Feature_Audio {
	channels, rate := int64(l.channels), int64(l.sampleRate)
	if shape := found[l.name+"/shape"]; channels == 0 && shape != nil && len(shape.ints) > 1 {
		channels = shape.ints[1]
	}
	if rate == 0 && l.rate >= 0 {
		if known := found[d.schema.leaves[l.rate].name]; known != nil && len(known.ints) > 0 {
			rate = known.ints[0]
		}
	}
	sound := &converterv1.Feature_Audio{SampleRate: int32(rate), Channels: int32(channels)} //nolint:gosec // some kHz, few channels; shown as they are
	if rate > 0 && channels > 0 {
		sound.Seconds = float64(l.samples(v)) / float64(channels) / float64(rate)
	}
	return sound
}

func (d *Decoder) image(data []byte) *converterv1.Feature_Image {
	shown := &converterv1.Feature_Image{SizeBytes: int64(len(data))}
	info, problem := picture.Inspect(data)
	if problem != nil {
		return shown
	}
	shown.Width, shown.Height = int32(info.Width), int32(info.Height)                  //nolint:gosec // bounded by picture.MaxPixels
	shown.Encoding, shown.Orientation = string(info.Encoding), int32(info.Orientation) //nolint:gosec // 1 to 8
	if thumbnail, err := d.pictures.Thumbnail(data, maxThumbnail); err == nil {
		shown.Thumbnail = thumbnail
	}
	return shown
}

func (d *Decoder) boxes(l *leaf, v *values, found map[string]*values) *converterv1.Feature_Boxes {
	var classes *leaf
	var labels []int64
	if l.labels >= 0 {
		classes = &d.schema.leaves[l.labels]
		if of := d.valuesOf(classes, found); of != nil {
			labels = of.ints
		}
	}
	shown := &converterv1.Feature_Boxes{}
	for i := 0; 4*i+3 < len(v.floats); i++ {
		c := v.floats[4*i : 4*i+4]
		one := &converterv1.Feature_Box{Ymin: c[0], Xmin: c[1], Ymax: c[2], Xmax: c[3]}
		if i < len(labels) {
			one.Class = classes.nameOf(labels[i])
		}
		shown.Boxes = append(shown.Boxes, one)
	}
	return shown
}

// setBytes shows bytes as texts if all of them are, else by their lengths.
func setBytes(f *converterv1.Feature, all [][]byte) {
	sizes := make([]int64, len(all))
	for i, b := range all {
		sizes[i] = int64(len(b))
	}
	texts := &converterv1.Feature_Texts{Sizes: sizes}
	for _, b := range all {
		if cut := maxTextBytes; len(b) > cut {
			for cut > maxTextBytes-utf8.UTFMax && !utf8.RuneStart(b[cut]) {
				cut--
			}
			b = b[:cut]
		}
		if !utf8.Valid(b) {
			f.Value = &converterv1.Feature_Blobs_{Blobs: &converterv1.Feature_Blobs{Sizes: sizes}}
			return
		}
		texts.Values = append(texts.Values, string(b))
	}
	f.Value = &converterv1.Feature_Texts_{Texts: texts}
}
