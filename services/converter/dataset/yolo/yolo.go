// Package yolo reads datasets of boxes in the format of YOLO, as Ultralytics (https://docs.ultralytics.com/datasets/detect/), Darknet, CVAT and Roboflow write it: beside
// each picture, or in a folder labels beside images, a text file of the same name with a row for each object, see rows. The classes are named, in their order, by data.yaml, or
// by obj.names or classes.txt.
//
// A picture without a label file, or with an empty one, shows nothing: it becomes an example without objects. The splits are the paths in data.yaml, or the lists
// train.txt, val.txt and test.txt, or else folders named so. Polygons are kept as segmentation and keypoints as keypoints, in parts of the upright picture. See package boxes for what an example holds.
package yolo

import (
	"bytes"
	"context"
	"errors"
	"path"
	"strings"

	"github.com/trainyard/trainyard/services/converter/dataset"
	"github.com/trainyard/trainyard/services/converter/dataset/boxes"
	"github.com/trainyard/trainyard/services/converter/picture"
	"github.com/trainyard/trainyard/services/converter/reject"
)

// Reader implements dataset.Reader.
type Reader struct{}

// Format implements dataset.Reader.
func (Reader) Format() dataset.Format {
	return dataset.Format{
		Name:   "yolo",
		Title:  "YOLO",
		Labels: "the classes in data.yaml or classes.txt",
		Description: "Images with a text file of boxes for each, of the same name, beside it or in labels beside images, and a data.yaml (or classes.txt, obj.names) with the names of the classes. " +
			"An image without a text file shows nothing. The paths train, val and test in data.yaml, or folders named so, are kept as splits.",
		Extensions: append(picture.Extensions(), ".txt", ".yaml"),
		Example: `coco8
├── data.yaml
├── images
│   ├── train
│   │   └── 000000000009.jpg
│   └── val
│       └── 000000000036.jpg
└── labels
    ├── train
    │   └── 000000000009.txt
    └── val
        └── 000000000036.txt
`,
	}
}

func isText(p string) bool { return strings.EqualFold(path.Ext(p), ".txt") }

// inLabels tells whether a file lies in a folder for labels.
func inLabels(p string) bool { return strings.Contains("/"+strings.ToLower(p), "/labels/") }

// The limits on a label file and a list of images, and how much of a file is looked at to tell what it is, in bytes.
const (
	maxLabels = 16 << 20
	maxList   = 64 << 20
	headBytes = 16 << 10
)

// maxDetect is how many files of each kind Detect looks into.
const maxDetect = 8

// Detect implements dataset.Reader.
func (Reader) Detect(ctx context.Context, files dataset.Files) (dataset.Match, error) {
	m := dataset.Match{Why: "text files with rows \"class cx cy w h\" beside images, and a data.yaml, classes.txt or obj.names"}
	images := boxes.FindImages(files, nil)
	if len(images.All) == 0 {
		return m, nil
	}
	data, configs, looked, good, bad := len(images.All), 0, 0, 0, 0
	r := rows{classes: boxes.MaxClasses}
	for i := range files.Len() {
		p := files.At(i).Path
		named := isConfig(p) > 0
		if !named && !isText(p) {
			continue
		}
		if !named && (looked == maxDetect || len(images.Beside(p)) == 0) {
			if looked == maxDetect {
				data++
			}
			continue
		}
		if named && configs == maxDetect {
			continue
		}
		head, err := dataset.ReadHead(ctx, files, i, headBytes)
		var left *reject.File
		if errors.As(err, &left) {
			continue
		}
		if err != nil {
			return m, err
		}
		if named {
			if !isYAML(p) || bytes.HasPrefix(head, []byte("names:")) || bytes.Contains(head, []byte("\nnames:")) {
				configs++
				data++
			}
			continue
		}
		looked++
		data++
		if int64(len(head)) < files.At(i).Size {
			head = head[:bytes.LastIndexByte(head, '\n')+1]
		}
		r.read(head, func(int64, *boxes.Object) { good++ }, func(_ int64, reason reject.Reason, _ string) {
			if reason == reject.MalformedRow {
				bad++
			} else {
				good++ // a row all the same
			}
		})
	}
	// An image folder may have a classes.txt as well, and texts beside images may be captions: there must be rows.
	if good > 0 && (configs > 0 || good >= bad) {
		m.Share, m.Certain = min(1, float64(data)/float64(files.Len())), true
	}
	return m, nil
}

// Index implements dataset.Reader.
func (Reader) Index(ctx context.Context, files dataset.Files, _ dataset.Options, found dataset.Listener) (dataset.Index, error) {
	x := &indexer{ctx: ctx, files: files, found: found, images: boxes.FindImages(files, nil)}
	if err := x.readConfig(); err != nil {
		return dataset.Index{}, err
	}
	if err := x.readSplits(); err != nil {
		return dataset.Index{}, err
	}
	x.rows.classes, x.rows.keypoints = len(x.config.names), x.config.keypoints
	for i := range files.Len() {
		if err := ctx.Err(); err != nil {
			return dataset.Index{}, err
		}
		if p := files.At(i).Path; isText(p) && isConfig(p) == 0 && !x.lists[i] {
			if err := x.labels(i); err != nil {
				return dataset.Index{}, err
			}
		}
	}
	x.background()
	x.images.LeaveOutUnread(found)
	return dataset.Index{Classes: x.config.names, Schema: x.schema.Encode()}, nil
}

