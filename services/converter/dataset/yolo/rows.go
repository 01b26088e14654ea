package yolo

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strconv"

	"github.com/trainyard/trainyard/services/converter/dataset/boxes"
	"github.com/trainyard/trainyard/services/converter/reject"
)

// tolerance is by how much a coordinate may lie outside of 0..1 for the box to be clipped instead of being left out.
const tolerance = 0.05

// rows reads label files.
type rows struct {
	classes   int
	keypoints [2]int // data.yaml's kpt_shape: points and numbers of each; 0: none
	values    []float64
	text      []byte
}

// read calls object with each annotated object of a label file, and refuse with the line of each row that is none. The object's texts are valid until object returns.
func (r *rows) read(data []byte, object func(line int64, o *boxes.Object), refuse func(line int64, reason reject.Reason, message string)) {
	line := int64(0)
	for row := range bytes.Lines(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))) {
		line++
		var o boxes.Object
		switch reason, message := r.row(row, &o); {
		case reason == skipped:
		case reason != "":
			refuse(line, reason, message)
		default:
			object(line, &o)
		}
	}
}

// skipped is for blank lines.
const skipped reject.Reason = "-"

// row reads one row: class and numbers, all in parts of the picture's width and height.
//
//	class cx cy w h                       a box
//	class cx cy w h x1 y1 [v1] x2 …       a box and keypoints, as many as kpt_shape in data.yaml says
//	class x1 y1 x2 y2 x3 y3 …             a polygon, and with four points a turned box
func (r *rows) row(row []byte, o *boxes.Object) (reject.Reason, string) {
	r.values = r.values[:0]
	column := 0
	for rest := bytes.TrimSpace(row); len(rest) > 0; column++ {
		n := bytes.IndexFunc(rest, isSpace)
		if n < 0 {
			n = len(rest)
		}
		word := rest[:n]
		rest = bytes.TrimLeftFunc(rest[n:], isSpace)
		v, ok := number(word)
		if !ok {
			return reject.MalformedRow, fmt.Sprintf("%.40q in column %d is no finite number", word, column+1)
		}
		if column > 0 {
			r.values = append(r.values, v)
			continue
		}
		if v != math.Trunc(v) || v < 0 || v >= float64(r.classes) {
			return reject.UnknownCategory, fmt.Sprintf("the class %.40q is none of the %d that are named, 0 to %d", word, r.classes, r.classes-1)
		}
		o.Label = int(v)
	}
	count, points := len(r.values), r.keypoints[0]*r.keypoints[1]
	switch {
	case column == 0:
		return skipped, ""
	case points > 0 && count == 4+points:
		r.text = appendList(r.text[:0], r.values[4:])
		o.KeypointSet = r.text
		fallthrough
	case count == 4:
		return center(r.values[:4], o)
	case points > 0:
		return reject.MalformedRow, fmt.Sprintf("the row has %d columns; with the kpt_shape of data.yaml, a row is \"class cx cy w h\" and %d numbers of keypoints", column, points)
	case count >= 6 && count%2 == 0:
		if reason, message := around(r.values, o); reason != "" {
			return reason, message
		}
		r.text = append(appendList(append(r.text[:0], '['), r.values), ']') // as COCO writes polygons
		o.Segmentation = r.text
		return "", ""
	}
	return reject.MalformedRow, fmt.Sprintf("the row has %d columns; it must be \"class cx cy w h\" for a box, or \"class x1 y1 x2 y2 x3 y3 …\" for a polygon. A column of confidences must go", column)
}

func isSpace(r rune) bool { return r == ' ' || r == '\t' || r == '\r' || r == '\n' }

func number(word []byte) (float64, bool) {
	if len(word) > 64 || bytes.ContainsAny(word, "xX_pP") { // hexadecimal floats are Go's
		return 0, false
	}
	v, err := strconv.ParseFloat(string(word), 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) || math.IsNaN(v) || math.IsInf(v, 0) {
		return 0, false
	}
	return v, true
}

func outside(v float64) bool { return v < -tolerance || v > 1+tolerance }

const inParts = "coordinates are in parts of the picture's width and height, from 0 to 1; divide pixels by them"

// center makes a box of cx, cy, w, h.
func center(v []float64, o *boxes.Object) (reject.Reason, string) {
	cx, cy, w, h := v[0], v[1], v[2], v[3]
	if outside(cx) || outside(cy) || w > 1+tolerance || h > 1+tolerance {
		return reject.InvalidBox, fmt.Sprintf("the box at (%g, %g) of size (%g, %g) lies outside of the picture: %s", cx, cy, w, h, inParts)
	}
	o.XMin, o.YMin, o.XMax, o.YMax = cx-w/2, cy-h/2, cx+w/2, cy+h/2
	return "", ""
}

// around makes the box around a polygon.
func around(v []float64, o *boxes.Object) (reject.Reason, string) {
	o.XMin, o.YMin, o.XMax, o.YMax = v[0], v[1], v[0], v[1]
	for i := 0; i < len(v); i += 2 {
		if outside(v[i]) || outside(v[i+1]) {
			return reject.InvalidBox, fmt.Sprintf("the polygon's point (%g, %g) lies outside of the picture: %s", v[i], v[i+1], inParts)
		}
		o.XMin, o.YMin, o.XMax, o.YMax = min(o.XMin, v[i]), min(o.YMin, v[i+1]), max(o.XMax, v[i]), max(o.YMax, v[i+1])
	}
	return "", ""
}

// appendList appends a JSON array.
func appendList(dst []byte, values []float64) []byte {
	dst = append(dst, '[')
	for i, v := range values {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = strconv.AppendFloat(dst, v, 'g', -1, 64)
	}
	return append(dst, ']')
}
