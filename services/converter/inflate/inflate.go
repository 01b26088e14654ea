// Package inflate reads DEFLATE (RFC 1951) and gzip (RFC 1952).
//
// Inflating is most of what converting a deflated zip or a tar.gz costs. This decoder takes about 60 % of the time of the package
// github.com/klauspost/compress/flate, because it keeps its state in registers, fills its bit buffer with eight bytes at once and
// writes into the caller's memory, where theirs goes byte by byte through an interface and a window (the design is that of libdeflate's
// deflate_decompress.c). What it takes for valid and what for damaged is the same.
package inflate

import (
	"bufio"
	"errors"
	"io"
)

// Errors about the data.
var (
	ErrCorrupt = errors.New("the compressed data are damaged")
	ErrLong    = errors.New("the compressed data hold more than expected")
)

// farthest is how far back a match may lie.
const farthest = 32 << 10

type state uint8

const (
	between state = iota // blocks
	stored               // within a block of bytes as they are
	coded                // within a block of codes
	ended
)

// Reader inflates. The zero value is ready for Decode; Read needs a Reset before. Both may be used in turn.
type Reader struct {
	in   []byte
	at   int           // of what is in no bit buffer yet
	src  *bufio.Reader // nil: in is all there is
	bits uint64
	n    uint // bits in the bit buffer

	state  state
	last   bool // this block is
	fixed  bool // the tables are those of fixed codes
	length int  // bytes that are still to be copied: of a stored block, or of a match
	dist   int  // of the match
	past   []byte
	err    error // of Read, which goes on no further

	lit  [litTable]uint32
	dst  [distTable]uint32
	lens [288 + 32]uint8
}

// Decode inflates src, which must be as long as one stream, to dst, which must be as long as what comes out.
func (r *Reader) Decode(dst, src []byte) error {
	r.reset(src, nil)
	n, err := r.read(dst)
	switch {
	case err == nil:
		return ErrLong
	case !errors.Is(err, io.EOF):
		return err
	case n < len(dst):
		return io.ErrUnexpectedEOF
	}
	return nil
}

// Reset prepares for a stream. At its end, src stands at the first byte behind.
func (r *Reader) Reset(src *bufio.Reader) { r.reset(nil, src) }

func (r *Reader) reset(in []byte, src *bufio.Reader) {
	r.in, r.at, r.src, r.bits, r.n = in, 0, src, 0, 0
	r.state, r.last, r.length, r.past, r.err = between, false, 0, r.past[:0], nil
}

// Read implements io.Reader. Long reads are faster.
func (r *Reader) Read(p []byte) (int, error) {
	if r.err != nil || len(p) == 0 {
		return 0, r.err
	}
	n, err := r.read(p)
	r.err = err
	if err == io.EOF && n > 0 { //nolint:errorlint // read returns the bare one
		err = nil
	}
	r.remember(p[:n])
	return n, err
}

// remember keeps the end of what came out for matches of what is to come.
func (r *Reader) remember(p []byte) {
	if r.past == nil {
		r.past = make([]byte, 0, 2*farthest)
	}
	if len(p) > farthest {
		p = p[len(p)-farthest:]
	}
	if len(r.past)+len(p) > cap(r.past) {
		keep := farthest - len(p)
		r.past = r.past[:copy(r.past, r.past[len(r.past)-keep:])]
	}
	r.past = append(r.past, p...)
}

// read inflates until p is full and more is to come, which is no error, or to the end, which is io.EOF.
func (r *Reader) read(p []byte) (n int, err error) {
	for {
		switch r.state {
		case between:
			if err := r.begin(); err != nil {
				return n, err
			}
		case stored:
			for r.length > 0 {
				if n == len(p) {
					return n, nil
				}
				if r.at == len(r.in) {
					if err := r.more(); err != nil {
						return n, err
					}
				}
				c := copy(p[n:], r.in[r.at:min(len(r.in), r.at+r.length)])
				n, r.at, r.length = n+c, r.at+c, r.length-c
			}
			r.state = between
		case coded:
			var why reason
			switch n, why = r.decode(p, n); why {
			case full:
				return n, nil
			case starved:
				if err := r.more(); err != nil {
					return n, err
				}
			case damaged:
				return n, ErrCorrupt
			case blockEnd:
				r.state = between
			}
		case ended:
			return n, io.EOF
		}
	}
}

// more gets more input behind what isn't used yet. Whole bytes of the bit buffer go back.
func (r *Reader) more() error {
	if r.src == nil {
		return io.ErrUnexpectedEOF
	}
	r.giveBack()
	left := len(r.in) - r.at
	if _, err := r.src.Discard(r.at); err != nil {
		return err
	}
	r.at = 0
	_, err := r.src.Peek(left + 1)
	r.in, _ = r.src.Peek(r.src.Buffered()) //nolint:errcheck // it is there
	if len(r.in) > left {
		return nil
	}
	if err == io.EOF { //nolint:errorlint // bufio returns it as it got it
		return io.ErrUnexpectedEOF
	}
	return err
}

