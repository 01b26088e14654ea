// Package sound reads WAV and FLAC files that come from strangers: what a file holds, by its head, and its samples.
//
// Samples come out interleaved, in little-endian order and left-justified: full scale is that of their Type, whatever the
// file's own width, so that a quiet 24-bit recording is as quiet as its 16-bit copy. That is what libsndfile gives for the same type.
// Nothing is lost as long as the Type was chosen by Precision.
//
// No size that a file declares is believed: memory and time are bounded by the length of the data and by MaxBytes.
package sound

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/trainyard/trainyard/services/converter/reject"
)

// Limits of a file.
const (
	// MaxBytes bounds the samples of one file, as they come out. It is more than five minutes of 16-bit stereo at 48 kHz, half an hour of mono at 16 kHz.
	MaxBytes = 64 << 20
	// MaxExpansion is how many times as large as their files samples may be, as of an archive. A FLAC of silence can hold six thousand
	// samples a byte. A single file that says its length may be beyond that, which is for callers to add up; one that doesn't say it may not.
	MaxExpansion = 100
	// MaxChannels is how many channels a file can have. FLAC has 8 at most.
	MaxChannels = 64
	// MaxSampleRate is the highest rate in Hz, the highest that FLAC can say.
	MaxSampleRate = 1<<20 - 1
)

// CutRemark is for dataset.Stats.Remark, of files that are Cut.
const CutRemark = "Sound files that end before the length that they declare, as files do that were cut off on their way, and were kept as far as they go"

// Info is what a file says of itself.
type Info struct {
	Container  string // "wav" or "flac"
	SampleRate int    // Hz
	Channels   int
	BitDepth   int   // bits of a sample as it is stored; of the decoded sample where the file is companded
	Float      bool  // samples are IEEE 754 numbers, full scale being 1
	Frames     int64 // samples of each channel, within the bounds of the file; -1 if the head doesn't tell
	// Clamped says that the file declares more samples than it has, as files do that were written to a pipe or cut off.
	Clamped bool
	// Cut says that it was cut off: it declares a length, and ends before.
	Cut bool

	coding coding
	width  int // bytes of a stored sample in a WAV
	offset int // of the samples, or of the blocks of metadata behind FLAC's first
	md5    [16]byte
}

// coding is how the samples are stored.
type coding uint8

const (
	codingPCM coding = iota
	codingFloat
	codingALaw
	codingMuLaw
	codingFLAC
)

// Problem says why a file can't be read.
type Problem struct {
	Reason  reject.Reason
	Message string // what was found, and how to mend it
	// Short says that what was given was too little of the file to tell. It is never set if all of it was given.
	Short bool
}

func problem(r reject.Reason, format string, args ...any) *Problem {
	return &Problem{Reason: r, Message: fmt.Sprintf(format, args...)}
}

func malformed(format string, args ...any) *Problem {
	return problem(reject.MalformedAudio, format, args...)
}

func truncated(format string, args ...any) *Problem {
	return problem(reject.TruncatedAudio, format, args...)
}

func empty() *Problem { return problem(reject.EmptyFile, "the file holds no samples") }

func unsupported(what string) *Problem {
	return problem(reject.UnsupportedAudio, "%s, which is not read; save it as PCM WAV or FLAC, for example with: ffmpeg -i IN -c:a pcm_s16le OUT.wav", what)
}

// Inspect reads what a file says of itself. head is the file's beginning or all of it, size its length.
func Inspect(head []byte, size int64) (Info, *Problem) {
	in, p := inspect(head, size)
	switch {
	case p != nil:
		return in, p
	case in.Channels < 1 || in.Channels > MaxChannels:
		return in, malformed("the file says that it has %d channels; it can be 1 to %d", in.Channels, MaxChannels)
	case in.SampleRate < 1 || in.SampleRate > MaxSampleRate:
		return in, malformed("the file says that its sample rate is %d Hz; it can be 1 to %d", in.SampleRate, MaxSampleRate)
	case in.Frames == 0:
		return in, empty()
	}
	return in, nil
}

