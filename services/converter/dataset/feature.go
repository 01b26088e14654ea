package dataset

import "strconv"

// Feature is one feature of the examples as TensorFlow Datasets describes it in features.json
// (tensorflow_datasets/core/proto/feature.proto in its JSON form).
type Feature struct {
	Name   string
	Labels []string // of a ClassLabel: the content of NAME.labels.txt
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
