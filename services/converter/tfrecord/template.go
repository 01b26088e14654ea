package tfrecord

import (
	"encoding/binary"
	"math"
	"slices"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
)

// Template makes examples that all have the same keys, such as those of the rows of a table. What is the same in all of them is
// made once, so that it costs a third of AppendExample, and gives the same bytes.
type Template struct {
	// Features are sorted by key. Their values are set by SetInt64, SetFloats and so on; neither their keys nor their kinds change.
	Features []Feature
	heads    []head
	room     int // of an example without its bytes values and those of more than one number
}

// head is how a feature begins.
type head struct {
	form  form
	most  int            // bytes of a value below which all lengths take one byte; 0 if the key is too long for bytes
	size  int            // of start
	start []byte         // tags of the map's entry and of its key, and the key. The length of the entry, the second byte, is set with each example
	bytes [headRoom]byte // the same
	tags  uint64         // of the Feature, the list and the value, each with the least length it can have below it
}

// form is how a feature is appended.
type form uint8

const (
	anyForm form = iota
	oneInt
	oneFloat // or none, or several
	oneBytes
)

const (
	oneByte  = 0x80 // below which a length takes one byte
	headRoom = 32
	tailRoom = 3*(1+binary.MaxVarintLen64) + binary.MaxVarintLen64 // of the headers of Feature, list and value, and of a number
)

// NewTemplate makes a Template of features whose keys are distinct. It doesn't take those that Reserve made.
func NewTemplate(features []Feature) *Template {
	slices.SortFunc(features, func(a, b Feature) int { return strings.Compare(a.key, b.key) })
	t := &Template{Features: features, heads: make([]head, len(features)), room: 1 + binary.MaxVarintLen64 + footerBytes}
	for i := range features {
		f, h := &features[i], &t.heads[i]
		switch {
		case f.kind == int64List && f.ints == nil:
			h.form = oneInt
		case f.kind == floatList:
			h.form = oneFloat
		case f.kind == bytesList && f.texts == nil:
			h.form = oneBytes
		}
		h.start = append(appendHeader(appendHeader(nil, featuresMap, 0), mapKey, len(f.key)), f.key...)
		if h.size = copy(h.bytes[:], h.start); h.size == len(h.start) {
			h.most = oneByte - 4 - h.size
		}
		tags := appendHeader(appendHeader(appendHeader(nil, mapValue, 4), protowire.Number(f.kind), 2), listValue, 0) //nolint:gosec // one of three constants
		h.tags = binary.LittleEndian.Uint64(append(tags, 0, 0))
		t.room += headRoom + binary.MaxVarintLen64 + len(h.start) + tailRoom
	}
	return t
}

// Feature returns the feature with a key that the template has.
func (t *Template) Feature(key string) *Feature {
	i, _ := slices.BinarySearchFunc(t.Features, key, func(f Feature, key string) int { return strings.Compare(f.key, key) })
	return &t.Features[i]
}

// Append appends the wire form of the example to dst.
func (t *Template) Append(dst []byte) []byte {
	values := 0
	for i := range t.Features {
		switch f := &t.Features[i]; {
		case t.heads[i].form == oneInt, t.heads[i].form == oneFloat && len(f.floats) == 1:
		case t.heads[i].form == oneBytes:
			values += f.size
		default:
			f.measure()
			values += f.entry
		}
	}
	buf, at := t.Begin(dst, values)
	for i := range t.Features {
		f, h := &t.Features[i], &t.heads[i]
		switch {
		case h.form == oneInt:
			at = t.PutInt64(buf, at, i, f.single)
		case h.form == oneFloat && len(f.floats) == 1:
			at = t.PutFloat(buf, at, i, f.floats[0])
		case h.form == oneBytes && f.data == nil:
			at = h.put(buf, at, f.size)
			at += copy(buf[at:], f.text)
		case h.form == oneBytes:
			at = t.PutBytes(buf, at, i, f.data)
		default:
			at = len(f.append(buf[:at]))
		}
	}
	return t.End(buf, len(dst), at)
}

