package tfrecord

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
)

// ErrCorrupt reports a file that isn't TFRecord, or one that was damaged.
var ErrCorrupt = errors.New("corrupt TFRecord data")

// DefaultMaxRecord is the longest record that a Reader accepts unless told otherwise, in bytes.
const DefaultMaxRecord = 256 << 20

// Reader reads records and checks both checksums of each.
type Reader struct {
	r      io.Reader
	max    int
	buf    []byte
	offset int64
}

// NewReader reads from r. Records longer than maxRecord bytes are refused; 0 means DefaultMaxRecord.
// The reader makes many small reads: give it a buffered r.
func NewReader(r io.Reader, maxRecord int) *Reader {
	if maxRecord <= 0 {
		maxRecord = DefaultMaxRecord
	}
	return &Reader{r: r, max: maxRecord}
}

// Next returns the next record's data, which stays valid until the call after. It gives io.EOF at the
// end of the file, and an error that wraps ErrCorrupt, naming the byte offset of the record, for anything malformed or cut short.
func (r *Reader) Next() ([]byte, error) {
	var header [headerBytes]byte
	if _, err := io.ReadFull(r.r, header[:]); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, io.EOF
		}
		return nil, r.fail("the record's header", err)
	}
	if binary.LittleEndian.Uint32(header[8:]) != MaskedCRC(header[:8]) {
		return nil, fmt.Errorf("%w: the length's checksum doesn't match at offset %d", ErrCorrupt, r.offset)
	}
	length := binary.LittleEndian.Uint64(header[:])
	if length > uint64(r.max) { //nolint:gosec // max is positive
		return nil, fmt.Errorf("%w: record of %d bytes at offset %d, the limit is %d", ErrCorrupt, length, r.offset, r.max)
	}
	if err := r.fill(int(length)); err != nil { //nolint:gosec // at most max
		return nil, r.fail("the record", err)
	}
	var footer [footerBytes]byte
	if _, err := io.ReadFull(r.r, footer[:]); err != nil {
		return nil, r.fail("the data's checksum", err)
	}
	if binary.LittleEndian.Uint32(footer[:]) != MaskedCRC(r.buf) {
		return nil, fmt.Errorf("%w: the data's checksum doesn't match at offset %d", ErrCorrupt, r.offset)
	}
	r.offset += int64(len(r.buf)) + Overhead
	return r.buf, nil
}

// fill reads n bytes into r.buf. It allocates as the bytes arrive, so that a length without the data behind it costs little.
func (r *Reader) fill(n int) error {
	const step = 1 << 20
	r.buf = r.buf[:0]
	for len(r.buf) < n {
		had := len(r.buf)
		r.buf = slices.Grow(r.buf, min(n-had, step))
		r.buf = r.buf[:min(n, cap(r.buf))]
		if _, err := io.ReadFull(r.r, r.buf[had:]); err != nil {
			return err
		}
	}
	return nil
}

func (r *Reader) fail(what string, err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: the file ends inside %s at offset %d", ErrCorrupt, what, r.offset)
	}
	return fmt.Errorf("read %s at offset %d: %w", what, r.offset, err)
}

// Value is a decoded feature: one of the lists is set, or none for an empty feature.
type Value struct {
	Bytes  [][]byte // parts of the message that was parsed, not copies
	Floats []float32
	Int64s []int64
}

// ParseExample decodes a tf.train.Example. It accepts whatever protobuf's rules allow: unknown fields are skipped,
// lists may be packed or not, and of two features with one key the later wins.
func ParseExample(data []byte) (map[string]Value, error) {
	features := make(map[string]Value)
	err := fields(data, func(num protowire.Number, example []byte, _ uint64) error {
		if num != exampleFeatures {
			return nil
		}
		return fields(example, func(num protowire.Number, entry []byte, _ uint64) error {
			if num != featuresMap || entry == nil { // unknown, or of a type that makes it unknown
				return nil
			}
			var key string
			var value Value
			err := fields(entry, func(num protowire.Number, b []byte, _ uint64) (err error) {
				switch num {
				case mapKey:
					key = string(b)
				case mapValue:
					value, err = parseFeature(b)
				}
				return err
			})
			features[key] = value
			return err
		})
	})
	if err != nil {
		return nil, fmt.Errorf("%w: not a tf.train.Example: %w", ErrCorrupt, err)
	}
	return features, nil
}

func parseFeature(data []byte) (Value, error) {
	var v Value
	err := fields(data, func(kind protowire.Number, list []byte, _ uint64) error {
		if kind > int64List {
			return nil // unknown
		}
		return fields(list, func(num protowire.Number, b []byte, scalar uint64) error {
			if num != listValue {
				return nil
			}
			switch kind {
			case bytesList:
				v.Bytes = append(v.Bytes, b)
			case floatList:
				if b == nil {
					v.Floats = append(v.Floats, math.Float32frombits(uint32(scalar))) //nolint:gosec // a fixed32 field
				}
				for ; len(b) >= 4; b = b[4:] {
					v.Floats = append(v.Floats, math.Float32frombits(binary.LittleEndian.Uint32(b)))
				}
			case int64List:
				if b == nil {
					v.Int64s = append(v.Int64s, int64(scalar)) //nolint:gosec // two's complement on the wire
				}
				for len(b) > 0 {
					x, n := protowire.ConsumeVarint(b)
					if n < 0 {
						return protowire.ParseError(n)
					}
					v.Int64s = append(v.Int64s, int64(x)) //nolint:gosec // as above
					b = b[n:]
				}
			}
			return nil
		})
	})
	return v, err
}

// fields calls yield for each field of a message: with its bytes (never nil) if length-delimited, else with nil and its value.
func fields(data []byte, yield func(protowire.Number, []byte, uint64) error) error {
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
			b, n = protowire.ConsumeBytes(data)
			if b == nil {
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
