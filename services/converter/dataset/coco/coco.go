// Package coco reads datasets of boxes in the format of COCO (https://cocodataset.org/#format-data): pictures, and JSON files with the lists "images",
// "annotations" and "categories". It reads what CVAT, Roboflow, Label Studio, LVIS and others write in that format as well.
//
// Classes are the categories in the order of their ids, which may have gaps; the ids are kept in the Index's Schema. Categories of the same name are one class. Boxes
// are [x, y, width, height] in pixels. Several files, such as instances_train2017.json and instances_val2017.json, are the splits that their names or folders say. See package
// boxes for what an example holds. Fields that are not named there are not kept.
//
// Files of captions, panoptic segments and the like, which have no boxes with categories, and files without a list of annotations, such as those of COCO's test pictures, are not
// read; nor are files that describe the pictures of another once more, as person_keypoints_*.json does those of instances_*.json.
//
// A file of annotations is read once, as a stream. Annotations are sorted by picture on scratch disk.
package coco

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
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
		Name:   "coco",
		Title:  "COCO",
		Labels: "the categories in the JSON",
		Description: "Images with a JSON file of boxes in COCO's format, such as instances_train2017.json, with the lists \"images\", \"annotations\" and \"categories\". " +
			"Segmentations (polygons and RLE) and keypoints are kept. Several such files, named train, val and test, are the splits.",
		Extensions: append(picture.Extensions(), ".json"),
		Example: `coco
├── annotations
│   ├── instances_train2017.json
│   └── instances_val2017.json
├── train2017
│   ├── 000000000009.jpg
│   └── 000000000025.jpg
└── val2017
    └── 000000000139.jpg
`,
	}
}

func isJSON(p string) bool { return strings.EqualFold(path.Ext(p), ".json") }

// The limits on looking.
const (
	maxDetect = 32       // JSON files
	headBytes = 64 << 10 // of each
	maxFile   = 8 << 30  // bytes of a file of annotations
)

// Detect implements dataset.Reader.
func (Reader) Detect(ctx context.Context, files dataset.Files) (dataset.Match, error) {
	m := dataset.Match{Why: "a JSON file with COCO's lists \"images\", \"annotations\" and \"categories\""}
	data, looked, found := 0, 0, 0
	for i := range files.Len() {
		p := files.At(i).Path
		if picture.KindOf(p) != picture.NoImage {
			data++
			continue
		}
		if !isJSON(p) || looked == maxDetect {
			continue
		}
		looked++
		head, err := dataset.ReadHead(ctx, files, i, headBytes)
		var left *reject.File
		if errors.As(err, &left) {
			continue
		}
		if err != nil {
			return m, err
		}
		if isCOCO(head) {
			found++
		}
	}
	if found > 0 {
		m.Share, m.Certain = float64(data+found)/float64(files.Len()), true
	}
	return m, nil
}

// isCOCO tells from a file's first bytes whether one of COCO's lists begins there.
func isCOCO(head []byte) bool {
	var s stream
	s.reset(bytes.NewReader(head))
	is := false
	_ = s.object(func(name string) error { // ends with an error at the end of the head, if not before
		if name != "images" && name != "annotations" && name != "categories" {
			return s.skip()
		}
		err := s.elements(func(raw []byte) error {
			seen := make(map[string]bool)
			_ = fields(raw, func(key, _ []byte) error { seen[string(key)] = true; return nil })
			switch name {
			case "images":
				is = seen["id"] && (seen["file_name"] || seen["coco_url"])
			case "annotations":
				is = seen["image_id"] && seen["id"] || seen["image_id"] && seen["bbox"]
			default:
				is = seen["id"] && seen["name"]
			}
			return io.EOF
		})
		if err == nil { // an empty list
			return nil
		}
		return err
	})
	return is
}