// need puts n bits or more into the bit buffer, 32 at most.
func (r *Reader) need(n uint) error {
	for r.n < n {
		if r.at == len(r.in) {
			if err := r.more(); err != nil {
				r.fill()
				return err
			}
		}
		r.fill()
	}
	return nil
}

// fill fills the bit buffer as far as there is input. Bits above r.n may be set to what will be read there again.
func (r *Reader) fill() {
	if len(r.in)-r.at >= 8 {
		r.bits |= le.Uint64(r.in[r.at:]) << (r.n & 63)
		r.at += int(7 - r.n>>3&7) //nolint:gosec // 7 at most
		r.n |= 56
		return
	}
	for r.n < 56 && r.at < len(r.in) {
		r.bits |= uint64(r.in[r.at]) << r.n
		r.at, r.n = r.at+1, r.n+8
	}
}

func (r *Reader) take(n uint) (v int, err error) {
	if err := r.need(n); err != nil {
		return 0, err
	}
	v = int(r.bits & (1<<n - 1)) //nolint:gosec // 32 bits at most
	r.bits, r.n = r.bits>>n, r.n-n
	return v, nil
}

// giveBack leaves no whole byte in the bit buffer. All of these are of r.in, because more calls it.
func (r *Reader) giveBack() {
	r.at -= int(r.n / 8) //nolint:gosec // at most 7
	r.n %= 8
	r.bits &= 1<<r.n - 1
}

// begin reads the head of a block, or ends.
func (r *Reader) begin() error {
	if r.last {
		r.giveBack()
		r.bits, r.n, r.state = 0, 0, ended
		if r.src != nil {
			if _, err := r.src.Discard(r.at); err != nil {
				return err
			}
			r.in, r.at = nil, 0
		}
		return nil
	}
	head, err := r.take(3)
	if err != nil {
		return err
	}
	r.last = head&1 != 0
	switch head >> 1 {
	case 0:
		r.giveBack()
		r.bits, r.n = 0, 0 // the rest of the byte
		sizes, err := r.take(32)
		if err != nil {
			return err
		}
		r.giveBack()
		if sizes&0xffff != ^sizes>>16&0xffff {
			return ErrCorrupt
		}
		r.length, r.state = sizes&0xffff, stored
		return nil
	case 1:
		if !r.fixed {
			build(r.lit[:], litBits, fixedLens[:288], litSymbols[:])
			build(r.dst[:], distBits, fixedLens[288:], distSymbols[:])
		}
		r.fixed = true
	case 2:
		r.fixed = false
		if err := r.codes(); err != nil {
			return err
		}
	default:
		return ErrCorrupt
	}
	r.state = coded
	return nil
}

// codes reads the codes of a block and builds their tables (RFC 1951, 3.2.7).
func (r *Reader) codes() error {
	counts, err := r.take(14)
	if err != nil {
		return err
	}
	lits, dists, n := counts&31+257, counts>>5&31+1, counts>>10+4
	if lits > 286 || dists > 30 {
		return ErrCorrupt
	}
	order := [19]uint8{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}
	clear(r.lens[:19])
	for _, symbol := range order[:n] {
		v, err := r.take(3)
		if err != nil {
			return err
		}
		r.lens[symbol] = uint8(v) //nolint:gosec // 3 bits
	}
	const codeBits = 7
	var table [1 << codeBits]uint32
	if !build(table[:], codeBits, r.lens[:19], codeSymbols[:]) {
		return ErrCorrupt
	}
	for i := 0; i < lits+dists; {
		// A code and its extra bits take 14 at most. The stream goes on for longer than that, or it is damaged.
		if r.n < 14 {
			if err := r.need(14); err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
				return err
			}
		}
		entry := table[r.bits&(1<<codeBits-1)]
		used := uint(entry & 0xff)
		if entry&special != 0 {
			return ErrCorrupt
		}
		if used > r.n {
			return io.ErrUnexpectedEOF
		}
		r.bits, r.n = r.bits>>used, r.n-used
		symbol := entry >> 16
		if symbol < 16 {
			r.lens[i] = uint8(symbol) //nolint:gosec // below 16
			i++
			continue
		}
		var value uint8
		base, extra := 3, uint(2)
		switch {
		case symbol == 16 && i == 0:
			return ErrCorrupt
		case symbol == 16:
			value = r.lens[i-1]
		case symbol == 17:
			extra = 3
		default:
			base, extra = 11, 7
		}
		run, err := r.take(extra)
		if err != nil {
			return err
		}
		if run += base; run > lits+dists-i {
			return ErrCorrupt
		}
		for range run {
			r.lens[i] = value
			i++
		}
	}
	if !build(r.lit[:], litBits, r.lens[:lits], litSymbols[:]) || !build(r.dst[:], distBits, r.lens[lits:lits+dists], distSymbols[:]) {
		return ErrCorrupt
	}
	return nil
}
