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
	heads    [][]byte // of the features: all that precedes the value of one that is short
}

// oneByte is below which a length takes one byte.
const oneByte = 0x80

// NewTemplate makes a Template of features whose keys are distinct. It doesn't take those that Reserve made.
func NewTemplate(features []Feature) *Template {
	slices.SortFunc(features, func(a, b Feature) int { return strings.Compare(a.key, b.key) })
	t := &Template{Features: features, heads: make([][]byte, len(features))}
	for i := range features {
		f := &features[i]
		head := appendHeader(nil, featuresMap, 0)
		if len(f.key) < oneByte {
			head = append(appendHeader(head, mapKey, len(f.key)), f.key...)
			head = appendHeader(appendHeader(appendHeader(head, mapValue, 0), protowire.Number(f.kind), 0), listValue, 0) //nolint:gosec // one of three constants
			t.heads[i] = head
		}
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
	start := len(dst)
	dst = append(dst, exampleFeatures<<3|byte(protowire.BytesType), 0, 0)
	body := len(dst)
	for i := range t.Features {
		dst = t.Features[i].appendShort(dst, t.heads[i])
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

// appendShort appends the map's entry. head is what it begins with while all its lengths take one byte, but for these.
func (f *Feature) appendShort(dst, head []byte) []byte {
	n := f.size
	switch {
	case f.kind == int64List && f.ints == nil:
		n = protowire.SizeVarint(uint64(f.single)) //nolint:gosec // as in packedSize
	case f.kind == floatList && len(f.floats) == 1:
		n = 4
	case f.kind != bytesList || f.texts != nil:
		head = nil
	}
	if len(head)+n-2 >= oneByte || head == nil {
		f.measure()
		return f.append(dst)
	}
	at := len(dst)
	dst = append(dst, head...)
	h := dst[at : at+len(head)]
	h[1] = byte(len(h) + n - 2)
	h[len(h)-5] = byte(n + 4)
	h[len(h)-3] = byte(n + 2)
	h[len(h)-1] = byte(n)
	switch f.kind {
	case int64List:
		if n == 1 {
			return append(dst, byte(f.single))
		}
		return protowire.AppendVarint(dst, uint64(f.single)) //nolint:gosec // as in packedSize
	case floatList:
		return binary.LittleEndian.AppendUint32(dst, math.Float32bits(f.floats[0]))
	}
	if f.data != nil {
		return append(dst, f.data...)
	}
	return append(dst, f.text...)
}
