package tfrecords

import (
	"encoding/binary"
	"fmt"
	"io"

	"github.com/trainyard/trainyard/services/converter/dataset"
	"github.com/trainyard/trainyard/services/converter/reject"
	"github.com/trainyard/trainyard/services/converter/tfrecord"
)

// Framing of a record: length, its checksum, the data and their checksum.
const (
	headBytes = 12
	footBytes = 4
)

// scanner reads a file's records one after another through a window of memory.
type scanner struct {
	r      io.ReaderAt
	size   int64
	at     int64 // of the next record
	window []byte
	from   int64 // where the window begins
}

// windowBytes is how much of a file is read at a time. A longer record takes a longer window.
const windowBytes = 1 << 20

// record is one that was found.
type record struct {
	at, size int64  // with its framing
	data     []byte // until the next call; nil if bad
	reason   reject.Reason
	problem  string // "" of a sound one
}

// lost is what ends a file before its end.
type lost struct {
	reason  reject.Reason
	problem string
}

// next finds the next record. It returns io.EOF at the end of the file, and a lost where no more records can be found.
func (s *scanner) next() (record, *lost, error) {
	left := s.size - s.at
	if left == 0 {
		return record{}, nil, io.EOF
	}
	if left < headBytes+footBytes {
		return record{}, &lost{reject.CorruptRecord, fmt.Sprintf("the file ends within a record at byte %d; it was cut short", s.at)}, nil
	}
	head, err := s.bytes(headBytes)
	if err != nil {
		return record{}, nil, err
	}
	if binary.LittleEndian.Uint32(head[8:]) != tfrecord.MaskedCRC(head[:8]) {
		return record{}, &lost{reject.CorruptRecord, fmt.Sprintf(
			"the checksum of the record's length doesn't match at byte %d, so that the records behind it can't be found: the rest of the file, %d bytes, is left out", s.at, left)}, nil
	}
	length := binary.LittleEndian.Uint64(head)
	if length > uint64(left-headBytes-footBytes) { //nolint:gosec // not negative
		return record{}, &lost{reject.CorruptRecord, fmt.Sprintf("the record at byte %d has %d bytes, but the file ends %d bytes behind it; it was cut short", s.at, length, left)}, nil
	}
	rec := record{at: s.at, size: int64(length) + headBytes + footBytes} //nolint:gosec // within the file
	if length > dataset.MaxRowBytes {
		rec.reason, rec.problem = reject.TooLarge, fmt.Sprintf("the record has %d bytes; the limit is %d", length, dataset.MaxRowBytes)
		s.at += rec.size
		return rec, nil, nil
	}
	frame, err := s.bytes(int(rec.size))
	if err != nil {
		return record{}, nil, err
	}
	s.at += rec.size
	data, foot := frame[headBytes:rec.size-footBytes], frame[rec.size-footBytes:]
	if binary.LittleEndian.Uint32(foot) != tfrecord.MaskedCRC(data) {
		rec.reason, rec.problem = reject.CorruptRecord, "the checksum of the record's data doesn't match: the record is damaged"
		return rec, nil, nil
	}
	rec.data = data
	return rec, nil, nil
}

// bytes returns the next n bytes of the file, which has as many, without moving on.
func (s *scanner) bytes(n int) ([]byte, error) {
	start := s.at - s.from
	if start >= 0 && start+int64(n) <= int64(len(s.window)) {
		return s.window[start : start+int64(n)], nil
	}
	size := min(max(int64(n), windowBytes), s.size-s.at)
	if int64(cap(s.window)) < size {
		s.window = make([]byte, size)
	}
	s.window, s.from = s.window[:size], s.at
	if m, err := s.r.ReadAt(s.window, s.at); m < len(s.window) {
		s.window = s.window[:0]
		return nil, err
	}
	return s.window[:n], nil
}

// rows cuts a block to the data of its records.
func rows(data []byte, row func(start, end int)) {
	for at := 0; at+headBytes+footBytes <= len(data); {
		length := binary.LittleEndian.Uint64(data[at:])
		if length > uint64(len(data)-at-headBytes-footBytes) { //nolint:gosec // not negative
			return
		}
		end := at + headBytes + int(length) //nolint:gosec // within the data
		row(at+headBytes, end)
		at = end + footBytes
	}
}
