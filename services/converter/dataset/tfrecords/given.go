package tfrecords

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"

	"github.com/trainyard/trainyard/services/converter/dataset"
	"github.com/trainyard/trainyard/services/converter/reject"
)

// maxGiven is the longest file beside the records that is read, in bytes.
const maxGiven = 8 << 20

// given is what files beside the records say of them.
type given struct {
	features []dataset.Feature // of features.json
	contract map[string]wanted // that follows from them; nil: none is given
	needed   int               // how many features the contract requires
	label    string            // name of the feature that is the label, if there is one
	classes  []string          // their names in order; nil: not given
}

// labelNames are the names that a label's feature has in the wild, the commonest first.
var labelNames = []string{"label", "labels", "class", "image/class/label", "target", "y"}

// readGiven reads features.json and the files of labels.
func readGiven(ctx context.Context, files dataset.Files, opts dataset.Options, listener dataset.Listener) (*given, error) {
	g := &given{label: opts.LabelColumn}
	labels := make(map[string][]string) // by the file's name without .labels.txt; "" of one for all
	var description []byte
	for i := range files.Len() {
		base := path.Base(files.At(i).Path)
		stem, isLabels := strings.CutSuffix(base, ".labels.txt")
		switch base {
		case "labels.txt", "classes.txt", "class_names.txt":
			stem, isLabels = "", true
		case "dataset_info.json":
			listener.Use(i) // its counts and checksums are those of other files than will be written
			continue
		case "features.json":
		default:
			if !isLabels {
				continue
			}
		}
		b, err := dataset.ReadFile(ctx, files, i, maxGiven)
		var bad *reject.File
		if errors.As(err, &bad) {
			listener.LeaveOut(i, bad.Reason, bad.Message)
			continue
		}
		if err != nil {
			return nil, err
		}
		switch {
		case isLabels && labels[stem] == nil:
			names, problem := parseNames(b)
			if problem != "" {
				listener.LeaveOut(i, reject.MalformedFile, problem)
				continue
			}
			labels[stem] = names
			listener.Use(i)
		case !isLabels && description == nil:
			if problem := g.parseFeatures(b); problem != "" {
				listener.LeaveOut(i, reject.MalformedFile, problem)
				continue
			}
			description = b
			listener.Use(i)
		default:
			listener.LeaveOut(i, reject.DuplicateFile, "the upload has another file of this name, which is taken")
		}
	}
	g.name(labels)
	return g, nil
}

// parseNames reads class names, one a line.
func parseNames(b []byte) ([]string, string) {
	names := strings.Split(strings.TrimRight(strings.ReplaceAll(string(b), "\r\n", "\n"), "\n"), "\n")
	if len(names) > maxClasses {
		return nil, fmt.Sprintf("the file has %d lines; the limit for classes is %d", len(names), maxClasses)
	}
	seen := make(map[string]bool, len(names))
	for i, n := range names {
		if !goodKey([]byte(n)) || seen[n] {
			return nil, fmt.Sprintf("line %d is no class name, which has 1 to %d bytes of text and is there once", i+1, maxKeyBytes)
		}
		seen[n] = true
	}
	return names, ""
}

// node is a feature in features.json (tensorflow_datasets/core/proto/feature.proto in its JSON form), as far as it concerns the contract.
type node struct {
	Class string `json:"pythonClassName"`
	Dict  *struct {
		Features map[string]json.RawMessage `json:"features"`
	} `json:"featuresDict"`
	Sequence *struct {
		Feature json.RawMessage `json:"feature"`
	} `json:"sequence"`
	Label *struct {
		Classes string `json:"numClasses"`
	} `json:"classLabel"`
	Tensor *struct {
		DType    string `json:"dtype"`
		Encoding string `json:"encoding"`
		Shape    struct {
			Dimensions []string `json:"dimensions"`
		} `json:"shape"`
		Optional bool `json:"optional"`
	} `json:"tensor"`
}

// last is the class's name without its modules.
func (n *node) last() string { return n.Class[strings.LastIndexByte(n.Class, '.')+1:] }

// parseFeatures reads features.json.
func (g *given) parseFeatures(b []byte) string {
	var root node
	if err := json.Unmarshal(b, &root); err != nil {
		return "the file is not JSON as TensorFlow Datasets writes it; the features are found out from the records instead"
	}
	if root.Dict == nil || root.last() != "FeaturesDict" || len(root.Dict.Features) == 0 || len(root.Dict.Features) > maxFeatures {
		return "the file does not describe a dict of features as TensorFlow Datasets 4 writes it; the features are found out from the records instead"
	}
	contract := make(map[string]wanted)
	var features []dataset.Feature
	for name, raw := range root.Dict.Features {
		f := dataset.Feature{Name: name}
		if !goodKey([]byte(name)) || json.Unmarshal(raw, &f.JSON) != nil || f.JSON == nil || !want(contract, name, raw, false, 0) {
			return fmt.Sprintf("the feature %q is not described as TensorFlow Datasets 4 does; the features are found out from the records instead", name)
		}
		features = append(features, f)
	}
	sortFeatures(features)
	g.features, g.contract = features, contract
	for _, w := range contract {
		if w.required {
			g.needed++
		}
	}
	return ""
}

