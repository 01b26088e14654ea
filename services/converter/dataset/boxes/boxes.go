// Package boxes makes examples of pictures with annotated objects. It is the common ground of the formats coco, voc and yolo, which
// find the annotations; what an example holds is the same for all of them:
//
//	image         the picture, as package picture stores it
//	filename      its path in the upload
//	orientation   how to turn it for it to stand upright, as EXIF says it
//	image_id      COCO: the picture's id
//	objects       a sequence, empty where nothing is annotated, of
//	  bbox          ymin, xmin, ymax, xmax in parts of the stored picture's height and width, clipped to 0..1
//	  label         index into the classes
//	  id            COCO: the annotation's id
//	  area          COCO: in pixels of the annotated picture; the box's where the annotation has none
//	  is_crowd      COCO
//	  pose          VOC: "Frontal", "Unspecified" …
//	  truncated     VOC
//	  difficult     VOC
//	  segmentation  JSON as the upload has it, in its own coordinates: polygons [[x1,y1,x2,y2,…],…] or COCO's RLE {"size":[h,w],"counts":…}; ""
//	                where there is none
//	  keypoints     likewise: the numbers as a JSON array
//
// # Turned pictures
//
// TensorFlow decodes pictures as they are stored and ignores EXIF's orientation, so boxes are of the stored picture. Tools
// draw boxes on the upright one. Where a picture is to be turned, the boxes are turned back, unless the size that the
// annotations state is the stored picture's and not the upright one's. Segmentations and keypoints are kept as they are.
//
// # Sizes
//
// Where the annotations state a size that differs from the picture's but has the same aspect, the picture was resized, and boxes are taken in parts
// of the stated size. Any other size leaves the picture out, because the boxes would be wrong.
package boxes

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/trainyard/trainyard/services/converter/reject"
)

// Schema says which features the examples of a dataset have besides those that all have. It travels as Index.Schema.
type Schema struct {
	COCO         bool    `json:"coco,omitempty"` // image_id, and id, area and is_crowd of objects
	VOC          bool    `json:"voc,omitempty"`  // pose, truncated and difficult of objects
	Segmentation bool    `json:"segmentation,omitempty"`
	Keypoints    bool    `json:"keypoints,omitempty"`
	CategoryIDs  []int64 `json:"category_ids,omitempty"` // COCO's, of each class
	// Labels, if there are any, turn the labels in records' Meta into those of the examples: formats that learn of the classes only while they read.
	Labels []int32 `json:"labels,omitempty"`
}

// Encode returns the Schema as Index.Schema.
func (s Schema) Encode() json.RawMessage {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err) // a struct of booleans and integers
	}
	return b
}

// Units are what an object's box is measured in.
type Units byte

// Pixels of the annotated picture, from its upper left corner; or parts of its width and height.
const (
	Pixels Units = iota
	Parts
)

// Picture is what is known of a picture before it is read.
type Picture struct {
	ID            int64
	Units         Units
	Width, Height int // as the annotations state it, in pixels; 0: they don't
}

// Object is one annotated object.
type Object struct {
	Label                           int
	ID                              int64
	XMin, YMin, XMax, YMax          float64
	Area                            float64
	Crowd, Truncated, Difficult     bool
	Pose, Segmentation, KeypointSet []byte
}

// The limits on what annotations may say. MaxMeta bounds a picture's annotations in bytes, in the form in which they travel.
const (
	MaxMeta = 4 << 20
	MaxSide = 1 << 24 // pixels that a stated width or height may have
)

// Check returns why an object's box can't be one in the picture, or "". Boxes that reach out of it in part are clipped later.
func (p Picture) Check(o *Object) string {
	for _, v := range [...]float64{o.XMin, o.YMin, o.XMax, o.YMax} {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return "the box has a coordinate that is no finite number"
		}
	}
	if o.XMax <= o.XMin || o.YMax <= o.YMin {
		return fmt.Sprintf("the box from (%g, %g) to (%g, %g) has no area: its width and height must be above 0", o.XMin, o.YMin, o.XMax, o.YMax)
	}
	width, height := float64(p.Width), float64(p.Height)
	if p.Units == Parts {
		width, height = 1, 1
	}
	if o.XMax <= 0 || o.YMax <= 0 || width > 0 && (o.XMin >= width || o.YMin >= height) {
		return fmt.Sprintf("the box from (%g, %g) to (%g, %g) lies outside of the picture of %g × %g", o.XMin, o.YMin, o.XMax, o.YMax, width, height)
	}
	return ""
}

// Meta gathers a picture's objects in the form in which they travel as Record.Meta. The zero value is ready to use after Reset.
type Meta struct {
	buf     []byte
	Objects int
}

// Reset begins another picture.
func (m *Meta) Reset(p Picture) {
	m.Objects = 0
	m.buf = append(m.buf[:0], byte(p.Units))
	m.buf = binary.AppendUvarint(m.buf, uint64(p.Width))  //nolint:gosec // not negative
	m.buf = binary.AppendUvarint(m.buf, uint64(p.Height)) //nolint:gosec // as above
	m.buf = binary.AppendVarint(m.buf, p.ID)
}

