package boxes

import (
	"encoding/json"
	"errors"
	"math"

	"github.com/trainyard/trainyard/services/converter/dataset"
	"github.com/trainyard/trainyard/services/converter/picture"
	"github.com/trainyard/trainyard/services/converter/reject"
	"github.com/trainyard/trainyard/services/converter/tfrecord"
)

// Names in the statistics, besides those of package picture.
const (
	statObjects = "objects"  // a picture
	statArea    = "box_area" // in parts of the picture
	statBoxes   = "boxes"
	statSize    = "stated_size"
)

// Features describes the examples.
func Features(index dataset.Index, stats *dataset.Stats) []dataset.Feature {
	var s Schema
	if json.Unmarshal(index.Schema, &s) != nil { // NewEncoder says so
		s = Schema{}
	}
	objects := []dataset.Feature{dataset.BBoxFeature("bbox"), dataset.ClassLabelFeature("label", index.Classes)}
	if s.COCO {
		objects = append(objects, dataset.TensorFeature("area", "float32"), dataset.TensorFeature("id", "int64"), dataset.TensorFeature("is_crowd", "bool"))
	}
	if s.VOC {
		objects = append(objects, dataset.TensorFeature("difficult", "bool"), dataset.TextFeature("pose"), dataset.TensorFeature("truncated", "bool"))
	}
	if s.Segmentation {
		objects = append(objects, dataset.TextFeature("segmentation"))
	}
	if s.Keypoints {
		objects = append(objects, dataset.TextFeature("keypoints"))
	}
	features := []dataset.Feature{
		dataset.TextFeature("filename"),
		picture.Feature("image", stats),
		dataset.TensorFeature("orientation", "int64"),
		dataset.SequenceFeature("objects", objects...),
	}
	if s.COCO {
		features = append(features, dataset.TensorFeature("image_id", "int64"))
	}
	return features
}

// Encoder implements dataset.Encoder for records with a Meta of this package.
type Encoder struct {
	schema   Schema
	classes  int
	images   *picture.Loader
	features []tfrecord.Feature

	bboxes, areas                               []float32
	labels, ids, crowds, truncateds, difficults []int64
	poses, segmentations, keypoints             [][]byte
	clipped                                     int
}

// NewEncoder makes an Encoder.
func NewEncoder(opts dataset.Options, index dataset.Index) (*Encoder, error) {
	e := &Encoder{images: picture.NewLoader(opts), classes: len(index.Classes)}
	return e, json.Unmarshal(index.Schema, &e.schema)
}

// errMeta is for a plan that was altered.
var errMeta = errors.New("the annotations of a picture in the plan are damaged")

// Encode implements dataset.Encoder.
func (e *Encoder) Encode(dst []byte, record dataset.Item, body dataset.Body, stats *dataset.Stats) ([]byte, error) {
	data, err := body.Bytes()
	if err != nil {
		return dst, err
	}
	if len(data) == 0 {
		return dst, reject.NewFile(record.Path, reject.EmptyFile, "the file is empty")
	}
	image, err := e.images.Load(record.Path, data)
	if err != nil {
		return dst, err
	}
	var p Picture
	objects, ok := cutPicture(record.Meta, &p)
	if !ok {
		return dst, errMeta
	}
	f, ok := frameOf(&p, &image.Info)
	if !ok {
		return dst, reject.NewFile(record.Path, reject.SizeMismatch, "the annotations are of a picture of %d × %d pixels, the file holds one of %d × %d; "+
			"replace the picture by the annotated one, or annotate this one", p.Width, p.Height, image.Width, image.Height)
	}
	if err := e.objects(record.Path, objects, f); err != nil {
		return dst, err
	}
	e.observe(&image, f, stats)
	e.features = append(e.features[:0],
		tfrecord.Text("filename", record.Path),
		tfrecord.Bytes("image", image.Data),
		tfrecord.Int64("orientation", int64(image.Orientation)),
		tfrecord.Floats("objects/bbox", e.bboxes),
		tfrecord.Int64s("objects/label", e.labels))
	if e.schema.COCO {
		e.features = append(e.features,
			tfrecord.Int64("image_id", p.ID),
			tfrecord.Floats("objects/area", e.areas),
			tfrecord.Int64s("objects/id", e.ids),
			tfrecord.Int64s("objects/is_crowd", e.crowds))
	}
	if e.schema.VOC {
		e.features = append(e.features,
			tfrecord.Int64s("objects/difficult", e.difficults),
			tfrecord.Texts("objects/pose", e.poses),
			tfrecord.Int64s("objects/truncated", e.truncateds))
	}
	if e.schema.Segmentation {
		e.features = append(e.features, tfrecord.Texts("objects/segmentation", e.segmentations))
	}
	if e.schema.Keypoints {
		e.features = append(e.features, tfrecord.Texts("objects/keypoints", e.keypoints))
	}
	return tfrecord.AppendExample(dst, e.features), nil
}

