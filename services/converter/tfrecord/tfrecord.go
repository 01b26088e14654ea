// Package tfrecord writes and reads TFRecord files and the tf.train.Example messages in them.
//
// A TFRecord file is a plain sequence of records, each framed as
//
//	uint64  length of the data, little-endian
//	uint32  masked CRC-32C of the length
//	byte    data[length]
//	uint32  masked CRC-32C of the data
//
// (tensorflow/core/lib/io/record_writer.cc). Records are built in place in the caller's buffer: Begin
// reserves the header, AppendExample writes the message, End fills in lengths and checksums. Nothing is
// allocated once the buffer has grown, and a large value can be produced straight into the record (see Reserve).
package tfrecord

import "encoding/binary"

const (
	headerBytes = 8 + 4
	footerBytes = 4

	// Overhead is how many bytes the framing adds to a record's data.
	Overhead = headerBytes + footerBytes
)

// MaskedCRC is the CRC-32C of data, rotated and offset as TensorFlow does
// (tensorflow/core/lib/hash/crc32c.h), so that a CRC over data that holds CRCs stays sound.
func MaskedCRC(data []byte) uint32 {
	crc := checksum(data)
	return (crc>>15 | crc<<17) + 0xa282ead8
}

// Begin opens a record at the end of buf. Append the record's data to what it returns, then call
// End with the length that buf had before. To drop the record, cut the buffer back to that length.
func Begin(buf []byte) []byte {
	var header [headerBytes]byte
	return append(buf, header[:]...)
}

// End closes the record that Begin opened when the buffer had the given length.
func End(buf []byte, start int) []byte {
	header, data := buf[start:start+headerBytes], buf[start+headerBytes:]
	binary.LittleEndian.PutUint64(header, uint64(len(data)))
	binary.LittleEndian.PutUint32(header[8:], MaskedCRC(header[:8]))
	return binary.LittleEndian.AppendUint32(buf, MaskedCRC(data))
}
