// Package webdataset reads samples whose parts are files that lie one behind the other and share a name up to the first dot, such as
// 0001.jpg, 0001.cls and 0001.json: the layout of the tar files of the library webdataset.
//
// The members that most samples have become features: .cls "label", a class that is given as a number or a name; pictures
// "image"; .wav and .flac "audio", decoded; .txt "text"; .json "json"; .id, .index and .count numbers; any other ending
// its bytes, named by the ending, such as "npy". An ending of two parts gives its first to the name: seg.png becomes "seg_image". JSON is kept as text
// rather than flattened: what stands in it differs from sample to sample (the metadata of crawled pictures), and a feature has to be in every
// one. A sample that lacks a member is left out, with all of its files. Members that few samples have are listed and left away.
package webdataset

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/trainyard/trainyard/services/converter/dataset"
	"github.com/trainyard/trainyard/services/converter/picture"
	"github.com/trainyard/trainyard/services/converter/sound"
)

// Reader implements dataset.Reader.
type Reader struct{}

// Format implements dataset.Reader.
func (Reader) Format() dataset.Format {
	return dataset.Format{
		Name:  "webdataset",
		Title: "WebDataset",
		Description: "Files that lie one behind the other and share a name up to the first dot make a sample: 0001.jpg, 0001.cls, 0001.txt. " +
			".cls is the label, as a number or a name; classes.txt may give the names. One tar of all samples, not tars within an archive. Folders named train, validation and test are kept as splits.",
		Extensions: []string{".tar"},
		Example: `birds.tar
├── 0001.cls
├── 0001.jpg
├── 0001.json
├── 0002.cls
├── 0002.jpg
└── 0002.json`,
	}
}

// maxDetect is how many files Detect looks at.
const maxDetect = 200

// Detect implements dataset.Reader.
func (Reader) Detect(ctx context.Context, files dataset.Files) (dataset.Match, error) {
	m := dataset.Match{Why: "samples of several files that share a name, such as 0001.jpg and 0001.cls"}
	n := min(files.Len(), maxDetect)
	byEndings := make(map[string]int) // files in groups that have these endings
	classes, caption := 0, -1
	for i := 0; i < n; {
		key, ending := cut(files.At(i).Path)
		j, endings := i, ""
		var data, said, class bool
		here := -1
		for ; j < n && ending != ""; j++ {
			k, e := cut(files.At(j).Path)
			if k != key {
				break
			}
			switch kindOf(e) {
			case label:
				class, said = true, true
			case text:
				said, here = true, j
			case object, integer:
				said = true
			case image, audio:
				data = true
			case raw:
				data = data || rawData[e]
			}
			endings += e + "/"
		}
		if size := j - i; size > 1 && data && said {
			byEndings[endings] += size
			if class {
				classes += size
			} else if here >= 0 {
				caption = here
			}
		}
		i = max(j, i+1)
	}
	best := 0
	for _, c := range byEndings {
		best = max(best, c)
	}
	if best == 0 {
		return m, nil
	}
	m.Share = float64(best) / float64(n)
	m.Certain = classes > 0 || 2*best > n
	if caption >= 0 && classes == 0 {
		boxes, err := isBoxes(ctx, files, caption)
		if err != nil {
			return m, err
		}
		if boxes { // YOLO's annotations lie beside the pictures as well
			m.Certain, m.Share = false, m.Share/2
		}
	}
	return m, nil
}

// rawData are the endings that hold what is learnt from and are kept as bytes.
var rawData = map[string]bool{"npy": true, "npz": true, "pth": true, "pt": true, "mp4": true, "mp3": true, "ogg": true, "pyd": true, "pickle": true, "ten": true, "tb": true, "cbor": true, "mp": true, "msg": true}

// isBoxes tells whether a text is nothing but lines of five or more numbers.
func isBoxes(ctx context.Context, files dataset.Files, i int) (bool, error) {
	head, err := dataset.ReadHead(ctx, files, i, 4<<10)
	if err != nil {
		return false, nil //nolint:nilerr // Index says what is wrong with a file; a failing store fails there as well
	}
	line, _, _ := bytes.Cut(head, []byte("\n"))
	fields := strings.Fields(string(line))
	for _, f := range fields {
		if !json.Valid([]byte(f)) || strings.Trim(f, "+-.0123456789eE") != "" {
			return false, nil
		}
	}
	return len(fields) >= 5 || len(fields) == 0, ctx.Err()
}

// feature is a slot that all samples have.
type feature struct {
	slot
	Type       sound.Type `json:"type,omitempty"`        // of samples of sound
	SampleRate int        `json:"sample_rate,omitempty"` // 0: it differs
	Channels   int        `json:"channels,omitempty"`    // 0: their number differs
}

// schema is what NewEncoder and Features need to know; it travels as Index.Schema.
type schema struct {
	Exact bool      `json:"exact"`
	Label int       `json:"label"` // index of the slot that is the label, or -1
	Slots []feature `json:"slots"`
}

func readSchema(index dataset.Index) (schema, error) {
	var s schema
	if err := json.Unmarshal(index.Schema, &s); err != nil {
		return s, fmt.Errorf("read the schema of a WebDataset: %w", err)
	}
	return s, nil
}

// Features implements dataset.Reader.
func (Reader) Features(index dataset.Index, stats *dataset.Stats) []dataset.Feature {
	s, err := readSchema(index)
	if err != nil {
		return nil
	}
	var features []dataset.Feature
	for i, f := range s.Slots {
		switch {
		case i == s.Label:
			features = append(features, dataset.ClassLabelFeature(f.Name, index.Classes))
		case f.Kind == image:
			features = append(features, picture.FeatureOf(f.Name, stats), dataset.TensorFeature(f.Name+"_orientation", "int64"))
		case f.Kind == audio:
			features = append(features, dataset.AudioBytesFeature(f.Name, string(f.Type), f.SampleRate, f.Channels),
				dataset.TensorFeature(f.Name+"_sample_rate", "int64"))
		case f.Kind == text, f.Kind == object:
			features = append(features, dataset.TextFeature(f.Name))
		case f.Kind == integer:
			features = append(features, dataset.TensorFeature(f.Name, "int64"))
		default:
			features = append(features, dataset.TensorFeature(f.Name, "string"))
		}
	}
	return append(features, dataset.TextFeature("sample_key"))
}