// Begin makes room behind dst for an example that is put together by one call of PutInt64, PutFloat or PutBytes for each of the Features, in their order. That
// spares what Append takes to set them. values is how long the bytes values are together, at most. The first place to put to is at, and
// each call returns the next; End makes the example of it.
func (t *Template) Begin(dst []byte, values int) (buf []byte, at int) {
	start := len(dst)
	dst = slices.Grow(dst, t.room+values) // with room for the footer, so that the record needn't move for it
	return dst[:cap(dst)], start + 1 + usualLength
}

// usualLength is how many bytes the length of all features together mostly takes.
const usualLength = 2

// PutInt64 puts the value of feature i, which Int64 made.
func (t *Template) PutInt64(buf []byte, at, i int, value int64) int {
	const spread = 1 << 28
	v := uint64(value) //nolint:gosec // as in packedSize
	n := protowire.SizeVarint(v)
	at = t.heads[i].put(buf, at, n)
	if v >= spread {
		return at + binary.PutUvarint(buf[at:], v)
	}
	const more = 0x80808080                                                                 // on all bytes but the last
	w := v&0x7f | v<<1&0x7f00 | v<<2&0x7f0000 | v<<3&0x7f000000 | more&(1<<(8*uint(n-1))-1) //nolint:gosec // n is 1 to 4
	binary.LittleEndian.PutUint32(buf[at:], uint32(w))                                      //nolint:gosec // 32 bits
	return at + n
}

// PutFloat puts the value of feature i, which Floats made.
func (t *Template) PutFloat(buf []byte, at, i int, value float32) int {
	at = t.heads[i].put(buf, at, 4)
	binary.LittleEndian.PutUint32(buf[at:], math.Float32bits(value))
	return at + 4
}

// PutBytes puts the value of feature i, which Bytes made.
func (t *Template) PutBytes(buf []byte, at, i int, value []byte) int {
	at = t.heads[i].put(buf, at, len(value))
	return at + copy(buf[at:], value)
}

// End returns the buffer of Begin with the example, which begins at start, once all features are put and end at the given place.
func (t *Template) End(buf []byte, start, at int) []byte {
	body := start + 1 + usualLength
	size := at - body
	buf[start] = exampleFeatures<<3 | byte(protowire.BytesType)
	if n := protowire.SizeVarint(uint64(size)); n != usualLength { //nolint:gosec // never negative
		copy(buf[start+1+n:], buf[body:at])
		at += n - usualLength
	}
	binary.PutUvarint(buf[start+1:], uint64(size)) //nolint:gosec // never negative
	return buf[:at]
}

// put puts all that precedes a value of n bytes, and returns where the value begins.
func (h *head) put(buf []byte, at, n int) int {
	if n >= h.most {
		return h.putLong(buf, at, n)
	}
	const each = 1<<8 | 1<<24 | 1<<40 // of the three lengths
	*(*[headRoom]byte)(buf[at:]) = h.bytes
	buf[at+1] = byte(h.size + n + 4)
	binary.LittleEndian.PutUint64(buf[at+h.size:], h.tags+uint64(n)*each) //nolint:gosec // a length
	return at + h.size + 6
}

func (h *head) putLong(buf []byte, at, n int) int {
	list := 1 + protowire.SizeBytes(n)
	feature := 1 + protowire.SizeBytes(list)
	at = putHeader(buf, at, featuresMap<<3, len(h.start)-2+1+protowire.SizeBytes(feature))
	at += copy(buf[at:], h.start[2:])
	at = putHeader(buf, at, mapValue<<3, feature)
	at = putHeader(buf, at, byte(h.tags>>16), list)
	return putHeader(buf, at, listValue<<3, n)
}

// putHeader is appendHeader where there is room.
func putHeader(dst []byte, at int, tag byte, size int) int {
	dst[at] = tag | byte(protowire.BytesType)
	if size < oneByte {
		dst[at+1] = byte(size)
		return at + 2
	}
	return at + 1 + binary.PutUvarint(dst[at+1:], uint64(size)) //nolint:gosec // never negative
}
