// Package voc reads datasets of boxes in the format of PASCAL VOC (http://host.robots.ox.ac.uk/pascal/VOC/voc2012/devkit_doc.pdf): one XML file with the root <annotation>
// for each picture, beside it or in Annotations/ beside JPEGImages/. It reads what labelImg, CVAT, Roboflow and others write in that format as well.
//
// Classes are the names of the objects, sorted. A box's xmin, ymin, xmax, ymax are pixels counted from 1, of which the last belongs to the box: it spans from xmin-1 to xmax, as in
// VOC's own evaluation code and in detectron2. ImageSets/Main/train.txt, val.txt and test.txt are the splits, or else folders named so; a picture in such a list that no XML file is of
// shows nothing. Parts of objects, rotated
// boxes, polygons and the masks in SegmentationClass and SegmentationObject are not read. See package boxes for what an example holds.
package voc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"path"
	"slices"
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
		Name:   "voc",
		Title:  "Pascal VOC",
		Labels: "the names of the objects in the XML",
		Description: "Images with an XML file of boxes for each, of the same name, beside it or in Annotations beside JPEGImages. " +
			"ImageSets/Main/train.txt, val.txt and test.txt, or folders named so, are kept as splits.",
		Extensions: append(picture.Extensions(), ".xml"),
		Example: `VOC2012
├── Annotations
│   ├── 2007_000027.xml
│   └── 2007_000032.xml
├── ImageSets
│   └── Main
│       ├── train.txt
│       └── val.txt
└── JPEGImages
    ├── 2007_000027.jpg
    └── 2007_000032.jpg
`,
	}
}

func isXML(p string) bool { return strings.EqualFold(path.Ext(p), ".xml") }

// isMask tells VOC's segmentation masks from pictures.
func isMask(p string) bool {
	return strings.Contains("/"+p, "/SegmentationClass") || strings.Contains("/"+p, "/SegmentationObject")
}

// maxDetect is how many XML files Detect looks into.
const maxDetect = 8

// Detect implements dataset.Reader.
func (Reader) Detect(ctx context.Context, files dataset.Files) (dataset.Match, error) {
	m := dataset.Match{Why: "XML files with the root <annotation>, one for each image"}
	data, looked, found := 0, 0, 0
	for i := range files.Len() {
		f := files.At(i)
		switch {
		case picture.KindOf(f.Path) != picture.NoImage:
			data++
		case isXML(f.Path):
			data++
			if looked == maxDetect {
				continue
			}
			looked++
			head, err := dataset.ReadHead(ctx, files, i, 4096)
			var left *reject.File
			if err != nil && !errors.As(err, &left) {
				return m, err
			}
			if bytes.Contains(head, []byte("<annotation>")) || bytes.Contains(head, []byte("<annotation ")) {
				found++
			}
		}
	}
	if found > 0 {
		m.Share, m.Certain = float64(data)/float64(files.Len()), true
	}
	return m, nil
}

// Index implements dataset.Reader.
func (Reader) Index(ctx context.Context, files dataset.Files, _ dataset.Options, found dataset.Listener) (dataset.Index, error) {
	x := &indexer{files: files, found: found, images: boxes.FindImages(files, isMask), classes: make(map[string]int), unread: make(map[int]bool)}
	if err := x.readSets(ctx); err != nil {
		return dataset.Index{}, err
	}
	for i := range files.Len() {
		if err := ctx.Err(); err != nil {
			return dataset.Index{}, err
		}
		if p := files.At(i).Path; isXML(p) {
			if err := x.file(ctx, i); err != nil {
				return dataset.Index{}, err
			}
		} else if isMask(p) {
			found.LeaveOut(i, reject.NotData, "segmentation masks are not read")
		}
	}
	if x.records == 0 {
		if x.first != nil {
			return dataset.Index{}, x.first
		}
		return dataset.Index{}, reject.New(reject.NoAnnotation, "No XML file has the name of an image, as Annotations/1.xml has that of JPEGImages/1.jpg.")
	}
	x.background()
	x.images.LeaveOutRest(found, "no XML file with its name; add one, without objects if it shows nothing")
	names := make([]string, 0, len(x.classes))
	for name := range x.classes {
		names = append(names, name)
	}
	slices.Sort(names)
	if err := boxes.CheckClasses(names, "in the XML files"); err != nil {
		return dataset.Index{}, err
	}
	schema := boxes.Schema{VOC: true, Labels: make([]int32, len(names))}
	for label, name := range names {
		schema.Labels[x.classes[name]] = int32(label) //nolint:gosec // at most MaxClasses
	}
	return dataset.Index{Classes: names, Schema: schema.Encode()}, nil
}

