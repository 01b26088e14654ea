package coco

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/trainyard/trainyard/services/converter/dataset"
	"github.com/trainyard/trainyard/services/converter/dataset/boxes"
	"github.com/trainyard/trainyard/services/converter/reject"
)

// The limits on what is held in memory of all files of annotations together.
const (
	maxImages     = 2_000_000 // as many as an archive may have entries
	maxCategories = 4 * boxes.MaxClasses
	// maxMalformed is how many pictures and annotations may be without the fields that they need before their file is given up.
	maxMalformed = 100_000
)

// source is a file of annotations. What it says of annotations lies in the spool under its number.
type source struct {
	number     int
	file       int
	path       string
	split      dataset.Split
	images     []image // in the order of the file
	categories []category
	malformed  []malformed
	objects    int64 // annotations with a category
	keypoints  bool
	annotated  bool // there is a list of annotations
}

type image struct {
	id            int64
	width, height int32
	row           int32 // its place in the file, from 1
	file          int32 // of the picture; -1: none
	ambiguous     bool
}

type category struct {
	id   int64
	name string
}

// malformed is a picture (a row) or an annotation that can't be used, whatever else the file says.
type malformed struct {
	annotation bool
	where      int64
	reason     reject.Reason
	message    string
}

// parser reads files of annotations.
type parser struct {
	files  dataset.Files
	images *boxes.Images
	spool  *spool

	stream                        stream
	obj                           []byte
	pictures, categories, refused int // of all files
}

// parse reads a file. A *syntaxError or *reject.File says why it can't be read.
func (p *parser) parse(ctx context.Context, file, number int) (*source, error) {
	src := &source{number: number, file: file, path: p.files.At(file).Path}
	r, err := p.files.Stream(ctx, file)
	if err != nil {
		return src, err
	}
	defer r.Close()
	s := &p.stream
	s.reset(r)
	rows, seen := int64(0), make(map[string]bool)
	each := func(element func(raw []byte) error) error {
		n := 0
		return s.elements(func(raw []byte) error {
			if n++; n%1024 == 0 && ctx.Err() != nil {
				return ctx.Err()
			}
			return element(raw)
		})
	}
	err = s.object(func(name string) error {
		switch name {
		case "images", "annotations", "categories":
			if seen[name] {
				return s.malformed(fmt.Sprintf("%q is there twice", name))
			}
			seen[name] = true
			if c, err := s.peek(); err != nil || c != '[' { // panoptic and other files call other things so
				return errors.Join(err, s.skip())
			}
		}
		switch name {
		case "images":
			return each(func(raw []byte) error {
				rows++
				return p.image(src, raw, rows)
			})
		case "annotations":
			src.annotated = true
			return each(func(raw []byte) error { return p.annotation(src, raw) })
		case "categories":
			return each(func(raw []byte) error { return p.category(src, raw) })
		}
		return s.skip()
	})
	if err == nil {
		err = s.finish()
	}
	return src, err
}

func (p *parser) bad(src *source, annotation bool, where int64, reason reject.Reason, format string, args ...any) error {
	if p.refused++; p.refused > maxMalformed {
		return &syntaxError{reject.MalformedFile, fmt.Sprintf("more than %d pictures and annotations lack what they need, the limit", maxMalformed)}
	}
	src.malformed = append(src.malformed, malformed{annotation, where, reason, fmt.Sprintf(format, args...)})
	return nil
}

