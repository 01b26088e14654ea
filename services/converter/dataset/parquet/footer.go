package parquet

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/parquet-go/parquet-go/format"

	"github.com/trainyard/trainyard/services/converter/reject"
)

const magic = "PAR1"

// minFile is the length of the shortest file: magic, a footer of one byte, its length, magic.
const minFile = 4 + 1 + 4 + 4

// Limits of a file.
const (
	maxFooter    = 32 << 20 // bytes
	maxColumns   = 4096     // leaves of the schema
	maxNodes     = 4 * maxColumns
	maxRowGroups = 1<<15 - 1 // which the library and the format's encryption have as well
	maxRows      = 1 << 33   // of a file
)

// footer is what is needed of format.FileMetaData. What isn't named here is skipped by the decoder and takes no memory.
type footer struct {
	Version    int32                      `thrift:"1,required"`
	Schema     []format.SchemaElement     `thrift:"2,required"`
	NumRows    int64                      `thrift:"3,required"`
	RowGroups  []rowGroup                 `thrift:"4,required"`
	KeyValues  []format.KeyValue          `thrift:"5,optional"`
	Encryption format.EncryptionAlgorithm `thrift:"8,optional"`
}

type rowGroup struct {
	Columns []columnChunk `thrift:"1,required"`
	NumRows int64         `thrift:"3,required"`
}

type columnChunk struct {
	FilePath string      `thrift:"1,optional"`
	MetaData columnBytes `thrift:"3,optional"`
}

type columnBytes struct {
	Type       format.Type             `thrift:"1,required"`
	Codec      format.CompressionCodec `thrift:"4,required"`
	Size       int64                   `thrift:"7,required"` // of all pages with their headers, as they lie in the file
	Data       int64                   `thrift:"9,required"` // offset of the first data page
	Dictionary int64                   `thrift:"11,optional"`
}

// start is the offset of the chunk's first page.
func (c *columnBytes) start() int64 {
	if c.Dictionary > 0 && c.Dictionary < c.Data {
		return c.Dictionary
	}
	return c.Data
}

// file is an open file: its footer, checked, and the tree of its columns.
type file struct {
	path   string
	data   io.ReaderAt
	size   int64
	footer footer
	root   *node
	leaves []*node
}

// corrupt is a file that contradicts itself or the specification.
func corrupt(path, format string, args ...any) error {
	return reject.New(reject.CorruptParquet, "%q is damaged: %s. Write it again, or leave it out of the upload.", path, fmt.Sprintf(format, args...))
}

func tooLarge(path, format string, args ...any) error {
	return reject.New(reject.TooLarge, "%q is too large: %s.", path, fmt.Sprintf(format, args...))
}

func unsupported(path, format string, args ...any) error {
	return reject.New(reject.UnsupportedParquet, "%q can't be read: %s.", path, fmt.Sprintf(format, args...))
}

// open reads a file's footer. Its errors are those of data or a *reject.Error.
func open(path string, data io.ReaderAt, fileSize int64) (f *file, err error) {
	defer recovered(path, &err)
	f = &file{path: path, data: data, size: fileSize}
	size, err := f.footerSize()
	if err != nil {
		return nil, err
	}
	b, err := readThrift(make([]byte, 0, size), bufio.NewReaderSize(io.NewSectionReader(data, f.size-8-size, size), 64<<10), size, maxFooter, maxFooter)
	if errors.As(err, new(thriftError)) {
		return nil, corrupt(path, "its footer isn't what the format says: %v", err)
	}
	if err != nil {
		return nil, err
	}
	if err := decodeThrift(b, &f.footer); err != nil {
		return nil, corrupt(path, "its footer isn't what the format says: %v", err)
	}
	if f.footer.Encryption.Value != nil {
		return nil, unsupported(path, "it is encrypted; write it without encryption")
	}
	if err := f.buildTree(); err != nil {
		return nil, err
	}
	return f, f.checkChunks()
}

// recovered makes an error of a panic in the library, which happens with files that are damaged on purpose.
func recovered(path string, err *error) {
	if r := recover(); r != nil {
		*err = corrupt(path, "decoding it failed")
		(*err).(*reject.Error).Err = fmt.Errorf("panic: %v", r)
	}
}

// footerSize reads how many bytes the footer has, from the last eight bytes of the file.
func (f *file) footerSize() (int64, error) {
	if f.size < minFile {
		return 0, corrupt(f.path, "it has %d bytes, and the shortest there can be has %d", f.size, minFile)
	}
	var tail [8]byte
	if err := readFull(f.data, tail[:], f.size-8); err != nil {
		return 0, err
	}
	if string(tail[4:]) == "PARE" {
		return 0, unsupported(f.path, "it is encrypted; write it without encryption")
	}
	n := int64(binary.LittleEndian.Uint32(tail[:]))
	switch {
	case string(tail[4:]) != magic:
		return 0, corrupt(f.path, "it doesn't end with %s, so it is cut off or was never closed", magic)
	case n == 0 || n > f.size-12:
		return 0, corrupt(f.path, "it claims a footer of %d bytes and has %d in all", n, f.size)
	case n > maxFooter:
		return 0, tooLarge(f.path, "its footer has %d bytes; the limit is %d. Write it with larger row groups, or as several files", n, maxFooter)
	}
	return n, nil
}

// checkChunks checks that every row group has every column, and that together they lie within the file and not upon each other: otherwise
// a small file could be read many times over.
func (f *file) checkChunks() error {
	m := &f.footer
	if len(m.RowGroups) > maxRowGroups {
		return tooLarge(f.path, "it has %d row groups; the limit is %d. Write it with larger row groups, or as several files", len(m.RowGroups), maxRowGroups)
	}
	if m.NumRows < 0 || m.NumRows > maxRows {
		return tooLarge(f.path, "it claims %d rows; the limit is %d", m.NumRows, int64(maxRows))
	}
	var rows, bytes int64
	for i := range m.RowGroups {
		g := &m.RowGroups[i]
		if len(g.Columns) != len(f.leaves) {
			return corrupt(f.path, "row group %d has %d columns and the schema %d", i, len(g.Columns), len(f.leaves))
		}
		if g.NumRows < 0 || g.NumRows > m.NumRows {
			return corrupt(f.path, "row group %d claims %d rows and the file %d", i, g.NumRows, m.NumRows)
		}
		rows += g.NumRows
		for j := range g.Columns {
			c, leaf := &g.Columns[j], f.leaves[j]
			switch {
			case c.FilePath != "":
				return unsupported(f.path, "its column %q lies in another file; write each file whole", leaf.name())
			case c.MetaData.Type != leaf.physical:
				return corrupt(f.path, "column %q is %v in row group %d and %v in the schema", leaf.name(), c.MetaData.Type, i, leaf.physical)
			case c.MetaData.Size < 0 || c.MetaData.start() < 0 || c.MetaData.start() > f.size || c.MetaData.Size > f.size-c.MetaData.start():
				return corrupt(f.path, "column %q of row group %d lies outside of the file", leaf.name(), i)
			}
			bytes += c.MetaData.Size // neither can overflow: there are at most maxThriftItems chunks
			if bytes > f.size {
				return corrupt(f.path, "its columns have more bytes than it has, so they lie upon each other")
			}
		}
	}
	if rows != m.NumRows {
		return corrupt(f.path, "its row groups have %d rows and its footer says %d", rows, m.NumRows)
	}
	return nil
}

// keyValue returns a value of the metadata that programs write beside the schema.
func (f *file) keyValue(key string) string {
	for _, kv := range f.footer.KeyValues {
		if kv.Key == key {
			return kv.Value
		}
	}
	return ""
}