// maxNesting bounds how deep features are nested.
const maxNesting = 16

// want adds to the contract what a feature of features.json means for the examples. Of classes that it doesn't know, nothing is wanted. It
// returns false for what can't be a feature.
func want(contract map[string]wanted, key string, raw json.RawMessage, inSequence bool, depth int) bool {
	var n node
	if depth > maxNesting || json.Unmarshal(raw, &n) != nil || n.Class == "" || len(contract) > maxFeatures {
		return false
	}
	one := func(k kind, count int) bool {
		w := wanted{kind: k, count: count, required: true}
		if inSequence {
			w.count, w.required = -1, false
		}
		contract[key] = w
		return true
	}
	switch n.last() {
	case "FeaturesDict", "Translation":
		if n.Dict == nil {
			return n.last() != "FeaturesDict"
		}
		for name, inner := range n.Dict.Features {
			if !want(contract, key+"/"+name, inner, inSequence, depth+1) {
				return false
			}
		}
		return true
	case "Sequence":
		if n.Sequence == nil {
			return false
		}
		if inSequence {
			return true // ragged: its values and their lengths are features of their own
		}
		return want(contract, key, n.Sequence.Feature, true, depth+1)
	case "Image", "LabeledImage", "Text":
		return one(texts, 1)
	case "ClassLabel":
		return n.Label != nil && one(ints, 1)
	case "BBoxFeature":
		return one(floats, 4)
	case "Tensor", "Scalar":
		if n.Tensor == nil {
			return false
		}
		count := 1
		unknown := 0
		for _, d := range n.Tensor.Shape.Dimensions {
			size, err := strconv.Atoi(d)
			if err != nil || size > dataset.MaxRowBytes {
				return false
			}
			if size < 0 {
				unknown++
				continue
			}
			count = min(count*size, dataset.MaxRowBytes)
		}
		if unknown > 1 || n.Tensor.Optional {
			return true
		}
		if e := strings.ToLower(n.Tensor.Encoding); e != "" && e != "none" {
			return one(texts, 1)
		}
		if unknown > 0 || count == 0 {
			contract[key] = wanted{kind: kindOf(n.Tensor.DType), count: -1}
			return true
		}
		return one(kindOf(n.Tensor.DType), count)
	}
	return true
}

// kindOf tells the kind of list in which TFDS stores values of a dtype.
func kindOf(dtype string) kind {
	switch {
	case strings.HasPrefix(dtype, "int"), strings.HasPrefix(dtype, "uint"), dtype == "bool":
		return ints
	case strings.HasPrefix(dtype, "float"), strings.HasPrefix(dtype, "bfloat"):
		return floats
	case dtype == "string", dtype == "object":
		return texts
	}
	return none // any
}

// name finds the label's feature and gives the class labels their names.
func (g *given) name(labels map[string][]string) {
	for i := range g.features {
		f := &g.features[i]
		for stem, names := range labels {
			if stem == fileName(f.Name) {
				if count, ok := classCount(f.JSON); ok && count == len(names) {
					f.Labels = names
				}
			} else if rest, ok := strings.CutPrefix(stem, fileName(f.Name)+"-"); ok {
				f.Fields = append(f.Fields, dataset.Feature{Name: rest, Labels: names})
			}
		}
		sortFeatures(f.Fields)
	}
	if g.features != nil {
		g.labelOf(labels[""])
		return
	}
	if g.label == "" {
		for _, n := range labelNames {
			if labels[fileName(n)] != nil {
				g.label = n
				break
			}
		}
	}
	g.classes = labels[fileName(g.label)]
	if g.classes == nil {
		g.classes = labels[""]
	}
}

// fileName is the name that TFDS gives a feature in the name of its file of labels.
func fileName(feature string) string { return strings.ReplaceAll(feature, "/", ".") }

// labelOf takes the label from the features given: the one asked for or of the commonest name, or else the only class label.
func (g *given) labelOf(names []string) {
	var only []string
	byName := make(map[string]*dataset.Feature)
	for i := range g.features {
		if _, ok := classCount(g.features[i].JSON); ok {
			byName[g.features[i].Name] = &g.features[i]
			only = append(only, g.features[i].Name)
		}
	}
	candidates := append([]string{g.label}, labelNames...)
	if g.label != "" {
		candidates = candidates[:1]
	} else if len(only) == 1 {
		candidates = only
	}
	for _, n := range candidates {
		f := byName[n]
		if f == nil {
			continue
		}
		count, _ := classCount(f.JSON)
		if f.Labels == nil && len(names) == count {
			f.Labels = names
		}
		if f.Labels == nil {
			f.Labels = numbers(count)
		}
		g.label, g.classes = n, f.Labels
		return
	}
}

// classCount is the number of classes of a class label in features.json.
func classCount(feature map[string]any) (int, bool) {
	label, _ := feature["classLabel"].(map[string]any)
	s, _ := label["numClasses"].(string)
	n, err := strconv.Atoi(s)
	return n, err == nil && n > 0 && n <= maxClasses
}
