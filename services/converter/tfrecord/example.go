package tfrecord

import (
	"encoding/binary"
	"math"
	"slices"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
)

// Field numbers of tensorflow/core/example/{example,feature}.proto.
const (
	exampleFeatures = 1
	featuresMap     = 1
	mapKey          = 1
	mapValue        = 2
	bytesList       = 1
	floatList       = 2
	int64List       = 3
	listValue       = 1
)

// Feature is one named value of an Example. Make it with Bytes, Text, Texts, Reserve, Int64, Int64s or Floats.
type Feature struct {
	key    string
	kind   int // the field number of the list in tensorflow.Feature
	data   []byte
	text   string
	slot   *[]byte
	size   int // of the one bytes value
	single int64
	ints   []int64 // nil: single
	floats []float32
	texts  [][]byte // nil: one bytes value

	values, list, message, entry int // lengths of the packed values, the list, the Feature and the map's entry; see measure
}

// Bytes is a feature of one bytes value.
func Bytes(key string, value []byte) Feature {
	return Feature{key: key, kind: bytesList, data: value, size: len(value)}
}

// Text is a feature of one bytes value given as a string.
func Text(key, value string) Feature {
	return Feature{key: key, kind: bytesList, text: value, size: len(value)}
}

// Texts is a feature of any number of bytes values.
func Texts(key string, values [][]byte) Feature {
	if values == nil {
		values = [][]byte{}
	}
	return Feature{key: key, kind: bytesList, texts: values}
}

// Reserve is a feature of one bytes value of the given size that is filled in later: AppendExample
// sets *slot to the value's place in the record. The place holds garbage until then, and moves when
// the buffer next grows.
func Reserve(key string, size int, slot *[]byte) Feature {
	return Feature{key: key, kind: bytesList, slot: slot, size: size}
}

// Int64 is a feature of one int64.
func Int64(key string, value int64) Feature {
	return Feature{key: key, kind: int64List, single: value}
}

// Int64s is a feature of any number of int64 values.
func Int64s(key string, values []int64) Feature {
	if values == nil {
		values = []int64{}
	}
	return Feature{key: key, kind: int64List, ints: values}
}

// Floats is a feature of any number of float32 values.
func Floats(key string, values []float32) Feature {
	return Feature{key: key, kind: floatList, floats: values}
}

// SetInt64 gives a feature that Int64 made another value. Features that stay in their place cost less than new ones.
func (f *Feature) SetInt64(value int64) { f.single = value }

// SetBytes gives a feature that Bytes made another value.
func (f *Feature) SetBytes(value []byte) { f.data, f.size = value, len(value) }

// SetInt64s gives a feature that Int64s made other values.
func (f *Feature) SetInt64s(values []int64) {
	if f.ints = values; values == nil {
		f.ints = []int64{}
	}
}

// SetFloats gives a feature that Floats made other values.
func (f *Feature) SetFloats(values []float32) { f.floats = values }

// SetTexts gives a feature that Texts made other values.
func (f *Feature) SetTexts(values [][]byte) {
	if f.texts = values; values == nil {
		f.texts = [][]byte{}
	}
}

// packedSize is the length of the packed values of a number list.
func (f *Feature) packedSize() int {
	if f.kind == floatList {
		return 4 * len(f.floats)
	}
	if f.ints == nil {
		return protowire.SizeVarint(uint64(f.single)) //nolint:gosec // the wire form of int64 is its two's complement
	}
	n := 0
	for _, v := range f.ints {
		n += protowire.SizeVarint(uint64(v)) //nolint:gosec // as above
	}
	return n
}

// sizes returns the lengths of the list message and of the Feature message around it. Every field
// number here is below 16, so every tag is one byte.
func (f *Feature) sizes() (values, list, feature int) {
	switch {
	case f.texts != nil:
		for _, t := range f.texts {
			list += 1 + protowire.SizeBytes(len(t))
		}
		return 0, list, 1 + protowire.SizeBytes(list)
	case f.kind == bytesList:
		values = f.size
	default:
		values = f.packedSize()
	}
	if values > 0 || f.kind == bytesList { // an empty packed list has no field at all
		list = 1 + protowire.SizeBytes(values)
	}
	return values, list, 1 + protowire.SizeBytes(list)
}

// AppendExample appends the wire form of a tf.train.Example to dst. The features are sorted by key
// in place, so that equal features always give equal bytes (the order of a Go map, or protobuf's
// default one, doesn't promise that). Keys must be distinct.
func AppendExample(dst []byte, features []Feature) []byte {
	total, sorted := 0, true
	for i := range features {
		f := &features[i]
		f.measure()
		total += 1 + protowire.SizeBytes(f.entry)
		sorted = sorted && (i == 0 || features[i-1].key < f.key)
	}
	if !sorted { // sorting moves whole features about, even to find them in order
		slices.SortFunc(features, func(a, b Feature) int { return strings.Compare(a.key, b.key) })
	}
	dst = slices.Grow(dst, 1+protowire.SizeBytes(total)+footerBytes) // so that End needn't move the record
	dst = appendHeader(dst, exampleFeatures, total)
	for i := range features {
		dst = features[i].append(dst)
	}
	return dst
}

// measure sets the lengths of the map entry {key, Feature} and what is in it.
func (f *Feature) measure() {
	f.values, f.list, f.message = f.sizes()
	f.entry = 1 + protowire.SizeBytes(len(f.key)) + 1 + protowire.SizeBytes(f.message)
}

func (f *Feature) append(dst []byte) []byte {
	dst = appendHeader(dst, featuresMap, f.entry)
	dst = appendHeader(dst, mapKey, len(f.key))
	dst = append(dst, f.key...)
	dst = appendHeader(dst, mapValue, f.message)
	dst = appendHeader(dst, protowire.Number(f.kind), f.list) //nolint:gosec // one of three constants
	if f.list == 0 {
		return dst
	}
	for _, t := range f.texts {
		dst = appendHeader(dst, listValue, len(t))
		dst = append(dst, t...)
	}
	if f.texts != nil {
		return dst
	}
	dst = appendHeader(dst, listValue, f.values)
	switch {
	case f.kind == floatList:
		for _, v := range f.floats {
			dst = binary.LittleEndian.AppendUint32(dst, math.Float32bits(v))
		}
	case f.kind == int64List && f.ints == nil:
		dst = protowire.AppendVarint(dst, uint64(f.single)) //nolint:gosec // as in packedSize
	case f.kind == int64List:
		for _, v := range f.ints {
			dst = protowire.AppendVarint(dst, uint64(v)) //nolint:gosec // as in packedSize
		}
	case f.slot != nil:
		// AppendExample has grown dst by enough; the old contents are left for the caller to overwrite.
		start := len(dst)
		dst = dst[:start+f.size]
		*f.slot = dst[start : start+f.size : start+f.size]
	case f.data != nil:
		dst = append(dst, f.data...)
	default:
		dst = append(dst, f.text...)
	}
	return dst
}

// appendHeader appends the tag of a length-delimited field, whose number is below 16, and its length.
func appendHeader(dst []byte, field protowire.Number, size int) []byte {
	tag := byte(field<<3) | byte(protowire.BytesType)
	if size < 0x80 {
		return append(dst, tag, byte(size))
	}
	return protowire.AppendVarint(append(dst, tag), uint64(size)) //nolint:gosec // never negative
}