func inspect(head []byte, size int64) (Info, *Problem) {
	whole := int64(len(head)) >= size
	if len(head) < 12 {
		if !whole {
			return Info{}, &Problem{Reason: reject.MalformedAudio, Message: "the file can't be told by its beginning", Short: true}
		}
		return Info{}, truncated("the file ends in its header")
	}
	switch string(head[:4]) {
	case "RIFF", "RF64", "BW64":
		if string(head[8:12]) == "WAVE" {
			return inspectWAV(head, size)
		}
	case "RIFX":
		return Info{}, unsupported("this is a big-endian WAV")
	case "fLaC":
		return inspectFLAC(head, size, 0)
	case "OggS":
		return Info{}, unsupported("this is an Ogg file")
	case "FORM":
		return Info{}, unsupported("this is an AIFF file")
	case "riff":
		return Info{}, unsupported("this is a Wave64 file")
	}
	if string(head[:3]) == "ID3" {
		// A tag that some programs put in front of FLAC: version, flags, and a length of four times seven bits (ID3v2.4, 3.1).
		n := 10 + (int(head[6]&0x7f)<<21 | int(head[7]&0x7f)<<14 | int(head[8]&0x7f)<<7 | int(head[9]&0x7f))
		if len(head) >= n+4 && string(head[n:n+4]) == "fLaC" {
			return inspectFLAC(head, size, n)
		}
		if !whole && len(head) < n+4 {
			return Info{}, &Problem{Reason: reject.UnsupportedAudio, Message: fmt.Sprintf("the file begins with a tag of %d bytes, which is too long; remove it", n), Short: true}
		}
		return Info{}, unsupported("this is an MP3 file")
	}
	return Info{}, malformed("the file is neither a WAV nor a FLAC file, whatever its name says")
}

// Type is a type of samples, by the name that numpy, TensorFlow and TFDS have for it.
type Type string

// The types. Full scale of Int16 and Int32 is 2^15 and 2^31, that of the floats is 1.
const (
	Int16   Type = "int16"
	Int32   Type = "int32"
	Float32 Type = "float32"
	Float64 Type = "float64"
)

// Size is the bytes of one sample.
func (t Type) Size() int {
	switch t {
	case Int16:
		return 2
	case Float64:
		return 8
	}
	return 4
}

// holds tells whether a file's samples can be had in the type without loss.
func (t Type) holds(in *Info) bool {
	switch t {
	case Int16:
		return !in.Float && in.BitDepth <= 16
	case Int32:
		return !in.Float
	case Float32:
		return in.BitDepth <= 24 || in.Float && in.BitDepth == 32
	}
	return t == Float64
}

// Precision finds the narrowest Type that holds the samples of many files without loss. The zero value has seen none.
type Precision struct{ intBits, floatBits int }

// Add takes a file into account.
func (p *Precision) Add(in *Info) {
	if in.Float {
		p.floatBits = max(p.floatBits, in.BitDepth)
	} else {
		p.intBits = max(p.intBits, in.BitDepth)
	}
}

// Type is the type for all files that were added. A float32 has 24 bits of precision.
func (p *Precision) Type() Type {
	switch {
	case p.floatBits > 32, p.floatBits > 0 && p.intBits > 24:
		return Float64
	case p.floatBits > 0:
		return Float32
	case p.intBits > 16:
		return Int32
	}
	return Int16
}

// Decoder decodes files, one after another. The zero value is ready to use.
type Decoder struct {
	flac  flacDecoder
	block [1024]int32
}

// Measure inspects a whole file and tells how many bytes its samples have as a Type. A file of more than MaxBytes of them is a Problem,
// and so is one whose samples the Type doesn't hold.
func (d *Decoder) Measure(data []byte, t Type) (Info, int, *Problem) {
	in, p := Inspect(data, int64(len(data)))
	if p != nil {
		return in, 0, p
	}
	if !t.holds(&in) {
		return in, 0, unsupported(fmt.Sprintf("samples of %d bits can't be stored as %s without loss", in.BitDepth, t))
	}
	limit := MaxBytes / int64(in.Channels*t.Size())
	if in.Frames < 0 {
		most := min(limit, int64(len(data))*MaxExpansion/int64(in.Channels*t.Size()))
		if in.Frames, p = d.flac.count(data, &in, most); p != nil {
			return in, 0, p
		}
		if in.Frames > most && most < limit {
			return in, 0, problem(reject.TooLong, "the FLAC doesn't say how long it is, and its samples take more than %d times its size; save it anew, so that its length stands in its header", MaxExpansion)
		}
	}
	switch rate := float64(in.SampleRate); {
	case in.Frames == 0:
		return in, 0, empty()
	case in.Frames > limit:
		return in, 0, problem(reject.TooLong, "the file lasts %.1f s or more; with %d channels at %d Hz the limit is %.1f s, which is %d MiB of %s. Cut it into pieces, or save it with fewer channels or a lower sample rate",
			float64(in.Frames)/rate, in.Channels, in.SampleRate, float64(limit)/rate, MaxBytes>>20, t)
	}
	return in, int(in.Frames) * in.Channels * t.Size(), nil
}

