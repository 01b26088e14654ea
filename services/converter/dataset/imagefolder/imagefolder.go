// Package imagefolder reads image class folders: one folder of PNG or JPEG files for each class, its name being the
// label. It is the layout of Keras's image_dataset_from_directory, torchvision's ImageFolder and TFDS's ImageFolder.
package imagefolder

import (
	"context"
	"path"
	"strconv"
	"strings"

	"github.com/trainyard/trainyard/services/converter/dataset"
	"github.com/trainyard/trainyard/services/converter/dataset/folder"
	"github.com/trainyard/trainyard/services/converter/reject"
	"github.com/trainyard/trainyard/services/converter/tfrecord"
)

// Reader implements dataset.Reader.
type Reader struct{}

// Format implements dataset.Reader.
func (Reader) Format() dataset.Format {
	return dataset.Format{
		Name:        "image-folder",
		Title:       "Image class folders",
		Description: "One folder of PNG or JPEG images for each class, such as cats/1.jpg and dogs/1.jpg; folders around them don't matter. train, validation and test folders above the classes are kept as splits.",
		Extensions:  []string{".png", ".jpg", ".jpeg"},
	}
}

// kind is what a file's name promises.
type kind int

const (
	other    kind = iota // nothing that this format reads
	imaged               // an image that is read
	unread               // an image of a kind that is not read
	archived             // an archive within the archive
)

func kindOf(name string) kind {
	switch strings.ToLower(path.Ext(name)) {
	case ".png", ".jpg", ".jpeg", ".jpe", ".jfif":
		return imaged
	case ".gif", ".bmp", ".webp", ".tif", ".tiff", ".heic", ".heif", ".avif", ".jp2", ".jxl":
		return unread
	case ".zip", ".tar", ".gz", ".tgz", ".zst", ".bz2", ".xz", ".7z", ".rar":
		return archived
	}
	return other
}

// Detect implements dataset.Reader.
func (Reader) Detect(files dataset.Files) dataset.Match {
	n := 0
	for i := range files.Len() {
		f := files.At(i)
		if k := kindOf(f.Path); k == imaged || k == unread {
			n++
		}
	}
	m := dataset.Match{Why: "image files in one folder for each class, such as cats/1.jpg"}
	if n > 0 {
		m.Share = float64(n) / float64(files.Len())
	}
	return m
}

// Index implements dataset.Reader.
func (Reader) Index(ctx context.Context, files dataset.Files, found dataset.Listener) (dataset.Index, error) {
	layout := folder.Find(files, func(path string) bool { k := kindOf(path); return k == imaged || k == unread })
	classes, err := layout.Classes(files, func(path string) bool { return kindOf(path) == imaged },
		"put the images of each class into a folder of its own, for example cats/1.jpg and dogs/1.jpg.")
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
		switch kindOf(f.Path) {
		case other:
			found.LeaveOut(i, reject.NotData, "the file is not an image; only PNG and JPEG files become examples")
			continue
		case archived:
			found.LeaveOut(i, reject.NestedArchive, "archives within the archive are not opened; put their files into the outer one")
			continue
		case unread:
			found.LeaveOut(i, reject.UnsupportedImage, "images of this kind are not read; convert it to PNG or JPEG")
			continue
		case imaged:
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
func (Reader) Features(classes []string, stats *dataset.Stats) []dataset.Feature {
	encoding := ""
	if seen := stats.Counts[statEncoding]; len(seen) == 1 {
		for e := range seen {
			encoding = e
		}
	}
	// Grey images stay grey only if all are: a batch needs one depth. Colour loses nothing.
	channels := 3
	if seen := stats.Counts[statChannels]; len(seen) == 1 && seen["1"] > 0 {
		channels = 1
	}
	return []dataset.Feature{
		dataset.TextFeature("filename"),
		dataset.ImageFeature("image", encoding, channels),
		dataset.ClassLabelFeature("label", classes),
	}
}

// Names in the statistics.
const (
	statEncoding = "encoding"
	statChannels = "channels"
	statChecked  = "validation"
	statWidth    = "width"
	statHeight   = "height"
	statSize     = "file_bytes"
)

// NewEncoder implements dataset.Reader.
func (Reader) NewEncoder(opts dataset.Options) dataset.Encoder {
	return &encoder{full: opts.Validation == dataset.Full}
}

type encoder struct {
	full     bool
	features []tfrecord.Feature
	image    []byte
	decoder  decoder
}

// Encode implements dataset.Encoder. The image's bytes go into the record as they are.
func (e *encoder) Encode(dst []byte, record dataset.Item, body dataset.Body, stats *dataset.Stats) ([]byte, error) {
	e.features = append(e.features[:0],
		tfrecord.Text("filename", record.Path),
		tfrecord.Reserve("image", body.Size(), &e.image),
		tfrecord.Int64("label", int64(record.Label)))
	dst = tfrecord.AppendExample(dst, e.features)
	if err := body.Fill(e.image); err != nil {
		return dst, err
	}
	info, problem := inspect(e.image)
	checked := "structure"
	if problem == nil && e.full && info.width*info.height <= maxDecoded {
		checked = "full"
		problem = e.decoder.decode(e.image, info)
	}
	if problem != nil {
		return dst, reject.NewFile(record.Path, problem.reason, "%s", problem.message)
	}
	stats.AddExample(body.Size(), record.Label)
	stats.Observe(statWidth, float64(info.width))
	stats.Observe(statHeight, float64(info.height))
	stats.Observe(statSize, float64(body.Size()))
	stats.Count(statEncoding, info.encoding)
	stats.Count(statChannels, strconv.Itoa(info.channels))
	stats.Count(statChecked, checked)
	return dst, nil
}