func (p *parser) image(src *source, raw []byte, row int64) error {
	if p.pictures++; p.pictures > maxImages {
		return &syntaxError{reject.TooLarge, fmt.Sprintf("the JSON files have more than %d entries in \"images\", the limit", maxImages)}
	}
	im := image{row: int32(row), file: -1} //nolint:gosec // at most maxImages
	var name, link []byte
	hasID := false
	err := fields(raw, func(key, value []byte) (err error) {
		switch string(key) {
		case "id":
			im.id, hasID = integer(value)
		case "width":
			im.width = side(value)
		case "height":
			im.height = side(value)
		case "file_name":
			name = value
		case "coco_url": // LVIS has no file_name
			link = value
		}
		return nil
	})
	if err != nil || !hasID {
		return p.bad(src, false, row, reject.MalformedRow, "entry %d of \"images\" has no whole number as its \"id\"", row)
	}
	var file string
	if json.Unmarshal(name, &file) != nil || file == "" {
		var address string
		if json.Unmarshal(link, &address) == nil {
			if u, err := url.Parse(address); err == nil {
				file = u.Path
			}
		}
	}
	if file == "" || len(file) > 4096 || !utf8.ValidString(file) {
		return p.bad(src, false, row, reject.MalformedRow, "entry %d of \"images\" has no \"file_name\"", row)
	}
	found, reason := p.images.Named(file, src.path)
	im.file, im.ambiguous = int32(found), reason == reject.AmbiguousImage //nolint:gosec // an index of files
	src.images = append(src.images, im)
	return nil
}

func (p *parser) category(src *source, raw []byte) error {
	var c category
	var name []byte
	hasID := false
	err := fields(raw, func(key, value []byte) error {
		switch string(key) {
		case "id":
			c.id, hasID = integer(value)
		case "name":
			name = value
		}
		return nil
	})
	if err != nil || !hasID || json.Unmarshal(name, &c.name) != nil {
		return &syntaxError{reject.MalformedFile, fmt.Sprintf("entry %d of \"categories\" has no whole number as its \"id\" or no \"name\"", len(src.categories)+1)}
	}
	c.name = strings.TrimSpace(c.name)
	if reason := boxes.CheckClassName(c.name); reason != "" {
		return &syntaxError{reject.InvalidClassName, fmt.Sprintf("the name of category %d can't be a label: %s", c.id, reason)}
	}
	if p.categories++; p.categories > maxCategories {
		return &syntaxError{reject.TooManyClasses, fmt.Sprintf("the JSON files have more than %d entries in \"categories\", the limit", maxCategories)}
	}
	src.categories = append(src.categories, c)
	return nil
}

// annotation reads an annotation and spools it as an object whose label is its category's id, as far as boxes.AppendObject holds it.
func (p *parser) annotation(src *source, raw []byte) error {
	var o boxes.Object
	var picture, categoryID int64
	var hasPicture, hasCategory bool
	var box, area, segmentation, keypoints []byte
	err := fields(raw, func(key, value []byte) error {
		switch string(key) {
		case "id":
			o.ID, _ = integer(value)
		case "image_id":
			picture, hasPicture = integer(value)
		case "category_id":
			categoryID, hasCategory = integer(value)
		case "bbox":
			box = value
		case "area":
			area = value
		case "iscrowd":
			n, _ := integer(value)
			o.Crowd = n != 0 || string(value) == "true"
		case "segmentation":
			segmentation = value
		case "keypoints":
			keypoints = value
		}
		return nil
	})
	if err != nil || !hasPicture {
		return p.bad(src, true, o.ID, reject.MalformedRow, "an annotation has no whole number as its \"image_id\"")
	}
	if !hasCategory { // captions have none
		return p.bad(src, true, o.ID, reject.UnknownCategory, "the annotation has no whole number as its \"category_id\"")
	}
	src.objects++
	var b [4]float64
	if !numbers(box, b[:]) {
		return p.bad(src, true, o.ID, reject.InvalidBox, "the annotation's \"bbox\" isn't four numbers: x, y, width, height")
	}
	o.XMin, o.YMin, o.XMax, o.YMax = b[0], b[1], b[0]+b[2], b[1]+b[3]
	o.Area = b[2] * b[3]
	if v, ok := number(area); ok && !math.IsNaN(v) {
		o.Area = v
	}
	for _, text := range []struct {
		name   string
		value  []byte
		object *[]byte
	}{{"segmentation", segmentation, &o.Segmentation}, {"keypoints", keypoints, &o.KeypointSet}} {
		if !holdsSomething(text.value) {
			continue
		}
		if !isNumbers(text.value) && !json.Valid(text.value) {
			return p.bad(src, true, o.ID, reject.MalformedRow, "the annotation's %q is not valid JSON", text.name)
		}
		*text.object = text.value
	}
	src.keypoints = src.keypoints || o.KeypointSet != nil
	p.obj = appendSpooled(p.obj[:0], categoryID, &o)
	return p.spool.add(key{src.number, picture}, p.obj)
}

