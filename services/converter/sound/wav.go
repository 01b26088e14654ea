package sound

import (
	"encoding/binary"
	"fmt"

	"github.com/trainyard/trainyard/services/converter/reject"
)

// Codes of the codings in a WAV's format chunk (mmreg.h, RFC 2361).
const (
	wavePCM        = 0x0001
	waveFloat      = 0x0003
	waveALaw       = 0x0006
	waveMuLaw      = 0x0007
	waveExtensible = 0xfffe
)

// subFormat is what follows the coding's code in the GUID of a WAVE_FORMAT_EXTENSIBLE.
const subFormat = "\x00\x00\x00\x00\x10\x00\x80\x00\x00\xaa\x00\x38\x9b\x71"

// unknownSize in a chunk's length says that it stands elsewhere (RF64, EBU Tech 3306) or that the writer never knew it (a pipe).
const unknownSize = 0xffffffff

// anyLength is what writers to a pipe declare at least, who don't know it: SoX 0x7ffff000, others up to unknownSize.
const anyLength = 0x7ffff000

// inspectWAV walks the chunks up to the samples; Multimedia Programming Interface and Data Specifications 1.0, and EBU Tech 3306 for RF64.
// Lengths are clamped to the file, so that what was cut off or written to a pipe can be read as far as it goes.
func inspectWAV(head []byte, size int64) (Info, *Problem) {
	in := Info{Container: "wav", Frames: -1}
	whole := int64(len(head)) >= size
	var wide uint64 // the length of the samples in an RF64
	for pos := int64(12); ; {
		if pos+8 > int64(len(head)) {
			switch {
			case whole && in.width == 0:
				return in, truncated("the WAV ends before its format chunk")
			case whole:
				return in, truncated("the WAV ends before its samples")
			case in.width > 0:
				return in, nil
			}
			return in, &Problem{Reason: reject.MalformedAudio, Message: fmt.Sprintf("the WAV has no format chunk in its first %d bytes; save it anew", len(head)), Short: true}
		}
		id, length := string(head[pos:pos+4]), int64(binary.LittleEndian.Uint32(head[pos+4:]))
		pos += 8
		body := head[pos:min(pos+length, int64(len(head)))]
		switch id {
		case "ds64":
			if len(body) >= 16 {
				wide = binary.LittleEndian.Uint64(body[8:])
			}
		case "fmt ":
			if int64(len(body)) < min(length, 40) {
				if !whole {
					return in, &Problem{Reason: reject.MalformedAudio, Message: "the WAV's format chunk lies too far behind", Short: true}
				}
				return in, truncated("the WAV ends in its format chunk")
			}
			if p := in.wavFormat(body); p != nil {
				return in, p
			}
		case "data":
			if in.width == 0 {
				return in, malformed("the WAV has its samples before its format chunk")
			}
			in.offset = int(pos)
			declared := length
			if length == unknownSize && wide > 0 {
				declared = int64(min(wide, 1<<62)) //nolint:gosec // just bounded
			}
			// A writer that died leaves both lengths at 0: its samples go on to the end of the file.
			unfinished := length == 0 && int64(binary.LittleEndian.Uint32(head[4:])) <= pos-8
			if rest := max(size-pos, 0); declared > rest || unfinished {
				in.Clamped, in.Cut = true, declared > rest && length < anyLength
				declared = rest
			}
			in.Frames = declared / int64(in.width*in.Channels)
			return in, nil
		}
		pos += length + length&1
	}
}

// wavFormat reads the body of a format chunk.
func (in *Info) wavFormat(b []byte) *Problem {
	if len(b) < 16 {
		return malformed("the WAV's format chunk has %d bytes; it must have 16 or more", len(b))
	}
	code := binary.LittleEndian.Uint16(b)
	in.Channels = int(binary.LittleEndian.Uint16(b[2:]))
	in.SampleRate = int(binary.LittleEndian.Uint32(b[4:]))
	align := int(binary.LittleEndian.Uint16(b[12:]))
	bits := int(binary.LittleEndian.Uint16(b[14:]))
	if code == waveExtensible {
		if len(b) < 40 || string(b[26:40]) != subFormat {
			return unsupported("the WAV has an extended coding that is nowhere registered")
		}
		code = binary.LittleEndian.Uint16(b[24:])
	}
	if in.Channels < 1 || in.Channels > MaxChannels { // Inspect says so again; here it guards the division
		return malformed("the file says that it has %d channels; it can be 1 to %d", in.Channels, MaxChannels)
	}
	// A sample may lie in more bytes than its bits need, and is left-justified in them. Some writers leave the alignment at 0.
	width := (bits + 7) / 8
	if align != 0 {
		width = align / in.Channels
	}
	switch code {
	case wavePCM:
		in.coding = codingPCM
	case waveFloat:
		in.coding = codingFloat
	case waveALaw:
		in.coding = codingALaw
	case waveMuLaw:
		in.coding = codingMuLaw
	default:
		return unsupported(fmt.Sprintf("the WAV is compressed with coding 0x%04x", code))
	}
	ok := width > 0 && 8*width >= bits && bits > 0 && (align == 0 || align%in.Channels == 0)
	in.BitDepth, in.Float = 8*width, in.coding == codingFloat
	switch in.coding {
	case codingPCM:
		ok = ok && width <= 4
	case codingFloat:
		ok = ok && (width == 4 || width == 8) && bits == 8*width
	default:
		ok = ok && width == 1
		in.BitDepth = 16
	}
	if !ok {
		return malformed("the WAV has %d bits in a sample and %d bytes in a frame of %d channels, which don't go together", bits, align, in.Channels)
	}
	in.width = width
	return nil
}

// The tables of ITU-T G.711, left-justified to 32 bits.
var aLaw, muLaw = g711()

func g711() (a, mu [256]int32) {
	for i := range 256 {
		v := int32(i) ^ 0x55
		s, exponent := v&0x0f<<4+8, v>>4&7
		if exponent > 0 {
			s = (s + 0x100) << (exponent - 1)
		}
		if v&0x80 == 0 {
			s = -s
		}
		a[i] = s << 16

		v = int32(i) ^ 0xff
		s = (v&0x0f<<3+0x84)<<(v>>4&7) - 0x84
		if v&0x80 != 0 {
			s = -s
		}
		mu[i] = s << 16
	}
	return a, mu
}