// Index implements dataset.Reader.
func (Reader) Index(ctx context.Context, files dataset.Files, opts dataset.Options, found dataset.Listener) (_ dataset.Index, err error) {
	x := &indexer{ctx: ctx, files: files, found: found, images: boxes.FindImages(files, nil)}
	spooled := &spool{dir: opts.Scratch}
	defer func() { err = errors.Join(err, spooled.close()) }()
	if err := x.read(spooled); err != nil {
		return dataset.Index{}, err
	}
	if len(x.images.All) == 0 {
		return dataset.Index{}, reject.New(reject.MissingImage, "The upload has COCO's annotations, but not a single picture. Upload one archive or folder that holds both the JSON and the pictures that it names.")
	}
	if err := x.classes(); err != nil {
		return dataset.Index{}, err
	}
	if err := x.records(spooled); err != nil {
		return dataset.Index{}, err
	}
	x.images.LeaveOutRest(found, "no entry in the JSON; add one, without annotations if it shows nothing")
	return dataset.Index{Classes: x.names, Schema: x.schema.Encode()}, nil
}

type indexer struct {
	ctx     context.Context //nolint:containedctx // for the time of one Index
	files   dataset.Files
	found   dataset.Listener
	images  *boxes.Images
	sources []*source // by number; nil: not read
	schema  boxes.Schema
	names   []string
	labels  []map[int64]int // by source: category id → label
}

// read reads all JSON files, leaves out those without boxes and tells the splits.
func (x *indexer) read(spooled *spool) error {
	p := &parser{files: x.files, images: x.images, spool: spooled}
	var first *reject.File // the first file that can't be read
	for i := range x.files.Len() {
		if err := x.ctx.Err(); err != nil {
			return err
		}
		f := x.files.At(i)
		if !isJSON(f.Path) {
			continue
		}
		src, err := x.source(p, i, f)
		var left *reject.File
		switch {
		case errors.As(err, &left):
			x.found.LeaveOut(i, left.Reason, left.Message)
			if first == nil && left.Reason != reject.NotData {
				first = reject.NewFile(f.Path, left.Reason, "%s", left.Message)
			}
			src = nil
		case err != nil:
			return err
		}
		x.sources = append(x.sources, src)
	}
	x.leaveOutTwins()
	var splits []dataset.Split
	for _, src := range x.sources {
		if src != nil {
			src.split = cmp.Or(boxes.SplitInName(src.path), boxes.SplitOf(src.path))
			splits = append(splits, src.split)
		}
	}
	if len(splits) == 0 {
		if first != nil {
			return first
		}
		return reject.New(reject.NoAnnotation, "No JSON file has annotations of objects: entries in \"annotations\" with \"image_id\", \"category_id\" and \"bbox\".")
	}
	if !boxes.Distinct(splits) {
		for _, src := range x.sources {
			if src != nil {
				src.split = dataset.NoSplit
			}
		}
	}
	return nil
}

// leaveOutTwins leaves out files whose pictures are mostly those of other files. COCO's own describe the same pictures several times: the objects in instances_*.json, and
// again, with more or less to them, in others.
func (x *indexer) leaveOutTwins() {
	order := slices.DeleteFunc(slices.Clone(x.sources), func(src *source) bool { return src == nil })
	slices.SortStableFunc(order, func(a, b *source) int { return cmp.Compare(a.rank(), b.rank()) })
	taken := make([]bool, x.files.Len())
	for _, src := range order {
		twice := 0
		for _, im := range src.images {
			if im.file >= 0 && taken[im.file] {
				twice++
			}
		}
		if 2*twice <= len(src.images) {
			for _, im := range src.images {
				if im.file >= 0 {
					taken[im.file] = true
				}
			}
			continue
		}
		x.sources[src.number] = nil
		switch {
		case src.keypoints:
			x.found.LeaveOut(src.file, reject.NotData, "the file has keypoints; the boxes of its pictures are taken from the files without. To keep keypoints, upload it without them")
		case src.objects == 0:
			x.found.LeaveOut(src.file, reject.NotData, "the file has no annotations, and its pictures are those of another file")
		default:
			x.found.LeaveOut(src.file, reject.DuplicateFile, "its pictures are those of another JSON file, whose annotations are taken; join the files or remove one")
		}
	}
}

// rank says how good a source of boxes a file is; the least is the best.
func (src *source) rank() int {
	switch {
	case src.objects == 0:
		return 3
	case src.keypoints:
		return 2
	case strings.Contains(strings.ToLower(path.Base(src.path)), "instances"):
		return 0
	}
	return 1
}

