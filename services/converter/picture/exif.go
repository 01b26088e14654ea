package picture

import (
	"bytes"
	"encoding/binary"
)

// exifHeader comes before the TIFF structure in JPEG's APP1 segment. PNG and WebP have the bare structure, but not all writers know.
const exifHeader = "Exif\x00\x00"

// exifOrientation finds the orientation in an EXIF block, which is a TIFF structure: tag 274 of its first directory; Exif 3.0, 4.6.
// It returns 1, upright, when there is none or the block is damaged, because such a picture is shown so everywhere.
func exifOrientation(exif []byte) int {
	exif = bytes.TrimPrefix(exif, []byte(exifHeader))
	if o := directoryOrientation(exif); o != 0 {
		return o
	}
	return 1
}

func directoryOrientation(exif []byte) int {
	d, ok := firstDirectory(exif)
	if !ok {
		return 0
	}
	for i := range d.len() {
		if e := d.entry(i); e.tag == tiffOrientation {
			return e.orientation()
		}
	}
	return 0
}

// directory is a directory (IFD) of a TIFF structure; TIFF 6.0, section 2. All its entries lie within data.
type directory struct {
	data    []byte
	order   binary.ByteOrder
	entries []byte
	next    uint32 // offset of the next directory, 0 if there is none
}

const entryBytes = 12

// firstDirectory reads a TIFF structure's header and finds its first directory.
func firstDirectory(data []byte) (directory, bool) {
	d := directory{data: data}
	switch {
	case len(data) < 8:
		return d, false
	case string(data[:4]) == "II*\x00":
		d.order = binary.LittleEndian
	case string(data[:4]) == "MM\x00*":
		d.order = binary.BigEndian
	default:
		return d, false
	}
	at := uint64(d.order.Uint32(data[4:]))
	if at+2 > uint64(len(data)) {
		return d, false
	}
	n := uint64(d.order.Uint16(data[at:]))
	end := at + 2 + n*entryBytes
	if end > uint64(len(data)) {
		return d, false
	}
	d.entries = data[at+2 : end]
	if end+4 <= uint64(len(data)) {
		d.next = d.order.Uint32(data[end:])
	}
	return d, true
}

func (d directory) len() int { return len(d.entries) / entryBytes }

// entry is one entry of a directory.
type entry struct {
	tag, kind uint16
	count     uint32
	values    []byte // nil if they don't lie within the data or are no whole numbers
	order     binary.ByteOrder
}

func (d directory) entry(i int) entry {
	b := d.entries[i*entryBytes : (i+1)*entryBytes]
	e := entry{tag: d.order.Uint16(b), kind: d.order.Uint16(b[2:]), count: d.order.Uint32(b[4:]), order: d.order}
	size := uint64(e.size()) * uint64(e.count)
	if size <= 4 {
		e.values = b[8 : 8+size]
	} else if at := uint64(d.order.Uint32(b[8:])); at+size <= uint64(len(d.data)) {
		e.values = d.data[at : at+size]
	}
	return e
}

// size is the length of one value: BYTE, SHORT or LONG. Others are not of interest here.
func (e entry) size() int {
	switch e.kind {
	case 1:
		return 1
	case 3:
		return 2
	case 4:
		return 4
	}
	return 0
}

// len is how many values can be read.
func (e entry) len() int {
	if e.size() == 0 {
		return 0
	}
	return len(e.values) / e.size()
}

// at returns a value, which must be there.
func (e entry) at(i int) uint32 {
	switch e.kind {
	case 1:
		return uint32(e.values[i])
	case 3:
		return uint32(e.order.Uint16(e.values[2*i:]))
	}
	return e.order.Uint32(e.values[4*i:])
}

// orientation is the value of an orientation entry, 0 if it means nothing.
func (e entry) orientation() int {
	if e.len() > 0 && e.at(0) >= 1 && e.at(0) <= 8 {
		return int(e.at(0))
	}
	return 0
}
