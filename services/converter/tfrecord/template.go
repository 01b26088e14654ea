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
}

// head is how a feature begins.
type head struct {
	form  form
	size  int            // of bytes
	bytes [headRoom]byte // tags of the map's entry and of its key, and the key. The length of the entry, the second byte, is set with each example
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
	t := &Template{Features: features, heads: make([]head, len(features))}
	for i := range features {
		f, h := &features[i], &t.heads[i]
		if 4+len(f.key) > headRoom {
			continue
		}
		switch {
		case f.kind == int64List && f.ints == nil:
			h.form = oneInt
		case f.kind == floatList:
			h.form = oneFloat
		case f.kind == bytesList && f.texts == nil:
			h.form = oneBytes
		}
		h.size = copy(h.bytes[:], append(appendHeader(appendHeader(nil, featuresMap, 0), mapKey, len(f.key)), f.key...))
		tags := appendHeader(appendHeader(appendHeader(nil, mapValue, 4), protowire.Number(f.kind), 2), listValue, 0) //nolint:gosec // one of three constants
		h.tags = binary.LittleEndian.Uint64(append(tags, 0, 0))
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
	const usual = 2 // bytes of the length of all features together
	room := 1 + binary.MaxVarintLen64 + len(t.Features)*(headRoom+tailRoom)
	for i := range t.Features {
		switch f := &t.Features[i]; {
		case t.heads[i].form == oneInt, t.heads[i].form == oneFloat && len(f.floats) == 1:
		case t.heads[i].form == oneBytes:
			room += f.size
		default:
			f.measure()
			room += f.entry
		}
	}
	start := len(dst)
	dst = slices.Grow(dst, room+footerBytes) // so that End needn't move the record
	dst = append(dst, exampleFeatures<<3|byte(protowire.BytesType), 0, 0)
	body := len(dst)
	for i := range t.Features {
		f, h := &t.Features[i], &t.heads[i]
		switch {
		case h.form == oneInt:
			n := 1
			if uint64(f.single) >= oneByte { //nolint:gosec // a negative one is large
				n = protowire.SizeVarint(uint64(f.single)) //nolint:gosec // as in packedSize
			}
			at := h.put(dst, n)
			dst = dst[:at+n]
			dst[at] = byte(f.single)
			if n > 1 {
				binary.PutUvarint(dst[at:], uint64(f.single)) //nolint:gosec // as in packedSize
			}
		case h.form == oneFloat && len(f.floats) == 1:
			at := h.put(dst, 4)
			dst = dst[:at+4]
			binary.LittleEndian.PutUint32(dst[at:], math.Float32bits(f.floats[0]))
		case h.form == oneBytes:
			at := h.put(dst, f.size)
			dst = dst[:at+f.size]
			if f.data != nil {
				copy(dst[at:], f.data)
			} else {
				copy(dst[at:], f.text)
			}
		default:
			dst = f.append(dst)
		}
	}
	size := len(dst) - body
	if n := protowire.SizeVarint(uint64(size)); n != usual { //nolint:gosec // never negative
		if n > usual {
			dst = append(dst, make([]byte, n-usual)...)
		}
		copy(dst[body+n-usual:], dst[body:body+size])
		dst = dst[:body+n-usual+size]
	}
	binary.PutUvarint(dst[start+1:], uint64(size)) //nolint:gosec // never negative
	return dst
}

// put puts all that precedes a value of n bytes behind dst, which has room for it, and returns where the value begins.
func (h *head) put(dst []byte, n int) int {
	at := len(dst)
	dst = dst[:cap(dst)]
	*(*[headRoom]byte)(dst[at:]) = h.bytes
	if h.size+n+4 < oneByte {
		const each = 1<<8 | 1<<24 | 1<<40 // of the three lengths
		dst[at+1] = byte(h.size + n + 4)
		binary.LittleEndian.PutUint64(dst[at+h.size:], h.tags+uint64(n)*each) //nolint:gosec // a length
		return at + h.size + 6
	}
	list := 1 + protowire.SizeBytes(n)
	feature := 1 + protowire.SizeBytes(list)
	at = putHeader(dst, at, featuresMap<<3, h.size-2+1+protowire.SizeBytes(feature))
	at += copy(dst[at:], h.bytes[2:h.size])
	at = putHeader(dst, at, mapValue<<3, feature)
	at = putHeader(dst, at, byte(h.tags>>16), list)
	return putHeader(dst, at, listValue<<3, n)
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
