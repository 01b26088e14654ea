package idx

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/trainyard/trainyard/services/converter/dataset"
	"github.com/trainyard/trainyard/services/converter/reject"
	"github.com/trainyard/trainyard/services/converter/tfrecord"
)

// NewEncoder implements dataset.Reader.
func (Reader) NewEncoder(_ dataset.Options, index dataset.Index) (dataset.Encoder, error) {
	s, err := readSchema(index)
	if err != nil {
		return nil, err
	}
	e := &encoder{schema: s, size: s.Rows.rowBytes(), classes: len(index.Classes), png: newPNGWriter()}
	e.height, e.width, e.channels, e.image = s.Rows.image()
	return e, nil
}

type encoder struct {
	schema                  schema
	size                    int // of a row
	classes                 int
	image                   bool
	height, width, channels int
	png                     pngWriter
	features                []tfrecord.Feature
	slot                    []byte
	value                   []byte
}

// Encode implements dataset.Encoder.
func (e *encoder) Encode(dst []byte, record dataset.Item, body dataset.Body, stats *dataset.Stats) ([]byte, error) {
	row, err := body.Bytes()
	if err != nil {
		return dst, err
	}
	if len(row) != e.size {
		return dst, reject.NewFile(record.Path, reject.CorruptEntry, "row %d has %d bytes instead of %d", record.Row, len(row), e.size)
	}
	e.features = e.features[:0]
	label := -1
	switch e.schema.Labels {
	case classes:
		if label, err = e.label(record); err != nil {
			return dst, err
		}
		e.features = append(e.features, tfrecord.Int64("label", int64(label)))
	case tensors:
		size := e.schema.Values.rowBytes()
		at := record.Index * size
		if at < 0 || at+size > len(record.Meta) {
			return dst, fmt.Errorf("row %d of %s has no label in its block", record.Row, record.Path)
		}
		e.value = append(e.value[:0], record.Meta[at:at+size]...)
		swap(e.value, e.schema.Values.Element.size())
		e.features = append(e.features, tfrecord.Bytes("label", e.value))
	case noLabels:
	}
	if e.image {
		e.features = append(e.features, tfrecord.Reserve("image", pngSize(e.height, e.width, e.channels), &e.slot))
		dst = tfrecord.AppendExample(dst, e.features)
		e.png.write(e.slot, row, e.height, e.width, e.channels)
		stats.Observe("width", float64(e.width))
		stats.Observe("height", float64(e.height))
	} else {
		e.features = append(e.features, tfrecord.Reserve("value", e.size, &e.slot))
		dst = tfrecord.AppendExample(dst, e.features)
		copy(e.slot, row)
		swap(e.slot, e.schema.Rows.Element.size())
	}
	stats.AddExample(len(row), label)
	return dst, nil
}

// label is the record's index into the classes, from its block's Meta.
func (e *encoder) label(record dataset.Item) (int, error) {
	width := e.schema.Width
	at := record.Index * width
	if at < 0 || at+width > len(record.Meta) {
		return 0, fmt.Errorf("row %d of %s has no label in its block", record.Row, record.Path)
	}
	label := 0
	for i, b := range record.Meta[at : at+width] {
		label |= int(b) << (8 * i)
	}
	if label >= e.classes {
		return 0, fmt.Errorf("row %d of %s has the label %d of %d classes", record.Row, record.Path, label, e.classes)
	}
	return label, nil
}

// appendLabel appends a label as Encode reads it: width bytes, little-endian.
func appendLabel(meta []byte, label, width int) []byte {
	for i := range width {
		meta = append(meta, byte(label>>(8*i))) //nolint:gosec // the byte is what is wanted
	}
	return meta
}

// labelWidth is how many bytes an index into so many classes needs.
func labelWidth(classes int) int {
	width := 1
	for classes > 1<<(8*width) {
		width++
	}
	return width
}

// swap turns big-endian numbers of the given size in bytes to little-endian ones, or back, in place.
func swap(b []byte, size int) {
	switch size {
	case 1:
	case 2:
		for ; len(b) >= 2; b = b[2:] {
			b[0], b[1] = b[1], b[0]
		}
	case 4:
		for ; len(b) >= 4; b = b[4:] {
			binary.LittleEndian.PutUint32(b, binary.BigEndian.Uint32(b))
		}
	default:
		for ; len(b) >= size; b = b[size:] {
			slices.Reverse(b[:size])
		}
	}
}
