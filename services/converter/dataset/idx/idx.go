// Package idx reads IDX files, the format of MNIST and of the datasets made to replace it (Fashion-MNIST, EMNIST,
// KMNIST): a header with a type and up to eight sizes, then big-endian numbers; http://yann.lecun.com/exdb/mnist/.
//
// A file of rows and one of labels belong together when their names differ only in the words that say so, such as
// train-images-idx3-ubyte and train-labels-idx1-ubyte. Bytes in two dimensions are grey images and with a third dimension of 1 or 3
// grey or RGB ones; they become PNG files in the feature "image". Whatever else rows are becomes the tensor "value". Labels
// that are whole numbers become classes, named by the numbers and in their order; others become the tensor "label".
package idx

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/trainyard/trainyard/services/converter/dataset"
	"github.com/trainyard/trainyard/services/converter/reject"
)

// Reader implements dataset.RowReader.
type Reader struct{}

// Format implements dataset.Reader.
func (Reader) Format() dataset.Format {
	return dataset.Format{
		Name:   "idx",
		Title:  "IDX (MNIST)",
		Labels: "the numbers in the files named labels",
		Description: "IDX files as MNIST has them, not compressed each for itself: rows such as images in one file, their labels in another whose name " +
			"has \"labels\" in it and is otherwise the same. Bytes in two dimensions become grey images, any other rows tensors. " +
			"The words train, validation, test and t10k in the names are kept as splits.",
		Extensions: []string{".idx", "-ubyte"},
		Example: `mnist.zip
├── t10k-images-idx3-ubyte
├── t10k-labels-idx1-ubyte
├── train-images-idx3-ubyte
└── train-labels-idx1-ubyte`,
	}
}

// maxDetect bounds how many files Detect looks into.
const maxDetect = 16

// Detect implements dataset.Reader.
func (Reader) Detect(ctx context.Context, files dataset.Files) (dataset.Match, error) {
	m := dataset.Match{Why: "IDX files such as train-images-idx3-ubyte"}
	candidates, looked, found := 0, 0, 0
	for i := range files.Len() {
		f := files.At(i)
		if isPacked(f.Path) {
			candidates, found = candidates+1, found+1 // Index says how to mend it
			continue
		}
		if !mayBe(f.Path) || f.Size < 8 {
			continue
		}
		candidates++
		if looked == maxDetect {
			continue
		}
		looked++
		head, err := dataset.ReadHead(ctx, files, i, maxHeader)
		var bad *reject.File
		if err != nil && !errors.As(err, &bad) { // Index says what is wrong with a bad one
			return m, err
		}
		if hasMagic(head) {
			found++
		}
	}
	if found > 0 {
		m.Share, m.Certain = float64(candidates)/float64(files.Len()), true
	}
	return m, nil
}

// schema is what NewEncoder, Rows and Features need to know; it travels as Index.Schema.
type schema struct {
	Rows   layout     `json:"rows"`
	Labels labelsKind `json:"labels"`
	Values layout     `json:"values"` // of labels that are tensors
	Width  int        `json:"width"`  // bytes that a label, as an index into the classes, takes in a block's Meta
}

// labelsKind says what the labels are.
type labelsKind string

const (
	noLabels labelsKind = "none"
	classes  labelsKind = "classes"
	tensors  labelsKind = "tensors"
)

func readSchema(index dataset.Index) (schema, error) {
	var s schema
	if err := json.Unmarshal(index.Schema, &s); err != nil {
		return s, fmt.Errorf("read the schema of IDX files: %w", err)
	}
	if s.Rows.rowBytes() < 1 || s.Rows.rowBytes() > dataset.MaxRowBytes {
		return s, fmt.Errorf("the schema of IDX files has rows of %d bytes", s.Rows.rowBytes())
	}
	if s.Labels == tensors && s.Values.rowBytes() < 1 {
		return s, fmt.Errorf("the schema of IDX files has labels of %d bytes", s.Values.rowBytes())
	}
	return s, nil
}

// Rows implements dataset.RowReader.
func (Reader) Rows(index dataset.Index) func(data []byte, row func(start, end int)) {
	s, err := readSchema(index)
	size := s.Rows.rowBytes()
	return func(data []byte, row func(start, end int)) {
		if err != nil {
			return
		}
		for start := 0; start+size <= len(data); start += size {
			row(start, start+size)
		}
	}
}

// Features implements dataset.Reader.
func (Reader) Features(index dataset.Index, _ *dataset.Stats) []dataset.Feature {
	s, err := readSchema(index)
	if err != nil {
		return nil
	}
	features := make([]dataset.Feature, 0, 2)
	if _, _, channels, ok := s.Rows.image(); ok {
		features = append(features, dataset.ImageFeature("image", "png", channels))
	} else {
		features = append(features, bytesTensor("value", s.Rows))
	}
	switch s.Labels {
	case classes:
		features = append(features, dataset.ClassLabelFeature("label", index.Classes))
	case tensors:
		features = append(features, bytesTensor("label", s.Values))
	case noLabels:
	}
	return features
}

// bytesTensor is a tensor that is stored as its bytes, little-endian, which keeps every type exact.
func bytesTensor(name string, l layout) dataset.Feature {
	f := dataset.TensorFeature(name, l.Element.dtype(), l.Dims...)
	f.JSON["tensor"].(map[string]any)["encoding"] = "bytes" //nolint:forcetypeassert // TensorFeature made it
	return f
}
