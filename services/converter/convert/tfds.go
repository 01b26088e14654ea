package convert

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/trainyard/trainyard/services/converter/dataset"
)

// The files that tensorflow-datasets reads with builder_from_directory: the protobuf messages
// DatasetInfo and Feature (tensorflow_datasets/core/proto) in their JSON form, in which int64 is a string.

type tfdsInfo struct {
	Description    string          `json:"description"`
	FileFormat     string          `json:"fileFormat"`
	Name           string          `json:"name"`
	Splits         []tfdsSplit     `json:"splits"`
	SupervisedKeys *tfdsSupervised `json:"supervisedKeys,omitempty"`
	Version        string          `json:"version"`
}

type tfdsSplit struct {
	FilepathTemplate string   `json:"filepathTemplate"`
	Name             string   `json:"name"`
	NumBytes         string   `json:"numBytes"`
	ShardLengths     []string `json:"shardLengths"`
}

type tfdsSupervised struct {
	Tuple struct {
		Items []tfdsKey `json:"items"`
	} `json:"tuple"`
}

type tfdsKey struct {
	FeatureKey string `json:"featureKey"`
}

func tfdsVersion(o Options) string { return fmt.Sprintf("%d.0.0", o.DatasetVersion) }

// tfdsFiles returns dataset_info.json, features.json and a label file for each class label.
func tfdsFiles(m *Manifest, features []dataset.Feature) map[string][]byte {
	info := tfdsInfo{
		Description: "Converted by Trainyard from an upload of the format " + m.Format + ".",
		FileFormat:  "tfrecord",
		Name:        m.Dataset,
		Version:     m.Version,
	}
	for _, s := range m.Splits {
		if s.Examples == 0 { // TFDS refuses a split without examples
			continue
		}
		split := tfdsSplit{FilepathTemplate: "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}", Name: string(s.Name)}
		var bytes int64
		for _, shard := range m.Shards {
			if shard.Split == s.Name {
				split.ShardLengths = append(split.ShardLengths, strconv.FormatInt(shard.Examples, 10))
				bytes += shard.DataBytes
			}
		}
		split.NumBytes = strconv.FormatInt(bytes, 10)
		info.Splits = append(info.Splits, split)
	}
	files := make(map[string][]byte)
	content := make(map[string]any)
	labels := make(map[string][]string)
	input, label := "", ""
	for _, f := range features {
		content[f.Name] = f.JSON
		f.LabelFiles(labels)
		if f.Labels != nil {
			label = f.Name
		}
		if _, ok := f.JSON["image"]; ok {
			input = f.Name
		}
	}
	for name, l := range labels {
		files[name] = []byte(strings.Join(l, "\n") + "\n")
	}
	if input != "" && label != "" {
		info.SupervisedKeys = &tfdsSupervised{}
		info.SupervisedKeys.Tuple.Items = []tfdsKey{{input}, {label}}
	}
	files["features.json"] = encodeJSON(map[string]any{
		"pythonClassName": "tensorflow_datasets.core.features.features_dict.FeaturesDict",
		"featuresDict":    map[string]any{"features": content},
	})
	files["dataset_info.json"] = encodeJSON(info)
	return files
}
