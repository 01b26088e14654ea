// Package imagefolder reads image class folders: one folder of images for each class, its name being the
// label. It is the layout of Keras's image_dataset_from_directory, torchvision's ImageFolder and TFDS's ImageFolder.
package imagefolder

import (
	"context"
	"path"
	"strings"

	"github.com/trainyard/trainyard/services/converter/dataset"
	"github.com/trainyard/trainyard/services/converter/dataset/folder"
	"github.com/trainyard/trainyard/services/converter/picture"
	"github.com/trainyard/trainyard/services/converter/reject"
	"github.com/trainyard/trainyard/services/converter/tfrecord"
)

// Reader implements dataset.Reader.
type Reader struct{}

// Format implements dataset.Reader.
func (Reader) Format() dataset.Format {
	return dataset.Format{
		Name:   "image-folder",
		Title:  "Image class folders",
		Labels: "the names of the folders",
		Description: "One folder of JPEG, PNG, GIF, BMP, WebP or TIFF images for each class, such as cats/1.jpg and dogs/1.jpg; folders around them don't matter. " +
			"train, validation and test folders above the classes are kept as splits.",
		Extensions: picture.Extensions(),
		Example: `flowers
├── train
│   ├── daisy
│   │   ├── 1.jpg
│   │   └── 2.png
│   └── tulip
│       └── 3.webp
└── test
    ├── daisy
    │   └── 4.jpg
    └── tulip
        └── 5.jpg
`,
	}
}

// isData tells whether a file is meant to be an example, even if images of its kind are not read.
func isData(name string) bool { return picture.KindOf(name) != picture.NoImage }

func isRead(name string) bool { return picture.KindOf(name) == picture.Image }

func isArchive(name string) bool {
	switch strings.ToLower(path.Ext(name)) {
	case ".zip", ".tar", ".gz", ".tgz", ".zst", ".bz2", ".xz", ".7z", ".rar":
		return true
	}
	return false
}

// Detect implements dataset.Reader.
func (Reader) Detect(_ context.Context, files dataset.Files) (dataset.Match, error) {
	n := 0
	for i := range files.Len() {
		if isData(files.At(i).Path) {
			n++
		}
	}
	m := dataset.Match{Why: "image files in one folder for each class, such as cats/1.jpg"}
	if n > 0 {
		m.Share = float64(n) / float64(files.Len())
	}
	return m, nil
}

// Index implements dataset.Reader.
func (Reader) Index(ctx context.Context, files dataset.Files, _ dataset.Options, found dataset.Listener) (dataset.Index, error) {
	layout := folder.Find(files, isData)
	classes, err := layout.Classes(files, isRead, "put the images of each class, as JPEG, PNG, GIF, BMP, WebP or TIFF, into a folder of its own, for example cats/1.jpg and dogs/1.jpg.")
	if err != nil {
		return dataset.Index{}, err
	}
	labels := make(map[string]int, len(classes))
	for i, c := range classes {
		labels[c] = i
	}
	for i := range files.Len() {
		if err := ctx.Err(); err != nil {
			return dataset.Index{}, err
		}
		f := files.At(i)
		if !isRead(f.Path) {
			switch {
			case isData(f.Path):
				found.LeaveOut(i, reject.UnsupportedImage, "images of this kind are not read; save it as JPEG or PNG")
			case isArchive(f.Path):
				found.LeaveOut(i, reject.NestedArchive, "archives within the archive are not opened; put their files into the outer one")
			default:
				found.LeaveOut(i, reject.NotData, "the file is not an image; only JPEG, PNG, GIF, BMP, WebP and TIFF files become examples")
			}
			continue
		}
		p := layout.Place(f.Path)
		label, ok := labels[p.Class]
		switch {
		case !ok:
			found.LeaveOut(i, reject.NoClassFolder, "the image lies outside of the class folders, so it has no label")
		case f.Size == 0:
			found.LeaveOut(i, reject.EmptyFile, "the file is empty")
		default:
			found.Record(dataset.Record{File: i, Key: p.Key, Label: label, Split: p.Split})
		}
	}
	return dataset.Index{Classes: classes}, nil
}

// Features implements dataset.Reader.
func (Reader) Features(index dataset.Index, stats *dataset.Stats) []dataset.Feature {
	return []dataset.Feature{
		dataset.TextFeature("filename"),
		picture.Feature("image", stats),
		dataset.ClassLabelFeature("label", index.Classes),
		dataset.TensorFeature("orientation", "int64"),
	}
}

// NewEncoder implements dataset.Reader.
func (Reader) NewEncoder(opts dataset.Options, _ dataset.Index) (dataset.Encoder, error) {
	return &encoder{images: picture.NewLoader(opts)}, nil
}

type encoder struct {
	images   *picture.Loader
	features []tfrecord.Feature
}

// Encode implements dataset.Encoder.
func (e *encoder) Encode(dst []byte, record dataset.Item, body dataset.Body, stats *dataset.Stats) ([]byte, error) {
	data, err := body.Bytes()
	if err != nil {
		return dst, err
	}
	image, err := e.images.Load(record.Path, data)
	if err != nil {
		return dst, err
	}
	e.features = append(e.features[:0],
		tfrecord.Text("filename", record.Path),
		tfrecord.Bytes("image", image.Data),
		tfrecord.Int64("label", int64(record.Label)),
		tfrecord.Int64("orientation", int64(image.Orientation)))
	stats.AddExample(image.Size, record.Label)
	image.Observe(stats)
	return tfrecord.AppendExample(dst, e.features), nil
}