// objects gathers the picture's objects.
func (e *Encoder) objects(path string, meta []byte, f frame) error {
	e.bboxes, e.areas, e.labels, e.ids = e.bboxes[:0], e.areas[:0], e.labels[:0], e.ids[:0]
	e.crowds, e.truncateds, e.difficults = e.crowds[:0], e.truncateds[:0], e.difficults[:0]
	e.poses, e.segmentations, e.keypoints = e.poses[:0], e.segmentations[:0], e.keypoints[:0]
	e.clipped = 0
	for len(meta) > 0 {
		var o Object
		var ok bool
		if meta, ok = CutObject(meta, &o); !ok {
			return errMeta
		}
		label := o.Label
		if e.schema.Labels != nil {
			if label >= len(e.schema.Labels) {
				return errMeta
			}
			label = int(e.schema.Labels[label])
		}
		if label < 0 || label >= e.classes {
			return errMeta
		}
		b, clipped := f.place(&o)
		if !(b[2] > b[0] && b[3] > b[1]) {
			return reject.NewFile(path, reject.InvalidBox, "the box from (%g, %g) to (%g, %g) lies outside of the picture of %g × %g, whose annotations state no size; correct the annotation or remove it",
				o.XMin, o.YMin, o.XMax, o.YMax, f.width, f.height)
		}
		if clipped {
			e.clipped++
		}
		e.bboxes = append(e.bboxes, float32(b[0]), float32(b[1]), float32(b[2]), float32(b[3]))
		e.labels, e.ids, e.areas = append(e.labels, int64(label)), append(e.ids, o.ID), append(e.areas, float32(o.Area))
		e.crowds, e.truncateds, e.difficults = append(e.crowds, bit(o.Crowd)), append(e.truncateds, bit(o.Truncated)), append(e.difficults, bit(o.Difficult))
		e.poses, e.segmentations, e.keypoints = append(e.poses, o.Pose), append(e.segmentations, o.Segmentation), append(e.keypoints, o.KeypointSet)
	}
	return nil
}

func bit(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

func (e *Encoder) observe(image *picture.Loaded, f frame, stats *dataset.Stats) {
	stats.AddExample(image.Size, -1)
	image.Observe(stats)
	stats.Observe(statObjects, float64(len(e.labels)))
	for i, label := range e.labels {
		b := e.bboxes[4*i : 4*i+4]
		stats.Observe(statArea, float64(b[2]-b[0])*float64(b[3]-b[1]))
		stats.AddObject(int(label))
	}
	for range e.clipped {
		stats.Count(statBoxes, "clipped to the picture")
	}
	if f.resized {
		stats.Count(statSize, "resized since")
	}
}

// frame is what boxes of a picture are measured in.
type frame struct {
	width, height float64
	orientation   int  // from which boxes are turned back; 1: they needn't be
	resized       bool // the picture was, since it was annotated
}

// frameOf tells the frame of a picture's annotations. It returns false if they are of another picture.
func frameOf(p *Picture, info *picture.Info) (frame, bool) {
	if p.Units == Parts {
		return frame{width: 1, height: 1, orientation: info.Orientation}, true
	}
	width, height := info.Width, info.Height // of the upright picture
	if info.Orientation >= 5 {
		width, height = height, width
	}
	f := frame{width: float64(p.Width), height: float64(p.Height), orientation: info.Orientation}
	switch {
	case p.Width == 0 || p.Height == 0:
		f.width, f.height = float64(width), float64(height)
	case p.Width == width && p.Height == height:
	case p.Width == info.Width && p.Height == info.Height:
		f.orientation = 1
	case sameAspect(p, info.Width, info.Height):
		f.resized = true
		if info.Orientation >= 5 && !sameAspect(p, width, height) {
			f.orientation = 1
		}
	case sameAspect(p, width, height):
		f.resized = true
	default:
		return f, false
	}
	return f, true
}

// sameAspect tells whether a picture of the stated size scaled to the width has the height, but for rounding.
func sameAspect(p *Picture, width, height int) bool {
	scale := float64(width) / float64(p.Width)
	return math.Abs(float64(p.Height)*scale-float64(height)) <= 1+scale/2
}

// place returns an object's box as ymin, xmin, ymax, xmax in parts of the stored picture, and whether it was clipped.
func (f *frame) place(o *Object) (b [4]float64, clipped bool) {
	u0, v0, u1, v1 := o.XMin/f.width, o.YMin/f.height, o.XMax/f.width, o.YMax/f.height
	// EXIF 2.32, tag Orientation, says which side of the upright picture the stored picture's first row and column are.
	switch f.orientation {
	case 2:
		u0, u1 = 1-u1, 1-u0
	case 3:
		u0, u1, v0, v1 = 1-u1, 1-u0, 1-v1, 1-v0
	case 4:
		v0, v1 = 1-v1, 1-v0
	case 5:
		u0, v0, u1, v1 = v0, u0, v1, u1
	case 6:
		u0, v0, u1, v1 = v0, 1-u1, v1, 1-u0
	case 7:
		u0, v0, u1, v1 = 1-v1, 1-u1, 1-v0, 1-u0
	case 8:
		u0, v0, u1, v1 = 1-v1, u0, 1-v0, u1
	}
	const rounding = 1e-6
	clipped = u0 < -rounding || v0 < -rounding || u1 > 1+rounding || v1 > 1+rounding
	return [4]float64{max(0, v0), max(0, u0), min(1, v1), min(1, u1)}, clipped
}
