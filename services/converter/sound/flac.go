package sound

import (
	"crypto/md5" //nolint:gosec // FLAC's own checksum of the samples
	"encoding/binary"
	"hash"

	"github.com/trainyard/trainyard/services/converter/reject"
)

// The names in this file are those of RFC 9639, and so are the numbers of sections.

const (
	streamInfoBytes = 34
	maxBlockSize    = 1 << 16
	// minFrameBytes is the least that a frame of any number of samples can have: header 6, a constant subframe 2, checksum 2.
	minFrameBytes = 10
)

// inspectFLAC reads the streaminfo block (8.2), which begins at or after head[at:].
func inspectFLAC(head []byte, size int64, at int) (Info, *Problem) {
	in := Info{Container: "flac", coding: codingFLAC, Frames: -1}
	b := head[at+4:]
	if len(b) < 4+streamInfoBytes {
		if int64(len(head)) < size {
			return in, &Problem{Reason: reject.MalformedAudio, Message: "the FLAC's header lies too far behind", Short: true}
		}
		return in, truncated("the FLAC ends in its header")
	}
	if b[0]&0x7f != 0 || uint24(b[1:]) != streamInfoBytes {
		return in, malformed("the FLAC doesn't begin with a streaminfo block")
	}
	in.offset = at + 4
	x := binary.BigEndian.Uint64(b[14:]) // rate 20, channels - 1 3, bits - 1 5, total samples 36
	in.SampleRate = int(x >> 44)
	in.Channels = int(x>>41&7) + 1
	in.BitDepth = int(x>>36&31) + 1
	in.md5 = [16]byte(b[22:])
	if in.BitDepth < 4 {
		return in, malformed("the FLAC says that its samples have %d bits; they can have 4 to 32", in.BitDepth)
	}
	if total := int64(x & (1<<36 - 1)); total > 0 { // 0: the writer didn't know
		in.Frames = total
	}
	// Nobody should make room for what a file of this size can't hold.
	if size/minFrameBytes*maxBlockSize < in.Frames {
		return in, truncated("the FLAC is far too short for the %d samples that its header says", in.Frames)
	}
	return in, nil
}

func uint24(b []byte) int { return int(b[0])<<16 | int(b[1])<<8 | int(b[2]) }

// flacDecoder decodes FLAC frame by frame. Its memory is one block of the channels that a file really has.
type flacDecoder struct {
	bits     bitReader
	channels [8][]int64 // 33 bits are needed for the side channel of 32-bit samples
	block    []int32
	raw      []byte
	sum      hash.Hash
}

// count tells how many samples each channel has in a FLAC that doesn't say it, by decoding it. It stops beyond limit.
func (d *flacDecoder) count(data []byte, in *Info, limit int64) (int64, *Problem) {
	n := int64(0)
	p := d.frames(data, in, func(channels [][]int64) (bool, *Problem) {
		n += int64(len(channels[0]))
		return n <= limit, nil
	})
	return n, p
}

// decode writes the samples to dst, which has room for in.Frames of each channel.
func (d *flacDecoder) decode(dst, data []byte, in *Info, t Type, full bool) *Problem {
	frameBytes := in.Channels * t.Size()
	check := full && in.md5 != [16]byte{}
	if check && d.sum == nil {
		d.sum = md5.New() //nolint:gosec // as above
	}
	if check {
		d.sum.Reset()
	}
	p := d.frames(data, in, func(channels [][]int64) (bool, *Problem) {
		n := len(channels[0])
		if n*frameBytes > len(dst) {
			return false, malformed("the FLAC has more samples than the %d that its header says", in.Frames)
		}
		if cap(d.block) < n*in.Channels {
			d.block = make([]int32, n*in.Channels)
		}
		block := d.block[:n*in.Channels]
		shift := 32 - in.BitDepth
		for c, samples := range channels {
			for i, s := range samples {
				block[i*in.Channels+c] = int32(s << shift) //nolint:gosec // s has in.BitDepth bits
			}
		}
		store(dst, block, t)
		if check {
			d.hash(block, in.BitDepth)
		}
		dst = dst[n*frameBytes:]
		return len(dst) > 0, nil
	})
	switch {
	case p != nil:
		return p
	case len(dst) > 0:
		return truncated("the FLAC ends %d samples before the %d that its header says", len(dst)/frameBytes, in.Frames)
	case check && [16]byte(d.sum.Sum(d.raw[:0])) != in.md5:
		return malformed("the FLAC's samples don't match their checksum")
	}
	return nil
}

// hash adds samples to the checksum: sign-extended to whole bytes, little-endian (8.2).
func (d *flacDecoder) hash(block []int32, depth int) {
	width := (depth + 7) / 8
	d.raw = d.raw[:0]
	for _, s := range block {
		v := uint32(s >> (32 - depth)) //nolint:gosec // two's complement
		for range width {
			d.raw = append(d.raw, byte(v))
			v >>= 8
		}
	}
	d.sum.Write(d.raw)
}

// frames calls emit with the samples of one frame after another until it wants no more or the data end.
func (d *flacDecoder) frames(data []byte, in *Info, emit func(channels [][]int64) (bool, *Problem)) *Problem {
	pos := in.offset
	for last := false; !last; { // blocks of metadata (8.1)
		if pos+4 > len(data) {
			return truncated("the FLAC ends in its metadata")
		}
		last = data[pos]&0x80 != 0
		pos += 4 + uint24(data[pos+1:])
	}
	if pos > len(data) {
		return truncated("the FLAC ends in its metadata")
	}
	for pos < len(data) {
		n, samples, p := d.frame(data[pos:], in)
		if p != nil {
			return p
		}
		pos += n
		if more, p := emit(samples); p != nil || !more {
			return p
		}
	}
	return nil
}