type indexer struct {
	files   dataset.Files
	found   dataset.Listener
	images  *boxes.Images
	classes map[string]int  // in the order in which they were found
	splits  []dataset.Split // of pictures by file; nil: unknown
	unread  map[int]bool    // pictures by file whose XML can't be read
	listed  []bool          // pictures by file that are in a list of ImageSets/Main
	records int
	first   *reject.File // the first file that can't be read
	meta    boxes.Meta
}

// readSets reads ImageSets/Main/train.txt and the like: a name a line, in lists of a class with 1 or -1 behind it.
func (x *indexer) readSets(ctx context.Context) error {
	splits := make([]dataset.Split, x.files.Len())
	x.listed = make([]bool, x.files.Len())
	seen := make(map[dataset.Split]bool)
	for i := range x.files.Len() {
		f := x.files.At(i)
		split := dataset.SplitNamed(strings.TrimSuffix(path.Base(f.Path), ".txt"))
		if path.Ext(f.Path) != ".txt" || split == dataset.NoSplit || !strings.HasSuffix("/"+path.Dir(f.Path), "/ImageSets/Main") {
			continue
		}
		text, err := dataset.ReadFile(ctx, x.files, i, maxSet)
		var left *reject.File
		if errors.As(err, &left) {
			x.found.LeaveOut(i, left.Reason, left.Message)
			continue
		}
		if err != nil {
			return err
		}
		x.found.Use(i)
		// The pictures lie below the folder that ImageSets is in.
		at := strings.TrimSuffix(f.Path, path.Join("ImageSets", "Main", path.Base(f.Path)))
		line := int64(0)
		for name := range strings.Lines(string(text)) {
			line++
			name, _, _ = strings.Cut(strings.TrimSpace(name), " ")
			if name == "" {
				continue
			}
			for _, image := range x.images.Beside(at + name + ".xml") {
				if before := splits[image]; before != dataset.NoSplit && before != split {
					x.found.LeaveOutRow(i, line, reject.DuplicateFile, fmt.Sprintf("the picture %.200q is in %s as well, where it stays; a picture belongs to one split", name, before))
					continue
				}
				splits[image], x.listed[image] = split, true
				seen[split] = true
			}
		}
	}
	if len(seen) > 1 {
		x.splits = splits
		return nil
	}
	if folders := x.images.FolderSplits(); folders != nil {
		for n, i := range x.images.All {
			splits[i] = folders[n]
		}
		x.splits = splits
	}
	return nil
}

// maxSet is the longest list of a split in bytes.
const maxSet = 64 << 20

// file reads one XML file.
func (x *indexer) file(ctx context.Context, i int) error {
	data, err := dataset.ReadFile(ctx, x.files, i, maxFile)
	var a annotation
	if err == nil {
		a, err = parse(data)
	}
	var left *reject.File
	var syntax *syntaxError
	if errors.As(err, &syntax) {
		left = reject.NewFile(x.files.At(i).Path, syntax.reason, "%s", syntax.message)
	} else if err != nil && !errors.As(err, &left) {
		return err
	}
	if left != nil {
		if x.first == nil && left.Reason != reject.NotData {
			x.first = left
		}
		x.found.LeaveOut(i, left.Reason, left.Message)
		for _, image := range x.images.Beside(left.Path) {
			x.unread[image] = true
		}
		return nil
	}
	image, reason, message := x.imageOf(i, &a)
	if reason != "" {
		x.found.LeaveOut(i, reason, message)
		return nil
	}
	x.found.Use(i)
	p := boxes.Picture{Units: boxes.Pixels, Width: a.width, Height: a.height}
	x.meta.Reset(p)
	for n := range a.objects {
		o := &a.objects[n]
		if reason, message := x.add(p, o); reason != "" {
			x.found.LeaveOutAnnotation(i, int64(o.line), reason, message)
		}
	}
	x.record(image)
	return nil
}