// Add adds an object. It returns false if the picture has too many.
func (m *Meta) Add(o *Object) bool {
	before := len(m.buf)
	m.buf = AppendObject(m.buf, o)
	if len(m.buf) > MaxMeta {
		m.buf = m.buf[:before]
		return false
	}
	m.Objects++
	return true
}

// Bytes returns the Meta until the next Reset.
func (m *Meta) Bytes() []byte { return m.buf }

const (
	crowd = 1 << iota
	truncated
	difficult
)

// AppendObject appends an object's wire form, which CutObject reads.
func AppendObject(dst []byte, o *Object) []byte {
	dst = binary.AppendUvarint(dst, uint64(o.Label)) //nolint:gosec // not negative
	dst = binary.AppendVarint(dst, o.ID)
	var flags byte
	if o.Crowd {
		flags |= crowd
	}
	if o.Truncated {
		flags |= truncated
	}
	if o.Difficult {
		flags |= difficult
	}
	dst = append(dst, flags)
	for _, v := range [...]float64{o.XMin, o.YMin, o.XMax, o.YMax, o.Area} {
		dst = binary.LittleEndian.AppendUint64(dst, math.Float64bits(v))
	}
	for _, text := range [...][]byte{o.Pose, o.Segmentation, o.KeypointSet} {
		dst = binary.AppendUvarint(dst, uint64(len(text)))
		dst = append(dst, text...)
	}
	return dst
}

// CutObject reads the object that b begins with and returns what is behind it. The object's texts are parts of b. It returns false
// for what AppendObject didn't write.
func CutObject(b []byte, o *Object) (rest []byte, ok bool) {
	label, n := binary.Uvarint(b)
	if n <= 0 || label > math.MaxInt32 {
		return nil, false
	}
	o.Label, b = int(label), b[n:]
	if o.ID, n = binary.Varint(b); n <= 0 {
		return nil, false
	}
	b = b[n:]
	if len(b) < 1+5*8 {
		return nil, false
	}
	o.Crowd, o.Truncated, o.Difficult = b[0]&crowd != 0, b[0]&truncated != 0, b[0]&difficult != 0
	b = b[1:]
	for _, v := range [...]*float64{&o.XMin, &o.YMin, &o.XMax, &o.YMax, &o.Area} {
		*v = math.Float64frombits(binary.LittleEndian.Uint64(b))
		b = b[8:]
	}
	for _, text := range [...]*[]byte{&o.Pose, &o.Segmentation, &o.KeypointSet} {
		length, n := binary.Uvarint(b)
		if n <= 0 || length > uint64(len(b)-n) { //nolint:gosec // n is at most the length
			return nil, false
		}
		*text, b = b[n:n+int(length)], b[n+int(length):] //nolint:gosec // bounded by the line above
	}
	return b, true
}

// cutPicture reads what Reset wrote.
func cutPicture(b []byte, p *Picture) (rest []byte, ok bool) {
	if len(b) == 0 || b[0] > byte(Parts) {
		return nil, false
	}
	p.Units, b = Units(b[0]), b[1:]
	for _, side := range [...]*int{&p.Width, &p.Height} {
		v, n := binary.Uvarint(b)
		if n <= 0 || v > MaxSide {
			return nil, false
		}
		*side, b = int(v), b[n:]
	}
	id, n := binary.Varint(b)
	if n <= 0 {
		return nil, false
	}
	p.ID = id
	return b[n:], true
}

// The limits on classes.
const (
	MaxClasses        = 100_000
	MaxClassNameBytes = 256
)

// CheckClasses refuses names that can't be told from each other or can't stand one a line in a file, as TFDS reads them. in says where they are from, as
// in "in data.yaml".
func CheckClasses(names []string, in string) error {
	if len(names) == 0 {
		return reject.New(reject.TooFewClasses, "There is no class %s; name one at least.", in)
	}
	if len(names) > MaxClasses {
		return reject.New(reject.TooManyClasses, "There are more than %d classes %s.", MaxClasses, in)
	}
	seen := make(map[string]bool, len(names))
	for i, name := range names {
		if reason := CheckClassName(name); reason != "" {
			return reject.New(reject.InvalidClassName, "The name of class %d %s can't be a label: %s.", i, in, reason)
		}
		if seen[name] {
			return reject.New(reject.DuplicateClasses, "The class %q stands more than once %s. Rename one.", name, in)
		}
		seen[name] = true
	}
	return nil
}

// CheckClassName returns why a name can't be a label's, or "".
func CheckClassName(name string) string {
	switch {
	case name == "":
		return "it is empty"
	case len(name) > MaxClassNameBytes:
		return fmt.Sprintf("it has %d bytes; the limit is %d", len(name), MaxClassNameBytes)
	case !utf8.ValidString(name):
		return "it isn't UTF-8; save the file as UTF-8"
	case name != strings.TrimSpace(name):
		return fmt.Sprintf("%q begins or ends with a space", name)
	case strings.ContainsFunc(name, unicode.IsControl):
		return fmt.Sprintf("%q has control characters", name)
	}
	return ""
}
