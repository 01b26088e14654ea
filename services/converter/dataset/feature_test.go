package dataset_test

import (
	"encoding/json"
	"maps"
	"slices"
	"testing"

	"github.com/trainyard/trainyard/services/converter/dataset"
)

// TestFeatureJSON compares with what tensorflow-datasets 4.9 wrote itself (FeaturesDict.to_proto, MessageToJson).
func TestFeatureJSON(t *testing.T) {
	const (
		bbox = `{"pythonClassName":"tensorflow_datasets.core.features.bounding_boxes.BBoxFeature",` +
			`"boundingBox":{"shape":{"dimensions":["4"]},"dtype":"float32","bboxFormat":"REL_YXYX"}}`
		number = `{"pythonClassName":"tensorflow_datasets.core.features.tensor_feature.Tensor","tensor":{"shape":{"dimensions":[]},"dtype":"int64","encoding":"none"}}`
		plain  = `{"pythonClassName":"tensorflow_datasets.core.features.sequence_feature.Sequence","sequence":{"feature":` + number + `,"length":"-1"}}`
	)
	tests := []struct {
		name    string
		feature dataset.Feature
		want    string
	}{
		{"scalar", dataset.TensorFeature("x", "int64"), number},
		{"box", dataset.BBoxFeature("x"), bbox},
		{"audio", dataset.AudioFeature("x", 16000, 2), `{"pythonClassName":"tensorflow_datasets.core.features.audio_feature.Audio",` +
			`"audio":{"shape":{"dimensions":["-1","2"]},"dtype":"float32","sampleRate":"16000","encoding":"none"}}`},
		{"audio as bytes", dataset.AudioBytesFeature("x", "int16", 16000, 1), `{"pythonClassName":"tensorflow_datasets.core.features.audio_feature.Audio",` +
			`"audio":{"shape":{"dimensions":["-1"]},"dtype":"int16","sampleRate":"16000","encoding":"bytes"}}`},
		{"audio of any channels and rate", dataset.AudioBytesFeature("x", "float64", 0, 0), `{"pythonClassName":"tensorflow_datasets.core.features.audio_feature.Audio",` +
			`"audio":{"shape":{"dimensions":["-1","-1"]},"dtype":"float64","sampleRate":"0","encoding":"bytes"}}`},
		{"plain sequence", dataset.SequenceFeature("x", dataset.TensorFeature("", "int64")), plain},
		{
			"sequence of dicts",
			dataset.SequenceFeature("x", dataset.BBoxFeature("bbox"), dataset.SequenceFeature("r", dataset.TensorFeature("", "int64"))),
			`{"pythonClassName":"tensorflow_datasets.core.features.sequence_feature.Sequence","sequence":{"feature":{` +
				`"pythonClassName":"tensorflow_datasets.core.features.features_dict.FeaturesDict","featuresDict":{"features":{"bbox":` + bbox + `,"r":` + plain + `}}},"length":"-1"}}`,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var want any
			if err := json.Unmarshal([]byte(tt.want), &want); err != nil {
				t.Fatal(err)
			}
			wanted, err := json.Marshal(want)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := json.Marshal(tt.feature.JSON); err != nil || string(got) != string(wanted) {
				t.Errorf("got  %s (%v)\nwant %s", got, err, wanted)
			}
		})
	}
}

// TestLabelFiles: TFDS names the file of a ClassLabel within a dict by the path to it, joined by hyphens.
func TestLabelFiles(t *testing.T) {
	names := []string{"a", "b"}
	files := make(map[string][]string)
	for _, f := range []dataset.Feature{
		dataset.ClassLabelFeature("label", names),
		dataset.SequenceFeature("tags", dataset.ClassLabelFeature("", names)),
		dataset.SequenceFeature("objects", dataset.BBoxFeature("bbox"), dataset.ClassLabelFeature("label", names)),
	} {
		f.LabelFiles(files)
	}
	got := slices.Sorted(maps.Keys(files))
	if want := []string{"label.labels.txt", "objects-label.labels.txt", "tags.labels.txt"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