// source reads one JSON file. A *reject.File says why it is left out.
func (x *indexer) source(p *parser, i int, f dataset.File) (*source, error) {
	if f.Size > maxFile {
		return nil, reject.NewFile(f.Path, reject.TooLarge, "the file has %d bytes; the limit for a file of annotations is %d", f.Size, int64(maxFile))
	}
	src, err := p.parse(x.ctx, i, len(x.sources))
	var syntax *syntaxError
	switch {
	case errors.As(err, &syntax) && len(src.images) == 0 && src.objects == 0 && len(src.categories) == 0:
		return nil, reject.NewFile(f.Path, reject.NotData, "the file is no COCO file: %s", syntax.message)
	case errors.As(err, &syntax):
		return nil, reject.NewFile(f.Path, syntax.reason, "%s", syntax.message)
	case err != nil:
		return nil, err
	case len(src.images) == 0 || !src.annotated || src.objects == 0 && (len(src.malformed) > 0 || len(src.categories) == 0):
		return nil, reject.NewFile(f.Path, reject.NotData, "the file has no boxes with categories; captions and other descriptions are not read")
	}
	return src, nil
}

// classes puts the categories of all files in the order of their ids.
func (x *indexer) classes() error {
	ids := make(map[string]int64) // the least id of a name
	for _, src := range x.sources {
		if src == nil {
			continue
		}
		for _, c := range src.categories {
			if id, ok := ids[c.name]; !ok || c.id < id {
				ids[c.name] = c.id
			}
		}
	}
	for name := range ids {
		x.names = append(x.names, name)
	}
	slices.SortFunc(x.names, func(a, b string) int { return cmp.Or(cmp.Compare(ids[a], ids[b]), strings.Compare(a, b)) })
	if err := boxes.CheckClasses(x.names, "in the JSON's \"categories\""); err != nil {
		return err
	}
	labels := make(map[string]int, len(x.names))
	for i, name := range x.names {
		labels[name] = i
		x.schema.CategoryIDs = append(x.schema.CategoryIDs, ids[name])
	}
	x.schema.COCO = true
	x.labels = make([]map[int64]int, len(x.sources))
	for i, src := range x.sources {
		if src == nil {
			continue
		}
		x.labels[i] = make(map[int64]int, len(src.categories))
		names := make(map[int64]string, len(src.categories))
		for _, c := range src.categories {
			if other, ok := names[c.id]; ok && other != c.name {
				return reject.New(reject.DuplicateClasses, "In %q, the category id %d is both %q and %q. Give each category an id of its own.", src.path, c.id, other, c.name)
			}
			names[c.id], x.labels[i][c.id] = c.name, labels[c.name]
		}
	}
	return nil
}

// records joins pictures and annotations, file by file.
func (x *indexer) records(spooled *spool) error {
	for _, src := range x.sources {
		if src == nil {
			continue
		}
		x.found.Use(src.file)
		for _, m := range src.malformed {
			if m.annotation {
				x.found.LeaveOutAnnotation(src.file, m.where, m.reason, m.message)
			} else {
				x.found.LeaveOutRow(src.file, m.where, m.reason, m.message)
			}
		}
		src.malformed = nil
		slices.SortStableFunc(src.images, func(a, b image) int { return cmp.Compare(a.id, b.id) })
	}
	j := joiner{indexer: x}
	n := 0
	err := spooled.each(func(k key, payload []byte) error {
		if n++; n%1024 == 0 && x.ctx.Err() != nil {
			return x.ctx.Err()
		}
		return j.annotation(k, payload)
	})
	if err != nil {
		return err
	}
	j.advance(key{len(x.sources), 0})
	return x.ctx.Err()
}

// joiner walks the pictures and the sorted annotations in step.
type joiner struct {
	*indexer
	source, next int // the next picture
	meta         boxes.Meta
	current      *image // to which annotations are being added; nil: none
	picture      boxes.Picture
	row          string // why the current picture isn't a record, "" if it is
	refused      reject.Reason
}

// advance ends the pictures before k and begins the one that is k, if there is one.
func (j *joiner) advance(k key) {
	if j.current != nil && (key{j.source, j.current.id}) == k {
		return
	}
	j.end()
	for ; j.source < len(j.sources) && j.source <= k.source; j.source, j.next = j.source+1, 0 {
		src := j.sources[j.source]
		if src == nil {
			continue
		}
		for j.next < len(src.images) {
			im := &src.images[j.next]
			if (key{j.source, im.id}).compare(k) > 0 {
				return
			}
			j.next++
			j.begin(src, im)
			j.twins(src, im.id)
			if (key{j.source, im.id}) == k {
				return
			}
			j.end()
		}
		if j.source == k.source {
			return
		}
	}
}