// isNumbers tells of a value that it is JSON because it holds nothing but plain numbers in arrays, as polygons do. Of others it tells nothing.
func isNumbers(b []byte) bool {
	depth, wanted := 0, true // whether a value must be next
	for i := 0; i < len(b); {
		switch c := b[i]; {
		case wanted && c == '[':
			depth++
			i++
		case wanted:
			if c == '-' {
				i++
			}
			start := i
			i = digitsEnd(b, i)
			if i == start || b[start] == '0' && i > start+1 {
				return false
			}
			if i < len(b) && b[i] == '.' {
				start = i + 1
				if i = digitsEnd(b, start); i == start {
					return false
				}
			}
			wanted = false
		case c == ',' && depth > 0:
			wanted = true
			i++
		case c == ']' && depth > 0:
			depth--
			i++
		default:
			return false
		}
	}
	return depth == 0 && !wanted
}

func digitsEnd(b []byte, i int) int {
	for i < len(b) && b[i]-'0' <= 9 {
		i++
	}
	return i
}

// holdsSomething tells whether a segmentation is one; tools write empty ones.
func holdsSomething(value []byte) bool {
	switch string(value) {
	case "", "null", "[]", "[[]]", "{}", `""`:
		return false
	}
	return true
}

// integer reads a whole number; 1.0 is one.
func integer(value []byte) (int64, bool) {
	if len(value) > 32 {
		return 0, false
	}
	if n, err := strconv.ParseInt(string(value), 10, 64); err == nil {
		return n, true
	}
	f, ok := number(value)
	if !ok || f != math.Trunc(f) || math.Abs(f) > 1<<53 {
		return 0, false
	}
	return int64(f), true
}

// number reads a number; NaN and infinities are let through.
func number(value []byte) (float64, bool) {
	if f, ok := decimal(value); ok {
		return f, true
	}
	if len(value) == 0 || len(value) > 512 || bytes.ContainsAny(value, "xX_pP") { // hexadecimal floats are Go's, not JSON's
		return 0, false
	}
	f, err := strconv.ParseFloat(string(value), 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return 0, false
	}
	return f, true
}

// decimal reads what nearly all numbers are: few digits, with a point among them or none. Both the digits as a whole number and the power of ten are exact
// floats then, so that their quotient is the float next to the number (W. Clinger, How to read floating point numbers accurately, 1990).
func decimal(value []byte) (float64, bool) {
	const most = 15 // digits
	digits := value
	if len(digits) > 0 && digits[0] == '-' {
		digits = digits[1:]
	}
	if len(digits) == 0 || len(digits) > most+1 {
		return 0, false
	}
	n, behind, point := int64(0), 0, false
	for i, c := range digits {
		switch {
		case c-'0' <= 9:
			n = 10*n + int64(c-'0')
			if point {
				behind++
			}
		case c == '.' && !point && i > 0 && i < len(digits)-1:
			point = true
		default:
			return 0, false
		}
	}
	if !point && len(digits) > most {
		return 0, false
	}
	f := float64(n) / powersOfTen[behind]
	if len(digits) < len(value) {
		f = -f
	}
	return f, true
}

var powersOfTen = [...]float64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15}

// side reads a width or a height; 0 if there is no sensible one.
func side(value []byte) int32 {
	n, ok := integer(value)
	if !ok || n < 0 || n > boxes.MaxSide {
		return 0
	}
	return int32(n)
}

// numbers reads an array of as many numbers as dst has.
func numbers(value []byte, dst []float64) bool {
	if len(value) < 2 || value[0] != '[' || value[len(value)-1] != ']' {
		return false
	}
	rest, n := value[1:len(value)-1], 0
	for part := range bytes.SplitSeq(rest, []byte(",")) {
		if n == len(dst) {
			return false
		}
		v, ok := number(part)
		if !ok {
			return false
		}
		dst[n] = v
		n++
	}
	return n == len(dst)
}