// Decode writes the samples of a file to dst; the Info, the length of dst and the Type are those of Measure. full also checks the samples against FLAC's checksum of them.
// Samples that are no finite numbers are a Problem, because one of them spoils a training.
func (d *Decoder) Decode(dst, data []byte, in *Info, t Type, full bool) *Problem {
	switch in.coding {
	case codingFLAC:
		return d.flac.decode(dst, data, in, t, full)
	case codingFloat:
		return decodeFloats(dst, data[in.offset:], in, t)
	}
	size := t.Size()
	for src := data[in.offset:][:len(dst)/size*in.width]; len(src) > 0; {
		n := min(len(src)/in.width, len(d.block))
		widen(d.block[:n], src, in)
		store(dst, d.block[:n], t)
		src, dst = src[n*in.width:], dst[n*size:]
	}
	return nil
}

// widen reads integers of a WAV and left-justifies them to 32 bits.
func widen(dst []int32, src []byte, in *Info) {
	switch {
	case in.coding == codingALaw:
		for i := range dst {
			dst[i] = aLaw[src[i]]
		}
	case in.coding == codingMuLaw:
		for i := range dst {
			dst[i] = muLaw[src[i]]
		}
	case in.width == 1: // the only unsigned ones
		for i := range dst {
			dst[i] = int32(src[i]^0x80) << 24
		}
	case in.width == 2:
		for i := range dst {
			dst[i] = int32(binary.LittleEndian.Uint16(src[2*i:])) << 16
		}
	case in.width == 3:
		for i := range dst {
			s := src[3*i : 3*i+3]
			dst[i] = int32(s[0])<<8 | int32(s[1])<<16 | int32(s[2])<<24
		}
	default:
		for i := range dst {
			dst[i] = int32(binary.LittleEndian.Uint32(src[4*i:])) //nolint:gosec // two's complement
		}
	}
}

// store writes left-justified samples as a type. Its cases lose nothing of samples for which Precision chose the type.
func store(dst []byte, src []int32, t Type) {
	switch t {
	case Int16:
		for i, s := range src {
			binary.LittleEndian.PutUint16(dst[2*i:], uint16(s>>16)) //nolint:gosec // two's complement
		}
	case Int32:
		for i, s := range src {
			binary.LittleEndian.PutUint32(dst[4*i:], uint32(s)) //nolint:gosec // two's complement
		}
	case Float32:
		for i, s := range src {
			binary.LittleEndian.PutUint32(dst[4*i:], math.Float32bits(float32(s)*(1.0/(1<<31))))
		}
	case Float64:
		for i, s := range src {
			binary.LittleEndian.PutUint64(dst[8*i:], math.Float64bits(float64(s)*(1.0/(1<<31))))
		}
	}
}

// decodeFloats copies or widens floats.
func decodeFloats(dst, src []byte, in *Info, t Type) *Problem {
	for i := range len(dst) / t.Size() {
		var v float64
		if in.width == 4 {
			v = float64(math.Float32frombits(binary.LittleEndian.Uint32(src[4*i:])))
		} else {
			v = math.Float64frombits(binary.LittleEndian.Uint64(src[8*i:]))
		}
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return malformed("sample %d of channel %d is %v, which is no finite number", i/in.Channels, i%in.Channels, v)
		}
		if t == Float32 {
			binary.LittleEndian.PutUint32(dst[4*i:], math.Float32bits(float32(v)))
		} else {
			binary.LittleEndian.PutUint64(dst[8*i:], math.Float64bits(v))
		}
	}
	return nil
}