// twins leaves out the other pictures with the same id.
func (j *joiner) twins(src *source, id int64) {
	for ; j.next < len(src.images) && src.images[j.next].id == id; j.next++ {
		j.found.LeaveOutRow(src.file, int64(src.images[j.next].row), reject.DuplicateFile, fmt.Sprintf("another picture has the id %d as well; give each an id of its own", id))
	}
}

// begin begins a picture.
func (j *joiner) begin(src *source, im *image) {
	j.current, j.row = im, ""
	j.picture = boxes.Picture{ID: im.id, Units: boxes.Pixels, Width: int(im.width), Height: int(im.height)}
	switch {
	case im.ambiguous:
		j.refused, j.row = reject.AmbiguousImage, "several pictures of the upload may be the one meant; write its folder into \"file_name\""
	case im.file < 0:
		j.refused, j.row = reject.MissingImage, "the upload has no picture of the name in \"file_name\""
	case !j.images.Take(int(im.file)):
		j.refused, j.row = reject.DuplicateFile, "the picture is that of another entry as well"
	}
	if j.row != "" {
		j.found.LeaveOutRow(src.file, int64(im.row), j.refused, j.row)
		return
	}
	j.meta.Reset(j.picture)
}

// end makes the current picture a record.
func (j *joiner) end() {
	im := j.current
	j.current = nil
	if im == nil || j.row != "" {
		return
	}
	j.found.Record(dataset.Record{
		File: int(im.file), Key: j.images.Key(int(im.file)), Label: -1, Split: j.sources[j.source].split,
		Meta: j.meta.Bytes(), Annotations: j.meta.Objects,
	})
}

// annotation adds the next annotation.
func (j *joiner) annotation(k key, payload []byte) error {
	src := j.sources[k.source]
	if src == nil {
		return nil
	}
	j.advance(k)
	var o boxes.Object
	categoryID, ok := cutSpooled(payload, &o)
	if !ok {
		return errors.New("the spool of annotations is damaged")
	}
	leaveOut := func(reason reject.Reason, message string) {
		j.found.LeaveOutAnnotation(src.file, o.ID, reason, message)
	}
	label, known := j.labels[k.source][categoryID]
	switch {
	case j.current == nil:
		leaveOut(reject.MissingImage, fmt.Sprintf("no entry of \"images\" has the id %d, the annotation's \"image_id\"", k.image))
		return nil
	case j.row != "":
		leaveOut(j.refused, "the annotation's picture was left out: "+j.row)
		return nil
	case !known:
		leaveOut(reject.UnknownCategory, fmt.Sprintf("no entry of \"categories\" has the id %d, the annotation's \"category_id\"", categoryID))
		return nil
	}
	if reason := j.picture.Check(&o); reason != "" {
		leaveOut(reject.InvalidBox, reason)
		return nil
	}
	o.Label = label
	if !j.meta.Add(&o) {
		leaveOut(reject.TooLarge, fmt.Sprintf("the picture's annotations take more than %d bytes, the limit", boxes.MaxMeta))
		return nil
	}
	j.schema.Segmentation = j.schema.Segmentation || len(o.Segmentation) > 0
	j.schema.Keypoints = j.schema.Keypoints || len(o.KeypointSet) > 0
	return nil
}

// appendSpooled appends an annotation as it is spooled: with its category's id instead of a label.
func appendSpooled(dst []byte, categoryID int64, o *boxes.Object) []byte {
	return boxes.AppendObject(binary.AppendVarint(dst, categoryID), o)
}

func cutSpooled(b []byte, o *boxes.Object) (categoryID int64, ok bool) {
	categoryID, n := binary.Varint(b)
	if n <= 0 {
		return 0, false
	}
	rest, ok := boxes.CutObject(b[n:], o)
	return categoryID, ok && len(rest) == 0
}

// NewEncoder implements dataset.Reader.
func (Reader) NewEncoder(opts dataset.Options, index dataset.Index) (dataset.Encoder, error) {
	return boxes.NewEncoder(opts, index)
}

// Features implements dataset.Reader.
func (Reader) Features(index dataset.Index, stats *dataset.Stats) []dataset.Feature {
	return boxes.Features(index, stats)
}