// record makes a picture a record with the objects in meta.
func (x *indexer) record(image int) {
	split := dataset.NoSplit
	if x.splits != nil {
		split = x.splits[image]
	}
	x.records++
	x.found.Record(dataset.Record{File: image, Key: x.images.Key(image), Label: -1, Split: split, Meta: x.meta.Bytes(), Annotations: x.meta.Objects})
}

// background makes the pictures that a list of ImageSets/Main has but that no XML file is of records without objects, as datumaro exports them. One whose XML
// file can't be read is not among them.
func (x *indexer) background() {
	x.meta.Reset(boxes.Picture{Units: boxes.Pixels})
	for _, image := range x.images.All {
		if x.listed[image] && !x.unread[image] && x.images.Take(image) {
			x.record(image)
		}
	}
}

// imageOf finds the picture that an XML file is of: by the file's name, and of several by what <filename> says.
func (x *indexer) imageOf(i int, a *annotation) (image int, reason reject.Reason, message string) {
	xmlPath := x.files.At(i).Path
	beside := x.images.Beside(xmlPath)
	if len(beside) > 1 {
		named := slices.DeleteFunc(slices.Clone(beside), func(i int) bool {
			return path.Base(x.files.At(i).Path) != path.Base(strings.ReplaceAll(a.filename, `\`, "/"))
		})
		if len(named) != 1 {
			return 0, reject.AmbiguousImage, "several images have the name of the XML file; write the right one into <filename>"
		}
		beside = named
	}
	if len(beside) == 0 && a.filename != "" { // tools that number their XML files
		image, reason := x.images.Named(a.filename, xmlPath)
		if reason == "" && boxes.SplitOf(x.files.At(image).Path) == boxes.SplitOf(xmlPath) {
			beside = []int{image}
		}
	}
	switch {
	case len(beside) == 0:
		return 0, reject.MissingImage, "no image has the name of the XML file or the one in its <filename>; put it into the same folder, or into JPEGImages beside Annotations"
	case !x.images.Take(beside[0]):
		return 0, reject.DuplicateFile, "another XML file is of the same image; keep one of them"
	}
	return beside[0], "", ""
}

// add adds an object to the picture or says why not.
func (x *indexer) add(p boxes.Picture, o *object) (reject.Reason, string) {
	switch {
	case o.part:
		return reject.NotData, "parts of objects are not read"
	case o.ring && !o.haveBox:
		return reject.InvalidBox, "the object has a polygon and no <bndbox>; polygons are not read from XML files, export the dataset as COCO to keep them"
	case o.rotated && !o.haveBox:
		return reject.InvalidBox, "the object has a rotated box; only an upright one, <bndbox>, is read"
	case !o.haveBox:
		return reject.InvalidBox, "the object has no <bndbox>"
	}
	if reason := boxes.CheckClassName(o.name); reason != "" {
		return reject.UnknownCategory, "the object's <name> can't be a label: " + reason
	}
	if math.IsNaN(o.xmin) || math.IsNaN(o.ymin) || math.IsNaN(o.xmax) || math.IsNaN(o.ymax) {
		return reject.InvalidBox, "the box has a coordinate that is missing or no number"
	}
	box := o.box()
	if reason := p.Check(&box); reason != "" {
		return reject.InvalidBox, reason
	}
	label, ok := x.classes[o.name]
	if !ok {
		if len(x.classes) == boxes.MaxClasses {
			return reject.TooManyClasses, fmt.Sprintf("the object's <name> is new behind %d others, the limit", boxes.MaxClasses)
		}
		label = len(x.classes)
		x.classes[o.name] = label
	}
	box.Label = label
	if !x.meta.Add(&box) {
		return reject.TooLarge, fmt.Sprintf("the picture's annotations take more than %d bytes, the limit", boxes.MaxMeta)
	}
	return "", ""
}

// NewEncoder implements dataset.Reader.
func (Reader) NewEncoder(opts dataset.Options, index dataset.Index) (dataset.Encoder, error) {
	return boxes.NewEncoder(opts, index)
}

// Features implements dataset.Reader.
func (Reader) Features(index dataset.Index, stats *dataset.Stats) []dataset.Feature {
	return boxes.Features(index, stats)
}