var (
	errFrameEnd   = truncated("the FLAC ends in the middle of a frame")
	errFrame      = malformed("the FLAC is damaged: a frame begins wrongly or holds values that don't exist")
	errFrameSum   = malformed("the FLAC is damaged: a frame doesn't match its checksum")
	errFrameOther = malformed("the FLAC changes its sample rate, channels or bits midway, which is not read; save it anew")
)

// frameHeader is what 9.1 calls so.
type frameHeader struct {
	size       int // bytes
	blockSize  int
	assignment int // of the channels
}

// Tables of 9.1.1 to 9.1.4. 0 is reserved, or stands elsewhere.
var (
	blockSizes  = [16]int{0, 192, 576, 1152, 2304, 4608, 0, 0, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768}
	sampleRates = [12]int{0, 88200, 176400, 192000, 8000, 16000, 22050, 24000, 32000, 44100, 48000, 96000}
	bitDepths   = [8]int{0, 8, 12, 0, 16, 20, 24, 32}
)

// Channel assignments beyond the independent ones.
const (
	leftSide = 8 + iota
	sideRight
	midSide
)

func readFrameHeader(b []byte, in *Info) (frameHeader, *Problem) {
	var h frameHeader
	if len(b) < 6 {
		return h, errFrameEnd
	}
	if b[0] != 0xff || b[1]&0xfe != 0xf8 || b[3]&1 != 0 {
		return h, errFrame
	}
	block, rate := int(b[2]>>4), int(b[2]&15)
	h.assignment = int(b[3] >> 4)
	depth := int(b[3] >> 1 & 7)
	pos := 4
	// The frame's or sample's number, coded like UTF-8. It is of no use here.
	for lead := b[pos]; lead&0x80 != 0; lead <<= 1 {
		pos++
	}
	if b[4] == 0xff || pos == 5 { // none, or a continuation alone
		return h, errFrame
	}
	pos = max(pos, 5)
	if len(b) < pos+5 { // two sizes of two bytes and the checksum; a frame has more than that in any case
		return h, errFrameEnd
	}
	switch block {
	case 6:
		h.blockSize = int(b[pos]) + 1
		pos++
	case 7:
		h.blockSize = int(binary.BigEndian.Uint16(b[pos:])) + 1
		pos += 2
	default:
		h.blockSize = blockSizes[block]
	}
	hertz := 0
	switch rate {
	case 12:
		hertz = 1000 * int(b[pos])
		pos++
	case 13:
		hertz = int(binary.BigEndian.Uint16(b[pos:]))
		pos += 2
	case 14:
		hertz = 10 * int(binary.BigEndian.Uint16(b[pos:]))
		pos += 2
	case 15:
		return h, errFrame
	default:
		hertz = sampleRates[rate]
	}
	if crc8(b[:pos]) != b[pos] {
		return h, errFrameSum
	}
	h.size = pos + 1
	channels := h.assignment + 1
	if h.assignment >= leftSide {
		channels = 2
	}
	switch {
	case h.blockSize == 0, h.assignment > midSide, depth == 3:
		return h, errFrame
	case channels != in.Channels, hertz != 0 && hertz != in.SampleRate, bitDepths[depth] != 0 && bitDepths[depth] != in.BitDepth:
		return h, errFrameOther
	}
	return h, nil
}

// frame decodes the frame that b begins with and returns its length and its samples.
func (d *flacDecoder) frame(b []byte, in *Info) (int, [][]int64, *Problem) {
	h, p := readFrameHeader(b, in)
	if p != nil {
		return 0, nil, p
	}
	d.bits = bitReader{data: b, pos: h.size}
	channels := d.channels[:in.Channels]
	for c := range channels {
		depth := in.BitDepth
		if c == 1 && (h.assignment == leftSide || h.assignment == midSide) || c == 0 && h.assignment == sideRight {
			depth++
		}
		if cap(channels[c]) < h.blockSize {
			channels[c] = make([]int64, h.blockSize)
		}
		channels[c] = channels[c][:h.blockSize]
		if p := d.subframe(channels[c], depth); p != nil {
			return 0, nil, p
		}
	}
	end := d.bits.align()
	if end+2 > len(b) {
		return 0, nil, errFrameEnd
	}
	if crc16(b[:end]) != binary.BigEndian.Uint16(b[end:]) {
		return 0, nil, errFrameSum
	}
	if h.assignment >= leftSide {
		decorrelate(channels[0], channels[1], h.assignment)
	}
	for _, samples := range channels { // Residuals may add up to more than the samples' bits.
		for _, s := range samples {
			if s>>(in.BitDepth-1) != s>>63 {
				return 0, nil, errFrame
			}
		}
	}
	return end + 2, channels, nil
}

// decorrelate turns two channels into left and right (4.2).
func decorrelate(a, b []int64, assignment int) {
	b = b[:len(a)]
	switch assignment {
	case leftSide:
		for i, left := range a {
			b[i] = left - b[i]
		}
	case sideRight:
		for i := range a {
			a[i] += b[i]
		}
	default:
		for i, side := range b {
			mid := a[i]<<1 | side&1
			a[i], b[i] = (mid+side)>>1, (mid-side)>>1
		}
	}
}
