package dataset

import (
	"strconv"
	"strings"
)

// Feature is one feature of the examples as TensorFlow Datasets describes it in features.json
// (tensorflow_datasets/core/proto/feature.proto in its JSON form).
type Feature struct {
	Name   string
	Labels []string  // of a ClassLabel, or of a plain sequence of them
	Fields []Feature // of a sequence of dicts
	JSON   map[string]any
}

const tfdsFeatures = "tensorflow_datasets.core.features."

// ImageFeature is an encoded image of any height and width, decoded to uint8. Channels is 1 or 3.
// Encoding is "png", "jpeg" or "" for both; TFDS decodes by content in any case.
func ImageFeature(name, encoding string, channels int) Feature {
	image := map[string]any{
		"dtype": "uint8",
		"shape": map[string]any{"dimensions": []string{"-1", "-1", strconv.Itoa(channels)}},
	}
	if encoding != "" {
		image["encodingFormat"] = encoding
	}
	return Feature{Name: name, JSON: map[string]any{
		"pythonClassName": tfdsFeatures + "image_feature.Image",
		"image":           image,
	}}
}

// ClassLabelFeature is an int64 that is an index into names.
func ClassLabelFeature(name string, names []string) Feature {
	return Feature{Name: name, Labels: names, JSON: map[string]any{
		"pythonClassName": tfdsFeatures + "class_label_feature.ClassLabel",
		"classLabel":      map[string]any{"numClasses": strconv.Itoa(len(names))},
	}}
}

// TextFeature is a UTF-8 string.
func TextFeature(name string) Feature {
	return Feature{Name: name, JSON: map[string]any{
		"pythonClassName": tfdsFeatures + "text_feature.Text",
		"text":            map[string]any{},
	}}
}

// TensorFeature is a tensor of the given dtype, as TFDS writes it ("int64", "float32", "bool", "string" …). No shape is a
// scalar; a dimension of -1 is unknown, and there may be only one of them. It is stored flat, as int64, float or bytes.
func TensorFeature(name, dtype string, shape ...int) Feature {
	return Feature{Name: name, JSON: map[string]any{
		"pythonClassName": tfdsFeatures + "tensor_feature.Tensor",
		"tensor":          map[string]any{"dtype": dtype, "encoding": "none", "shape": shapeJSON(shape)},
	}}
}

// BBoxFeature is a box as four floats, ymin, xmin, ymax, xmax, each from 0 to 1 in parts of the image's height or width.
func BBoxFeature(name string) Feature {
	return Feature{Name: name, JSON: map[string]any{
		"pythonClassName": tfdsFeatures + "bounding_boxes.BBoxFeature",
		"boundingBox":     map[string]any{"bboxFormat": "REL_YXYX", "dtype": "float32", "shape": shapeJSON([]int{4})},
	}}
}

// AudioFeature is sound of any length as float32 samples from -1 to 1, stored as floats, those of a moment side by side. Its shape is
// (length,) for one channel and (length, channels) for more. sampleRate is in Hz; 0: it differs between records.
func AudioFeature(name string, sampleRate, channels int) Feature {
	shape := []int{-1}
	if channels > 1 {
		shape = append(shape, channels)
	}
	return Feature{Name: name, JSON: map[string]any{
		"pythonClassName": tfdsFeatures + "audio_feature.Audio",
		"audio": map[string]any{
			"dtype": "float32", "encoding": "none", "sampleRate": strconv.Itoa(sampleRate), "shape": shapeJSON(shape),
		},
	}}
}

// AudioBytesFeature is sound of any length as samples of a dtype ("int16", "int32", "float32" or "float64"), stored as bytes: little-endian,
// those of a moment side by side. Its shape is (length,) for one channel and (length, channels) for more. channels 0 says that their number differs between
// records: the bytes are then stored under NAME/value and the shape, always of both dimensions, under NAME/shape. sampleRate is in Hz; 0: it differs too.
func AudioBytesFeature(name, dtype string, sampleRate, channels int) Feature {
	shape := []int{-1}
	switch {
	case channels == 0:
		shape = append(shape, -1)
	case channels > 1:
		shape = append(shape, channels)
	}
	return Feature{Name: name, JSON: map[string]any{
		"pythonClassName": tfdsFeatures + "audio_feature.Audio",
		"audio": map[string]any{
			"dtype": dtype, "encoding": "bytes", "sampleRate": strconv.Itoa(sampleRate), "shape": shapeJSON(shape),
		},
	}}
}

// SequenceFeature is any number of dicts of the fields; field F of all of them is stored in a row under the key NAME/F. A
// single field without a name makes a plain sequence, stored under NAME. Of a field that is itself a sequence, the values
// are stored under KEY/ragged_flat_values and the number of values of each in KEY/ragged_row_lengths_0.
func SequenceFeature(name string, fields ...Feature) Feature {
	f := Feature{Name: name}
	var inner map[string]any
	if len(fields) == 1 && fields[0].Name == "" {
		inner, f.Labels, f.Fields = fields[0].JSON, fields[0].Labels, fields[0].Fields
	} else {
		features := make(map[string]any, len(fields))
		for _, field := range fields {
			features[field.Name] = field.JSON
		}
		f.Fields = fields
		inner = map[string]any{
			"pythonClassName": tfdsFeatures + "features_dict.FeaturesDict",
			"featuresDict":    map[string]any{"features": features},
		}
	}
	f.JSON = map[string]any{
		"pythonClassName": tfdsFeatures + "sequence_feature.Sequence",
		"sequence":        map[string]any{"feature": inner, "length": "-1"},
	}
	return f
}

// LabelFiles adds the files of labels that TFDS reads beside features.json for the feature and the fields in it, by name.
func (f Feature) LabelFiles(files map[string][]string) {
	name := strings.ReplaceAll(f.Name, "/", ".")
	if f.Labels != nil {
		files[name+".labels.txt"] = f.Labels
	}
	for _, field := range f.Fields {
		field.Name = name + "-" + field.Name
		field.LabelFiles(files)
	}
}

func shapeJSON(shape []int) map[string]any {
	dimensions := make([]string, len(shape))
	for i, d := range shape {
		dimensions[i] = strconv.Itoa(d)
	}
	return map[string]any{"dimensions": dimensions}
}