type indexer struct {
	ctx    context.Context //nolint:containedctx // for the time of one Index
	files  dataset.Files
	found  dataset.Listener
	images *boxes.Images
	config *config
	splits []dataset.Split // of pictures by file; nil: unknown
	lists  map[int]bool    // files that list the images of a split
	rows   rows
	meta   boxes.Meta
	schema boxes.Schema
}

// readConfig reads the best of the files that name the classes.
func (x *indexer) readConfig() error {
	best := -1
	for i := range x.files.Len() {
		rank := isConfig(x.files.At(i).Path)
		if rank == 0 {
			continue
		}
		if best < 0 || rank < isConfig(x.files.At(best).Path) {
			best = i
		}
	}
	if best < 0 {
		return reject.New(reject.TooFewClasses, "Nothing names the classes. Add a file data.yaml such as \"names: [cat, dog]\", in the order of the numbers in the label files.")
	}
	f := x.files.At(best)
	data, err := dataset.ReadFile(x.ctx, x.files, best, maxConfig)
	if err != nil {
		return err
	}
	if isYAML(f.Path) {
		x.config, err = parseYAML(data)
	} else {
		x.config, err = parseNames(data)
	}
	var syntax *syntaxError
	if errors.As(err, &syntax) {
		return reject.NewFile(f.Path, syntax.reason, "%s", syntax.message)
	}
	if err != nil {
		return err
	}
	x.found.Use(best)
	return boxes.CheckClasses(x.config.names, "in "+path.Base(f.Path))
}

// labels reads a label file and makes its picture a record.
func (x *indexer) labels(i int) error {
	f := x.files.At(i)
	images := x.images.Beside(f.Path)
	if len(images) == 0 {
		return x.stray(i)
	}
	data, err := dataset.ReadFile(x.ctx, x.files, i, maxLabels)
	var left *reject.File
	if errors.As(err, &left) {
		x.found.LeaveOut(i, left.Reason, left.Message)
		for _, image := range images { // they may show something
			if x.images.Take(image) {
				x.found.LeaveOut(image, reject.NoAnnotation, "the image's label file can't be read")
			}
		}
		return nil
	}
	if err != nil {
		return err
	}
	if !x.images.Take(images[0]) {
		x.found.LeaveOut(i, reject.DuplicateFile, "another label file is of the same image; keep one of them")
		return nil
	}
	x.found.Use(i)
	p := boxes.Picture{Units: boxes.Parts}
	x.meta.Reset(p)
	refuse := func(line int64, reason reject.Reason, message string) {
		x.found.LeaveOutAnnotation(i, line, reason, message)
	}
	x.rows.read(data, func(line int64, o *boxes.Object) {
		if reason := p.Check(o); reason != "" {
			refuse(line, reject.InvalidBox, reason)
			return
		}
		if !x.meta.Add(o) {
			refuse(line, reject.TooLarge, "the picture has more annotations than the limit allows")
			return
		}
		x.schema.Segmentation = x.schema.Segmentation || len(o.Segmentation) > 0
		x.schema.Keypoints = x.schema.Keypoints || len(o.KeypointSet) > 0
	}, refuse)
	x.record(images[0])
	// 1.jpg and 1.png beside one 1.txt show the same, as they do to Ultralytics.
	for _, image := range images[1:] {
		if x.images.Take(image) {
			x.record(image)
		}
	}
	return nil
}

// stray leaves out a text file that no image belongs to. It was meant as a label file if it lies with others or has their rows.
func (x *indexer) stray(i int) error {
	f := x.files.At(i)
	meant := inLabels(f.Path)
	if !meant {
		head, err := dataset.ReadHead(x.ctx, x.files, i, headBytes)
		var left *reject.File
		if err != nil && !errors.As(err, &left) {
			return err
		}
		if int64(len(head)) < f.Size {
			head = head[:bytes.LastIndexByte(head, '\n')+1]
		}
		x.rows.read(head, func(int64, *boxes.Object) { meant = true }, func(int64, reject.Reason, string) {})
	}
	if meant {
		x.found.LeaveOut(i, reject.MissingImage, "no image has the name of the label file; put it into the same folder, or the images into images and the label files into labels beside it")
	}
	return nil
}

// record makes a picture a record with the objects in meta.
func (x *indexer) record(image int) {
	split := dataset.NoSplit
	if x.splits != nil {
		split = x.splits[image]
	}
	x.found.Record(dataset.Record{File: image, Key: x.images.Key(image), Label: -1, Split: split, Meta: x.meta.Bytes(), Annotations: x.meta.Objects})
}

// background makes the pictures without a label file records without objects.
func (x *indexer) background() {
	x.meta.Reset(boxes.Picture{Units: boxes.Parts})
	for _, image := range x.images.All {
		if x.images.Take(image) {
			x.record(image)
		}
	}
}

// NewEncoder implements dataset.Reader.
func (Reader) NewEncoder(opts dataset.Options, index dataset.Index) (dataset.Encoder, error) {
	return boxes.NewEncoder(opts, index)
}

// Features implements dataset.Reader.
func (Reader) Features(index dataset.Index, stats *dataset.Stats) []dataset.Feature {
	return boxes.Features(index, stats)
}
