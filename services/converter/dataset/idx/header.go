package idx

import (
	"encoding/binary"
	"fmt"
	"math"
	"strings"
)

// maxDims is how many dimensions a file may have; the byte in the header can say 255, TensorFlow's kernels
// take eight.
const maxDims = 8

// maxHeader is the length of the longest header that is read, in bytes.
const maxHeader = 4 + 4*maxDims

// element is the type of a file's numbers, by the byte that stands for it in the header.
type element byte

// The types that exist; http://yann.lecun.com/exdb/mnist/, "The IDX file format".
const (
	ubyte   element = 0x08
	sbyte   element = 0x09
	short   element = 0x0b
	integer element = 0x0c
	float   element = 0x0d
	double  element = 0x0e
)

// size is the length of a number in bytes, 0 of a type that doesn't exist.
func (e element) size() int {
	switch e {
	case ubyte, sbyte:
		return 1
	case short:
		return 2
	case integer, float:
		return 4
	case double:
		return 8
	}
	return 0
}

// dtype is NumPy's name of the type.
func (e element) dtype() string {
	switch e {
	case ubyte:
		return "uint8"
	case sbyte:
		return "int8"
	case short:
		return "int16"
	case integer:
		return "int32"
	case float:
		return "float32"
	default:
		return "float64"
	}
}

// layout is the shape of a file's rows. The numbers are big-endian and lie row after row behind the header.
type layout struct {
	Element element `json:"element"`
	Dims    []int   `json:"dims"` // of a row; none if a row is one number
}

// rowBytes is the length of a row in bytes. It doesn't overflow for a layout that parseHeader returned.
func (l layout) rowBytes() int {
	n := l.Element.size()
	for _, d := range l.Dims {
		n *= d
	}
	return n
}

// String is the layout in words, such as uint8 28×28.
func (l layout) String() string {
	var b strings.Builder
	b.WriteString(l.Element.dtype())
	for i, d := range l.Dims {
		if sep := "×"; i > 0 {
			b.WriteString(sep)
		} else {
			b.WriteByte(' ')
		}
		fmt.Fprint(&b, d)
	}
	return b.String()
}

// maxImageSide is the longest side of what is taken as an image, that of JPEG.
const maxImageSide = 65_535

// image tells whether rows are images, and of what size: bytes in two dimensions are grey, with a third of 1 or 3 grey or RGB.
func (l layout) image() (height, width, channels int, ok bool) {
	if l.Element != ubyte || len(l.Dims) < 2 || len(l.Dims) > 3 {
		return 0, 0, 0, false
	}
	height, width, channels = l.Dims[0], l.Dims[1], 1
	if len(l.Dims) == 3 {
		channels = l.Dims[2]
	}
	ok = height <= maxImageSide && width <= maxImageSide && (channels == 1 || channels == 3)
	return height, width, channels, ok
}

// header is what the beginning of a file says.
type header struct {
	layout
	rows int64
	data int64 // where the first row begins
}

// hasMagic tells whether a file of the given size may be IDX by its first bytes: two zeros, a type that exists, and as
// many sizes as it says.
func hasMagic(head []byte) bool {
	return len(head) >= 8 && head[0] == 0 && head[1] == 0 && element(head[2]).size() > 0 && head[3] > 0
}

// parseHeader reads the header of a file of the given size, of which head is the beginning: maxHeader bytes, or all if it is shorter. The
// sizes must account for every byte of the file. If they don't, it returns what is wrong.
func parseHeader(head []byte, size, maxRow int64) (header, string) {
	var h header
	if !hasMagic(head) {
		return h, "the file does not begin as IDX files do"
	}
	dims := int(head[3])
	if dims > maxDims {
		return h, fmt.Sprintf("the header says that the file has %d dimensions; the limit is %d", dims, maxDims)
	}
	if len(head) < 4+4*dims {
		return h, fmt.Sprintf("the file ends within its header, which says that it has %d dimensions", dims)
	}
	h.Element, h.data = element(head[2]), int64(4+4*dims)
	h.rows = int64(binary.BigEndian.Uint32(head[4:]))
	row := int64(h.Element.size())
	for i := 1; i < dims; i++ {
		d := int64(binary.BigEndian.Uint32(head[4+4*i:]))
		if d == 0 {
			return h, fmt.Sprintf("the header says that dimension %d has the size 0", i+1)
		}
		if row *= d; row > maxRow { // row was at most maxRow and d is below 2^32, so that there is no overflow
			return h, fmt.Sprintf("the header says that a row has more than %d bytes, which is the limit", maxRow)
		}
		h.Dims = append(h.Dims, int(d))
	}
	if h.rows == 0 {
		return h, "the header says that the file has no rows"
	}
	if h.rows > (math.MaxInt64-h.data)/row || h.data+h.rows*row != size {
		return h, fmt.Sprintf("the header says that %d rows of %d bytes follow, but %d bytes do; "+
			"the file was cut short or is damaged: download or write it again", h.rows, row, size-h.data)
	}
	return h, ""
}
