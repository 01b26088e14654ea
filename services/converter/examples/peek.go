package examples

import (
	"encoding/binary"
	"fmt"
	"math"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/trainyard/trainyard/services/converter/tfrecord"
)

// keepValues is how many values of a feature are decoded, enough for the boxes that are shown. The rest is counted.
const keepValues = 4 * maxBoxes

// values are a feature's first values and how many there are of them.
type values struct {
	count  int64
	bytes  [][]byte // parts of the record
	floats []float32
	ints   []int64
}

// peek decodes the beginning of each feature of a tf.train.Example (tensorflow/core/example/{example,feature}.proto). Unlike
// tfrecord.ParseExample it takes no memory for values beyond keepValues, of which a record may have millions.
func peek(record []byte) (map[string]*values, error) {
	const features, entry, key, value = 1, 1, 1, 2
	found := make(map[string]*values)
	err := each(record, func(num protowire.Number, b []byte, _ uint64) error {
		if num != features {
			return nil
		}
		return each(b, func(num protowire.Number, b []byte, _ uint64) error {
			if num != entry {
				return nil
			}
			var name string
			v := &values{}
			err := each(b, func(num protowire.Number, b []byte, _ uint64) error {
				switch num {
				case key:
					name = string(b)
				case value:
					return each(b, v.list)
				}
				return nil
			})
			found[name] = v
			return err
		})
	})
	if err != nil {
		return nil, fmt.Errorf("%w: not a tf.train.Example: %w", tfrecord.ErrCorrupt, err)
	}
	return found, nil
}

// list takes in a bytes, float or int64 list, packed or not.
func (v *values) list(kind protowire.Number, list []byte, _ uint64) error {
	const bytesList, floatList, int64List, value = 1, 2, 3, 1
	return each(list, func(num protowire.Number, b []byte, scalar uint64) error {
		if num != value {
			return nil
		}
		switch kind {
		case bytesList:
			if v.count++; len(v.bytes) < keepValues {
				v.bytes = append(v.bytes, b)
			}
		case floatList:
			if b == nil {
				b = binary.LittleEndian.AppendUint32(nil, uint32(scalar)) //nolint:gosec // a fixed32 field
			}
			v.count += int64(len(b) / 4)
			for ; len(b) >= 4 && len(v.floats) < keepValues; b = b[4:] {
				v.floats = append(v.floats, math.Float32frombits(binary.LittleEndian.Uint32(b)))
			}
		case int64List:
			if b == nil {
				b = protowire.AppendVarint(nil, scalar)
			}
			for len(b) > 0 && len(v.ints) < keepValues {
				x, n := protowire.ConsumeVarint(b)
				if n < 0 {
					return protowire.ParseError(n)
				}
				v.count++
				v.ints = append(v.ints, int64(x)) //nolint:gosec // two's complement on the wire
				b = b[n:]
			}
			for _, c := range b { // A varint ends with a byte below 128.
				if c < 0x80 {
					v.count++
				}
			}
		}
		return nil
	})
}

// each calls yield for each field of a message: with its bytes (never nil) if length-delimited, else with nil and its value.
func each(data []byte, yield func(protowire.Number, []byte, uint64) error) error {
	for len(data) > 0 {
		num, typ, n := protowire.ConsumeTag(data)
		if n < 0 {
			return protowire.ParseError(n)
		}
		data = data[n:]
		var (
			b      []byte
			scalar uint64
		)
		switch typ {
		case protowire.BytesType:
			if b, n = protowire.ConsumeBytes(data); b == nil {
				b = []byte{}
			}
		case protowire.VarintType:
			scalar, n = protowire.ConsumeVarint(data)
		case protowire.Fixed32Type:
			var x uint32
			x, n = protowire.ConsumeFixed32(data)
			scalar = uint64(x)
		default:
			n = protowire.ConsumeFieldValue(num, typ, data)
		}
		if n < 0 {
			return protowire.ParseError(n)
		}
		if err := yield(num, b, scalar); err != nil {
			return err
		}
		data = data[n:]
	}
	return nil
}
