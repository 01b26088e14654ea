package tfrecords

import (
	"bytes"
	"encoding/binary"
	"math"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
)

// kind is the type of a feature's values: the field number of its list in tensorflow.Feature
// (tensorflow/core/example/feature.proto), or none of a feature without a list.
type kind byte

const (
	none   kind = 0
	texts  kind = 1 // bytes_list
	floats kind = 2
	ints   kind = 3
)

func (k kind) String() string { return [...]string{"nothing", "bytes", "float", "int64"}[k] }

// feature is one feature of an example, as far as it concerns the contract. The slices are parts of the example.
type feature struct {
	key   []byte
	kind  kind
	count int
	list  []byte // the wire form of the list
	first int64  // of int64s
	bytes []byte // of bytes values, the first
}

const (
	maxFeatures = 1000 // of an example
	maxKeyBytes = 256
)

// parse splits an example into its features, sorted by key, in the slice that it is given. It returns what is wrong with it, or "". Of two features with one key
// the later counts, as protobuf's rules for maps say.
func parse(example []byte, into []feature) ([]feature, string) {
	into = into[:0]
	for len(example) > 0 {
		num, typ, n := protowire.ConsumeTag(example)
		if n < 0 {
			return into, notExample
		}
		example = example[n:]
		if num == 2 && typ == protowire.BytesType {
			return into, "the record is a tf.train.SequenceExample, which is not read; write its lists as features of a tf.train.Example"
		}
		if num != 1 || typ != protowire.BytesType {
			if n = protowire.ConsumeFieldValue(num, typ, example); n < 0 {
				return into, notExample
			}
			example = example[n:]
			continue
		}
		features, n := protowire.ConsumeBytes(example)
		if n < 0 {
			return into, notExample
		}
		example = example[n:]
		var problem string
		if into, problem = parseFeatures(features, into); problem != "" {
			return into, problem
		}
	}
	if len(into) == 0 {
		return into, "the example has no features"
	}
	slices.SortStableFunc(into, func(a, b feature) int { return bytes.Compare(a.key, b.key) })
	kept := into[:0]
	for i := range into {
		if i+1 < len(into) && bytes.Equal(into[i].key, into[i+1].key) {
			continue
		}
		kept = append(kept, into[i])
	}
	return kept, ""
}

const notExample = "the record's data are no tf.train.Example"

// parseFeatures appends the entries of the map of features.
func parseFeatures(data []byte, into []feature) ([]feature, string) {
	for len(data) > 0 {
		entry, rest, ok := field(data, 1)
		if !ok {
			return into, notExample
		}
		data = rest
		if entry == nil {
			continue
		}
		if len(into) == maxFeatures {
			return into, "the example has more than 1000 features, which is the limit"
		}
		var f feature
		for len(entry) > 0 {
			num, typ, n := protowire.ConsumeTag(entry)
			if n < 0 || num <= 2 && typ != protowire.BytesType {
				return into, notExample
			}
			m := protowire.ConsumeFieldValue(num, typ, entry[n:])
			if m < 0 {
				return into, notExample
			}
			value := entry[n : n+m]
			entry = entry[n+m:]
			switch num {
			case 1:
				f.key, _ = protowire.ConsumeBytes(value)
			case 2:
				value, _ = protowire.ConsumeBytes(value)
				if !f.parse(value) {
					return into, notExample
				}
			}
		}
		if !goodKey(f.key) {
			return into, "a feature's name is empty, longer than 256 bytes, not UTF-8 or has control characters"
		}
		into = append(into, f)
	}
	return into, ""
}

// field consumes one field of a message. value is nil if it isn't the wanted one, of length-delimited type.
func field(data []byte, want protowire.Number) (value, rest []byte, ok bool) {
	num, typ, n := protowire.ConsumeTag(data)
	if n < 0 {
		return nil, nil, false
	}
	m := protowire.ConsumeFieldValue(num, typ, data[n:])
	if m < 0 {
		return nil, nil, false
	}
	if num == want && typ == protowire.BytesType {
		value, _ = protowire.ConsumeBytes(data[n:])
		if value == nil {
			value = []byte{}
		}
	}
	return value, data[n+m:], true
}

// parse reads a tensorflow.Feature. One with two lists is refused: which one readers take differs.
func (f *feature) parse(data []byte) bool {
	f.kind, f.count = none, 0
	for len(data) > 0 {
		num, typ, n := protowire.ConsumeTag(data)
		if n < 0 {
			return false
		}
		m := protowire.ConsumeFieldValue(num, typ, data[n:])
		if m < 0 {
			return false
		}
		value := data[n : n+m]
		data = data[n+m:]
		if num > 3 {
			continue
		}
		if typ != protowire.BytesType || f.kind != none {
			return false
		}
		f.kind = kind(num) //nolint:gosec // 1 to 3
		f.list, _ = protowire.ConsumeBytes(value)
		if !f.parseList() {
			return false
		}
	}
	return true
}

// parseList counts the values of a list, which may be packed or not, and notes the first.
func (f *feature) parseList() bool {
	for data := f.list; len(data) > 0; {
		num, typ, n := protowire.ConsumeTag(data)
		if n < 0 {
			return false
		}
		m := protowire.ConsumeFieldValue(num, typ, data[n:])
		if m < 0 {
			return false
		}
		value := data[n : n+m]
		data = data[n+m:]
		if num != 1 {
			continue
		}
		packed := value
		if typ == protowire.BytesType {
			packed, _ = protowire.ConsumeBytes(value)
		}
		switch {
		case f.kind == texts && typ == protowire.BytesType:
			if f.count == 0 {
				f.bytes = packed
			}
			f.count++
		case f.kind == floats && (typ == protowire.BytesType || typ == protowire.Fixed32Type):
			if len(packed)%4 != 0 {
				return false
			}
			f.count += len(packed) / 4
		case f.kind == ints && (typ == protowire.BytesType || typ == protowire.VarintType):
			if len(packed) > 0 && f.count == 0 {
				v, _ := protowire.ConsumeVarint(packed)
				f.first = int64(v) //nolint:gosec // two's complement on the wire
			}
			k := countVarints(packed)
			if k < 0 {
				return false
			}
			f.count += k
		default:
			return false
		}
	}
	return true
}

// countVarints counts varints, -1 if one is cut off or more than 64 bits.
func countVarints(b []byte) int {
	n, length := 0, 0
	for _, c := range b {
		if length++; length > binary.MaxVarintLen64 || length == binary.MaxVarintLen64 && c > 1 {
			return -1
		}
		if c < 0x80 {
			n, length = n+1, 0
		}
	}
	if length > 0 || n > math.MaxInt32 {
		return -1
	}
	return n
}

// values calls yield with each of a feature's bytes values until it returns false.
func (f *feature) values(yield func([]byte) bool) {
	for data := f.list; len(data) > 0; {
		value, rest, ok := field(data, 1)
		if !ok || value != nil && !yield(value) {
			return
		}
		data = rest
	}
}
