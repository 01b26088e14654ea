package inflate

import (
	"bufio"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
)

// Gzip inflates a gzip file, of several members as well. It checks their sizes and checksums.
type Gzip struct {
	src  *bufio.Reader
	head gzip.Reader // reads the members' heads and no more
	data Reader
	crc  uint32
	size uint32
	err  error
}

// NewGzip reads the head of a gzip file.
func NewGzip(src *bufio.Reader) (*Gzip, error) {
	g := &Gzip{}
	if err := g.Reset(src); err != nil {
		return nil, err
	}
	return g, nil
}

// Reset reads the head of another file.
func (g *Gzip) Reset(src *bufio.Reader) error {
	g.src = src
	g.err = g.begin()
	return g.err
}

func (g *Gzip) begin() error {
	if err := g.head.Reset(g.src); err != nil { // reads no further than the head, because src reads bytes
		return err
	}
	g.data.Reset(g.src)
	g.crc, g.size = 0, 0
	return nil
}

// Read implements io.Reader. Long reads are faster.
func (g *Gzip) Read(p []byte) (int, error) {
	if g.err != nil || len(p) == 0 {
		return 0, g.err
	}
	for {
		n, err := g.data.Read(p)
		g.crc = crc32.Update(g.crc, crc32.IEEETable, p[:n])
		g.size += uint32(n) //nolint:gosec // modulo 2^32, as in the file
		if errors.Is(err, io.EOF) {
			err = g.end()
		}
		if g.err = err; n > 0 || err != nil {
			return n, err
		}
	}
}

// end checks what is behind a member and begins the next one, or returns io.EOF.
func (g *Gzip) end() error {
	var tail [8]byte
	if _, err := io.ReadFull(g.src, tail[:]); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return err
	}
	if binary.LittleEndian.Uint32(tail[:]) != g.crc || binary.LittleEndian.Uint32(tail[4:]) != g.size {
		return gzip.ErrChecksum
	}
	return g.begin()
}
