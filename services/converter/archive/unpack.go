package archive

import (
	"errors"
	"hash/crc32"

	"github.com/trainyard/trainyard/services/converter/inflate"
	"github.com/trainyard/trainyard/services/converter/reject"
)

// Unpacker gets entries' data out of their extents. It is reused from entry to entry and not safe for concurrent use.
// The zero value is ready.
type Unpacker struct{ inflate inflate.Reader }

// Unpack fills dst, which must have e.Size bytes, with the data of an entry whose extent was read
// from the source. Data that don't fit the directory's size or checksum give a *reject.File.
func (u *Unpacker) Unpack(dst []byte, e *Entry, extent []byte) error {
	if e.Method == Raw {
		copy(dst, extent)
		return nil
	}
	data, err := localData(e, extent)
	if err != nil {
		return err
	}
	if e.Method == ZipStored {
		copy(dst, data)
	} else if err := u.deflated(dst, e, data); err != nil {
		return err
	}
	if crc32.ChecksumIEEE(dst) != e.CRC32 {
		return reject.NewFile(e.Path, reject.CorruptEntry, "the entry's checksum doesn't match its data")
	}
	return nil
}

// deflated inflates straight into dst and makes sure that there is neither less nor more.
func (u *Unpacker) deflated(dst []byte, e *Entry, data []byte) error {
	err := u.inflate.Decode(dst, data)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, inflate.ErrLong):
		return reject.NewFile(e.Path, reject.CorruptEntry, "the entry's compressed data are longer than the directory says")
	}
	return reject.NewFile(e.Path, reject.CorruptEntry, "the entry's compressed data are damaged or shorter than the directory says")
}
