package voc

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"

	"github.com/trainyard/trainyard/services/converter/dataset/boxes"
	"github.com/trainyard/trainyard/services/converter/reject"
)

// The limits on a file of annotations.
const (
	maxFile  = 4 << 20 // bytes
	maxDepth = 16      // elements within each other
	maxText  = 1024    // bytes of a value that are looked at
)

// annotation is what an XML file says of a picture.
type annotation struct {
	filename      string
	width, height int // 0: not stated
	objects       []object
}

// object is one "object", or a part of one.
type object struct {
	line                         int
	name, pose                   string
	truncated, difficult         bool
	xmin, ymin, xmax, ymax       float64
	haveBox, part, rotated, ring bool
}

func newObject(line int) object {
	nan := math.NaN() // until they are read
	return object{line: line, xmin: nan, ymin: nan, xmax: nan, ymax: nan}
}

// syntaxError is why a file can't be read.
type syntaxError struct {
	reason  reject.Reason
	message string
}

func (e *syntaxError) Error() string { return e.message }

func refuse(line int, reason reject.Reason, format string, args ...any) error {
	return &syntaxError{reason, fmt.Sprintf("line %d: ", line) + fmt.Sprintf(format, args...)}
}

// errRoot is for XML that is no file of annotations.
var errRoot = &syntaxError{reject.NotData, "the XML's outermost element isn't <annotation>"}

// parse reads the XML of the PASCAL VOC development kit. A document type, and with it every entity but XML's own five, is refused. All errors are *syntaxError.
func parse(data []byte) (annotation, error) {
	d := xml.NewDecoder(bytes.NewReader(data))
	p := parser{}
	for {
		line, _ := d.InputPos()
		token, err := d.RawToken()
		if errors.Is(err, io.EOF) {
			if len(p.path) > 0 || !p.rooted {
				return p.a, refuse(line, reject.MalformedFile, "the file ends before </annotation>; it is not whole")
			}
			return p.a, nil
		}
		var syntax *xml.SyntaxError
		if errors.As(err, &syntax) {
			return p.a, refuse(syntax.Line, reject.MalformedFile, "the XML can't be read: %s", syntax.Msg)
		}
		if err != nil { // an encoding other than UTF-8
			return p.a, refuse(line, reject.UnsupportedEncoding, "the XML can't be read: %v; save it as UTF-8", err)
		}
		switch t := token.(type) {
		case xml.Directive:
			if bytes.HasPrefix(bytes.ToUpper(t), []byte("DOCTYPE")) {
				return p.a, refuse(line, reject.MalformedFile, "a document type (<!DOCTYPE …>) and entities are not allowed; remove them")
			}
		case xml.StartElement:
			err = p.start(t.Name.Local, line)
		case xml.EndElement:
			err = p.end(t.Name.Local, line)
		case xml.CharData:
			err = p.data(t, line)
		}
		if err != nil {
			return p.a, err
		}
	}
}

type parser struct {
	a      annotation
	path   []string
	rooted bool
	text   []byte
	part   *object // of the last object, while within one
}

func (p *parser) start(name string, line int) error {
	if len(p.path) == 0 {
		if p.rooted {
			return refuse(line, reject.MalformedFile, "there is more than one outermost element")
		}
		if name != "annotation" {
			return errRoot
		}
		p.rooted = true
	}
	if len(p.path) == maxDepth {
		return refuse(line, reject.TooDeep, "elements lie more than %d deep within each other, the limit", maxDepth)
	}
	p.path, p.text = append(p.path, name), p.text[:0]
	switch {
	case len(p.path) == 2 && name == "object":
		p.a.objects = append(p.a.objects, newObject(line))
	case len(p.path) == 3 && p.path[1] == "object":
		o := &p.a.objects[len(p.a.objects)-1]
		switch name {
		case "part":
			part := newObject(line)
			part.part = true
			p.part = &part
		case "robndbox":
			o.rotated = true
		case "polygon", "segmentation":
			o.ring = true
		}
	}
	return nil
}

func (p *parser) data(text []byte, line int) error {
	if len(p.path) == 0 {
		if len(bytes.TrimSpace(bytes.TrimPrefix(text, []byte("\xef\xbb\xbf")))) > 0 {
			return refuse(line, reject.MalformedFile, "there is text outside of the outermost element")
		}
		return nil
	}
	text = text[:min(len(text), maxText-len(p.text))] // what matters is shorter
	p.text = append(p.text, text...)
	return nil
}

func (p *parser) end(name string, line int) error {
	if len(p.path) == 0 || p.path[len(p.path)-1] != name {
		return refuse(line, reject.MalformedFile, "</%.64s> closes nothing", name)
	}
	text := strings.TrimSpace(string(p.text))
	p.text = p.text[:0]
	path := p.path
	p.path = p.path[:len(p.path)-1]
	switch {
	case len(path) == 2 && name == "filename":
		p.a.filename = text
	case len(path) == 3 && path[1] == "size" && name == "width":
		p.a.width = side(text)
	case len(path) == 3 && path[1] == "size" && name == "height":
		p.a.height = side(text)
	case len(path) == 3 && path[1] == "object" && name == "part":
		p.a.objects = append(p.a.objects, *p.part)
		// The object that the part is of stays the last one, which what follows belongs to.
		last := len(p.a.objects) - 1
		p.a.objects[last-1], p.a.objects[last] = p.a.objects[last], p.a.objects[last-1]
		p.part = nil
	case len(path) >= 3 && path[1] == "object":
		o := &p.a.objects[len(p.a.objects)-1]
		rest := path[2:]
		if p.part != nil {
			o, rest = p.part, path[3:]
		}
		o.set(rest, text)
	}
	return nil
}

// set notes a value at a path within an object.
func (o *object) set(path []string, text string) {
	switch {
	case len(path) == 1:
		switch path[0] {
		case "name":
			o.name = text
		case "pose":
			o.pose = text
		case "truncated":
			o.truncated = text == "1" || strings.EqualFold(text, "true")
		case "difficult":
			o.difficult = text == "1" || strings.EqualFold(text, "true")
		case "bndbox":
			o.haveBox = true
		}
	case len(path) == 2 && path[0] == "bndbox":
		v, err := strconv.ParseFloat(text, 64)
		if err != nil {
			v = math.NaN()
		}
		switch path[1] {
		case "xmin":
			o.xmin = v
		case "ymin":
			o.ymin = v
		case "xmax":
			o.xmax = v
		case "ymax":
			o.ymax = v
		}
	}
}

// box returns the object as one of the picture. VOC counts pixels from 1 and a box's last row and column belong to it.
func (o *object) box() boxes.Object {
	return boxes.Object{
		XMin: o.xmin - 1, YMin: o.ymin - 1, XMax: o.xmax, YMax: o.ymax,
		Truncated: o.truncated, Difficult: o.difficult, Pose: []byte(o.pose),
	}
}

func side(text string) int {
	v, err := strconv.ParseFloat(text, 64)
	if err != nil || v != math.Trunc(v) || v < 0 || v > boxes.MaxSide {
		return 0
	}
	return int(v)
}
